/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/lane_internal.h"
#include "common/log.h"

/* Packets of one pass, so that the uplink and the timers get their turn. */
#define PASS_PACKETS 8192
/*
 * While a frame is open the rings are looked at by this clock, not by wake-ups: a wake-up per
 * packet costs more than the packet. 8 MiB of ring hold 4 ms of the highest rate seen.
 */
#define TICK_NS NS_PER_MS
/* A packet may show in a ring this much after its time: interrupted between stamp and ring. */
#define SETTLE_NS (20 * NS_PER_US)
#define WATERMARK_SLACK_NS NS_PER_MS
/* Recorded files are now and then out of order; what is more than this late is set apart. */
#define REPLAY_SLACK_NS NS_PER_SEC
#define MARK_NS (100 * NS_PER_MS)
#define MARK_SOON_NS (4 * NS_PER_MS)
/* A recording that ended by itself is shipped however long that takes. */
#define NO_DEADLINE_NS (1ull << 60)
/* A lane needs little of a processor, but what it does not get in time is lost packets. */
#define LANE_NICE (-10)

static void note_commit(struct lane *lane)
{
	lane_add(&lane->stats.frames, 1);
	if (lane->committed)
		lane->committed(lane->context);
}

static void close_frame(struct lane *lane)
{
	if (frame_builder_commit(lane->builder, lane->watermark_ns))
		note_commit(lane);
}

/* Frames without packets. False: there is no room for one. */
static bool put_statistics(struct lane *lane)
{
	int made;

	while ((made = frame_builder_put_statistics(lane->builder, lane->watermark_ns)) == 1)
		note_commit(lane);
	return made == 0;
}

/* A watermark holds for those who read the journal only while no frame is open. */
static void publish_watermark(struct lane *lane)
{
	if (!frame_builder_is_open(lane->builder))
		atomic_store_explicit(&lane->published_ns, lane->watermark_ns,
				      memory_order_release);
}

/* Counts a packet against -c; false: the limit was reached before it. */
static bool count_packet(struct lane *lane)
{
	struct lane_shared *shared = lane->config.shared;
	uint64_t before;

	/* One that waits for room was counted when it came. */
	if (!shared->count_max || lane->waits)
		return true;
	before = atomic_fetch_add(&shared->count, 1);
	if (before + 1 == shared->count_max)
		loop_event_signal(shared->state_changed);
	if (before < shared->count_max)
		return true;
	lane->stop_taking = true;
	return false;
}

/* False: there is no room, and the packet can wait where it is. */
static bool append(struct lane *lane, const struct source *source,
		   const struct source_packet *packet)
{
	enum frame_builder_result result;

	do {
		result = frame_builder_append(lane->builder, source, packet);
		if (result == FRAME_BUILDER_INTERFACE)
			result = lane_interfaces_describe(lane, source, packet->interface,
							  packet->generation);
		if (result == FRAME_BUILDER_CLOSE)
			close_frame(lane);
	} while (result == FRAME_BUILDER_CLOSE || result == FRAME_BUILDER_AGAIN);
	if (result == FRAME_BUILDER_WAIT)
		return false;
	if (result == FRAME_BUILDER_LATE)
		lane_add(&lane->stats.late_packets, 1);
	if (source->is_replay && packet->time_ns > lane->replay_time_ns)
		lane->replay_time_ns = packet->time_ns;
	return true;
}

/*
 * Takes packets up to settled_ns, the earliest first. Returns how many; *oldest_ns is the time of
 * the earliest one left, UINT64_MAX if there is none.
 */
static unsigned int take_packets(struct lane *lane, uint64_t settled_ns, uint64_t *oldest_ns)
{
	const struct source_packet *packet;
	struct source *source;
	unsigned int count = 0;

	while ((packet = gather_peek(lane->gather, &source))) {
		*oldest_ns = packet->time_ns;
		if (count >= PASS_PACKETS || lane->stop_taking ||
		    (!source->is_replay && packet->time_ns > settled_ns) || !count_packet(lane))
			return count;
		lane->waits = !append(lane, source, packet);
		if (lane->waits)
			return count;
		gather_take(lane->gather);
		count++;
	}
	*oldest_ns = UINT64_MAX;
	return count;
}

static bool is_replay(const struct lane *lane)
{
	return lane->sources.count && lane->sources.list[0]->is_replay;
}

static uint64_t stamp_age(const struct lane *lane)
{
	return atomic_load_explicit(&lane->config.shared->stamp_age_ns, memory_order_relaxed);
}

