/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lane_sources.h"

#include <errno.h>
#include <poll.h>

static void poll_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct lane_slot *slot = container_of(op, struct lane_slot, poll);

	(void)res;
	(void)cqe_flags;
	slot->armed = false;
	slot->sources->polls_armed--;
	slot->sources->wakeups++;
}

void lane_sources_init(struct lane_sources *sources)
{
	for (unsigned int i = 0; i < LANE_SOURCES_MAX; i++) {
		sources->slots[i].poll.done = poll_done;
		sources->slots[i].sources = sources;
	}
}

void lane_sources_release(struct lane_sources *sources)
{
	for (unsigned int i = 0; i < sources->slot_count; i++) {
		struct source *source = sources->slots[i].source;

		if (source)
			source->ops->destroy(source);
	}
}

int lane_sources_add(struct lane_sources *sources, struct source *source)
{
	unsigned int i = 0;

	while (i < sources->slot_count && sources->slots[i].source)
		i++;
	if (i == LANE_SOURCES_MAX)
		return -ENOSPC;
	sources->slot_count = MAX(sources->slot_count, i + 1);
	sources->slots[i].source = source;
	sources->slots[i].told = (struct source_stats){};
	sources->slots[i].is_out = false;
	sources->list[sources->count++] = source;
	return 0;
}

static bool is_leaving(const struct lane_slot *slot)
{
	return slot->source &&
	       atomic_load_explicit(&slot->source->is_leaving, memory_order_acquire);
}

unsigned int lane_sources_count_leaving(struct lane_sources *sources)
{
	sources->leaving_count = 0;
	for (unsigned int i = 0; i < sources->slot_count; i++)
		sources->leaving_count += is_leaving(&sources->slots[i]);
	return sources->leaving_count;
}

static void take_out(struct lane_sources *sources, struct lane_slot *slot, struct loop *loop)
{
	struct source_stats last;
	unsigned int i = 0;

	while (sources->list[i] != slot->source)
		i++;
	sources->list[i] = sources->list[--sources->count];
	slot->source->ops->stats(slot->source, &last);
	source_stats_add(&sources->gone, &last);
	sources->gone.pending_bytes = 0;
	slot->is_out = true;
	if (slot->armed)
		loop_cancel(loop, &slot->poll);
}

bool lane_sources_let_go(struct lane_sources *sources, struct loop *loop)
{
	struct source_packet packet;
	bool any = false;

	for (unsigned int i = 0; i < sources->slot_count; i++) {
		struct lane_slot *slot = &sources->slots[i];

		if (!is_leaving(slot))
			continue;
		if (!slot->is_out && !slot->source->ops->peek(slot->source, &packet)) {
			take_out(sources, slot, loop);
			any = true;
		}
		if (slot->is_out && !slot->armed) {
			atomic_store_explicit(&slot->source->is_released, true,
					      memory_order_release);
			slot->source = NULL;
			sources->leaving_count--;
			any = true;
		}
	}
	return any;
}

void lane_sources_arm(struct lane_sources *sources, struct loop *loop)
{
	for (unsigned int i = 0; i < sources->slot_count; i++) {
		struct lane_slot *slot = &sources->slots[i];

		if (!slot->source || slot->is_out || slot->armed || slot->source->poll_fd < 0)
			continue;
		slot->armed = true;
		sources->polls_armed++;
		io_uring_prep_poll_add(loop_sqe(loop, &slot->poll), slot->source->poll_fd, POLLIN);
	}
}

bool lane_sources_at_end(const struct lane_sources *sources)
{
	for (unsigned int i = 0; i < sources->count; i++) {
		if (!sources->list[i]->at_end)
			return false;
	}
	return sources->count > 0;
}

static bool are_idle(const struct lane_sources *sources)
{
	for (unsigned int i = 0; i < sources->count; i++) {
		const struct source *source = sources->list[i];

		if (source->ops->idle && !source->ops->idle(source))
			return false;
	}
	return true;
}

void lane_sources_stop(struct lane_sources *sources, struct loop *loop)
{
	for (unsigned int i = 0; i < sources->count; i++) {
		struct source *source = sources->list[i];

		if (source->ops->stop)
			source->ops->stop(source);
	}
	for (unsigned int i = 0; i < sources->slot_count; i++) {
		if (sources->slots[i].armed)
			loop_cancel(loop, &sources->slots[i].poll);
	}
	while ((sources->polls_armed || !are_idle(sources)) && !loop_turn(loop, true))
		;
}
