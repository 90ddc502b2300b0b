/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a journal does before it is written to: finds out which frames it holds, cuts a torn end
 * and makes what is left durable. Blocks; the directory is locked by the caller.
 */
#pragma once

#include "common/journal.h"
#include "common/stream_table.h"

/* streams: empty before, with all that is durable after. *position: where the next segment begins.
 * -EPROTONOSUPPORT: written by a later version. */
int journal_recover(int dir_fd, struct stream_table *streams, struct journal_recovery *recovery,
		    uint64_t *position) must_check;
/* Ends a segment file at offset with its seal, durably; without one where there is no room. */
int journal_seal_file(int fd, const struct segment_seal *seal, uint64_t offset,
		      uint64_t *size) must_check;
