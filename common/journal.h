/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The durable journal: an append-only sequence of frames of many streams in segments in one
 * directory (Documentation/frame-format.md). Writing belongs to the thread that runs the loop:
 * write and fdatasync go through io_uring, and one fdatasync, submitted after the write completed,
 * makes all frames of a group durable; the next begins as soon as it is done. Readers are
 * independent, on any thread, by pread up to a position that the writer published.
 *
 * A position counts bytes from the beginning of the journal's first segment ever.
 */
#pragma once

#include "common/frame.h"
#include "common/loop.h"
#include "common/segment.h"

struct journal;
struct journal_reader;

#define JOURNAL_SEGMENT_DEFAULT (64 * MIB)
#define JOURNAL_STREAMS_MAX SEGMENT_STREAMS_MAX

struct journal_config {
	const char *dir;	/* created if missing, mode 0700 */
	uint64_t segment_bytes; /* aimed at; a segment has room for a frame however small this is */
	uint64_t buffer_bytes;	/* frames that are not yet written; -EAGAIN above; at least 2 MiB */
	/*
	 * Everything up to position is durable: acknowledge. err: what was appended and is not
	 * durable is given up (no space, I/O error), the segment is abandoned at position, which
	 * is as before, as is journal_durable(). The journal then tries to begin a new segment;
	 * until that has worked (err 0, no frame needed) appends fail.
	 */
	void (*committed)(void *context, uint64_t position, int err);
	void *context;
};

/*
 * What recovery found; bytes and regions are zero after a clean end. Only the last segments are
 * looked at, back to one whose head is whole.
 */
struct journal_recovery {
	uint64_t segments;			 /* in the directory */
	uint64_t frames;			 /* in those looked at */
	uint64_t damaged_bytes, damaged_regions; /* skipped in the middle */
	uint64_t torn_bytes;			 /* cut at the end */
};

struct journal_stats {
	uint64_t frames; /* durable */
	uint64_t bytes;	 /* written */
	uint64_t writes, syncs, failures, duplicates;
	uint64_t appended, durable; /* positions */
	uint64_t sync_ns;	    /* last */
};

/* -EBUSY: in use by another process (a lock on the directory). */
int journal_open(struct journal **ret, struct loop *loop, const struct journal_config *config,
		 struct journal_recovery *recovery) must_check;
/* Only when idle; journal_flush() first. Seals the segment. */
void journal_close(struct journal *journal);
/* Turns the loop until everything appended is durable (0) or failed. */
int journal_flush(struct journal *journal) must_check;

/*
 * The journal's number of a stream; a new one is recorded before its first frame. -EINVAL: not a
 * valid agent id; -EMSGSIZE: JOURNAL_STREAMS_MAX.
 */
int journal_stream(struct journal *journal, const struct stream_id *id, uint32_t *ret) must_check;
uint32_t journal_stream_count(const struct journal *journal);
/* An empty agent: the number's identity was lost to damage. */
const struct stream_id *journal_stream_id(const struct journal *journal, uint32_t stream);
/* Durable sequences of the stream. */
const struct ranges *journal_durable(const struct journal *journal, uint32_t stream);

/*
 * Copies a checked frame (header and payload) into the group being built. A LOSS frame adds the
 * range it declares. 0; -EEXIST: this sequence is there already, durable or appended; -EAGAIN:
 * buffer_bytes are waiting (committed() will follow); -EMSGSIZE: the stream has too many holes;
 * -EINVAL: no sequence, wrong length, unknown stream; -ENOSPC, -EIO and others: the store is
 * failing, and the call makes it try again, 100 ms after the last time at the earliest.
 */
int journal_append(struct journal *journal, uint32_t stream, const struct frame_header *header,
		   const void *frame, size_t len) must_check;
/* Starts the write of what was appended, if none runs. Call once at the end of a turn. */
void journal_kick(struct journal *journal);
/* Where the next record goes: frames appended so far end at or before it. */
uint64_t journal_position(const struct journal *journal);
const struct journal_stats *journal_stats(const struct journal *journal);
/*
 * A record with the watermarks of all streams (count pairs of stream and ns), once a second. The
 * errors are those of journal_append().
 */
int journal_append_watermarks(struct journal *journal, const struct journal_watermark *list,
			      uint32_t count) must_check;

struct journal_record {
	enum journal_record_kind kind; /* readers are given FRAME, STREAM and WATERMARKS */
	uint64_t position;	       /* of the record */
	uint64_t next;		       /* of the one after it */
	uint64_t received_ns;	       /* UTC, when it was appended */
	uint32_t stream;	       /* FRAME, STREAM */
	struct stream_id id;	       /* STREAM */
	struct frame_header header;    /* FRAME */
	const uint8_t *frame;	       /* FRAME: header and payload; valid until the next call */
	uint32_t frame_len;
	const struct journal_watermark *watermarks; /* WATERMARKS */
	uint32_t watermark_count;
};

/*
 * position: where to start, a record's position or end of one, or 0 for the oldest kept. Every
 * stream known before that point is given first as a STREAM record (position unchanged). A
 * position that retention has removed, or that this journal never had, gives -ENODATA, and
 * *oldest tells where to go on.
 */
int journal_reader_open(struct journal_reader **ret, const char *dir, uint64_t position,
			uint64_t *oldest) must_check;
void journal_reader_close(struct journal_reader *reader);
/*
 * 1: a record; 0: none before limit (the writer's durable position, or UINT64_MAX to read a
 * journal that nobody writes to its end). Damage is skipped and counted, as are segments that
 * retention took away in front of the reader.
 */
int journal_reader_next(struct journal_reader *reader, uint64_t limit,
			struct journal_record *ret) must_check;
/* The frame at a position given before, into buf (FRAME_LEN_MAX bytes); its length or -errno. */
int journal_reader_load(struct journal_reader *reader, uint64_t position, uint8_t *buf) must_check;
uint64_t journal_reader_damaged_bytes(const struct journal_reader *reader);