static void update_watermark(struct lane *lane, uint64_t oldest_ns, uint64_t settled_ns)
{
	uint64_t reached = MIN(oldest_ns, settled_ns), watermark;
	uint64_t slack_ns = WATERMARK_SLACK_NS + stamp_age(lane);

	/* Who reads it sees what was counted of those packets. */
	atomic_store_explicit(&lane->stats.taken_ns, reached, memory_order_release);
	if (is_replay(lane))
		watermark = lane->replay_time_ns > REPLAY_SLACK_NS
				    ? lane->replay_time_ns - REPLAY_SLACK_NS
				    : 0;
	else
		watermark = frame_builder_utc(lane->builder, reached - slack_ns);
	lane->watermark_ns = MAX(lane->watermark_ns, watermark);
}

/*
 * One pass: packets into the frame, progress into the journal, memory back to the kernel. True if
 * there is more to take at once.
 */
static bool pass(struct lane *lane)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), oldest = UINT64_MAX;
	bool is_drained = lane->draining && now >= lane->drained_ns;
	/* One source is in order by itself: nothing to wait for. */
	bool settles = lane->sources.count > 1 && !is_drained;
	bool is_late = settles || (lane->settle_ns > SETTLE_NS && !is_drained);
	uint64_t settled = is_late ? now - lane->settle_ns : now;
	unsigned int count = 0;

	if (lane_interfaces_review(lane)) {
		close_frame(lane);
		(void)put_statistics(lane);
	}
	if (!lane->stop_taking)
		count = take_packets(lane, settles ? settled : UINT64_MAX, &oldest);
	lane_add(&lane->stats.passes, 1);
	frame_builder_progress(lane->builder);
	lane_publish_totals(lane);
	gather_give_back(lane->gather);
	update_watermark(lane, oldest, settled);
	if (frame_builder_is_open(lane->builder) &&
	    (now >= frame_builder_opened_ns(lane->builder) + lane->config.batch_timeout_ns ||
	     lane->stop_taking || (lane_sources_at_end(&lane->sources) && !count)))
		close_frame(lane);
	publish_watermark(lane);
	if (lane->uplink)
		uplink_kick(lane->uplink);
	lane->quiet = !count && oldest == UINT64_MAX && (is_drained || !lane->draining);
	return count >= PASS_PACKETS;
}

static void tick_expired(struct loop_timer *timer)
{
	container_of(timer, struct lane, tick)->ticks++;
}

static void mark_expired(struct loop_timer *timer)
{
	struct lane *lane = container_of(timer, struct lane, mark);

	loop_timer_start(lane->loop, timer, MARK_NS);
	lane_publish_stats(lane);
	if (lane->uplink && !lane->ending)
		uplink_mark(lane->uplink, lane_watermark(lane));
	if (lane->committed)
		lane->committed(lane->context);
}

/* How long may the lane sleep? */
static void prepare_wait(struct lane *lane)
{
	uint64_t now, deadline;

	if (lane->ending)
		return;
	if (frame_builder_is_open(lane->builder)) {
		now = clock_ns(CLOCK_MONOTONIC);
		deadline = frame_builder_opened_ns(lane->builder) + lane->config.batch_timeout_ns;
		loop_timer_start(lane->loop, &lane->tick,
				 deadline > now ? MIN(TICK_NS, deadline - now) : 0);
		/* The frame's last packets leave the merge when a later watermark says so. */
		deadline += MARK_SOON_NS + stamp_age(lane);
		if (lane->mark.deadline_ns > deadline)
			loop_timer_start(lane->loop, &lane->mark, deadline - now);
	} else if (!lane->quiet) {
		loop_timer_start(lane->loop, &lane->tick,
				 lane->waits ? TICK_NS : MIN(TICK_NS, lane->settle_ns));
	} else {
		lane_sources_arm(&lane->sources, lane->loop);
	}
}

static void uplink_ended(void *context, int err)
{
	struct lane *lane = context;

	lane->end_err = err;
	lane->ended = true;
}

static uint64_t count_waiting(const struct lane *lane)
{
	struct memory_journal_stats journal;

	memory_journal_stats(lane->config.journal, &journal);
	return journal.frames;
}

static uint64_t end_deadline(const struct lane *lane)
{
	uint64_t deadline = atomic_load(&lane->stop_deadline_ns), now = clock_ns(CLOCK_MONOTONIC);

	return !deadline ? NO_DEADLINE_NS : deadline > now ? deadline - now : 0;
}

