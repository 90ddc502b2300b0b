/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/ingest.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/ingest_internal.h"
#include "common/log.h"

#define LOOP_ENTRIES 1024
#define RECEIVE_BUFFERS 16
#define RECEIVE_BUFFER_LEN (128 * KIB)
#define SPARE_FRAMES_MAX 32
/* One ACK tells of all groups until then. Half of it passes on average: credit is far larger. */
#define ACK_INTERVAL_NS NS_PER_MS
#define CREDIT_MIN (256 * KIB)
#define CREDIT_MAX (16 * MIB)

uint64_t ingest_credit(uint64_t memory_bytes, uint32_t connections)
{
	uint64_t credit = memory_bytes / MAX(connections, 1u);

	return MIN(MAX(credit, CREDIT_MIN), CREDIT_MAX);
}

uint8_t *ingest_take_frame_buffer(struct ingest *ingest)
{
	if (ingest->spare_frames)
		return ingest->frames[--ingest->spare_frames];
	return malloc(FRAME_LEN_MAX);
}

void ingest_return_frame_buffer(struct ingest *ingest, uint8_t *frame)
{
	if (frame && ingest->spare_frames < SPARE_FRAMES_MAX)
		ingest->frames[ingest->spare_frames++] = frame;
	else
		free(frame);
}

static void resume_paused(struct ingest *ingest)
{
	struct connection *list = ingest->paused, *connection;

	if (!ingest->room)
		return;
	ingest->room = false;
	ingest->paused = NULL;
	while ((connection = list)) {
		list = connection->next_paused;
		connection->next_paused = NULL;
		connection->paused = false;
		connection_drain(connection);
	}
}

/* The first after a pause goes at once. */
static bool acks_wait(struct ingest *ingest)
{
	uint64_t now, due = ingest->acked_ns + ACK_INTERVAL_NS;

	if (ingest->stopping)
		return false;
	now = clock_ns(CLOCK_MONOTONIC);
	if (now >= due) {
		ingest->acked_ns = now;
		return false;
	}
	if (!loop_timer_armed(&ingest->ack_timer))
		loop_timer_start(ingest->loop, &ingest->ack_timer, due - now);
	return true;
}

/* The turn that it ends sends them. */
static void ack_expired(struct loop_timer *timer)
{
	(void)timer;
}

static void send_acks(struct ingest *ingest)
{
	struct stream *list = ingest->ack_list, *stream;

	if (!list || acks_wait(ingest))
		return;
	ingest->ack_list = NULL;
	while ((stream = list)) {
		list = stream->next_ack;
		stream->ack_due = false;
		if (stream->connection && !connection_ack(stream->connection, stream))
			stream_set_ack_due(ingest, stream);
		stream->info.durable_sequence =
			ranges_max(journal_durable(ingest->journal, stream->info.number));
	}
}

static void flush_connections(struct ingest *ingest)
{
	struct connection *connection;

	while ((connection = ingest->flush_list)) {
		ingest->flush_list = connection->next_flush;
		connection->flush_due = false;
		peer_flush(&connection->peer);
	}
}

static void publish(struct ingest *ingest)
{
	struct store *store = ingest->config.store;
	struct stream *stream;

	if (ingest->changed)
		ingest->state_changed = true;
	while ((stream = ingest->changed)) {
		ingest->changed = stream->next_changed;
		stream->changed = false;
		store_set_stream(store, ingest->config.journal, stream->place, &stream->info);
	}
	if (ingest->state_changed) {
		ingest->state.stats = *journal_stats(ingest->journal);
		store_set_journal(store, ingest->config.journal, &ingest->state);
	}
	if (ingest->wake_due)
		store_wake_reader(store);
	ingest->state_changed = false;
	ingest->wake_due = false;
}

static void end_turn(struct ingest *ingest)
{
	resume_paused(ingest);
	journal_kick(ingest->journal);
	send_acks(ingest);
	flush_connections(ingest);
	publish(ingest);
}

/* One record with the watermarks of all streams that are connected. */
static void store_watermarks(struct ingest *ingest)
{
	uint32_t count = 0;
	int err;

	if (ingest->watermark_room < ingest->stream_room) {
		struct journal_watermark *list = realloc(
			ingest->watermarks, ingest->stream_room * sizeof(*ingest->watermarks));

		if (!list)
			return;
		ingest->watermarks = list;
		ingest->watermark_room = ingest->stream_room;
	}
	for (uint32_t i = 0; i < ingest->stream_room; i++) {
		const struct stream *stream = ingest->streams[i];

		if (stream && stream->connection && stream->info.latest_watermark_ns &&
		    !stream->refused_count && !stream->refused_overflow)
			ingest->watermarks[count++] = (struct journal_watermark){
				.stream = i,
				.watermark_ns = stream->info.latest_watermark_ns,
			};
	}
	if (!count)
		return;
	err = journal_append_watermarks(ingest->journal, ingest->watermarks, count);
	if (!err)
		ingest->watermarks_changed = false;
	else if (err != -EAGAIN)
		ingest_store_failed(ingest, err);
}

