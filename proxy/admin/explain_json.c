/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_json.c - an explanation for programs. The shape is a promise: doc/explain.md. */
#include "proxy/admin/explain.h"
#include "proxy/admin/put_json.h"

static void add_percent(struct put_json *j, const char *name, uint32_t per_million)
{
	put_key(j, name);
	text_printf(j->out, "%g", per_million / (PER_MILLION / 100.0));
}

static void add_where(struct put_json *j, struct where w)
{
	put_text(j, "file", w.file);
	put_number(j, "line", w.line);
}

static void add_name(struct put_json *j, const char *name, const struct meta *m)
{
	put_key(j, name);
	text_printf(j->out, "\"%.*s/%.*s\"", SLICE_ARG(m->ns), SLICE_ARG(m->name));
}

/* ---- the connection ---- */

static void add_listener(struct put_json *j, const struct listener_plan *l)
{
	if (l == NULL) {
		put_null(j, "listener");
		return;
	}
	put_open(j, "listener", '{');
	put_slice(j, "name", l->name);
	put_text(j, "bind", l->bind.key);
	put_number(j, "port", l->number);
	put_number(j, "bound_port", l->bound_port);
	add_where(j, l->where);
	put_close(j, '}');
}

static void add_chain(struct put_json *j, const char *name, const struct chain *c)
{
	if (c == NULL) {
		put_null(j, name);
		return;
	}
	put_open(j, name, '{');
	put_slice(j, "name", c->name);
	put_slice(j, "gateway", c->gateway);
	put_number(j, "port", c->server_port);
	put_text(j, "carries", c->kind == CHAIN_HTTP ? "HTTP" : "TCP");
	put_text(j, "tls", chain_mode(c));
	put_open(j, "hosts", '[');
	for (size_t i = 0; i < c->domains.count; i++) {
		put_next(j);
		text_add_json(j->out, c->domains.items[i]);
	}
	put_close(j, ']');
	add_where(j, c->where);
	put_close(j, '}');
}

static void add_certificate(struct put_json *j, const struct explained_certificate *c)
{
	if (!c->known) {
		put_null(j, "certificate");
		return;
	}
	put_open(j, "certificate", '{');
	put_bool(j, "covers", c->covers);
	put_open(j, "names", '[');
	for (size_t i = 0; i < c->names.count; i++) {
		put_next(j);
		text_add_json(j->out, c->names.items[i]);
	}
	put_close(j, ']');
	put_close(j, '}');
}

/* ---- messages ---- */

static void add_headers(struct put_json *j, const struct headers *h)
{
	put_open(j, "headers", '[');
	for (const struct header *f = headers_begin(h); f != NULL; f = headers_next(h, f)) {
		put_open_item(j, '[');
		text_add_json(j->out, f->name);
		text_add_char(j->out, ',');
		text_add_json(j->out, f->value);
		put_close(j, ']');
	}
	put_close(j, ']');
}

static void add_request(struct put_json *j, const char *name, const struct message *m)
{
	if (m == NULL) {
		put_null(j, name);
		return;
	}
	put_open(j, name, '{');
	put_slice(j, "method", m->method);
	put_slice(j, "scheme", m->scheme);
	put_slice(j, "authority", m->authority);
	put_slice(j, "path", m->path);
	add_headers(j, &m->headers);
	put_close(j, '}');
}

static void add_response(struct put_json *j, const struct explained *e)
{
	if (e->response == NULL) {
		put_null(j, "response");
		return;
	}
	put_open(j, "response", '{');
	put_number(j, "status", e->response->status);
	add_headers(j, &e->response->headers);
	put_slice(j, "body", e->body.at != NULL ? e->body : SLICE(""));
	put_close(j, '}');
}

/* ---- routes ---- */

static void add_route_members(struct put_json *j, const struct route *r)
{
	put_number(j, "index", r->index);
	put_slice(j, "name", r->name.len > 0 ? r->name : NO_SLICE);
	add_name(j, "virtual_service", r->service->meta);
	add_where(j, explain_where(r));
}

