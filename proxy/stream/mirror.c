/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror.c - copies of a request for the mirrors of its route (spec/virtual-service.md 7.10).
 *
 * A mirror is one attempt of its own, with its own memory and count on the snapshot: it lives on when the
 * request it was made of is over. Nothing of it reaches the client. The request hands it what it sends and
 * never waits: what the mirror cannot take yet is kept, up to limits.mirrorBuffer, and who falls behind by
 * more loses its copy. Its response is read and dropped, so that the connection can be used again.
 *
 * A copy whose request is not complete when that is over is reset: half a body must not pass for a whole
 * one.
 *
 * A mirror that policies protect gets what they allow: they are asked about the copy as it would be sent.
 * No verdict in time means no copy. */
#include <assert.h>
#include <stdlib.h>

#include "proxy/stream/judging.h"
#include "proxy/stream/kept_body.h"
#include "proxy/stream/stream_priv.h"

#define MIRROR_STATES(X) \
	X(NEW)		/* drawn; what comes of the body is kept, here and in the next two */ \
	X(JUDGE)	/* waiting for the verdict of the mirror's policies, where it has any */ \
	X(CONNECT)	/* waiting for a connection */ \
	X(FORWARD)	/* the copy flows, then its response is awaited */ \
	X(DONE)		/* counted; buried after the loop turn */
#define MIRROR_STATE_AS_ENUM(name)	MIRROR_##name,
enum mirror_state { MIRROR_STATES(MIRROR_STATE_AS_ENUM) MIRROR_STATE_COUNT };

#define MIRROR_STATE_AS_TEXT(name)	#name,
static const char *const state_name[] = { MIRROR_STATES(MIRROR_STATE_AS_TEXT) };

#define TO(name)	(1u << MIRROR_##name)
static const uint8_t may_follow[MIRROR_STATE_COUNT] = {
	[MIRROR_NEW]     = TO(JUDGE) | TO(CONNECT) | TO(DONE),
	[MIRROR_JUDGE]   = TO(CONNECT) | TO(DONE),
	[MIRROR_CONNECT] = TO(FORWARD) | TO(DONE),
	[MIRROR_FORWARD] = TO(DONE),
};
static_assert(COUNT_OF(state_name) == MIRROR_STATE_COUNT, "every state can be printed");

#define MIRROR_ARENA_BYTES	(8u * 1024)	/* kept with the recycled mirror */
#define MIRRORS_KEPT		64u		/* recycled; what a silent mirror made necessary goes back */

struct mirror_copy {
	struct grave grave;
	struct errand errand;			/* to connect, once the request was sent */
	struct mirror_copy *next_free;
	LIST_ENTRY(mirror_copy) link;		/* while its stream feeds it */
	enum mirror_state state;
	struct server *server;			/* borrowed */
	struct snapshot_use *use;		/* one count */
	const struct cluster *cluster;		/* of `use` */
	struct arena *arena;			/* owned; reset when recycled */
	struct message *request;
	struct authz_check *check;		/* JUDGE */
	struct endpoint *endpoint;		/* one reference, counted active */
	struct pool_request pool_request;
	struct codec_stream *up;
	struct kept_body body;			/* not taken yet */
	size_t body_bytes;			/* memory of it, counted by the server */
	const struct headers *trailers;		/* NULL: none */
	bool fed;				/* stands in the list of its stream */
	bool bodiless;				/* the head is all */
	bool ended;				/* what is in `body` is the rest */
	int64_t wait_ms;			/* for the mirror, at a time; once it has ended, in all */
	int64_t response_ms;			/* then, where the route says less; 0: it does not */
	struct timer timer;
};

static void enter(struct mirror_copy *m, enum mirror_state next)
{
	if (!(may_follow[m->state] & 1u << next))
		fatal("mirror: %s cannot lead to %s", state_name[m->state], state_name[next]);
	m->state = next;
}

/* ---- how it ends ---- */

