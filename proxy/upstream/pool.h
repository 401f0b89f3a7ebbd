/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.h - one worker's connections to endpoints: most recently used first, one request at a time
 * on HTTP/1.
 *
 * A request asks for a connection and gets it at once when one is idle, or later when the
 * connect ends. What comes back is a codec that can open a stream.
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
	/* A connection is ready: open a stream on upstream_codec(u) within this call. */
	void (*on_ready)(void *owner, struct upstream_connection *u);
	/* `detail`: "delayed connect error: Connection refused", or NULL; valid within the call. */
	void (*on_failed)(void *owner, enum reset_reason why, const char *detail);
	/* the pool's */
	struct upstream_connection *connecting;	/* borrowed; NULL: nothing pending */
};

struct pool *pool_create(struct worker *w, const struct codec_settings *settings);
/* Closes all connections; live streams get on_reset(). */
void pool_free(struct pool **pp);

/* Calls on_ready() before it returns when a connection is idle; otherwise connects. */
void pool_ask(struct pool *p, const struct cluster *c, struct endpoint *e, struct pool_request *q);
/* The asker is gone; a connection that is on its way goes to the idle ones, unless POOL_UNCLAIMED_MAX do
 * so already: then it is closed. */
void pool_cancel(struct pool *p, struct pool_request *q);
/* Closes idle connections to an endpoint that is no longer published; active ones finish. */
void pool_forget(struct pool *p, struct endpoint *e);

struct codec *upstream_codec(struct upstream_connection *u);
/* "ip:port" of our side; borrowed while the connection lives. */
struct slice upstream_local_address(struct upstream_connection *u);

struct pool_counters {
	atomic_ulong connects, reused, idle, active, closed_by_peer, idle_timeouts;
};
const struct pool_counters *pool_counters(const struct pool *p);

#endif
