/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LINGER_NS (2 * NS_PER_SEC)
#define POOL_GROUP 0

struct lent {
	struct loop_op provided;
	struct peer_pool *pool;
};

struct peer_pool {
	struct loop *loop;
	uint8_t *memory;
	size_t buffer_len;
	unsigned int count;
	struct lent list[];
};

static void provide(struct peer_pool *pool, unsigned int id)
{
	io_uring_prep_provide_buffers(loop_sqe(pool->loop, &pool->list[id].provided),
				      pool->memory + id * pool->buffer_len, (int)pool->buffer_len,
				      1, POOL_GROUP, (int)id);
}

static void provide_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct lent *lent = container_of(op, struct lent, provided);

	(void)cqe_flags;
	/* Out of kernel memory for a moment; without the retry the buffer would be gone. */
	if (res == -ENOMEM)
		provide(lent->pool, (unsigned int)(lent - lent->pool->list));
}

int peer_pool_create(struct peer_pool **ret, struct loop *loop, unsigned int count,
		     size_t buffer_len)
{
	struct peer_pool *pool = calloc(1, sizeof(*pool) + count * sizeof(pool->list[0]));

	if (!pool)
		return -ENOMEM;
	pool->memory = malloc(count * buffer_len);
	if (!pool->memory) {
		free(pool);
		return -ENOMEM;
	}
	pool->loop = loop;
	pool->buffer_len = buffer_len;
	pool->count = count;
	for (unsigned int i = 0; i < count; i++) {
		pool->list[i] = (struct lent){ .provided.done = provide_done, .pool = pool };
		provide(pool, i);
	}
	*ret = pool;
	return 0;
}

void peer_pool_destroy(struct peer_pool *pool)
{
	if (!pool)
		return;
	/* Buffers on their way back end in this turn; the kernel writes to none without a receive.
	 */
	(void)loop_turn(pool->loop, false);
	free(pool->memory);
	free(pool);
}

static void close_if_done(struct peer *peer)
{
	if (!peer->closing || !peer->end_done || peer->receiving || peer->sending)
		return;
	loop_timer_stop(peer->loop, &peer->linger);
	peer_release(peer);
	peer->ops->closed(peer);
}

static void end_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct peer *peer = container_of(op, struct peer, end);

	(void)res;
	(void)cqe_flags;
	peer->end_done = true;
	close_if_done(peer);
}

void peer_close(struct peer *peer)
{
	if (peer->closing)
		return;
	peer->closing = true;
	if (peer->receiving)
		loop_cancel(peer->loop, &peer->receive);
	if (peer->sending)
		loop_cancel(peer->loop, &peer->send);
	/* Whoever calls this may still use the peer: closed() comes in a later turn. */
	io_uring_prep_nop(loop_sqe(peer->loop, &peer->end));
}

static void linger_expired(struct loop_timer *timer)
{
	peer_close(container_of(timer, struct peer, linger));
}

static void all_sent(struct peer *peer)
{
	if (peer->finishing)
		shutdown(peer->fd, SHUT_WR);
	else if (!peer->closing)
		peer->ops->sent(peer);
}

static void send_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct peer *peer = container_of(op, struct peer, send);

	(void)cqe_flags;
	peer->sending = false;
	if (peer->closing) {
		close_if_done(peer);
		return;
	}
	if (res < 0 && res != -EINTR) {
		if (peer->finishing)
			peer_close(peer);
		else
			peer->ops->ended(peer, res);
		return;
	}
	buf_consume(&peer->out, (size_t)MAX(res, 0));
	peer_flush(peer);
	if (!peer->sending)
		all_sent(peer);
}

void peer_flush(struct peer *peer)
{
	if (peer->sending || peer->closing)
		return;
	if (!peer->out.len)
		tls_output_swap(peer->tls, &peer->out);
	if (!peer->out.len)
		return;
	peer->sending = true;
	io_uring_prep_send(loop_sqe(peer->loop, &peer->send), peer->fd, peer->out.data,
			   peer->out.len, MSG_NOSIGNAL);
}

size_t peer_unsent(const struct peer *peer)
{
	size_t len;

	tls_output(peer->tls, &len);
	return len + peer->out.len;
}

static void receive_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct peer *peer = container_of(op, struct peer, receive);
	unsigned int id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
	struct peer_pool *pool = peer->pool;
	int err = 0;

	peer->receiving = false;
	if (res > 0 && !peer->closing && !peer->finishing)
		err = tls_feed(peer->tls, pool->memory + id * pool->buffer_len, (size_t)res);
	if (cqe_flags & IORING_CQE_F_BUFFER)
		provide(pool, id);
	if (peer->closing)
		close_if_done(peer);
	/* All buffers are lent at the moment: they are back by the time this is submitted. */
	else if (res == -ENOBUFS || res == -EINTR)
		peer_receive(peer);
	else if (peer->finishing && res > 0)
		peer_receive(peer);
	else if (peer->finishing)
		peer_close(peer);
	else if (res > 0 && !err)
		peer->ops->received(peer);
	else
		peer->ops->ended(peer, err ?: res);
}

void peer_receive(struct peer *peer)
{
	struct io_uring_sqe *sqe;

	if (peer->receiving || peer->closing)
		return;
	peer->receiving = true;
	sqe = loop_sqe(peer->loop, &peer->receive);
	io_uring_prep_recv(sqe, peer->fd, NULL, peer->pool->buffer_len, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = POOL_GROUP;
}

void peer_finish(struct peer *peer)
{
	if (peer->closing || peer->finishing)
		return;
	peer->finishing = true;
	tls_close(peer->tls);
	loop_timer_start(peer->loop, &peer->linger, LINGER_NS);
	peer_flush(peer);
	if (!peer->sending && !peer->closing)
		all_sent(peer);
	/* Closing with bytes unread would send a reset, which takes back what was sent before it.
	 */
	peer_receive(peer);
}

void peer_init(struct peer *peer, int fd, struct tls *tls, const struct addr *address)
{
	*peer = (struct peer){ .fd = fd, .tls = tls, .address = *address };
	addr_text(address, peer->address_text);
}

void peer_attach(struct peer *peer, struct loop *loop, struct peer_pool *pool,
		 const struct peer_ops *ops)
{
	assert(peer_idle(peer));
	peer->loop = loop;
	peer->pool = pool;
	peer->ops = ops;
	peer->receive.done = receive_done;
	peer->send.done = send_done;
	peer->end.done = end_done;
	peer->linger.expired = linger_expired;
}

bool peer_idle(const struct peer *peer)
{
	return !peer->receiving && !peer->sending && !peer->closing && !peer->finishing;
}

void peer_release(struct peer *peer)
{
	buf_release(&peer->out);
	tls_destroy(peer->tls);
	peer->tls = NULL;
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}
