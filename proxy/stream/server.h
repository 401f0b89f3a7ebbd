/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h - one worker's part of the proxy: what it listens on, which snapshot it serves, its
 * pool of upstream connections, its connection to the agent, its counters.
 *
 * Owner    the main thread creates and frees it around the worker's life; in between only the
 *          worker touches it, save the counters, which any thread may read.
 * Snapshots a worker counts its own connections and streams on each snapshot (struct
 *          snapshot_use), so that serving touches no shared count. */
#ifndef SALLYPORT_PROXY_SERVER_H
#define SALLYPORT_PROXY_SERVER_H

#include "proxy/authz/client.h"
#include "proxy/http/codec.h"
#include "proxy/net/listener.h"
#include "proxy/net/socket.h"
#include "proxy/net/worker.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/tls/failure.h"
#include "proxy/tls/tls_set.h"
#include "proxy/upstream/pool.h"
#include "sallyport/resource/proxy_settings.h"

struct downstream;
struct mirror_copy;
struct stream;

struct snapshot_use {
	struct snapshot *snapshot;	/* one reference */
	struct tls_set *tls;		/* one reference */
	unsigned users;			/* connections and streams of this worker */
	bool current;
};

/* X(member, what it counts) */
#define SERVER_COUNTERS(X) \
	X(connections, "downstream connections accepted") \
	X(connections_active, "downstream connections open") \
	X(connections_refused, "accepted and closed: maxConnections") \
	X(proxy_headers, "PROXY protocol headers accepted") \
	X(proxy_malformed, "connections closed: PROXY protocol header missing, malformed or late") \
	X(proxy_untrusted, "connections closed: PROXY protocol, and the source is not trusted") \
	X(tls_handshakes, "TLS handshakes completed") \
	X(tls_failures, "TLS handshakes failed") \
	TLS_FAILURES(X) \
	X(tls_message_floods, "TLS connections closed: too many messages such as KeyUpdate") \
	X(tls_resumed, "TLS sessions resumed") \
	X(tls_no_chain, "connections closed: no server for the name") \
	X(tls_no_secret, "connections closed: the secret is missing") \
	X(requests, "requests received") \
	X(requests_active, "requests in progress") \
	X(responses_1xx, "interim responses forwarded") \
	X(responses_2xx, "responses 200-299") \
	X(responses_3xx, "responses 300-399") \
	X(responses_4xx, "responses 400-499") \
	X(responses_5xx, "responses 500-599") \
	X(no_response, "requests that ended without a response") \
	X(protocol_errors, "requests refused by the codec") \
	X(no_route, "requests without a route (404)") \
	X(regex_limits, "requests refused because a regex of a route reached its limit (500)") \
	X(misdirected, "requests for another server of the listener (421)") \
	X(redirects, "redirects by route or httpsRedirect") \
	X(direct_responses, "direct responses") \
	X(cors_preflights, "CORS preflights answered") \
	X(faults_delayed, "requests delayed by http[].fault") \
	X(faults_aborted, "requests answered by http[].fault") \
	X(mirrors, "copies of requests for mirrors") \
	X(mirrors_active, "copies in progress") \
	X(mirrors_failed, "copies whose mirror was not reached or broke off") \
	X(mirrors_timed_out, "copies given up: mirrorTimeout, or the route's timeout") \
	X(mirrors_overrun, "copies given up: too far behind (mirrorBufferKb, mirrorMemoryKb)") \
	X(mirror_bytes, "memory that holds what mirrors have not taken yet") \
	X(mirrors_denied, "copies not sent: the mirror's policies, or no verdict of them") \
	X(mirrors_skipped, "copies not made: maxMirrors") \
	X(upgrades, "requests upgraded (101)") \
	X(upgrades_active, "upgraded requests in progress") \
	X(upgrades_refused, "requests to upgrade to what is not served (403)") \
	X(authz_denied, "requests denied by policy or token") \
	X(authz_failed, "requests refused because the agent failed") \
	X(upstream_failures, "requests that got a 502, 503 or 504 of ours") \
	X(retries, "attempts after the first") \
	X(retry_successes, "retries whose response was none to retry") \
	X(retries_exhausted, "requests whose last outcome was one to retry: no attempts left") \
	X(retry_overflows, "retries not made: maxRetries or retryBudget of the DestinationRule") \
	X(stale_retries, "of the retries, those because a reused connection had been closed") \
	X(per_try_timeouts, "attempts ended by perTryTimeout") \
	X(replay_too_large, "requests not retried any more: body beyond replayBufferKb") \
	X(replay_no_memory, "requests not retried any more: bodies beyond replayMemoryKb") \
	X(replay_bytes, "memory held now for bodies to be sent again") \
	X(grpc_web, "gRPC-Web requests translated") \
	X(grpc_deadlines, "gRPC calls ended by their own grpc-timeout") \
	X(header_timeouts, "connections closed: head not complete in time") \
	X(write_stalls, "connections closed: the client took nothing of a response in time") \
	X(idle_timeouts, "connections or streams closed: idle") \
	HTTP2_LIMITS(X) \
	X(bytes_in, "request body bytes") \
	X(bytes_out, "response body bytes") \
	X(tcp_connections, "connections to be relayed (TCP, TLS)") \
	X(tcp_active, "of them, those open") \
	X(tcp_denied, "relayed connections closed: denied by policy") \
	X(tcp_authz_failed, "relayed connections closed: the agent failed") \
	X(tcp_no_endpoint, "relayed connections closed: no endpoint, or no such service") \
	X(tcp_overflows, "relayed connections closed: maxConnections of the DestinationRule") \
	X(tcp_connect_failures, "relayed connections closed: the endpoint was not reached") \
	X(tcp_idle_timeouts, "relayed connections closed: idle") \
	X(tcp_max_durations, "relayed connections closed: maxConnectionDuration") \
	X(tcp_no_pipe, "relayed connections that flowed through buffers: no pipe was free") \
	X(tcp_bytes_in, "relayed bytes from clients") \
	X(tcp_bytes_out, "relayed bytes to clients")

