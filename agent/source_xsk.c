/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets from one RX queue by AF_XDP. Descriptors stay in the RX ring, and their chunks with us,
 * until give_back(). A frame of several descriptors (jumbo) is put together in a buffer, the only
 * case of a second copy.
 */
#include "agent/source.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "agent/umem.h"
#include "bpf/compat.h"
#include "bpf/explain.h"
#include "bpf/xcap_abi.h"

#define MEMORY_DEFAULT (32 * MIB)
#define ASSEMBLY_LEN (1 * MIB) /* of frames put together, per pass */
#define CHUNK_LEN_SMALL 2048   /* twice as many of them where the device's frames fit */
/* Ethernet header and stacked tags in front of what the MTU counts. */
#define LINK_HEADER_LEN 32
/* Sockets of a daemon that was killed are gone within moments. */
#define BUSY_RETRIES 100
#define BUSY_WAIT_MS 20

struct source_xsk {
	struct source source;
	struct source_xsk_config config;
	struct umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_cons rx;
	uint32_t first;	     /* of the descriptors not yet released */
	uint32_t taken;	     /* ... of them that were taken */
	uint32_t available;  /* ... of them that are known to be there */
	uint32_t head_count; /* descriptors of the frame peeked at; 0: none */
	uint8_t *assembly;
	size_t assembly_used, head_assembled;
	uint64_t base, received, lost_redirected;
	bool takes_pieces; /* of one frame, each in a chunk */
};

static struct source_xsk *xsk_of(const struct source *source)
{
	return container_of((struct source *)(uintptr_t)source, struct source_xsk, source);
}

static const struct xdp_desc *descriptor(const struct source_xsk *xsk, uint32_t i)
{
	return xsk_ring_cons__rx_desc(&xsk->rx, xsk->first + i);
}

/* Look what has come: descriptors are borrowed with their chunks. */
static void look(struct source_xsk *xsk)
{
	uint32_t at, count = xsk_ring_cons__peek(&xsk->rx, umem_chunk_count(xsk->umem), &at);

	if (!count)
		return;
	if (!xsk->available)
		xsk->first = at;
	for (uint32_t i = 0; i < count; i++)
		umem_borrow(xsk->umem, descriptor(xsk, xsk->available + i)->addr);
	xsk->available += count;
}

/* Descriptors of the next frame and its length; 0: it is not there as a whole. */
static uint32_t measure(const struct source_xsk *xsk, uint32_t *len)
{
	uint32_t count = 0;
	const struct xdp_desc *desc;

	*len = 0;
	do {
		if (xsk->taken + count == xsk->available)
			return 0;
		desc = descriptor(xsk, xsk->taken + count++);
		*len += desc->len;
	} while (desc->options & COMPAT_XDP_PKT_CONTD);
	return count;
}

static const uint8_t *assemble(struct source_xsk *xsk, uint32_t count, uint32_t len)
{
	uint8_t *data = xsk->assembly + xsk->assembly_used;
	size_t at = 0;

	for (uint32_t i = 0; i < count && at < len; i++) {
		const struct xdp_desc *desc = descriptor(xsk, xsk->taken + i);
		size_t part = MIN(desc->len, len - at);

		memcpy(data + at, umem_data(xsk->umem, desc->addr), part);
		at += part;
	}
	return data;
}

static bool xsk_peek(struct source *source, struct source_packet *ret)
{
	struct source_xsk *xsk = xsk_of(source);
	const struct xdp_desc *desc;
	struct xcap_meta meta;
	uint32_t len, count, captured;
	const uint8_t *data;

	if (xsk->taken == xsk->available)
		look(xsk);
	count = measure(xsk, &len);
	if (!count) {
		look(xsk);
		count = measure(xsk, &len);
	}
	if (!count)
		return false;
	desc = descriptor(xsk, xsk->taken);
	data = umem_data(xsk->umem, desc->addr);
	memcpy(&meta, data - sizeof(meta), sizeof(meta));
	captured = MIN(MIN(meta.captured_len, len), XCAP_SNAPLEN_MAX);
	xsk->head_assembled = 0;
	if (captured > desc->len) {
		/* Full: after the next give_back(). */
		if (xsk->assembly_used + captured > ASSEMBLY_LEN)
			return false;
		data = assemble(xsk, count, captured);
		xsk->head_assembled = captured;
	}
	xsk->head_count = count;
	*ret = (struct source_packet){
		.time_ns = meta.time_ns,
		.data = data,
		.captured_len = captured,
		.original_len = meta.original_len,
		.wire_packets = 1,
		.interface = xsk->config.ifindex,
		.direction = XCAP_IN,
		.has_queue = true,
		.queue = (uint16_t)xsk->config.queue,
		.generation = meta.generation,
	};
	return true;
}

