/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/inbound.h"

#include <errno.h>
#include <string.h>

/* Reads until the frame has `want` bytes. */
static int fill(struct inbound *in, struct tls *tls, size_t want)
{
	ssize_t n;

	while (in->have < want) {
		n = tls_read(tls, in->frame + in->have, want - in->have);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return in->have ? -EPIPE : 0;
		in->have += (size_t)n;
	}
	return 1;
}

int inbound_read(struct inbound *in, struct tls *tls)
{
	bool has_header = in->have >= FRAME_HEADER_LEN;
	int n;

	if (!has_header) {
		n = fill(in, tls, FRAME_HEADER_LEN);
		if (n <= 0)
			return n;
		n = frame_header_decode(&in->header, in->frame);
		if (n)
			return n;
		if (inbound_frame_len(in) > in->room)
			return -EMSGSIZE;
	}
	return fill(in, tls, inbound_frame_len(in));
}

const char *inbound_error(const struct tls *tls, int err)
{
	switch (-err) {
	case EBADMSG:
		return "what came is not a frame, or its header is damaged";
	case EPROTONOSUPPORT:
		return "a frame of another version";
	case EMSGSIZE:
		return "a frame that is too large";
	case EPIPE:
		return "the connection ended within a frame";
	case EPROTO:
		return tls_error(tls);
	default:
		return strerrordesc_np(-err) ?: "unknown error";
	}
}
