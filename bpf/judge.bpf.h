/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which frames are kept, and how much of them. The same at tcx and XDP. */
#pragma once

#include "vmlinux.h"

#include "bpf/filter.bpf.h"
#include "bpf/xcap_abi.h"

struct judgement {
	enum xcap_counter fate; /* XCAP_HANDED: it is kept */
	__u32 snaplen;
};

static __always_inline void judge(parse_context *context, const struct xcap_frame *frame,
				  const volatile struct xcap_config *config, struct judgement *ret)
{
	*ret = (struct judgement){ .fate = XCAP_HANDED, .snaplen = config->snaplen };
	if (config->has_filter && !xcap_filter(context, frame))
		ret->fate = XCAP_FILTERED;
}
