/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/umem.h"

#include <unistd.h>

#include "selftests/unit/check.h"

#define CHUNKS 64
#define CHUNK_LEN 2048

static void check_places(const struct umem *umem, uint32_t free, uint32_t fill, uint32_t borrowed)
{
	CHECK_EQ(umem_count(umem, UMEM_FREE), free);
	CHECK_EQ(umem_count(umem, UMEM_FILL), fill);
	CHECK_EQ(umem_count(umem, UMEM_BORROWED), borrowed);
	CHECK_EQ(free + fill + borrowed, CHUNKS);
}

static void each_chunk_is_in_one_place(void **state)
{
	struct umem *umem;

	(void)state;
	assert_int_equal(umem_create(&umem, CHUNKS, CHUNK_LEN), 0);
	check_places(umem, CHUNKS, 0, 0);
	umem_refill(umem);
	check_places(umem, 0, CHUNKS, 0);
	/* As if the kernel had put packets into them, at its headroom. */
	for (uint32_t i = 0; i < 10; i++)
		umem_borrow(umem, i * CHUNK_LEN + 256);
	check_places(umem, 0, CHUNKS - 10, 10);
	umem_give_back(umem, 3 * CHUNK_LEN + 256);
	check_places(umem, 1, CHUNKS - 10, 9);
	/* The fill ring has no room, as the kernel has taken nothing out of it. */
	umem_refill(umem);
	check_places(umem, 1, CHUNKS - 10, 9);
	umem_destroy(umem);
}

static void data_is_where_the_descriptor_says(void **state)
{
	struct umem *umem;

	(void)state;
	assert_int_equal(umem_create(&umem, CHUNKS, CHUNK_LEN), 0);
	CHECK_EQ(umem_data(umem, 5 * CHUNK_LEN + 17) - umem_data(umem, 0), 5 * CHUNK_LEN + 17);
	*umem_data(umem, CHUNKS * CHUNK_LEN - 1) = 1;
	umem_destroy(umem);
	umem_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_chunk_is_in_one_place),
		TEST(data_is_where_the_descriptor_says),
	};

	if (geteuid()) {
		print_message("AF_XDP memory can only be registered by root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
