/* SPDX-License-Identifier: Apache-2.0
 *
 * context.h - an SSL_CTX for one terminating server (spec/gateway.md 10, spec/http.md 30).
 *
 * Blocks   computes only. Thread: main; the context is then shared by all workers, read only.
 * Fails    NULL, and `why` says what is wrong with the certificate or key. */
#ifndef SALLYPORT_PROXY_TLS_CONTEXT_H
#define SALLYPORT_PROXY_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "proxy/snapshot/snapshot.h"
#include "proxy/tls/material.h"

/* The default suites of TLS 1.2, in order of preference. */
#define TLS_DEFAULT_CIPHERS \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:" \
	"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define TLS_DEFAULT_GROUPS	"X25519:P-256"

SSL_CTX *tls_context_create(const struct tls_settings *t, const struct material *m, char *why,
			    size_t why_bytes);

#endif
