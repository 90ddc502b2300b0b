/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Puts a tag beside an skb, as hardware does, and goes on with another program. */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} push_next SEC(".maps");

/* mark: protocol of the tag in the upper half, its control information in the lower. */
SEC("tc")
int push_tag(struct __sk_buff *skb)
{
	bpf_skb_vlan_push(skb, bpf_htons(skb->mark >> 16), skb->mark & 0xffff);
	bpf_tail_call(skb, &push_next, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
