/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/writer_file.h"
#include "common/log.h"
#include "common/merge.h"

/* Copies held back in the merge: beyond it the journals hold the rest. */
#define HELD_BYTES_MAX (32 * MIB)
#define POLL_NS (10 * NS_PER_MS)

struct input {
	struct lane *lane;
	struct memory_journal_reader *reader;
	uint32_t stream, number;
	uint64_t watermark_ns;
	uint64_t read; /* position behind the frames taken */
	uint64_t newest_ns;
};

struct early_statistics {
	struct pcapng_interface interface;
	struct pcapng_statistics statistics;
};

struct writer {
	struct writer_config config;
	struct writer_stats stats;
	struct merge *merge;
	struct input *inputs;
	unsigned int input_count;
	struct writer_file *outputs;
	unsigned int output_count;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool woken, finishing; /* under lock */
	bool started, refused;
	/* Of interfaces, before there was a packet to begin the file with. */
	struct early_statistics *early;
	unsigned int early_count;
	int statistics_err;
};

static int load_again(void *context, uint32_t journal, uint64_t position, uint8_t *buf)
{
	/* HELD_BYTES_MAX is below what the merge keeps as bytes: it never has to ask. */
	(void)context;
	(void)journal;
	(void)position;
	(void)buf;
	return -ENODATA;
}

static const struct merge_ops merge_ops = { .load = load_again };

static void committed(void *context)
{
	struct writer *writer = context;

	pthread_mutex_lock(&writer->lock);
	writer->woken = true;
	pthread_cond_signal(&writer->wake);
	pthread_mutex_unlock(&writer->lock);
}

static int add_output(struct writer *writer, const char *path, struct writer_file **ret)
{
	struct writer_file *list;

	list = realloc(writer->outputs, (writer->output_count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	writer->outputs = list;
	list[writer->output_count] = (struct writer_file){ .fd = -1 };
	*ret = &list[writer->output_count++];
	return writer_file_open(*ret, path);
}

/* "dir/name.pcapng" becomes "dir/name.linktype101.pcapng". */
static void side_name(char *out, size_t size, const char *path, unsigned int link_type)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');

	if (!dot || (slash && dot < slash))
		dot = path + strlen(path);
	snprintf(out, size, "%.*s.linktype%u%s", (int)(dot - path), path, link_type, dot);
}

/* One thread writes it. */
static void count(_Atomic uint64_t *counter)
{
	uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, before + 1, memory_order_relaxed);
}

static int put_packet(struct writer *writer, const struct merge_packet *packet)
{
	uint16_t link_type = packet->interface->link_type;
	struct writer_file *output = NULL;
	char path[4096];
	int err;

	for (unsigned int i = 0; i < writer->output_count && !output; i++) {
		if (!capture_begun(writer->outputs[i].capture) ||
		    capture_link_type(writer->outputs[i].capture) == link_type)
			output = &writer->outputs[i];
	}
	if (!output && !strcmp(writer->config.path, "-")) {
		count(&writer->stats.dropped_packets);
		if (!writer->refused)
			log_warning(0,
				    "packets of link type %u are left out: standard output has "
				    "another one; use -w FILE",
				    link_type);
		writer->refused = true;
		return 0;
	}
	if (!output) {
		side_name(path, sizeof(path), writer->config.path, link_type);
		err = add_output(writer, path, &output);
		if (!err)
			err = writer_file_empty(output);
		if (err)
			return log_error(err, "cannot open %s", path);
		log_info("packets of link type %u go to %s", link_type, path);
	}
	err = writer_file_packet(output, packet, writer->config.borrows);
	if (err)
		return err;
	count(&writer->stats.packets);
	if (packet->is_late)
		count(&writer->stats.late_packets);
	return writer_file_is_full(output) ? writer_file_flush(output) : 0;
}

static void put_statistics(void *context, const struct stream_id *stream,
			   const struct pcapng_interface *interface,
			   const struct pcapng_statistics *statistics)
{
	struct writer *writer = context;
	struct early_statistics *early;

	(void)stream;
	if (!capture_begun(writer->outputs[0].capture)) {
		early = realloc(writer->early, (writer->early_count + 1) * sizeof(*early));
		if (!early)
			return;
		writer->early = early;
		early[writer->early_count++] = (struct early_statistics){ *interface, *statistics };
		return;
	}
	for (unsigned int i = 0; i < writer->output_count && !writer->statistics_err; i++)
		writer->statistics_err =
			writer_file_statistics(&writer->outputs[i], interface, statistics);
}

