/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lane_sources.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "selftests/unit/check.h"

struct fake_source {
	struct source source;
	unsigned int packets, lost;
	bool is_destroyed;
};

static struct fake_source *fake_of(const struct source *source)
{
	return container_of((struct source *)(uintptr_t)source, struct fake_source, source);
}

static bool fake_peek(struct source *source, struct source_packet *ret)
{
	*ret = (struct source_packet){ .wire_packets = 1 };
	return fake_of(source)->packets > 0;
}

static void fake_stats(const struct source *source, struct source_stats *ret)
{
	*ret = (struct source_stats){ .fill_ring_empty = fake_of(source)->lost,
				      .pending_bytes = 60 * (uint64_t)fake_of(source)->packets };
}

static void fake_destroy(struct source *source)
{
	fake_of(source)->is_destroyed = true;
}

static const struct source_ops fake_ops = {
	.name = "fake", .peek = fake_peek, .stats = fake_stats, .destroy = fake_destroy
};

static void fake_init(struct fake_source *fake)
{
	*fake = (struct fake_source){
		.source = { .ops = &fake_ops, .poll_fd = eventfd(0, EFD_CLOEXEC) },
	};
	assert_true(fake->source.poll_fd >= 0);
}

static void one_that_leaves_is_emptied_first(void **state)
{
	static struct lane_sources sources;
	struct fake_source a, b;
	struct loop *loop;

	(void)state;
	fake_init(&a);
	fake_init(&b);
	assert_int_equal(loop_create(&loop, 16), 0);
	lane_sources_init(&sources);
	CHECK_EQ(lane_sources_add(&sources, &a.source), 0);
	CHECK_EQ(lane_sources_add(&sources, &b.source), 0);
	CHECK_EQ(lane_sources_count_leaving(&sources), 0);
	lane_sources_arm(&sources, loop);
	CHECK_EQ(sources.polls_armed, 2);
	a.packets = 1;
	a.lost = 5;
	atomic_store(&a.source.is_leaving, true);
	CHECK_EQ(lane_sources_count_leaving(&sources), 1);
	CHECK(!lane_sources_let_go(&sources, loop));
	CHECK_EQ(sources.count, 2);
	a.packets = 0;
	CHECK(lane_sources_let_go(&sources, loop));
	CHECK_EQ(sources.count, 1);
	CHECK(sources.list[0] == &b.source);
	/* The kernel still has its poll. */
	CHECK(!atomic_load(&a.source.is_released));
	lane_sources_arm(&sources, loop);
	CHECK_EQ(sources.polls_armed, 2);
	while (sources.polls_armed == 2)
		assert_int_equal(loop_turn(loop, true), 0);
	CHECK(!atomic_load(&a.source.is_released));
	CHECK(lane_sources_let_go(&sources, loop));
	CHECK(atomic_load(&a.source.is_released));
	CHECK_EQ(sources.leaving_count, 0);
	/* What it had lost stays, what it had is another's to destroy. */
	close(a.source.poll_fd);
	a.lost = 100;
	CHECK_EQ(sources.gone.fill_ring_empty, 5);
	lane_sources_stop(&sources, loop);
	CHECK_EQ(sources.polls_armed, 0);
	lane_sources_release(&sources);
	CHECK(!a.is_destroyed);
	CHECK(b.is_destroyed);
	close(b.source.poll_fd);
	loop_destroy(loop);
}

static void places_are_used_again(void **state)
{
	static struct lane_sources sources;
	static struct fake_source fakes[LANE_SOURCES_MAX + 1];
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_create(&loop, 16), 0);
	lane_sources_init(&sources);
	for (unsigned int i = 0; i <= LANE_SOURCES_MAX; i++) {
		fakes[i].source = (struct source){ .ops = &fake_ops, .poll_fd = -1 };
		CHECK_EQ(lane_sources_add(&sources, &fakes[i].source),
			 i < LANE_SOURCES_MAX ? 0 : -ENOSPC);
	}
	for (unsigned int i = 0; i < 10; i++)
		atomic_store(&fakes[50 * i].source.is_leaving, true);
	CHECK_EQ(lane_sources_count_leaving(&sources), 10);
	CHECK(lane_sources_let_go(&sources, loop));
	CHECK_EQ(sources.count, LANE_SOURCES_MAX - 10);
	for (unsigned int i = 0; i < 10; i++) {
		CHECK(atomic_load(&fakes[50 * i].source.is_released));
		atomic_store(&fakes[50 * i].source.is_leaving, false);
		CHECK_EQ(lane_sources_add(&sources, &fakes[50 * i].source), 0);
	}
	CHECK_EQ(lane_sources_add(&sources, &fakes[LANE_SOURCES_MAX].source), -ENOSPC);
	CHECK_EQ(sources.count, LANE_SOURCES_MAX);
	lane_sources_release(&sources);
	loop_destroy(loop);
}

static void at_the_end_when_all_are(void **state)
{
	static struct lane_sources sources;
	struct fake_source a, b;

	(void)state;
	fake_init(&a);
	fake_init(&b);
	lane_sources_init(&sources);
	CHECK(!lane_sources_at_end(&sources)); /* one may come */
	CHECK_EQ(lane_sources_add(&sources, &a.source), 0);
	CHECK_EQ(lane_sources_add(&sources, &b.source), 0);
	a.source.at_end = true;
	CHECK(!lane_sources_at_end(&sources));
	b.source.at_end = true;
	CHECK(lane_sources_at_end(&sources));
	close(a.source.poll_fd);
	close(b.source.poll_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_leaves_is_emptied_first),
		TEST(places_are_used_again),
		TEST(at_the_end_when_all_are),
	};

	return cmocka_run_group_tests_name("lane_sources", tests, NULL, NULL);
}
