/* SPDX-License-Identifier: Apache-2.0
 *
 * tcp_routes.c - where the bytes of a server go that reads no HTTP: by the tcp routes of VirtualServices, by
 * their tls routes, or by the services that clients name (spec/gateway.md 7.4, 13, 14;
 * spec/virtual-service.md 10, 11). */
#include "proxy/snapshot/build_priv.h"

#include "proxy/snapshot/services_priv.h"
#include "sallyport/hostname.h"

unsigned server_routes(const struct server *s)
{
	switch (s->family) {
	case SERVER_HTTP:
	case SERVER_HTTPS:
		return ROUTES_HTTP;
	case SERVER_TLS:
	case SERVER_TCP:
		return ROUTES_TCP;
	case SERVER_PASSTHROUGH:
		return s->tls->mode == SERVER_TLS_PASSTHROUGH ? ROUTES_TLS : 0;
	}
	return 0;
}

static void note_meeting(void *arg, struct slice domain)
{
	(void)domain;
	*(bool *)arg = true;
}

/* Any of these, for a VirtualService of this namespace. */
static bool has_host(const struct server_use *u, struct slice ns, const struct slice *hosts, size_t count)
{
	bool meets = false;

	server_hosts_intersect(u->hosts, ns, hosts, count, note_meeting, &meets);
	return meets;
}

/* Has the server any of its hosts in common with the VirtualService (7.4)? */
static bool meets_service(const struct server_use *u, struct bound_service *s)
{
	bool meets = has_host(u, s->service->meta->ns, s->hosts.items, s->hosts.count);

	s->reaches_host = s->reaches_host || meets;
	return meets;
}

/* Subnets and sources are not looked at by a gateway; documents that name them were warned of. */
static bool item_applies(const struct server_use *u, const struct l4_match *m)
{
	const struct meta *gateway = u->gateway->gateway->meta;

	return (m->port == 0 || m->port == u->server->number) &&
	       (m->gateways.count == 0 ||
		gateway_refs_name(m->gateways.items, m->gateways.count, gateway->ns, gateway->name));
}

static bool route_applies(const struct server_use *u, const struct l4_route *r)
{
	if (r->route.count == 0)
		return false;
	for (size_t i = 0; i < r->match.count; i++)
		if (item_applies(u, &r->match.items[i]))
			return true;
	return r->match.count == 0;
}

/* ---- destinations ---- */

static void add_target(struct snapshot_builder *b, struct tcp_route *r, const struct destination *to,
		       const struct meta *document, uint32_t number, uint32_t weight)
{
	struct tcp_target *t = &r->targets.items[r->targets.count++];

	t->cluster = service_registry_tcp_cluster(b->registry, to, document, number, &t->cluster_name);
	t->weight = weight;
	r->total_weight += weight;
}

static void set_times(struct snapshot_builder *b, struct tcp_route *r, const struct destination *first,
		      const struct meta *document, uint32_t number)
{
	r->idle_timeout_ms = b->set->proxy->limits.tcp_idle_ms;
	service_registry_session_times(b->registry, first, document, number, &r->idle_timeout_ms,
				       &r->max_duration_ms);
}

static const struct tcp_route *make_route(struct snapshot_builder *b, const struct virtual_service *vs,
					  const struct l4_route *source, uint32_t number)
{
	struct tcp_route *r = arena_new(b->arena, struct tcp_route);

	r->name = namespaced_name(b->arena, vs->meta->ns, vs->meta->name);
	r->service = vs;
	r->where = source->where;
	r->targets.items = arena_array(b->arena, struct tcp_target, source->route.count);
	for (size_t i = 0; i < source->route.count; i++)
		if (source->route.count == 1 || source->route.items[i].weight != 0)
			add_target(b, r, &source->route.items[i].destination, vs->meta, number,
				   source->route.items[i].weight);
	set_times(b, r, &source->route.items[0].destination, vs->meta, number);
	return r;
}

/* ---- tcp routes (13) ---- */

/* What stands behind the first one that applies: of the same VirtualService, decoding has told already
 * where the first has no match. */
