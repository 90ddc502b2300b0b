/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"

#define CLIENTS_MAX 32
#define REQUEST_MAX (64 * KIB)
#define REPLY_MAX (64 * MIB)
#define CHUNK_LEN 4096
#define TIMEOUT_NS (5 * NS_PER_SEC)

/* One connection: first its request is read, then the answer is sent. One op at a time. */
struct client {
	struct loop_op op;
	struct loop_timer deadline;
	struct control *control; /* NULL: the slot is free */
	struct buf request, reply;
	int fd;
	bool closing;
};

struct control {
	struct loop *loop;
	struct loop_op accept;
	struct loop_timer retry; /* after accept() had failed */
	const struct control_command *commands;
	size_t command_count;
	void *context;
	char *path;
	ino_t inode; /* of the socket: another's is not removed */
	struct client clients[CLIENTS_MAX];
	unsigned int client_count;
	int fd;
	bool accepting, closing;
};

static void arm_accept(struct control *control)
{
	if (control->accepting || control->closing || control->client_count == CLIENTS_MAX ||
	    loop_timer_armed(&control->retry))
		return;
	control->accepting = true;
	io_uring_prep_accept(loop_sqe(control->loop, &control->accept), control->fd, NULL, NULL,
			     SOCK_CLOEXEC);
}

static void client_release(struct client *client)
{
	struct control *control = client->control;

	loop_timer_stop(control->loop, &client->deadline);
	close(client->fd);
	buf_release(&client->request);
	buf_release(&client->reply);
	client->control = NULL;
	control->client_count--;
	arm_accept(control);
}

static void arm_receive(struct client *client)
{
	uint8_t *at = buf_reserve(&client->request, CHUNK_LEN);

	if (!at) {
		client_release(client);
		return;
	}
	io_uring_prep_recv(loop_sqe(client->control->loop, &client->op), client->fd, at, CHUNK_LEN,
			   0);
}

static void arm_send(struct client *client)
{
	io_uring_prep_send(loop_sqe(client->control->loop, &client->op), client->fd,
			   client->reply.data, client->reply.len, MSG_NOSIGNAL);
}

static void sent(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct client *client = container_of(op, struct client, op);

	(void)cqe_flags;
	if (res > 0)
		buf_consume(&client->reply, (size_t)res);
	if (client->closing || res <= 0 || !client->reply.len)
		client_release(client);
	else
		arm_send(client);
}

/* Takes over json. */
static void reply(struct client *client, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (text)
		buf_append(&client->reply, text, strlen(text));
	buf_append(&client->reply, "\n", 1);
	if (!text || client->reply.failed) {
		free(text);
		client_release(client);
		return;
	}
	free(text);
	client->op.done = sent;
	arm_send(client);
}

static void reply_error(struct client *client, const char *error)
{
	/* json_pack() refuses what is not UTF-8. */
	json_t *json = json_pack("{s:b,s:s}", "ok", 0, "error", error);

	reply(client, json ?: json_pack("{s:b,s:s}", "ok", 0, "error", "failed"));
}

static void run_command(struct client *client, const struct control_command *command,
			const json_t *request)
{
	const char *error = NULL;
	json_t *result = NULL;
	int err;

	err = command->run(client->control->context, request, &result, &error);
	if (err)
		reply_error(client, error ?: strerrordesc_np(-err) ?: "failed");
	else
		reply(client, json_pack("{s:b,s:o?}", "ok", 1, "result", result));
}

/* The request is complete: len bytes. */
static void dispatch(struct client *client, size_t len)
{
	struct control *control = client->control;
	json_t *request;
	const char *name;
	char error[256];
	json_error_t why;

	request = json_loadb((const char *)client->request.data, len, JSON_REJECT_DUPLICATES, &why);
	name = json_string_value(json_object_get(request, "command"));
	if (!request)
		snprintf(error, sizeof(error), "not JSON: %s", why.text);
	else
		snprintf(error, sizeof(error), "an object with a \"command\" is expected");
	for (size_t i = 0; name && i < control->command_count; i++) {
		if (strcmp(control->commands[i].name, name) == 0) {
			run_command(client, &control->commands[i], request);
			json_decref(request);
			return;
		}
	}
	if (name)
		snprintf(error, sizeof(error), "unknown command \"%.64s\"", name);
	json_decref(request);
	reply_error(client, error);
}

static void received(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct client *client = container_of(op, struct client, op);
	const struct buf *request = &client->request;
	const uint8_t *newline;

	(void)cqe_flags;
	if (client->closing || res < 0 || (!res && !request->len)) {
		client_release(client);
		return;
	}
	buf_commit(&client->request, (size_t)res);
	newline = memchr(request->data, '\n', request->len);
	if (newline && (size_t)(newline - request->data) <= REQUEST_MAX)
		dispatch(client, (size_t)(newline - request->data));
	else if (request->len > REQUEST_MAX)
		reply_error(client, "request is larger than 64 KiB");
	else if (!res) /* the peer will send no more, nor a newline */
		dispatch(client, request->len);
	else
		arm_receive(client);
}

