/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/journal.h"

#include "common/message.h"
#include "selftests/unit/journal_fixture.h"

static void frames_are_durable_and_found_again(void **state)
{
	struct reading reading;
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, 64 * KIB);
	CHECK_EQ(f.recovery.segments, 0);
	stream = add_stream(&f, "web-1", 0);
	CHECK_EQ(journal_stream_count(f.journal), 1);
	for (uint64_t i = 1; i <= 10; i++)
		CHECK_EQ(append(&f, stream, i, 100), 0);
	CHECK_DURABLE(&f, stream, "");
	journal_kick(f.journal);
	CHECK_DURABLE(&f, stream, "");
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_DURABLE(&f, stream, "1-10");
	CHECK_EQ(f.committed, journal_position(f.journal));
	CHECK_EQ(journal_stats(f.journal)->frames, 10);
	CHECK_EQ(journal_stats(f.journal)->durable, f.committed);
	CHECK_EQ(journal_stats(f.journal)->bytes, f.committed);
	reading = read_all(f.dir, 0, f.committed);
	CHECK_EQ(reading.frames, 10);
	CHECK_EQ(reading.end, f.committed);
	CHECK(reading.in_order);

	fixture_reopen(&f);
	CHECK_EQ(f.recovery.segments, 1);
	CHECK_EQ(f.recovery.frames, 10);
	CHECK_EQ(f.recovery.damaged_bytes + f.recovery.damaged_regions + f.recovery.torn_bytes, 0);
	CHECK_EQ(add_stream(&f, "web-1", 0), stream);
	CHECK_DURABLE(&f, stream, "1-10");
	CHECK_EQ(append(&f, stream, 11, 100), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	reading = read_all(f.dir, 0, f.committed);
	CHECK_EQ(reading.frames, 11);
	CHECK_EQ(reading.streams, 1);
	CHECK_EQ(reading.damaged, 0);
	CHECK(reading.in_order);
	fixture_release(&f);
}

static void duplicates_are_refused(void **state)
{
	struct fixture f;
	uint32_t a, b;

	(void)state;
	fixture_init(&f, 64 * KIB);
	a = add_stream(&f, "a", 0);
	b = add_stream(&f, "a", 1);
	CHECK(a != b);
	CHECK_EQ(append(&f, a, 5, 10), 0);
	CHECK_EQ(append(&f, a, 5, 10), -EEXIST); /* appended */
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(append(&f, a, 5, 10), -EEXIST); /* durable */
	CHECK_EQ(append(&f, a, 4, 10), 0);	 /* lower, and yet none */
	CHECK_EQ(append(&f, b, 5, 10), 0);
	CHECK_EQ(journal_stats(f.journal)->duplicates, 2);
	fixture_reopen(&f);
	CHECK_EQ(append(&f, a, 5, 10), -EEXIST);
	CHECK_EQ(append(&f, a, 4, 10), -EEXIST);
	CHECK_EQ(append(&f, a, 6, 10), 0);
	CHECK_EQ(read_all(f.dir, 0, f.committed).frames, 3);
	fixture_release(&f);
}

static void what_is_no_frame_is_refused(void **state)
{
	struct frame_header header;
	struct stream_id id = { .agent = "A" };
	uint8_t frame[256];
	struct fixture f;
	uint32_t number;
	size_t len;

	(void)state;
	fixture_init(&f, 64 * KIB);
	CHECK_EQ(journal_stream(f.journal, &id, &number), -EINVAL);
	number = add_stream(&f, "a", 0);
	len = make_frame(frame, &header, number, 1, 20);
	CHECK_EQ(journal_append(f.journal, number + 1, &header, frame, len), -EINVAL);
	CHECK_EQ(journal_append(f.journal, number, &header, frame, len - 1), -EINVAL);
	header.sequence = 0;
	CHECK_EQ(journal_append(f.journal, number, &header, frame, len), -EINVAL);
	CHECK_EQ(journal_position(f.journal), 0);
	fixture_release(&f);
}

