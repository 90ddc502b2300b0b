/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PROBE_INTERVAL_NS (100 * NS_PER_MS)
/* Less than this waits for an fdatasync in flight: it could not be committed before that ends. */
#define WRITE_MIN (512 * KIB)
/*
 * Groups of less begin no closer together, even where fdatasync takes no time: each costs wake-ups
 * and system calls like a large one. The first after a pause does not wait.
 */
#define GROUP_NS NS_PER_MS

static void fail(struct journal *journal, int err)
{
	if (!journal->failure)
		journal->failure = err;
}

static void create_submit(struct journal *journal, enum create_step step)
{
	struct io_uring_sqe *sqe = loop_sqe(journal->loop, &journal->create_op);

	journal->create_step = step;
	journal->is_creating = true;
	switch (step) {
	case CREATE_OPEN:
		io_uring_prep_openat(sqe, journal->dir_fd, JOURNAL_SPARE_NAME,
				     O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		break;
	case CREATE_ALLOCATE:
		io_uring_prep_fallocate(sqe, journal->spare_fd, 0, 0,
					(off_t)journal->config.segment_bytes);
		break;
	case CREATE_RENAME:
		io_uring_prep_renameat(sqe, journal->dir_fd, JOURNAL_SPARE_NAME, journal->dir_fd,
				       journal->current.name, 0);
		break;
	case CREATE_SYNC_DIR:
		io_uring_prep_fsync(sqe, journal->dir_fd, 0);
		break;
	}
}

static void drop_spare(struct journal *journal, int err)
{
	if (journal->spare_fd >= 0) {
		(void)!unlinkat(journal->dir_fd, JOURNAL_SPARE_NAME, 0);
		close(journal->spare_fd);
	}
	journal->spare_fd = -1;
	journal->spare_err = err;
}

static void create_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct journal *journal = container_of(op, struct journal, create_op);

	(void)cqe_flags;
	journal->is_creating = false;
	if (res == -EINTR || res == -EAGAIN) {
		create_submit(journal, journal->create_step);
		return;
	}
	switch (journal->create_step) {
	case CREATE_OPEN:
		if (res >= 0) {
			journal->spare_fd = res;
			create_submit(journal, CREATE_ALLOCATE);
			return;
		}
		drop_spare(journal, res);
		break;
	case CREATE_ALLOCATE:
		/* A file system that cannot do it lets the file grow. */
		if (res < 0 && res != -EOPNOTSUPP)
			drop_spare(journal, res);
		break;
	case CREATE_RENAME:
		if (res >= 0) {
			journal->current.fd = journal->spare_fd;
			journal->spare_fd = -1;
			create_submit(journal, CREATE_SYNC_DIR);
			return;
		}
		drop_spare(journal, 0);
		fail(journal, res);
		break;
	case CREATE_SYNC_DIR:
		if (res < 0)
			fail(journal, res);
		else
			journal->current.is_ready = true;
		break;
	}
	journal_pump(journal);
}

/* The next step towards a file for the current segment. */
static void create_current(struct journal *journal)
{
	int err = journal->spare_err;

	if (journal->spare_fd >= 0) {
		create_submit(journal, CREATE_RENAME);
	} else if (err) {
		journal->spare_err = 0;
		fail(journal, err);
		journal_pump(journal);
	} else {
		create_submit(journal, CREATE_OPEN);
	}
}

/* Ahead of the time that it is needed; if it fails, the attempt that counts is made then. */
static void create_spare(struct journal *journal)
{
	const struct active *active = &journal->current;

	if (journal->spare_fd < 0 && !journal->spare_err &&
	    journal_offset(active, journal->written) > active->bytes / 2)
		create_submit(journal, CREATE_OPEN);
}

