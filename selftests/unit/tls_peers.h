/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PKI in a temporary directory, and two ends of a connection in memory. An end is ours, or plain
 * OpenSSL where it has to be one that we do not make. The names of the certificates are in the
 * table; each is there a second time, as other-NAME, from another CA, other-ca.
 */
#pragma once

#include "common/tls.h"

#include <errno.h>
#include <ftw.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/pki.h"
#include "selftests/unit/check.h"

#define DAY 86400

static char dir[] = "/tmp/xcap-tls-test.XXXXXX";
static char path_memory[8][128];

/* DIR/name, valid for the next few calls. */
static inline const char *path(const char *name, const char *suffix)
{
	static unsigned int next;
	char *out = path_memory[next++ % ARRAY_SIZE(path_memory)];

	snprintf(out, sizeof(path_memory[0]), "%s/%s%s", dir, name, suffix);
	return out;
}

static inline void save(const char *file, const void *data, size_t len)
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(file, 0600), 0);
}

static inline void save_pair(const char *name, struct pki_pair *pair)
{
	save(path(name, ".crt"), pair->certificate.data, pair->certificate.len);
	save(path(name, ".key"), pair->key.data, pair->key.len);
}

static const char *const hosts[] = { "localhost", "*.wild.example", "127.0.0.1", "::1" };
static const char *const elsewhere[] = { "elsewhere.example", "192.0.2.9" };

/* Of the certificates; times in days from now. */
static const struct {
	const char *name, *uri, *common_name;
	bool client, server;
	const char *const *host;
	size_t host_count;
	int from, to;
	enum pki_algorithm algorithm;
} certificates[] = {
	{ "agent", "xcap:agent:edge-1", "edge-1", .client = true, .from = -1, .to = 9 },
	{ "agent25519", "xcap:agent:edge-2", "edge-2", .client = true, .from = -1, .to = 9,
	  .algorithm = PKI_ED25519 },
	{ "server", "xcap:aggregator:centre", "centre", true, true, hosts, 4, -1, 9, 0 },
	{ "server25519", "xcap:aggregator:centre", "centre", true, true, hosts, 4, -1, 9,
	  PKI_ED25519 },
	{ "elsewhere", "xcap:aggregator:away", "localhost", true, true, elsewhere, 2, -1, 9, 0 },
	{ "only-cn", "xcap:aggregator:centre", "localhost", true, true, NULL, 0, -1, 9, 0 },
	{ "old-agent", "xcap:agent:edge-1", "edge-1", .client = true, .from = -9, .to = -1 },
	{ "old-server", "xcap:aggregator:centre", "centre", true, true, hosts, 4, -9, -1, 0 },
	{ "young-agent", "xcap:agent:edge-1", "edge-1", .client = true, .from = 1, .to = 9 },
	{ "young-server", "xcap:aggregator:centre", "centre", true, true, hosts, 4, 1, 9, 0 },
	/* Those that only plain OpenSSL would use. */
	{ "agent-as-server", "xcap:agent:edge-1", "edge-1", true, true, hosts, 4, -1, 9, 0 },
	{ "no-eku", "xcap:aggregator:centre", "centre", false, false, hosts, 4, -1, 9, 0 },
	{ "only-client", "xcap:aggregator:centre", "centre", true, false, hosts, 4, -1, 9, 0 },
	{ "only-server", "xcap:aggregator:centre", "centre", false, true, hosts, 4, -1, 9, 0 },
	{ "no-uri", NULL, "centre", true, true, hosts, 4, -1, 9, 0 },
	{ "bad-uri", "xcap:aggregator:Centre", "centre", true, true, hosts, 4, -1, 9, 0 },
	{ "other-uri", "xcap:centre", "centre", true, true, hosts, 4, -1, 9, 0 },
	{ "long-uri",
	  "xcap:agent:"
	  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
	  "centre", true, true, hosts, 4, -1, 9, 0 },
};

static inline int make_pki(void **state)
{
	struct pki_pair ca = {}, other = {}, pair = {};
	char error[PKI_ERROR_LEN];
	int64_t now = time(NULL);

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(pki_ca_create(&ca, PKI_DEFAULT, now - 20 * DAY, now + 20 * DAY, error), 0);
	assert_int_equal(pki_ca_create(&other, PKI_ED25519, now - 20 * DAY, now + 20 * DAY, error),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(certificates); i++) {
		struct pki_request request = {
			.common_name = certificates[i].common_name,
			.uri = certificates[i].uri,
			.host = certificates[i].host,
			.host_count = certificates[i].host_count,
			.client = certificates[i].client,
			.server = certificates[i].server,
			.algorithm = certificates[i].algorithm,
			.not_before = now + certificates[i].from * DAY,
			.not_after = now + certificates[i].to * DAY,
		};
		char name[64];

		assert_int_equal(pki_issue(&pair, &ca, &request, error), 0);
		save_pair(certificates[i].name, &pair);
		pki_pair_release(&pair);
		assert_int_equal(pki_issue(&pair, &other, &request, error), 0);
		snprintf(name, sizeof(name), "other-%s", certificates[i].name);
		save_pair(name, &pair);
		pki_pair_release(&pair);
	}
	save_pair("ca", &ca);
	save_pair("other-ca", &other);
	pki_pair_release(&ca);
	pki_pair_release(&other);
	return 0;
}

