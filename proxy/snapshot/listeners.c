/* SPDX-License-Identifier: Apache-2.0
 *
 * listeners.c - the servers of all our Gateways merged into listeners (spec/gateway.md 6, 8, 9;
 * spec/README.md D1, D2). */
#include "proxy/snapshot/build_priv.h"

#include "proxy/route/host_map.h"
#include "proxy/snapshot/services_priv.h"
#include "sallyport/resource/service.h"

enum plain_kind { PLAIN_NONE, PLAIN_HTTP, PLAIN_TCP };

/* All servers of one address and port, as they come. */
struct draft {
	struct bind_point bind;
	const struct server *first;
	uint32_t bound;
	bool mapped;
	enum plain_kind plain;
	const struct server_use *plain_owner;	/* the first; for warnings */
	struct name_map claimed;	/* "ns/host" of servers with a tls block -> struct server_use */
	LIST(struct server_use *) servers;	/* accepted */
	size_t room;
};

struct merge {
	struct snapshot_builder *b;
	struct name_map by_key;
	LIST(struct draft *) drafts;
	size_t room;
	bool failed;
};

/* ---- ports (D2) ---- */

/* 0: no Service says anything. */
static uint32_t service_port_of(struct snapshot_builder *b, uint32_t number)
{
	const struct proxy_settings *proxy = b->set->proxy;

	for (size_t i = 0; i < b->set->services.count; i++) {
		const struct service *s = b->set->services.items[i];

		if (s->selector.count == 0 || !slice_eq(s->meta->ns, proxy->meta->ns) ||
		    !labels_include(proxy->labels.items, proxy->labels.count, s->selector.items,
				    s->selector.count))
			continue;
		for (size_t p = 0; p < s->ports.count; p++)
			if (s->ports.items[p].number == number && s->ports.items[p].target_name.at == NULL)
				return s->ports.items[p].target_port != 0 ? s->ports.items[p].target_port : number;
	}
	return 0;
}

static uint32_t bound_port(struct snapshot_builder *b, const struct server *s)
{
	const struct proxy_settings *proxy = b->set->proxy;
	uint32_t port;

	if (s->number == 0)
		return 0;		/* a unix socket */
	for (size_t i = 0; i < proxy->ports.count; i++)
		if (proxy->ports.items[i].number == s->number)
			return proxy->ports.items[i].bound;
	if (s->target_port != 0)
		return s->target_port;
	port = service_port_of(b, s->number);
	return port != 0 ? port : s->number;
}

/* ---- merging (8) ---- */

static struct draft *draft_of(struct merge *m, const struct server_use *u)
{
	const struct server *s = u->server;
	uint32_t bound = bound_port(m->b, s);
	struct bind_point bind;
	struct draft *d;
	char why[160];

	if (!bind_point_make(s, bound, &bind, why, sizeof(why))) {
		build_problem(m->b, SEVERITY_ERROR, u->gateway->gateway->meta, s->where, "%s", why);
		m->failed = true;
		return NULL;
	}
	d = name_map_get(&m->by_key, slice_of(bind.key));
	if (d != NULL) {
		d->mapped = d->mapped || bound != s->number;
		return d;
	}
	d = arena_new(m->b->arena, struct draft);
	d->bind = bind;
	d->first = s;
	d->bound = bound;
	d->mapped = bound != s->number;
	name_map_init(&d->claimed, m->b->arena);
	name_map_put(&m->by_key, slice_of(d->bind.key), d);
	LIST_GROW(m->b->arena, m->drafts, m->room);
	m->drafts.items[m->drafts.count++] = d;
	return d;
}

static void skip(struct merge *m, const struct server_use *u, const struct server_use *because,
		 const char *what)
{
	build_warning(m->b, u->gateway->gateway->meta, u->server->where, "server %.*s on port %u is not served: "
		      "Gateway %.*s, server %.*s in line %u, %s", SLICE_ARG(u->server->port_name),
		      u->server->number, SLICE_ARG(because->gateway->id),
		      SLICE_ARG(because->server->port_name), because->server->where.line, what);
}

static struct slice claim_of(struct merge *m, const struct server_host *h)
{
	return namespaced_name(m->b->arena, h->ns.at != NULL ? h->ns : SLICE("*"), h->host);
}

