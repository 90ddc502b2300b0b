/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a certificate says: in our terms, and in words for an operator. The words may come from a
 * peer: whoever logs them escapes control characters. Sans-I/O, any thread.
 */
#pragma once

#include <openssl/x509.h>

#include "common/tls.h"

#define CERTIFICATE_TEXT_LEN 256

/*
 * The URI SAN xcap:agent:<id> or xcap:aggregator:<id>. -ENOENT: there is none; -EINVAL: malformed,
 * or more than one.
 */
int certificate_identity(const X509 *certificate, enum tls_peer_kind *kind,
			 char id[AGENT_ID_MAX + 1]) must_check;
/* It has an extended key usage, with clientAuth or serverAuth in it. */
bool certificate_allows(X509 *certificate, enum tls_role role);

/* What is asked of a peer's certificate. */
struct certificate_policy {
	enum tls_role role;	 /* of the peer */
	const char *server_name; /* what its SANs have to hold; only for a server */
	const char *ca_path;	 /* for messages */
};

/*
 * Verifies the peer's chain in store, then what OpenSSL does not ask for. false: store has the
 * error (and so the alert to send), error says it in words. true: kind and id are the peer's.
 */
bool certificate_judge(X509_STORE_CTX *store, const struct certificate_policy *policy,
		       enum tls_peer_kind *kind, char id[AGENT_ID_MAX + 1],
		       char error[TLS_ERROR_LEN]) must_check;

/* The text functions return out, cut to its size. */
/* "xcap:agent:edge-1"; without such a URI the subject. */
const char *certificate_name(const X509 *certificate, char out[CERTIFICATE_TEXT_LEN]);
const char *certificate_issuer(const X509 *certificate, char out[CERTIFICATE_TEXT_LEN]);
/* The hosts in its SANs: "DNS:a, IP:192.0.2.1", or "". */
const char *certificate_hosts(const X509 *certificate, char out[CERTIFICATE_TEXT_LEN]);
/* "2026-01-02 03:04:05 UTC" */
const char *certificate_time(const ASN1_TIME *time, char out[CERTIFICATE_TEXT_LEN]);
