/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said about a peer's certificate (DER) before anybody has verified it. */
#include "common/certificate.h"

#include <assert.h>
#include <string.h>

#include "selftests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[CERTIFICATE_TEXT_LEN], id[AGENT_ID_MAX + 1];
	const unsigned char *at = data;
	X509 *certificate = d2i_X509(NULL, &at, (long)len);
	enum tls_peer_kind kind;

	if (!certificate)
		return 0;
	if (certificate_identity(certificate, &kind, id) == 0)
		assert(agent_id_valid(id));
	assert(strlen(certificate_name(certificate, text)) < sizeof(text));
	assert(strlen(certificate_issuer(certificate, text)) < sizeof(text));
	assert(strlen(certificate_hosts(certificate, text)) < sizeof(text));
	assert(strlen(certificate_time(X509_get0_notAfter(certificate), text)) < sizeof(text));
	(void)certificate_allows(certificate, TLS_SERVER);
	X509_free(certificate);
	return 0;
}
