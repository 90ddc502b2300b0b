/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/selection.h"

#include "selftests/unit/check.h"

static void the_plainest_word_that_fits_is_found(void **state)
{
	static const struct {
		const char *name;
		const char *words[4];
		const char *interface;
		int found;
	} cases[] = {
		{ "a name", { "lo", "eth0" }, "eth0", 1 },
		{ "no part of a name", { "eth" }, "eth0", -1 },
		{ "nothing is asked for", {}, "eth0", -1 },
		{ "a pattern", { "lo", "eth*" }, "eth0", 1 },
		{ "a pattern of one character", { "eth?" }, "eth10", -1 },
		{ "a pattern of a set", { "eth[0-3]" }, "eth2", 0 },
		{ "beside the set", { "eth[0-3]" }, "eth4", -1 },
		{ "a pattern is for all of the name", { "eth*" }, "veth1", -1 },
		{ "any", { "any" }, "eth0", 0 },
		{ "a name goes before a pattern", { "eth*", "eth0" }, "eth0", 1 },
		{ "a pattern goes before any", { "any", "eth*" }, "eth0", 1 },
		{ "the first pattern", { "any", "e*", "eth*" }, "eth0", 1 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		const char *items[4];
		struct config_list words = { .items = items };

		for (; words.count < 4 && c->words[words.count]; words.count++)
			items[words.count] = c->words[words.count];
		CHECK_EQ(selection_find(&words, c->interface), c->found);
	}
}

static void words_are_told_apart(void **state)
{
	(void)state;
	CHECK_EQ(selection_kind("any"), SELECTION_ANY);
	CHECK_EQ(selection_kind("anything"), SELECTION_NAME);
	CHECK_EQ(selection_kind("eth0.100"), SELECTION_NAME);
	CHECK_EQ(selection_kind("eth*"), SELECTION_PATTERN);
	CHECK_EQ(selection_kind("eth?"), SELECTION_PATTERN);
	CHECK_EQ(selection_kind("eth[01]"), SELECTION_PATTERN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_plainest_word_that_fits_is_found),
		TEST(words_are_told_apart),
	};

	return cmocka_run_group_tests_name("selection", tests, NULL, NULL);
}
