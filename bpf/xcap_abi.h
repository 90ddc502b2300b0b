/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and userspace agree on, and all they share. Host byte order unless a type
 * says otherwise. Sizes are asserted: a change of any of them is a change of XCAP_ABI_VERSION.
 * Includers bring the __u8 .. __be32 types (vmlinux.h or linux/types.h).
 */
#pragma once

#define XCAP_ABI_VERSION 3

#define XCAP_CPUS_MAX 1024
#define XCAP_SNAPLEN_MAX 262144
#define XCAP_QUEUES_MAX 256
#define XCAP_SELF_MAX 32
#define XCAP_FILTERS_MAX 64
#define XCAP_FILTERS_TEXT 16380
#define XCAP_WATCH_MAX 65536

/*
 * What became of a packet, one per-CPU array entry each per interface. At every moment
 *   seen = self + other_direction + filtered + sampled_out + handed + ring_full + too_long +
 *          no_memory + no_socket
 * in frames, wire packets and bytes alike. tap: "handed" is redirected, which is not yet received.
 *   too_long    its record is larger than the ring
 *   no_memory   its bytes are not to be had: no ring for this CPU, memory of a device, or an XDP
 *               driver without room for metadata
 *   no_socket   tap: no AF_XDP socket on its queue; it passed on or was dropped
 * Beside the equation, as such a packet went on to another of them:
 *   no_stamp    the network card's time was asked for, and the kernel's had to do
 */
#define XCAP_COUNTERS(X)                      \
	X(SEEN, "seen")                       \
	X(SELF, "self")                       \
	X(OTHER_DIRECTION, "other_direction") \
	X(FILTERED, "filtered")               \
	X(SAMPLED_OUT, "sampled_out")         \
	X(HANDED, "handed")                   \
	X(RING_FULL, "ring_full")             \
	X(TOO_LONG, "too_long")               \
	X(NO_MEMORY, "no_memory")             \
	X(NO_SOCKET, "no_socket")             \
	X(NO_STAMP, "no_stamp")

enum xcap_counter {
#define X(id, name) XCAP_##id,
	XCAP_COUNTERS(X)
#undef X
		XCAP_COUNTER_COUNT
};

/* Value of the map xcap_count. */
struct xcap_count {
	__u64 frames;	    /* skbs or XDP frames */
	__u64 wire_packets; /* a GSO super-packet counts its segments */
	__u64 bytes;	    /* length of the frame, tags in band, headers of each segment */
};

enum xcap_mode { XCAP_MIRROR = 1, XCAP_TAP = 2 };
enum xcap_direction { XCAP_IN = 1, XCAP_OUT = 2 }; /* bits */

/*
 * rodata of a program, set between open and load: one load of the programs per interface, so that
 * the verifier removes what this interface does not need.
 */
struct xcap_config {
	__u32 ifindex;
	__u32 snaplen;	      /* 1 .. XCAP_SNAPLEN_MAX */
	__u32 directions;     /* enum xcap_direction bits that are kept */
	__u32 ring_bytes;     /* mirror: size of a ring */
	__u32 is_raw;	      /* no Ethernet header: frames begin with IP */
	__u32 pass_no_socket; /* tap: what finds no socket passes on (else it is dropped) */
	__u32 has_filter;     /* xcap_filter() is asked */
	__u32 generation;     /* of the filters: goes with every packet */
	__u32 asks;	      /* enum xcap_asks bits */
	__u32 has_policy;     /* xcap_policies are looked up; else every packet is kept whole */
	__u32 has_ranks;      /* xcap_ranks are looked up: there are several filters */
	__u32 decap;	      /* filters also see what tunnels carry */
	__u32 whole_only;     /* tap: no socket takes a frame in pieces, so it passes on */
};

/* What the driver is asked for of each packet that arrives. */
enum xcap_asks {
	XCAP_ASK_TAG = 1,   /* tap: the tag that it has taken out */
	XCAP_ASK_STAMP = 2, /* the network card's time: see xcap_clock */
};

/* How a network card's clock goes with CLOCK_MONOTONIC, from two readings of both. */
struct xcap_line {
	__u64 nic_ns;	/* the card's time at ... */
	__u64 host_ns;	/* ... this time of CLOCK_MONOTONIC */
	__s64 rate;	/* ns that CLOCK_MONOTONIC gains in 2^XCAP_RATE_SHIFT ns of the card's */
	__u64 until_ns; /* CLOCK_MONOTONIC: not to be believed any more; 0: never was */
};
#define XCAP_RATE_SHIFT 32
#define XCAP_RATE_MAX (1ll << 23)    /* 2000 ppm: more is no drift */
#define XCAP_LINE_NS (1ll << 33)     /* a line's reach, so that 64 bits do */
#define XCAP_STAMP_AGE_NS 10000000ll /* from the card to the program, at most */
#define XCAP_STAMP_AHEAD_NS 1000000ll