/* What became of all packets. False: a recording's last frame waits for room. */
static bool tell_last(struct lane *lane)
{
	close_frame(lane);
	if (lane->config.only_ships)
		return true;
	lane_publish_stats(lane);
	while (lane_interfaces_tell_recorded(lane)) {
		if (!put_statistics(lane))
			return lane->draining;
	}
	lane_interfaces_tell_last(lane);
	return put_statistics(lane) || !is_replay(lane) || lane->draining;
}

static void begin_end(struct lane *lane)
{
	lane->waits = !tell_last(lane);
	lane->quiet = !lane->waits;
	if (lane->waits)
		return;
	lane->ending = true;
	loop_timer_stop(lane->loop, &lane->tick);
	/* Nothing will follow at all. */
	if (!is_replay(lane))
		update_watermark(lane, UINT64_MAX, clock_ns(CLOCK_MONOTONIC));
	publish_watermark(lane);
	if (!lane->uplink) {
		lane->ended = true;
		return;
	}
	uplink_end(lane->uplink, lane->watermark_ns, end_deadline(lane));
}

static void stop_signalled(struct loop_event *event)
{
	struct lane *lane = container_of(event, struct lane, stop_event);

	if (!atomic_load(&lane->stop_takes_rest))
		lane->stop_taking = true;
	if (!lane->draining && lane->settle_ns > SETTLE_NS)
		lane->drained_ns = clock_ns(CLOCK_MONOTONIC) + lane->settle_ns;
	lane->draining = true;
	atomic_store(&lane->stats.state, LANE_DRAINING);
	if (lane->ending && lane->uplink)
		uplink_end(lane->uplink, lane->watermark_ns, end_deadline(lane));
	for (unsigned int i = 0; i < lane->sources.count; i++) {
		struct source *source = lane->sources.list[i];

		/* A recording has no end that detaching would bring about. */
		if (source->ops->stop) {
			lane->stop_taking = true;
			source->ops->stop(source);
		}
	}
}

static int prepare(struct lane *lane)
{
	struct uplink_config uplink = {
		.servers = lane->config.servers,
		.server_name = lane->config.servers ? lane->config.servers->host : NULL,
		.tls = lane->config.tls,
		.journal = lane->config.journal,
		.reconnect_max_ns = lane->config.reconnect_max_ns,
		.ended = uplink_ended,
		.context = lane,
	};
	int err;

	for (unsigned int i = 0; i < lane->sources.count; i++) {
		err = lane_start_source(lane, lane->sources.list[i]);
		if (err)
			return err;
	}
	if (lane->config.servers) {
		err = uplink_create(&lane->uplink, lane->loop, &uplink);
		if (err)
			return log_error(err, "cannot start the uplink of lane %u",
					 lane->config.number);
	}
	loop_timer_start(lane->loop, &lane->mark, MARK_NS);
	return 0;
}

static int run(struct lane *lane)
{
	bool more;
	int err = 0;

	while (!lane->ended && !err) {
		more = !lane->ending && pass(lane);
		lane_let_go(lane);
		/* Draining is over once a pass begun after the detach found nothing. */
		if (!lane->ending && !more &&
		    (lane_sources_at_end(&lane->sources) ? !frame_builder_is_open(lane->builder)
		     : lane->draining			 ? lane->stop_taking || lane->quiet
							 : false))
			begin_end(lane);
		if (lane->ended)
			break;
		if (!more)
			prepare_wait(lane);
		err = loop_turn(lane->loop, !more);
	}
	return err;
}

static void release(struct lane *lane)
{
	lane_sources_stop(&lane->sources, lane->loop);
	uplink_destroy(lane->uplink);
	lane->uplink = NULL;
}

