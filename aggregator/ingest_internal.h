/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between ingest.c (the worker), ingest_stream.c and connection.c. The worker's thread. */
#pragma once

#include <pthread.h>

#include "aggregator/inbound.h"
#include "aggregator/ingest.h"

/* Refused frames of a stream that are remembered, see stream_set_refused(). */
#define STREAM_REFUSED_MAX 64

/* A stream of this journal that was opened since the start. */
struct stream {
	struct store_stream info;
	uint32_t place; /* on the store's board */
	struct connection *connection;
	uint32_t wire_number;	     /* on that connection */
	struct stream *next_changed; /* the worker's lists; a stream is in each once */
	struct stream *next_ack;
	bool changed, ack_due;
	/*
	 * Sequences that were refused and have not come again. A MARK counts on everything sent
	 * before it having been taken: while there are any, it says nothing.
	 */
	uint64_t refused[STREAM_REFUSED_MAX];
	uint32_t refused_count;
	bool refused_overflow;
	/*
	 * The lowest sequence that the store did not take, or 0: none above it is taken before it,
	 * as readers count on a stream being in order.
	 */
	uint64_t resume_at;
};

struct connection {
	struct peer peer;
	struct ingest *ingest;
	struct connection *next, *previous;
	struct connection *next_paused, *next_flush;
	struct inbound in;
	struct stream **streams; /* by their number on the wire */
	uint32_t stream_room;
	bool paused; /* the journal had no room for the frame in `in` */
	bool flush_due;
	bool ending;
};

/* A frame that is appended and not yet durable. */
struct pending {
	uint64_t end; /* position in the journal */
	struct stream *stream;
	uint64_t sequence;
	uint64_t first_ns, last_ns;
	uint64_t packets, wire_packets; /* of a LOSS frame those that it declares lost */
	uint32_t len;
	uint8_t lost; /* LOSS: 1 + place in store_stream.lost; else 0 */
};

struct ingest {
	struct ingest_config config;
	struct loop *loop;
	struct journal *journal;
	struct peer_pool *pool;
	struct connection *connections, *paused, *flush_list;
	struct stream **streams; /* by their number in the journal */
	uint32_t stream_room;
	struct stream *changed, *ack_list;
	struct pending *pending; /* a ring, capacity a power of two */
	uint32_t pending_head, pending_count, pending_capacity;
	uint8_t **frames; /* spare frame buffers */
	uint32_t spare_frames;
	struct store_journal state;
	bool state_changed, wake_due;
	bool room; /* something was committed: paused connections may go on */
	bool watermarks_changed;
	bool stopping;
	struct loop_timer second, ack_timer;
	uint64_t acked_ns; /* when ACKs were sent last */
	struct journal_watermark *watermarks;
	uint32_t watermark_room;
	uint64_t failure_logged_ns, failures_since;
	struct latency latency;
	struct refusals refusals;
	struct log_budget loss_budget;

	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed_state;
	struct arrival *arrivals, **arrivals_end;
	bool ready; /* the journal is open, or err tells why not */
	bool open;  /* the loop takes events */
	bool ending;
	int err;
	struct loop_event event;
};

/* ingest.c */

uint8_t *ingest_take_frame_buffer(struct ingest *ingest);
void ingest_return_frame_buffer(struct ingest *ingest, uint8_t *frame);

/* ingest_stream.c */

/* The stream of this journal, made if need be. */
int ingest_stream(struct ingest *ingest, const struct stream_id *id,
		  struct stream **ret) must_check;
void stream_set_changed(struct ingest *ingest, struct stream *stream);
void stream_set_ack_due(struct ingest *ingest, struct stream *stream);
void stream_set_refused(struct stream *stream, uint64_t sequence);
void stream_set_resume_at(struct stream *stream, uint64_t sequence);
void stream_set_accepted(struct stream *stream, uint64_t sequence);
/* What journal_append() says; -EBADMSG: a LOSS frame that makes no sense; -ESTALE: an earlier one
 * has to come first. */
int ingest_append(struct ingest *ingest, struct stream *stream, const struct frame_header *header,
		  const uint8_t *frame, size_t len) must_check;
/* The store does not take frames: counted, logged once a minute. */
void ingest_store_failed(struct ingest *ingest, int err);
/* See struct journal_config. */
void ingest_committed(void *context, uint64_t position, int err);

/* connection.c */

/* Takes the arrival over. */
void connection_begin(struct ingest *ingest, struct arrival *arrival);
/* Goes on with the frames that have come. */
void connection_drain(struct connection *connection);
/* Sends what is due and ends the connection. */
void connection_end(struct connection *connection);
void connection_nack(struct connection *connection, struct stream *stream, uint64_t sequence,
		     enum nack_reason reason);
/* false: what was sent before has not left yet. */
bool connection_ack(struct connection *connection, struct stream *stream);
