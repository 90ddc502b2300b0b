/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/latency.h"

#include <stdlib.h>

#include "selftests/unit/check.h"

static void percentiles(void **state)
{
	static const struct {
		const char *name;
		double share;
		uint64_t at_least, at_most; /* ns */
	} cases[] = {
		{ "lowest", 0, 1000, 1125 },
		{ "median", 0.5, 500000, 570000 },
		{ "p95", 0.95, 950000, 1070000 },
		{ "highest", 1, 1000000, 1125000 },
	};
	struct latency *latency = calloc(1, sizeof(*latency));

	(void)state;
	assert_non_null(latency);
	CHECK_EQ(latency_percentile_ns(latency, 0.5), 0);
	for (uint64_t i = 1; i <= 1000; i++)
		latency_count(latency, i * 1000, 3);
	CHECK_EQ(latency->total, 3000);
	FOR_EACH_CASE (c, cases) {
		CHECK(latency_percentile_ns(latency, c->share) >= c->at_least);
		CHECK(latency_percentile_ns(latency, c->share) <= c->at_most);
	}
	free(latency);
}

/* Every value is in a bucket whose end is at most an eighth above it. */
static void buckets(void **state)
{
	struct latency *latency = calloc(1, sizeof(*latency));
	uint64_t value, end;

	(void)state;
	assert_non_null(latency);
	for (unsigned int shift = 0; shift < 64; shift++) {
		for (int step = -1; step <= 1; step++) {
			value = (1ull << shift) + (uint64_t)step;
			memset(latency, 0, sizeof(*latency));
			latency_count(latency, value, 1);
			end = latency_percentile_ns(latency, 1);
			CHECK(end >= value);
			CHECK(end - value <= value / 8);
		}
	}
	latency_count(latency, UINT64_MAX, 1);
	CHECK_EQ(latency_percentile_ns(latency, 1), UINT64_MAX);
	free(latency);
}

static void frames(void **state)
{
	static const struct {
		const char *name;
		uint64_t now, first, last;
		uint32_t packets;
		uint64_t low, high; /* what the first and the last packet come to */
	} cases[] = {
		{ "one packet", 5000, 1000, 1000, 1, 4000, 4000 },
		{ "seven", 5000, 1000, 4500, 7, 500, 4000 },
		{ "many", 5000, 1000, 4500, 1001, 500, 4000 },
		{ "clocks differ", 5000, 9000, 9500, 10, 0, 0 },
		{ "damaged order", 5000, 4000, 1000, 8, 1000, 1000 },
	};
	struct latency *latency = calloc(1, sizeof(*latency));

	(void)state;
	assert_non_null(latency);
	FOR_EACH_CASE (c, cases) {
		memset(latency, 0, sizeof(*latency));
		latency_count_frame(latency, c->now, c->first, c->last, c->packets);
		CHECK_EQ(latency->total, c->packets);
		CHECK(latency_percentile_ns(latency, 0) >= c->low);
		CHECK(latency_percentile_ns(latency, 0) <= c->high + c->high / 8);
		CHECK(latency_percentile_ns(latency, 1) <= c->high + c->high / 8);
	}
	free(latency);
}

static void summed(void **state)
{
	struct latency *one = calloc(1, sizeof(*one)), *sum = calloc(1, sizeof(*sum));

	(void)state;
	assert_non_null(one);
	assert_non_null(sum);
	latency_count(one, 100, 2);
	latency_add_to(sum, one);
	latency_add_to(sum, one);
	CHECK_EQ(sum->total, 4);
	CHECK(latency_percentile_ns(sum, 1) >= 100);
	free(one);
	free(sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(percentiles),
		TEST(buckets),
		TEST(frames),
		TEST(summed),
	};

	return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
