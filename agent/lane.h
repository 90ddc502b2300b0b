/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread: takes packets from its sources in time order, builds frames in its journal, and runs
 * the uplink. Everything but create, destroy and the calls marked "any thread" happens on that
 * thread. Lanes share nothing with each other.
 */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "agent/interface_table.h"
#include "agent/source.h"
#include "common/addr.h"
#include "common/memory_journal.h"
#include "common/tls.h"
#include "common/uplink.h"

struct lane;

/* Shared by all lanes of the agent. */
struct lane_shared {
	struct interface_table *interfaces; /* by ifindex; NULL if there is only what is read */
	uint64_t count_max;		    /* packets to capture; 0: no limit */
	_Atomic uint64_t count;		    /* captured */
	_Atomic uint64_t stamp_age_ns;	    /* how old a packet's time may be when it comes */
	struct loop_event *state_changed;   /* a lane ended, or count_max is reached */
};

struct lane_config {
	unsigned int number;
	cpu_set_t cpus;		 /* to run on; empty: anywhere */
	struct source **sources; /* the lane's from here on; the array is copied */
	unsigned int source_count;
	bool only_ships;		 /* what is in the journal: no source will come */
	struct memory_journal *journal;	 /* the lane's from here on */
	const struct addr_list *servers; /* NULL: no uplink */
	struct tls_context *tls;
	uint64_t reconnect_max_ns;
	uint64_t batch_bytes, batch_timeout_ns;
	bool has_writer; /* a file writer reads the journal, on its own thread */
	struct lane_shared *shared;
};

enum lane_state { LANE_RUNNING, LANE_DRAINING, LANE_ENDED };

/* Written by the lane, read by others with relaxed loads. */
struct lane_stats {
	/* Taken since the journal was made, also by daemons before this one; bytes as captured. */
	_Atomic uint64_t packets, wire_packets, bytes;
	_Atomic uint64_t filtered; /* read, and not taken; by this daemon */
	_Atomic uint64_t frames, late_packets, passes, wakeups;
	_Atomic uint64_t taken_ns;     /* CLOCK_MONOTONIC: every packet older than this was taken */
	_Atomic uint64_t open_packets; /* in the frame being built */
	_Atomic uint64_t journal_frames, journal_packets, journal_wire_packets, journal_bytes;
	_Atomic uint64_t lost_packets[LOSS_REASON_COUNT], lost_wire_packets[LOSS_REASON_COUNT];
	_Atomic uint64_t fill_ring_empty, rx_ring_full, rx_dropped, lost_redirected, pending_bytes;
	_Atomic uint64_t frames_acked, frames_sent, connects, uplink_state, rtt_ns, send_calls;
	_Atomic int state; /* enum lane_state */
	_Atomic int err;   /* why it ended: 0, -ETIMEDOUT (the rest was given up), ... */
};

int lane_create(struct lane **ret, const struct lane_config *config) must_check;
/* Starts the thread; signals must be blocked before. */
int lane_start(struct lane *lane) must_check;
/*
 * Any thread. Take what the sources still hold, ship it, say BYE, give up after deadline_ns. The
 * programs are detached before, so that sources run dry. Without taking: -c COUNT is reached.
 */
void lane_stop(struct lane *lane, bool take_rest, uint64_t deadline_ns);
/*
 * Control, of a lane that was started: takes packets from this source, too, when it returns 0. It
 * is the lane's until it is released. -ENOSPC: it has LANE_SOURCES_MAX; -ESHUTDOWN: it is about to
 * end.
 */
int lane_add_source(struct lane *lane, struct source *source) must_check;
/*
 * Control: the source gets no more packets. Once those that it has were taken it is released
 * (source->is_released), shared->state_changed is signalled, and it is the caller's to destroy. Of
 * a lane that ends before it remains the lane's.
 */
void lane_remove_source(struct lane *lane, struct source *source);
/* Waits for the thread's end. */
void lane_join(struct lane *lane);
/* Also fine for a lane that never started. Removes the journal if it ended with nothing left. */
void lane_destroy(struct lane *lane);

/* Any thread. */
const struct lane_stats *lane_stats(const struct lane *lane);
struct memory_journal *lane_journal(const struct lane *lane);
/* Nothing older will be committed after what is in the journal now; for the file writer. */
uint64_t lane_watermark(const struct lane *lane);
/* Called by the lane when it committed a frame; set before it starts. */
void lane_on_commit(struct lane *lane, void (*committed)(void *context), void *context);
/* Why a replayed input ended; "" if it did not fail. After join. */
const char *lane_source_error(const struct lane *lane);
