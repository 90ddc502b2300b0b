/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/nic_clock.h"

#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/check.h"

#define SECOND ((int64_t)NS_PER_SEC)
/* 2026-11-21, an hour after the host was started. */
#define UTC_NS (1795000000ull * NS_PER_SEC)
#define HOST_NS (3600ull * NS_PER_SEC)

/* CLOCK_MONOTONIC of a stamp, as the programs compute it (bpf/stamp.bpf.h). */
static uint64_t at(const struct xcap_line *line, uint64_t nic_ns)
{
	int64_t since = (int64_t)(nic_ns - line->nic_ns);

	return line->host_ns + (uint64_t)(since + (since * line->rate >> XCAP_RATE_SHIFT));
}

static struct clocks_reading reading(uint64_t nic_ns, uint64_t host_ns)
{
	return (struct clocks_reading){ .ns = nic_ns, .monotonic_ns = host_ns, .error_ns = 500 };
}

static void adjtimex_is_understood(void **state)
{
	static const struct {
		const char *name;
		struct timex timex;
		int state;
		struct host_clock clock;
	} cases[] = {
		{ "chronyd's",
		  { .offset = -1500,
		    .status = STA_NANO | STA_PLL,
		    .maxerror = 900,
		    .esterror = 20,
		    .tai = 37 },
		  TIME_OK,
		  { true, -1500, 900000, 20000, 37 } },
		{ "in microseconds", { .offset = 3 }, TIME_OK, { true, 3000, 0, 0, 0 } },
		{ "before a leap second", { .tai = 37 }, TIME_INS, { true, 0, 0, 0, 37 } },
		{ "left alone",
		  { .status = STA_UNSYNC, .maxerror = 16000000, .esterror = 16000000 },
		  TIME_ERROR,
		  { false, 0, 16000000000, 16000000000, 0 } },
		{ "not synchronised yet", { .status = STA_UNSYNC }, TIME_OK, {} },
		{ "it could not be asked", {}, -1, {} },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct host_clock clock;

		host_clock_take(&clock, &c->timex, c->state);
		CHECK_EQ(clock.synchronised, c->clock.synchronised);
		CHECK_EQ(clock.offset_ns, c->clock.offset_ns);
		CHECK_EQ(clock.max_error_ns, c->clock.max_error_ns);
		CHECK_EQ(clock.estimated_error_ns, c->clock.estimated_error_ns);
		CHECK_EQ(clock.tai_s, c->clock.tai_s);
	}
}

