/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A journal in a directory of its own, frames that can be told apart, and ways to do damage. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/journal.h"
#include "selftests/unit/check.h"

struct fixture {
	char dir[64];
	struct loop *loop;
	struct journal *journal;
	struct journal_recovery recovery;
	uint64_t segment_bytes, buffer_bytes;
	uint64_t committed; /* position */
	unsigned int commits, failures;
	int err; /* of the last failure */
};

static inline void fixture_committed(void *context, uint64_t position, int err)
{
	struct fixture *f = context;

	if (err) {
		f->failures++;
		f->err = err;
	} else {
		f->commits++;
	}
	CHECK(position >= f->committed);
	f->committed = position;
}

static inline int fixture_try_open(struct fixture *f)
{
	const struct journal_config config = { .dir = f->dir,
					       .segment_bytes = f->segment_bytes,
					       .buffer_bytes = f->buffer_bytes,
					       .committed = fixture_committed,
					       .context = f };
	int err = journal_open(&f->journal, f->loop, &config, &f->recovery);

	f->committed = err ? 0 : journal_position(f->journal);
	return err;
}

static inline void fixture_open(struct fixture *f)
{
	assert_int_equal(fixture_try_open(f), 0);
}

static inline void fixture_init_in(struct fixture *f, const char *parent, uint64_t segment_bytes)
{
	*f = (struct fixture){ .segment_bytes = segment_bytes, .buffer_bytes = 4 * MIB };
	snprintf(f->dir, sizeof(f->dir), "%s/journal-XXXXXX", parent);
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(loop_create(&f->loop, 64), 0);
	fixture_open(f);
}

static inline void fixture_init(struct fixture *f, uint64_t segment_bytes)
{
	fixture_init_in(f, "/tmp", segment_bytes);
}

/* In order: flushed and sealed. */
static inline void fixture_close(struct fixture *f)
{
	if (!f->journal)
		return;
	CHECK_EQ(journal_flush(f->journal), 0);
	journal_close(f->journal);
	f->journal = NULL;
}

static inline void fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

static inline void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}

static inline void fixture_release(struct fixture *f)
{
	fixture_close(f);
	loop_destroy(f->loop);
	remove_dir(f->dir);
}

/* The frame's bytes are a function of these numbers. */
static inline size_t make_frame(uint8_t *out, struct frame_header *header, uint32_t stream,
				uint64_t sequence, size_t payload_len)
{
	unsigned int random = (unsigned int)(sequence * 31 + stream + 1);

	*header = (struct frame_header){ .type = FRAME_PACKETS,
					 .stream = 7,
					 .sequence = sequence,
					 .packet_count = 1,
					 .first_ns = 1000 * sequence,
					 .last_ns = 1000 * sequence + 5 };
	for (size_t i = 0; i < payload_len; i++)
		out[FRAME_HEADER_LEN + i] = (uint8_t)rand_r(&random);
	frame_seal(out, header, out + FRAME_HEADER_LEN, payload_len);
	return FRAME_HEADER_LEN + payload_len;
}

static inline int append(struct fixture *f, uint32_t stream, uint64_t sequence, size_t payload_len)
{
	uint8_t *frame = malloc(FRAME_HEADER_LEN + payload_len);
	struct frame_header header;
	size_t len;
	int err;

	assert_non_null(frame);
	len = make_frame(frame, &header, stream, sequence, payload_len);
	err = journal_append(f->journal, stream, &header, frame, len);
	free(frame);
	return err;
}

/* Also while the buffer is full. */
static inline void append_waiting(struct fixture *f, uint32_t stream, uint64_t sequence,
				  size_t payload_len)
{
	int err;

	while ((err = append(f, stream, sequence, payload_len)) == -EAGAIN)
		assert_int_equal(loop_turn(f->loop, true), 0);
	CHECK_EQ(err, 0);
}

static inline uint32_t add_stream(struct fixture *f, const char *agent, uint32_t lane)
{
	struct stream_id id = { .lane = lane, .instance = { 1, 2, 3 } };
	uint32_t number = UINT32_MAX;

	snprintf(id.agent, sizeof(id.agent), "%s", agent);
	CHECK_EQ(journal_stream(f->journal, &id, &number), 0);
	return number;
}

