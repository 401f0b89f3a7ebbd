/* SPDX-License-Identifier: Apache-2.0
 *
 * attempt.c - one try of a stream at one endpoint: pick, connect, forward, and what follows when it
 * fails. */
#include <stdio.h>

#include "proxy/http/forwarded.h"
#include "proxy/stream/judging.h"
#include "proxy/stream/stream_priv.h"

static struct worker *worker_of(const struct stream *s)
{
	return s->server->worker;
}

/* Lets go of the endpoint; a stream remembers those that failed, to avoid them. */
static void release_endpoint(struct stream *s, bool failed)
{
	if (s->endpoint == NULL)
		return;
	atomic_fetch_sub_explicit(&s->endpoint->active, 1, memory_order_relaxed);
	if (failed)
		atomic_fetch_add_explicit(&s->endpoint->failures, 1, memory_order_relaxed);
	if (failed && s->tried_count < STREAM_TRIED_MAX)
		s->tried[s->tried_count++] = s->endpoint;
	else
		endpoint_unref(&s->endpoint);
	s->endpoint = NULL;
}

void attempt_cancel(struct stream *s)
{
	struct codec_stream *up = s->up;

	timer_cancel(worker_of(s), &s->backoff);
	attempt_was_last(s);
	replay_free(s);
	if (s->state == STREAM_CONNECT)
		pool_cancel(s->server->pool, &s->pool_request);
	s->up = NULL;
	if (up != NULL)
		codec_reset(up, RESET_LOCAL_RESET);
	release_endpoint(s, false);
}

static void apply_route(struct stream *s)
{
	if (s->applied)
		return;
	s->applied = true;
	s->retries.policy = s->route->retries;
	route_apply_request(s->route, s->target, s->request, &s->x, s->arena);
	stream_start_deadline(s);
}

static struct slice attempt_number(struct stream *s)
{
	char *digit;

	if (s->attempts > 9)
		return slice_of(arena_printf(s->arena, "%u", s->attempts));
	digit = arena_alloc(s->arena, 1);
	*digit = (char)('0' + s->attempts);
	return slice_make(digit, 1);
}

/* ---- sending ---- */

static void on_try_late(struct timer *t);

static void send_end(struct stream *s)
{
	s->x.request_sent_us = worker_now_us(worker_of(s));
	codec_send_end(s->up, s->replay.trailers);
	attempt_start_timeout(s, on_try_late);
}

/* What is kept of the body goes first, then what the client still has. */
static void send_body(struct stream *s)
{
	if (!replay_run(s))
		return;
	if (s->request_ended)
		send_end(s);
	else
		check_body_resume(s);
}

static const struct stream_events attempt_events;

static void on_pool_ready(void *owner, struct upstream_connection *u)
{
	struct stream *s = owner;
	struct codec *codec = upstream_codec(u);
	bool end = s->request_ended && !replay_has_more(s);

	stream_enter(s, STREAM_FORWARD);
	s->up = codec->ops->open(codec, s, &attempt_events, s->arena);
	must(s->up != NULL);
	attempt_begins(s, u);
	s->x.upstream_local_address = arena_slice(s->arena, upstream_local_address(u));
	s->attempt_us = worker_now_us(worker_of(s));
	s->x.upstream_protocol = codec->ops->name;
	if (end)
		s->x.request_sent_us = s->attempt_us;
	replay_start(s);
	codec_send_head(s->up, s->request, end);
	if (s->up == NULL)	/* it could not be sent */
		return;
	if (!end)
		send_body(s);
	attempt_start_timeout(s, on_try_late);
}

static void on_pool_failed(void *owner, enum reset_reason why, const char *detail)
{
	struct stream *s = owner;

	release_endpoint(s, true);
	if (!attempt_again(s, &(struct attempt_outcome){ .how = ATTEMPT_RESET, .why = why }))
		stream_answer_reset(s, why, detail);
}

/* How many of `tried` are to be avoided. */
static unsigned avoided(const struct stream *s)
{
	const struct retry_policy *p = s->retries.policy;

	return p != NULL && p->ignore_previous_hosts_set && !p->ignore_previous_hosts ? 0 : s->tried_count;
}

