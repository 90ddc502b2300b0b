/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/clocks.h"

#include <stdlib.h>

#include "selftests/unit/check.h"

static void a_clock_is_read_beside_the_monotonic_one(void **state)
{
	uint64_t before = clock_ns(CLOCK_MONOTONIC);
	struct clocks_reading utc = clocks_compare(CLOCK_REALTIME);
	struct clocks_reading same = clocks_compare(CLOCK_MONOTONIC);
	uint64_t after = clock_ns(CLOCK_MONOTONIC);

	(void)state;
	CHECK(utc.monotonic_ns >= before && utc.monotonic_ns <= after);
	CHECK(utc.ns > 1700000000 * NS_PER_SEC);
	CHECK(utc.error_ns <= after - before);
	CHECK(same.monotonic_ns <= same.ns + same.error_ns);
	CHECK(same.ns <= same.monotonic_ns + same.error_ns + 1);
}

static void a_clock_that_is_none_is_told(void **state)
{
	(void)state;
	CHECK_EQ(clocks_compare((clockid_t)12345).error_ns, UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_clock_is_read_beside_the_monotonic_one),
		TEST(a_clock_that_is_none_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
