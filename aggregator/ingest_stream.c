/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker's streams: what is appended to its journal, and what becomes of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/ingest_internal.h"
#include "common/log.h"

#define FAILURE_LOG_NS (60 * NS_PER_SEC)

void stream_set_changed(struct ingest *ingest, struct stream *stream)
{
	if (stream->changed)
		return;
	stream->changed = true;
	stream->next_changed = ingest->changed;
	ingest->changed = stream;
}

void stream_set_ack_due(struct ingest *ingest, struct stream *stream)
{
	if (stream->ack_due)
		return;
	stream->ack_due = true;
	stream->next_ack = ingest->ack_list;
	ingest->ack_list = stream;
}

void stream_set_refused(struct stream *stream, uint64_t sequence)
{
	if (stream->refused_count == STREAM_REFUSED_MAX)
		stream->refused_overflow = true;
	else
		stream->refused[stream->refused_count++] = sequence;
	stream->info.nacks++;
	/* What MARK said does not hold for a frame that comes again. */
	stream->info.watermark_ns = 0;
}

void stream_set_resume_at(struct stream *stream, uint64_t sequence)
{
	if (!stream->resume_at || sequence < stream->resume_at)
		stream->resume_at = sequence;
}

void stream_set_accepted(struct stream *stream, uint64_t sequence)
{
	for (uint32_t i = 0; i < stream->refused_count;) {
		if (stream->refused[i] == sequence)
			stream->refused[i] = stream->refused[--stream->refused_count];
		else
			i++;
	}
}

static int grow_streams(struct ingest *ingest, uint32_t number)
{
	uint32_t room = MAX(64u, 2 * ingest->stream_room);
	struct stream **streams;

	if (number < ingest->stream_room)
		return 0;
	room = MAX(room, number + 1);
	streams = realloc(ingest->streams, room * sizeof(struct stream *));
	if (!streams)
		return -ENOMEM;
	memset(streams + ingest->stream_room, 0,
	       (room - ingest->stream_room) * sizeof(struct stream *));
	ingest->streams = streams;
	ingest->stream_room = room;
	return 0;
}

