/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hands a packet over to userspace: a record in the ring of this CPU.
 *
 * A reservation's size must be a constant for the verifier, so there are classes of them: steps
 * of 64 bytes up to 2 KiB, eight to the octave above (6 % are wasted at most, 3 % on average).
 * What comes behind the reservation is followed by the verifier once for each class, and that is
 * most of what a change of filters costs: as few instructions and branches as can be.
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
#define DELIVER_STEPPED_MAX 2048
#define DELIVER_STEP 64

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

/* The begin of a frame with a tag in band. */
struct deliver_head {
	__u32 macs[3];
	struct deliver_tag tag;
};

/* What is to be copied of a packet, and where it goes behind the record. */
struct deliver_frame {
	__u32 offset, len, shift;
};

/*
 * Room for len bytes, and for a tag, behind a record; the asm keeps clang from making one call of
 * all of them. It is len that is compared, so that the verifier knows what it can be.
 */
#define DELIVER_RESERVE(bytes)                                                            \
	do {                                                                              \
		*room = (bytes);                                                          \
		record = bpf_ringbuf_reserve(                                             \
			ring, sizeof(*record) + sizeof(struct deliver_tag) + (bytes), 0); \
		asm volatile("" ::"i"(bytes));                                            \
	} while (0)
#define DELIVER_TWO(above, step)                               \
	do {                                                   \
		if (len <= (above) + (step))                   \
			DELIVER_RESERVE((above) + (step));     \
		else                                           \
			DELIVER_RESERVE((above) + 2 * (step)); \
	} while (0)
#define DELIVER_FOUR(above, step)                                \
	do {                                                     \
		if (len <= (above) + 2 * (step))                 \
			DELIVER_TWO(above, step);                \
		else                                             \
			DELIVER_TWO((above) + 2 * (step), step); \
	} while (0)
#define DELIVER_EIGHT(above, step)                                \
	do {                                                      \
		if (len <= (above) + 4 * (step))                  \
			DELIVER_FOUR(above, step);                \
		else                                              \
			DELIVER_FOUR((above) + 4 * (step), step); \
	} while (0)

/* len: up to DELIVER_SMALL_MAX. */
static __always_inline struct xcap_record *deliver_reserve_small(void *ring, __u32 len, __u32 *room)
{
	struct xcap_record *record = NULL;

	DELIVER_FOUR(0, DELIVER_STEP);
	return record;
}

static __always_inline struct xcap_record *deliver_reserve(void *ring, __u32 len, __u32 *room)
{
	struct xcap_record *record = NULL;

	if (len <= 512)
		DELIVER_EIGHT(0, DELIVER_STEP);
	else if (len <= 1024)
		DELIVER_EIGHT(512, DELIVER_STEP);
	else if (len <= 1536)
		DELIVER_EIGHT(1024, DELIVER_STEP);
	else if (len <= DELIVER_STEPPED_MAX)
		DELIVER_EIGHT(1536, DELIVER_STEP);
	else if (len <= 4096)
		DELIVER_EIGHT(2048, 256);
	else if (len <= 8192)
		DELIVER_EIGHT(4096, 512);
	else if (len <= 16384)
		DELIVER_EIGHT(8192, 1024);
	else if (len <= 32768)
		DELIVER_EIGHT(16384, 2048);
	else if (len <= 65536)
		DELIVER_EIGHT(32768, 4096);
	else if (len <= 131072)
		DELIVER_EIGHT(65536, 8192);
	else if (len <= XCAP_SNAPLEN_MAX)
		DELIVER_EIGHT(131072, 16384);
	return record;
}

/* May a record for so many bytes be larger than a ring? Never, in rings of a usual size. */
static __always_inline bool deliver_is_too_long(__u32 len, __u32 ring_bytes)
{
	__u32 step = DELIVER_STEP;

	if (ring_bytes > 2 * XCAP_SNAPLEN_MAX)
		return false;
	for (__u32 end = DELIVER_STEPPED_MAX; end < XCAP_SNAPLEN_MAX && len > end; end *= 2)
		step = end / 8;
	return (len + step - 1) / step * step + sizeof(struct xcap_record) +
		       sizeof(struct deliver_tag) >=
	       ring_bytes;
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

	/* Before Linux 6.8 the verifier forgets what it saw of a value that is computed again. */
	asm volatile("" : "+r"(second));
	if (room < half || second > half || second > room - half)
		return false;
	if (data + half > end || data + second + half > end)
		return false;
	deliver_half(to, data, half);
	deliver_half(to + second, data + second, half);
	return true;
}

