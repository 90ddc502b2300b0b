/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct loop {
	struct io_uring ring;
	struct io_uring_sqe nowhere; /* what loop_sqe() hands out after a failure */
	struct loop_timer **timers;  /* binary heap by deadline */
	size_t timer_count, timer_capacity;
	uint64_t now;
	int err;
	bool stopping;
};

int loop_create(struct loop **ret, unsigned int entries)
{
	/* CQ_NODROP keeps completions beyond the queue's size; 4 times gives bursts room. */
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE,
		.cq_entries = 4 * entries,
	};
	struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	if (!loop)
		return -ENOMEM;
	err = io_uring_queue_init_params(entries, &loop->ring, &params);
	if (err == -EINVAL) { /* before 6.1 */
		params = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE,
						   .cq_entries = 4 * entries };
		err = io_uring_queue_init_params(entries, &loop->ring, &params);
	}
	if (err) {
		free(loop);
		return err;
	}
	io_uring_ring_dontfork(&loop->ring);
	loop->now = clock_ns(CLOCK_MONOTONIC);
	*ret = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	io_uring_queue_exit(&loop->ring);
	free(loop->timers);
	free(loop);
}

/* Linux 6.6. Its digit, 0 if there is none. */
static char read_sysctl(void)
{
	int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
	char value = 0;

	if (fd < 0)
		return 0;
	if (read(fd, &value, 1) != 1)
		value = 0;
	close(fd);
	return value;
}

const char *loop_unavailable(int err)
{
	switch (-err) {
	case ENOSYS:
		return "this kernel or the container's seccomp profile has no io_uring: allow "
		       "io_uring_setup, io_uring_enter and io_uring_register in the profile";
	case EPERM:
	case EACCES:
		switch (read_sysctl()) {
		case '0':
			return "io_uring is not permitted, but not by sysctl "
			       "kernel.io_uring_disabled, which is 0: the container's seccomp "
			       "profile "
			       "forbids it";
		case '1':
			return "io_uring is not permitted: sysctl kernel.io_uring_disabled is 1, "
			       "which forbids it to all but CAP_SYS_ADMIN and the group "
			       "kernel.io_uring_group, or the container's seccomp profile does";
		case '2':
			return "io_uring is not permitted: sysctl kernel.io_uring_disabled is 2, "
			       "which forbids it to all (`sysctl kernel.io_uring_disabled=0` "
			       "allows "
			       "it)";
		default:
			return "io_uring is not permitted: see `sysctl kernel.io_uring_disabled`, "
			       "or the container's seccomp profile";
		}
	case ENOMEM:
		return "no memory may be locked for io_uring: raise `ulimit -l`";
	default:
		return "io_uring cannot be set up";
	}
}

static void loop_fail(struct loop *loop, int err)
{
	if (!loop->err)
		loop->err = err;
}

struct io_uring_sqe *loop_sqe(struct loop *loop, struct loop_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
	int n;

	if (!sqe) {
		n = io_uring_submit(&loop->ring);
		if (n < 0)
			loop_fail(loop, n);
		sqe = io_uring_get_sqe(&loop->ring);
		if (!sqe) {
			loop_fail(loop, -EBUSY);
			return &loop->nowhere;
		}
	}
	io_uring_sqe_set_data(sqe, op);
	return sqe;
}

