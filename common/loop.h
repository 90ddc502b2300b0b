/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An event loop over one io_uring. It belongs to the thread that creates it, and so do all its
 * ops, timers and signals; loop_event_signal() alone may be called from any thread. The loop knows
 * no module: whoever does I/O embeds a struct loop_op and gets its completion by container_of.
 */
#pragma once

#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "common/util.h"

struct loop;

/*
 * One request in flight, embedded in the object that owns the I/O. From loop_sqe() to the
 * completion without IORING_CQE_F_MORE, the op and the buffers its sqe names belong to the kernel:
 * free neither before done(). res is the result of the system call or a negative errno.
 */
struct loop_op {
	void (*done)(struct loop_op *op, int res, unsigned int cqe_flags);
};

/* A one-shot timer; zero-initialise, then set expired. */
struct loop_timer {
	void (*expired)(struct loop_timer *timer);
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	size_t slot;	      /* place in the loop's heap plus one; 0: not armed */
};

/* Wakes the loop from any thread. */
struct loop_event {
	struct loop_op op;
	void (*signalled)(struct loop_event *event);
	struct loop *loop;
	uint64_t count;
	int fd;
	bool closing;
};

/* Signals, blocked for the process and read from a signalfd. */
struct loop_signal {
	struct loop_op op;
	void (*caught)(struct loop_signal *sig, int number);
	struct loop *loop;
	int fd;
	bool closing;
	uint8_t info[128]; /* struct signalfd_siginfo */
};

/*
 * entries: size of the submission queue. -ENOSYS, -EPERM or -EACCES where io_uring is not to be
 * had: the daemons end with 69 then (see loop_unavailable()).
 */
int loop_create(struct loop **ret, unsigned int entries) must_check;
/* Nothing may be in flight except what the loop itself started. */
void loop_destroy(struct loop *loop);
/* What to tell the user when loop_create() failed with err: names the sysctl or the seccomp. */
const char *loop_unavailable(int err);

/*
 * A submission entry bound to op (NULL: nobody waits). Never NULL: where the queue cannot be
 * flushed the entry leads nowhere and loop_run() returns the error. Set sqe->flags after prep.
 */
struct io_uring_sqe *loop_sqe(struct loop *loop, struct loop_op *op);
/* Ask the kernel to give op up; its done() still comes, usually with -ECANCELED. */
void loop_cancel(struct loop *loop, struct loop_op *op);

/* Turns until loop_stop(). 0 or the error that stuck. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Submit, wait (if asked to, for a completion or a timer), dispatch. 0 or a negative errno. */
int loop_turn(struct loop *loop, bool wait);
/* CLOCK_MONOTONIC when this turn began. */
uint64_t loop_now(const struct loop *loop);

/* Starting an armed timer moves it. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_armed(const struct loop_timer *timer)
{
	return timer->slot != 0;
}

int loop_event_init(struct loop_event *event, struct loop *loop,
		    void (*signalled)(struct loop_event *event)) must_check;
/* From any thread, and from signal handlers. Several signals may become one call. */
void loop_event_signal(struct loop_event *event);
/* Waits for its op to end (turns the loop for that); also fine on what was never initialised
 * beyond zero bytes. */
void loop_event_release(struct loop_event *event);

/* Blocks the signals in the calling thread: do it before others start. */
int loop_signal_init(struct loop_signal *sig, struct loop *loop, const sigset_t *set,
		     void (*caught)(struct loop_signal *sig, int number)) must_check;
void loop_signal_release(struct loop_signal *sig);
