/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whom the merge waits for, and for how long. */
#include "common/merge_streams.h"

#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/merge_build.h"

static unsigned int pick(unsigned int *seed, unsigned int count)
{
	return (unsigned int)rand_r(seed) % count;
}

static void the_slowest_stream_holds_the_others(void **state)
{
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a"), b = join(merge, "b");

	(void)state;
	give(merge, a, 1, TIMES(10, 20, 30), 1, 40, 1);
	CHECK_STR(drain(merge, 1), "");
	merge_watermark(merge, b, 20, 1);
	/* b may still send one at 20, which sorts after a's. */
	CHECK_STR(drain(merge, 1), "10:1 20:2");
	CHECK_EQ(merge_stats(merge)->watermark_ns, 20);
	give(merge, b, 1, TIMES(20, 30), 11, 30, 1);
	CHECK_STR(drain(merge, 1), "20:11 30:3 30:12");
	/* a sorts first: b's packet at a's watermark has to wait. */
	give(merge, b, 2, TIMES(40, 41), 13, 50, 1);
	CHECK_STR(drain(merge, 1), "");
	merge_watermark(merge, a, 41, 1);
	CHECK_STR(drain(merge, 1), "40:13");
	merge_watermark(merge, a, 42, 1);
	CHECK_STR(drain(merge, 1), "41:14");
	/* A watermark does not go back. */
	merge_watermark(merge, a, 7, 1);
	CHECK_EQ(merge_stats(merge)->watermark_ns, 42);
	merge_destroy(merge);
}

static void a_stream_joins_at_the_watermark(void **state)
{
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a"), b;

	(void)state;
	give(merge, a, 1, TIMES(10, 20), 1, 50, 1);
	CHECK_STR(drain(merge, 1), "10:1 20:2");
	b = join(merge, "b");
	give(merge, a, 2, TIMES(60), 3, 70, 1);
	CHECK_STR(drain(merge, 1), ""); /* b may have something above 50 */
	give(merge, b, 1, TIMES(15, 25, 55), 11, 30, 1);
	CHECK_STR(drain(merge, 1), "15:11! 25:12");
	CHECK_EQ(merge_stats(merge)->late_packets, 1);
	merge_watermark(merge, b, 60, 1);
	CHECK_STR(drain(merge, 1), "55:13 60:3");
	CHECK_EQ(merge_stats(merge)->streams, 2);
	merge_destroy(merge);
}