static void xsk_take(struct source *source)
{
	struct source_xsk *xsk = xsk_of(source);

	xsk->taken += xsk->head_count;
	xsk->assembly_used += xsk->head_assembled;
	xsk->head_count = 0;
	xsk->head_assembled = 0;
	xsk->received++;
}

static void xsk_give_back(struct source *source)
{
	struct source_xsk *xsk = xsk_of(source);

	if (xsk->taken) {
		for (uint32_t i = 0; i < xsk->taken; i++)
			umem_give_back(xsk->umem, descriptor(xsk, i)->addr);
		xsk_ring_cons__release(&xsk->rx, xsk->taken);
		xsk->first += xsk->taken;
		xsk->available -= xsk->taken;
		xsk->taken = 0;
		xsk->assembly_used = 0;
		umem_refill(xsk->umem);
	}
	if (umem_needs_wakeup(xsk->umem))
		(void)recvfrom(source->poll_fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static uint64_t xsk_position(const struct source *source)
{
	const struct source_xsk *xsk = xsk_of(source);

	return xsk->base + xsk->received;
}

static void xsk_seek(struct source *source, uint64_t position)
{
	struct source_xsk *xsk = xsk_of(source);

	/* A position beyond what was handed over is of another device that had this number. */
	xsk->base = MIN(position, xsk->config.handed);
	xsk->lost_redirected = xsk->config.handed - xsk->base;
}

static void xsk_stats(const struct source *source, struct source_stats *ret)
{
	const struct source_xsk *xsk = xsk_of(source);
	struct xdp_statistics kernel = {};
	socklen_t len = sizeof(kernel);
	struct xsk_ring_cons rx = xsk->rx;
	uint32_t at, count;

	*ret = (struct source_stats){
		.received = xsk->received,
		.lost_redirected = xsk->lost_redirected,
	};
	/* A frame without a chunk is counted twice by the kernel, as dropped too. */
	if (getsockopt(source->poll_fd, SOL_XDP, XDP_STATISTICS, &kernel, &len) == 0) {
		ret->fill_ring_empty = MIN(kernel.rx_fill_ring_empty_descs, kernel.rx_dropped);
		ret->rx_dropped = kernel.rx_dropped - ret->fill_ring_empty;
		ret->rx_ring_full = kernel.rx_ring_full;
		ret->rx_invalid = kernel.rx_invalid_descs;
	}
	for (uint32_t i = xsk->taken; i < xsk->available; i++)
		ret->pending_bytes += descriptor(xsk, i)->len;
	/* On a copy of the ring: nothing is consumed. */
	count = xsk_ring_cons__peek(&rx, umem_chunk_count(xsk->umem), &at);
	for (uint32_t i = 0; i < count; i++)
		ret->pending_bytes += xsk_ring_cons__rx_desc(&rx, at + i)->len;
}

static void xsk_destroy(struct source *source)
{
	struct source_xsk *xsk = xsk_of(source);

	if (xsk->socket)
		xsk_socket__delete(xsk->socket);
	umem_destroy(xsk->umem);
	free(xsk->assembly);
	free(xsk);
}

static const struct source_ops xsk_ops = {
	.name = "xsk",
	.peek = xsk_peek,
	.take = xsk_take,
	.give_back = xsk_give_back,
	.position = xsk_position,
	.seek = xsk_seek,
	.stats = xsk_stats,
	.destroy = xsk_destroy,
};

/* Largest frame of the device; a guess on the safe side if it does not tell. */
static uint32_t frame_len_max(const struct source_xsk_config *config)
{
	struct ifreq request = {};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t len = UMEM_CHUNK_LEN_MAX;

	if (fd < 0)
		return len;
	strncpy(request.ifr_name, config->ifname, sizeof(request.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFMTU, &request) == 0)
		len = (uint32_t)request.ifr_mtu + LINK_HEADER_LEN;
	close(fd);
	return len;
}

static int make_umem(struct source_xsk *xsk)
{
	uint64_t memory = xsk->config.memory_bytes ? xsk->config.memory_bytes : MEMORY_DEFAULT;
	uint32_t len = frame_len_max(&xsk->config) <= CHUNK_LEN_SMALL - UMEM_HEADROOM
			       ? CHUNK_LEN_SMALL
			       : UMEM_CHUNK_LEN_MAX;
	uint32_t count = 1;

	while ((uint64_t)2 * count * len <= memory)
		count *= 2;
	return umem_create(&xsk->umem, count, len);
}

static int bind_socket(struct source_xsk *xsk, uint16_t flags)
{
	const struct xsk_socket_config config = {
		/* As deep as there are chunks: only a lack of those loses a packet. */
		.rx_size = umem_chunk_count(xsk->umem),
		.tx_size = 0,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = flags | XDP_USE_NEED_WAKEUP,
	};
	int err;

	for (int i = 0; i < BUSY_RETRIES; i++) {
		err = xsk_socket__create(&xsk->socket, xsk->config.ifname, xsk->config.queue,
					 umem_xsk(xsk->umem), &xsk->rx, NULL, &config);
		if (err != -EBUSY)
			return err;
		(void)poll(NULL, 0, BUSY_WAIT_MS);
	}
	return err;
}

/* Is this way of binding one that was asked for, and that can serve? */
static bool may_bind(const struct source_xsk *xsk, uint16_t flags)
{
	bool large = frame_len_max(&xsk->config) > umem_room(xsk->umem);

	if (flags & XDP_COPY)
		return xsk->config.zero_copy != SOURCE_ZERO_COPY_ON;
	return !xsk->config.generic && xsk->config.zero_copy != SOURCE_ZERO_COPY_OFF &&
	       (flags & COMPAT_XDP_USE_SG || !large);
}

/* The best that driver and kernel can do; frames of several chunks where they may occur. */
static int bind_best(struct source_xsk *xsk)
{
	static const uint16_t flags[] = {
		XDP_ZEROCOPY | COMPAT_XDP_USE_SG,
		XDP_ZEROCOPY,
		XDP_COPY | COMPAT_XDP_USE_SG,
		XDP_COPY,
	};
	int err = -EOPNOTSUPP;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (!may_bind(xsk, flags[i]))
			continue;
		err = bind_socket(xsk, flags[i]);
		xsk->takes_pieces = flags[i] & COMPAT_XDP_USE_SG;
		if (!err || err == -EBUSY || err == -EPERM)
			return err;
	}
	return err;
}

static int bind_or_explain(struct source_xsk *xsk, char *error)
{
	const struct source_xsk_config *config = &xsk->config;
	int err = bind_best(xsk);

	if (!err)
		return 0;
	if (config->zero_copy == SOURCE_ZERO_COPY_ON && err != -EBUSY && err != -EPERM)
		return explain_only(error, -EPROTONOSUPPORT,
				    "zero-copy AF_XDP is not possible on %s queue %u, %s: use "
				    "--zero-copy auto",
				    config->ifname, config->queue,
				    config->generic ? "whose driver has no XDP"
						    : "whose driver cannot do it");
	return explain(error, err, "cannot bind an AF_XDP socket to %s queue %u", config->ifname,
		       config->queue);
}

void source_xsk_info(const struct source *source, struct source_xsk_info *ret)
{
	const struct source_xsk *xsk = xsk_of(source);
	struct xdp_options options = {};
	socklen_t len = sizeof(options);

	if (getsockopt(source->poll_fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		options.flags = 0;
	*ret = (struct source_xsk_info){
		.zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY,
		.huge_pages = umem_is_huge(xsk->umem),
		.memory_bytes = umem_bytes(xsk->umem),
		.whole_len = xsk->takes_pieces ? UINT32_MAX : umem_room(xsk->umem),
		.frame_len_max = frame_len_max(&xsk->config),
	};
}

int source_xsk_create(struct source **ret, const struct source_xsk_config *config, char *error)
{
	struct source_xsk *xsk = calloc(1, sizeof(*xsk));
	__u32 queue = config->queue;
	int err = -ENOMEM, fd;

	if (!xsk)
		return explain(error, err, "cannot open an AF_XDP socket");
	xsk->source.ops = &xsk_ops;
	xsk->source.id = 1ull << 62 | (uint64_t)config->ifindex << 16 | config->queue;
	xsk->source.interface = config->ifindex;
	xsk->config = *config;
	xsk->assembly = malloc(ASSEMBLY_LEN);
	if (xsk->assembly)
		err = make_umem(xsk);
	if (err) {
		explain(error, err, "cannot make the frame memory of %s queue %u", config->ifname,
			config->queue);
		goto fail;
	}
	err = bind_or_explain(xsk, error);
	if (err)
		goto fail;
	umem_refill(xsk->umem);
	fd = xsk_socket__fd(xsk->socket);
	xsk->source.poll_fd = fd;
	err = bpf_map_update_elem(config->xsk_map_fd, &queue, &fd, BPF_ANY);
	if (err) {
		explain(error, err, "cannot register the AF_XDP socket of %s queue %u",
			config->ifname, config->queue);
		goto fail;
	}
	*ret = &xsk->source;
	return 0;
fail:
	xsk_destroy(&xsk->source);
	return err;
}