void loop_cancel(struct loop *loop, struct loop_op *op)
{
	struct io_uring_sqe *sqe = loop_sqe(loop, NULL);

	io_uring_prep_cancel(sqe, op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

static void heap_set(struct loop *loop, size_t i, struct loop_timer *timer)
{
	loop->timers[i] = timer;
	timer->slot = i + 1;
}

static void heap_up(struct loop *loop, size_t i, struct loop_timer *timer)
{
	while (i > 0 && loop->timers[(i - 1) / 2]->deadline_ns > timer->deadline_ns) {
		heap_set(loop, i, loop->timers[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(loop, i, timer);
}

static void heap_down(struct loop *loop, size_t i, struct loop_timer *timer)
{
	size_t child;

	while ((child = 2 * i + 1) < loop->timer_count) {
		if (child + 1 < loop->timer_count &&
		    loop->timers[child + 1]->deadline_ns < loop->timers[child]->deadline_ns)
			child++;
		if (loop->timers[child]->deadline_ns >= timer->deadline_ns)
			break;
		heap_set(loop, i, loop->timers[child]);
		i = child;
	}
	heap_set(loop, i, timer);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	size_t i = timer->slot - 1;
	struct loop_timer *last;

	if (!timer->slot)
		return;
	last = loop->timers[--loop->timer_count];
	timer->slot = 0;
	if (last == timer)
		return;
	if (i > 0 && loop->timers[(i - 1) / 2]->deadline_ns > last->deadline_ns)
		heap_up(loop, i, last);
	else
		heap_down(loop, i, last);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns)
{
	struct loop_timer **timers;
	size_t capacity;

	loop_timer_stop(loop, timer);
	if (loop->timer_count == loop->timer_capacity) {
		capacity = MAX(16, 2 * loop->timer_capacity);
		timers = realloc(loop->timers, capacity * sizeof(*timers));
		if (!timers) {
			loop_fail(loop, -ENOMEM);
			return;
		}
		loop->timers = timers;
		loop->timer_capacity = capacity;
	}
	timer->deadline_ns = clock_ns(CLOCK_MONOTONIC) + delay_ns;
	heap_up(loop, loop->timer_count++, timer);
}

static void expire_timers(struct loop *loop)
{
	struct loop_timer *timer;

	/* What expired() starts waits for the next turn at the earliest: its deadline is later. */
	while (loop->timer_count && loop->timers[0]->deadline_ns <= loop->now) {
		timer = loop->timers[0];
		loop_timer_stop(loop, timer);
		timer->expired(timer);
	}
}

static int submit_and_wait(struct loop *loop, bool wait)
{
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	uint64_t now, deadline;
	int n;

	if (!wait) {
		/* Also runs deferred task work, without which completions would not show. */
		n = io_uring_submit_and_get_events(&loop->ring);
		return n < 0 ? n : 0;
	}
	if (!loop->timer_count) {
		n = io_uring_submit_and_wait(&loop->ring, 1);
		return n < 0 ? n : 0;
	}
	now = clock_ns(CLOCK_MONOTONIC);
	deadline = loop->timers[0]->deadline_ns;
	if (deadline <= now) {
		n = io_uring_submit_and_get_events(&loop->ring);
		return n < 0 ? n : 0;
	}
	ts.tv_sec = (long long)((deadline - now) / NS_PER_SEC);
	ts.tv_nsec = (long long)((deadline - now) % NS_PER_SEC);
	n = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &ts, NULL);
	return n < 0 ? n : 0;
}

int loop_turn(struct loop *loop, bool wait)
{
	unsigned int head, count = 0;
	struct io_uring_cqe *cqe;
	struct loop_op *op;
	int err;

	if (loop->err)
		return loop->err;
	err = submit_and_wait(loop, wait);
	if (err && err != -ETIME && err != -EINTR && err != -EAGAIN && err != -EBUSY)
		loop_fail(loop, err);
	loop->now = clock_ns(CLOCK_MONOTONIC);
	io_uring_for_each_cqe (&loop->ring, head, cqe) {
		count++;
		op = io_uring_cqe_get_data(cqe);
		if (op)
			op->done(op, cqe->res, cqe->flags);
	}
	io_uring_cq_advance(&loop->ring, count);
	expire_timers(loop);
	return loop->err;
}

int loop_run(struct loop *loop)
{
	int err = 0;

	loop->stopping = false;
	while (!loop->stopping && !err)
		err = loop_turn(loop, true);
	return err;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->now;
}

static void event_arm(struct loop_event *event)
{
	io_uring_prep_read(loop_sqe(event->loop, &event->op), event->fd, &event->count,
			   sizeof(event->count), 0);
}

static void event_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct loop_event *event = container_of(op, struct loop_event, op);

	(void)cqe_flags;
	if (event->closing) {
		close(event->fd);
		event->fd = -1;
		return;
	}
	event_arm(event);
	if (res > 0)
		event->signalled(event);
}

int loop_event_init(struct loop_event *event, struct loop *loop,
		    void (*signalled)(struct loop_event *event))
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	*event = (struct loop_event){
		.op.done = event_done, .signalled = signalled, .loop = loop, .fd = fd
	};
	event_arm(event);
	return 0;
}

void loop_event_signal(struct loop_event *event)
{
	uint64_t one = 1;

	/* Fails only when 2^64 - 2 wake-ups are pending: the loop wakes up all the same. */
	if (write(event->fd, &one, sizeof(one)) < 0)
		return;
}

void loop_event_release(struct loop_event *event)
{
	if (!event->loop || event->fd < 0)
		return;
	event->closing = true;
	loop_cancel(event->loop, &event->op);
	while (event->fd >= 0 && !loop_turn(event->loop, true))
		;
	event->loop = NULL;
}

static void signal_arm(struct loop_signal *sig)
{
	io_uring_prep_read(loop_sqe(sig->loop, &sig->op), sig->fd, sig->info, sizeof(sig->info), 0);
}

static void signal_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct loop_signal *sig = container_of(op, struct loop_signal, op);
	struct signalfd_siginfo info;

	(void)cqe_flags;
	if (sig->closing) {
		close(sig->fd);
		sig->fd = -1;
		return;
	}
	memcpy(&info, sig->info, sizeof(info));
	signal_arm(sig);
	if (res == (int)sizeof(info))
		sig->caught(sig, (int)info.ssi_signo);
}

int loop_signal_init(struct loop_signal *sig, struct loop *loop, const sigset_t *set,
		     void (*caught)(struct loop_signal *sig, int number))
{
	int fd;

	_Static_assert(sizeof(struct signalfd_siginfo) == sizeof(sig->info), "signalfd_siginfo");
	if (pthread_sigmask(SIG_BLOCK, set, NULL))
		return -EINVAL;
	fd = signalfd(-1, set, SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	*sig = (struct loop_signal){
		.op.done = signal_done, .caught = caught, .loop = loop, .fd = fd
	};
	signal_arm(sig);
	return 0;
}

void loop_signal_release(struct loop_signal *sig)
{
	if (!sig->loop || sig->fd < 0)
		return;
	sig->closing = true;
	loop_cancel(sig->loop, &sig->op);
	while (sig->fd >= 0 && !loop_turn(sig->loop, true))
		;
	sig->loop = NULL;
}
