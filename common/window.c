/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/window.h"

#include <stdlib.h>

static struct window_frame *at(const struct window *window, uint32_t i)
{
	return &window->list[(window->first + i) & (window->capacity - 1)];
}

void window_release(struct window *window)
{
	free(window->list);
	*window = (struct window){};
}

void window_clear(struct window *window)
{
	window->count = 0;
	window->again_count = 0;
	window->bytes = 0;
}

static bool grow(struct window *window)
{
	uint32_t capacity = window->capacity ? 2 * window->capacity : 256;
	struct window_frame *list = calloc(capacity, sizeof(*list));

	if (!list)
		return false;
	for (uint32_t i = 0; i < window->count; i++)
		list[i] = *at(window, i);
	free(window->list);
	window->list = list;
	window->capacity = capacity;
	window->first = 0;
	return true;
}

struct window_frame *window_push(struct window *window, const struct memory_journal_frame *frame)
{
	struct window_frame *pushed;

	if (window->count == window->capacity && !grow(window))
		return NULL;
	pushed = at(window, window->count++);
	*pushed = (struct window_frame){ .sequence = frame->sequence,
					 .start = frame->start,
					 .end = frame->offset,
					 .len = frame->len };
	window->bytes += frame->len;
	return pushed;
}

struct window_frame *window_find(const struct window *window, uint64_t sequence)
{
	uint32_t low = 0, high = window->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (at(window, middle)->sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low < window->count && at(window, low)->sequence == sequence ? at(window, low)
									    : NULL;
}

void window_ack(struct window *window, struct window_frame *frame)
{
	if (frame->acked)
		return;
	frame->acked = true;
	window->bytes -= frame->len;
	window->again_count -= frame->again;
	frame->again = false;
}

uint32_t window_ack_ranges(struct window *window, const struct ranges *durable, uint64_t *sent_ns)
{
	uint64_t highest = ranges_max(durable);
	struct window_frame *frame;
	uint32_t count = 0;

	*sent_ns = 0;
	for (uint32_t i = 0; i < window->count; i++) {
		frame = at(window, i);
		if (frame->sequence > highest)
			break;
		if (frame->acked || !ranges_has(durable, frame->sequence))
			continue;
		window_ack(window, frame);
		count++;
		if (frame->sent_ns)
			*sent_ns = frame->sent_ns;
	}
	return count;
}

uint64_t window_take_acked(struct window *window)
{
	uint64_t end = 0;

	while (window->count && at(window, 0)->acked) {
		end = at(window, 0)->end;
		window->first = (window->first + 1) & (window->capacity - 1);
		window->count--;
	}
	return end;
}

void window_send_again(struct window *window, struct window_frame *frame)
{
	if (frame->acked || frame->again)
		return;
	frame->again = true;
	window->again_count++;
}

struct window_frame *window_next_again(struct window *window)
{
	for (uint32_t i = 0; i < window->count && window->again_count; i++) {
		struct window_frame *frame = at(window, i);

		if (!frame->again)
			continue;
		frame->again = false;
		window->again_count--;
		return frame;
	}
	return NULL;
}

unsigned int window_count_refusal(struct window *window, uint64_t sequence)
{
	for (unsigned int i = 0; i < WINDOW_REFUSED_MAX; i++) {
		if (window->refused[i].sequence == sequence)
			return ++window->refused[i].count;
	}
	window->refused[window->refused_next].sequence = sequence;
	window->refused[window->refused_next].count = 1;
	window->refused_next = (window->refused_next + 1) % WINDOW_REFUSED_MAX;
	return 1;
}
