/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/judging.h"

#define CHECKS_MAX	6	/* questions a request may need: each changes it, tells claims, or the body */

/* Claims that routes of its host look at, where tokens are verified; NULL: none. */
static const struct claims_asked *asked_claims(const struct judging *j)
{
	const struct virtual_host *host = j->choice.host;

	return host != NULL && j->snapshot->gateway_verifies_tokens ? virtual_host_claims(host) : NULL;
}

/* The verdict may lead to another route: then the gateway's policies judge alone first, and nobody is
 * refused by those of a destination that the request never goes to. */
static bool awaits_route(const struct judging *j)
{
	const struct route_input in = { .request = j->request, .arena = j->arena };

	return j->checks == 0 && j->snapshot->gateway_has_policies && j->choice.host != NULL && !j->choice.to_https &&
	       virtual_host_depends_on_verdict(j->choice.host, &in);
}

/* Whose policies have to be asked as well. */
static const struct cluster *reached_cluster(const struct route_target *t)
{
	const struct cluster *c = t != NULL ? t->cluster : NULL;

	return c != NULL && c->has_policies ? c : NULL;
}

/* What is judged: the client's request, which the verdict on an earlier question has not touched. */
static const struct message *asked_request(const struct judging *j)
{
	return j->as_asked != NULL ? j->as_asked : j->request;
}

/* The path and authority that the destination will see, where they are not the client's. */
static void describe_rewrite(struct judging *j, struct check_request *q)
{
	const struct message *m = j->request;

	if (j->choice.route->edits_request) {
		struct message *copy = message_copy(m, j->arena);

		route_apply_request(j->choice.route, j->choice.target, copy, j->x, j->arena);
		m = copy;
	}
	if (!slice_eq(m->path, q->path))
		q->dest_path = m->path;
	if (!slice_eq(m->authority, q->authority))
		q->dest_authority = m->authority;
}

static void describe_destination(struct judging *j, struct check_request *q)
{
	const struct cluster *c = j->checked_cluster;

	if (c == NULL)
		return;
	q->dest_workload = c->workload;
	q->dest_labels = c->workload_labels;
	if (c->endpoints.count > 0)
		q->dest_port = c->endpoints.items[0].port;
	describe_rewrite(j, q);
}

/* The agent sees the fields as they are now, Host among them as HAProxy sends it. */
static void describe_headers(struct judging *j, struct check_request *q)
{
	const struct headers *h = &asked_request(j)->headers;
	struct check_header *list = arena_alloc(j->arena, (h->count + 1) * sizeof(*list));
	size_t n = 0;

	list[n++] = (struct check_header){ SLICE("host"), asked_request(j)->authority };
	for (uint32_t i = 0; i < h->count; i++)
		if (h->items[i].name.at != NULL)
			list[n++] = (struct check_header){ h->items[i].name, h->items[i].value };
	q->header_list = list;
	q->header_count = n;
}

/* The trusted client where it was taken from x-forwarded-for. */
static void describe_remote(const struct judging *j, struct check_request *q)
{
	struct slice text = j->x->remote_address;
	ptrdiff_t colon = slice_rfind(text, ':');

	if (text.at == j->x->direct_remote_address.at || colon < 0)
		return;
	text = slice_first(text, (size_t)colon);
	if (text.len > 2 && text.at[0] == '[')
		text = slice_make(text.at + 1, text.len - 2);
	q->remote = (struct check_address){ 0 };
	check_address_parse(text, &q->remote);
}

static void describe_body(const struct judging *j, struct check_request *q)
{
	q->has_body = j->has_body;
	q->body = j->body;
	q->body_partial = j->body_partial;
}

/* What is asked about, whoever is asked in its place. */
static void describe_request(struct judging *j, const struct message *m, struct check_request *q)
{
	q->method = m->method;
	q->scheme = m->scheme;
	q->authority = m->authority;
	q->path = m->path;
	q->normalized = true;
	q->brief = true;
	q->rev = slice_of(j->snapshot->rev_of_load);
	q->request_id = headers_value(&m->headers, HEADER_X_REQUEST_ID);
	describe_body(j, q);
	describe_remote(j, q);
	describe_headers(j, q);
}

void judging_describe(struct judging *j, struct check_request *q)
{
	describe_request(j, asked_request(j), q);
	q->workload = j->snapshot->gateway_workload;
	q->labels = j->snapshot->gateway_labels;
	q->gateway = j->choice.chain->gateway;
	j->checked_cluster = reached_cluster(j->choice.target);
	if (j->checked_cluster != NULL && awaits_route(j))
		j->checked_cluster = NULL;
	j->checked_route = j->choice.route;
	j->checks++;
	if (asked_claims(j) != NULL)
		q->claims_of = asked_claims(j)->wire;
	describe_destination(j, q);
}

