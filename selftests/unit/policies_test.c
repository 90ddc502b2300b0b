/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/policies.h"

#include "selftests/unit/check.h"

static const struct xcap_policy each = { .sample = 1, .sample_flow = 1 };
static const struct xcap_policy usual = { .sample = 10, .sample_flow = 4 };

static void without_filters_the_usual_holds_for_everything(void **state)
{
	static const struct {
		const char *name;
		const struct xcap_policy *usual;
		bool differ;
	} cases[] = { { "each packet", &each, false }, { "sampled", &usual, true } };
	struct filter_set none = {};
	struct policies policies;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		for (int i = 0; i < 2; i++) {
			policies_make(&policies, c->usual, i ? &none : NULL);
			CHECK_EQ(policies.differ, c->differ);
			CHECK_EQ(policies.list[0].sample, c->usual->sample);
			CHECK_EQ(policies.list[0].sample_flow, c->usual->sample_flow);
			CHECK_EQ(policies.list[0].keep, XCAP_KEEP_ALL);
		}
	}
}

static void filters_say_otherwise_by_slot(void **state)
{
	struct filter_set set = { .count = 3 };
	struct policies policies;

	(void)state;
	set.rules[0] =
		(struct filter_rule){ .slot = 2,
				      .policy = { .keep = XCAP_KEEP_HEADERS, .keep_bytes = 7 } };
	set.rules[1] = (struct filter_rule){ .slot = 63, .policy = { .sample = 1 } };
	set.rules[2] =
		(struct filter_rule){ .slot = 1, .policy = { .sample = 2, .sample_flow = 1 } };
	policies_make(&policies, &usual, &set);
	CHECK(policies.differ);
	CHECK_EQ(policies.ranks[2], 0);
	CHECK_EQ(policies.ranks[63], 1);
	CHECK_EQ(policies.ranks[1], 2);
	CHECK_EQ(policies.list[2].keep, XCAP_KEEP_HEADERS);
	CHECK_EQ(policies.list[2].keep_bytes, 7);
	CHECK_EQ(policies.list[2].sample, 10);
	CHECK_EQ(policies.list[2].sample_flow, 4);
	CHECK_EQ(policies.list[63].sample, 1);
	CHECK_EQ(policies.list[63].sample_flow, 4);
	CHECK_EQ(policies.list[1].sample, 2);
	CHECK_EQ(policies.list[1].sample_flow, 1);
	/* Of no filter: nothing that is the usual may be left there. */
	CHECK_EQ(policies.list[0].sample, 0);
}

static void nothing_is_looked_up_if_no_filter_differs(void **state)
{
	static const struct {
		const char *name;
		struct xcap_policy policy;
		bool differs;
	} cases[] = {
		{ "nothing", {}, false },
		{ "each", { .sample = 1, .sample_flow = 1 }, false },
		{ "bytes that do not count", { .keep_bytes = 9 }, false },
		{ "bytes", { .keep = XCAP_KEEP_BYTES, .keep_bytes = 9 }, true },
		{ "headers", { .keep = XCAP_KEEP_HEADERS }, true },
		{ "packets", { .sample = 2 }, true },
		{ "flows", { .sample_flow = 2 }, true },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct filter_set set = { .count = 2 };
		struct policies policies;

		set.rules[1] = (struct filter_rule){ .slot = 5, .policy = c->policy };
		policies_make(&policies, &each, &set);
		CHECK_EQ(policies.differ, c->differs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_filters_the_usual_holds_for_everything),
		TEST(filters_say_otherwise_by_slot),
		TEST(nothing_is_looked_up_if_no_filter_differs),
	};

	return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
