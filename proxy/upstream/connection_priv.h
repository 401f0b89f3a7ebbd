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
	X(ACTIVE)	/* a request is on it */ \
	X(IDLE)		/* waits for the next one */ \
	X(CLOSED)	/* to be buried */
#define CONNECTION_AS_ENUM(name)	CONNECTION_##name,
enum connection_state { CONNECTION_STATES(CONNECTION_AS_ENUM) CONNECTION_STATE_COUNT };

struct upstream_connection {
	struct transport transport;
	struct grave grave;
	struct timer timer;			/* of the connect, then of idleness */
	LIST_ENTRY(upstream_connection) link;	/* idle or busy ones of its endpoint */
	struct pool *pool;			/* borrowed */
	struct endpoint *endpoint;		/* one reference */
	struct codec *codec;			/* owned; NULL until connected */
	struct pool_request *waiting;		/* borrowed; while connecting */
	struct cluster_counters *counters;	/* borrowed; while `waiting` */
	enum connection_state state;
	bool unclaimed;				/* connecting, and counted by the pool */
	bool draining;				/* its endpoint left: not to be reused */
	uint32_t served, served_max;		/* requests; 0: no limit */
	int64_t idle_ms;			/* 0: for ever */
	uint32_t local_len;
	char local[ADDRESS_TEXT_MAX];		/* asked for on first use */
};

struct endpoint_pool {
	LIST_HEAD(, upstream_connection) idle, busy;
};

struct pool {
	struct worker *worker;			/* borrowed */
	const struct codec_settings *settings;	/* borrowed */
	struct endpoint_pool *slots;		/* owned; by endpoint->slot */
	uint32_t slot_count;
	uint32_t unclaimed;			/* connecting for nobody any more */
	struct pool_counters counters;
};

struct endpoint_pool *pool_of(struct pool *p, const struct endpoint *e);

/* Begins to connect for `q`. */
void connection_open(struct pool *p, const struct cluster *c, struct endpoint *e, struct pool_request *q);
/* A connected one takes the request: on_ready() is called. */
void connection_hand_over(struct upstream_connection *u, struct pool_request *q);
/* Nobody waits for it any more. */
void connection_unclaim(struct upstream_connection *u);
/* Nothing came in since it was put aside. */
bool connection_is_quiet(struct upstream_connection *u);
/* Closing twice is harmless. */
void connection_close(struct upstream_connection *u);
/* The same with word to the request on it or waiting for it. */
void connection_abandon(struct upstream_connection *u);

/* Only the worker writes: a plain load and store, no locked instruction. */
static inline void pool_count(atomic_ulong *counter, long by)
{
	unsigned long now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + (unsigned long)by, memory_order_relaxed);
}

#endif
