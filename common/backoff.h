/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which server to try next, and when: all of them in order without delay, then again after an
 * exponential delay with jitter. Sans-I/O.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"

#define BACKOFF_MIN_NS NS_PER_SEC
#define BACKOFF_MAX_NS (20 * NS_PER_SEC)

struct backoff {
	unsigned int server_count, server; /* the one to try */
	unsigned int round;		   /* how often all of them have failed */
	uint64_t max_ns, random;
};

/* max_ns: 0 for BACKOFF_MAX_NS. seed: any. */
void backoff_init(struct backoff *backoff, unsigned int server_count, uint64_t max_ns,
		  uint64_t seed);
/* A connection that had been of use ended: the first server again, at once. */
void backoff_reset(struct backoff *backoff);
/* The attempt failed: the delay before the next, which is to backoff->server. */
uint64_t backoff_next(struct backoff *backoff, bool hurry);
