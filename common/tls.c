/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/certificate.h"

#define CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define CHAIN_DEPTH_MAX 4
#define CERTIFICATES_LEN_MAX (32 * 1024) /* that a peer may send */
#define FIRST_LEN 4

struct tls_context {
	enum tls_role role;
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	char *ca_path, *cert_path;
	char id[AGENT_ID_MAX + 1];
};

struct tls {
	struct tls_context *context;
	SSL *ssl;
	struct buf in, out;
	uint64_t received; /* bytes fed so far */
	uint64_t rekey_bytes, written_bytes;
	uint8_t first[FIRST_LEN]; /* of what was fed, to tell TLS from garbage */
	bool established, failed, closed;
	enum tls_peer_kind peer_kind;
	char peer_id[AGENT_ID_MAX + 1];
	char *server_name;
	char error[TLS_ERROR_LEN];
};

static int refuse(char error[TLS_ERROR_LEN], const char *path, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	snprintf(error, TLS_ERROR_LEN, "%s: %s%s%s", path, what, reason ? ": " : "",
		 reason ? reason : "");
	return -EINVAL;
}

/* NULL: errno and error tell why. */
static FILE *open_file(const char *path, char error[TLS_ERROR_LEN])
{
	FILE *file = fopen(path, "re");
	int err = errno;

	if (!file) {
		snprintf(error, TLS_ERROR_LEN, "cannot open %s: %s", path, strerror(err));
		errno = err;
	}
	return file;
}

static int load_ca(struct tls_context *context, const char *path, char error[TLS_ERROR_LEN])
{
	STACK_OF(X509_OBJECT) * objects;
	FILE *file = open_file(path, error);

	if (!file)
		return -errno;
	fclose(file);
	if (SSL_CTX_load_verify_file(context->ssl, path) != 1)
		return refuse(error, path, "no CA certificate in PEM form in it");
	objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context->ssl));
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (ca && !X509_check_ca(ca))
			return refuse(error, path, "not a CA's certificate: give the CA's ca.crt");
	}
	return 0;
}

static int load_certificate(struct tls_context *context, const char *path,
			    char error[TLS_ERROR_LEN])
{
	enum tls_peer_kind kind;
	X509 *certificate;
	FILE *file = open_file(path, error);

	if (!file)
		return -errno;
	fclose(file);
	if (SSL_CTX_use_certificate_chain_file(context->ssl, path) != 1)
		return refuse(error, path, "no usable certificate in PEM form in it");
	certificate = SSL_CTX_get0_certificate(context->ssl);
	if (certificate_identity(certificate, &kind, context->id) != 0)
		return refuse(error, path,
			      "not exactly one valid URI SAN xcap:agent:<id> or "
			      "xcap:aggregator:<id>: issue one with 'xcapctl pki issue'");
	if (context->role == TLS_SERVER && kind != TLS_PEER_AGGREGATOR)
		return refuse(error, path,
			      "an agent's certificate: a server needs one from 'xcapctl pki issue "
			      "DIR aggregator NAME --san HOST'");
	if (!certificate_allows(certificate, context->role))
		return refuse(error, path,
			      context->role == TLS_SERVER
				      ? "no serverAuth in its extended key usage: issue one with "
					"'xcapctl pki issue DIR aggregator NAME --san HOST'"
				      : "no clientAuth in its extended key usage: issue one with "
					"'xcapctl pki issue DIR agent NAME'");
	return 0;
}

