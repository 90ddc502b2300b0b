/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The layers of a packet: the frame, and what tunnels carry, one inside the other. A layer begins
 * with Ethernet or with IP. Tunnels are VXLAN, GENEVE, GRE (version 0) and IP in IP.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

#define LAYERS_MAX 4 /* looked at: the frame, and a tunnel in a tunnel in a tunnel */
#define LAYER_ARP_LEN 28
#define LAYER_UDP_LEN 8
#define LAYER_VXLAN_LEN 8
#define LAYER_GENEVE_LEN 8

enum layer_port { LAYER_VXLAN = 4789, LAYER_VXLAN_LINUX = 8472, LAYER_GENEVE = 6081 };
enum layer_gre {
	LAYER_GRE_CHECKSUM = 0x8000,
	LAYER_GRE_ROUTING = 0x4000,
	LAYER_GRE_KEY = 0x2000,
	LAYER_GRE_SEQUENCE = 0x1000,
	LAYER_GRE_VERSION = 7,
	LAYER_GRE_ETHERNET = 0x6558, /* the type of Ethernet, in GENEVE as well */
};

struct layer {
	struct parse_headers headers; /* if it is IP */
	__u32 start, end;	      /* offsets in the packet's data */
	__u32 is_raw;		      /* begins with IP, else with Ethernet */
	__u32 type;		      /* EtherType; 0: none */
	__u32 payload_at;	      /* behind the last header that is understood */
};

struct layer_gre_header {
	__be16 flags, type;
};

struct layer_udp_header {
	__be16 source, destination;
};

struct layer_geneve_header {
	__u8 version_len, flags;
	__be16 type;
};

static __always_inline void layer_begin(struct layer *layer, const struct xcap_frame *frame,
					__u32 is_raw)
{
	*layer = (struct layer){
		.start = frame->start,
		.end = frame->start + frame->len - (frame->has_tag ? sizeof(frame->tag) : 0),
		.is_raw = is_raw,
		.payload_at = frame->start,
	};
}

/* units of 4 bytes in the upper half of a byte; least: if it is cut off, or makes no sense. */
static __always_inline __u32 layer_header_len(parse_context *context, __u32 at, __u32 least)
{
	__u8 copy, *byte = parse_peek(context, at, &copy, sizeof(copy));
	__u32 len = byte ? (*byte >> 4) * 4 : 0;

	return len < least ? least : len;
}

static __always_inline __u32 layer_gre_len(__u32 flags)
{
	return sizeof(struct layer_gre_header) + !!(flags & LAYER_GRE_CHECKSUM) * 4 +
	       !!(flags & LAYER_GRE_KEY) * 4 + !!(flags & LAYER_GRE_SEQUENCE) * 4;
}

/* Flags and version of GRE, and its type in the upper half; 0: cut off. */
static __always_inline __u32 layer_gre(parse_context *context, __u32 at)
{
	struct layer_gre_header copy, *gre = parse_peek(context, at, &copy, sizeof(copy));

	return gre ? (__u32)bpf_ntohs(gre->type) << 16 | bpf_ntohs(gre->flags) : 0;
}

/* Of the transport header; 0: of a protocol that has none, or that is not known. */
static __always_inline __u32 layer_transport_len(parse_context *context,
						 const struct parse_headers *headers)
{
	switch (headers->protocol) {
	case PARSE_TCP:
		return layer_header_len(context, headers->transport_at + 12, 20);
	case PARSE_DCCP:
		return layer_header_len(context, headers->transport_at + 4, 12);
	case PARSE_GRE:
		return layer_gre_len(layer_gre(context, headers->transport_at));
	case PARSE_UDP:
	case PARSE_UDPLITE:
	case PARSE_ICMP:
	case PARSE_ICMPV6:
		return 8;
	case PARSE_SCTP:
		return 12;
	}
	return 0;
}

