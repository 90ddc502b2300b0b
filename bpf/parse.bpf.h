/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the start of a packet to its transport header: Ethernet with any VLAN tags in band, IPv4
 * with options, IPv6 with extension headers. What is linear is read in place, the rest is copied.
 * The only file that computes addresses in a packet. PARSE_XDP: contexts are struct xdp_md, else
 * struct __sk_buff.
 *
 * Functions that are not static are looked at once by the verifier for whatever they are called
 * with, and not once on every path that leads there: a layer each, else paths multiply.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PARSE_VLANS_MAX 4
#define PARSE_EXTENSIONS_MAX 8
#define PARSE_OFFSET_MAX 16384 /* no header begins behind it */

#ifdef PARSE_XDP
typedef struct xdp_md parse_context;
#define parse_load bpf_xdp_load_bytes
#else
typedef struct __sk_buff parse_context;
#define parse_load bpf_skb_load_bytes
#endif

enum parse_ether { PARSE_IPV4 = 0x0800, PARSE_ARP = 0x0806, PARSE_IPV6 = 0x86dd };
enum parse_protocol {
	PARSE_HOP_BY_HOP = 0,
	PARSE_ICMP = 1,
	PARSE_IPV4_INSIDE = 4,
	PARSE_TCP = 6,
	PARSE_UDP = 17,
	PARSE_DCCP = 33,
	PARSE_IPV6_INSIDE = 41,
	PARSE_ROUTING = 43,
	PARSE_FRAGMENT = 44,
	PARSE_GRE = 47,
	PARSE_AH = 51,
	PARSE_ICMPV6 = 58,
	PARSE_DESTINATION = 60,
	PARSE_SCTP = 132,
	PARSE_MOBILITY = 135,
	PARSE_UDPLITE = 136,
};

struct parse_headers {
	struct in6_addr source, destination; /* IPv4 mapped */
	__u32 transport_at;		     /* offset of the transport header */
	__u32 end;	  /* offset behind the packet by IP's own length; 0: it tells none */
	__u8 protocol;	  /* of the transport header, which is there unless is_fragment */
	bool is_fragment; /* other than the first */
	bool more_fragments;
	__u8 pad;
	__u32 fragment_id; /* of a fragment; IPv4: of any packet */
};

/* len bytes at offset at: in place, or copied to copy; NULL if the packet ends before. */
static __always_inline void *parse_peek(parse_context *context, __u32 at, void *copy, __u32 len)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	/* The verifier is to see the bound of this very value, not of one it was computed from. */
	asm volatile("" : "+r"(at));
	if (at > PARSE_OFFSET_MAX)
		return NULL;
	if (data + at + len <= end)
		return data + at;
	return parse_load(context, at, copy, len) ? NULL : copy;
}

static __always_inline bool parse_is_vlan(__be16 type)
{
	return type == bpf_htons(0x8100) || type == bpf_htons(0x88a8) || type == bpf_htons(0x9100);
}

/* EtherType behind the tags, and in the upper half where its header begins; 0: none. */
__noinline __u32 parse_ethernet(parse_context *context, __u32 start)
{
	struct ethhdr copy, *ethernet = parse_peek(context, start, &copy, sizeof(copy));
	__u32 at = start + sizeof(copy);
	__be16 type;

	if (!ethernet)
		return 0;
	type = ethernet->h_proto;
	for (int i = 0; i < PARSE_VLANS_MAX && parse_is_vlan(type); i++) {
		struct vlan_hdr tag_copy, *tag;

		tag = parse_peek(context, at, &tag_copy, sizeof(tag_copy));
		if (!tag)
			return 0;
		type = tag->h_vlan_encapsulated_proto;
		at += sizeof(*tag);
	}
	return at << 16 | bpf_ntohs(type);
}

/* The same of a packet without link layer header, by the version of IP. */
static __always_inline __u32 parse_raw(parse_context *context, __u32 start)
{
	__u8 copy, *first = parse_peek(context, start, &copy, sizeof(copy));

	if (!first)
		return 0;
	return start << 16 | (*first >> 4 == 4 ? PARSE_IPV4 : *first >> 4 == 6 ? PARSE_IPV6 : 0);
}

