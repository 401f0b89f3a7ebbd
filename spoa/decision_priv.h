/* SPDX-License-Identifier: Apache-2.0
 *
 * decision_priv.h - a decision from the inside: what its parts share. decision.c takes the request
 * from door to door, door.c is what happens at one, custom.c asks providers there, verdict.c words
 * the answers, judge.c remembers what reaches a workload, reasoning.c writes along. */
#ifndef SALLYPORT_SPOA_DECISION_PRIV_H
#define SALLYPORT_SPOA_DECISION_PRIV_H

#include "spoa/authn.h"
#include "spoa/decision.h"
#include "spoa/extauthz.h"

#define SOURCES_WAITED_MAX	8u	/* key sources that one decision waits for */
#define RBAC_DENIED		"RBAC: access denied"
#define UNAVAILABLE		"authorization service unavailable"

struct judge {
	struct policy_index *index;	/* one reference */
	struct event_base *base;	/* borrowed */
	struct token_cache *tokens;	/* borrowed */
	struct policy_set *sets;	/* by namespace and labels, oldest first; one reference each */
	struct extauthz *external;	/* owned; NULL until a provider is asked */
	size_t waiting;			/* decisions that wait for keys or a provider */
};

struct reasoner;

struct decision {
	struct judge *judge;
	const struct check *check;
	decided_fn *on_decided;
	void *arg;
	struct policy_index *index;	/* one reference, once it waits; NULL: the judge's */
	struct jwks_waiter *waiter;	/* for keys; NULL: for none */
	struct extauthz_call *call;	/* to a provider; NULL: none */
	size_t asked_door;		/* 1 + the door whose provider was asked last; 0: none was */
	struct extauthz_answer answer;	/* of that one, in the check's arena */
	uint64_t waited[SOURCES_WAITED_MAX];	/* sources whose answer stands now */
	size_t waited_count;
	size_t next_door;		/* 0: the gateway; n: workload n - 1 */
	struct request received;	/* with its path normalised */
	struct request inner;		/* as the gateway left it */
	struct changes changes;		/* of all doors so far */
	LIST(struct check_header) response;	/* what providers put on it */
	struct slice shadow;
	struct verdict verdict;
	struct reasoner *reasoner;	/* writes along, and nothing has an effect; NULL: serves */
};

/* decision.c */

/* With everything but decision_start()'s run: for reasoning.c. False: the verdict is there. */
bool decision_init(struct decision *d, struct judge *j, const struct check *c);
/* AGAIN: waits. */
enum outcome decision_run(struct decision *d);
/* It waits from now on, for what calls decision_go_on(). The policies that it began with stay, whatever is
 * loaded meanwhile. */
void decision_begin_wait(struct decision *d);
void decision_go_on(struct decision *d);

/* door.c */

enum passage { PASSED, REFUSED, WAITS };
/* `r`: the request as the door finds it and, when it passed, as it leaves it. */
enum passage door_pass(struct decision *d, const struct policy_set *set, struct request *r,
		       struct changes *changes);
void decision_count(struct decision *d, const struct match *m);

/* custom.c */

enum passage custom_pass(struct decision *d, const struct policy_set *set, struct request *r,
			 struct changes *changes);

/* judge.c. One reference, for the caller. */

struct policy_set *judge_find_set(struct judge *j, struct arena *arena, const struct check_workload *w);

/* verdict.c. Each fills in decision.verdict. */

void verdict_allow(struct decision *d);
void verdict_deny(struct decision *d, unsigned status, enum verdict_reason reason, const char *body);
/* `detail` is static. */
void verdict_error(struct decision *d, unsigned status, const char *body, const char *detail);
void verdict_deny_by_rule(struct decision *d, const struct match *m);
/* None of them matched; there is at least one. */
void verdict_deny_for_none(struct decision *d, const struct policy_list *allowing, const struct request *r);
/* There is no provider to ask, or more than one: what the policy matches is refused (10.1). */
void verdict_deny_by_custom(struct decision *d, const struct match *m);
void verdict_deny_by_provider(struct decision *d, const struct match *m, unsigned status, const char *detail);
/* The provider decides by the body as well, and the check does not have enough of it. */
void verdict_want_body(struct decision *d, const struct match *m, uint32_t bytes);
void verdict_deny_by_token(struct decision *d, const struct authn *a, const struct request *r);
/* The first door's token that was accepted speaks for the request. */
void verdict_remember_identity(struct decision *d, const struct authn *a);

/* reasoning.c. Called where decision.reasoner is not NULL. */

void reasoner_enter(struct decision *d, const struct policy_set *set, const struct request *r);
void reasoner_custom(struct decision *d, const struct policy_set *set, const struct request *r);
void reasoner_tokens(struct decision *d, const struct authn *a);
void reasoner_policies(struct decision *d, const struct policy_set *set, const struct request *r);

#endif