void stream_pick(struct stream *s)
{
	s->endpoint = cluster_pick(s->target->cluster, worker_of(s), s->tried, avoided(s));
	if (s->endpoint == NULL) {
		count_up(&s->server->counters.upstream_failures, 1);
		stream_answer(s, &no_healthy_upstream);
		return;
	}
	atomic_fetch_add_explicit(&s->endpoint->active, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->endpoint->requests, 1, memory_order_relaxed);
	s->x.upstream_host = arena_slice(s->arena, s->endpoint->text);
	s->x.attempts = ++s->attempts;
	apply_route(s);
	tunnel_prepare(s);
	headers_set_id(&s->request->headers, HEADER_X_ENVOY_ATTEMPT_COUNT, attempt_number(s));
	stream_start_timeout(s);
	stream_tell_deadline(s);
	stream_enter(s, STREAM_CONNECT);
	s->pool_request = (struct pool_request){
		.owner = s, .fresh = s->pool_request.fresh,
		.protocol = cluster_protocol(s->target->cluster, s->request->version == HTTP_2),
		.on_ready = on_pool_ready, .on_failed = on_pool_failed };
	downstream_addresses(s->downstream, &s->pool_request.client, &s->pool_request.edge);
	if (s->route->has_mirrors && s->attempts == 1)
		mirrors_create(s);
	pool_ask(s->server->pool, s->target->cluster, s->endpoint, &s->pool_request);
}

/* The attempt ended while its last bytes were taken, and those went beyond what is kept. */
static void answer_beyond_replay(struct stream *s)
{
	stream_answer(s, &(struct local_reply){
		.status = 507, .body = SLICE("exceeded request buffer limit while retrying upstream"),
		.details = "request_payload_exceeded_retry_buffer_limit" });
}

size_t attempt_send(struct stream *s, struct slice bytes)
{
	size_t taken;

	/* Bytes of another protocol go nowhere before the upstream speaks it. */
	if (s->request->upgrade && !s->tunnel)
		return s->response_started ? bytes.len : 0;
	if (s->up == NULL || s->replay.running)
		return 0;
	taken = codec_send_data(s->up, bytes);
	if (s->state != STREAM_FORWARD && s->state != STREAM_BACKOFF)
		return taken;
	replay_keep(s, slice_first(bytes, taken));
	if (s->state == STREAM_BACKOFF && !replay_is_possible(s))
		answer_beyond_replay(s);
	return taken;
}

void attempt_end(struct stream *s, struct headers *trailers)
{
	s->replay.trailers = trailers;
	if (s->up != NULL && !s->replay.running)
		send_end(s);
	if (s->route != NULL && s->state != STREAM_ANSWER)
		stream_start_timeout(s);
}

/* ---- how attempts end ---- */

static void on_try_late(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, retries.try_timeout);
	struct codec_stream *up = s->up;

	count_up(&s->server->counters.per_try_timeouts, 1);
	atomic_fetch_add_explicit(&cluster_counters(s->target->cluster)->per_try_timeouts, 1,
				  memory_order_relaxed);
	s->up = NULL;
	codec_reset(up, RESET_LOCAL_RESET);
	release_endpoint(s, true);
	if (attempt_again(s, &(struct attempt_outcome){ .how = ATTEMPT_TIMED_OUT, .sent = true }))
		return;
	count_up(&s->server->counters.upstream_failures, 1);
	stream_answer(s, &(struct local_reply){
		.status = 504, .body = SLICE("upstream request timeout"),
		.details = "upstream_per_try_timeout", .flags = RESPONSE_FLAG_UT });
}

/* True: the response is dropped for that of another attempt. */
static bool is_retried(struct stream *s, const struct message *m, bool end)
{
	struct codec_stream *up = s->up;

	if (!attempt_again(s, &(struct attempt_outcome){ .how = ATTEMPT_ANSWERED, .sent = true, .heard = true,
							 .response = m }))
		return false;
	s->up = NULL;
	if (!end)
		codec_reset(up, RESET_LOCAL_RESET);
	release_endpoint(s, true);
	return true;
}

static void forward_interim(struct stream *s, const struct message *m)
{
	if (s->down == NULL || s->response_started || (m->status == 100 && !s->expects_continue))
		return;
	s->retries.interim_passed = true;
	count_up(&s->server->counters.responses_1xx, 1);
	codec_send_head(s->down, m, false);
}