struct server_counters {
#define X(member, text) atomic_ulong member;
	SERVER_COUNTERS(X)
#undef X
};

/* Only the worker writes: a plain load and store, no locked instruction. */
static inline void count_up(atomic_ulong *counter, unsigned long by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

/* A peer, either side, went beyond a limit of HTTP/2. */
void server_count_limit(struct server_counters *c, enum http2_limit which);

/* A listener on this worker. */
struct listener {
	struct acceptor acceptor;
	struct server *server;		/* borrowed */
	const struct listener_plan *plan;	/* in the current snapshot */
	TAILQ_ENTRY(listener) link;
	unsigned users;			/* the server, and each connection that came by it */
	bool closed;
	char key[128];			/* bind_point.key */
};

struct listener *listener_take(struct listener *l);
void listener_drop(struct listener *l);

struct server {
	struct worker *worker;		/* borrowed */
	struct snapshot_use *use;	/* the current one */
	struct pool *pool;		/* owned */
	struct authz_client *authz;	/* owned; NULL where no agent is needed */
	char own_agent[AUTHZ_NAME_BYTES];	/* asked where the settings name none; "": none runs */
	/* Called once for each request when it ended: the access log. May be NULL. */
	void (*on_stream_end)(struct server *s, const struct exchange *x);
	void *log;
	struct codec_settings codec_plain, codec_tls;
	struct codec_settings codec_upstream, codec_upstream_http2;
	TAILQ_HEAD(, listener) listeners;
	TAILQ_HEAD(, downstream) downstreams;
	struct stream *free_streams;	/* with their arenas */
	struct mirror_copy *free_mirrors;	/* likewise, up to MIRRORS_KEPT */
	unsigned free_mirror_count;
	struct timer drain_timer;
	void (*on_drained)(struct server *s);	/* worker: no connection is left while draining */
	void *drain_context;		/* for on_drained() */
	atomic_bool agent_up;		/* an agent answers this worker; for readiness */
	unsigned worker_count;		/* that share what is limited for all of them */
	unsigned long connections_max;	/* this worker's share */
	uint64_t next_connection_id;
	bool draining;
	char local_ip[ADDRESS_TEXT_MAX];	/* own address, for x-forwarded-for of loopback peers */
	struct server_counters counters;
};

/* What listeners of this proxy take for a request. */
struct codec_settings server_codec_settings(const struct proxy_settings *p, bool tls);

/* Whom to ask: those that the settings name, else the proxy's own (""; none runs). Returns how many. */
size_t server_agents(const struct proxy_settings *settings, const char *own_agent,
		     const char *addresses[PROXY_AGENTS_MAX]);

/* Main thread, before the worker starts. */
struct server *server_create(struct worker *w);
/* Main thread, after the worker was joined. */
void server_free(struct server **sp);

/* On the worker (worker_post). `snapshot` and `tls`: the server takes the caller's references.
 * `own_agent`: address of the agent that the proxy runs; "": it runs none. */
void server_switch(struct server *s, struct snapshot *snapshot, struct tls_set *tls, const char *own_agent);
void server_listen(struct server *s, int fd, const char *key);
/* No further connections on it; closes the descriptor. */
void server_unlisten(struct server *s, const char *key);
/* Every response says that the connection ends, idle ones are closed; after `grace_ms` the rest is cut
 * and on_drained() called, at once when nothing is left. */
void server_drain(struct server *s, int64_t grace_ms);

/* For connections: one has closed; ends a drain when it was the last. */
void server_connection_closed(struct server *s);

struct snapshot_use *snapshot_use_take(struct snapshot_use *u);
void snapshot_use_drop(struct snapshot_use **up);

#endif
