/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a memory journal: a header that never changes, two slots for the state, and the ring
 * of frames. Internal to memory_journal.c.
 *
 * The state is stored by filling the older slot and then setting its generation: whatever
 * instruction a kill comes at, the slot with the highest generation is whole. What a state refers
 * to in the ring is written before it is stored, and overwritten only after another was.
 *
 * Offsets count the bytes ever written to the ring; offset % ring_bytes is the place. Frames lie
 * there as on the wire, aligned to 16, each in one piece: where one does not fit before the ring's
 * end a skip record fills the rest.
 */
#pragma once

#include <stdatomic.h>

#include "common/losses.h"
#include "common/memory_journal.h"

#define JOURNAL_FRAME_ALIGN 16

struct journal_totals {
	uint64_t frames, bytes, packets, wire_packets;
};

struct journal_lost {
	uint64_t packets, wire_packets, bytes;
};

struct journal_state {
	uint64_t next_sequence;
	uint64_t tail, head;	 /* what is kept */
	uint64_t first_sequence; /* of the frame at tail */
	struct journal_totals committed;
	struct journal_totals passed; /* of those, what the tail has left behind */
	struct journal_lost lost[8];  /* by reason */
	struct {
		uint64_t start;
		uint32_t payload_len;
		uint32_t told; /* by progress: to be kept */
		struct frame_header header;
	} open;
	uint64_t position_count;
	struct journal_position positions[MEMORY_JOURNAL_POSITIONS_MAX];
	struct losses losses;
};

struct journal_map;

struct journal_file {
	struct journal_map *map;
	uint8_t *ring;
	size_t map_len, ring_bytes;
	uint64_t generation, losses_version, slot_losses_version[2];
	char *path;
	int fd;
};

/* Errors as memory_journal_open(). The state is checked against the ring. */
int journal_file_open(struct journal_file *file, struct journal_state *state, struct stream_id *id,
		      const struct memory_journal_config *config) must_check;
/* Also fine on what was never opened beyond zero bytes and fd -1. */
void journal_file_close(struct journal_file *file, bool remove);
void journal_file_store(struct journal_file *file, const struct journal_state *state);
/* state->losses changed: the next store writes them too. */
static inline void journal_file_touch_losses(struct journal_file *file)
{
	file->losses_version++;
}

static inline size_t journal_frame_room(size_t payload_len)
{
	return align_up(FRAME_HEADER_LEN + payload_len, JOURNAL_FRAME_ALIGN);
}
static inline uint8_t *journal_file_at(const struct journal_file *file, uint64_t offset)
{
	return file->ring + offset % file->ring_bytes;
}
/* From offset to the ring's end nothing follows. */
void journal_file_skip(struct journal_file *file, uint64_t offset);
/* The frame at offset, or after the skip record there; false if it is damaged. */
bool journal_file_frame(const struct journal_file *file, uint64_t offset,
			struct memory_journal_frame *ret);
void journal_totals_add(struct journal_totals *totals, const struct memory_journal_frame *frame);
