/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/frame_builder.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/frame_builder_internal.h"
#include "common/clocks.h"

/* A change of the UTC offset beyond what slewing makes (500 ppm, adjtimex(2)) is a step. */
#define STEP_NS NS_PER_MS
#define SLEW_PER_SECOND_NS (NS_PER_MS)
/* How often UTC is compared with the monotonic clock, at most; a frame has one offset. */
#define SAMPLE_NS NS_PER_MS

int frame_builder_create(struct frame_builder **ret, struct memory_journal *journal,
			 struct source *const *sources, unsigned int source_count,
			 size_t batch_bytes)
{
	struct frame_builder *builder = calloc(1, sizeof(*builder));

	if (!builder)
		return -ENOMEM;
	builder->positions = calloc(MEMORY_JOURNAL_POSITIONS_MAX, sizeof(*builder->positions));
	if (!builder->positions) {
		free(builder);
		return -ENOMEM;
	}
	builder->journal = journal;
	builder->sources = sources;
	builder->source_count = source_count;
	builder->batch_bytes = MIN(batch_bytes, FRAME_PAYLOAD_MAX);
	builder->is_replay = source_count && sources[0]->is_replay;
	for (unsigned int i = 0; i < TOTAL_COUNT; i++)
		(void)memory_journal_position(journal, TOTAL_SOURCE + i, &builder->totals[i]);
	*ret = builder;
	return 0;
}

void frame_builder_destroy(struct frame_builder *builder)
{
	if (!builder)
		return;
	free(builder->positions);
	free(builder->known);
	free(builder);
}

int frame_builder_set_count(struct frame_builder *builder, unsigned int source_count)
{
	unsigned int others = frame_builder_positions(builder) - builder->source_count;

	if (source_count + others > MEMORY_JOURNAL_POSITIONS_MAX)
		return -ENOSPC;
	builder->source_count = source_count;
	return 0;
}

static void collect_positions(struct frame_builder *builder)
{
	struct journal_position *at = builder->positions + builder->source_count + TOTAL_COUNT;

	for (unsigned int i = 0; i < builder->source_count; i++) {
		const struct source *source = builder->sources[i];

		builder->positions[i].source = source->id;
		builder->positions[i].value = source->ops->position(source);
	}
	for (unsigned int i = 0; i < TOTAL_COUNT; i++)
		builder->positions[builder->source_count + i] =
			(struct journal_position){ .source = TOTAL_SOURCE + i,
						   .value = builder->totals[i] };
	for (unsigned int i = 0; i < builder->known_count; i++) {
		const struct known_interface *known = &builder->known[i];

		if (known->account)
			*at++ = (struct journal_position){ .source =
								   ACCOUNT_SOURCE | known->account,
							   .value = known->taken };
	}
}

/* What is kept may be told. */
static void tell_taken(struct frame_builder *builder)
{
	for (unsigned int i = 0; i < builder->known_count; i++) {
		struct known_interface *known = &builder->known[i];

		if (!known->taken_sum || known->taken == known->taken_told)
			continue;
		atomic_fetch_add_explicit(known->taken_sum, known->taken - known->taken_told,
					  memory_order_relaxed);
		known->taken_told = known->taken;
	}
}

static void count(struct frame_builder *builder, struct known_interface *known,
		  const struct source_packet *packet)
{
	known->taken++;
	builder->totals[0]++;
	builder->totals[1] += packet->wire_packets;
	builder->totals[2] += packet->captured_len;
}

/* The clock was stepped: say so in a frame of its own (two i64: offset before and after). */
static void commit_clock(struct frame_builder *builder, int64_t before)
{
	struct frame_header header = {
		.type = FRAME_CLOCK,
		.flags = FRAME_F_CLOCK_STEP,
		.stream = 1,
		.utc_offset_ns = builder->offset_ns,
	};
	uint8_t *payload = memory_journal_begin(builder->journal, 16);

	if (!payload)
		return;
	memcpy(payload, &before, 8);
	memcpy(payload + 8, &builder->offset_ns, 8);
	collect_positions(builder);
	memory_journal_commit(builder->journal, &header, 16, builder->positions,
			      frame_builder_positions(builder));
}