static void recycle(struct worker *w, struct grave *g)
{
	struct mirror_copy *m = container_of(g, struct mirror_copy, grave);

	(void)w;
#ifdef __SANITIZE_ADDRESS__
	/* What touches a copy that has ended must be seen. */
	arena_free(&m->arena);
	free(m);
	return;
#endif
	if (m->server->free_mirror_count >= MIRRORS_KEPT) {
		arena_free(&m->arena);
		free(m);
		return;
	}
	arena_reset(m->arena);
	m->next_free = m->server->free_mirrors;
	m->server->free_mirrors = m;
	m->server->free_mirror_count++;
}

void mirrors_free(struct server *s)
{
	struct mirror_copy *m;

	while ((m = s->free_mirrors) != NULL) {
		s->free_mirrors = m->next_free;
		arena_free(&m->arena);
		free(m);
	}
}

/* What the copies of this worker hold together. */
static void account_body(struct mirror_copy *m)
{
	size_t now = kept_memory(&m->body, 0);

	if (now != m->body_bytes)
		count_up(&m->server->counters.mirror_bytes, now - m->body_bytes);
	m->body_bytes = now;
}

static void release_endpoint(struct mirror_copy *m, bool failed)
{
	if (m->endpoint == NULL)
		return;
	atomic_fetch_sub_explicit(&m->endpoint->active, 1, memory_order_relaxed);
	if (failed)
		atomic_fetch_add_explicit(&m->endpoint->failures, 1, memory_order_relaxed);
	endpoint_unref(&m->endpoint);
}

static void leave_stream(struct mirror_copy *m)
{
	if (m->fed)
		LIST_REMOVE(m, link);
	m->fed = false;
}

/* `why`: what of it is counted, NULL: it ended as it should, or its request did not. */
static void finish(struct mirror_copy *m, atomic_ulong *why)
{
	struct server *s = m->server;
	struct codec_stream *up = m->up;
	bool connecting = m->state == MIRROR_CONNECT;

	enter(m, MIRROR_DONE);
	leave_stream(m);
	m->up = NULL;
	if (connecting)
		pool_cancel(s->pool, &m->pool_request);
	if (up != NULL)
		codec_reset(up, RESET_LOCAL_RESET);
	authz_check_cancel(&m->check);
	timer_cancel(s->worker, &m->timer);
	release_endpoint(m, why != NULL);
	kept_free(s->worker, &m->body);
	account_body(m);
	if (why != NULL)
		count_up(why, 1);
	count_up(&s->counters.mirrors_active, -1ul);
	snapshot_use_drop(&m->use);
	worker_bury(s->worker, &m->grave, recycle);
}

/* ---- how long it may take ---- */

static void on_mirror_timeout(struct timer *t);

static void wait_for(struct mirror_copy *m, int64_t ms)
{
	timer_set(m->server->worker, &m->timer, worker_now_ms(m->server->worker) + ms, on_mirror_timeout);
}

static void on_mirror_timeout(struct timer *t)
{
	struct mirror_copy *m = container_of(t, struct mirror_copy, timer);

	if (m->state == MIRROR_FORWARD && !m->ended && m->body.bytes == 0)
		wait_for(m, m->wait_ms);	/* the client is at turn */
	else
		finish(m, &m->server->counters.mirrors_timed_out);
}

/* It took something. */
static void progress(struct mirror_copy *m)
{
	if (!m->ended)
		wait_for(m, m->wait_ms);
}

/* ---- what it gets ---- */

/* What is kept goes before what follows. */
static void push(struct mirror_copy *m)
{
	while (m->body.bytes > 0) {
		struct kept_reader front = { 0 };
		struct slice bytes = kept_next(&m->body, &front);
		size_t taken = codec_send_data(m->up, bytes);

		if (m->state == MIRROR_DONE)
			return;
		kept_drop(m->server->worker, &m->body, taken);
		account_body(m);
		if (taken > 0)
			progress(m);
		if (taken < bytes.len)
			return;
	}
	if (m->ended && !m->bodiless)
		codec_send_end(m->up, m->trailers);
}

static void keep(struct mirror_copy *m, struct slice bytes)
{
	const struct proxy_limits *limits = &m->use->snapshot->settings->limits;
	struct server *s = m->server;
	size_t of_all = atomic_load_explicit(&s->counters.mirror_bytes, memory_order_relaxed);
	size_t after = kept_memory(&m->body, bytes.len);

	if (after > (size_t)limits->mirror_buffer_bytes ||
	    of_all - m->body_bytes + after > (size_t)limits->mirror_memory_bytes / s->worker_count) {
		finish(m, &s->counters.mirrors_overrun);
		return;
	}
	kept_add(s->worker, &m->body, bytes);
	account_body(m);
}

