/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.c - the life of one connection to an endpoint: connecting, active, idle, closed. */
#include <assert.h>
#include <stdio.h>

#include "proxy/http/pump.h"
#include "proxy/net/proxy_protocol.h"
#include "proxy/upstream/connection_priv.h"

#define DETAIL_MAX	160
#define LINGER_MS	30000	/* for the last bytes of a tunnel to be taken */

#define CONNECTION_AS_TEXT(name)	#name,
static const char *const state_name[] = { CONNECTION_STATES(CONNECTION_AS_TEXT) };

#define TO(name)	(1u << CONNECTION_##name)
static const uint8_t may_follow[CONNECTION_STATE_COUNT] = {
	[CONNECTION_CONNECTING] = TO(ACTIVE) | TO(IDLE) | TO(CLOSED),
	[CONNECTION_ACTIVE]     = TO(IDLE) | TO(CLOSED),
	[CONNECTION_IDLE]       = TO(ACTIVE) | TO(CLOSED),
	[CONNECTION_CLOSED]     = 0,
};
static_assert(COUNT_OF(state_name) == CONNECTION_STATE_COUNT, "every state can be printed");

static bool is_shared(const struct upstream_connection *u)
{
	return u->protocol == UPSTREAM_HTTP2;
}

static void on_upstream_timeout(struct timer *t);
static void go_idle(struct upstream_connection *u);

/* The one writer of `state`; keeps the counts of active and idle connections. */
static void enter(struct upstream_connection *u, enum connection_state next)
{
	struct pool_counters *k = &u->pool->counters;

	if (!(may_follow[u->state] & 1u << next))
		fatal("connection to %.*s: %s cannot lead to %s", SLICE_ARG(u->endpoint->text),
		      state_name[u->state], state_name[next]);
	connection_claim(u);
	if (u->state == CONNECTION_ACTIVE)
		pool_count(&k->active, -1);
	if (u->state == CONNECTION_IDLE)
		pool_count(&k->idle, -1);
	if (next == CONNECTION_ACTIVE)
		pool_count(&k->active, 1);
	if (next == CONNECTION_IDLE)
		pool_count(&k->idle, 1);
	u->state = next;
}

static void bury(struct worker *w, struct grave *g)
{
	struct upstream_connection *u = container_of(g, struct upstream_connection, grave);

	if (u->codec != NULL)
		u->codec->ops->destroy(u->codec);
	endpoint_unref(&u->endpoint);
	worker_recycle(w, WORKER_UPSTREAM, u);
}

void connection_close(struct upstream_connection *u)
{
	if (u->state == CONNECTION_CLOSED)
		return;
	enter(u, CONNECTION_CLOSED);
	LIST_REMOVE(u, link);
	timer_cancel(u->pool->worker, &u->timer);
	transport_close(&u->transport);
	worker_bury(u->pool->worker, &u->grave, bury);
	if (is_shared(u))
		shared_lost(u);
}

void connection_abandon(struct upstream_connection *u)
{
	struct pool_request *q = u->waiting;

	u->waiting = NULL;
	if (q != NULL) {
		q->connecting = NULL;
		q->on_failed(q->owner, RESET_LOCAL_RESET, NULL);
	}
	if (u->codec != NULL && u->state == CONNECTION_ACTIVE)
		u->codec->ops->failed(u->codec, RESET_LOCAL_RESET);
	connection_close(u);
}

/* It may still become an idle one, but clients that come and go must not hold sockets by the thousand
 * to an endpoint that does not answer. */
void connection_unclaim(struct upstream_connection *u)
{
	u->waiting = NULL;
	if (u->unclaimed)
		return;
	if (u->pool->unclaimed >= POOL_UNCLAIMED_MAX || u->proxy_protocol != 0) {
		connection_close(u);
		return;
	}
	u->unclaimed = true;
	u->pool->unclaimed++;
}

