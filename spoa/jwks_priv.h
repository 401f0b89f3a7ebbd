/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks_priv.h - what jwks.c (the readers' side, any thread) and jwks_refresh.c (the fetch thread's
 * side) share. */
#ifndef SALLYPORT_SPOA_JWKS_PRIV_H
#define SALLYPORT_SPOA_JWKS_PRIV_H

#include <event2/event.h>
#include <pthread.h>
#include <sys/queue.h>

#include "sallyport/object.h"
#include "spoa/fetch.h"
#include "spoa/jwks.h"
#include "spoa/jwks_disk.h"

#define uthash_fatal(message)	fatal("sources of keys: %s", message)
#include <uthash.h>

#define KIND_JWKS_STORE		KIND('j', 's', 't', 'r')
#define KIND_JWKS_SOURCE	KIND('j', 's', 'r', 'c')

struct jwks_waiter {
	struct jwks_source *source;	/* holds a reference */
	struct event *event;		/* owned; in the waiter's loop: timeout, or made active by us */
	bool listed;			/* under the lock: stands in the source's list */
	jwks_wait_fn *fn;
	void *arg;
	struct jwks_waiter **handle;	/* the caller's pointer, cleared when it is over */
	TAILQ_ENTRY(jwks_waiter) entry;
};

struct jwks_source {
	struct object obj;		/* the count is changed under the lock */
	struct jwks_store *store;	/* borrowed */
	uint64_t id;
	char *key;			/* owned; issuer, uri, timeout and inline set in one */
	size_t key_len;
	char *issuer, *uri;		/* owned; "" where absent */
	bool is_inline;
	int64_t timeout_ms;
	UT_hash_handle hh;

	/* Replaced under the lock, compared without it, owned. */
	_Atomic(struct jwk_set *) set;

	/* Under the lock. */
	bool closed;			/* nobody holds it: the fetch thread frees it */
	bool queued;			/* stands in the store's queue */
	bool fetching;			/* asked for or under way: others join */
	bool tried;			/* the first fetch has ended */
	int64_t fetched_ms;		/* when the keys came, also before our time; 0 never */
	int64_t demanded_ms;		/* when a request last caused a fetch; 0 never */
	int64_t due_ms;			/* of the timer below; 0 none */
	struct jwks_stats stats;	/* counters and error; the rest is filled in when asked */
	TAILQ_HEAD(, jwks_waiter) waiters;
	struct jwks_source *next_queued;

	/* The fetch thread's alone. */
	struct event *timer;		/* owned; NULL until the first fetch */
	struct fetch *fetch;		/* under way, or NULL */
	bool in_cycle;			/* between the retries of one refresh */
	bool recalled;			/* the folder was asked for its keys */
	unsigned retries_left;
	int64_t backoff_ms;		/* 0: the last cycle went well */
};

struct jwks_store {
	struct object obj;
	struct jwks_config config;
	pthread_t thread;
	struct event_base *base;	/* owned; run by the fetch thread */
	struct event *wake;		/* owned; made active when the queue has something */
	struct fetcher *fetcher;	/* owned; the fetch thread's */
	struct jwks_disk *disk;		/* owned; the fetch thread's; NULL: none */

	pthread_mutex_t lock;
	struct jwks_source *sources;	/* by key */
	struct jwks_source *queue;	/* to fetch or to free */
	bool stopping;
};

/* The fetch thread: begins to fetch `s` unless that is under way. */
void jwks_fetch_now(struct jwks_source *s);
/* The fetch thread, or nobody else has seen it yet: stops what is under way and frees. */
void jwks_source_destroy(struct jwks_source *s);

#endif
