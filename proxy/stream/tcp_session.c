/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/tcp_session.h"

#include <assert.h>
#include <stdio.h>

#include "proxy/stream/judging.h"
#include "proxy/tcp/relay.h"
#include "proxy/upstream/dial.h"

#define DETAIL_MAX	512	/* why it was denied, for the log; longer ones are cut */

/* The list is the documentation; each is entered by the function of its name. */
#define TCP_STATES(X) \
	X(AUTHORIZE)	/* waiting for the agent's verdict, where policies reach the connection */ \
	X(PICK)		/* an endpoint of the cluster */ \
	X(CONNECT)	/* waiting for the connection to it */ \
	X(RELAY)	/* bytes flow */ \
	X(DONE)		/* logged; buried after the loop turn */
#define TCP_STATE_AS_ENUM(name)	TCP_##name,
enum tcp_state { TCP_STATES(TCP_STATE_AS_ENUM) TCP_STATE_COUNT };
#define TCP_STATE_AS_TEXT(name)	#name,
static const char *const state_name[] = { TCP_STATES(TCP_STATE_AS_TEXT) };

#define TO(name)	(1u << TCP_##name)
static const uint8_t may_follow[TCP_STATE_COUNT] = {
	[TCP_AUTHORIZE] = TO(PICK) | TO(DONE),
	[TCP_PICK]      = TO(CONNECT) | TO(DONE),
	[TCP_CONNECT]   = TO(RELAY) | TO(DONE),
	[TCP_RELAY]     = TO(DONE),
};
static_assert(COUNT_OF(state_name) == TCP_STATE_COUNT, "every state can be printed");

struct tcp_session {
	struct grave grave;
	enum tcp_state state;
	struct server *server;			/* borrowed */
	struct downstream *downstream;		/* borrowed: it outlives its session */
	struct transport *transport;		/* borrowed: the downstream's */
	struct snapshot_use *use;		/* one count */
	const struct chain *chain;		/* of `use` */
	const struct tcp_target *target;
	struct authz_check *check;
	struct dial dial;
	struct relay relay;
	struct timer age;			/* of the route's max_duration_ms */
	struct exchange x;
	char local[ADDRESS_TEXT_MAX];		/* our address towards the endpoint */
};

/* The one writer of `state`. */
static void enter(struct tcp_session *s, enum tcp_state next)
{
	if (!(may_follow[s->state] & 1u << next))
		fatal("tcp session: %s cannot lead to %s", state_name[s->state], state_name[next]);
	s->state = next;
}

/* ---- the end ---- */

static void bury(struct worker *w, struct grave *g)
{
	struct tcp_session *s = container_of(g, struct tcp_session, grave);

	dial_release(&s->dial);
	snapshot_use_drop(&s->use);
	worker_recycle(w, WORKER_TCP_SESSION, s);
}

static void write_log(struct tcp_session *s)
{
	const char *ours = downstream_end_reason(s->downstream);

	if (ours != NULL)
		s->x.termination_details = slice_of(ours);
	s->x.bytes_received = s->relay.ways[RELAY_UP].bytes;
	s->x.bytes_sent = s->relay.ways[RELAY_DOWN].bytes;
	s->x.end_us = worker_now_us(s->server->worker);
	if (s->server->on_stream_end != NULL)
		s->server->on_stream_end(s->server, &s->x);
}

void tcp_session_end(struct tcp_session *s)
{
	struct server_counters *k = &s->server->counters;

	if (s->state == TCP_DONE)
		return;
	enter(s, TCP_DONE);
	authz_check_cancel(&s->check);
	timer_cancel(s->server->worker, &s->age);
	relay_stop(&s->relay);
	dial_close(&s->dial);
	if (s->relay.lacked_pipe)
		count_up(&k->tcp_no_pipe, 1);
	atomic_store_explicit(&k->tcp_active,
			      atomic_load_explicit(&k->tcp_active, memory_order_relaxed) - 1,
			      memory_order_relaxed);
	write_log(s);
	worker_bury(s->server->worker, &s->grave, bury);
}

