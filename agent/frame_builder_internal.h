/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What frame_builder.c and frame_builder_interfaces.c share. */
#pragma once

#include "agent/frame_builder.h"

#define INTERFACE_BLOCK_MAX 1024
/* An interface without packets is described for this many frames more. */
#define KEEP_FRAMES 16
/*
 * Totals since the journal was made travel with the positions, so that they survive kill -9
 * together with what they count.
 */
#define TOTAL_SOURCE (1ull << 62)
#define TOTAL_COUNT 3
/* The same of each account; above it is its number. */
#define ACCOUNT_SOURCE (1ull << 62 | 1ull << 61)

struct known_interface {
	const struct source *recorder; /* whose numbering id is of; NULL: ifindex */
	uint32_t id;
	uint16_t generation; /* of the filters that it is described with */
	uint32_t local;	     /* id in the open frame */
	uint64_t frame;	     /* number of the open frame, if it is described there */
	uint64_t last_used;  /* number of the frame that last had a packet of it */
	const uint64_t *drops;
	uint64_t drops_reported;
	_Atomic uint64_t *taken_sum; /* NULL: nobody counts */
	uint32_t account;	     /* 0: it is not kept in the journal */
	uint64_t taken, taken_told;  /* of the account; of them added to the sum */
	struct pcapng_statistics statistics;
	bool has_statistics;	   /* which are in no frame yet that was committed */
	bool has_ended;		   /* forgotten as soon as they are */
	uint64_t statistics_frame; /* number of the open frame, if they are in there */
	size_t block_len;
	uint8_t block[INTERFACE_BLOCK_MAX]; /* its Interface Description Block */
};

struct frame_builder {
	struct memory_journal *journal;
	struct source *const *sources;
	struct journal_position *positions;
	unsigned int source_count;
	struct known_interface *known;
	unsigned int known_count, last_known, account_count;
	uint8_t *payload; /* NULL: no frame is open */
	size_t len, room, batch_bytes;
	struct frame_header header;
	uint64_t frame_number, opened_ns;
	uint64_t newest_ns;  /* latest packet of the stream */
	uint64_t sampled_ns; /* when offset_ns was taken, CLOCK_MONOTONIC */
	int64_t offset_ns;   /* UTC - CLOCK_MONOTONIC */
	uint32_t next_local;
	bool is_replay, step_pending, dirty;
	bool tells_only; /* the open frame describes those whose statistics are due, no others */
	uint64_t totals[TOTAL_COUNT]; /* packets, wire packets, captured bytes */
};

/* How many positions the journal is to keep: the sources', the totals and the accounts. */
unsigned int frame_builder_positions(const struct frame_builder *builder);
/* NULL: it is to be told what that is. source: NULL for an ifindex. */
struct known_interface *known_interface_find(struct frame_builder *builder,
					     const struct source *source, uint32_t id);
/* Statistics in a frame without packets, at most. */
#define STATISTICS_FRAME_MAX 512

static inline bool known_interface_is_recent(const struct frame_builder *builder,
					     const struct known_interface *known)
{
	return known->last_used + KEEP_FRAMES >= builder->frame_number;
}
/* Bytes of its description and of the statistics that wait. */
size_t known_interface_len(const struct known_interface *known);
/* These into the open frame, which has room. */
void known_interface_put(struct frame_builder *builder, struct known_interface *known);
/* The open frame goes out, and the statistics in it. */
void frame_builder_forget_told(struct frame_builder *builder);
