/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/latency.h"

/* Points between a frame's first and last packet that stand for all of them. */
#define POINTS 8

/* Buckets 0 to 7 hold one value each; above, each power of two has eight. */
static unsigned int bucket_of(uint64_t value)
{
	unsigned int power;

	if (value < 8)
		return (unsigned int)value;
	power = 63 - (unsigned int)__builtin_clzll(value);
	return (power - 2) * 8 + (unsigned int)(value >> (power - 3) & 7);
}

/* The largest value of the bucket. */
static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int power = bucket / 8 + 2;

	if (bucket < 8)
		return bucket;
	return ((uint64_t)(8 + bucket % 8 + 1) << (power - 3)) - 1;
}

void latency_count(struct latency *latency, uint64_t delay_ns, uint64_t packets)
{
	uint64_t *count = &latency->counts[bucket_of(delay_ns)];

	__atomic_store_n(count, *count + packets, __ATOMIC_RELAXED);
	__atomic_store_n(&latency->total, latency->total + packets, __ATOMIC_RELAXED);
}

void latency_count_frame(struct latency *latency, uint64_t now_ns, uint64_t first_ns,
			 uint64_t last_ns, uint32_t packets)
{
	uint64_t span = last_ns > first_ns ? last_ns - first_ns : 0, point, share;

	for (uint64_t i = 0; i < POINTS; i++) {
		share = packets * (i + 1) / POINTS - packets * i / POINTS;
		if (!share)
			continue;
		point = first_ns + span / (POINTS - 1) * i;
		latency_count(latency, now_ns > point ? now_ns - point : 0, share);
	}
}

void latency_add_to(struct latency *sum, const struct latency *latency)
{
	uint64_t count;

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		count = __atomic_load_n(&latency->counts[i], __ATOMIC_RELAXED);
		sum->counts[i] += count;
		sum->total += count;
	}
}

uint64_t latency_percentile_ns(const struct latency *latency, double share)
{
	uint64_t seen = 0, wanted = (uint64_t)(share * (double)latency->total);

	if (!latency->total)
		return 0;
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		seen += latency->counts[i];
		if (seen > wanted || seen == latency->total)
			return bucket_end(i);
	}
	return 0;
}
