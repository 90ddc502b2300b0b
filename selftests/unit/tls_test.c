/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a TLS connection does when both sides accept each other. */
#include "selftests/unit/tls_peers.h"

static void established(void **state)
{
	static const struct {
		const char *name, *client, *server, *host, *id;
		enum tls_peer_kind kind;
		size_t max;
	} cases[] = {
		{ "agent", "agent", "server", "localhost", "edge-1", TLS_PEER_AGENT, SIZE_MAX },
		{ "byte by byte", "agent", "server", "localhost", "edge-1", TLS_PEER_AGENT, 1 },
		{ "Ed25519", "agent25519", "server25519", "localhost", "edge-2", TLS_PEER_AGENT,
		  SIZE_MAX },
		{ "relay", "server", "server", "localhost", "centre", TLS_PEER_AGGREGATOR,
		  SIZE_MAX },
		{ "upper case", "agent", "server", "LOCALHOST", "edge-1", TLS_PEER_AGENT,
		  SIZE_MAX },
		{ "wildcard", "agent", "server", "a.wild.example", "edge-1", TLS_PEER_AGENT,
		  SIZE_MAX },
		{ "IPv4", "agent", "server", "127.0.0.1", "edge-1", TLS_PEER_AGENT, SIZE_MAX },
		{ "IPv6", "agent", "server", "0:0::1", "edge-1", TLS_PEER_AGENT, SIZE_MAX },
		{ "IPv6 with zone", "agent", "server", "::1%lo", "edge-1", TLS_PEER_AGENT,
		  SIZE_MAX },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct end client, server;

		ours(&client, TLS_CLIENT, "ca", c->client, c->host);
		ours(&server, TLS_SERVER, "ca", c->server, NULL);
		CHECK(!tls_established(client.tls));
		shake(&client, &server, c->max);
		CHECK_EQ(client.result, 0);
		CHECK_EQ(server.result, 0);
		CHECK(tls_established(client.tls) && tls_established(server.tls));
		CHECK_STR(tls_error(client.tls), "");
		CHECK_STR(tls_error(server.tls), "");
		CHECK_STR(tls_peer_id(client.tls), "centre");
		CHECK_EQ(tls_peer_kind(client.tls), TLS_PEER_AGGREGATOR);
		CHECK_STR(tls_peer_id(server.tls), c->id);
		CHECK_EQ(tls_peer_kind(server.tls), c->kind);
		CHECK_STR(tls_context_id(server.context), "centre");
		end_release(&client);
		end_release(&server);
	}
}

static void parameters(void **state)
{
	struct end client, server;

	(void)state;
	ours(&client, TLS_CLIENT, "ca", "agent", "localhost");
	plain(&server, TLS_SERVER, "server", TLS1_3_VERSION);
	shake(&client, &server, SIZE_MAX);
	CHECK_EQ(server.result, 0);
	CHECK_STR(SSL_get_version(server.plain), "TLSv1.3");
	CHECK_STR(SSL_get_cipher_name(server.plain), "TLS_AES_128_GCM_SHA256");
	CHECK_STR(SSL_get_servername(server.plain, TLSEXT_NAMETYPE_host_name), "localhost");
	end_release(&client);
	end_release(&server);

	/* No session tickets: nothing follows the client's Finished. */
	plain(&client, TLS_CLIENT, "agent", TLS1_3_VERSION);
	ours(&server, TLS_SERVER, "ca", "server", NULL);
	step(&client);
	move(&client, &server, SIZE_MAX);
	step(&server);
	move(&server, &client, SIZE_MAX);
	step(&client);
	move(&client, &server, SIZE_MAX);
	step(&server);
	CHECK_EQ(server.result, 0);
	CHECK_EQ(move(&server, &client, SIZE_MAX), 0);
	end_release(&client);
	end_release(&server);
}

static void half_open(void **state)
{
	struct end client, server;
	const uint8_t *hello;
	size_t len;

	(void)state;
	ours(&client, TLS_CLIENT, "ca", "agent", "localhost");
	ours(&server, TLS_SERVER, "ca", "server", NULL);
	CHECK_EQ(tls_handshake(server.tls), -EAGAIN);
	CHECK_STR(tls_error(server.tls), "the peer has sent nothing");
	CHECK_EQ(tls_handshake(client.tls), -EAGAIN);
	hello = tls_output(client.tls, &len);
	CHECK(len > 100);
	for (size_t i = 0; i + 1 < len; i++) {
		feed(&server, hello + i, 1);
		CHECK_EQ(tls_handshake(server.tls), -EAGAIN);
	}
	CHECK_STR(tls_error(server.tls), "the peer fell silent in the middle of the handshake");
	feed(&server, hello + len - 1, 1);
	CHECK_EQ(tls_handshake(server.tls), -EAGAIN);
	CHECK(!tls_established(server.tls));
	end_release(&client);
	end_release(&server);

	ours(&server, TLS_SERVER, "ca", "server", NULL);
	feed(&server, (const uint8_t *)"GE", 2);
	CHECK_EQ(tls_handshake(server.tls), -EAGAIN);
	CHECK_STR(tls_error(server.tls), "not TLS: garbage from the peer");
	end_release(&server);
}

static void pattern(uint8_t *out, size_t len, uint64_t at)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)((at + i) * 2654435761u >> 11);
}

static size_t odd_size(unsigned int *seed, size_t max)
{
	return (size_t)rand_r(seed) % (max + 1);
}

