/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/explain_priv.h"

#include "proxy/http/grpc.h"
#include "proxy/http/grpc_web.h"
#include "proxy/net/socket.h"
#include "sallyport/cidr.h"
#include "sallyport/clock.h"

const char *explained_end_name(enum explained_end end)
{
	static const char *const names[] = {
#define X(id, name) name,
		EXPLAINED_ENDS(X)
#undef X
	};

	return names[end];
}

struct where explain_where(const struct route *r)
{
	return r->match != NULL ? r->match->where : r->source->where;
}

/* ---- who asks ---- */

static struct slice client_address(const struct explaining *e)
{
	struct slice client = e->out->question->client;

	return client.at != NULL ? client : SLICE(EXPLAIN_CLIENT_DEFAULT);
}

static bool is_loopback(struct slice address)
{
	struct sockaddr_storage a;

	return ip_sockaddr(address, 0, &a) > 0 && address_is_loopback((const struct sockaddr *)&a);
}

static int64_t when_us(const struct explain_question *q)
{
	return q->at_s != 0 ? q->at_s * 1000000 : clock_wall_us();
}

static void describe(struct explaining *e)
{
	struct slice client = client_address(e);
	const char *form = slice_find(client, ':') >= 0 ? "[%.*s]:0" : "%.*s:0";

	e->x = (struct exchange){
		.request = e->request, .local_address = explain_local_address(e),
		.requested_server_name = e->out->sni, .start_wall_us = when_us(e->out->question),
		.protocol = e->out->question->http2 ? "HTTP/2" : "HTTP/1.1",
	};
	e->x.remote_address = slice_of(arena_printf(e->arena, form, SLICE_ARG(client)));
	e->x.direct_remote_address = e->x.remote_address;
}

/* With an x-request-id of zeros: the real one is drawn. */
static bool vouch(struct explaining *e, struct local_reply *refusal)
{
	static const uint64_t not_drawn[2];
	const struct edge_peer peer = {
		.address = client_address(e), .local_port = (uint16_t)e->out->listener->bound_port,
		.loopback = is_loopback(client_address(e)), .tls = e->out->chain->tls,
	};

	return decide_client(e->request, e->out->snapshot->settings, e->ground.own_address, &peer,
			     not_drawn, e->arena, &e->x, refusal);
}

/* ---- routes ---- */

static void try_routes(struct explaining *e, const struct route_input *in)
{
	struct explained *out = e->out;
	const struct route *const *routes;
	size_t count = virtual_host_routes(out->choice.host, &routes), room;
	char why[EXPLAIN_WHY_MAX];

	out->routes_total = count;
	out->routes_tried = out->choice.route != NULL ? out->choice.route->index + 1 : count;
	room = out->routes_tried < EXPLAIN_ROUTES_MAX ? out->routes_tried : EXPLAIN_ROUTES_MAX;
	out->routes.items = arena_array(e->arena, struct explained_route, room);
	out->routes.count = 0;
	/* Where there are too many the one that held is told all the same. */
	for (size_t i = 0; i < room; i++) {
		const struct route *r = i + 1 < room ? routes[i] : routes[out->routes_tried - 1];
		struct explained_route *told = &out->routes.items[out->routes.count++];

		told->route = r;
		told->held = route_explain(r, in, why, sizeof(why));
		told->why = arena_text(e->arena, slice_of(why));
	}
}

/* ---- upstream ---- */

static const struct message *upstream_request(struct explaining *e, const struct route_target *t)
{
	struct message *m = message_copy(e->request, e->arena);

	if (e->grpc_web)
		grpc_web_translate_request(m, e->out->question->has_body);
	e->x.request = m;
	e->x.cluster_name = t->cluster_name;
	route_apply_request(e->out->choice.route, t, m, &e->x, e->arena);
	if (m->upgrade)		/* a client on HTTP/2 sends no key: it is drawn */
		upgrade_prepare(m, m->version == HTTP_2 ? SLICE("AAAAAAAAAAAAAAAAAAAAAA==") :
				headers_value(&m->headers, HEADER_SEC_WEBSOCKET_KEY));
	headers_set_id(&m->headers, HEADER_X_ENVOY_ATTEMPT_COUNT, SLICE("1"));
	deadline_tell(m, deadline_of_first_ms(e->out->choice.route, m), e->arena);
	e->x.request = e->request;
	return m;
}

static void add_targets(struct explaining *e)
{
	const struct route *r = e->out->choice.route;
	struct explained *out = e->out;

	out->targets.items = arena_array(e->arena, struct explained_target, r->targets.count);
	for (size_t i = 0; i < r->targets.count; i++) {
		const struct route_target *t = &r->targets.items[i];

		out->targets.items[out->targets.count++] = (struct explained_target){
			.cluster = t->cluster, .cluster_name = t->cluster_name,
			.weight = r->targets.count > 1 ? t->weight : 1,
			.upstream = t->cluster != NULL ? upstream_request(e, t) : NULL };
	}
	out->weight_sum = r->targets.count > 1 ? r->weight_sum : 1;
}

