/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tap: what arrives at an interface, taken off it into the AF_XDP socket of its queue, with time
 * and lengths in the XDP metadata in front. Our own upload passes on, as does what finds no
 * socket, unless it is to be dropped.
 */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PARSE_XDP

#include "bpf/count.bpf.h"
#include "bpf/judge.bpf.h"
#include "bpf/parse.bpf.h"
#include "bpf/self.bpf.h"
#include "bpf/stamp.bpf.h"
#include "bpf/xcap_abi.h"

#define TAP_MACS_LEN 12

const volatile struct xcap_config xcap_config = {
	.snaplen = XCAP_SNAPLEN_MAX,
	.directions = XCAP_IN,
	.pass_no_socket = 1,
};

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, XCAP_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xcap_xsks SEC(".maps");

/* Frames redirected, by queue: what a socket did not receive of them died with it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XCAP_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} xcap_handed SEC(".maps");

/*
 * In a program bound to its device. Linux 6.3: fails if there is no stamp. Linux 6.8: fails if
 * there is no tag beside the frame.
 */
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym __weak;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto,
					__u16 *vlan_tci) __ksym __weak;

struct tap_tag {
	__be16 protocol, control;
};

struct tap_macs {
	__be32 words[3];
};

/* A tag that the NIC has taken out goes back behind the MAC addresses. */
static __always_inline bool tap_put_tag(struct xdp_md *ctx, struct tap_tag tag)
{
	struct tap_macs *from, *to;
	void *end;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(tag)))
		return false;
	to = (void *)(long)ctx->data;
	from = (void *)to + sizeof(tag);
	end = (void *)(long)ctx->data_end;
	if ((void *)(from + 1) > end)
		return false;
	to->words[0] = from->words[0];
	to->words[1] = from->words[1];
	to->words[2] = from->words[2];
	*(struct tap_tag *)(to + 1) = tag;
	return true;
}

static __always_inline bool tap_put_meta(struct xdp_md *ctx, __u64 time_ns, __u32 len,
					 __u32 snaplen)
{
	struct xcap_meta *meta;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return false;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return false;
	meta->time_ns = time_ns;
	meta->original_len = len;
	meta->captured_len = len > snaplen ? snaplen : len;
	meta->generation = (__u16)xcap_config.generation;
	__builtin_memset(meta->pad, 0, sizeof(meta->pad));
	return true;
}

static __always_inline void tap_judge(struct xdp_md *ctx, struct tap_tag tag,
				      const struct xcap_count *packet, struct judgement *ret)
{
	struct xcap_frame frame = { .len = (__u32)packet->bytes };

	if (tag.protocol) {
		frame.has_tag = true;
		*(struct tap_tag *)frame.tag = tag;
	}
	judge(ctx, &frame, &xcap_config, packet, ret);
}

static __always_inline void tap_count_queue(__u32 queue)
{
	__u64 *handed = bpf_map_lookup_elem(&xcap_handed, &queue);

	if (handed)
		(*handed)++;
}

/* nic_ns: the network card's stamp; 0: there is none. */
static __always_inline int tap(struct xdp_md *ctx, struct tap_tag tag, __u64 nic_ns)
{
	__u64 time_ns = bpf_ktime_get_ns();
	__u32 queue = ctx->rx_queue_index;
	struct judgement judgement;
	struct xcap_count packet = {
		.wire_packets = 1,
		.bytes = bpf_xdp_get_buff_len(ctx) + (tag.protocol ? sizeof(tag) : 0),
	};

	count(XCAP_SEEN, &packet);
	if (self_list() && self_match(ctx, xcap_config.is_raw, 0)) {
		count(XCAP_SELF, &packet);
		return XDP_PASS;
	}
	if (!(xcap_config.directions & XCAP_IN)) {
		count(XCAP_OTHER_DIRECTION, &packet);
		return XDP_PASS;
	}
	tap_judge(ctx, tag, &packet, &judgement);
	if (judgement.fate != XCAP_HANDED) {
		count(judgement.fate, &packet);
		return XDP_PASS;
	}
	/* The redirect would only fail when nobody counts any more. */
	if (xcap_config.whole_only && bpf_xdp_get_buff_len(ctx) > ctx->data_end - ctx->data) {
		count(XCAP_TOO_LONG, &packet);
		return XDP_PASS;
	}
	/* Looked up so that it can be counted; the redirect itself only fails later. */
	if (!bpf_map_lookup_elem(&xcap_xsks, &queue)) {
		count(XCAP_NO_SOCKET, &packet);
		return xcap_config.pass_no_socket ? XDP_PASS : XDP_DROP;
	}
	if (xcap_config.asks & XCAP_ASK_STAMP)
		time_ns = stamp(nic_ns, time_ns, &packet);
	if ((tag.protocol && !tap_put_tag(ctx, tag)) ||
	    !tap_put_meta(ctx, time_ns, (__u32)packet.bytes, judgement.snaplen)) {
		count(XCAP_NO_MEMORY, &packet);
		return XDP_PASS;
	}
	count(XCAP_HANDED, &packet);
	tap_count_queue(queue);
	return bpf_redirect_map(&xcap_xsks, queue,
				xcap_config.pass_no_socket ? XDP_PASS : XDP_DROP);
}

SEC("xdp.frags")
int xcap_tap(struct xdp_md *ctx)
{
	return tap(ctx, (struct tap_tag){}, 0);
}

/* The same where the driver is asked: which tag it has taken out, what time it was. */
SEC("xdp.frags")
int xcap_tap_tag(struct xdp_md *ctx)
{
	struct tap_tag tag = {};
	__u64 nic_ns = 0;
	__u16 control;

	if (xcap_config.asks & XCAP_ASK_TAG &&
	    bpf_xdp_metadata_rx_vlan_tag(ctx, &tag.protocol, &control) == 0)
		tag.control = bpf_htons(control);
	else
		tag.protocol = 0;
	if (xcap_config.asks & XCAP_ASK_STAMP && bpf_xdp_metadata_rx_timestamp(ctx, &nic_ns))
		nic_ns = 0;
	return tap(ctx, tag, nic_ns);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
