/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/backoff.h"

#include "selftests/unit/check.h"

static void backs_off(void **state)
{
	struct backoff backoff;
	uint64_t delay, most = 0;

	(void)state;
	backoff_init(&backoff, 3, 0, 12345);
	CHECK_EQ(backoff.server, 0);
	CHECK_EQ(backoff_next(&backoff, false), 0);
	CHECK_EQ(backoff.server, 1);
	CHECK_EQ(backoff_next(&backoff, false), 0);
	CHECK_EQ(backoff.server, 2);
	for (unsigned int round = 1; round < 40; round++) {
		delay = backoff_next(&backoff, false);
		CHECK_EQ(backoff.server, 0);
		CHECK(delay >= BACKOFF_MIN_NS);
		CHECK(delay <= MIN(BACKOFF_MAX_NS, BACKOFF_MIN_NS << MIN(round, 20u)));
		most = MAX(most, delay);
		CHECK_EQ(backoff_next(&backoff, false), 0);
		CHECK_EQ(backoff_next(&backoff, false), 0);
	}
	CHECK(most > BACKOFF_MAX_NS / 2);
	CHECK_EQ(backoff_next(&backoff, true), BACKOFF_MIN_NS);
	backoff_reset(&backoff);
	CHECK_EQ(backoff.round, 0);
	backoff_init(&backoff, 1, 5 * NS_PER_MS, 0);
	CHECK_EQ(backoff_next(&backoff, false), 5 * NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(backs_off),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
