/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_json.c - an explanation for programs. The shape is a promise: doc/explain.md. */
#include "proxy/admin/explain.h"

/* Members and items, with commas between them. */
struct json {
	struct text *out;
	bool begun;			/* something stands in the innermost list or object */
};

static void next(struct json *j)
{
	if (j->begun)
		text_add_char(j->out, ',');
	j->begun = true;
}

static void key(struct json *j, const char *name)
{
	next(j);
	text_printf(j->out, "\"%s\":", name);
}

static void open_list(struct json *j, const char *name, char bracket)
{
	key(j, name);
	text_add_char(j->out, bracket);
	j->begun = false;
}

static void open_item(struct json *j, char bracket)
{
	next(j);
	text_add_char(j->out, bracket);
	j->begun = false;
}

static void close_list(struct json *j, char bracket)
{
	text_add_char(j->out, bracket);
	j->begun = true;
}

/* null where it is absent. */
static void add_slice(struct json *j, const char *name, struct slice value)
{
	key(j, name);
	if (value.at != NULL)
		text_add_json(j->out, value);
	else
		text_add(j->out, SLICE("null"));
}

static void add_text(struct json *j, const char *name, const char *value)
{
	add_slice(j, name, slice_of(value));
}

static void add_number(struct json *j, const char *name, uint64_t value)
{
	key(j, name);
	text_printf(j->out, "%llu", (unsigned long long)value);
}

static void add_bool(struct json *j, const char *name, bool value)
{
	key(j, name);
	text_add(j->out, value ? SLICE("true") : SLICE("false"));
}

static void add_null(struct json *j, const char *name)
{
	add_slice(j, name, NO_SLICE);
}

static void add_percent(struct json *j, const char *name, uint32_t per_million)
{
	key(j, name);
	text_printf(j->out, "%g", per_million / (PER_MILLION / 100.0));
}

static void add_where(struct json *j, struct where w)
{
	add_text(j, "file", w.file);
	add_number(j, "line", w.line);
}

static void add_name(struct json *j, const char *name, const struct meta *m)
{
	key(j, name);
	text_printf(j->out, "\"%.*s/%.*s\"", SLICE_ARG(m->ns), SLICE_ARG(m->name));
}

/* ---- the connection ---- */

static void add_listener(struct json *j, const struct listener_plan *l)
{
	if (l == NULL) {
		add_null(j, "listener");
		return;
	}
	open_list(j, "listener", '{');
	add_slice(j, "name", l->name);
	add_text(j, "bind", l->bind.key);
	add_number(j, "port", l->number);
	add_number(j, "bound_port", l->bound_port);
	add_where(j, l->where);
	close_list(j, '}');
}

static void add_chain(struct json *j, const char *name, const struct chain *c)
{
	if (c == NULL) {
		add_null(j, name);
		return;
	}
	open_list(j, name, '{');
	add_slice(j, "name", c->name);
	add_slice(j, "gateway", c->gateway);
	add_number(j, "port", c->server_port);
	add_text(j, "carries", c->kind == CHAIN_HTTP ? "HTTP" : "TCP");
	add_text(j, "tls", chain_mode(c));
	open_list(j, "hosts", '[');
	for (size_t i = 0; i < c->domains.count; i++) {
		next(j);
		text_add_json(j->out, c->domains.items[i]);
	}
	close_list(j, ']');
	add_where(j, c->where);
	close_list(j, '}');
}

/* ---- messages ---- */

static void add_headers(struct json *j, const struct headers *h)
{
	open_list(j, "headers", '[');
	for (const struct header *f = headers_begin(h); f != NULL; f = headers_next(h, f)) {
		open_item(j, '[');
		text_add_json(j->out, f->name);
		text_add_char(j->out, ',');
		text_add_json(j->out, f->value);
		close_list(j, ']');
	}
	close_list(j, ']');
}

static void add_request(struct json *j, const char *name, const struct message *m)
{
	if (m == NULL) {
		add_null(j, name);
		return;
	}
	open_list(j, name, '{');
	add_slice(j, "method", m->method);
	add_slice(j, "scheme", m->scheme);
	add_slice(j, "authority", m->authority);
	add_slice(j, "path", m->path);
	add_headers(j, &m->headers);
	close_list(j, '}');
}

