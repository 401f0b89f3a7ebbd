/* SPDX-License-Identifier: Apache-2.0
 *
 * diagnostics.c - what documents, each fine by itself, say together and surely do not mean
 * (spec/gateway.md 16, spec/virtual-service.md 16). Nothing here changes what is served. */
#include "proxy/snapshot/build_priv.h"

#include "proxy/route/host_map.h"
#include "sallyport/resource/authorization_policy.h"
#include "sallyport/resource/request_authentication.h"
#include "sallyport/resource/service.h"

/* ---- gateways ---- */

/* Which lists of VirtualServices its servers read. */
static unsigned gateway_routes(const struct gateway *g)
{
	unsigned kinds = 0;

	for (size_t i = 0; i < g->servers.count; i++)
		kinds |= server_routes(&g->servers.items[i]);
	return kinds;
}

/* Are all of its servers without need for a VirtualService? */
static bool needs_no_service(const struct gateway *g)
{
	for (size_t i = 0; i < g->servers.count; i++) {
		const struct server *s = &g->servers.items[i];
		bool redirects = s->family == SERVER_HTTP && s->tls != NULL && s->tls->https_redirect;

		if (server_routes(s) != 0 && !redirects)
			return false;
	}
	return true;
}

/* Which lists a VirtualService has. */
static unsigned service_routes(const struct virtual_service *vs)
{
	return (vs->http.count != 0 ? ROUTES_HTTP : 0) | (vs->tls.count != 0 ? ROUTES_TLS : 0) |
	       (vs->tcp.count != 0 ? ROUTES_TCP : 0);
}

/* A redirect to nowhere: the client comes to a closed door. */
static void check_redirects(struct snapshot_builder *b, const struct gateway *g)
{
	for (size_t i = 0; i < g->servers.count; i++) {
		const struct server *s = &g->servers.items[i];

		if (s->family != SERVER_HTTP || s->tls == NULL || !s->tls->https_redirect)
			continue;
		for (size_t k = 0; k < s->hosts.count; k++) {
			struct slice host = s->hosts.items[k].host;

			/* As a name it is found by a wildcard that covers it; as a pattern only by itself. */
			if (host_map_find(b->s->https_hosts, host) == NULL &&
			    host_map_get(b->s->https_hosts, host) == NULL)
				build_warning(b, g->meta, s->hosts.items[k].where, "httpsRedirect sends clients "
					      "of %.*s to https, where no server of this proxy has that host",
					      SLICE_ARG(host));
		}
	}
}

/* Servers of HTTP whose VirtualServices have routes of other kinds alone. Those of TCP and PASSTHROUGH are
 * told of where their chains are missing. */
static void check_http_servers(struct snapshot_builder *b, const struct bound_gateway *g)
{
	unsigned kinds = 0;

	for (size_t i = 0; i < g->services.count; i++)
		kinds |= service_routes(g->services.items[i]->service);
	for (size_t i = 0; i < g->gateway->servers.count && (kinds & ROUTES_HTTP) == 0; i++) {
		const struct server *s = &g->gateway->servers.items[i];

		if (server_routes(s) == ROUTES_HTTP && (s->tls == NULL || !s->tls->https_redirect))
			build_warning(b, g->gateway->meta, s->where, "server %.*s answers every request with 404: "
				      "the VirtualServices bound to this Gateway have no http routes",
				      SLICE_ARG(s->port_name));
	}
}

static void check_gateway(struct snapshot_builder *b, const struct bound_gateway *g)
{
	check_redirects(b, g->gateway);
	if (needs_no_service(g->gateway))
		return;
	if (g->services.count == 0)
		build_warning(b, g->gateway->meta, NOWHERE, "no VirtualService is bound to it: write gateways: "
			      "[%.*s] into one", SLICE_ARG(g->id));
	else
		check_http_servers(b, g);
}

/* ---- virtual services ---- */

/* Which lists the servers read that it is bound to. */
static unsigned wanted_routes(const struct snapshot_builder *b, const struct virtual_service *vs)
{
	unsigned kinds = 0;

	for (size_t i = 0; i < b->gateways.count; i++) {
		const struct gateway *g = b->gateways.items[i]->gateway;

		if (gateway_refs_name(vs->gateways.items, vs->gateways.count, g->meta->ns, g->meta->name))
			kinds |= gateway_routes(g);
	}
	return kinds;
}

