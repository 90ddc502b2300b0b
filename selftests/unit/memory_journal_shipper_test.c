/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader that ships: what is dropped in flight, refused or given up becomes a loss. */
#include "common/memory_journal.h"

#include "selftests/unit/journal_sample.h"

static struct memory_journal *journal;
static struct memory_journal_reader *shipper;
static struct sample_writer writer;

static void open_shipper(void)
{
	struct memory_journal_config config = sample_config(MIB);

	journal = sample_open(&config);
	writer = sample_writer(journal);
	assert_int_equal(memory_journal_shipper_create(&shipper, journal), 0);
}

static void close_shipper(bool remove)
{
	memory_journal_reader_destroy(shipper);
	if (remove)
		memory_journal_remove(journal);
	else
		memory_journal_close(journal);
}

static void write_frames(unsigned int count)
{
	while (count--)
		CHECK(sample_frame(&writer, 10));
}

/* The sequence of the last one. */
static uint64_t send_frames(unsigned int count)
{
	struct memory_journal_frame frame = {};

	while (count-- && memory_journal_next(shipper, &frame))
		memory_journal_done(shipper);
	return frame.sequence;
}

static void confirm(uint64_t from, uint64_t to, bool complete)
{
	struct ranges durable = {};

	if (from)
		assert_int_equal(ranges_add(&durable, from, to), 0);
	memory_journal_confirm(shipper, &durable, complete);
	ranges_release(&durable);
}

static struct memory_journal_stats stats(void)
{
	struct memory_journal_stats ret;

	memory_journal_stats(journal, &ret);
	return ret;
}

/* No packet is anywhere but waiting, lost or shipped. */
static void check_sum(uint64_t shipped)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < LOSS_REASON_COUNT; i++)
		lost += stats().lost_packets[i];
	CHECK_EQ(stats().committed_packets, shipped + lost + stats().packets);
}

static void unsent_is_lost_at_once(void **state)
{
	struct memory_journal_reader *second;
	struct message_loss loss, more;

	(void)state;
	open_shipper();
	CHECK_EQ(memory_journal_shipper_create(&second, journal), -EBUSY);
	write_frames(100);
	CHECK(stats().lost_packets[LOSS_JOURNAL_FULL] > 0);
	check_sum(0);
	assert_true(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 1);
	CHECK_EQ(loss.packets, 10 * loss.to);
	CHECK_EQ(loss.packets, stats().lost_packets[LOSS_JOURNAL_FULL]);
	CHECK(memory_journal_is_lost(shipper, loss.to));
	CHECK(!memory_journal_is_lost(shipper, loss.to + 1));
	/* What follows is a loss of its own: the receiver may have the first already. */
	write_frames(10);
	assert_true(memory_journal_overrun(shipper, &more));
	CHECK_EQ(more.from, loss.to + 1);
	CHECK(!memory_journal_overrun(shipper, &more));
	/* Kept until the receiver has it, also over a restart. */
	memory_journal_rewind(shipper);
	CHECK(memory_journal_overrun(shipper, &more));
	CHECK_EQ(more.to, loss.to);
	close_shipper(false);
	open_shipper();
	CHECK(memory_journal_overrun(shipper, &more));
	CHECK_EQ(more.to, loss.to);
	CHECK_EQ(more.packets, loss.packets);
	confirm(loss.to, loss.to, false);
	CHECK(!memory_journal_is_lost(shipper, 1));
	CHECK(!memory_journal_settled(shipper));
	CHECK(memory_journal_overrun(shipper, &more));
	confirm(1, more.to, false);
	CHECK(memory_journal_settled(shipper));
	check_sum(0);
	close_shipper(true);
}

static void in_flight_is_lost_if_it_did_not_arrive(void **state)
{
	struct memory_journal_frame frame;
	struct message_loss loss;
	uint64_t sent, dropped, start;

	(void)state;
	open_shipper();
	write_frames(20);
	assert_true(memory_journal_next(shipper, &frame));
	memory_journal_done(shipper);
	start = frame.start;
	CHECK(memory_journal_frame_at(shipper, start, &frame));
	sent = send_frames(7);
	CHECK_EQ(sent, 8);
	write_frames(60);
	CHECK(!memory_journal_frame_at(shipper, start, &frame));
	/* 1 to 8 may have arrived; 9 and on were never sent. */
	assert_true(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 9);
	dropped = stats().lost_packets[LOSS_JOURNAL_FULL];
	CHECK_EQ(dropped, loss.packets);
	CHECK(!memory_journal_overrun(shipper, &loss));
	check_sum(0);
	confirm(1, 2, false); /* an ACK */
	check_sum(20);
	CHECK_EQ(stats().lost_packets[LOSS_JOURNAL_FULL], dropped);
	/* A restart does not make it forget which were in flight. */
	close_shipper(false);
	open_shipper();
	check_sum(20);
	confirm(1, 5, true); /* the answer to OPEN */
	CHECK_EQ(stats().lost_packets[LOSS_JOURNAL_FULL], dropped + 30);
	check_sum(50);
	assert_true(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 6);
	CHECK_EQ(loss.to, 8);
	CHECK_EQ(loss.packets, 30);
	close_shipper(true);
}

