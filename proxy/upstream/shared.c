/* SPDX-License-Identifier: Apache-2.0
 *
 * shared.c - HTTP/2 connections that many requests share, and the requests that wait for one. */
#include "proxy/upstream/connection_priv.h"

/* So many streams a server is believed to bear before it was heard (RFC 9113 6.5.2 asks for no fewer). */
#define STREAMS_PRESUMED	100u

void shared_init(struct shared_pool *sp, struct pool *p)
{
	*sp = (struct shared_pool){ .pool = p };
	LIST_INIT(&sp->coming);
	LIST_INIT(&sp->open);
	TAILQ_INIT(&sp->waiting);
}

static struct shared_pool *shared_of(const struct upstream_connection *u)
{
	return &pool_of(u->pool, u->endpoint)->shared;
}

/* --- connections -------------------------------------------------------------------------------- */

/* How many requests a connection is going to take, as far as can be known now. */
static uint32_t streams_expected(const struct shared_pool *sp, const struct upstream_connection *u)
{
	uint32_t n = sp->streams_of_peer > 0 ? sp->streams_of_peer : STREAMS_PRESUMED;

	if (u->streams_max < n)
		n = u->streams_max;
	return u->served_max > 0 && u->served_max < n ? u->served_max : n;
}

static void open_another(struct shared_pool *sp, const struct cluster *c, struct endpoint *e)
{
	struct upstream_connection *u = connection_open(sp->pool, c, e, UPSTREAM_HTTP2, NULL);

	u->expected = streams_expected(sp, u);
	sp->expected += u->expected;
}

/* What it brings is not awaited any more: it is there, or will not come. */
static void settle(struct shared_pool *sp, struct upstream_connection *u)
{
	sp->expected -= u->expected;
	u->expected = 0;
}

static void withdraw(struct upstream_connection *u)
{
	u->offered = false;
	LIST_REMOVE(u, link);
	LIST_INSERT_HEAD(&pool_of(u->pool, u->endpoint)->busy, u, link);
}

static void put_out(struct shared_pool *sp, struct upstream_connection *u)
{
	if (u->offered)
		return;
	u->offered = true;
	LIST_REMOVE(u, link);
	LIST_INSERT_HEAD(&sp->open, u, link);
}

/* One with room; those found full are put aside, those found dead closed. */
static struct upstream_connection *take(struct shared_pool *sp)
{
	struct upstream_connection *u;

	while ((u = LIST_FIRST(&sp->open)) != NULL) {
		if (connection_may_take(u))
			return u;
		if (u->state == CONNECTION_IDLE)
			connection_close(u);
		else
			withdraw(u);
	}
	return NULL;
}

/* --- requests that wait ------------------------------------------------------------------------- */

static void enqueue(struct shared_pool *sp, const struct cluster *c, struct endpoint *e, struct pool_request *q)
{
	struct upstream_connection *u;

	q->queue = sp;
	q->cluster = c;
	q->round = sp->round;
	sp->endpoint = e;
	TAILQ_INSERT_TAIL(&sp->waiting, q, link);
	sp->waiting_count++;
	LIST_FOREACH(u, &sp->coming, link)
		connection_claim(u);
}

static void dequeue(struct pool_request *q)
{
	struct shared_pool *sp = q->queue;

	TAILQ_REMOVE(&sp->waiting, q, link);
	sp->waiting_count--;
	q->queue = NULL;
}

/* Gives out what room there is, and sees to it that there will be enough for the others. */
static void serve(struct shared_pool *sp)
{
	struct upstream_connection *u;
	struct pool_request *q;

	while ((q = TAILQ_FIRST(&sp->waiting)) != NULL && (u = take(sp)) != NULL) {
		dequeue(q);
		connection_hand_over(u, q);
	}
	while ((q = TAILQ_FIRST(&sp->waiting)) != NULL && sp->waiting_count > sp->expected)
		open_another(sp, q->cluster, sp->endpoint);
}

void shared_ask(struct shared_pool *sp, const struct cluster *c, struct endpoint *e, struct pool_request *q)
{
	struct upstream_connection *u = take(sp);

	if (u != NULL) {
		pool_count(&sp->pool->counters.reused, 1);
		connection_hand_over(u, q);
		return;
	}
	enqueue(sp, c, e, q);
	if (sp->waiting_count > sp->expected)
		open_another(sp, c, e);
}

void shared_cancel(struct pool_request *q)
{
	struct shared_pool *sp = q->queue;
	struct upstream_connection *u, *next;

	dequeue(q);
	if (sp->waiting_count > 0)
		return;
	for (u = LIST_FIRST(&sp->coming); u != NULL; u = next) {
		next = LIST_NEXT(u, link);
		connection_unclaim(u);
	}
}

/* Those who wait for a connection hear that there is none. Who asks meanwhile waits for another. */
void shared_failed(struct shared_pool *sp, enum reset_reason why, const char *detail)
{
	unsigned round = sp->round++;
	struct pool_request *q;

	while ((q = TAILQ_FIRST(&sp->waiting)) != NULL && q->round == round) {
		struct cluster_counters *k = cluster_counters(q->cluster);

		atomic_fetch_add_explicit(why == RESET_CONNECTION_TIMEOUT ? &k->connect_timeouts :
									    &k->connect_failures,
					  1, memory_order_relaxed);
		dequeue(q);
		q->on_failed(q->owner, why, detail);
	}
}

/* --- what happens to a connection ---------------------------------------------------------------- */

void shared_connected(struct upstream_connection *u)
{
	struct shared_pool *sp = shared_of(u);

	put_out(sp, u);
	serve(sp);
}

void shared_has_room(struct upstream_connection *u)
{
	struct shared_pool *sp = shared_of(u);
	uint32_t heard = http2_streams_of_peer(u->codec);

	if (heard > 0) {
		sp->streams_of_peer = heard;
		settle(sp, u);
	}
	if (connection_may_take(u))
		put_out(sp, u);
	serve(sp);
}

void shared_is_late(struct upstream_connection *u)
{
	struct shared_pool *sp = shared_of(u);

	settle(sp, u);
	if (sp->expected == 0)
		shared_failed(sp, RESET_CONNECTION_TIMEOUT, NULL);
}

void shared_lost(struct upstream_connection *u)
{
	struct shared_pool *sp = shared_of(u);

	settle(sp, u);
	if (u->codec != NULL)
		serve(sp);
}
