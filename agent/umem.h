/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frame memory of an AF_XDP socket. Each chunk is in exactly one place: free, in the fill ring (or
 * on its way through the kernel to the RX ring), or borrowed by whoever reads the packet in it.
 * Belongs to the thread of its socket.
 */
#pragma once

#include <stdbool.h>

#include "common/util.h"

#define UMEM_CHUNK_LEN_MAX 4096 /* a page: the kernel takes no larger ones */
/* The kernel leaves so much in front of a packet (XDP_PACKET_HEADROOM): our metadata is there. */
#define UMEM_HEADROOM 256

enum umem_place { UMEM_FREE, UMEM_FILL, UMEM_BORROWED, UMEM_PLACE_COUNT };

struct umem;
struct xsk_umem;

/* Powers of two. In huge pages where enough of them are free. */
int umem_create(struct umem **ret, uint32_t chunk_count, uint32_t chunk_len) must_check;
/* After its socket. */
void umem_destroy(struct umem *umem);
/* libxdp's, to make the socket with. */
struct xsk_umem *umem_xsk(const struct umem *umem);
bool umem_is_huge(const struct umem *umem);
uint64_t umem_bytes(const struct umem *umem);
uint32_t umem_chunk_count(const struct umem *umem);
/* Bytes of a packet that fit into one chunk. */
uint32_t umem_room(const struct umem *umem);
/* Free chunks go to the kernel. */
void umem_refill(struct umem *umem);
/* The kernel sleeps until it is told of new chunks. */
bool umem_needs_wakeup(const struct umem *umem);
uint8_t *umem_data(const struct umem *umem, uint64_t address);
/* A chunk came out of the RX ring. address: as in a descriptor, anywhere in the chunk. */
void umem_borrow(struct umem *umem, uint64_t address);
void umem_give_back(struct umem *umem, uint64_t address);
/* Chunks in a place; over all places it is the number of chunks. */
uint32_t umem_count(const struct umem *umem, enum umem_place place);
