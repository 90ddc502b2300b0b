/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a frame builder knows of interfaces: descriptions, numbers, what was taken of them. */
#include <stdlib.h>
#include <string.h>

#include "agent/frame_builder_internal.h"

unsigned int frame_builder_positions(const struct frame_builder *builder)
{
	return builder->source_count + TOTAL_COUNT + builder->account_count;
}

void known_interface_put(struct frame_builder *builder, struct known_interface *known)
{
	memcpy(builder->payload + builder->len, known->block, known->block_len);
	builder->len += known->block_len;
	known->frame = builder->frame_number;
	known->local = builder->next_local++;
	if (!known->has_statistics)
		return;
	known->statistics.interface = known->local;
	builder->len += pcapng_put_statistics(builder->payload + builder->len,
					      builder->room - builder->len, &known->statistics);
	known->statistics_frame = builder->frame_number;
}

static void forget(struct frame_builder *builder, struct known_interface *known)
{
	builder->account_count -= known->account != 0;
	*known = builder->known[--builder->known_count];
}

/* The open frame goes out. */
void frame_builder_forget_told(struct frame_builder *builder)
{
	for (unsigned int i = builder->known_count; i-- > 0;) {
		struct known_interface *known = &builder->known[i];

		if (known->statistics_frame == builder->frame_number)
			known->has_statistics = false;
		if (known->has_ended && !known->has_statistics)
			forget(builder, known);
	}
}

size_t known_interface_len(const struct known_interface *known)
{
	return known->block_len + (known->has_statistics ? PCAPNG_STATISTICS_MAX : 0);
}

struct known_interface *known_interface_find(struct frame_builder *builder,
					     const struct source *source, uint32_t id)
{
	const struct source *recorder = source && source->ops->describe ? source : NULL;
	struct known_interface *known;

	if (builder->last_known < builder->known_count) {
		known = &builder->known[builder->last_known];
		if (known->id == id && known->recorder == recorder && !known->has_ended)
			return known;
	}
	for (unsigned int i = 0; i < builder->known_count; i++) {
		known = &builder->known[i];
		if (known->id == id && known->recorder == recorder && !known->has_ended) {
			builder->last_known = i;
			return known;
		}
	}
	return NULL;
}

/* Of a recording there is no end of them: it can be asked again. */
static void forget_recorded(struct frame_builder *builder)
{
	for (unsigned int i = builder->known_count; i-- > 0;) {
		struct known_interface *known = &builder->known[i];

		if (known->recorder && !known->has_statistics &&
		    !known_interface_is_recent(builder, known))
			forget(builder, known);
	}
}

static struct known_interface *add_known(struct frame_builder *builder)
{
	struct known_interface *list;

	list = realloc(builder->known, (builder->known_count + 1) * sizeof(*list));
	if (!list)
		return NULL;
	builder->known = list;
	return &list[builder->known_count++];
}

/* Room for one more in the journal. */
static bool add_position(struct frame_builder *builder)
{
	if (frame_builder_positions(builder) == MEMORY_JOURNAL_POSITIONS_MAX)
		return false;
	builder->account_count++;
	return true;
}

uint64_t frame_builder_taken(const struct memory_journal *journal, uint32_t account)
{
	uint64_t taken = 0;

	(void)memory_journal_position(journal, ACCOUNT_SOURCE | account, &taken);
	return taken;
}

/* What was taken of it belongs to this account from here on. */
static void count_for(struct frame_builder *builder, struct known_interface *known,
		      const struct frame_builder_interface *interface)
{
	known->taken_sum = interface->taken;
	if (interface->account == known->account)
		return;
	builder->account_count -= known->account != 0;
	known->account = interface->account && add_position(builder) ? interface->account : 0;
	known->taken = frame_builder_taken(builder->journal, interface->account);
	known->taken_told = known->taken;
}

static void describe_again(struct frame_builder *builder, struct known_interface *known,
			   const struct frame_builder_interface *interface)
{
	static const struct pcapng_interface unknown = { .link_type = LINKTYPE_ETHERNET,
							 .name = "unknown" };
	uint8_t block[INTERFACE_BLOCK_MAX];
	size_t len = pcapng_put_interface(block, sizeof(block), interface->description ?: &unknown);

	if (len != known->block_len || memcmp(block, known->block, len) != 0)
		known->frame = 0; /* not described as it is */
	memcpy(known->block, block, len);
	known->block_len = len;
	known->drops = interface->drops;
	known->generation = interface->generation;
	count_for(builder, known, interface);
}

enum frame_builder_result frame_builder_interface(struct frame_builder *builder,
						  const struct source *source, uint32_t id,
						  const struct frame_builder_interface *interface)
{
	struct known_interface *known = known_interface_find(builder, source, id);

	if (known) {
		describe_again(builder, known, interface);
		return FRAME_BUILDER_AGAIN;
	}
	if (source && source->ops->describe)
		forget_recorded(builder);
	known = add_known(builder);
	if (!known) {
		memory_journal_count_lost(builder->journal, LOSS_JOURNAL_FULL, 1, 1, 0);
		return FRAME_BUILDER_DROPPED;
	}
	*known = (struct known_interface){ .recorder =
						   source && source->ops->describe ? source : NULL,
					   .id = id };
	describe_again(builder, known, interface);
	return FRAME_BUILDER_AGAIN;
}

void frame_builder_review(struct frame_builder *builder,
			  bool (*describe)(void *context, uint32_t id, uint16_t generation,
					   struct frame_builder_interface *ret),
			  void *context)
{
	struct frame_builder_interface interface;

	for (unsigned int i = builder->known_count; i-- > 0;) {
		struct known_interface *known = &builder->known[i];

		if (known->recorder || known->has_ended)
			continue;
		interface = (struct frame_builder_interface){};
		if (describe(context, known->id, known->generation, &interface)) {
			describe_again(builder, known, &interface);
		} else if (known->has_statistics) {
			known->has_ended = true;
			known->taken_sum = NULL;
		} else {
			forget(builder, known);
		}
	}
}

bool frame_builder_waits_to_forget(const struct frame_builder *builder)
{
	for (unsigned int i = 0; i < builder->known_count; i++) {
		if (builder->known[i].has_ended)
			return true;
	}
	return false;
}

bool frame_builder_statistics(struct frame_builder *builder, const struct source *source,
			      uint32_t id, const struct pcapng_statistics *statistics)
{
	struct known_interface *known = known_interface_find(builder, source, id);

	if (!known)
		return false;
	known->statistics = *statistics;
	known->has_statistics = true;
	known->statistics_frame = 0;
	return true;
}
