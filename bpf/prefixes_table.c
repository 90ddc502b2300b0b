/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prefixes come in order: those that contain one are before it, the shortest first. While going
 * over them, a stack holds the ones that contain the present one; for each family its own, as IPv4
 * lies in the midst of IPv6. Two rounds: which lengths there are decides where the search looks
 * first, and so where signposts are needed.
 */
#include "bpf/prefixes_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LENGTHS 129
#define SHORT_IPV4 (96 + 24) /* up to here the table xcap_ipv4 knows it */

struct lengths {
	uint8_t list[LENGTHS];
	unsigned int count;
};

struct stack {
	const struct prefix *list[LENGTHS];
	unsigned int depth;
};

struct builder {
	struct prefixes_tables tables;
	struct stack stacks[2];	  /* by is_ipv4 */
	bool present[2][LENGTHS]; /* the same */
	struct lengths lengths[2];
	struct prefixes_node *nodes;
	size_t count, room;
};

static uint64_t mask(unsigned int length, unsigned int half)
{
	unsigned int bits = length > half * 64 ? MIN(length - half * 64, 64u) : 0;

	return bits ? ~0ull << (64 - bits) : 0;
}

static bool contains(const struct prefix *outer, const struct prefix *inner)
{
	return outer->length < inner->length &&
	       !((outer->address[0] ^ inner->address[0]) & mask(outer->length, 0)) &&
	       !((outer->address[1] ^ inner->address[1]) & mask(outer->length, 1));
}

/* Call it for each in order. */
static void push(struct builder *builder, const struct prefix *prefix)
{
	struct stack *stack = &builder->stacks[prefix->is_ipv4];

	while (stack->depth && !contains(stack->list[stack->depth - 1], prefix))
		stack->depth--;
	stack->list[stack->depth++] = prefix;
}

/* What holds for the network of this length around the last one pushed, longer prefixes aside. */
static enum xcap_verdict verdict_at(const struct builder *builder, bool is_ipv4,
				    unsigned int length)
{
	const struct stack *stack = &builder->stacks[is_ipv4];

	for (unsigned int i = stack->depth; i-- > 0;) {
		if (stack->list[i]->length <= length)
			return stack->list[i]->verdict;
	}
	return XCAP_NONE;
}

static bool is_in_table(const struct prefix *prefix)
{
	return !prefix->is_ipv4 || prefix->length > SHORT_IPV4;
}

/* Behind XCAP_LONGER the table alone says what holds: also for all the rest of that network. */
static bool needs_network(const struct builder *builder, const struct prefix *prefix)
{
	return prefix->is_ipv4 && prefix->length > SHORT_IPV4 &&
	       verdict_at(builder, true, SHORT_IPV4) != XCAP_NONE;
}

static void find_lengths(struct builder *builder, const struct prefixes *prefixes)
{
	for (size_t i = 0; i < prefixes->count; i++) {
		const struct prefix *prefix = &prefixes->list[i];

		push(builder, prefix);
		if (is_in_table(prefix))
			builder->present[prefix->is_ipv4][prefix->length] = true;
		if (needs_network(builder, prefix))
			builder->present[true][SHORT_IPV4] = true;
	}
	for (unsigned int is_ipv4 = 0; is_ipv4 < 2; is_ipv4++) {
		struct lengths *lengths = &builder->lengths[is_ipv4];

		for (unsigned int length = 0; length < LENGTHS; length++) {
			if (builder->present[is_ipv4][length])
				lengths->list[lengths->count++] = (uint8_t)length;
		}
	}
}

