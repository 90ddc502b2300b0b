/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a stream is, everywhere: (agent, instance, lane), and the set of sequence numbers of one
 * that are durable. Sans-I/O; a set belongs to whoever embeds it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"

#define AGENT_ID_MAX 64 /* [a-z0-9._-]{1,64} */
#define INSTANCE_LEN 16

struct stream_id {
	char agent[AGENT_ID_MAX + 1];
	uint8_t instance[INSTANCE_LEN]; /* random, per start of the sender's journal */
	uint32_t lane;
	bool replay; /* carries recorded times */
};

bool agent_id_valid(const char *id);
bool stream_id_equal(const struct stream_id *a, const struct stream_id *b);
/* By agent, instance, lane, replay: <0, 0, >0. */
int stream_id_compare(const struct stream_id *a, const struct stream_id *b);
/* "AGENT/LANE@INSTANCE" with the instance's first 8 hex digits, for logs. */
#define STREAM_NAME_LEN (AGENT_ID_MAX + 32)
const char *stream_name(const struct stream_id *id, char out[STREAM_NAME_LEN]);
/*
 * Which of count journals the stream is kept in: a hash of agent and lane. The instance is left
 * out, so that what an agent sends after a restart follows what it sent before.
 */
uint32_t stream_journal(const struct stream_id *id, uint32_t count);

/* Closed interval of sequence numbers, 1 <= from <= to. */
struct range {
	uint64_t from, to;
};

/* Disjoint, not adjacent, ascending. Zero-initialised is the empty set. */
struct ranges {
	struct range *list;
	uint32_t count, capacity;
};

#define RANGES_MAX 65536 /* per stream; a peer that makes more holes is refused */

void ranges_release(struct ranges *set);
void ranges_clear(struct ranges *set);
/* Room for count ranges: until there are more, adding and copying cannot fail. */
int ranges_reserve(struct ranges *set, uint32_t count) must_check;
/* -EINVAL: from is 0 or above to; -ENOMEM; -EMSGSIZE: RANGES_MAX. The set is as before then. */
int ranges_add(struct ranges *set, uint64_t from, uint64_t to) must_check;
int ranges_copy(struct ranges *to, const struct ranges *from) must_check;
bool ranges_has(const struct ranges *set, uint64_t sequence);
/* The first number >= sequence that is not in the set; 0 if there is none. */
uint64_t ranges_next_missing(const struct ranges *set, uint64_t sequence);
/* Highest number in the set; 0 if it is empty. */
uint64_t ranges_max(const struct ranges *set);
