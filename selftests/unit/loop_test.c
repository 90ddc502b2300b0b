/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "selftests/unit/check.h"

#define TIMERS 300

struct watched_timer {
	struct loop_timer timer;
	uint64_t *last;
	unsigned int *fired;
	struct loop *loop;
};

static void in_order(struct loop_timer *timer)
{
	struct watched_timer *watched = container_of(timer, struct watched_timer, timer);

	CHECK(timer->deadline_ns >= *watched->last);
	CHECK(clock_ns(CLOCK_MONOTONIC) >= timer->deadline_ns);
	*watched->last = timer->deadline_ns;
	++*watched->fired;
}

static void timers_fire_in_order(void **state)
{
	static struct watched_timer timers[TIMERS];
	unsigned int fired = 0, seed = 3, stopped = 0;
	uint64_t last = 0;
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_create(&loop, 8), 0);
	for (int i = 0; i < TIMERS; i++) {
		timers[i] = (struct watched_timer){
			.timer.expired = in_order, .last = &last, .fired = &fired, .loop = loop
		};
		loop_timer_start(loop, &timers[i].timer,
				 (uint64_t)rand_r(&seed) % (20 * NS_PER_MS));
	}
	for (int i = 0; i < TIMERS; i += 3) { /* moved */
		loop_timer_start(loop, &timers[i].timer,
				 (uint64_t)rand_r(&seed) % (20 * NS_PER_MS));
	}
	for (int i = 1; i < TIMERS; i += 7) {
		loop_timer_stop(loop, &timers[i].timer);
		CHECK(!loop_timer_armed(&timers[i].timer));
		stopped++;
	}
	while (fired + stopped < TIMERS)
		assert_int_equal(loop_turn(loop, true), 0);
	CHECK_EQ(fired, TIMERS - stopped);
	loop_destroy(loop);
}

struct reader {
	struct loop_op op;
	int res, calls;
	char byte;
};

static void read_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct reader *reader = container_of(op, struct reader, op);

	(void)cqe_flags;
	reader->res = res;
	reader->calls++;
}

static void completion_before_cancel_and_after(void **state)
{
	struct reader reader = { .op.done = read_done };
	struct loop *loop;
	int fds[2];

	(void)state;
	assert_int_equal(loop_create(&loop, 8), 0);
	assert_int_equal(pipe(fds), 0);
	io_uring_prep_read(loop_sqe(loop, &reader.op), fds[0], &reader.byte, 1, 0);
	loop_cancel(loop, &reader.op);
	while (!reader.calls)
		assert_int_equal(loop_turn(loop, true), 0);
	CHECK_EQ(reader.res, -ECANCELED);

	assert_int_equal(write(fds[1], "x", 1), 1);
	io_uring_prep_read(loop_sqe(loop, &reader.op), fds[0], &reader.byte, 1, 0);
	while (reader.calls < 2)
		assert_int_equal(loop_turn(loop, true), 0);
	CHECK_EQ(reader.res, 1);
	loop_cancel(loop, &reader.op); /* nothing there: no call comes */
	assert_int_equal(loop_turn(loop, false), 0);
	assert_int_equal(loop_turn(loop, false), 0);
	CHECK_EQ(reader.calls, 2);
	close(fds[0]);
	close(fds[1]);
	loop_destroy(loop);
}

static unsigned int signalled_calls;

static void signalled(struct loop_event *event)
{
	signalled_calls++;
	loop_stop(event->loop);
}

static void *signal_it(void *argument)
{
	loop_event_signal(argument);
	return NULL;
}

static void an_event_wakes_from_another_thread(void **state)
{
	struct loop_event event = {};
	struct loop *loop;
	pthread_t thread;

	(void)state;
	assert_int_equal(loop_create(&loop, 8), 0);
	assert_int_equal(loop_event_init(&event, loop, signalled), 0);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, signal_it, &event), 0);
		assert_int_equal(loop_run(loop), 0);
		CHECK_EQ(signalled_calls, i);
		pthread_join(thread, NULL);
	}
	loop_event_release(&event);
	loop_event_release(&event);
	loop_destroy(loop);
}

static int caught_number;

static void caught(struct loop_signal *sig, int number)
{
	caught_number = number;
	loop_stop(sig->loop);
}

static void a_signal_is_read(void **state)
{
	struct loop_signal sig = {};
	struct loop *loop;
	sigset_t set;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	assert_int_equal(loop_create(&loop, 8), 0);
	assert_int_equal(loop_signal_init(&sig, loop, &set, caught), 0);
	kill(getpid(), SIGUSR2);
	assert_int_equal(loop_run(loop), 0);
	CHECK_EQ(caught_number, SIGUSR2);
	loop_signal_release(&sig);
	loop_destroy(loop);
}

/* More requests than the queue holds: loop_sqe() flushes by itself. */
static void the_queue_flushes(void **state)
{
	static struct reader readers[200];
	struct loop *loop;
	int fds[2], done;

	(void)state;
	assert_int_equal(loop_create(&loop, 8), 0);
	assert_int_equal(pipe(fds), 0);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		readers[i].op.done = read_done;
		io_uring_prep_read(loop_sqe(loop, &readers[i].op), fds[0], &readers[i].byte, 1, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		assert_int_equal(write(fds[1], "x", 1), 1);
	do {
		assert_int_equal(loop_turn(loop, true), 0);
		done = 0;
		for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
			done += readers[i].calls;
	} while (done < (int)ARRAY_SIZE(readers));
	close(fds[0]);
	close(fds[1]);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_fire_in_order),
		TEST(completion_before_cancel_and_after),
		TEST(an_event_wakes_from_another_thread),
		TEST(a_signal_is_read),
		TEST(the_queue_flushes),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