static void client_expired(struct loop_timer *timer)
{
	struct client *client = container_of(timer, struct client, deadline);

	client->closing = true;
	loop_cancel(client->control->loop, &client->op);
}

static void accepted(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct control *control = container_of(op, struct control, accept);
	struct client *client = control->clients;

	(void)cqe_flags;
	control->accepting = false;
	if (control->closing) {
		if (res >= 0)
			close(res);
		return;
	}
	if (res < 0) { /* out of descriptors, or the peer has gone */
		loop_timer_start(control->loop, &control->retry, NS_PER_SEC);
		return;
	}
	while (client->control)
		client++;
	*client = (struct client){ .op.done = received,
				   .deadline.expired = client_expired,
				   .control = control,
				   .fd = res };
	control->client_count++;
	loop_timer_start(control->loop, &client->deadline, TIMEOUT_NS);
	arm_receive(client);
	arm_accept(control);
}

static void retry_accept(struct loop_timer *timer)
{
	arm_accept(container_of(timer, struct control, retry));
}

static int set_path(struct sockaddr_un *ret, const char *path)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret->sun_path, path);
	return 0;
}

/*
 * Is who listens there alive? The socket of a daemon that was killed takes connections until the
 * kernel has wound up its io_uring, some milliseconds after the process.
 */
static bool is_alive(int fd)
{
	struct ucred peer = {};
	socklen_t len = sizeof(peer);
	struct pollfd ended = { .events = POLLIN };
	bool alive;

	/* 0: it is in another PID namespace, out of sight. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.pid <= 0)
		return true;
	ended.fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	if (ended.fd < 0)
		return errno != ESRCH;
	/* Readable once the process has ended, though nobody has waited for it yet. */
	alive = poll(&ended, 1, 0) == 0;
	close(ended.fd);
	return alive;
}

/* -EADDRINUSE: somebody listens there. 0: nobody does, and the socket is gone. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, err = 0;

	if (lstat(address->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		err = is_alive(fd) ? -EADDRINUSE : 0;
	else if (errno == EAGAIN)
		err = -EADDRINUSE;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		err = -errno;
	if (!err && unlink(address->sun_path) && errno != ENOENT)
		err = -errno;
	close(fd);
	return err;
}

static int open_socket(struct control *control)
{
	struct sockaddr_un address;
	struct stat st;
	int err;

	err = set_path(&address, control->path);
	if (err)
		return err;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (control->fd < 0)
		return -errno;
	/* The file that bind() makes has the mode of the socket: there is no moment with another.
	 */
	if (fchmod(control->fd, 0600))
		return -errno;
	err = remove_stale(&address);
	if (err)
		return err;
	if (bind(control->fd, (const struct sockaddr *)&address, sizeof(address)))
		return -errno;
	if (lstat(control->path, &st))
		return -errno;
	control->inode = st.st_ino;
	return listen(control->fd, CLIENTS_MAX) ? -errno : 0;
}

int control_create(struct control **ret, struct loop *loop, const char *path,
		   const struct control_command *commands, size_t count, void *context)
{
	struct control *control = calloc(1, sizeof(*control));
	int err = -ENOMEM;

	if (!control)
		return err;
	*control = (struct control){ .loop = loop,
				     .accept.done = accepted,
				     .retry.expired = retry_accept,
				     .commands = commands,
				     .command_count = count,
				     .context = context,
				     .path = strdup(path),
				     .fd = -1 };
	if (!control->path)
		goto fail;
	err = open_socket(control);
	if (err)
		goto fail;
	arm_accept(control);
	*ret = control;
	return 0;
fail:
	control_destroy(control);
	return err;
}

static void end_all(struct control *control)
{
	control->closing = true;
	loop_timer_stop(control->loop, &control->retry);
	if (control->accepting)
		loop_cancel(control->loop, &control->accept);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (!control->clients[i].control)
			continue;
		control->clients[i].closing = true;
		loop_cancel(control->loop, &control->clients[i].op);
	}
}

void control_destroy(struct control *control)
{
	struct stat st;

	if (!control)
		return;
	end_all(control);
	while (control->accepting || control->client_count) {
		if (loop_turn(control->loop, true))
			return; /* the kernel may still hold the ops: their memory must stay */
	}
	if (control->inode && !lstat(control->path, &st) && st.st_ino == control->inode)
		unlink(control->path);
	if (control->fd >= 0)
		close(control->fd);
	free(control->path);
	free(control);
}

