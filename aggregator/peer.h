/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket and TLS of one connection on a loop: what comes is fed to TLS, what TLS puts out is
 * sent. Embedded in the object that owns the connection, and as that belongs to the loop's thread;
 * a peer with nothing in flight may move to another loop.
 *
 * Receive buffers are lent by the kernel from a pool of the loop when bytes are there, so that ten
 * thousand idle connections cost none.
 */
#pragma once

#include "common/addr.h"
#include "common/buf.h"
#include "common/loop.h"
#include "common/tls.h"

struct peer_pool;

int peer_pool_create(struct peer_pool **ret, struct loop *loop, unsigned int count,
		     size_t buffer_len) must_check;
/* Once no peer uses it any more; the loop outlives it. */
void peer_pool_destroy(struct peer_pool *pool);

struct peer;

/* None may free the peer but closed(). */
struct peer_ops {
	/* Bytes were fed to TLS. The next ones come after peer_receive(). */
	void (*received)(struct peer *peer);
	/* All output was sent. */
	void (*sent)(struct peer *peer);
	/* The other side closed its half (err 0), or the connection is broken: peer_close(). */
	void (*ended)(struct peer *peer, int err);
	/* After peer_close() or peer_finish(): nothing is in flight, fd and TLS are released. */
	void (*closed)(struct peer *peer);
};

struct peer {
	const struct peer_ops *ops;
	struct peer_pool *pool;
	struct loop *loop;
	struct tls *tls;
	struct loop_op receive, send, end;
	struct loop_timer linger;
	struct buf out; /* named by the send in flight */
	struct addr address;
	char address_text[ADDR_TEXT_LEN];
	int fd;
	bool receiving, sending;
	bool finishing; /* what comes is dropped */
	bool closing, end_done;
};

/* Takes fd and tls over. */
void peer_init(struct peer *peer, int fd, struct tls *tls, const struct addr *address);
/* On the loop's thread. */
void peer_attach(struct peer *peer, struct loop *loop, struct peer_pool *pool,
		 const struct peer_ops *ops);
/* Nothing is in flight: it may be attached to another loop. */
bool peer_idle(const struct peer *peer);
void peer_receive(struct peer *peer);
/* Sends what TLS has put out, if no send is in flight. */
void peer_flush(struct peer *peer);
/* Bytes that wait for the other side to take them. */
size_t peer_unsent(const struct peer *peer);
/* Sends the rest and close_notify, waits a moment for the other side to have read it, closes. */
void peer_finish(struct peer *peer);
/* At once. */
void peer_close(struct peer *peer);
/* What peer_init() took, of a peer that is not attached. */
void peer_release(struct peer *peer);
