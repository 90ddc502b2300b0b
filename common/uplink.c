/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/uplink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/uplink_internal.h"

/* Frames in flight and no ACK for so long: another connection may be better. */
#define STALL_NS (60 * NS_PER_SEC)
/* A connection that lived so long, or brought an ACK, is worth an immediate next one. */
#define WORTH_NS NS_PER_SEC
#define REPEAT_NS (60 * NS_PER_SEC)

/* One line for each distinct failure of a server; those that repeat are counted. */
static void report(struct uplink *uplink, const char *what, const char *reason)
{
	struct failure *failure = &uplink->failures[uplink->server];
	uint64_t now = loop_now(uplink->loop);
	char text[ADDR_TEXT_LEN], line[sizeof(failure->reason)];

	addr_text(uplink_address(uplink), text);
	snprintf(line, sizeof(line), "%s %s: %.160s", what, text, reason);
	if (strcmp(line, failure->reason) != 0) {
		memcpy(failure->reason, line, sizeof(line));
		log_warning(0, "%s", line);
	} else if (now - failure->logged_ns >= REPEAT_NS) {
		log_warning(0, "%s (%" PRIu64 " times in %" PRIu64 " s)", line,
			    failure->repeats + 1,
			    (uint64_t)((now - failure->logged_ns) / NS_PER_SEC));
	} else {
		failure->repeats++;
		return;
	}
	failure->logged_ns = now;
	failure->repeats = 0;
	uplink->told_down = true;
}

static void deliver(struct uplink *uplink)
{
	loop_timer_stop(uplink->loop, &uplink->timer);
	loop_timer_stop(uplink->loop, &uplink->deadline);
	if (!uplink->destroying)
		uplink->config.ended(uplink->config.context, uplink->result);
}

static void try_later(struct uplink *uplink)
{
	loop_timer_start(uplink->loop, &uplink->timer,
			 backoff_next(&uplink->backoff, uplink->ending));
}

static void forget_connection(struct uplink *uplink)
{
	uplink->client = NULL;
	window_clear(&uplink->window);
	uplink->has_hello = false;
	uplink->marked_ns = 0;
	ranges_clear(&uplink->durable);
	memory_journal_rewind(uplink->reader);
	uplink_set_state(uplink, UPLINK_DOWN);
}

static void closed(void *context, int err, const char *reason)
{
	struct uplink *uplink = context;
	bool was_up = uplink->stats.state == UPLINK_UP, was_worth;

	was_worth = was_up &&
		    (uplink->progressed || loop_now(uplink->loop) - uplink->up_ns >= WORTH_NS);
	uplink_add(&uplink->stats.disconnects, was_up);
	forget_connection(uplink);
	if (err == 0) {
		uplink->over = true;
		uplink->result = 0;
	}
	if (uplink->over) {
		deliver(uplink);
		return;
	}
	report(uplink, was_up ? "lost the connection to" : "cannot ship to", reason);
	if (was_worth) {
		backoff_reset(&uplink->backoff);
		loop_timer_start(uplink->loop, &uplink->timer, 0);
	} else {
		try_later(uplink);
	}
}

static void connected(void *context)
{
	uplink_set_state(context, UPLINK_HANDSHAKE);
}

static void ready(void *context)
{
	struct uplink *uplink = context;

	uplink_set_state(uplink, UPLINK_OPENING);
	loop_timer_start(uplink->loop, &uplink->timer, UPLINK_ANSWER_NS);
	uplink_send_hello(uplink);
}

static void sent(void *context)
{
	uplink_pump(context);
}

static void start_connection(struct uplink *uplink)
{
	const char *name = uplink->config.server_name;
	const struct addr *address = &uplink->config.servers->list[uplink->backoff.server];
	char text[INET6_ADDRSTRLEN];
	struct tls_client_config config = {
		.address = address,
		.tls = uplink->config.tls,
		.connected = connected,
		.ready = ready,
		.received = uplink_received,
		.sent = sent,
		.closed = closed,
		.context = uplink,
	};
	int err;

	uplink->server = uplink->backoff.server;
	if (!name && address->any.sa_family == AF_INET)
		name = inet_ntop(AF_INET, &address->in4.sin_addr, text, sizeof(text));
	else if (!name)
		name = inet_ntop(AF_INET6, &address->in6.sin6_addr, text, sizeof(text));
	config.server_name = name;
	err = tls_client_create(&uplink->client, uplink->loop, &config);
	if (err) {
		report(uplink, "cannot ship to", strerrordesc_np(-err) ?: "unknown error");
		try_later(uplink);
		return;
	}
	tls_client_count_sends(uplink->client, &uplink->stats.send_calls);
	uplink_set_state(uplink, UPLINK_CONNECTING);
}

