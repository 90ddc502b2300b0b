/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log.h"
#include "common/uplink_internal.h"

#define REFUSALS_MAX 3u

static void release_acked(struct uplink *uplink)
{
	uint64_t end = window_take_acked(&uplink->window);

	if (!end)
		return;
	memory_journal_release(uplink->reader, end);
	memory_journal_persist(uplink->config.journal);
}

static bool write_message(struct uplink *uplink, int err)
{
	if (err)
		tls_client_close(uplink->client, err, "out of memory");
	else
		err = tls_client_write(uplink->client, uplink->message.data, uplink->message.len);
	buf_clear(&uplink->message);
	return !err;
}

static bool write_frame(struct uplink *uplink, struct window_frame *sent,
			const struct memory_journal_frame *frame)
{
	bool is_again = frame->sequence <= uplink->highest_sent;

	if (tls_client_write(uplink->client, frame->data, frame->len))
		return false;
	sent->sent_ns = is_again ? 0 : loop_now(uplink->loop);
	uplink->highest_sent = MAX(uplink->highest_sent, frame->sequence);
	uplink_add(&uplink->stats.frames_sent, 1);
	uplink_add(&uplink->stats.bytes_sent, frame->len);
	uplink_add(&uplink->stats.frames_resent, is_again);
	return true;
}

static bool send_again(struct uplink *uplink)
{
	struct window_frame *sent = window_next_again(&uplink->window);
	struct memory_journal_frame frame;
	bool ok;

	if (memory_journal_frame_at(uplink->reader, sent->start, &frame)) {
		ok = write_frame(uplink, sent, &frame);
		memory_journal_done(uplink->reader);
		return ok;
	}
	/* Dropped since: a loss now. */
	memory_journal_reject(uplink->reader, sent->sequence, sent->start);
	window_ack(&uplink->window, sent);
	release_acked(uplink);
	return true;
}

static bool send_next(struct uplink *uplink)
{
	uint32_t len = memory_journal_peek(uplink->reader);
	struct memory_journal_frame frame;
	struct window_frame *sent;
	bool ok = true;

	if (!len || (uplink->window.bytes && uplink->window.bytes + len > uplink->credit_bytes))
		return false;
	if (!uplink->window.bytes)
		uplink->heard_ns = loop_now(uplink->loop);
	if (!memory_journal_next(uplink->reader, &frame))
		return false;
	sent = window_push(&uplink->window, &frame);
	if (!sent) {
		tls_client_close(uplink->client, -ENOMEM, "out of memory");
		return false;
	}
	if (ranges_has(&uplink->durable, frame.sequence)) {
		uplink_add(&uplink->stats.frames_acked, 1);
		window_ack(&uplink->window, sent);
	} else if (memory_journal_is_lost(uplink->reader, frame.sequence)) {
		window_ack(&uplink->window, sent); /* was refused: its LOSS goes instead */
	} else {
		ok = write_frame(uplink, sent, &frame);
	}
	memory_journal_done(uplink->reader);
	release_acked(uplink);
	return ok;
}

static bool send_one(struct uplink *uplink)
{
	struct message_loss loss;

	if (uplink->window.again_count)
		return send_again(uplink);
	if (memory_journal_overrun(uplink->reader, &loss)) {
		uplink_add(&uplink->stats.losses_announced, 1);
		return write_message(uplink,
				     message_loss_put(&uplink->message, UPLINK_STREAM, &loss));
	}
	return send_next(uplink);
}

static void commit_bye(struct uplink *uplink)
{
	struct frame_header header = { .type = FRAME_BYE,
				       .stream = UPLINK_STREAM,
				       .watermark_ns = uplink->end_watermark_ns };

	if (memory_journal_stream(uplink->config.journal)->replay)
		header.flags = FRAME_F_REPLAY;
	if (!memory_journal_begin(uplink->config.journal, 0))
		return;
	memory_journal_commit(uplink->config.journal, &header, 0, NULL, 0);
	uplink->has_bye = true;
}

/* BYE comes once all else is acknowledged, so that it never costs a frame its place. */
static void try_end(struct uplink *uplink)
{
	if (!uplink->ending || uplink->window.count || !memory_journal_drained(uplink->reader) ||
	    !memory_journal_settled(uplink->reader))
		return;
	if (uplink->has_bye)
		tls_client_close(uplink->client, 0, "");
	else
		commit_bye(uplink);
}

void uplink_pump(struct uplink *uplink)
{
	if (uplink->stats.state != UPLINK_UP)
		return;
	do
		try_end(uplink);
	while (tls_client_has_room(uplink->client) && send_one(uplink));
	tls_client_flush(uplink->client);
}

