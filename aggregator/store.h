/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store: a directory with store.json (version and number of journals, fixed when it is made),
 * a folder per journal and one for the readers' checkpoints; and what the journals' writers tell
 * the rest of the program about them. Each journal has one writer, a worker's thread, which
 * publishes at the end of a turn; reading and status are any thread's.
 */
#pragma once

#include "common/addr.h"
#include "common/journal.h"
#include "common/message.h"

#define STORE_JOURNALS_MAX 64
#define STORE_ERROR_LEN 512

/* What is known of a stream that was opened since the start. */
struct store_stream {
	struct stream_id id;
	uint32_t number; /* in its journal */
	bool connected;
	bool ended; /* by BYE */
	char address[ADDR_TEXT_LEN];
	/* By MARK: nothing older will follow, once the journal was read up to `position`, where the
	 * stream's last frame ends. */
	uint64_t watermark_ns, position;
	uint64_t latest_watermark_ns; /* by MARK or frame */
	uint64_t durable_sequence;
	uint64_t frames, packets, wire_packets, bytes, duplicates, nacks;
	uint64_t lost[LOSS_REASON_COUNT + 1]; /* packets; the last for reasons not known here */
};

struct store_journal {
	struct journal_stats stats;
	struct journal_recovery recovery;
	bool failing; /* what came last could not be stored */
};

struct store;

/*
 * Makes the store if there is none, with so many journals. On failure error says what, on which
 * path, and why; -EBADMSG: store.json is not one of ours.
 */
int store_open(struct store **ret, const char *dir, uint32_t journals,
	       char error[STORE_ERROR_LEN]) must_check;
/* After its workers and readers. */
void store_close(struct store *store);
const char *store_dir(const struct store *store);
uint32_t store_journal_count(const struct store *store);
const char *store_journal_dir(const struct store *store, uint32_t journal);
/* Replaces dir/name by the text, durably, or leaves it as it is. */
int store_write_file(const char *dir, const char *name, const char *text) must_check;

/*
 * For the journal's writer. A stream is known by its place in the list of this journal's streams; a
 * new one goes to its end.
 */
int store_add_stream(struct store *store, uint32_t journal, const struct store_stream *stream,
		     uint32_t *ret) must_check;
void store_set_stream(struct store *store, uint32_t journal, uint32_t place,
		      const struct store_stream *stream);
void store_set_journal(struct store *store, uint32_t journal, const struct store_journal *state);
/* After what may interest readers. */
void store_wake_reader(struct store *store);

/* For readers. The event that wakes the reader; NULL: none. */
void store_watch(struct store *store, struct loop_event *event);
void store_get_journal(struct store *store, uint32_t journal, struct store_journal *ret);

struct store_stream_list {
	struct store_stream *list;
	uint32_t count, capacity;
};

/* Streams that changed since *version (0: all) replace what is in the list; *version moves on. */
int store_changed_streams(struct store *store, uint32_t journal, uint64_t *version,
			  struct store_stream_list *list) must_check;
