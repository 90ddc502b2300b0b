/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one clock shows when CLOCK_MONOTONIC shows something. Any thread; no state. */
#pragma once

#include <time.h>

#include "common/util.h"

struct clocks_reading {
	uint64_t ns;	       /* the clock's */
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC then ... */
	uint64_t error_ns;     /* ... give or take; UINT64_MAX: the clock cannot be read */
};

/* The closest of a few readings. */
struct clocks_reading clocks_compare(clockid_t clock);
