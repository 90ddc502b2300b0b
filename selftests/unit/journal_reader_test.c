/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/journal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "selftests/unit/journal_fixture.h"

#define THREAD_FRAMES 20000

static void reading_starts_at_any_record(void **state)
{
	struct journal_reader *reader;
	struct journal_record record;
	struct reading reading;
	uint64_t oldest, frames = 0;
	struct fixture f;
	uint32_t a, b;

	(void)state;
	fixture_init(&f, 16 * KIB);
	a = add_stream(&f, "a", 0);
	b = add_stream(&f, "b", 0);
	for (uint64_t i = 1; i <= 60; i++)
		append_waiting(&f, i <= 30 ? a : b, i, 900);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	CHECK_EQ(oldest, 0);
	while (journal_reader_next(reader, f.committed, &record) == 1) {
		if (record.kind != JOURNAL_FRAME)
			continue;
		CHECK(record.received_ns > 1700000000 * NS_PER_SEC);
		reading = read_all(f.dir, record.position, f.committed);
		CHECK_EQ(reading.frames, 60 - frames);
		CHECK_EQ(reading.first_sequence, record.header.sequence);
		CHECK_EQ(reading.streams, 2);
		CHECK_EQ(reading.damaged, 0);
		frames++;
		reading = read_all(f.dir, record.next, f.committed);
		CHECK_EQ(reading.frames, 60 - frames);
		CHECK_EQ(reading.streams, 2);
	}
	CHECK_EQ(frames, 60);
	journal_reader_close(reader);
	fixture_release(&f);
}

static void nothing_beyond_the_limit_is_read(void **state)
{
	struct journal_reader *reader;
	struct journal_record record;
	uint64_t oldest, middle;
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, 16 * KIB);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	CHECK_EQ(journal_reader_next(reader, 0, &record), 0); /* no segment yet */
	CHECK_EQ(journal_reader_next(reader, UINT64_MAX, &record), 0);
	stream = add_stream(&f, "a", 0);
	CHECK_EQ(append(&f, stream, 1, 100), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	middle = f.committed;
	CHECK_EQ(append(&f, stream, 2, 100), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(journal_reader_next(reader, middle, &record), 1);
	CHECK_EQ(record.kind, JOURNAL_STREAM);
	CHECK_EQ(journal_reader_next(reader, middle, &record), 1);
	CHECK_EQ(record.header.sequence, 1);
	CHECK_EQ(record.next, middle);
	CHECK_EQ(journal_reader_next(reader, middle, &record), 0);
	CHECK_EQ(journal_reader_next(reader, f.committed, &record), 1);
	CHECK_EQ(record.header.sequence, 2);
	CHECK_EQ(journal_reader_next(reader, f.committed, &record), 0);
	CHECK_EQ(journal_reader_damaged_bytes(reader), 0);
	journal_reader_close(reader);
	fixture_release(&f);
}

/* Read to the end, then on as the writer goes on, over the ends of segments. */
static void a_reader_follows_the_writer(void **state)
{
	static const struct {
		const char *name;
		bool has_limit;
	} cases[] = { { "to what is durable", true }, { "as far as it gets", false } };

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct journal_reader *reader;
		struct journal_record record;
		uint64_t oldest, next = 1;
		struct fixture f;
		uint32_t stream;

		fixture_init(&f, 8 * KIB);
		stream = add_stream(&f, "a", 0);
		CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
		for (uint64_t i = 1; i <= 100; i++) {
			append_waiting(&f, stream, i, 700);
			CHECK_EQ(journal_flush(f.journal), 0);
			while (journal_reader_next(reader, c->has_limit ? f.committed : UINT64_MAX,
						   &record) == 1)
				if (record.kind == JOURNAL_FRAME)
					CHECK_EQ(record.header.sequence, next++);
			CHECK_EQ(next, i + 1);
			/* A restart of the writer too. */
			if (i % 30 == 0)
				fixture_reopen(&f);
		}
		CHECK_EQ(journal_reader_damaged_bytes(reader), 0);
		journal_reader_close(reader);
		fixture_release(&f);
	}
}

