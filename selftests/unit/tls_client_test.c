/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/tls_client.h"

#include <sys/socket.h>

#include "selftests/unit/tls_peers.h"

/* A server that sends back what it gets, between the turns of the client's loop. */
static struct {
	struct tls_context *context;
	struct tls *tls;
	int listener, fd;
	struct addr address;
	uint64_t bytes;
	bool saw_end;
} server;

static struct {
	struct tls_context *context;
	struct loop *loop;
	struct tls_client *client;
	unsigned int connected, ready, sent, closed;
	uint64_t sends, received, written, total;
	bool close_when_ready, abort_when_ready, abort_when_received, bad;
	int err;
	char reason[TLS_ERROR_LEN + 64];
} us;

static void on_connected(void *context)
{
	(void)context;
	us.connected++;
}

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 7 + i / 1000);
}

static void write_more(void)
{
	uint8_t bytes[10000];

	while (us.written < us.total && tls_client_has_room(us.client)) {
		size_t len = MIN(sizeof(bytes), us.total - us.written);

		for (size_t i = 0; i < len; i++)
			bytes[i] = byte_at(us.written + i);
		if (tls_client_write(us.client, bytes, len))
			return;
		us.written += len;
	}
	tls_client_flush(us.client);
}

static void on_ready(void *context)
{
	(void)context;
	us.ready++;
	CHECK_STR(tls_client_peer_id(us.client), "centre");
	if (us.close_when_ready)
		tls_client_close(us.client, 0, "done");
	else if (us.abort_when_ready)
		tls_client_abort(us.client, -ECANCELED, "not any more");
	else
		write_more();
}

static void on_received(void *context, struct buf *in)
{
	(void)context;
	for (size_t i = 0; i < in->len; i++)
		us.bad |= in->data[i] != byte_at(us.received + i);
	us.received += in->len;
	buf_consume(in, in->len);
	if (us.abort_when_received)
		tls_client_abort(us.client, -ECANCELED, "enough");
	else if (us.received == us.total)
		tls_client_close(us.client, 0, "done");
}

static void on_sent(void *context)
{
	(void)context;
	us.sent++;
	write_more();
}

static void on_closed(void *context, int err, const char *reason)
{
	(void)context;
	us.closed++;
	us.err = err;
	snprintf(us.reason, sizeof(us.reason), "%s", reason);
	us.client = NULL;
}

static void start_server(const char *certificate)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	char error[TLS_ERROR_LEN];

	memset(&server, 0, sizeof(server));
	server.fd = -1;
	if (tls_context_create(&server.context, TLS_SERVER, path("ca", ".crt"),
			       path(certificate, ".crt"), path(certificate, ".key"), error))
		fail_msg("%s", error);
	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server.listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server.listener, 1), 0);
	assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &len), 0);
	server.address.in4 = address;
	server.address.len = len;
}

static void hang_up(void)
{
	if (server.fd >= 0)
		close(server.fd);
	server.fd = -1;
	tls_destroy(server.tls);
	server.tls = NULL;
}

static void serve(void)
{
	uint8_t bytes[8192];
	const uint8_t *data;
	size_t len;
	ssize_t n;

	if (server.fd < 0) {
		server.fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (server.fd < 0)
			return;
		assert_int_equal(tls_create(&server.tls, server.context, NULL), 0);
	}
	n = recv(server.fd, bytes, sizeof(bytes), 0);
	if (n == 0) {
		hang_up();
		return;
	}
	if (n > 0)
		assert_int_equal(tls_feed(server.tls, bytes, (size_t)n), 0);
	if (tls_handshake(server.tls) == 0) {
		while ((n = tls_read(server.tls, bytes, sizeof(bytes))) > 0) {
			server.bytes += (uint64_t)n;
			assert_int_equal(tls_write(server.tls, bytes, (size_t)n), 0);
		}
		server.saw_end |= n == 0;
	}
	data = tls_output(server.tls, &len);
	n = len ? send(server.fd, data, len, MSG_NOSIGNAL) : 0;
	if (n > 0)
		tls_output_sent(server.tls, (size_t)n);
}

