/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One time-ordered sequence of packets out of many streams. Sans-I/O: it is told of frames and
 * watermarks and given a way to load a frame's bytes; it belongs to one thread. It serves the
 * aggregator's merge reader, `xcapd -w` and `xcapctl cat`, hence common/.
 *
 * A packet leaves when every stream that counts has a watermark at or above its time; at it only
 * if nothing that this stream may still send sorts before. Ties: agent, instance, lane, sequence,
 * index. So the order depends on nothing but the packets, as long as streams keep what their
 * watermarks say. Which streams count: common/merge_streams.h. A packet that sorts before one that
 * has left is late and leaves at once.
 *
 * It holds frames (positions, and bytes within memory_bytes), not packets: of frames beyond that
 * only the position is kept and the bytes are loaded when their time comes.
 */
#pragma once

#include "common/frame.h"
#include "common/pcapng.h"
#include "common/stream.h"

struct merge;

struct merge_ops {
	/*
	 * The frame (header and payload) of this journal and position again, into buf
	 * (FRAME_LEN_MAX bytes): its length or a negative errno (counted as a damaged frame).
	 */
	int (*load)(void *context, uint32_t journal, uint64_t position, uint8_t *buf);
	/* A stream is left out from here on, or counts again; may be NULL. Only tells: no call of
	 * the merge from here. */
	void (*left_out)(void *context, uint32_t stream, bool is_left_out);
};

/* With so many frames waiting the slowest stream is left out. */
#define MERGE_FRAMES_MAX (1u << 20)

struct merge_config {
	const struct merge_ops *ops; /* NULL, or without load: every frame is held as bytes */
	void *context;
	uint64_t merge_wait_ns; /* a stream that says nothing for so long is left out; 0: 10 s */
	uint64_t memory_bytes;	/* frames held as bytes; 0: 256 MiB */
	bool replay;		/* take replayed streams and no live ones, or the other way round */
	/*
	 * The frames' bytes stay the caller's and are held good (no CRC is looked at). They are no
	 * longer needed once merge_low_position() is above them, but for the packet given last.
	 */
	bool borrows;
};

/* Where a packet stands in the order. */
struct merge_key {
	uint64_t time_ns;
	struct stream_id stream;
	uint64_t sequence;
	uint32_t index; /* in the frame's own order */
};

struct merge_packet {
	struct merge_key key;
	const struct pcapng_interface *interface;
	struct pcapng_packet packet; /* data valid until the next call on the merge */
	const uint8_t *block;	     /* its EPB in the frame, as long as packet.data */
	bool is_late;		     /* older than what has left already: not for the main output */
};

/* Numbers of an interface that a frame tells; may come twice. */
typedef void merge_statistics_fn(void *context, const struct stream_id *stream,
				 const struct pcapng_interface *interface,
				 const struct pcapng_statistics *statistics);

struct merge_stats {
	uint64_t packets, late_packets, damaged_frames, damaged_packets, frames_waiting, bytes_held;
	uint64_t streams, reloads;
	uint64_t streams_left_out, times_left_out; /* at this time, and ever */
	uint64_t watermark_ns;			   /* everything up to here has left */
};

int merge_create(struct merge **ret, const struct merge_config *config) must_check;
void merge_destroy(struct merge *merge);

/*
 * Called by merge_next() when it comes to a frame with numbers, before its packets, or without any.
 * No call of the merge from there.
 */
void merge_on_statistics(struct merge *merge, merge_statistics_fn *told, void *context);

/*
 * Number for a stream; the same for one that is known. A stream of the other kind (replay) gets
 * -EXDEV: its frames are not to be added. A stream joins at the current watermark. -EMSGSIZE:
 * MERGE_STREAMS_MAX.
 */
int merge_stream(struct merge *merge, const struct stream_id *id, uint32_t *ret) must_check;
/*
 * A frame of the stream, in the order of the journal: packets, BYE (the stream ends) or any other
 * (its watermark counts). now_ns: CLOCK_MONOTONIC. frame: header and payload, copied if there is
 * room; NULL: to be loaded. read_on: skip packets up to and including this key (resume after a
 * checkpoint), or NULL. -ENOMEM.
 */
int merge_frame(struct merge *merge, uint32_t stream, uint32_t journal, uint64_t position,
		const struct frame_header *header, const uint8_t *frame, size_t len,
		uint64_t now_ns, const struct merge_key *read_on) must_check;
void merge_watermark(struct merge *merge, uint32_t stream, uint64_t watermark_ns, uint64_t now_ns);
/* The stream's sender is gone without BYE, or came back: its silence counts from here. */
void merge_stream_away(struct merge *merge, uint32_t stream, uint64_t now_ns);
/* No more will come: give out everything. */
void merge_finish(struct merge *merge);

/*
 * 1: a packet; 0: none may leave yet; now_ns decides who is silent. -ENOMEM: nothing is lost, try
 * again.
 */
int merge_next(struct merge *merge, uint64_t now_ns, struct merge_packet *ret) must_check;
/* When merge_next() may have something though nothing was added (a stream falls silent); UINT64_MAX
 * if never. CLOCK_MONOTONIC. */
uint64_t merge_deadline(const struct merge *merge);
/* Position of the oldest frame of the journal with a packet that has not left; `end` if none. */
uint64_t merge_low_position(const struct merge *merge, uint32_t journal, uint64_t end);
const struct merge_stats *merge_stats(const struct merge *merge);
