/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/merge_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The shortest block of a packet: as many packets as a payload can hold. */
#define PACKET_BLOCK_MIN 32

static int compare_entries(const void *a, const void *b)
{
	const struct merge_frame_entry *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

static int add_entry(struct merge_frame *frame, uint32_t *capacity, uint64_t time_ns,
		     uint32_t offset)
{
	struct merge_frame_entry *entries;

	if (frame->count == *capacity) {
		entries = realloc(frame->entries, 2 * *capacity * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		frame->entries = entries;
		*capacity *= 2;
	}
	frame->entries[frame->count] = (struct merge_frame_entry){
		.time_ns = time_ns,
		.offset = offset,
		.index = frame->count,
	};
	frame->count++;
	return 0;
}

/*
 * The block at `at`: its length, or as pcapng_decode(). Packets of a frame that is held good are
 * not decoded here: one cache line of each is enough.
 */
static ssize_t look_at(const struct merge_frame *frame, struct pcapng_decoder *decoder, uint32_t at,
		       uint32_t len, bool is_good, enum pcapng_item *item, uint64_t *time_ns)
{
	struct pcapng_packet packet = {};
	ssize_t n;

	*item = PCAPNG_ITEM_PACKET;
	if (is_good && pcapng_skim(frame->payload + at, time_ns))
		return pcapng_block_len(frame->payload + at);
	n = pcapng_decode(decoder, frame->payload + at, len - at, item, &packet);
	*time_ns = packet.time_ns;
	return n;
}

static int add_statistics(struct merge_frame *frame, const struct pcapng_statistics *statistics)
{
	struct pcapng_statistics *list;

	list = realloc(frame->statistics, (frame->statistics_count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	frame->statistics = list;
	list[frame->statistics_count++] = *statistics;
	return 0;
}

static int find_packets(struct merge_frame *frame, struct pcapng_decoder *decoder, uint32_t len,
			bool is_good, uint32_t *capacity)
{
	uint64_t last_ns = 0, time_ns;
	enum pcapng_item item;
	bool is_sorted = true;
	ssize_t n;
	int err;

	pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
	for (uint32_t at = 0; at < len; at += (uint32_t)n) {
		n = look_at(frame, decoder, at, len, is_good, &item, &time_ns);
		if (n == -ENOMEM)
			return -ENOMEM;
		if (n <= 0) {
			frame->is_damaged = true;
			break;
		}
		err = 0;
		if (item == PCAPNG_ITEM_STATISTICS)
			err = add_statistics(frame, pcapng_decoder_statistics(decoder));
		else if (item == PCAPNG_ITEM_PACKET)
			err = add_entry(frame, capacity, time_ns, at);
		if (err)
			return err;
		if (item != PCAPNG_ITEM_PACKET)
			continue;
		is_sorted = is_sorted && time_ns >= last_ns;
		last_ns = time_ns;
	}
	if (!is_sorted)
		qsort(frame->entries, frame->count, sizeof(*frame->entries), compare_entries);
	return 0;
}

static int copy_interfaces(struct merge_frame *frame, const struct pcapng_decoder *decoder)
{
	frame->interface_count = pcapng_decoder_interface_count(decoder);
	frame->interfaces = malloc(MAX(frame->interface_count, 1u) * sizeof(*frame->interfaces));
	if (!frame->interfaces)
		return -ENOMEM;
	for (uint32_t i = 0; i < frame->interface_count; i++)
		frame->interfaces[i] = *pcapng_decoder_interface(decoder, i);
	return 0;
}

int merge_frame_open(struct merge_frame *ret, struct pcapng_decoder *decoder,
		     const uint8_t *payload, uint32_t len, uint32_t packet_count, bool is_good)
{
	uint32_t capacity = MAX(MIN(packet_count, len / PACKET_BLOCK_MIN), 1u);
	struct merge_frame frame = { .payload = payload };
	int err = -ENOMEM;

	frame.entries = malloc(capacity * sizeof(*frame.entries));
	if (!frame.entries)
		goto fail;
	err = find_packets(&frame, decoder, len, is_good, &capacity);
	if (!err)
		err = copy_interfaces(&frame, decoder);
	if (err)
		goto fail;
	frame.memory_bytes = capacity * sizeof(*frame.entries) +
			     frame.interface_count * sizeof(*frame.interfaces) +
			     frame.statistics_count * sizeof(*frame.statistics);
	*ret = frame;
	return 0;
fail:
	merge_frame_close(&frame);
	return err;
}

void merge_frame_close(struct merge_frame *frame)
{
	free(frame->entries);
	free(frame->interfaces);
	free(frame->statistics);
	frame->entries = NULL;
	frame->interfaces = NULL;
	frame->statistics = NULL;
}

void merge_frame_skip(struct merge_frame *frame, uint64_t time_ns, uint32_t index)
{
	const struct merge_frame_entry *entry;

	for (; frame->next < frame->count; frame->next++) {
		entry = merge_frame_entry(frame);
		if (entry->time_ns > time_ns || (entry->time_ns == time_ns && entry->index > index))
			break;
	}
}

const struct pcapng_interface *merge_frame_take(struct merge_frame *frame,
						struct pcapng_packet *packet)
{
	const struct merge_frame_entry *entry = &frame->entries[frame->next++];

	packet->time_ns = entry->time_ns;
	pcapng_decode_again(frame->payload + entry->offset, packet);
	return &frame->interfaces[packet->interface];
}