/* As the sidecar of that workload would see it: it is asked about in place of the gateway. Where there are
 * several workloads, the others follow as what lies behind. */
void judging_describe_copy(struct judging *j, const struct cluster *c, struct check_request *q)
{
	struct slice rest = c->workload_labels;

	describe_request(j, j->request, q);
	q->workload = c->workload;
	q->labels = slice_cut(&rest, ';');
	if (rest.at != NULL) {
		q->dest_workload = c->workload;
		q->dest_labels = rest;
	}
	if (c->endpoints.count > 0)
		q->destination.port = q->dest_port = c->endpoints.items[0].port;
}

bool judging_is_due(const struct snapshot *s, const struct route_target *target)
{
	return s->gateway_has_policies || reached_cluster(target) != NULL;
}

/* ---- verdicts ---- */

static enum judged fail_closed(struct judging *j, unsigned status, const char *details, const char *why,
			       struct local_reply *reply)
{
	j->x->authz_reason = j->x->termination_details = slice_of(why);
	*reply = (struct local_reply){
		.status = status, .body = status == 503 ? SLICE("authorization service unavailable") :
						SLICE("Request Header Fields Too Large"),
		.details = details, .flags = RESPONSE_FLAG_UAEX };
	return JUDGED_FAILED;
}

void judging_unasked(struct judging *j, struct local_reply *reply)
{
	fail_closed(j, 503, "ext_authz_error", "no agent", reply);
}

/* Walks a list of names, which another agent than ours may spell with capitals. Returns how many
 * were there. */
static unsigned remove_headers(struct judging *j, struct slice names)
{
	struct spop_reader r = spop_reader_of(names);
	struct slice name;
	unsigned n = 0;

	while (names.at != NULL && spop_read_name(&r, &name) == OK)
		n += headers_remove(&j->request->headers, arena_lower(j->arena, name));
	return n;
}

static unsigned put_headers(struct judging *j, struct slice list, bool replace)
{
	struct spop_reader r = spop_reader_of(list);
	struct slice name, value;
	unsigned n = 0;

	for (; list.at != NULL && spop_read_header(&r, &name, &value) == OK; n++) {
		name = arena_lower(j->arena, name);
		value = arena_slice(j->arena, value);
		if (replace)
			headers_set(&j->request->headers, name, value);
		else
			headers_add(&j->request->headers, name, value);
	}
	return n;
}

static bool changes_request(const struct check_reply *reply)
{
	return reply->headers_remove.at != NULL || reply->headers_set.at != NULL ||
	       reply->headers_add.at != NULL || reply->path_out.at != NULL;
}

/* Does what the verdict says to the request as the client sent it. True: something changed. */
static bool apply_verdict(struct judging *j, const struct check_reply *reply)
{
	unsigned changed = 0;

	if (j->as_asked != NULL) {
		*j->request = *message_copy(j->as_asked, j->arena);
		changed++;
	} else if (changes_request(reply)) {
		j->as_asked = message_copy(j->request, j->arena);
	}
	changed += remove_headers(j, reply->headers_remove);
	changed += put_headers(j, reply->headers_set, true);
	changed += put_headers(j, reply->headers_add, false);
	if (reply->path_out.at != NULL && !slice_eq(reply->path_out, j->request->path)) {
		j->request->path = arena_slice(j->arena, reply->path_out);
		changed++;
	}
	return changed > 0;
}

void judging_allow_copy(struct judging *j, const struct check_reply *answer)
{
	apply_verdict(j, answer);
}

/* What the verified token says to routes. An agent of another make tells all of its claims, as JSON.
 * False: it tells nothing, and which route is meant cannot be known. */
static bool take_claims(struct judging *j, const struct check_reply *reply)
{
	const struct claims_asked *asked = asked_claims(j);

	if (asked == NULL)
		return true;
	if (reply->claim_values.at != NULL)
		j->claims = claim_values_read(j->arena, asked, arena_slice(j->arena, reply->claim_values));
	else
		j->claims = claims_of_json(j->arena, asked, reply->claims);
	return j->claims != NULL;
}

/* Routing sees the request as the verdict left it, and the claims. A weighted choice stays as it was drawn. */
static void choose_again(struct judging *j, uint64_t random)
{
	const struct route_input in = { .request = j->request, .arena = j->arena, .claims = j->claims };
	const struct route *route = j->choice.route;
	const struct route_target *target = j->choice.target;

	decide_route(&j->choice, &in, random);
	if (j->choice.route == route && target != NULL)
		j->choice.target = target;
	decide_names(&j->choice, j->x);
}