static void update_offset(struct frame_builder *builder)
{
	int64_t before = builder->offset_ns, change, slew;
	uint64_t sampled_before = builder->sampled_ns;
	struct clocks_reading utc;

	if (builder->is_replay ||
	    (sampled_before && clock_ns(CLOCK_MONOTONIC) - sampled_before < SAMPLE_NS))
		return;
	utc = clocks_compare(CLOCK_REALTIME);
	builder->sampled_ns = utc.monotonic_ns;
	builder->offset_ns = (int64_t)(utc.ns - utc.monotonic_ns);
	if (!sampled_before)
		return;
	change = llabs(builder->offset_ns - before);
	slew = (int64_t)((builder->sampled_ns - sampled_before) / NS_PER_SEC * SLEW_PER_SECOND_NS);
	if (change > (int64_t)STEP_NS + slew) {
		commit_clock(builder, before);
		builder->step_pending = true;
	}
}

uint64_t frame_builder_utc(struct frame_builder *builder, uint64_t monotonic_ns)
{
	if (!builder->payload)
		update_offset(builder);
	return monotonic_ns + (uint64_t)builder->offset_ns;
}

/* Is it described at the beginning of the frame that is being opened? */
static bool belongs(const struct frame_builder *builder, const struct known_interface *known)
{
	if (builder->tells_only)
		return known->last_used == builder->frame_number;
	return known_interface_is_recent(builder, known);
}

/* A frame with room for need bytes after the descriptions of the interfaces in use. */
static bool open_frame(struct frame_builder *builder, size_t need)
{
	size_t blocks = 0;

	update_offset(builder);
	builder->frame_number++;
	for (unsigned int i = 0; i < builder->known_count; i++) {
		if (belongs(builder, &builder->known[i]))
			blocks += known_interface_len(&builder->known[i]);
	}
	/* One that is not known yet. */
	blocks += INTERFACE_BLOCK_MAX + PCAPNG_STATISTICS_MAX;
	builder->room = MAX(builder->batch_bytes, blocks + need);
	if (builder->room > FRAME_PAYLOAD_MAX)
		return false;
	builder->payload = memory_journal_begin(builder->journal, builder->room);
	if (!builder->payload)
		return false;
	builder->len = 0;
	builder->next_local = 0;
	builder->opened_ns = clock_ns(CLOCK_MONOTONIC);
	builder->header = (struct frame_header){
		.type = FRAME_PACKETS,
		.stream = 1,
		.utc_offset_ns = builder->is_replay ? 0 : builder->offset_ns,
	};
	if (builder->is_replay)
		builder->header.flags |= FRAME_F_REPLAY;
	if (builder->step_pending)
		builder->header.flags |= FRAME_F_CLOCK_STEP;
	builder->step_pending = false;
	for (unsigned int i = 0; i < builder->known_count; i++) {
		if (belongs(builder, &builder->known[i]))
			known_interface_put(builder, &builder->known[i]);
	}
	return true;
}

static enum frame_builder_result drop(struct frame_builder *builder, struct known_interface *known,
				      const struct source_packet *packet)
{
	count(builder, known, packet);
	builder->dirty = true;
	memory_journal_count_lost(builder->journal, LOSS_JOURNAL_FULL, 1, packet->wire_packets,
				  packet->original_len);
	return FRAME_BUILDER_DROPPED;
}

/* No frame could be opened for the packet. */
static enum frame_builder_result refuse(struct frame_builder *builder,
					struct known_interface *known,
					const struct source_packet *packet)
{
	if (builder->is_replay && builder->room <= FRAME_PAYLOAD_MAX)
		return FRAME_BUILDER_WAIT;
	return drop(builder, known, packet);
}

