/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/gather.h"

#include <stdlib.h>

#include "selftests/unit/check.h"

#define SOURCES 5
#define PACKETS 2000

/* A source over an array; what lies beyond `visible` is not there yet. */
struct fake_source {
	struct source source;
	uint64_t times[PACKETS];
	unsigned int at, visible, given_back;
};

static bool fake_peek(struct source *source, struct source_packet *ret)
{
	struct fake_source *fake = container_of(source, struct fake_source, source);

	if (fake->at >= fake->visible)
		return false;
	*ret = (struct source_packet){ .time_ns = fake->times[fake->at], .wire_packets = 1 };
	return true;
}

static void fake_take(struct source *source)
{
	container_of(source, struct fake_source, source)->at++;
}

static void fake_give_back(struct source *source)
{
	struct fake_source *fake = container_of(source, struct fake_source, source);

	fake->given_back = fake->at;
}

static const struct source_ops fake_ops = {
	.name = "fake", .peek = fake_peek, .take = fake_take, .give_back = fake_give_back
};

static void the_earliest_comes_first(void **state)
{
	static struct fake_source fakes[SOURCES];
	struct source *sources[SOURCES], *from;
	const struct source_packet *packet;
	struct gather *gather;
	unsigned int seed = 5, taken = 0;
	uint64_t last = 0;

	(void)state;
	for (int s = 0; s < SOURCES; s++) {
		uint64_t time = 0;

		fakes[s].source.ops = &fake_ops;
		fakes[s].visible = PACKETS;
		sources[s] = &fakes[s].source;
		for (int i = 0; i < PACKETS; i++)
			fakes[s].times[i] = time += (uint64_t)rand_r(&seed) % 50;
	}
	assert_int_equal(gather_create(&gather, sources, SOURCES), 0);
	while ((packet = gather_peek(gather, &from))) {
		CHECK(packet->time_ns >= last);
		last = packet->time_ns;
		gather_take(gather);
		if (++taken % 97 == 0)
			gather_give_back(gather);
	}
	CHECK_EQ(taken, SOURCES * PACKETS);
	gather_give_back(gather);
	for (int s = 0; s < SOURCES; s++)
		CHECK_EQ(fakes[s].given_back, PACKETS);
	gather_destroy(gather);
}

static void what_comes_later_is_seen(void **state)
{
	static struct fake_source fakes[2] = { { .times = { 10, 30 } }, { .times = { 20, 40 } } };
	struct source *sources[2] = { &fakes[0].source, &fakes[1].source }, *from;
	const struct source_packet *packet;
	struct gather *gather;

	(void)state;
	fakes[0].source.ops = fakes[1].source.ops = &fake_ops;
	fakes[0].visible = 1;
	assert_int_equal(gather_create(&gather, sources, 2), 0);
	packet = gather_peek(gather, &from);
	assert_non_null(packet);
	CHECK_EQ(packet->time_ns, 10);
	CHECK(from == sources[0]);
	gather_take(gather);
	CHECK(!gather_peek(gather, &from));
	fakes[0].visible = fakes[1].visible = 2;
	for (uint64_t want = 20; want <= 40; want += 10) {
		packet = gather_peek(gather, &from);
		assert_non_null(packet);
		CHECK_EQ(packet->time_ns, want);
		gather_take(gather);
	}
	gather_destroy(gather);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_earliest_comes_first),
		TEST(what_comes_later_is_seen),
	};

	return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