/* A prefix, or a signpost to it, in the network of the last one pushed. */
static int add_node(struct builder *builder, const struct prefix *prefix, unsigned int length)
{
	struct prefixes_node *grown, *node;
	size_t room;

	if (builder->count == builder->room) {
		room = MAX(builder->room * 2, (size_t)256);
		grown = reallocarray(builder->nodes, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		builder->nodes = grown;
		builder->room = room;
	}
	node = &builder->nodes[builder->count++];
	*node = (struct prefixes_node){
		.high = prefix->address[0] & mask(length, 0),
		.low = prefix->address[1] & mask(length, 1),
		.length = (uint8_t)length,
		.state = (uint8_t)(verdict_at(builder, prefix->is_ipv4, length) + 1),
	};
	if (prefix->is_ipv4) {
		node->high = node->low << 32;
		node->low = 0;
		node->length = (uint8_t)(length - 96 + XCAP_PREFIX_IPV4);
	}
	return 0;
}

/* The steps of the search for it, which shall not turn back before they are there. */
static int add_way(struct builder *builder, const struct prefix *prefix)
{
	const struct lengths *lengths = &builder->lengths[prefix->is_ipv4];
	unsigned int from = 0, to = lengths->count, middle;
	int err = 0;

	while (from < to && !err) {
		middle = (from + to) / 2;
		if (lengths->list[middle] > prefix->length) {
			to = middle;
			continue;
		}
		err = add_node(builder, prefix, lengths->list[middle]);
		if (lengths->list[middle] == prefix->length)
			break;
		from = middle + 1;
	}
	return err;
}

static void set_networks(uint64_t *ipv4, uint32_t first, size_t count, enum xcap_verdict verdict)
{
	for (size_t network = first; network < first + count; network++) {
		unsigned int shift = network % 32 * 2;

		if (shift == 0 && first + count - network >= 32) {
			ipv4[network / 32] = verdict * 0x5555555555555555ull;
			network += 31;
			continue;
		}
		ipv4[network / 32] &= ~(3ull << shift);
		ipv4[network / 32] |= (uint64_t)verdict << shift;
	}
}

static int add_ipv4(struct builder *builder, const struct prefix *prefix)
{
	struct prefixes_tables *tables = &builder->tables;
	uint32_t network = (uint32_t)prefix->address[1] >> 8;

	if (!tables->ipv4) {
		tables->ipv4 = calloc(PREFIXES_IPV4_LEN, sizeof(*tables->ipv4));
		if (!tables->ipv4)
			return -ENOMEM;
	}
	if (prefix->length <= SHORT_IPV4) {
		set_networks(tables->ipv4, network, (size_t)1 << (SHORT_IPV4 - prefix->length),
			     prefix->verdict);
		return 0;
	}
	set_networks(tables->ipv4, network, 1, XCAP_LONGER);
	return needs_network(builder, prefix) ? add_node(builder, prefix, SHORT_IPV4) : 0;
}

static int add_all(struct builder *builder, const struct prefixes *prefixes)
{
	int err = 0;

	builder->stacks[0].depth = builder->stacks[1].depth = 0;
	for (size_t i = 0; i < prefixes->count && !err; i++) {
		const struct prefix *prefix = &prefixes->list[i];

		push(builder, prefix);
		if (prefix->is_ipv4)
			err = add_ipv4(builder, prefix);
		if (!err && is_in_table(prefix))
			err = add_way(builder, prefix);
	}
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct prefixes_node *left = a, *right = b;

	if (left->high != right->high)
		return left->high < right->high ? -1 : 1;
	if (left->low != right->low)
		return left->low < right->low ? -1 : 1;
	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return 0;
}

/* Ways meet: each node once. Those of one network say the same. */
static void drop_doubles(struct builder *builder)
{
	size_t kept = 0;

	if (builder->count)
		qsort(builder->nodes, builder->count, sizeof(*builder->nodes), compare);
	for (size_t i = 0; i < builder->count; i++) {
		if (!kept || compare(&builder->nodes[kept - 1], &builder->nodes[i]) != 0)
			builder->nodes[kept++] = builder->nodes[i];
	}
	builder->count = kept;
}

int prefixes_tables_build(struct prefixes_tables *ret, const struct prefixes *prefixes)
{
	struct builder *builder = calloc(1, sizeof(*builder));
	struct xcap_list_counts counts;
	struct xcap_lists *config;
	int err;

	if (!builder)
		return -ENOMEM;
	find_lengths(builder, prefixes);
	err = add_all(builder, prefixes);
	if (!err) {
		drop_doubles(builder);
		err = prefixes_place(&builder->tables, builder->nodes, builder->count);
	}
	if (err) {
		prefixes_tables_release(&builder->tables);
	} else {
		prefixes_count(prefixes, &counts);
		config = &builder->tables.config;
		config->in_force = prefixes->count > 0;
		config->needs_allow = counts.allow_ipv4 + counts.allow_ipv6 > 0;
		config->has_ipv4 = builder->tables.ipv4 != NULL;
		config->ipv6_count = builder->lengths[0].count;
		config->ipv4_count = builder->lengths[1].count;
		memcpy(config->ipv6_lengths, builder->lengths[0].list, LENGTHS);
		for (unsigned int i = 0; i < config->ipv4_count; i++)
			config->ipv4_lengths[i] =
				(uint8_t)(builder->lengths[1].list[i] - 96 + XCAP_PREFIX_IPV4);
		*ret = builder->tables;
	}
	free(builder->nodes);
	free(builder);
	return err;
}

void prefixes_tables_release(struct prefixes_tables *tables)
{
	free(tables->ipv4);
	free(tables->table);
	free(tables->hints);
	*tables = (struct prefixes_tables){};
}
