/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of the uplink share: connections (uplink.c), frames (uplink_stream.c). */
#pragma once

#include "common/backoff.h"
#include "common/tls_client.h"
#include "common/uplink.h"
#include "common/window.h"

/* For HELLO, and for the answer to OPEN. */
#define UPLINK_ANSWER_NS (10 * NS_PER_SEC)
/* While it is up: is it still answering? */
#define UPLINK_CHECK_NS (5 * NS_PER_SEC)

struct failure {
	char reason[256];
	uint64_t logged_ns, repeats;
};

struct uplink {
	struct uplink_config config;
	struct uplink_stats stats;
	struct loop *loop;
	struct memory_journal_reader *reader;
	struct tls_client *client; /* NULL: down */
	struct loop_timer timer;   /* by state: reconnect, answer, check */
	struct loop_timer deadline;
	struct backoff backoff;
	unsigned int server; /* of this connection, or the last one */
	struct failure failures[ADDR_LIST_MAX];
	struct window window;
	uint64_t credit_bytes;
	struct ranges durable; /* by the answer to OPEN, or instead of losses: not to be sent */
	struct buf message;
	uint64_t up_ns, heard_ns; /* opened; last ACK, or first frame in flight after none */
	uint64_t highest_sent, marked_ns, end_watermark_ns;
	bool progressed; /* an ACK came on this connection */
	bool told_down;	 /* a failure was logged since it was last up */
	bool has_hello, ending, has_bye, over, destroying;
	int result;
	char name[STREAM_NAME_LEN];
};

static inline void uplink_add(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, *counter + value, __ATOMIC_RELAXED);
}

static inline void uplink_put(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline void uplink_set_state(struct uplink *uplink, enum uplink_state state)
{
	__atomic_store_n(&uplink->stats.state, state, __ATOMIC_RELAXED);
}

static inline const struct addr *uplink_address(const struct uplink *uplink)
{
	return &uplink->config.servers->list[uplink->server];
}

/* Of uplink_stream.c */
/* Sends what there is room and credit for; once all is acknowledged at the end, BYE. */
void uplink_pump(struct uplink *uplink);
void uplink_send_hello(struct uplink *uplink);
void uplink_send_mark(struct uplink *uplink, uint64_t watermark_ns);
void uplink_received(void *context, struct buf *in);