/* One request for all that is to be written to the current segment. */
static void write_submit(struct journal *journal)
{
	struct active *active = &journal->current;
	uint64_t offset = journal_offset(active, journal->write_at);
	size_t left = (size_t)(journal->write_goal - journal->write_at), at, part;
	unsigned int count = 0;

	if (offset < active->head_len) {
		part = active->head_len - offset;
		journal->iov[count++] = (struct iovec){ active->head.data + offset, part };
		left -= part;
	}
	at = (size_t)(journal->ring_out % journal->ring_size);
	part = MIN(left, journal->ring_size - at);
	if (part)
		journal->iov[count++] = (struct iovec){ journal->ring + at, part };
	if (left > part)
		journal->iov[count++] = (struct iovec){ journal->ring, left - part };
	journal->is_writing = true;
	journal->group_ns = clock_ns(CLOCK_MONOTONIC);
	journal->stats.writes++;
	io_uring_prep_writev(loop_sqe(journal->loop, &journal->write_op), active->fd, journal->iov,
			     count, offset);
}

static void write_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct journal *journal = container_of(op, struct journal, write_op);
	struct active *active = &journal->current;
	uint64_t offset = journal_offset(active, journal->write_at), from_head;

	(void)cqe_flags;
	journal->is_writing = false;
	if (res > 0) {
		from_head = offset < active->head_len ? active->head_len - offset : 0;
		journal->write_at += (uint64_t)res;
		journal->stats.bytes += (uint64_t)res;
		if ((uint64_t)res > from_head)
			journal->ring_out += (uint64_t)res - from_head;
		if (journal_offset(active, journal->write_at) >= active->head_len)
			buf_release(&active->head);
		if (journal->write_at == journal->write_goal)
			journal->written = journal->write_goal;
	} else if (res != -EINTR && res != -EAGAIN) {
		fail(journal, res ? res : -EIO);
	}
	journal_pump(journal);
}

static void sync_submit(struct journal *journal)
{
	struct io_uring_sqe *sqe = loop_sqe(journal->loop, &journal->sync_op);

	journal->sync_goal = journal->written;
	journal->sync_started_ns = clock_ns(CLOCK_MONOTONIC);
	journal->is_syncing = true;
	journal->stats.syncs++;
#ifdef XCAP_TEST_NO_SYNC
	/* Shows that the test of a power cut notices. */
	if (getenv("XCAP_TEST_NO_SYNC")) {
		io_uring_prep_nop(sqe);
		return;
	}
#endif
	io_uring_prep_fsync(sqe, journal->current.fd, IORING_FSYNC_DATASYNC);
}

static void commit_pending(struct journal *journal)
{
	struct pending_frame *pending;

	while (journal->pending_count) {
		pending = &journal->pending[journal->pending_first];
		if (pending->end > journal->stats.durable)
			break;
		stream_entry_commit(journal->streams.list[pending->stream], &pending->range);
		journal->pending_first =
			(journal->pending_first + 1) & (journal->pending_capacity - 1);
		journal->pending_count--;
		journal->stats.frames++;
	}
}

static void sync_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct journal *journal = container_of(op, struct journal, sync_op);

	(void)cqe_flags;
	journal->is_syncing = false;
	journal->stats.sync_ns = clock_ns(CLOCK_MONOTONIC) - journal->sync_started_ns;
	if (res < 0 && res != -EINTR && res != -EAGAIN)
		fail(journal, res);
	if (res >= 0) {
		journal->stats.durable = journal->sync_goal;
		journal->failing = 0;
		journal->is_probing = false;
		commit_pending(journal);
		journal->config.committed(journal->config.context, journal->stats.durable, 0);
	}
	journal_pump(journal);
}

/* The current segment is durable to its end: the next takes its place. */
static void finish_segment(struct journal *journal)
{
	struct active *active = &journal->current;

	/* What was allocated beyond its end is of no use. Readers do without this. */
	(void)!ftruncate(active->fd, (off_t)journal_offset(active, active->end));
	journal_active_release(active);
	journal->current = journal->next;
	journal->has_current = journal->has_next;
	journal->next = (struct active){ .fd = -1 };
	journal->has_next = false;
	journal->spare_err = 0;
}

