/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

#define FLUSH_NS (20 * NS_PER_MS)
#define RETRY_NS NS_PER_SEC
#define LARGE_WRITE (256 * KIB)
#define FAILURE_LOG_NS (60 * NS_PER_SEC)

struct output {
	struct output_config config;
	struct capture *capture;
	struct buf filling, writing;
	struct loop_op write, sync;
	struct loop_timer flush, retry;
	char *path;
	int fd;
	uint64_t written; /* offset in a file, bytes of a stream */
	uint64_t failure_logged_ns;
	int sync_err;
	bool is_file, in_flight, syncing, blocked, broken;
};

int output_side_path(char *ret, size_t size, const char *path, bool is_late, int link_type)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const char *extension = strrchr(name, '.');
	char link[24] = "";

	if (!extension || extension == name)
		extension = name + strlen(name);
	if (link_type >= 0)
		snprintf(link, sizeof(link), ".linktype%d", link_type);
	if (snprintf(ret, size, "%.*s%s%s%s", (int)(extension - path), path, is_late ? ".late" : "",
		     link, extension) >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}

/* The name is to be there after a power cut too. */
static int sync_parent(const char *path)
{
	char *copy = strdup(path);
	int fd, err = 0;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return err;
}

static int open_file(struct output *output, const struct output_resume *resume)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC;
	struct stat st;

	if (resume)
		flags = O_WRONLY | O_CLOEXEC;
	/* A pipe that nobody reads yet: do not wait, whoever comes (back) reads on. */
	else if (stat(output->path, &st) == 0 && S_ISFIFO(st.st_mode))
		flags = O_RDWR | O_CLOEXEC;
	output->fd = open(output->path, flags, 0644);
	if (output->fd < 0 || fstat(output->fd, &st))
		return -errno;
	output->is_file = S_ISREG(st.st_mode);
	if (!output->is_file)
		return 0;
	if (resume && (uint64_t)st.st_size < resume->offset)
		return -EPIPE;
	if (ftruncate(output->fd, resume ? (off_t)resume->offset : 0))
		return -errno;
	output->written = resume ? resume->offset : 0;
	return resume ? 0 : sync_parent(output->path);
}

static void retry_expired(struct loop_timer *timer)
{
	output_flush(container_of(timer, struct output, retry));
}

static void flush_expired(struct loop_timer *timer)
{
	output_flush(container_of(timer, struct output, flush));
}

static void write_failed(struct output *output, int err)
{
	uint64_t now = loop_now(output->config.loop);

	if (err == -EINTR || err == -EAGAIN) { /* a stream that somebody made non-blocking */
		loop_timer_start(output->config.loop, &output->retry, 10 * NS_PER_MS);
		return;
	}
	if (err == -EPIPE || err == -ECANCELED) {
		output->broken = true;
		if (err == -EPIPE)
			output->config.broken(output->config.context, err);
		return;
	}
	output->blocked = true;
	if (!output->failure_logged_ns || now - output->failure_logged_ns > FAILURE_LOG_NS) {
		log_error(err, "cannot write %s; trying again every second", output->path);
		output->failure_logged_ns = now;
	}
	loop_timer_start(output->config.loop, &output->retry, RETRY_NS);
}

static void write_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct output *output = container_of(op, struct output, write);

	(void)cqe_flags;
	output->in_flight = false;
	if (res <= 0) {
		write_failed(output, res ?: -EIO);
		return;
	}
	if (output->blocked)
		log_info("writing %s again", output->path);
	output->blocked = false;
	output->failure_logged_ns = 0;
	output->written += (uint64_t)res;
	buf_consume(&output->writing, (size_t)res);
	if (output->writing.len || output->filling.len >= LARGE_WRITE)
		output_flush(output);
	output->config.progressed(output->config.context);
}

void output_flush(struct output *output)
{
	struct buf empty = output->writing;

	if (output->in_flight || output->broken)
		return;
	if (!output->writing.len) {
		output->writing = output->filling;
		output->filling = empty;
		loop_timer_stop(output->config.loop, &output->flush);
	}
	if (!output->writing.len)
		return;
	output->in_flight = true;
	io_uring_prep_write(loop_sqe(output->config.loop, &output->write), output->fd,
			    output->writing.data, (unsigned int)MIN(output->writing.len, GIB),
			    output->is_file ? output->written : (uint64_t)-1);
}