/* Step A: a host that a server with a tls block has on this port. */
static bool claim_hosts(struct merge *m, struct draft *d, struct server_use *u)
{
	const struct server *s = u->server;

	if (s->tls == NULL)
		return true;
	for (size_t i = 0; i < s->hosts.count; i++) {
		const struct server_use *owner = name_map_get(&d->claimed, claim_of(m, &s->hosts.items[i]));

		if (owner != NULL && owner != u) {
			skip(m, u, owner, "has the same host");
			return false;
		}
	}
	for (size_t i = 0; i < s->hosts.count; i++)
		name_map_put(&d->claimed, claim_of(m, &s->hosts.items[i]), u);
	return true;
}

/* Step B: what shares a port with what. */
static bool may_share(struct merge *m, struct draft *d, const struct server_use *u)
{
	switch (u->server->family) {
	case SERVER_HTTP:
		if (d->plain != PLAIN_TCP)
			return true;
		skip(m, u, d->plain_owner, "has this port for plain TCP");
		return false;
	case SERVER_TCP:
		if (d->plain == PLAIN_NONE)
			return true;
		skip(m, u, d->plain_owner, "has this port already");
		return false;
	case SERVER_HTTPS:
	case SERVER_TLS:
	case SERVER_PASSTHROUGH:
		if (d->plain == PLAIN_NONE)
			return true;
		skip(m, u, d->plain_owner, "has this port without TLS");
		return false;
	}
	return false;
}

static void accept_server(struct merge *m, struct draft *d, struct server_use *u)
{
	enum server_family family = u->server->family;

	if (family == SERVER_HTTP || family == SERVER_TCP) {
		if (d->plain == PLAIN_NONE)
			d->plain_owner = u;
		d->plain = family == SERVER_HTTP ? PLAIN_HTTP : PLAIN_TCP;
	}
	LIST_GROW(m->b->arena, d->servers, d->room);
	d->servers.items[d->servers.count++] = u;
}

/* ISTIO_MUTUAL without the credentials of a workload (10.1): rather no start than an open door. */
static bool has_credentials(struct merge *m, const struct server_use *u)
{
	const struct server_tls *tls = u->server->tls;

	if (tls == NULL || tls->mode != SERVER_TLS_ISTIO_MUTUAL ||
	    m->b->set->proxy->workload_credentials.directory.len != 0)
		return true;
	build_problem(m->b, SEVERITY_ERROR, u->gateway->gateway->meta, tls->where, "ISTIO_MUTUAL needs the "
		      "proxy's own certificate: set Proxy.spec.workloadCredentials.directory to a folder "
		      "with cert-chain.pem, key.pem and root-cert.pem");
	m->failed = true;
	return false;
}

static void merge_servers(struct merge *m)
{
	for (size_t g = 0; g < m->b->gateways.count; g++) {
		struct bound_gateway *gateway = m->b->gateways.items[g];

		for (size_t i = 0; i < gateway->gateway->servers.count; i++) {
			struct server_use *u = arena_new(m->b->arena, struct server_use);
			struct draft *d;

			u->gateway = gateway;
			u->server = &gateway->gateway->servers.items[i];
			if (!has_credentials(m, u))
				continue;
			d = draft_of(m, u);
			if (d != NULL && claim_hosts(m, d, u) && may_share(m, d, u)) {
				u->hosts = server_hosts_create(m->b->arena, u->server);
				accept_server(m, d, u);
			}
		}
	}
}

/* ---- listeners ---- */

static struct slice bind_text(const struct draft *d)
{
	if (d->first->bind_kind == BIND_ANY)
		return SLICE("0.0.0.0");
	return d->first->bind;
}

/* Does its header precede every connection to one of these servers' port? */
static bool speaks_proxy_protocol(const struct merge *m, const struct draft *d)
{
	const struct proxy_settings *proxy = m->b->set->proxy;

	if (!proxy->proxy_protocol.on || proxy->proxy_protocol.ports.count == 0)
		return proxy->proxy_protocol.on;
	for (size_t i = 0; i < proxy->proxy_protocol.ports.count; i++)
		for (size_t k = 0; k < d->servers.count; k++)
			if (d->servers.items[k]->server->number == proxy->proxy_protocol.ports.items[i].number)
				return true;
	return false;
}