/* One that sorts before what has left is late, and nothing is gained by holding it. */
static void late(void **state)
{
	static const struct {
		const char *name;
		uint64_t time_ns, watermark_ns;
		const char *expected;
	} cases[] = {
		/* NAME is that of the stream; the last one to leave was m's at 20. */
		{ "a", 19, 19, "19:11!" }, { "a", 20, 20, "20:11!" }, { "z", 20, 20, "20:11" },
		{ "a", 19, 12, "19:11!" }, { "z", 19, 12, "19:11!" }, { "z", 20, 12, "" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct merge *merge = merge_new(NULL, NULL, 0);
		uint32_t m = join(merge, "m");

		give(merge, m, 1, TIMES(10, 20), 1, 50, 1);
		CHECK_STR(drain(merge, 1), "10:1 20:2");
		give(merge, join(merge, c->name), 1, TIMES(c->time_ns), 11, c->watermark_ns, 1);
		CHECK_STR(drain(merge, 1), c->expected);
		merge_destroy(merge);
	}
}

static void bye_ends_a_stream(void **state)
{
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a"), b = join(merge, "b");

	(void)state;
	give(merge, a, 1, TIMES(10, 20), 1, 50, 1);
	give(merge, b, 1, TIMES(5, 15), 11, 6, 1);
	CHECK_STR(drain(merge, 1), "5:11");
	give_bye(merge, b, 2, 1);
	CHECK_STR(drain(merge, 1), "10:1 15:12 20:2");
	/* What was overtaken by BYE on its way is taken, and nobody waits for more. */
	give(merge, b, 1, TIMES(30), 13, 30, 1);
	give(merge, a, 2, TIMES(60), 3, 70, 1);
	CHECK_STR(drain(merge, 1), "30:13 60:3");
	/* A stream that is taken up again counts again. */
	give(merge, b, 3, TIMES(71), 14, 75, 1);
	give(merge, a, 3, TIMES(80), 4, 90, 1);
	CHECK_STR(drain(merge, 1), "71:14");
	give_bye(merge, b, 4, 1);
	CHECK_STR(drain(merge, 1), "80:4");
	give_bye(merge, a, 4, 1);
	/* Nobody is left: whoever is known may give everything. */
	give(merge, a, 2, TIMES(95), 5, 0, 1);
	CHECK_STR(drain(merge, 1), "95:5");
	merge_destroy(merge);
}

static void seen_left_out(void *context, uint32_t stream, bool is_left_out)
{
	char *text = context;

	sprintf(text + strlen(text), "%c%u", is_left_out ? '-' : '+', stream);
}

static void silence(void **state)
{
	static const struct merge_ops ops = { .left_out = seen_left_out };
	const uint64_t start = 100 * NS_PER_SEC, wait = WAIT_NS;
	char seen[64] = "";
	struct merge *merge = merge_new(&ops, seen, 0);
	uint32_t a = join(merge, "a"), b = join(merge, "b");
	uint64_t now = start;

	(void)state;
	CHECK_EQ(merge_deadline(merge), UINT64_MAX);
	give(merge, a, 1, TIMES(1000), 1, 2000, now);
	/* The wait for b begins when the merge first sees the clock. */
	CHECK_STR(drain(merge, now), "");
	CHECK_EQ(merge_deadline(merge), start + wait);
	now += wait - 1;
	merge_watermark(merge, a, 3000, now);
	CHECK_STR(drain(merge, now), "");
	CHECK_EQ(merge_deadline(merge), start + wait);
	CHECK_EQ(merge_stats(merge)->streams_left_out, 0);
	now += 1;
	CHECK_STR(drain(merge, now), "1000:1");
	CHECK_STR(seen, "-1");
	CHECK_EQ(merge_stats(merge)->streams_left_out, 1);
	CHECK_EQ(merge_stats(merge)->watermark_ns, 3000);
	CHECK_EQ(merge_deadline(merge), UINT64_MAX);

	/* Back again, not far behind: what is older than what has left is late, the rest waits. */
	give(merge, b, 1, TIMES(500, 1500), 11, 1600, now);
	give(merge, a, 2, TIMES(3100), 2, 3200, now);
	CHECK_STR(drain(merge, now), "500:11! 1500:12");
	CHECK_STR(seen, "-1+1");
	CHECK_EQ(merge_stats(merge)->streams_left_out, 0);
	merge_watermark(merge, b, 3150, now);
	CHECK_STR(drain(merge, now), "3100:2");

	/* Both fall silent: all that there is leaves. */
	give(merge, a, 3, TIMES(5000), 3, 4000, now);
	CHECK_STR(drain(merge, now), "");
	now += wait;
	CHECK_STR(drain(merge, now), "5000:3");
	CHECK_EQ(merge_stats(merge)->streams_left_out, 2);
	CHECK_EQ(merge_stats(merge)->times_left_out, 3);
	CHECK_EQ(merge_stats(merge)->late_packets, 1);
	merge_destroy(merge);
}

/* A stream that brings what it spooled for an hour does not stop the others again. */
static void far_behind(void **state)
{
	const uint64_t hour = 3600 * NS_PER_SEC;
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a"), b;
	char text[128];

	(void)state;
	give(merge, a, 1, TIMES(2 * hour), 1, 2 * hour, 1);
	snprintf(text, sizeof(text), "%" PRIu64 ":1", (uint64_t)(2 * hour));
	CHECK_STR(drain(merge, 1), text);
	b = join(merge, "b");
	give(merge, b, 1, TIMES(hour), 11, hour, 1);
	give(merge, a, 2, TIMES(2 * hour + 5), 2, 2 * hour + 6, 1);
	snprintf(text, sizeof(text), "%" PRIu64 ":11! %" PRIu64 ":2", (uint64_t)hour,
		 (uint64_t)(2 * hour + 5));
	CHECK_STR(drain(merge, 1), text);
	CHECK_EQ(merge_stats(merge)->streams_left_out, 1);
	give(merge, b, 2, TIMES(hour + 1), 12, hour + 2, 1);
	give(merge, a, 3, TIMES(2 * hour + 6), 3, 2 * hour + 6, 1);
	snprintf(text, sizeof(text), "%" PRIu64 ":12! %" PRIu64 ":3", (uint64_t)(hour + 1),
		 (uint64_t)(2 * hour + 6));
	CHECK_STR(drain(merge, 1), text);
	/* It has caught up to within the wait: from here on it is waited for. */
	merge_watermark(merge, b, 2 * hour - WAIT_NS / 2, 1);
	CHECK_EQ(merge_stats(merge)->streams_left_out, 0);
	give(merge, a, 4, TIMES(2 * hour + 7), 4, 2 * hour + 8, 1);
	CHECK_STR(drain(merge, 1), "");
	merge_watermark(merge, b, 2 * hour + 9, 1);
	snprintf(text, sizeof(text), "%" PRIu64 ":4", (uint64_t)(2 * hour + 7));
	CHECK_STR(drain(merge, 1), text);
	merge_destroy(merge);
}

static void gone_without_bye(void **state)
{
	const uint64_t wait = WAIT_NS;
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a"), b = join(merge, "b");

	(void)state;
	give(merge, a, 1, TIMES(10), 1, 20, 5);
	CHECK_STR(drain(merge, 5), "");
	merge_stream_away(merge, b, 5 + wait / 2);
	merge_watermark(merge, a, 30, 5 + wait / 2);
	CHECK_STR(drain(merge, 5 + wait), "");
	CHECK_EQ(merge_deadline(merge), 5 + wait / 2 + wait);
	CHECK_STR(drain(merge, 5 + wait / 2 + wait - 1), "");
	CHECK_STR(drain(merge, 5 + wait / 2 + wait), "10:1");
	merge_destroy(merge);
}

static void other_frames_count_for_their_watermark(void **state)
{
	static const struct {
		const char *name;
		uint8_t type;
	} cases[] = { { "loss", FRAME_LOSS },	{ "flows", FRAME_FLOWS }, { "event", FRAME_EVENT },
		      { "clock", FRAME_CLOCK }, { "unknown", 200 },	  { "mark", FRAME_MARK } };

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct merge *merge = merge_new(NULL, NULL, 0);
		uint32_t a = join(merge, "a"), b = join(merge, "b");
		const struct frame_header header = {
			.type = c->type,
			.sequence = 1,
			.packet_count = 99,
			.watermark_ns = 15,
		};

		give(merge, a, 1, TIMES(10, 20), 1, 20, 1);
		CHECK_EQ(merge_frame(merge, b, 0, 2, &header, NULL, 0, 1, NULL), 0);
		CHECK_STR(drain(merge, 1), "10:1");
		CHECK_EQ(merge_stats(merge)->damaged_frames, 0);
		merge_destroy(merge);
	}
}