/* Milliseconds left for poll(), rounded up. */
static int time_left(uint64_t deadline_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	return now >= deadline_ns ? 0 : (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS);
}

static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	int n;

	do
		n = poll(&poll_fd, 1, time_left(deadline_ns));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == 0 ? -ETIMEDOUT : 0;
}

static int connect_to(int *ret, const char *path, uint64_t deadline_ns)
{
	struct sockaddr_un address;
	int err, fd;

	err = set_path(&address, path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		err = -errno;
		/* A full backlog; there is nothing to poll for. */
		if (err == -EAGAIN && time_left(deadline_ns)) {
			poll(NULL, 0, 10);
			continue;
		}
		close(fd);
		return err == -EAGAIN ? -ETIMEDOUT : err;
	}
	*ret = fd;
	return 0;
}

static int send_all(int fd, struct buf *data, uint64_t deadline_ns)
{
	ssize_t n;
	int err;

	while (data->len) {
		n = send(fd, data->data, data->len, MSG_NOSIGNAL);
		if (n >= 0) {
			buf_consume(data, (size_t)n);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		err = wait_for(fd, POLLOUT, deadline_ns);
		if (err)
			return err;
	}
	return 0;
}

/* Up to a newline or the end. */
static int receive_line(int fd, struct buf *line, uint64_t deadline_ns)
{
	uint8_t *at;
	ssize_t n;
	int err;

	while (line->len < REPLY_MAX) {
		at = buf_reserve(line, 65536);
		if (!at)
			return -ENOMEM;
		n = recv(fd, at, 65536, 0);
		if (n > 0) {
			buf_commit(line, (size_t)n);
			if (memchr(at, '\n', (size_t)n))
				return 0;
			continue;
		}
		if (n == 0)
			return line->len ? 0 : -ECONNRESET;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		err = wait_for(fd, POLLIN, deadline_ns);
		if (err)
			return err;
	}
	return -EMSGSIZE;
}

static int decode_reply(const struct buf *line, json_t **result, char error[256])
{
	json_t *json = json_loadb((const char *)line->data, line->len, 0, NULL), *value;
	const char *text;

	if (!json || !json_is_boolean(json_object_get(json, "ok"))) {
		json_decref(json);
		snprintf(error, 256, "the answer cannot be understood: is that a daemon of xcap?");
		return -EPROTO;
	}
	if (!json_is_true(json_object_get(json, "ok"))) {
		text = json_string_value(json_object_get(json, "error"));
		snprintf(error, 256, "%s", text ?: "failed");
		json_decref(json);
		return -EREMOTEIO;
	}
	value = json_object_get(json, "result");
	*result = value ? json_incref(value) : json_null();
	json_decref(json);
	return 0;
}

/* The path comes last: it may be cut. */
static void explain(int err, const char *path, char error[256])
{
	switch (-err) {
	case ENAMETOOLONG:
		snprintf(error, 256, "socket path is too long (%zu bytes, at most %zu): %s",
			 strlen(path), sizeof(((struct sockaddr_un *)0)->sun_path) - 1, path);
		break;
	case ENOENT:
	case ENOTDIR:
		snprintf(error, 256, "no daemon runs there: no socket %s", path);
		break;
	case ECONNREFUSED:
		snprintf(error, 256, "the daemon is gone: nobody listens at %s", path);
		break;
	case EACCES:
	case EPERM:
		snprintf(error, 256, "only the daemon's user and root may talk to %s", path);
		break;
	case ETIMEDOUT:
		snprintf(error, 256, "no answer within 5 s from %s", path);
		break;
	default:
		snprintf(error, 256, "cannot talk to the daemon: %s: %s", strerrordesc_np(-err),
			 path);
	}
}

int control_call(const char *path, json_t *request, uint64_t timeout_ns, json_t **result,
		 char error[256])
{
	uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + timeout_ns;
	char *text = json_dumps(request, JSON_COMPACT);
	struct buf data = {};
	int fd = -1, err;

	if (text)
		buf_append(&data, text, strlen(text));
	buf_append(&data, "\n", 1);
	err = !text || data.failed ? -ENOMEM : data.len > REQUEST_MAX ? -EMSGSIZE : 0;
	free(text);
	if (!err)
		err = connect_to(&fd, path, deadline_ns);
	if (!err)
		err = send_all(fd, &data, deadline_ns);
	buf_clear(&data);
	if (!err)
		err = receive_line(fd, &data, deadline_ns);
	if (err)
		explain(err, path, error);
	else
		err = decode_reply(&data, result, error);
	if (fd >= 0)
		close(fd);
	buf_release(&data);
	return err;
}
