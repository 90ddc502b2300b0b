/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where packets come from: one AF_XDP queue (source_xsk.c), one CPU's ring buffer (source_ring.c),
 * libpcap's capture of an interface (source_live.c), a PCAP or pcapng file or stream, compressed or
 * not (source_pcap.c). A source belongs to its lane's thread.
 *
 * In a pass the lane takes packets, head by head, the earliest of all its sources first, and
 * copies each into its frame; then it makes the frame's progress known to the journal; only then
 * it calls give_back(), and the kernel may reuse the memory.
 */
#pragma once

#include <linux/types.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/xcap_abi.h"
#include "common/loop.h"
#include "common/pcapng.h"
#include "common/util.h"

/* Of one lane: their positions find room in its journal. */
#define LANE_SOURCES_MAX 500

struct source;

struct source_packet {
	uint64_t time_ns;    /* CLOCK_MONOTONIC; UTC if the source is_replay */
	const uint8_t *data; /* valid until give_back() */
	uint32_t captured_len, original_len;
	uint32_t wire_packets; /* at least 1 */
	uint32_t interface;    /* ifindex, or what describe() takes */
	uint8_t direction;     /* enum pcapng_direction */
	bool has_queue;
	uint16_t queue;
	uint16_t generation; /* of the filters that judged it, low bits; 0: not told */
};

struct source_stats {
	uint64_t received; /* packets taken since the position's beginning */
	uint64_t filtered; /* of these, recorded ones that did not match: no lane saw them */
	/* tap, of this socket, disjoint: no chunk for a frame, no room in the RX ring, other */
	uint64_t fill_ring_empty, rx_ring_full, rx_dropped;
	uint64_t rx_invalid;	  /* tap: chunks that the kernel refused (a bug) */
	uint64_t lost_redirected; /* tap: redirected, never received: the daemon was gone */
	uint64_t pending_bytes;	  /* in the ring */
};

static inline void source_stats_add(struct source_stats *sum, const struct source_stats *stats)
{
	sum->filtered += stats->filtered;
	sum->fill_ring_empty += stats->fill_ring_empty;
	sum->rx_ring_full += stats->rx_ring_full;
	sum->rx_dropped += stats->rx_dropped;
	sum->lost_redirected += stats->lost_redirected;
	sum->pending_bytes += stats->pending_bytes;
}

struct source_ops {
	const char *name;
	/* The next packet without taking it; false: none at the moment. */
	bool (*peek)(struct source *source, struct source_packet *ret);
	/* Done with the packet peeked at. */
	void (*take)(struct source *source);
	/* Everything taken may be reused; kicks the driver if it asks for that. */
	void (*give_back)(struct source *source);
	/* How far it was read: what the journal keeps, and back to it after a restart. */
	uint64_t (*position)(const struct source *source);
	void (*seek)(struct source *source, uint64_t position);
	void (*stats)(const struct source *source, struct source_stats *ret);
	/* Once, on the lane's thread, before the first peek; NULL: nothing to do. */
	int (*start)(struct source *source, struct loop *loop);
	/* Recorded interface of a packet; NULL: packet->interface is an ifindex. */
	const struct pcapng_interface *(*describe)(const struct source *source, uint32_t interface);
	/* Numbers of an interface (statistics->interface) that were recorded and not given yet,
	 * else NULL. NULL: none ever are. */
	const struct pcapng_statistics *(*statistics)(struct source *source);
	/* Ask what is in flight to end; destroy once idle() (NULL: nothing ever is). */
	void (*stop)(struct source *source);
	bool (*idle)(const struct source *source);
	void (*destroy)(struct source *source);
};

/* Embedded first in each kind. */
struct source {
	const struct source_ops *ops;
	uint64_t id;	    /* unique in the agent, the same after a restart */
	uint32_t interface; /* ifindex, if all packets are of one; else 0 */
	int poll_fd;	    /* readable when peek() has something; -1: see ready */
	uint64_t delay_ns;  /* a packet may show so long after its time; 0: at once */
	bool is_replay;	    /* times are UTC, recorded */
	bool at_end;	    /* nothing will come any more */
	int err;	    /* why it ended, if not at its end */
	/* Set by others: the lane is to let it go once it is empty; and by the lane when it has. */
	_Atomic bool is_leaving, is_released;
};

