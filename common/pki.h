/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small certificate authority: its own certificate, and those it issues to agents and
 * aggregators. PEM text in, PEM text out: sans-I/O, any thread.
 */
#pragma once

#include <stdbool.h>

#include "common/buf.h"

#define PKI_ERROR_LEN 256
#define PKI_CA_DAYS 3650
#define PKI_DAYS 90
/* Certificates are valid from this long before they are made: clocks differ. */
#define PKI_BACKDATE_S 3600

enum pki_algorithm {
	PKI_DEFAULT, /* ECDSA P-256 for a CA; for what it issues, the CA's own */
	PKI_ECDSA_P256,
	PKI_ED25519,
};

/* A certificate and its private key (PKCS #8, not encrypted). Zero-initialised is empty. */
struct pki_pair {
	struct buf certificate, key; /* PEM */
	int64_t not_after;	     /* of one that was made here; seconds of UTC since 1970 */
};

struct pki_request {
	const char *common_name;
	const char *uri;	 /* its identity, "xcap:agent:<id>"; NULL: none */
	const char *const *host; /* DNS names and IP addresses */
	size_t host_count;
	bool client, server; /* extended key usage; if neither, there is none */
	enum pki_algorithm algorithm;
	int64_t not_before, not_after; /* seconds of UTC; cut to the end of the CA's own time */
};

enum pki_host { PKI_HOST_INVALID, PKI_HOST_DNS, PKI_HOST_IP };

/* "ecdsa-p256" or "ed25519"; -EINVAL for any other. */
int pki_algorithm_parse(enum pki_algorithm *ret, const char *text) must_check;
/* DNS names may begin with "*."; one that ends in a number is a mistyped address: invalid. */
enum pki_host pki_host_kind(const char *text);

/* Wipes the key. */
void pki_pair_release(struct pki_pair *pair);
/*
 * Both fill ret, which is empty before; on failure error says why in words. -EINVAL: unusable
 * input; -EIO: OpenSSL refused; -ENOMEM.
 */
int pki_ca_create(struct pki_pair *ret, enum pki_algorithm algorithm, int64_t not_before,
		  int64_t not_after, char error[PKI_ERROR_LEN]) must_check;
int pki_issue(struct pki_pair *ret, const struct pki_pair *ca, const struct pki_request *request,
	      char error[PKI_ERROR_LEN]) must_check;
