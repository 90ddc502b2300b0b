/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a lane knows of the agent's interfaces, and counts for them. */
#include "agent/lane_internal.h"

/* Of a recording: the builder is to know few interfaces at a time. */
#define TOLD_AT_ONCE 512

/* entry is then described with these filters. */
static struct frame_builder_interface
known_of(struct interface_table *table, struct interface_table_entry *entry, uint16_t generation)
{
	interface_table_filter(table, generation, entry->description.filter,
			       sizeof(entry->description.filter));
	return (struct frame_builder_interface){
		.description = &entry->description,
		.drops = (const uint64_t *)&entry->numbers->drops,
		.taken = entry->account ? &entry->numbers->taken : NULL,
		.account = entry->account,
		.generation = generation,
	};
}

enum frame_builder_result lane_interfaces_describe(struct lane *lane, const struct source *source,
						   uint32_t id, uint16_t generation)
{
	struct interface_table *table = lane->config.shared->interfaces;
	struct frame_builder_interface known = { .generation = generation };
	struct interface_table_entry entry;

	if (source->ops->describe)
		known.description = source->ops->describe(source, id);
	else if (table && interface_table_get(table, id, &entry))
		known = known_of(table, &entry, generation);
	return frame_builder_interface(lane->builder, source, id, &known);
}

/* describes: also what the builder does not know yet. */
static void tell(struct lane *lane, struct interface_table_entry *entry, bool describes)
{
	struct interface_table *table = lane->config.shared->interfaces;
	struct frame_builder *builder = lane->builder;
	struct frame_builder_interface known;

	if (!entry->is_told ||
	    frame_builder_statistics(builder, NULL, entry->id, &entry->statistics) || !describes)
		return;
	known = known_of(table, entry, interface_table_filters_now(table));
	if (frame_builder_interface(builder, NULL, entry->id, &known) == FRAME_BUILDER_AGAIN)
		(void)frame_builder_statistics(builder, NULL, entry->id, &entry->statistics);
}

/* Control's numbers are of its last look, these of now. */
static void renew(struct interface_table_entry *entry)
{
	struct pcapng_statistics *statistics = &entry->statistics;
	uint64_t known;

	statistics->delivered = atomic_load(&entry->numbers->taken);
	statistics->os_dropped = entry->kernel_dropped;
	for (unsigned int i = 0; i < INTERFACE_LOST_COUNT; i++)
		statistics->os_dropped += atomic_load(&entry->numbers->lost[i]);
	/* libpcap's are counted as they are taken. */
	known = statistics->delivered + statistics->os_dropped;
	statistics->received = MAX(statistics->received, known);
	statistics->filter_accepted = MAX(statistics->filter_accepted, known);
}

struct review {
	struct interface_table *table;
	struct interface_table_entry entry;
};

static bool describe_again(void *context, uint32_t id, uint16_t generation,
			   struct frame_builder_interface *ret)
{
	struct review *review = context;

	if (!interface_table_get(review->table, id, &review->entry))
		return false;
	*ret = known_of(review->table, &review->entry, generation);
	return true;
}

bool lane_interfaces_review(struct lane *lane)
{
	struct review review = { .table = lane->config.shared->interfaces };
	uint64_t generation, told, before = lane->generation;
	struct interface_table_entry *entry = &review.entry;

	if (!review.table || lane->config.only_ships)
		return false;
	generation = interface_table_generation(review.table);
	told = interface_table_told(review.table);
	if (generation == before && told == lane->told)
		return frame_builder_waits_to_forget(lane->builder);
	for (unsigned int at = 0; interface_table_next(review.table, &at, entry);) {
		if (entry->ended > before)
			renew(entry);
		if (!entry->ended || entry->ended > before)
			tell(lane, entry, entry->ended != 0);
	}
	lane->generation = generation;
	lane->told = told;
	if (generation != before)
		frame_builder_review(lane->builder, describe_again, &review);
	return frame_builder_waits_to_forget(lane->builder);
}

bool lane_interfaces_tell_recorded(struct lane *lane)
{
	const struct pcapng_statistics *statistics;
	unsigned int told = 0;

	for (unsigned int i = 0; i < lane->sources.count; i++) {
		struct source *source = lane->sources.list[i];

		while (told < TOLD_AT_ONCE && source->ops->statistics &&
		       (statistics = source->ops->statistics(source)) != NULL) {
			told++;
			if (frame_builder_statistics(lane->builder, source, statistics->interface,
						     statistics))
				continue;
			if (lane_interfaces_describe(lane, source, statistics->interface, 0) ==
			    FRAME_BUILDER_AGAIN)
				(void)frame_builder_statistics(lane->builder, source,
							       statistics->interface, statistics);
		}
	}
	return told > 0;
}

void lane_interfaces_tell_last(struct lane *lane)
{
	struct interface_table *table = lane->config.shared->interfaces;
	struct interface_table_entry entry;

	for (unsigned int at = 0; table && interface_table_next(table, &at, &entry);) {
		if (entry.ended && entry.ended <= lane->generation)
			continue;
		renew(&entry);
		tell(lane, &entry, true);
	}
}

void lane_interfaces_add_lost(struct lane *lane, struct lane_slot *slot,
			      const struct source_stats *now)
{
	struct interface_table *table = lane->config.shared->interfaces;
	struct source_stats *before = &slot->told;
	uint32_t id = slot->source->interface;
	const uint64_t added[] = {
		[INTERFACE_FILL_RING_EMPTY] = now->fill_ring_empty - before->fill_ring_empty,
		[INTERFACE_RX_DROPPED] = now->rx_dropped - before->rx_dropped,
		[INTERFACE_RX_RING_FULL] = now->rx_ring_full - before->rx_ring_full,
		[INTERFACE_REDIRECTED_LOST] = now->lost_redirected - before->lost_redirected,
	};
	struct interface_table_entry entry;

	if (!id || !(added[0] | added[1] | added[2] | added[3]) ||
	    !interface_table_get(table, id, &entry))
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(added); i++)
		atomic_fetch_add_explicit(&entry.numbers->lost[i], added[i], memory_order_relaxed);
	*before = *now;
}

void lane_interfaces_take_up(struct lane *lane)
{
	struct interface_table *table = lane->config.shared->interfaces;
	struct interface_table_entry entry;

	for (unsigned int at = 0; table && interface_table_next(table, &at, &entry);) {
		if (entry.account)
			atomic_fetch_add(&entry.numbers->taken,
					 frame_builder_taken(lane->config.journal, entry.account));
	}
}
