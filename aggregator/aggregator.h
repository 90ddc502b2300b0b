/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xcap-aggregator, composed: the main thread listens, answers on the control socket and prints
 * statistics; each journal of the store has an ingest worker; one reader merges. All calls are the
 * main thread's.
 */
#pragma once

#include "aggregator/ingest.h"
#include "aggregator/options.h"
#include "aggregator/reader_pcapng.h"
#include "common/control.h"

struct aggregator {
	const struct aggregator_options *options;
	struct loop *loop;
	struct loop_signal signals;
	struct loop_event event; /* a worker or the reader has ended */
	struct loop_timer stats;
	struct tls_context *tls;
	struct addr_list addresses;
	struct store *store;
	struct ingest *workers[STORE_JOURNALS_MAX];
	uint32_t worker_count;
	struct reader_pcapng *reader;
	struct listener *listener;
	struct control *control;
	char host[256];
	uint32_t connections; /* atomic */
	uint64_t started_ns;
	bool stopping;
	int failure;	   /* of a worker or the reader; atomic */
	bool reader_ended; /* atomic */
	struct aggregator_sums {
		uint64_t packets, bytes, streams, lost, stored_bytes, late, when_ns;
	} last;
};

/* Exit code: 0, or what the message that was logged stands for. */
int aggregator_create(struct aggregator **ret, const struct aggregator_options *options);
/* Until a signal, or a failure; then everything ends in order. Exit code. */
int aggregator_run(struct aggregator *aggregator);
void aggregator_destroy(struct aggregator *aggregator);

/* commands.c */

json_t *aggregator_status(struct aggregator *aggregator);
/* One line on standard error: totals, and rates since the last one. */
void aggregator_print_stats(struct aggregator *aggregator);
extern const struct control_command aggregator_commands[];
extern const size_t aggregator_command_count;
