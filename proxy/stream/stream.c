/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "proxy/http/forwarded.h"
#include "proxy/stream/stream_priv.h"
#include "sallyport/path.h"

#define STREAM_STATE_AS_TEXT(name)	#name,
static const char *const state_name[] = { STREAM_STATES(STREAM_STATE_AS_TEXT) };

#define TO(name)	(1u << STREAM_##name)
static const uint16_t may_follow[STREAM_STATE_COUNT] = {
	[STREAM_HEAD]      = TO(ROUTE) | TO(ANSWER) | TO(DONE),
	[STREAM_ROUTE]     = TO(AUTHORIZE) | TO(ACT) | TO(ANSWER) | TO(DONE),
	[STREAM_AUTHORIZE] = TO(AUTHORIZE) | TO(ACT) | TO(ANSWER) | TO(DONE),
	[STREAM_ACT]       = TO(PICK) | TO(ANSWER) | TO(DONE),
	[STREAM_PICK]      = TO(CONNECT) | TO(ANSWER) | TO(DONE),
	[STREAM_CONNECT]   = TO(FORWARD) | TO(BACKOFF) | TO(ANSWER) | TO(DONE),
	[STREAM_FORWARD]   = TO(BACKOFF) | TO(ANSWER) | TO(DONE),
	[STREAM_BACKOFF]   = TO(PICK) | TO(ANSWER) | TO(DONE),
	[STREAM_ANSWER]    = TO(DONE),
};
static_assert(COUNT_OF(state_name) == STREAM_STATE_COUNT, "every state can be printed");
static_assert(STREAM_STATE_COUNT <= 16, "may_follow[] keeps one bit per state");

void stream_enter(struct stream *s, enum stream_state next)
{
	if (!(may_follow[s->state] & 1u << next))
		fatal("stream: %s cannot lead to %s", state_name[s->state], state_name[next]);
	s->state = next;
}

void stream_details(struct stream *s, const char *details)
{
	s->x.response_code_details = slice_of(details);
}

static void on_stream_idle(struct timer *t);

void stream_touch(struct stream *s)
{
	int64_t idle_ms = s->use->snapshot->settings->limits.stream_idle_ms;

	if (idle_ms > 0)
		timer_set(s->server->worker, &s->idle, worker_now_ms(s->server->worker) + idle_ms,
			  on_stream_idle);
}

/* What the connection knows of its peer goes to the log and to header values. */
static void fill_exchange(struct stream *s)
{
	struct worker *w = s->server->worker;

	s->x.start_us = s->down->started_us != 0 ? s->down->started_us : worker_now_us(w);
	downstream_describe(s->downstream, &s->x);
}

struct stream *stream_create(struct downstream *d, struct codec_stream *cs)
{
	struct server *server = downstream_server(d);
	struct stream *s = server->free_streams;
	struct arena *arena;

	if (s != NULL) {
		server->free_streams = s->next_free;
		arena = s->arena;
	} else {
		s = malloc(sizeof(*s));
		must(s != NULL);
		arena = arena_create(STREAM_ARENA_BYTES);
	}
	memset(s, 0, sizeof(*s));
	s->arena = arena;
	s->server = server;
	s->downstream = d;
	s->down = cs;
	s->use = snapshot_use_take(downstream_use(d, &s->chain));
	fill_exchange(s);
	count_up(&server->counters.requests, 1);
	count_up(&server->counters.requests_active, 1);
	stream_touch(s);
	return s;
}

struct arena *stream_arena(struct stream *s)
{
	return s->arena;
}

static void recycle(struct worker *w, struct grave *g)
{
	struct stream *s = container_of(g, struct stream, grave);

	(void)w;
#ifdef __SANITIZE_ADDRESS__
	/* What touches a stream that has ended must be seen. */
	arena_free(&s->arena);
	free(s);
	return;
#endif
	arena_reset(s->arena);
	s->next_free = s->server->free_streams;
	s->server->free_streams = s;
}

void streams_free(struct server *server)
{
	struct stream *s;

	while ((s = server->free_streams) != NULL) {
		server->free_streams = s->next_free;
		arena_free(&s->arena);
		free(s);
	}
}

static void count_response(struct stream *s)
{
	struct server_counters *c = &s->server->counters;
	unsigned code = s->x.response_code;

	if (code != 101)		/* counted when it was granted */
		count_up(code >= 500 ? &c->responses_5xx : code >= 400 ? &c->responses_4xx :
			 code >= 300 ? &c->responses_3xx : code >= 200 ? &c->responses_2xx :
			 &c->no_response, 1);
	count_up(&c->bytes_in, s->x.bytes_received);
	count_up(&c->bytes_out, s->x.bytes_sent);
	atomic_store_explicit(&c->requests_active,
			      atomic_load_explicit(&c->requests_active, memory_order_relaxed) - 1,
			      memory_order_relaxed);
}

