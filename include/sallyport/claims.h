/* SPDX-License-Identifier: Apache-2.0
 *
 * claims.h - what routes ask of a verified token's claims, and what it says: the argument `claims-of`
 * of check-request and the reply variable `claim_values` (spec/virtual-service.md 6.7,
 * spec/request-authentication.md 8.4).
 *
 *     claims-of      one text a claim: its names from the outside in, each with its length before it
 *     claim_values   for each of them, in this order, a number: 0 absent; n: n - 1 texts follow
 *
 * Only claims that somebody asks for travel, and of them only what can match: a string is one text
 * (`scope` and `permission`, and the claims that a rule calls space-delimited: one a word), a list has
 * the texts of its strings. Any other value is there without texts; null counts as absent.
 *
 * Owner    results live in the arena given, or borrow from the caller's bytes where it says so.
 * Thread   any; no state. Fails by NULL or an absent slice; nothing is half an answer. */
#ifndef SALLYPORT_CLAIMS_H
#define SALLYPORT_CLAIMS_H

#include <jansson.h>

#include "sallyport/arena.h"
#include "sallyport/decode.h"

#define CLAIM_DEPTH_MAX		16u	/* names of one claim */
#define CLAIMS_ASKED_BYTES_MAX	4096u	/* of claims-of, for one virtual host; more is refused at load */
#define CLAIMS_JSON_DEPTH_MAX	32u	/* of `claims` from an agent of another make */

/* A claim as its names in wire form: equal claims have equal keys. */
struct slice claim_key(struct arena *a, const struct slice *names, size_t count);
/* "a.b", or "[a][b.c]" where a name has a dot: as documents write it behind the prefix. */
struct slice claim_key_text(struct arena *a, struct slice key);

/* What is asked for. */
struct claims_asked {
	LIST(struct slice) keys;	/* no two are the same */
	struct slice wire;		/* all of them, as claims-of */
};

/* `keys` are borrowed; those that stand there twice are asked for once. */
const struct claims_asked *claims_asked_create(struct arena *a, const struct slice *keys, size_t count);

struct claim_value {
	bool present;			/* with any value but null */
	LIST(struct slice) texts;
};

/* What a token says, claim by claim. */
struct claim_set {
	const struct claims_asked *asked;
	struct claim_value *values;		/* one for each of its keys */
};

/* NULL: the token says nothing of it, or it was not asked for. */
const struct claim_value *claim_set_find(const struct claim_set *set, struct slice key);

/* The agent's side. `claims` NULL: no token, all are absent. `is_split`: is this top-level claim a list
 * of words for the rule that accepted the token? NULL: none but the two that always are. Absent:
 * `asked` is malformed. */
struct slice claim_values_write(struct arena *a, struct slice asked, const json_t *claims,
				bool (*is_split)(const void *arg, struct slice name), const void *arg);
/* The asker's. Texts point into `wire`. NULL: malformed, or not an answer to this question. */
const struct claim_set *claim_values_read(struct arena *a, const struct claims_asked *asked, struct slice wire);

/* From the claims themselves, an object of JSON as a token or the reply variable `claims` has it: for
 * explain and for agents of another make. NULL: it is none. */
const struct claim_set *claims_of_json(struct arena *a, const struct claims_asked *asked, struct slice json);

#endif