static void add_routes(struct put_json *j, const struct explained *e)
{
	if (e->choice.host == NULL) {
		put_null(j, "virtual_host");
	} else {
		put_open(j, "virtual_host", '{');
		put_slice(j, "domain", virtual_host_domain(e->choice.host));
		put_bool(j, "requires_tls", virtual_host_requires_tls(e->choice.host));
		put_number(j, "routes", e->routes_total);
		put_close(j, '}');
	}
	put_number(j, "tried", e->routes_tried);
	put_open(j, "routes", '[');
	for (size_t i = 0; i < e->routes.count; i++) {
		put_open_item(j, '{');
		add_route_members(j, e->routes.items[i].route);
		put_bool(j, "held", e->routes.items[i].held);
		put_slice(j, "why", e->routes.items[i].held ? NO_SLICE : slice_of(e->routes.items[i].why));
		put_close(j, '}');
	}
	put_close(j, ']');
	if (e->choice.route == NULL) {
		put_null(j, "route");
		return;
	}
	put_open(j, "route", '{');
	add_route_members(j, e->choice.route);
	put_close(j, '}');
}

/* ---- what the route does beside ---- */

static void add_fault(struct put_json *j, const struct http_fault *f)
{
	if (f == NULL) {
		put_null(j, "fault");
		return;
	}
	put_open(j, "fault", '{');
	put_number(j, "delay_ms", (uint64_t)f->delay_ms);
	add_percent(j, "delay_percent", f->delay_per_million);
	put_key(j, "abort");
	if (f->abort == ABORT_NONE)
		text_add(j->out, SLICE("null"));
	else
		text_printf(j->out, "\"%s %u\"", f->abort == ABORT_GRPC ? "grpc" : "http", f->abort_status);
	add_percent(j, "abort_percent", f->abort_per_million);
	put_close(j, '}');
}

