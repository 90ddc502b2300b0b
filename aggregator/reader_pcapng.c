/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/reader_pcapng.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/follow.h"
#include "aggregator/sinks.h"
#include "common/log.h"

#define LOOP_ENTRIES 64
#define CHECKPOINT_NS NS_PER_SEC
#define STEP_PACKETS 20000	     /* then the loop has its turn */
#define END_WAIT_NS (5 * NS_PER_SEC) /* without a byte written */
#define FAILURE_LOG_NS (60 * NS_PER_SEC)

enum checkpoint_state {
	CHECKPOINT_NONE,
	CHECKPOINT_WRITING, /* the files get to where they were when it was taken */
	CHECKPOINT_SYNCING,
};

struct reader_pcapng {
	struct reader_pcapng_config config;
	struct loop *loop;
	struct follow *follow;
	struct loop_event event;
	struct loop_timer wake; /* a stream falls silent, or a checkpoint is due */
	struct sinks sinks;

	struct checkpoint checkpoint; /* on its way to the disk */
	struct checkpoint saved;
	enum checkpoint_state checkpoint_state;
	uint64_t checkpoint_due_ns, checkpoint_failed_ns;
	char checkpoint_name[NAME_MAX];
	uint64_t base_packets, base_late_packets; /* before the checkpoint that was continued */

	bool has_key;
	struct merge_key key;	/* of the last packet in the main output */
	uint64_t given_packets; /* by the merge */
	/* Of those that it got and did not give: written before the checkpoint, or damaged. */
	uint64_t settled_packets;
	uint64_t drop_logged_ns;
	struct reader_pcapng_status status;
	int err;

	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct reader_pcapng_status published;
	bool ready, open, ending, aborting;
	int result;
};

static void output_progressed(void *context)
{
	(void)context; /* the turn goes on with whatever there is to do */
}

static void output_broken(void *context, int err)
{
	struct reader_pcapng *reader = context;

	if (!reader->err)
		reader->err = err;
}

static void count_dropped(struct reader_pcapng *reader, const char *what, int err)
{
	uint64_t now = loop_now(reader->loop);

	reader->status.dropped_packets++;
	if (reader->drop_logged_ns && now - reader->drop_logged_ns < FAILURE_LOG_NS)
		return;
	reader->drop_logged_ns = now;
	log_warning(err, "%s do not go into %s (%" PRIu64 " packets so far); they are in the store",
		    what, reader->config.path, reader->status.dropped_packets);
}

static void put_packet(struct reader_pcapng *reader, const struct merge_packet *packet)
{
	bool is_late =
		packet->is_late || (reader->has_key && packet->key.time_ns < reader->key.time_ns);
	int err;

	reader->given_packets++;
	err = sinks_put(&reader->sinks, is_late, packet);
	if (err == -ENOMEM) {
		reader->err = err;
		return;
	}
	if (is_late)
		reader->status.late_packets++;
	else if (!err)
		reader->status.packets++;
	if (err == -EOPNOTSUPP)
		count_dropped(reader, is_late ? "late packets" : "packets of another link type", 0);
	else if (err)
		count_dropped(reader, "packets that need a file of their own", err);
	if (!is_late) {
		reader->key = packet->key;
		reader->has_key = true;
	}
}

static void put_statistics(void *context, const struct stream_id *stream,
			   const struct pcapng_interface *interface,
			   const struct pcapng_statistics *statistics)
{
	struct reader_pcapng *reader = context;
	int err = sinks_statistics(&reader->sinks, stream->agent, interface, statistics);

	if (err == -ENOMEM)
		reader->err = err;
}

/* 1: there is more, 0: none may leave at this time, -EAGAIN: the output must get on first. */
static int drain_merge(struct reader_pcapng *reader)
{
	struct merge *merge = follow_merge(reader->follow);
	struct merge_packet packet;
	int n;

	for (unsigned int i = 0; i < STEP_PACKETS && !reader->err; i++) {
		if (sinks_full(&reader->sinks)) {
			follow_hold_clock(reader->follow);
			return -EAGAIN;
		}
		n = merge_next(merge, follow_clock(reader->follow), &packet);
		if (n <= 0)
			return n;
		put_packet(reader, &packet);
	}
	return 1;
}

