/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/suggest.h"

#include "selftests/unit/check.h"

static void suggestions(void **state)
{
	static const char *const names[] = { "snapshot-length", "mode", "batch-size", "count" };
	static const struct {
		const char *name, *expected;
	} cases[] = {
		{ "snapshot-lenght", "snapshot-length" },
		{ "snapshot_length", "snapshot-length" },
		{ "snaplen", "snapshot-length" },
		{ "BATCH_SIZE", "batch-size" },
		{ "mdoe", "mode" },
		{ "coutn", "count" },
		{ "x", "" },
		{ "", "" },
		{ "interface", "" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_STR(suggest(c->name, names, ARRAY_SIZE(names)) ?: "", c->expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(suggestions),
	};

	return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
