/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mirror: both directions of an interface, copied at tcx ingress and egress. Whatever happens,
 * the packet goes on as if we were not there.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/count.bpf.h"
#include "bpf/deliver.bpf.h"
#include "bpf/judge.bpf.h"
#include "bpf/self.bpf.h"
#include "bpf/skb.bpf.h"
#include "bpf/stamp.bpf.h"
#include "bpf/xcap_abi.h"

const volatile struct xcap_config xcap_config = {
	.snaplen = XCAP_SNAPLEN_MAX,
	.directions = XCAP_IN | XCAP_OUT,
};

static __always_inline void judge_skb(struct __sk_buff *skb, const struct skb_wire *wire,
				      struct judgement *ret)
{
	struct xcap_frame frame = { .start = wire->start, .len = wire->len };
	struct deliver_tag *tag = (struct deliver_tag *)frame.tag;

	if (wire->has_tag) {
		frame.has_tag = true;
		tag->protocol = skb->vlan_proto;
		tag->control = bpf_htons(skb->vlan_tci);
	}
	judge(skb, &frame, &xcap_config, &wire->count, ret);
}

static __always_inline int mirror(struct __sk_buff *skb, enum xcap_direction direction)
{
	__u64 time_ns = bpf_ktime_get_ns();
	struct judgement judgement;
	enum xcap_counter fate;
	struct skb_wire wire;

	skb_measure(skb, xcap_config.is_raw, &wire);
	count(XCAP_SEEN, &wire.count);
	if (self_list() && self_match(skb, xcap_config.is_raw, wire.start)) {
		fate = XCAP_SELF;
	} else if (!(xcap_config.directions & direction)) {
		fate = XCAP_OTHER_DIRECTION;
	} else {
		judge_skb(skb, &wire, &judgement);
		fate = judgement.fate;
	}
	if (fate == XCAP_HANDED) {
		/* What leaves may carry a stamp that says when it is to leave. */
		if (xcap_config.asks & XCAP_ASK_STAMP && direction == XCAP_IN)
			time_ns = stamp(skb->hwtstamp, time_ns, &wire.count);
		fate = deliver(skb, &wire, judgement.snaplen, time_ns, direction, &xcap_config);
	}
	count(fate, &wire.count);
	return TCX_NEXT;
}

SEC("tc")
int xcap_ingress(struct __sk_buff *skb)
{
	return mirror(skb, XCAP_IN);
}

SEC("tc")
int xcap_egress(struct __sk_buff *skb)
{
	return mirror(skb, XCAP_OUT);
}

/* Linux 6.2 */
extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;

/* For both hooks: half the work for the verifier, each time that filters change. */
SEC("?tc")
int xcap_both(struct __sk_buff *skb)
{
	struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);

	/* Without a branch: the verifier follows each of them to the end. */
	return mirror(skb, XCAP_OUT - (__u32)BPF_CORE_READ_BITFIELD(kernel, tc_at_ingress));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
