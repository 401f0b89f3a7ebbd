/* SPDX-License-Identifier: Apache-2.0
 *
 * client_auth.h - what a server asks of a client's certificate, as part of its SSL_CTX
 * (spec/gateway.md 10.4).
 *
 * The chain is verified against the CA bundle of this server alone, with its CRL for every
 * certificate of the chain; then one of the names and one of the pins must fit.
 *
 * Owner    the SSL_CTX owns copies of all it needs: nothing is borrowed from settings or material.
 * Thread   set up on the main thread; verification runs on any worker and changes nothing shared.
 * Fails    false, and `what` says which part cannot be used; the context must not be served then. */
#ifndef SALLYPORT_PROXY_TLS_CLIENT_AUTH_H
#define SALLYPORT_PROXY_TLS_CLIENT_AUTH_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "proxy/tls/material.h"

bool client_auth_set_up(SSL_CTX *ctx, const struct tls_client_settings *c, const struct material *m,
			const char **what);

/* Does a certificate with these general names carry `name` as DNS, URI, e-mail or IP address? Exact,
 * case-sensitive; IP addresses in text. */
bool client_auth_name_fits(const GENERAL_NAMES *names, struct slice name);
/* 64 hex digits, with or without colons, in either case. */
bool client_auth_hash_pin_read(struct slice pin, unsigned char *digest);

#endif