/* The state that belongs to what the files will hold once all that was given is written. */
static int must_check take_checkpoint(struct reader_pcapng *reader)
{
	struct checkpoint *checkpoint = &reader->checkpoint;
	int err;

	reader->checkpoint_due_ns = loop_now(reader->loop) + CHECKPOINT_NS;
	checkpoint_release(checkpoint);
	*checkpoint = (struct checkpoint){
		.output = strdup(reader->config.path),
		.format = reader->config.format,
		.replay = reader->config.replay,
		.has_key = reader->has_key,
		.key = reader->key,
		.packets = reader->base_packets + reader->status.packets,
		.late_packets = reader->base_late_packets + reader->status.late_packets,
	};
	err = checkpoint->output ? follow_checkpoint(reader->follow, checkpoint) : -ENOMEM;
	if (err)
		return err;
	sinks_checkpoint(&reader->sinks, checkpoint);
	reader->checkpoint_state = CHECKPOINT_WRITING;
	return 0;
}

static int save(struct reader_pcapng *reader, const struct checkpoint *checkpoint)
{
	uint64_t now = loop_now(reader->loop);
	int err;

	err = checkpoint_save(checkpoint, reader->config.store, reader->checkpoint_name);
	if (!err) {
		reader->status.checkpoints++;
		reader->checkpoint_failed_ns = 0;
	} else if (!reader->checkpoint_failed_ns ||
		   now - reader->checkpoint_failed_ns > FAILURE_LOG_NS) {
		reader->checkpoint_failed_ns = now;
		log_error(err, "cannot save the checkpoint of %s", reader->config.path);
	}
	return err;
}

/* The files have got to where the checkpoint has them. */
static int finish_checkpoint(struct reader_pcapng *reader)
{
	int err = save(reader, &reader->checkpoint);

	reader->checkpoint_state = CHECKPOINT_NONE;
	if (err)
		return err;
	checkpoint_release(&reader->saved);
	reader->saved = reader->checkpoint;
	reader->checkpoint = (struct checkpoint){};
	return 0;
}

static void add_file(struct checkpoint *checkpoint, const struct checkpoint_file *file)
{
	if (checkpoint->file_count < CHECKPOINT_FILES_MAX)
		checkpoint->files[checkpoint->file_count++] = *file;
}

/*
 * What goes into a new file may come again after a crash, and then into another one: the file has
 * to be known before there is something in it. If that cannot be saved, packets twice are better
 * than none.
 */
static void adding_file(void *context, const struct checkpoint_file *file)
{
	struct reader_pcapng *reader = context;

	if (reader->checkpoint_state != CHECKPOINT_NONE)
		add_file(&reader->checkpoint, file);
	add_file(&reader->saved, file);
	(void)save(reader, &reader->saved);
}

/* Moves the checkpoint that is under way on, as far as the files have got. */
static void advance_checkpoint(struct reader_pcapng *reader)
{
	int err;

	if (reader->checkpoint_state == CHECKPOINT_WRITING) {
		sinks_flush(&reader->sinks);
		if (!sinks_reached(&reader->sinks, &reader->checkpoint))
			return;
		sinks_sync(&reader->sinks, &reader->checkpoint);
		reader->checkpoint_state = CHECKPOINT_SYNCING;
	}
	if (reader->checkpoint_state != CHECKPOINT_SYNCING ||
	    !sinks_synced(&reader->sinks, &reader->checkpoint, &err))
		return;
	if (!err) {
		(void)finish_checkpoint(reader);
		return;
	}
	/* What the kernel dropped of the file cannot be told: only a restart cuts it. */
	reader->err = log_error(err, "cannot make %s durable", reader->config.path);
	reader->checkpoint_state = CHECKPOINT_NONE;
}