static void send_bytes(struct mirror_copy *m, struct slice bytes)
{
	size_t taken = 0;

	if (m->state == MIRROR_FORWARD && m->body.bytes == 0) {
		taken = codec_send_data(m->up, bytes);
		if (m->state == MIRROR_DONE)
			return;
		if (taken > 0)
			progress(m);
	}
	if (taken < bytes.len)
		keep(m, slice_from(bytes, taken));
}

static void send_end(struct mirror_copy *m, const struct headers *trailers)
{
	int64_t ms = m->response_ms > 0 && m->response_ms < m->wait_ms ? m->response_ms : m->wait_ms;

	if (trailers != NULL)
		m->trailers = route_mirror_trailers(trailers, m->arena);
	m->ended = true;
	wait_for(m, ms);
	if (m->state == MIRROR_FORWARD)
		push(m);
}

/* ---- what it says ---- */

static void on_head(void *owner, struct message *response, bool end)
{
	struct mirror_copy *m = owner;

	(void)response;
	if (!end)
		return;
	m->up = NULL;
	finish(m, NULL);
}

static size_t on_data(void *owner, struct slice bytes)
{
	(void)owner;
	return bytes.len;
}

static void on_end(void *owner, struct headers *trailers)
{
	struct mirror_copy *m = owner;

	(void)trailers;
	m->up = NULL;
	finish(m, NULL);
}

static void on_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct mirror_copy *m = owner;

	(void)why, (void)detail;
	m->up = NULL;
	if (m->state != MIRROR_DONE)
		finish(m, &m->server->counters.mirrors_failed);
}

static void on_writable(void *owner)
{
	struct mirror_copy *m = owner;

	if (m->body.bytes > 0)
		push(m);
}

static const struct stream_events mirror_events = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_writable = on_writable,
};

/* ---- the way there ---- */

static void on_pool_ready(void *owner, struct upstream_connection *u)
{
	struct mirror_copy *m = owner;
	struct codec *codec = upstream_codec(u);

	enter(m, MIRROR_FORWARD);
	m->up = codec->ops->open(codec, m, &mirror_events, m->arena);
	must(m->up != NULL);
	progress(m);
	codec_send_head(m->up, m->request, m->bodiless);
	if (m->state == MIRROR_FORWARD)
		push(m);
}

static void on_pool_failed(void *owner, enum reset_reason why, const char *detail)
{
	struct mirror_copy *m = owner;

	(void)why, (void)detail;
	finish(m, &m->server->counters.mirrors_failed);
}

static void connect_mirror(struct mirror_copy *m)
{
	struct server *s = m->server;

	m->endpoint = cluster_pick(m->cluster, s->worker, NULL, 0);
	if (m->endpoint == NULL) {
		finish(m, &s->counters.mirrors_failed);
		return;
	}
	atomic_fetch_add_explicit(&m->endpoint->active, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->endpoint->requests, 1, memory_order_relaxed);
	enter(m, MIRROR_CONNECT);
	pool_ask(s->pool, m->cluster, m->endpoint, &m->pool_request);
}

static void on_request_sent(struct errand *e)
{
	struct mirror_copy *m = container_of(e, struct mirror_copy, errand);

	if (m->state == MIRROR_NEW)	/* neither judged nor over */
		connect_mirror(m);
}

static void on_verdict(void *owner, const struct authz_verdict *v)
{
	struct mirror_copy *m = owner;
	struct judging j = { .snapshot = m->use->snapshot, .arena = m->arena, .request = m->request };

	m->check = NULL;
	if (v->outcome != AUTHZ_ALLOWED) {
		finish(m, &m->server->counters.mirrors_denied);
		return;
	}
	judging_allow_copy(&j, &v->reply);
	connect_mirror(m);
}

/* What the question says is copied before this returns. The body is on its way already: a provider that has to
 * see more of it than was collected for the request refuses the copy. */
