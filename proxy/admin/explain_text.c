/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_text.c - an explanation for people: from the connection inwards, a label in front of each line. */
#include "proxy/admin/explain.h"

#include <stdio.h>

#define LABEL_COLUMNS	15

void explain_say(struct text *out, const char *label, const char *fmt, ...)
{
	char line[4096];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (len >= (int)sizeof(line))
		strcpy(line + sizeof(line) - 4, "...");
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	text_printf(out, "%-*s%s\n", LABEL_COLUMNS, label, line);
}

static void say_certificate(const struct explained_certificate *c, struct text *out)
{
	struct text names;

	if (!c->known)
		return;
	text_init(&names);
	for (size_t i = 0; i < c->names.count; i++)
		text_printf(&names, "%s%.*s", i > 0 ? ", " : "", SLICE_ARG(c->names.items[i]));
	explain_say(out, "Certificate", "%s", names.len > 0 ? names.at : "for no host");
	text_fini(&names);
}

static void say_connection(const struct explained *e, struct text *out)
{
	const struct listener_plan *l = e->listener;
	const struct chain *c = e->chain;

	if (l == NULL) {
		explain_say(out, "Listener", "none: the connection is refused");
		return;
	}
	explain_say(out, "Listener", "%.*s, bound to %s", SLICE_ARG(l->name), l->bind.key);
	if (e->sni.at != NULL)
		explain_say(out, "SNI", "%.*s", SLICE_ARG(e->sni));
	if (c == NULL)
		return;
	explain_say(out, "Gateway", "%.*s, port %u (%s:%u)", SLICE_ARG(c->gateway), c->server_port, c->where.file,
		    c->where.line);
	explain_say(out, "Server", "%.*s: %s, TLS %s", SLICE_ARG(c->name), c->kind == CHAIN_HTTP ? "HTTP" : "TCP",
		    chain_mode(c));
	say_certificate(&e->certificate, out);
	if (e->choice.chain != NULL && e->choice.chain != c)
		explain_say(out, "Served by", "%.*s of Gateway %.*s (%s:%u): same certificate, same demands on clients",
			    SLICE_ARG(e->choice.chain->name), SLICE_ARG(e->choice.chain->gateway),
			    e->choice.chain->where.file, e->choice.chain->where.line);
}

static void say_routes(const struct explained *e, struct text *out)
{
	const struct virtual_host *vh = e->choice.host;

	if (e->request == NULL)
		return;
	if (vh == NULL)
		explain_say(out, "Virtual host", "none for %.*s", SLICE_ARG(e->request->authority));
	else
		explain_say(out, "Virtual host", "%.*s, %zu routes%s", SLICE_ARG(virtual_host_domain(vh)),
			    e->routes_total, virtual_host_requires_tls(vh) ? ", https required" : "");
	for (size_t i = 0; i < e->routes.count; i++) {
		const struct explained_route *r = &e->routes.items[i];
		struct where w = explain_where(r->route);

		explain_say(out, i == 0 ? "Routes" : "", "%u %.*s %.*s/%.*s (%s:%u): %s", r->route->index,
			    SLICE_ARG(r->route->name.len > 0 ? r->route->name : SLICE("-")),
			    SLICE_ARG(r->route->service->meta->ns), SLICE_ARG(r->route->service->meta->name), w.file,
			    w.line, r->held ? "holds" : r->why);
	}
	if (e->routes.count < e->routes_tried)
		explain_say(out, "", "... of %zu that were tried", e->routes_tried);
}

static void say_headers(const struct headers *h, struct text *out)
{
	for (const struct header *f = headers_begin(h); f != NULL; f = headers_next(h, f))
		explain_say(out, "", "%.*s: %.*s", SLICE_ARG(f->name), SLICE_ARG(f->value));
}

static void say_outcome(const struct explained *e, struct text *out)
{
	char flags[RESPONSE_FLAGS_TEXT_MAX];

	response_flags_text(e->flags, flags);
	if (e->status == 0)
		explain_say(out, "Outcome", "%s", explained_end_name(e->end));
	else
		explain_say(out, "Outcome", "%s: %u %s%s%s", explained_end_name(e->end), e->status, e->details,
			    e->flags != 0 ? ", " : "", e->flags != 0 ? flags : "");
	if (e->response == NULL)
		return;
	explain_say(out, "Response", "%u %.*s", e->response->status, SLICE_ARG(status_reason(e->response->status)));
	say_headers(&e->response->headers, out);
	if (e->body.len > 0)
		explain_say(out, "Body", "%zu bytes: %.*s", e->body.len, (int)(e->body.len < 200 ? e->body.len : 200),
			    e->body.at);
}

/* ---- destinations ---- */

struct endpoints_visit {
	struct text *out;
	size_t count;
};

static void say_endpoint(struct endpoints_visit *v, struct slice address, const char *state, uint32_t weight)
{
	if (v->count++ < EXPLAIN_ENDPOINTS_MAX)
		explain_say(v->out, "Endpoint", "%.*s %s, weight %u", SLICE_ARG(address), state, weight);
}

static void visit_endpoint(void *arg, const struct endpoint *e)
{
	say_endpoint(arg, e->text, e->healthy ? "HEALTHY" : "UNHEALTHY", e->weight);
}