static void publish(struct reader_pcapng *reader)
{
	const struct merge_stats *merge = merge_stats(follow_merge(reader->follow));
	uint64_t taken = follow_packets(reader->follow);
	uint64_t packets = taken - MIN(taken, reader->given_packets);
	struct reader_pcapng_status *status = &reader->status;

	status->offset = output_written(reader->sinks.list[0].output);
	status->blocked = output_blocked(reader->sinks.list[0].output);
	status->behind_bytes = follow_behind_bytes(reader->follow);
	status->missed_bytes = follow_missed_bytes(reader->follow);
	if (!merge->frames_waiting)
		reader->settled_packets = packets;
	status->waiting_packets = packets - MIN(packets, reader->settled_packets);
	status->streams = merge->streams;
	status->streams_left_out = merge->streams_left_out;
	status->damaged_frames = merge->damaged_frames;
	status->watermark_ns = merge->watermark_ns;
	pthread_mutex_lock(&reader->lock);
	reader->published = *status;
	reader->published.packets += reader->base_packets;
	reader->published.late_packets += reader->base_late_packets;
	pthread_mutex_unlock(&reader->lock);
}

/* True if there is more to do at once. */
static bool step(struct reader_pcapng *reader)
{
	int more, n;

	n = drain_merge(reader);
	if (n == -EAGAIN)
		more = 0;
	else
		more = n;
	if (n == 0) {
		more = follow_read(reader->follow);
		if (more >= 0)
			n = drain_merge(reader);
		more = more > 0 || n == 1 ? 1 : MIN(more, 0);
	}
	if (more < 0 || (n < 0 && n != -EAGAIN)) {
		reader->err = reader->err ?: (more < 0 ? more : n);
		return false;
	}
	if (sinks_are_files(&reader->sinks) && n == 0 &&
	    reader->checkpoint_state == CHECKPOINT_NONE &&
	    loop_now(reader->loop) >= reader->checkpoint_due_ns)
		(void)!take_checkpoint(reader); /* if it cannot be: again in a second */
	advance_checkpoint(reader);
	publish(reader);
	return more;
}

static void set_wake(struct reader_pcapng *reader)
{
	uint64_t deadline = merge_deadline(follow_merge(reader->follow));
	uint64_t clock = follow_clock(reader->follow), delay = CHECKPOINT_NS;

	if (deadline != UINT64_MAX)
		delay = MIN(delay, deadline > clock ? deadline - clock : NS_PER_MS);
	loop_timer_start(reader->loop, &reader->wake, delay);
}

static void wake_expired(struct loop_timer *timer)
{
	(void)timer;
}

static void event_signalled(struct loop_event *event)
{
	(void)event;
}

static bool is_set(struct reader_pcapng *reader, const bool *flag)
{
	bool value;

	pthread_mutex_lock(&reader->lock);
	value = *flag;
	pthread_mutex_unlock(&reader->lock);
	return value;
}

/* The checkpoint to go on from, or -ENOENT. */
static int find_checkpoint(struct reader_pcapng *reader, struct checkpoint *ret)
{
	const char *path = reader->config.path;
	int err;

	err = checkpoint_name(reader->checkpoint_name, sizeof(reader->checkpoint_name), path);
	if (err)
		return log_error(err, "cannot write %s", path);
	err = checkpoint_load(ret, reader->config.store, reader->checkpoint_name);
	if (err == -ENOENT)
		return err;
	if (err)
		return log_error(
			err,
			"cannot read the checkpoint %s/readers/%s.json of %s; remove it to "
			"begin the file anew",
			store_dir(reader->config.store), reader->checkpoint_name, path);
	if (ret->format == reader->config.format && ret->replay == reader->config.replay)
		return 0;
	checkpoint_release(ret);
	return log_error(
		-EINVAL,
		"%s was begun with another --format or --replay: use another file, or remove "
		"%s/readers/%s.json to begin it anew",
		path, store_dir(reader->config.store), reader->checkpoint_name);
}

