/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "proxy/stream/downstream.h"
#include "proxy/stream/stream.h"

/* Of a header block on HTTP/2, where each field counts for 32 bytes more (spec/http.md 9: 80 and 60 KiB). */
#define HTTP2_HEAD_SHARE(bytes)	((bytes) - (bytes) / 4)

void server_count_limit(struct server_counters *c, enum http2_limit which)
{
	switch (which) {
#define X(id, text) case HTTP2_LIMIT_##id: count_up(&c->id, 1); break;
	HTTP2_LIMITS(X)
#undef X
	case HTTP2_LIMIT_COUNT:
		break;
	}
}

static void on_upstream_limit(struct worker *w, enum http2_limit which)
{
	server_count_limit(&((struct server *)w->proxy)->counters, which);
}

struct server *server_create(struct worker *w)
{
	struct server *s = calloc(1, sizeof(*s));

	must(s != NULL);
	s->worker = w;
	s->worker_count = 1;
	w->proxy = s;
	TAILQ_INIT(&s->listeners);
	TAILQ_INIT(&s->downstreams);
	s->pool = pool_create(w, &s->codec_upstream, &s->codec_upstream_http2, on_upstream_limit);
	return s;
}

struct snapshot_use *snapshot_use_take(struct snapshot_use *u)
{
	u->users++;
	return u;
}

void snapshot_use_drop(struct snapshot_use **up)
{
	struct snapshot_use *u = *up;

	*up = NULL;
	if (u == NULL || --u->users > 0)
		return;
	tls_set_unref(&u->tls);
	snapshot_unref(&u->snapshot);
	free(u);
}

struct listener *listener_take(struct listener *l)
{
	l->users++;
	return l;
}

void listener_drop(struct listener *l)
{
	if (--l->users == 0)
		free(l);
}

struct codec_settings server_codec_settings(const struct proxy_settings *p, bool tls)
{
	return (struct codec_settings){
		.head_bytes_max = (uint32_t)p->limits.request_head_bytes,
		.header_count_max = (uint32_t)p->limits.request_headers,
		.connection_tokens_max = (uint32_t)p->limits.connection_tokens,
		.uri_bytes_max = (uint32_t)p->limits.uri_bytes,
		.accept_http10 = p->http.accept_http10,
		.keep_trailers = p->http.keep_trailers,
		.underscores = p->http.underscores == UNDERSCORES_IN_NAMES_REJECT ? UNDERSCORES_REJECT :
			       p->http.underscores == UNDERSCORES_IN_NAMES_DROP ? UNDERSCORES_DROP :
			       UNDERSCORES_ALLOW,
		.concurrent_streams = (uint32_t)p->limits.concurrent_streams,
		.connection_streams = (uint32_t)p->limits.connection_streams,
		.head_ms = p->limits.request_header_ms,
		.drain_grace_ms = p->limits.http2_drain_grace_ms,
		.stall_ms = p->limits.write_stall_ms,
		.linger_ms = p->limits.delayed_close_ms,
		.linger_bytes = (uint64_t)p->limits.linger_bytes,
		.tls = tls,
	};
}

/* What the codecs may accept follows from the settings of the snapshot. */
static void apply_settings(struct server *s, const struct proxy_settings *p)
{
	s->codec_plain = server_codec_settings(p, false);
	s->codec_tls = server_codec_settings(p, true);
	s->codec_upstream = (struct codec_settings){
		.head_bytes_max = (uint32_t)p->limits.response_head_bytes,
		.header_count_max = (uint32_t)p->limits.response_headers,
		.connection_tokens_max = (uint32_t)p->limits.connection_tokens,
		.interim_max = (uint32_t)p->limits.interim_responses,
		.keep_trailers = p->http.keep_trailers,
	};
	s->codec_upstream_http2 = s->codec_upstream;
	s->codec_upstream_http2.head_bytes_max = HTTP2_HEAD_SHARE(s->codec_upstream.head_bytes_max);
	s->codec_upstream_http2.head_ms = p->limits.request_header_ms;
}

static const struct listener_plan *find_plan(const struct snapshot *snapshot, const char *key)
{
	for (size_t i = 0; i < snapshot->listeners.count; i++)
		if (strcmp(snapshot->listeners.items[i]->bind.key, key) == 0)
			return snapshot->listeners.items[i];
	return NULL;
}

size_t server_agents(const struct proxy_settings *settings, const char *own_agent,
		     const char *addresses[PROXY_AGENTS_MAX])
{
	size_t count = settings->authz.addresses.count;

	for (size_t i = 0; i < count; i++)
		addresses[i] = settings->authz.addresses.items[i].at;
	if (count == 0 && own_agent[0] != '\0')
		addresses[count++] = own_agent;
	return count;
}

/* The client of the agents is opened with the first snapshot that has policies, and stays; whom it
 * asks is for each snapshot to say. */
