/* SPDX-License-Identifier: Apache-2.0
 *
 * attempt_retry.c - whether an attempt that has ended is followed by another one, and when
 * (spec/virtual-service.md 7.8, spec/destination-rule.md 9 and 15). */
#include "proxy/http/grpc.h"
#include "proxy/stream/stream_priv.h"

static struct worker *worker_of(const struct stream *s)
{
	return s->server->worker;
}

static struct cluster_counters *counters_of(const struct stream *s)
{
	return cluster_counters(s->target->cluster);
}

static void count_cluster(atomic_ulong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void attempt_begins(struct stream *s, const struct upstream_connection *u)
{
	const struct transport *t = s->up->codec->transport;
	struct retries *r = &s->retries;
	const struct retry_policy *p = r->policy;

	r->reused = upstream_is_reused(u);
	r->wire_in = t->bytes_in;
	r->wire_out = t->bytes_out;
	if (!s->request_ended)
		replay_begin(s, retry_needs_body(p, s->up->codec->ops->multiplexed, grpc_is_request(s->request)) ||
				(r->reused && p->attempts > 0 && method_is_idempotent(s->request->method)));
}

/* Bytes of others on a shared connection count too: it is judged as if they were ours. */
struct attempt_outcome attempt_was_reset(const struct stream *s, enum reset_reason why)
{
	const struct transport *t = s->up->codec->transport;

	return (struct attempt_outcome){ .how = ATTEMPT_RESET, .why = why,
					 .sent = t->bytes_out > s->retries.wire_out,
					 .heard = t->bytes_in > s->retries.wire_in };
}

/* ---- places in the cluster ---- */

static void give_place(struct stream *s)
{
	if (!s->retries.has_place)
		return;
	s->retries.has_place = false;
	cluster_retry_end(s->target->cluster);
}

static bool take_place(struct stream *s)
{
	s->retries.has_place = cluster_retry_begin(s->target->cluster);
	if (s->retries.has_place)
		return true;
	count_up(&s->server->counters.retry_overflows, 1);
	s->x.response_flags |= RESPONSE_FLAG_UO;
	return false;
}

void attempt_was_last(struct stream *s)
{
	give_place(s);
	timer_cancel(worker_of(s), &s->retries.try_timeout);
	replay_no_more(s);
}

/* ---- another attempt ---- */

static void on_backoff_over(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, backoff);

	stream_enter(s, STREAM_PICK);
	stream_pick(s);
}

static void wait_and_try(struct stream *s, int64_t wait_ms)
{
	count_up(&s->server->counters.retries, 1);
	stream_enter(s, STREAM_BACKOFF);
	timer_set(worker_of(s), &s->backoff, worker_now_ms(worker_of(s)) + wait_ms, on_backoff_over);
}

static void retry_later(struct stream *s)
{
	uint64_t below = (uint64_t)retry_backoff_below_ms(s->retries.policy, ++s->retries.made);

	wait_and_try(s, (int64_t)(worker_random(worker_of(s)) % below));
}

/* The server closed an idle connection while the request was on its way there. It cannot have answered, and
 * most likely has not seen it: a request that may be sent twice is, one that was not sent yet is as well
 * (RFC 9110 9.2.2, RFC 9112 9.3.1). */
static bool is_stale(const struct stream *s, const struct attempt_outcome *o)
{
	return o->how == ATTEMPT_RESET && o->why == RESET_CONNECTION_TERMINATION && !o->heard &&
	       s->retries.reused && !s->retries.stale_cured &&
	       (!o->sent || method_is_idempotent(s->request->method));
}

static void cure_stale(struct stream *s)
{
	s->retries.stale_cured = s->pool_request.fresh = true;
	count_up(&s->server->counters.stale_retries, 1);
	wait_and_try(s, 0);
}

static bool may_repeat(const struct stream *s)
{
	return !s->response_started && !s->retries.interim_passed && s->retries.policy->attempts > 0 &&
	       replay_is_possible(s);
}

static void count_success(struct stream *s)
{
	count_up(&s->server->counters.retry_successes, 1);
	count_cluster(&counters_of(s)->retry_successes);
}

static void give_up(struct stream *s)
{
	count_up(&s->server->counters.retries_exhausted, 1);
	count_cluster(&counters_of(s)->retry_limit_exceeded);
	s->x.response_flags |= RESPONSE_FLAG_URX;
}

bool attempt_again(struct stream *s, const struct attempt_outcome *o)
{
	give_place(s);
	timer_cancel(worker_of(s), &s->retries.try_timeout);
	if (!may_repeat(s))
		return false;
	if (is_stale(s, o)) {
		cure_stale(s);
		return true;
	}
	if (!retry_covers(s->retries.policy, o)) {
		if (o->how == ATTEMPT_ANSWERED && s->retries.made > 0)
			count_success(s);
		return false;
	}
	if (s->retries.made >= s->retries.policy->attempts) {
		give_up(s);
		return false;
	}
	if (!take_place(s))
		return false;
	retry_later(s);
	return true;
}

/* ---- perTryTimeout ---- */

int64_t attempt_timeout_ms(const struct stream *s)
{
	int64_t ms = s->retries.policy->per_try_timeout_ms;

	return ms == 0 || s->route->timeout_ms == 0 || ms < s->route->timeout_ms ? ms : 0;
}

void attempt_start_timeout(struct stream *s, void (*late)(struct timer *t))
{
	int64_t ms = attempt_timeout_ms(s);
	bool sent;

	if (ms == 0)
		return;
	sent = (s->request_ended || s->request->upgrade) && !s->replay.running;
	if (sent && s->up != NULL && !s->response_started && !timer_is_set(&s->retries.try_timeout))
		timer_set(worker_of(s), &s->retries.try_timeout, worker_now_ms(worker_of(s)) + ms, late);
}
