/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters of an interface: every packet is counted as seen and under what became of it. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "bpf/xcap_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XCAP_COUNTER_COUNT);
	__type(key, __u32);
	__type(value, struct xcap_count);
} xcap_count SEC(".maps");

/* Not read by a program: it tells xcapctl and the next daemon what is attached. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xcap_info);
} xcap_info SEC(".maps");

/* Nor is this: the filters of all interfaces. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xcap_filters);
} xcap_filters SEC(".maps");

/* Plain adds: bottom halves are off, so no other program of this interface runs on this CPU. */
static __always_inline void count_in(void *map, __u32 counter, const struct xcap_count *packet)
{
	struct xcap_count *sum = bpf_map_lookup_elem(map, &counter);

	if (!sum)
		return;
	sum->frames++;
	sum->wire_packets += packet->wire_packets;
	sum->bytes += packet->bytes;
}

static __always_inline void count(__u32 counter, const struct xcap_count *packet)
{
	count_in(&xcap_count, counter, packet);
}
