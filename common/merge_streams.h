/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Part of the merge: its streams, and up to which time those that count let packets leave. Belongs
 * to the merge.
 *
 * A stream counts from the moment it joins, with the time up to which packets had left then; its
 * first watermark takes that one's place. It no longer counts after BYE, and is left out while it
 * says nothing for wait_ns or is more than wait_ns behind what has left; it counts again as soon
 * as neither is so.
 */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "common/stream.h"

#define MERGE_STREAMS_MAX (1u << 18)

enum merge_stream_state { MERGE_STREAM_COUNTS, MERGE_STREAM_LEFT_OUT, MERGE_STREAM_ENDED };

struct merge_stream {
	struct stream_id id;
	uint32_t number;
	uint32_t rank; /* place in the order of all ids; moves when streams are added */
	enum merge_stream_state state;
	uint64_t watermark_ns;	 /* highest seen; 0: none */
	uint64_t limit_ns;	 /* while it counts: nothing older is waited for */
	uint64_t heard_ns;	 /* while it counts; UINT64_MAX: not before the next tick */
	uint64_t ended_sequence; /* of BYE */
	uint32_t heap_at;
	TAILQ_ENTRY(merge_stream) silence;
};

TAILQ_HEAD(merge_stream_list, merge_stream);

struct merge_streams {
	uint64_t wait_ns;
	struct merge_stream **list;   /* by number */
	struct merge_stream **ranked; /* by rank */
	struct merge_stream **heap;   /* those that count; the one with the lowest limit first */
	uint32_t count, capacity, counting;
	struct merge_stream_list silence; /* those that count, the longest silent one first */
	uint32_t fresh;			  /* of them not heard since before the last tick */
	uint64_t left_out, times_left_out;
	void (*changed)(void *context, uint32_t stream, bool is_left_out); /* may be NULL */
	void *context;
};

void merge_streams_init(struct merge_streams *streams);
void merge_streams_release(struct merge_streams *streams);
/* left_ns: up to where packets have left. -EMSGSIZE: MERGE_STREAMS_MAX. */
int merge_streams_add(struct merge_streams *streams, const struct stream_id *id, uint64_t left_ns,
		      struct merge_stream **ret) must_check;
/* It spoke; watermark_ns and sequence 0: said nothing of these. */
void merge_streams_hear(struct merge_streams *streams, struct merge_stream *stream,
			uint64_t sequence, uint64_t watermark_ns, uint64_t left_ns,
			uint64_t now_ns);
void merge_streams_end(struct merge_streams *streams, struct merge_stream *stream,
		       uint64_t sequence);
/* Its silence begins now. */
void merge_streams_hush(struct merge_streams *streams, struct merge_stream *stream,
			uint64_t now_ns);
void merge_streams_leave_out(struct merge_streams *streams, struct merge_stream *stream);
/* Leaves out who has been silent for too long. */
void merge_streams_tick(struct merge_streams *streams, uint64_t now_ns);
/* When the next tick leaves somebody out, if nobody speaks; UINT64_MAX: never. */
uint64_t merge_streams_deadline(const struct merge_streams *streams);

/* The one with the lowest (limit, rank) among those that count, or NULL. */
static inline struct merge_stream *merge_streams_slowest(const struct merge_streams *streams)
{
	return streams->counting ? streams->heap[0] : NULL;
}
