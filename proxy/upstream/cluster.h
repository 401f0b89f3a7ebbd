/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.h - a named upstream service: what the documents say (struct cluster, immutable, in a
 * snapshot) and what is alive of it (struct cluster_state, kept by name across reloads).
 *
 * Owner    a struct cluster belongs to its snapshot's arena. A cluster_state belongs to the
 *          cluster_registry and lives as long as a snapshot or a stream refers to it.
 * Thread   struct cluster: read by all. cluster_state: endpoints are published by the main thread
 *          as one immutable struct endpoint_set behind an atomic pointer; workers read it without
 *          locks within a loop turn, old sets are freed after workers_quiesce().
 * Spec     spec/service-entry.md 7-13, spec/destination-rule.md 4-8. */
#ifndef SALLYPORT_PROXY_CLUSTER_H
#define SALLYPORT_PROXY_CLUSTER_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "proxy/net/socket.h"
#include "sallyport/decode.h"
#include "sallyport/object.h"

struct event_base;
struct worker;

enum balance { BALANCE_LEAST_REQUEST, BALANCE_ROUND_ROBIN, BALANCE_RANDOM, BALANCE_PASSTHROUGH };
/* UPSTREAM_AS_CLIENT: each request as its client speaks. */
enum upstream_protocol { UPSTREAM_HTTP1, UPSTREAM_HTTP2, UPSTREAM_AS_CLIENT };

/* An endpoint as the documents give it: an address, or a name to resolve. */
struct endpoint_spec {
	struct slice address;			/* as written: IP, FQDN, unix path */
	struct sockaddr_storage sockaddr;	/* resolved ahead for IPs and unix sockets */
	socklen_t sockaddr_len;			/* 0: `address` is a name, with `port` */
	uint16_t port;
	uint32_t weight;			/* at least 1 */
	bool healthy;				/* false: known, counted, not selected */
	struct where where;
};

struct cluster {
	struct slice name;			/* outbound|port|subset|host */
	struct slice host, subset;
	struct slice service_ns;		/* namespace of the ServiceEntry or Service */
	uint32_t port;
	struct where where;			/* of the document that declares it */
	enum balance balance;
	enum upstream_protocol protocol;
	int64_t connect_timeout_ms;		/* 10000 */
	int64_t idle_timeout_ms;		/* of pooled connections: 3600000; 0: never */
	uint32_t max_requests_per_connection;	/* 0: no limit */
	uint32_t max_connections;		/* relayed ones (dial.h), all workers; 0: no limit */
	/* Retries at a time, all workers: so many, or with a budget such a share of what is in progress. */
	uint32_t max_retries;			/* 0: no limit */
	double retry_budget_percent;		/* 0 is a share as well */
	uint32_t retry_budget_least;		/* so many may always be; 0: there is no budget */
	struct tcp_keepalive keepalive;
	unsigned proxy_protocol;		/* version of the header that every connection begins with; 0: none */
	uint32_t max_concurrent_streams;	/* of one HTTP/2 connection; 0: no limit */
	/* DNS: every address of every name; LOGICAL: the first address of the one name's latest answer,
	 * kept whatever the next answers say (spec/service-entry.md 12). IPs are used as they are. */
	enum { RESOLVE_STATIC, RESOLVE_DNS, RESOLVE_LOGICAL } resolution;
	int64_t dns_refresh_ms;			/* after a failure, an empty answer or TTL 0: 60000 */
	LIST(struct endpoint_spec) endpoints;

	/* Policies that reach the workloads behind it (spec/spop.md 13.1). */
	bool has_policies;			/* at least one RequestAuthentication or AuthorizationPolicy */
	struct slice workload;			/* "namespace/name" */
	struct slice workload_labels;		/* "k=v,k=v;k=v": one set for each distinct workload */

	struct cluster_state *state;		/* borrowed; set by cluster_registry_prepare() */
};