/* Reads the headers of the layer. 0: it is not IP. */
__noinline int layer_parse(parse_context *context, struct layer *layer)
{
	struct parse_headers headers = {};
	__u32 next;

	if (!layer)
		return 0;
	next = parse_link(context, layer->is_raw, layer->start);
	layer->type = next & 0xffff;
	if (next)
		layer->payload_at = next >> 16;
	else if (!layer->is_raw)
		layer->payload_at = layer->start + sizeof(struct ethhdr);
	if (layer->type == PARSE_ARP)
		layer->payload_at += LAYER_ARP_LEN;
	if (!parse_network(context, next, &headers))
		return 0;
	layer->headers = headers;
	layer->payload_at = headers.transport_at;
	if (!headers.is_fragment)
		layer->payload_at += layer_transport_len(context, &headers);
	/* Ethernet's padding belongs to nobody. */
	if (headers.end > headers.transport_at && headers.end < layer->end)
		layer->end = headers.end;
	return 1;
}

/* The layer becomes what begins at offset at: of an EtherType, or LAYER_GRE_ETHERNET. */
static __always_inline int layer_enter_type(struct layer *layer, __u32 at, __u32 type)
{
	if (type != PARSE_IPV4 && type != PARSE_IPV6 && type != LAYER_GRE_ETHERNET)
		return 0;
	if (at >= layer->end)
		return 0;
	layer->start = layer->payload_at = at;
	layer->is_raw = type != LAYER_GRE_ETHERNET;
	return 1;
}

static __always_inline int layer_enter_gre(parse_context *context, struct layer *layer)
{
	__u32 at = layer->headers.transport_at, gre = layer_gre(context, at);

	if (gre & (LAYER_GRE_ROUTING | LAYER_GRE_VERSION))
		return 0;
	return layer_enter_type(layer, at + layer_gre_len(gre), gre >> 16);
}

static __always_inline int layer_enter_vxlan(parse_context *context, struct layer *layer, __u32 at)
{
	__u8 copy, *flags = parse_peek(context, at, &copy, sizeof(copy));

	/* Valid is the VNI. */
	if (!flags || !(*flags & 0x08))
		return 0;
	return layer_enter_type(layer, at + LAYER_VXLAN_LEN, LAYER_GRE_ETHERNET);
}

static __always_inline int layer_enter_geneve(parse_context *context, struct layer *layer, __u32 at)
{
	struct layer_geneve_header copy, *geneve = parse_peek(context, at, &copy, sizeof(copy));

	if (!geneve || geneve->version_len >> 6)
		return 0;
	return layer_enter_type(layer, at + LAYER_GENEVE_LEN + (geneve->version_len & 0x3f) * 4,
				bpf_ntohs(geneve->type));
}

static __always_inline int layer_enter_udp(parse_context *context, struct layer *layer)
{
	__u32 at = layer->headers.transport_at;
	struct layer_udp_header copy, *udp = parse_peek(context, at, &copy, sizeof(copy));

	if (!udp)
		return 0;
	switch (bpf_ntohs(udp->destination)) {
	case LAYER_VXLAN:
	case LAYER_VXLAN_LINUX:
		return layer_enter_vxlan(context, layer, at + LAYER_UDP_LEN);
	case LAYER_GENEVE:
		return layer_enter_geneve(context, layer, at + LAYER_UDP_LEN);
	}
	return 0;
}

/* From a layer that is IP into what it carries. 0: it is no tunnel, or not its beginning. */
__noinline int layer_enter(parse_context *context, struct layer *layer)
{
	if (!layer || layer->headers.is_fragment)
		return 0;
	switch (layer->headers.protocol) {
	case PARSE_IPV4_INSIDE:
		return layer_enter_type(layer, layer->headers.transport_at, PARSE_IPV4);
	case PARSE_IPV6_INSIDE:
		return layer_enter_type(layer, layer->headers.transport_at, PARSE_IPV6);
	case PARSE_GRE:
		return layer_enter_gre(context, layer);
	case PARSE_UDP:
		return layer_enter_udp(context, layer);
	}
	return 0;
}

/* To the innermost layer, whose headers are read. 1: it is IP. */
__noinline int layer_descend(parse_context *context, struct layer *layer)
{
	int is_ip = 0;

	for (int i = 0; i < LAYERS_MAX; i++) {
		is_ip = layer_parse(context, layer);
		if (!is_ip || i == LAYERS_MAX - 1 || !layer_enter(context, layer))
			break;
	}
	return is_ip;
}
