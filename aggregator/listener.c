/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/inbound.h"
#include "common/log.h"

#define BACKLOG 4096
#define RECEIVE_BUFFERS 16
#define RECEIVE_BUFFER_LEN (16 * KIB)
/* HELLO and OPEN are a few hundred bytes; a larger frame before OPEN is none of them. */
#define GREETING_FRAME_LEN (FRAME_HEADER_LEN + 8 * KIB)
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

struct acceptor {
	struct listener *listener;
	struct loop_op accept;
	struct loop_timer pause;
	struct addr peer; /* written by the kernel */
	int fd;
	bool accepting;
};

enum greeting_state {
	GREETING_TLS,
	GREETING_HELLO,
	GREETING_OPEN,
	GREETING_LEAVING, /* our last bytes are on their way */
	GREETING_REFUSED,
};

struct greeting {
	struct peer peer;
	struct listener *listener;
	struct greeting *next, *previous;
	struct loop_timer deadline;
	enum greeting_state state;
	struct message_open open;
	uint32_t stream;
	struct inbound in;
	uint8_t frame[GREETING_FRAME_LEN];
};

struct listener {
	struct loop *loop;
	struct listener_config config;
	struct peer_pool *pool;
	struct acceptor acceptors[ADDR_LIST_MAX];
	unsigned int acceptor_count;
	struct greeting *greetings;
	struct refusals refusals;
	uint64_t accept_failed_ns; /* when that was logged */
	char text[ADDR_LIST_MAX * (ADDR_TEXT_LEN + 2)];
	bool closing;
};

static void unlink_greeting(struct greeting *greeting)
{
	struct listener *listener = greeting->listener;

	loop_timer_stop(listener->loop, &greeting->deadline);
	if (greeting->previous)
		greeting->previous->next = greeting->next;
	else
		listener->greetings = greeting->next;
	if (greeting->next)
		greeting->next->previous = greeting->previous;
}

static void printf_like(3, 4)
	refuse(struct greeting *greeting, enum refusal reason, const char *format, ...)
{
	struct listener *listener = greeting->listener;
	char text[MESSAGE_REFUSAL_LEN];
	struct buf out = {};
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	refusal_count(&listener->refusals, loop_now(listener->loop), reason,
		      greeting->peer.address_text, text);
	loop_timer_stop(listener->loop, &greeting->deadline);
	greeting->state = GREETING_REFUSED;
	/* The peer's log should have the reason too; if that cannot be, ours has it. */
	if (tls_established(greeting->peer.tls) && message_refusal_put(&out, text) == 0)
		(void)!tls_write(greeting->peer.tls, out.data, out.len);
	buf_release(&out);
	peer_finish(&greeting->peer);
}

static const char *peer_kind_name(const struct tls *tls)
{
	return tls_peer_kind(tls) == TLS_PEER_AGENT ? "agent" : "aggregator";
}

static int send_hello(struct greeting *greeting)
{
	struct message_hello hello = {
		.version_min = PROTOCOL_VERSION,
		.version_max = PROTOCOL_VERSION,
		.program = "xcap-aggregator " XCAP_VERSION,
		.abilities = "packets loss mark clock stats event",
	};
	struct buf out = {};
	int err;

	snprintf(hello.host, sizeof(hello.host), "%s", greeting->listener->config.host);
	err = message_hello_put(&out, &hello);
	if (!err)
		err = tls_write(greeting->peer.tls, out.data, out.len);
	buf_release(&out);
	return err;
}

static void hand_over(struct greeting *greeting)
{
	struct listener *listener = greeting->listener;
	struct arrival *arrival = calloc(1, sizeof(*arrival));

	if (!arrival) {
		refuse(greeting, REFUSAL_STORE, "out of memory");
		return;
	}
	unlink_greeting(greeting);
	arrival->peer = greeting->peer;
	arrival->stream = greeting->stream;
	arrival->open = greeting->open;
	free(greeting);
	listener->config.arrived(listener->config.context, arrival);
}

