/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The frames of the load generator, for its BPF program and for its user side, and what the two
 * tell each other. Includers bring the __u8 .. __u64 types. No state, any thread.
 *
 * A frame is Ethernet, perhaps one 802.1Q tag, IPv4 or IPv6, UDP, and then, in network byte order:
 *	4 bytes		GEN_MAGIC
 *	2 bytes		run: which generator sent it
 *	8 bytes		sequence, from 0
 *	8 bytes		time of sending, ns of UTC
 * The rest is filled with bytes that count up. All 16-bit words of a checksum stay aligned.
 */
#pragma once

#define GEN_MAGIC 0x5847454eu /* "XGEN" */
#define GEN_RUN_AT 4
#define GEN_SEQUENCE_AT 6
#define GEN_TIME_AT 14
#define GEN_PAYLOAD_LEN 22

/* A store at any alignment, which memcpy would make one of bytes in BPF. */
#ifdef __bpf__
#define gen_store(type, at, value) (*(type *)(at) = (value))
#else
#define gen_store(type, at, value)                             \
	do {                                                   \
		type stored = (value);                         \
		__builtin_memcpy(at, &stored, sizeof(stored)); \
	} while (0)
#endif
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define gen_put16(at, value) gen_store(__u16, at, __builtin_bswap16(value))
#define gen_put32(at, value) gen_store(__u32, at, __builtin_bswap32(value))
#define gen_put64(at, value) gen_store(__u64, at, __builtin_bswap64(value))
#else
#define gen_put16(at, value) gen_store(__u16, at, value)
#define gen_put32(at, value) gen_store(__u32, at, value)
#define gen_put64(at, value) gen_store(__u64, at, value)
#endif

#define GEN_HEAD_MAX (14 + 4 + 40 + 8 + GEN_PAYLOAD_LEN)
#define GEN_HEAD_WORDS (GEN_HEAD_MAX / 4)
#define GEN_PORT_FIRST 49152
#define GEN_PORT_COUNT (65536 - GEN_PORT_FIRST)

#define GEN_BURST_NS 1000000ull /* what goes out at once after a stall: as much as in this time */

/* What does not change while it runs. */
struct gen_config {
	__u32 words[GEN_HEAD_WORDS]; /* head of each frame, what varies zero */
	__u32 head_len;		     /* a multiple of 4 */
	__u32 is_ipv6;
	__u32 ip_at, source_at, udp_at, payload_at; /* source_at: last 32 bits of the address */
	__u32 source;				    /* of the first flow, last 32 bits */
	__u32 ip_sum, udp_sum; /* of everything that does not vary, not folded */
	__u32 flows;
	__u32 ifindex;
	__u32 interval_fraction; /* 2^-32 ns */
	__u64 interval_ns;	 /* between packets; 0: flat out */
	__u64 count;		 /* packets; ~0: no limit */
	__u64 duration_ns;	 /* ~0: no limit */
	__u64 give_up_ns;	 /* of what is late when the duration is over; ~0: no limit */
};

struct gen_state {
	__u64 start_ns;		      /* CLOCK_MONOTONIC; 0: not begun */
	__u64 next_ns, next_fraction; /* schedule of the next packet */
	__u64 last_ns;		      /* when the one before it went, in the schedule's eyes */
	__u64 sent;
	__u64 sent_ns;	  /* the last one */
	__u64 lag_max_ns; /* behind the schedule, at most */
	__s64 utc_offset_ns;
	__u32 flow, port, source_add; /* of the next packet */
	__u32 is_done;
};

/* When the next packet may go. What is behind the schedule is made up for at double the rate, so
 * that a stall does not become a burst. */
static inline __u64 gen_due_at(const struct gen_state *state,
			       const volatile struct gen_config *config, __u64 now)
{
	__u64 due_ns = state->last_ns + config->interval_ns / 2;

	if (now > due_ns + GEN_BURST_NS)
		due_ns = now - GEN_BURST_NS;
	return state->next_ns > due_ns ? state->next_ns : due_ns;
}

/* All were sent, or, at a rate, all whose time came within the duration. */
static inline int gen_is_done(const struct gen_state *state,
			      const volatile struct gen_config *config, __u64 now)
{
	__u64 time_ns = config->interval_ns ? state->next_ns : now;

	return state->sent >= config->count || time_ns - state->start_ns >= config->duration_ns ||
	       now - state->start_ns >= config->give_up_ns;
}

/* Is a packet due at now? If so the schedule moves on. */
static inline int gen_due(struct gen_state *state, const volatile struct gen_config *config,
			  __u64 now)
{
	__u64 due_ns;

	if (!state->start_ns) {
		state->start_ns = now;
		state->next_ns = now;
		state->sent_ns = now;
	}
	if (gen_is_done(state, config, now)) {
		state->is_done = 1;
		return 0;
	}
	if (config->interval_ns) {
		due_ns = gen_due_at(state, config, now);
		if (now < due_ns)
			return 0;
		if (now - state->next_ns > state->lag_max_ns)
			state->lag_max_ns = now - state->next_ns;
		state->next_fraction += config->interval_fraction;
		state->next_ns += config->interval_ns + (state->next_fraction >> 32);
		state->next_fraction &= 0xffffffff;
		state->last_ns = due_ns;
	}
	return 1;
}

static inline __u32 gen_sum64(__u64 value)
{
	return (__u32)(value >> 48) + (value >> 32 & 0xffff) + (value >> 16 & 0xffff) +
	       (value & 0xffff);
}

static inline __u16 gen_checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* Writes what varies into a frame whose head is in place, and goes on to the next flow. */
static inline void gen_stamp(__u8 *frame, struct gen_state *state,
			     const volatile struct gen_config *config, __u64 now)
{
	__u64 sequence = state->sent++, time_ns = now + (__u64)state->utc_offset_ns;
	__u32 source = config->source + state->source_add;
	__u32 source_sum = (source >> 16) + (source & 0xffff);
	__u32 port = GEN_PORT_FIRST + state->port;
	__u16 checksum = gen_checksum(config->udp_sum + source_sum + port + gen_sum64(sequence) +
				      gen_sum64(time_ns));

	state->sent_ns = now;
	gen_put32(frame + config->source_at, source);
	if (!config->is_ipv6)
		gen_put16(frame + config->ip_at + 10, gen_checksum(config->ip_sum + source_sum));
	gen_put16(frame + config->udp_at, (__u16)port);
	gen_put16(frame + config->udp_at + 6, checksum ? checksum : 0xffff); /* RFC 768 */
	gen_put64(frame + config->payload_at + GEN_SEQUENCE_AT, sequence);
	gen_put64(frame + config->payload_at + GEN_TIME_AT, time_ns);

	if (++state->flow >= config->flows) {
		state->flow = 0;
		state->port = 0;
		state->source_add = 0;
	} else if (++state->port == GEN_PORT_COUNT) {
		state->port = 0;
		state->source_add++;
	}
}
