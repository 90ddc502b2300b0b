/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The time of a packet by the clock of the network card, told as CLOCK_MONOTONIC: userspace reads
 * both clocks now and then and writes down how they go together. A stamp that cannot be true
 * (there is none, it wrapped, it is another clock's) gives way to the kernel's and is counted.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "bpf/count.bpf.h"
#include "bpf/xcap_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xcap_clock);
} xcap_clock SEC(".maps");

static __always_inline bool stamp_convert(__u64 nic_ns, __u64 now_ns, __u64 *time_ns)
{
	__u32 key = 0;
	const struct xcap_clock *clock = bpf_map_lookup_elem(&xcap_clock, &key);
	const struct xcap_line *line;
	__s64 since, age;

	if (!nic_ns || !clock)
		return false;
	line = clock->current ? &clock->lines[1] : &clock->lines[0];
	since = (__s64)(nic_ns - line->nic_ns);
	if (now_ns > line->until_ns || since > XCAP_LINE_NS || since < -XCAP_LINE_NS)
		return false;
	*time_ns = line->host_ns + (__u64)(since + (since * line->rate >> XCAP_RATE_SHIFT));
	age = (__s64)(now_ns - *time_ns);
	return age <= XCAP_STAMP_AGE_NS && age >= -XCAP_STAMP_AHEAD_NS;
}

/* now_ns, or the stamp's time if it is good. */
static __always_inline __u64 stamp(__u64 nic_ns, __u64 now_ns, const struct xcap_count *packet)
{
	__u64 time_ns;

	if (stamp_convert(nic_ns, now_ns, &time_ns))
		return time_ns;
	count(XCAP_NO_STAMP, packet);
	return now_ns;
}
