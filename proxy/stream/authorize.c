/* SPDX-License-Identifier: Apache-2.0
 *
 * authorize.c - asks the agent about requests that policies reach, and does what it says (judging.h). No
 * path leads past it: no verdict in time, no agent, or an answer that cannot be read is a refusal. */
#include "proxy/stream/judging.h"
#include "proxy/stream/stream_priv.h"

static struct judging judging_of(struct stream *s)
{
	struct judging j = {
		.snapshot = s->use->snapshot, .arena = s->arena, .x = &s->x, .request = s->request,
		.choice = stream_choice(s), .as_asked = s->as_asked, .claims = s->claims,
		.response_set = s->answer_headers_set, .checked_cluster = s->checked_cluster,
		.checked_route = s->checked_route, .checks = s->checks };

	check_body_describe(s, &j);
	return j;
}

static void remember(struct stream *s, const struct judging *j)
{
	stream_take_choice(s, &j->choice);
	s->as_asked = j->as_asked;
	s->claims = j->claims;
	s->answer_headers_set = j->response_set;
	s->checked_cluster = j->checked_cluster;
	s->checked_route = j->checked_route;
	s->checks = j->checks;
}

static void fail_closed(struct stream *s, const struct local_reply *reply)
{
	count_up(&s->server->counters.authz_failed, 1);
	stream_answer(s, reply);
}

static void on_verdict(void *owner, const struct authz_verdict *v)
{
	struct stream *s = owner;
	struct judging j = judging_of(s);
	struct local_reply reply;
	enum judged how = judging_take(&j, v, worker_random(s->server->worker), &reply);

	s->check = NULL;
	remember(s, &j);
	switch (how) {
	case JUDGED_GO_ON:
		stream_act(s);
		break;
	case JUDGED_ASK_AGAIN:
		stream_authorize(s);
		break;
	case JUDGED_NEEDS_BODY:
		check_body_await(s, j.body_wanted);
		break;
	case JUDGED_DENIED:
		count_up(&s->server->counters.authz_denied, 1);
		stream_answer(s, &reply);
		break;
	case JUDGED_FAILED:
		fail_closed(s, &reply);
		break;
	}
}

static void ask(struct stream *s)
{
	struct check_request q = { .tcp = false };
	struct judging j = judging_of(s);
	struct local_reply reply;

	if (s->server->authz == NULL) {
		judging_unasked(&j, &reply);
		fail_closed(s, &reply);
		return;
	}
	downstream_describe_peer(s->downstream, &q);
	judging_describe(&j, &q);
	remember(s, &j);
	s->check = authz_check_start(s->server->authz, &q,
		worker_now_ms(s->server->worker) + j.snapshot->check_ms, on_verdict, s);
}

void stream_authorize(struct stream *s)
{
	stream_enter(s, STREAM_AUTHORIZE);
	if (judging_is_due(s->use->snapshot, s->target))
		ask(s);
	else
		stream_act(s);
}
