/* SPDX-License-Identifier: Apache-2.0
 *
 * ledger.h - what one policy did: how often each of its rules decided, and, of a policy on trial
 * (istio.io/dry-run), the last few requests that it would have refused.
 *
 * Owner    the arena it was made in. Thread: any; counts are relaxed atomics, the requests have a lock
 *          that only policies on trial ever take.
 * Limits   LEDGER_REQUESTS of them a policy; their texts are cut to the sizes below. */
#ifndef SALLYPORT_SPOA_LEDGER_H
#define SALLYPORT_SPOA_LEDGER_H

#include <pthread.h>
#include <stdatomic.h>

#include "sallyport/arena.h"

#define LEDGER_REQUESTS	8u

struct request;

struct ledger_request {
	int64_t wall_us;
	char source[48], method[16], authority[128], path[256], principal[128], request_id[40];
};

struct ledger {
	atomic_ulong *decided;		/* rule_count of them */
	size_t rule_count;
	atomic_ulong unmatched;		/* ALLOW: refused (or would be), as no rule of any such policy matched */
	pthread_mutex_t lock;
	struct ledger_request *requests;	/* a ring; NULL: not on trial */
	unsigned long request_count;	/* ever */
};

struct ledger *ledger_create(struct arena *a, size_t rule_count, bool on_trial);
void ledger_free(struct ledger *l);		/* what the arena does not */

void ledger_count(struct ledger *l, size_t rule);
void ledger_count_unmatched(struct ledger *l);
/* A policy on trial would have refused this one. */
void ledger_note(struct ledger *l, const struct request *r);

/* Goes on where `last` was, whose policy was of the same shape. */
void ledger_carry(struct ledger *l, struct ledger *last);
/* The last requests, newest first; how many. */
unsigned ledger_requests(struct ledger *l, struct ledger_request out[LEDGER_REQUESTS]);

#endif