static void add_mirrors(struct put_json *j, const struct route *r)
{
	put_open(j, "mirrors", '[');
	for (uint32_t i = 0; i < r->mirror_count; i++) {
		put_open_item(j, '{');
		put_slice(j, "cluster", r->mirrors[i].cluster_name);
		put_bool(j, "exists", r->mirrors[i].cluster != NULL);
		add_percent(j, "percent", r->mirrors[i].per_million);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void add_retries(struct put_json *j, const struct retry_policy *p)
{
	char on[EXPLAIN_RETRY_ON_MAX];

	put_open(j, "retries", '{');
	put_number(j, "attempts", p->attempts);
	put_text(j, "on", explain_retry_on(p, on));
	put_number(j, "per_try_timeout_ms", (uint64_t)p->per_try_timeout_ms);
	put_number(j, "backoff_ms", (uint64_t)p->backoff_ms);
	put_close(j, '}');
}

static void add_actions(struct put_json *j, const struct explained *e)
{
	const struct route *r = e->choice.route;

	if (r == NULL || r->action != ROUTE_FORWARD) {
		put_null(j, "actions");
		return;
	}
	put_open(j, "actions", '{');
	put_number(j, "timeout_ms", (uint64_t)r->timeout_ms);
	add_retries(j, r->retries);
	add_fault(j, r->fault);
	add_mirrors(j, r);
	put_bool(j, "cors", r->has_cors);
	put_slice(j, "cors_origin", e->choice.cors_origin);
	put_close(j, '}');
}

/* ---- destinations ---- */

struct endpoints_visit {
	struct put_json *json;
	size_t count;
};

static void add_endpoint(struct endpoints_visit *v, struct slice address, bool healthy, uint32_t weight)
{
	if (v->count++ >= EXPLAIN_ENDPOINTS_MAX)
		return;
	put_open_item(v->json, '{');
	put_slice(v->json, "address", address);
	put_bool(v->json, "healthy", healthy);
	put_number(v->json, "weight", weight);
	put_close(v->json, '}');
}

static void visit_endpoint(void *arg, const struct endpoint *e)
{
	add_endpoint(arg, e->text, e->healthy, e->weight);
}

static void add_endpoints(struct put_json *j, const struct cluster *c, bool live)
{
	struct endpoints_visit v = { .json = j };
	char text[EXPLAIN_ADDRESS_MAX];

	put_open(j, "endpoints", '[');
	if (live)
		cluster_visit_endpoints(c, visit_endpoint, &v);
	for (size_t i = 0; !live && i < c->endpoints.count; i++)
		add_endpoint(&v, explain_endpoint(&c->endpoints.items[i], text), c->endpoints.items[i].healthy,
			     c->endpoints.items[i].weight);
	put_close(j, ']');
	put_number(j, "endpoints_total", v.count);
}

static void add_targets(struct put_json *j, const struct explained *e, bool live)
{
	put_slice(j, "cluster", e->targets.count > 0 ? e->targets.items[0].cluster_name : NO_SLICE);
	add_request(j, "upstream", e->targets.count > 0 ? e->targets.items[0].upstream : NULL);
	put_open(j, "destinations", '[');
	for (size_t i = 0; i < e->targets.count; i++) {
		const struct explained_target *t = &e->targets.items[i];

		put_open_item(j, '{');
		put_slice(j, "cluster", t->cluster_name);
		put_bool(j, "exists", t->cluster != NULL);
		put_number(j, "weight", t->weight);
		put_number(j, "weight_sum", e->weight_sum);
		if (t->cluster != NULL) {
			add_where(j, t->cluster->where);
			add_endpoints(j, t->cluster, live);
			add_request(j, "upstream", t->upstream);
		}
		put_close(j, '}');
	}
	put_close(j, ']');
}

/* ---- policies and hints ---- */

static void add_policies(struct put_json *j, const struct explained *e)
{
	put_open(j, "policies", '[');
	for (size_t i = 0; i < e->policies.count; i++) {
		const struct explained_policy *p = &e->policies.items[i];

		put_open_item(j, '{');
		put_text(j, "kind", p->meta->kind);
		add_name(j, "name", p->meta);
		put_slice(j, "action", p->action[0] != '\0' ? slice_of(p->action) : NO_SLICE);
		put_bool(j, "dry_run", p->dry_run);
		put_bool(j, "gateway", p->at_gateway);
		put_bool(j, "destination", p->at_destination);
		add_where(j, p->meta->where);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void add_verdict(struct put_json *j, const struct explained_verdict *v)
{
	static const char *const outcomes[] = {
		[AUTHZ_ALLOWED] = "allowed", [AUTHZ_DENIED] = "denied", [AUTHZ_FAILED] = "failed" };

	if (!v->asked) {
		put_null(j, "verdict");
		return;
	}
	put_open(j, "verdict", '{');
	put_text(j, "outcome", outcomes[v->outcome]);
	put_slice(j, "cause", v->cause[0] != '\0' ? slice_of(v->cause) : NO_SLICE);
	put_slice(j, "reason", v->reason);
	put_slice(j, "policy", v->policy);
	put_slice(j, "why", v->why);
	put_slice(j, "principal", v->principal);
	put_slice(j, "on_trial", v->shadow);
	put_close(j, '}');
}

static void add_hints(struct put_json *j, const struct explained *e)
{
	put_open(j, "hints", '[');
	for (size_t i = 0; i < e->hints.count; i++) {
		put_next(j);
		text_add_json(j->out, slice_of(e->hints.items[i]));
	}
	put_close(j, ']');
}

static void add_status(struct put_json *j, const struct explained *e)
{
	char flags[RESPONSE_FLAGS_TEXT_MAX];

	if (e->status != 0)
		put_number(j, "status", e->status);
	else
		put_null(j, "status");
	put_slice(j, "location", e->location);
	put_slice(j, "details", e->details[0] != '\0' ? slice_of(e->details) : NO_SLICE);
	response_flags_text(e->flags, flags);
	put_slice(j, "flags", e->flags != 0 ? slice_of(flags) : NO_SLICE);
}

void explain_add_json(const struct explained *e, bool live, const struct explain_more *more,
		      struct text *out)
{
	struct put_json j = { .out = out };

	text_add_char(out, '{');
	put_text(&j, "outcome", explained_end_name(e->end));
	add_status(&j, e);
	put_text(&j, "revision", e->snapshot->rev);
	put_bool(&j, "live", live);
	add_listener(&j, e->listener);
	put_slice(&j, "sni", e->sni);
	add_chain(&j, "server", e->chain);
	add_chain(&j, "served_by", e->choice.chain);
	add_certificate(&j, &e->certificate);
	add_request(&j, "request", e->request);
	add_routes(&j, e);
	add_response(&j, e);
	add_actions(&j, e);
	add_targets(&j, e, live);
	add_policies(&j, e);
	add_verdict(&j, &e->verdict);
	put_open(&j, "doors", '[');
	if (more != NULL)
		more->json(more->arg, &j);
	put_close(&j, ']');
	add_hints(&j, e);
	text_add(out, SLICE("}\n"));
}
