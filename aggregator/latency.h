/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A histogram of delays, exact to an eighth, of packets weighed by the frame they came in. Counts
 * belong to one thread; latency_add_to() may read them from any other (relaxed atomics).
 */
#pragma once

#include <stdint.h>

#include "common/util.h"

#define LATENCY_BUCKETS (62 * 8)

struct latency {
	uint64_t counts[LATENCY_BUCKETS];
	uint64_t total;
};

void latency_count(struct latency *latency, uint64_t delay_ns, uint64_t packets);
/* The packets of a frame, between first_ns and last_ns, became durable at now_ns (UTC). */
void latency_count_frame(struct latency *latency, uint64_t now_ns, uint64_t first_ns,
			 uint64_t last_ns, uint32_t packets);
void latency_add_to(struct latency *sum, const struct latency *latency);
/* The delay that share (0 .. 1) of the packets do not exceed, by its bucket's upper end; 0 if
 * there are none. */
uint64_t latency_percentile_ns(const struct latency *latency, double share);