static void second_expired(struct loop_timer *timer)
{
	struct ingest *ingest = container_of(timer, struct ingest, second);

	loop_timer_start(ingest->loop, timer, NS_PER_SEC);
	if (ingest->watermarks_changed)
		store_watermarks(ingest);
	ingest->state_changed = true;
}

static void event_signalled(struct loop_event *event)
{
	struct ingest *ingest = container_of(event, struct ingest, event);
	struct arrival *list, *arrival;

	pthread_mutex_lock(&ingest->lock);
	list = ingest->ending ? NULL : ingest->arrivals;
	if (list) {
		ingest->arrivals = NULL;
		ingest->arrivals_end = &ingest->arrivals;
	}
	pthread_mutex_unlock(&ingest->lock);
	while ((arrival = list)) {
		list = arrival->next;
		connection_begin(ingest, arrival);
	}
}

static bool is_ending(struct ingest *ingest)
{
	bool ending;

	pthread_mutex_lock(&ingest->lock);
	ending = ingest->ending;
	pthread_mutex_unlock(&ingest->lock);
	return ending;
}

static int open_journal(struct ingest *ingest)
{
	struct journal_config config = {
		.dir = store_journal_dir(ingest->config.store, ingest->config.journal),
		.segment_bytes = ingest->config.segment_bytes,
		.buffer_bytes = ingest->config.buffer_bytes,
		.committed = ingest_committed,
		.context = ingest,
	};
	struct journal_recovery *found = &ingest->state.recovery;
	int err;

	err = journal_open(&ingest->journal, ingest->loop, &config, found);
	if (err)
		return err == -EBUSY ? log_error(err, "cannot open %s: another aggregator uses it",
						 config.dir)
				     : log_error(err, "cannot open %s", config.dir);
	if (found->frames || found->damaged_bytes || found->torn_bytes)
		log_info("recovered %s: %" PRIu64 " frames in %" PRIu64 " segments read, %" PRIu64
			 " damaged bytes skipped in %" PRIu64 " places, %" PRIu64
			 " bytes of an unfinished end cut",
			 config.dir, found->frames, found->segments, found->damaged_bytes,
			 found->damaged_regions, found->torn_bytes);
	if (found->damaged_bytes)
		log_warning(0, "%" PRIu64 " bytes of %s are damaged and lost", found->damaged_bytes,
			    config.dir);
	return 0;
}

static int worker_open(struct ingest *ingest)
{
	int err;

	ingest->frames = calloc(SPARE_FRAMES_MAX, sizeof(*ingest->frames));
	if (!ingest->frames)
		return -ENOMEM;
	err = loop_create(&ingest->loop, LOOP_ENTRIES);
	if (err)
		return log_error(err, "cannot start an ingest worker: %s", loop_unavailable(err));
	err = open_journal(ingest);
	if (!err)
		err = peer_pool_create(&ingest->pool, ingest->loop, RECEIVE_BUFFERS,
				       RECEIVE_BUFFER_LEN);
	if (!err)
		err = loop_event_init(&ingest->event, ingest->loop, event_signalled);
	if (err)
		return err;
	ingest->second.expired = second_expired;
	ingest->ack_timer.expired = ack_expired;
	loop_timer_start(ingest->loop, &ingest->second, NS_PER_SEC);
	ingest->state_changed = true;
	publish(ingest);
	return 0;
}

/* All that was received becomes durable and is acknowledged, then the connections end. */
static void end_connections(struct ingest *ingest)
{
	int err;

	ingest->stopping = true;
	err = journal_flush(ingest->journal);
	if (err)
		log_error(err, "cannot store what came last in %s; agents keep it",
			  store_journal_dir(ingest->config.store, ingest->config.journal));
	end_turn(ingest);
	for (struct connection *c = ingest->connections, *next; c; c = next) {
		next = c->next;
		connection_end(c);
	}
	while (ingest->connections && !loop_turn(ingest->loop, true))
		;
	err = journal_flush(ingest->journal);
	if (err)
		log_error(err, "cannot store what came last in %s",
			  store_journal_dir(ingest->config.store, ingest->config.journal));
	end_turn(ingest);
}

