/* SPDX-License-Identifier: Apache-2.0
 *
 * chains.c - the servers that share a listener as its chains: what each carries, to where, and by which
 * server names it is chosen (spec/gateway.md 3, 8-10, 13, 14). */
#include "proxy/snapshot/build_priv.h"

#include "proxy/route/host_map.h"
#include "proxy/snapshot/services_priv.h"

/* A listener while it gets its chains. */
struct assembly {
	struct snapshot_builder *b;
	struct listener_plan *listener;
	struct host_map *names;
	size_t room;
	const struct server_use *server;	/* whose chains are being added */
	size_t added;				/* of this server */
};

static const struct meta *gateway_meta(const struct server_use *u)
{
	return u->gateway->gateway->meta;
}

static void add_chain(struct assembly *x, struct chain *c)
{
	LIST_GROW(x->b->arena, x->listener->chains, x->room);
	x->listener->chains.items[x->listener->chains.count++] = c;
	x->added++;
}

/* One that is chosen by server name. */
static void add_named_chain(struct assembly *x, struct chain *c)
{
	x->listener->sni = x->names;
	add_chain(x, c);
}

/* "https.443.web.gateway.default", or the name that the server has. */
static struct slice chain_name(struct arena *a, const struct server_use *u, const char *kind)
{
	if (u->server->name.len != 0)
		return u->server->name;
	return slice_of(arena_printf(a, "%s.%u.%.*s.%.*s.%.*s", kind, u->server->number,
				     SLICE_ARG(u->server->port_name), SLICE_ARG(gateway_meta(u)->name),
				     SLICE_ARG(gateway_meta(u)->ns)));
}

static struct chain *new_chain(struct assembly *x, enum chain_kind kind, const char *name)
{
	const struct server_use *u = x->server;
	struct chain *c = arena_new(x->b->arena, struct chain);

	c->name = chain_name(x->b->arena, u, name);
	c->listener = x->listener;
	c->kind = kind;
	c->gateway = u->gateway->id;
	c->server_port = u->server->number;
	c->where = u->server->where;
	return c;
}

static void take_hosts(struct arena *a, struct chain *c, const struct server *s)
{
	c->domains.items = arena_array(a, struct slice, s->hosts.count);
	for (size_t i = 0; i < s->hosts.count; i++)
		c->domains.items[c->domains.count++] = s->hosts.items[i].host;
}

/* ---- without TLS ---- */

/* All plaintext HTTP servers share one chain and one route table. */
static void add_plain_http(struct assembly *x, struct server_use *const *uses, size_t count)
{
	struct arena *a = x->b->arena;
	struct server_use *plain = arena_array(a, struct server_use, count);
	size_t plain_count = 0, hosts = 0;
	struct chain *c;

	for (size_t i = 0; i < count; i++)
		if (uses[i]->server->family == SERVER_HTTP) {
			plain[plain_count++] = *uses[i];
			hosts += uses[i]->server->hosts.count;
		}
	x->server = &plain[0];
	c = new_chain(x, CHAIN_HTTP, "http");
	c->name = slice_of(arena_printf(a, "outbound_%.*s", SLICE_ARG(x->listener->name)));
	c->grpc_web = plain[0].server->protocol == GATEWAY_GRPC_WEB;
	c->domains.items = arena_array(a, struct slice, hosts);
	for (size_t i = 0; i < plain_count; i++)
		for (size_t k = 0; k < plain[i].server->hosts.count; k++)
			c->domains.items[c->domains.count++] = plain[i].server->hosts.items[k].host;
	c->routes = build_routes(x->b, plain, plain_count);
	x->listener->plain = c;
	add_chain(x, c);
	sni_add_plain(x->b, x->names, c, gateway_meta(x->server));
}

static void tell_no_route(struct assembly *x, const char *what)
{
	build_warning(x->b, gateway_meta(x->server), x->server->server->where, "server %.*s on port %u is not "
		      "served: %s", SLICE_ARG(x->server->server->port_name), x->server->server->number, what);
}

#define NO_TCP_ROUTE	"no VirtualService bound to it shares a host with it and has tcp routes for this port"
#define NO_TLS_ROUTE	"a server of mode PASSTHROUGH needs a VirtualService with tls routes for this port, " \
			"whose sniHosts nobody else has"
#define NO_MESH_SERVICE	"no Service, and no ServiceEntry of location MESH_INTERNAL, has a host within its hosts"