/* Asks nobody for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *context)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static int load_key(struct tls_context *context, const char *path, char error[TLS_ERROR_LEN])
{
	FILE *file = open_file(path, error);
	EVP_PKEY *key = NULL;
	struct stat st;
	int err = 0;

	if (!file)
		return -errno;
	if (fstat(fileno(file), &st) < 0 || (st.st_mode & 077)) {
		snprintf(error, TLS_ERROR_LEN,
			 "%s: others may use this key (mode %04o): chmod 600 %s", path,
			 st.st_mode & 07777, path);
		err = -EINVAL;
		goto out;
	}
	key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
	if (!key)
		err = refuse(error, path, "no private key in PEM form without passphrase in it");
	else if (X509_check_private_key(SSL_CTX_get0_certificate(context->ssl), key) != 1) {
		snprintf(error, TLS_ERROR_LEN, "%s: not the key of the certificate in %s", path,
			 context->cert_path);
		err = -EINVAL;
	} else if (SSL_CTX_use_PrivateKey(context->ssl, key) != 1)
		err = refuse(error, path, "unusable key");
out:
	EVP_PKEY_free(key);
	fclose(file);
	return err;
}

static int bio_read(BIO *bio, char *out, size_t len, size_t *n)
{
	struct tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*n = MIN(len, tls->in.len);
	if (!*n) {
		BIO_set_retry_read(bio);
		return 0;
	}
	memcpy(out, tls->in.data, *n);
	buf_consume(&tls->in, *n);
	return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *n)
{
	struct tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	buf_append(&tls->out, data, len);
	*n = len;
	return !tls->out.failed;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static int verify(X509_STORE_CTX *store, void *unused)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *tls = SSL_get_app_data(ssl);
	struct certificate_policy policy = {
		.role = tls->context->role == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT,
		.server_name = tls->server_name,
		.ca_path = tls->context->ca_path,
	};

	(void)unused;
	return certificate_judge(store, &policy, &tls->peer_kind, tls->peer_id, tls->error);
}

static bool configure(struct tls_context *context)
{
	BIO_METHOD *bio = context->bio;
	SSL_CTX *ssl = context->ssl;

	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, verify, NULL);
	SSL_CTX_set_verify_depth(ssl, CHAIN_DEPTH_MAX);
	SSL_CTX_set_max_cert_list(ssl, CERTIFICATES_LEN_MAX);
	/* Every connection shows its certificate: nothing is resumed. */
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	/* A server has thousands that are idle; their buffers are worth a tenth of its writing
	 * speed. */
	if (context->role == TLS_SERVER)
		SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	return SSL_CTX_set_num_tickets(ssl, 0) == 1 &&
	       SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ssl, CIPHERSUITES) == 1 &&
	       BIO_meth_set_read_ex(bio, bio_read) == 1 &&
	       BIO_meth_set_write_ex(bio, bio_write) == 1 &&
	       BIO_meth_set_ctrl(bio, bio_control) == 1;
}

int tls_context_create(struct tls_context **ret, enum tls_role role, const char *ca,
		       const char *cert, const char *key, char error[TLS_ERROR_LEN])
{
	struct tls_context *context = calloc(1, sizeof(*context));
	int err = -ENOMEM;

	ERR_clear_error();
	snprintf(error, TLS_ERROR_LEN, "cannot set TLS up: out of memory, or OpenSSL unusable");
	if (!context)
		return err;
	context->role = role;
	context->ssl = SSL_CTX_new(role == TLS_SERVER ? TLS_server_method() : TLS_client_method());
	context->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "xcap buffers");
	context->ca_path = strdup(ca);
	context->cert_path = strdup(cert);
	if (!context->ssl || !context->bio || !context->ca_path || !context->cert_path ||
	    !configure(context))
		goto fail;
	err = load_ca(context, ca, error);
	if (!err)
		err = load_certificate(context, cert, error);
	if (!err)
		err = load_key(context, key, error);
	if (err)
		goto fail;
	error[0] = '\0';
	*ret = context;
	return 0;
fail:
	ERR_clear_error();
	tls_context_destroy(context);
	return err;
}

void tls_context_destroy(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->bio);
	free(context->ca_path);
	free(context->cert_path);
	free(context);
}

const char *tls_context_id(const struct tls_context *context)
{
	return context->id;
}

/* Without the zone of a link-local address, which no certificate has. */
static int expect_server(struct tls *tls, const char *server_name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
	uint8_t address[16];

	tls->server_name = strdup(server_name);
	if (!tls->server_name)
		return -ENOMEM;
	if (strchr(tls->server_name, ':'))
		tls->server_name[strcspn(tls->server_name, "%")] = '\0';
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
						       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, tls->server_name, address) == 1 ||
	    inet_pton(AF_INET6, tls->server_name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, tls->server_name) ? 0 : -ENOMEM;
	if (!*tls->server_name || !X509_VERIFY_PARAM_set1_host(param, tls->server_name, 0) ||
	    !SSL_set_tlsext_host_name(tls->ssl, tls->server_name))
		return -EINVAL;
	return 0;
}

