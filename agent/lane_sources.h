/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sources of a lane: those that it was made with, and those that come and go while it runs.
 * Belongs to the lane's thread, but for what is marked.
 *
 * One that is to go (source->is_leaving) goes when it is empty: it is no longer looked at, and
 * once nothing of it is in flight its owner finds it released (source->is_released).
 */
#pragma once

#include "agent/source.h"

/* Its source's place, which does not move: the kernel has the op. */
struct lane_slot {
	struct loop_op poll;
	struct lane_sources *sources;
	struct source *source;	  /* NULL: free */
	struct source_stats told; /* of it, to those who count for its interface */
	bool armed, is_out;
};

struct lane_sources {
	struct source *list[LANE_SOURCES_MAX]; /* that are looked at */
	unsigned int count;
	struct lane_slot slots[LANE_SOURCES_MAX];
	unsigned int slot_count; /* that were ever used */
	unsigned int polls_armed, leaving_count;
	uint64_t wakeups;
	struct source_stats gone; /* sums of those released */
};

void lane_sources_init(struct lane_sources *sources);
/* Destroys them. */
void lane_sources_release(struct lane_sources *sources);
/* The lane's from here on. -ENOSPC: there are LANE_SOURCES_MAX. */
int lane_sources_add(struct lane_sources *sources, struct source *source) must_check;
/* Some may be leaving: how many? */
unsigned int lane_sources_count_leaving(struct lane_sources *sources);
/* After a pass, while some are leaving. True if the list is another, or one was released. */
bool lane_sources_let_go(struct lane_sources *sources, struct loop *loop);
/* Wake the loop when there is something in one. */
void lane_sources_arm(struct lane_sources *sources, struct loop *loop);
bool lane_sources_at_end(const struct lane_sources *sources);
/* Nothing of any is in flight when it returns. */
void lane_sources_stop(struct lane_sources *sources, struct loop *loop);