static void take_hello(struct greeting *greeting)
{
	const struct frame_header *header = &greeting->in.header;
	struct tls *tls = greeting->peer.tls;
	struct message_hello hello;
	int err = -EBADMSG;

	if (header->type == FRAME_CONTROL)
		err = message_hello_get(&hello, inbound_payload(&greeting->in), header->stored_len);
	if (err)
		refuse(greeting, REFUSAL_PROTOCOL, "%s %s began with %s instead of HELLO",
		       peer_kind_name(tls), tls_peer_id(tls),
		       header->type == FRAME_CONTROL ? "an unreadable message"
						     : frame_type_name(header->type));
	else if (message_hello_agree(&hello) < 0)
		refuse(greeting, REFUSAL_VERSION,
		       "%s %s (%s on %s) speaks protocol versions %u to %u, this aggregator (%s) "
		       "%d",
		       peer_kind_name(tls), tls_peer_id(tls), hello.program, hello.host,
		       hello.version_min, hello.version_max, XCAP_VERSION, PROTOCOL_VERSION);
	else
		greeting->state = GREETING_OPEN;
}

/* Whether it may open this stream, its worker will judge. */
static void take_open(struct greeting *greeting)
{
	const struct frame_header *header = &greeting->in.header;
	struct tls *tls = greeting->peer.tls;
	int err = -EBADMSG;

	if (header->type == FRAME_CONTROL) /* of a kind that came later than this program */
		return;
	if (header->type == FRAME_OPEN && header->stream)
		err = message_open_get(&greeting->open, inbound_payload(&greeting->in),
				       header->stored_len);
	if (err) {
		refuse(greeting, REFUSAL_PROTOCOL, "%s %s sent %s instead of OPEN",
		       peer_kind_name(tls), tls_peer_id(tls),
		       header->type == FRAME_OPEN ? "an unreadable message"
						  : frame_type_name(header->type));
		return;
	}
	greeting->stream = header->stream;
	greeting->state = GREETING_LEAVING;
}

static void shake_hands(struct greeting *greeting)
{
	int err = tls_handshake(greeting->peer.tls);

	if (err == -EAGAIN)
		return;
	if (!err)
		err = send_hello(greeting);
	if (err)
		refuse(greeting, REFUSAL_TLS, "%s", tls_error(greeting->peer.tls));
	else
		greeting->state = GREETING_HELLO;
}

/* One frame of the greeting, if it is complete: true if there may be another. */
static bool take_frame(struct greeting *greeting)
{
	struct tls *tls = greeting->peer.tls;
	int n = inbound_read(&greeting->in, tls);

	if (n == -EAGAIN)
		return false;
	if (n == 1 && frame_payload_check(&greeting->in.header, inbound_payload(&greeting->in)))
		n = -EBADMSG;
	if (n != 1) {
		refuse(greeting, n == -EPROTO ? REFUSAL_TLS : REFUSAL_FRAME, "%s %s: %s",
		       peer_kind_name(tls), tls_peer_id(tls),
		       n ? inbound_error(tls, n) : "it hung up before OPEN");
		return false;
	}
	if (greeting->state == GREETING_HELLO)
		take_hello(greeting);
	else
		take_open(greeting);
	inbound_next(&greeting->in);
	return greeting->state == GREETING_OPEN;
}

static void greeting_received(struct peer *peer)
{
	struct greeting *greeting = container_of(peer, struct greeting, peer);

	if (greeting->state == GREETING_TLS)
		shake_hands(greeting);
	if (greeting->state == GREETING_HELLO || greeting->state == GREETING_OPEN)
		while (take_frame(greeting))
			;
	if (greeting->state == GREETING_REFUSED)
		return;
	peer_flush(peer);
	if (greeting->state != GREETING_LEAVING)
		peer_receive(peer);
	else if (peer_idle(peer))
		hand_over(greeting);
}

static void greeting_sent(struct peer *peer)
{
	struct greeting *greeting = container_of(peer, struct greeting, peer);

	if (greeting->state == GREETING_LEAVING && peer_idle(peer))
		hand_over(greeting);
}

static void greeting_ended(struct peer *peer, int err)
{
	struct greeting *greeting = container_of(peer, struct greeting, peer);
	struct listener *listener = greeting->listener;
	const char *phase = greeting->state == GREETING_TLS ? "the TLS handshake" : "OPEN";
	char text[128];

	snprintf(text, sizeof(text), "the connection ended before %s was done%s%s", phase,
		 err ? ": " : "", err ? strerrordesc_np(-err) : "");
	refusal_count(&listener->refusals, loop_now(listener->loop), REFUSAL_TLS,
		      peer->address_text, text);
	loop_timer_stop(listener->loop, &greeting->deadline);
	peer_close(peer);
}