static void use_agents(struct server *s)
{
	const char *addresses[PROXY_AGENTS_MAX];
	const struct authz_client_config config = {
		.addresses = addresses,
		.address_count = server_agents(s->use->snapshot->settings, s->own_agent, addresses),
		.max_frame_size = SPOP_FRAME_SIZE_OURS,
		.waiting_max = (unsigned)s->use->snapshot->settings->limits.pending_checks,
	};

	if (s->authz != NULL)
		authz_client_use(s->authz, addresses, config.address_count);
	else if (s->use->snapshot->has_policies && config.address_count > 0)
		s->authz = authz_client_create(s->worker->base, &config);
}

void server_switch(struct server *s, struct snapshot *snapshot, struct tls_set *tls, const char *own_agent)
{
	struct snapshot_use *u = calloc(1, sizeof(*u)), *before = s->use;
	struct downstream *d, *next;
	struct listener *l;

	must(u != NULL);
	*u = (struct snapshot_use){ .snapshot = snapshot, .tls = tls, .users = 1, .current = true };
	s->use = u;
	apply_settings(s, snapshot->settings);
	TAILQ_FOREACH(l, &s->listeners, link) {
		l->plan = find_plan(snapshot, l->key);
		l->acceptor.per_turn = (uint32_t)snapshot->settings->limits.accepts_per_turn;
	}
	snprintf(s->own_agent, sizeof(s->own_agent), "%s", own_agent);
	use_agents(s);
	if (before == NULL)
		return;
	before->current = false;
	snapshot_use_drop(&before);
	/* Connections whose listener is gone end; the others ask for the new snapshot with their next
	 * request. */
	for (d = TAILQ_FIRST(&s->downstreams); d != NULL; d = next) {
		next = downstream_next(d);
		downstream_after_switch(d);
	}
}

void server_listen(struct server *s, int fd, const char *key)
{
	struct listener *l = calloc(1, sizeof(*l));

	must(l != NULL && strlen(key) < sizeof(l->key));
	strcpy(l->key, key);
	l->server = s;
	l->users = 1;
	l->plan = find_plan(s->use->snapshot, key);
	l->acceptor.worker = s->worker;
	l->acceptor.fd = fd;
	l->acceptor.per_turn = (uint32_t)s->use->snapshot->settings->limits.accepts_per_turn;
	l->acceptor.on_accept = downstream_accept;
	TAILQ_INSERT_TAIL(&s->listeners, l, link);
	acceptor_start(&l->acceptor);
}

static void close_listener(struct server *s, struct listener *l)
{
	TAILQ_REMOVE(&s->listeners, l, link);
	acceptor_stop(&l->acceptor);
	close(l->acceptor.fd);
	l->plan = NULL;
	listener_drop(l);
}

void server_unlisten(struct server *s, const char *key)
{
	struct listener *l;

	TAILQ_FOREACH(l, &s->listeners, link) {
		if (strcmp(l->key, key) == 0) {
			close_listener(s, l);
			return;
		}
	}
}

static void report_drained(struct server *s)
{
	void (*done)(struct server *s) = s->on_drained;

	s->on_drained = NULL;
	timer_cancel(s->worker, &s->drain_timer);
	if (done != NULL)
		done(s);
}

static void on_drain_over(struct timer *t)
{
	struct server *s = container_of(t, struct server, drain_timer);
	struct downstream *d, *next;

	for (d = TAILQ_FIRST(&s->downstreams); d != NULL; d = next) {
		next = downstream_next(d);
		downstream_end(d, "downstream_local_disconnect(drain_timeout)");
	}
	report_drained(s);
}

void server_connection_closed(struct server *s)
{
	if (s->draining && TAILQ_EMPTY(&s->downstreams) && s->on_drained != NULL)
		report_drained(s);
}

void server_drain(struct server *s, int64_t grace_ms)
{
	struct downstream *d, *next;

	s->draining = true;
	for (d = TAILQ_FIRST(&s->downstreams); d != NULL; d = next) {
		next = downstream_next(d);
		downstream_drain(d);
	}
	if (TAILQ_EMPTY(&s->downstreams))
		report_drained(s);
	else
		timer_set(s->worker, &s->drain_timer, worker_now_ms(s->worker) + grace_ms, on_drain_over);
}

void server_free(struct server **sp)
{
	struct server *s = *sp;
	struct downstream *d, *next;
	struct listener *l;

	*sp = NULL;
	if (s == NULL)
		return;
	while ((l = TAILQ_FIRST(&s->listeners)) != NULL)
		close_listener(s, l);
	for (d = TAILQ_FIRST(&s->downstreams); d != NULL; d = next) {
		next = downstream_next(d);
		downstream_end(d, "downstream_local_disconnect(shutdown)");
	}
	authz_client_free(&s->authz);
	pool_free(&s->pool);
	worker_bury_all(s->worker);
	timer_cancel(s->worker, &s->drain_timer);
	streams_free(s);
	snapshot_use_drop(&s->use);
	free(s);
}
