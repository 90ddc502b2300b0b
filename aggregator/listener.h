/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accepts connections and sees each through TLS, HELLO and its first OPEN, which decides the
 * worker that it is handed to. Belongs to the thread that runs its loop.
 */
#pragma once

#include "aggregator/peer.h"
#include "aggregator/refusal.h"
#include "common/message.h"

#define LISTENER_CONNECTIONS_MAX 10000
#define LISTENER_HANDSHAKE_NS (10 * NS_PER_SEC)

struct listener;

/* A connection that has said HELLO and OPEN; nothing is in flight. */
struct arrival {
	struct arrival *next;
	struct peer peer;
	uint32_t stream; /* number on this connection */
	struct message_open open;
};

struct listener_config {
	const struct addr_list *addresses;
	struct tls_context *tls;
	const char *host;      /* for HELLO */
	uint32_t *connections; /* all there are, atomic; counted down by whoever closes one */
	uint64_t handshake_ns; /* 0: LISTENER_HANDSHAKE_NS */
	/* Takes the arrival over (free()). */
	void (*arrived)(void *context, struct arrival *arrival);
	void *context;
};

/* On failure error says which address, and what to do. */
int listener_create(struct listener **ret, struct loop *loop, const struct listener_config *config,
		    char error[256]) must_check;
/* Closes what has not arrived (turns the loop until nothing is in flight). */
void listener_destroy(struct listener *listener);
const struct refusals *listener_refusals(const struct listener *listener);
/* Where it listens, "ADDRESS:PORT, ..." */
const char *listener_text(const struct listener *listener);
