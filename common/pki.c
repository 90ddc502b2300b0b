/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/pki.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define SERIAL_BITS 128
#define DNS_NAME_MAX 253
#define DNS_LABEL_MAX 63

int pki_algorithm_parse(enum pki_algorithm *ret, const char *text)
{
	if (strcmp(text, "ecdsa-p256") == 0)
		*ret = PKI_ECDSA_P256;
	else if (strcmp(text, "ed25519") == 0)
		*ret = PKI_ED25519;
	else
		return -EINVAL;
	return 0;
}

/* Letters, digits, hyphens and underscores within, at most 63. */
static bool label_valid(const char *label, size_t len)
{
	if (len < 1 || len > DNS_LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)label[i];

		if (!(c < 0x80 && isalnum(c)) && c != '-' && c != '_')
			return false;
	}
	return true;
}

enum pki_host pki_host_kind(const char *text)
{
	const char *label = strncmp(text, "*.", 2) == 0 ? text + 2 : text;
	uint8_t address[16];
	size_t len;

	if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
		return PKI_HOST_IP;
	if (strlen(text) > DNS_NAME_MAX)
		return PKI_HOST_INVALID;
	for (;; label += len + 1) {
		len = strcspn(label, ".");
		if (!label_valid(label, len))
			return PKI_HOST_INVALID;
		if (!label[len])
			break;
	}
	return strspn(label, "0123456789") == len ? PKI_HOST_INVALID : PKI_HOST_DNS;
}

void pki_pair_release(struct pki_pair *pair)
{
	if (pair->key.memory)
		OPENSSL_cleanse(pair->key.data, pair->key.len);
	buf_release(&pair->key);
	buf_release(&pair->certificate);
}

static int refuse(char error[PKI_ERROR_LEN], int err, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	snprintf(error, PKI_ERROR_LEN, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
	return err;
}

static int refuse_host(char error[PKI_ERROR_LEN], const char *host)
{
	snprintf(error, PKI_ERROR_LEN, "'%.200s' is neither a DNS name nor an IP address", host);
	return -EINVAL;
}

static EVP_PKEY *make_key(enum pki_algorithm algorithm)
{
	return algorithm == PKI_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					: EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
}

/* Positive and not guessable, as RFC 5280 4.1.2.2 and the CA/Browser Forum want it. */
static bool set_serial(X509 *certificate)
{
	BIGNUM *number = BN_new();
	bool ok = number &&
		  BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));

	BN_free(number);
	return ok;
}

static bool set_name(X509_NAME *name, const char *common_name)
{
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
					  (const unsigned char *)common_name, -1, -1, 0) == 1;
}

/* Version, serial, subject, times and public key. */
static bool set_head(X509 *certificate, EVP_PKEY *key, const char *common_name, int64_t not_before,
		     int64_t not_after)
{
	return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
	       set_name(X509_get_subject_name(certificate), common_name) &&
	       ASN1_TIME_set(X509_getm_notBefore(certificate), not_before) &&
	       ASN1_TIME_set(X509_getm_notAfter(certificate), not_after) &&
	       X509_set_pubkey(certificate, key) == 1;
}

/* value: openssl's x509v3_config(5), always a constant of this file. */
static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool ok;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