static void live_or_replayed(void **state)
{
	struct stream_id live = id_of("a", 0), replayed = live;
	struct merge_config config = { .replay = false };
	struct merge *merge;
	uint32_t stream;

	(void)state;
	replayed.replay = true;
	assert_int_equal(merge_create(&merge, &config), 0);
	CHECK_EQ(merge_stream(merge, &live, &stream), 0);
	CHECK_EQ(merge_stream(merge, &replayed, &stream), -EXDEV);
	merge_destroy(merge);
	config.replay = true;
	assert_int_equal(merge_create(&merge, &config), 0);
	CHECK_EQ(merge_stream(merge, &live, &stream), -EXDEV);
	CHECK_EQ(merge_stream(merge, &replayed, &stream), 0);
	merge_destroy(merge);
}

/* Many streams in any order of ids and watermarks, in and out. */
static void many_streams(void **state)
{
	static uint64_t limits[3000];
	struct merge_streams streams;
	struct merge_stream *stream;
	unsigned int seed = 1;
	char agent[16];

	(void)state;
	merge_streams_init(&streams);
	streams.wait_ns = WAIT_NS;
	for (unsigned int i = 0; i < ARRAY_SIZE(limits); i++) {
		struct stream_id id;

		snprintf(agent, sizeof(agent), "%u", i * 7919 % 3001);
		id = id_of(agent, i % 3);
		assert_int_equal(merge_streams_add(&streams, &id, 0, &stream), 0);
		CHECK_EQ(stream->number, i);
	}
	for (uint32_t i = 1; i < streams.count; i++) {
		CHECK(stream_id_compare(&streams.ranked[i - 1]->id, &streams.ranked[i]->id) < 0);
		CHECK_EQ(streams.ranked[i]->rank, i);
	}
	for (unsigned int turn = 0; turn < 20000; turn++) {
		uint32_t number = pick(&seed, ARRAY_SIZE(limits));
		const struct merge_stream *slowest, *found = NULL;

		limits[number] += 1 + pick(&seed, 50);
		merge_streams_hear(&streams, streams.list[number], turn + 1, limits[number], 0, 1);
		if (pick(&seed, 50) == 0)
			merge_streams_end(&streams, streams.list[pick(&seed, streams.count)],
					  turn + 1);
		if (turn % 500)
			continue;
		for (uint32_t i = 0; i < streams.count; i++)
			if (streams.ranked[i]->state == MERGE_STREAM_COUNTS &&
			    (!found || streams.ranked[i]->limit_ns < found->limit_ns))
				found = streams.ranked[i];
		slowest = merge_streams_slowest(&streams);
		CHECK(slowest == found);
	}
	merge_streams_release(&streams);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_slowest_stream_holds_the_others),
		TEST(a_stream_joins_at_the_watermark),
		TEST(late),
		TEST(bye_ends_a_stream),
		TEST(silence),
		TEST(far_behind),
		TEST(gone_without_bye),
		TEST(other_frames_count_for_their_watermark),
		TEST(live_or_replayed),
		TEST(many_streams),
	};

	return cmocka_run_group_tests_name("merge_streams", tests, NULL, NULL);
}
