/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/pki.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "selftests/unit/check.h"

#define DAY 86400
#define NOW 1800000000 /* January 2027 */

static struct pki_pair ca;

static int make_ca(void **state)
{
	char error[PKI_ERROR_LEN];

	(void)state;
	return pki_ca_create(&ca, PKI_DEFAULT, NOW - PKI_BACKDATE_S, NOW + 100 * DAY, error);
}

static int release_ca(void **state)
{
	(void)state;
	pki_pair_release(&ca);
	return 0;
}

static X509 *parse(const struct buf *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	assert_non_null(certificate);
	BIO_free(bio);
	return certificate;
}

static EVP_PKEY *parse_key(const struct buf *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	assert_non_null(key);
	BIO_free(bio);
	return key;
}

static void hosts_told_apart(void **state)
{
	static const struct {
		const char *name;
		enum pki_host kind;
	} cases[] = {
		{ "localhost", PKI_HOST_DNS },
		{ "a.example.org", PKI_HOST_DNS },
		{ "A-1.Example.ORG", PKI_HOST_DNS },
		{ "_srv.host_1.example", PKI_HOST_DNS },
		{ "*.example.org", PKI_HOST_DNS },
		{ "xn--bcher-kva.example", PKI_HOST_DNS },
		{ "123.example", PKI_HOST_DNS },
		{ "0123456789012345678901234567890123456789012345678901234567890123.example",
		  PKI_HOST_INVALID },
		{ "192.0.2.1", PKI_HOST_IP },
		{ "2001:db8::1", PKI_HOST_IP },
		{ "::ffff:192.0.2.1", PKI_HOST_IP },
		{ "", PKI_HOST_INVALID },
		{ ".", PKI_HOST_INVALID },
		{ "*", PKI_HOST_INVALID },
		{ "a..b", PKI_HOST_INVALID },
		{ "a.b.", PKI_HOST_INVALID },
		{ ".a", PKI_HOST_INVALID },
		{ "-a.b", PKI_HOST_INVALID },
		{ "a-.b", PKI_HOST_INVALID },
		{ "a.*.b", PKI_HOST_INVALID },
		{ "a b", PKI_HOST_INVALID },
		{ "b\xc3\xbc"
		  "cher.example",
		  PKI_HOST_INVALID },
		{ "host:9227", PKI_HOST_INVALID },
		{ "[2001:db8::1]", PKI_HOST_INVALID },
		{ "fe80::1%eth0", PKI_HOST_INVALID },
		{ "192.0.2.256", PKI_HOST_INVALID },
		{ "192.0.2", PKI_HOST_INVALID },
		{ "example.1", PKI_HOST_INVALID },
		{ "a,DNS:b", PKI_HOST_INVALID },
	};
	char longest[256];

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(pki_host_kind(c->name), c->kind);
	check_case = "longest";
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 50 == 49 ? '.' : 'a';
	longest[253] = '\0';
	CHECK_EQ(pki_host_kind(longest), PKI_HOST_DNS);
	longest[253] = 'a';
	longest[254] = '\0';
	CHECK_EQ(pki_host_kind(longest), PKI_HOST_INVALID);
}

static void algorithms_parsed(void **state)
{
	enum pki_algorithm algorithm;

	(void)state;
	CHECK_EQ(pki_algorithm_parse(&algorithm, "ed25519"), 0);
	CHECK_EQ(algorithm, PKI_ED25519);
	CHECK_EQ(pki_algorithm_parse(&algorithm, "ecdsa-p256"), 0);
	CHECK_EQ(algorithm, PKI_ECDSA_P256);
	CHECK_EQ(pki_algorithm_parse(&algorithm, "rsa"), -EINVAL);
}

