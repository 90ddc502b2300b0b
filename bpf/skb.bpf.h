/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an skb was, or will be, on the wire: the tag beside it, the segments in it. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

#define SKB_TAG_LEN 4

/* Bits of gso_type, the same since Linux 4.18. */
enum skb_gso {
	SKB_GSO_TCPV4 = 1 << 0,
	SKB_GSO_TCPV6 = 1 << 4,
	SKB_GSO_UDP_L4 = 1 << 17,
};

struct skb_wire {
	struct xcap_count count;
	__u32 start;	/* offset of the frame's first byte in the skb */
	__u32 len;	/* of the frame, a tag beside it included */
	__u16 gso_size; /* 0: one packet */
	bool has_tag;	/* beside the skb: belongs behind the MAC addresses */
};

/* A context is the kernel's own skb: good for reading, field by field. */
static __always_inline const struct sk_buff *skb_kernel(const struct __sk_buff *skb)
{
	return (const struct sk_buff *)skb;
}

/* A header's offset, which the kernel counts from head, as an offset of the data. */
static __always_inline __u32 skb_offset(const struct sk_buff *skb, __u16 header)
{
	return header - (__u32)(BPF_CORE_READ(skb, data) - BPF_CORE_READ(skb, head));
}

static __always_inline __u32 skb_tcp_header_len(struct __sk_buff *skb, __u32 at)
{
	__u8 offset;

	if (bpf_skb_load_bytes(skb, at + 12, &offset, sizeof(offset)))
		return 20;
	return (offset >> 4) * 4;
}

/* Inside a tunnel: the kernel knows where, and what the segments are. */
static __always_inline __u32 skb_inner_header_len(struct __sk_buff *skb)
{
	const struct sk_buff *kernel = skb_kernel(skb);
	__u32 at = skb_offset(kernel, BPF_CORE_READ(kernel, inner_transport_header));
	const struct skb_shared_info *info =
		(const void *)(BPF_CORE_READ(kernel, head) + BPF_CORE_READ(kernel, end));
	__u32 type = BPF_CORE_READ(info, gso_type);

	if (type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6))
		return at + skb_tcp_header_len(skb, at);
	return type & SKB_GSO_UDP_L4 ? at + 8 : at;
}

/* Bytes in front of the payload that each segment repeats. */
__noinline __u32 skb_segment_header_len(struct __sk_buff *skb, __u32 is_raw, __u32 start)
{
	struct parse_headers headers = {};

	if (BPF_CORE_READ_BITFIELD_PROBED(skb_kernel(skb), encapsulation))
		return skb_inner_header_len(skb) - start;
	if (!parse_ip(skb, is_raw, start, &headers))
		return 0;
	if (headers.protocol == PARSE_TCP)
		return headers.transport_at + skb_tcp_header_len(skb, headers.transport_at) - start;
	return headers.transport_at + (headers.protocol == PARSE_UDP ? 8 : 0) - start;
}

static __always_inline void skb_measure_segments(struct __sk_buff *skb, bool is_raw,
						 struct skb_wire *wire)
{
	__u32 header_len = skb_segment_header_len(skb, is_raw, wire->start);
	__u32 segments = skb->gso_segs;

	if (wire->has_tag)
		header_len += SKB_TAG_LEN;
	wire->gso_size = skb->gso_size;
	/* Not yet counted by whoever made it (a guest): as the kernel will do. */
	if (!segments && wire->gso_size && wire->len > header_len)
		segments = (wire->len - header_len + wire->gso_size - 1) / wire->gso_size;
	if (segments < 2)
		return;
	wire->count.wire_packets = segments;
	wire->count.bytes += (__u64)(segments - 1) * header_len;
}

static __always_inline void skb_measure(struct __sk_buff *skb, bool is_raw, struct skb_wire *wire)
{
	*wire = (struct skb_wire){ .len = skb->len };
	if (is_raw) {
		/* Some devices leave a header of their own in front, which is on no wire. */
		wire->start =
			skb_offset(skb_kernel(skb), BPF_CORE_READ(skb_kernel(skb), network_header));
		if (wire->start >= wire->len)
			wire->start = 0;
		wire->len -= wire->start;
	} else if (skb->vlan_present) {
		wire->has_tag = true;
		wire->len += SKB_TAG_LEN;
	}
	wire->count.wire_packets = 1;
	wire->count.bytes = wire->len;
	if (skb->gso_size)
		skb_measure_segments(skb, is_raw, wire);
}
