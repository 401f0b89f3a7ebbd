/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c - a worker's connections by endpoint: idle ones are given out most recently used first. Those
 * that many requests share are in shared.c. */
#include "proxy/upstream/pool.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/upstream/connection_priv.h"

#define FIRST_SLOTS	16u

struct pool *pool_create(struct worker *w, const struct codec_settings *http1,
			 const struct codec_settings *http2,
			 void (*on_limit)(struct worker *w, enum http2_limit which))
{
	struct pool *p = calloc(1, sizeof(*p));

	must(p != NULL);
	p->worker = w;
	p->http1 = http1;
	p->http2 = http2;
	p->on_limit = on_limit;
	return p;
}

static void close_all(struct connection_list *list)
{
	struct upstream_connection *u;

	while ((u = LIST_FIRST(list)) != NULL)
		connection_abandon(u);
}

static void free_endpoint_pool(struct endpoint_pool *ep)
{
	/* First: connections that close must find nobody to open others for. */
	shared_failed(&ep->shared, RESET_LOCAL_RESET, NULL);
	close_all(&ep->idle);
	close_all(&ep->shared.open);
	close_all(&ep->shared.coming);
	close_all(&ep->busy);
}

void pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < p->slot_count; i++)
		if (p->slots[i] != NULL)
			free_endpoint_pool(p->slots[i]);
	for (uint32_t i = 0; i < p->slot_count; i++)
		free(p->slots[i]);
	free(p->slots);
	free(p);
}

/* The table is as large as the highest endpoint number asked for. */
static void grow(struct pool *p, uint32_t slot)
{
	uint32_t count = p->slot_count > 0 ? p->slot_count : FIRST_SLOTS;

	while (count <= slot) {
		must(count <= UINT32_MAX / 2);
		count *= 2;
	}
	p->slots = realloc(p->slots, count * sizeof(*p->slots));
	must(p->slots != NULL);
	memset(p->slots + p->slot_count, 0, (count - p->slot_count) * sizeof(*p->slots));
	p->slot_count = count;
}

struct endpoint_pool *pool_of(struct pool *p, const struct endpoint *e)
{
	struct endpoint_pool *ep;

	if (e->slot >= p->slot_count)
		grow(p, e->slot);
	if (p->slots[e->slot] != NULL)
		return p->slots[e->slot];
	ep = malloc(sizeof(*ep));
	must(ep != NULL);
	LIST_INIT(&ep->idle);
	LIST_INIT(&ep->busy);
	shared_init(&ep->shared, p);
	p->slots[e->slot] = ep;
	return ep;
}

/* The idle one that was used last and is still good; those found dead are closed on the way. */
static struct upstream_connection *take_idle(struct pool *p, const struct endpoint *e)
{
	struct endpoint_pool *ep = pool_of(p, e);
	struct upstream_connection *u;

	while ((u = LIST_FIRST(&ep->idle)) != NULL) {
		if (connection_is_quiet(u))
			return u;
		pool_count(&p->counters.closed_by_peer, 1);
		connection_close(u);
	}
	return NULL;
}

void pool_ask(struct pool *p, const struct cluster *c, struct endpoint *e, struct pool_request *q)
{
	struct upstream_connection *u;

	q->connecting = NULL;
	q->queue = NULL;
	if (q->protocol == UPSTREAM_HTTP2) {
		shared_ask(&pool_of(p, e)->shared, c, e, q);
		return;
	}
	u = c->proxy_protocol == 0 && !q->fresh ? take_idle(p, e) : NULL;
	if (u != NULL) {
		pool_count(&p->counters.reused, 1);
		connection_hand_over(u, q);
		return;
	}
	connection_open(p, c, e, UPSTREAM_HTTP1, q);
}

void pool_cancel(struct pool *p, struct pool_request *q)
{
	(void)p;
	if (q->queue != NULL)
		shared_cancel(q);
	if (q->connecting == NULL)
		return;
	connection_unclaim(q->connecting);
	q->connecting = NULL;
}

/* Closes those without a request, marks the others. */
static void retire(struct connection_list *list)
{
	struct upstream_connection *u, *next;

	for (u = LIST_FIRST(list); u != NULL; u = next) {
		next = LIST_NEXT(u, link);
		u->draining = true;
		if (u->state == CONNECTION_IDLE)
			connection_close(u);
	}
}

void pool_forget(struct pool *p, struct endpoint *e)
{
	struct endpoint_pool *ep;

	if (e->slot >= p->slot_count || p->slots[e->slot] == NULL)
		return;
	ep = p->slots[e->slot];
	ep->shared.streams_of_peer = 0;
	retire(&ep->idle);
	retire(&ep->busy);
	retire(&ep->shared.open);
	if (ep->shared.waiting_count == 0)	/* else who waits had chosen this endpoint before */
		close_all(&ep->shared.coming);
}

const struct pool_counters *pool_counters(const struct pool *p)
{
	return &p->counters;
}
