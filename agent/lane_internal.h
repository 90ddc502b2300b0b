/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lane*.c share. On its thread, but for what lane.h offers to others. */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "agent/frame_builder.h"
#include "agent/gather.h"
#include "agent/lane.h"
#include "agent/lane_sources.h"

struct lane {
	struct lane_config config;
	struct lane_stats stats;
	struct loop *loop;
	struct uplink *uplink;
	struct frame_builder *builder;
	struct gather *gather;
	struct lane_sources sources;
	struct loop_timer tick, mark;
	struct loop_event stop_event, sources_event;
	uint64_t ticks;		       /* times that the clock woke the lane */
	uint64_t generation, told;     /* of the interfaces and their numbers: the builder's */
	uint64_t watermark_ns;	       /* everything older was taken */
	_Atomic uint64_t published_ns; /* ... and is committed */
	uint64_t replay_time_ns;       /* latest recorded time seen */
	uint64_t settle_ns;	       /* a packet may show so much after its time */
	uint64_t drained_ns;	       /* when the last one has, once nothing new comes */
	void (*committed)(void *context);
	void *context;
	pthread_t thread;
	sem_t ready; /* the thread has its loop, or start_err; has come to a conclusion on coming */
	int start_err;
	pthread_mutex_t stop_lock; /* the events are there while takes_stop */
	bool takes_stop;
	struct source *coming; /* under stop_lock; NULL: none is */
	int coming_err;
	_Atomic uint64_t stop_deadline_ns;
	_Atomic bool stop_takes_rest;
	bool started, draining, ending, ended, stop_taking, quiet;
	bool waits; /* a recorded packet, for room in the journal */
	int end_err;
};

static inline void lane_put(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline void lane_add(_Atomic uint64_t *counter, uint64_t value)
{
	/* One writer: no locked instruction is needed. */
	lane_put(counter, atomic_load_explicit(counter, memory_order_relaxed) + value);
}

void lane_publish_totals(struct lane *lane);
void lane_publish_stats(struct lane *lane);

/* Tells the builder what the interface of a packet is. */
enum frame_builder_result lane_interfaces_describe(struct lane *lane, const struct source *source,
						   uint32_t id, uint16_t generation);
/*
 * What changed of the interfaces since the last pass: who they are, and their numbers for the
 * frames to come. True: of one that is gone there are its last, which no packet will bring into a
 * frame.
 */
bool lane_interfaces_review(struct lane *lane);
/* At the end: numbers that recordings brought with them. True: for a frame, and there may be more.
 */
bool lane_interfaces_tell_recorded(struct lane *lane);
/* Then: the numbers of all, with what the lanes have counted up to now. */
void lane_interfaces_tell_last(struct lane *lane);
/* A source's losses since the last time are its interface's. */
void lane_interfaces_add_lost(struct lane *lane, struct lane_slot *slot,
			      const struct source_stats *now);
/* What earlier daemons took of the interfaces, by the lane's journal. */
void lane_interfaces_take_up(struct lane *lane);

/* Of lane_change.c. Where an earlier lane stopped taking from it. */
int lane_start_source(struct lane *lane, struct source *source) must_check;
/* sources_event; between passes: nothing is peeked at. */
void lane_sources_signalled(struct loop_event *event);
/* After a pass: those that are to leave and are empty. */
void lane_let_go(struct lane *lane);
/* From here on the thread takes no call. */
void lane_take_no_more(struct lane *lane);