static void timer_expired(struct loop_timer *timer)
{
	struct uplink *uplink = container_of(timer, struct uplink, timer);

	switch (uplink->stats.state) {
	case UPLINK_DOWN:
		if (uplink->over)
			deliver(uplink);
		else
			start_connection(uplink);
		break;
	case UPLINK_CONNECTING:
	case UPLINK_HANDSHAKE:
		break;
	case UPLINK_OPENING:
		tls_client_close(uplink->client, -ETIMEDOUT,
				 uplink->has_hello ? "no answer to OPEN within 10 s"
						   : "it accepted the connection and said nothing "
						     "for 10 s");
		break;
	case UPLINK_UP:
		if (uplink->window.bytes && loop_now(uplink->loop) - uplink->heard_ns >= STALL_NS) {
			tls_client_close(uplink->client, -ETIMEDOUT, "no acknowledgement for 60 s");
			break;
		}
		loop_timer_start(uplink->loop, timer, UPLINK_CHECK_NS);
		uplink_pump(uplink);
		break;
	}
}

static void deadline_expired(struct loop_timer *timer)
{
	struct uplink *uplink = container_of(timer, struct uplink, deadline);
	struct memory_journal_stats stats;

	memory_journal_stats(uplink->config.journal, &stats);
	if (stats.packets)
		log_warning(0,
			    "gave up %" PRIu64 " packets of stream %s that no aggregator "
			    "acknowledged in time",
			    stats.packets, uplink->name);
	memory_journal_give_up(uplink->reader, LOSS_SHUTDOWN);
	uplink->over = true;
	uplink->result = -ETIMEDOUT;
	if (uplink->client)
		tls_client_abort(uplink->client, -ETIMEDOUT, "the deadline is over");
	else
		loop_timer_start(uplink->loop, &uplink->timer, 0);
}

int uplink_create(struct uplink **ret, struct loop *loop, const struct uplink_config *config)
{
	struct uplink *uplink;
	uint64_t seed;
	int err;

	if (!config->servers->count)
		return -EINVAL;
	uplink = calloc(1, sizeof(*uplink));
	if (!uplink)
		return -ENOMEM;
	err = memory_journal_shipper_create(&uplink->reader, config->journal);
	if (err) {
		free(uplink);
		return err;
	}
	uplink->config = *config;
	uplink->loop = loop;
	uplink->timer.expired = timer_expired;
	uplink->deadline.expired = deadline_expired;
	stream_name(memory_journal_stream(config->journal), uplink->name);
	uplink->told_down = true;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = clock_ns(CLOCK_MONOTONIC);
	backoff_init(&uplink->backoff, config->servers->count, config->reconnect_max_ns, seed);
	loop_timer_start(loop, &uplink->timer, 0);
	*ret = uplink;
	return 0;
}

void uplink_destroy(struct uplink *uplink)
{
	if (!uplink)
		return;
	uplink->destroying = true;
	uplink->over = true;
	if (uplink->client)
		tls_client_abort(uplink->client, -ECANCELED, "");
	while (uplink->client && !loop_turn(uplink->loop, true))
		;
	loop_timer_stop(uplink->loop, &uplink->timer);
	loop_timer_stop(uplink->loop, &uplink->deadline);
	memory_journal_reader_destroy(uplink->reader);
	ranges_release(&uplink->durable);
	buf_release(&uplink->message);
	window_release(&uplink->window);
	free(uplink);
}

void uplink_kick(struct uplink *uplink)
{
	uplink_pump(uplink);
}

void uplink_mark(struct uplink *uplink, uint64_t watermark_ns)
{
	uplink_send_mark(uplink, watermark_ns);
}

void uplink_retry(struct uplink *uplink)
{
	backoff_reset(&uplink->backoff);
	if (uplink->stats.state == UPLINK_DOWN && !uplink->over)
		loop_timer_start(uplink->loop, &uplink->timer, 0);
}

void uplink_end(struct uplink *uplink, uint64_t watermark_ns, uint64_t deadline_ns)
{
	loop_timer_start(uplink->loop, &uplink->deadline, deadline_ns);
	if (uplink->ending)
		return;
	uplink->ending = true;
	uplink->end_watermark_ns = watermark_ns;
	uplink_retry(uplink);
	uplink_pump(uplink);
}

const struct uplink_stats *uplink_stats(const struct uplink *uplink)
{
	return &uplink->stats;
}