int tls_create(struct tls **ret, struct tls_context *context, const char *server_name)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	int err = -ENOMEM;
	BIO *bio;

	assert((context->role == TLS_CLIENT) == (server_name != NULL));
	ERR_clear_error();
	if (!tls)
		return err;
	tls->context = context;
	tls->rekey_bytes = TLS_REKEY_BYTES;
	tls->ssl = SSL_new(context->ssl);
	bio = BIO_new(context->bio);
	if (!tls->ssl || !bio) {
		BIO_free(bio);
		goto fail;
	}
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, tls);
	if (context->role == TLS_SERVER) {
		SSL_set_accept_state(tls->ssl);
	} else {
		SSL_set_connect_state(tls->ssl);
		err = expect_server(tls, server_name);
		if (err)
			goto fail;
	}
	*ret = tls;
	return 0;
fail:
	ERR_clear_error();
	tls_destroy(tls);
	return err;
}

void tls_destroy(struct tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	buf_release(&tls->in);
	buf_release(&tls->out);
	free(tls->server_name);
	free(tls);
}

int tls_feed(struct tls *tls, const void *data, size_t len)
{
	if (!len)
		return 0;
	if (tls->received < FIRST_LEN)
		memcpy(tls->first + tls->received, data, MIN(len, FIRST_LEN - tls->received));
	tls->received += len;
	buf_append(&tls->in, data, len);
	return tls->in.failed ? -ENOMEM : 0;
}

const uint8_t *tls_output(struct tls *tls, size_t *len)
{
	*len = tls->out.len;
	return tls->out.data;
}

void tls_output_sent(struct tls *tls, size_t len)
{
	buf_consume(&tls->out, len);
}

void tls_output_swap(struct tls *tls, struct buf *empty)
{
	struct buf out = tls->out;

	assert(!empty->len);
	tls->out = *empty;
	*empty = out;
}

/* A record's type and version, as far as they came. */
static bool is_tls(const struct tls *tls)
{
	return (tls->received < 1 || (tls->first[0] >= SSL3_RT_CHANGE_CIPHER_SPEC &&
				      tls->first[0] <= SSL3_RT_APPLICATION_DATA)) &&
	       (tls->received < 2 || tls->first[1] == SSL3_VERSION_MAJOR);
}

static void explain_alert(struct tls *tls, int alert)
{
	X509 *own = SSL_get_certificate(tls->ssl);
	char time[CERTIFICATE_TEXT_LEN];
	const char *hint = "";

	switch (alert) {
	case SSL_AD_PROTOCOL_VERSION:
		snprintf(tls->error, TLS_ERROR_LEN,
			 "peer speaks TLS 1.2 at most: TLS 1.3 is needed (alert from peer: %s)",
			 SSL_alert_desc_string_long(alert));
		return;
	case SSL_AD_CERTIFICATE_EXPIRED:
		snprintf(tls->error, TLS_ERROR_LEN,
			 "alert from peer: certificate expired: ours, %s, is valid until %s",
			 tls->context->cert_path, certificate_time(X509_get0_notAfter(own), time));
		return;
	case SSL_AD_UNKNOWN_CA:
		hint = ": it does not know the CA that issued our certificate ";
		break;
	case SSL_AD_HANDSHAKE_FAILURE:
		hint = ": nothing in common, or it refuses our certificate ";
		break;
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_ACCESS_DENIED:
		hint = ": it refuses our certificate (its log says why): ";
		break;
	}
	snprintf(tls->error, TLS_ERROR_LEN, "alert from peer: %s%s%s",
		 SSL_alert_desc_string_long(alert), hint, *hint ? tls->context->cert_path : "");
}