static void ask_policies(struct stream *s, struct mirror_copy *m)
{
	struct judging j = { .snapshot = s->use->snapshot, .arena = s->arena, .x = &s->x,
			     .request = m->request };
	struct check_request q = { .tcp = false };

	if (s->server->authz == NULL) {
		finish(m, &s->server->counters.mirrors_denied);
		return;
	}
	enter(m, MIRROR_JUDGE);
	check_body_describe(s, &j);
	downstream_describe_peer(s->downstream, &q);
	judging_describe_copy(&j, m->cluster, &q);
	m->check = authz_check_start(s->server->authz, &q, worker_now_ms(s->server->worker) + j.snapshot->check_ms,
				     on_verdict, m);
}

/* ---- for the stream ---- */

static struct mirror_copy *take_mirror(struct server *s)
{
	struct mirror_copy *m = s->free_mirrors;
	struct arena *arena;

	if (m != NULL) {
		s->free_mirrors = m->next_free;
		s->free_mirror_count--;
		arena = m->arena;
	} else {
		m = malloc(sizeof(*m));
		must(m != NULL);
		arena = arena_create(MIRROR_ARENA_BYTES);
	}
	*m = (struct mirror_copy){ .server = s, .arena = arena };
	return m;
}

static void create(struct stream *s, const struct cluster *c)
{
	const struct proxy_settings *settings = s->use->snapshot->settings;
	struct server *server = s->server;
	struct mirror_copy *m = take_mirror(server);

	m->use = snapshot_use_take(s->use);
	m->cluster = c;
	m->request = route_mirror_request(s->request, settings->mirror.shadow_host_suffix,
					  slice_of(server->local_ip), m->arena);
	m->pool_request = (struct pool_request){
		.owner = m, .protocol = cluster_protocol(c, s->request->version == HTTP_2),
		.on_ready = on_pool_ready, .on_failed = on_pool_failed };
	if (c->proxy_protocol != 0)
		downstream_copy_addresses(s->downstream, m->arena, &m->pool_request.client,
					  &m->pool_request.edge);
	m->wait_ms = settings->limits.mirror_ms;
	m->response_ms = s->route->timeout_ms;
	m->bodiless = m->ended = s->request_ended;
	LIST_INSERT_HEAD(&s->mirrors, m, link);
	m->fed = true;
	count_up(&server->counters.mirrors, 1);
	count_up(&server->counters.mirrors_active, 1);
	if (m->ended)
		send_end(m, NULL);
	else
		wait_for(m, m->wait_ms);
	if (c->has_policies)
		ask_policies(s, m);
	else
		worker_run_last(server->worker, &m->errand, on_request_sent);
}

void mirrors_create(struct stream *s)
{
	const struct route *r = s->route;
	struct server_counters *k = &s->server->counters;
	const int64_t most = s->use->snapshot->settings->limits.mirrors;

	if (s->request->upgrade)
		return;
	for (uint32_t i = 0; i < r->mirror_count; i++) {
		const struct route_mirror *to = &r->mirrors[i];

		if (to->cluster == NULL ||
		    !share_is_drawn(to->per_million, worker_random(s->server->worker)))
			continue;
		if ((int64_t)atomic_load_explicit(&k->mirrors_active, memory_order_relaxed) < most)
			create(s, to->cluster);
		else
			count_up(&k->mirrors_skipped, 1);
	}
}

/* One that ends while another is served leaves the list, and its memory stays for this turn. */
void mirrors_send(struct stream *s, struct slice bytes)
{
	struct mirror_copy *m, *next;

	for (m = LIST_FIRST(&s->mirrors); m != NULL; m = next) {
		next = LIST_NEXT(m, link);
		if (m->state != MIRROR_DONE)
			send_bytes(m, bytes);
	}
}

void mirrors_end(struct stream *s, const struct headers *trailers)
{
	struct mirror_copy *m, *next;

	for (m = LIST_FIRST(&s->mirrors); m != NULL; m = next) {
		next = LIST_NEXT(m, link);
		if (m->state != MIRROR_DONE)
			send_end(m, trailers);
	}
}

void mirrors_leave(struct stream *s)
{
	struct mirror_copy *m;

	while ((m = LIST_FIRST(&s->mirrors)) != NULL) {
		leave_stream(m);
		if (!m->ended)
			finish(m, NULL);
	}
}
