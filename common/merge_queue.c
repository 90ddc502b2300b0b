/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/merge_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct merge_queue_journal {
	uint32_t number;
	struct merge_queue_list frames; /* in the order they came, which is that of positions */
};

int merge_queue_init(struct merge_queue *queue, const struct merge_config *config,
		     struct merge_stats *stats)
{
	*queue = (struct merge_queue){ .config = config, .stats = stats };
	TAILQ_INIT(&queue->held);
	TAILQ_INIT(&queue->open);
	return pcapng_decoder_create(&queue->decoder, PCAPNG_FROM_FRAME);
}

static bool can_load(const struct merge_queue *queue)
{
	return queue->config->ops && queue->config->ops->load;
}

/* The frame's payload, or a copy of it. */
static int hold_payload(struct merge_queue *queue, struct merge_queue_frame *frame,
			const uint8_t *payload)
{
	uint8_t *copy;

	if (queue->config->borrows) {
		frame->payload = payload;
	} else {
		copy = malloc(MAX(frame->len, 1u));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, payload, frame->len);
		frame->payload = copy;
	}
	queue->stats->bytes_held += frame->len;
	TAILQ_INSERT_TAIL(&queue->held, frame, of_memory);
	return 0;
}

/* Only the position stays. */
static void drop_payload(struct merge_queue *queue, struct merge_queue_frame *frame)
{
	const struct merge_frame_entry *last;

	if (!frame->payload)
		return;
	if (frame->open) {
		if (frame->open->next) {
			last = &frame->open->entries[frame->open->next - 1];
			frame->skips = true;
			frame->skip_ns = last->time_ns;
			frame->skip_index = last->index;
			frame->given = frame->open->next;
		}
		queue->stats->bytes_held -= frame->open->memory_bytes;
		TAILQ_REMOVE(&queue->open, frame, of_memory);
		merge_frame_close(frame->open);
		free(frame->open);
		frame->open = NULL;
	} else {
		TAILQ_REMOVE(&queue->held, frame, of_memory);
	}
	queue->stats->bytes_held -= frame->len;
	if (!queue->config->borrows)
		free((void *)(uintptr_t)frame->payload);
	frame->payload = NULL;
}

static void free_frame(struct merge_queue *queue, struct merge_queue_frame *frame)
{
	drop_payload(queue, frame);
	free(frame);
}

void merge_queue_release(struct merge_queue *queue)
{
	merge_queue_forget(queue);
	for (uint32_t i = 0; i < queue->count; i++)
		free_frame(queue, queue->heap[i].frame);
	for (uint32_t i = 0; i < queue->journal_count; i++)
		free(queue->journals[i]);
	free(queue->journals);
	free(queue->heap);
	free(queue->scratch);
	pcapng_decoder_destroy(queue->decoder);
}

static bool is_before(const struct merge_queue_item *a, const struct merge_queue_item *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	if (a->frame->stream != b->frame->stream)
		return a->frame->stream->rank < b->frame->stream->rank;
	if (a->frame->sequence != b->frame->sequence)
		return a->frame->sequence < b->frame->sequence;
	return a->frame->position < b->frame->position;
}

/* The top item has a later time. */
static void settle_top(struct merge_queue *queue)
{
	struct merge_queue_item *heap = queue->heap, item = heap[0];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < queue->count) {
		if (child + 1 < queue->count && is_before(&heap[child + 1], &heap[child]))
			child++;
		if (!is_before(&heap[child], &item))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = item;
}