void stream_done(struct stream *s)
{
	struct worker *w = s->server->worker;

	if (s->state == STREAM_DONE)
		return;
	attempt_cancel(s);
	tunnel_closed(s);
	authz_check_cancel(&s->check);
	stream_stop_deadlines(s);
	timer_cancel(w, &s->idle);
	for (unsigned i = 0; i < s->tried_count; i++)
		endpoint_unref(&s->tried[i]);
	s->x.end_us = worker_now_us(w);
	s->x.request = s->request;
	s->x.attempts = s->attempts;
	count_response(s);
	if (s->server->on_stream_end != NULL)
		s->server->on_stream_end(s->server, &s->x);
	stream_enter(s, STREAM_DONE);
	downstream_stream_ended(s->downstream, s);
	snapshot_use_drop(&s->use);
	worker_bury(w, &s->grave, recycle);
}

/* The client went away, or its transport failed: nobody is left to answer. */
static void abandon(struct stream *s, uint32_t flag, const char *details)
{
	struct codec_stream *up = s->up;

	s->x.response_flags |= flag;
	stream_details(s, details);
	s->down = NULL;
	if (s->tunnel && up != NULL) {	/* cut short as well, not ended */
		s->up = NULL;
		codec_reset(up, RESET_REMOTE_RESET);
	}
	stream_done(s);
}

static void on_stream_idle(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, idle);

	count_up(&s->server->counters.idle_timeouts, 1);
	if (s->response_started || s->state == STREAM_ANSWER) {
		struct codec_stream *down = s->down;

		s->x.response_flags |= RESPONSE_FLAG_SI;
		s->down = NULL;
		if (down != NULL)
			codec_reset(down, RESET_LOCAL_RESET);
		stream_done(s);
		return;
	}
	stream_answer(s, &(struct local_reply){
		.status = s->request_ended ? 504 : 408, .body = SLICE("stream timeout"),
		.details = "stream_idle_timeout", .flags = RESPONSE_FLAG_SI });
}

/* The one spelling of the path that routing, policy and upstream see. False: it was answered. */
static bool normalize_path(struct stream *s)
{
	const struct proxy_settings *settings = s->use->snapshot->settings;
	struct slice path = s->request->path;

	if (slice_eq(s->request->method, SLICE("CONNECT")))
		return true;
	if (path.len == 0 || path.at[0] != '/') {	/* OPTIONS * */
		stream_answer(s, &(struct local_reply){ .status = 404, .plain = true,
			.details = "absolute_path_rejected" });
		return false;
	}
	if (path_normalize(settings->mesh.path_normalization, path, s->arena, &path) == PATH_REFUSED) {
		stream_answer(s, &(struct local_reply){ .status = 400, .plain = true,
			.details = "path_normalization_failed" });
		return false;
	}
	s->request->path = path;
	return true;
}

/* Path and headers as the proxy vouches for them (spec/http.md 14, 21-24). False: it was answered. */
static bool prepare_request(struct stream *s)
{
	if (!normalize_path(s))
		return false;
	if (downstream_forwarded(s->downstream, s->request, s->arena, &s->x))
		return true;
	stream_answer(s, &(struct local_reply){ .status = 400, .plain = true,
		.details = "forwarded_for_too_long" });
	return false;
}

/* The route table for this authority: the connection's own, or that of the equal server (D5). */
static const struct virtual_host *find_host(struct stream *s)
{
	const struct virtual_host *host = route_table_find(s->chain->routes, s->request->authority);
	const struct chain *same = NULL;

	if (host != NULL || !s->chain->tls ||
	    !listener_is_misdirected(s->chain->listener, s->chain, s->request->authority, &same))
		return host;
	if (same == NULL) {
		s->misdirected = true;
		return NULL;
	}
	s->chain = same;
	return route_table_find(same->routes, s->request->authority);
}

void stream_choose(struct stream *s)
{
	const struct route_input in = { .request = s->request, .arena = s->arena };

	s->route = NULL;
	s->target = NULL;
	s->to_https = false;
	s->x.route_name = s->x.cluster_name = NO_SLICE;
	if (s->host == NULL || slice_eq(s->request->method, SLICE("CONNECT")))
		return;
	s->to_https = virtual_host_requires_tls(s->host) && !slice_eq(s->request->scheme, SLICE("https"));
	if (s->to_https)
		return;
	s->route = virtual_host_match(s->host, &in);
	if (s->route == NULL)
		return;
	s->x.route_name = s->route->name;
	if (s->route->action == ROUTE_FORWARD) {
		s->target = route_draw(s->route, worker_random(s->server->worker));
		s->x.cluster_name = s->target->cluster_name;
	}
}

static void on_request_head(void *owner, struct message *m, bool end)
{
	struct stream *s = owner;

	s->request = m;
	s->x.request = m;
	s->request_ended = end;
	s->expects_continue = m->expect_continue;
	if (s->chain->grpc_web)
		stream_web_begin(s);
	if (end)
		s->x.request_end_us = worker_now_us(s->server->worker);
	/* Looked up first: what lies behind it is on its way from memory while the head is prepared. */
	s->host = find_host(s);
	if (!prepare_request(s))
		return;
	stream_enter(s, STREAM_ROUTE);
	stream_choose(s);
	if (tunnel_may_ask(s))
		stream_authorize(s);
}

