/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/tls_client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_NS (10 * NS_PER_SEC)
#define HANDSHAKE_NS (10 * NS_PER_SEC)
/* For the rest and close_notify to go out, and for the words of a peer that sent us away. */
#define LINGER_NS NS_PER_SEC
/* A peer that is gone is noticed in this time, idle or not. */
#define DEAD_MS 10000
#define RECEIVE_BYTES (16 * KIB)
#define REASON_LEN (TLS_ERROR_LEN + 64)

enum tls_client_state { CONNECTING, HANDSHAKE, READY, CLOSING, DROPPING };

struct tls_client {
	struct tls_client_config config;
	struct loop *loop;
	struct tls *tls;
	struct addr address;
	struct loop_op connect, receive, send;
	struct loop_timer timer;
	struct buf out; /* named by the send in flight */
	struct buf in;
	uint64_t *sends;
	int fd;
	unsigned int in_flight;
	enum tls_client_state state;
	bool sending, receiving, shut;
	int send_err; /* nothing goes out any more; the reason may still come in */
	int err;
	char reason[REASON_LEN];
	uint8_t bytes[RECEIVE_BYTES];
};

static void finish(struct tls_client *client)
{
	struct tls_client_config config = client->config;
	char reason[REASON_LEN];
	int err = client->err;

	memcpy(reason, client->reason, sizeof(reason));
	loop_timer_stop(client->loop, &client->timer);
	if (client->fd >= 0)
		close(client->fd);
	tls_destroy(client->tls);
	buf_release(&client->out);
	buf_release(&client->in);
	free(client);
	config.closed(config.context, err, reason);
}

/* The last operation ends it, or, where none is in flight, the next turn. */
static void drop(struct tls_client *client)
{
	if (client->state == DROPPING)
		return;
	if (client->state == CONNECTING && client->in_flight)
		loop_cancel(client->loop, &client->connect);
	if (client->receiving)
		loop_cancel(client->loop, &client->receive);
	if (client->sending)
		loop_cancel(client->loop, &client->send);
	client->state = DROPPING;
	loop_timer_stop(client->loop, &client->timer);
	if (!client->in_flight)
		loop_timer_start(client->loop, &client->timer, 0);
}

static void set_reason(struct tls_client *client, int err, const char *reason)
{
	if (client->state >= CLOSING)
		return;
	client->err = err;
	snprintf(client->reason, sizeof(client->reason), "%s", reason);
}

void tls_client_abort(struct tls_client *client, int err, const char *reason)
{
	set_reason(client, err, reason);
	drop(client);
}

static void fail(struct tls_client *client, int err)
{
	tls_client_abort(client, err, strerrordesc_np(-err) ?: "unknown error");
}

static void linger(struct tls_client *client)
{
	client->state = CLOSING;
	loop_timer_start(client->loop, &client->timer, LINGER_NS);
	tls_client_flush(client);
}

void tls_client_close(struct tls_client *client, int err, const char *reason)
{
	if (client->state >= CLOSING)
		return;
	set_reason(client, err, reason);
	if (client->state == CONNECTING || client->send_err) {
		drop(client);
		return;
	}
	tls_close(client->tls);
	linger(client);
}

static void timer_expired(struct loop_timer *timer)
{
	struct tls_client *client = container_of(timer, struct tls_client, timer);
	char reason[REASON_LEN];
	const char *waiting;

	if (client->send_err && client->state < CLOSING) {
		fail(client, client->send_err);
		return;
	}
	switch (client->state) {
	case CONNECTING:
		tls_client_abort(client, -ETIMEDOUT, "no answer within 10 s");
		break;
	case HANDSHAKE:
		waiting = tls_error(client->tls);
		snprintf(reason, sizeof(reason), "no end of the TLS handshake within 10 s%s%s",
			 *waiting ? ": " : "", waiting);
		tls_client_abort(client, -ETIMEDOUT, reason);
		break;
	case READY:
		break;
	case CLOSING:
		drop(client);
		break;
	case DROPPING:
		finish(client);
		break;
	}
}

/* True if the connection is being dropped and this was its last operation. */
static bool was_last(struct tls_client *client)
{
	client->in_flight--;
	if (client->state != DROPPING)
		return false;
	if (!client->in_flight)
		finish(client);
	return true;
}

static void send_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct tls_client *client = container_of(op, struct tls_client, send);

	(void)cqe_flags;
	client->sending = false;
	if (was_last(client))
		return;
	if (res < 0 && res != -EINTR) {
		client->send_err = res;
		/* The peer may have said why before it closed. */
		if (client->state == CLOSING || !client->receiving)
			fail(client, res);
		else
			loop_timer_start(client->loop, &client->timer, LINGER_NS);
		return;
	}
	buf_consume(&client->out, (size_t)MAX(res, 0));
	/* First what is encrypted already: the next is encrypted while it is on its way. */
	tls_client_flush(client);
	if (client->state == READY)
		client->config.sent(client->config.context);
}

void tls_client_flush(struct tls_client *client)
{
	struct io_uring_sqe *sqe;

	if (client->sending || client->send_err || client->state == CONNECTING ||
	    client->state == DROPPING)
		return;
	if (!client->out.len)
		tls_output_swap(client->tls, &client->out);
	if (!client->out.len) {
		if (client->state == CLOSING && !client->shut) {
			client->shut = true;
			(void)shutdown(client->fd, SHUT_WR);
		}
		return;
	}
	client->sending = true;
	client->in_flight++;
	if (client->sends)
		__atomic_store_n(client->sends, *client->sends + 1, __ATOMIC_RELAXED);
	sqe = loop_sqe(client->loop, &client->send);
	io_uring_prep_send(sqe, client->fd, client->out.data, client->out.len,
			   MSG_NOSIGNAL | MSG_WAITALL);
}

