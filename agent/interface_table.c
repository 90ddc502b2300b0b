/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/interface_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A packet may show in a ring a little after its time. */
#define LATE_NS (100 * NS_PER_MS)
#define FILTERS_MAX 256

struct slot {
	bool is_used;
	uint64_t retired_ns; /* 0: it is there */
	uint64_t ended_ns;   /* 0: it has not */
	struct interface_table_entry entry;
	struct interface_numbers numbers;
};

struct filter {
	bool is_used;
	uint16_t generation;
	char text[256];
};

struct interface_table {
	pthread_mutex_t lock; /* control alone writes, so it reads without */
	_Atomic uint64_t generation, told;
	unsigned int used; /* slots that were ever used */
	struct slot slots[INTERFACE_TABLE_MAX];
	struct filter filters[FILTERS_MAX]; /* by the generation's low bits */
	uint16_t filters_now;
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
		if (table->slots[i].is_used && table->slots[i].entry.id == id)
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

static void change(struct interface_table *table)
{
	atomic_fetch_add_explicit(&table->generation, 1, memory_order_release);
}

int interface_table_put(struct interface_table *table, uint32_t id,
			const struct pcapng_interface *description)
{
	struct slot *slot = find(table, id);

	if (slot && slot->retired_ns)
		return -EBUSY;
	if (!slot)
		slot = find_free(table);
	if (!slot)
		return -ENOSPC;
	pthread_mutex_lock(&table->lock);
	if (!slot->is_used) {
		memset(slot, 0, sizeof(*slot));
		slot->is_used = true;
		slot->entry.id = id;
		slot->entry.numbers = &slot->numbers;
		table->used = MAX(table->used, (unsigned int)(slot - table->slots) + 1);
	}
	slot->entry.description = *description;
	change(table);
	pthread_mutex_unlock(&table->lock);
	return 0;
}

void interface_table_set_filter(struct interface_table *table, uint32_t generation,
				const char *filter)
{
	struct filter *slot = &table->filters[generation % FILTERS_MAX];

	pthread_mutex_lock(&table->lock);
	slot->is_used = true;
	slot->generation = (uint16_t)generation;
	snprintf(slot->text, sizeof(slot->text), "%s", filter);
	table->filters_now = slot->generation;
	pthread_mutex_unlock(&table->lock);
}

void interface_table_filter(struct interface_table *table, uint16_t generation, char *ret,
			    size_t size)
{
	const struct filter *slot = &table->filters[generation % FILTERS_MAX];

	pthread_mutex_lock(&table->lock);
	snprintf(ret, size, "%s",
		 slot->is_used && slot->generation == generation ? slot->text : "");
	pthread_mutex_unlock(&table->lock);
}

uint16_t interface_table_filters_now(struct interface_table *table)
{
	uint16_t generation;

	pthread_mutex_lock(&table->lock);
	generation = table->filters_now;
	pthread_mutex_unlock(&table->lock);
	return generation;
}

void interface_table_set_account(struct interface_table *table, uint32_t id, uint32_t account)
{
	struct slot *slot = find(table, id);

	if (!slot)
		return;
	pthread_mutex_lock(&table->lock);
	slot->entry.account = account;
	change(table);
	pthread_mutex_unlock(&table->lock);
}

struct interface_numbers *interface_table_numbers(struct interface_table *table, uint32_t id)
{
	struct slot *slot = find(table, id);

	return slot ? &slot->numbers : NULL;
}

static bool is_news(const struct pcapng_statistics *before, const struct pcapng_statistics *now)
{
	return now->start_ns != before->start_ns || now->received != before->received ||
	       now->dropped != before->dropped || now->filter_accepted != before->filter_accepted ||
	       now->os_dropped != before->os_dropped || now->delivered != before->delivered;
}

void interface_table_tell(struct interface_table *table, uint32_t id,
			  const struct pcapng_statistics *statistics, uint64_t kernel_dropped)
{
	struct slot *slot = find(table, id);

	if (!slot || (slot->entry.is_told && !is_news(&slot->entry.statistics, statistics)))
		return;
	pthread_mutex_lock(&table->lock);
	slot->entry.statistics = *statistics;
	slot->entry.kernel_dropped = kernel_dropped;
	slot->entry.is_told = true;
	atomic_fetch_add_explicit(&table->told, 1, memory_order_release);
	pthread_mutex_unlock(&table->lock);
}

void interface_table_retire(struct interface_table *table, uint32_t id, uint64_t now_ns)
{
	struct slot *slot = find(table, id);

	if (slot)
		slot->retired_ns = now_ns;
}

/* Its packets were taken: the lanes are to tell so, and forget it. */
static void end(struct interface_table *table, struct slot *slot)
{
	pthread_mutex_lock(&table->lock);
	change(table);
	slot->entry.ended = interface_table_generation(table);
	pthread_mutex_unlock(&table->lock);
	slot->ended_ns = clock_ns(CLOCK_MONOTONIC);
}

void interface_table_expire(struct interface_table *table, uint64_t taken_ns)
{
	for (unsigned int i = 0; i < table->used; i++) {
		struct slot *slot = &table->slots[i];

		if (!slot->is_used || !slot->retired_ns)
			continue;
		if (!slot->ended_ns) {
			if (slot->retired_ns + LATE_NS <= taken_ns)
				end(table, slot);
		} else if (slot->ended_ns < taken_ns) {
			/* Each lane has begun a pass since, by a look at the generation. */
			pthread_mutex_lock(&table->lock);
			slot->is_used = false;
			pthread_mutex_unlock(&table->lock);
		}
	}
}

uint64_t interface_table_generation(const struct interface_table *table)
{
	return atomic_load_explicit(&table->generation, memory_order_acquire);
}

uint64_t interface_table_told(const struct interface_table *table)
{
	return atomic_load_explicit(&table->told, memory_order_acquire);
}

bool interface_table_get(struct interface_table *table, uint32_t id,
			 struct interface_table_entry *ret)
{
	struct slot *slot;
	bool found;

	pthread_mutex_lock(&table->lock);
	slot = find(table, id);
	found = slot && !slot->entry.ended;
	if (found)
		*ret = slot->entry;
	pthread_mutex_unlock(&table->lock);
	return found;
}

bool interface_table_next(struct interface_table *table, unsigned int *at,
			  struct interface_table_entry *ret)
{
	bool found = false;

	pthread_mutex_lock(&table->lock);
	for (; !found && *at < table->used; (*at)++) {
		found = table->slots[*at].is_used;
		if (found)
			*ret = table->slots[*at].entry;
	}
	pthread_mutex_unlock(&table->lock);
	return found;
}