static void ca_made(void **state)
{
	static const struct {
		const char *name;
		enum pki_algorithm algorithm;
		const char *key;
	} cases[] = {
		{ "default", PKI_DEFAULT, "EC" },
		{ "ECDSA", PKI_ECDSA_P256, "EC" },
		{ "Ed25519", PKI_ED25519, "ED25519" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct pki_pair pair = {};
		char error[PKI_ERROR_LEN];
		X509 *certificate;
		EVP_PKEY *key;

		assert_int_equal(pki_ca_create(&pair, c->algorithm, NOW, NOW + DAY, error), 0);
		CHECK_EQ(pair.not_after, NOW + DAY);
		certificate = parse(&pair.certificate);
		key = parse_key(&pair.key);
		CHECK(EVP_PKEY_is_a(key, c->key));
		CHECK_EQ(X509_check_private_key(certificate, key), 1);
		CHECK_EQ(X509_verify(certificate, key), 1);
		CHECK_EQ(X509_check_ca(certificate), 1);
		CHECK_EQ(X509_get_pathlen(certificate), 0);
		CHECK_EQ(X509_get_key_usage(certificate), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
		CHECK(X509_get0_subject_key_id(certificate) != NULL);
		X509_free(certificate);
		EVP_PKEY_free(key);
		pki_pair_release(&pair);
		CHECK(!pair.key.memory && !pair.certificate.memory);
	}
}

static void issued(void **state)
{
	static const char *const hosts[] = { "a.example", "192.0.2.1", "2001:db8::1" };
	static const struct {
		const char *name;
		struct pki_request request;
		uint32_t use;
		int64_t not_after;
		int names;
	} cases[] = {
		{ "agent",
		  { "edge-1", "xcap:agent:edge-1", NULL, 0, true, false, PKI_DEFAULT, NOW,
		    NOW + 90 * DAY },
		  XKU_SSL_CLIENT,
		  NOW + 90 * DAY,
		  1 },
		{ "aggregator",
		  { "centre", "xcap:aggregator:centre", hosts, 3, true, true, PKI_ED25519, NOW,
		    NOW + 90 * DAY },
		  XKU_SSL_CLIENT | XKU_SSL_SERVER,
		  NOW + 90 * DAY,
		  4 },
		{ "cut to the CA's end",
		  { "edge-1", "xcap:agent:edge-1", NULL, 0, true, false, PKI_DEFAULT, NOW,
		    NOW + 101 * DAY },
		  XKU_SSL_CLIENT,
		  NOW + 100 * DAY,
		  1 },
		{ "no names, no use",
		  { "edge-1", NULL, NULL, 0, false, false, PKI_DEFAULT, NOW, NOW + DAY },
		  0,
		  NOW + DAY,
		  0 },
	};
	X509 *issuer = parse(&ca.certificate);

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct pki_pair pair = {};
		char error[PKI_ERROR_LEN];
		GENERAL_NAMES *names;
		X509 *certificate;
		EVP_PKEY *key;

		assert_int_equal(pki_issue(&pair, &ca, &c->request, error), 0);
		CHECK_EQ(pair.not_after, c->not_after);
		certificate = parse(&pair.certificate);
		key = parse_key(&pair.key);
		CHECK_EQ(X509_check_private_key(certificate, key), 1);
		CHECK_EQ(X509_verify(certificate, X509_get0_pubkey(issuer)), 1);
		CHECK_EQ(X509_check_issued(issuer, certificate), X509_V_OK);
		CHECK_EQ(X509_check_ca(certificate), 0);
		CHECK_EQ(X509_get_key_usage(certificate), KU_DIGITAL_SIGNATURE);
		CHECK_EQ(X509_get_extended_key_usage(certificate), c->use ? c->use : UINT32_MAX);
		CHECK(X509_get0_subject_key_id(certificate) != NULL);
		CHECK(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(certificate),
					    X509_get0_subject_key_id(issuer)) == 0);
		names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
		CHECK_EQ(names ? sk_GENERAL_NAME_num(names) : 0, c->names);
		if (c->names == 4) {
			CHECK_EQ(X509_check_host(certificate, "a.example", 0, 0, NULL), 1);
			CHECK_EQ(X509_check_ip_asc(certificate, "192.0.2.1", 0), 1);
			CHECK_EQ(X509_check_ip_asc(certificate, "2001:db8::1", 0), 1);
			CHECK(EVP_PKEY_is_a(key, "ED25519"));
		}
		GENERAL_NAMES_free(names);
		X509_free(certificate);
		EVP_PKEY_free(key);
		pki_pair_release(&pair);
	}
	X509_free(issuer);
}

/* Random, positive, 128 bits; no two alike. */
static void serials(void **state)
{
	struct pki_request request = {
		.common_name = "a", .client = true, .not_before = NOW, .not_after = NOW + DAY
	};
	BIGNUM *numbers[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct pki_pair pair = {};
		char error[PKI_ERROR_LEN];
		X509 *certificate;

		assert_int_equal(pki_issue(&pair, &ca, &request, error), 0);
		certificate = parse(&pair.certificate);
		numbers[i] = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
		CHECK(!BN_is_negative(numbers[i]));
		CHECK_EQ(BN_num_bits(numbers[i]), 128);
		for (size_t j = 0; j < i; j++)
			CHECK(BN_cmp(numbers[i], numbers[j]) != 0);
		X509_free(certificate);
		pki_pair_release(&pair);
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		BN_free(numbers[i]);
}

static void refused(void **state)
{
	static const char *const wrong_host[] = { "a.example", "a b" };
	static const struct {
		const char *name;
		const char *const *host;
		size_t host_count;
		int64_t not_before;
		bool leaf_as_ca, foreign_key, no_key;
		const char *error;
	} cases[] = {
		{ "wrong host", wrong_host, 2, NOW, .error = "'a b' is neither" },
		{ "CA expired", NULL, 0, NOW + 100 * DAY, .error = "CA's certificate has expired" },
		{ "a leaf issues", NULL, 0, NOW, .leaf_as_ca = true, .error = "not one of a CA" },
		{ "another's key", NULL, 0, NOW, .foreign_key = true,
		  .error = "key does not belong to its certificate" },
		{ "no key", NULL, 0, NOW, .no_key = true, .error = "CA's key cannot be read" },
	};
	struct pki_request request = {
		.common_name = "a", .client = true, .not_before = NOW, .not_after = NOW + DAY
	};
	struct pki_pair leaf = {};
	char error[PKI_ERROR_LEN];

	(void)state;
	assert_int_equal(pki_issue(&leaf, &ca, &request, error), 0);
	FOR_EACH_CASE (c, cases) {
		struct pki_pair issuer = ca, pair = {};

		request.host = c->host;
		request.host_count = c->host_count;
		request.not_before = c->not_before;
		request.not_after = c->not_before + DAY;
		if (c->leaf_as_ca)
			issuer = leaf;
		if (c->foreign_key)
			issuer.key = leaf.key;
		if (c->no_key)
			issuer.key = ca.certificate;
		error[0] = '\0';
		CHECK_EQ(pki_issue(&pair, &issuer, &request, error), -EINVAL);
		CHECK(!pair.certificate.memory && !pair.key.memory);
		CHECK(strstr(error, c->error) != NULL);
		if (!strstr(error, c->error))
			print_error("%s\n", error);
	}
	pki_pair_release(&leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hosts_told_apart), TEST(algorithms_parsed), TEST(ca_made),
		TEST(issued),		TEST(serials),		 TEST(refused),
	};

	return cmocka_run_group_tests_name("pki", tests, make_ca, release_ca);
}
