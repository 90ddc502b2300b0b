/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the merge reader and its files stood, so that both go on from there after a crash. JSON in
 * STORE/readers/NAME.json. Encoding is sans-I/O; a checkpoint belongs to whoever embeds it.
 *
 * All of a journal's frames before `low` have left the merge. Of those between low and read, the
 * packets up to and including the key have; of those from read on, none.
 */
#pragma once

#include "aggregator/store.h"
#include "common/capture.h"
#include "common/merge.h"

/* The main one, and those of late packets and other link types. */
#define CHECKPOINT_FILES_MAX 17

/* A stream that the merge waits for. */
struct checkpoint_stream {
	uint32_t number; /* in its journal */
	struct stream_id id;
};

struct checkpoint_journal {
	uint64_t low, read;
	struct checkpoint_stream *live;
	uint32_t live_count;
};

struct checkpoint_file {
	bool is_late;
	int link_type_suffix; /* -1: none, see output_side_path() */
	bool is_begun;
	uint16_t link_type;
	uint32_t interface_count;
	uint64_t offset;
};

struct checkpoint {
	char *output; /* path of the main file */
	enum capture_format format;
	bool replay;
	bool has_key;
	struct merge_key key;
	uint64_t packets, late_packets; /* written so far */
	struct checkpoint_journal journals[STORE_JOURNALS_MAX];
	uint32_t journal_count;
	struct checkpoint_file files[CHECKPOINT_FILES_MAX];
	uint32_t file_count;
};

void checkpoint_release(struct checkpoint *checkpoint);
/* JSON text for free(); NULL: no memory. */
char *checkpoint_encode(const struct checkpoint *checkpoint) must_check;
/* -EBADMSG: not a checkpoint. */
int checkpoint_decode(struct checkpoint *ret, const char *text, size_t len) must_check;
/*
 * Name of the checkpoint of an output file, the same for each way to write its path: "NAME-HASH".
 * The folder must exist.
 */
int checkpoint_name(char *ret, size_t size, const char *output) must_check;
/* -ENOENT: there is none. */
int checkpoint_load(struct checkpoint *ret, const struct store *store, const char *name) must_check;
int checkpoint_save(const struct checkpoint *checkpoint, const struct store *store,
		    const char *name) must_check;