static void finish(struct tcp_session *s)
{
	struct downstream *d = s->downstream;

	tcp_session_end(s);
	downstream_close(d);
}

/* The client sees a reset where the endpoint's bytes were cut off. */
static void cut(struct tcp_session *s)
{
	struct downstream *d = s->downstream;

	tcp_session_end(s);
	downstream_abort(d);
}

/* Closed without a byte of ours, and logged before this returns: texts in `x` may be the caller's. */
static void refuse(struct tcp_session *s, uint32_t flags, atomic_ulong *counter)
{
	s->x.response_flags |= flags;
	count_up(counter, 1);
	finish(s);
}

/* ---- relay ---- */

static void on_relay_end(void *owner, enum relay_end how)
{
	struct tcp_session *s = owner;

	switch (how) {
	case RELAY_DONE:
		finish(s);
		return;
	case RELAY_DOWN_FAILED:
		s->x.response_flags |= RESPONSE_FLAG_DC;
		dial_abort(&s->dial);
		finish(s);
		return;
	case RELAY_UP_FAILED:
		s->x.response_flags |= RESPONSE_FLAG_UC;
		/* What it had to say is on its way: a reset of ours could overtake that. */
		if (s->relay.ways[RELAY_DOWN].ended)
			finish(s);
		else
			cut(s);
		return;
	case RELAY_IDLE:
		s->x.termination_details = SLICE("upstream idle");
		count_up(&s->server->counters.tcp_idle_timeouts, 1);
		finish(s);
		return;
	}
}

static void on_too_old(struct timer *t)
{
	struct tcp_session *s = container_of(t, struct tcp_session, age);

	s->x.response_flags |= RESPONSE_FLAG_DT;
	count_up(&s->server->counters.tcp_max_durations, 1);
	finish(s);
}

static void name_local(struct tcp_session *s)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof(a);

	if (getsockname(s->dial.transport.fd, (struct sockaddr *)&a, &len) == 0)
		s->x.upstream_local_address = slice_make(s->local, address_text((struct sockaddr *)&a, s->local));
}

static void on_dial_connected(void *owner)
{
	struct tcp_session *s = owner;
	struct server_counters *k = &s->server->counters;

	enter(s, TCP_RELAY);
	name_local(s);
	s->relay.worker = s->server->worker;
	s->relay.owner = s;
	s->relay.on_end = on_relay_end;
	s->relay.idle_ms = s->chain->tcp->idle_timeout_ms;
	s->relay.ways[RELAY_UP].counter = &k->tcp_bytes_in;
	s->relay.ways[RELAY_DOWN].counter = &k->tcp_bytes_out;
	relay_start(&s->relay, s->transport, &s->dial.transport);
}

/* ---- pick, connect ---- */

static void on_dial_failed(void *owner, enum reset_reason why, const char *detail)
{
	struct tcp_session *s = owner;

	s->x.transport_failure_reason = slice_of(detail != NULL ? detail : reset_reason_text(why));
	refuse(s, response_flag_of(reset_reason_flag(why)) | RESPONSE_FLAG_URX,
	       &s->server->counters.tcp_connect_failures);
}

static void pick(struct tcp_session *s)
{
	enter(s, TCP_PICK);
	s->dial.owner = s;
	downstream_addresses(s->downstream, &s->dial.client, &s->dial.edge);
	s->dial.on_connected = on_dial_connected;
	s->dial.on_failed = on_dial_failed;
	switch (dial_start(&s->dial, s->server->worker, s->target->cluster)) {
	case DIAL_NO_ENDPOINT:
		refuse(s, RESPONSE_FLAG_UH, &s->server->counters.tcp_no_endpoint);
		return;
	case DIAL_OVERFLOW:
		refuse(s, RESPONSE_FLAG_UO, &s->server->counters.tcp_overflows);
		return;
	case DIAL_STARTED:
		enter(s, TCP_CONNECT);
		s->x.attempts = 1;
		s->x.upstream_host = s->dial.endpoint->text;
		return;
	}
}

/* ---- authorize ---- */

