/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast a journal takes frames in, or how soon at a given rate they are durable, and what that
 * costs: journal_bench DIR [SECONDS [FRAME_BYTES [STREAMS [MB_PER_SECOND]]]]. Prints one JSON
 * object. The directory has to be on the file system in question; segments are removed as they are
 * done with.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/journal.h"

#define TIMES 65536	  /* frames that may be on their way */
#define LATENCY_US 100000 /* longer ones count as this */

struct bench {
	struct loop_timer timer;
	struct journal *journal;
	const char *dir;
	uint64_t frames, durable, removed, group_from, group_max;
	uint64_t appended_ns[TIMES];
	uint64_t latency_us[LATENCY_US + 1]; /* frames by time from append to commit */
};

static double cpu_seconds(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void committed(void *context, uint64_t position, int err)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), us;
	struct bench *bench = context;

	if (err) {
		fprintf(stderr, "journal_bench: %s: %s\n", bench->dir, strerror(-err));
		exit(1);
	}
	bench->group_max = MAX(bench->group_max, position - bench->group_from);
	bench->group_from = position;
	while (bench->durable < journal_stats(bench->journal)->frames) {
		us = (now - bench->appended_ns[bench->durable++ % TIMES]) / 1000;
		bench->latency_us[MIN(us, (uint64_t)LATENCY_US)]++;
	}
}

static uint64_t latency_quantile(const struct bench *bench, double quantile)
{
	uint64_t sum = 0, us = 0;

	for (us = 0; us < LATENCY_US; us++) {
		sum += bench->latency_us[us];
		if ((double)sum >= quantile * (double)bench->durable)
			break;
	}
	return us;
}

static void expired(struct loop_timer *timer)
{
	(void)timer;
}

/* Segments that end before the position. */
static void remove_segments(struct bench *bench, uint64_t position)
{
	struct journal_reader *reader;
	char path[4096];
	uint64_t oldest;

	if (position < bench->removed + 4 * JOURNAL_SEGMENT_DEFAULT)
		return;
	bench->removed = position;
	while (!journal_reader_open(&reader, bench->dir, 0, &oldest)) {
		journal_reader_close(reader);
		snprintf(path, sizeof(path), "%s/%016llx.seg", bench->dir,
			 (unsigned long long)oldest);
		if (oldest + 2 * JOURNAL_SEGMENT_DEFAULT > position || unlink(path))
			return;
	}
}

/* Frames until the journal takes no more, or until as many are in as are due. */
static int append(struct bench *bench, uint8_t *frame, size_t frame_len, uint32_t streams,
		  uint64_t due)
{
	struct frame_header header;
	int err = frame_header_decode(&header, frame);

	while (!err && bench->frames < due) {
		header.sequence = 1 + bench->frames / streams;
		frame_header_encode(frame, &header);
		bench->appended_ns[bench->frames % TIMES] = clock_ns(CLOCK_MONOTONIC);
		err = journal_append(bench->journal, (uint32_t)(bench->frames % streams), &header,
				     frame, frame_len);
		bench->frames += !err;
	}
	journal_kick(bench->journal);
	return err == -EAGAIN ? 0 : err;
}

static int run(struct bench *bench, struct loop *loop, uint8_t *frame, size_t frame_len,
	       uint32_t streams, double seconds, double rate)
{
	uint64_t start = clock_ns(CLOCK_MONOTONIC), now = start, due = UINT64_MAX;
	double frame_ns = rate > 0 ? (double)frame_len * 1e3 / rate : 0;
	int err = 0;

	while (!err && (double)(now - start) < seconds * 1e9) {
		if (rate > 0)
			due = (uint64_t)((double)(now - start) / frame_ns);
		err = append(bench, frame, frame_len, streams, due);
		if (rate > 0)
			loop_timer_start(loop, &bench->timer, (uint64_t)frame_ns);
		if (!err)
			err = loop_turn(loop, true);
		remove_segments(bench, journal_stats(bench->journal)->durable);
		now = clock_ns(CLOCK_MONOTONIC);
	}
	loop_timer_stop(loop, &bench->timer);
	return err ? err : journal_flush(bench->journal);
}

