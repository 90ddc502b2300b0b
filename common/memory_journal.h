/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's journal of one lane: a bounded ring of frames in a shared mapping of a file (tmpfs,
 * under the run directory), so that nothing framed dies with the process. The frame being built
 * lies in the ring too: what memory_journal_progress() told is found again after kill -9.
 *
 * One writer, the lane's thread. Readers (the uplink, a file writer) each have a cursor; one may
 * run on another thread. A frame's bytes stay put until every reader has released them.
 *
 * Stream identity (instance) and sequence numbers live in the file: a daemon that opens it again
 * continues the stream. Positions are what the sources had been read up to; their meaning is the
 * lane's.
 */
#pragma once

#include "common/frame.h"
#include "common/message.h"
#include "common/stream.h"

#define MEMORY_JOURNAL_POSITIONS_MAX 512 /* rings and queues of one lane */

struct memory_journal;
struct memory_journal_reader;

enum memory_journal_when_full { WHEN_FULL_DROP_OLDEST, WHEN_FULL_DROP_NEWEST };

struct memory_journal_config {
	const char *path;  /* created with mode 0600 if it is not there */
	const char *agent; /* id of the stream; a file of another id is refused with -ESTALE */
	uint32_t lane;
	bool replay;
	size_t size_bytes; /* of a new file; one that is there keeps its size */
	enum memory_journal_when_full when_full;
};

/* Position of a source: an id that the lane chooses (unique in the journal) and its value. */
struct journal_position {
	uint64_t source;
	uint64_t value;
};

/* A frame as a reader sees it; bytes valid until it is released. */
struct memory_journal_frame {
	const uint8_t *data; /* header and payload */
	uint32_t len;
	uint64_t sequence;
	uint64_t offset; /* where it ends: what release takes */
	struct frame_header header;
};

struct memory_journal_stats {
	uint64_t frames, bytes;			/* waiting for the slowest reader */
	uint64_t packets, wire_packets;		/* the same in packets */
	uint64_t lost_packets[LOSS_REASON_COUNT]; /* counted here, and announced by LOSS frames */
	uint64_t lost_wire_packets[LOSS_REASON_COUNT];
	uint64_t size_bytes;
};

/* -ESTALE: another agent's; -EBADMSG: no journal or damaged (the caller moves it away); -EBUSY:
 * open in another process. An open frame that is found is closed and kept. */
int memory_journal_open(struct memory_journal **ret,
			const struct memory_journal_config *config) must_check;
/* Leaves the file; memory_journal_remove() also deletes it. */
void memory_journal_close(struct memory_journal *journal);
void memory_journal_remove(struct memory_journal *journal);

const struct stream_id *memory_journal_stream(const struct memory_journal *journal);
uint64_t memory_journal_next_sequence(const struct memory_journal *journal);
/* The value stored with the last commit or progress, or false if this source has none. */
bool memory_journal_position(const struct memory_journal *journal, uint64_t source, uint64_t *ret);

/*
 * Writer. begin: room for a frame of up to max_payload bytes, where its payload goes; NULL when
 * full and nothing may be dropped (count what is lost by memory_journal_count_lost()). progress:
 * header and payload so far are worth keeping, and the sources were read to here. commit: seals
 * the frame with the next sequence number (header->sequence is set). abandon: an empty frame.
 */
uint8_t *memory_journal_begin(struct memory_journal *journal, size_t max_payload) must_check;
void memory_journal_progress(struct memory_journal *journal, const struct frame_header *header,
			     size_t payload_len, const struct journal_position *positions,
			     unsigned int count);
void memory_journal_commit(struct memory_journal *journal, struct frame_header *header,
			   size_t payload_len, const struct journal_position *positions,
			   unsigned int count);
void memory_journal_abandon(struct memory_journal *journal);
void memory_journal_count_lost(struct memory_journal *journal, enum loss_reason reason,
			       uint64_t packets, uint64_t wire_packets, uint64_t bytes);
void memory_journal_stats(const struct memory_journal *journal, struct memory_journal_stats *ret);

/*
 * Reader. A new one starts at the oldest frame kept. next() walks on without releasing; release()
 * gives back everything up to the frame; rewind() starts over at the oldest not released (after a
 * reconnect). overrun: the frames between two next() calls that the writer dropped, as a LOSS to
 * announce (from and to are 0 if none).
 */
int memory_journal_reader_create(struct memory_journal_reader **ret,
				 struct memory_journal *journal) must_check;
void memory_journal_reader_destroy(struct memory_journal_reader *reader);
bool memory_journal_next(struct memory_journal_reader *reader, struct memory_journal_frame *ret);
void memory_journal_release(struct memory_journal_reader *reader, uint64_t offset);
void memory_journal_rewind(struct memory_journal_reader *reader);
bool memory_journal_overrun(struct memory_journal_reader *reader, struct message_loss *ret);
/* Nothing committed that this reader has not released. */
bool memory_journal_drained(const struct memory_journal_reader *reader);
