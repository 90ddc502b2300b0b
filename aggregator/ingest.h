/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ingest worker: a thread with a loop, one journal, and the connections whose streams are kept
 * there. Frames are checked, appended and made durable in groups, then acknowledged. The calls
 * below are any thread's; all else is the worker's.
 */
#pragma once

#include "aggregator/latency.h"
#include "aggregator/listener.h"
#include "aggregator/refusal.h"
#include "aggregator/store.h"

struct ingest;

struct ingest_config {
	struct store *store;
	uint32_t journal;
	uint64_t segment_bytes;
	uint64_t buffer_bytes; /* of the journal */
	uint64_t memory_bytes; /* credit of all connections together */
	uint32_t *connections; /* see struct listener_config */
	/* The worker cannot go on; called on its thread. */
	void (*failed)(void *context, int err);
	void *context;
};

/* Starts the thread. */
int ingest_create(struct ingest **ret, const struct ingest_config *config) must_check;
/* Waits until the journal is recovered and open: 0, or the error (-EBUSY: in use). */
int ingest_wait_ready(struct ingest *ingest) must_check;
/* Takes the arrival over. */
void ingest_hand_over(struct ingest *ingest, struct arrival *arrival);
/* Begins the end: take no more, commit, acknowledge, close. */
void ingest_end(struct ingest *ingest);
void ingest_wait_ended(struct ingest *ingest);
/* After ingest_end() and waiting for it, which it does itself if need be. */
void ingest_destroy(struct ingest *ingest);

void ingest_add_latency(const struct ingest *ingest, struct latency *sum);
const struct refusals *ingest_refusals(const struct ingest *ingest);
/* What a connection may have unacknowledged, of memory_bytes for all. */
uint64_t ingest_credit(uint64_t memory_bytes, uint32_t connections);