/* Takes value over. */
static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
	GENERAL_NAME *name = value ? GENERAL_NAME_new() : NULL;

	if (!name) {
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(name, type, value);
	if (sk_GENERAL_NAME_push(names, name))
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static ASN1_STRING *ia5(const char *text)
{
	ASN1_STRING *string = ASN1_IA5STRING_new();

	if (string && ASN1_STRING_set(string, text, -1) == 1)
		return string;
	ASN1_STRING_free(string);
	return NULL;
}

static bool add_alternative_names(X509 *certificate, const struct pki_request *request)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;

	if (ok && request->uri)
		ok = push_name(names, GEN_URI, ia5(request->uri));
	for (size_t i = 0; ok && i < request->host_count; i++) {
		const char *host = request->host[i];

		ok = pki_host_kind(host) == PKI_HOST_IP
			     ? push_name(names, GEN_IPADD, a2i_IPADDRESS(host))
			     : push_name(names, GEN_DNS, ia5(host));
	}
	if (ok && sk_GENERAL_NAME_num(names))
		ok = X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0,
				       X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

static bool sign(X509 *certificate, EVP_PKEY *key)
{
	/* The Edwards curves hash within. */
	bool pure = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");

	return X509_sign(certificate, key, pure ? NULL : EVP_sha256()) > 0;
}

static bool bio_to_buf(struct buf *out, BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	if (len <= 0)
		return false;
	buf_append(out, data, (size_t)len);
	return !out->failed;
}

static bool write_pair(struct pki_pair *ret, X509 *certificate, EVP_PKEY *key)
{
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
	struct tm tm;
	bool ok = cert_bio && key_bio && PEM_write_bio_X509(cert_bio, certificate) == 1 &&
		  PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		  bio_to_buf(&ret->certificate, cert_bio) && bio_to_buf(&ret->key, key_bio) &&
		  ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1;

	BIO_free(cert_bio);
	BIO_free(key_bio);
	if (ok)
		ret->not_after = timegm(&tm);
	else
		pki_pair_release(ret);
	return ok;
}

int pki_ca_create(struct pki_pair *ret, enum pki_algorithm algorithm, int64_t not_before,
		  int64_t not_after, char error[PKI_ERROR_LEN])
{
	EVP_PKEY *key = make_key(algorithm);
	X509 *certificate = X509_new();
	char name[32];
	uint32_t id;
	int err = 0;

	ERR_clear_error();
	/* Two CAs of one name could not be told apart in messages. */
	if (!key || !certificate || RAND_bytes((unsigned char *)&id, sizeof(id)) != 1) {
		err = refuse(error, -EIO, "cannot make a key");
		goto out;
	}
	snprintf(name, sizeof(name), "xcap CA %08x", id);
	if (!set_head(certificate, key, name, not_before, not_after) ||
	    X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1 ||
	    !add_extension(certificate, certificate, NID_basic_constraints,
			   "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(certificate, certificate, NID_key_usage,
			   "critical,keyCertSign,cRLSign") ||
	    !add_extension(certificate, certificate, NID_subject_key_identifier, "hash") ||
	    !add_extension(certificate, certificate, NID_authority_key_identifier,
			   "keyid:always") ||
	    !sign(certificate, key) || !write_pair(ret, certificate, key))
		err = refuse(error, -EIO, "cannot make the CA's certificate");
out:
	X509_free(certificate);
	EVP_PKEY_free(key);
	return err;
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

static int load_ca(X509 **certificate, EVP_PKEY **key, const struct pki_pair *ca,
		   char error[PKI_ERROR_LEN])
{
	BIO *cert_bio = BIO_new_mem_buf(ca->certificate.data, (int)ca->certificate.len);
	BIO *key_bio = BIO_new_mem_buf(ca->key.data, (int)ca->key.len);
	int err = 0;

	*certificate = cert_bio ? PEM_read_bio_X509(cert_bio, NULL, no_passphrase, NULL) : NULL;
	*key = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, no_passphrase, NULL) : NULL;
	if (!*certificate)
		err = refuse(error, -EINVAL, "the CA's certificate cannot be read");
	else if (!*key)
		err = refuse(error, -EINVAL, "the CA's key cannot be read");
	else if (!X509_check_ca(*certificate))
		err = refuse(error, -EINVAL, "the CA's certificate is not one of a CA");
	else if (X509_check_private_key(*certificate, *key) != 1)
		err = refuse(error, -EINVAL, "the CA's key does not belong to its certificate");
	BIO_free(cert_bio);
	BIO_free(key_bio);
	return err;
}

static bool set_extensions(X509 *certificate, X509 *issuer, const struct pki_request *request)
{
	const char *use = request->server ? request->client ? "serverAuth,clientAuth" : "serverAuth"
					  : "clientAuth";

	return add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") &&
	       (!(request->server || request->client) ||
		add_extension(certificate, issuer, NID_ext_key_usage, use)) &&
	       add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
	       add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always") &&
	       add_alternative_names(certificate, request);
}

int pki_issue(struct pki_pair *ret, const struct pki_pair *ca, const struct pki_request *request,
	      char error[PKI_ERROR_LEN])
{
	EVP_PKEY *ca_key = NULL, *key = NULL;
	X509 *issuer = NULL, *certificate = NULL;
	enum pki_algorithm algorithm = request->algorithm;
	int64_t not_after = request->not_after, ca_not_after;
	struct tm tm;
	int err;

	ERR_clear_error();
	for (size_t i = 0; i < request->host_count; i++) {
		if (pki_host_kind(request->host[i]) == PKI_HOST_INVALID)
			return refuse_host(error, request->host[i]);
	}
	err = load_ca(&issuer, &ca_key, ca, error);
	if (err)
		goto out;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(issuer), &tm) != 1) {
		err = refuse(error, -EINVAL, "the CA's certificate has a malformed date");
		goto out;
	}
	ca_not_after = timegm(&tm);
	if (ca_not_after <= request->not_before) {
		err = refuse(error, -EINVAL, "the CA's certificate has expired: make a new CA");
		goto out;
	}
	not_after = MIN(not_after, ca_not_after);
	if (algorithm == PKI_DEFAULT)
		algorithm = EVP_PKEY_is_a(ca_key, "ED25519") ? PKI_ED25519 : PKI_ECDSA_P256;
	key = make_key(algorithm);
	certificate = X509_new();
	if (!key || !certificate ||
	    !set_head(certificate, key, request->common_name, request->not_before, not_after) ||
	    X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
	    !set_extensions(certificate, issuer, request) || !sign(certificate, ca_key) ||
	    !write_pair(ret, certificate, key))
		err = refuse(error, -EIO, "cannot make the certificate");
out:
	X509_free(certificate);
	X509_free(issuer);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return err;
}