static void greeting_closed(struct peer *peer)
{
	struct greeting *greeting = container_of(peer, struct greeting, peer);

	__atomic_sub_fetch(greeting->listener->config.connections, 1, __ATOMIC_RELAXED);
	unlink_greeting(greeting);
	free(greeting);
}

static const struct peer_ops greeting_ops = {
	.received = greeting_received,
	.sent = greeting_sent,
	.ended = greeting_ended,
	.closed = greeting_closed,
};

static void deadline_expired(struct loop_timer *timer)
{
	struct greeting *greeting = container_of(timer, struct greeting, deadline);
	const char *what = greeting->state == GREETING_TLS ? "TLS handshake" : "HELLO and OPEN";

	refuse(greeting, REFUSAL_TIMEOUT, "no %s within %u s", what,
	       (unsigned int)(greeting->listener->config.handshake_ns / NS_PER_SEC));
}

static void greet(struct listener *listener, int fd, const struct addr *address)
{
	struct greeting *greeting = NULL;
	char peer[ADDR_TEXT_LEN];
	struct tls *tls = NULL;

	if (__atomic_load_n(listener->config.connections, __ATOMIC_RELAXED) >=
	    LISTENER_CONNECTIONS_MAX) {
		refusal_count(&listener->refusals, loop_now(listener->loop), REFUSAL_TOO_MANY,
			      addr_text(address, peer), "there are 10000 connections already");
		close(fd);
		return;
	}
	greeting = calloc(1, sizeof(*greeting));
	if (!greeting || tls_create(&tls, listener->config.tls, NULL)) {
		refusal_count(&listener->refusals, loop_now(listener->loop), REFUSAL_STORE,
			      addr_text(address, peer), "out of memory");
		free(greeting);
		close(fd);
		return;
	}
	__atomic_add_fetch(listener->config.connections, 1, __ATOMIC_RELAXED);
	greeting->listener = listener;
	greeting->in =
		(struct inbound){ .frame = greeting->frame, .room = sizeof(greeting->frame) };
	greeting->deadline.expired = deadline_expired;
	greeting->next = listener->greetings;
	if (greeting->next)
		greeting->next->previous = greeting;
	listener->greetings = greeting;
	peer_init(&greeting->peer, fd, tls, address);
	peer_attach(&greeting->peer, listener->loop, listener->pool, &greeting_ops);
	loop_timer_start(listener->loop, &greeting->deadline, listener->config.handshake_ns);
	peer_receive(&greeting->peer);
}

static void accept_next(struct acceptor *acceptor)
{
	acceptor->accepting = true;
	acceptor->peer.len = sizeof(acceptor->peer.in6);
	io_uring_prep_accept(loop_sqe(acceptor->listener->loop, &acceptor->accept), acceptor->fd,
			     &acceptor->peer.any, &acceptor->peer.len, SOCK_CLOEXEC);
}

static void pause_expired(struct loop_timer *timer)
{
	accept_next(container_of(timer, struct acceptor, pause));
}

static void accept_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct acceptor *acceptor = container_of(op, struct acceptor, accept);
	struct listener *listener = acceptor->listener;
	uint64_t now = loop_now(listener->loop);

	(void)cqe_flags;
	acceptor->accepting = false;
	if (listener->closing) {
		if (res >= 0)
			close(res);
		return;
	}
	if (res >= 0)
		greet(listener, res, &acceptor->peer);
	if (res != -EMFILE && res != -ENFILE && res != -ENOBUFS && res != -ENOMEM) {
		accept_next(acceptor);
		return;
	}
	if (!listener->accept_failed_ns || now - listener->accept_failed_ns > 60 * NS_PER_SEC) {
		log_warning(res, "cannot accept connections");
		listener->accept_failed_ns = now;
	}
	loop_timer_start(listener->loop, &acceptor->pause, ACCEPT_PAUSE_NS);
}

