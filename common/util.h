/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things every file needs. No state. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Each argument is evaluated once: it may be a call, or an atomic that others change. */
#ifndef __CPPCHECK__ /* does not understand it */
#define MIN(a, b) CHOOSE_ONCE(a, <, b, __COUNTER__)
#define MAX(a, b) CHOOSE_ONCE(a, >, b, __COUNTER__)
#define CHOOSE_ONCE(a, op, b, id) CHOOSE_NAMED(a, op, b, id)
#define CHOOSE_NAMED(a, op, b, id)                                              \
	({                                                                      \
		__typeof__(1 ? (a) : (b)) choose_a_##id = (a);                  \
		__typeof__(1 ? (a) : (b)) choose_b_##id = (b);                  \
		choose_a_##id op choose_b_##id ? choose_a_##id : choose_b_##id; \
	})
#else
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define must_check __attribute__((warn_unused_result))
#define printf_like(at, first) __attribute__((format(printf, at, first)))

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

/* power: a power of two. */
static inline size_t align_up(size_t value, size_t power)
{
	return (value + power - 1) & ~(power - 1);
}

/* Nanoseconds on clock, e.g. CLOCK_MONOTONIC. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}
