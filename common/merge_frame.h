/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Part of the merge: a frame's packets in time order, found without decoding more than that takes.
 * A value without state of its own; belongs to whoever opened it.
 */
#pragma once

#include "common/frame.h"
#include "common/pcapng.h"

struct merge_frame_entry {
	uint64_t time_ns;
	uint32_t offset; /* of the packet's block in the payload */
	uint32_t index;	 /* in the frame's own order */
};

/* Times ascending, and indices where times are equal. */
struct merge_frame {
	const uint8_t *payload; /* borrowed */
	struct pcapng_interface *interfaces;
	struct merge_frame_entry *entries;
	uint32_t interface_count, count, next;
	struct pcapng_statistics *statistics; /* in the frame's order */
	uint32_t statistics_count;
	bool is_damaged;     /* there was more, which is not to be read */
	size_t memory_bytes; /* without the payload */
};

/* packet_count: what the header says. is_good: a frame builder's own, checked by nobody. -ENOMEM.
 */
int merge_frame_open(struct merge_frame *ret, struct pcapng_decoder *decoder,
		     const uint8_t *payload, uint32_t len, uint32_t packet_count,
		     bool is_good) must_check;
void merge_frame_close(struct merge_frame *frame);
/* Go to the first packet that is above (time_ns, index). */
void merge_frame_skip(struct merge_frame *frame, uint64_t time_ns, uint32_t index);

static inline const struct merge_frame_entry *merge_frame_entry(const struct merge_frame *frame)
{
	return &frame->entries[frame->next];
}

/* The entry's packet and its interface; the next one becomes the current. */
const struct pcapng_interface *merge_frame_take(struct merge_frame *frame,
						struct pcapng_packet *packet);