void connection_claim(struct upstream_connection *u)
{
	u->pool->unclaimed -= u->unclaimed;
	u->unclaimed = false;
}

/* --- connecting --------------------------------------------------------------------------------- */

/* Closes first: what the asker does next finds no trace of this one. */
static void connect_failed(struct upstream_connection *u, enum reset_reason why, const char *detail)
{
	struct pool_request *q = u->waiting;
	struct shared_pool *sp = &pool_of(u->pool, u->endpoint)->shared;

	atomic_fetch_add_explicit(&u->endpoint->connect_failures, 1, memory_order_relaxed);
	u->waiting = NULL;
	if (q != NULL)
		atomic_fetch_add_explicit(why == RESET_CONNECTION_TIMEOUT ? &u->counters->connect_timeouts :
									    &u->counters->connect_failures,
					  1, memory_order_relaxed);
	connection_close(u);
	/* While others are on their way there is hope. */
	if (is_shared(u) && sp->expected == 0)
		shared_failed(sp, why, detail);
	if (q == NULL)
		return;
	q->connecting = NULL;
	q->on_failed(q->owner, why, detail);
}

static const struct codec_events codec_events;

/* The first bytes of the connection; it never waits for nobody. */
static void tell_client(struct upstream_connection *u, const struct pool_request *q)
{
	char header[PROXY_PROTOCOL_WRITTEN_MAX];
	size_t len = proxy_protocol_write(u->proxy_protocol, q->client, q->edge, header);

	transport_queue(&u->transport, slice_make(header, len));
}

static void on_upstream_connected(void *owner, enum outcome how)
{
	struct upstream_connection *u = owner;
	struct pool_request *q = u->waiting;
	char detail[DETAIL_MAX];

	if (how != OK) {
		if (u->transport.local_failure) {
			connect_failed(u, RESET_LOCAL_CONNECTION_FAILURE, NULL);
			return;
		}
		snprintf(detail, sizeof(detail), "delayed connect error: %s",
			 transport_error(&u->transport));
		connect_failed(u, RESET_REMOTE_CONNECTION_FAILURE, detail);
		return;
	}
	if (is_shared(u)) {
		u->codec = http2_client(&u->transport, u->pool->http2, &codec_events, u, u->streams_max);
		enter(u, CONNECTION_IDLE);	/* until SETTINGS have come, the connect is not over */
		shared_connected(u);
		if (u->state == CONNECTION_IDLE)
			go_idle(u);
		return;
	}
	if (u->proxy_protocol != 0)
		tell_client(u, q);
	u->codec = http1_client(&u->transport, u->pool->http1, &codec_events, u);
	u->waiting = NULL;
	if (q == NULL)
		go_idle(u);
	else
		connection_hand_over(u, q);
}

/* --- carrying requests -------------------------------------------------------------------------- */

void connection_hand_over(struct upstream_connection *u, struct pool_request *q)
{
	struct worker *w = u->pool->worker;

	u->reused = u->served > 0 || (u->state == CONNECTION_IDLE && !is_shared(u));
	u->served++;
	if (u->state != CONNECTION_ACTIVE)
		enter(u, CONNECTION_ACTIVE);
	if (!is_shared(u)) {
		LIST_REMOVE(u, link);
		LIST_INSERT_HEAD(&pool_of(u->pool, u->endpoint)->busy, u, link);
	} else if (u->expected > 0) {	/* others may wait until it has said what it bears */
		timer_set(w, &u->timer, worker_now_ms(w) + u->connect_ms, on_upstream_timeout);
	}
	q->connecting = NULL;
	q->on_ready(q->owner, u);
	/* The asker has changed its mind and opened no stream. */
	if (u->state == CONNECTION_ACTIVE && u->codec->ops->is_idle(u->codec))
		go_idle(u);
}