static void add_response(struct json *j, const struct explained *e)
{
	if (e->response == NULL) {
		add_null(j, "response");
		return;
	}
	open_list(j, "response", '{');
	add_number(j, "status", e->response->status);
	add_headers(j, &e->response->headers);
	add_slice(j, "body", e->body.at != NULL ? e->body : SLICE(""));
	close_list(j, '}');
}

/* ---- routes ---- */

static void add_route_members(struct json *j, const struct route *r)
{
	add_number(j, "index", r->index);
	add_slice(j, "name", r->name.len > 0 ? r->name : NO_SLICE);
	add_name(j, "virtual_service", r->service->meta);
	add_where(j, explain_where(r));
}

static void add_routes(struct json *j, const struct explained *e)
{
	if (e->choice.host == NULL) {
		add_null(j, "virtual_host");
	} else {
		open_list(j, "virtual_host", '{');
		add_slice(j, "domain", virtual_host_domain(e->choice.host));
		add_bool(j, "requires_tls", virtual_host_requires_tls(e->choice.host));
		add_number(j, "routes", e->routes_total);
		close_list(j, '}');
	}
	add_number(j, "tried", e->routes_tried);
	open_list(j, "routes", '[');
	for (size_t i = 0; i < e->routes.count; i++) {
		open_item(j, '{');
		add_route_members(j, e->routes.items[i].route);
		add_bool(j, "held", e->routes.items[i].held);
		add_slice(j, "why", e->routes.items[i].held ? NO_SLICE : slice_of(e->routes.items[i].why));
		close_list(j, '}');
	}
	close_list(j, ']');
	if (e->choice.route == NULL) {
		add_null(j, "route");
		return;
	}
	open_list(j, "route", '{');
	add_route_members(j, e->choice.route);
	close_list(j, '}');
}

/* ---- what the route does beside ---- */

static void add_fault(struct json *j, const struct http_fault *f)
{
	if (f == NULL) {
		add_null(j, "fault");
		return;
	}
	open_list(j, "fault", '{');
	add_number(j, "delay_ms", (uint64_t)f->delay_ms);
	add_percent(j, "delay_percent", f->delay_per_million);
	key(j, "abort");
	if (f->abort == ABORT_NONE)
		text_add(j->out, SLICE("null"));
	else
		text_printf(j->out, "\"%s %u\"", f->abort == ABORT_GRPC ? "grpc" : "http", f->abort_status);
	add_percent(j, "abort_percent", f->abort_per_million);
	close_list(j, '}');
}

static void add_mirrors(struct json *j, const struct route *r)
{
	open_list(j, "mirrors", '[');
	for (uint32_t i = 0; i < r->mirror_count; i++) {
		open_item(j, '{');
		add_slice(j, "cluster", r->mirrors[i].cluster_name);
		add_bool(j, "exists", r->mirrors[i].cluster != NULL);
		add_percent(j, "percent", r->mirrors[i].per_million);
		close_list(j, '}');
	}
	close_list(j, ']');
}

static void add_retries(struct json *j, const struct retry_policy *p)
{
	char on[EXPLAIN_RETRY_ON_MAX];

	open_list(j, "retries", '{');
	add_number(j, "attempts", p->attempts);
	add_text(j, "on", explain_retry_on(p, on));
	add_number(j, "per_try_timeout_ms", (uint64_t)p->per_try_timeout_ms);
	add_number(j, "backoff_ms", (uint64_t)p->backoff_ms);
	close_list(j, '}');
}

static void add_actions(struct json *j, const struct explained *e)
{
	const struct route *r = e->choice.route;

	if (r == NULL || r->action != ROUTE_FORWARD) {
		add_null(j, "actions");
		return;
	}
	open_list(j, "actions", '{');
	add_number(j, "timeout_ms", (uint64_t)r->timeout_ms);
	add_retries(j, r->retries);
	add_fault(j, r->fault);
	add_mirrors(j, r);
	add_bool(j, "cors", r->has_cors);
	add_slice(j, "cors_origin", e->choice.cors_origin);
	close_list(j, '}');
}

/* ---- destinations ---- */

struct endpoints_visit {
	struct json *json;
	size_t count;
};

