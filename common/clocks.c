/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/clocks.h"

#define READINGS 3

struct clocks_reading clocks_compare(clockid_t clock)
{
	struct clocks_reading best = { .error_ns = UINT64_MAX };
	uint64_t before, error_ns;
	struct timespec ts;

	for (int i = 0; i < READINGS; i++) {
		before = clock_ns(CLOCK_MONOTONIC);
		if (clock_gettime(clock, &ts))
			return best;
		error_ns = (clock_ns(CLOCK_MONOTONIC) - before) / 2;
		if (error_ns >= best.error_ns)
			continue;
		best.ns = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
		best.monotonic_ns = before + error_ns;
		best.error_ns = error_ns;
	}
	return best;
}
