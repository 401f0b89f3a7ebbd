/* SPDX-License-Identifier: Apache-2.0
 *
 * staple.h - an OCSP response that is sent along with the certificate it is about, to clients that ask
 * (RFC 6066 8, RFC 6960 4.2; spec/gateway.md 11.2).
 *
 * A response is used only if it is about this very certificate, says that it is good, is signed by the
 * issuer or its responder (where the chain has the issuer) and is valid now. Each handshake looks at the
 * time again: a response that has run out is not sent.
 *
 * Owner    the SSL_CTX owns what staple_use() made; the bytes are copied.
 * Thread   staple_use() on the main thread, before the context is served; the rest on any.
 * Fails    staple_use() says why; the certificate is served without it. */
#ifndef SALLYPORT_PROXY_STAPLE_H
#define SALLYPORT_PROXY_STAPLE_H

#include <openssl/ssl.h>

#include "sallyport/slice.h"

#define STAPLE_LEEWAY_S		300	/* that the responder's clock may be ahead of ours */

/* `links`: what follows the leaf in its chain. NULL: clients that ask get it; else why it is of no use. */
const char *staple_use(SSL_CTX *ctx, X509 *leaf, STACK_OF(X509) *links, struct slice der);
/* The certificate demands a response from whoever serves it (RFC 7633). */
bool staple_is_due(X509 *leaf);
/* Seconds since 1970 of nextUpdate, INT64_MAX where there is none; 0: nothing is stapled to `leaf`. */
int64_t staple_until(SSL_CTX *ctx, const X509 *leaf);

#endif