static void refused_frames(void **state)
{
	struct memory_journal_frame frame;
	struct message_loss loss;

	(void)state;
	open_shipper();
	write_frames(3);
	assert_true(memory_journal_next(shipper, &frame));
	assert_true(memory_journal_next(shipper, &frame));
	memory_journal_done(shipper);
	memory_journal_reject(shipper, 2, frame.start);
	memory_journal_reject(shipper, 2, frame.start);
	CHECK_EQ(stats().lost_packets[LOSS_REJECTED], 10);
	assert_true(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 2);
	CHECK_EQ(loss.to, 2);
	CHECK_EQ(loss.reason, LOSS_REJECTED);
	CHECK(!memory_journal_overrun(shipper, &loss));
	/* Dropped later, it is not lost a second time. */
	write_frames(60);
	confirm(0, 0, true);
	CHECK_EQ(stats().lost_packets[LOSS_REJECTED], 10);
	CHECK(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 1);
	CHECK_EQ(loss.to, 1);
	CHECK(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 3);
	check_sum(0);
	close_shipper(true);
}

/* Refused after it was dropped: the receiver does not have it. */
static void refused_and_gone(void **state)
{
	struct memory_journal_frame frame;
	struct message_loss loss;
	uint64_t lost;

	(void)state;
	open_shipper();
	write_frames(1);
	assert_true(memory_journal_next(shipper, &frame));
	memory_journal_done(shipper);
	while (memory_journal_frame_at(shipper, frame.start, &frame))
		write_frames(1);
	lost = stats().lost_packets[LOSS_JOURNAL_FULL];
	memory_journal_reject(shipper, 1, frame.start);
	CHECK_EQ(stats().lost_packets[LOSS_JOURNAL_FULL], lost + 10);
	CHECK(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 1);
	check_sum(0);
	close_shipper(true);
}

static void given_up(void **state)
{
	struct message_loss loss;

	(void)state;
	open_shipper();
	write_frames(5);
	send_frames(3);
	memory_journal_give_up(shipper, LOSS_SHUTDOWN);
	CHECK(memory_journal_drained(shipper));
	CHECK_EQ(stats().frames, 0);
	CHECK_EQ(stats().packets, 0);
	CHECK_EQ(stats().lost_packets[LOSS_SHUTDOWN], 50);
	CHECK_EQ(stats().lost_wire_packets[LOSS_SHUTDOWN], 100);
	check_sum(0);
	/* Whoever goes on with the stream says so. */
	close_shipper(false);
	open_shipper();
	CHECK_EQ(stats().lost_packets[LOSS_SHUTDOWN], 50);
	assert_true(memory_journal_overrun(shipper, &loss));
	CHECK_EQ(loss.from, 1);
	CHECK_EQ(loss.to, 5);
	CHECK_EQ(loss.reason, LOSS_SHUTDOWN);
	close_shipper(true);
}

/* The file writer holds what the uplink has long shipped: both are served. */
static void beside_a_plain_reader(void **state)
{
	struct memory_journal_reader *plain;
	struct memory_journal_frame frame;
	struct message_loss loss;

	(void)state;
	open_shipper();
	assert_int_equal(memory_journal_reader_create(&plain, journal), 0);
	write_frames(5);
	send_frames(5);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(memory_journal_next(plain, &frame));
	while (sample_frame(&writer, 10))
		;
	CHECK(!memory_journal_overrun(shipper, &loss));
	memory_journal_release(plain, frame.offset);
	write_frames(1);
	CHECK(!memory_journal_overrun(plain, &loss));
	CHECK(!memory_journal_overrun(shipper, &loss));
	CHECK(memory_journal_is_lost(shipper, 1));
	check_sum(0);
	memory_journal_reader_destroy(plain);
	close_shipper(true);
}

static int setup(void **state)
{
	(void)state;
	sample_setup();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sample_teardown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unsent_is_lost_at_once),
		TEST(in_flight_is_lost_if_it_did_not_arrive),
		TEST(refused_frames),
		TEST(refused_and_gone),
		TEST(given_up),
		TEST(beside_a_plain_reader),
	};

	return cmocka_run_group_tests_name("memory_journal_shipper", tests, setup, teardown);
}