static int flush_all(struct writer *writer)
{
	uint64_t bytes = 0;
	int err;

	for (unsigned int i = 0; i < writer->output_count; i++) {
		err = writer_file_flush(&writer->outputs[i]);
		if (err)
			return err;
		bytes += writer->outputs[i].offset;
	}
	atomic_store(&writer->stats.bytes, bytes);
	return 0;
}

static int write_merged(struct writer *writer)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct merge_packet packet;
	int n, err;

	while ((n = merge_next(writer->merge, now, &packet)) > 0) {
		err = put_packet(writer, &packet);
		if (err)
			return err;
	}
	return n ?: writer->statistics_err;
}

/*
 * When much is held back, it is for the input that is furthest behind: only that one is read on.
 */
static bool may_take(const struct writer *writer, const struct input *input)
{
	if (writer->config.borrows || merge_stats(writer->merge)->bytes_held < HELD_BYTES_MAX)
		return true;
	for (unsigned int i = 0; i < writer->input_count; i++) {
		if (writer->inputs[i].watermark_ns < input->watermark_ns)
			return false;
	}
	return true;
}

static uint64_t low_position(const struct writer *writer, const struct input *input)
{
	return merge_low_position(writer->merge, input->number, input->read);
}

/*
 * A recording is sorted within a second of its own time, which may be more than there is memory
 * for: then within less, or it would wait for room that only this makes.
 */
static void hurry(struct writer *writer, const struct input *input, uint64_t now)
{
	uint64_t held = merge_stats(writer->merge)->bytes_held, most = HELD_BYTES_MAX;
	struct memory_journal_stats stats;

	if (writer->config.borrows) {
		memory_journal_stats(lane_journal(input->lane), &stats);
		held = input->read - low_position(writer, input);
		most = stats.size_bytes / 2;
	}
	if (held > most)
		merge_watermark(writer->merge, input->stream, input->newest_ns, now);
}

/* Frames of one journal into the merge. True if there were any. */
static bool take_frames(struct writer *writer, struct input *input, int *err)
{
	uint64_t watermark = lane_watermark(input->lane), now = clock_ns(CLOCK_MONOTONIC);
	struct memory_journal_frame frame;
	bool any = false;

	while (may_take(writer, input) && memory_journal_next(input->reader, &frame)) {
		*err = merge_frame(writer->merge, input->stream, input->number, frame.start,
				   &frame.header, frame.data, frame.len, now, NULL);
		if (*err)
			return any;
		input->read = frame.offset;
		if (!writer->config.borrows)
			memory_journal_release(input->reader, frame.offset);
		input->watermark_ns = MAX(input->watermark_ns, frame.header.watermark_ns);
		input->newest_ns = MAX(input->newest_ns, frame.header.last_ns);
		if (writer->config.replay)
			hurry(writer, input, now);
		any = true;
	}
	/* It was read before the frames: it holds for all of them. */
	if (memory_journal_read_all(input->reader) && watermark > input->watermark_ns) {
		input->watermark_ns = watermark;
		merge_watermark(writer->merge, input->stream, watermark, now);
	}
	return any;
}

/* What is written and borrowed goes back to the journals. */
static void give_back(struct writer *writer)
{
	for (unsigned int i = 0; i < writer->input_count; i++)
		memory_journal_release(writer->inputs[i].reader,
				       low_position(writer, &writer->inputs[i]));
}

static int write_merged_and_flush(struct writer *writer)
{
	int err = write_merged(writer);

	if (!err)
		err = flush_all(writer);
	if (!err && writer->config.borrows)
		give_back(writer);
	return err;
}

static int turn(struct writer *writer)
{
	bool any;
	int err;

	do {
		any = false;
		for (unsigned int i = 0; i < writer->input_count; i++) {
			err = 0;
			any |= take_frames(writer, &writer->inputs[i], &err);
			if (err)
				return err;
		}
		err = write_merged_and_flush(writer);
		if (err)
			return err;
	} while (any);
	return 0;
}

/* True if the lanes have ended. */
static bool wait_for_more(struct writer *writer)
{
	bool idle = merge_stats(writer->merge)->frames_waiting == 0, finishing;
	struct timespec until;
	uint64_t at;

	clock_gettime(CLOCK_MONOTONIC, &until);
	at = (uint64_t)until.tv_sec * NS_PER_SEC + (uint64_t)until.tv_nsec + POLL_NS;
	until.tv_sec = (time_t)(at / NS_PER_SEC);
	until.tv_nsec = (long)(at % NS_PER_SEC);
	pthread_mutex_lock(&writer->lock);
	while (!writer->woken && !writer->finishing) {
		if (idle)
			pthread_cond_wait(&writer->wake, &writer->lock);
		else if (pthread_cond_timedwait(&writer->wake, &writer->lock, &until))
			break;
	}
	writer->woken = false;
	finishing = writer->finishing;
	pthread_mutex_unlock(&writer->lock);
	return finishing;
}