/* Value of the array map xcap_clock, one entry. The line that is not current may be written. */
struct xcap_clock {
	__u32 current; /* line in force: 0 or 1 */
	__u32 pad;
	struct xcap_line lines[2];
};

#define XCAP_FRAME_START_MAX 4095

/* A frame as a filter sees it: tags in band, though one may be beside the packet. */
struct xcap_frame {
	__u32 start;   /* offset of its first byte in the packet's data, up to the maximum above */
	__u32 len;     /* on the wire, tags included */
	__u32 has_tag; /* tag belongs behind the MAC addresses, and is not in the data */
	__u8 tag[4];   /* TPID and TCI, network byte order */
};

enum xcap_keep { XCAP_KEEP_ALL, XCAP_KEEP_BYTES, XCAP_KEEP_HEADERS };

/* What becomes of the packets that a filter matches. */
struct xcap_policy {
	__u32 keep;	   /* enum xcap_keep */
	__u32 keep_bytes;  /* of the frame, or behind its innermost transport header */
	__u32 sample;	   /* one packet of so many, at random; 0, 1: each */
	__u32 sample_flow; /* all packets of one flow of so many; 0, 1: of each */
};

/* Value of the array map xcap_filters, one entry: what was put in force last, for people. */
struct xcap_filters {
	__u32 generation;
	char text[XCAP_FILTERS_TEXT]; /* ends with a NUL; cut off if it is longer */
};

/* Value of the array map xcap_slots: whose counter it is, for xcapctl and the next daemon. */
struct xcap_slot {
	char filter[64]; /* its name; empty: nobody's */
};

/* What the lists say of an address; LONGER only in the map xcap_ipv4. */
enum xcap_verdict { XCAP_NONE, XCAP_ALLOW, XCAP_DENY, XCAP_LONGER };

/*
 * An element of the array xcap_prefixes, a perfect hash table: each prefix of IPv6, or of IPv4
 * longer than 24, or signpost from which the search goes on to longer ones, is at its own
 * xcap_prefix_slot() or nowhere. An element holds 7 of them and fills a line of the cache: what a
 * lookup costs is the lines it misses.
 * Of an IPv6 prefix longer than /64 only the place of its address is there: in elements behind the
 * slots.
 */
#define XCAP_PREFIXES_EACH 7
#define XCAP_PREFIXES_LONG_EACH 3

struct xcap_prefixes {
	/*
	 * 9 bits for each slot, the first in the lowest: xcap_prefix_code(), shifted by 2, and what
	 * holds for addresses in it, enum xcap_verdict, plus 1; 0: empty.
	 */
	__u64 tags;
	union {
		/*
		 * By slot: the first half of the address, in host byte order; IPv4 is its upper
		 * half. Code XCAP_PREFIX_LONG: xcap_prefix_place().
		 */
		__u64 halves[XCAP_PREFIXES_EACH];
		/* In elements behind the slots. */
		struct {
			__u64 high, low;
		} longs[XCAP_PREFIXES_LONG_EACH];
	};
};

/* Lengths of IPv4 are in the table plus this. */
#define XCAP_PREFIX_IPV4 128
#define XCAP_PREFIX_LONG 127

static inline __attribute__((always_inline)) __u32 xcap_prefix_is_long(__u32 length)
{
	return length > 64 && length <= XCAP_PREFIX_IPV4;
}

static inline __attribute__((always_inline)) __u32 xcap_prefix_code(__u32 length)
{
	if (xcap_prefix_is_long(length))
		return XCAP_PREFIX_LONG;
	return length <= 64 ? length : length - XCAP_PREFIX_IPV4 + 64;
}

static inline __attribute__((always_inline)) __u64 xcap_prefix_place(__u32 length, __u32 element,
								     __u32 at)
{
	return (__u64)length << 40 | (__u64)at << 32 | element;
}

/*
 * Elements of xcap_hints: of each prefix 3 bits, of 50, by which most that are not in the table are
 * found out, and the number that leads those that share the element to slots of their own. Prefixes
 * of a network share a line of the cache, unless there are too many of them.
 */