static void add_endpoint(struct endpoints_visit *v, struct slice address, bool healthy, uint32_t weight)
{
	if (v->count++ >= EXPLAIN_ENDPOINTS_MAX)
		return;
	open_item(v->json, '{');
	add_slice(v->json, "address", address);
	add_bool(v->json, "healthy", healthy);
	add_number(v->json, "weight", weight);
	close_list(v->json, '}');
}

static void visit_endpoint(void *arg, const struct endpoint *e)
{
	add_endpoint(arg, e->text, e->healthy, e->weight);
}

static void add_endpoints(struct json *j, const struct cluster *c, bool live)
{
	struct endpoints_visit v = { .json = j };
	char text[EXPLAIN_ADDRESS_MAX];

	open_list(j, "endpoints", '[');
	if (live)
		cluster_visit_endpoints(c, visit_endpoint, &v);
	for (size_t i = 0; !live && i < c->endpoints.count; i++)
		add_endpoint(&v, explain_endpoint(&c->endpoints.items[i], text), c->endpoints.items[i].healthy,
			     c->endpoints.items[i].weight);
	close_list(j, ']');
	add_number(j, "endpoints_total", v.count);
}

static void add_targets(struct json *j, const struct explained *e, bool live)
{
	add_slice(j, "cluster", e->targets.count > 0 ? e->targets.items[0].cluster_name : NO_SLICE);
	add_request(j, "upstream", e->targets.count > 0 ? e->targets.items[0].upstream : NULL);
	open_list(j, "destinations", '[');
	for (size_t i = 0; i < e->targets.count; i++) {
		const struct explained_target *t = &e->targets.items[i];

		open_item(j, '{');
		add_slice(j, "cluster", t->cluster_name);
		add_bool(j, "exists", t->cluster != NULL);
		add_number(j, "weight", t->weight);
		add_number(j, "weight_sum", e->weight_sum);
		if (t->cluster != NULL) {
			add_where(j, t->cluster->where);
			add_endpoints(j, t->cluster, live);
			add_request(j, "upstream", t->upstream);
		}
		close_list(j, '}');
	}
	close_list(j, ']');
}

/* ---- policies and hints ---- */

static void add_policies(struct json *j, const struct explained *e)
{
	open_list(j, "policies", '[');
	for (size_t i = 0; i < e->policies.count; i++) {
		const struct explained_policy *p = &e->policies.items[i];

		open_item(j, '{');
		add_text(j, "kind", p->meta->kind);
		add_name(j, "name", p->meta);
		add_slice(j, "action", p->action[0] != '\0' ? slice_of(p->action) : NO_SLICE);
		add_bool(j, "dry_run", p->dry_run);
		add_bool(j, "gateway", p->at_gateway);
		add_bool(j, "destination", p->at_destination);
		add_where(j, p->meta->where);
		close_list(j, '}');
	}
	close_list(j, ']');
}

static void add_hints(struct json *j, const struct explained *e)
{
	open_list(j, "hints", '[');
	for (size_t i = 0; i < e->hints.count; i++) {
		next(j);
		text_add_json(j->out, slice_of(e->hints.items[i]));
	}
	close_list(j, ']');
}

static void add_status(struct json *j, const struct explained *e)
{
	char flags[RESPONSE_FLAGS_TEXT_MAX];

	if (e->status != 0)
		add_number(j, "status", e->status);
	else
		add_null(j, "status");
	add_slice(j, "location", e->location);
	add_slice(j, "details", e->details[0] != '\0' ? slice_of(e->details) : NO_SLICE);
	response_flags_text(e->flags, flags);
	add_slice(j, "flags", e->flags != 0 ? slice_of(flags) : NO_SLICE);
}

void explain_add_json(const struct explained *e, bool live, struct text *out)
{
	struct json j = { .out = out };

	text_add_char(out, '{');
	add_text(&j, "outcome", explained_end_name(e->end));
	add_status(&j, e);
	add_text(&j, "revision", e->snapshot->rev);
	add_bool(&j, "live", live);
	add_listener(&j, e->listener);
	add_slice(&j, "sni", e->sni);
	add_chain(&j, "server", e->chain);
	add_chain(&j, "served_by", e->choice.chain);
	add_request(&j, "request", e->request);
	add_routes(&j, e);
	add_response(&j, e);
	add_actions(&j, e);
	add_targets(&j, e, live);
	add_policies(&j, e);
	add_hints(&j, e);
	text_add(out, SLICE("}\n"));
}
