/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS 1.3 with mutual authentication over byte buffers: sans-I/O, the owner moves the bytes.
 * Identity is the certificate's URI SAN, xcap:agent:<id> or xcap:aggregator:<id>. A context may be
 * shared by threads once created; a struct tls belongs to one thread.
 *
 * The client accepts only a server with EKU serverAuth, a URI xcap:aggregator:<id>, and the name
 * it asked for among the DNS or IP SANs (never the CN). The server accepts only a client with EKU
 * clientAuth and a URI xcap:agent:<id> or xcap:aggregator:<id> (a relay).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/stream.h"
#include "common/util.h"

enum tls_role { TLS_CLIENT, TLS_SERVER };
enum tls_peer_kind { TLS_PEER_AGENT, TLS_PEER_AGGREGATOR };

#define TLS_ERROR_LEN 512

struct tls_context;
struct tls;

/*
 * ca, cert, key: PEM files. On failure error says which file, why and what to do (-EINVAL for
 * unusable contents, else the errno of the file). That our own certificate has expired is no
 * failure: our clock may be the one that is wrong, and the peer will say so.
 */
int tls_context_create(struct tls_context **ret, enum tls_role role, const char *ca,
		       const char *cert, const char *key, char error[TLS_ERROR_LEN]) must_check;
/* After the last struct tls made of it. */
void tls_context_destroy(struct tls_context *context);
/* The id in our own certificate. */
const char *tls_context_id(const struct tls_context *context);

/* server_name: DNS name or IP address text that the server's SANs must hold; NULL on a server. */
int tls_create(struct tls **ret, struct tls_context *context, const char *server_name) must_check;
void tls_destroy(struct tls *tls);

/* Bytes that came from the peer; all are taken. -ENOMEM. */
int tls_feed(struct tls *tls, const void *data, size_t len) must_check;
/* Bytes to send to the peer, *len of them (0: none); valid until the next call on tls. */
const uint8_t *tls_output(struct tls *tls, size_t *len);
void tls_output_sent(struct tls *tls, size_t len);
/*
 * Or takes the output away without a copy: exchanges it with an empty buffer, which tls fills
 * next. What was taken belongs to the caller, so a send may be in flight while tls is used.
 */
void tls_output_swap(struct tls *tls, struct buf *empty);

/*
 * 0 once done; -EAGAIN: needs bytes; -EPROTO: failed for good, tls_error() tells why in plain
 * words; -ENOMEM. There may be output (an alert) in every case: send it before closing. A client
 * is done before the server has judged its certificate: a refusal comes out of tls_read().
 */
int tls_handshake(struct tls *tls) must_check;
bool tls_established(const struct tls *tls);
/* Bytes read, 0 after the peer's close_notify, -EAGAIN, -EPROTO, -ENOMEM. */
ssize_t tls_read(struct tls *tls, void *buf, size_t len) must_check;
/* Takes all of buf into output, or -EPROTO or -ENOMEM. Only once established. */
int tls_write(struct tls *tls, const void *buf, size_t len) must_check;
/* Puts close_notify into output, if established. Nothing may be written after it. */
void tls_close(struct tls *tls);
/* New keys for what we send after so many bytes (default TLS_REKEY_BYTES). */
#define TLS_REKEY_BYTES (64 * GIB)
void tls_rekey_after(struct tls *tls, uint64_t bytes);

/* After the handshake. */
enum tls_peer_kind tls_peer_kind(const struct tls *tls);
const char *tls_peer_id(const struct tls *tls);
/* Why it failed; while it has not, what a handshake that does not end is waiting for, or "". */
const char *tls_error(const struct tls *tls);