void uplink_send_hello(struct uplink *uplink)
{
	struct message_hello hello = {
		.version_min = PROTOCOL_VERSION,
		.version_max = PROTOCOL_VERSION,
		.abilities = "packets loss mark clock bye",
	};

	snprintf(hello.program, sizeof(hello.program), "%.40s " XCAP_VERSION,
		 program_invocation_short_name);
	if (gethostname(hello.host, sizeof(hello.host) - 1))
		hello.host[0] = '\0';
	if (write_message(uplink, message_hello_put(&uplink->message, &hello)))
		tls_client_flush(uplink->client);
}

void uplink_send_mark(struct uplink *uplink, uint64_t watermark_ns)
{
	/* Frames that follow are newer only if none is held back. */
	if (uplink->stats.state != UPLINK_UP || watermark_ns <= uplink->marked_ns ||
	    uplink->window.again_count || memory_journal_peek(uplink->reader) ||
	    !tls_client_has_room(uplink->client))
		return;
	uplink->marked_ns = watermark_ns;
	if (write_message(uplink, message_mark_put(&uplink->message, UPLINK_STREAM, watermark_ns)))
		tls_client_flush(uplink->client);
}

static void take_control(struct uplink *uplink, const uint8_t *payload, size_t len)
{
	struct message_open open = {
		.id = *memory_journal_stream(uplink->config.journal),
		.next_sequence = memory_journal_next_sequence(uplink->config.journal),
	};
	char refusal[MESSAGE_REFUSAL_LEN], reason[MESSAGE_REFUSAL_LEN + 32];
	struct message_hello hello;
	int err;

	if (message_refusal_get(refusal, payload, len) == 0) {
		snprintf(reason, sizeof(reason), "it refused: %s", refusal);
		tls_client_close(uplink->client, -ECONNREFUSED, reason);
		return;
	}
	if (uplink->has_hello)
		return;
	err = message_hello_get(&hello, payload, len);
	if (err) {
		tls_client_close(uplink->client, err, "its HELLO cannot be read");
		return;
	}
	if (message_hello_agree(&hello) < 0) {
		snprintf(reason, sizeof(reason),
			 "it (%s) speaks protocol versions %u to %u, this program %d: upgrade the "
			 "older of the two",
			 hello.program, hello.version_min, hello.version_max, PROTOCOL_VERSION);
		tls_client_close(uplink->client, -EPROTONOSUPPORT, reason);
		return;
	}
	uplink->has_hello = true;
	loop_timer_start(uplink->loop, &uplink->timer, UPLINK_ANSWER_NS);
	(void)write_message(uplink, message_open_put(&uplink->message, UPLINK_STREAM, &open));
}

static void opened(struct uplink *uplink, struct message_ack *ack)
{
	struct memory_journal_stats stats;
	char text[ADDR_TEXT_LEN];

	ranges_release(&uplink->durable);
	uplink->durable = ack->durable;
	ack->durable = (struct ranges){};
	memory_journal_confirm(uplink->reader, &uplink->durable, true);
	uplink->up_ns = loop_now(uplink->loop);
	uplink->heard_ns = uplink->up_ns;
	uplink->progressed = false;
	uplink_set_state(uplink, UPLINK_UP);
	uplink_add(&uplink->stats.connects, 1);
	loop_timer_start(uplink->loop, &uplink->timer, UPLINK_CHECK_NS);
	/* Where it comes and goes for one reason, that was said. */
	if (!uplink->told_down)
		return;
	uplink->told_down = false;
	memory_journal_stats(uplink->config.journal, &stats);
	log_info("shipping stream %s to %s (aggregator %s), %" PRIu64 " frames waiting",
		 uplink->name, addr_text(uplink_address(uplink), text),
		 tls_client_peer_id(uplink->client), stats.frames);
}

static void note_rtt(struct uplink *uplink, uint64_t sent_ns)
{
	uint64_t rtt = loop_now(uplink->loop) - sent_ns, before = uplink->stats.rtt_ns;

	uplink_put(&uplink->stats.rtt_ns, before ? before - before / 8 + rtt / 8 : rtt);
}

/*
 * A LOSS that arrived is forgotten; the frame that it stands for may still lie ahead in the
 * journal, and must not go out after all.
 */
static void confirm_losses(struct uplink *uplink, const struct ranges *durable)
{
	int err = 0;

	if (memory_journal_settled(uplink->reader))
		return;
	for (uint32_t i = 0; i < durable->count && !err; i++)
		err = ranges_add(&uplink->durable, durable->list[i].from, durable->list[i].to);
	/* Without memory for them they are confirmed another time. */
	if (!err)
		memory_journal_confirm(uplink->reader, durable, false);
}

