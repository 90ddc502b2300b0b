/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets from a BPF ring buffer, by its own mapping of it: records are borrowed where they are,
 * and the kernel is told only in give_back() how far it may write. libbpf's consumer gives each
 * record back at once.
 *
 * The kernel wakes a reader who has caught up, by an interrupt. So while packets keep coming the
 * last record is held back: we seem to be behind, and look by ourselves. give_back() after a pass
 * that took nothing leaves nothing behind: then we may sleep.
 *
 * The position is the ring's own: bytes ever consumed. It is in the pinned map, so that a daemon
 * restarted goes on where the last one had given back.
 */
#include "agent/source.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/xcap_abi.h"

#define HEADER_LEN BPF_RINGBUF_HDR_SZ

struct source_ring {
	struct source source;
	unsigned long *consumer; /* page that we write */
	const unsigned long *producer;
	const uint8_t *data; /* mapped twice in a row: no record is ever cut */
	size_t page_size, size;
	unsigned long at;	 /* position of the next record */
	unsigned long published; /* what the kernel knows */
	unsigned long last;	 /* position of the last record taken */
	bool has_taken;		 /* since give_back() */
	unsigned long end;	 /* producer's position when last looked at */
	uint64_t received;
};

static struct source_ring *ring_of(const struct source *source)
{
	return container_of((struct source *)(uintptr_t)source, struct source_ring, source);
}

static const uint8_t *record_at(const struct source_ring *ring, unsigned long position)
{
	return ring->data + (position & (ring->size - 1));
}

static uint32_t header_at(const struct source_ring *ring, unsigned long position)
{
	return __atomic_load_n((const uint32_t *)record_at(ring, position), __ATOMIC_ACQUIRE);
}

static unsigned long record_len(uint32_t header)
{
	uint32_t len = header & ~(uint32_t)(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

	return align_up(len + HEADER_LEN, 8);
}

/* Header of the next record that is complete; false: there is none. */
static bool next_record(struct source_ring *ring, uint32_t *header)
{
	for (;;) {
		if (ring->at == ring->end)
			ring->end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
		if (ring->at == ring->end)
			return false;
		*header = header_at(ring, ring->at);
		if (*header & BPF_RINGBUF_BUSY_BIT)
			return false;
		if (!(*header & BPF_RINGBUF_DISCARD_BIT))
			return true;
		ring->at += record_len(*header);
	}
}

static bool ring_peek(struct source *source, struct source_packet *ret)
{
	struct source_ring *ring = ring_of(source);
	const struct xcap_record *record;
	uint32_t header;

	if (!next_record(ring, &header))
		return false;
	record = (const void *)(record_at(ring, ring->at) + HEADER_LEN);
	*ret = (struct source_packet){
		.time_ns = record->time_ns,
		.data = (const uint8_t *)(record + 1),
		.captured_len = record->captured_len,
		.original_len = record->original_len,
		.wire_packets = record->wire_packets,
		.interface = record->ifindex,
		.direction = record->direction,
		.has_queue = record->queue > 0,
		.queue = record->queue ? (uint16_t)(record->queue - 1) : 0,
		.generation = record->generation,
	};
	return true;
}

static void ring_take(struct source *source)
{
	struct source_ring *ring = ring_of(source);

	ring->last = ring->at;
	ring->has_taken = true;
	ring->at += record_len(header_at(ring, ring->at));
	ring->received++;
}

static void publish(struct source_ring *ring, unsigned long position)
{
	if (position == ring->published)
		return;
	ring->published = position;
	/* Pairs with the kernel's look at it before it wakes us; a poll looks once more. */
	__atomic_store_n(ring->consumer, position, __ATOMIC_SEQ_CST);
}

static void ring_give_back(struct source *source)
{
	struct source_ring *ring = ring_of(source);

	publish(ring, ring->has_taken ? ring->last : ring->at);
	ring->has_taken = false;
}

static uint64_t ring_position(const struct source *source)
{
	return ring_of(source)->at;
}

/* Forward only, to a record's start that is still in the ring: anything else is not of this ring.
 */
static void ring_seek(struct source *source, uint64_t position)
{
	struct source_ring *ring = ring_of(source);
	unsigned long at = ring->at, end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);

	while (at != end && at < position) {
		uint32_t header = header_at(ring, at);

		if (header & BPF_RINGBUF_BUSY_BIT)
			return;
		at += record_len(header);
	}
	if (at != position)
		return;
	ring->at = at;
	ring->end = end; /* never behind `at` */
	publish(ring, at);
}

static void ring_stats(const struct source *source, struct source_stats *ret)
{
	const struct source_ring *ring = ring_of(source);

	*ret = (struct source_stats){
		.received = ring->received,
		.pending_bytes = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - ring->at,
	};
}

static void ring_destroy(struct source *source)
{
	struct source_ring *ring = ring_of(source);

	if (ring->consumer) {
		if (!ring->has_taken)
			publish(ring, ring->at);
		munmap(ring->consumer, ring->page_size);
	}
	if (ring->producer)
		munmap((void *)(uintptr_t)ring->producer, ring->page_size + 2 * ring->size);
	if (ring->source.poll_fd >= 0)
		close(ring->source.poll_fd);
	free(ring);
}

static const struct source_ops ring_ops = {
	.name = "ring",
	.peek = ring_peek,
	.take = ring_take,
	.give_back = ring_give_back,
	.position = ring_position,
	.seek = ring_seek,
	.stats = ring_stats,
	.destroy = ring_destroy,
};

static int map_pages(struct source_ring *ring)
{
	int fd = ring->source.poll_fd;
	void *pages;

	pages = mmap(NULL, ring->page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (pages == MAP_FAILED)
		return -errno;
	ring->consumer = pages;
	pages = mmap(NULL, ring->page_size + 2 * ring->size, PROT_READ, MAP_SHARED, fd,
		     (off_t)ring->page_size);
	if (pages == MAP_FAILED)
		return -errno;
	ring->producer = pages;
	ring->data = (const uint8_t *)pages + ring->page_size;
	ring->at = ring->published = ring->end = *ring->consumer;
	return 0;
}

int source_ring_create(struct source **ret, int map_fd, unsigned int number)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	struct source_ring *ring = calloc(1, sizeof(*ring));
	int err;

	if (!ring)
		return -ENOMEM;
	ring->source.ops = &ring_ops;
	ring->source.poll_fd = -1;
	err = bpf_obj_get_info_by_fd(map_fd, &info, &len);
	if (!err && info.type != BPF_MAP_TYPE_RINGBUF)
		err = -EINVAL;
	if (err)
		goto fail;
	ring->page_size = (size_t)sysconf(_SC_PAGESIZE);
	ring->size = info.max_entries;
	/* A new ring is another source: positions of an old one mean nothing in it. */
	ring->source.id = (uint64_t)info.id << 16 | number;
	ring->source.poll_fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 0);
	err = ring->source.poll_fd < 0 ? -errno : map_pages(ring);
	if (err)
		goto fail;
	*ret = &ring->source;
	return 0;
fail:
	ring_destroy(&ring->source);
	return err;
}