static void loss_declares_a_range(void **state)
{
	static const struct {
		const char *name;
		struct message_loss loss;
		uint64_t sequence;
		const char *durable;
	} cases[] = {
		{ "range", { .from = 3, .to = 7 }, 7, "1-7" },
		{ "one", { .from = 3, .to = 3 }, 3, "1-3" },
		{ "over what is there", { .from = 2, .to = 4 }, 4, "1-4" },
		{ "another's number", { .from = 3, .to = 9 }, 7, "1-2 7-7" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct frame_header header;
		struct buf message = {};
		struct fixture f;
		uint32_t stream;

		fixture_init(&f, 64 * KIB);
		stream = add_stream(&f, "a", 0);
		CHECK_EQ(append(&f, stream, 1, 10), 0);
		CHECK_EQ(append(&f, stream, 2, 10), 0);
		CHECK_EQ(message_loss_put(&message, stream, &c->loss), 0);
		CHECK_EQ(frame_header_decode(&header, message.data), 0);
		header.sequence = c->sequence;
		frame_header_encode(message.data, &header);
		CHECK_EQ(journal_append(f.journal, stream, &header, message.data, message.len), 0);
		CHECK_EQ(journal_flush(f.journal), 0);
		CHECK_DURABLE(&f, stream, c->durable);
		fixture_reopen(&f);
		CHECK_DURABLE(&f, stream, c->durable);
		buf_release(&message);
		fixture_release(&f);
	}
}

static void segments_follow_each_other(void **state)
{
	struct reading reading;
	struct names names;
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, 16 * KIB);
	stream = add_stream(&f, "a", 0);
	for (uint64_t i = 1; i <= 200; i++)
		append_waiting(&f, stream, i, 1000);
	append_waiting(&f, stream, 201,
		       FRAME_PAYLOAD_MAX); /* larger than a segment is meant to be */
	append_waiting(&f, stream, 202, 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	reading = read_all(f.dir, 0, f.committed);
	CHECK_EQ(reading.frames, 202);
	CHECK_EQ(reading.streams, 1);
	CHECK_EQ(reading.damaged, 0);
	CHECK(reading.in_order);
	fixture_reopen(&f);
	CHECK_DURABLE(&f, stream, "1-202");
	CHECK(f.recovery.frames < 20);
	names = segment_names(f.dir);
	CHECK(names.count >= 15 && names.count < 20);
	CHECK_EQ(f.recovery.segments, names.count);
	/* Each ends where the next begins. */
	for (size_t i = 0; i + 1 < names.count; i++) {
		struct bytes bytes = read_bytes(f.dir, names.list[i]);

		CHECK_EQ(strtoull(names.list[i], NULL, 16) + bytes.len,
			 strtoull(names.list[i + 1], NULL, 16));
		free(bytes.data);
	}
	fixture_release(&f);
}

static void an_open_segment_is_allocated(void **state)
{
	struct names names;
	struct fixture f;
	char path[128], spare[128];
	struct stat st;

	(void)state;
	fixture_init(&f, MIB);
	CHECK_EQ(append(&f, add_stream(&f, "a", 0), 1, 10), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	names = segment_names(f.dir);
	snprintf(path, sizeof(path), "%s/%s", f.dir, names.list[0]);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, MIB);
	CHECK(st.st_blocks * 512 >= (blkcnt_t)MIB);
	/* The next one is, too, when this is half full; what is not used is taken back. */
	for (uint64_t i = 2; i < 20; i++)
		append_waiting(&f, 0, i, 32 * KIB);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(segment_names(f.dir).count, 1);
	snprintf(spare, sizeof(spare), "%s/spare", f.dir);
	CHECK_EQ(stat(spare, &st), 0);
	CHECK_EQ(st.st_size, MIB);
	fixture_close(&f);
	CHECK_EQ(stat(spare, &st), -1);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, f.committed + 80);
	fixture_release(&f);
}