static void take_ranges(struct uplink *uplink, const struct ranges *durable)
{
	uint64_t sent_ns;
	uint32_t count = window_ack_ranges(&uplink->window, durable, &sent_ns);

	uplink_add(&uplink->stats.frames_acked, count);
	if (count)
		uplink->progressed = true;
	if (sent_ns)
		note_rtt(uplink, sent_ns);
	confirm_losses(uplink, durable);
	release_acked(uplink);
}

static int take_ack(struct uplink *uplink, const uint8_t *payload, size_t len)
{
	struct message_ack ack;
	uint64_t highest;
	int err = message_ack_get(&ack, payload, len);

	if (err)
		return err;
	highest = MIN(ranges_max(&ack.durable),
		      memory_journal_next_sequence(uplink->config.journal) - 1);
	uplink_put(&uplink->stats.acked_sequence, MAX(uplink->stats.acked_sequence, highest));
	uplink->credit_bytes = ack.credit_bytes;
	uplink->heard_ns = loop_now(uplink->loop);
	if (uplink->stats.state == UPLINK_OPENING)
		opened(uplink, &ack);
	else
		take_ranges(uplink, &ack.durable);
	ranges_release(&ack.durable);
	return 0;
}

static int take_nack(struct uplink *uplink, const uint8_t *payload, size_t len)
{
	struct message_nack nack;
	char text[ADDR_TEXT_LEN];
	struct window_frame *sent;
	int err = message_nack_get(&nack, payload, len);

	if (err)
		return err;
	uplink_add(&uplink->stats.nacks, 1);
	sent = window_find(&uplink->window, nack.sequence);
	if (nack.reason == NACK_STORE || !sent || sent->acked) {
		/* Not for lack of progress on this connection: the next one has to wait. */
		uplink->progressed = false;
		uplink->up_ns = loop_now(uplink->loop);
		tls_client_close(uplink->client, -EAGAIN,
				 nack.reason == NACK_STORE ? "its store takes nothing at present"
							   : "it refuses what is not a frame");
		return 0;
	}
	if (window_count_refusal(&uplink->window, nack.sequence) < REFUSALS_MAX) {
		window_send_again(&uplink->window, sent);
		return 0;
	}
	log_warning(0, "frame %" PRIu64 " of stream %s is given up: %s refused it %u times (%s)",
		    nack.sequence, uplink->name, addr_text(uplink_address(uplink), text),
		    REFUSALS_MAX, nack_reason_name(nack.reason));
	memory_journal_reject(uplink->reader, nack.sequence, sent->start);
	window_ack(&uplink->window, sent);
	release_acked(uplink);
	return 0;
}

/* False: this connection is over. */
static bool take_frame(struct uplink *uplink, const struct frame_header *header,
		       const uint8_t *payload)
{
	bool is_open = uplink->stats.state == UPLINK_UP ||
		       (uplink->stats.state == UPLINK_OPENING && uplink->has_hello);
	int err = frame_payload_check(header, payload);

	if (err) {
		tls_client_close(uplink->client, err, "it sent a damaged frame");
		return false;
	}
	if (header->type == FRAME_CONTROL)
		take_control(uplink, payload, header->stored_len);
	else if (!is_open)
		err = -EPROTO;
	else if (header->stream == UPLINK_STREAM && header->type == FRAME_ACK)
		err = take_ack(uplink, payload, header->stored_len);
	else if (header->stream == UPLINK_STREAM && header->type == FRAME_NACK &&
		 uplink->stats.state == UPLINK_UP)
		err = take_nack(uplink, payload, header->stored_len);
	else if (header->flags & FRAME_F_CRITICAL)
		err = -EPROTO;
	if (err)
		tls_client_close(uplink->client, err, "it does not keep to the protocol");
	return !err;
}

void uplink_received(void *context, struct buf *in)
{
	struct uplink *uplink = context;
	struct frame_header header;
	int err;

	while (in->len >= FRAME_HEADER_LEN) {
		err = frame_header_decode(&header, in->data);
		if (err) {
			tls_client_close(uplink->client, err,
					 err == -EPROTONOSUPPORT
						 ? "it sends frames of another version"
						 : "what it sends are not xcap's frames");
			return;
		}
		if (in->len < FRAME_HEADER_LEN + header.stored_len)
			break;
		if (!take_frame(uplink, &header, in->data + FRAME_HEADER_LEN))
			return;
		buf_consume(in, FRAME_HEADER_LEN + header.stored_len);
	}
	uplink_pump(uplink);
	tls_client_flush(uplink->client);
}
