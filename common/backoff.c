/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/backoff.h"

#define ROUND_MAX 20 /* doublings, well beyond every max_ns */

void backoff_init(struct backoff *backoff, unsigned int server_count, uint64_t max_ns,
		  uint64_t seed)
{
	*backoff = (struct backoff){
		.server_count = server_count,
		.max_ns = max_ns ? max_ns : BACKOFF_MAX_NS,
		.random = seed ? seed : 1,
	};
}

void backoff_reset(struct backoff *backoff)
{
	backoff->server = 0;
	backoff->round = 0;
}

/* xorshift64: it only has to spread the reconnects of a fleet. */
static uint64_t random_below(struct backoff *backoff, uint64_t limit)
{
	backoff->random ^= backoff->random << 13;
	backoff->random ^= backoff->random >> 7;
	backoff->random ^= backoff->random << 17;
	return limit ? backoff->random % limit : 0;
}

uint64_t backoff_next(struct backoff *backoff, bool hurry)
{
	uint64_t least = MIN(BACKOFF_MIN_NS, backoff->max_ns), most;

	if (++backoff->server < backoff->server_count)
		return 0;
	backoff->server = 0;
	backoff->round = MIN(backoff->round + 1, ROUND_MAX);
	most = hurry ? least : MIN(backoff->max_ns, least << backoff->round);
	return least + random_below(backoff, most - least + 1);
}