static int open_reader(struct reader_pcapng *reader)
{
	bool is_stdout = strcmp(reader->config.path, "-") == 0, found = false;
	struct follow_config follow = {
		.store = reader->config.store,
		.replay = reader->config.replay,
		.merge_wait_ns = reader->config.merge_wait_ns,
		.merge_memory_bytes = reader->config.merge_memory_bytes,
	};
	struct output_config output = {
		.path = reader->config.path,
		.format = reader->config.format,
		.progressed = output_progressed,
		.broken = output_broken,
		.context = reader,
	};
	struct checkpoint from = {};
	int err;

	err = loop_create(&reader->loop, LOOP_ENTRIES);
	if (err)
		return log_error(err, "cannot start the merge: %s", loop_unavailable(err));
	if (!is_stdout) {
		err = find_checkpoint(reader, &from);
		if (err && err != -ENOENT)
			return err;
		found = !err;
	}
	output.loop = reader->loop;
	reader->sinks.adding = adding_file;
	err = sinks_open(&reader->sinks, &output, found ? &from : NULL);
	if (!err)
		err = follow_open(&reader->follow, &follow, found ? &from : NULL);
	if (!err)
		err = loop_event_init(&reader->event, reader->loop, event_signalled);
	if (err)
		goto out;
	merge_on_statistics(follow_merge(reader->follow), put_statistics, reader);
	reader->wake.expired = wake_expired;
	if (found) {
		reader->has_key = from.has_key;
		reader->key = from.key;
		reader->base_packets = from.packets;
		reader->base_late_packets = from.late_packets;
		reader->saved = from;
		log_info("going on with %s after %" PRIu64 " packets", reader->config.path,
			 from.packets);
		from = (struct checkpoint){};
	} else if (sinks_are_files(&reader->sinks)) {
		/* Frames may come from now on; after a crash, this is where to begin. */
		err = take_checkpoint(reader) ?: finish_checkpoint(reader);
	}
	store_watch(reader->config.store, &reader->event);
out:
	checkpoint_release(&from);
	return err;
}

/* Until everything is written (true), or the output does not move. */
static bool wait_for_outputs(struct reader_pcapng *reader)
{
	uint64_t written = 0, moved_ns = clock_ns(CLOCK_MONOTONIC);

	while (!sinks_idle(&reader->sinks) && !reader->err && !is_set(reader, &reader->aborting)) {
		sinks_flush(&reader->sinks);
		if (sinks_written(&reader->sinks) != written)
			moved_ns = loop_now(reader->loop);
		written = sinks_written(&reader->sinks);
		if (loop_now(reader->loop) > moved_ns + END_WAIT_NS)
			break;
		loop_timer_start(reader->loop, &reader->wake, 100 * NS_PER_MS);
		if (loop_turn(reader->loop, true))
			break;
	}
	return sinks_idle(&reader->sinks);
}

/* Everything that may leave has been written. */
static bool drain(struct reader_pcapng *reader)
{
	bool more = true;

	while (more && !reader->err && !is_set(reader, &reader->aborting)) {
		more = step(reader);
		if (sinks_full(&reader->sinks)) {
			if (!wait_for_outputs(reader))
				return false;
			more = true;
		}
	}
	if (!sinks_are_files(&reader->sinks)) {
		merge_finish(follow_merge(reader->follow));
		while (!reader->err && drain_merge(reader) != 0)
			if (!wait_for_outputs(reader))
				return false;
	}
	if (!reader->err)
		sinks_finish(&reader->sinks);
	return wait_for_outputs(reader);
}

/* All that the workers left is in the journals. */
static void finish(struct reader_pcapng *reader)
{
	bool drained = drain(reader);

	if (!drained && !reader->err)
		log_warning(0, "%" PRIu64 " bytes were not taken by %s",
			    sinks_waiting(&reader->sinks), reader->config.path);
	if (drained && sinks_are_files(&reader->sinks)) {
		while (reader->checkpoint_state != CHECKPOINT_NONE && !reader->err &&
		       !loop_turn(reader->loop, true))
			advance_checkpoint(reader);
		(void)!take_checkpoint(reader);
		advance_checkpoint(reader);
		while (reader->checkpoint_state != CHECKPOINT_NONE && !reader->err &&
		       !loop_turn(reader->loop, true))
			advance_checkpoint(reader);
	}
	publish(reader);
	if (reader->status.waiting_packets && !reader->err)
		log_info("%" PRIu64 " packets wait in the store for others that may come before "
			 "them; the next start goes on with them",
			 reader->status.waiting_packets);
}

