/* SPDX-License-Identifier: Apache-2.0
 *
 * virtual_hosts.c - the virtual hosts of one chain: hosts that servers and VirtualServices have in
 * common, each with the routes of all VirtualServices that name it (spec/gateway.md 12.2;
 * spec/virtual-service.md 4.2, 4.6, 6.1). */
#include "proxy/snapshot/build_priv.h"

#include <stdlib.h>

#include "proxy/snapshot/services_priv.h"

/* A virtual host while it grows. */
struct draft {
	struct slice domain;
	LIST(const struct route_block *) blocks;
	size_t blocks_room;
	const struct virtual_service *last, *catch_all;	/* the latest to add routes; the first to catch all */
	bool requires_tls;
};

struct assembly {
	struct snapshot_builder *b;
	struct name_map by_domain;
	LIST(struct draft *) drafts;
	size_t drafts_room;
	/* what is being added */
	struct bound_service *service;
	const struct server *server;
	const struct route_block *block;
};

/* ---- routes of one VirtualService at one server ---- */

enum { TOLD_SHARED_HOST, TOLD_CATCH_ALL };	/* first_telling() */

struct static_filter {
	const struct bound_service *service;
	const struct bound_gateway *gateway;
	uint32_t number;
};

static bool item_applies(struct snapshot_builder *b, const struct http_match *m, const struct static_filter *f)
{
	const struct proxy_settings *proxy = b->set->proxy;
	const struct meta *gateway = f->gateway->gateway->meta;

	if (m->port != 0 && m->port != f->number)
		return false;
	if (m->gateways.count != 0)
		return gateway_refs_name(m->gateways.items, m->gateways.count, gateway->ns, gateway->name);
	if (m->source_namespace.len != 0 && !slice_eq(m->source_namespace, proxy->meta->ns))
		return false;
	return labels_include(proxy->labels.items, proxy->labels.count, m->source_labels.items,
			      m->source_labels.count);
}

static struct slice route_name(struct arena *a, const struct http_route *r, const struct http_match *m)
{
	if (m == NULL || m->name.len == 0)
		return r->name.len != 0 ? r->name : NO_SLICE;
	if (r->name.len == 0)
		return m->name;
	return slice_of(arena_printf(a, "%.*s.%.*s", SLICE_ARG(r->name), SLICE_ARG(m->name)));
}

static void add_target(struct snapshot_builder *b, struct route *r, const struct route_destination *d,
		       uint32_t number)
{
	struct route_target *t = &r->targets.items[r->targets.count++];

	t->cluster = service_registry_cluster(b->registry, &d->destination, r->service->meta, number,
					      &t->cluster_name);
	t->weight = d->weight;
	t->headers = &d->headers;
	r->weight_sum += d->weight;
}

static void add_targets(struct snapshot_builder *b, struct route *r, uint32_t number)
{
	const struct http_route *source = r->source;

	r->fused_headers = source->route.count == 1;
	r->targets.items = source->route.count == 1 ? &r->only :
			   arena_array(b->arena, struct route_target, source->route.count);
	for (size_t i = 0; i < source->route.count; i++)
		if (source->route.count == 1 || source->route.items[i].weight != 0)
			add_target(b, r, &source->route.items[i], number);
}

static void add_mirror(struct snapshot_builder *b, struct route *r, struct route_mirror *items,
		       const struct destination *to, const struct meta *of, uint32_t per_million, uint32_t number)
{
	struct route_mirror *m = &items[r->mirror_count++];

	m->cluster = service_registry_mirror_cluster(b->registry, to, of, number, &m->cluster_name);
	m->per_million = per_million;
	r->mirrors = items;
}

/* `mirror` and `mirrors` exclude each other in one document; a delegate may get one from its root. */
static void add_mirrors(struct snapshot_builder *b, struct route *r, const struct served_route *from,
			uint32_t number)
{
	const struct http_route *source = r->source;
	struct route_mirror *items;

	if (source->mirror == NULL && source->mirrors.count == 0)
		return;
	items = arena_array(b->arena, struct route_mirror, source->mirrors.count + 1);
	if (source->mirror != NULL)
		add_mirror(b, r, items, source->mirror, from->mirror_of, http_route_mirror_share(source), number);
	for (size_t i = 0; i < source->mirrors.count; i++) {
		const struct mirror *m = &source->mirrors.items[i];

		add_mirror(b, r, items, &m->destination, from->mirrors_of,
			   m->percentage.set ? m->percentage.per_million : PER_MILLION, number);
	}
}

static void make_forward(struct snapshot_builder *b, struct route *r, const struct served_route *from,
			 uint32_t number)
{
	const struct retry_policy *of_mesh = b->set->proxy->mesh.default_retries;

	r->retries = r->source->retries != NULL ? r->source->retries :
		     of_mesh != NULL ? of_mesh : &retry_policy_default;
	r->fault = r->source->fault;
	add_targets(b, r, number);
	add_mirrors(b, r, from, number);
	r->has_fault = r->fault != NULL;
	r->has_mirrors = r->mirrors != NULL;
}

