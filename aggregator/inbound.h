/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes one frame at a time out of a TLS connection: the header, then exactly its payload, so that
 * what follows stays where it is and the connection can be handed on between two frames. Sans-I/O;
 * embedded in the connection that owns it.
 */
#pragma once

#include "common/frame.h"
#include "common/tls.h"

struct inbound {
	uint8_t *frame; /* the owner's; header and payload */
	size_t room;	/* bytes there; FRAME_HEADER_LEN at least */
	size_t have;
	struct frame_header header; /* once have >= FRAME_HEADER_LEN */
};

/*
 * 1: frame and header hold a whole frame, whose payload is not checked yet; inbound_next() before
 * the next one. 0: the peer ended the connection, between two frames. -EAGAIN: needs more bytes.
 * -EBADMSG, -EPROTONOSUPPORT, -EMSGSIZE (also above room): a header after which there is no going
 * on. -EPIPE: ended within a frame. -EPROTO: see tls_error().
 */
int inbound_read(struct inbound *in, struct tls *tls) must_check;
static inline void inbound_next(struct inbound *in)
{
	in->have = 0;
}
static inline size_t inbound_frame_len(const struct inbound *in)
{
	return FRAME_HEADER_LEN + in->header.stored_len;
}
static inline const uint8_t *inbound_payload(const struct inbound *in)
{
	return in->frame + FRAME_HEADER_LEN;
}
/* In words, what a negative result of inbound_read() means. */
const char *inbound_error(const struct tls *tls, int err);
