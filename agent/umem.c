/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/umem.h"

#include <assert.h>
#include <errno.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xdp/xsk.h>

#define HUGE_PAGE (2 * MIB)
#define HUGE_PAGE_LOG 21

struct umem {
	struct xsk_umem *xsk;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion; /* unused: nothing is sent */
	uint8_t *memory;
	bool is_huge;
	uint64_t *free; /* stack of chunks, by address */
	uint32_t chunk_count, chunk_len;
	uint32_t places[UMEM_PLACE_COUNT];
};

static void move(struct umem *umem, enum umem_place from, enum umem_place to, uint32_t count)
{
	assert(umem->places[from] >= count);
	umem->places[from] -= count;
	umem->places[to] += count;
}

/* Memory of that kind, and libxdp's umem on it; or none of both. */
static int take_memory(struct umem *umem, bool huge)
{
	const struct xsk_umem_config config = {
		/* As long as there are chunks: all of them fit. */
		.fill_size = umem->chunk_count,
		.comp_size = XSK_RING_CONS__DEFAULT_NUM_DESCS,
		.frame_size = umem->chunk_len,
		.frame_headroom = 0,
	};
	size_t size = umem_bytes(umem);
	int flags = huge ? MAP_HUGETLB | HUGE_PAGE_LOG << MAP_HUGE_SHIFT : 0, err;
	uint8_t *memory;

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1,
		      0);
	if (memory == MAP_FAILED)
		return -errno;
	/* All of it is taken at once: large pages cost nothing more. A wish. */
	if (!huge)
		(void)madvise(memory, size, MADV_HUGEPAGE);
	err = xsk_umem__create(&umem->xsk, memory, size, &umem->fill, &umem->completion, &config);
	if (err) {
		munmap(memory, size);
		return err;
	}
	umem->memory = memory;
	umem->is_huge = huge;
	return 0;
}

int umem_create(struct umem **ret, uint32_t chunk_count, uint32_t chunk_len)
{
	struct umem *umem = calloc(1, sizeof(*umem));
	int err = -ENOMEM;

	if (!umem)
		return -ENOMEM;
	umem->chunk_count = chunk_count;
	umem->chunk_len = chunk_len;
	umem->free = calloc(chunk_count, sizeof(*umem->free));
	if (!umem->free)
		goto fail;
	if (umem_bytes(umem) % HUGE_PAGE == 0)
		err = take_memory(umem, true);
	if (err)
		err = take_memory(umem, false);
	if (err)
		goto fail;
	for (uint32_t i = 0; i < chunk_count; i++)
		umem->free[i] = (uint64_t)(chunk_count - 1 - i) * chunk_len;
	umem->places[UMEM_FREE] = chunk_count;
	*ret = umem;
	return 0;
fail:
	umem_destroy(umem);
	return err;
}

void umem_destroy(struct umem *umem)
{
	if (!umem)
		return;
	if (umem->xsk)
		(void)xsk_umem__delete(umem->xsk);
	if (umem->memory)
		munmap(umem->memory, umem_bytes(umem));
	free(umem->free);
	free(umem);
}

struct xsk_umem *umem_xsk(const struct umem *umem)
{
	return umem->xsk;
}

bool umem_is_huge(const struct umem *umem)
{
	return umem->is_huge;
}

uint64_t umem_bytes(const struct umem *umem)
{
	return (uint64_t)umem->chunk_count * umem->chunk_len;
}

uint32_t umem_chunk_count(const struct umem *umem)
{
	return umem->chunk_count;
}

uint32_t umem_room(const struct umem *umem)
{
	return umem->chunk_len - UMEM_HEADROOM;
}

void umem_refill(struct umem *umem)
{
	uint32_t count = umem->places[UMEM_FREE], at;

	count = MIN(count, xsk_prod_nb_free(&umem->fill, count));
	if (!count || xsk_ring_prod__reserve(&umem->fill, count, &at) != count)
		return;
	move(umem, UMEM_FREE, UMEM_FILL, count);
	for (uint32_t i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&umem->fill, at + i) =
			umem->free[umem->places[UMEM_FREE] + count - 1 - i];
	xsk_ring_prod__submit(&umem->fill, count);
}

bool umem_needs_wakeup(const struct umem *umem)
{
	return xsk_ring_prod__needs_wakeup(&umem->fill);
}

uint8_t *umem_data(const struct umem *umem, uint64_t address)
{
	return umem->memory + address;
}

void umem_borrow(struct umem *umem, uint64_t address)
{
	assert(address / umem->chunk_len < umem->chunk_count);
	move(umem, UMEM_FILL, UMEM_BORROWED, 1);
}

void umem_give_back(struct umem *umem, uint64_t address)
{
	umem->free[umem->places[UMEM_FREE]] = address & ~(uint64_t)(umem->chunk_len - 1);
	move(umem, UMEM_BORROWED, UMEM_FREE, 1);
}

uint32_t umem_count(const struct umem *umem, enum umem_place place)
{
	return umem->places[place];
}
