/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds PACKETS frames in a lane's journal: interface descriptions first, then packets. It does
 * the arithmetic of time: live packets come with CLOCK_MONOTONIC and leave with UTC, by an offset
 * that changes only between frames. No I/O; belongs to the lane's thread.
 */
#pragma once

#include <stdatomic.h>

#include "agent/source.h"
#include "common/memory_journal.h"

struct frame_builder;

enum frame_builder_result {
	FRAME_BUILDER_DONE,
	FRAME_BUILDER_LATE,	 /* done, but older than a packet before it */
	FRAME_BUILDER_INTERFACE, /* tell what the interface is, by frame_builder_interface() */
	FRAME_BUILDER_CLOSE,	 /* commit the frame and try again */
	FRAME_BUILDER_AGAIN,	 /* try again */
	FRAME_BUILDER_DROPPED,	 /* counted in the journal: it is full, or the packet too large */
	FRAME_BUILDER_WAIT,	 /* the journal is full, and a recording can wait until it is not */
};

/* Borrows the array, of which there may be LANE_SOURCES_MAX later. */
int frame_builder_create(struct frame_builder **ret, struct memory_journal *journal,
			 struct source *const *sources, unsigned int source_count,
			 size_t batch_bytes) must_check;
void frame_builder_destroy(struct frame_builder *builder);
/*
 * There are other sources in the array now. -ENOSPC: the journal has no room for the positions of
 * so many; fewer always fit.
 */
int frame_builder_set_count(struct frame_builder *builder, unsigned int source_count) must_check;

enum frame_builder_result frame_builder_append(struct frame_builder *builder,
					       const struct source *source,
					       const struct source_packet *packet);
/* What is known of an interface; all may be NULL or 0. */
struct frame_builder_interface {
	const struct pcapng_interface *description; /* copied */
	const uint64_t *drops; /* lost on it so far, read with relaxed order for epb_dropcount */
	/*
	 * Packets taken of it are added here, and kept in the journal under this number: see
	 * frame_builder_taken().
	 */
	_Atomic uint64_t *taken;
	uint32_t account;
	uint16_t generation; /* of the filters that description names */
};
/* What it is, or what it is from here on, as other filters judge its packets. */
enum frame_builder_result frame_builder_interface(struct frame_builder *builder,
						  const struct source *source, uint32_t id,
						  const struct frame_builder_interface *interface);
/*
 * What interfaces are has changed: describe() is asked again about those that packets name by their
 * ifindex. False from it: no packet of this one will come. It is forgotten, once its statistics
 * have been told: see frame_builder_waits_to_forget().
 */
void frame_builder_review(struct frame_builder *builder,
			  bool (*describe)(void *context, uint32_t id, uint16_t generation,
					   struct frame_builder_interface *ret),
			  void *context);
/* What a journal has of an account, from earlier daemons too; 0 if there is none. */
uint64_t frame_builder_taken(const struct memory_journal *journal, uint32_t account);
/*
 * The numbers of an interface (statistics->interface does not matter), for the next frame that
 * describes it. False: tell what it is first, by frame_builder_interface().
 */
bool frame_builder_statistics(struct frame_builder *builder, const struct source *source,
			      uint32_t id, const struct pcapng_statistics *statistics);
/* There are statistics of interfaces that no packet will come of. */
bool frame_builder_waits_to_forget(const struct frame_builder *builder);
/* A frame without packets for the numbers that wait; none is open. 1: made, 0: none wait,
 * -ENOBUFS: the journal is full. */
int frame_builder_put_statistics(struct frame_builder *builder, uint64_t watermark_ns) must_check;
/* Everything appended and every source's position survive the process from here on. */
void frame_builder_progress(struct frame_builder *builder);
/* True if there was a frame with packets. */
bool frame_builder_commit(struct frame_builder *builder, uint64_t watermark_ns);
bool frame_builder_is_open(const struct frame_builder *builder);
/* Taken since the journal was made, also by daemons before this one; bytes as captured. */
void frame_builder_totals(const struct frame_builder *builder, uint64_t *packets,
			  uint64_t *wire_packets, uint64_t *bytes);
/* Packets in the frame being built. */
uint64_t frame_builder_open_packets(const struct frame_builder *builder);
/* CLOCK_MONOTONIC of the open frame's first packet's arrival here. */
uint64_t frame_builder_opened_ns(const struct frame_builder *builder);
/* UTC of a CLOCK_MONOTONIC time, by the offset in force. */
uint64_t frame_builder_utc(struct frame_builder *builder, uint64_t monotonic_ns);
