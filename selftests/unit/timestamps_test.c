/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/timestamps.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include "agent/nic_clock.h"
#include "bpf/hwstamp.h"
#include "selftests/unit/check.h"

static char root[64];

static void run(const char *format, const char *argument)
{
	char command[512];

	snprintf(command, sizeof(command), format, argument);
	assert_int_equal(system(command), 0);
}

static int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/dev/shm/timestamps_test.XXXXXX");
	assert_non_null(mkdtemp(root));
	return 0;
}

static int remove_root(void **state)
{
	(void)state;
	run("rm -rf %s", root);
	return 0;
}

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key)) ?: "";
}

static void ptp_clocks_are_found_in_sysfs(void **state)
{
	json_t *json, *list, *first, *last;
	char device[128];

	(void)state;
	run("mkdir -p %s/sys/class/ptp", root);
	json = timestamps_clock_json(root);
	CHECK_EQ(json_array_size(json_object_get(json, "ptp_clocks")), 0);
	json_decref(json);
	run("cd %s/sys/class/ptp && mkdir ptp2 ptp10 && echo igb >ptp2/clock_name &&"
	    " echo 62499999 >ptp2/max_adjustment",
	    root);
	/* A device that is no clock is not read. */
	run("mkdir %s/dev", root);
	run("ln -s /dev/null %s/dev/ptp2", root);
	json = timestamps_clock_json(root);
	list = json_object_get(json, "ptp_clocks");
	CHECK_EQ(json_array_size(list), 2);
	first = json_array_get(list, 0);
	snprintf(device, sizeof(device), "%s/dev/ptp2", root);
	CHECK_STR(text(first, "device"), device);
	CHECK_STR(text(first, "clock_name"), "igb");
	CHECK_STR(text(first, "max_adjustment"), "62499999");
	CHECK(!json_object_get(first, "ahead_of_utc_seconds"));
	last = json_array_get(list, 1);
	CHECK(json_is_null(json_object_get(last, "clock_name")));
	json_decref(json);
}

static void the_hosts_clock_is_as_adjtimex_says(void **state)
{
	json_t *json = timestamps_clock_json("");
	struct timex timex = {};
	int result = adjtimex(&timex);
	struct host_clock host;

	(void)state;
	host_clock_take(&host, &timex, result);
	CHECK_EQ(json_is_true(json_object_get(json, "synchronised")), host.synchronised);
	CHECK_EQ(json_integer_value(json_object_get(json, "tai_minus_utc_seconds")), host.tai_s);
	CHECK(json_real_value(json_object_get(json, "max_error_seconds")) >= 0);
	json_decref(json);
}

/* The one interface that every machine has, and it is no network card. */
static void loopback_has_the_kernels_stamps_only(void **state)
{
	static const struct {
		const char *name;
		enum agent_timestamps asked;
		bool is_tap;
		int err;
	} cases[] = {
		{ "kernel", AGENT_TIMESTAMPS_KERNEL, false, 0 },
		{ "auto", AGENT_TIMESTAMPS_AUTO, false, 0 },
		{ "auto, tap", AGENT_TIMESTAMPS_AUTO, true, 0 },
		{ "nic", AGENT_TIMESTAMPS_NIC, false, -EDOM },
		{ "nic, tap", AGENT_TIMESTAMPS_NIC, true, -EDOM },
		{ "ptp", AGENT_TIMESTAMPS_PTP, false, -EDOM },
	};
	struct hwstamp stamps;
	struct netdev device;

	(void)state;
	assert_int_equal(netdev_query(&device, if_nametoindex("lo")), 0);
	hwstamp_query(&stamps, &device);
	CHECK(!stamps.some && !stamps.all);
	CHECK_EQ(stamps.phc, -1);
	FOR_EACH_CASE (c, cases) {
		struct timestamps_config config = {
			.asked = c->asked,
			.device = &device,
			.is_tap = c->is_tap,
		};
		struct timestamps *timestamps = NULL;
		char error[EXPLAIN_LEN] = "";

		CHECK_EQ(timestamps_create(&timestamps, &config, error), c->err);
		CHECK_EQ(!timestamps, c->err != 0);
		CHECK(!c->err || strstr(error, "cannot take time stamps of lo's network card"));
		if (!timestamps)
			continue;
		CHECK_EQ(timestamps_source(timestamps), TIMESTAMPS_KERNEL);
		CHECK_STR(timestamps_name(timestamps), "kernel");
		CHECK(!timestamps_asks_card(timestamps));
		CHECK_EQ(*timestamps_why(timestamps) != '\0', c->asked == AGENT_TIMESTAMPS_AUTO);
		timestamps_destroy(timestamps);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ptp_clocks_are_found_in_sysfs),
		TEST(the_hosts_clock_is_as_adjtimex_says),
		TEST(loopback_has_the_kernels_stamps_only),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
