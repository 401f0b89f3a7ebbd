/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/decide.h"

#include "proxy/http/grpc.h"
#include "proxy/route/cors.h"
#include "sallyport/path.h"

void decide_host(struct choice *c, struct slice authority)
{
	const struct chain *same = NULL;

	c->misdirected = false;
	c->host = route_table_find(c->chain->routes, authority);
	if (c->host != NULL || !c->chain->tls ||
	    !listener_is_misdirected(c->chain->listener, c->chain, authority, &same))
		return;
	c->misdirected = same == NULL;
	if (c->misdirected)
		return;
	c->chain = same;
	c->host = route_table_find(same->routes, authority);
}

static bool refuse(struct local_reply *refusal, unsigned status, const char *details)
{
	*refusal = (struct local_reply){ .status = status, .plain = true, .details = details };
	return false;
}

bool decide_path(struct message *m, const struct proxy_settings *settings, struct arena *a,
		 struct local_reply *refusal)
{
	struct slice path = m->path;

	if (slice_eq(m->method, SLICE("CONNECT")))
		return true;
	if (path.len == 0 || path.at[0] != '/')		/* OPTIONS * */
		return refuse(refusal, 404, "absolute_path_rejected");
	if (path_normalize(settings->mesh.path_normalization, path, a, &path) == PATH_REFUSED)
		return refuse(refusal, 400, "path_normalization_failed");
	m->path = path;
	return true;
}

bool decide_client(struct message *m, const struct proxy_settings *settings, struct slice own_address,
		   const struct edge_peer *peer, const uint64_t random[2], struct arena *a,
		   struct exchange *x, struct local_reply *refusal)
{
	const struct edge_rules rules = {
		.trusted_proxies = (uint32_t)settings->mesh.trusted_proxies,
		.forwarded_for_max = (uint32_t)settings->limits.forwarded_for,
		.own_address = own_address,
		.server_name = settings->http.server_name,
	};
	struct edge_client client;
	enum outcome how = edge_request(m, &rules, peer, random, &client);

	if (client.from_header)
		x->remote_address = slice_of(arena_printf(a, slice_find(client.address, ':') >= 0 ?
			"[%.*s]:0" : "%.*s:0", SLICE_ARG(client.address)));
	return how == OK || refuse(refusal, 400, "forwarded_for_too_long");
}

void decide_route(struct choice *c, const struct route_input *in, uint64_t random)
{
	const struct message *m = in->request;
	struct route_input asked = *in;

	asked.undecided = &c->undecided;
	c->undecided = false;
	c->route = NULL;
	c->target = NULL;
	c->to_https = false;
	c->cors_origin = NO_SLICE;
	if (c->host == NULL || slice_eq(m->method, SLICE("CONNECT")))
		return;
	c->to_https = virtual_host_requires_tls(c->host) && !slice_eq(m->scheme, SLICE("https"));
	if (c->to_https)
		return;
	c->route = virtual_host_match(c->host, &asked);
	if (c->route != NULL && c->route->action == ROUTE_FORWARD)
		c->target = route_draw(c->route, random);
	if (c->route != NULL && c->route->has_cors)
		c->cors_origin = cors_allowed_origin(c->route->cors, m, in->arena);
}

void decide_names(const struct choice *c, struct exchange *x)
{
	x->route_name = c->route != NULL ? c->route->name : NO_SLICE;
	x->cluster_name = c->target != NULL ? c->target->cluster_name : NO_SLICE;
}

bool decide_upgrade(const struct message *m, struct local_reply *refusal)
{
	if (!m->upgrade || slice_eq_nocase(headers_value(&m->headers, HEADER_UPGRADE), SLICE("websocket")))
		return true;
	*refusal = (struct local_reply){ .status = 403, .details = "upgrade_failed" };
	return false;
}

static struct local_reply to_https(const struct choice *c, const struct snapshot *s, const struct message *m,
				   struct arena *a)
{
	const struct listener_plan *l = c->chain->listener;
	uint32_t https = snapshot_https_port(s, m->authority);

	return (struct local_reply){
		.status = 301, .details = "direct_response", .plain = true,
		.location = https_redirect_location(m, l->bound_port, https, l->mapped, a) };
}

