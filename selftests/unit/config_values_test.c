/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "common/config.h"
#include "selftests/unit/check.h"

static void sizes(void **state)
{
	static const struct {
		const char *name;
		uint64_t unit;
		int err;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "4096", 0, 0, 4096 },
		{ "4096B", MIB, 0, 4096 },
		{ "64KiB", 0, 0, 65536 },
		{ "64kB", 0, 0, 64000 },
		{ "64KB", 0, 0, 64000 },
		{ "8MiB", 0, 0, 8 * MIB },
		{ "1.5GiB", 0, 0, 3 * GIB / 2 },
		{ "1TiB", 0, 0, 1024 * GIB },
		{ "2TB", 0, 0, 2000000000000 },
		{ "16", MIB, 0, 16 * MIB },
		{ "0.5", MIB, 0, MIB / 2 },
		{ "18446744073709551615", 0, 0, UINT64_MAX },
		{ "16777215TiB", 0, 0, 16777215ull << 40 },
		{ "18446744073709551616", 0, -ERANGE, 0 },
		{ "16777216TiB", 0, -ERANGE, 0 },
		{ "16777215.999999999TiB", 0, -EINVAL, 0 },
		{ "1.5", 0, -EINVAL, 0 },
		{ "0.1KiB", 0, -EINVAL, 0 },
		{ "", 0, -EINVAL, 0 },
		{ "-1", 0, -EINVAL, 0 },
		{ "+1", 0, -EINVAL, 0 },
		{ " 1", 0, -EINVAL, 0 },
		{ "1 ", 0, -EINVAL, 0 },
		{ "1 KiB", 0, -EINVAL, 0 },
		{ "1K", 0, -EINVAL, 0 },
		{ "1kib", 0, -EINVAL, 0 },
		{ "KiB", 0, -EINVAL, 0 },
		{ "0x10", 0, -EINVAL, 0 },
		{ "1e3", 0, -EINVAL, 0 },
		{ "1.", 0, -EINVAL, 0 },
		{ ".5KiB", 0, -EINVAL, 0 },
		{ "1.0000000000KiB", 0, -EINVAL, 0 },
		{ "1.2.3MiB", 0, -EINVAL, 0 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		uint64_t value = 0;

		CHECK_EQ(config_parse_size(&value, c->name, c->unit), c->err);
		CHECK_EQ(value, c->value);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *name;
		uint64_t unit;
		int err;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "5", 0, 0, 5 * NS_PER_SEC },
		{ "5", NS_PER_MS, 0, 5 * NS_PER_MS },
		{ "20ms", 0, 0, 20 * NS_PER_MS },
		{ "1.5s", 0, 0, 1500 * NS_PER_MS },
		{ "0.25", 0, 0, 250 * NS_PER_MS },
		{ "5m", 0, 0, 300 * NS_PER_SEC },
		{ "2h", 0, 0, 7200 * NS_PER_SEC },
		{ "1d", 0, 0, 86400 * NS_PER_SEC },
		{ "300us", 0, 0, 300000 },
		{ "7ns", 0, 0, 7 },
		{ "0.1ns", 0, -EINVAL, 0 },
		{ "5min", 0, -EINVAL, 0 },
		{ "5S", 0, -EINVAL, 0 },
		{ "-5s", 0, -EINVAL, 0 },
		{ "1h30m", 0, -EINVAL, 0 },
		{ "ms", 0, -EINVAL, 0 },
		{ "213504d", 0, -ERANGE, 0 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		uint64_t value = 0;

		CHECK_EQ(config_parse_duration(&value, c->name, c->unit), c->err);
		CHECK_EQ(value, c->value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sizes),
		TEST(durations),
	};

	return cmocka_run_group_tests_name("config_values", tests, NULL, NULL);
}
