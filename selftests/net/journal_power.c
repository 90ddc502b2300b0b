/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of power cuts.
 *   journal_power append DIR    appends frames of some streams until it is killed, and prints
 *                               "STREAM SEQUENCE" as soon as all up to SEQUENCE are acknowledged
 *   journal_power check DIR     recovers the journal; every pair on standard input has to be there,
 *                               and every frame once and in order
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/journal.h"

#define STREAMS 8
#define GROUP_NS (2 * NS_PER_MS)
#define GROUP_FRAMES 6
#define PAYLOAD_MAX 4000

struct power {
	struct loop *loop;
	struct loop_timer timer;
	struct journal *journal;
	uint64_t next[STREAMS], acked[STREAMS];
	uint32_t numbers[STREAMS];
	unsigned int random;
};

static int fatal(const char *what, int err)
{
	fprintf(stderr, "journal_power: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void committed(void *context, uint64_t position, int err)
{
	struct power *power = context;
	char line[64];
	uint64_t last;
	int len;

	(void)position;
	if (err)
		fatal("cannot commit", err);
	for (uint32_t i = 0; i < STREAMS; i++) {
		last = ranges_max(journal_durable(power->journal, power->numbers[i]));
		if (last == power->acked[i])
			continue;
		power->acked[i] = last;
		len = snprintf(line, sizeof(line), "%u %llu\n", i, (unsigned long long)last);
		if (write(STDOUT_FILENO, line, (size_t)len) != len)
			exit(1);
	}
}

static void append_group(struct loop_timer *timer)
{
	struct power *power = container_of(timer, struct power, timer);
	static uint8_t frame[FRAME_HEADER_LEN + PAYLOAD_MAX];
	struct frame_header header = { .type = FRAME_PACKETS };
	uint32_t i;
	size_t len;
	int err;

	for (int n = 0; n < GROUP_FRAMES; n++) {
		i = (uint32_t)rand_r(&power->random) % STREAMS;
		len = (size_t)rand_r(&power->random) % PAYLOAD_MAX;
		header.sequence = power->next[i];
		memset(frame + FRAME_HEADER_LEN, (int)header.sequence, len);
		frame_seal(frame, &header, frame + FRAME_HEADER_LEN, len);
		err = journal_append(power->journal, power->numbers[i], &header, frame,
				     FRAME_HEADER_LEN + len);
		if (err == -EAGAIN)
			break;
		if (err)
			fatal("cannot append", err);
		power->next[i]++;
	}
	journal_kick(power->journal);
	loop_timer_start(power->loop, timer, GROUP_NS);
}

static void open_journal(struct power *power, const char *dir, struct journal_recovery *recovery)
{
	const struct journal_config config = { .dir = dir,
					       .segment_bytes = MIB,
					       .buffer_bytes = 4 * MIB,
					       .committed = committed,
					       .context = power };
	struct stream_id id = {};
	int err;

	err = loop_create(&power->loop, 64);
	if (!err)
		err = journal_open(&power->journal, power->loop, &config, recovery);
	for (uint32_t i = 0; !err && i < STREAMS; i++) {
		snprintf(id.agent, sizeof(id.agent), "host-%u", i);
		err = journal_stream(power->journal, &id, &power->numbers[i]);
	}
	if (err)
		fatal(dir, err);
}

static int run_append(const char *dir)
{
	struct power power = { .timer.expired = append_group, .random = 1 };
	struct journal_recovery recovery;

	open_journal(&power, dir, &recovery);
	for (uint32_t i = 0; i < STREAMS; i++) {
		power.acked[i] = ranges_max(journal_durable(power.journal, power.numbers[i]));
		power.next[i] = power.acked[i] + 1;
	}
	append_group(&power.timer);
	return loop_run(power.loop) ? 1 : 0;
}

/* Frames that a reader finds: 1, 2, 3, ... of every stream. */
static int read_frames(struct power *power, const char *dir)
{
	struct journal_reader *reader;
	struct journal_record record;
	uint64_t oldest;
	int n, failed = 0, err;

	err = journal_reader_open(&reader, dir, 0, &oldest);
	if (err)
		fatal(dir, err);
	while ((n = journal_reader_next(reader, journal_position(power->journal), &record)) == 1)
		for (uint32_t i = 0; i < STREAMS && record.kind == JOURNAL_FRAME; i++)
			if (power->numbers[i] == record.stream &&
			    record.header.sequence != ++power->next[i]) {
				printf("stream %u: frame %llu, expected %llu\n", i,
				       (unsigned long long)record.header.sequence,
				       (unsigned long long)power->next[i]);
				failed = 1;
			}
	if (n < 0)
		fatal("cannot read", n);
	if (journal_reader_damaged_bytes(reader)) {
		printf("%llu bytes are damaged\n",
		       (unsigned long long)journal_reader_damaged_bytes(reader));
		failed = 1;
	}
	journal_reader_close(reader);
	return failed;
}

static int run_check(const char *dir)
{
	struct power power = {};
	struct journal_recovery recovery;
	unsigned long long stream, sequence;
	uint64_t total = 0, there;
	int failed;

	while (scanf("%llu %llu", &stream, &sequence) == 2)
		if (stream < STREAMS)
			power.acked[stream] = MAX(power.acked[stream], (uint64_t)sequence);
	open_journal(&power, dir, &recovery);
	failed = read_frames(&power, dir);
	for (uint32_t i = 0; i < STREAMS; i++) {
		const struct ranges *durable = journal_durable(power.journal, power.numbers[i]);

		there = ranges_next_missing(durable, 1) - 1;
		total += there;
		if (there < power.acked[i] || durable->count > 1 || there != power.next[i]) {
			printf("stream %u: %llu acknowledged, %llu in the journal, %llu read\n", i,
			       (unsigned long long)power.acked[i], (unsigned long long)there,
			       (unsigned long long)power.next[i]);
			failed = 1;
		}
	}
	printf("%llu segments, %llu frames, damaged %llu, torn %llu\n",
	       (unsigned long long)recovery.segments, (unsigned long long)total,
	       (unsigned long long)recovery.damaged_bytes, (unsigned long long)recovery.torn_bytes);
	journal_close(power.journal);
	loop_destroy(power.loop);
	return failed;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "append") == 0)
		return run_append(argv[2]);
	if (argc == 3 && strcmp(argv[1], "check") == 0)
		return run_check(argv[2]);
	fprintf(stderr, "usage: journal_power append|check DIR\n");
	return 2;
}
