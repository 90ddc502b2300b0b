/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that are refused or ended for what they sent: counted by reason, and logged, at most
 * a few dozen lines a minute whatever knocks at the port. A struct refusals belongs to one thread;
 * its counts may be read by any (relaxed atomics).
 */
#pragma once

#include "aggregator/log_budget.h"

#define REFUSALS(X)                         \
	X(TOO_MANY, "too_many_connections") \
	X(TLS, "tls")                       \
	X(TIMEOUT, "handshake_timeout")     \
	X(VERSION, "version")               \
	X(IDENTITY, "identity")             \
	X(FRAME, "bad_frame")               \
	X(PROTOCOL, "protocol")             \
	X(SLOW, "does_not_read")            \
	X(STORE, "store")

enum refusal {
#define X(id, name) REFUSAL_##id,
	REFUSALS(X)
#undef X
		REFUSAL_COUNT
};

struct refusals {
	uint64_t counts[REFUSAL_COUNT];
	struct log_budget budget;
};

const char *refusal_name(enum refusal reason);
/* Counts; logs "refused PEER: TEXT" if there is a line left for it. */
void refusal_count(struct refusals *refusals, uint64_t now_ns, enum refusal reason,
		   const char *peer, const char *text);
uint64_t refusals_get(const struct refusals *refusals, enum refusal reason);