static void worker_close(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	ingest->open = false;
	pthread_mutex_unlock(&ingest->lock);
	if (ingest->loop) {
		loop_timer_stop(ingest->loop, &ingest->second);
		loop_timer_stop(ingest->loop, &ingest->ack_timer);
		loop_event_release(&ingest->event);
		if (ingest->pool)
			peer_pool_destroy(ingest->pool);
	}
	if (ingest->journal) {
		journal_close(ingest->journal);
		ingest->journal = NULL;
	}
	loop_destroy(ingest->loop);
	while (ingest->spare_frames)
		free(ingest->frames[--ingest->spare_frames]);
	free(ingest->frames);
}

static void set_ready(struct ingest *ingest, int err)
{
	pthread_mutex_lock(&ingest->lock);
	ingest->ready = true;
	ingest->open = !err;
	ingest->err = err;
	pthread_cond_broadcast(&ingest->changed_state);
	pthread_mutex_unlock(&ingest->lock);
}

static void *worker_run(void *argument)
{
	struct ingest *ingest = argument;
	int err;

	err = worker_open(ingest);
	set_ready(ingest, err);
	if (!err) {
		while (!is_ending(ingest) && !err) {
			err = loop_turn(ingest->loop, true);
			if (!err)
				end_turn(ingest);
		}
		if (err) {
			log_error(err, "ingest worker %u has failed", ingest->config.journal);
			ingest->config.failed(ingest->config.context, err);
		}
		end_connections(ingest);
	}
	worker_close(ingest);
	return NULL;
}

int ingest_create(struct ingest **ret, const struct ingest_config *config)
{
	struct ingest *ingest = calloc(1, sizeof(*ingest));
	char name[16];
	int err;

	if (!ingest)
		return -ENOMEM;
	ingest->config = *config;
	ingest->arrivals_end = &ingest->arrivals;
	pthread_mutex_init(&ingest->lock, NULL);
	pthread_cond_init(&ingest->changed_state, NULL);
	err = -pthread_create(&ingest->thread, NULL, worker_run, ingest);
	if (err) {
		ingest_destroy(ingest);
		return err;
	}
	ingest->started = true;
	snprintf(name, sizeof(name), "ingest-%u", config->journal);
	pthread_setname_np(ingest->thread, name);
	*ret = ingest;
	return 0;
}

int ingest_wait_ready(struct ingest *ingest)
{
	int err;

	pthread_mutex_lock(&ingest->lock);
	while (!ingest->ready)
		pthread_cond_wait(&ingest->changed_state, &ingest->lock);
	err = ingest->err;
	pthread_mutex_unlock(&ingest->lock);
	return err;
}

void ingest_hand_over(struct ingest *ingest, struct arrival *arrival)
{
	arrival->next = NULL;
	pthread_mutex_lock(&ingest->lock);
	*ingest->arrivals_end = arrival;
	ingest->arrivals_end = &arrival->next;
	if (ingest->open)
		loop_event_signal(&ingest->event);
	pthread_mutex_unlock(&ingest->lock);
}

void ingest_end(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	ingest->ending = true;
	if (ingest->open)
		loop_event_signal(&ingest->event);
	pthread_mutex_unlock(&ingest->lock);
}

void ingest_wait_ended(struct ingest *ingest)
{
	if (ingest->started)
		pthread_join(ingest->thread, NULL);
	ingest->started = false;
}

void ingest_destroy(struct ingest *ingest)
{
	struct arrival *arrival;

	if (!ingest)
		return;
	ingest_end(ingest);
	ingest_wait_ended(ingest);
	while ((arrival = ingest->arrivals)) {
		ingest->arrivals = arrival->next;
		peer_release(&arrival->peer);
		__atomic_sub_fetch(ingest->config.connections, 1, __ATOMIC_RELAXED);
		free(arrival);
	}
	for (uint32_t i = 0; i < ingest->stream_room; i++)
		free(ingest->streams[i]);
	free(ingest->streams);
	free(ingest->pending);
	free(ingest->watermarks);
	pthread_cond_destroy(&ingest->changed_state);
	pthread_mutex_destroy(&ingest->lock);
	free(ingest);
}

void ingest_add_latency(const struct ingest *ingest, struct latency *sum)
{
	latency_add_to(sum, &ingest->latency);
}

const struct refusals *ingest_refusals(const struct ingest *ingest)
{
	return &ingest->refusals;
}
