/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sources that come and go while the lane runs: the control thread asks, the lane does. */
#include "agent/lane.h"

#include <errno.h>

#include "agent/lane_internal.h"
#include "common/log.h"

int lane_start_source(struct lane *lane, struct source *source)
{
	uint64_t position;
	int err;

	if (memory_journal_position(lane->config.journal, source->id, &position))
		source->ops->seek(source, position);
	if (!source->ops->start)
		return 0;
	err = source->ops->start(source, lane->loop);
	return err ? log_error(err, "cannot start source %s", source->ops->name) : 0;
}

static void list_changed(struct lane *lane)
{
	gather_set_count(lane->gather, lane->sources.count);
	(void)!frame_builder_set_count(lane->builder, lane->sources.count);
}

/* One that waits to be taken in gets its answer, 0 or why not. */
static int take_in(struct lane *lane, struct source *source)
{
	int err = lane->ending ? -ESHUTDOWN : lane_start_source(lane, source);

	if (!err)
		err = frame_builder_set_count(lane->builder, lane->sources.count + 1);
	if (!err)
		err = lane_sources_add(&lane->sources, source);
	if (!err)
		lane->settle_ns = MAX(lane->settle_ns, source->delay_ns);
	list_changed(lane);
	return err;
}

void lane_sources_signalled(struct loop_event *event)
{
	struct lane *lane = container_of(event, struct lane, sources_event);
	struct source *coming;

	pthread_mutex_lock(&lane->stop_lock);
	coming = lane->coming;
	lane->coming = NULL;
	pthread_mutex_unlock(&lane->stop_lock);
	if (coming) {
		lane->coming_err = take_in(lane, coming);
		sem_post(&lane->ready);
	}
	(void)lane_sources_count_leaving(&lane->sources);
}

void lane_let_go(struct lane *lane)
{
	if (!lane->sources.leaving_count)
		return;
	/* What they have lost is final. */
	lane_publish_stats(lane);
	if (!lane_sources_let_go(&lane->sources, lane->loop))
		return;
	list_changed(lane);
	loop_event_signal(lane->config.shared->state_changed);
}

void lane_take_no_more(struct lane *lane)
{
	pthread_mutex_lock(&lane->stop_lock);
	lane->takes_stop = false;
	if (lane->coming) {
		lane->coming = NULL;
		lane->coming_err = -ESHUTDOWN;
		sem_post(&lane->ready);
	}
	pthread_mutex_unlock(&lane->stop_lock);
}

int lane_add_source(struct lane *lane, struct source *source)
{
	bool is_taken;

	pthread_mutex_lock(&lane->stop_lock);
	is_taken = lane->takes_stop;
	if (is_taken) {
		lane->coming = source;
		loop_event_signal(&lane->sources_event);
	}
	pthread_mutex_unlock(&lane->stop_lock);
	if (!is_taken)
		return -ESHUTDOWN;
	while (sem_wait(&lane->ready) && errno == EINTR)
		;
	return lane->coming_err;
}

void lane_remove_source(struct lane *lane, struct source *source)
{
	atomic_store_explicit(&source->is_leaving, true, memory_order_release);
	pthread_mutex_lock(&lane->stop_lock);
	if (lane->takes_stop)
		loop_event_signal(&lane->sources_event);
	pthread_mutex_unlock(&lane->stop_lock);
}