bool tls_client_has_room(const struct tls_client *client)
{
	size_t len;

	(void)tls_output(client->tls, &len);
	return client->state == READY && !client->send_err && len < TLS_CLIENT_SEND_BYTES;
}

int tls_client_write(struct tls_client *client, const void *data, size_t len)
{
	int err;

	if (client->state != READY)
		return -EPIPE;
	err = tls_write(client->tls, data, len);
	if (err) {
		tls_client_abort(client, err,
				 err == -EPROTO ? tls_error(client->tls) : "out of memory");
		return err;
	}
	if (!client->sending && !tls_client_has_room(client))
		tls_client_flush(client);
	return 0;
}

static void receive(struct tls_client *client)
{
	client->receiving = true;
	client->in_flight++;
	io_uring_prep_recv(loop_sqe(client->loop, &client->receive), client->fd, client->bytes,
			   sizeof(client->bytes), 0);
}

/* The alert goes out too, so that the peer's log has the reason. */
static void fail_tls(struct tls_client *client, int err)
{
	set_reason(client, err, err == -EPROTO ? tls_error(client->tls) : "out of memory");
	if (client->state < CLOSING)
		linger(client);
}

static bool shake(struct tls_client *client)
{
	int err = tls_handshake(client->tls);

	tls_client_flush(client);
	if (err == -EAGAIN)
		return false;
	if (err) {
		fail_tls(client, err);
		return false;
	}
	loop_timer_stop(client->loop, &client->timer);
	client->state = READY;
	client->config.ready(client->config.context);
	return true;
}

static void read_all(struct tls_client *client)
{
	uint8_t *room;
	ssize_t n;

	do {
		room = buf_reserve(&client->in, RECEIVE_BYTES);
		n = room ? tls_read(client->tls, room, RECEIVE_BYTES) : -ENOMEM;
		if (n > 0)
			buf_commit(&client->in, (size_t)n);
	} while (n > 0);
	if (client->in.len && client->state == READY)
		client->config.received(client->config.context, &client->in);
	if (client->state != READY || n == -EAGAIN)
		return;
	if (n == 0)
		tls_client_close(client, -ECONNRESET, "it ended the connection");
	else
		fail_tls(client, (int)n);
}

static void receive_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct tls_client *client = container_of(op, struct tls_client, receive);
	int err;

	(void)cqe_flags;
	client->receiving = false;
	if (was_last(client))
		return;
	/* What the send met says more than the end that follows from it. */
	if (res == 0 && client->send_err && client->send_err != -EPIPE && client->state < CLOSING)
		fail(client, client->send_err);
	else if (res == 0 && client->state < CLOSING)
		tls_client_abort(client, -ECONNRESET,
				 client->state == HANDSHAKE
					 ? "it closed the connection during the TLS handshake"
					 : "it closed the connection");
	else if (res < 0 && res != -EINTR && client->state < CLOSING)
		fail(client, res);
	else if (res <= 0 && res != -EINTR)
		drop(client);
	if (client->state == DROPPING)
		return;
	if (res > 0 && client->state < CLOSING) {
		err = tls_feed(client->tls, client->bytes, (size_t)res);
		if (err)
			fail_tls(client, err);
		else if (client->state == READY || shake(client))
			read_all(client);
	}
	if (client->state == DROPPING)
		return;
	tls_client_flush(client);
	receive(client);
}

static void connect_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct tls_client *client = container_of(op, struct tls_client, connect);

	(void)cqe_flags;
	if (was_last(client))
		return;
	if (res) {
		fail(client, res);
		return;
	}
	client->state = HANDSHAKE;
	loop_timer_start(client->loop, &client->timer, HANDSHAKE_NS);
	client->config.connected(client->config.context);
	if (client->state != HANDSHAKE)
		return;
	receive(client);
	(void)shake(client);
}

static int open_socket(struct tls_client *client)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },   { IPPROTO_TCP, TCP_USER_TIMEOUT, DEAD_MS },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },   { IPPROTO_TCP, TCP_KEEPIDLE, DEAD_MS / 2000 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 2 }, { IPPROTO_TCP, TCP_KEEPCNT, 3 },
	};

	client->fd = socket(client->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (setsockopt(client->fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(options[i].value)))
			return -errno;
	}
	return 0;
}

int tls_client_create(struct tls_client **ret, struct loop *loop,
		      const struct tls_client_config *config)
{
	struct tls_client *client = calloc(1, sizeof(*client));
	int err;

	if (!client)
		return -ENOMEM;
	client->config = *config;
	client->address = *config->address;
	client->loop = loop;
	client->connect.done = connect_done;
	client->receive.done = receive_done;
	client->send.done = send_done;
	client->timer.expired = timer_expired;
	err = open_socket(client);
	if (!err)
		err = tls_create(&client->tls, config->tls, config->server_name);
	if (err)
		goto fail;
	client->in_flight++;
	io_uring_prep_connect(loop_sqe(loop, &client->connect), client->fd, &client->address.any,
			      client->address.len);
	loop_timer_start(loop, &client->timer, CONNECT_NS);
	*ret = client;
	return 0;
fail:
	tls_destroy(client->tls);
	if (client->fd >= 0)
		close(client->fd);
	free(client);
	return err;
}

const char *tls_client_peer_id(const struct tls_client *client)
{
	return tls_peer_id(client->tls);
}

void tls_client_count_sends(struct tls_client *client, uint64_t *sends)
{
	client->sends = sends;
}