/* Leaves in the file only what is durable. */
static void abandon_segment(struct journal *journal)
{
	struct active *active = &journal->current;
	uint64_t len = journal_offset(active, journal->stats.durable);

	if (active->fd >= 0 && len)
		(void)!ftruncate(active->fd, (off_t)len);
	else if (active->fd >= 0)
		(void)!unlinkat(journal->dir_fd, active->name, 0);
	journal_active_release(active);
	journal_active_release(&journal->next);
	journal->has_current = false;
	journal->has_next = false;
}

void journal_probe(struct journal *journal)
{
	if (journal->has_current || loop_now(journal->loop) < journal->probe_ns)
		return;
	journal->probe_ns = loop_now(journal->loop) + PROBE_INTERVAL_NS;
	if (journal_begin_segment(journal))
		return;
	journal->is_probing = true;
	journal->kicked = journal->stats.appended;
	journal_pump(journal);
}

/* Nothing is in flight: give up what is not durable. */
static void finish_failure(struct journal *journal)
{
	bool was_probing = journal->is_probing;
	int err = journal->failure;

	if (journal->has_current)
		abandon_segment(journal);
	for (uint32_t i = 0; i < journal->streams.count; i++)
		stream_entry_revert(journal->streams.list[i]);
	journal->pending_count = 0;
	journal->ring_out = journal->ring_in;
	journal->stats.appended = journal->stats.durable;
	journal->written = journal->stats.durable;
	journal->kicked = journal->stats.durable;
	journal->write_at = journal->stats.durable;
	journal->write_goal = journal->stats.durable;
	journal->failure = 0;
	journal->failing = err;
	journal->spare_err = 0;
	journal->is_probing = false;
	journal->stats.failures++;
	if (was_probing)
		return;
	journal->flush_err = err;
	journal_probe(journal);
	journal->config.committed(journal->config.context, journal->stats.durable, err);
}

static void group_due(struct loop_timer *timer)
{
	journal_pump(container_of(timer, struct journal, group_timer));
}

/* Is it too early for a group of these bytes? */
static bool group_waits(struct journal *journal, uint64_t bytes)
{
	uint64_t now, due = journal->group_ns + GROUP_NS;

	if (bytes >= WRITE_MIN || journal->current.end)
		return false;
	now = clock_ns(CLOCK_MONOTONIC);
	if (now >= due)
		return false;
	if (!loop_timer_armed(&journal->group_timer))
		loop_timer_start(journal->loop, &journal->group_timer, due - now);
	return true;
}

void journal_pump(struct journal *journal)
{
	struct active *active = &journal->current;
	uint64_t goal;

	if (journal->failure) {
		if (!journal_in_flight(journal))
			finish_failure(journal);
		return;
	}
	if (journal->has_current && active->end && journal->stats.durable == active->end)
		finish_segment(journal);
	if (!journal->has_current || journal->kicked <= journal->stats.durable)
		return;
	if (!active->is_ready) {
		if (!journal->is_creating)
			create_current(journal);
		return;
	}
	if (!journal->is_syncing && journal->written > journal->stats.durable)
		sync_submit(journal);
	if (!journal->is_creating)
		create_spare(journal);
	if (journal->is_writing)
		return;
	goal = active->end ? active->end : journal->stats.appended;
	if (journal->write_at < journal->write_goal) {
		write_submit(journal); /* the rest of a short write */
	} else if (goal > journal->written && journal->kicked > journal->written &&
		   (!journal->is_syncing || goal - journal->written >= WRITE_MIN) &&
		   !group_waits(journal, goal - journal->written)) {
		journal->write_goal = goal;
		write_submit(journal);
	}
}

void journal_pipeline_init(struct journal *journal)
{
	journal->spare_fd = -1;
	journal->create_op.done = create_done;
	journal->write_op.done = write_done;
	journal->sync_op.done = sync_done;
	journal->group_timer.expired = group_due;
}

void journal_pipeline_release(struct journal *journal)
{
	loop_timer_stop(journal->loop, &journal->group_timer);
	drop_spare(journal, 0);
}
