/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Our own upload, both directions: TCP to or from an endpoint in xcap_self. */
#pragma once

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xcap_self);
} xcap_self SEC(".maps");

/* The ends of a connection, as in a packet. */
struct self_ends {
	struct in6_addr source, destination;
	__be16 source_port, destination_port;
};

struct self_ports {
	__be16 source, destination;
};

/* Is there anything to look for? Cheap, for every packet. */
static __always_inline const struct xcap_self *self_list(void)
{
	__u32 key = 0;
	const struct xcap_self *self = bpf_map_lookup_elem(&xcap_self, &key);

	return self && self->count ? self : NULL;
}

/* One branch, not five: the verifier follows each, for each endpoint. */
static __always_inline bool self_is(const struct xcap_endpoint *endpoint,
				    const struct in6_addr *address, __be16 port)
{
	const __u32 *own = (const __u32 *)endpoint->address;

	return !((endpoint->port ^ port) | (own[3] ^ address->u6_addr32[3]) |
		 (own[2] ^ address->u6_addr32[2]) | (own[1] ^ address->u6_addr32[1]) |
		 (own[0] ^ address->u6_addr32[0]));
}

__noinline bool self_has(const struct self_ends *ends)
{
	const struct xcap_self *self = self_list();

	if (!self || !ends)
		return false;
	for (__u32 i = 0; i < XCAP_SELF_MAX && i < self->count; i++) {
		if (self_is(&self->list[i], &ends->source, ends->source_port) ||
		    self_is(&self->list[i], &ends->destination, ends->destination_port))
			return true;
	}
	return false;
}

/* start and is_raw: as parse_ip(). */
__noinline bool self_match(parse_context *context, __u32 is_raw, __u32 start)
{
	struct parse_headers headers = {};
	struct self_ports copy, *ports;
	struct self_ends ends;

	if (!parse_ip(context, is_raw, start, &headers) || headers.protocol != PARSE_TCP ||
	    headers.is_fragment)
		return false;
	ports = parse_peek(context, headers.transport_at, &copy, sizeof(copy));
	if (!ports)
		return false;
	ends = (struct self_ends){ headers.source, headers.destination, ports->source,
				   ports->destination };
	return self_has(&ends);
}
