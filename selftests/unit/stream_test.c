/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/check.h"

static void agent_ids(void **state)
{
	static const struct {
		const char *name, *id;
		bool valid;
	} cases[] = {
		{ "plain", "web-1.example_x", true },
		{ "one character", "a", true },
		{ "64 characters",
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true },
		{ "65 characters",
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefx", false },
		{ "empty", "", false },
		{ "upper case", "Web", false },
		{ "slash", "a/b", false },
		{ "space", "a b", false },
		{ "not ASCII", "\xc3\xa4", false },
	};

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(agent_id_valid(c->id), c->valid);
}

static void identities_are_ordered(void **state)
{
	/* Ascending. */
	static const struct stream_id ids[] = {
		{ .agent = "a", .lane = 9, .replay = true },
		{ .agent = "ab" },
		{ .agent = "b" },
		{ .agent = "b", .replay = true },
		{ .agent = "b", .lane = 1 },
		{ .agent = "b", .instance = { 0, 1 } },
		{ .agent = "b", .instance = { 1 } },
		{ .agent = "b", .instance = { 0x80 } },
	};

	(void)state;
	for (int i = 0; i < (int)ARRAY_SIZE(ids); i++)
		for (int j = 0; j < (int)ARRAY_SIZE(ids); j++) {
			int order = stream_id_compare(&ids[i], &ids[j]);

			CHECK_EQ((order > 0) - (order < 0), (i > j) - (i < j));
			CHECK_EQ(stream_id_equal(&ids[i], &ids[j]), i == j);
		}
}

static void names(void **state)
{
	struct stream_id id = { .agent = "web-1",
				.lane = 3,
				.instance = { 0x01, 0xab, 0, 0xff, 9 } };
	char name[STREAM_NAME_LEN];

	(void)state;
	CHECK_STR(stream_name(&id, name), "web-1/3@01ab00ff");
	memset(id.agent, 'x', AGENT_ID_MAX);
	id.lane = UINT32_MAX;
	CHECK_EQ(strlen(stream_name(&id, name)), AGENT_ID_MAX + 1 + 10 + 1 + 8);
}

/* Stores on disk depend on these numbers. */
static void journal_of_a_stream_is_stable(void **state)
{
	static const struct {
		const char *name;
		struct stream_id id;
		uint32_t count, journal;
	} cases[] = {
		{ "lane 0 of 8", { .agent = "web-1" }, 8, 4 },
		{ "lane 1 of 8", { .agent = "web-1", .lane = 1 }, 8, 6 },
		{ "instance does not matter", { .agent = "web-1", .instance = { 7 } }, 8, 4 },
		{ "of 1000", { .agent = "web-1" }, 1000, 796 },
		{ "of one", { .agent = "web-2" }, 1, 0 },
	};
	struct stream_id id = {};
	unsigned int used[8] = {};

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(stream_journal(&c->id, c->count), c->journal);
	for (int i = 0; i < 800; i++) {
		snprintf(id.agent, sizeof(id.agent), "host%03d", i);
		used[stream_journal(&id, 8)]++;
	}
	for (int i = 0; i < 8; i++)
		CHECK(used[i] > 60 && used[i] < 140);
}

static void ranges_text(const struct ranges *set, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < set->count && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%" PRIu64 "-%" PRIu64, i ? " " : "",
				      set->list[i].from, set->list[i].to);
}

static void ranges_merge(void **state)
{
	static const struct {
		const char *name;
		struct range added[6];
		const char *result;
	} cases[] = {
		{ "in order", { { 1, 1 }, { 2, 2 }, { 3, 3 } }, "1-3" },
		{ "backwards", { { 3, 3 }, { 2, 2 }, { 1, 1 } }, "1-3" },
		{ "hole", { { 1, 2 }, { 5, 6 } }, "1-2 5-6" },
		{ "hole closed", { { 1, 2 }, { 5, 6 }, { 3, 4 } }, "1-6" },
		{ "hole not quite closed", { { 1, 2 }, { 6, 7 }, { 3, 4 } }, "1-4 6-7" },
		{ "inside", { { 1, 9 }, { 3, 4 } }, "1-9" },
		{ "around several",
		  { { 2, 3 }, { 6, 7 }, { 10, 10 }, { 20, 21 }, { 1, 15 } },
		  "1-15 20-21" },
		{ "touching on the left", { { 5, 6 }, { 10, 11 }, { 7, 7 } }, "5-7 10-11" },
		{ "touching on the right", { { 5, 6 }, { 10, 11 }, { 9, 9 } }, "5-6 9-11" },
		{ "between", { { 1, 1 }, { 9, 9 }, { 5, 5 } }, "1-1 5-5 9-9" },
		{ "to the end",
		  { { 1, 1 }, { 5, UINT64_MAX }, { 3, 3 }, { 4, 4 } },
		  "1-1 3-18446744073709551615" },
		{ "twice", { { 4, 4 }, { 4, 4 } }, "4-4" },
	};
	char text[256];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct ranges set = {};

		for (size_t i = 0; i < ARRAY_SIZE(c->added) && c->added[i].from; i++)
			CHECK_EQ(ranges_add(&set, c->added[i].from, c->added[i].to), 0);
		ranges_text(&set, text, sizeof(text));
		CHECK_STR(text, c->result);
		ranges_release(&set);
	}
}