/* What a request of that client is sent in. */
static inline enum upstream_protocol cluster_protocol(const struct cluster *c, bool client_speaks_http2)
{
	if (c->protocol != UPSTREAM_AS_CLIENT)
		return c->protocol;
	return client_speaks_http2 ? UPSTREAM_HTTP2 : UPSTREAM_HTTP1;
}

/* One address that requests go to. Counted: by endpoint sets, pooled connections and attempts. */
struct endpoint {
	struct object obj;
	struct sockaddr_storage sockaddr;
	socklen_t sockaddr_len;
	struct slice text;			/* "ip:port", "[v6]:port" or a path; owned */
	uint32_t slot;				/* dense index for per-worker tables; reused once it is freed */
	uint32_t weight;			/* as last published, as `healthy`: */
	bool healthy;				/* selection goes by the endpoint set, not by these */
	/* Kept by the stream: an attempt counts from cluster_pick() until it has ended. */
	atomic_uint active;			/* over all workers (least request) */
	atomic_ulong requests, failures;	/* attempts; those that ended badly */
	/* Kept by the pool. */
	atomic_ulong connects, connect_failures;
};

struct endpoint *endpoint_ref(struct endpoint *e);
void endpoint_unref(struct endpoint **ep);

struct cluster_counters {
	atomic_ulong requests, completed, connect_failures, connect_timeouts, timeouts, resets,
		     none_healthy, connections;
	/* Retries made; those after which a response was delivered that is none to retry; ends of an attempt
	 * that the policy would have followed by another one, had there been attempts, or a place, left. */
	atomic_ulong retries, retry_successes, retry_limit_exceeded, retry_overflows;
	atomic_ulong per_try_timeouts;
	atomic_ulong retrying;			/* places taken now, by retries that wait or are under way */
	atomic_ulong relayed;			/* dials that are open now */
};

struct cluster_state;
struct cluster_counters *cluster_counters(const struct cluster *c);

/* Worker: an endpoint by the cluster's policy; NULL: no healthy one. The reference is the
 * caller's. `avoid`: endpoints tried already (spec/destination-rule.md 15.4). */
struct endpoint *cluster_pick(const struct cluster *c, struct worker *w, struct endpoint *const *avoid,
			      unsigned avoid_count);

/* Worker: takes a place among the cluster's retries; false: none is left, which was counted. */
bool cluster_retry_begin(const struct cluster *c);
/* The retry is over, or its response has begun. */
void cluster_retry_end(const struct cluster *c);

/* How an endpoint that left its cluster is told to the workers: runs on each worker. The pool's part:
 * pool_forget(). `e` is referred to by the registry until all have answered. */
typedef void endpoint_left_fn(struct worker *w, struct endpoint *e);

/* Main thread. The registry owns DNS (evdns on the main base) and the states of all clusters. */
struct cluster_registry;
/* `left` may be NULL. `workers` is borrowed and must outlive the registry. */
struct cluster_registry *cluster_registry_create(struct event_base *base, struct worker **workers,
						 unsigned worker_count, endpoint_left_fn *left);
/* The workers have been joined. */
void cluster_registry_free(struct cluster_registry **rp);
/* Finds or makes the state of each cluster and sets ->state, which stays alive until
 * clusters_release(). Nothing is published yet. */
void cluster_registry_prepare(struct cluster_registry *r, struct cluster *const *clusters, size_t count);
/* The snapshot of these clusters is about to serve: publishes their endpoints, starts and stops
 * resolving, drops what only the old snapshot named once that was released. */
void cluster_registry_activate(struct cluster_registry *r, struct cluster *const *clusters, size_t count);
/* Any thread: the snapshot of these clusters is being freed; clears ->state. Before
 * cluster_registry_free(). */
void clusters_release(struct cluster *const *clusters, size_t count);
/* All names had their first answer or failure (readiness). */
bool cluster_registry_resolved(const struct cluster_registry *r);
/* For show clusters: calls `visit` for each endpoint now published. */
void cluster_visit_endpoints(const struct cluster *c, void (*visit)(void *arg, const struct endpoint *e),
			     void *arg);

#endif
