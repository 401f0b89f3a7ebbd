/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.h - one load of the documents, ready to judge by: the agent's counterpart of a snapshot.
 *
 * Owner    whoever holds a reference: the agent, each thread, each question that waits.
 * Thread   immutable, but for the memory of who asked, which has a lock of its own: any thread may
 *          read it. The count is atomic.
 * Blocks   never: reading files is resource_set_load()'s. */
#ifndef SALLYPORT_SPOA_RULES_H
#define SALLYPORT_SPOA_RULES_H

#include <pthread.h>

#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "spoa/policy.h"

#define RULES_ASKERS_MAX	64	/* loads of askers that are remembered; older ones go */
#define RULES_REVISION_BYTES	40	/* of a revision with its load; longer ones are not remembered */

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
	pthread_mutex_t askers_lock;
	char askers[RULES_ASKERS_MAX][RULES_REVISION_BYTES];	/* what these rules, or those before, were of */
	size_t asker_count;		/* in all: the next place is this modulo their number */
};

/* Takes the set, which has no errors. `last`: what was judged by until now, or NULL; who asked it is
 * still remembered. Another reference to it is the answer when nothing has changed. */
struct rules *rules_create(struct resource_set *set, struct jwks_store *keys, struct rules *last);
struct rules *rules_ref(struct rules *r);
/* Drops one reference and clears the caller's pointer; *rp may be NULL already. */
void rules_unref(struct rules **rp);

/* Revisions as askers write them: what all bytes of the documents hash to and, where the asker counts
 * its loads, a dot and the number, so that documents that came back are told from those that stayed.
 * Are these the rules of that revision? */
bool rules_are_of(const struct rules *r, struct slice rev);
/* A question of this revision and load is judged by its own rules: these, or those before. */
void rules_note_asker(struct rules *r, struct slice rev);
/* Was that ever so? Then we are ahead of the asker. The same documents in another load of it say
 * nothing: they may be newer than what we have. */
bool rules_are_ahead_of(struct rules *r, struct slice rev);
/* The labels of a WorkloadEntry or of the proxy itself; absent: not known. */
struct slice rules_labels(const struct rules *r, struct slice workload);

#endif
