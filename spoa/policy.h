/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.h - all RequestAuthentications and AuthorizationPolicies, compiled: for a workload, the
 * few that reach it (spec/authorization-policy.md 3, spec/request-authentication.md 3).
 *
 * Owner    policy_index_create() gives one reference; documents are borrowed until it is freed.
 * Thread   the index is immutable: any thread may read it; the count is atomic. What reaches a
 *          workload is remembered by each thread's judge (decision.h).
 * Blocks   never.
 * Cost     of a request: one hash look-up, then only the policies that reach its workload; however
 *          many exist. */
#ifndef SALLYPORT_SPOA_POLICY_H
#define SALLYPORT_SPOA_POLICY_H

#include "sallyport/path.h"
#include "sallyport/resource/authorization_policy.h"
#include "sallyport/resource/request_authentication.h"

/* What the Proxy document's `mesh` says; slices are borrowed as the documents are. */
struct policy_mesh {
	struct slice root_namespace;		/* absent: istio-system */
	struct slice trust_domain;		/* absent: cluster.local */
	const struct slice *trust_domain_aliases;
	size_t trust_domain_alias_count;
	enum path_normalization normalization;
	const struct extauthz_target *providers;	/* of CUSTOM policies */
	size_t provider_count;
};

struct extauthz_target;
struct policy_index;
struct jwks_store;

/* `keys` is borrowed and outlives the index, which holds the sources of its rules open: create the
 * next index before the last one goes, and equal sources keep their keys. The arrays are borrowed
 * for the call, what they point at until the index is freed. */
struct policy_index *policy_index_create(const struct policy_mesh *mesh, struct jwks_store *keys,
					 struct request_authentication *const *authentications,
					 size_t authentication_count,
					 struct authorization_policy *const *policies,
					 size_t policy_count);
struct policy_index *policy_index_ref(struct policy_index *x);
/* Drops one reference and clears the caller's pointer; *xp may be NULL already. */
void policy_index_unref(struct policy_index **xp);

struct policy;

/* Every policy, by namespace and name. */
void policy_index_visit(struct policy_index *x, void (*visit)(void *arg, const struct policy *p), void *arg);
/* Policies that `last` had too, in the same shape (action, trial, number of rules), go on counting. */
void policy_index_carry(struct policy_index *x, struct policy_index *last);

#endif