static __always_inline bool deliver_copy(struct __sk_buff *skb, const struct deliver_frame *frame,
					 void *to, __u32 room)
{
	__u32 len = frame->len, last = len - 1;

	if (room <= DELIVER_SMALL_MAX && frame->offset == 0 &&
	    (deliver_small(skb, to, len, room, 32) || deliver_small(skb, to, len, room, 64) ||
	     deliver_small(skb, to, len, room, 128)))
		return true;
	/* Before Linux 6.8 the verifier learns nothing from != 0, nor of a value computed twice. */
	asm volatile("" : "+r"(last));
	if (last >= room)
		return false;
	return bpf_skb_load_bytes(skb, frame->offset, to, last + 1) == 0;
}

/* The frame stands a tag's length behind its place: the MAC addresses go there, then the tag. */
__noinline int deliver_tag(struct __sk_buff *skb, struct deliver_head *head)
{
	if (!head)
		return 0;
	head->macs[0] = head->macs[1];
	head->macs[1] = head->macs[2];
	__builtin_memcpy(&head->macs[2], &head->tag, sizeof(head->macs[2]));
	head->tag.protocol = skb->vlan_proto;
	head->tag.control = bpf_htons(skb->vlan_tci);
	return 0;
}

/* Fills a record, if there is room for one. */
static __always_inline enum xcap_counter deliver_fill(struct __sk_buff *skb,
						      struct xcap_record *record, __u32 room,
						      const struct xcap_record *head,
						      const struct deliver_frame *frame)
{
	if (!record)
		return XCAP_RING_FULL;
	*record = *head;
	if (!deliver_copy(skb, frame, (void *)(record + 1) + frame->shift, room)) {
		bpf_ringbuf_discard(record, 0);
		return XCAP_NO_MEMORY;
	}
	if (frame->shift)
		deliver_tag(skb, (void *)(record + 1));
	bpf_ringbuf_submit(record, 0);
	return XCAP_HANDED;
}

static __always_inline void deliver_frame(struct __sk_buff *skb, const struct skb_wire *wire,
					  __u32 len, bool is_raw, struct deliver_frame *ret)
{
	__u32 shift = is_raw ? 0 : (skb->vlan_present & 1) * sizeof(struct deliver_tag);
	__u32 least = shift / sizeof(struct deliver_tag) * DELIVER_MACS_LEN;

	len -= shift;
	/* The MAC addresses are needed whole to make room for a tag. */
	if ((__s32)len < (__s32)least)
		len = least;
	*ret = (struct deliver_frame){ is_raw ? wire->start : 0, len, shift };
}

/* Which counter it goes to. */
static __always_inline enum xcap_counter deliver(struct __sk_buff *skb, const struct skb_wire *wire,
						 __u32 snaplen, __u64 time_ns,
						 enum xcap_direction direction,
						 const volatile struct xcap_config *config)
{
	__u32 cpu = bpf_get_smp_processor_id(), room = 0, len = wire->len;
	void *ring = bpf_map_lookup_elem(&xcap_rings, &cpu);
	struct xcap_record *record, head;
	struct deliver_frame frame;

	if (!ring)
		return XCAP_NO_MEMORY;
	if (len > snaplen)
		len = snaplen;
	head = (struct xcap_record){
		.time_ns = time_ns,
		.ifindex = config->ifindex,
		.captured_len = len,
		.original_len = wire->len,
		.wire_packets = wire->count.wire_packets,
		.gso_size = wire->gso_size,
		.queue = skb->queue_mapping * (direction & XCAP_IN), /* of one that leaves: 0 */
		.direction = direction,
		.generation = (__u16)config->generation,
	};
	deliver_frame(skb, wire, len, config->is_raw, &frame);
	if (deliver_is_too_long(frame.len, config->ring_bytes))
		return XCAP_TOO_LONG;
	/* All is known here: the compiler is not to bring a piece of it in behind. */
	asm volatile("" : "+r"(frame.len), "+r"(frame.shift) : "r"(&head) : "memory");
	if (frame.len <= DELIVER_SMALL_MAX) {
		record = deliver_reserve_small(ring, frame.len, &room);
		return deliver_fill(skb, record, room, &head, &frame);
	}
	record = deliver_reserve(ring, frame.len, &room);
	return deliver_fill(skb, record, room, &head, &frame);
}