static void add_tcp_targets(struct explaining *e)
{
	const struct tcp_route *r = e->out->chain->tcp;
	struct explained *out = e->out;

	out->targets.items = arena_array(e->arena, struct explained_target, r->targets.count);
	for (size_t i = 0; i < r->targets.count; i++)
		out->targets.items[out->targets.count++] = (struct explained_target){
			.cluster = r->targets.items[i].cluster,
			.cluster_name = r->targets.items[i].cluster_name,
			.weight = r->targets.count > 1 ? r->targets.items[i].weight : 1 };
	out->weight_sum = r->targets.count > 1 ? r->total_weight : 1;
}

static void count_healthy(void *arg, const struct endpoint *e)
{
	*(size_t *)arg += e->healthy;
}

/* At the desk what the documents say is all that is known. */
static bool has_endpoint(const struct explaining *e, const struct cluster *c)
{
	size_t healthy = 0;

	if (c->balance == BALANCE_PASSTHROUGH)
		return false;
	if (e->ground.live)
		cluster_visit_endpoints(c, count_healthy, &healthy);
	for (size_t i = 0; !e->ground.live && i < c->endpoints.count; i++)
		healthy += c->endpoints.items[i].healthy;
	return healthy > 0;
}

/* ---- the end ---- */

static void answer(struct explaining *e, enum explained_end end, const struct local_reply *r)
{
	struct message *m = arena_new(e->arena, struct message);
	struct explained *out = e->out;
	bool grpc = !e->grpc_web && grpc_is_request(e->request);

	out->end = end;
	local_reply_head(r, grpc, out->snapshot->settings, SLICE(""), m, e->arena);
	headers_remove_id(&m->headers, HEADER_DATE);
	e->x.response_flags = r->flags;
	e->x.response_code_details = slice_of(r->details);
	e->x.response_code = m->status;
	e->x.local_reply_body = r->body;
	e->x.response = m;
	judging_set_headers(e->judging.response_set, m, e->arena);
	if (!r->plain && out->choice.route != NULL) {
		route_apply_response(out->choice.route, out->choice.target, m, &e->x, e->arena);
		cors_apply(&out->choice, out->snapshot->settings, m, r);
	}
	out->response = m;
	out->status = m->status;
	out->body = grpc || m->framing == FRAMING_NONE ? SLICE("") : r->body;
	out->location = r->location;
	out->details = r->details;
	out->flags = r->flags;
}

static enum explained_end end_of(enum decided how)
{
	switch (how) {
	case DECISION_TO_HTTPS:		return EXPLAINED_TO_HTTPS;
	case DECISION_NOT_FOUND:	return EXPLAINED_NOT_FOUND;
	case DECISION_MISDIRECTED:	return EXPLAINED_MISDIRECTED;
	case DECISION_REDIRECT:		return EXPLAINED_REDIRECT;
	case DECISION_DIRECT_RESPONSE:	return EXPLAINED_DIRECT_RESPONSE;
	case DECISION_NO_CLUSTER:	return EXPLAINED_NO_CLUSTER;
	case DECISION_REGEX_LIMIT:	return EXPLAINED_REFUSED;
	case DECISION_FORWARD:		break;
	}
	return EXPLAINED_FORWARDED;
}

static bool is_always_aborted(const struct route *r)
{
	const struct http_fault *f = r != NULL ? r->fault : NULL;

	return f != NULL && f->abort != ABORT_NONE && f->abort_per_million == PER_MILLION;
}

static void act(struct explaining *e)
{
	struct explained *out = e->out;
	struct local_reply reply;
	enum decided how;

	if (is_always_aborted(out->choice.route)) {
		reply = fault_reply(out->choice.route->fault);
		add_targets(e);
		answer(e, EXPLAINED_ABORTED, &reply);
		return;
	}
	how = decide(&out->choice, out->snapshot, e->request, e->arena, &reply);

	if (how == DECISION_FORWARD || how == DECISION_NO_CLUSTER)
		add_targets(e);
	if (how != DECISION_FORWARD)
		answer(e, end_of(how), &reply);
	else if (!has_endpoint(e, out->choice.target->cluster))
		answer(e, EXPLAINED_NO_ENDPOINT, &no_healthy_upstream);
	else
		out->end = EXPLAINED_FORWARDED;
}

static bool is_relayed(const struct explaining *e)
{
	return e->out->end == EXPLAINED_RELAYED || (e->out->end == EXPLAINED_DENIED && e->request == NULL);
}