/* More than one has only what a delegate got from its root. */
static enum route_action route_action_of(const struct http_route *source)
{
	return source->redirect != NULL	       ? ROUTE_REDIRECT
	       : source->direct_response != NULL ? ROUTE_DIRECT_RESPONSE
						 : ROUTE_FORWARD;
}

/* Returns whether it catches everything: then nothing behind it in this VirtualService counts. */
static bool add_route(struct snapshot_builder *b, struct route_block *block, const struct static_filter *f,
		      const struct served_route *from, const struct http_match *m)
{
	struct route *r = &block->routes.items[block->routes.count++];

	r->action = route_action_of(from->route);
	r->source = from->route;
	r->service = from->of;
	r->match = m;
	r->name = route_name(b->arena, from->route, m);
	r->timeout_ms = from->route->timeout_ms;
	if (r->action == ROUTE_FORWARD)
		make_forward(b, r, from, f->number);
	route_compile(b->s->compiler, r);
	return r->catch_all;
}

static bool add_items(struct snapshot_builder *b, struct route_block *block, const struct static_filter *f,
		      const struct served_route *from)
{
	const struct http_route *source = from->route;

	if (source->match.count == 0)
		return add_route(b, block, f, from, NULL);
	for (size_t i = 0; i < source->match.count; i++)
		if (item_applies(b, &source->match.items[i], f) &&
		    add_route(b, block, f, from, &source->match.items[i]))
			return true;
	return false;
}

static size_t routes_at_most(const struct bound_service *s)
{
	size_t count = 0;

	for (size_t i = 0; i < s->http.count; i++)
		count += s->http.items[i].route->match.count != 0 ? s->http.items[i].route->match.count : 1;
	return count;
}

static const struct route_block *make_block(struct snapshot_builder *b, const struct static_filter *f)
{
	struct route_block *block = arena_new(b->arena, struct route_block);

	block->routes.items = arena_array(b->arena, struct route, routes_at_most(f->service));
	for (size_t i = 0; i < f->service->http.count; i++)
		if (add_items(b, block, f, &f->service->http.items[i]))
			break;
	return block;
}

/* Made once for each VirtualService, Gateway and port, however many servers and hosts share it. */
static const struct route_block *block_of(struct snapshot_builder *b, const struct static_filter *f)
{
	struct { const void *service, *gateway; uint64_t number; } key = { f->service, f->gateway, f->number };
	const struct route_block *block = name_map_get(&b->blocks, slice_make(&key, sizeof(key)));

	if (block == NULL) {
		block = make_block(b, f);
		name_map_put(&b->blocks, arena_slice(b->arena, slice_make(&key, sizeof(key))), (void *)block);
	}
	return block;
}

/* ---- virtual hosts ---- */

static struct draft *draft_of(struct assembly *x, struct slice domain)
{
	struct draft *d = name_map_get(&x->by_domain, domain);

	if (d != NULL)
		return d;
	d = arena_new(x->b->arena, struct draft);
	d->domain = domain;
	name_map_put(&x->by_domain, domain, d);
	LIST_GROW(x->b->arena, x->drafts, x->drafts_room);
	x->drafts.items[x->drafts.count++] = d;
	return d;
}

bool first_telling(struct snapshot_builder *b, const void *one, const void *other, uintptr_t what)
{
	struct { const void *one, *other; uintptr_t what; } key = { one, other, what };
	struct slice text = slice_make(&key, sizeof(key));

	if (name_map_get(&b->told, text) != NULL)
		return false;
	name_map_put(&b->told, arena_slice(b->arena, text), b);
	return true;
}

static bool ends_in_catch_all(const struct route_block *block)
{
	return block->routes.count != 0 && block->routes.items[block->routes.count - 1].catch_all;
}

/* Which of two VirtualServices comes first is often not what their authors think of (D12). */
static void tell_shared_host(struct assembly *x, const struct draft *d)
{
	const struct virtual_service *now = x->service->service;
	bool catches = ends_in_catch_all(x->block);

	if (d->last != NULL && d->last != now && first_telling(x->b, d->last, now, TOLD_SHARED_HOST))
		build_warning(x->b, now->meta, now->where, "host %.*s is also that of VirtualService %.*s/%.*s, "
			      "whose routes come first (order: creation time, namespace, name)",
			      SLICE_ARG(d->domain), SLICE_ARG(d->last->meta->ns), SLICE_ARG(d->last->meta->name));
	if (catches && d->catch_all != NULL && d->catch_all != now &&
	    first_telling(x->b, d->catch_all, now, TOLD_CATCH_ALL))
		build_warning(x->b, now->meta, now->where, "its route for everything is never reached at host "
			      "%.*s: VirtualService %.*s/%.*s comes first and has one too",
			      SLICE_ARG(d->domain), SLICE_ARG(d->catch_all->meta->ns),
			      SLICE_ARG(d->catch_all->meta->name));
}

