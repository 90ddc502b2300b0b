/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/merge.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/merge_queue.h"
#include "common/merge_streams.h"

#define WAIT_DEFAULT_NS (10 * NS_PER_SEC)
#define MEMORY_DEFAULT (256 * MIB)

struct merge {
	struct merge_config config;
	struct merge_stats stats;
	struct merge_streams streams;
	struct merge_queue queue;
	uint64_t left_ns; /* up to here everything has left */
	bool finished;
	/* The highest key that has left; the stream is NULL if there is none. */
	struct {
		uint64_t time_ns, sequence;
		uint32_t index;
		const struct stream_id *stream; /* one of the merge's, or resumed_stream */
	} last;
	struct stream_id resumed_stream;
};

static void count_streams(struct merge *merge)
{
	merge->stats.streams = merge->streams.count;
	merge->stats.streams_left_out = merge->streams.left_out;
	merge->stats.times_left_out = merge->streams.times_left_out;
}

static void stream_changed(void *context, uint32_t stream, bool is_left_out)
{
	struct merge *merge = context;

	count_streams(merge);
	if (merge->config.ops && merge->config.ops->left_out)
		merge->config.ops->left_out(merge->config.context, stream, is_left_out);
}

int merge_create(struct merge **ret, const struct merge_config *config)
{
	struct merge *merge = calloc(1, sizeof(*merge));
	int err;

	if (!merge)
		return -ENOMEM;
	merge->config = *config;
	if (!config->memory_bytes)
		merge->config.memory_bytes = MEMORY_DEFAULT;
	merge_streams_init(&merge->streams);
	merge->streams.wait_ns = config->merge_wait_ns ?: WAIT_DEFAULT_NS;
	merge->streams.changed = stream_changed;
	merge->streams.context = merge;
	err = merge_queue_init(&merge->queue, &merge->config, &merge->stats);
	if (err) {
		merge_destroy(merge);
		return err;
	}
	*ret = merge;
	return 0;
}

void merge_destroy(struct merge *merge)
{
	if (!merge)
		return;
	merge_queue_release(&merge->queue);
	merge_streams_release(&merge->streams);
	free(merge);
}

void merge_on_statistics(struct merge *merge, merge_statistics_fn *told, void *context)
{
	merge->queue.on_statistics = told;
	merge->queue.statistics_context = context;
}

int merge_stream(struct merge *merge, const struct stream_id *id, uint32_t *ret)
{
	struct merge_stream *stream;
	int err;

	if (id->replay != merge->config.replay)
		return -EXDEV;
	err = merge_streams_add(&merge->streams, id, merge->left_ns, &stream);
	if (err)
		return err;
	count_streams(merge);
	*ret = stream->number;
	return 0;
}

/* What a merge before this one gave out. */
static void set_last(struct merge *merge, const struct merge_key *key)
{
	if (merge->last.stream && key->time_ns <= merge->last.time_ns)
		return;
	merge->resumed_stream = key->stream;
	merge->last.stream = &merge->resumed_stream;
	merge->last.time_ns = key->time_ns;
	merge->last.sequence = key->sequence;
	merge->last.index = key->index;
	merge->left_ns = MAX(merge->left_ns, key->time_ns);
}

int merge_frame(struct merge *merge, uint32_t stream, uint32_t journal, uint64_t position,
		const struct frame_header *header, const uint8_t *frame, size_t len,
		uint64_t now_ns, const struct merge_key *read_on)
{
	uint64_t sequence = frame_type_is_sequenced(header->type) ? header->sequence : 0;
	struct merge_stream *from, *slowest;
	int err = 0;

	assert(stream < merge->streams.count);
	from = merge->streams.list[stream];
	if (read_on)
		set_last(merge, read_on);
	if (header->type == FRAME_BYE) {
		merge_streams_end(&merge->streams, from, sequence);
		count_streams(merge);
		return 0;
	}
	if (header->type == FRAME_PACKETS) {
		/* Compressed frames are not for this build. */
		if (header->flags & (FRAME_F_ZSTD | FRAME_F_LZ4) ||
		    header->stored_len > FRAME_PAYLOAD_MAX ||
		    (frame && len != FRAME_HEADER_LEN + (size_t)header->stored_len)) {
			merge->stats.damaged_frames++;
			merge->stats.damaged_packets += header->packet_count;
		} else {
			err = merge_queue_add(&merge->queue, from, journal, position, header, frame,
					      read_on);
		}
	}
	if (err)
		return err;
	merge_streams_hear(&merge->streams, from, sequence, header->watermark_ns, merge->left_ns,
			   now_ns);
	slowest = merge_streams_slowest(&merge->streams);
	if (merge->queue.count >= MERGE_FRAMES_MAX && slowest)
		merge_streams_leave_out(&merge->streams, slowest);
	return 0;
}

