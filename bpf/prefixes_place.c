/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A perfect hash table ("hash, displace"): nodes whose hashes begin alike share a hint, and for
 * each hint, those of most nodes first, a number is looked for that leads all of its nodes to slots
 * that are still free. A few tries do for most, some hundred for the last ones.
 */
#include "bpf/prefixes_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODES_PER_HINT 4
#define NUMBERS (1u << (64 - XCAP_HINT_BITS))
#define SLOTS_FREE 32 /* one of so many */
#define SHARE_GOOD 24 /* nodes of a hint, at most; more are too many of a network */
#define SHARE_MAX 64  /* more mean a bad seed */
#define TRIES 32      /* each with another seed and more slots */

struct placer {
	struct prefixes_tables *tables;
	const struct prefixes_node *nodes;
	size_t count;
	uint64_t *hashes;  /* by node, as the next two */
	uint32_t *hints;   /* which is its */
	uint32_t *slots;   /* the same, all of an element, then of the next */
	uint32_t *first;   /* by hint, and one more: where its nodes begin in members */
	uint32_t *members; /* nodes, by hint */
	uint32_t *order;   /* hints, those of most nodes first */
	bool *taken;	   /* by slot */
};

static size_t slot_count(const struct placer *placer)
{
	return (size_t)placer->tables->config.elements * XCAP_PREFIXES_EACH;
}

static void find_sizes(struct placer *placer)
{
	struct prefixes_tables *tables = placer->tables;
	size_t slots = placer->count + placer->count / SLOTS_FREE + 1, longs = 0;

	slots += slots / 8 * tables->config.seed;
	for (size_t i = 0; i < placer->count; i++)
		longs += xcap_prefix_is_long(placer->nodes[i].length);
	tables->config.elements = (uint32_t)(slots / XCAP_PREFIXES_EACH + 1);
	tables->table_len = tables->config.elements +
			    (longs + XCAP_PREFIXES_LONG_EACH - 1) / XCAP_PREFIXES_LONG_EACH;
	tables->config.lines = (uint32_t)(placer->count / NODES_PER_HINT / XCAP_HINTS_LINE + 1);
	tables->hints_len = (size_t)tables->config.lines * XCAP_HINTS_LINE;
}

static int allocate(struct placer *placer)
{
	struct prefixes_tables *tables = placer->tables;

	placer->hashes = calloc(placer->count, sizeof(*placer->hashes));
	placer->hints = calloc(placer->count, sizeof(*placer->hints));
	placer->slots = calloc(placer->count, sizeof(*placer->slots));
	placer->first = calloc(tables->hints_len + 1, sizeof(*placer->first));
	placer->members = calloc(placer->count, sizeof(*placer->members));
	placer->order = calloc(tables->hints_len, sizeof(*placer->order));
	placer->taken = calloc(slot_count(placer), sizeof(*placer->taken));
	tables->hints = calloc(tables->hints_len, sizeof(*tables->hints));
	tables->table = calloc(tables->table_len, sizeof(*tables->table));
	return placer->hashes && placer->hints && placer->slots && placer->first &&
			       placer->members && placer->order && placer->taken && tables->hints &&
			       tables->table
		       ? 0
		       : -ENOMEM;
}

static void release(struct placer *placer)
{
	free(placer->hashes);
	free(placer->hints);
	free(placer->slots);
	free(placer->first);
	free(placer->members);
	free(placer->order);
	free(placer->taken);
}

static uint32_t share(const struct placer *placer, uint32_t hint)
{
	return placer->first[hint + 1] - placer->first[hint];
}

static void hash_nodes(struct placer *placer)
{
	const struct xcap_lists *config = &placer->tables->config;

	for (size_t i = 0; i < placer->count; i++) {
		const struct prefixes_node *node = &placer->nodes[i];
		uint64_t hash = xcap_prefix_hash(node->high, node->low, node->length, config->seed);

		placer->hashes[i] = hash;
		placer->hints[i] = xcap_prefix_hint(hash, node->high, node->low, config->network,
						    config->lines);
	}
}

/* Members of each hint. False: too many of one. */
static bool gather(struct placer *placer, uint32_t max)
{
	size_t hints = placer->tables->hints_len;

	memset(placer->first, 0, (hints + 1) * sizeof(*placer->first));
	for (size_t i = 0; i < placer->count; i++)
		placer->first[placer->hints[i]]++;
	for (uint32_t i = 0, sum = 0; i <= hints; i++) {
		if (placer->first[i] > max)
			return false;
		sum += placer->first[i];
		placer->first[i] = sum;
	}
	for (size_t i = placer->count; i-- > 0;)
		placer->members[--placer->first[placer->hints[i]]] = (uint32_t)i;
	return true;
}