static enum judged allowed(struct judging *j, const struct check_reply *answer, uint64_t random,
			   struct local_reply *reply)
{
	const struct cluster *reached;

	if (!take_claims(j, answer))
		return fail_closed(j, 503, "ext_authz_claims_missing", "the agent tells no claims", reply);
	if (apply_verdict(j, answer) || j->claims != NULL)
		choose_again(j, random);
	/* The destination's policies have judged the path as the route rewrites it: another route to the
	 * same destination is another question. */
	reached = reached_cluster(j->choice.target);
	if (reached == NULL || (reached == j->checked_cluster && j->choice.route == j->checked_route))
		return JUDGED_GO_ON;
	if (j->checks >= CHECKS_MAX)
		return fail_closed(j, 503, "ext_authz_error", "the route changes with every verdict", reply);
	return JUDGED_ASK_AGAIN;
}

/* `jwt_authn_access_denied{Jwt_is_expired}` or `rbac_access_denied_matched_policy[…]`. */
static const char *denial_details(struct judging *j, const struct check_reply *reply)
{
	char *text;

	if (slice_starts(reply->reason, SLICE("jwt")))
		text = arena_printf(j->arena, "jwt_authn_access_denied{%.*s}", SLICE_ARG(reply->body));
	else if (slice_starts(reply->reason, SLICE("rbac")))
		text = arena_printf(j->arena, "rbac_access_denied_matched_policy[%.*s]",
				    reply->policy.len > 0 ? (int)reply->policy.len : 4,
				    reply->policy.len > 0 ? reply->policy.at : "none");
	else
		text = arena_printf(j->arena, "%.*s", SLICE_ARG(reply->detail.len > 0 ? reply->detail :
								SLICE("ext_authz_denied")));
	for (char *c = text; *c != '\0'; c++)
		if (*c == ' ')
			*c = '_';
	return text;
}

static enum judged denied(struct judging *j, const struct authz_verdict *v, struct local_reply *reply)
{
	const struct check_reply *answer = &v->reply;

	*reply = (struct local_reply){
		.status = v->status, .body = arena_slice(j->arena, answer->body),
		.content_type = arena_slice(j->arena, answer->content_type),
		.www_authenticate = arena_slice(j->arena, answer->www_authenticate),
		.details = denial_details(j, answer),
		.flags = slice_starts(answer->reason, SLICE("custom")) ? RESPONSE_FLAG_UAEX : 0 };
	return JUDGED_DENIED;
}

/* Policy, rule and reason: for the log, never for the client (spec/README.md D9). */
static void remember_reason(struct judging *j, const struct check_reply *answer)
{
	j->x->authz_reason = arena_slice(j->arena, answer->why.at != NULL ? answer->why : answer->policy);
	j->x->authz_dry_run = arena_slice(j->arena, answer->shadow);
	if (!answer->allow)
		j->x->termination_details = j->x->authz_reason;
}

/* A provider has to see more of the body than it was told. */
static bool needs_body(const struct judging *j, const struct check_reply *answer)
{
	bool knows_enough = j->body.at != NULL && (!j->body_partial || j->body.len >= answer->body_wanted);

	return answer->body_wanted > 0 && answer->body_wanted <= PROVIDER_BODY_BYTES_MAX && j->has_body &&
	       !knows_enough && j->checks < CHECKS_MAX;
}

enum judged judging_take(struct judging *j, const struct authz_verdict *v, uint64_t random,
			 struct local_reply *reply)
{
	if (v->outcome == AUTHZ_FAILED)
		return fail_closed(j, v->status, "ext_authz_error", authz_cause_text(v->cause), reply);
	if (v->outcome == AUTHZ_DENIED && needs_body(j, &v->reply)) {
		j->body_wanted = v->reply.body_wanted;
		return JUDGED_NEEDS_BODY;
	}
	j->response_set = arena_slice(j->arena, v->reply.response_set);
	remember_reason(j, &v->reply);
	return v->outcome == AUTHZ_ALLOWED ? allowed(j, &v->reply, random, reply) : denied(j, v, reply);
}

void judging_set_headers(struct slice response_set, struct message *m, struct arena *a)
{
	struct spop_reader r = spop_reader_of(response_set);
	struct slice name, value;

	while (response_set.at != NULL && spop_read_header(&r, &name, &value) == OK)
		headers_set(&m->headers, arena_lower(a, name), value);
}
