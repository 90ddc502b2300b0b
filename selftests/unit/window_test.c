/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/window.h"

#include <stdlib.h>

#include "selftests/unit/check.h"

static struct window window;

static void push(uint64_t from, uint64_t to)
{
	for (uint64_t sequence = from; sequence <= to; sequence++) {
		const struct memory_journal_frame frame = { .sequence = sequence,
							    .start = 100 * sequence,
							    .offset = 100 * sequence + 90,
							    .len = 80 };
		struct window_frame *pushed = window_push(&window, &frame);

		assert_non_null(pushed);
		pushed->sent_ns = 1000 * sequence;
	}
}

static uint32_t ack(uint64_t from, uint64_t to, uint64_t *sent_ns)
{
	struct ranges durable = {};
	uint32_t count;

	assert_int_equal(ranges_add(&durable, from, to), 0);
	count = window_ack_ranges(&window, &durable, sent_ns);
	ranges_release(&durable);
	return count;
}

static void acks_in_any_order(void **state)
{
	uint64_t sent_ns;

	(void)state;
	push(1, 10);
	CHECK_EQ(window.bytes, 800);
	CHECK_EQ(window_take_acked(&window), 0);
	CHECK_EQ(ack(4, 6, &sent_ns), 3);
	CHECK_EQ(sent_ns, 6000);
	CHECK_EQ(window.bytes, 560);
	CHECK_EQ(window_take_acked(&window), 0);
	CHECK_EQ(ack(1, 5, &sent_ns), 3);
	CHECK_EQ(window_take_acked(&window), 690);
	CHECK_EQ(window.count, 4);
	CHECK_EQ(ack(1, 100, &sent_ns), 4);
	CHECK_EQ(window_take_acked(&window), 1090);
	CHECK_EQ(window.bytes, 0);
	CHECK_EQ(ack(1, 100, &sent_ns), 0);
	CHECK_EQ(sent_ns, 0);
	window_release(&window);
}

static void grows_and_wraps(void **state)
{
	uint64_t sent_ns, next = 1, released = 0;

	(void)state;
	for (unsigned int round = 0; round < 50; round++) {
		push(next, next + 99);
		next += 100;
		CHECK_EQ(ack(released + 1, released + 70, &sent_ns), 70);
		released += 70;
		CHECK_EQ(window_take_acked(&window), 100 * released + 90);
		CHECK_EQ(window.count, next - 1 - released);
		CHECK(!window_find(&window, released));
		CHECK(!window_find(&window, next));
		for (uint64_t sequence = released + 1; sequence < next; sequence += 13) {
			assert_non_null(window_find(&window, sequence));
			CHECK_EQ(window_find(&window, sequence)->start, 100 * sequence);
		}
	}
	window_clear(&window);
	CHECK_EQ(window.bytes, 0);
	CHECK(!window_find(&window, next - 1));
	window_release(&window);
}

static void sends_again(void **state)
{
	(void)state;
	push(1, 5);
	CHECK(!window_next_again(&window));
	window_send_again(&window, window_find(&window, 4));
	window_send_again(&window, window_find(&window, 2));
	window_send_again(&window, window_find(&window, 2));
	window_send_again(&window, window_find(&window, 5));
	CHECK_EQ(window.again_count, 3);
	CHECK_EQ(window_next_again(&window)->sequence, 2);
	window_ack(&window, window_find(&window, 4));
	window_ack(&window, window_find(&window, 4));
	CHECK_EQ(window.bytes, 320);
	CHECK_EQ(window_next_again(&window)->sequence, 5);
	CHECK(!window_next_again(&window));
	CHECK_EQ(window.again_count, 0);
	/* Refusals are remembered when the connection is forgotten. */
	CHECK_EQ(window_count_refusal(&window, 2), 1);
	CHECK_EQ(window_count_refusal(&window, 3), 1);
	window_clear(&window);
	CHECK_EQ(window_count_refusal(&window, 2), 2);
	for (uint64_t sequence = 100; sequence < 100 + WINDOW_REFUSED_MAX; sequence++)
		CHECK_EQ(window_count_refusal(&window, sequence), 1);
	CHECK_EQ(window_count_refusal(&window, 2), 1);
	window_release(&window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(acks_in_any_order),
		TEST(grows_and_wraps),
		TEST(sends_again),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
