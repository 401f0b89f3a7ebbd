/* SPDX-License-Identifier: Apache-2.0
 *
 * connection_priv.h - one connection to an endpoint, from connect to close: what the pool knows of it.
 *
 * Owner    the pool; the memory goes back to the worker after the loop turn in which it closes.
 * Thread   the worker's. */
#ifndef SALLYPORT_PROXY_CONNECTION_PRIV_H
#define SALLYPORT_PROXY_CONNECTION_PRIV_H

#include "proxy/net/socket.h"
#include "proxy/net/worker.h"
#include "proxy/upstream/pool.h"

#define CONNECTION_STATES(X) \
	X(CONNECTING)	/* for a request, or for nobody when that was cancelled */ \
	X(ACTIVE)	/* at least one request is on it */ \
	X(IDLE)		/* waits for the next one */ \
	X(CLOSED)	/* to be buried */
#define CONNECTION_AS_ENUM(name)	CONNECTION_##name,
enum connection_state { CONNECTION_STATES(CONNECTION_AS_ENUM) CONNECTION_STATE_COUNT };

struct upstream_connection {
	struct transport transport;
	struct grave grave;
	struct timer timer;			/* of the connect, then of idleness */
	LIST_ENTRY(upstream_connection) link;	/* in one list of its endpoint */
	struct pool *pool;			/* borrowed */
	struct endpoint *endpoint;		/* one reference */
	struct codec *codec;			/* owned; NULL until connected */
	struct pool_request *waiting;		/* HTTP/1: borrowed; while connecting */
	struct cluster_counters *counters;	/* borrowed; while a request waits for it */
	enum upstream_protocol protocol;
	enum connection_state state;
	unsigned proxy_protocol;		/* version of its header; 0: none */
	bool lingering;				/* closes when its last bytes were taken */
	bool unclaimed;				/* connecting, and counted by the pool */
	bool draining;				/* its endpoint left: not to be reused */
	bool reused;				/* for the request that it was handed to last */
	uint32_t served, served_max;		/* requests; 0: no limit */
	int64_t connect_ms, idle_ms;		/* idle, 0: for ever */
	/* HTTP/2 */
	uint32_t streams_max;			/* at a time, as far as we are concerned */
	uint32_t expected;			/* streams that it is believed to bring; 0: settled */
	bool offered;				/* stands in `open` */
	uint32_t local_len;
	char local[ADDRESS_TEXT_MAX];		/* asked for on first use */
};

LIST_HEAD(connection_list, upstream_connection);

/* The connections of an endpoint that many requests share (shared.c). */
struct shared_pool {
	struct connection_list coming;		/* connecting */
	struct connection_list open;		/* took another request when last seen */
	TAILQ_HEAD(, pool_request) waiting;
	struct pool *pool;			/* borrowed */
	struct endpoint *endpoint;		/* borrowed; while requests wait */
	uint32_t waiting_count;
	uint64_t expected;			/* sum of its connections */
	uint32_t streams_of_peer;		/* as last heard; 0: never */
	unsigned round;				/* tells who came after a connect had failed */
};

struct endpoint_pool {
	struct connection_list idle;		/* HTTP/1 */
	struct connection_list busy;		/* all that stand in no other list */
	struct shared_pool shared;		/* HTTP/2 */
};

struct pool {
	struct worker *worker;			/* borrowed */
	const struct codec_settings *http1, *http2;	/* borrowed */
	void (*on_limit)(struct worker *w, enum http2_limit which);
	struct endpoint_pool **slots;		/* owned; by endpoint->slot, NULL: never asked for */
	uint32_t slot_count;
	uint32_t unclaimed;			/* connecting for nobody any more */
	struct pool_counters counters;
};

struct endpoint_pool *pool_of(struct pool *p, const struct endpoint *e);

/* Begins to connect; HTTP/1: for `q`. */
struct upstream_connection *connection_open(struct pool *p, const struct cluster *c, struct endpoint *e,
					    enum upstream_protocol protocol, struct pool_request *q);
/* A connected one takes the request: on_ready() is called. */
void connection_hand_over(struct upstream_connection *u, struct pool_request *q);
/* Nobody waits for it any more; or somebody does again. */
void connection_unclaim(struct upstream_connection *u);
void connection_claim(struct upstream_connection *u);
/* May another request be put on it, idle or not? */
bool connection_may_take(const struct upstream_connection *u);
/* Nothing came in since it was put aside. */
bool connection_is_quiet(struct upstream_connection *u);
/* Closing twice is harmless. */
void connection_close(struct upstream_connection *u);
/* The same with word to the request on it or waiting for it. */
void connection_abandon(struct upstream_connection *u);

/* ---- shared.c ---- */

void shared_init(struct shared_pool *sp, struct pool *p);
void shared_ask(struct shared_pool *sp, const struct cluster *c, struct endpoint *e, struct pool_request *q);
void shared_cancel(struct pool_request *q);
/* It has connected, it has room, its SETTINGS were not in time, it was closed or failed to connect. */
void shared_connected(struct upstream_connection *u);
void shared_has_room(struct upstream_connection *u);
void shared_is_late(struct upstream_connection *u);
void shared_lost(struct upstream_connection *u);
void shared_failed(struct shared_pool *sp, enum reset_reason why, const char *detail);

/* Only the worker writes: a plain load and store, no locked instruction. */
static inline void pool_count(atomic_ulong *counter, long by)
{
	unsigned long now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + (unsigned long)by, memory_order_relaxed);
}

#endif