static inline int remove_one(const char *file, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(file);
}

static inline int remove_pki(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* One end of a connection: ours, or OpenSSL's with memory BIOs. */
struct end {
	struct tls_context *context;
	struct tls *tls;
	SSL_CTX *plain_context;
	SSL *plain;
	BIO *in, *out;
	int result; /* of the handshake */
};

static inline void ours(struct end *end, enum tls_role role, const char *ca, const char *name,
			const char *server_name)
{
	char error[TLS_ERROR_LEN] = "";

	*end = (struct end){ .result = -EAGAIN };
	if (tls_context_create(&end->context, role, path(ca, ".crt"), path(name, ".crt"),
			       path(name, ".key"), error))
		fail_msg("%s", error);
	assert_int_equal(tls_create(&end->tls, end->context, server_name), 0);
}

static inline void plain(struct end *end, enum tls_role role, const char *name, int version)
{
	*end = (struct end){ .result = -EAGAIN };
	end->plain_context =
		SSL_CTX_new(role == TLS_SERVER ? TLS_server_method() : TLS_client_method());
	assert_non_null(end->plain_context);
	SSL_CTX_set_max_proto_version(end->plain_context, version);
	if (name) {
		assert_int_equal(SSL_CTX_use_certificate_file(end->plain_context,
							      path(name, ".crt"), SSL_FILETYPE_PEM),
				 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(end->plain_context, path(name, ".key"),
							     SSL_FILETYPE_PEM),
				 1);
	}
	end->plain = SSL_new(end->plain_context);
	end->in = BIO_new(BIO_s_mem());
	end->out = BIO_new(BIO_s_mem());
	SSL_set_bio(end->plain, end->in, end->out);
	if (role == TLS_SERVER)
		SSL_set_accept_state(end->plain);
	else
		SSL_set_connect_state(end->plain);
}

static inline void end_release(struct end *end)
{
	tls_destroy(end->tls);
	tls_context_destroy(end->context);
	SSL_free(end->plain);
	SSL_CTX_free(end->plain_context);
}

static inline void step(struct end *end)
{
	int n;

	if (end->tls) {
		char byte;

		end->result = tls_handshake(end->tls);
		/* A client hears of its refusal when it reads. */
		if (end->result == 0) {
			ssize_t got = tls_read(end->tls, &byte, 1);

			end->result = got == -EPROTO ? -EPROTO : 0;
		}
		return;
	}
	n = SSL_do_handshake(end->plain);
	if (n == 1)
		end->result = 0;
	else if (SSL_get_error(end->plain, n) != SSL_ERROR_WANT_READ)
		end->result = -EPROTO;
}

static inline void feed(struct end *to, const uint8_t *data, size_t len)
{
	if (to->tls)
		assert_int_equal(tls_feed(to->tls, data, len), 0);
	else if (len)
		assert_int_equal(BIO_write(to->in, data, (int)len), (int)len);
}

/* Moves at most max bytes; the number moved. */
static inline size_t move(struct end *from, struct end *to, size_t max)
{
	const uint8_t *data;
	size_t len;

	if (from->tls) {
		data = tls_output(from->tls, &len);
		len = MIN(len, max);
		feed(to, data, len);
		tls_output_sent(from->tls, len);
	} else {
		char *at;

		len = MIN((size_t)BIO_get_mem_data(from->out, &at), max);
		feed(to, (uint8_t *)at, len);
		if (len) {
			char *gone = malloc(len);

			assert_non_null(gone);
			BIO_read(from->out, gone, (int)len);
			free(gone);
		}
	}
	return len;
}

/* Until nothing moves any more, max bytes at a time. */
static inline void shake(struct end *client, struct end *server, size_t max)
{
	size_t moved;

	do {
		step(client);
		moved = move(client, server, max);
		step(server);
		moved += move(server, client, max);
	} while (moved);
}

/* text says part; if not, both are printed. */
static inline bool has(const char *text, const char *part)
{
	if (strstr(text, part))
		return true;
	print_error("\"%s\" does not say \"%s\"\n", text, part);
	return false;
}