static void check_values(struct snapshot_builder *b, const struct meta *m, const struct header_value *items,
			 size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t p = 0; p < items[i].format.count; p++)
			if (!format_op_is_known(items[i].format.items[p].op))
				build_warning(b, m, items[i].where, "header %.*s: %%%s%% " DECODE_NOT_OBEYED
					      ": it is always empty", SLICE_ARG(items[i].name),
					      format_op_name(items[i].format.items[p].op));
}

static void check_policy(struct snapshot_builder *b, const struct meta *m, const struct headers_policy *p)
{
	const struct header_ops *const ops[] = { &p->request, &p->response };

	for (size_t i = 0; i < COUNT_OF(ops); i++) {
		check_values(b, m, ops[i]->set.items, ops[i]->set.count);
		check_values(b, m, ops[i]->add.items, ops[i]->add.count);
	}
}

static void check_headers(struct snapshot_builder *b, const struct virtual_service *vs)
{
	for (size_t i = 0; i < vs->http.count; i++) {
		const struct http_route *r = &vs->http.items[i];

		if (r->headers != NULL)
			check_policy(b, vs->meta, r->headers);
		for (size_t k = 0; k < r->route.count; k++)
			check_policy(b, vs->meta, &r->route.items[k].headers);
	}
}

static const struct {
	enum route_kind kind;
	const char *name, *server;
} route_kinds[] = {
	{ ROUTES_HTTP, "http", "no HTTP server and no server that ends TLS for HTTP" },
	{ ROUTES_TLS, "tls", "no server of mode PASSTHROUGH" },
	{ ROUTES_TCP, "tcp", "no TCP server and no server that ends TLS for TCP" },
};

/* `has`: the lists it has; `wanted`: those that the servers it is bound to read. */
static void check_kinds(struct snapshot_builder *b, const struct bound_service *s, unsigned has, unsigned wanted)
{
	const struct virtual_service *vs = s->service;

	for (size_t i = 0; i < COUNT_OF(route_kinds); i++)
		if ((has & ~wanted & route_kinds[i].kind) != 0)
			build_warning(b, vs->meta, vs->where, "its %s routes have no effect: its Gateways have %s",
				      route_kinds[i].name, route_kinds[i].server);
	if ((has & wanted) != 0 && !s->reaches_host) {
		build_warning(b, vs->meta, vs->hosts.items[0].where, "none of its hosts is a host of its "
			      "Gateways: %s", (has & wanted & ROUTES_HTTP) != 0 ?
			      "requests for them get 404" : "nothing comes to it");
		return;
	}
	if (s->http.count == 0)
		has &= ~(unsigned)ROUTES_HTTP;		/* its delegates are missing, as was told */
	for (size_t i = 0; i < COUNT_OF(route_kinds); i++)
		if ((has & wanted & ~s->used & route_kinds[i].kind) != 0)
			build_warning(b, vs->meta, vs->where, "all of its %s routes are for other ports or "
				      "Gateways: none is served", route_kinds[i].name);
}

static const struct claim_match *first_claim(const struct virtual_service *vs)
{
	for (size_t i = 0; i < vs->http.count; i++)
		for (size_t k = 0; k < vs->http.items[i].match.count; k++) {
			const struct http_match *m = &vs->http.items[i].match.items[k];

			if (m->claims.count > 0)
				return &m->claims.items[0];
			if (m->without_claims.count > 0)
				return &m->without_claims.items[0];
		}
	return NULL;
}

static void check_claims(struct snapshot_builder *b, const struct virtual_service *vs)
{
	const struct claim_match *c = first_claim(vs);

	if (c != NULL && !b->s->gateway_verifies_tokens)
		build_warning(b, vs->meta, c->where, "no RequestAuthentication reaches this proxy: requests have no "
			      "claims, and routes that ask for one are never taken");
}

static void check_service(struct snapshot_builder *b, const struct bound_service *s)
{
	const struct virtual_service *vs = s->service;

	if (!s->has_gateway)
		return;			/* told where its gateways were bound, or those are not ours */
	check_headers(b, vs);
	check_claims(b, vs);
	check_kinds(b, s, service_routes(vs), wanted_routes(b, vs));
}

/* ---- policies ---- */

struct workload_search {
	const struct policy_target *target;
	struct slice ns, root;
};

static bool reaches(const struct workload_search *w, struct slice ns, const struct string_entry *labels,
		    size_t count)
{
	return policy_reaches(w->target, w->ns, w->root, ns, labels, count);
}

static bool reaches_entry(const struct workload_search *w, const struct service_entry *e)
{
	if (reaches(w, e->meta->ns, e->meta->labels.items, e->meta->labels.count))
		return true;
	for (size_t i = 0; i < e->endpoints.count; i++)
		if (reaches(w, e->meta->ns, e->endpoints.items[i].labels.items,
			    e->endpoints.items[i].labels.count))
			return true;
	return false;
}

