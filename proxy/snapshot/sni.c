/* SPDX-License-Identifier: Apache-2.0
 *
 * sni.c - from server names to the chains of a listener (spec/gateway.md 8, 10.3, 12.7). */
#include "proxy/snapshot/build_priv.h"

#include "proxy/route/host_map.h"

static bool covers_all(const struct server *s)
{
	for (size_t i = 0; i < s->hosts.count; i++)
		if (slice_eq(s->hosts.items[i].host, SLICE("*")))
			return true;
	return false;
}

static void tell_taken(struct snapshot_builder *b, const struct meta *m, struct slice name, struct where where,
		       const struct chain *owner, const char *what)
{
	build_warning(b, m, where, "%.*s belongs to the server of Gateway %.*s at %s:%u already: %s",
		      SLICE_ARG(name), SLICE_ARG(owner->gateway), owner->where.file, owner->where.line, what);
}

void sni_add_plain(struct snapshot_builder *b, struct host_map *names, struct chain *plain,
		   const struct meta *meta)
{
	const struct chain *owner = host_map_add(names, SLICE("*"), plain);

	if (owner != NULL)
		tell_taken(b, meta, SLICE("every name and client without TLS"), plain->where, owner,
			   "this server without TLS is never chosen");
}

/* Whether at least one name is its own. */
bool sni_add_chain(struct snapshot_builder *b, struct host_map *names, struct chain *chain,
		   const struct server_use *u)
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
		else if (owner != chain)
			tell_taken(b, u->gateway->gateway->meta, h->host, h->where, owner,
				   "this server is not chosen for it");
	}
	return any_added;
}

static bool item_covers_all(const struct l4_match *m)
{
	for (size_t i = 0; i < m->sni_hosts.count; i++)
		if (slice_eq(m->sni_hosts.items[i].text, SLICE("*")))
			return true;
	return false;
}

bool sni_add_item(struct snapshot_builder *b, struct host_map *names, struct chain *chain,
		  const struct meta *meta, const struct l4_match *m)
{
	for (size_t i = 0; i < m->sni_hosts.count; i++) {
		const struct located_slice *name = &m->sni_hosts.items[i];
		const struct chain *owner = host_map_get(names, name->text);

		if (owner == NULL)
			continue;
		tell_taken(b, meta, name->text, name->where, owner, "this whole match is not used");
		return false;
	}
	if (item_covers_all(m))
		host_map_add(names, SLICE("*"), chain);
	for (size_t i = 0; i < m->sni_hosts.count && !item_covers_all(m); i++)
		host_map_add(names, m->sni_hosts.items[i].text, chain);
	return true;
}

/* ---- serving ---- */

const struct chain *listener_find_chain(const struct listener_plan *l, struct slice sni)
{
	if (l->sni == NULL)
		return l->plain;
	return sni.len != 0 ? host_map_find(l->sni, sni) : host_map_get(l->sni, SLICE("*"));
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
	if (other->kind == CHAIN_HTTP && tls_settings_same(&chain->tls_settings, &other->tls_settings))
		*same = other;
	return true;
}

uint32_t snapshot_https_port(const struct snapshot *s, struct slice authority)
{
	const struct listener_plan *l = host_map_find(s->https_hosts, authority_host(authority));

	return l != NULL ? l->bound_port : 0;
}
