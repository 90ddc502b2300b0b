/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The streams of one journal by number, and which of their sequences it holds. Belongs to the
 * journal that embeds it. A number whose identity was lost to damage stays taken, with an empty
 * agent: frames on the disk bear it.
 */
#pragma once

#include "common/frame.h"
#include "common/segment.h"

struct stream_entry {
	struct stream_id id;
	/*
	 * durable is always what appended was at an earlier time, and has room for as many ranges
	 * as appended ever had: bringing it up to date cannot fail, nor can going back to it.
	 */
	struct ranges appended, durable;
	/*
	 * How often its identity is in the segment appended to, or before. Twice is enough: one may
	 * be damaged before the head of a further segment repeats it.
	 */
	uint8_t times_recorded;
};

struct stream_table {
	struct stream_entry **list;
	uint64_t *hashes; /* of the identities, to find one without a look at each */
	uint32_t count, capacity;
};

void stream_table_release(struct stream_table *table);
/* Its number, or -ENOENT. */
int64_t stream_table_find(const struct stream_table *table, const struct stream_id *id) must_check;
/* Its number, -ENOMEM, or -EMSGSIZE: SEGMENT_STREAMS_MAX. */
int64_t stream_table_add(struct stream_table *table, const struct stream_id *id) must_check;

/* All numbers below count are taken. */
int stream_table_reserve(struct stream_table *table, uint32_t count) must_check;
/* The identity of a number as read from the disk. Another one than before starts without ranges. */
int stream_table_set(struct stream_table *table, uint32_t number,
		     const struct stream_id *id) must_check;

/* The sequences that having this frame settles: its own, or all that a LOSS declares. */
struct range frame_range(const struct frame_header *header, const uint8_t *payload);
/* Adds to appended; durable stays. -ENOMEM; -EMSGSIZE: too many holes. */
int stream_entry_append(struct stream_entry *entry, const struct range *range) must_check;
/* The same range, in the same order as it was appended. */
void stream_entry_commit(struct stream_entry *entry, const struct range *range);
/* Everything appended is durable, or what is not is gone. */
int stream_entry_commit_all(struct stream_entry *entry) must_check;
void stream_entry_revert(struct stream_entry *entry);
