/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The merge reader: a thread that follows the journals and writes all packets in time order to a
 * file or standard output, as pcapng or PCAP. Late packets and those of other link types go to
 * files beside it. A file has a checkpoint every second: after a crash it is cut there and
 * continued. The calls are any thread's.
 */
#pragma once

#include "aggregator/store.h"
#include "common/capture.h"

struct reader_pcapng;

struct reader_pcapng_config {
	struct store *store;
	const char *path; /* "-": standard output */
	enum capture_format format;
	bool replay;
	uint64_t merge_wait_ns;
	uint64_t merge_memory_bytes;
	/* It has ended: as it was told to (0), or by itself (-EPIPE: nobody reads the output).
	 * Called on its thread. */
	void (*ended)(void *context, int err);
	void *context;
};

struct reader_pcapng_status {
	uint64_t packets, late_packets; /* in the files, with those of earlier runs */
	uint64_t dropped_packets;
	uint64_t offset; /* written */
	uint64_t behind_bytes, missed_bytes, waiting_packets;
	uint64_t streams, streams_left_out, damaged_frames;
	uint64_t watermark_ns;
	uint64_t checkpoints;
	bool blocked; /* the output cannot be written */
};

/*
 * Starts the thread, which begins where the journals are durable now, or at its checkpoint: once
 * their workers are ready. It wakes up by store_watch(). Errors are logged; -EINVAL: the file was
 * begun in another way.
 */
int reader_pcapng_create(struct reader_pcapng **ret,
			 const struct reader_pcapng_config *config) must_check;
/* Writes what may leave, and a last checkpoint; the workers have ended. */
void reader_pcapng_end(struct reader_pcapng *reader);
/* Gives up waiting for a slow output. */
void reader_pcapng_abort(struct reader_pcapng *reader);
/* Ends, waits for it: 0 or the error it ended with. */
int reader_pcapng_destroy(struct reader_pcapng *reader);
void reader_pcapng_get_status(struct reader_pcapng *reader, struct reader_pcapng_status *ret);