void merge_watermark(struct merge *merge, uint32_t stream, uint64_t watermark_ns, uint64_t now_ns)
{
	assert(stream < merge->streams.count);
	merge_streams_hear(&merge->streams, merge->streams.list[stream], 0, watermark_ns,
			   merge->left_ns, now_ns);
}

void merge_stream_away(struct merge *merge, uint32_t stream, uint64_t now_ns)
{
	assert(stream < merge->streams.count);
	merge_streams_hush(&merge->streams, merge->streams.list[stream], now_ns);
}

void merge_finish(struct merge *merge)
{
	merge->finished = true;
}

static bool is_late(const struct merge *merge, const struct merge_queue_item *item)
{
	const struct merge_queue_frame *frame = item->frame;
	uint32_t index;
	int order;

	if (!merge->last.stream || item->time_ns > merge->last.time_ns)
		return false;
	if (item->time_ns < merge->last.time_ns)
		return true;
	order = stream_id_compare(&frame->stream->id, merge->last.stream);
	if (order)
		return order < 0;
	index = frame->open ? merge_frame_entry(frame->open)->index : 0;
	return frame->sequence < merge->last.sequence ||
	       (frame->sequence == merge->last.sequence && index <= merge->last.index);
}

static bool may_leave(const struct merge *merge, const struct merge_queue_item *item)
{
	const struct merge_stream *slowest = merge_streams_slowest(&merge->streams);

	if (merge->finished || !slowest || item->time_ns < slowest->limit_ns)
		return true;
	return item->time_ns == slowest->limit_ns && item->frame->stream->rank <= slowest->rank;
}

static void take(struct merge *merge, const struct merge_queue_frame *frame, bool late,
		 struct merge_packet *ret)
{
	const struct merge_frame_entry entry = *merge_frame_entry(frame->open);

	ret->key.time_ns = entry.time_ns;
	ret->key.stream = frame->stream->id;
	ret->key.sequence = frame->sequence;
	ret->key.index = entry.index;
	ret->is_late = late;
	ret->block = frame->open->payload + entry.offset;
	ret->interface = merge_queue_take(&merge->queue, &ret->packet);
	merge->stats.packets++;
	if (late) {
		merge->stats.late_packets++;
		return;
	}
	merge->last.stream = &frame->stream->id;
	merge->last.time_ns = entry.time_ns;
	merge->last.sequence = frame->sequence;
	merge->last.index = entry.index;
	merge->left_ns = MAX(merge->left_ns, entry.time_ns);
}

int merge_next(struct merge *merge, uint64_t now_ns, struct merge_packet *ret)
{
	const struct merge_queue_item *top;
	const struct merge_stream *slowest;
	bool late;
	int n;

	merge_queue_forget(&merge->queue);
	merge_streams_tick(&merge->streams, now_ns);
	while ((top = merge_queue_top(&merge->queue))) {
		late = is_late(merge, top);
		if (!late && !may_leave(merge, top))
			break;
		if (top->frame->open) {
			take(merge, top->frame, late, ret);
			return 1;
		}
		n = merge_queue_open_top(&merge->queue);
		if (n < 0)
			return n;
	}
	slowest = merge_streams_slowest(&merge->streams);
	if (slowest)
		merge->left_ns = MAX(merge->left_ns, slowest->limit_ns);
	merge->stats.watermark_ns = merge->left_ns;
	return 0;
}

uint64_t merge_deadline(const struct merge *merge)
{
	if (!merge->queue.count || merge->finished)
		return UINT64_MAX;
	/* One that was not heard yet: merge_next() has to see the clock first. */
	return merge->streams.fresh ? 0 : merge_streams_deadline(&merge->streams);
}

uint64_t merge_low_position(const struct merge *merge, uint32_t journal, uint64_t end)
{
	return merge_queue_low_position(&merge->queue, journal, end);
}

const struct merge_stats *merge_stats(const struct merge *merge)
{
	return &merge->stats;
}