static void sort_hints(struct placer *placer)
{
	uint32_t at[SHARE_MAX + 2] = {};

	for (uint32_t i = 0; i < placer->tables->hints_len; i++)
		at[SHARE_MAX - share(placer, i) + 1]++;
	for (uint32_t i = 1; i <= SHARE_MAX; i++)
		at[i] += at[i - 1];
	for (uint32_t i = 0; i < placer->tables->hints_len; i++)
		placer->order[at[SHARE_MAX - share(placer, i)]++] = i;
}

/* Slots for all nodes of a hint, or none. */
static bool take_slots(struct placer *placer, uint32_t hint)
{
	struct prefixes_tables *tables = placer->tables;

	for (uint32_t i = placer->first[hint]; i < placer->first[hint + 1]; i++) {
		uint32_t node = placer->members[i];
		struct xcap_prefix_slot slot = xcap_prefix_slot(
			placer->hashes[node], tables->hints[hint], tables->config.elements);

		placer->slots[node] = slot.element * XCAP_PREFIXES_EACH + slot.at;
		if (placer->taken[placer->slots[node]]) {
			while (i-- > placer->first[hint])
				placer->taken[placer->slots[placer->members[i]]] = false;
			return false;
		}
		placer->taken[placer->slots[node]] = true;
	}
	return true;
}

static bool place_hint(struct placer *placer, uint32_t hint)
{
	uint64_t bits = 0;

	for (uint32_t i = placer->first[hint]; i < placer->first[hint + 1]; i++)
		bits |= xcap_prefix_bits(placer->hashes[placer->members[i]]);
	for (uint64_t number = 0; number < NUMBERS; number++) {
		placer->tables->hints[hint] = number << XCAP_HINT_BITS | bits;
		if (take_slots(placer, hint))
			return true;
	}
	return false;
}

/* network: the length that its prefixes share a line by; share_max: nodes a hint may have. */
static bool place_by(struct placer *placer, unsigned int network, uint32_t share_max)
{
	placer->tables->config.network = ~0ull << (64 - network);
	hash_nodes(placer);
	if (!gather(placer, share_max))
		return false;
	sort_hints(placer);
	memset(placer->taken, 0, slot_count(placer) * sizeof(*placer->taken));
	for (size_t i = 0; i < placer->tables->hints_len; i++) {
		if (!place_hint(placer, placer->order[i]))
			return false;
	}
	return true;
}

/* -EAGAIN: not with this seed, in so many slots. */
static int place_all(struct placer *placer)
{
	for (unsigned int network = 32; network < 64; network += 8) {
		if (place_by(placer, network, SHARE_GOOD))
			return 0;
	}
	return place_by(placer, 64, SHARE_MAX) ? 0 : -EAGAIN;
}

static void write_elements(const struct placer *placer)
{
	struct prefixes_tables *tables = placer->tables;
	uint32_t longs = 0;

	for (size_t i = 0; i < placer->count; i++) {
		const struct prefixes_node *node = &placer->nodes[i];
		uint32_t at = placer->slots[i] % XCAP_PREFIXES_EACH, element, pair;
		struct xcap_prefixes *to = &tables->table[placer->slots[i] / XCAP_PREFIXES_EACH];
		uint64_t tag = xcap_prefix_code(node->length) << 2 | node->state;

		to->tags |= tag << at * 9;
		to->halves[at] = node->high;
		if (xcap_prefix_is_long(node->length)) {
			element = tables->config.elements + longs / XCAP_PREFIXES_LONG_EACH;
			pair = longs++ % XCAP_PREFIXES_LONG_EACH;
			to->halves[at] = xcap_prefix_place(node->length, element, pair);
			tables->table[element].longs[pair].high = node->high;
			tables->table[element].longs[pair].low = node->low;
		}
	}
}

int prefixes_place(struct prefixes_tables *tables, const struct prefixes_node *nodes, size_t count)
{
	int err = count ? -EAGAIN : 0;

	for (uint32_t seed = 0; seed < TRIES && err == -EAGAIN; seed++) {
		struct placer placer = { .tables = tables, .nodes = nodes, .count = count };

		free(tables->table);
		free(tables->hints);
		tables->config.seed = seed;
		find_sizes(&placer);
		err = allocate(&placer) ?: place_all(&placer);
		if (!err)
			write_elements(&placer);
		release(&placer);
	}
	return err;
}