static void say_endpoints(const struct cluster *c, bool live, struct text *out)
{
	struct endpoints_visit v = { .out = out };
	char text[EXPLAIN_ADDRESS_MAX];

	if (live)
		cluster_visit_endpoints(c, visit_endpoint, &v);
	for (size_t i = 0; !live && i < c->endpoints.count; i++)
		say_endpoint(&v, explain_endpoint(&c->endpoints.items[i], text),
			     c->endpoints.items[i].healthy ? "as declared" : "UNHEALTHY",
			     c->endpoints.items[i].weight);
	if (v.count == 0)
		explain_say(out, "Endpoint", "none");
	else if (v.count > EXPLAIN_ENDPOINTS_MAX)
		explain_say(out, "", "... of %zu", v.count);
}

static void say_targets(const struct explained *e, bool live, struct text *out)
{
	for (size_t i = 0; i < e->targets.count; i++) {
		const struct explained_target *t = &e->targets.items[i];

		if (t->cluster == NULL) {
			explain_say(out, "Cluster", "%.*s, weight %u of %llu: there is none", SLICE_ARG(t->cluster_name),
				    t->weight, (unsigned long long)e->weight_sum);
			continue;
		}
		explain_say(out, "Cluster", "%.*s, weight %u of %llu (%s:%u)", SLICE_ARG(t->cluster_name), t->weight,
			    (unsigned long long)e->weight_sum, t->cluster->where.file, t->cluster->where.line);
		say_endpoints(t->cluster, live, out);
		if (t->upstream == NULL)
			continue;
		explain_say(out, "Upstream", "%.*s %.*s", SLICE_ARG(t->upstream->method), SLICE_ARG(t->upstream->path));
		explain_say(out, "", "host: %.*s", SLICE_ARG(t->upstream->authority));
		say_headers(&t->upstream->headers, out);
	}
}

static double percent(uint32_t per_million)
{
	return per_million / (PER_MILLION / 100.0);
}

static void say_actions(const struct explained *e, struct text *out)
{
	const struct route *r = e->choice.route;
	const struct retry_policy *p;
	char on[EXPLAIN_RETRY_ON_MAX];

	if (r == NULL || r->action != ROUTE_FORWARD)
		return;
	if (r->timeout_ms > 0)
		explain_say(out, "Timeout", "%lld ms", (long long)r->timeout_ms);
	p = r->retries;
	explain_say(out, "Retries", "%u on %s", p->attempts, explain_retry_on(p, on));
	if (p->per_try_timeout_ms > 0)
		explain_say(out, "", "each within %lld ms", (long long)p->per_try_timeout_ms);
	if (r->fault != NULL && r->fault->delay_ms > 0)
		explain_say(out, "Fault", "%g %% wait for %lld ms", percent(r->fault->delay_per_million),
			    (long long)r->fault->delay_ms);
	if (r->fault != NULL && r->fault->abort != ABORT_NONE)
		explain_say(out, "Fault", "%g %% end with %s status %u", percent(r->fault->abort_per_million),
			    r->fault->abort == ABORT_GRPC ? "gRPC" : "HTTP", r->fault->abort_status);
	for (uint32_t i = 0; i < r->mirror_count; i++)
		explain_say(out, "Mirror", "%g %% to %.*s%s", percent(r->mirrors[i].per_million),
			    SLICE_ARG(r->mirrors[i].cluster_name),
			    r->mirrors[i].cluster == NULL ? ": there is none" : "");
	if (r->has_cors)
		explain_say(out, "CORS", "origin %.*s", SLICE_ARG(e->choice.cors_origin.at != NULL ?
			e->choice.cors_origin : SLICE("absent, or not allowed")));
}

static void say_policies(const struct explained *e, struct text *out)
{
	for (size_t i = 0; i < e->policies.count; i++) {
		const struct explained_policy *p = &e->policies.items[i];

		explain_say(out, "Policy", "%s %.*s/%.*s%s%s%s, at the %s (%s:%u)", p->meta->kind,
			    SLICE_ARG(p->meta->ns), SLICE_ARG(p->meta->name), p->action[0] != '\0' ? " " : "",
			    p->action, p->dry_run ? ", on trial" : "",
			    !p->at_destination ? "gateway" : p->at_gateway ? "gateway and the destination" : "destination",
			    p->meta->where.file, p->meta->where.line);
	}
}

static void say_verdict(const struct explained_verdict *v, struct text *out)
{
	struct slice by = v->why.len > 0 ? v->why : v->policy;

	if (!v->asked)
		return;
	if (v->outcome == AUTHZ_FAILED)
		explain_say(out, "Verdict", "none: %s", v->cause);
	else
		explain_say(out, "Verdict", "%s%s%.*s", v->outcome == AUTHZ_ALLOWED ? "allowed" : "denied",
			    by.len > 0 ? ": " : "", SLICE_ARG(by));
	if (v->principal.len > 0)
		explain_say(out, "", "principal %.*s", SLICE_ARG(v->principal));
	if (v->shadow.len > 0)
		explain_say(out, "", "on trial: %.*s", SLICE_ARG(v->shadow));
}

void explain_add_text(const struct explained *e, bool live, const struct explain_more *more,
		      struct text *out)
{
	if (e->request != NULL)
		explain_say(out, "Request", "%.*s %.*s://%.*s%.*s", SLICE_ARG(e->request->method),
			    SLICE_ARG(e->request->scheme), SLICE_ARG(e->request->authority),
			    SLICE_ARG(e->request->path));
	say_connection(e, out);
	say_routes(e, out);
	say_outcome(e, out);
	say_actions(e, out);
	say_targets(e, live, out);
	say_policies(e, out);
	say_verdict(&e->verdict, out);
	if (more != NULL)
		more->text(more->arg, out);
	for (size_t i = 0; i < e->hints.count; i++)
		explain_say(out, "Hint", "%s", e->hints.items[i]);
}
