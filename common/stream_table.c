/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/stream_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/message.h"

static uint64_t id_hash(const struct stream_id *id)
{
	uint64_t hash;

	/* The instance is random: that is most of a hash already. */
	memcpy(&hash, id->instance, sizeof(hash));
	hash ^= id->lane * 0x9e3779b97f4a7c15;
	for (const char *c = id->agent; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
	return hash;
}

static void entry_free(struct stream_entry *entry)
{
	ranges_release(&entry->appended);
	ranges_release(&entry->durable);
	free(entry);
}

void stream_table_release(struct stream_table *table)
{
	for (uint32_t i = 0; i < table->count; i++)
		entry_free(table->list[i]);
	free(table->list);
	free(table->hashes);
	*table = (struct stream_table){};
}

int64_t stream_table_find(const struct stream_table *table, const struct stream_id *id)
{
	uint64_t hash = id_hash(id);

	for (uint32_t i = 0; i < table->count; i++)
		if (table->hashes[i] == hash && stream_id_equal(&table->list[i]->id, id))
			return i;
	return -ENOENT;
}

static int grow(struct stream_table *table, uint32_t count)
{
	uint32_t capacity = MAX(64u, table->capacity);
	struct stream_entry **list;
	uint64_t *hashes;

	if (count <= table->capacity)
		return 0;
	while (capacity < count)
		capacity *= 2;
	list = realloc(table->list, capacity * sizeof(*list));
	if (!list)
		return -ENOMEM;
	table->list = list;
	hashes = realloc(table->hashes, capacity * sizeof(*hashes));
	if (!hashes)
		return -ENOMEM;
	table->hashes = hashes;
	table->capacity = capacity;
	return 0;
}

int64_t stream_table_add(struct stream_table *table, const struct stream_id *id)
{
	struct stream_entry *entry;
	int err;

	if (table->count == SEGMENT_STREAMS_MAX)
		return -EMSGSIZE;
	err = grow(table, table->count + 1);
	if (err)
		return err;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->id = *id;
	table->hashes[table->count] = id_hash(id);
	table->list[table->count] = entry;
	return table->count++;
}

int stream_table_reserve(struct stream_table *table, uint32_t count)
{
	static const struct stream_id lost;
	int64_t number = grow(table, count);

	while (number >= 0 && table->count < count)
		number = stream_table_add(table, &lost);
	return number < 0 ? (int)number : 0;
}

int stream_table_set(struct stream_table *table, uint32_t number, const struct stream_id *id)
{
	int err = stream_table_reserve(table, number + 1);
	struct stream_entry *entry;

	if (err)
		return err;
	entry = table->list[number];
	if (stream_id_equal(&entry->id, id))
		return 0;
	entry->id = *id;
	table->hashes[number] = id_hash(id);
	ranges_clear(&entry->appended);
	ranges_clear(&entry->durable);
	return 0;
}

struct range frame_range(const struct frame_header *header, const uint8_t *payload)
{
	struct range range = { header->sequence, header->sequence };
	struct message_loss loss;

	if (header->type == FRAME_LOSS && !(header->flags & (FRAME_F_ZSTD | FRAME_F_LZ4)) &&
	    !message_loss_get(&loss, payload, header->stored_len) && loss.to == header->sequence)
		range.from = loss.from;
	return range;
}

int stream_entry_append(struct stream_entry *entry, const struct range *range)
{
	uint32_t most = MIN(entry->appended.count + 1, (uint32_t)RANGES_MAX);
	int err = ranges_reserve(&entry->durable, most);

	return err ? err : ranges_add(&entry->appended, range->from, range->to);
}

void stream_entry_commit(struct stream_entry *entry, const struct range *range)
{
	int err = ranges_add(&entry->durable, range->from, range->to);

	assert(!err);
	(void)err;
}

int stream_entry_commit_all(struct stream_entry *entry)
{
	return ranges_copy(&entry->durable, &entry->appended);
}

void stream_entry_revert(struct stream_entry *entry)
{
	int err = ranges_copy(&entry->appended, &entry->durable);

	assert(!err);
	(void)err;
}
