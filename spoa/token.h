/* SPDX-License-Identifier: Apache-2.0
 *
 * token.h - one compact JWS: taken apart, its types checked, its signature verified
 * (spec/request-authentication.md 5, 6.2).
 *
 * The order of the checks decides which message a client reads; a caller keeps to it:
 *     token_parse()  token_check_issuer()  token_check_time()  token_check_audience()
 *     token_verify()
 *
 * Owner    token_parse() gives one reference; the token copies what it was parsed from, and all
 *          slices and the claims live as long as the token.
 * Thread   immutable once parsed: any thread may read it. The count is atomic.
 * Blocks   never.
 * Fails    each step answers with a status; nothing that fails yields a token. */
#ifndef SALLYPORT_SPOA_TOKEN_H
#define SALLYPORT_SPOA_TOKEN_H

#include <jansson.h>

#include "sallyport/object.h"
#include "spoa/jwk.h"
#include "spoa/jwt_status.h"

#define TOKEN_BYTES_MAX		(16u << 10)	/* longer: bad format */
#define TOKEN_JSON_DEPTH_MAX	32u		/* deeper: bad JSON */
#define TOKEN_SKEW_S		60		/* leeway for exp and nbf */

struct token {
	struct object obj;
	struct slice text;		/* all of it, as received */
	struct slice signed_bytes;	/* header "." payload */
	struct slice payload;		/* the second segment, still encoded */
	struct slice signature;		/* decoded */

	enum jwt_alg alg;
	bool crit;			/* header demands extensions: none is understood */
	struct slice kid;		/* absent: none; so the others */
	struct slice iss, sub, jti;
	const struct slice *aud;
	size_t aud_count;
	uint64_t exp, nbf, iat;		/* seconds since 1970; 0 absent */
	const json_t *claims;		/* an object; read only, in any thread */

	size_t bytes;			/* what it takes in memory, about */
	uint32_t cache_slot;		/* written by token_cache.c alone */
};

/* `text` needs to stay valid for the call only. *out is set on JWT_OK. */
enum jwt_status token_parse(struct slice text, struct token **out);
/* What a token with these claims (a JSON object) would be, without header and signature: it verifies
 * with no key. For the desk (reasoning.h). */
enum jwt_status token_of_claims(struct slice claims, struct token **out);
struct token *token_ref(const struct token *t);
/* Drops one reference and clears the caller's pointer; *tp may be NULL already. */
void token_unref(struct token **tp);

/* An empty or absent `issuer` accepts every token. */
enum jwt_status token_check_issuer(const struct token *t, struct slice issuer);
/* `now_s`: seconds since 1970. */
enum jwt_status token_check_time(const struct token *t, int64_t now_s);
/* An empty list accepts every token. */
enum jwt_status token_check_audience(const struct token *t, const struct slice *audiences,
				     size_t count);
/* Tries the keys that fit by kid and alg, in the set's order. *used (may be NULL) is the key that
 * verified; it lives as long as the set. */
enum jwt_status token_verify(const struct token *t, const struct jwk_set *set,
			     const struct jwk **used);

#endif