bool connection_may_take(const struct upstream_connection *u)
{
	const struct transport *t = &u->transport;

	return !u->draining && !t->dead && !t->eof && !t->rdhup &&
	       (u->served_max == 0 || u->served < u->served_max) && u->codec->ops->can_open(u->codec);
}

static bool may_be_reused(const struct upstream_connection *u)
{
	const struct transport *t = &u->transport;

	/* On HTTP/1 bytes behind a response are nobody's; on HTTP/2 they are frames. */
	return connection_may_take(u) && (is_shared(u) || buffer_len(&t->in) == 0);
}

/* The deadline moves with each use, which only stores it: the timer is not taken out meanwhile. */
static void go_idle(struct upstream_connection *u)
{
	struct worker *w = u->pool->worker;

	if (!may_be_reused(u)) {
		connection_close(u);
		return;
	}
	if (u->state != CONNECTION_IDLE)
		enter(u, CONNECTION_IDLE);
	if (!is_shared(u)) {
		LIST_REMOVE(u, link);
		LIST_INSERT_HEAD(&pool_of(u->pool, u->endpoint)->idle, u, link);
	}
	if (u->idle_ms > 0)
		timer_set(w, &u->timer, worker_now_ms(w) + u->idle_ms, on_upstream_timeout);
	else
		timer_cancel(w, &u->timer);
}

bool connection_is_quiet(struct upstream_connection *u)
{
	struct transport *t = &u->transport;

	/* An edge that came in this turn and was not looked at yet. */
	return !t->dead && !t->rdhup && (!t->readable || transport_fill(t, 0) == AGAIN);
}

static void on_upstream_timeout(struct timer *t)
{
	struct upstream_connection *u = container_of(t, struct upstream_connection, timer);

	switch (u->state) {
	case CONNECTION_CONNECTING:
		connect_failed(u, RESET_CONNECTION_TIMEOUT, NULL);
		break;
	case CONNECTION_IDLE:
		pool_count(&u->pool->counters.idle_timeouts, 1);
		connection_close(u);
		break;
	case CONNECTION_ACTIVE:
		if (u->lingering)
			connection_close(u);
		else if (is_shared(u) && u->expected > 0)
			shared_is_late(u);
		break;
	case CONNECTION_CLOSED:
	case CONNECTION_STATE_COUNT:
		break;
	}
}

static void on_codec_idle(void *connection)
{
	struct upstream_connection *u = connection;

	if (u->state == CONNECTION_ACTIVE)
		go_idle(u);
}

static void on_upstream_closed(void *owner);

/* A reset found by reading was told to the codec alone, one found by what it wrote on the way to nobody:
 * the connection is ours to end. */
static void pump(struct upstream_connection *u)
{
	codec_pump(u->codec);
	if (u->transport.dead)
		on_upstream_closed(u);
}

static void on_codec_wants_input(void *connection)
{
	pump(connection);
}

/* A tunnel's last bytes are still on their way: closing would drop what the kernel has not taken. */
static void on_codec_close(void *connection, bool lingering)
{
	struct upstream_connection *u = connection;
	struct worker *w = u->pool->worker;

	if (lingering && u->state == CONNECTION_ACTIVE)
		transport_flush(&u->transport);
	if (!lingering || u->state != CONNECTION_ACTIVE || u->transport.dead ||
	    transport_pending(&u->transport) == 0) {
		connection_close(u);
		return;
	}
	u->lingering = true;
	u->transport.want_writable = true;
	timer_set(w, &u->timer, worker_now_ms(w) + LINGER_MS, on_upstream_timeout);
}

static void on_codec_room(void *connection)
{
	struct upstream_connection *u = connection;

	if (u->state != CONNECTION_CLOSED)
		shared_has_room(u);
}

static void on_codec_limit(void *connection, enum http2_limit which)
{
	struct pool *p = ((struct upstream_connection *)connection)->pool;

	if (p->on_limit != NULL)
		p->on_limit(p->worker, which);
}

