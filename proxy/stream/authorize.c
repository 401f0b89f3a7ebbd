/* SPDX-License-Identifier: Apache-2.0
 *
 * authorize.c - asks the agent about requests that policies reach, and does what it says. No path
 * leads past it: no verdict in time, no agent, or an answer that cannot be read is a refusal. */
#include "proxy/stream/stream_priv.h"

#define CHECKS_MAX	4	/* questions a request may need: each changes it, or tells claims, and so its route */

/* Claims that routes of its host look at, where tokens are verified; NULL: none. */
static const struct claims_asked *asked_claims(const struct stream *s)
{
	return s->host != NULL && s->use->snapshot->gateway_verifies_tokens ? virtual_host_claims(s->host) : NULL;
}

/* The route is not known before the claims are: then the gateway's policies judge alone, and nobody is
 * refused by those of a destination that the request never goes to. */
static bool awaits_claims(const struct stream *s)
{
	const struct route_input in = { .request = s->request, .arena = s->arena };

	return s->claims == NULL && asked_claims(s) != NULL && !s->to_https &&
	       virtual_host_depends_on_claims(s->host, &in);
}

/* Whose policies have to be asked as well. */
static const struct cluster *reached_cluster(const struct stream *s)
{
	const struct cluster *c = s->target != NULL ? s->target->cluster : NULL;

	return c != NULL && c->has_policies ? c : NULL;
}

/* What is judged: the client's request, which the verdict on an earlier question has not touched. */
static const struct message *asked_request(const struct stream *s)
{
	return s->as_asked != NULL ? s->as_asked : s->request;
}

/* The path and authority that the destination will see, where they are not the client's. */
static void describe_rewrite(struct stream *s, struct check_request *q)
{
	const struct message *m = s->request;

	if (s->route->edits_request) {
		struct message *copy = message_copy(m, s->arena);

		route_apply_request(s->route, s->target, copy, &s->x, s->arena);
		m = copy;
	}
	if (!slice_eq(m->path, q->path))
		q->dest_path = m->path;
	if (!slice_eq(m->authority, q->authority))
		q->dest_authority = m->authority;
}

static void describe_destination(struct stream *s, struct check_request *q)
{
	const struct cluster *c = s->checked_cluster;

	if (c == NULL)
		return;
	q->dest_workload = c->workload;
	q->dest_labels = c->workload_labels;
	if (c->endpoints.count > 0)
		q->dest_port = c->endpoints.items[0].port;
	describe_rewrite(s, q);
}

/* The agent sees the fields as they are now, Host among them as HAProxy sends it. */
static void describe_headers(struct stream *s, struct check_request *q)
{
	const struct headers *h = &asked_request(s)->headers;
	struct check_header *list = arena_alloc(s->arena, (h->count + 1) * sizeof(*list));
	size_t n = 0;

	list[n++] = (struct check_header){ SLICE("host"), asked_request(s)->authority };
	for (uint32_t i = 0; i < h->count; i++)
		if (h->items[i].name.at != NULL)
			list[n++] = (struct check_header){ h->items[i].name, h->items[i].value };
	q->header_list = list;
	q->header_count = n;
}

/* The trusted client where it was taken from x-forwarded-for. */
static void describe_remote(const struct stream *s, struct check_request *q)
{
	struct slice text = s->x.remote_address;
	ptrdiff_t colon = slice_rfind(text, ':');

	if (text.at == s->x.direct_remote_address.at || colon < 0)
		return;
	text = slice_first(text, (size_t)colon);
	if (text.len > 2 && text.at[0] == '[')
		text = slice_make(text.at + 1, text.len - 2);
	q->remote = (struct check_address){ 0 };
	check_address_parse(text, &q->remote);
}

static void on_verdict(void *owner, const struct authz_verdict *v);

