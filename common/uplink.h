/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ships one memory journal to an aggregator: connect, TLS, HELLO, OPEN, frames, ACKs and credit,
 * NACK, LOSS, MARK, BYE, back-off. Belongs to the thread that runs its loop, which is also the one
 * that writes the journal: the uplink is its shipper. All I/O is on the loop. A frame is released
 * when its ACK came; after a cut everything not acknowledged is offered again, except what the
 * answer to OPEN says is durable. Frames carry header.stream UPLINK_STREAM.
 *
 * It knows the peer, so it is what tells the user: one line for each change of the connection,
 * the same failure at most once a minute.
 */
#pragma once

#include "common/addr.h"
#include "common/loop.h"
#include "common/memory_journal.h"
#include "common/tls.h"

#define UPLINK_STREAM 1 /* the number that OPEN binds */

struct uplink;

enum uplink_state { UPLINK_DOWN, UPLINK_CONNECTING, UPLINK_HANDSHAKE, UPLINK_OPENING, UPLINK_UP };

struct uplink_config {
	const struct addr_list *servers; /* resolved; tried in order */
	const char *server_name;	 /* for the certificate; NULL: each address's own text */
	struct tls_context *tls;
	struct memory_journal *journal;
	uint64_t reconnect_max_ns; /* 0: 20 s */
	/* The stream ended: every frame and BYE acknowledged (err 0), or what memory_journal_stats
	 * calls waiting was given up at the deadline (-ETIMEDOUT) and counted as LOSS_SHUTDOWN. */
	void (*ended)(void *context, int err);
	void *context;
};

/* Counters of the lane's thread; read by others with relaxed atomics. */
struct uplink_stats {
	enum uplink_state state;
	uint64_t connects, disconnects, frames_sent, bytes_sent, frames_acked, frames_resent;
	uint64_t nacks, losses_announced, send_calls;
	uint64_t acked_sequence; /* highest */
	uint64_t rtt_ns;	 /* from a frame's send to its ACK, smoothed */
};

int uplink_create(struct uplink **ret, struct loop *loop,
		  const struct uplink_config *config) must_check;
/* After ended(), or else the connection is cut and the loop turned until nothing is in flight. */
void uplink_destroy(struct uplink *uplink);
/* Frames were committed: send what credit allows. Cheap; call once per pass. */
void uplink_kick(struct uplink *uplink);
/* Nothing older than this will follow. Sent as MARK if the stream is up and idle. */
void uplink_mark(struct uplink *uplink, uint64_t watermark_ns);
/* The network changed: if it is down, try again at once. */
void uplink_retry(struct uplink *uplink);
/*
 * Nothing is written any more: send the rest and BYE, then call ended(); give up deadline_ns from
 * now. Called again, it only sets another deadline.
 */
void uplink_end(struct uplink *uplink, uint64_t watermark_ns, uint64_t deadline_ns);
const struct uplink_stats *uplink_stats(const struct uplink *uplink);
