/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *prefix;
	enum tls_peer_kind kind;
} kinds[] = {
	{ "xcap:agent:", TLS_PEER_AGENT },
	{ "xcap:aggregator:", TLS_PEER_AGGREGATOR },
};

static int identity_parse(const ASN1_IA5STRING *uri, enum tls_peer_kind *kind,
			  char id[AGENT_ID_MAX + 1])
{
	const char *text = (const char *)ASN1_STRING_get0_data(uri);
	size_t len = (size_t)ASN1_STRING_length(uri);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t prefix_len = strlen(kinds[i].prefix), id_len = len - prefix_len;

		if (len < prefix_len || memcmp(text, kinds[i].prefix, prefix_len) != 0)
			continue;
		/* A NUL within would hide what follows it. */
		if (id_len > AGENT_ID_MAX || memchr(text, '\0', len))
			return -EINVAL;
		memcpy(id, text + prefix_len, id_len);
		id[id_len] = '\0';
		if (!agent_id_valid(id))
			return -EINVAL;
		*kind = kinds[i].kind;
		return 0;
	}
	return -EINVAL;
}

static bool is_ours(const GENERAL_NAME *name)
{
	const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;

	return name->type == GEN_URI && ASN1_STRING_length(uri) >= 5 &&
	       memcmp(ASN1_STRING_get0_data(uri), "xcap:", 5) == 0;
}

static GENERAL_NAMES *alternative_names(const X509 *certificate)
{
	return X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}

int certificate_identity(const X509 *certificate, enum tls_peer_kind *kind,
			 char id[AGENT_ID_MAX + 1])
{
	GENERAL_NAMES *names = alternative_names(certificate);
	int err = -ENOENT;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (!is_ours(name))
			continue;
		err = err == -ENOENT ? identity_parse(name->d.uniformResourceIdentifier, kind, id)
				     : -EINVAL;
		if (err)
			break;
	}
	GENERAL_NAMES_free(names);
	return err;
}

bool certificate_allows(X509 *certificate, enum tls_role role)
{
	uint32_t use = role == TLS_SERVER ? XKU_SSL_SERVER : XKU_SSL_CLIENT;

	return (X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) &&
	       (X509_get_extended_key_usage(certificate) & use);
}

/* RFC 2253, with what is not printable ASCII escaped. */
static const char *name_text(const X509_NAME *name, char out[CERTIFICATE_TEXT_LEN])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int len = -1;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
		len = BIO_read(bio, out, CERTIFICATE_TEXT_LEN - 1);
	out[MAX(len, 0)] = '\0';
	BIO_free(bio);
	return out;
}

const char *certificate_name(const X509 *certificate, char out[CERTIFICATE_TEXT_LEN])
{
	char id[AGENT_ID_MAX + 1];
	enum tls_peer_kind kind;

	if (certificate_identity(certificate, &kind, id) == 0) {
		snprintf(out, CERTIFICATE_TEXT_LEN, "%s%s",
			 kind == TLS_PEER_AGENT ? "xcap:agent:" : "xcap:aggregator:", id);
		return out;
	}
	name_text(X509_get_subject_name(certificate), out);
	if (!*out)
		snprintf(out, CERTIFICATE_TEXT_LEN, "no name");
	return out;
}

const char *certificate_issuer(const X509 *certificate, char out[CERTIFICATE_TEXT_LEN])
{
	return name_text(X509_get_issuer_name(certificate), out);
}

const char *certificate_hosts(const X509 *certificate, char out[CERTIFICATE_TEXT_LEN])
{
	GENERAL_NAMES *names = alternative_names(certificate);
	size_t at = 0;

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *value = name->d.ia5;
		char text[INET6_ADDRSTRLEN] = "";
		int len = 0;

		if (name->type == GEN_DNS) {
			len = ASN1_STRING_length(value);
		} else if (name->type == GEN_IPADD) {
			len = ASN1_STRING_length(value);
			if (len != 4 && len != 16)
				continue;
			inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text,
				  sizeof(text));
		} else {
			continue;
		}
		at += (size_t)snprintf(out + at, CERTIFICATE_TEXT_LEN - at, "%s%s:%.*s",
				       at ? ", " : "", *text ? "IP" : "DNS",
				       *text ? (int)sizeof(text) : len,
				       *text ? text : (const char *)ASN1_STRING_get0_data(value));
		if (at >= CERTIFICATE_TEXT_LEN) {
			memcpy(out + CERTIFICATE_TEXT_LEN - 4, "...", 4);
			break;
		}
	}
	GENERAL_NAMES_free(names);
	return out;
}

const char *certificate_time(const ASN1_TIME *time, char out[CERTIFICATE_TEXT_LEN])
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm) ||
	    !strftime(out, CERTIFICATE_TEXT_LEN, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, CERTIFICATE_TEXT_LEN, "a malformed date");
	return out;
}