static void tell_dead(struct snapshot_builder *b, const struct server_use *u, const struct virtual_service *vs,
		      const struct l4_route *dead, const struct tcp_route *first, const struct l4_route *source)
{
	if ((vs == first->service && source->match.count == 0) || !first_telling(b, dead, source, 0))
		return;
	build_warning(b, vs->meta, dead->where, "this tcp route is never used on port %u: that of VirtualService "
		      "%.*s at %s:%u takes every connection", u->server->number, SLICE_ARG(first->name),
		      first->where.file, first->where.line);
}

const struct tcp_route *build_tcp_route(struct snapshot_builder *b, const struct server_use *u)
{
	const struct tcp_route *first = NULL;
	const struct l4_route *source = NULL;

	for (size_t i = 0; i < u->gateway->services.count; i++) {
		struct bound_service *s = u->gateway->services.items[i];
		const struct virtual_service *vs = s->service;

		if (vs->tcp.count == 0 || !meets_service(u, s))
			continue;
		for (size_t k = 0; k < vs->tcp.count; k++) {
			if (!route_applies(u, &vs->tcp.items[k]))
				continue;
			s->used |= ROUTES_TCP;	/* dead ones are told of one by one */
			if (first != NULL) {
				tell_dead(b, u, vs, &vs->tcp.items[k], first, source);
				continue;
			}
			source = &vs->tcp.items[k];
			first = make_route(b, vs, source, u->server->number);
		}
	}
	return first;
}

/* ---- tls routes (14.1) ---- */

/* The names are live all the same: server hosts only say which VirtualServices belong here. */
static void tell_strangers(struct snapshot_builder *b, const struct server_use *u, const struct meta *m,
			   const struct l4_match *item)
{
	for (size_t i = 0; i < item->sni_hosts.count; i++) {
		const struct located_slice *name = &item->sni_hosts.items[i];

		if (!has_host(u, m->ns, &name->text, 1) && first_telling(b, name, u->server, 0))
			build_warning(b, m, name->where, "%.*s is served although server %.*s of Gateway %.*s has "
				      "no such host", SLICE_ARG(name->text), SLICE_ARG(u->server->port_name),
				      SLICE_ARG(u->gateway->id));
	}
}

void build_tls_routes(struct snapshot_builder *b, const struct server_use *u,
		      bool (*take)(void *arg, const struct tcp_route *r, const struct l4_match *m), void *arg)
{
	for (size_t i = 0; i < u->gateway->services.count; i++) {
		struct bound_service *s = u->gateway->services.items[i];
		const struct virtual_service *vs = s->service;

		if (vs->tls.count == 0 || !meets_service(u, s))
			continue;
		for (size_t k = 0; k < vs->tls.count; k++) {
			const struct l4_route *source = &vs->tls.items[k];
			const struct tcp_route *r = NULL;

			for (size_t n = 0; n < source->match.count; n++) {
				if (!item_applies(u, &source->match.items[n]))
					continue;
				s->used |= ROUTES_TLS;	/* names that are taken are told of one by one */
				if (r == NULL)
					r = make_route(b, vs, source, u->server->number);
				if (take(arg, r, &source->match.items[n]))
					tell_strangers(b, u, vs->meta, &source->match.items[n]);
			}
		}
	}
}

/* ---- services by their names (14.2) ---- */

static bool is_within(const struct server *s, struct slice host)
{
	for (size_t i = 0; i < s->hosts.count; i++)
		if (hostname_subset(host, s->hosts.items[i].host))
			return true;
	return false;
}

void build_mesh_routes(struct snapshot_builder *b, const struct server_use *u,
		       void (*take)(void *arg, const struct tcp_route *r, struct slice name), void *arg)
{
	const struct mesh_address *list;
	size_t count = service_registry_mesh_addresses(b->registry, &list);

	for (size_t i = 0; i < count; i++) {
		const struct mesh_address *at = &list[i];
		struct tcp_route *r;

		if (!is_within(u->server, at->to.host))
			continue;
		r = arena_new(b->arena, struct tcp_route);
		r->name = namespaced_name(b->arena, at->document->ns, at->document->name);
		r->where = at->document->where;
		r->targets.items = arena_array(b->arena, struct tcp_target, 1);
		add_target(b, r, &at->to, at->document, at->to.port, 1);
		set_times(b, r, &at->to, at->document, at->to.port);
		take(arg, r, slice_of(arena_printf(b->arena, "outbound_.%u_.%.*s_.%.*s", at->to.port,
						   SLICE_ARG(at->to.subset), SLICE_ARG(at->to.host))));
	}
}
