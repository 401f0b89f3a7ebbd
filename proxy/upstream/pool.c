/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c - a worker's connections by endpoint: idle ones are given out most recently used first. */
#include "proxy/upstream/pool.h"

#include <stdlib.h>

#include "proxy/upstream/connection_priv.h"

#define FIRST_SLOTS	16u

struct pool *pool_create(struct worker *w, const struct codec_settings *settings)
{
	struct pool *p = calloc(1, sizeof(*p));

	must(p != NULL);
	p->worker = w;
	p->settings = settings;
	return p;
}

void pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < p->slot_count; i++) {
		struct upstream_connection *u;

		while ((u = LIST_FIRST(&p->slots[i].idle)) != NULL)
			connection_close(u);
		while ((u = LIST_FIRST(&p->slots[i].busy)) != NULL)
			connection_abandon(u);
	}
	free(p->slots);
	free(p);
}

/* The table is as large as the highest endpoint number asked for. Growing moves the heads of lists,
 * whose first members point back at them. */
static void grow(struct pool *p, uint32_t slot)
{
	uint32_t count = p->slot_count > 0 ? p->slot_count : FIRST_SLOTS;
	struct endpoint_pool *slots;

	while (count <= slot) {
		must(count <= UINT32_MAX / 2);
		count *= 2;
	}
	slots = realloc(p->slots, count * sizeof(*slots));
	must(slots != NULL);
	for (uint32_t i = 0; i < p->slot_count; i++) {
		if (LIST_FIRST(&slots[i].idle) != NULL)
			LIST_FIRST(&slots[i].idle)->link.le_prev = &LIST_FIRST(&slots[i].idle);
		if (LIST_FIRST(&slots[i].busy) != NULL)
			LIST_FIRST(&slots[i].busy)->link.le_prev = &LIST_FIRST(&slots[i].busy);
	}
	for (uint32_t i = p->slot_count; i < count; i++) {
		LIST_INIT(&slots[i].idle);
		LIST_INIT(&slots[i].busy);
	}
	p->slots = slots;
	p->slot_count = count;
}

struct endpoint_pool *pool_of(struct pool *p, const struct endpoint *e)
{
	if (e->slot >= p->slot_count)
		grow(p, e->slot);
	return &p->slots[e->slot];
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
	struct upstream_connection *u = take_idle(p, e);

	q->connecting = NULL;
	if (u != NULL) {
		pool_count(&p->counters.reused, 1);
		connection_hand_over(u, q);
		return;
	}
	connection_open(p, c, e, q);
}

void pool_cancel(struct pool *p, struct pool_request *q)
{
	(void)p;
	if (q->connecting == NULL)
		return;
	connection_unclaim(q->connecting);
	q->connecting = NULL;
}

void pool_forget(struct pool *p, struct endpoint *e)
{
	struct endpoint_pool *ep;
	struct upstream_connection *u;

	if (e->slot >= p->slot_count)
		return;
	ep = pool_of(p, e);
	while ((u = LIST_FIRST(&ep->idle)) != NULL)
		connection_close(u);
	LIST_FOREACH(u, &ep->busy, link)
		u->draining = true;
}

const struct pool_counters *pool_counters(const struct pool *p)
{
	return &p->counters;
}
