/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Somebody else's programs at tcx, for the tests: each has one opinion. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define TCX_PASS 0
#define TCX_DROP 2
#define VLAN_8021Q 0x0081 /* network byte order */

SEC("tc")
int foreign_pass(struct __sk_buff *skb)
{
	(void)skb;
	return TCX_PASS;
}

SEC("tc")
int foreign_drop(struct __sk_buff *skb)
{
	(void)skb;
	return TCX_DROP;
}

/* A tag as hardware offload leaves it: beside the frame, not in it. */
SEC("tc")
int foreign_tag(struct __sk_buff *skb)
{
	bpf_skb_vlan_push(skb, VLAN_8021Q, 77);
	return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
