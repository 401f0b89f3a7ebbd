/* SPDX-License-Identifier: Apache-2.0
 *
 * sni.c - from server names to the chains of a listener (spec/gateway.md 8, 10.3, 12.7). */
#include "proxy/snapshot/build_priv.h"

#include "proxy/route/host_map.h"
#include "sallyport/hostname.h"

/* Stands for servers that are not served: their names must not fall to a wildcard of another. */
static struct chain refused;

static bool covers_all(const struct server *s)
{
	for (size_t i = 0; i < s->hosts.count; i++)
		if (slice_eq(s->hosts.items[i].host, SLICE("*")))
			return true;
	return false;
}

void sni_add_plain(struct snapshot_builder *b, struct host_map *names, struct chain *plain)
{
	(void)b;
	host_map_add(names, SLICE("*"), plain);
}

static void tell_taken(struct snapshot_builder *b, const struct server_use *u, const struct server_host *h,
		       const struct chain *owner)
{
	if (owner == &refused)
		build_warning(b, u->gateway->gateway->meta, h->where, "host %.*s belongs to an earlier server on "
			      "this port that is not served", SLICE_ARG(h->host));
	else
		build_warning(b, u->gateway->gateway->meta, h->where, "host %.*s belongs to the server of "
			      "Gateway %.*s in line %u already: only that one is chosen for this name",
			      SLICE_ARG(h->host), SLICE_ARG(owner->gateway), owner->where.line);
}

/* Whether at least one name is its own. */
static bool add_names(struct snapshot_builder *b, struct host_map *names, struct chain *chain,
		      const struct server_use *u, bool tell)
{
	const struct server *s = u->server;
	bool all = covers_all(s), any_added = false;

	for (size_t i = 0; i < s->hosts.count; i++) {
		const struct server_host *h = &s->hosts.items[i];
		const struct chain *owner;

		/* With `*` among them there is no condition at all; the other names add nothing. */
		if (all && !slice_eq(h->host, SLICE("*")))
			continue;
		owner = host_map_add(names, h->host, chain);
		if (owner == NULL)
			any_added = true;
		else if (owner != chain && tell)
			tell_taken(b, u, h, owner);
	}
	return any_added;
}

bool sni_add_chain(struct snapshot_builder *b, struct host_map *names, struct chain *chain,
		   const struct server_use *u)
{
	return add_names(b, names, chain, u, true);
}

static void add_refused_name(struct host_map *names, struct slice name)
{
	host_map_add(names, name, &refused);
}

/* sniHosts of the tls routes that a passthrough server would get (14.1). */
static void add_passthrough(struct host_map *names, const struct server_use *u,
			    const struct virtual_service *vs)
{
	const struct meta *gateway = u->gateway->gateway->meta;

	for (size_t i = 0; i < vs->tls.count; i++)
		for (size_t k = 0; k < vs->tls.items[i].match.count; k++) {
			const struct l4_match *m = &vs->tls.items[i].match.items[k];

			if ((m->port != 0 && m->port != u->server->number) ||
			    (m->gateways.count != 0 && !gateway_refs_name(m->gateways.items, m->gateways.count,
									   gateway->ns, gateway->name)))
				continue;
			for (size_t n = 0; n < m->sni_hosts.count; n++)
				add_refused_name(names, m->sni_hosts.items[n].text);
		}
}

static bool overlaps(const struct server_use *u, const struct bound_service *s)
{
	for (size_t i = 0; i < u->server->hosts.count; i++) {
		const struct server_host *h = &u->server->hosts.items[i];

		if (h->ns.at != NULL && !slice_eq(h->ns, s->service->meta->ns))
			continue;
		for (size_t k = 0; k < s->hosts.count; k++)
			if (hostname_matches(h->host, s->hosts.items[k]))
				return true;
	}
	return false;
}

void sni_add_refused(struct snapshot_builder *b, struct host_map *names, const struct server_use *u)
{
	if (u->server->family != SERVER_PASSTHROUGH) {
		add_names(b, names, &refused, u, false);
		return;
	}
	for (size_t i = 0; i < u->gateway->services.count; i++) {
		struct bound_service *s = u->gateway->services.items[i];

		if (!overlaps(u, s))
			continue;
		s->reaches_host = true;
		add_passthrough(names, u, s->service);
	}
}

/* ---- serving ---- */

const struct chain *listener_find_chain(const struct listener_plan *l, struct slice sni)
{
	const struct chain *c;

	if (l->sni == NULL)
		return l->plain;
	c = sni.len != 0 ? host_map_find(l->sni, sni) : host_map_get(l->sni, SLICE("*"));
	return c != &refused ? c : NULL;
}

bool listener_is_misdirected(const struct listener_plan *l, const struct chain *chain,
			     struct slice authority, const struct chain **same)
{
	const struct chain *other;

	*same = NULL;
	if (l->sni == NULL)
		return false;
	other = host_map_find(l->sni, authority_host(authority));
	if (other == NULL || other == chain || other == l->plain || !chain->tls)
		return false;
	if (other != &refused && tls_settings_same(&chain->tls_settings, &other->tls_settings))
		*same = other;
	return true;
}

uint32_t snapshot_https_port(const struct snapshot *s, struct slice authority)
{
	const struct listener_plan *l = host_map_find(s->https_hosts, authority_host(authority));

	return l != NULL ? l->bound_port : 0;
}
