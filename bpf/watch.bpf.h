/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Watched flows: 5-tuples that userspace writes while the programs run. Later fragments have no
 * ports: those of the first one, which has come before them, are kept for them.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

#define WATCH_FRAGMENTS_MAX 4096
#define WATCH_NO_PREALLOC 1 /* BPF_F_NO_PREALLOC */

const volatile __u32 xcap_can_watch = 0; /* the maps are there */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XCAP_WATCH_MAX);
	__uint(map_flags, WATCH_NO_PREALLOC);
	__type(key, struct xcap_watch_key);
	__type(value, struct xcap_watch);
} xcap_watch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xcap_watching);
} xcap_watching SEC(".maps");

/* A packet in pieces, and the ports that it has. */
struct watch_fragment_key {
	struct in6_addr source, destination;
	__u32 id;
	__u32 protocol;
};

struct watch_ports {
	__be16 source, destination;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WATCH_FRAGMENTS_MAX);
	__type(key, struct watch_fragment_key);
	__type(value, struct watch_ports);
} xcap_fragments SEC(".maps");

/* Is there anything to look for? Cheap, for every packet. */
static __always_inline bool watch_any(void)
{
	const struct xcap_watching *watching;
	__u32 key = 0;

	if (!xcap_can_watch)
		return false;
	watching = bpf_map_lookup_elem(&xcap_watching, &key);
	return watching && watching->count;
}

static __always_inline bool watch_has_ports(__u8 protocol)
{
	return protocol == PARSE_TCP || protocol == PARSE_UDP || protocol == PARSE_DCCP ||
	       protocol == PARSE_SCTP || protocol == PARSE_UDPLITE;
}

/* Is a behind b, as bytes? */
static __always_inline bool watch_is_behind(const struct in6_addr *a, __be16 a_port,
					    const struct in6_addr *b, __be16 b_port)
{
	for (int i = 0; i < 4; i++) {
		if (a->u6_addr32[i] != b->u6_addr32[i])
			return bpf_ntohl(a->u6_addr32[i]) > bpf_ntohl(b->u6_addr32[i]);
	}
	return bpf_ntohs(a_port) > bpf_ntohs(b_port);
}

static __always_inline struct xcap_watch *watch_find(const struct parse_headers *headers,
						     struct watch_ports ports)
{
	bool turned = watch_is_behind(&headers->source, ports.source, &headers->destination,
				      ports.destination);
	const struct in6_addr *first = turned ? &headers->destination : &headers->source;
	const struct in6_addr *second = turned ? &headers->source : &headers->destination;
	struct xcap_watch_key key = { .protocol = headers->protocol };
	struct xcap_watch *watch;

	__builtin_memcpy(key.addresses[0], first, sizeof(*first));
	__builtin_memcpy(key.addresses[1], second, sizeof(*second));
	key.ports[0] = turned ? ports.destination : ports.source;
	key.ports[1] = turned ? ports.source : ports.destination;
	watch = bpf_map_lookup_elem(&xcap_watch, &key);
	return watch && bpf_ktime_get_ns() < watch->expires_ns ? watch : NULL;
}

static __always_inline void watch_fragment(const struct parse_headers *headers,
					   struct watch_fragment_key *ret)
{
	*ret = (struct watch_fragment_key){
		.source = headers->source,
		.destination = headers->destination,
		.id = headers->fragment_id,
		.protocol = headers->protocol,
	};
}

/* The ports of the packet; false: not to be known. */
static __always_inline bool watch_read_ports(parse_context *context,
					     const struct parse_headers *headers,
					     struct watch_ports *ret)
{
	struct watch_fragment_key fragment;
	struct watch_ports copy, *ports;

	*ret = (struct watch_ports){};
	if (!watch_has_ports(headers->protocol))
		return true;
	if (headers->is_fragment) {
		watch_fragment(headers, &fragment);
		ports = bpf_map_lookup_elem(&xcap_fragments, &fragment);
	} else {
		ports = parse_peek(context, headers->transport_at, &copy, sizeof(copy));
	}
	if (!ports)
		return false;
	*ret = *ports;
	return true;
}

/* Is it of a watched flow? Then it is counted there. */
static __always_inline bool watch_match(parse_context *context, const struct parse_headers *headers,
					const struct xcap_count *packet)
{
	struct watch_fragment_key fragment;
	struct watch_ports ports;
	struct xcap_watch *watch;

	if (!watch_read_ports(context, headers, &ports))
		return false;
	watch = watch_find(headers, ports);
	if (!watch)
		return false;
	if (headers->more_fragments && !headers->is_fragment &&
	    watch_has_ports(headers->protocol)) {
		watch_fragment(headers, &fragment);
		bpf_map_update_elem(&xcap_fragments, &fragment, &ports, 0);
	}
	__sync_fetch_and_add(&watch->packets, packet->wire_packets);
	__sync_fetch_and_add(&watch->bytes, packet->bytes);
	return true;
}