static bool reaches_any(const struct snapshot_builder *b, const struct workload_search *w)
{
	const struct proxy_settings *proxy = b->set->proxy;
	const struct resource_set *set = b->set;

	if (reaches(w, proxy->meta->ns, proxy->labels.items, proxy->labels.count))
		return true;
	for (size_t i = 0; i < set->workload_entries.count; i++) {
		const struct workload_entry *e = set->workload_entries.items[i];

		if (reaches(w, e->meta->ns, e->workload.labels.items, e->workload.labels.count))
			return true;
	}
	for (size_t i = 0; i < set->service_entries.count; i++)
		if (reaches_entry(w, set->service_entries.items[i]))
			return true;
	for (size_t i = 0; i < set->services.count; i++) {
		const struct service *s = set->services.items[i];

		if (reaches(w, s->meta->ns, s->selector.items, s->selector.count))
			return true;
	}
	return false;
}

static void check_target(struct snapshot_builder *b, const struct meta *m, const struct policy_target *t)
{
	const struct workload_search w = { t, m->ns, b->set->proxy->mesh.root_namespace };
	struct slice labels;

	if (reaches_any(b, &w))
		return;
	if (t->refs.count > 0) {
		if (target_ref_is_gateway(&t->refs.items[0]))
			build_warning(b, m, t->refs.items[0].where, "it protects nothing: neither this proxy nor any "
				      "workload in namespace %.*s has the label " GATEWAY_NAME_LABEL "=%.*s",
				      SLICE_ARG(m->ns), SLICE_ARG(t->refs.items[0].name));
		return;
	}
	labels = labels_text(b->arena, t->match_labels.items, t->match_labels.count);
	if (t->match_labels.count == 0)
		build_warning(b, m, NOWHERE, "it protects nothing: neither this proxy nor any workload is in "
			      "namespace %.*s; move it to %.*s to reach all", SLICE_ARG(m->ns), SLICE_ARG(w.root));
	else
		build_warning(b, m, t->match_labels.items[0].where, "it protects nothing: no workload that namespace "
			      "%.*s reaches has the labels %.*s: write them at the endpoints of its "
			      "ServiceEntry; this proxy is in %.*s and has %.*s",
			      SLICE_ARG(m->ns), SLICE_ARG(labels), SLICE_ARG(b->set->proxy->meta->ns),
			      SLICE_ARG(b->s->gateway_labels));
}

static void check_policies(struct snapshot_builder *b)
{
	for (size_t i = 0; i < b->set->request_authentications.count; i++) {
		const struct request_authentication *r = b->set->request_authentications.items[i];

		check_target(b, &r->meta, &r->target);
	}
	for (size_t i = 0; i < b->set->authorization_policies.count; i++) {
		const struct authorization_policy *p = b->set->authorization_policies.items[i];

		check_target(b, &p->meta, &p->target);
		if (p->action == POLICY_CUSTOM && p->rules.count > 0 &&
		    extension_provider_find(b->set->proxy, p->provider) == NULL)
			build_warning(b, &p->meta, p->meta.where, "Proxy.spec.mesh.extensionProviders has no provider "
				      "%.*s: what the rules match is refused with 403", SLICE_ARG(p->provider));
	}
}

/* A Service that would map ports in a cluster only if it stood beside the gateway (D2). */
static void check_port_services(struct snapshot_builder *b)
{
	const struct proxy_settings *proxy = b->set->proxy;

	for (size_t i = 0; i < b->set->services.count; i++) {
		const struct service *s = b->set->services.items[i];

		if (s->selector.count != 0 && !slice_eq(s->meta->ns, proxy->meta->ns) &&
		    labels_include(proxy->labels.items, proxy->labels.count, s->selector.items,
				   s->selector.count))
			build_note(b, s->meta, NOWHERE, "its selector matches this proxy, but it is in another "
				   "namespace than %.*s: its ports map nothing here", SLICE_ARG(proxy->meta->ns));
	}
}

void diagnose(struct snapshot_builder *b)
{
	for (size_t i = 0; i < b->gateways.count; i++)
		check_gateway(b, b->gateways.items[i]);
	for (size_t i = 0; i < b->services.count; i++)
		check_service(b, b->services.items[i]);
	for (size_t i = 0; i < b->set->virtual_services.count; i++)
		if (b->set->virtual_services.items[i]->hosts.count == 0)
			check_headers(b, b->set->virtual_services.items[i]);
	check_policies(b);
	check_port_services(b);
}
