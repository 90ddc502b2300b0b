/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/interface_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A packet may show in a ring a little after its time. */
#define LATE_NS (100 * NS_PER_MS)

struct slot {
	bool is_used;
	uint32_t id;
	uint64_t retired_ns; /* 0: it is there */
	struct pcapng_interface description;
	_Atomic uint64_t drops;
	uint64_t drops_before; /* of the same interface before it went and came back */
};

struct interface_table {
	pthread_mutex_t lock; /* control alone writes, so it reads without */
	_Atomic uint64_t generation;
	unsigned int used; /* slots that were ever used */
	struct slot slots[INTERFACE_TABLE_MAX];
};

int interface_table_create(struct interface_table **ret)
{
	struct interface_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	*ret = table;
	return 0;
}

void interface_table_destroy(struct interface_table *table)
{
	if (!table)
		return;
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static struct slot *find(struct interface_table *table, uint32_t id)
{
	for (unsigned int i = 0; i < table->used; i++) {
		if (table->slots[i].is_used && table->slots[i].id == id)
			return &table->slots[i];
	}
	return NULL;
}

static struct slot *find_free(struct interface_table *table)
{
	for (unsigned int i = 0; i < table->used; i++) {
		if (!table->slots[i].is_used)
			return &table->slots[i];
	}
	return table->used < INTERFACE_TABLE_MAX ? &table->slots[table->used] : NULL;
}

static bool is_same(const struct pcapng_interface *a, const struct pcapng_interface *b)
{
	return !strcmp(a->name, b->name) && a->link_type == b->link_type &&
	       a->snaplen == b->snaplen;
}

static void change(struct interface_table *table)
{
	atomic_fetch_add_explicit(&table->generation, 1, memory_order_release);
}

int interface_table_put(struct interface_table *table, uint32_t id,
			const struct pcapng_interface *description)
{
	struct slot *slot = find(table, id);

	if (slot && slot->retired_ns && !is_same(&slot->description, description))
		return -EBUSY;
	if (!slot)
		slot = find_free(table);
	if (!slot)
		return -ENOSPC;
	pthread_mutex_lock(&table->lock);
	if (!slot->is_used) {
		slot->is_used = true;
		slot->id = id;
		slot->drops_before = 0;
		atomic_store_explicit(&slot->drops, 0, memory_order_relaxed);
		table->used = MAX(table->used, (unsigned int)(slot - table->slots) + 1);
	} else if (slot->retired_ns) {
		slot->drops_before = atomic_load_explicit(&slot->drops, memory_order_relaxed);
	}
	slot->retired_ns = 0;
	slot->description = *description;
	change(table);
	pthread_mutex_unlock(&table->lock);
	return 0;
}

void interface_table_retire(struct interface_table *table, uint32_t id, uint64_t now_ns)
{
	struct slot *slot = find(table, id);

	if (slot)
		slot->retired_ns = now_ns;
}

void interface_table_expire(struct interface_table *table, uint64_t taken_ns)
{
	for (unsigned int i = 0; i < table->used; i++) {
		struct slot *slot = &table->slots[i];

		if (!slot->is_used || !slot->retired_ns || slot->retired_ns + LATE_NS > taken_ns)
			continue;
		pthread_mutex_lock(&table->lock);
		slot->is_used = false;
		slot->retired_ns = 0;
		change(table);
		pthread_mutex_unlock(&table->lock);
	}
}

void interface_table_set_drops(struct interface_table *table, uint32_t id, uint64_t drops)
{
	struct slot *slot = find(table, id);

	if (slot)
		atomic_store_explicit(&slot->drops, slot->drops_before + drops,
				      memory_order_relaxed);
}

uint64_t interface_table_generation(const struct interface_table *table)
{
	return atomic_load_explicit(&table->generation, memory_order_acquire);
}

bool interface_table_get(struct interface_table *table, uint32_t id, struct pcapng_interface *ret,
			 const uint64_t **drops)
{
	struct slot *slot;

	pthread_mutex_lock(&table->lock);
	slot = find(table, id);
	if (slot) {
		*ret = slot->description;
		*drops = (const uint64_t *)(uintptr_t)&slot->drops;
	}
	pthread_mutex_unlock(&table->lock);
	return slot;
}