static void frames_are_loaded_again(void **state)
{
	uint8_t *buf = malloc(FRAME_LEN_MAX), *expected = malloc(FRAME_LEN_MAX);
	uint64_t oldest, positions[100], middle = 0;
	struct journal_reader *reader;
	struct journal_record record;
	struct frame_header header;
	struct names names;
	struct fixture f;
	size_t count = 0;
	uint32_t stream;
	int len;

	(void)state;
	fixture_init(&f, 16 * KIB);
	stream = add_stream(&f, "a", 0);
	for (uint64_t i = 1; i <= 100; i++)
		append_waiting(&f, stream, i, 2000);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	while (journal_reader_next(reader, f.committed, &record) == 1) {
		if (record.kind != JOURNAL_FRAME)
			continue;
		positions[count++] = record.position;
		if (count == 50)
			break;
	}
	for (; count < 100 && journal_reader_next(reader, f.committed, &record) == 1;)
		if (record.kind == JOURNAL_FRAME)
			positions[count++] = record.position;
	CHECK_EQ(count, 100);
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t at = i * 37 % 100;

		len = journal_reader_load(reader, positions[at], buf);
		CHECK_EQ(len, make_frame(expected, &header, stream, at + 1, 2000));
		CHECK(len > 0 && memcmp(buf, expected, (size_t)len) == 0);
	}
	CHECK_EQ(journal_reader_load(reader, positions[3] + 8, buf), -EBADMSG);
	/* Retention: what is open may still be read, and what is gone says so. */
	names = segment_names(f.dir);
	middle = strtoull(names.list[names.count / 2], NULL, 16);
	for (size_t i = 0; i < names.count / 2; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s", f.dir, names.list[i]);
		unlink(path);
	}
	journal_reader_close(reader);
	CHECK_EQ(journal_reader_open(&reader, f.dir, positions[0], &oldest), -ENODATA);
	CHECK_EQ(oldest, middle);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	CHECK_EQ(journal_reader_load(reader, positions[0], buf), -ENODATA);
	CHECK(journal_reader_load(reader, positions[99], buf) > 0);
	journal_reader_close(reader);
	CHECK_EQ(journal_reader_open(&reader, f.dir, f.committed + 64 * KIB, &oldest), -ENODATA);
	CHECK_EQ(journal_reader_open(&reader, f.dir, f.committed - 4, &oldest), -EINVAL);
	CHECK_EQ(journal_reader_open(&reader, "/nonexistent/journal", 0, &oldest), -ENOENT);
	free(buf);
	free(expected);
	fixture_release(&f);
}

static void a_reader_that_is_overtaken_goes_on(void **state)
{
	struct journal_reader *reader;
	struct journal_record record;
	uint64_t oldest, last = 0;
	struct names names;
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, 16 * KIB);
	stream = add_stream(&f, "a", 0);
	for (uint64_t i = 1; i <= 100; i++)
		append_waiting(&f, stream, i, 1000);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	while (last < 5 && journal_reader_next(reader, f.committed, &record) == 1)
		last = record.header.sequence;
	names = segment_names(f.dir);
	for (size_t i = 0; i < 4; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s", f.dir, names.list[i]);
		unlink(path);
	}
	/* The segment that it is in is read to its end, then comes the oldest. */
	while (journal_reader_next(reader, f.committed, &record) == 1 &&
	       record.header.sequence == last + 1)
		last++;
	CHECK(last >= 10 && last < 20);
	CHECK_EQ(record.position > strtoull(names.list[4], NULL, 16), 1);
	CHECK_EQ(journal_reader_damaged_bytes(reader),
		 strtoull(names.list[4], NULL, 16) - strtoull(names.list[1], NULL, 16));
	while (journal_reader_next(reader, f.committed, &record) == 1)
		last = record.header.sequence;
	CHECK_EQ(last, 100);
	journal_reader_close(reader);
	fixture_release(&f);
}

