/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.h - one worker's connections to endpoints.
 *
 * HTTP/1   one request at a time; of the idle connections the most recently used one is taken, else
 *          one is opened for this request.
 * HTTP/2   many requests share a connection, as many as the server, maxConcurrentStreams and
 *          maxRequestsPerConnection allow. Requests wait for a connection that is on its way rather
 *          than open their own; another one is opened only where those that there are, and those that
 *          come, are not enough. The first request leaves with the preface, the others when the
 *          server's SETTINGS have said how many it bears.
 *
 * A request asks for a connection and gets it at once when one has room, or later. What comes back is a
 * codec that can open a stream.
 *
 * Owner    connections belong to the pool. A pool_request is embedded in its asker.
 * Thread   the worker's. Blocks never.
 * Fails    on_failed() with the reset reason and, for the log, the transport's error text. */
#ifndef SALLYPORT_PROXY_POOL_H
#define SALLYPORT_PROXY_POOL_H

#include "proxy/http/codec.h"
#include "proxy/upstream/cluster.h"

#define POOL_UNCLAIMED_MAX	64u	/* connections on their way whose askers have gone */

struct pool;
struct upstream_connection;

struct pool_request {
	/* set by the asker */
	void *owner;
	enum upstream_protocol protocol;	/* not UPSTREAM_AS_CLIENT */
	/* Whom a cluster with the PROXY protocol is told of; borrowed until the answer. */
	const struct sockaddr *client, *edge;
	bool fresh;			/* HTTP/1: on a connection of its own, none that was idle */
	/* A connection is ready: open a stream on upstream_codec(u) within this call. */
	void (*on_ready)(void *owner, struct upstream_connection *u);
	/* `detail`: "delayed connect error: Connection refused", or NULL; valid within the call. */
	void (*on_failed)(void *owner, enum reset_reason why, const char *detail);
	/* the pool's */
	struct upstream_connection *connecting;	/* HTTP/1: borrowed; NULL: nothing pending */
	struct shared_pool *queue;		/* HTTP/2: it waits there; NULL: it does not */
	const struct cluster *cluster;		/* while it does, borrowed */
	TAILQ_ENTRY(pool_request) link;
	unsigned round;
};

/* Settings are borrowed. `on_limit` counts what servers were cut off for; may be NULL. */
struct pool *pool_create(struct worker *w, const struct codec_settings *http1,
			 const struct codec_settings *http2,
			 void (*on_limit)(struct worker *w, enum http2_limit which));
/* Closes all connections; live streams get on_reset(). */
void pool_free(struct pool **pp);

/* Calls on_ready() before it returns when a connection is idle; otherwise connects. A connection that
 * began with a header of the PROXY protocol is for this request alone. */
void pool_ask(struct pool *p, const struct cluster *c, struct endpoint *e, struct pool_request *q);
/* The asker is gone; a connection that is on its way goes to the idle ones, unless POOL_UNCLAIMED_MAX do
 * so already: then it is closed. */
void pool_cancel(struct pool *p, struct pool_request *q);
/* An endpoint is no longer published: idle connections are closed, active ones finish. */
void pool_forget(struct pool *p, struct endpoint *e);

struct codec *upstream_codec(struct upstream_connection *u);
/* Was it idle before this request, or has it carried others: may the server have closed it meanwhile? */
bool upstream_is_reused(const struct upstream_connection *u);
/* "ip:port" of our side; borrowed while the connection lives. */
struct slice upstream_local_address(struct upstream_connection *u);

struct pool_counters {
	atomic_ulong connects, reused, idle, active, closed_by_peer, idle_timeouts;
};
const struct pool_counters *pool_counters(const struct pool *p);

#endif