/* Connections inherit these: a peer that is gone without a word is noticed within half a minute. */
static int set_options(int fd, const struct addr *address)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_REUSEADDR, 1 },   { SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 10 }, { IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },   { IPPROTO_TCP, TCP_USER_TIMEOUT, 25000 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};
	int one = 1;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(int)))
			return -errno;
	if (address->any.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		return -errno;
	return 0;
}

/* bound: where it is in fact, if port 0 was asked for. */
static int acceptor_open(struct acceptor *acceptor, const struct addr *address, struct addr *bound)
{
	int err;

	acceptor->fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (acceptor->fd < 0)
		return -errno;
	err = set_options(acceptor->fd, address);
	if (err)
		return err;
	bound->len = sizeof(bound->in6);
	if (bind(acceptor->fd, &address->any, address->len) || listen(acceptor->fd, BACKLOG) ||
	    getsockname(acceptor->fd, &bound->any, &bound->len))
		return -errno;
	return 0;
}

static const char *listen_hint(int err)
{
	switch (-err) {
	case EADDRINUSE:
		return ": another program listens there, perhaps another aggregator; choose "
		       "another "
		       "port with --listen";
	case EADDRNOTAVAIL:
		return ": no interface of this host has the address";
	case EACCES:
		return ": a port below 1024 needs the privilege to bind it";
	default:
		return "";
	}
}

int listener_create(struct listener **ret, struct loop *loop, const struct listener_config *config,
		    char error[256])
{
	struct listener *listener = calloc(1, sizeof(*listener));
	char name[ADDR_TEXT_LEN] = "";
	struct addr bound;
	int err = -ENOMEM;

	if (!listener)
		goto fail;
	listener->loop = loop;
	listener->config = *config;
	listener->config.handshake_ns = config->handshake_ns ?: LISTENER_HANDSHAKE_NS;
	err = peer_pool_create(&listener->pool, loop, RECEIVE_BUFFERS, RECEIVE_BUFFER_LEN);
	if (err)
		goto fail;
	for (unsigned int i = 0; i < config->addresses->count; i++) {
		struct acceptor *acceptor = &listener->acceptors[listener->acceptor_count++];
		size_t len = strlen(listener->text);

		acceptor->listener = listener;
		acceptor->accept.done = accept_done;
		acceptor->pause.expired = pause_expired;
		addr_text(&config->addresses->list[i], name);
		err = acceptor_open(acceptor, &config->addresses->list[i], &bound);
		if (err)
			goto fail;
		addr_text(&bound, name);
		snprintf(listener->text + len, sizeof(listener->text) - len, "%s%s",
			 len ? ", " : "", name);
	}
	for (unsigned int i = 0; i < listener->acceptor_count; i++)
		accept_next(&listener->acceptors[i]);
	*ret = listener;
	return 0;
fail:
	snprintf(error, 256, "cannot listen at %s: %s%s", name, strerrordesc_np(-err),
		 listen_hint(err));
	listener_destroy(listener);
	return err;
}

static bool busy(const struct listener *listener)
{
	for (unsigned int i = 0; i < listener->acceptor_count; i++)
		if (listener->acceptors[i].accepting)
			return true;
	return listener->greetings != NULL;
}

void listener_destroy(struct listener *listener)
{
	struct acceptor *acceptor;

	if (!listener)
		return;
	listener->closing = true;
	for (unsigned int i = 0; i < listener->acceptor_count; i++) {
		acceptor = &listener->acceptors[i];
		loop_timer_stop(listener->loop, &acceptor->pause);
		if (acceptor->accepting)
			loop_cancel(listener->loop, &acceptor->accept);
	}
	for (struct greeting *greeting = listener->greetings; greeting; greeting = greeting->next)
		peer_close(&greeting->peer);
	while (busy(listener) && !loop_turn(listener->loop, true))
		;
	for (unsigned int i = 0; i < listener->acceptor_count; i++)
		if (listener->acceptors[i].fd >= 0)
			close(listener->acceptors[i].fd);
	peer_pool_destroy(listener->pool);
	free(listener);
}

const struct refusals *listener_refusals(const struct listener *listener)
{
	return &listener->refusals;
}

const char *listener_text(const struct listener *listener)
{
	return listener->text;
}