static void ask(struct stream *s)
{
	const struct snapshot *snapshot = s->use->snapshot;
	const struct message *m = asked_request(s);
	struct check_request q = {
		.method = m->method, .scheme = m->scheme, .authority = m->authority, .path = m->path,
		.normalized = true, .brief = true,
		.workload = snapshot->gateway_workload, .labels = snapshot->gateway_labels,
		.gateway = s->chain->gateway, .rev = slice_of(snapshot->rev_of_load),
		.request_id = headers_value(&m->headers, HEADER_X_REQUEST_ID),
	};

	s->checks++;
	s->checked_cluster = awaits_claims(s) ? NULL : reached_cluster(s);
	s->checked_route = s->route;
	if (asked_claims(s) != NULL)
		q.claims_of = asked_claims(s)->wire;
	downstream_describe_peer(s->downstream, &q);
	describe_remote(s, &q);
	describe_headers(s, &q);
	describe_destination(s, &q);
	s->check = authz_check_start(s->server->authz, &q,
		worker_now_ms(s->server->worker) + snapshot->check_ms, on_verdict, s);
}

static void fail_closed(struct stream *s, unsigned status, const char *details, const char *why)
{
	count_up(&s->server->counters.authz_failed, 1);
	s->x.authz_reason = s->x.termination_details = slice_of(why);
	stream_answer(s, &(struct local_reply){
		.status = status, .body = status == 503 ? SLICE("authorization service unavailable") :
						SLICE("Request Header Fields Too Large"),
		.details = details, .flags = RESPONSE_FLAG_UAEX });
}

void stream_authorize(struct stream *s)
{
	stream_enter(s, STREAM_AUTHORIZE);
	if (!s->use->snapshot->gateway_has_policies && reached_cluster(s) == NULL)
		stream_act(s);
	else if (s->server->authz == NULL)
		fail_closed(s, 503, "ext_authz_error", "no agent");
	else
		ask(s);
}

/* Walks a list of names, which another agent than ours may spell with capitals. Returns how many
 * were there. */
static unsigned remove_headers(struct stream *s, struct slice names)
{
	struct spop_reader r = spop_reader_of(names);
	struct slice name;
	unsigned n = 0;

	while (names.at != NULL && spop_read_name(&r, &name) == OK)
		n += headers_remove(&s->request->headers, arena_lower(s->arena, name));
	return n;
}

static unsigned put_headers(struct stream *s, struct slice list, bool replace)
{
	struct spop_reader r = spop_reader_of(list);
	struct slice name, value;
	unsigned n = 0;

	for (; list.at != NULL && spop_read_header(&r, &name, &value) == OK; n++) {
		name = arena_lower(s->arena, name);
		value = arena_slice(s->arena, value);
		if (replace)
			headers_set(&s->request->headers, name, value);
		else
			headers_add(&s->request->headers, name, value);
	}
	return n;
}

void stream_set_verdict_headers(struct stream *s, struct message *m)
{
	struct spop_reader r = spop_reader_of(s->answer_headers_set);
	struct slice name, value;

	while (s->answer_headers_set.at != NULL && spop_read_header(&r, &name, &value) == OK)
		headers_set(&m->headers, arena_lower(s->arena, name), value);
}

static bool changes_request(const struct check_reply *reply)
{
	return reply->headers_remove.at != NULL || reply->headers_set.at != NULL ||
	       reply->headers_add.at != NULL || reply->path_out.at != NULL;
}

/* Does what the verdict says to the request as the client sent it. True: something changed. */
static bool apply_verdict(struct stream *s, const struct check_reply *reply)
{
	unsigned changed = 0;

	if (s->as_asked != NULL) {
		*s->request = *message_copy(s->as_asked, s->arena);
		changed++;
	} else if (changes_request(reply)) {
		s->as_asked = message_copy(s->request, s->arena);
	}
	changed += remove_headers(s, reply->headers_remove);
	changed += put_headers(s, reply->headers_set, true);
	changed += put_headers(s, reply->headers_add, false);
	if (reply->path_out.at != NULL && !slice_eq(reply->path_out, s->request->path)) {
		s->request->path = arena_slice(s->arena, reply->path_out);
		changed++;
	}
	return changed > 0;
}

/* What the verified token says to routes. An agent of another make tells all of its claims, as JSON.
 * False: it tells nothing, and which route is meant cannot be known. */