int main(int argc, char **argv)
{
	static struct bench bench = { .timer.expired = expired };
	double seconds = argc > 2 ? atof(argv[2]) : 3, elapsed, thread, process;
	size_t frame_len = argc > 3 ? strtoul(argv[3], NULL, 10) : 65536;
	uint32_t streams = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 16, number;
	double rate = argc > 5 ? atof(argv[5]) : 0;
	struct journal_config config = { .dir = argv[1],
					 .segment_bytes = JOURNAL_SEGMENT_DEFAULT,
					 .buffer_bytes = 16 * MIB,
					 .committed = committed,
					 .context = &bench };
	struct frame_header header = { .type = FRAME_PACKETS, .packet_count = 1 };
	struct stream_id id = { .agent = "bench" };
	struct journal_recovery recovery;
	struct journal_stats stats;
	static uint8_t frame[FRAME_LEN_MAX];
	struct loop *loop;
	int err;

	if (argc < 2 || !streams || frame_len < FRAME_HEADER_LEN || frame_len > FRAME_LEN_MAX) {
		fprintf(stderr, "usage: journal_bench DIR [SECONDS [FRAME_BYTES [STREAMS "
				"[MB_PER_SECOND]]]]\n");
		return 2;
	}
	bench.dir = argv[1];
	if (loop_create(&loop, 64) || journal_open(&bench.journal, loop, &config, &recovery)) {
		fprintf(stderr, "journal_bench: cannot open a journal in %s\n", bench.dir);
		return 1;
	}
	for (id.lane = 0; id.lane < streams; id.lane++)
		if (journal_stream(bench.journal, &id, &number))
			return 1;
	frame_seal(frame, &header, frame + FRAME_HEADER_LEN, frame_len - FRAME_HEADER_LEN);
	bench.group_from = journal_position(bench.journal);
	elapsed = (double)clock_ns(CLOCK_MONOTONIC);
	thread = cpu_seconds(RUSAGE_THREAD);
	process = cpu_seconds(RUSAGE_SELF);
	err = run(&bench, loop, frame, frame_len, streams, seconds, rate);
	elapsed = ((double)clock_ns(CLOCK_MONOTONIC) - elapsed) / 1e9;
	thread = cpu_seconds(RUSAGE_THREAD) - thread;
	process = cpu_seconds(RUSAGE_SELF) - process;
	stats = *journal_stats(bench.journal);
	if (err) {
		fprintf(stderr, "journal_bench: %s\n", strerror(-err));
		return 1;
	}
	printf("{\"mb_per_second\": %.1f, \"frames\": %llu, \"writes\": %llu, \"syncs\": %llu, "
	       "\"group_max_kib\": %llu, \"latency_us\": {\"p50\": %llu, \"p95\": %llu, "
	       "\"p999\": %llu}, \"thread_cpu\": %.3f, \"cpu\": %.3f, "
	       "\"thread_us_per_mb\": %.0f, \"us_per_mb\": %.0f}\n",
	       (double)stats.bytes / 1e6 / elapsed, (unsigned long long)stats.frames,
	       (unsigned long long)stats.writes, (unsigned long long)stats.syncs,
	       (unsigned long long)(bench.group_max / KIB),
	       (unsigned long long)latency_quantile(&bench, 0.5),
	       (unsigned long long)latency_quantile(&bench, 0.95),
	       (unsigned long long)latency_quantile(&bench, 0.999), thread / elapsed,
	       process / elapsed, thread * 1e12 / (double)stats.bytes,
	       process * 1e12 / (double)stats.bytes);
	journal_close(bench.journal);
	remove_segments(&bench, UINT64_MAX);
	loop_destroy(loop);
	return 0;
}