static void a_full_buffer_waits(void **state)
{
	unsigned int waits = 0;
	struct fixture f;
	uint32_t stream;
	int err;

	(void)state;
	fixture_init(&f, 64 * MIB);
	stream = add_stream(&f, "a", 0);
	for (uint64_t i = 1; i <= 200; i++)
		while ((err = append(&f, stream, i, 65536)) == -EAGAIN) {
			/* The journal has begun to write by itself. */
			waits++;
			assert_int_equal(loop_turn(f.loop, true), 0);
		}
	CHECK(waits > 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_DURABLE(&f, stream, "1-200");
	CHECK(read_all(f.dir, 0, f.committed).in_order);
	fixture_release(&f);
}

static void groups_are_committed_together(void **state)
{
	const struct journal_stats *stats;
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, 64 * MIB);
	stream = add_stream(&f, "a", 0);
	for (uint64_t i = 1; i <= 1000; i++) {
		CHECK_EQ(append(&f, stream, i, 1000), 0);
		journal_kick(f.journal);
	}
	CHECK_EQ(journal_flush(f.journal), 0);
	stats = journal_stats(f.journal);
	CHECK(stats->writes <= 2);
	CHECK(stats->syncs <= 2);
	CHECK_EQ(f.commits, stats->syncs);
	fixture_release(&f);
}

static void a_commit_covers_what_was_written_before(void **state)
{
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, MIB);
	stream = add_stream(&f, "a", 0);
	CHECK_EQ(append(&f, stream, 1, 100), 0);
	journal_kick(f.journal);
	while (!journal_stats(f.journal)->writes)
		assert_int_equal(loop_turn(f.loop, true), 0);
	CHECK_EQ(append(&f, stream, 2, 100), 0);
	while (!f.commits)
		assert_int_equal(loop_turn(f.loop, true), 0);
	CHECK_DURABLE(&f, stream, "1-1");
	CHECK(f.committed < journal_position(f.journal));
	CHECK_EQ(journal_stats(f.journal)->writes, 1);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_DURABLE(&f, stream, "1-2");
	fixture_release(&f);
}

static void a_thousand_streams(void **state)
{
	char agent[32], text[32];
	struct fixture f;
	uint32_t stream;

	(void)state;
	fixture_init(&f, 256 * KIB);
	for (uint64_t i = 1; i <= 20; i++)
		for (uint32_t s = 0; s < 1000; s++) {
			snprintf(agent, sizeof(agent), "agent-%u", s / 2);
			stream = add_stream(&f, agent, s % 2);
			CHECK_EQ(stream, s);
			if (i < 20 || s % 2)
				append_waiting(&f, stream, i, 10 + s % 50);
		}
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK(segment_names(f.dir).count > 3);
	fixture_reopen(&f);
	CHECK_EQ(journal_stream_count(f.journal), 1000);
	for (uint32_t s = 0; s < 1000; s++) {
		snprintf(agent, sizeof(agent), "agent-%u", s / 2);
		snprintf(text, sizeof(text), "1-%u", 19 + s % 2);
		CHECK_STR(journal_stream_id(f.journal, s)->agent, agent);
		CHECK_DURABLE(&f, s, text);
	}
	CHECK_EQ(read_all(f.dir, 0, f.committed).streams, 1000);
	CHECK_EQ(read_all(f.dir, 0, f.committed).frames, 19500);
	/* From the end on, all streams are known all the same. */
	CHECK_EQ(read_all(f.dir, f.committed - 80, f.committed).streams, 1000);
	fixture_release(&f);
}