static void *lane_thread(void *argument)
{
	struct lane *lane = argument;
	char name[16];
	int err;

	snprintf(name, sizeof(name), "xcapd-lane%u", lane->config.number % 1000);
	pthread_setname_np(pthread_self(), name);
	if (CPU_COUNT(&lane->config.cpus)) {
		err = pthread_setaffinity_np(pthread_self(), sizeof(lane->config.cpus),
					     &lane->config.cpus);
		if (err)
			log_warning(-err, "lane %u runs on any CPU", lane->config.number);
	}
	/* Of this thread alone (setpriority(2), "C library/kernel differences"); a wish. */
	(void)setpriority(PRIO_PROCESS, 0, LANE_NICE);
	err = loop_create(&lane->loop, 256);
	if (!err)
		err = loop_event_init(&lane->stop_event, lane->loop, stop_signalled);
	if (!err)
		err = loop_event_init(&lane->sources_event, lane->loop, lane_sources_signalled);
	lane->start_err = err;
	lane->takes_stop = !err;
	sem_post(&lane->ready);
	if (err)
		return NULL;
	err = prepare(lane);
	if (!err)
		err = run(lane);
	lane_publish_stats(lane);
	release(lane);
	lane_take_no_more(lane);
	loop_event_release(&lane->sources_event);
	loop_event_release(&lane->stop_event);
	loop_destroy(lane->loop);
	atomic_store(&lane->stats.err, err ? err : lane->end_err);
	atomic_store(&lane->stats.state, LANE_ENDED);
	loop_event_signal(lane->config.shared->state_changed);
	return NULL;
}

int lane_create(struct lane **ret, const struct lane_config *config)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	int err = -ENOMEM;

	if (!lane)
		return -ENOMEM;
	lane->tick.expired = tick_expired;
	lane->mark.expired = mark_expired;
	if (config->source_count > LANE_SOURCES_MAX) {
		err = -ENOSPC;
		goto fail;
	}
	lane->settle_ns = SETTLE_NS;
	lane_sources_init(&lane->sources);
	for (unsigned int i = 0; i < config->source_count; i++) {
		lane->settle_ns = MAX(lane->settle_ns, config->sources[i]->delay_ns);
		(void)!lane_sources_add(&lane->sources, config->sources[i]);
	}
	err = gather_create(&lane->gather, lane->sources.list, lane->sources.count);
	if (err)
		goto fail;
	err = frame_builder_create(&lane->builder, config->journal, lane->sources.list,
				   lane->sources.count, config->batch_bytes);
	if (err)
		goto fail;
	if (sem_init(&lane->ready, 0, 0)) {
		err = -errno;
		goto fail;
	}
	pthread_mutex_init(&lane->stop_lock, NULL);
	lane->config = *config;
	lane_interfaces_take_up(lane);
	lane_publish_totals(lane);
	*ret = lane;
	return 0;
fail:
	frame_builder_destroy(lane->builder);
	gather_destroy(lane->gather);
	free(lane);
	return err;
}

int lane_start(struct lane *lane)
{
	int err = pthread_create(&lane->thread, NULL, lane_thread, lane);

	if (err)
		return -err;
	lane->started = true;
	while (sem_wait(&lane->ready) && errno == EINTR)
		;
	return lane->start_err;
}

void lane_stop(struct lane *lane, bool take_rest, uint64_t deadline_ns)
{
	if (!lane->started)
		return;
	atomic_store(&lane->stop_takes_rest, take_rest);
	atomic_store(&lane->stop_deadline_ns, clock_ns(CLOCK_MONOTONIC) + deadline_ns);
	pthread_mutex_lock(&lane->stop_lock);
	if (lane->takes_stop)
		loop_event_signal(&lane->stop_event);
	pthread_mutex_unlock(&lane->stop_lock);
}

void lane_join(struct lane *lane)
{
	if (!lane->started)
		return;
	pthread_join(lane->thread, NULL);
	lane->started = false;
}

void lane_destroy(struct lane *lane)
{
	if (!lane)
		return;
	lane_join(lane);
	frame_builder_destroy(lane->builder);
	lane_sources_release(&lane->sources);
	if (lane->config.journal && count_waiting(lane) == 0)
		memory_journal_remove(lane->config.journal);
	else
		memory_journal_close(lane->config.journal);
	pthread_mutex_destroy(&lane->stop_lock);
	sem_destroy(&lane->ready);
	gather_destroy(lane->gather);
	free(lane);
}

const struct lane_stats *lane_stats(const struct lane *lane)
{
	return &lane->stats;
}

struct memory_journal *lane_journal(const struct lane *lane)
{
	return lane->config.journal;
}

uint64_t lane_watermark(const struct lane *lane)
{
	return atomic_load_explicit(&lane->published_ns, memory_order_acquire);
}

void lane_on_commit(struct lane *lane, void (*committed)(void *context), void *context)
{
	lane->committed = committed;
	lane->context = context;
}

const char *lane_source_error(const struct lane *lane)
{
	for (unsigned int i = 0; i < lane->sources.count; i++) {
		const struct source *source = lane->sources.list[i];

		/* Only recordings end by themselves, whatever times their packets get. */
		if (source->err)
			return source_pcap_error(source);
	}
	return "";
}