static void count_completed(struct stream *s)
{
	if (s->target != NULL && s->target->cluster != NULL)
		atomic_fetch_add_explicit(&cluster_counters(s->target->cluster)->completed, 1,
					  memory_order_relaxed);
}

void attempt_finish(struct stream *s)
{
	count_completed(s);
	stream_done(s);
}

static void on_response_head(void *owner, struct message *m, bool end)
{
	struct stream *s = owner;
	struct worker *w = worker_of(s);
	struct codec_stream *down = s->down;
	const struct edge_rules rules = { .server_name = s->use->snapshot->settings->http.server_name };

	if (m->status < 200 && m->status != 101) {
		forward_interim(s, m);
		return;
	}
	if (s->request->upgrade && m->status / 100 == 2 && s->request->version == HTTP_2) {
		if (end)
			s->up = NULL;
		stream_answer_reset(s, RESET_PROTOCOL_ERROR, NULL);	/* RFC 8441: 2xx would grant it */
		return;
	}
	if (is_retried(s, m, end))
		return;
	attempt_was_last(s);
	stream_touch(s);
	m->close = false;	/* the upstream's connection is not the client's */
	s->x.response_head_us = s->x.first_byte_sent_us = worker_now_us(w);
	s->x.response = m;
	s->x.response_code = m->status;
	stream_details(s, "via_upstream");
	edge_response(m, &rules, worker_date(w), (s->x.response_head_us - s->attempt_us) / 1000);
	judging_set_headers(s->answer_headers_set, m, s->arena);
	route_apply_response(s->route, s->target, m, &s->x, s->arena);
	stream_cors_apply(s, m, NULL);
	s->response_started = true;
	if (m->status == 101) {
		tunnel_open(s, m);
		return;
	}
	if (end) {
		s->up = NULL;
		s->down = NULL;
		codec_send_head(down, m, true);
		attempt_finish(s);
		return;
	}
	codec_send_head(down, m, false);
}

static size_t on_response_data(void *owner, struct slice bytes)
{
	struct stream *s = owner;
	size_t taken;

	if (s->down == NULL)
		return bytes.len;
	taken = codec_send_data(s->down, bytes);
	if (s->state == STREAM_DONE)	/* what could be written ended the connection, and with it this */
		return bytes.len;
	s->x.bytes_sent += taken;
	if (taken > 0)
		stream_touch(s);
	return taken;
}

static void on_response_end(void *owner, struct headers *trailers)
{
	struct stream *s = owner;
	struct codec_stream *down = s->down;

	if (s->tunnel) {
		tunnel_response_ended(s);
		return;
	}
	s->up = NULL;
	s->x.response_trailers = trailers;
	if (s->web != NULL) {
		count_completed(s);
		stream_web_end(s, trailers);
		return;
	}
	s->down = NULL;
	if (down != NULL)
		codec_send_end(down, trailers);
	attempt_finish(s);
}

static void on_response_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct stream *s = owner;
	struct attempt_outcome outcome = attempt_was_reset(s, why);
	struct codec_stream *down = s->down;

	(void)detail;
	s->up = NULL;
	release_endpoint(s, true);
	if (!s->response_started) {
		if (!attempt_again(s, &outcome))
			stream_answer_reset(s, why, NULL);
		return;
	}
	s->x.response_flags |= response_flag_of(reset_reason_flag(why));
	s->x.response_code_details = slice_of(arena_printf(s->arena,
		"upstream_reset_after_response_started{%s}", reset_reason_text(why)));
	for (char *c = (char *)s->x.response_code_details.at; *c != '\0'; c++)
		if (*c == ' ')
			*c = '_';
	s->down = NULL;
	if (down != NULL)
		codec_reset(down, why);
	stream_done(s);
}

static void on_request_writable(void *owner)
{
	struct stream *s = owner;

	stream_touch(s);
	if (s->replay.running)
		send_body(s);
	else
		check_body_resume(s);
}

static const struct stream_events attempt_events = {
	.on_head = on_response_head,
	.on_data = on_response_data,
	.on_end = on_response_end,
	.on_reset = on_response_reset,
	.on_writable = on_request_writable,
};
