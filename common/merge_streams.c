/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/merge_streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOT_HEARD UINT64_MAX

void merge_streams_init(struct merge_streams *streams)
{
	*streams = (struct merge_streams){};
	TAILQ_INIT(&streams->silence);
}

void merge_streams_release(struct merge_streams *streams)
{
	for (uint32_t i = 0; i < streams->count; i++)
		free(streams->list[i]);
	free(streams->list);
	free(streams->ranked);
	free(streams->heap);
}

static bool is_slower(const struct merge_stream *a, const struct merge_stream *b)
{
	return a->limit_ns < b->limit_ns || (a->limit_ns == b->limit_ns && a->rank < b->rank);
}

static void heap_put(struct merge_streams *streams, uint32_t at, struct merge_stream *stream)
{
	streams->heap[at] = stream;
	stream->heap_at = at;
}

/* The stream's limit changed, or it is new at this place. */
static void heap_settle(struct merge_streams *streams, struct merge_stream *stream)
{
	uint32_t at = stream->heap_at, child;

	for (; at && is_slower(stream, streams->heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap_put(streams, at, streams->heap[(at - 1) / 2]);
	while ((child = 2 * at + 1) < streams->counting) {
		if (child + 1 < streams->counting &&
		    is_slower(streams->heap[child + 1], streams->heap[child]))
			child++;
		if (!is_slower(streams->heap[child], stream))
			break;
		heap_put(streams, at, streams->heap[child]);
		at = child;
	}
	heap_put(streams, at, stream);
}

static void count_in(struct merge_streams *streams, struct merge_stream *stream, uint64_t limit_ns)
{
	stream->state = MERGE_STREAM_COUNTS;
	stream->limit_ns = limit_ns;
	stream->heard_ns = NOT_HEARD;
	streams->fresh++;
	TAILQ_INSERT_TAIL(&streams->silence, stream, silence);
	stream->heap_at = streams->counting++;
	heap_settle(streams, stream);
}

static void count_out(struct merge_streams *streams, struct merge_stream *stream,
		      enum merge_stream_state state)
{
	struct merge_stream *last = streams->heap[--streams->counting];

	stream->state = state;
	streams->fresh -= stream->heard_ns == NOT_HEARD;
	TAILQ_REMOVE(&streams->silence, stream, silence);
	if (last != stream) {
		last->heap_at = stream->heap_at;
		heap_settle(streams, last);
	}
}

static void heard(struct merge_streams *streams, struct merge_stream *stream, uint64_t now_ns)
{
	streams->fresh -= stream->heard_ns == NOT_HEARD;
	stream->heard_ns = now_ns;
	TAILQ_REMOVE(&streams->silence, stream, silence);
	TAILQ_INSERT_TAIL(&streams->silence, stream, silence);
}

/* Rank of the first stream whose id is not below. */
static uint32_t find_rank(const struct merge_streams *streams, const struct stream_id *id)
{
	uint32_t low = 0, high = streams->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (stream_id_compare(&streams->ranked[middle]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int grow_list(struct merge_stream ***list, uint32_t capacity)
{
	struct merge_stream **grown = realloc(*list, capacity * sizeof(struct merge_stream *));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	return 0;
}

static int grow(struct merge_streams *streams)
{
	uint32_t capacity = MAX(2 * streams->capacity, 16u);

	if (streams->count < streams->capacity)
		return 0;
	if (streams->count >= MERGE_STREAMS_MAX)
		return -EMSGSIZE;
	if (grow_list(&streams->list, capacity) || grow_list(&streams->ranked, capacity) ||
	    grow_list(&streams->heap, capacity))
		return -ENOMEM;
	streams->capacity = capacity;
	return 0;
}

int merge_streams_add(struct merge_streams *streams, const struct stream_id *id, uint64_t left_ns,
		      struct merge_stream **ret)
{
	uint32_t rank = find_rank(streams, id);
	struct merge_stream *stream;
	int err;

	if (rank < streams->count && stream_id_equal(&streams->ranked[rank]->id, id)) {
		*ret = streams->ranked[rank];
		return 0;
	}
	err = grow(streams);
	if (err)
		return err;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	stream->id = *id;
	stream->number = streams->count;
	stream->rank = rank;
	memmove(streams->ranked + rank + 1, streams->ranked + rank,
		(streams->count - rank) * sizeof(struct merge_stream *));
	streams->ranked[rank] = stream;
	streams->list[streams->count++] = stream;
	/* The order among those that were there stays, and with it every heap. */
	for (uint32_t i = rank + 1; i < streams->count; i++)
		streams->ranked[i]->rank = i;
	count_in(streams, stream, left_ns);
	*ret = stream;
	return 0;
}

void merge_streams_hear(struct merge_streams *streams, struct merge_stream *stream,
			uint64_t sequence, uint64_t watermark_ns, uint64_t left_ns, uint64_t now_ns)
{
	bool is_behind;

	stream->watermark_ns = MAX(stream->watermark_ns, watermark_ns);
	if (stream->state == MERGE_STREAM_ENDED && sequence > stream->ended_sequence)
		count_in(streams, stream, left_ns); /* its sender took it up again */
	if (stream->state == MERGE_STREAM_ENDED)
		return;
	is_behind = stream->watermark_ns &&
		    stream->watermark_ns < left_ns - MIN(left_ns, streams->wait_ns);
	if (stream->state == MERGE_STREAM_LEFT_OUT) {
		if (is_behind || !stream->watermark_ns)
			return;
		count_in(streams, stream, stream->watermark_ns);
		streams->left_out--;
		if (streams->changed)
			streams->changed(streams->context, stream->number, false);
	} else if (is_behind) {
		merge_streams_leave_out(streams, stream);
		return;
	}
	heard(streams, stream, now_ns);
	if (stream->watermark_ns && stream->watermark_ns != stream->limit_ns) {
		stream->limit_ns = stream->watermark_ns;
		heap_settle(streams, stream);
	}
}

void merge_streams_end(struct merge_streams *streams, struct merge_stream *stream,
		       uint64_t sequence)
{
	stream->ended_sequence = MAX(stream->ended_sequence, sequence);
	if (stream->state == MERGE_STREAM_COUNTS)
		count_out(streams, stream, MERGE_STREAM_ENDED);
	else if (stream->state == MERGE_STREAM_LEFT_OUT)
		streams->left_out--;
	stream->state = MERGE_STREAM_ENDED;
}

void merge_streams_hush(struct merge_streams *streams, struct merge_stream *stream, uint64_t now_ns)
{
	if (stream->state == MERGE_STREAM_COUNTS)
		heard(streams, stream, now_ns);
}

void merge_streams_leave_out(struct merge_streams *streams, struct merge_stream *stream)
{
	count_out(streams, stream, MERGE_STREAM_LEFT_OUT);
	streams->left_out++;
	streams->times_left_out++;
	if (streams->changed)
		streams->changed(streams->context, stream->number, true);
}

void merge_streams_tick(struct merge_streams *streams, uint64_t now_ns)
{
	struct merge_stream *stream, *next;

	for (stream = TAILQ_FIRST(&streams->silence); stream && streams->fresh; stream = next) {
		next = TAILQ_NEXT(stream, silence);
		if (stream->heard_ns == NOT_HEARD)
			heard(streams, stream, now_ns);
	}
	while ((stream = TAILQ_FIRST(&streams->silence)) && now_ns > stream->heard_ns &&
	       now_ns - stream->heard_ns >= streams->wait_ns)
		merge_streams_leave_out(streams, stream);
}

uint64_t merge_streams_deadline(const struct merge_streams *streams)
{
	const struct merge_stream *stream;

	/* One that is fresh has its whole time before it. */
	TAILQ_FOREACH(stream, &streams->silence, silence)
	if (stream->heard_ns != NOT_HEARD)
		return stream->heard_ns + streams->wait_ns;
	return UINT64_MAX;
}
