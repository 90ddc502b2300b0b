/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is refused, and in what words. */
#include "selftests/unit/tls_peers.h"

/* The side that judges and the side that is judged both say why. */
static void refused(void **state)
{
	static const struct {
		const char *name, *client_ca, *client, *server_ca, *server, *host;
		const char *client_error, *server_error;
	} cases[] = {
		{ "another name", "ca", "agent", "ca", "server", "away.example",
		  "certificate of server xcap:aggregator:centre is for DNS:localhost, "
		  "DNS:*.wild.example, IP:127.0.0.1, IP:::1, not for away.example: issue one with "
		  "--san away.example",
		  "alert from peer: bad certificate" },
		{ "another address", "ca", "agent", "ca", "server", "192.0.2.1",
		  "not for 192.0.2.1", "alert from peer" },
		{ "name only in the CN", "ca", "agent", "ca", "only-cn", "localhost",
		  "names no host in its SANs", "alert from peer" },
		{ "name in the CN, others in SANs", "ca", "agent", "ca", "elsewhere", "localhost",
		  "is for DNS:elsewhere.example, IP:192.0.2.9, not for localhost",
		  "alert from peer" },
		{ "address as DNS name", "ca", "agent", "ca", "elsewhere", "192.0.2.10",
		  "not for 192.0.2.10", "alert from peer" },
		{ "server of another CA", "ca", "agent", "ca", "other-server", "localhost",
		  "unknown CA: certificate of xcap:aggregator:centre, issued by 'CN=xcap CA ",
		  "alert from peer: unknown CA: it does not know the CA that issued our "
		  "certificate" },
		{ "client of another CA", "ca", "other-agent", "ca", "server", "localhost",
		  "alert from peer: unknown CA: it does not know the CA that issued our "
		  "certificate",
		  "unknown CA: certificate of xcap:agent:edge-1, issued by 'CN=xcap CA " },
		{ "expired server", "ca", "agent", "ca", "old-server", "localhost",
		  "certificate of xcap:aggregator:centre expired on 20",
		  "alert from peer: certificate expired: ours, " },
		{ "expired client", "ca", "old-agent", "ca", "server", "localhost",
		  "alert from peer: certificate expired: ours, ",
		  "certificate of xcap:agent:edge-1 expired on 20" },
		{ "server not valid yet", "ca", "agent", "ca", "young-server", "localhost",
		  "certificate of xcap:aggregator:centre is valid only from 20",
		  "alert from peer" },
		{ "client not valid yet", "ca", "young-agent", "ca", "server", "localhost",
		  "alert from peer", "certificate of xcap:agent:edge-1 is valid only from 20" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct end client, server;

		ours(&client, TLS_CLIENT, c->client_ca, c->client, c->host);
		ours(&server, TLS_SERVER, c->server_ca, c->server, NULL);
		shake(&client, &server, SIZE_MAX);
		CHECK_EQ(client.result, -EPROTO);
		CHECK_EQ(server.result, -EPROTO);
		CHECK(has(tls_error(client.tls), c->client_error));
		CHECK(has(tls_error(server.tls), c->server_error));
		/* And so it stays. */
		CHECK_EQ(tls_handshake(server.tls), -EPROTO);
		CHECK_EQ(tls_write(client.tls, "x", 1), -EPROTO);
		tls_close(client.tls);
		end_release(&client);
		end_release(&server);
	}
}

/* Peers that our own contexts would not be. */
static void foreign_peers_refused(void **state)
{
	static const struct {
		const char *name;
		enum tls_role role; /* of the foreign peer */
		const char *certificate;
		int version;
		const char *error;
	} cases[] = {
		{ "agent as server", TLS_SERVER, "agent", TLS1_3_VERSION,
		  "certificate of xcap:agent:edge-1 is not for servers (no serverAuth" },
		{ "agent as server, EKU forged", TLS_SERVER, "agent-as-server", TLS1_3_VERSION,
		  "certificate of server xcap:agent:edge-1 is an agent's" },
		{ "server without EKU", TLS_SERVER, "no-eku", TLS1_3_VERSION,
		  "certificate of xcap:aggregator:centre is not for servers" },
		{ "client without EKU", TLS_CLIENT, "no-eku", TLS1_3_VERSION,
		  "certificate of xcap:aggregator:centre is not for clients" },
		{ "client that is only a server", TLS_CLIENT, "only-server", TLS1_3_VERSION,
		  "certificate of xcap:aggregator:centre is not for clients" },
		{ "server without URI", TLS_SERVER, "no-uri", TLS1_3_VERSION,
		  "certificate of CN=centre has not exactly one valid URI SAN xcap:aggregator" },
		{ "client without URI", TLS_CLIENT, "no-uri", TLS1_3_VERSION,
		  "certificate of CN=centre has not exactly one valid URI SAN xcap:agent:<id> or" },
		{ "id in capitals", TLS_CLIENT, "bad-uri", TLS1_3_VERSION, "valid URI SAN" },
		{ "id too long", TLS_CLIENT, "long-uri", TLS1_3_VERSION, "valid URI SAN" },
		{ "unknown kind", TLS_CLIENT, "other-uri", TLS1_3_VERSION, "valid URI SAN" },
		{ "client without certificate", TLS_CLIENT, NULL, TLS1_3_VERSION,
		  "peer shows no certificate: a client needs one issued by the CA in /" },
		{ "client of TLS 1.2", TLS_CLIENT, "agent", TLS1_2_VERSION,
		  "peer speaks TLS 1.2 at most: TLS 1.3 is needed" },
		{ "server of TLS 1.2", TLS_SERVER, "server", TLS1_2_VERSION,
		  "peer speaks TLS 1.2 at most: TLS 1.3 is needed" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct end we, peer;
		bool we_serve = c->role == TLS_CLIENT;

		ours(&we, we_serve ? TLS_SERVER : TLS_CLIENT, "ca", we_serve ? "server" : "agent",
		     we_serve ? NULL : "localhost");
		plain(&peer, c->role, c->certificate, c->version);
		shake(we_serve ? &peer : &we, we_serve ? &we : &peer, SIZE_MAX);
		CHECK_EQ(we.result, -EPROTO);
		CHECK(has(tls_error(we.tls), c->error));
		end_release(&we);
		end_release(&peer);
	}
}

static void garbage(void **state)
{
	static const struct {
		const char *name, *bytes, *error;
		size_t len;
	} cases[] = {
		{ "HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		  "not TLS: garbage from the peer (it begins with 47 45 54 20)", 27 },
		{ "SSH", "SSH-2.0-OpenSSH_9.2p1\r\n", "not TLS: garbage from the peer", 23 },
		{ "zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "not TLS: garbage from the peer",
		  16 },
		{ "a frame", "XCP1P\0\1\7\0\0\0\0\0\0\0\0\0\0\0\0", "not TLS: garbage", 20 },
		{ "SSL 2",
		  "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00"
		  "\x80\x04\x00\x80\x05\x00\x80\x06\x00\x40\x07\x00\xc0garbage garbage.",
		  "not TLS: garbage", 48 },
		{ "another version", "\x16\x04\x01\x00\x20garbage garbage garbage",
		  "not TLS: garbage", 28 },
		{ "a hello of garbage", "\x16\x03\x01\x00\x10garbage garbage ",
		  "TLS failed: ", 21 },
		{ "data before the hello", "\x17\x03\x03\x00\x10garbage garbage ",
		  "TLS failed: ", 21 },
		{ "a record too long", "\x16\x03\x01\xff\xffgarbage garbage", "TLS failed: ", 20 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		for (int role = TLS_CLIENT; role <= TLS_SERVER; role++) {
			struct end end;

			ours(&end, (enum tls_role)role, "ca",
			     role == TLS_SERVER ? "server" : "agent",
			     role == TLS_SERVER ? NULL : "localhost");
			CHECK_EQ(tls_handshake(end.tls), -EAGAIN);
			for (size_t i = 0; i < c->len; i++)
				feed(&end, (const uint8_t *)c->bytes + i, 1);
			CHECK_EQ(tls_handshake(end.tls), -EPROTO);
			CHECK(has(tls_error(end.tls), c->error));
			end_release(&end);
		}
	}
}

static void alerted(void **state)
{
	static const struct {
		const char *name, *alert, *error;
	} cases[] = {
		{ "handshake failure", "\x15\x03\x03\x00\x02\x02\x28",
		  "alert from peer: handshake failure: nothing in common" },
		{ "protocol version", "\x15\x03\x03\x00\x02\x02\x46",
		  "peer speaks TLS 1.2 at most: TLS 1.3 is needed" },
		{ "internal error", "\x15\x03\x03\x00\x02\x02\x50",
		  "alert from peer: internal error" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct end client;

		ours(&client, TLS_CLIENT, "ca", "agent", "localhost");
		CHECK_EQ(tls_handshake(client.tls), -EAGAIN);
		feed(&client, (const uint8_t *)c->alert, 7);
		CHECK_EQ(tls_handshake(client.tls), -EPROTO);
		CHECK(has(tls_error(client.tls), c->error));
		end_release(&client);
	}
}

static void context_refused(void **state)
{
	static const struct {
		const char *name;
		enum tls_role role;
		const char *ca, *certificate, *key, *error;
		int err;
	} cases[] = {
		{ "no CA", TLS_CLIENT, "none", "agent", "agent", "cannot open /", -ENOENT },
		{ "no certificate", TLS_CLIENT, "ca", "none", "agent", "none.crt: No such file",
		  -ENOENT },
		{ "no key", TLS_CLIENT, "ca", "agent", "none", "none.key: No such file", -ENOENT },
		{ "CA is a leaf", TLS_CLIENT, "agent", "agent", "agent",
		  "agent.crt: not a CA's certificate", -EINVAL },
		{ "CA is no PEM", TLS_CLIENT, "text", "agent", "agent", "no CA certificate in PEM",
		  -EINVAL },
		{ "certificate is no PEM", TLS_CLIENT, "ca", "text", "agent",
		  "no usable certificate in PEM form", -EINVAL },
		{ "key is no PEM", TLS_CLIENT, "ca", "agent", "text", "no private key in PEM form",
		  -EINVAL },
		{ "key for others too", TLS_CLIENT, "ca", "agent", "open",
		  "others may use this key (mode 0640): chmod 600 /", -EINVAL },
		{ "another's key", TLS_CLIENT, "ca", "agent", "server",
		  "not the key of the certificate in /", -EINVAL },
		{ "agent as server", TLS_SERVER, "ca", "agent", "agent",
		  "an agent's certificate: a server needs one from", -EINVAL },
		{ "agent as server, EKU forged", TLS_SERVER, "ca", "agent-as-server",
		  "agent-as-server", "an agent's certificate", -EINVAL },
		{ "server without EKU", TLS_SERVER, "ca", "no-eku", "no-eku", "no serverAuth",
		  -EINVAL },
		{ "server that is a client", TLS_SERVER, "ca", "only-client", "only-client",
		  "no serverAuth", -EINVAL },
		{ "client that is a server", TLS_CLIENT, "ca", "only-server", "only-server",
		  "no clientAuth", -EINVAL },
		{ "no URI", TLS_CLIENT, "ca", "no-uri", "no-uri", "URI SAN xcap:agent:<id> or",
		  -EINVAL },
		{ "id in capitals", TLS_CLIENT, "ca", "bad-uri", "bad-uri", "URI SAN", -EINVAL },
	};

	(void)state;
	save(path("text", ".crt"), "text\n", 5);
	save(path("text", ".key"), "text\n", 5);
	save(path("open", ".key"), "text\n", 5);
	assert_int_equal(chmod(path("open", ".key"), 0640), 0);
	FOR_EACH_CASE (c, cases) {
		struct tls_context *context = NULL;
		char error[TLS_ERROR_LEN] = "";

		CHECK_EQ(tls_context_create(&context, c->role, path(c->ca, ".crt"),
					    path(c->certificate, ".crt"), path(c->key, ".key"),
					    error),
			 c->err);
		CHECK(!context);
		CHECK(has(error, c->error));
		tls_context_destroy(context);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refused), TEST(foreign_peers_refused), TEST(garbage),
		TEST(alerted), TEST(context_refused),
	};

	return cmocka_run_group_tests_name("tls_refusal", tests, make_pki, remove_pki);
}