#define XCAP_HINT_BITS 50
#define XCAP_HINTS_LINE 8

/* high, low: halves of the address; low is 0 up to /64. */
static inline __attribute__((always_inline)) __u64 xcap_prefix_hash(__u64 high, __u64 low,
								    __u32 length, __u64 seed)
{
	__u64 mix = high ^ (length + (seed << 8)) * 0xd6e8feb86659fd93ull;

	mix *= 0x9e3779b97f4a7c15ull;
	mix = (mix ^ mix >> 29 ^ low) * 0xbf58476d1ce4e5b9ull;
	mix = (mix ^ mix >> 32) * 0x94d049bb133111ebull;
	return mix ^ mix >> 32;
}

/* lines: how many there are; network: the bits of the first half that choose one. */
static inline __attribute__((always_inline)) __u32
xcap_prefix_hint(__u64 hash, __u64 high, __u64 low, __u64 network, __u32 lines)
{
	__u64 mix = ((high & network) ^ low * 0x9e3779b97f4a7c15ull) * 0x94d049bb133111ebull;

	return (__u32)((mix >> 32) * lines >> 32) * XCAP_HINTS_LINE +
	       (hash >> 36) % XCAP_HINTS_LINE;
}

static inline __attribute__((always_inline)) __u64 xcap_prefix_bits(__u64 hash)
{
	return 1ull << (hash & 0xfff) * XCAP_HINT_BITS / 4096 |
	       1ull << (hash >> 12 & 0xfff) * XCAP_HINT_BITS / 4096 |
	       1ull << (hash >> 24 & 0xfff) * XCAP_HINT_BITS / 4096;
}

struct xcap_prefix_slot {
	__u32 element, at;
};

