/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks.h - where keys come from: inline sets, jwksUri, OIDC discovery; fetched in the background,
 * kept while the issuer is down (spec/request-authentication.md 10, spec/hardening.md 15).
 *
 * A source is one (issuer, jwksUri | inline set, timeout). It holds the current jwk_set, which is
 * replaced as a whole. For one request:
 *
 *     set = jwks_get(source, &status);	     NULL: status is JWT_PENDING or JWKS_FETCH_FAIL
 *     … JWT_PENDING, JWKS_FETCH_FAIL or JWKS_KID_ALG_MISMATCH:
 *     switch (jwks_wait(source, kid, base, wait_ms, on_keys, arg, &waiter)) {
 *     case JWKS_NO_HELP:	the status stands
 *     case JWKS_READY:		keys came in between: verify once more, now
 *     case JWKS_WAITING:	verify once more in on_keys()
 *     }
 * and what comes out of the second verification stands.
 *
 * Owner    the store owns its thread and everything fetched. Sources are counted: each
 *          jwks_source_open() is matched by a close; a source that nobody holds is forgotten and
 *          its transfer dropped. Open the next configuration's sources before closing the last
 *          one's: equal sources are one, with their keys.
 * Thread   one fetch thread with an event_base of its own does all transfers and all parsing. Every
 *          function here may be called from any thread. jwks_is_current() is one atomic load and is
 *          all that a token cache hit needs; the others take the store's mutex for a few
 *          instructions, never across I/O, parsing or crypto.
 *          Waiters call back in the loop they named: evthread_use_pthreads() must have been called
 *          before that event_base was created.
 * Blocks   never, except jwks_store_free(), which joins the thread.
 * Fails    closed: a source without keys has a status. One slow issuer delays no other: transfers
 *          are asynchronous, names are resolved outside the fetch thread. */
#ifndef SALLYPORT_SPOA_JWKS_H
#define SALLYPORT_SPOA_JWKS_H

#include "spoa/fetch.h"
#include "spoa/jwk.h"

struct event_base;
struct jwks_store;
struct jwks_source;
struct jwks_waiter;

#define JWKS_TIMEOUT_MS		5000	/* of one exchange, where the rule has none */
#define JWKS_WAITERS_MAX	4096u	/* of one source; more get JWKS_NO_HELP */

/* Begin with JWKS_CONFIG_DEFAULT and change what differs. Copied by jwks_store_create(). */
struct jwks_config {
	int64_t refresh_ms;		/* after a success; sooner where the response's max-age is less … */
	int64_t refresh_min_ms;		/* … but not before this */
	unsigned refresh_retries;	/* inside one refresh */
	int64_t retry_ms;		/* between them */
	int64_t backoff_min_ms;		/* next cycle after a failed refresh; doubles … */
	int64_t backoff_max_ms;		/* … up to this */
	int64_t unknown_kid_ms;		/* at most one refetch for unknown kids in this time */
	int64_t no_keys_ms;		/* the same for requests that find no keys at all */
	int64_t stale_max_ms;		/* keys not refreshed for so long are dropped */
	size_t body_bytes_max;
	const char *ca_file;		/* PEM, trusted beside the system's; NULL: none */
	const char *folder;		/* the last good keys are kept there; NULL: nowhere (jwks_disk.h) */
	bool refuse_loopback;
	const struct cidr *blocks;	/* no fetch connects there; at most FETCH_BLOCKS_MAX */
	size_t block_count;
};

#define JWKS_CONFIG_DEFAULT { \
	.refresh_ms = 20 * 60 * 1000, .refresh_min_ms = 60 * 1000, .refresh_retries = 7, .retry_ms = 1000, \
	.backoff_min_ms = 60 * 1000, .backoff_max_ms = 60 * 60 * 1000, \
	.unknown_kid_ms = 30 * 1000, .no_keys_ms = 5 * 1000, \
	.stale_max_ms = 7ll * 24 * 3600 * 1000, .body_bytes_max = JWKS_DOCUMENT_BYTES_MAX }

struct jwks_store *jwks_store_create(const struct jwks_config *config);
/* All sources are closed and all waiters cancelled or answered before. Clears the pointer. */
void jwks_store_free(struct jwks_store **sp);

struct jwks_spec {
	struct slice issuer;		/* may be absent */
	struct slice uri;		/* absent and no inline set: OIDC discovery from the issuer */
	struct slice inline_set;	/* JSON; wins over `uri`; never refreshed */
	int64_t timeout_ms;		/* 0: JWKS_TIMEOUT_MS */
};

/* Starts the first fetch; never waits for it. Never NULL: what cannot be fetched has a status. */
struct jwks_source *jwks_source_open(struct jwks_store *store, const struct jwks_spec *spec);
/* Clears the caller's pointer; *sp may be NULL already. */
void jwks_source_close(struct jwks_source **sp);
/* Unique in the process, never used again, never 0. */
uint64_t jwks_source_id(const struct jwks_source *source);

/* The current set with a reference for the caller, *status JWT_OK or the set's own; or NULL and
 * JWT_PENDING (first fetch under way) or JWKS_FETCH_FAIL. */
struct jwk_set *jwks_get(struct jwks_source *source, enum jwt_status *status);
/* Is `set`, on which the caller holds a reference, still the source's? No lock. */
bool jwks_is_current(const struct jwks_source *source, const struct jwk_set *set);

enum jwks_answer { JWKS_NO_HELP, JWKS_READY, JWKS_WAITING };
typedef void jwks_wait_fn(void *arg);

/* `kid`: of the token that found no key; absent: any set would help. Joins the fetch under way or
 * starts one where the rate limits allow. WAITING: `fn` is called once in `base`'s loop when the
 * fetch ended, well or not, or after `wait_ms`; `out` stays valid until then, *out is cleared
 * before `fn` runs. */
enum jwks_answer jwks_wait(struct jwks_source *source, struct slice kid, struct event_base *base,
			   int64_t wait_ms, jwks_wait_fn *fn, void *arg, struct jwks_waiter **out);
/* From the loop's own thread. Nobody is called after this. *wp may be NULL already; cleared. */
void jwks_wait_cancel(struct jwks_waiter **wp);

/* Fetches now, whatever the timers say; NULL: every source. */
void jwks_refresh(struct jwks_store *store, struct jwks_source *source);

struct jwks_stats {
	uint64_t fetches, discoveries;	/* begun: of key sets, of discovery documents */
	uint64_t failures;
	uint64_t demanded, rate_limited; /* fetches for unknown kids or missing keys; those refused */
	uint64_t changes;		/* of the key set */
	size_t keys, waiters;
	int64_t age_ms;			/* of the keys; -1: none were ever fetched */
	bool kept;			/* they are of a time before this process: from disk */
	int64_t next_ms;		/* until the next refresh; -1: none planned (inline) */
	enum jwt_status status;
	char error[200];		/* of the last failure, for the operator; empty after a success */
};

void jwks_stats(const struct jwks_source *source, struct jwks_stats *out);

struct jwks_report {
	const char *issuer, *uri;	/* "" where absent: uri is discovered, or the set is inline */
	bool is_inline;
	const struct jwk_set *set;	/* NULL: no keys */
	struct jwks_stats stats;
};

/* Each source that somebody holds, by issuer; what is reported is borrowed for the call. */
void jwks_visit(struct jwks_store *store, void (*visit)(void *arg, const struct jwks_report *r), void *arg);
/* jwks_refresh() of every source of that issuer; how many there are. Inline sets are none. */
size_t jwks_refresh_issuer(struct jwks_store *store, struct slice issuer);

#endif