static void check_proxy_protocol_ports(struct snapshot_builder *b)
{
	const struct proxy_settings *proxy = b->set->proxy;

	for (size_t i = 0; i < proxy->proxy_protocol.ports.count; i++) {
		const struct proxy_protocol_port *p = &proxy->proxy_protocol.ports.items[i];
		bool served = false;

		for (size_t g = 0; g < b->gateways.count; g++)
			for (size_t k = 0; k < b->gateways.items[g]->gateway->servers.count; k++)
				served |= b->gateways.items[g]->gateway->servers.items[k].number == p->number;
		if (!served)
			build_warning(b, proxy->meta, p->where, "proxyProtocol: no Gateway of this proxy has a server "
				      "on port %u", p->number);
	}
}

/* NULL: nothing in it can be served, the port is not opened. */
static struct listener_plan *make_listener(struct merge *m, const struct draft *d)
{
	struct listener_plan *l = arena_new(m->b->arena, struct listener_plan);

	l->name = slice_of(arena_printf(m->b->arena, "%.*s_%u", SLICE_ARG(bind_text(d)), d->bound));
	l->bind = d->bind;
	l->number = d->first->number;
	l->bound_port = d->bound;
	l->proxy_protocol = speaks_proxy_protocol(m, d);
	l->where = d->first->where;
	build_chains(m->b, l, d->servers.items, d->servers.count);
	return l->chains.count != 0 ? l : NULL;
}

/* ---- what the snapshot keeps of them ---- */

static void number_tls_chains(struct snapshot *s)
{
	size_t count = 0;

	for (size_t i = 0; i < s->listeners.count; i++)
		count += s->listeners.items[i]->chains.count;
	s->tls_chains.items = arena_array(s->arena, const struct chain *, count);
	for (size_t i = 0; i < s->listeners.count; i++)
		for (size_t k = 0; k < s->listeners.items[i]->chains.count; k++) {
			struct chain *c = s->listeners.items[i]->chains.items[k];

			if (!c->tls)
				continue;
			c->tls_slot = (uint32_t)s->tls_chains.count;
			s->tls_chains.items[s->tls_chains.count++] = c;
		}
}

static void index_domains(struct host_map *hosts, const struct chain *c)
{
	for (size_t k = 0; k < c->domains.count; k++)
		host_map_add(hosts, c->domains.items[k], (void *)c->listener);
}

/* Does TLS go through it to somebody who may serve https? */
static bool passes_tls(const struct chain *c)
{
	return c->kind == CHAIN_TCP && !c->tls && !c->needs_mesh_alpn && c != c->listener->plain;
}

static void index_https_hosts(struct snapshot *s)
{
	struct host_map *hosts = host_map_create(s->arena, s->tls_chains.count);

	for (size_t i = 0; i < s->tls_chains.count; i++)
		if (s->tls_chains.items[i]->kind == CHAIN_HTTP)
			index_domains(hosts, s->tls_chains.items[i]);
	for (size_t i = 0; i < s->listeners.count; i++)
		for (size_t k = 0; k < s->listeners.items[i]->chains.count; k++)
			if (passes_tls(s->listeners.items[i]->chains.items[k]))
				index_domains(hosts, s->listeners.items[i]->chains.items[k]);
	s->https_hosts = hosts;
}

bool build_listeners(struct snapshot_builder *b)
{
	struct merge m = { .b = b };
	bool mapped = false;

	name_map_init(&m.by_key, b->arena);
	merge_servers(&m);
	if (m.failed)
		return false;
	b->s->listeners.items = arena_array(b->arena, struct listener_plan *, m.drafts.count);
	for (size_t i = 0; i < m.drafts.count; i++) {
		struct listener_plan *l = make_listener(&m, m.drafts.items[i]);

		mapped = mapped || m.drafts.items[i]->mapped;
		if (l != NULL)
			b->s->listeners.items[b->s->listeners.count++] = l;
	}
	for (size_t i = 0; i < b->s->listeners.count; i++)
		b->s->listeners.items[i]->mapped = mapped;
	check_proxy_protocol_ports(b);
	number_tls_chains(b->s);
	index_https_hosts(b->s);
	return true;
}
