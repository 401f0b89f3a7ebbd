/* SPDX-License-Identifier: Apache-2.0
 *
 * reasoning.h - why a request is judged as it is: door by door, rule by rule, with the first
 * condition that did not hold. For explain, for tests at the desk and for whoever asks "why 403?".
 *
 * The request is judged by the very code that serves requests, but without effect: no rule is
 * counted, no trial noted, nothing logged, no key fetched and no provider asked. What a CUSTOM
 * policy matches goes on as if its provider had allowed it, unless there is no provider to ask;
 * keys that are not there yet are missing.
 *
 *     reasoning_of()  ->  verdict   what the agent would answer
 *                         doors     the gateway, then each workload behind the route
 *                           tokens    each jwtRule that reaches the door, in the order of evaluation
 *                           policies  each AuthorizationPolicy that reaches it: CUSTOM, AUDIT, DENY,
 *                                     ALLOW, then those on trial
 *                             rules     holds, or the first condition that did not
 *
 * A user who has no key to sign with can ask what claims would do: token_of_claims() makes a token of
 * them, and check.assumed takes it for verified.
 *
 * Owner    everything is in the check's arena or borrowed from the check and the index, for as long
 *          as both are.
 * Thread   any, with a token cache of its own.
 * Blocks   never.
 * Fails    closed, as the verdict says. */
#ifndef SALLYPORT_SPOA_REASONING_H
#define SALLYPORT_SPOA_REASONING_H

#include "sallyport/problem.h"
#include "spoa/decision.h"
#include "spoa/jwt_status.h"

struct reasoning_rule {
	bool holds;
	/* Where it does not: `requestPrincipals did not match`, `notPaths matched`. */
	struct slice miss;
};

struct reasoning_policy {
	struct slice ns, name;
	struct where where;		/* of the document */
	enum policy_action action;
	bool dry_run;			/* on trial: decides nothing */
	bool evaluated;			/* false: the door was closed, or opened, before it came to this one */
	bool holds;
	/* The first that holds; where none does, the one that came nearest. Counted from 0. */
	size_t rule;
	const struct reasoning_rule *rules;
	size_t rule_count;		/* 0: has none, never holds */
};

struct reasoning_token {
	struct slice ns, name;		/* of the RequestAuthentication */
	struct where where;
	size_t rule;			/* of its jwtRules, from 0 */
	struct slice issuer;
	bool evaluated;			/* false: an earlier rule has accepted a token, or none were looked at */
	enum jwt_status status;		/* JWT_OK: accepted; JWT_MISSED: no token at its places */
};

struct reasoning_door {
	bool gateway;
	struct slice ns, name;		/* of the workload; the name may be absent */
	bool reached;			/* false: an earlier door refused, or an equal one was passed */
	bool preflight;			/* no token was looked at (CORS) */
	struct slice authority, path;	/* as this door sees them; of TCP absent */
	struct slice principal;		/* of the accepted token; absent: none */
	const struct reasoning_token *tokens;
	size_t token_count;
	const struct reasoning_policy *policies;
	size_t policy_count;
};

struct reasoning {
	const struct verdict *verdict;	/* its `why` is the whole in one line */
	const struct reasoning_door *doors;
	size_t door_count;		/* the gateway's, where the check has one, and one a workload */
};

/* `tokens` remembers what it verified, as for a judge. */
const struct reasoning *reasoning_of(struct policy_index *index, struct token_cache *tokens,
				     const struct check *c);

#endif