static void fail_closed(struct tcp_session *s, const char *why)
{
	s->x.authz_reason = slice_of(why);
	s->x.termination_details = SLICE("ext_authz_error");
	refuse(s, RESPONSE_FLAG_UAEX, &s->server->counters.tcp_authz_failed);
}

static void denied(struct tcp_session *s, const struct check_reply *reply)
{
	char text[DETAIL_MAX];
	struct slice policy = reply->policy.len > 0 ? reply->policy : SLICE("none");

	snprintf(text, sizeof(text), "rbac_access_denied_matched_policy[%.*s]", SLICE_ARG(policy));
	s->x.termination_details = slice_of(text);
	s->x.authz_reason = reply->why.at != NULL ? reply->why : policy;
	refuse(s, 0, &s->server->counters.tcp_denied);
}

static void on_verdict(void *owner, const struct authz_verdict *v)
{
	struct tcp_session *s = owner;

	s->check = NULL;
	if (v->outcome == AUTHZ_FAILED) {
		fail_closed(s, authz_cause_text(v->cause));
		return;
	}
	if (v->outcome == AUTHZ_ALLOWED)
		pick(s);
	else
		denied(s, &v->reply);
}

static void describe_destination(const struct cluster *c, struct check_request *q)
{
	if (!c->has_policies)
		return;
	q->dest_workload = c->workload;
	q->dest_labels = c->workload_labels;
	if (c->endpoints.count > 0)
		q->dest_port = c->endpoints.items[0].port;
}

void connection_describe(const struct snapshot *s, const struct chain *chain, const struct cluster *to,
			 struct check_request *q)
{
	q->brief = true;
	q->workload = s->gateway_workload;
	q->labels = s->gateway_labels;
	q->gateway = chain->gateway;
	q->rev = slice_of(s->rev_of_load);
	describe_destination(to, q);
}

static void ask(struct tcp_session *s)
{
	const struct snapshot *snapshot = s->use->snapshot;
	struct check_request q = { .tcp = true };

	downstream_describe_peer(s->downstream, &q);
	connection_describe(snapshot, s->chain, s->target->cluster, &q);
	s->check = authz_check_start(s->server->authz, &q,
		worker_now_ms(s->server->worker) + snapshot->check_ms, on_verdict, s);
}

static void authorize(struct tcp_session *s)
{
	if (!s->use->snapshot->gateway_has_policies && !s->target->cluster->has_policies)
		pick(s);
	else if (s->server->authz == NULL)
		fail_closed(s, "no agent");
	else
		ask(s);
}

/* ---- the beginning ---- */

struct tcp_session *tcp_session_create(struct downstream *d, struct snapshot_use *use,
				       const struct chain *chain, struct transport *t)
{
	struct server *server = downstream_server(d);
	struct tcp_session *s = worker_alloc(server->worker, WORKER_TCP_SESSION, sizeof(*s));

	*s = (struct tcp_session){ .state = TCP_AUTHORIZE, .server = server, .downstream = d,
				   .transport = t, .use = snapshot_use_take(use), .chain = chain };
	s->target = tcp_route_draw(chain->tcp, worker_random(server->worker));
	downstream_describe(d, &s->x);
	s->x.cluster_name = s->target->cluster_name;
	count_up(&server->counters.tcp_connections, 1);
	count_up(&server->counters.tcp_active, 1);
	return s;
}

void tcp_session_start(struct tcp_session *s)
{
	int64_t most_ms = s->chain->tcp->max_duration_ms;

	if (most_ms > 0)
		timer_set(s->server->worker, &s->age, worker_now_ms(s->server->worker) + most_ms, on_too_old);
	if (s->target->cluster == NULL)
		refuse(s, RESPONSE_FLAG_NC, &s->server->counters.tcp_no_endpoint);
	else
		authorize(s);
}

/* Its bytes wait in the kernel, and a FIN behind them is only half an end. */
void tcp_session_downstream_event(struct tcp_session *s)
{
	if (s->state == TCP_DONE || !transport_was_reset(s->transport))
		return;
	s->x.response_flags |= RESPONSE_FLAG_DC;
	finish(s);
}
