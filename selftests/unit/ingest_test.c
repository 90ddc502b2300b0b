/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/ingest.h"

#include "common/log.h"

#include "selftests/unit/check.h"

static void credit_shared(void **state)
{
	static const struct {
		const char *name;
		uint64_t memory;
		uint32_t connections;
		uint64_t credit;
	} cases[] = {
		{ "alone", 256 * MIB, 1, 16 * MIB },
		{ "not counted yet", 256 * MIB, 0, 16 * MIB },
		{ "a share", 256 * MIB, 64, 4 * MIB },
		{ "the least", 256 * MIB, 10000, 256 * KIB },
		{ "little memory", 2 * MIB, 1, 2 * MIB },
	};

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(ingest_credit(c->memory, c->connections), c->credit);
}

/* However many are refused, the log has a bounded number of lines, and nothing is uncounted. */
static void refusals_bounded(void **state)
{
	struct refusals refusals = {};
	uint64_t now = NS_PER_SEC, logged = 0, before;

	(void)state;
	log_init(LOG_LEVEL_ERROR);
	for (int i = 0; i < 100000; i++) {
		now += NS_PER_MS;
		before = refusals.budget.suppressed;
		refusal_count(&refusals, now, REFUSAL_TLS, "peer", "text");
		logged += refusals.budget.suppressed <= before;
	}
	CHECK_EQ(refusals_get(&refusals, REFUSAL_TLS), 100000);
	CHECK_EQ(refusals_get(&refusals, REFUSAL_FRAME), 0);
	CHECK(logged >= 30 && logged <= 30 + 100 / 2);
	for (int i = 0; i < REFUSAL_COUNT; i++)
		CHECK(strlen(refusal_name(i)) > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(credit_shared),
		TEST(refusals_bounded),
	};

	return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
