/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "proxy/stream/stream_priv.h"

#define STREAM_STATE_AS_TEXT(name)	#name,
static const char *const state_name[] = { STREAM_STATES(STREAM_STATE_AS_TEXT) };

#define TO(name)	(1u << STREAM_##name)
static const uint16_t may_follow[STREAM_STATE_COUNT] = {
	[STREAM_HEAD]      = TO(ROUTE) | TO(ANSWER) | TO(DONE),
	[STREAM_ROUTE]     = TO(AUTHORIZE) | TO(ACT) | TO(ANSWER) | TO(DONE),
	[STREAM_AUTHORIZE] = TO(AUTHORIZE) | TO(ACT) | TO(ANSWER) | TO(DONE),
	[STREAM_ACT]       = TO(DELAY) | TO(PICK) | TO(ANSWER) | TO(DONE),
	[STREAM_DELAY]     = TO(PICK) | TO(ANSWER) | TO(DONE),
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

	mirrors_free(server);
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
	if (!LIST_EMPTY(&s->mirrors))
		mirrors_leave(s);
	tunnel_closed(s);
	authz_check_cancel(&s->check);
	stream_stop_deadlines(s);
	timer_cancel(w, &s->idle);
	for (unsigned i = 0; i < s->tried_count; i++)
		endpoint_unref(&s->tried[i]);
	s->x.end_us = worker_now_us(w);
	s->x.request = s->request;
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

/* Path and headers as the proxy vouches for them (spec/http.md 14, 21-24). False: it was answered. */
static bool prepare_request(struct stream *s)
{
	struct local_reply refusal;

	if (decide_path(s->request, s->use->snapshot->settings, s->arena, &refusal) &&
	    downstream_forwarded(s->downstream, s->request, s->arena, &s->x, &refusal))
		return true;
	stream_answer(s, &refusal);
	return false;
}

struct choice stream_choice(const struct stream *s)
{
	return (struct choice){ .chain = s->chain, .host = s->host, .misdirected = s->misdirected,
				.to_https = s->to_https, .undecided = s->undecided, .route = s->route,
				.target = s->target, .cors_origin = s->cors_origin };
}

static void find_host(struct stream *s)
{
	struct choice c = { .chain = s->chain };

	decide_host(&c, s->request->authority);
	s->chain = c.chain;
	s->host = c.host;
	s->misdirected = c.misdirected;
}

void stream_take_choice(struct stream *s, const struct choice *c)
{
	s->route = c->route;
	s->target = c->target;
	s->to_https = c->to_https;
	s->undecided = c->undecided;
	s->cors_origin = c->cors_origin;
}

static void choose(struct stream *s)
{
	const struct route_input in = { .request = s->request, .arena = s->arena };
	struct choice c = stream_choice(s);

	decide_route(&c, &in, worker_random(s->server->worker));
	decide_names(&c, &s->x);
	stream_take_choice(s, &c);
}

static bool answer_preflight(struct stream *s)
{
	const struct choice c = stream_choice(s);
	struct local_reply answer;

	if (!decide_preflight(&c, s->use->snapshot->settings, s->request, s->arena, &answer))
		return false;
	count_up(&s->server->counters.cors_preflights, 1);
	stream_answer(s, &answer);
	return true;
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
	find_host(s);
	if (!prepare_request(s))
		return;
	stream_enter(s, STREAM_ROUTE);
	choose(s);
	if (!answer_preflight(s) && tunnel_may_ask(s))
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

static void count_decision(struct server_counters *c, enum decided how)
{
	switch (how) {
	case DECISION_TO_HTTPS:
	case DECISION_REDIRECT:		count_up(&c->redirects, 1);		break;
	case DECISION_DIRECT_RESPONSE:	count_up(&c->direct_responses, 1);	break;
	case DECISION_MISDIRECTED:	count_up(&c->misdirected, 1);		break;
	case DECISION_NOT_FOUND:	count_up(&c->no_route, 1);		break;
	case DECISION_REGEX_LIMIT:	count_up(&c->regex_limits, 1);		break;
	case DECISION_NO_CLUSTER:
	case DECISION_FORWARD:							break;
	}
}

void stream_carry_out(struct stream *s)
{
	struct choice c = stream_choice(s);
	struct local_reply reply;
	enum decided how = decide(&c, s->use->snapshot, s->request, s->arena, &reply);

	count_decision(&s->server->counters, how);
	if (how != DECISION_FORWARD) {
		stream_answer(s, &reply);
		return;
	}
	if (s->web != NULL)
		stream_web_translate(s);
	stream_enter(s, STREAM_PICK);
	stream_pick(s);
}

void stream_act(struct stream *s)
{
	stream_enter(s, STREAM_ACT);
	if (s->route != NULL && s->route->has_fault)
		stream_inject(s);
	else
		stream_carry_out(s);
}

size_t stream_pass_data(struct stream *s, struct slice bytes)
{
	size_t taken;

	taken = attempt_send(s, bytes);
	if (s->state == STREAM_ANSWER || s->state == STREAM_DONE)
		return bytes.len;
	s->x.bytes_received += taken;
	if (taken > 0)
		stream_touch(s);
	if (!LIST_EMPTY(&s->mirrors))
		mirrors_send(s, slice_first(bytes, taken));
	return taken;
}

static size_t on_request_data(void *owner, struct slice bytes)
{
	struct stream *s = owner;

	if (s->state == STREAM_ANSWER || s->state == STREAM_DONE)
		return bytes.len;	/* nobody wants it; the codec closes after the reply */
	if (check_body_holds(s))
		return s->check_body.waits ? check_body_take(s, bytes) : 0;
	return stream_pass_data(s, bytes);
}

void stream_pass_end(struct stream *s, struct headers *trailers)
{
	s->request_ended = true;
	s->x.request_end_us = worker_now_us(s->server->worker);
	if (!LIST_EMPTY(&s->mirrors) && s->state != STREAM_ANSWER)
		mirrors_end(s, trailers);
	if (s->tunnel)
		tunnel_request_ended(s);
	else
		attempt_end(s, trailers);
}

static void on_request_end(void *owner, struct headers *trailers)
{
	struct stream *s = owner;

	if (s->request_ended || s->state == STREAM_DONE)
		return;
	if (check_body_holds(s) && s->state != STREAM_ANSWER)
		check_body_end(s, trailers);
	else
		stream_pass_end(s, trailers);
}

static void on_request_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct stream *s = owner;

	if (downstream_end_reason(s->downstream) != NULL)
		detail = downstream_end_reason(s->downstream);
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
