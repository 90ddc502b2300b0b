/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames whose contents can be checked: records of a running number, which also decides their
 * length and bytes. The position of source 1 is the number of the next record, that of source 2
 * three times as much.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory_journal.h"
#include "selftests/unit/check.h"

#define SAMPLE_SOURCE 1
#define SAMPLE_RECORD_MAX 4096

static char sample_dir[64], sample_path[96];

static inline void sample_setup(void)
{
	struct stat st;

	snprintf(sample_dir, sizeof(sample_dir), "%s/xcap-journal-XXXXXX",
		 stat("/dev/shm", &st) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(sample_dir));
	snprintf(sample_path, sizeof(sample_path), "%s/lane0.journal", sample_dir);
}

static inline void sample_teardown(void)
{
	(void)unlink(sample_path);
	(void)rmdir(sample_dir);
}

static inline struct memory_journal_config sample_config(size_t size_bytes)
{
	return (struct memory_journal_config){
		.path = sample_path, .agent = "agent-1", .lane = 3, .size_bytes = size_bytes
	};
}

static inline struct memory_journal *sample_open(const struct memory_journal_config *config)
{
	struct memory_journal *journal = NULL;

	assert_int_equal(memory_journal_open(&journal, config), 0);
	return journal;
}

/* A small generator of our own: the same numbers everywhere. */
static inline uint64_t sample_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline size_t sample_record_len(uint64_t number)
{
	return 16 + sample_random(&number) % (SAMPLE_RECORD_MAX - 16);
}

static inline uint8_t sample_byte(uint64_t number, size_t i)
{
	return (uint8_t)(number * 31 + i);
}

/* The record's length. */
static inline size_t sample_put(uint8_t *out, uint64_t number)
{
	size_t len = sample_record_len(number);

	memcpy(out, &number, sizeof(number));
	for (size_t i = sizeof(number); i < len; i++)
		out[i] = sample_byte(number, i);
	return len;
}

/* Checks the records of a payload, of which the first must be *number, and moves it on. */
static inline bool sample_check(const uint8_t *payload, size_t payload_len, uint64_t *number)
{
	size_t at = 0, len;
	uint64_t found;

	while (at < payload_len) {
		len = sample_record_len(*number);
		if (payload_len - at < len)
			return false;
		memcpy(&found, payload + at, sizeof(found));
		if (found != *number)
			return false;
		for (size_t i = sizeof(found); i < len; i++) {
			if (payload[at + i] != sample_byte(*number, i))
				return false;
		}
		at += len;
		++*number;
	}
	return true;
}

static inline bool sample_check_frame(const struct memory_journal_frame *frame, uint64_t *number)
{
	uint64_t first = *number;

	return frame_payload_check(&frame->header, frame->data + FRAME_HEADER_LEN) == 0 &&
	       sample_check(frame->data + FRAME_HEADER_LEN, frame->header.stored_len, number) &&
	       frame->header.packet_count == *number - first &&
	       frame->header.wire_count == 2 * frame->header.packet_count;
}

struct sample_writer {
	struct memory_journal *journal;
	struct frame_header header;
	uint8_t *payload;
	size_t len;
	uint64_t next; /* record */
};

static inline struct sample_writer sample_writer(struct memory_journal *journal)
{
	struct sample_writer writer = { .journal = journal };

	(void)memory_journal_position(journal, SAMPLE_SOURCE, &writer.next);
	return writer;
}

static inline bool sample_begin(struct sample_writer *writer, unsigned int records_max)
{
	writer->payload =
		memory_journal_begin(writer->journal, (size_t)records_max * SAMPLE_RECORD_MAX);
	writer->len = 0;
	writer->header = (struct frame_header){ .type = FRAME_PACKETS, .stream = 1 };
	return writer->payload != NULL;
}

static inline void sample_add(struct sample_writer *writer, unsigned int records)
{
	for (unsigned int i = 0; i < records; i++)
		writer->len += sample_put(writer->payload + writer->len, writer->next++);
	writer->header.packet_count += records;
	writer->header.wire_count += 2 * records;
}

static inline void sample_positions(const struct sample_writer *writer,
				    struct journal_position positions[2])
{
	positions[0] = (struct journal_position){ .source = SAMPLE_SOURCE, .value = writer->next };
	positions[1] = (struct journal_position){ .source = 2, .value = 3 * writer->next };
}

static inline void sample_progress(struct sample_writer *writer)
{
	struct journal_position positions[2];

	sample_positions(writer, positions);
	memory_journal_progress(writer->journal, &writer->header, writer->len, positions, 2);
}

static inline void sample_commit(struct sample_writer *writer)
{
	struct journal_position positions[2];

	sample_positions(writer, positions);
	memory_journal_commit(writer->journal, &writer->header, writer->len, positions, 2);
	writer->payload = NULL;
}

static inline bool sample_frame(struct sample_writer *writer, unsigned int records)
{
	if (!sample_begin(writer, records))
		return false;
	sample_add(writer, records);
	sample_commit(writer);
	return true;
}