/* The last word: what would be done. */
static void finish(struct explaining *e)
{
	e->asks = false;
	if (is_relayed(e))
		add_tcp_targets(e);
	if (e->request != NULL || is_relayed(e))
		explain_policies(e);
	explain_hints(e);
}

static void try_again(struct explaining *e)
{
	const struct route_input in = { .request = e->request, .arena = e->arena,
					.claims = e->judging.claims };

	if (e->out->choice.host != NULL && !e->out->choice.to_https)
		try_routes(e, &in);
}

/* The order of the stream (stream.c), up to the question. */
static void serve(struct explaining *e)
{
	struct route_input in = { .arena = e->arena };
	struct explained *out = e->out;
	struct local_reply refusal;
	struct grpc_web how;

	if (!explain_request(e, &refusal)) {
		answer(e, EXPLAINED_REFUSED, &refusal);
		return;
	}
	in.request = e->request;
	e->grpc_web = out->chain->grpc_web && grpc_web_of(e->request, &how);
	describe(e);
	decide_host(&out->choice, e->request->authority);
	if (!decide_path(e->request, out->snapshot->settings, e->arena, &refusal) || !vouch(e, &refusal)) {
		answer(e, EXPLAINED_REFUSED, &refusal);
		return;
	}
	decide_route(&out->choice, &in, 0);
	decide_names(&out->choice, &e->x);
	try_again(e);
	if (decide_preflight(&out->choice, out->snapshot->settings, e->request, e->arena, &refusal))
		answer(e, EXPLAINED_PREFLIGHT, &refusal);
	else if (!decide_upgrade(e->request, &refusal))
		answer(e, EXPLAINED_REFUSED, &refusal);
	else if (!explain_ask(e))
		act(e);
}

struct explaining *explain_begin(const struct snapshot *s, const struct explain_question *q,
				 const struct explain_ground *ground, struct arena *a)
{
	struct explaining *e = arena_new(a, struct explaining);

	e->out = arena_new(a, struct explained);
	e->ground = *ground;
	e->arena = a;
	e->out->snapshot = s;
	e->out->question = q;
	e->out->details = "";
	e->out->verdict.cause = "";
	if (explain_connection(e))
		serve(e);
	else if (e->out->end == EXPLAINED_RELAYED)
		explain_ask_relayed(e);
	if (!e->asks)
		finish(e);
	return e;
}

const struct check_request *explain_asks(const struct explaining *e)
{
	return e->asks ? &e->question : NULL;
}

static void remember_verdict(struct explaining *e, const struct authz_verdict *v)
{
	const struct check_reply *r = &v->reply;
	struct arena *a = e->arena;

	e->out->verdict = (struct explained_verdict){
		.asked = true, .outcome = v->outcome, .status = v->outcome == AUTHZ_ALLOWED ? 0 : v->status,
		.cause = v->outcome == AUTHZ_FAILED ? authz_cause_text(v->cause) : "" };
	if (v->outcome == AUTHZ_FAILED)
		return;
	e->out->verdict.reason = arena_slice(a, r->reason);
	e->out->verdict.policy = arena_slice(a, r->policy);
	e->out->verdict.why = arena_slice(a, r->why);
	e->out->verdict.shadow = arena_slice(a, r->shadow);
	e->out->verdict.principal = arena_slice(a, r->principal);
}

void explain_answer(struct explaining *e, const struct authz_verdict *v)
{
	struct local_reply reply;
	enum judged how;

	must(e->asks);
	remember_verdict(e, v);
	if (e->request == NULL) {	/* of a connection that is relayed */
		e->out->end = v->outcome == AUTHZ_ALLOWED ? EXPLAINED_RELAYED : EXPLAINED_DENIED;
		finish(e);
		return;
	}
	how = judging_take(&e->judging, v, 0, &reply);
	e->out->choice = e->judging.choice;
	if (how == JUDGED_NEEDS_BODY)	/* nobody said what is in it */
		e->judging.body = SLICE("");
	if (how == JUDGED_ASK_AGAIN || how == JUDGED_NEEDS_BODY) {
		explain_ask_again(e);
		return;
	}
	try_again(e);
	if (how == JUDGED_GO_ON)
		act(e);
	else
		answer(e, EXPLAINED_DENIED, &reply);
	finish(e);
}

struct explained *explain_result(struct explaining *e)
{
	must(!e->asks);
	return e->out;
}

struct explained *explain(const struct snapshot *s, const struct explain_question *q,
			  const struct explain_ground *ground, struct arena *a)
{
	struct explain_ground alone = *ground;

	alone.judged = false;
	return explain_result(explain_begin(s, q, &alone, a));
}
