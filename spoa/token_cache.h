/* SPDX-License-Identifier: Apache-2.0
 *
 * token_cache.h - tokens that were parsed and verified before (spec/hardening.md T-62).
 *
 * Found by the exact bytes of the token: a keyed 128-bit hash picks the slot and the whole text is
 * compared. An entry remembers for up to TOKEN_CACHE_VERDICTS key sources what their keys said. A
 * good verdict dies with the token (exp plus skew) and with its key: when the source's set changes
 * and the key is not in the new one. A bad one lives for negative_ms and never beyond its set.
 * Issuer, time and audience depend on the rule and the clock and are not remembered.
 *
 * Owner    the cache owns a reference of each token; what it hands out is borrowed until the next
 *          call on this cache (token_ref() to keep it).
 * Thread   one: every agent thread has its own cache.
 * Blocks   never. A hit allocates nothing and takes no lock.
 * Limits   entries and bytes; the clock hand evicts what was not asked for again first, so that a
 *          flood of tokens seen once cannot push out those in use. */
#ifndef SALLYPORT_SPOA_TOKEN_CACHE_H
#define SALLYPORT_SPOA_TOKEN_CACHE_H

#include "spoa/jwks.h"
#include "spoa/token.h"

#define TOKEN_CACHE_ENTRIES	10000u
#define TOKEN_CACHE_BYTES	(64u << 20)
#define TOKEN_CACHE_NEGATIVE_S	5
#define TOKEN_CACHE_NO_EXP_S	3600	/* a token without exp is verified again after this */
#define TOKEN_CACHE_VERDICTS	4u

struct token_cache;

/* 0: the defaults above. */
struct token_cache *token_cache_create(size_t entries_max, size_t bytes_max);
void token_cache_free(struct token_cache **cp);

/* token_parse(), or the token parsed from the same bytes before. `now_s`: seconds since 1970. */
enum jwt_status token_cache_parse(struct token_cache *c, struct slice text, int64_t now_s,
				  struct token **out);
/* token_verify() with the source's current keys, or what they said before. `t` is what
 * token_cache_parse() of this cache gave (also if it was evicted since). JWT_PENDING,
 * JWKS_FETCH_FAIL and JWKS_KID_ALG_MISMATCH may be worth a jwks_wait(). */
enum jwt_status token_cache_verify(struct token_cache *c, struct token *t,
				   struct jwks_source *source, int64_t now_s);

struct token_cache_stats {
	uint64_t parse_hits, parse_misses;
	uint64_t verify_hits, verify_misses;
	uint64_t evictions;		/* for want of room */
	uint64_t key_changes;		/* verdicts dropped because their key had gone */
	size_t entries, bytes;
};

void token_cache_stats(const struct token_cache *c, struct token_cache_stats *out);

#endif