/* A well-formed request that lacks something, or comes too slowly, breaks no protocol
 * (spec/http.md 27). */
static uint32_t refusal_flags(const struct refusal *why)
{
	bool well_formed = why->status == 408 || why->status == 417 ||
			   strcmp(why->details, "missing_host_header") == 0;

	return well_formed ? 0 : RESPONSE_FLAG_DPE;
}

static void on_request_refused(void *owner, const struct refusal *why, struct message *partial)
{
	struct stream *s = owner;

	s->request = partial;
	s->x.request = partial;
	count_up(&s->server->counters.protocol_errors, 1);
	stream_answer(s, &(struct local_reply){
		.status = why->status, .body = slice_of(why->body), .details = why->details,
		.flags = refusal_flags(why), .plain = true });
}

static void redirect_to_https(struct stream *s)
{
	const struct listener_plan *l = s->chain->listener;
	uint32_t https = snapshot_https_port(s->use->snapshot, s->request->authority);

	count_up(&s->server->counters.redirects, 1);
	stream_answer(s, &(struct local_reply){
		.status = 301, .details = "direct_response", .plain = true,
		.location = https_redirect_location(s->request, l->bound_port, https, l->mapped, s->arena) });
}

static void not_found(struct stream *s)
{
	if (s->misdirected) {
		count_up(&s->server->counters.misdirected, 1);
		stream_answer(s, &(struct local_reply){ .status = 421, .details = "misdirected_request",
							 .plain = true });
		return;
	}
	count_up(&s->server->counters.no_route, 1);
	stream_answer(s, &(struct local_reply){ .status = 404, .details = "route_not_found",
						 .flags = RESPONSE_FLAG_NR, .plain = true });
}

void stream_act(struct stream *s)
{
	stream_enter(s, STREAM_ACT);
	if (s->to_https) {
		redirect_to_https(s);
	} else if (s->route == NULL) {
		not_found(s);
	} else if (s->route->action == ROUTE_REDIRECT) {
		count_up(&s->server->counters.redirects, 1);
		stream_answer(s, &(struct local_reply){
			.status = s->route->source->redirect->code, .details = "direct_response",
			.location = route_redirect_location(s->route, s->request, s->chain->server_port,
							    s->chain->tls, s->arena) });
	} else if (s->route->action == ROUTE_DIRECT_RESPONSE) {
		count_up(&s->server->counters.direct_responses, 1);
		stream_answer(s, &(struct local_reply){
			.status = s->route->source->direct_response->status, .details = "direct_response",
			.body = s->route->source->direct_response->body });
	} else if (s->target->cluster == NULL) {
		stream_answer(s, &(struct local_reply){ .status = 503, .details = "cluster_not_found",
							 .flags = RESPONSE_FLAG_NC });
	} else {
		if (s->web != NULL)
			stream_web_translate(s);
		stream_enter(s, STREAM_PICK);
		stream_pick(s);
	}
}

static size_t on_request_data(void *owner, struct slice bytes)
{
	struct stream *s = owner;
	size_t taken;

	if (s->state == STREAM_ANSWER || s->state == STREAM_DONE)
		return bytes.len;	/* nobody wants it; the codec closes after the reply */
	taken = attempt_send(s, bytes);
	if (s->state == STREAM_ANSWER || s->state == STREAM_DONE)
		return bytes.len;
	s->x.bytes_received += taken;
	if (taken > 0)
		stream_touch(s);
	return taken;
}

static void on_request_end(void *owner, struct headers *trailers)
{
	struct stream *s = owner;

	if (s->request_ended || s->state == STREAM_DONE)
		return;
	s->request_ended = true;
	s->x.request_end_us = worker_now_us(s->server->worker);
	if (s->tunnel)
		tunnel_request_ended(s);
	else
		attempt_end(s, trailers);
}

static void on_request_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct stream *s = owner;

	abandon(s, why == RESET_PROTOCOL_ERROR ? RESPONSE_FLAG_DPE :
		   why == RESET_REMOTE_RESET || why == RESET_REMOTE_REFUSED ? RESPONSE_FLAG_DR :
		   why == RESET_LOCAL_RESET ? RESPONSE_FLAG_SI : RESPONSE_FLAG_DC,
		detail != NULL ? detail : "downstream_remote_disconnect");
}

static void on_response_writable(void *owner)
{
	struct stream *s = owner;

	stream_touch(s);
	if (s->state == STREAM_ANSWER)
		stream_answer_on(s);
	else if (s->up != NULL)
		codec_resume(s->up);
}

const struct stream_events stream_events = {
	.on_head = on_request_head,
	.on_refused = on_request_refused,
	.on_data = on_request_data,
	.on_end = on_request_end,
	.on_reset = on_request_reset,
	.on_writable = on_response_writable,
};
