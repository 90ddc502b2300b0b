/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a filter's code goes. */
#pragma once

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

/*
 * Does the frame match? 0: no. The body is another one when a filter is in force: bpf/splice.c puts
 * it here. Not static: the verifier looks at it once, for any frame.
 */
__noinline int xcap_filter(parse_context *context, const struct xcap_frame *frame)
{
	return context && frame ? frame->len != 0 : 0;
}
