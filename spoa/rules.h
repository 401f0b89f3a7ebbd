/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.h - one load of the documents, ready to judge by: the agent's counterpart of a snapshot.
 *
 * Owner    whoever holds a reference: the agent, each thread, each question that waits.
 * Thread   immutable: any thread may read it. The count is atomic.
 * Blocks   never: reading files is resource_set_load()'s. */
#ifndef SALLYPORT_SPOA_RULES_H
#define SALLYPORT_SPOA_RULES_H

#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "spoa/policy.h"

#define RULES_REVISIONS_MAX	64	/* former revisions that are known as such */

struct jwks_store;

struct workload_labels {
	struct slice workload;		/* "namespace/name" */
	struct slice labels;		/* "k=v,k=v" */
};

struct rules {
	struct object obj;
	struct resource_set *set;	/* owned; the index borrows from it */
	struct policy_index *index;	/* owned */
	struct slice rev;
	struct workload_labels *inventory;	/* in the set's arena, sorted */
	size_t inventory_count;
	char former[RULES_REVISIONS_MAX][sizeof(((struct resource_set *)0)->rev)];
	size_t former_count;
};

/* Takes the set, which has no errors. `last`: what was judged by until now, or NULL; its revisions
 * are remembered as former ones. Another reference to it is the answer when nothing has changed. */
struct rules *rules_create(struct resource_set *set, struct jwks_store *keys, struct rules *last);
struct rules *rules_ref(struct rules *r);
/* Drops one reference and clears the caller's pointer; *rp may be NULL already. */
void rules_unref(struct rules **rp);

/* Revisions as askers write them: what all bytes of the documents hash to and, where the asker counts
 * its loads, a dot and the number, so that documents that came back are told from those that stayed.
 * Are these the rules of that revision? */
bool rules_are_of(const struct rules *r, struct slice rev);
/* Was that revision judged by before this one? */
bool rules_know_former(const struct rules *r, struct slice rev);
/* The labels of a WorkloadEntry or of the proxy itself; absent: not known. */
struct slice rules_labels(const struct rules *r, struct slice workload);

#endif
