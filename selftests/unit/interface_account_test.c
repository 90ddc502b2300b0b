/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sums of an account, and when a number of losses is said again. */
#include "agent/interface_account.h"
#include "selftests/unit/check.h"

static void at_once_and_then_once_a_minute(void **state)
{
	struct loss_alert alert = {};
	uint64_t now = 1000 * NS_PER_SEC;

	(void)state;
	CHECK_EQ(loss_alert_rise(&alert, 0, now), 0);
	CHECK_EQ(alert.risen_ns, 0);
	CHECK_EQ(loss_alert_rise(&alert, 5, now), 5);
	CHECK_EQ(loss_alert_rise(&alert, 5, now + NS_PER_SEC), 0);
	CHECK_EQ(alert.risen_ns, now);
	CHECK_EQ(loss_alert_rise(&alert, 9, now + 2 * NS_PER_SEC), 0);
	CHECK_EQ(alert.risen_ns, now + 2 * NS_PER_SEC);
	CHECK_EQ(loss_alert_rise(&alert, 10, now + LOSS_ALERT_NS - 1), 0);
	/* All since the last line. */
	CHECK_EQ(loss_alert_rise(&alert, 10, now + LOSS_ALERT_NS), 5);
	CHECK_EQ(loss_alert_rise(&alert, 10, now + 10 * LOSS_ALERT_NS), 0);
	CHECK_EQ(loss_alert_rise(&alert, 11, now + 10 * LOSS_ALERT_NS), 1);
}

static void everything_that_was_seen_is_somewhere(void **state)
{
	struct interface_reading reading = {
		.taken = 1000,
		.lost = { 1, 2, 3, 4 },
		.nic = { .missed = 100, .fifo = 10, .rx_dropped = 7 },
	};
	struct pcapng_statistics told;
	struct interface_account account;
	uint64_t sum;

	(void)state;
	reading.counts[XCAP_SEEN].frames = 3000;
	reading.counts[XCAP_SELF].frames = 200;
	reading.counts[XCAP_OTHER_DIRECTION].frames = 300;
	reading.counts[XCAP_FILTERED].frames = 400;
	reading.counts[XCAP_SAMPLED_OUT].frames = 20;
	reading.counts[XCAP_RING_FULL].frames = 50;
	reading.counts[XCAP_TOO_LONG].frames = 5;
	reading.counts[XCAP_NO_MEMORY].frames = 6;
	reading.counts[XCAP_NO_SOCKET].frames = 7;
	interface_account_make(&account, &reading);
	CHECK_EQ(account.arrived, 3110);
	CHECK_EQ(account.dropped[INTERFACE_DROP_NIC], 110);
	CHECK_EQ(account.dropped[INTERFACE_DROP_LOST + INTERFACE_REDIRECTED_LOST], 4);
	CHECK_EQ(account.pending, 1002);
	sum = account.self + account.other_direction + account.filtered + account.sampled_out +
	      account.delivered + account.pending;
	for (unsigned int d = INTERFACE_DROP_NIC + 1; d < INTERFACE_DROP_COUNT; d++)
		sum += account.dropped[d];
	CHECK_EQ(sum, account.seen);
	told = interface_account_statistics(&account, 5, 9);
	CHECK_EQ(told.start_ns, 5);
	CHECK_EQ(told.time_ns, 9);
	CHECK_EQ(told.received, 3000);
	CHECK_EQ(told.dropped, 110);
	CHECK_EQ(told.filter_accepted, 2080);
	CHECK_EQ(told.os_dropped, 78);
	CHECK_EQ(told.delivered, 1000);
	CHECK_EQ(interface_account_kernel_dropped(&account), 68);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everything_that_was_seen_is_somewhere),
		TEST(at_once_and_then_once_a_minute),
	};

	return cmocka_run_group_tests_name("interface_account", tests, NULL, NULL);
}
