/* SPDX-License-Identifier: Apache-2.0
 *
 * jose.h - the side of tokens that no server of ours plays: keys out of PEM files as JWKs, and tokens
 * signed. For sallyctl, so that somebody who writes policies can try them.
 *
 * Owner    results are the caller's. Thread: one. Blocks: on files.
 * Fails    false or NULL, and *why is a static text. */
#ifndef SALLYPORT_CTL_JOSE_H
#define SALLYPORT_CTL_JOSE_H

#include <openssl/evp.h>

#include "sallyport/text.h"

/* A private key, a public one, or that of a certificate. EVP_PKEY_free() is the caller's. */
EVP_PKEY *jose_read_key(const char *path, const char **why);

/* The public half alone; `kid` NULL: its thumbprint (RFC 7638); `alg` NULL: left out. False: no key that a
 * token could be verified with. */
bool jose_add_jwk(struct text *out, const EVP_PKEY *key, const char *kid, const char *alg, const char **why);
/* The algorithm that suits the key best; NULL: none. */
const char *jose_alg_of(const EVP_PKEY *key);
/* `claims`: a JSON object. RS* and ES* are libjwt's, PS* and EdDSA OpenSSL's. */
bool jose_sign(const char *path, const char *alg, const char *kid, const char *claims, struct text *token,
	       const char **why);

#endif