/* Into tls->error, from the first error in OpenSSL's queue. */
static void explain(struct tls *tls)
{
	unsigned long code = ERR_peek_error();
	const char *words = ERR_reason_error_string(code);
	int reason = ERR_GET_REASON(code);
	bool is_ssl = ERR_GET_LIB(code) == ERR_LIB_SSL;

	if (!is_tls(tls))
		snprintf(tls->error, TLS_ERROR_LEN,
			 "not TLS: garbage from the peer (it begins with %02x %02x %02x %02x)",
			 tls->first[0], tls->first[1], tls->first[2], tls->first[3]);
	else if (is_ssl && reason > SSL_AD_REASON_OFFSET)
		explain_alert(tls, reason - SSL_AD_REASON_OFFSET);
	else if (is_ssl && (reason == SSL_R_UNSUPPORTED_PROTOCOL ||
			    reason == SSL_R_WRONG_SSL_VERSION || reason == SSL_R_VERSION_TOO_LOW))
		snprintf(tls->error, TLS_ERROR_LEN,
			 "peer speaks TLS 1.2 at most: TLS 1.3 is needed");
	else if (is_ssl && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		snprintf(tls->error, TLS_ERROR_LEN,
			 "peer shows no certificate: a client needs one issued by the CA in %s",
			 tls->context->ca_path);
	else
		snprintf(tls->error, TLS_ERROR_LEN, "TLS failed: %s",
			 words ? words : "no reason known");
}

static int fail(struct tls *tls)
{
	bool no_memory = tls->in.failed || tls->out.failed;

	tls->failed = true;
	if (no_memory)
		snprintf(tls->error, TLS_ERROR_LEN, "out of memory");
	else if (!*tls->error)
		explain(tls);
	ERR_clear_error();
	return no_memory ? -ENOMEM : -EPROTO;
}

int tls_handshake(struct tls *tls)
{
	int n;

	if (tls->failed)
		return -EPROTO;
	if (tls->established)
		return 0;
	ERR_clear_error();
	n = SSL_do_handshake(tls->ssl);
	if (n == 1) {
		tls->established = true;
		return 0;
	}
	return SSL_get_error(tls->ssl, n) == SSL_ERROR_WANT_READ ? -EAGAIN : fail(tls);
}

bool tls_established(const struct tls *tls)
{
	return tls->established;
}

ssize_t tls_read(struct tls *tls, void *buf, size_t len)
{
	int err = tls_handshake(tls);
	size_t n;

	if (err)
		return err;
	ERR_clear_error();
	if (SSL_read_ex(tls->ssl, buf, len, &n) == 1)
		return (ssize_t)n;
	switch (SSL_get_error(tls->ssl, 0)) {
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_WANT_READ:
		/* Nothing is kept for a connection that may be idle from here on. */
		if (!tls->in.len)
			buf_release(&tls->in);
		return -EAGAIN;
	default:
		return fail(tls);
	}
}

int tls_write(struct tls *tls, const void *buf, size_t len)
{
	size_t n;

	if (tls->failed)
		return -EPROTO;
	assert(tls->established && !tls->closed);
	if (!len)
		return 0;
	ERR_clear_error();
	/* AES-GCM's keys wear out (RFC 8446 5.5), and OpenSSL does not see to it. */
	if (tls->written_bytes >= tls->rekey_bytes) {
		if (SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
			return fail(tls);
		tls->written_bytes = 0;
	}
	if (SSL_write_ex(tls->ssl, buf, len, &n) != 1)
		return fail(tls);
	tls->written_bytes += len;
	return 0;
}

void tls_rekey_after(struct tls *tls, uint64_t bytes)
{
	tls->rekey_bytes = bytes;
}

void tls_close(struct tls *tls)
{
	if (!tls->established || tls->failed || tls->closed)
		return;
	tls->closed = true;
	ERR_clear_error();
	(void)SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

enum tls_peer_kind tls_peer_kind(const struct tls *tls)
{
	return tls->peer_kind;
}

const char *tls_peer_id(const struct tls *tls)
{
	return tls->peer_id;
}

const char *tls_error(const struct tls *tls)
{
	if (tls->failed || tls->established)
		return tls->error;
	if (!tls->received)
		return "the peer has sent nothing";
	return is_tls(tls) ? "the peer fell silent in the middle of the handshake"
			   : "not TLS: garbage from the peer";
}