enum decided decide(const struct choice *c, const struct snapshot *s, const struct message *m,
		     struct arena *a, struct local_reply *reply)
{
	if (c->to_https) {
		*reply = to_https(c, s, m, a);
		return DECISION_TO_HTTPS;
	}
	if (c->misdirected) {
		*reply = (struct local_reply){ .status = 421, .details = "misdirected_request", .plain = true };
		return DECISION_MISDIRECTED;
	}
	if (c->undecided || (c->route != NULL && route_rewrite_gives_up(c->route, m->path, a))) {
		/* What nobody could read to its end takes no other way instead. */
		*reply = (struct local_reply){ .status = 500, .details = "regex_limit", .plain = true };
		return DECISION_REGEX_LIMIT;
	}
	if (c->route == NULL) {
		*reply = (struct local_reply){ .status = 404, .details = "route_not_found",
					       .flags = RESPONSE_FLAG_NR, .plain = true };
		return DECISION_NOT_FOUND;
	}
	if (c->route->action == ROUTE_REDIRECT) {
		*reply = (struct local_reply){
			.status = c->route->source->redirect->code, .details = "direct_response",
			.location = route_redirect_location(c->route, m, c->chain->server_port,
							    c->chain->tls, a) };
		return DECISION_REDIRECT;
	}
	if (c->route->action == ROUTE_DIRECT_RESPONSE) {
		*reply = (struct local_reply){
			.status = c->route->source->direct_response->status, .details = "direct_response",
			.body = c->route->source->direct_response->body };
		return DECISION_DIRECT_RESPONSE;
	}
	if (c->target->cluster == NULL) {
		*reply = (struct local_reply){ .status = 503, .details = "cluster_not_found",
					       .flags = RESPONSE_FLAG_NC };
		return DECISION_NO_CLUSTER;
	}
	return DECISION_FORWARD;
}

/* ---- replies ---- */

const struct local_reply no_healthy_upstream = {
	.status = 503, .body = { "no healthy upstream", 19 }, .details = "no_healthy_upstream",
	.flags = RESPONSE_FLAG_UH };

static void add_fields(const struct local_reply *r, const struct proxy_settings *settings,
		       struct slice date, struct message *m)
{
	if (r->www_authenticate.at != NULL)
		headers_add_id(&m->headers, HEADER_WWW_AUTHENTICATE, r->www_authenticate);
	if (r->location.at != NULL)
		headers_add_id(&m->headers, HEADER_LOCATION, r->location);
	if (r->overloaded)
		headers_add(&m->headers, SLICE("x-envoy-overloaded"), SLICE("true"));
	if (r->fields != NULL)
		for (const struct header *f = headers_begin(r->fields); f != NULL; f = headers_next(r->fields, f))
			headers_append(&m->headers, f->id, f->name, f->value);
	headers_add_id(&m->headers, HEADER_DATE, date);
	headers_add_id(&m->headers, HEADER_SERVER, settings->http.server_name);
}

/* Trailers-only: 200, grpc-status, grpc-message, no body. */
static void make_grpc(struct message *m, const struct local_reply *r)
{
	m->status = 200;
	headers_add_id(&m->headers, HEADER_CONTENT_TYPE, SLICE("application/grpc"));
	grpc_set_status(m, r->grpc_ok || r->grpc_status != 0 ? r->grpc_status : grpc_status_of(r->status),
			r->body);
	m->framing = FRAMING_NONE;
}

static void make_plain(struct message *m, const struct local_reply *r)
{
	bool bodiless = r->status < 200 || r->status == 204 || r->status == 304;

	m->status = r->status;
	m->framing = bodiless ? FRAMING_NONE : FRAMING_LENGTH;
	m->content_length = bodiless ? 0 : r->body.len;
	if (r->body.len > 0 && !bodiless)
		headers_add_id(&m->headers, HEADER_CONTENT_TYPE,
			       r->content_type.at != NULL ? r->content_type : SLICE("text/plain"));
}

void local_reply_head(const struct local_reply *r, bool grpc, const struct proxy_settings *settings,
		      struct slice date, struct message *out, struct arena *a)
{
	*out = (struct message){ .version = HTTP_1_1 };
	headers_init(&out->headers, a, 16);
	if (grpc)
		make_grpc(out, r);
	else
		make_plain(out, r);
	add_fields(r, settings, date, out);
}
