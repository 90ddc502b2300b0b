/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many lines a kind of event may still log, so that no peer fills the log: 30 at once, one more
 * every two seconds; the rest is counted for the next line. Belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"

#define LOG_BUDGET_LINES 30u
#define LOG_BUDGET_EVERY_NS (2 * NS_PER_SEC)

/* Zero-initialised is full. */
struct log_budget {
	uint64_t refilled_ns, spent, suppressed;
};

/* May a line be logged? now_ns: CLOCK_MONOTONIC. *suppressed: how many were not since the last. */
static inline bool log_budget_take(struct log_budget *budget, uint64_t now_ns, uint64_t *suppressed)
{
	uint64_t lines = (now_ns - budget->refilled_ns) / LOG_BUDGET_EVERY_NS;

	budget->refilled_ns += lines * LOG_BUDGET_EVERY_NS;
	budget->spent -= MIN(budget->spent, lines);
	if (budget->spent >= LOG_BUDGET_LINES) {
		budget->suppressed++;
		return false;
	}
	budget->spent++;
	*suppressed = budget->suppressed;
	budget->suppressed = 0;
	return true;
}
