/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a filter's code goes. */
#pragma once

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

/* The compiler must not conclude anything from a body that will be another one. */
static __always_inline int filter_verdict(int verdict)
{
	asm volatile("" : "+r"(verdict));
	return verdict;
}

/*
 * Does the frame match? 0: no, else the filter's slot plus one. The body is another one when a
 * filter is in force: bpf/splice.c puts it here. Not static: the verifier looks at it once, for any
 * frame.
 */
__noinline int xcap_filter(parse_context *context, const struct xcap_frame *frame)
{
	return context && frame ? filter_verdict(frame->len != 0) : 0;
}

/*
 * The same of frames of the other link type, which tunnels carry: of raw IP on an interface that
 * has Ethernet headers, of Ethernet on one that has none.
 */
__noinline int xcap_filter_other(parse_context *context, const struct xcap_frame *frame)
{
	return context && frame ? filter_verdict(frame->len == 0) : 0;
}