static void sync_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct output *output = container_of(op, struct output, sync);

	(void)cqe_flags;
	output->syncing = false;
	output->sync_err = MIN(res, 0);
	output->config.progressed(output->config.context);
}

void output_sync(struct output *output)
{
	if (output->syncing)
		return;
	if (!output->is_file) {
		output->sync_err = 0;
		return;
	}
	output->syncing = true;
	io_uring_prep_fsync(loop_sqe(output->config.loop, &output->sync), output->fd,
			    IORING_FSYNC_DATASYNC);
}

int output_open(struct output **ret, const struct output_config *config,
		const struct output_resume *resume)
{
	struct output *output = calloc(1, sizeof(*output));
	int err = -ENOMEM;

	if (!output)
		return err;
	output->config = *config;
	output->fd = -1;
	output->write.done = write_done;
	output->sync.done = sync_done;
	output->flush.expired = flush_expired;
	output->retry.expired = retry_expired;
	output->path = strdup(strcmp(config->path, "-") == 0 ? "standard output" : config->path);
	if (!output->path)
		goto fail;
	if (strcmp(config->path, "-") == 0) {
		output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		err = output->fd < 0 ? -errno : 0;
	} else {
		err = open_file(output, resume);
	}
	if (!err)
		err = capture_create(&output->capture, config->format,
				     "xcap-aggregator " XCAP_VERSION);
	if (err)
		goto fail;
	if (resume && resume->is_begun)
		capture_resume(output->capture, resume->link_type, resume->interface_count);
	*ret = output;
	return 0;
fail:
	output_close(output, false);
	return err;
}

void output_close(struct output *output, bool force)
{
	if (!output)
		return;
	loop_timer_stop(output->config.loop, &output->flush);
	loop_timer_stop(output->config.loop, &output->retry);
	if (force) {
		output->broken = true;
		if (output->in_flight)
			loop_cancel(output->config.loop, &output->write);
	}
	while ((output->in_flight || output->syncing) && !loop_turn(output->config.loop, true))
		;
	capture_destroy(output->capture);
	buf_release(&output->filling);
	buf_release(&output->writing);
	if (output->fd >= 0)
		close(output->fd);
	free(output->path);
	free(output);
}

static void filled(struct output *output)
{
	if (output->filling.len >= LARGE_WRITE)
		output_flush(output);
	else if (output->filling.len && !loop_timer_armed(&output->flush))
		loop_timer_start(output->config.loop, &output->flush, FLUSH_NS);
}

/* err: of what was made from `before` on. */
static int put(struct output *output, size_t before, int err)
{
	if (output->filling.failed) { /* no half a block */
		output->filling.len = before;
		output->filling.failed = false;
		return -ENOMEM;
	}
	if (!err)
		filled(output);
	return err;
}

int output_packet(struct output *output, const char *agent,
		  const struct pcapng_interface *interface, const struct pcapng_packet *packet)
{
	size_t before = output->filling.len;

	return put(output, before,
		   capture_packet(output->capture, agent, interface, packet, &output->filling));
}

int output_statistics(struct output *output, const char *agent,
		      const struct pcapng_interface *interface,
		      const struct pcapng_statistics *statistics)
{
	size_t before = output->filling.len;

	return put(output, before,
		   capture_statistics(output->capture, agent, interface, statistics,
				      &output->filling));
}

void output_finish(struct output *output)
{
	if (!capture_begun(output->capture))
		(void)!capture_begin(output->capture, LINKTYPE_ETHERNET, &output->filling);
	capture_end(output->capture, &output->filling);
	output_flush(output);
}

uint64_t output_waiting(const struct output *output)
{
	return output->filling.len + output->writing.len;
}

uint64_t output_offset(const struct output *output)
{
	return output->written + output_waiting(output);
}

uint64_t output_written(const struct output *output)
{
	return output->written;
}

bool output_synced(const struct output *output, int *err)
{
	*err = output->sync_err;
	return !output->syncing;
}

bool output_idle(const struct output *output)
{
	return !output->in_flight && !output->syncing;
}

bool output_blocked(const struct output *output)
{
	return output->blocked;
}

bool output_is_file(const struct output *output)
{
	return output->is_file;
}

bool output_is_begun(const struct output *output)
{
	return capture_begun(output->capture);
}

uint32_t output_interface_count(const struct output *output)
{
	return capture_interface_count(output->capture);
}

uint16_t output_link_type(const struct output *output)
{
	return capture_link_type(output->capture);
}

const char *output_path(const struct output *output)
{
	return output->path;
}