struct dataplane_interface;
struct filter_set;

/* map_fd: BPF ring buffer, number ring of them; borrowed. */
int source_ring_create(struct source **ret, int map_fd, unsigned int number) must_check;

enum source_zero_copy { SOURCE_ZERO_COPY_AUTO, SOURCE_ZERO_COPY_ON, SOURCE_ZERO_COPY_OFF };

struct source_xsk_config {
	const char *ifname;
	unsigned int ifindex, queue;
	int xsk_map_fd;
	uint64_t memory_bytes; /* of UMEM; 0: 32 MiB */
	bool generic;	       /* bind in copy mode */
	enum source_zero_copy zero_copy;
	uint64_t handed; /* dataplane_queue_handed() before: what earlier sockets should have got */
};
/*
 * Registers itself in the map. error: DATAPLANE_ERROR_LEN bytes. -EPROTONOSUPPORT: zero-copy is
 * asked for, and the driver cannot. Its position is the number of
 * packets ever received on this queue; seek() sets what earlier daemons had, and what was handed
 * beyond that is lost_redirected.
 */
int source_xsk_create(struct source **ret, const struct source_xsk_config *config,
		      char *error) must_check;

struct source_xsk_info {
	bool zero_copy;	 /* the driver writes into the frame memory */
	bool huge_pages; /* of which that is */
	uint64_t memory_bytes;
	uint32_t whole_len;	/* of the longest frame that it can take */
	uint32_t frame_len_max; /* of the longest one of the device, by its MTU */
};
void source_xsk_info(const struct source *source, struct source_xsk_info *ret);

/* What a source counts, for the control thread to read; it outlives the source. */
struct live_numbers {
	_Atomic uint64_t taken, bytes;
	/* Only what was judged here: the kernel does not count its part. */
	_Atomic uint64_t filtered, self;
	_Atomic uint64_t sampled_out;
	_Atomic uint64_t dropped; /* no room in the kernel's buffer */
	struct {
		_Atomic uint64_t packets, bytes;
	} matched[XCAP_FILTERS_MAX]; /* by slot of the filter */
	_Atomic bool is_gone;	     /* the device */
};

struct source_live_config {
	const char *ifname;
	uint32_t interface; /* of its packets */
	/* The one that is captured; unknown: what is no device of the network has none. */
	enum pcapng_direction direction;
	uint32_t snaplen;
	uint64_t buffer_bytes;
	bool promiscuous;
	uint32_t sample; /* of filters that do not say it themselves */
	const struct filter_set *filters;
	const char *own; /* an expression: our own upload, left out; NULL: there is none */
	struct live_numbers *numbers;
};
/*
 * error: EXPLAIN_LEN bytes. -EPERM; -ENODEV: there is no such device. What follows is for the
 * control thread, which made it, while a lane has it.
 */
int source_live_create(struct source **ret, const struct source_live_config *config,
		       char *error) must_check;
uint16_t source_live_link_type(const struct source *source); /* pcapng LinkType */
/* Other filters: of config what is about them counts. */
struct live_filters;
int source_live_prepare(struct live_filters **ret, const struct source *source,
			const struct source_live_config *config, char *error) must_check;
/* They are in force from now on, and the source's. On failure nothing has changed. */
int source_live_apply(struct source *source, struct live_filters *filters) must_check;
/* Now and then: what a change has left to be done. */
void source_live_refresh(struct source *source);
struct source_pcap_config {
	const char *path;   /* "-": standard input */
	const char *label;  /* name of what was recorded; NULL: names in the file, else its own */
	const char *filter; /* pcap-filter(7); NULL: everything */
	double speed;	    /* 1: as recorded; 0: flat out */
	bool stamp_now;	    /* live: the time of reading is the packet's time */
};
/* -errno of the file. Its contents are looked at when the lane starts it. */
int source_pcap_create(struct source **ret, const struct source_pcap_config *config) must_check;
/* What was wrong with the input, after err is set. */
const char *source_pcap_error(const struct source *source);
