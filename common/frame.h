/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame: unit of the wire, the spool and the store (Documentation/frame-format.md). A fixed
 * little-endian header and a payload. Sans-I/O, no state, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"

#define FRAME_MAGIC 0x31504358u /* "XCP1" on the wire */
#define FRAME_VERSION 1
#define FRAME_HEADER_LEN 80u
#define FRAME_PAYLOAD_MAX (1u << 20)
#define FRAME_LEN_MAX (FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX)

enum frame_type {
	FRAME_PACKETS = 1, /* pcapng blocks: IDBs, then EPBs */
	FRAME_FLOWS,	   /* IPFIX messages */
	FRAME_MARK,	   /* watermark of an idle stream; neither sequenced nor stored */
	FRAME_LOSS,    /* these sequences will never come; its own sequence is the last of them */
	FRAME_CLOCK,   /* step of the clock */
	FRAME_STATS,   /* JSON */
	FRAME_CONTROL, /* JSON; HELLO is its first */
	FRAME_EVENT,   /* JSON */
	FRAME_OPEN,    /* JSON: bind a stream number to a stream */
	FRAME_BYE,     /* the stream ends: sequenced and stored, so that readers see it too */
	FRAME_ACK,     /* durable sequence ranges, credit */
	FRAME_NACK,    /* this sequence is refused */
};

enum frame_flags {
	FRAME_F_CRITICAL = 1 << 0, /* a receiver that does not know the type must refuse it */
	FRAME_F_ZSTD = 1 << 1,	   /* payload compression; at most one of the two */
	FRAME_F_LZ4 = 1 << 2,
	FRAME_F_CLOCK_STEP = 1 << 3, /* the UTC offset differs by a step from the frame before */
	FRAME_F_LATE = 1 << 4,	     /* holds packets older than ones before them in the stream */
	FRAME_F_REPLAY = 1 << 5,     /* recorded times: never merged with live streams */
};

/* In host byte order. Times are nanoseconds of UTC since 1970. */
struct frame_header {
	uint8_t type; /* enum frame_type, or one that is not known here */
	uint32_t flags;
	uint32_t stream;     /* number bound by OPEN on this connection; 0: the connection itself */
	uint64_t sequence;   /* 1, 2, ... per stream; 0: not sequenced */
	uint32_t stored_len; /* payload bytes that follow the header, 0 .. FRAME_PAYLOAD_MAX */
	uint32_t raw_len;    /* the same before compression, 0 .. FRAME_PAYLOAD_MAX */
	uint32_t packet_count; /* packets in the payload */
	uint32_t wire_count;   /* packets they were on the wire (GSO super-packets counted out) */
	uint64_t first_ns;     /* earliest and latest time of a packet; 0 where there is none */
	uint64_t last_ns;
	uint64_t watermark_ns; /* nothing older will follow on this stream; 0: nothing known */
	int64_t utc_offset_ns; /* UTC - CLOCK_MONOTONIC in force for these packets */
	uint32_t payload_crc;  /* CRC-32C of the stored payload */
};

/* The header with its own CRC, into FRAME_HEADER_LEN bytes. */
void frame_header_encode(uint8_t *out, const struct frame_header *header);
/*
 * in: FRAME_HEADER_LEN bytes. -EBADMSG: no frame or damaged; -EPROTONOSUPPORT: a version that is
 * not ours; -EMSGSIZE: payload above FRAME_PAYLOAD_MAX. A larger header_len of the same version
 * is refused too: it has to come with a new version.
 */
int frame_header_decode(struct frame_header *ret, const uint8_t *in) must_check;
/* 0, or -EBADMSG where the payload's CRC is not the header's. */
int frame_payload_check(const struct frame_header *header, const void *payload) must_check;
/* Fill in stored_len, raw_len and payload_crc for a payload that is not compressed, and encode. */
void frame_seal(uint8_t *out, struct frame_header *header, const void *payload, size_t len);
/* "packets", "flows", ...; "unknown". */
const char *frame_type_name(uint8_t type);
/* Takes a sequence number of its stream and is stored: all but MARK, OPEN, ACK, NACK, CONTROL. */
bool frame_type_is_sequenced(uint8_t type);