enum frame_builder_result frame_builder_append(struct frame_builder *builder,
					       const struct source *source,
					       const struct source_packet *packet)
{
	struct known_interface *known = known_interface_find(builder, source, packet->interface);
	struct pcapng_packet block;
	uint64_t drops, time_ns;
	bool is_late;
	size_t n;

	if (!known || known->generation != packet->generation)
		return FRAME_BUILDER_INTERFACE;
	block = (struct pcapng_packet){
		.captured_len = packet->captured_len,
		.original_len = packet->original_len,
		.data = packet->data,
		.flags = packet->direction,
		.has_queue = packet->has_queue,
		.queue = packet->queue,
	};
	if (known->drops) {
		drops = __atomic_load_n(known->drops, __ATOMIC_RELAXED);
		block.has_drop_count = drops != known->drops_reported;
		block.drop_count = drops - known->drops_reported;
	}
	if (!builder->payload && !open_frame(builder, pcapng_packet_len(&block)))
		return refuse(builder, known, packet);
	if (known->frame != builder->frame_number) {
		if (builder->header.packet_count)
			return FRAME_BUILDER_CLOSE;
		if (builder->len + known_interface_len(known) > builder->room)
			goto larger;
		known_interface_put(builder, known);
	}
	block.interface = known->local;
	time_ns = source->is_replay ? packet->time_ns
				    : packet->time_ns + (uint64_t)builder->offset_ns;
	block.time_ns = time_ns;
	n = pcapng_put_packet(builder->payload + builder->len, builder->room - builder->len, &block,
			      NULL);
	if (!n)
		goto larger;
	builder->len += n;
	builder->dirty = true;
	count(builder, known, packet);
	known->last_used = builder->frame_number;
	known->drops_reported += block.has_drop_count ? block.drop_count : 0;
	if (!builder->header.packet_count || time_ns < builder->header.first_ns)
		builder->header.first_ns = time_ns;
	if (time_ns > builder->header.last_ns)
		builder->header.last_ns = time_ns;
	builder->header.packet_count++;
	builder->header.wire_count += packet->wire_packets;
	is_late = time_ns < builder->newest_ns;
	if (is_late)
		builder->header.flags |= FRAME_F_LATE;
	else
		builder->newest_ns = time_ns;
	return is_late ? FRAME_BUILDER_LATE : FRAME_BUILDER_DONE;
larger:
	if (builder->header.packet_count)
		return FRAME_BUILDER_CLOSE;
	/* An empty frame too small for this one packet: one that fits it. */
	memory_journal_abandon(builder->journal);
	builder->payload = NULL;
	if (!open_frame(builder, pcapng_packet_len(&block)))
		return refuse(builder, known, packet);
	return FRAME_BUILDER_AGAIN;
}

int frame_builder_put_statistics(struct frame_builder *builder, uint64_t watermark_ns)
{
	unsigned int due = 0;
	bool is_open;

	assert(!builder->payload);
	for (unsigned int i = 0; i < builder->known_count && due < STATISTICS_FRAME_MAX; i++) {
		if (!builder->known[i].has_statistics)
			continue;
		builder->known[i].last_used = builder->frame_number + 1;
		due++;
	}
	if (!due)
		return 0;
	builder->tells_only = true;
	is_open = open_frame(builder, 0);
	builder->tells_only = false;
	if (!is_open)
		return -ENOBUFS;
	/* Readers come to it behind the packets. */
	builder->header.first_ns = builder->newest_ns ?: watermark_ns;
	builder->header.last_ns = builder->header.first_ns;
	builder->header.watermark_ns = watermark_ns;
	collect_positions(builder);
	memory_journal_commit(builder->journal, &builder->header, builder->len, builder->positions,
			      frame_builder_positions(builder));
	frame_builder_forget_told(builder);
	builder->payload = NULL;
	return 1;
}

void frame_builder_progress(struct frame_builder *builder)
{
	if (!builder->dirty)
		return;
	collect_positions(builder);
	memory_journal_progress(builder->journal, builder->payload ? &builder->header : NULL,
				builder->payload ? builder->len : 0, builder->positions,
				frame_builder_positions(builder));
	tell_taken(builder);
	builder->dirty = false;
}

bool frame_builder_commit(struct frame_builder *builder, uint64_t watermark_ns)
{
	bool has_packets = builder->payload && builder->header.packet_count;

	if (!builder->payload)
		return false;
	if (has_packets) {
		builder->header.watermark_ns = watermark_ns;
		collect_positions(builder);
		memory_journal_commit(builder->journal, &builder->header, builder->len,
				      builder->positions, frame_builder_positions(builder));
		tell_taken(builder);
		frame_builder_forget_told(builder);
	} else {
		memory_journal_abandon(builder->journal);
	}
	builder->payload = NULL;
	builder->dirty = false;
	return has_packets;
}

bool frame_builder_is_open(const struct frame_builder *builder)
{
	return builder->payload != NULL;
}

void frame_builder_totals(const struct frame_builder *builder, uint64_t *packets,
			  uint64_t *wire_packets, uint64_t *bytes)
{
	*packets = builder->totals[0];
	*wire_packets = builder->totals[1];
	*bytes = builder->totals[2];
}

uint64_t frame_builder_open_packets(const struct frame_builder *builder)
{
	return builder->payload ? builder->header.packet_count : 0;
}

uint64_t frame_builder_opened_ns(const struct frame_builder *builder)
{
	return builder->opened_ns;
}