static void a_clock_that_runs_by_itself_is_followed(void **state)
{
	static const struct {
		const char *name;
		uint64_t begin; /* what the card shows at first */
		int64_t ppm;	/* how much faster it runs */
	} cases[] = {
		{ "from 0", 0, 0 },
		{ "from 0, fast", 0, 100 },
		{ "UTC, slow", UTC_NS, -250 },
		{ "TAI", UTC_NS + 37 * NS_PER_SEC, 1 },
		{ "as fast as believed", 12345, 1900 },
		{ "as slow as believed", 12345, -1900 },
		{ "near its end", UINT64_MAX - NS_PER_SEC / 2, 50 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct nic_clock clock;
		uint64_t nic = c->begin, host = HOST_NS;

		nic_clock_init(&clock);
		for (int second = 0; second < 5; second++) {
			struct clocks_reading now = reading(nic, host);

			nic_clock_follow(&clock, &now);
			CHECK_EQ(at(&clock.line, nic), host);
			CHECK_EQ(clock.line.until_ns, host + NIC_CLOCK_GOOD_NS);
			nic += (uint64_t)(SECOND + SECOND / 1000000 * c->ppm);
			host += NS_PER_SEC;
		}
		CHECK_EQ(clock.steps, 0);
		/* From the last reading on, and back, by the rate it had. */
		CHECK(llabs((int64_t)(at(&clock.line, nic) - host)) <= 2);
		CHECK(llabs((int64_t)(at(&clock.line, clock.line.nic_ns - NS_PER_MS) -
				      (clock.line.host_ns - NS_PER_MS))) <= 2000);
		CHECK(llabs(clock.line.rate) <= XCAP_RATE_MAX);
	}
}

static void a_clock_that_is_set_begins_anew(void **state)
{
	static const struct {
		const char *name;
		int64_t nic_s, host_s; /* from the reading before */
	} cases[] = {
		{ "forward", 38, 1 },
		{ "back", -36, 1 },
		{ "stands", 0, 1 },
		{ "a long pause", 100, 100 },
		{ "no line could reach", 100000000, 1 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct clocks_reading first = reading(UTC_NS, HOST_NS);
		struct clocks_reading second = reading(UTC_NS + (uint64_t)(c->nic_s * SECOND),
						       HOST_NS + (uint64_t)(c->host_s * SECOND));
		struct nic_clock clock;

		nic_clock_init(&clock);
		nic_clock_follow(&clock, &first);
		nic_clock_follow(&clock, &second);
		CHECK_EQ(clock.steps, 1);
		CHECK_EQ(clock.line.rate, 0);
		CHECK_EQ(at(&clock.line, second.ns + 5), second.monotonic_ns + 5);
	}
}

/* What a reading errs is no drift, however soon it is repeated. */
static void readings_close_to_each_other_tell_no_rate(void **state)
{
	static const struct {
		const char *name;
		int64_t nic_ns, host_ns; /* after the second reading */
		int64_t rate_ppm;	 /* expected */
		uint64_t steps;
	} cases[] = {
		{ "at once", 700, 0, 200, 0 },
		{ "at once, as if it ran back", -700, 0, 200, 0 },
		{ "a millisecond later", 1001000, 1000000, 200, 0 },
		{ "so early, and set", 38000000000, 1000000, 0, 1 },
		{ "late enough", 500000000, 500000000, 0, 0 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct clocks_reading readings[] = {
			reading(5 * NS_PER_SEC, HOST_NS),
			reading(6 * NS_PER_SEC - 200 * NS_PER_US, HOST_NS + NS_PER_SEC),
			reading(6 * NS_PER_SEC - 200 * NS_PER_US + (uint64_t)c->nic_ns,
				HOST_NS + NS_PER_SEC + (uint64_t)c->host_ns),
		};
		struct nic_clock clock;

		nic_clock_init(&clock);
		for (size_t i = 0; i < ARRAY_SIZE(readings); i++)
			nic_clock_follow(&clock, &readings[i]);
		CHECK_EQ(clock.steps, c->steps);
		CHECK(llabs(clock.line.rate * 1000000 - c->rate_ppm * (1ll << XCAP_RATE_SHIFT)) <
		      (1ll << XCAP_RATE_SHIFT));
		CHECK_EQ(at(&clock.line, readings[2].ns), readings[2].monotonic_ns);
	}
}

static void a_reading_that_was_interrupted_is_left_out(void **state)
{
	struct clocks_reading good = reading(NS_PER_SEC, HOST_NS);
	struct clocks_reading bad = reading(2 * NS_PER_SEC + 90000, HOST_NS + NS_PER_SEC);
	struct nic_clock clock;

	(void)state;
	bad.error_ns = 100000;
	nic_clock_init(&clock);
	nic_clock_follow(&clock, &good);
	nic_clock_follow(&clock, &bad);
	CHECK_EQ(at(&clock.line, 2 * NS_PER_SEC), HOST_NS + NS_PER_SEC);
	CHECK_EQ(clock.line.until_ns, HOST_NS + NIC_CLOCK_GOOD_NS);
	/* Better than none. */
	bad.ns += NIC_CLOCK_GOOD_NS;
	bad.monotonic_ns += NIC_CLOCK_GOOD_NS;
	nic_clock_follow(&clock, &bad);
	CHECK_EQ(at(&clock.line, bad.ns), bad.monotonic_ns);
}

static void scales_are_told_apart(void **state)
{
	static const struct {
		const char *name;
		int64_t ahead_ns;
		int tai_s;
		enum nic_clock_scale scale;
	} cases[] = {
		{ "UTC", 0, 37, NIC_CLOCK_UTC },
		{ "UTC, nearly", -1000000, 37, NIC_CLOCK_UTC },
		{ "not so near", 1000001, 37, NIC_CLOCK_OTHER },
		{ "TAI", 37 * SECOND, 37, NIC_CLOCK_TAI },
		{ "TAI, nearly", 37 * SECOND + 999999, 37, NIC_CLOCK_TAI },
		{ "TAI of another year", 36 * SECOND, 37, NIC_CLOCK_OTHER },
		{ "TAI, the kernel was not told", 37 * SECOND, 0, NIC_CLOCK_OTHER },
		{ "UTC, the kernel was not told", 20, 0, NIC_CLOCK_UTC },
		{ "since it was switched on", -1700000000 * SECOND, 37, NIC_CLOCK_OTHER },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct host_clock host = { .tai_s = c->tai_s };

		CHECK_EQ(nic_clock_scale(c->ahead_ns, &host), c->scale);
	}
}

/* Readings are never of the same moment. */
static void ahead_is_of_one_moment(void **state)
{
	struct clocks_reading nic = reading(UTC_NS + 37 * NS_PER_SEC + 800, HOST_NS + 300);
	struct clocks_reading utc = reading(UTC_NS, HOST_NS);

	(void)state;
	CHECK_EQ(nic_clock_ahead(&nic, &utc), 37 * SECOND + 500);
	nic = reading(UTC_NS - 1000, HOST_NS - 200);
	CHECK_EQ(nic_clock_ahead(&nic, &utc), -800);
}

static void ptp_is_believed_only_with_evidence(void **state)
{
	static const struct {
		const char *name;
		int64_t ahead_ns;
		struct host_clock host;
		bool steered;
		const char *why; /* NULL: it is believed */
		int64_t scale_ns;
	} cases[] = {
		{ "TAI",
		  37 * SECOND + 40,
		  { .synchronised = true, .tai_s = 37 },
		  true,
		  NULL,
		  37 * SECOND },
		{ "UTC", -40, { .synchronised = true, .tai_s = 37 }, true, NULL, 0 },
		{ "UTC, TAI unknown", -40, { .synchronised = true }, true, NULL, 0 },
		{ "left alone since the host set it",
		  0,
		  { .synchronised = true, .tai_s = 37 },
		  false,
		  "nobody has adjusted it",
		  0 },
		{ "the host's clock is not synchronised",
		  37 * SECOND,
		  { .tai_s = 37 },
		  true,
		  "while this host's clock is not",
		  0 },
		{ "TAI unknown",
		  37 * SECOND - 90,
		  { .synchronised = true },
		  true,
		  "TAI, 37 s ahead of UTC, but the kernel was not told TAI-UTC",
		  0 },
		{ "another time",
		  1500 * 1000 * 1000,
		  { .synchronised = true, .tai_s = 37 },
		  true,
		  "it is 1.500000 s ahead of UTC",
		  0 },
		{ "TAI by another table",
		  36 * SECOND,
		  { .synchronised = true, .tai_s = 37 },
		  true,
		  "it is 36.000000 s ahead of UTC",
		  0 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct nic_clock_evidence evidence = {
			.nic = reading(UTC_NS + (uint64_t)c->ahead_ns + 70, HOST_NS + 70),
			.utc = reading(UTC_NS, HOST_NS),
			.host = c->host,
			.steered = c->steered,
		};
		char why[NIC_CLOCK_WHY_LEN] = "";
		struct xcap_line line = {};
		uint64_t stamp = evidence.nic.ns + 123456;
		int err = nic_clock_ptp(&line, &evidence, why);

		CHECK_EQ(err, c->why ? -EDOM : 0);
		CHECK(!c->why || strstr(why, c->why));
		/* What frames make of it is the stamp itself, told as UTC. */
		if (!c->why)
			CHECK_EQ(at(&line, stamp) + (UTC_NS - HOST_NS),
				 stamp - (uint64_t)c->scale_ns);
	}
}

/* The kernel's TAI is a clock like a card's that PTP keeps: it may be told what is ahead of UTC. */
static void the_kernels_own_tai_is_followed(void **state)
{
	struct clocks_reading tai = clocks_compare(CLOCK_TAI), utc = clocks_compare(CLOCK_REALTIME);
	struct nic_clock clock;
	struct timex timex = {};
	struct host_clock host;
	uint64_t now, as_host;

	(void)state;
	host_clock_take(&host, &timex, adjtimex(&timex));
	CHECK_EQ(nic_clock_scale(nic_clock_ahead(&tai, &utc), &host),
		 host.tai_s ? NIC_CLOCK_TAI : NIC_CLOCK_UTC);
	nic_clock_init(&clock);
	nic_clock_follow(&clock, &tai);
	now = clock_ns(CLOCK_MONOTONIC);
	as_host = at(&clock.line, clock_ns(CLOCK_TAI));
	CHECK(as_host + NIC_CLOCK_AGREE_NS >= now);
	CHECK(as_host <= clock_ns(CLOCK_MONOTONIC) + NIC_CLOCK_AGREE_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(adjtimex_is_understood),
		TEST(a_clock_that_runs_by_itself_is_followed),
		TEST(a_clock_that_is_set_begins_anew),
		TEST(readings_close_to_each_other_tell_no_rate),
		TEST(a_reading_that_was_interrupted_is_left_out),
		TEST(scales_are_told_apart),
		TEST(ahead_is_of_one_moment),
		TEST(ptp_is_believed_only_with_evidence),
		TEST(the_kernels_own_tai_is_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