static inline const char *ranges_string(const struct ranges *set)
{
	static char text[512];
	size_t n = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < set->count && n < sizeof(text) - 48; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%" PRIu64 "-%" PRIu64,
				      i ? " " : "", set->list[i].from, set->list[i].to);
	return text;
}

#define CHECK_DURABLE(f, stream, text) \
	CHECK_STR(ranges_string(journal_durable((f)->journal, stream)), text)

struct names {
	char list[256][32];
	size_t count;
};

static inline int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The segments of the directory, in order. */
static inline struct names segment_names(const char *path)
{
	struct names names = {};
	DIR *dir = opendir(path);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, ".seg") && names.count < ARRAY_SIZE(names.list))
			snprintf(names.list[names.count++], 32, "%.31s", entry->d_name);
	closedir(dir);
	qsort(names.list, names.count, sizeof(names.list[0]), compare_names);
	return names;
}

struct bytes {
	uint8_t *data;
	size_t len;
};

static inline struct bytes read_bytes(const char *dir, const char *name)
{
	struct bytes bytes = {};
	char path[256];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes.len = (size_t)st.st_size;
	bytes.data = malloc(bytes.len + 1);
	assert_non_null(bytes.data);
	assert_int_equal(read(fd, bytes.data, bytes.len), bytes.len);
	close(fd);
	return bytes;
}

static inline void write_bytes(const char *dir, const char *name, const void *data, size_t len)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* For tests that open a journal hundreds of times. */
static inline const char *memory_dir(void)
{
	return access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
}

/* The files as a crash at this moment leaves them; to->dir is made if it is not there. */
static inline void crash_copy(const struct fixture *from, struct fixture *to)
{
	struct names names = segment_names(from->dir);
	struct bytes bytes;

	if (!to->loop) {
		*to = (struct fixture){ .segment_bytes = from->segment_bytes,
					.buffer_bytes = from->buffer_bytes,
					.loop = from->loop };
		snprintf(to->dir, sizeof(to->dir), "%s/journal-XXXXXX", memory_dir());
		assert_non_null(mkdtemp(to->dir));
	}
	for (size_t i = 0; i < names.count; i++) {
		bytes = read_bytes(from->dir, names.list[i]);
		write_bytes(to->dir, names.list[i], bytes.data, bytes.len);
		free(bytes.data);
	}
}

/* Removes what is in the copy, and the copy. */
static inline void crash_copy_release(struct fixture *to)
{
	if (to->journal)
		journal_close(to->journal);
	to->journal = NULL;
	if (to->loop)
		remove_dir(to->dir);
}

/* What a reader that starts at a position finds up to limit. */
struct reading {
	uint64_t frames, streams, watermarks, damaged;
	uint64_t first_sequence, last_sequence;
	uint64_t end;  /* of the last record */
	bool in_order; /* frames' bytes are as made, and sequences of one stream ascend by one */
};

static inline bool frame_is_as_made(const struct journal_record *record)
{
	uint8_t *frame = malloc(record->frame_len);
	struct frame_header header;
	bool equal;

	make_frame(frame, &header, record->stream, record->header.sequence,
		   record->frame_len - FRAME_HEADER_LEN);
	equal = memcmp(frame, record->frame, record->frame_len) == 0;
	free(frame);
	return equal;
}

static inline struct reading read_all(const char *dir, uint64_t position, uint64_t limit)
{
	struct reading reading = { .in_order = true };
	struct journal_reader *reader;
	struct journal_record record;
	uint64_t oldest;
	int n;

	assert_int_equal(journal_reader_open(&reader, dir, position, &oldest), 0);
	while ((n = journal_reader_next(reader, limit, &record)) == 1) {
		reading.end = record.next;
		if (record.kind == JOURNAL_STREAM)
			reading.streams++;
		if (record.kind == JOURNAL_WATERMARKS)
			reading.watermarks++;
		if (record.kind != JOURNAL_FRAME)
			continue;
		if (!frame_is_as_made(&record) ||
		    (reading.frames && record.header.sequence != reading.last_sequence + 1))
			reading.in_order = false;
		if (!reading.frames)
			reading.first_sequence = record.header.sequence;
		reading.last_sequence = record.header.sequence;
		reading.frames++;
	}
	CHECK_EQ(n, 0);
	reading.damaged = journal_reader_damaged_bytes(reader);
	journal_reader_close(reader);
	return reading;
}
