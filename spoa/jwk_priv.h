/* SPDX-License-Identifier: Apache-2.0
 *
 * jwk_priv.h - what jwk.c (documents and sets) and jwk_key.c (one key and OpenSSL) share. */
#ifndef SALLYPORT_SPOA_JWK_PRIV_H
#define SALLYPORT_SPOA_JWK_PRIV_H

#include <jansson.h>
#include <openssl/evp.h>

#include "sallyport/arena.h"
#include "spoa/jwk.h"

struct jwk_entry {
	struct jwk pub;			/* first: jwk_verify() finds the entry by it */
	EVP_PKEY *pkey;			/* owned */
	/* Owned. A context that is initialised for key and algorithm, copied for each signature:
	 * the look-ups of the initialisation cost as much as a small verification. NULL: this
	 * key cannot verify that algorithm. Only read after the set was built. */
	EVP_MD_CTX *ready[JWT_ALG_COUNT];
};

/* Fills `e` from one member of [keys]; its texts are copied into `a`. On anything but JWT_OK
 * nothing is held. *warning: NULL or what to tell of a key that is used all the same. */
enum jwt_status jwk_entry_from_json(struct jwk_entry *e, const json_t *member, struct arena *a,
				    const char **warning);
/* The X.509 form: RSA only. */
enum jwt_status jwk_entry_from_certificate(struct jwk_entry *e, struct slice kid, struct slice pem,
					   struct arena *a);
void jwk_entry_fini(struct jwk_entry *e);

#endif