static void close_reader(struct reader_pcapng *reader)
{
	pthread_mutex_lock(&reader->lock);
	reader->open = false;
	pthread_mutex_unlock(&reader->lock);
	store_watch(reader->config.store, NULL);
	if (reader->loop) {
		loop_timer_stop(reader->loop, &reader->wake);
		sinks_close(&reader->sinks);
		loop_event_release(&reader->event);
	}
	follow_close(reader->follow);
	checkpoint_release(&reader->checkpoint);
	checkpoint_release(&reader->saved);
	loop_destroy(reader->loop);
}

static void *reader_run(void *argument)
{
	struct reader_pcapng *reader = argument;
	bool more = true;
	int err;

	err = open_reader(reader);
	pthread_mutex_lock(&reader->lock);
	reader->ready = true;
	reader->open = !err;
	reader->result = err;
	pthread_cond_broadcast(&reader->changed);
	pthread_mutex_unlock(&reader->lock);
	while (!err && !reader->err && !is_set(reader, &reader->ending)) {
		more = step(reader);
		set_wake(reader);
		if (!reader->err)
			err = loop_turn(reader->loop, !more);
	}
	if (reader->open) {
		reader->err = reader->err ?: err;
		if (!reader->err)
			finish(reader);
		if (reader->err)
			log_error(reader->err, "writing %s has ended", reader->config.path);
		reader->result = reader->err;
	}
	close_reader(reader);
	reader->config.ended(reader->config.context, reader->result);
	return NULL;
}

int reader_pcapng_create(struct reader_pcapng **ret, const struct reader_pcapng_config *config)
{
	struct reader_pcapng *reader = calloc(1, sizeof(*reader));
	int err;

	if (!reader)
		return -ENOMEM;
	reader->config = *config;
	pthread_mutex_init(&reader->lock, NULL);
	pthread_cond_init(&reader->changed, NULL);
	err = -pthread_create(&reader->thread, NULL, reader_run, reader);
	if (!err) {
		reader->started = true;
		pthread_setname_np(reader->thread, "merge");
		pthread_mutex_lock(&reader->lock);
		while (!reader->ready)
			pthread_cond_wait(&reader->changed, &reader->lock);
		err = reader->result;
		pthread_mutex_unlock(&reader->lock);
	}
	if (err)
		(void)reader_pcapng_destroy(reader);
	else
		*ret = reader;
	return err;
}

static void tell(struct reader_pcapng *reader, bool *flag)
{
	pthread_mutex_lock(&reader->lock);
	*flag = true;
	if (reader->open)
		loop_event_signal(&reader->event);
	pthread_mutex_unlock(&reader->lock);
}

void reader_pcapng_end(struct reader_pcapng *reader)
{
	if (reader)
		tell(reader, &reader->ending);
}

void reader_pcapng_abort(struct reader_pcapng *reader)
{
	if (reader)
		tell(reader, &reader->aborting);
}

int reader_pcapng_destroy(struct reader_pcapng *reader)
{
	int err;

	if (!reader)
		return 0;
	reader_pcapng_end(reader);
	if (reader->started)
		pthread_join(reader->thread, NULL);
	err = reader->result;
	pthread_cond_destroy(&reader->changed);
	pthread_mutex_destroy(&reader->lock);
	free(reader);
	return err;
}

void reader_pcapng_get_status(struct reader_pcapng *reader, struct reader_pcapng_status *ret)
{
	pthread_mutex_lock(&reader->lock);
	*ret = reader->published;
	pthread_mutex_unlock(&reader->lock);
}