/* The head takes several records, and is larger than a segment is meant to be. */
static void many_holes(void **state)
{
	struct fixture f;
	uint32_t a, b;

	(void)state;
	fixture_init(&f, 64 * KIB);
	a = add_stream(&f, "a", 0);
	for (uint64_t i = 1; i <= RANGES_MAX; i++)
		append_waiting(&f, a, 2 * i, 0);
	CHECK_EQ(append(&f, a, 2 * RANGES_MAX + 2, 0), -EMSGSIZE);
	CHECK_EQ(append(&f, a, 2 * RANGES_MAX + 1, 0), 0);
	b = add_stream(&f, "b", 0);
	for (uint64_t i = 1; i <= 50000; i++)
		append_waiting(&f, b, 2 * i, 0);
	fixture_reopen(&f);
	CHECK_EQ(append(&f, b, 200001, 100), 0); /* a head with all of it */
	fixture_reopen(&f);
	CHECK_EQ(journal_durable(f.journal, a)->count, RANGES_MAX);
	CHECK_EQ(ranges_max(journal_durable(f.journal, a)), 2 * RANGES_MAX + 1);
	CHECK_EQ(journal_durable(f.journal, b)->count, 50001);
	CHECK_EQ(f.recovery.frames, 1);
	fixture_release(&f);
}

static void the_directory_is_locked(void **state)
{
	struct fixture f, second = { .segment_bytes = MIB };

	(void)state;
	fixture_init(&f, MIB);
	snprintf(second.dir, sizeof(second.dir), "%s", f.dir);
	second.loop = f.loop;
	CHECK_EQ(fixture_try_open(&second), -EBUSY);
	fixture_close(&f);
	CHECK_EQ(fixture_try_open(&second), 0);
	journal_close(second.journal);
	fixture_release(&f);
}

static void watermarks_come_back(void **state)
{
	struct journal_watermark list[2] = { { 0, 5000000000 }, { 1, 7 } };
	struct journal_reader *reader;
	struct journal_record record;
	struct fixture f;
	uint64_t oldest;

	(void)state;
	fixture_init(&f, MIB);
	add_stream(&f, "a", 0);
	add_stream(&f, "b", 0);
	CHECK_EQ(journal_append_watermarks(f.journal, list, 2), 0);
	list[0].stream = 2;
	CHECK_EQ(journal_append_watermarks(f.journal, list, 2), -EINVAL);
	CHECK_EQ(journal_append_watermarks(f.journal, list, 0), 0);
	CHECK_EQ(journal_flush(f.journal), 0);
	CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
	for (uint32_t i = 0; i < 2; i++) {
		CHECK_EQ(journal_reader_next(reader, f.committed, &record), 1);
		CHECK_EQ(record.kind, JOURNAL_STREAM);
		CHECK_EQ(record.stream, i);
		CHECK_STR(record.id.agent, i ? "b" : "a");
	}
	CHECK_EQ(journal_reader_next(reader, f.committed, &record), 1);
	CHECK_EQ(record.kind, JOURNAL_WATERMARKS);
	CHECK_EQ(record.watermark_count, 2);
	CHECK_EQ(record.watermarks[0].stream, 0);
	CHECK_EQ(record.watermarks[0].watermark_ns, 5000000000);
	CHECK_EQ(record.watermarks[1].stream, 1);
	CHECK_EQ(record.watermarks[1].watermark_ns, 7);
	CHECK_EQ(journal_reader_next(reader, f.committed, &record), 1);
	CHECK_EQ(record.watermark_count, 0);
	CHECK_EQ(journal_reader_next(reader, f.committed, &record), 0);
	journal_reader_close(reader);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_are_durable_and_found_again),
		TEST(duplicates_are_refused),
		TEST(what_is_no_frame_is_refused),
		TEST(loss_declares_a_range),
		TEST(segments_follow_each_other),
		TEST(an_open_segment_is_allocated),
		TEST(a_full_buffer_waits),
		TEST(groups_are_committed_together),
		TEST(a_commit_covers_what_was_written_before),
		TEST(a_thousand_streams),
		TEST(many_holes),
		TEST(the_directory_is_locked),
		TEST(watermarks_come_back),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