int ingest_stream(struct ingest *ingest, const struct stream_id *id, struct stream **ret)
{
	struct stream *stream;
	uint32_t number;
	int err;

	err = journal_stream(ingest->journal, id, &number);
	if (!err)
		err = grow_streams(ingest, number);
	if (err)
		return err;
	if (ingest->streams[number]) {
		*ret = ingest->streams[number];
		return 0;
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	stream->info.id = *id;
	stream->info.number = number;
	/* Frames of an earlier run may be anywhere before. */
	stream->info.position = journal_position(ingest->journal);
	stream->info.durable_sequence = ranges_max(journal_durable(ingest->journal, number));
	err = store_add_stream(ingest->config.store, ingest->config.journal, &stream->info,
			       &stream->place);
	if (err) {
		free(stream);
		return err;
	}
	ingest->streams[number] = stream;
	*ret = stream;
	return 0;
}

static struct pending *pending_at(struct ingest *ingest, uint32_t i)
{
	return &ingest->pending[(ingest->pending_head + i) & (ingest->pending_capacity - 1)];
}

/* Room for one more. */
static int reserve_pending(struct ingest *ingest)
{
	uint32_t capacity = ingest->pending_capacity ? 2 * ingest->pending_capacity : 1024;
	struct pending *list;

	if (ingest->pending_count < ingest->pending_capacity)
		return 0;
	list = malloc(capacity * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < ingest->pending_count; i++)
		list[i] = *pending_at(ingest, i);
	free(ingest->pending);
	ingest->pending = list;
	ingest->pending_head = 0;
	ingest->pending_capacity = capacity;
	return 0;
}

int ingest_append(struct ingest *ingest, struct stream *stream, const struct frame_header *header,
		  const uint8_t *frame, size_t len)
{
	struct pending pending = {
		.stream = stream,
		.sequence = header->sequence,
		.first_ns = header->first_ns,
		.last_ns = header->last_ns,
		.packets = header->packet_count,
		.wire_packets = header->wire_count,
		.len = (uint32_t)len,
	};
	struct message_loss loss;
	int err;

	if (stream->resume_at && header->sequence > stream->resume_at)
		return -ESTALE;
	if (header->type == FRAME_LOSS) {
		err = message_loss_get(&loss, frame + FRAME_HEADER_LEN, header->stored_len);
		if (err || loss.to != header->sequence)
			return err ?: -EBADMSG;
		pending.packets = loss.packets;
		pending.lost = (uint8_t)(1 + MIN(loss.reason, (uint32_t)LOSS_REASON_COUNT));
	}
	err = reserve_pending(ingest);
	if (!err)
		err = journal_append(ingest->journal, stream->info.number, header, frame, len);
	if (err)
		return err;
	stream->resume_at = 0;
	pending.end = journal_position(ingest->journal);
	ingest->pending_count++;
	*pending_at(ingest, ingest->pending_count - 1) = pending;
	stream->info.position = pending.end;
	if (header->watermark_ns > stream->info.latest_watermark_ns) {
		stream->info.latest_watermark_ns = header->watermark_ns;
		ingest->watermarks_changed = true;
	}
	if (header->type == FRAME_BYE)
		stream->info.ended = true;
	stream_set_changed(ingest, stream);
	return 0;
}

void ingest_store_failed(struct ingest *ingest, int err)
{
	uint64_t now = loop_now(ingest->loop);

	if (!ingest->state.failing) {
		ingest->state.failing = true;
		ingest->state_changed = true;
	}
	ingest->failures_since++;
	if (ingest->failure_logged_ns && now - ingest->failure_logged_ns < FAILURE_LOG_NS)
		return;
	log_error(err,
		  "cannot store frames in %s (%" PRIu64 " refused); agents keep them and try again",
		  store_journal_dir(ingest->config.store, ingest->config.journal),
		  ingest->failures_since);
	ingest->failure_logged_ns = now;
	ingest->failures_since = 0;
}

static void log_loss(struct ingest *ingest, const struct pending *pending)
{
	char name[STREAM_NAME_LEN];
	uint64_t suppressed;

	if (!log_budget_take(&ingest->loss_budget, loop_now(ingest->loop), &suppressed))
		return;
	log_warning(0, "stream %s has lost %" PRIu64 " packets on its way here (%s)%s",
		    stream_name(&pending->stream->info.id, name), pending->packets,
		    loss_reason_name(pending->lost - 1u),
		    suppressed ? ", and others have before" : "");
}

static void pending_durable(struct ingest *ingest, const struct pending *pending, uint64_t now_utc)
{
	struct stream *stream = pending->stream;
	struct store_stream *info = &stream->info;

	info->frames++;
	info->bytes += pending->len;
	if (pending->lost) {
		info->lost[pending->lost - 1] += pending->packets;
		log_loss(ingest, pending);
	} else {
		info->packets += pending->packets;
		info->wire_packets += pending->wire_packets;
	}
	if (pending->packets && !pending->lost && !info->id.replay)
		latency_count_frame(&ingest->latency, now_utc, pending->first_ns, pending->last_ns,
				    (uint32_t)pending->packets);
	stream_set_ack_due(ingest, stream);
	stream_set_changed(ingest, stream);
}

static void pending_failed(struct ingest *ingest, const struct pending *pending)
{
	struct stream *stream = pending->stream;

	stream_set_refused(stream, pending->sequence);
	stream_set_resume_at(stream, pending->sequence);
	stream->info.position = journal_position(ingest->journal);
	stream_set_changed(ingest, stream);
	if (stream->connection)
		connection_nack(stream->connection, stream, pending->sequence, NACK_STORE);
}

void ingest_committed(void *context, uint64_t position, int err)
{
	uint64_t now_utc = clock_ns(CLOCK_REALTIME);
	struct ingest *ingest = context;

	if (err) {
		ingest_store_failed(ingest, err);
	} else if (ingest->state.failing) {
		ingest->state.failing = false;
		ingest->failure_logged_ns = 0;
		log_info("storing in %s again",
			 store_journal_dir(ingest->config.store, ingest->config.journal));
	}
	/* A failure takes back everything that is not durable, also what came after the group. */
	while (ingest->pending_count && (err || pending_at(ingest, 0)->end <= position)) {
		struct pending pending = *pending_at(ingest, 0);

		ingest->pending_head = (ingest->pending_head + 1) & (ingest->pending_capacity - 1);
		ingest->pending_count--;
		if (err)
			pending_failed(ingest, &pending);
		else
			pending_durable(ingest, &pending, now_utc);
	}
	ingest->room = true;
	ingest->state_changed = true;
	ingest->wake_due = true;
}
