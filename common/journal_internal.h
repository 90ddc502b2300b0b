/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the writer of a journal: journal.c takes records in, journal_pipeline.c brings them to
 * the disk. Belongs to the thread that runs the loop.
 */
#pragma once

#include "common/journal.h"
#include "common/segment_file.h"
#include "common/stream_table.h"

/* The segment that is written to, or the one that will be after it. */
struct active {
	struct segment_seal seal; /* counts what was appended */
	struct buf head; /* header and STREAMS, until written; what follows comes from the ring */
	uint64_t head_len;
	uint64_t bytes; /* where it is full */
	uint64_t end;	/* position of its end once it is sealed, 0 before */
	char name[SEGMENT_NAME_LEN];
	int fd;	       /* -1: has none yet */
	bool is_ready; /* has its name, durably */
};

/* A frame that is appended and not durable. */
struct pending_frame {
	uint32_t stream;
	struct range range;
	uint64_t end; /* position */
};

/* A file is made under a name of its own, and later gets that of the segment. */
enum create_step { CREATE_OPEN, CREATE_ALLOCATE, CREATE_RENAME, CREATE_SYNC_DIR };

#define JOURNAL_SPARE_NAME "spare"

/*
 * Bytes go through three positions, each at the end of a record: appended (to the ring), written
 * (to the file), durable (fdatasync). At most one write, one fdatasync and one step of creating a
 * segment are in flight. Nothing is written to a segment before the one in front of it is durable
 * to its end: its head says what is durable.
 *
 * The file of the next segment is allocated when half of the current one is written (spare_fd):
 * that can take as long as many a group.
 *
 * An error abandons what is not durable and makes the journal fail every append until an attempt
 * to begin a segment (the probe: its head alone, all the way to fdatasync) has succeeded.
 */
struct journal {
	struct loop *loop;
	struct journal_config config;
	int dir_fd, lock_fd;
	struct stream_table streams;
	struct active current, next;
	bool has_current, has_next;

	uint8_t *ring;
	size_t ring_size;
	uint64_t ring_in, ring_out; /* bytes ever put in and taken out */
	struct buf scratch;

	struct journal_stats stats; /* appended and durable are the two outer positions */
	uint64_t written;
	uint64_t kicked;     /* to be written */
	uint64_t write_at;   /* how far the write to write_goal has come */
	uint64_t write_goal; /* becomes written */
	uint64_t sync_goal;  /* becomes durable */
	uint64_t sync_started_ns;
	uint64_t group_ns; /* when the last write began */
	struct loop_timer group_timer;

	struct pending_frame *pending; /* ring; capacity is a power of two */
	size_t pending_first, pending_count, pending_capacity;

	struct loop_op create_op, write_op, sync_op;
	enum create_step create_step;
	bool is_creating, is_writing, is_syncing;
	int spare_fd;  /* -1: none */
	int spare_err; /* why there is none; matters when it is needed */
	struct iovec iov[3];

	int failure;   /* to be dealt with as soon as nothing is in flight */
	int failing;   /* until a probe succeeds */
	int flush_err; /* what the last failure was, for journal_flush() */
	bool is_probing;
	uint64_t probe_ns; /* next one not before */
};

static inline uint64_t journal_offset(const struct active *active, uint64_t position)
{
	return position - active->seal.segment.first;
}

static inline bool journal_in_flight(const struct journal *journal)
{
	return journal->is_creating || journal->is_writing || journal->is_syncing;
}

void journal_pipeline_init(struct journal *journal);
void journal_pipeline_release(struct journal *journal);
/* Starts whatever can be started. */
void journal_pump(struct journal *journal);
/* While failing: tries whether the store works again, but not too often. */
void journal_probe(struct journal *journal);
void journal_active_release(struct active *active);
/* Seals the segment appended to, if there is one, and begins another. The ring has room. */
int journal_begin_segment(struct journal *journal) must_check;
