/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/losses.h"

#include <string.h>

static void absorb(struct losses_entry *into, const struct losses_entry *from)
{
	into->from = MIN(into->from, from->from);
	into->to = MAX(into->to, from->to);
	into->packets += from->packets;
	into->wire_packets += from->wire_packets;
	into->bytes += from->bytes;
}

static bool is_alike(const struct losses_entry *a, const struct losses_entry *b)
{
	return !a->frozen && !b->frozen && a->reason == b->reason && a->uncertain == b->uncertain;
}

static bool joins(const struct losses_entry *a, const struct losses_entry *b)
{
	return is_alike(a, b) && !a->uncertain && a->to + 1 == b->from;
}

/* Neighbours that became certain one after the other are one loss. */
static void join_neighbours(struct losses *losses)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < losses->count; i++) {
		if (count && joins(&losses->list[count - 1], &losses->list[i]))
			absorb(&losses->list[count - 1], &losses->list[i]);
		else
			losses->list[count++] = losses->list[i];
	}
	losses->count = count;
}

/*
 * What lies between two entries was delivered, so that a LOSS over it declares nothing wrong: the
 * receiver has those numbers in its set.
 */
static void make_room(struct losses *losses)
{
	uint32_t at = losses->count - 2;

	for (uint32_t i = 0; i + 1 < losses->count; i++) {
		if (is_alike(&losses->list[i], &losses->list[i + 1])) {
			at = i;
			break;
		}
	}
	absorb(&losses->list[at], &losses->list[at + 1]);
	memmove(&losses->list[at + 1], &losses->list[at + 2],
		(losses->count - at - 2) * sizeof(losses->list[0]));
	losses->count--;
}

void losses_add(struct losses *losses, const struct message_loss *loss, bool uncertain)
{
	struct losses_entry entry = {
		.from = loss->from,
		.to = loss->to,
		.packets = loss->packets,
		.wire_packets = loss->wire_packets,
		.bytes = loss->bytes,
		.reason = loss->reason,
		.uncertain = uncertain,
	};

	if (losses->count && joins(&losses->list[losses->count - 1], &entry)) {
		absorb(&losses->list[losses->count - 1], &entry);
		return;
	}
	if (losses->count == LOSSES_MAX)
		make_room(losses);
	losses->list[losses->count++] = entry;
}

bool losses_has(const struct losses *losses, uint64_t sequence)
{
	for (uint32_t i = 0; i < losses->count; i++) {
		if (losses->list[i].from <= sequence && sequence <= losses->list[i].to)
			return true;
	}
	return false;
}

bool losses_next(struct losses *losses, struct message_loss *ret)
{
	uint32_t unconfirmed = 0;

	for (uint32_t i = 0; i < losses->count; i++)
		unconfirmed += losses->list[i].given;
	if (unconfirmed >= LOSSES_UNCONFIRMED_MAX)
		return false;
	for (uint32_t i = 0; i < losses->count; i++) {
		struct losses_entry *entry = &losses->list[i];

		if (entry->given || entry->uncertain)
			continue;
		entry->given = true;
		entry->frozen = true;
		*ret = (struct message_loss){
			.from = entry->from,
			.to = entry->to,
			.reason = entry->reason,
			.packets = entry->packets,
			.wire_packets = entry->wire_packets,
			.bytes = entry->bytes,
		};
		return true;
	}
	return false;
}

void losses_again(struct losses *losses)
{
	for (uint32_t i = 0; i < losses->count; i++)
		losses->list[i].given = false;
}

static void settle(struct losses_entry *entry, struct message_loss *lost)
{
	entry->uncertain = false;
	lost->packets += entry->packets;
	lost->wire_packets += entry->wire_packets;
	lost->bytes += entry->bytes;
}

bool losses_confirm(struct losses *losses, const struct ranges *durable, bool complete,
		    struct message_loss *lost)
{
	uint32_t count = 0;
	bool changed;

	for (uint32_t i = 0; i < losses->count; i++) {
		struct losses_entry *entry = &losses->list[i];

		/* A LOSS has the number of the last frame it stands for. */
		if (entry->uncertain ? ranges_next_missing(durable, entry->from) > entry->to
				     : ranges_has(durable, entry->to))
			continue;
		losses->list[count] = *entry;
		entry = &losses->list[count++];
		if (entry->uncertain && complete)
			settle(entry, lost);
	}
	changed = count != losses->count || (complete && count);
	losses->count = count;
	if (complete)
		join_neighbours(losses);
	return changed;
}

bool losses_settle(struct losses *losses, uint64_t sequence, struct message_loss *lost)
{
	for (uint32_t i = 0; i < losses->count; i++) {
		struct losses_entry *entry = &losses->list[i];

		if (entry->uncertain && entry->from <= sequence && sequence <= entry->to) {
			settle(entry, lost);
			return true;
		}
	}
	return false;
}
