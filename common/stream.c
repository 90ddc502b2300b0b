/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool agent_id_valid(const char *id)
{
	size_t len = strnlen(id, AGENT_ID_MAX + 1);

	return len >= 1 && len <= AGENT_ID_MAX &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

int stream_id_compare(const struct stream_id *a, const struct stream_id *b)
{
	int order = strcmp(a->agent, b->agent);

	if (!order)
		order = memcmp(a->instance, b->instance, INSTANCE_LEN);
	if (!order)
		order = (a->lane > b->lane) - (a->lane < b->lane);
	return order ? order : a->replay - b->replay;
}

bool stream_id_equal(const struct stream_id *a, const struct stream_id *b)
{
	return stream_id_compare(a, b) == 0;
}

const char *stream_name(const struct stream_id *id, char out[STREAM_NAME_LEN])
{
	snprintf(out, STREAM_NAME_LEN, "%s/%u@%02x%02x%02x%02x", id->agent, id->lane,
		 id->instance[0], id->instance[1], id->instance[2], id->instance[3]);
	return out;
}

/*
 * FNV-1a, and the finalizer of MurmurHash3 because the low bits alone spread badly over a count
 * that is a power of two. Stores on disk depend on the result: it must never change.
 */
uint32_t stream_journal(const struct stream_id *id, uint32_t count)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (const char *c = id->agent; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
	for (unsigned int shift = 0; shift < 32; shift += 8)
		hash = (hash ^ (uint8_t)(id->lane >> shift)) * 0x100000001b3;
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
	hash ^= hash >> 33;
	return count ? (uint32_t)(hash % count) : 0;
}

void ranges_release(struct ranges *set)
{
	free(set->list);
	*set = (struct ranges){};
}

void ranges_clear(struct ranges *set)
{
	set->count = 0;
}

int ranges_reserve(struct ranges *set, uint32_t count)
{
	uint32_t capacity = set->capacity ? set->capacity : 4;
	struct range *list;

	if (count <= set->capacity)
		return 0;
	if (count > RANGES_MAX)
		return -EMSGSIZE;
	while (capacity < count)
		capacity *= 2;
	list = realloc(set->list, capacity * sizeof(*list));
	if (!list)
		return -ENOMEM;
	set->list = list;
	set->capacity = capacity;
	return 0;
}

/* Index of the first range that ends at or after sequence; count if there is none. */
static uint32_t first_ending_at(const struct ranges *set, uint64_t sequence)
{
	uint32_t low = 0, high = set->count, middle;

	/* Numbers mostly come in order: look at the last range first. */
	if (high && set->list[high - 1].to < sequence)
		return high;
	while (low < high) {
		middle = low + (high - low) / 2;
		if (set->list[middle].to < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int ranges_add(struct ranges *set, uint64_t from, uint64_t to)
{
	uint32_t first, end;
	int err;

	if (from == 0 || from > to)
		return -EINVAL;
	/* [first, end) are the ranges that overlap or touch the new one and become one with it. */
	first = first_ending_at(set, from - 1 ? from - 1 : 1);
	end = first;
	while (end < set->count && set->list[end].from - 1 <= to)
		end++;
	if (first == end) {
		if (set->count == RANGES_MAX)
			return -EMSGSIZE;
		err = ranges_reserve(set, set->count + 1);
		if (err)
			return err;
		memmove(&set->list[first + 1], &set->list[first],
			(set->count - first) * sizeof(*set->list));
		set->count++;
		set->list[first] = (struct range){ from, to };
		return 0;
	}
	set->list[first].from = MIN(set->list[first].from, from);
	set->list[first].to = MAX(set->list[end - 1].to, to);
	memmove(&set->list[first + 1], &set->list[end], (set->count - end) * sizeof(*set->list));
	set->count -= end - first - 1;
	return 0;
}

int ranges_copy(struct ranges *to, const struct ranges *from)
{
	int err = ranges_reserve(to, from->count);

	if (err)
		return err;
	if (from->count)
		memcpy(to->list, from->list, from->count * sizeof(*to->list));
	to->count = from->count;
	return 0;
}

bool ranges_has(const struct ranges *set, uint64_t sequence)
{
	uint32_t i = first_ending_at(set, sequence);

	return i < set->count && set->list[i].from <= sequence;
}

uint64_t ranges_next_missing(const struct ranges *set, uint64_t sequence)
{
	uint32_t i = first_ending_at(set, sequence);

	return i < set->count && set->list[i].from <= sequence ? set->list[i].to + 1 : sequence;
}

uint64_t ranges_max(const struct ranges *set)
{
	return set->count ? set->list[set->count - 1].to : 0;
}
