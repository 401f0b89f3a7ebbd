/* SPDX-License-Identifier: Apache-2.0
 *
 * deadline.c - how long a request may take (spec/virtual-service.md 7.7): the route's timeout, from the
 * complete request on, and the deadline that a gRPC client set itself, from the beginning of its call. */
#include "proxy/http/grpc.h"
#include "proxy/stream/stream_priv.h"

static int64_t now_ms(const struct stream *s)
{
	return worker_now_ms(s->server->worker);
}

/* A response that has begun is cut: nothing else can be said in its place. */
static void cut(struct stream *s)
{
	struct codec_stream *down = s->down;

	s->x.response_flags |= RESPONSE_FLAG_UT;
	stream_details(s, "response_timeout");
	s->down = NULL;
	if (down != NULL)
		codec_reset(down, RESET_LOCAL_RESET);
	stream_done(s);
}

static void expire(struct stream *s, unsigned grpc_status)
{
	if (s->response_started) {
		cut(s);
		return;
	}
	count_up(&s->server->counters.upstream_failures, 1);
	stream_answer(s, &(struct local_reply){
		.status = 504, .grpc_status = grpc_status, .body = SLICE("upstream request timeout"),
		.details = "upstream_response_timeout", .flags = RESPONSE_FLAG_UT });
}

static void on_timeout(struct timer *t)
{
	expire(container_of(t, struct stream, timeout), 0);
}

static void on_deadline(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, deadline);

	count_up(&s->server->counters.grpc_deadlines, 1);
	expire(s, GRPC_DEADLINE_EXCEEDED);
}

void stream_start_deadline(struct stream *s)
{
	int64_t ms = grpc_timeout_ms(headers_value(&s->request->headers, HEADER_GRPC_TIMEOUT));

	if (ms > 0 && grpc_is_request(s->request))
		timer_set(s->server->worker, &s->deadline, s->x.start_us / 1000 + ms, on_deadline);
}

void stream_start_timeout(struct stream *s)
{
	if (s->attempts == 0)	/* neither a verdict nor an injected delay is part of it */
		return;
	/* A request to upgrade is complete with its head; a tunnel has no end to wait for. */
	bool complete = s->request->upgrade ? !s->tunnel : s->request_ended;

	if (complete && s->route->timeout_ms > 0 && !timer_is_set(&s->timeout))
		timer_set(s->server->worker, &s->timeout, now_ms(s) + s->route->timeout_ms, on_timeout);
}

/* Of the one that ends first, at least 1; for ever where there is none. */
static int64_t time_left_ms(const struct stream *s)
{
	int64_t left = INT64_MAX, of_try = attempt_timeout_ms(s), of_client;

	if (s->route->timeout_ms > 0)
		left = timer_is_set(&s->timeout) ? s->timeout.at_ms - now_ms(s) : s->route->timeout_ms;
	left = of_try > 0 && of_try < left ? of_try : left;
	of_client = timer_is_set(&s->deadline) ? s->deadline.at_ms - now_ms(s) : INT64_MAX;
	left = of_client < left ? of_client : left;
	return left > 0 ? left : 1;
}

void deadline_tell(struct message *m, int64_t left_ms, struct arena *a)
{
	if (left_ms == INT64_MAX)
		return;
	headers_set_id(&m->headers, HEADER_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
		       slice_of(arena_printf(a, "%lld", (long long)left_ms)));
	if (grpc_is_request(m))
		headers_set_id(&m->headers, HEADER_GRPC_TIMEOUT, grpc_timeout_text(left_ms, a));
}

void stream_tell_deadline(struct stream *s)
{
	deadline_tell(s->request, time_left_ms(s), s->arena);
}

int64_t deadline_of_first_ms(const struct route *r, const struct message *m)
{
	int64_t left = r->timeout_ms > 0 ? r->timeout_ms : INT64_MAX, of_try = r->retries->per_try_timeout_ms;
	int64_t of_client;

	if (of_try > 0 && of_try < left)
		left = of_try;
	of_client = grpc_is_request(m) ? grpc_timeout_ms(headers_value(&m->headers, HEADER_GRPC_TIMEOUT)) : 0;
	return of_client > 0 && of_client < left ? of_client : left;
}

void stream_stop_deadlines(struct stream *s)
{
	struct worker *w = s->server->worker;

	timer_cancel(w, &s->timeout);
	timer_cancel(w, &s->deadline);
	timer_cancel(w, &s->delay);
}
