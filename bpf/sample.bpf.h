/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which packets of many, and which flows: by a hash that is the same in both directions, on every
 * interface and host. A datagram in fragments goes by its addresses alone, all of it.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "bpf/layer.bpf.h"
#include "bpf/parse.bpf.h"

#define SAMPLE_SEED 0x78636170ull /* never to be changed: hosts of different versions agree */

struct sample_ports {
	__u16 source, destination;
};

/* Whatever number is equally likely. */
static __always_inline bool sample_is_in(__u32 number, __u32 one_of)
{
	return one_of < 2 || (__u64)number * one_of >> 32 == 0;
}

/* Each bit of the result depends on each of the value. */
static __always_inline __u64 sample_mix(__u64 value)
{
	value ^= value >> 32;
	value *= 0x9e3779b97f4a7c15ull;
	value ^= value >> 29;
	value *= 0xd6e8feb86659fd93ull;
	value ^= value >> 32;
	return value;
}

static __always_inline __u64 sample_end(const struct in6_addr *address, __u32 port)
{
	const __u32 *words = address->u6_addr32;
	__u64 hash = sample_mix(((__u64)words[0] << 32 | words[1]) ^ SAMPLE_SEED);

	hash = sample_mix(hash + ((__u64)words[2] << 32 | words[3]));
	return sample_mix(hash + port);
}

static __always_inline bool sample_has_ports(const struct parse_headers *headers)
{
	if (headers->is_fragment || headers->more_fragments)
		return false;
	switch (headers->protocol) {
	case PARSE_TCP:
	case PARSE_UDP:
	case PARSE_UDPLITE:
	case PARSE_SCTP:
	case PARSE_DCCP:
		return true;
	}
	return false;
}

static __always_inline __u64 sample_hash_ip(parse_context *context,
					    const struct parse_headers *headers)
{
	struct sample_ports none = {}, copy, *ports = NULL;

	if (sample_has_ports(headers))
		ports = parse_peek(context, headers->transport_at, &copy, sizeof(copy));
	if (!ports)
		ports = &none;
	return sample_end(&headers->source, ports->source) +
	       sample_end(&headers->destination, ports->destination) + headers->protocol;
}

/* What is not IP goes by its MAC addresses and type. */
static __always_inline __u64 sample_hash_other(parse_context *context, const struct layer *layer)
{
	struct ethhdr copy, *ethernet = NULL;
	struct in6_addr ends[2] = {};

	if (!layer->is_raw)
		ethernet = parse_peek(context, layer->start, &copy, sizeof(copy));
	if (!ethernet)
		return layer->type;
	__builtin_memcpy(&ends[0], ethernet->h_source, sizeof(ethernet->h_source));
	__builtin_memcpy(&ends[1], ethernet->h_dest, sizeof(ethernet->h_dest));
	return sample_end(&ends[0], 0) + sample_end(&ends[1], 0) + layer->type;
}

/* Of the frame's flow, or of the innermost one. */
__noinline __u32 sample_hash(parse_context *context, const struct xcap_frame *frame, __u32 is_raw,
			     __u32 innermost)
{
	struct layer layer;
	int is_ip;

	if (!frame)
		return 0;
	layer_begin(&layer, frame, is_raw);
	is_ip = innermost ? layer_descend(context, &layer) : layer_parse(context, &layer);
	return (__u32)sample_mix(is_ip ? sample_hash_ip(context, &layer.headers)
				       : sample_hash_other(context, &layer));
}
