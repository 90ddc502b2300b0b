/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's journal of one lane: a bounded ring of frames in a shared mapping of a file (tmpfs,
 * under the run directory), so that nothing framed dies with the process. The frame being built
 * lies in the ring too: what memory_journal_progress() told is found again after kill -9.
 *
 * One writer, the lane's thread. Readers (the uplink, a file writer) each have a cursor; they may
 * run on other threads, but are created and destroyed on the writer's or while it does not run.
 * The bytes of a frame that next() gave stay put until the reader has released it.
 *
 * Stream identity (instance) and sequence numbers live in the file: a daemon that opens it again
 * continues the stream. Positions are what the sources had been read up to; their meaning is the
 * lane's.
 *
 * Kill -9 at any instruction leaves either what the last begin, progress, commit or persist had
 * told, or what the one before it had: frames, positions, losses and counters of the same moment.
 */
#pragma once

#include "common/frame.h"
#include "common/message.h"
#include "common/stream.h"

#define MEMORY_JOURNAL_POSITIONS_MAX 512 /* rings and queues of one lane */
#define MEMORY_JOURNAL_READERS_MAX 8
#define MEMORY_JOURNAL_SIZE_MIN MIB

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
	uint64_t start;	 /* where it begins */
	struct frame_header header;
};

struct memory_journal_stats {
	uint64_t frames, bytes; /* waiting for the slowest reader */
	/* The same in packets; and those dropped in flight, until it is known if they arrived. */
	uint64_t packets, wire_packets;
	/* Since the journal was made: counted here, and announced by LOSS frames. */
	uint64_t lost_packets[LOSS_REASON_COUNT];
	uint64_t lost_wire_packets[LOSS_REASON_COUNT];
	uint64_t lost_bytes[LOSS_REASON_COUNT];
	uint64_t committed_frames, committed_packets, committed_wire_packets;
	uint64_t size_bytes;
};

/*
 * -ESTALE: another stream's (agent, lane, replay); -EBADMSG: no journal or damaged (the caller
 * moves it away); -EBUSY: open in another process; -ENOSPC: its memory is not to be had. An open
 * frame that is found is closed and kept.
 */
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
 * full and nothing may be dropped (count what is lost by memory_journal_count_lost()), or when a
 * frame is more than half the journal. progress: header and payload so far are worth keeping, and
 * the sources were read to here; without an open frame (header NULL, payload_len 0) the positions
 * alone. commit: seals the frame with the next sequence number (header->sequence is set). abandon:
 * an empty frame. Positions of sources that are not among those given stay as they are.
 * count_lost: is kept together with the positions of the next progress or commit. persist: what
 * was released and counted since is kept too; for a lane that has nothing to write.
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
void memory_journal_persist(struct memory_journal *journal);
/* Any thread, while no reader is created or destroyed. */
void memory_journal_stats(const struct memory_journal *journal, struct memory_journal_stats *ret);

/*
 * Reader. A new one starts at the oldest frame kept. next() walks on without releasing; release()
 * gives back everything up to the frame; rewind() starts over at the oldest not released (after a
 * reconnect). overrun: the frames between two next() calls that the writer dropped, as a LOSS to
 * announce (from and to are 0 if none).
 *
 * Frames are dropped (WHEN_FULL_DROP_OLDEST) whether released or not, but not while next() has
 * given one of them or an older one that was neither released nor rewound.
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
/* Nothing committed that memory_journal_next() has not given; for the reader's own thread. */
bool memory_journal_read_all(const struct memory_journal_reader *reader);

/*
 * The reader that ships the stream, at most one (-EBUSY), on the writer's thread. Its frames may
 * be dropped while they are in flight. What was dropped is a loss, kept in the file until the
 * receiver has the LOSS: overrun() gives it at once if next() had not given the frame, else once
 * confirm() showed that the frame did not arrive; rewind() makes it give them all again.
 */
int memory_journal_shipper_create(struct memory_journal_reader **ret,
				  struct memory_journal *journal) must_check;
/* Length of the frame that next() would give; 0: none. */
uint32_t memory_journal_peek(struct memory_journal_reader *shipper);
/* The bytes of the frames given so far are not used any more. */
void memory_journal_done(struct memory_journal_reader *shipper);
/* The frame that began at start, or false if it was dropped or released. */
bool memory_journal_frame_at(struct memory_journal_reader *shipper, uint64_t start,
			     struct memory_journal_frame *ret);
/* The receiver has durable; complete: and nothing else, as it says in its answer to OPEN. */
void memory_journal_confirm(struct memory_journal_reader *shipper, const struct ranges *durable,
			    bool complete);
/* Will never be taken by the receiver: it becomes a loss. The frame is not released by it. */
void memory_journal_reject(struct memory_journal_reader *shipper, uint64_t sequence,
			   uint64_t start);
/* It is in the list of losses. */
bool memory_journal_is_lost(const struct memory_journal_reader *shipper, uint64_t sequence);
/* No loss waits for being known to the receiver. */
bool memory_journal_settled(const struct memory_journal_reader *shipper);
/* Release everything, as lost for this reason. */
void memory_journal_give_up(struct memory_journal_reader *shipper, enum loss_reason reason);
