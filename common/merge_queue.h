/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Part of the merge: the frames with packets that have not left, in the order of their next
 * packets, and as bytes as far as memory allows. Belongs to the merge.
 */
#pragma once

#include <sys/queue.h>

#include "common/merge.h"
#include "common/merge_frame.h"
#include "common/merge_streams.h"

struct merge_queue_journal;

struct merge_queue_frame {
	struct merge_stream *stream;
	struct merge_queue_journal *journal;
	uint64_t position, sequence;
	uint64_t first_ns; /* by its header */
	uint64_t skip_ns;  /* packets up to here and skip_index have left, if skips */
	uint32_t skip_index;
	uint32_t len, crc;     /* of the payload */
	uint32_t packet_count; /* by its header */
	uint32_t given;	       /* packets that had left when the bytes were dropped */
	bool skips, was_opened;
	const uint8_t *payload;	  /* NULL: to be loaded; ours unless the merge borrows */
	struct merge_frame *open; /* NULL: not decoded yet, or no longer */
	TAILQ_ENTRY(merge_queue_frame) of_journal;
	TAILQ_ENTRY(merge_queue_frame) of_memory; /* while there is a payload */
};

TAILQ_HEAD(merge_queue_list, merge_queue_frame);

/*
 * All frames are in one heap by the key of their next packet. A frame that is not open has its
 * header's first time instead, which is not above it; it is opened when it gets to the top, so that
 * only frames which overlap in time are open together.
 */
struct merge_queue_item {
	uint64_t time_ns;
	struct merge_queue_frame *frame;
};

struct merge_queue {
	const struct merge_config *config;
	struct merge_stats *stats;
	struct merge_queue_item *heap;
	uint32_t count, capacity;
	struct merge_queue_journal **journals;
	uint32_t journal_count;
	/* Frames with bytes in memory, in the order they came; those that are open. */
	struct merge_queue_list held, open;
	struct merge_queue_frame *current;  /* the last packet taken was its last one */
	merge_statistics_fn *on_statistics; /* may be NULL */
	void *statistics_context;
	struct pcapng_decoder *decoder;
	uint8_t *scratch; /* what is loaded arrives here */
};

/* config and stats have to outlive the queue. */
int merge_queue_init(struct merge_queue *queue, const struct merge_config *config,
		     struct merge_stats *stats) must_check;
void merge_queue_release(struct merge_queue *queue);
/* The arguments of merge_frame(). -ENOMEM. */
int merge_queue_add(struct merge_queue *queue, struct merge_stream *stream, uint32_t journal,
		    uint64_t position, const struct frame_header *header, const uint8_t *frame,
		    const struct merge_key *read_on) must_check;
/* 1: the top frame is open now; 0: it is gone, for no packet of it is left; -ENOMEM. */
int merge_queue_open_top(struct merge_queue *queue) must_check;
/* The next packet of the top frame, which is open. It stays until merge_queue_forget(). */
const struct pcapng_interface *merge_queue_take(struct merge_queue *queue,
						struct pcapng_packet *packet);
void merge_queue_forget(struct merge_queue *queue);
uint64_t merge_queue_low_position(const struct merge_queue *queue, uint32_t journal, uint64_t end);

/* NULL: there is none. */
static inline const struct merge_queue_item *merge_queue_top(const struct merge_queue *queue)
{
	return queue->count ? &queue->heap[0] : NULL;
}
