/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xcap-aggregator can be told: the table of its options, their values, what they rule out. */
#pragma once

#include "common/capture.h"
#include "common/config.h"
#include "common/log.h"

struct aggregator_options {
	/* agents */
	struct config_list listen; /* HOST:PORT */
	const char *ca, *cert, *key;
	uint64_t ingest_memory_bytes;

	/* store */
	const char *store;
	uint64_t workers; /* 0: automatic; that of the store if it is there */
	uint64_t segment_bytes;

	/* merged output */
	const char *write; /* "-": standard output; NULL: none */
	int format;	   /* enum capture_format */
	bool replay;
	uint64_t merge_wait_ns;
	uint64_t merge_memory_bytes;

	/* instance */
	const char *name;
	const char *run_dir;

	/* reports and configuration */
	uint64_t stats_ns; /* 0: none; see aggregator_options_stats() */
	int log_level;	   /* enum log_level */
	const char *config;
	bool print_config, check_config;
};

extern const struct config_program aggregator_program;

/* Also called by config_parse(). 0, or -EINVAL and what contradicts what. */
int aggregator_options_check(const struct aggregator_options *options, char error[256]) must_check;
/* The interval of --stats; where nothing was said, the usual one if stderr is a terminal. 0: none.
 */
uint64_t aggregator_options_stats(const struct aggregator_options *options,
				  const struct config *config, bool is_terminal);
