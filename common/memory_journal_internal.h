/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the writer's and the readers' half of a memory journal share. */
#pragma once

#include <pthread.h>

#include "common/memory_journal_file.h"

#define READER_HELD 1ull

struct shared_totals {
	_Atomic uint64_t frames, bytes, packets, wire_packets;
};

struct memory_journal_reader {
	struct memory_journal *journal;
	/*
	 * Twice the offset up to which everything is released, plus READER_HELD while the frames
	 * from there on must stay. The reader moves it; without READER_HELD the writer may move it
	 * too, past frames that it drops.
	 */
	_Atomic uint64_t place;
	struct shared_totals released; /* or dropped */
	uint64_t walk;		       /* where next() goes on */
	uint64_t given;		       /* shipper: end of the last frame that next() ever gave */
	bool ships;
	_Atomic bool overran;
	pthread_mutex_t lock; /* overrun */
	struct message_loss overrun;
};

struct memory_journal {
	struct journal_file file;
	struct journal_state state; /* the writer's; what the file holds is the last one stored */
	struct journal_lost staged[LOSS_REASON_COUNT]; /* joins the state with the next positions */
	struct stream_id id;
	enum memory_journal_when_full when_full;
	_Atomic uint64_t head; /* state.head for readers, once it is stored */
	struct memory_journal_reader *readers[MEMORY_JOURNAL_READERS_MAX];
	struct memory_journal_reader *shipper;
	uint64_t open_start, open_end; /* room of the frame being built */
	bool is_open;
	/* For memory_journal_stats() on any thread. */
	struct shared_totals committed, passed, uncertain;
	struct {
		_Atomic uint64_t packets, wire_packets, bytes;
	} lost[LOSS_REASON_COUNT];
};

static inline void journal_put(_Atomic uint64_t *value, uint64_t to)
{
	atomic_store_explicit(value, to, memory_order_relaxed);
}

static inline void journal_put_totals(struct shared_totals *shared,
				      const struct journal_totals *totals)
{
	journal_put(&shared->frames, totals->frames);
	journal_put(&shared->bytes, totals->bytes);
	journal_put(&shared->packets, totals->packets);
	journal_put(&shared->wire_packets, totals->wire_packets);
}

static inline void journal_count(struct journal_lost *lost, uint64_t packets, uint64_t wire_packets,
				 uint64_t bytes)
{
	lost->packets += packets;
	lost->wire_packets += wire_packets;
	lost->bytes += bytes;
}

static inline void journal_count_frame(struct journal_lost *lost,
				       const struct memory_journal_frame *frame)
{
	journal_count(lost, frame->header.packet_count, frame->header.wire_count,
		      frame->header.raw_len);
}

/* Of memory_journal.c */
void journal_store(struct memory_journal *journal);
/* The tail follows the slowest reader; true if it moved. */
bool journal_follow_readers(struct memory_journal *journal);

/* Of memory_journal_reader.c */
/* Takes the frame from a reader that has not released it; false if the reader holds it. */
bool journal_reader_overrun(struct memory_journal_reader *reader,
			    const struct memory_journal_frame *frame);
