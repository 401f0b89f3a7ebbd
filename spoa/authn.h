/* SPDX-License-Identifier: Apache-2.0
 *
 * authn.h - whose token a request carries: places, several rules, what is handed on
 * (spec/request-authentication.md 4, 7.1, 8). For decision.c. */
#ifndef SALLYPORT_SPOA_AUTHN_H
#define SALLYPORT_SPOA_AUTHN_H

#include "spoa/request_priv.h"

struct authn {
	/* In. */
	struct token_cache *tokens;
	const struct policy_set *set;
	int64_t now_s;

	/* Out. JWT_OK: accepted, or `provider` NULL: no token anywhere. */
	enum jwt_status status;
	const struct provider *provider;	/* whose rule accepted */
	struct token *token;			/* one reference, for the caller; NULL: none */
	const struct provider *blamed;		/* whose status a refusal tells; NULL: not refused */
	/* In: room for one a rule of the set, or NULL. Out: what the first `judged` of them said. */
	enum jwt_status *each;
	size_t judged;

	/* The first rule that failed for want of keys: a fetch may help. NULL: none did. */
	struct jwks_source *wanting;
	struct slice kid;			/* of its token, in the arena; absent: any key */
};

/* No token is asked for and none is read (3.5). */
bool authn_is_preflight(const struct request *r);
void authn_run(struct authn *a, const struct request *r);
/* What an accepted token does to the request, and what nobody but a token may put into it. */
void authn_changes(const struct authn *a, const struct request *r, struct changes *out);
/* The challenge of a refusal. `received`: the target before anything was changed. */
struct slice authn_challenge(const struct policy_set *set, const struct request *r,
			     struct slice received, enum jwt_status status);
/* All claims as one JSON object, space-delimited ones split; in the arena. */
struct slice authn_claims(const struct provider *p, const struct token *t, struct arena *arena);

#endif