static void take_domain(void *arg, struct slice domain)
{
	struct assembly *x = arg;
	struct draft *d;

	x->service->reaches_host = true;
	if (x->block->routes.count == 0)
		return;
	d = draft_of(x, domain);
	if (d->blocks.count != 0 && d->blocks.items[d->blocks.count - 1] == x->block)
		return;
	tell_shared_host(x, d);
	LIST_GROW(x->b->arena, d->blocks, d->blocks_room);
	d->blocks.items[d->blocks.count++] = x->block;
	d->last = x->service->service;
	if (d->catch_all == NULL && ends_in_catch_all(x->block))
		d->catch_all = d->last;
	x->service->used |= ROUTES_HTTP;
}

static void add_server(struct assembly *x, const struct server_use *u)
{
	x->server = u->server;
	for (size_t i = 0; i < u->gateway->services.count; i++) {
		const struct static_filter f = { u->gateway->services.items[i], u->gateway, u->server->number };

		x->service = u->gateway->services.items[i];
		if (x->service->service->http.count == 0)
			continue;
		x->block = block_of(x->b, &f);
		server_hosts_intersect(u->hosts, x->service->service->meta->ns, x->service->hosts.items,
				       x->service->hosts.count, take_domain, x);
	}
}

/* The server's own hosts, with and without routes; and what VirtualServices got out of them (12.2). */
static void mark_redirects(struct assembly *x, const struct server_use *u)
{
	for (size_t i = 0; i < u->server->hosts.count; i++)
		draft_of(x, u->server->hosts.items[i].host)->requires_tls = true;
}

static void mark_domain(void *arg, struct slice domain)
{
	struct assembly *x = arg;
	struct draft *d = name_map_get(&x->by_domain, domain);

	if (d != NULL)
		d->requires_tls = true;
}

static void mark_intersections(struct assembly *x, const struct server_use *u)
{
	for (size_t i = 0; i < u->gateway->services.count; i++) {
		const struct bound_service *s = u->gateway->services.items[i];
		const struct static_filter f = { s, u->gateway, u->server->number };

		if (s->http.count != 0 && block_of(x->b, &f)->routes.count != 0)
			server_hosts_intersect(u->hosts, s->service->meta->ns, s->hosts.items, s->hosts.count,
					       mark_domain, x);
	}
}

/* A question to the agent has to have room for all of them. */
static void check_claims(void *arg, const struct virtual_host *vh)
{
	const struct claims_asked *asked = virtual_host_claims(vh);
	const struct assembly *x = arg;
	const struct route *const *routes;

	if (asked == NULL || asked->wire.len <= CLAIMS_ASKED_BYTES_MAX)
		return;
	virtual_host_routes(vh, &routes);
	build_problem(x->b, SEVERITY_ERROR, routes[0]->service->meta, routes[0]->service->where, "the routes of host "
		      "%.*s ask for %zu different claims, whose names take %zu bytes: at most %u are possible",
		      SLICE_ARG(virtual_host_domain(vh)), asked->keys.count, asked->wire.len,
		      CLAIMS_ASKED_BYTES_MAX);
}

static const struct route_table *compile_drafts(struct assembly *x)
{
	struct virtual_host_plan *plans = calloc(x->drafts.count + 1, sizeof(*plans));
	const struct route_table *t;

	if (plans == NULL)
		fatal("out of memory for %zu virtual hosts", x->drafts.count);
	for (size_t i = 0; i < x->drafts.count; i++) {
		const struct draft *d = x->drafts.items[i];

		plans[i] = (struct virtual_host_plan){ d->domain, d->blocks.items, d->blocks.count,
						       d->requires_tls };
	}
	t = route_table_compile(x->b->s->compiler, plans, x->drafts.count);
	free(plans);
	route_table_visit(t, check_claims, x);
	return t;
}

const struct route_table *build_routes(struct snapshot_builder *b, const struct server_use *servers,
				       size_t count)
{
	struct assembly x = { .b = b };

	name_map_init(&x.by_domain, b->arena);
	for (size_t i = 0; i < count; i++)
		add_server(&x, &servers[i]);
	for (size_t i = 0; i < count; i++) {
		const struct server *s = servers[i].server;

		if (s->family != SERVER_HTTP || s->tls == NULL || !s->tls->https_redirect)
			continue;
		mark_intersections(&x, &servers[i]);
		mark_redirects(&x, &servers[i]);
	}
	return compile_drafts(&x);
}