static bool take_claims(struct stream *s, const struct check_reply *reply)
{
	const struct claims_asked *asked = asked_claims(s);

	if (asked == NULL)
		return true;
	if (reply->claim_values.at != NULL)
		s->claims = claim_values_read(s->arena, asked, arena_slice(s->arena, reply->claim_values));
	else
		s->claims = claims_of_json(s->arena, asked, reply->claims);
	return s->claims != NULL;
}

/* Routing sees the request as the verdict left it, and the claims. A weighted choice stays as it was drawn. */
static void choose_again(struct stream *s)
{
	const struct route *route = s->route;
	const struct route_target *target = s->target;

	stream_choose(s);
	if (s->route == route && target != NULL) {
		s->target = target;
		s->x.cluster_name = target->cluster_name;
	}
}

static void allowed(struct stream *s, const struct check_reply *reply)
{
	const struct cluster *reached;

	if (!take_claims(s, reply)) {
		fail_closed(s, 503, "ext_authz_claims_missing", "the agent tells no claims");
		return;
	}
	if (apply_verdict(s, reply) || s->claims != NULL)
		choose_again(s);
	/* The destination's policies have judged the path as the route rewrites it: another route to the
	 * same destination is another question. */
	reached = reached_cluster(s);
	if (reached == NULL || (reached == s->checked_cluster && s->route == s->checked_route))
		stream_act(s);
	else if (s->checks >= CHECKS_MAX)
		fail_closed(s, 503, "ext_authz_error", "the route changes with every verdict");
	else
		stream_authorize(s);
}

/* `jwt_authn_access_denied{Jwt_is_expired}` or `rbac_access_denied_matched_policy[…]`. */
static const char *denial_details(struct stream *s, const struct check_reply *reply)
{
	char *text;

	if (slice_starts(reply->reason, SLICE("jwt")))
		text = arena_printf(s->arena, "jwt_authn_access_denied{%.*s}", SLICE_ARG(reply->body));
	else if (slice_starts(reply->reason, SLICE("rbac")))
		text = arena_printf(s->arena, "rbac_access_denied_matched_policy[%.*s]",
				    reply->policy.len > 0 ? (int)reply->policy.len : 4,
				    reply->policy.len > 0 ? reply->policy.at : "none");
	else
		text = arena_printf(s->arena, "%.*s", SLICE_ARG(reply->detail.len > 0 ? reply->detail :
								SLICE("ext_authz_denied")));
	for (char *c = text; *c != '\0'; c++)
		if (*c == ' ')
			*c = '_';
	return text;
}

static void denied(struct stream *s, const struct authz_verdict *v)
{
	const struct check_reply *reply = &v->reply;

	count_up(&s->server->counters.authz_denied, 1);
	stream_answer(s, &(struct local_reply){
		.status = v->status, .body = arena_slice(s->arena, reply->body),
		.content_type = arena_slice(s->arena, reply->content_type),
		.www_authenticate = arena_slice(s->arena, reply->www_authenticate),
		.details = denial_details(s, reply),
		.flags = slice_starts(reply->reason, SLICE("custom")) ? RESPONSE_FLAG_UAEX : 0 });
}

/* Policy, rule and reason: for the log, never for the client (spec/README.md D9). */
static void remember_reason(struct stream *s, const struct check_reply *reply)
{
	s->x.authz_reason = arena_slice(s->arena, reply->why.at != NULL ? reply->why : reply->policy);
	if (!reply->allow)
		s->x.termination_details = s->x.authz_reason;
}

static void on_verdict(void *owner, const struct authz_verdict *v)
{
	struct stream *s = owner;

	s->check = NULL;
	if (v->outcome == AUTHZ_FAILED) {
		fail_closed(s, v->status, "ext_authz_error", authz_cause_text(v->cause));
		return;
	}
	s->answer_headers_set = arena_slice(s->arena, v->reply.response_set);
	remember_reason(s, &v->reply);
	if (v->outcome == AUTHZ_ALLOWED)
		allowed(s, &v->reply);
	else
		denied(s, v);
}
