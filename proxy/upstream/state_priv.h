/* SPDX-License-Identifier: Apache-2.0
 *
 * state_priv.h - what registry, balancer and resolver share of a cluster that is alive.
 *
 * Thread   endpoint_set: immutable once published. struct balancer: one for each worker, touched by
 *          it alone. All else of cluster_state: the main thread. */
#ifndef SALLYPORT_PROXY_STATE_PRIV_H
#define SALLYPORT_PROXY_STATE_PRIV_H

#include <netinet/in.h>
#include <sys/queue.h>
#include <uthash.h>

#include "proxy/net/worker.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/resolver.h"
#include "sallyport/arena.h"

#define KIND_ENDPOINT	KIND('E', 'N', 'D', 'P')

/* One address of a set, with what this set says of it. */
struct set_entry {
	struct endpoint *endpoint;	/* one reference */
	uint32_t weight;
	bool healthy;
};

struct endpoint_set {
	uint64_t serial;		/* differs from that of every other set */
	uint32_t count, healthy_count;	/* the healthy ones stand first, otherwise in order */
	bool weighted;			/* the healthy ones differ in weight */
	uint32_t *by_address;		/* owned; indexes, ordered by address bytes */
	struct cluster_registry *registry;	/* borrowed */
	TAILQ_ENTRY(endpoint_set) retired_link;
	struct set_entry entries[];
};

/* One address that is to be published. */
struct candidate {
	struct sockaddr_storage sockaddr;
	socklen_t sockaddr_len;
	uint32_t weight;
	bool healthy;
	uint32_t order;
};

struct candidates {
	struct candidate *items;	/* owned */
	uint32_t count, room;
};

/* `old` lends its endpoints where addresses are the same; may be NULL. */
struct endpoint_set *endpoint_set_create(uint64_t serial, const struct candidates *all,
					 const struct endpoint_set *old);
void endpoint_set_free(struct endpoint_set *set);
/* NULL: not in it. `set` may be NULL. */
struct endpoint *endpoint_set_find(const struct endpoint_set *set, const struct sockaddr_storage *address,
				   socklen_t len);
/* Would a set of these be the same? */
bool endpoint_set_says(const struct endpoint_set *set, const struct candidates *all);

struct endpoint *endpoint_create(const struct sockaddr_storage *address, socklen_t len);
int endpoint_compare(const struct endpoint *e, const struct sockaddr_storage *address, socklen_t len);

/* Where an entry stands in a weighted schedule. */
struct edf_item {
	double deadline;
	uint64_t order;			/* ties: first in, first out */
	uint32_t index;			/* in the set */
};

/* One worker's place in a cluster. */
struct balancer {
	uint64_t serial;		/* of the set that it was made for; 0: none */
	uint32_t position;		/* round robin */
	bool scheduled;			/* `heap` holds this set's schedule */
	bool by_load;			/* ... with weights divided by what is in progress */
	double now;
	uint64_t next_order;
	uint32_t count, room;
	struct edf_item *heap;		/* owned */
};

/* As cluster_registry_create(), with a resolver of its own, for tests. */
struct cluster_registry *cluster_registry_create_with(struct event_base *base, struct worker **workers,
						      unsigned worker_count, endpoint_left_fn *left,
						      const struct resolver_options *options);
void balancer_free(struct balancer **bp);

/* A name or address of the cluster's documents, copied: snapshots go, this stays. */
struct target {
	struct sockaddr_storage sockaddr;	/* of a logical cluster: the address last resolved */
	socklen_t sockaddr_len;			/* 0: nothing yet */
	uint16_t port;
	uint32_t weight;
	bool healthy;
	struct resolver_watch *watch;		/* owned; NULL: an address as written */
};

struct cluster_state {
	char *name;				/* owned; key */
	struct cluster_registry *registry;	/* borrowed */
	_Atomic(struct endpoint_set *) set;	/* NULL: nothing published yet */
	atomic_uint refs;			/* clusters of snapshots that are alive */
	struct balancer *balancers[WORKERS_MAX];	/* owned; each made by its worker */
	struct cluster_counters counters;
	bool active;				/* named by the snapshot that serves */
	bool wanted;				/* while a snapshot is activated */
	bool logical;
	struct target *targets;			/* owned */
	size_t target_count;
	UT_hash_handle hh;
};

#endif