static void add_plain_tcp(struct assembly *x)
{
	const struct tcp_route *r = build_tcp_route(x->b, x->server);
	struct chain *c;

	if (r == NULL) {
		tell_no_route(x, NO_TCP_ROUTE);
		return;
	}
	c = new_chain(x, CHAIN_TCP, "tcp");
	c->tcp = r;
	take_hosts(x->b->arena, c, x->server->server);
	x->listener->plain = c;
	add_chain(x, c);
	sni_add_plain(x->b, x->names, c, gateway_meta(x->server));
}

/* ---- TLS that ends here ---- */

static void add_https(struct assembly *x)
{
	struct chain *c = new_chain(x, CHAIN_HTTP, "https");

	c->tls = true;
	if (!sni_add_chain(x->b, x->names, c, x->server))
		return;
	take_hosts(x->b->arena, c, x->server->server);
	tls_settings_make(x->b, x->server, &c->tls_settings);
	c->grpc_web = x->server->server->protocol == GATEWAY_GRPC_WEB;
	c->routes = build_routes(x->b, x->server, 1);
	add_named_chain(x, c);
}

static void add_tcp_behind_tls(struct assembly *x)
{
	const struct tcp_route *r = build_tcp_route(x->b, x->server);
	struct chain *c;

	if (r == NULL) {
		tell_no_route(x, NO_TCP_ROUTE);
		return;
	}
	c = new_chain(x, CHAIN_TCP, "tls");
	c->tls = true;
	if (!sni_add_chain(x->b, x->names, c, x->server))
		return;
	c->tcp = r;
	take_hosts(x->b->arena, c, x->server->server);
	tls_settings_make(x->b, x->server, &c->tls_settings);
	add_named_chain(x, c);
}

/* ---- TLS that goes through ---- */

static bool take_item(void *arg, const struct tcp_route *r, const struct l4_match *m)
{
	struct assembly *x = arg;
	struct chain *c = new_chain(x, CHAIN_TCP, "passthrough");

	c->tcp = r;
	c->where = m->where;
	if (!sni_add_item(x->b, x->names, c, r->service->meta, m))
		return false;
	c->domains.items = arena_array(x->b->arena, struct slice, m->sni_hosts.count);
	for (size_t i = 0; i < m->sni_hosts.count; i++)
		c->domains.items[c->domains.count++] = m->sni_hosts.items[i].text;
	add_named_chain(x, c);
	return true;
}

static void take_mesh_service(void *arg, const struct tcp_route *r, struct slice name)
{
	struct assembly *x = arg;
	struct chain *c;

	if (host_map_get(x->names, name) != NULL)
		return;			/* an earlier server has the same service, or this very name */
	c = new_chain(x, CHAIN_TCP, "passthrough");
	c->tcp = r;
	c->needs_mesh_alpn = true;
	c->domains.items = arena_array(x->b->arena, struct slice, 1);
	c->domains.items[c->domains.count++] = name;
	host_map_add(x->names, name, c);
	add_named_chain(x, c);
}

static void add_passthrough(struct assembly *x)
{
	bool by_mesh_name = x->server->server->tls->mode == SERVER_TLS_AUTO_PASSTHROUGH;

	if (by_mesh_name)
		build_mesh_routes(x->b, x->server, take_mesh_service, x);
	else
		build_tls_routes(x->b, x->server, take_item, x);
	if (x->added == 0)
		tell_no_route(x, by_mesh_name ? NO_MESH_SERVICE : NO_TLS_ROUTE);
}

/* ---- all of them ---- */

/* In order; those without TLS come after all others, and do not get here in two kinds (8). */
void build_chains(struct snapshot_builder *b, struct listener_plan *l, struct server_use *const *uses,
		  size_t count)
{
	struct assembly x = { .b = b, .listener = l, .names = host_map_create(b->arena, count) };
	bool has_http = false;

	for (size_t i = 0; i < count; i++) {
		x.server = uses[i];
		x.added = 0;
		switch (uses[i]->server->family) {
		case SERVER_HTTPS:		add_https(&x);			break;
		case SERVER_TLS:		add_tcp_behind_tls(&x);		break;
		case SERVER_PASSTHROUGH:	add_passthrough(&x);		break;
		case SERVER_TCP:		add_plain_tcp(&x);		break;
		case SERVER_HTTP:		has_http = true;		break;
		}
	}
	if (has_http)
		add_plain_http(&x, uses, count);
}
