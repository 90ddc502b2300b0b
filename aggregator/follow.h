/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows the store's journals as they grow and feeds what is durable to a merge, with the
 * watermarks that the journals do not have yet. Belongs to one thread, its reader's.
 *
 * It has a clock of its own, which stands still while there is something left to read or the store
 * does not take frames: so a stream is silent for the merge when it says nothing, not when nobody
 * listens.
 */
#pragma once

#include "aggregator/checkpoint.h"
#include "aggregator/store.h"
#include "common/merge.h"

struct follow;

struct follow_config {
	struct store *store;
	bool replay;
	uint64_t merge_wait_ns;
	uint64_t merge_memory_bytes;
};

/* from: where to go on, or NULL: at the end of what is durable. Errors are logged. */
int follow_open(struct follow **ret, const struct follow_config *config,
		const struct checkpoint *from) must_check;
void follow_close(struct follow *follow);
/* Reads some: 1 if there is more, 0 if all that was durable when it looked is read. -ENOMEM: it
 * cannot go on, other than from the last checkpoint. */
int follow_read(struct follow *follow) must_check;
struct merge *follow_merge(struct follow *follow);
/* What merge_next() is to be told. */
uint64_t follow_clock(const struct follow *follow);
/* Time stood still for the reader: its output does not move. */
void follow_hold_clock(struct follow *follow);
/*
 * Journals of a checkpoint. Only after merge_next() said that none may leave. -EAGAIN: what lies
 * before the checkpoint that was continued is not read yet, and that one still holds.
 */
int follow_checkpoint(struct follow *follow, struct checkpoint *ret) must_check;
uint64_t follow_behind_bytes(const struct follow *follow);
/* Packets of the frames that were given to the merge. */
uint64_t follow_packets(const struct follow *follow);
/* Bytes that retention or damage took from under it. */
uint64_t follow_missed_bytes(const struct follow *follow);
