/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a journal's segment (Documentation/frame-format.md): a header, then records on
 * 8-byte boundaries: the head (STREAMS, the last one flagged), then what was appended, then SEAL.
 * A record's header has a checksum that is seeded with the segment's random id and the record's
 * offset, so that neither stale bytes of another use of the same blocks nor a copy of a record
 * inside a captured packet is ever taken for one. Sans-I/O, no state, any thread.
 */
#pragma once

#include "common/buf.h"
#include "common/cursor.h"
#include "common/frame.h"
#include "common/stream.h"

#define SEGMENT_VERSION 1
#define SEGMENT_HEADER_LEN 64u
#define RECORD_HEADER_LEN 32u
#define RECORD_BODY_MAX FRAME_LEN_MAX
#define RECORD_LEN_MAX (RECORD_HEADER_LEN + RECORD_BODY_MAX)
#define SEAL_LEN 80u
/* The record of one stream. */
#define STREAM_RECORD_MAX (RECORD_HEADER_LEN + 32u + AGENT_ID_MAX)
#define SEGMENT_STREAMS_MAX 65536u
#define SEGMENT_WATERMARKS_MAX 65536u

struct segment {
	uint64_t id;	     /* random */
	uint64_t first;	     /* journal position of its first byte */
	uint64_t created_ns; /* UTC */
};

enum journal_record_kind {
	JOURNAL_FRAME = 1,
	JOURNAL_STREAMS, /* head of a segment: all streams with their ranges up to here */
	JOURNAL_STREAM,	 /* a stream's number and identity */
	JOURNAL_WATERMARKS,
	JOURNAL_SEAL, /* last of a segment that was ended in order */
};

struct journal_watermark {
	uint32_t stream;
	uint64_t watermark_ns;
};

enum segment_record_flags {
	RECORD_F_LAST = 1 << 0, /* STREAMS: no other follows */
};

struct segment_record {
	uint16_t kind; /* enum journal_record_kind, or one that is not known here */
	uint16_t flags;
	uint32_t stream; /* FRAME, STREAM */
	uint64_t received_ns;
	const uint8_t *body;
	uint32_t body_len;
	uint32_t len;		   /* with header and padding */
	struct frame_header frame; /* FRAME */
};

struct segment_seal {
	struct segment segment; /* copy of the header */
	uint64_t frames;
	uint64_t first_ns, last_ns; /* times of packets; 0 if there is none */
};

/* A stream in STREAM or STREAMS. */
struct segment_stream {
	uint32_t number;
	struct stream_id id;
	uint32_t range_count;
	const uint8_t *ranges; /* read with segment_stream_range() */
};

void segment_header_encode(uint8_t *out, const struct segment *segment);
/* in: SEGMENT_HEADER_LEN bytes. -EBADMSG; -EPROTONOSUPPORT: another version. */
int segment_header_decode(struct segment *ret, const uint8_t *in) must_check;

static inline size_t segment_record_len(size_t body_len)
{
	return align_up(RECORD_HEADER_LEN + body_len, 8);
}

/* The header alone: kind, flags, stream, received_ns and body (FRAME: a checked frame) are set. */
void segment_record_encode(uint8_t *out, const struct segment_record *record,
			   const struct segment *segment, uint64_t offset);
/* The header alone; ret->body and ret->frame stay unset. -EBADMSG: none of this segment here. */
int segment_record_decode(struct segment_record *ret, const uint8_t *in,
			  const struct segment *segment, uint64_t offset) must_check;
/* ret as decoded, body: ret->body_len bytes. 0 and ret is complete, or -EBADMSG. */
int segment_body_decode(struct segment_record *ret, const uint8_t *body) must_check;
/*
 * The first valid record in data, len bytes from offset (a multiple of 8) of the segment. 1: it
 * lies at data + *at. 0: there is none before *at, and what begins there needs more bytes.
 */
int segment_scan(const struct segment *segment, uint64_t offset, const uint8_t *data, size_t len,
		 size_t *at, struct segment_record *ret) must_check;

/* SEAL_LEN bytes: the whole record. */
void segment_seal_encode(uint8_t *out, const struct segment_seal *seal, uint64_t offset,
			 uint64_t now_ns);
/* in: SEAL_LEN bytes at offset of a segment whose header may be gone. */
int segment_seal_decode(struct segment_seal *ret, const uint8_t *in, uint64_t offset) must_check;

/* Body of a STREAM record, at most STREAM_RECORD_MAX - RECORD_HEADER_LEN bytes; its length. */
size_t segment_stream_encode(uint8_t *out, uint32_t number, const struct stream_id *id);
int segment_stream_decode(struct segment_stream *ret, const uint8_t *body, size_t len) must_check;
struct range segment_stream_range(const struct segment_stream *stream, uint32_t index);

/* Builds header and head into an empty buf: begin, each stream, end. */
struct segment_head {
	struct buf *out;
	struct segment segment;
	uint32_t next_stream;
	size_t record;	  /* offset of the record being built */
	uint32_t entries; /* in it */
};

/* next_stream: the lowest number that was never used. */
void segment_head_begin(struct segment_head *head, struct buf *out, const struct segment *segment,
			uint32_t next_stream);
void segment_head_stream(struct segment_head *head, uint32_t number, const struct stream_id *id,
			 const struct ranges *ranges);
/* -ENOMEM if the buf failed. */
int segment_head_end(struct segment_head *head) must_check;

/* Walks the streams of a STREAMS record. */
struct segment_streams {
	struct cursor cursor;
	uint32_t next_stream;
	uint32_t left;
};

int segment_streams_begin(struct segment_streams *ret, const uint8_t *body, size_t len) must_check;
/* 1: a stream; 0: no more; -EBADMSG. */
int segment_streams_next(struct segment_streams *streams, struct segment_stream *ret) must_check;

size_t segment_watermarks_len(uint32_t count);
void segment_watermarks_encode(uint8_t *out, const struct journal_watermark *list, uint32_t count);
/* -EBADMSG, or how many there are; list may be NULL. */
int64_t segment_watermarks_decode(struct journal_watermark *list, const uint8_t *body,
				  size_t len) must_check;
