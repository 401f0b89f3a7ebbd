/* SPDX-License-Identifier: Apache-2.0
 *
 * jwk.h - the public keys of one JWKS document, ready to verify with
 * (spec/request-authentication.md 6.1, 6.3, 6.4).
 *
 * Owner    jwk_set_parse() gives one reference; keys live as long as their set.
 * Thread   a set is immutable: any thread may read it and verify with it. The count is atomic.
 * Blocks   never, but a full set of 100 keys costs some milliseconds to parse: not per request.
 * Fails    a document without a usable key is a set too, one whose status says why; requests are
 *          answered with that status. Private members of a key are never read. */
#ifndef SALLYPORT_SPOA_JWK_H
#define SALLYPORT_SPOA_JWK_H

#include "spoa/jwt_status.h"

#define JWKS_DOCUMENT_BYTES_MAX	(1u << 20)
#define JWKS_KEYS_MAX		100u	/* the first ones are taken, the others noted */
#define JWKS_JSON_DEPTH_MAX	32u
#define JWK_RSA_BITS_MIN	2048u
#define JWK_RSA_BITS_MAX	8192u
#define JWK_FINGERPRINT_BYTES	32u

#define JWT_ALGS(X) \
	X(RS256) X(RS384) X(RS512) X(PS256) X(PS384) X(PS512) X(ES256) X(ES384) X(ES512) X(EdDSA)
#define JWT_ALG_AS_ENUM(name)	JWT_ALG_##name,
enum jwt_alg { JWT_ALG_UNSUPPORTED, JWT_ALGS(JWT_ALG_AS_ENUM) JWT_ALG_COUNT };
#undef JWT_ALG_AS_ENUM

/* Case counts. `none`, HS* and all that is not in the list: JWT_ALG_UNSUPPORTED. */
enum jwt_alg jwt_alg_parse(struct slice name);
const char *jwt_alg_name(enum jwt_alg alg);

enum jwk_kind { JWK_RSA, JWK_P256, JWK_P384, JWK_P521, JWK_ED25519 };

struct jwk {
	enum jwk_kind kind;
	unsigned bits;
	struct slice kid, alg;		/* absent where the document has none (or no string) */
	/* SHA-256 over kid, alg and the public key: equal for equal keys of different sets. */
	unsigned char fingerprint[JWK_FINGERPRINT_BYTES];
};

struct jwk_set;

/* Told of each member that is skipped or deserves a word: `status` JWT_OK is a mere warning
 * (private members present), anything else the reason why the key is not used. */
typedef void jwk_note_fn(void *arg, size_t index, struct slice kid, enum jwt_status status,
			 const char *text);

/* Never NULL. `json` is not kept. `note` may be NULL. */
struct jwk_set *jwk_set_parse(struct slice json, jwk_note_fn *note, void *arg);
struct jwk_set *jwk_set_ref(const struct jwk_set *set);
/* Drops one reference and clears the caller's pointer; *sp may be NULL already. */
void jwk_set_unref(struct jwk_set **sp);

/* JWT_OK: at least one usable key. */
enum jwt_status jwk_set_status(const struct jwk_set *set);
size_t jwk_set_count(const struct jwk_set *set);
const struct jwk *jwk_set_key(const struct jwk_set *set, size_t i);	/* in document order */
/* A key with exactly this kid, or NULL. */
const struct jwk *jwk_set_find(const struct jwk_set *set, struct slice kid);
/* The same key (kid, alg and material) as `key` of another set, or NULL. */
const struct jwk *jwk_set_find_same(const struct jwk_set *set, const unsigned char *fingerprint);
/* The same keys in the same order. */
bool jwk_set_equal(const struct jwk_set *a, const struct jwk_set *b);

/* One signature with one key of a set: JWT_OK, JWT_VERIFICATION_FAIL, or, for Ed25519,
 * JWT_ED25519_SIGNATURE_WRONG_LENGTH. Key type and curve are compared with `alg` first. */
enum jwt_status jwk_verify(const struct jwk *key, enum jwt_alg alg, struct slice signed_bytes,
			   struct slice signature);

#endif
