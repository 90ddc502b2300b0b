/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a filter's code goes, and what it calls. */
#pragma once

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

#define FILTER_MACS_LEN 12
#define FILTER_TAG_LEN 4
#define FILTER_AT_MAX (1 << 24)
#define FILTER_OUTSIDE (1ull << 32)

static __always_inline __u64 filter_load_plain(parse_context *context, __u32 at, __u32 size)
{
	__be32 word = 0;
	__be16 half = 0;
	__u8 byte = 0;

	switch (size) {
	case 4:
		return parse_load(context, at, &word, 4) ? FILTER_OUTSIDE : bpf_ntohl(word);
	case 2:
		return parse_load(context, at, &half, 2) ? FILTER_OUTSIDE : bpf_ntohs(half);
	case 1:
		return parse_load(context, at, &byte, 1) ? FILTER_OUTSIDE : byte;
	}
	return FILTER_OUTSIDE;
}

/* One byte of a frame whose tag is beside it. */
static __always_inline __u64 filter_load_byte(parse_context *context,
					      const struct xcap_frame *frame, __u32 at)
{
	if (at < FILTER_MACS_LEN)
		return filter_load_plain(context, at, 1);
	if (at < FILTER_MACS_LEN + FILTER_TAG_LEN)
		return frame->tag[(at - FILTER_MACS_LEN) & 3];
	return filter_load_plain(context, at - FILTER_TAG_LEN, 1);
}

/* size bytes (1, 2 or 4) of the frame, in host order; FILTER_OUTSIDE if it has not so many. */
__noinline __u64 xcap_load(parse_context *context, const struct xcap_frame *frame, __u32 at,
			   __u32 size)
{
	__u64 value = 0, byte;

	if (!frame || at > FILTER_AT_MAX || size > 4)
		return FILTER_OUTSIDE;
	if (!frame->has_tag)
		return filter_load_plain(context, frame->start + at, size);
	if (at >= FILTER_MACS_LEN + FILTER_TAG_LEN)
		return filter_load_plain(context, at - FILTER_TAG_LEN, size);
	for (__u32 i = 0; i < 4 && i < size; i++) {
		byte = filter_load_byte(context, frame, at + i);
		if (byte == FILTER_OUTSIDE)
			return byte;
		value = value << 8 | byte;
	}
	return value;
}

/*
 * Does the frame match? 0: no. The body is another one when a filter is in force: bpf/splice.c puts
 * it here. Not static: the verifier looks at it once, for any frame.
 */
__noinline int xcap_filter(parse_context *context, const struct xcap_frame *frame)
{
	return frame ? xcap_load(context, frame, 0, 1) != FILTER_OUTSIDE : 0;
}