/* A segment of which nothing became durable is removed, and another takes its name. */
static void a_stale_descriptor_is_noticed(void **state)
{
	struct journal_reader *reader;
	struct journal_record record;
	struct fixture f, other;
	struct names names;
	struct bytes bytes;
	char path[128];
	uint64_t oldest;

	(void)state;
	fixture_init(&f, MIB);
	CHECK_EQ(append(&f, add_stream(&f, "a", 0), 1, 100), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	while (journal_reader_next(reader, UINT64_MAX, &record) == 1)
		CHECK_EQ(record.header.sequence, record.kind == JOURNAL_FRAME);
	fixture_init(&other, MIB);
	CHECK_EQ(append(&other, add_stream(&other, "b", 0), 1, 100), 0);
	CHECK_EQ(append(&other, 0, 2, 100), 0);
	CHECK_EQ(journal_flush(other.journal), 0);
	names = segment_names(f.dir);
	bytes = read_bytes(other.dir, names.list[0]);
	snprintf(path, sizeof(path), "%s/%s", f.dir, names.list[0]);
	unlink(path);
	write_bytes(f.dir, names.list[0], bytes.data, bytes.len);
	CHECK_EQ(journal_reader_next(reader, UINT64_MAX, &record), 1);
	CHECK_EQ(record.kind, JOURNAL_STREAM);
	CHECK_STR(record.id.agent, "b");
	CHECK_EQ(journal_reader_next(reader, UINT64_MAX, &record), 1);
	CHECK_EQ(record.header.sequence, 2);
	CHECK_EQ(journal_reader_next(reader, UINT64_MAX, &record), 0);
	free(bytes.data);
	journal_reader_close(reader);
	fixture_release(&other);
	fixture_release(&f);
}

struct follower {
	const char *dir;
	_Atomic uint64_t durable;
	uint64_t frames, damaged, loaded;
	bool in_order, has_limit;
};

static void *follow(void *context)
{
	struct follower *follower = context;
	uint8_t *buf = malloc(FRAME_LEN_MAX);
	uint64_t oldest, positions[64] = {};
	struct journal_reader *reader;
	struct journal_record record;
	uint64_t limit;
	int n;

	follower->in_order = true;
	if (!buf || journal_reader_open(&reader, follower->dir, 0, &oldest))
		return NULL;
	while (follower->frames < THREAD_FRAMES) {
		limit = follower->has_limit ? atomic_load(&follower->durable) : UINT64_MAX;
		n = journal_reader_next(reader, limit, &record);
		if (n < 0)
			break;
		if (n == 0) {
			sched_yield();
			continue;
		}
		if (record.kind != JOURNAL_FRAME)
			continue;
		follower->frames++;
		if (record.header.sequence != follower->frames)
			follower->in_order = false;
		if (follower->frames % 50 == 0 && !frame_is_as_made(&record))
			follower->in_order = false;
		positions[follower->frames % 64] = record.position;
		if (follower->frames % 97 == 0 && positions[(follower->frames + 1) % 64])
			follower->loaded +=
				journal_reader_load(reader, positions[(follower->frames + 1) % 64],
						    buf) > 0;
	}
	follower->damaged = journal_reader_damaged_bytes(reader);
	journal_reader_close(reader);
	free(buf);
	return NULL;
}

static void other_threads_read_while_it_is_written(void **state)
{
	struct follower followers[2] = { { .has_limit = true }, { .has_limit = false } };
	pthread_t threads[2];
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, 256 * KIB);
	stream = add_stream(&f, "a", 0);
	for (size_t i = 0; i < 2; i++) {
		followers[i].dir = f.dir;
		assert_int_equal(pthread_create(&threads[i], NULL, follow, &followers[i]), 0);
	}
	for (uint64_t i = 1; i <= THREAD_FRAMES; i++) {
		append_waiting(&f, stream, i, 200 + i % 300);
		if (i % 10 == 0) {
			journal_kick(f.journal);
			CHECK_EQ(loop_turn(f.loop, false), 0);
			atomic_store(&followers[0].durable, f.committed);
		}
	}
	CHECK_EQ(journal_flush(f.journal), 0);
	atomic_store(&followers[0].durable, f.committed);
	for (size_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		CHECK_EQ(followers[i].frames, THREAD_FRAMES);
		CHECK_EQ(followers[i].damaged, 0);
		CHECK(followers[i].in_order);
		CHECK_EQ(followers[i].loaded, THREAD_FRAMES / 97);
	}
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reading_starts_at_any_record),
		TEST(nothing_beyond_the_limit_is_read),
		TEST(a_reader_follows_the_writer),
		TEST(frames_are_loaded_again),
		TEST(a_reader_that_is_overtaken_goes_on),
		TEST(a_stale_descriptor_is_noticed),
		TEST(other_threads_read_while_it_is_written),
	};

	return cmocka_run_group_tests_name("journal reader", tests, NULL, NULL);
}
