/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hands a packet over to userspace: a record in the ring of this CPU.
 *
 * A reservation's size must be a constant for the verifier, so there are classes of them: steps
 * of 64 bytes up to 2 KiB, eight to the octave above (6 % are wasted at most, 3 % on average).
 * The ring wakes its reader only when that had caught up; one that looks by itself now and then
 * costs the host nothing.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "bpf/skb.bpf.h"
#include "bpf/xcap_abi.h"

#define DELIVER_MACS_LEN 12
#define DELIVER_SMALL_MAX 256

struct deliver_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__uint(map_flags, 1 << 2); /* BPF_F_NUMA_NODE, as the rings that are put in */
};

/* The ring of each CPU; several CPUs may share one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, XCAP_CPUS_MAX);
	__type(key, __u32);
	__array(values, struct deliver_ring);
} xcap_rings SEC(".maps");

struct deliver_tag {
	__be16 protocol, control;
};

/* Room for the frame in a record; the asm keeps clang from making one call of all of them. */
#define DELIVER_RESERVE(bytes)                                                    \
	do {                                                                      \
		*room = (bytes);                                                  \
		record = bpf_ringbuf_reserve(ring, sizeof(*record) + (bytes), 0); \
		asm volatile("" ::"i"(bytes));                                    \
	} while (0)
#define DELIVER_CASE(n, step)                        \
	case n:                                      \
		DELIVER_RESERVE(((n) + 1) * (step)); \
		break;
#define DELIVER_EIGHT(n, step)      \
	DELIVER_CASE(n, step)       \
	DELIVER_CASE((n) + 1, step) \
	DELIVER_CASE((n) + 2, step) \
	DELIVER_CASE((n) + 3, step) \
	DELIVER_CASE((n) + 4, step) \
	DELIVER_CASE((n) + 5, step) \
	DELIVER_CASE((n) + 6, step) \
	DELIVER_CASE((n) + 7, step)
/* Sizes above eight and up to sixteen steps. */
#define DELIVER_OCTAVE(step)                   \
	if (len <= 16 * (step)) {              \
		switch ((len - 1) / (step)) {  \
			DELIVER_EIGHT(8, step) \
		}                              \
		return record;                 \
	}

static __always_inline struct xcap_record *deliver_reserve(void *ring, __u32 len, __u32 *room)
{
	struct xcap_record *record = NULL;

	if (len <= 2048) {
		switch ((len - 1) / 64) {
			DELIVER_EIGHT(0, 64)
			DELIVER_EIGHT(8, 64)
			DELIVER_EIGHT(16, 64)
			DELIVER_EIGHT(24, 64)
		}
		return record;
	}
	DELIVER_OCTAVE(256)
	DELIVER_OCTAVE(512)
	DELIVER_OCTAVE(1024)
	DELIVER_OCTAVE(2048)
	DELIVER_OCTAVE(4096)
	DELIVER_OCTAVE(8192)
	DELIVER_OCTAVE(16384)
	return record;
}

/* half is a constant, a multiple of 8. */
static __always_inline void deliver_half(void *to, const void *from, __u32 half)
{
	for (__u32 i = 0; i < half; i += sizeof(__u64))
		*(__u64 *)(to + i) = *(const __u64 *)(from + i);
}

/*
 * A small frame without a call, which costs more than the copy: as two halves that overlap, for
 * lengths from one half to two. False: it is not so long, or not linear.
 */
static __always_inline bool deliver_small(struct __sk_buff *skb, void *to, __u32 len, __u32 room,
					  __u32 half)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 second = len - half;

	if (room < half || second > half || second > room - half)
		return false;
	if (data + half > end || data + second + half > end)
		return false;
	deliver_half(to, data, half);
	deliver_half(to + second, data + second, half);
	return true;
}

/* len bytes of the skb from offset on; len is 1 .. room, which is also told to the verifier. */
static __always_inline bool deliver_copy(struct __sk_buff *skb, __u32 offset, void *to, __u32 len,
					 __u32 room)
{
	/* What is larger is not looked at three times on each way by the verifier. */
	if (offset == 0 && room <= DELIVER_SMALL_MAX &&
	    (deliver_small(skb, to, len, room, 32) || deliver_small(skb, to, len, room, 64) ||
	     deliver_small(skb, to, len, room, 128)))
		return true;
	if (len == 0 || len > room)
		return false;
	return bpf_skb_load_bytes(skb, offset, to, len) == 0;
}

/* The tag goes back to its place: MAC addresses, tag, the rest. */
static __always_inline bool deliver_tagged(struct __sk_buff *skb, __u8 *to, __u32 len, __u32 room)
{
	struct deliver_tag *tag = (void *)(to + DELIVER_MACS_LEN);
	const __u32 head_len = DELIVER_MACS_LEN + sizeof(*tag);

	if (bpf_skb_load_bytes(skb, 0, to, DELIVER_MACS_LEN))
		return false;
	tag->protocol = skb->vlan_proto;
	tag->control = bpf_htons(skb->vlan_tci);
	return len <= head_len ||
	       deliver_copy(skb, DELIVER_MACS_LEN, to + head_len, len - head_len, room - head_len);
}

/* Which counter it goes to. */
static __always_inline enum xcap_counter deliver(struct __sk_buff *skb, const struct skb_wire *wire,
						 __u32 snaplen, __u64 time_ns,
						 enum xcap_direction direction,
						 const volatile struct xcap_config *config)
{
	__u32 cpu = bpf_get_smp_processor_id(), room = 0, len = wire->len;
	void *ring = bpf_map_lookup_elem(&xcap_rings, &cpu);
	struct xcap_record *record;
	bool copied;

	if (!ring)
		return XCAP_NO_MEMORY;
	if (len > snaplen)
		len = snaplen;
	record = deliver_reserve(ring, len, &room);
	if (!record)
		return room + sizeof(*record) >= config->ring_bytes ? XCAP_TOO_LONG
								    : XCAP_RING_FULL;
	record->time_ns = time_ns;
	record->ifindex = config->ifindex;
	record->captured_len = len;
	record->original_len = wire->len;
	record->wire_packets = wire->count.wire_packets;
	record->gso_size = wire->gso_size;
	record->queue = skb->queue_mapping * (direction & XCAP_IN); /* of one that leaves: 0 */
	record->direction = direction;
	record->pad = 0;
	record->generation = (__u16)config->generation;
	copied = wire->has_tag ? deliver_tagged(skb, (void *)(record + 1), len, room)
			       : deliver_copy(skb, wire->start, record + 1, len, room);
	if (!copied) {
		bpf_ringbuf_discard(record, 0);
		return XCAP_NO_MEMORY;
	}
	bpf_ringbuf_submit(record, 0);
	return XCAP_HANDED;
}