static inline __attribute__((always_inline)) struct xcap_prefix_slot
xcap_prefix_slot(__u64 hash, __u64 hint, __u32 elements)
{
	__u64 mix =
		(hash ^ (hint >> XCAP_HINT_BITS) * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
	__u64 product = (mix >> 32) * elements;

	return (struct xcap_prefix_slot){
		.element = (__u32)(product >> 32),
		.at = (__u32)((product & 0xffffffff) * XCAP_PREFIXES_EACH >> 32),
	};
}

/* rodata: the lists that a load of the programs goes by. */
struct xcap_lists {
	__u32 in_force;
	__u32 needs_allow;	      /* there is a prefix that is allowed: nothing else is */
	__u32 elements;		      /* of xcap_prefixes with slots; 0: there is none */
	__u32 lines;		      /* of xcap_hints, of XCAP_HINTS_LINE elements each */
	__u32 has_ipv4;		      /* there is a table xcap_ipv4 */
	__u32 ipv4_count, ipv6_count; /* lengths in the table, the shortest first */
	__u32 seed;		      /* of the hashes */
	__u64 network;		      /* of the lines */
	__u8 ipv4_lengths[16];	      /* plus XCAP_PREFIX_IPV4 */
	__u8 ipv6_lengths[132];
};

/* Value of the array xcap_listed, one entry, for those who look at the pins: prefixes in force. */
struct xcap_list_counts {
	__u32 allow_ipv4, allow_ipv6, deny_ipv4, deny_ipv6;
};

/*
 * A flow that is captured whatever filters and lists say. Of the two ends the one comes first
 * whose address, then port, is less as bytes; network byte order. No ports: 0.
 */
struct xcap_watch_key {
	__u8 addresses[2][16]; /* IPv4 mapped into IPv6 */
	__be16 ports[2];
	__u8 protocol;
	__u8 pad[3];
};

/* Value of the hash xcap_watch. */
struct xcap_watch {
	__u64 expires_ns;     /* CLOCK_MONOTONIC */
	__u64 packets, bytes; /* on the wire */
};

/* Value of the array xcap_watching, one entry. */
struct xcap_watching {
	__u32 count; /* entries in xcap_watch; 0: it is not looked into */
};

/* Record in a ring buffer; captured_len bytes of the frame follow. */
struct xcap_record {
	__u64 time_ns; /* CLOCK_MONOTONIC on arrival, by the kernel or the network card */
	__u32 ifindex;
	__u32 captured_len;
	__u32 original_len; /* tags in band, FCS not included */
	__u32 wire_packets; /* 1, or the segments of a GSO super-packet */
	__u16 gso_size;	    /* payload bytes of each segment; 0 if it is none */
	__u16 queue;	    /* RX queue plus one; 0 if not known */
	__u8 direction;	    /* enum xcap_direction */
	__u8 pad;
	__u16 generation; /* low bits of that of the filters which judged it */
};

/* In front of an XDP frame's data (XDP metadata), for AF_XDP. */
struct xcap_meta {
	__u64 time_ns;	    /* as in xcap_record */
	__u32 captured_len; /* up to snaplen, at most the frame's length */
	__u32 original_len;
	__u16 generation; /* as in struct xcap_record */
	__u8 pad[6];
};

/* An endpoint whose TCP traffic is our own upload: an aggregator. */
struct xcap_endpoint {
	__u8 address[16]; /* IPv6, or IPv4 mapped into it; network byte order */
	__be16 port;
	__u16 pad;
};

/* Value of the array map xcap_self, one entry. */
struct xcap_self {
	__u32 abi_version; /* of the rings and everything else of this instance */
	__u32 count;
	struct xcap_endpoint list[XCAP_SELF_MAX];
};

/*
 * What a device says of packets that nobody saw: missed and fifo are lost before any program of
 * ours. rx_dropped cannot be told apart like that: it also counts packets that were seen, and then
 * not wanted by the host (of a protocol that it does not speak) or not taken by an AF_XDP socket.
 */
struct xcap_nic {
	__u64 missed; /* rx_missed_errors: no room for them on the host's side */
	__u64 fifo;   /* rx_fifo_errors: no room in the device itself */
	__u64 rx_dropped;
};

/* Value of the array map xcap_info, one entry: what is attached, for adoption and for xcapctl. */
struct xcap_info {
	__u32 abi_version;
	__u32 mode; /* enum xcap_mode */
	__u32 ifindex;
	__u32 snaplen;
	__u32 directions;
	__u32 flags;	    /* enum xcap_info_flags */
	__u32 offloads_off; /* enum xcap_offload bits: switched off by us, to be restored */
	__u32 link_ids[2];  /* mirror: ingress, egress; tap: the XDP link */
	__u32 generation;   /* of the filters in force */
	__u32 stamps_off;   /* time stamps of the NIC switched on by us: its RX filter before, plus
			       one, to be restored; 0: as they were */
	__u32 pad;
	__u64 netns; /* inode of the network namespace */
	char ifname[16];
	__u64 started_ns;    /* UTC: since then the counters count */
	struct xcap_nic nic; /* as they were then */
};

enum xcap_info_flags {
	XCAP_INFO_GENERIC = 1,
	XCAP_INFO_UNPINNED = 2,
	XCAP_INFO_CLSACT = 4, /* mirror: by filters of a clsact qdisc, no links */
	XCAP_INFO_QDISC = 8,  /* that was made by an instance of ours */
};
enum xcap_offload {
	XCAP_RX_VLAN = 1,
	XCAP_RX_STAG = 2,
	XCAP_PEER_TX_VLAN = 4, /* of a veth's other end */
	XCAP_PEER_TX_STAG = 8,
};

_Static_assert(sizeof(struct xcap_count) == 24, "xcap_count");
_Static_assert(sizeof(struct xcap_config) == 52, "xcap_config");
_Static_assert(sizeof(struct xcap_line) == 32, "xcap_line");
_Static_assert(sizeof(struct xcap_clock) == 72, "xcap_clock");
_Static_assert(sizeof(struct xcap_prefixes) == 64, "xcap_prefixes");
_Static_assert(sizeof(struct xcap_lists) == 192, "xcap_lists");
_Static_assert(sizeof(struct xcap_list_counts) == 16, "xcap_list_counts");
_Static_assert(sizeof(struct xcap_watch_key) == 40, "xcap_watch_key");
_Static_assert(sizeof(struct xcap_watch) == 24, "xcap_watch");
_Static_assert(sizeof(struct xcap_policy) == 16, "xcap_policy");
_Static_assert(sizeof(struct xcap_slot) == 64, "xcap_slot");
_Static_assert(sizeof(struct xcap_record) == 32, "xcap_record");
_Static_assert(sizeof(struct xcap_meta) == 24, "xcap_meta");
_Static_assert(sizeof(struct xcap_frame) == 16, "xcap_frame");
_Static_assert(sizeof(struct xcap_endpoint) == 20, "xcap_endpoint");
_Static_assert(sizeof(struct xcap_self) == 8 + 20 * XCAP_SELF_MAX, "xcap_self");
_Static_assert(sizeof(struct xcap_info) == 104, "xcap_info");
