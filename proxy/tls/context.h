/* SPDX-License-Identifier: Apache-2.0
 *
 * context.h - an SSL_CTX for one terminating server (spec/gateway.md 10, spec/http.md 30).
 *
 * Sessions resume at the server that made them, as long as it asks the same of its clients, is set up the
 *          same and shows certificates of the same names: all that is in the session id context. A renewed
 *          certificate, a reload and another worker change nothing.
 * Owner    the caller's; `keys` is borrowed for the life of the context.
 * Blocks   computes only. Thread: main; the context is then shared by all workers, read only.
 * Fails    NULL, and `why` says what is wrong with the certificate or key. With a context, `why` may say
 *          what it is served without (an OCSP response of no use), or is "". */
#ifndef SALLYPORT_PROXY_TLS_CONTEXT_H
#define SALLYPORT_PROXY_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "proxy/snapshot/snapshot.h"
#include "proxy/tls/material.h"

/* All that OpenSSL has, always on; AES of 128 bits first, as in TLS 1.2 and in Envoy: they cost less. A client
 * without AES in hardware names ChaCha20 first, and gets it. */
#define TLS13_CIPHERSUITES \
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
/* The default suites of TLS 1.2, in order of preference. */
#define TLS_DEFAULT_CIPHERS \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:" \
	"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define TLS_DEFAULT_GROUPS	"X25519:P-256"

struct ticket_keys;

/* `server` tells servers apart, and stays as it is across reloads. `keys` NULL: sessions never resume. */
SSL_CTX *tls_context_create(const struct tls_settings *t, const struct material *m, struct slice server,
			    struct ticket_keys *keys, char *why, size_t why_bytes);

/* The certificates that it serves, in the order of the settings; NULL after the last. Borrowed. */
const X509 *tls_context_leaf(const SSL_CTX *ctx, unsigned index);
/* Does a client that asked for this host, a name or an address, accept it? */
bool tls_leaf_covers(const X509 *leaf, const char *host);

#endif