static __always_inline void parse_map_ipv4(struct in6_addr *to, __be32 address)
{
	to->u6_addr32[0] = 0;
	to->u6_addr32[1] = 0;
	to->u6_addr32[2] = bpf_htonl(0xffff);
	to->u6_addr32[3] = address;
}

static __always_inline bool parse_ipv4(parse_context *context, __u32 at,
				       struct parse_headers *headers)
{
	struct iphdr copy, *ip = parse_peek(context, at, &copy, sizeof(copy));

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return false;
	headers->protocol = ip->protocol;
	headers->is_fragment = ip->frag_off & bpf_htons(0x1fff);
	headers->more_fragments = ip->frag_off & bpf_htons(0x2000);
	headers->fragment_id = ip->id;
	parse_map_ipv4(&headers->source, ip->saddr);
	parse_map_ipv4(&headers->destination, ip->daddr);
	headers->transport_at = at + ip->ihl * 4;
	headers->end = ip->tot_len ? at + bpf_ntohs(ip->tot_len) : 0;
	return true;
}

static __always_inline bool parse_is_extension(__u8 protocol)
{
	return protocol == PARSE_HOP_BY_HOP || protocol == PARSE_ROUTING ||
	       protocol == PARSE_FRAGMENT || protocol == PARSE_AH ||
	       protocol == PARSE_DESTINATION || protocol == PARSE_MOBILITY;
}

/* Past the extension headers, the first of which is at transport_at. */
__noinline bool parse_extensions(parse_context *context, struct parse_headers *headers)
{
	struct frag_hdr copy, *option;
	__u8 protocol;
	__u32 at;

	if (!headers)
		return false;
	protocol = headers->protocol;
	at = headers->transport_at;
	for (int i = 0; i < PARSE_EXTENSIONS_MAX && parse_is_extension(protocol); i++) {
		option = parse_peek(context, at, &copy, sizeof(copy));
		if (!option)
			return false;
		if (protocol == PARSE_FRAGMENT) {
			headers->is_fragment = option->frag_off & bpf_htons(0xfff8);
			headers->more_fragments = option->frag_off & bpf_htons(1);
			headers->fragment_id = option->identification;
			at += sizeof(*option);
		} else if (protocol == PARSE_AH) {
			at += (option->reserved + 2) * 4;
		} else {
			at += (option->reserved + 1) * 8;
		}
		protocol = option->nexthdr;
		if (headers->is_fragment)
			break;
	}
	headers->protocol = protocol;
	headers->transport_at = at;
	return true;
}

static __always_inline bool parse_ipv6(parse_context *context, __u32 at,
				       struct parse_headers *headers)
{
	struct ipv6hdr copy, *ip = parse_peek(context, at, &copy, sizeof(copy));

	if (!ip || ip->version != 6)
		return false;
	headers->protocol = ip->nexthdr;
	headers->is_fragment = headers->more_fragments = false;
	headers->fragment_id = 0;
	headers->source = ip->saddr;
	headers->destination = ip->daddr;
	headers->transport_at = at + sizeof(*ip);
	headers->end = ip->payload_len ? at + sizeof(*ip) + bpf_ntohs(ip->payload_len) : 0;
	return parse_is_extension(headers->protocol) ? parse_extensions(context, headers) : true;
}

/* Type of what is behind the link layer, if there is one, as parse_ethernet(). */
static __always_inline __u32 parse_link(parse_context *context, bool is_raw, __u32 start)
{
	return is_raw ? parse_raw(context, start) : parse_ethernet(context, start);
}

/* next: of parse_link(). False: it is not IP. */
static __always_inline bool parse_network(parse_context *context, __u32 next,
					  struct parse_headers *headers)
{
	switch (next & 0xffff) {
	case PARSE_IPV4:
		return parse_ipv4(context, next >> 16, headers);
	case PARSE_IPV6:
		return parse_ipv6(context, next >> 16, headers);
	}
	return false;
}

/* start: of the IP header if is_raw, else of Ethernet. False: it is not IP. */
static __always_inline bool parse_ip(parse_context *context, bool is_raw, __u32 start,
				     struct parse_headers *headers)
{
	return parse_network(context, parse_link(context, is_raw, start), headers);
}