static void explain_time(const X509 *certificate, const char *what, bool expired,
			 char error[TLS_ERROR_LEN])
{
	char name[CERTIFICATE_TEXT_LEN], time[CERTIFICATE_TEXT_LEN];

	if (expired)
		snprintf(error, TLS_ERROR_LEN, "%s of %s expired on %s: issue a new one", what,
			 certificate_name(certificate, name),
			 certificate_time(X509_get0_notAfter(certificate), time));
	else
		snprintf(error, TLS_ERROR_LEN, "%s of %s is valid only from %s: check the clocks",
			 what, certificate_name(certificate, name),
			 certificate_time(X509_get0_notBefore(certificate), time));
}

static void explain_host(const X509 *certificate, const char *server_name,
			 char error[TLS_ERROR_LEN])
{
	char name[CERTIFICATE_TEXT_LEN], hosts[CERTIFICATE_TEXT_LEN];

	if (*certificate_hosts(certificate, hosts))
		snprintf(error, TLS_ERROR_LEN,
			 "certificate of server %s is for %s, not for %s: issue one with --san %s",
			 certificate_name(certificate, name), hosts, server_name, server_name);
	else
		snprintf(error, TLS_ERROR_LEN,
			 "certificate of server %s names no host in its SANs (the CN does not "
			 "count): issue one with --san %s",
			 certificate_name(certificate, name), server_name);
}

static void explain_use(const X509 *certificate, enum tls_role role, char error[TLS_ERROR_LEN])
{
	char name[CERTIFICATE_TEXT_LEN];

	if (role == TLS_SERVER)
		snprintf(error, TLS_ERROR_LEN,
			 "certificate of %s is not for servers (no serverAuth in its extended key "
			 "usage): a server needs one issued to an aggregator",
			 certificate_name(certificate, name));
	else
		snprintf(error, TLS_ERROR_LEN,
			 "certificate of %s is not for clients (no clientAuth in its extended key "
			 "usage): a client needs one issued to an agent or an aggregator",
			 certificate_name(certificate, name));
}

/* What made OpenSSL refuse the chain. */
static void explain(X509_STORE_CTX *store, const struct certificate_policy *policy,
		    char error[TLS_ERROR_LEN])
{
	char name[CERTIFICATE_TEXT_LEN], issuer[CERTIFICATE_TEXT_LEN];
	const X509 *leaf = X509_STORE_CTX_get0_cert(store);
	const X509 *at = X509_STORE_CTX_get_current_cert(store);
	bool is_leaf = X509_STORE_CTX_get_error_depth(store) == 0;
	int reason = X509_STORE_CTX_get_error(store);

	if (!at)
		at = leaf;
	switch (reason) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		explain_time(at, is_leaf ? "certificate" : "CA certificate",
			     reason == X509_V_ERR_CERT_HAS_EXPIRED, error);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		explain_host(leaf, policy->server_name, error);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		explain_use(at, policy->role, error);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		snprintf(error, TLS_ERROR_LEN,
			 "unknown CA: certificate of %s, issued by '%s', was not issued by the CA "
			 "in "
			 "%s",
			 certificate_name(leaf, name), certificate_issuer(leaf, issuer),
			 policy->ca_path);
		break;
	default:
		snprintf(error, TLS_ERROR_LEN, "certificate of %s is refused: %s",
			 certificate_name(leaf, name), X509_verify_cert_error_string(reason));
		break;
	}
}

/* What OpenSSL does not ask for. 0, or the error for the store. */
static int judge_leaf(X509 *leaf, const struct certificate_policy *policy, enum tls_peer_kind *kind,
		      char id[AGENT_ID_MAX + 1], char error[TLS_ERROR_LEN])
{
	const char *want = policy->role == TLS_SERVER ? "xcap:aggregator:<id>"
						      : "xcap:agent:<id> or xcap:aggregator:<id>";
	char name[CERTIFICATE_TEXT_LEN];

	/* OpenSSL takes a certificate without the extension for one that allows everything. */
	if (!certificate_allows(leaf, policy->role)) {
		explain_use(leaf, policy->role, error);
		return X509_V_ERR_INVALID_PURPOSE;
	}
	if (certificate_identity(leaf, kind, id) != 0) {
		snprintf(error, TLS_ERROR_LEN,
			 "certificate of %s has not exactly one valid URI SAN %s: issue one with "
			 "'xcapctl pki issue'",
			 certificate_name(leaf, name), want);
		return X509_V_ERR_CERT_REJECTED;
	}
	if (policy->role == TLS_SERVER && *kind != TLS_PEER_AGGREGATOR) {
		snprintf(error, TLS_ERROR_LEN,
			 "certificate of server %s is an agent's: a server needs one issued to an "
			 "aggregator",
			 certificate_name(leaf, name));
		return X509_V_ERR_CERT_REJECTED;
	}
	return 0;
}

bool certificate_judge(X509_STORE_CTX *store, const struct certificate_policy *policy,
		       enum tls_peer_kind *kind, char id[AGENT_ID_MAX + 1],
		       char error[TLS_ERROR_LEN])
{
	int reason;

	if (X509_verify_cert(store) <= 0) {
		explain(store, policy, error);
		return false;
	}
	reason = judge_leaf(X509_STORE_CTX_get0_cert(store), policy, kind, id, error);
	if (reason)
		X509_STORE_CTX_set_error(store, reason);
	return !reason;
}
