/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists of addresses: does what the longest matching prefixes say let a packet through? IPv4 up to
 * /24 is looked up in a table of all 2^24 networks; what is longer, and IPv6, in a hash table, by
 * binary search over the lengths that occur: a step finds a prefix or a signpost, and goes on among
 * the longer lengths, or finds nothing, and goes on among the shorter ones.
 * Documentation/filters.md tells why it is no LPM trie.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/parse.bpf.h"
#include "bpf/xcap_abi.h"

#define PREFIXES_STEPS 8	     /* of a search among 129 lengths */
#define PREFIXES_MAP_FLAGS (1 << 10) /* BPF_F_MMAPABLE */

const volatile struct xcap_lists xcap_lists = {};

/* By network: 32 to the element, 2 bits each, the first in the lowest: enum xcap_verdict. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, PREFIXES_MAP_FLAGS);
	__type(key, __u32);
	__type(value, __u64);
} xcap_ipv4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, PREFIXES_MAP_FLAGS);
	__type(key, __u32);
	__type(value, struct xcap_prefixes);
} xcap_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, PREFIXES_MAP_FLAGS);
	__type(key, __u32);
	__type(value, __u64);
} xcap_hints SEC(".maps");

/* Not read by a program: it tells xcapctl. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xcap_list_counts);
} xcap_listed SEC(".maps");

/* Is that the address at this place, and the length? */
static __always_inline bool prefixes_is_at(__u64 place, __u64 high, __u64 low, __u32 length)
{
	__u32 element = (__u32)place, at = place >> 32 & 0xff;
	const struct xcap_prefixes *prefixes;

	if (place >> 40 != length || at >= XCAP_PREFIXES_LONG_EACH)
		return false;
	prefixes = bpf_map_lookup_elem(&xcap_prefixes, &element);
	return prefixes && prefixes->longs[at].high == high && prefixes->longs[at].low == low;
}

/* What is written at a prefix, plus 1; 0: there is none. */
__noinline __u32 prefixes_find(__u64 high, __u64 low, __u32 length)
{
	__u64 hash = xcap_prefix_hash(high, low, length, xcap_lists.seed);
	__u64 bits = xcap_prefix_bits(hash);
	const struct xcap_prefixes *prefixes;
	struct xcap_prefix_slot slot;
	const __u64 *hint;
	__u32 element, tag;

	if (!xcap_lists.elements)
		return 0;
	element = xcap_prefix_hint(hash, high, low, xcap_lists.network, xcap_lists.lines);
	hint = bpf_map_lookup_elem(&xcap_hints, &element);
	if (!hint || (*hint & bits) != bits)
		return 0;
	slot = xcap_prefix_slot(hash, *hint, xcap_lists.elements);
	prefixes = bpf_map_lookup_elem(&xcap_prefixes, &slot.element);
	if (!prefixes || slot.at >= XCAP_PREFIXES_EACH)
		return 0;
	tag = prefixes->tags >> slot.at * 9 & 511;
	if (tag >> 2 != xcap_prefix_code(length))
		return 0;
	if (xcap_prefix_is_long(length)) {
		if (!prefixes_is_at(prefixes->halves[slot.at], high, low, length))
			return 0;
	} else if (prefixes->halves[slot.at] != high) {
		return 0;
	}
	return tag & 3;
}

static __always_inline __u64 prefixes_mask(__u32 length)
{
	return length ? ~0ull << (64 - length) : 0;
}

static __always_inline enum xcap_verdict
prefixes_search(__u64 high, __u64 low, const volatile __u8 *lengths, __u32 lengths_max, __u32 count)
{
	__u32 found = XCAP_NONE + 1, state, from = 0, middle, length;

	for (__u32 i = 0; i < PREFIXES_STEPS && from < count; i++) {
		middle = (from + count) / 2;
		if (middle >= lengths_max)
			break;
		length = lengths[middle];
		if (xcap_prefix_is_long(length))
			state = prefixes_find(high, low & prefixes_mask((length - 64) & 127),
					      length);
		else
			state = prefixes_find(high & prefixes_mask(length & 127), 0, length);
		if (state) {
			found = state;
			from = middle + 1;
		} else {
			count = middle;
		}
	}
	return found - 1;
}

static __always_inline enum xcap_verdict prefixes_ipv4(__u32 address)
{
	__u32 network = address >> 8, element = network / 32;
	const __u64 *networks;
	enum xcap_verdict verdict;

	if (!xcap_lists.has_ipv4)
		return XCAP_NONE;
	networks = bpf_map_lookup_elem(&xcap_ipv4, &element);
	if (!networks)
		return XCAP_NONE;
	verdict = *networks >> network % 32 * 2 & 3;
	if (verdict != XCAP_LONGER)
		return verdict;
	return prefixes_search((__u64)address << 32, 0, xcap_lists.ipv4_lengths,
			       sizeof(xcap_lists.ipv4_lengths), xcap_lists.ipv4_count);
}

/* enum xcap_verdict of an address. */
__noinline __u32 prefixes_verdict(const struct in6_addr *address)
{
	__u64 high, low;

	if (!address)
		return XCAP_NONE;
	high = (__u64)bpf_ntohl(address->u6_addr32[0]) << 32 | bpf_ntohl(address->u6_addr32[1]);
	low = (__u64)bpf_ntohl(address->u6_addr32[2]) << 32 | bpf_ntohl(address->u6_addr32[3]);
	if (!high && low >> 32 == 0xffff)
		return prefixes_ipv4((__u32)low);
	return prefixes_search(high, low, xcap_lists.ipv6_lengths, sizeof(xcap_lists.ipv6_lengths),
			       xcap_lists.ipv6_count);
}

/* Do the lists let it through? headers: NULL if it is not IP. */
static __always_inline bool prefixes_pass(const struct parse_headers *headers)
{
	enum xcap_verdict source, destination;

	if (!headers)
		return !xcap_lists.needs_allow;
	source = prefixes_verdict(&headers->source);
	if (source == XCAP_DENY)
		return false;
	destination = prefixes_verdict(&headers->destination);
	if (destination == XCAP_DENY)
		return false;
	return !xcap_lists.needs_allow || source == XCAP_ALLOW || destination == XCAP_ALLOW;
}