static const struct codec_events codec_events = {
	.on_room = on_codec_room,
	.on_limit = on_codec_limit,
	.on_idle = on_codec_idle,
	.on_wants_input = on_codec_wants_input,
	.on_close = on_codec_close,
};

/* --- what the transport says -------------------------------------------------------------------- */

static void on_upstream_readable(void *owner)
{
	struct upstream_connection *u = owner;

	if (u->state == CONNECTION_ACTIVE || (is_shared(u) && u->state == CONNECTION_IDLE)) {
		/* What the codec left for this turn. */
		if (is_shared(u) && buffer_len(&u->transport.in) > 0)
			codec_feed(u->codec);
		pump(u);
		return;
	}
	/* Nobody asked: the peer has closed, or what it sends belongs to no request. */
	if (u->state == CONNECTION_IDLE && !connection_is_quiet(u)) {
		pool_count(&u->pool->counters.closed_by_peer, 1);
		connection_close(u);
	}
}

static void on_upstream_writable(void *owner)
{
	struct upstream_connection *u = owner;

	if (u->lingering)
		connection_close(u);
	else if (u->state == CONNECTION_ACTIVE || (is_shared(u) && u->state == CONNECTION_IDLE))
		u->codec->ops->writable(u->codec);
}

static void on_upstream_closed(void *owner)
{
	struct upstream_connection *u = owner;

	if (u->state == CONNECTION_ACTIVE)
		u->codec->ops->failed(u->codec, RESET_CONNECTION_TERMINATION);
	connection_close(u);
}

static const struct transport_events transport_events = {
	.on_readable = on_upstream_readable,
	.on_writable = on_upstream_writable,
	.on_connected = on_upstream_connected,
	.on_closed = on_upstream_closed,
};

struct upstream_connection *connection_open(struct pool *p, const struct cluster *c, struct endpoint *e,
					    enum upstream_protocol protocol, struct pool_request *q)
{
	struct endpoint_pool *ep = pool_of(p, e);
	struct upstream_connection *u = worker_alloc(p->worker, WORKER_UPSTREAM, sizeof(*u));

	*u = (struct upstream_connection){ .pool = p, .endpoint = endpoint_ref(e), .waiting = q,
					   .counters = cluster_counters(c), .idle_ms = c->idle_timeout_ms,
					   .connect_ms = c->connect_timeout_ms, .protocol = protocol,
					   .proxy_protocol = c->proxy_protocol,
					   .served_max = c->proxy_protocol != 0 ? 1 :
							 c->max_requests_per_connection,
					   .streams_max = c->max_concurrent_streams > 0 ?
							  c->max_concurrent_streams : UINT32_MAX };
	if (q != NULL)
		q->connecting = u;
	LIST_INSERT_HEAD(protocol == UPSTREAM_HTTP2 ? &ep->shared.coming : &ep->busy, u, link);
	pool_count(&p->counters.connects, 1);
	atomic_fetch_add_explicit(&e->connects, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&u->counters->connections, 1, memory_order_relaxed);
	timer_set(p->worker, &u->timer, worker_now_ms(p->worker) + c->connect_timeout_ms, on_upstream_timeout);
	transport_connect(&u->transport, p->worker, (const struct sockaddr *)&e->sockaddr, e->sockaddr_len,
			  &transport_events, u);
	socket_keep_alive(u->transport.fd, &c->keepalive);
	return u;
}

struct codec *upstream_codec(struct upstream_connection *u)
{
	return u->codec;
}

bool upstream_is_reused(const struct upstream_connection *u)
{
	return u->reused;
}

struct slice upstream_local_address(struct upstream_connection *u)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof(a);

	if (u->local_len == 0 && u->transport.fd >= 0 &&
	    getsockname(u->transport.fd, (struct sockaddr *)&a, &len) == 0)
		u->local_len = (uint32_t)address_text((struct sockaddr *)&a, u->local);
	return slice_make(u->local, u->local_len);
}
