/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages of the wire that are not packets: HELLO (a CONTROL frame), OPEN, ACK, NACK, MARK,
 * LOSS, BYE. Encoders append a whole frame, header included; decoders get a payload whose header
 * and CRC were checked. Rare ones are JSON (RFC 8259, unknown members ignored), frequent ones
 * little-endian binary; Documentation/frame-format.md gives every byte. Sans-I/O, any thread.
 *
 * Encoders return 0, -ENOMEM, or -EINVAL for what JSON cannot hold (a text that is not UTF-8, a
 * sequence above INT64_MAX). Decoders return 0, -EBADMSG (malformed), -EMSGSIZE (over a limit),
 * -EPROTONOSUPPORT or -ENOMEM. Bytes after those that a binary message is known to have are
 * ignored, as unknown members are. That a LOSS's `to` is its header's sequence is for the receiver
 * to check.
 *
 * A connection:  both sides: HELLO.   sender: OPEN(stream n).   receiver: ACK(stream n, what it
 * has, credit).   sender: frames of n, MARK while idle.   receiver: ACK, NACK.   sender: BYE.
 */
#pragma once

#include "common/buf.h"
#include "common/frame.h"
#include "common/stream.h"

#define PROTOCOL_VERSION 1
#define MESSAGE_RANGES_MAX 4096 /* ranges in one ACK: the highest ones, if there are more */

struct message_hello {
	uint32_t version_min, version_max; /* protocol versions spoken */
	char program[64];		   /* "xcapd 0.1.0" */
	char host[256];
	char abilities[256]; /* words separated by spaces: "packets loss mark" */
};

struct message_open {
	struct stream_id id;
	uint64_t next_sequence; /* what the sender will number its next new frame */
};

struct message_ack {
	uint64_t credit_bytes; /* unacknowledged bytes of frames allowed on this connection */
	struct ranges durable;
};

/* Why frames will never come, or are refused. The names go into logs, metrics and JSON. */
#define LOSS_REASONS(X)                 \
	X(JOURNAL_FULL, "journal_full") \
	X(REJECTED, "rejected")         \
	X(SHUTDOWN, "shutdown")         \
	X(DAMAGED, "damaged")

enum loss_reason {
#define X(id, name) LOSS_##id,
	LOSS_REASONS(X)
#undef X
		LOSS_REASON_COUNT
};

struct message_loss {
	uint64_t from, to;		       /* sequences; `to` is also the frame's own number */
	uint32_t reason;		       /* enum loss_reason, or one that is not known here */
	uint64_t packets, wire_packets, bytes; /* sums of packet_count, wire_count and raw_len */
};

enum nack_reason {
	NACK_DAMAGED = 1, /* the payload's CRC is wrong */
	NACK_UNKNOWN,	  /* critical type that is not known */
	NACK_STORE,	  /* the store cannot take it (full, failing): back off */
};

struct message_nack {
	uint64_t sequence;
	uint32_t reason; /* enum nack_reason, or one that is not known here */
};

const char *loss_reason_name(uint32_t reason); /* "unknown" for the rest */
const char *nack_reason_name(uint32_t reason);

int message_hello_put(struct buf *out, const struct message_hello *hello) must_check;
int message_hello_get(struct message_hello *ret, const void *payload, size_t len) must_check;
/* -EPROTONOSUPPORT, or the highest version both speak. */
int message_hello_agree(const struct message_hello *peer) must_check;

/*
 * Why a receiver ends the connection, in words for the sender's log: a CONTROL frame, the last
 * before close_notify. get: -ENOENT for a CONTROL frame of another kind; control characters in
 * what the peer said are the logger's to escape.
 */
#define MESSAGE_REFUSAL_LEN 512
int message_refusal_put(struct buf *out, const char *reason) must_check;
int message_refusal_get(char ret[MESSAGE_REFUSAL_LEN], const void *payload, size_t len) must_check;

int message_open_put(struct buf *out, uint32_t stream, const struct message_open *open) must_check;
int message_open_get(struct message_open *ret, const void *payload, size_t len) must_check;

int message_ack_put(struct buf *out, uint32_t stream, uint64_t credit_bytes,
		    const struct ranges *durable) must_check;
/* ret->durable is the caller's to release. */
int message_ack_get(struct message_ack *ret, const void *payload, size_t len) must_check;

int message_nack_put(struct buf *out, uint32_t stream, const struct message_nack *nack) must_check;
int message_nack_get(struct message_nack *ret, const void *payload, size_t len) must_check;

int message_loss_put(struct buf *out, uint32_t stream, const struct message_loss *loss) must_check;
int message_loss_get(struct message_loss *ret, const void *payload, size_t len) must_check;

int message_mark_put(struct buf *out, uint32_t stream, uint64_t watermark_ns) must_check;
int message_bye_put(struct buf *out, uint32_t stream, uint64_t sequence,
		    uint64_t watermark_ns) must_check;