/* There is room. */
static void push(struct merge_queue *queue, struct merge_queue_frame *frame)
{
	struct merge_queue_item *heap = queue->heap;
	struct merge_queue_item item = { .time_ns = frame->first_ns, .frame = frame };
	uint32_t at = queue->count++;

	for (; at && is_before(&item, &heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = item;
	queue->stats->frames_waiting = queue->count;
}

/* The top frame has no packet left. It lives on as the current one, for its last packet's sake. */
static void pop(struct merge_queue *queue)
{
	struct merge_queue_frame *frame = queue->heap[0].frame;

	assert(!queue->current);
	queue->current = frame;
	TAILQ_REMOVE(&frame->journal->frames, frame, of_journal);
	queue->heap[0] = queue->heap[--queue->count];
	if (queue->count)
		settle_top(queue);
	queue->stats->frames_waiting = queue->count;
}

void merge_queue_forget(struct merge_queue *queue)
{
	if (queue->current)
		free_frame(queue, queue->current);
	queue->current = NULL;
}

static int reserve(struct merge_queue *queue)
{
	uint32_t capacity = MAX(2 * queue->capacity, 64u);
	struct merge_queue_item *heap;

	if (queue->count < queue->capacity)
		return 0;
	heap = realloc(queue->heap, capacity * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	queue->heap = heap;
	queue->capacity = capacity;
	return 0;
}

static struct merge_queue_journal *find_journal(const struct merge_queue *queue, uint32_t number)
{
	for (uint32_t i = 0; i < queue->journal_count; i++)
		if (queue->journals[i]->number == number)
			return queue->journals[i];
	return NULL;
}

static struct merge_queue_journal *add_journal(struct merge_queue *queue, uint32_t number)
{
	struct merge_queue_journal **list, *journal = find_journal(queue, number);

	if (journal)
		return journal;
	list = realloc(queue->journals,
		       (queue->journal_count + 1) * sizeof(struct merge_queue_journal *));
	if (!list)
		return NULL;
	queue->journals = list;
	journal = malloc(sizeof(*journal));
	if (!journal)
		return NULL;
	journal->number = number;
	TAILQ_INIT(&journal->frames);
	list[queue->journal_count++] = journal;
	return journal;
}

uint64_t merge_queue_low_position(const struct merge_queue *queue, uint32_t journal, uint64_t end)
{
	const struct merge_queue_journal *found = find_journal(queue, journal);
	const struct merge_queue_frame *oldest = found ? TAILQ_FIRST(&found->frames) : NULL;

	return oldest ? oldest->position : end;
}

/* Is there memory for len bytes of a frame, if those that came last and are needed later go? */
static bool make_room(struct merge_queue *queue, uint32_t len, uint64_t first_ns)
{
	struct merge_queue_frame *frame;

	while (queue->stats->bytes_held + len > queue->config->memory_bytes) {
		frame = TAILQ_LAST(&queue->held, merge_queue_list);
		if (!frame || frame->first_ns <= first_ns)
			return false;
		drop_payload(queue, frame);
	}
	return true;
}

/* The open frame other than keep whose next packet is the last to be needed. */
static struct merge_queue_frame *find_least_urgent(const struct merge_queue *queue,
						   const struct merge_queue_frame *keep)
{
	struct merge_queue_frame *frame = TAILQ_FIRST(&queue->open), *found = NULL;
	uint64_t time_ns, found_ns = 0;

	while (frame) {
		time_ns = merge_frame_entry(frame->open)->time_ns;
		if (frame != keep && time_ns >= found_ns) {
			found = frame;
			found_ns = time_ns;
		}
		frame = TAILQ_NEXT(frame, of_memory);
	}
	return found;
}

/* Back within memory_bytes, as far as that can be with keep in memory. */
static void relieve(struct merge_queue *queue, const struct merge_queue_frame *keep)
{
	struct merge_queue_frame *frame;

	while (queue->stats->bytes_held > queue->config->memory_bytes && can_load(queue)) {
		frame = TAILQ_LAST(&queue->held, merge_queue_list)
				?: find_least_urgent(queue, keep);
		if (!frame)
			break;
		drop_payload(queue, frame);
	}
}

/* 0, -ENOMEM, or -EBADMSG for whatever else is wrong. */
static int load(struct merge_queue *queue, struct merge_queue_frame *frame)
{
	int n;

	if (!can_load(queue))
		return -EBADMSG;
	if (!queue->scratch)
		queue->scratch = malloc(FRAME_LEN_MAX);
	if (!queue->scratch)
		return -ENOMEM;
	n = queue->config->ops->load(queue->config->context, frame->journal->number,
				     frame->position, queue->scratch);
	queue->stats->reloads++;
	if (n < 0 || (uint32_t)n != FRAME_HEADER_LEN + frame->len)
		return -EBADMSG;
	return hold_payload(queue, frame, queue->scratch + FRAME_HEADER_LEN);
}

/* 0, -ENOMEM, or -EBADMSG. */
static int open_frame(struct merge_queue *queue, struct merge_queue_frame *frame)
{
	const struct frame_header header = { .stored_len = frame->len, .payload_crc = frame->crc };
	struct merge_frame *open;
	int err;

	err = frame->payload ? 0 : load(queue, frame);
	if (!err && !queue->config->borrows)
		err = frame_payload_check(&header, frame->payload);
	if (err)
		return err;
	open = malloc(sizeof(*open));
	if (!open)
		return -ENOMEM;
	err = merge_frame_open(open, queue->decoder, frame->payload, frame->len,
			       frame->packet_count, queue->config->borrows);
	if (err) {
		free(open);
		return err;
	}
	frame->open = open;
	queue->stats->bytes_held += open->memory_bytes;
	TAILQ_REMOVE(&queue->held, frame, of_memory);
	TAILQ_INSERT_TAIL(&queue->open, frame, of_memory);
	relieve(queue, frame);
	return 0;
}

static void tell_statistics(const struct merge_queue *queue, const struct merge_queue_frame *frame)
{
	const struct merge_frame *open = frame->open;

	if (!queue->on_statistics)
		return;
	for (uint32_t i = 0; i < open->statistics_count; i++)
		queue->on_statistics(queue->statistics_context, &frame->stream->id,
				     &open->interfaces[open->statistics[i].interface],
				     &open->statistics[i]);
}

int merge_queue_open_top(struct merge_queue *queue)
{
	struct merge_queue_frame *frame = queue->heap[0].frame;
	uint32_t readable = frame->given;
	int err;

	err = open_frame(queue, frame);
	if (err == -ENOMEM)
		return err;
	if (!err) {
		readable = frame->open->count;
		tell_statistics(queue, frame);
	}
	if (err ||
	    (!frame->was_opened && (frame->open->is_damaged || readable < frame->packet_count))) {
		queue->stats->damaged_frames++;
		queue->stats->damaged_packets +=
			frame->packet_count - MIN(frame->packet_count, readable);
	}
	frame->was_opened = true;
	if (!err && frame->skips)
		merge_frame_skip(frame->open, frame->skip_ns, frame->skip_index);
	if (!err && frame->open->next < frame->open->count) {
		queue->heap[0].time_ns = merge_frame_entry(frame->open)->time_ns;
		settle_top(queue);
		return 1;
	}
	pop(queue);
	merge_queue_forget(queue);
	return 0;
}

const struct pcapng_interface *merge_queue_take(struct merge_queue *queue,
						struct pcapng_packet *packet)
{
	struct merge_frame *open = queue->heap[0].frame->open;
	const struct pcapng_interface *interface = merge_frame_take(open, packet);

	if (open->next < open->count) {
		queue->heap[0].time_ns = merge_frame_entry(open)->time_ns;
		settle_top(queue);
	} else {
		pop(queue);
	}
	return interface;
}

/* What is to be left out of the frame's packets. */
static void read_on_after(struct merge_queue_frame *frame, const struct merge_key *key)
{
	int order = stream_id_compare(&frame->stream->id, &key->stream);

	if (!order)
		order = (frame->sequence > key->sequence) - (frame->sequence < key->sequence);
	frame->skips = order <= 0 || key->time_ns;
	frame->skip_ns = order <= 0 ? key->time_ns : key->time_ns - 1;
	frame->skip_index = order ? UINT32_MAX : key->index;
}

int merge_queue_add(struct merge_queue *queue, struct merge_stream *stream, uint32_t journal,
		    uint64_t position, const struct frame_header *header, const uint8_t *data,
		    const struct merge_key *read_on)
{
	struct merge_queue_frame *frame = calloc(1, sizeof(*frame));

	if (!frame || reserve(queue))
		goto fail;
	frame->journal = add_journal(queue, journal);
	if (!frame->journal)
		goto fail;
	frame->stream = stream;
	frame->position = position;
	frame->sequence = header->sequence;
	frame->first_ns = header->first_ns;
	frame->len = header->stored_len;
	frame->crc = header->payload_crc;
	frame->packet_count = header->packet_count;
	if (read_on)
		read_on_after(frame, read_on);
	if (data && (!can_load(queue) || make_room(queue, frame->len, frame->first_ns)) &&
	    hold_payload(queue, frame, data + FRAME_HEADER_LEN))
		goto fail;
	TAILQ_INSERT_TAIL(&frame->journal->frames, frame, of_journal);
	push(queue, frame);
	return 0;
fail:
	free(frame);
	return -ENOMEM;
}