static void ranges_refuse(void **state)
{
	struct ranges set = {}, copy = {};

	(void)state;
	CHECK_EQ(ranges_add(&set, 0, 5), -EINVAL);
	CHECK_EQ(ranges_add(&set, 5, 4), -EINVAL);
	CHECK_EQ(set.count, 0);
	CHECK_EQ(ranges_max(&set), 0);
	CHECK(!ranges_has(&set, 1));
	CHECK_EQ(ranges_next_missing(&set, 1), 1);
	CHECK_EQ(ranges_copy(&copy, &set), 0);
	for (uint64_t i = 1; i <= RANGES_MAX; i++)
		CHECK_EQ(ranges_add(&set, 2 * i, 2 * i), 0);
	CHECK_EQ(ranges_add(&set, 2 * RANGES_MAX + 2, 2 * RANGES_MAX + 2), -EMSGSIZE);
	CHECK_EQ(set.count, RANGES_MAX);
	CHECK_EQ(ranges_reserve(&set, RANGES_MAX + 1), -EMSGSIZE);
	CHECK_EQ(ranges_copy(&copy, &set), 0);
	/* One that needs no room of its own still fits, and makes room. */
	CHECK_EQ(ranges_add(&set, 3, 3), 0);
	CHECK_EQ(set.count, RANGES_MAX - 1);
	CHECK_EQ(copy.count, RANGES_MAX);
	CHECK(!ranges_has(&copy, 3));
	CHECK_EQ(ranges_add(&copy, 1, UINT64_MAX), 0);
	CHECK_EQ(copy.count, 1);
	CHECK_EQ(ranges_next_missing(&copy, 7), 0);
	ranges_clear(&copy);
	CHECK_EQ(copy.count, 0);
	ranges_release(&set);
	ranges_release(&copy);
}

/* Against a set that is one byte per number. */
static void ranges_equal_a_model(void **state)
{
	enum { NUMBERS = 300 };

	(void)state;
	for (unsigned int seed = 1; seed <= 200; seed++) {
		bool model[NUMBERS + 2] = {};
		struct ranges set = {};
		unsigned int random = seed;
		uint64_t max = 0;

		for (int step = 0; step < 60; step++) {
			uint64_t from = 1 + (uint64_t)rand_r(&random) % NUMBERS;
			uint64_t to = from + (uint64_t)rand_r(&random) % 6;

			if (to > NUMBERS)
				to = NUMBERS;
			CHECK_EQ(ranges_add(&set, from, to), 0);
			for (uint64_t i = from; i <= to; i++)
				model[i] = true;
		}
		for (uint64_t i = 1, missing; i <= NUMBERS; i++) {
			CHECK_EQ(ranges_has(&set, i), model[i]);
			for (missing = i; model[missing];)
				missing++;
			CHECK_EQ(ranges_next_missing(&set, i), missing);
			if (model[i])
				max = i;
		}
		CHECK_EQ(ranges_max(&set), max);
		for (uint32_t i = 0; i < set.count; i++)
			CHECK(set.list[i].from <= set.list[i].to &&
			      (!i || set.list[i - 1].to + 1 < set.list[i].from));
		ranges_release(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(agent_ids),
		TEST(identities_are_ordered),
		TEST(names),
		TEST(journal_of_a_stream_is_stable),
		TEST(ranges_merge),
		TEST(ranges_refuse),
		TEST(ranges_equal_a_model),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
