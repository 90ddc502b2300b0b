/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of addresses, half of it allowed and half denied: what is accepted becomes tables that say
 * of the first address of each prefix, and of one beside it, what the list, searched prefix by
 * prefix, says.
 */
#include <assert.h>
#include <linux/types.h>
#include <stdint.h>

#include "bpf/prefixes_table.h"
#include "selftests/fuzz/fuzz.h"

#define COUNT_MAX 2000

static uint64_t mask(unsigned int length)
{
	return length ? ~0ull << (64 - length) : 0;
}

static uint32_t find(const struct prefixes_tables *tables, uint64_t high, uint64_t low,
		     unsigned int length)
{
	const struct xcap_lists *config = &tables->config;
	uint64_t hash = xcap_prefix_hash(high, low, length, config->seed);
	uint64_t bits = xcap_prefix_bits(hash), hint, half;
	const struct xcap_prefixes *prefixes;
	struct xcap_prefix_slot slot;
	uint32_t tag, at;

	if (!config->elements)
		return 0;
	hint = tables->hints[xcap_prefix_hint(hash, high, low, config->network, config->lines)];
	slot = xcap_prefix_slot(hash, hint, config->elements);
	prefixes = &tables->table[slot.element];
	tag = prefixes->tags >> slot.at * 9 & 511;
	half = prefixes->halves[slot.at];
	if ((hint & bits) != bits || tag >> 2 != xcap_prefix_code(length))
		return 0;
	if (!xcap_prefix_is_long(length))
		return half == high ? tag & 3 : 0;
	at = half >> 32 & 0xff;
	assert((uint32_t)half < tables->table_len && at < XCAP_PREFIXES_LONG_EACH);
	prefixes = &tables->table[(uint32_t)half];
	if (half >> 40 != length || prefixes->longs[at].high != high ||
	    prefixes->longs[at].low != low)
		return 0;
	return tag & 3;
}

static uint32_t find_network(const struct prefixes_tables *tables, uint64_t high, uint64_t low,
			     unsigned int length)
{
	if (length <= 64 || length > 128)
		return find(tables, high & mask(length & 127), 0, length);
	return find(tables, high, low & mask(length - 64), length);
}

/* As bpf/prefixes.bpf.h does. */
static enum xcap_verdict lookup(const struct prefixes_tables *tables, const uint64_t address[2])
{
	bool is_ipv4 = address[0] == 0 && address[1] >> 32 == 0xffff;
	const struct xcap_lists *config = &tables->config;
	unsigned int from = 0, to = is_ipv4 ? config->ipv4_count : config->ipv6_count, middle;
	uint32_t network = (uint32_t)address[1] >> 8, found = XCAP_NONE + 1, state;
	enum xcap_verdict verdict;

	if (is_ipv4 && !tables->ipv4)
		return XCAP_NONE;
	if (is_ipv4) {
		verdict = tables->ipv4[network / 32] >> network % 32 * 2 & 3;
		if (verdict != XCAP_LONGER)
			return verdict;
	}
	while (from < to) {
		middle = (from + to) / 2;
		if (is_ipv4)
			state = find_network(tables, address[1] << 32, 0,
					     config->ipv4_lengths[middle]);
		else
			state = find_network(tables, address[0], address[1],
					     config->ipv6_lengths[middle]);
		if (state) {
			found = state;
			from = middle + 1;
		} else {
			to = middle;
		}
	}
	return found - 1;
}

static void compare(const struct prefixes_tables *tables, const struct prefixes *prefixes,
		    const uint64_t address[2])
{
	assert(lookup(tables, address) == prefixes_lookup(prefixes, address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	struct prefixes prefixes = {};
	struct prefixes_tables tables;
	char error[EXPLAIN_LEN];

	if (prefixes_add_text(&prefixes, XCAP_ALLOW, text, len / 2, "first", error) ||
	    prefixes_add_text(&prefixes, XCAP_DENY, text + len / 2, len - len / 2, "second",
			      error) ||
	    prefixes_finish(&prefixes, error))
		goto out;
	assert(!prefixes_tables_build(&tables, &prefixes));
	for (size_t i = 0; i < prefixes.count && prefixes.count < COUNT_MAX; i++) {
		const struct prefix *prefix = &prefixes.list[i];

		compare(&tables, &prefixes, prefix->address);
		/* And beside it. */
		if (prefix->length) {
			uint64_t beside[2] = { prefix->address[0], prefix->address[1] };
			unsigned int last = prefix->length - 1u;

			beside[last / 64] ^= 1ull << (63 - last % 64);
			compare(&tables, &prefixes, beside);
		}
	}
	prefixes_tables_release(&tables);
out:
	prefixes_release(&prefixes);
	return 0;
}
