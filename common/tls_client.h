/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One outgoing TLS connection on the loop: connect, handshake, bytes both ways, an end in order.
 * Belongs to the thread that runs the loop. From create on it lives until closed() is called, and
 * is gone by then. Callbacks come from a turn of the loop, never from within a call made here.
 */
#pragma once

#include "common/addr.h"
#include "common/buf.h"
#include "common/loop.h"
#include "common/tls.h"

#define TLS_CLIENT_SEND_BYTES (256 * KIB)

struct tls_client;

struct tls_client_config {
	const struct addr *address;
	const char *server_name;
	struct tls_context *tls;
	/* The TCP connection is there; the handshake is done. */
	void (*connected)(void *context);
	void (*ready)(void *context);
	/* Bytes came: consume what is of use, the rest comes again with more. */
	void (*received)(void *context, struct buf *in);
	/* A send is done: there may be room for more. */
	void (*sent)(void *context);
	/* It ended; nothing is in flight. err 0: by tls_client_close(). reason: in plain words. */
	void (*closed)(void *context, int err, const char *reason);
	void *context;
};

int tls_client_create(struct tls_client **ret, struct loop *loop,
		      const struct tls_client_config *config) must_check;
/* Who answered; once ready. */
const char *tls_client_peer_id(const struct tls_client *client);
/* Less than TLS_CLIENT_SEND_BYTES wait beside those of the send in flight. */
bool tls_client_has_room(const struct tls_client *client);
/* Takes all; an error also ends the connection. A full buffer is sent at once, the rest by flush.
 */
int tls_client_write(struct tls_client *client, const void *data, size_t len);
void tls_client_flush(struct tls_client *client);
/* Sends the rest and close_notify. err and reason are what closed() gets. Once is enough. */
void tls_client_close(struct tls_client *client, int err, const char *reason);
/* At once. */
void tls_client_abort(struct tls_client *client, int err, const char *reason);
/* Counts every send that is submitted, for as long as the client lives. */
void tls_client_count_sends(struct tls_client *client, uint64_t *sends);