static void start(const char *name)
{
	struct tls_client_config config = {
		.address = &server.address,
		.server_name = name,
		.connected = on_connected,
		.ready = on_ready,
		.received = on_received,
		.sent = on_sent,
		.closed = on_closed,
	};
	char error[TLS_ERROR_LEN];

	memset(&us, 0, sizeof(us));
	assert_int_equal(loop_create(&us.loop, 64), 0);
	if (tls_context_create(&us.context, TLS_CLIENT, path("ca", ".crt"), path("agent", ".crt"),
			       path("agent", ".key"), error))
		fail_msg("%s", error);
	config.tls = us.context;
	assert_int_equal(tls_client_create(&us.client, us.loop, &config), 0);
	tls_client_count_sends(us.client, &us.sends);
}

static void turn(void)
{
	assert_int_equal(loop_turn(us.loop, false), 0);
	serve();
}

static void finish(void)
{
	uint64_t since = clock_ns(CLOCK_MONOTONIC);

	while (us.client && clock_ns(CLOCK_MONOTONIC) - since < 20 * NS_PER_SEC)
		turn();
	CHECK_EQ(us.closed, 1);
	hang_up();
	if (server.listener >= 0)
		close(server.listener);
	tls_context_destroy(server.context);
	loop_destroy(us.loop);
	tls_context_destroy(us.context);
}

static void carries_bytes_both_ways(void **state)
{
	(void)state;
	start_server("server");
	start("127.0.0.1");
	us.total = 5000000;
	finish();
	CHECK_EQ(us.connected, 1);
	CHECK_EQ(us.ready, 1);
	CHECK_EQ(us.received, us.total);
	CHECK_EQ(server.bytes, us.total);
	CHECK(!us.bad);
	CHECK(server.saw_end);
	CHECK_EQ(us.err, 0);
	CHECK_STR(us.reason, "done");
	/* A quarter of a megabyte in each, and the few of the beginning and the end. */
	CHECK(us.sends < us.total / TLS_CLIENT_SEND_BYTES + 10);
}

static void says_why_it_ended(void **state)
{
	(void)state;
	start_server("server");
	close(server.listener);
	server.listener = -1;
	start("127.0.0.1");
	while (us.client)
		assert_int_equal(loop_turn(us.loop, true), 0);
	CHECK_EQ(us.err, -ECONNREFUSED);
	CHECK(has(us.reason, "refused"));
	CHECK_EQ(us.connected, 0);
	finish();

	start_server("server");
	start("elsewhere.example");
	finish();
	CHECK_EQ(us.err, -EPROTO);
	CHECK(has(us.reason, "elsewhere.example"));
	CHECK_EQ(us.ready, 0);

	start_server("server");
	start("127.0.0.1");
	us.total = 1;
	while (!us.connected)
		turn();
	hang_up();
	finish();
	CHECK_EQ(us.err, -ECONNRESET);
	CHECK(has(us.reason, "during the TLS handshake"));
}

/* From within its callbacks, and from outside at every moment. */
static void may_be_ended_anywhere(void **state)
{
	(void)state;
	start_server("server");
	start("127.0.0.1");
	us.close_when_ready = true;
	finish();
	CHECK_EQ(us.err, 0);
	CHECK(server.saw_end);

	start_server("server");
	start("127.0.0.1");
	us.abort_when_ready = true;
	finish();
	CHECK_EQ(us.err, -ECANCELED);

	start_server("server");
	start("127.0.0.1");
	us.total = 1000000;
	us.abort_when_received = true;
	finish();
	CHECK_EQ(us.err, -ECANCELED);
	CHECK_STR(us.reason, "enough");

	for (unsigned int turns = 0; turns < 40; turns++) {
		start_server("server");
		start("127.0.0.1");
		us.total = 1000000;
		for (unsigned int i = 0; i < turns && us.client; i++)
			turn();
		if (us.client && turns % 2)
			tls_client_close(us.client, -EINTR, "by the test");
		else if (us.client)
			tls_client_abort(us.client, -EINTR, "by the test");
		/* The first reason stays. */
		if (us.client)
			tls_client_abort(us.client, -EIO, "another one");
		finish();
		CHECK(us.err == -EINTR || us.received == us.total);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(carries_bytes_both_ways),
		TEST(says_why_it_ended),
		TEST(may_be_ended_anywhere),
	};

	return cmocka_run_group_tests_name("tls_client", tests, make_pki, remove_pki);
}
