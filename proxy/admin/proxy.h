/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy.h - the main thread's one struct: everything that lives as long as the process.
 *
 * Start, reload and stop are its verbs. A reload builds everything aside and switches all workers
 * only when all of it is sound; on any error what serves now goes on serving, and the problems say
 * what to change.
 *
 * Owner    main.c. Thread: main only; workers are reached through worker_post(). */
#ifndef SALLYPORT_PROXY_PROXY_H
#define SALLYPORT_PROXY_PROXY_H

#include "proxy/net/worker.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/stream/server.h"
#include "sallyport/problem.h"

struct admin_socket;
struct access_log;
struct supervisor;
struct tls_store;

/* Sockets that are bound now: one for each worker. */
struct bound {
	TAILQ_ENTRY(bound) link;
	struct bind_point bind;
	int fds[WORKERS_MAX];		/* the workers' once they listen */
	bool fresh;			/* bound by the reload in progress */
	bool wanted;
};

struct proxy {
	struct event_base *base;	/* owned */
	const char *const *paths;	/* of the configuration; borrowed from main() */
	size_t path_count;
	struct worker *workers[WORKERS_MAX];	/* owned */
	struct server *servers[WORKERS_MAX];	/* owned; [i] runs on workers[i] */
	unsigned worker_count;
	struct cluster_registry *clusters;	/* owned */
	struct tls_store *secrets;	/* owned */
	struct snapshot *snapshot;	/* one reference: what serves now */
	TAILQ_HEAD(, bound) bound;
	struct supervisor *agent;	/* owned; NULL where an address is configured or none is needed */
	char agent_address[AUTHZ_NAME_BYTES];	/* "unix:…" of `agent`; "": none runs */
	struct authz_client *asker;	/* owned; asks for who explains; NULL: nobody did yet */
	struct access_log *log;		/* owned; NULL: off */
	struct admin_socket *admin;	/* owned */
	uint64_t serial;		/* loads that succeeded */
	unsigned long reloads_failed;
	int64_t started_wall_us;
	bool stopping;
	unsigned drained;		/* workers without connections left */
};

/* Loads and checks the documents, binds, drops privileges, starts workers and agent. FAILED: the
 * problems say why; nothing is left running. */
enum outcome proxy_start(struct proxy *p, const char *const *paths, size_t count, struct problems *ps);
/* Serves until SIGTERM: drains for Proxy.spec.limits.drainTimeout, then ends; at once at the second
 * one. Returns the exit status. */
int proxy_run(struct proxy *p);
/* SIGHUP and `reload`: OK: the new configuration serves from here on (every worker has it when
 * `done` is called, on the main loop); FAILED: nothing changed, `done` is not called. */
enum outcome proxy_reload(struct proxy *p, struct problems *ps, void (*done)(void *arg), void *arg);

/* Sum of one counter over all workers; `member` of struct server_counters. */
#define proxy_count(p, member) \
	proxy_sum((p), offsetof(struct server_counters, member))
unsigned long proxy_sum(const struct proxy *p, size_t offset);

#endif
