/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/losses.h"

#include <stdlib.h>

#include "selftests/unit/check.h"

static struct losses list;

static void add(uint64_t from, uint64_t to, uint32_t reason, bool uncertain)
{
	const struct message_loss loss = {
		.from = from,
		.to = to,
		.reason = reason,
		.packets = to - from + 1,
		.wire_packets = 2 * (to - from + 1),
		.bytes = 100 * (to - from + 1),
	};

	losses_add(&list, &loss, uncertain);
}

static void expect(uint64_t from, uint64_t to)
{
	struct message_loss loss;

	if (!losses_next(&list, &loss)) {
		CHECK(!"a loss is given out");
		return;
	}
	CHECK_EQ(loss.from, from);
	CHECK_EQ(loss.to, to);
	CHECK_EQ(loss.packets, to - from + 1);
	CHECK_EQ(loss.wire_packets, 2 * loss.packets);
	CHECK_EQ(loss.bytes, 100 * loss.packets);
}

static void expect_none(void)
{
	struct message_loss loss;

	CHECK(!losses_next(&list, &loss));
}

static uint64_t confirm(uint64_t from, uint64_t to, bool complete)
{
	struct message_loss lost = {};
	struct ranges durable = {};

	if (from)
		assert_int_equal(ranges_add(&durable, from, to), 0);
	(void)losses_confirm(&list, &durable, complete, &lost);
	ranges_release(&durable);
	return lost.packets;
}

static void neighbours_are_one_loss(void **state)
{
	(void)state;
	list.count = 0;
	add(1, 1, LOSS_JOURNAL_FULL, false);
	add(2, 2, LOSS_JOURNAL_FULL, false);
	add(3, 5, LOSS_JOURNAL_FULL, false);
	add(6, 6, LOSS_REJECTED, false);
	add(8, 8, LOSS_REJECTED, false);
	expect(1, 5);
	expect(6, 6);
	expect(8, 8);
	expect_none();
	CHECK(losses_has(&list, 3));
	CHECK(!losses_has(&list, 7));
}

static void given_out_never_grows(void **state)
{
	(void)state;
	list.count = 0;
	add(1, 4, LOSS_JOURNAL_FULL, false);
	expect(1, 4);
	add(5, 6, LOSS_JOURNAL_FULL, false);
	add(7, 7, LOSS_JOURNAL_FULL, false);
	expect(5, 7);
	losses_again(&list);
	expect(1, 4);
	expect(5, 7);
	CHECK_EQ(confirm(1, 6, false), 0);
	CHECK_EQ(list.count, 1);
	losses_again(&list);
	expect(5, 7);
	CHECK_EQ(confirm(7, 7, false), 0);
	CHECK_EQ(list.count, 0);
}

static void uncertain_waits_for_the_answer(void **state)
{
	(void)state;
	list.count = 0;
	for (uint64_t sequence = 1; sequence <= 6; sequence++)
		add(sequence, sequence, LOSS_JOURNAL_FULL, true);
	add(7, 9, LOSS_JOURNAL_FULL, false);
	expect(7, 9);
	expect_none();
	/* An ACK while connected tells of arrivals only. */
	CHECK_EQ(confirm(1, 2, false), 0);
	CHECK_EQ(list.count, 5);
	expect_none();
	/* The answer to OPEN tells the rest: 4 to 6 did not arrive. */
	CHECK_EQ(confirm(1, 3, true), 3);
	expect(4, 6);
	CHECK_EQ(confirm(1, 3, true), 0);
}

static void settled_by_a_refusal(void **state)
{
	struct message_loss lost = {};

	(void)state;
	list.count = 0;
	add(3, 3, LOSS_JOURNAL_FULL, true);
	add(4, 4, LOSS_JOURNAL_FULL, true);
	CHECK(!losses_settle(&list, 5, &lost));
	CHECK(losses_settle(&list, 4, &lost));
	CHECK(!losses_settle(&list, 4, &lost));
	CHECK_EQ(lost.packets, 1);
	expect(4, 4);
	expect_none();
}

static void stays_bounded(void **state)
{
	struct message_loss loss;
	uint64_t packets = 0, last = 0;
	unsigned int given = 0;

	(void)state;
	list.count = 0;
	/* Every second number: nothing joins by itself. */
	for (uint64_t sequence = 1; sequence <= 9999; sequence += 2) {
		add(sequence, sequence, LOSS_JOURNAL_FULL, sequence % 3 == 0);
		CHECK(list.count <= LOSSES_MAX);
	}
	for (uint64_t sequence = 1; sequence <= 9999; sequence += 2)
		CHECK(losses_has(&list, sequence));
	packets += confirm(0, 0, true);
	CHECK(packets > 0);
	packets = 0;
	while (list.count) {
		for (given = 0; losses_next(&list, &loss); given++) {
			packets += loss.packets;
			last = MAX(last, loss.to);
		}
		CHECK(given > 0 && given <= LOSSES_UNCONFIRMED_MAX);
		CHECK_EQ(confirm(1, last, false), 0);
	}
	CHECK_EQ(packets, 5000);
	CHECK_EQ(last, 9999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(neighbours_are_one_loss),
		TEST(given_out_never_grows),
		TEST(uncertain_waits_for_the_answer),
		TEST(settled_by_a_refusal),
		TEST(stays_bounded),
	};

	return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