/* Written, moved and read in odd sizes. */
static void transfer(struct end *from, struct end *to, uint64_t bytes, unsigned int seed)
{
	static uint8_t out[200000], in[200000], want[200000];
	uint64_t sent = 0, got = 0;
	struct buf wire = {};

	while (got < bytes) {
		size_t len = odd_size(&seed, MIN(sizeof(out), bytes - sent)), at = 0;
		ssize_t n;

		pattern(out, len, sent);
		assert_int_equal(tls_write(from->tls, out, len), 0);
		sent += len;
		tls_output_swap(from->tls, &wire);
		while (at < wire.len) {
			size_t part = odd_size(&seed, wire.len - at);

			assert_int_equal(tls_feed(to->tls, wire.data + at, part), 0);
			at += part;
			while ((n = tls_read(to->tls, in, 1 + odd_size(&seed, 99999))) > 0) {
				pattern(want, (size_t)n, got);
				assert_memory_equal(in, want, (size_t)n);
				got += (uint64_t)n;
			}
			if (n != -EAGAIN)
				fail_msg("%s", tls_error(to->tls));
		}
		buf_clear(&wire);
	}
	assert_int_equal(got, bytes);
	buf_release(&wire);
}

static void transferred(void **state)
{
	struct end client, server;
	char byte;

	(void)state;
	ours(&client, TLS_CLIENT, "ca", "agent", "localhost");
	ours(&server, TLS_SERVER, "ca", "server", NULL);
	shake(&client, &server, SIZE_MAX);
	CHECK_EQ(tls_write(client.tls, NULL, 0), 0);
	CHECK_EQ(move(&client, &server, SIZE_MAX), 0);
	transfer(&client, &server, 20 * MIB, 1);
	transfer(&server, &client, 20 * MIB, 2);
	/* With new keys every MiB. */
	tls_rekey_after(client.tls, MIB);
	tls_rekey_after(server.tls, MIB);
	transfer(&client, &server, 10 * MIB, 3);
	transfer(&server, &client, 10 * MIB, 4);

	/* One direction ends; the other goes on. */
	tls_close(client.tls);
	tls_close(client.tls);
	CHECK_EQ(tls_read(server.tls, &byte, 1), -EAGAIN);
	move(&client, &server, SIZE_MAX);
	CHECK_EQ(tls_read(server.tls, &byte, 1), 0);
	CHECK_EQ(tls_read(server.tls, &byte, 1), 0);
	transfer(&server, &client, MIB, 5);
	tls_close(server.tls);
	move(&server, &client, SIZE_MAX);
	CHECK_EQ(tls_read(client.tls, &byte, 1), 0);
	end_release(&client);
	end_release(&server);
}

/* A key update is a record of its own: 5 + 5 + 1 + 16 bytes. */
static void keys_renewed(void **state)
{
	struct end client, server;
	size_t plain_len, renewed_len;
	char text[100] = "";

	(void)state;
	ours(&client, TLS_CLIENT, "ca", "agent", "localhost");
	ours(&server, TLS_SERVER, "ca", "server", NULL);
	shake(&client, &server, SIZE_MAX);
	tls_rekey_after(client.tls, 150);
	CHECK_EQ(tls_write(client.tls, text, sizeof(text)), 0);
	plain_len = move(&client, &server, SIZE_MAX);
	CHECK_EQ(tls_write(client.tls, text, sizeof(text)), 0);
	CHECK_EQ(move(&client, &server, SIZE_MAX), plain_len);
	CHECK_EQ(tls_write(client.tls, text, sizeof(text)), 0);
	renewed_len = move(&client, &server, SIZE_MAX);
	CHECK_EQ(renewed_len, plain_len + 27);
	CHECK_EQ(tls_write(client.tls, text, sizeof(text)), 0);
	CHECK_EQ(move(&client, &server, SIZE_MAX), plain_len);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tls_read(server.tls, text, sizeof(text)), sizeof(text));
	end_release(&client);
	end_release(&server);
}

static void damaged_record(void **state)
{
	struct end client, server;
	const uint8_t *data;
	uint8_t wire[64];
	size_t len;

	(void)state;
	ours(&client, TLS_CLIENT, "ca", "agent", "localhost");
	ours(&server, TLS_SERVER, "ca", "server", NULL);
	shake(&client, &server, SIZE_MAX);
	CHECK_EQ(tls_write(client.tls, "hello", 5), 0);
	data = tls_output(client.tls, &len);
	assert_true(len <= sizeof(wire));
	memcpy(wire, data, len);
	wire[len - 1] ^= 1;
	feed(&server, wire, len);
	CHECK_EQ(tls_read(server.tls, wire, sizeof(wire)), -EPROTO);
	CHECK(has(tls_error(server.tls), "TLS failed: "));
	CHECK_EQ(tls_write(server.tls, "x", 1), -EPROTO);
	/* The alert goes out. */
	CHECK(move(&server, &client, SIZE_MAX) > 0);
	CHECK_EQ(tls_read(client.tls, wire, sizeof(wire)), -EPROTO);
	CHECK(has(tls_error(client.tls), "alert from peer: bad record mac"));
	end_release(&client);
	end_release(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(established), TEST(parameters),   TEST(half_open),
		TEST(transferred), TEST(keys_renewed), TEST(damaged_record),
	};

	return cmocka_run_group_tests_name("tls", tests, make_pki, remove_pki);
}