/* A file without packets has the link type of the first interface, and tells why it is empty. */
static int put_early_statistics(struct writer *writer)
{
	int err = 0;

	if (!writer->early_count)
		return 0;
	if (!capture_begun(writer->outputs[0].capture))
		err = writer_file_begin(&writer->outputs[0], writer->early[0].interface.link_type);
	for (unsigned int i = 0; i < writer->early_count && !err; i++)
		err = writer_file_statistics(&writer->outputs[0], &writer->early[i].interface,
					     &writer->early[i].statistics);
	return err;
}

static int finish(struct writer *writer)
{
	int err = turn(writer);

	if (err)
		return err;
	merge_finish(writer->merge);
	err = write_merged_and_flush(writer);
	if (!err)
		err = put_early_statistics(writer);
	for (unsigned int i = 0; i < writer->output_count && !err; i++)
		err = writer_file_end(&writer->outputs[i]);
	return err ?: flush_all(writer);
}

static void *writer_thread(void *argument)
{
	struct writer *writer = argument;
	bool finishing;
	int err;

	pthread_setname_np(pthread_self(), "xcapd-writer");
	do {
		finishing = wait_for_more(writer);
		err = finishing ? finish(writer) : turn(writer);
	} while (!finishing && !err);
	if (err == -EPIPE)
		log_info("the reader of standard output is gone");
	else if (err)
		log_error(err, "cannot write %s", writer->config.path);
	atomic_store(&writer->stats.err, err);
	if (err)
		loop_event_signal(writer->config.state_changed);
	return NULL;
}

int writer_create(struct writer **ret, const struct writer_config *config)
{
	struct merge_config merge = {
		.ops = &merge_ops,
		.merge_wait_ns = 60 * NS_PER_SEC,
		.memory_bytes = 4 * HELD_BYTES_MAX,
		.replay = config->replay,
		.borrows = config->borrows,
	};
	struct writer *writer = calloc(1, sizeof(*writer));
	pthread_condattr_t attr;
	struct writer_file *output;
	int err;

	if (!writer)
		return -ENOMEM;
	writer->config = *config;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = merge_create(&writer->merge, &merge);
	if (!err)
		merge_on_statistics(writer->merge, put_statistics, writer);
	if (!err)
		err = add_output(writer, config->path, &output);
	if (err) {
		writer_destroy(writer);
		return err;
	}
	*ret = writer;
	return 0;
}

int writer_add(struct writer *writer, struct lane *lane)
{
	struct input *inputs, *input;
	int err;

	inputs = realloc(writer->inputs, (writer->input_count + 1) * sizeof(*inputs));
	if (!inputs)
		return -ENOMEM;
	writer->inputs = inputs;
	input = &inputs[writer->input_count];
	*input = (struct input){ .lane = lane, .number = writer->input_count };
	err = merge_stream(writer->merge, memory_journal_stream(lane_journal(lane)),
			   &input->stream);
	if (err)
		return err;
	err = memory_journal_reader_create(&input->reader, lane_journal(lane));
	if (err)
		return err;
	writer->input_count++;
	lane_on_commit(lane, committed, writer);
	return 0;
}

int writer_start(struct writer *writer)
{
	/* Not when it was opened: until now the start could fail, with another capture in there. */
	int err = writer_file_empty(&writer->outputs[0]);

	if (err)
		return err;
	err = pthread_create(&writer->thread, NULL, writer_thread, writer);
	writer->started = !err;
	return -err;
}

int writer_finish(struct writer *writer)
{
	if (writer->started) {
		pthread_mutex_lock(&writer->lock);
		writer->finishing = true;
		pthread_cond_signal(&writer->wake);
		pthread_mutex_unlock(&writer->lock);
		pthread_join(writer->thread, NULL);
		writer->started = false;
	}
	for (unsigned int i = 0; i < writer->input_count; i++) {
		memory_journal_reader_destroy(writer->inputs[i].reader);
		writer->inputs[i].reader = NULL;
	}
	return atomic_load(&writer->stats.err);
}

void writer_destroy(struct writer *writer)
{
	if (!writer)
		return;
	(void)writer_finish(writer);
	for (unsigned int i = 0; i < writer->output_count; i++)
		writer_file_release(&writer->outputs[i]);
	merge_destroy(writer->merge);
	free(writer->early);
	free(writer->inputs);
	free(writer->outputs);
	pthread_cond_destroy(&writer->wake);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}

const struct writer_stats *writer_stats(const struct writer *writer)
{
	return &writer->stats;
}
