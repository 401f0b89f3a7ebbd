/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_connection.c - to which listener a client of this URL connects, and which chain it gets there. */
#include "proxy/stream/explain_priv.h"

#include "proxy/net/socket.h"
#include "proxy/tls/tls_set.h"
#include "sallyport/cidr.h"
#include "sallyport/hostname.h"

static bool is_any(const struct listener_plan *l)
{
	struct ip ip;
	static const unsigned char zero[16];

	return ip_from_sockaddr((const struct sockaddr *)&l->bind.address, &ip) &&
	       memcmp(ip.bytes, zero, ip.v4 ? 4 : 16) == 0;
}

/* ---- the listener ---- */

static const struct listener_plan *by_name(const struct snapshot *s, struct slice name)
{
	for (size_t i = 0; i < s->listeners.count; i++) {
		const struct listener_plan *l = s->listeners.items[i];

		if (slice_eq(l->name, name) || slice_eq(slice_of(l->bind.key), name))
			return l;
	}
	return NULL;
}

/* As the kernel chooses: the very address, else any. */
static const struct listener_plan *by_address(const struct snapshot *s, struct slice address)
{
	const struct listener_plan *any = NULL;
	uint64_t port;
	struct ip ip, own;

	if (!slice_to_u64(authority_port(address), &port) || !ip_parse(authority_host(address), &ip))
		return by_name(s, address);	/* a unix socket */
	for (size_t i = 0; i < s->listeners.count; i++) {
		const struct listener_plan *l = s->listeners.items[i];

		if (l->bound_port != port ||
		    !ip_from_sockaddr((const struct sockaddr *)&l->bind.address, &own))
			continue;
		if (own.v4 == ip.v4 && memcmp(own.bytes, ip.bytes, sizeof(ip.bytes)) == 0)
			return l;
		if (is_any(l))
			any = l;
	}
	return any;
}

static bool serves_number(const struct listener_plan *l, uint32_t port)
{
	for (size_t i = 0; i < l->chains.count; i++)
		if (l->chains.items[i]->server_port == port)
			return true;
	return false;
}

/* A URL names the port that the Gateway names; where none does, the one that is bound. */
static const struct listener_plan *by_port(const struct snapshot *s, uint32_t port)
{
	for (int bound = 0; bound <= 1; bound++) {
		const struct listener_plan *found = NULL;

		for (size_t i = 0; i < s->listeners.count; i++) {
			const struct listener_plan *l = s->listeners.items[i];

			if (bound ? l->bound_port != port : !serves_number(l, port))
				continue;
			if (found == NULL || (is_any(l) && !is_any(found)))
				found = l;
		}
		if (found != NULL)
			return found;
	}
	return NULL;
}

static const struct listener_plan *find_listener(const struct explaining *e)
{
	const struct explain_question *q = e->out->question;
	const struct snapshot *s = e->out->snapshot;

	if (q->listener.at != NULL)
		return by_name(s, q->listener);
	return q->address.at != NULL ? by_address(s, q->address) : by_port(s, q->port);
}

struct slice explain_local_address(const struct explaining *e)
{
	const struct explain_question *q = e->out->question;

	return q->address.at != NULL ? q->address : slice_of(e->out->listener->bind.key);
}

/* ---- the chain ---- */

static struct slice sent_name(const struct explaining *e)
{
	const struct explain_question *q = e->out->question;

	if (!q->tls)
		return NO_SLICE;
	if (q->sni_set)
		return q->sni.len > 0 ? q->sni : NO_SLICE;
	return hostname_is_ip(q->host) ? NO_SLICE : arena_lower(e->arena, q->host);
}

/* The desk may be no place for keys: only what serves is known to lack one. */
static bool lacks_secret(const struct explaining *e, const struct chain *c)
{
	return e->ground.tls != NULL && tls_set_context(e->ground.tls, c->tls_slot) == NULL;
}

static bool ends_with(struct explaining *e, enum explained_end end, const char *details)
{
	e->out->end = end;
	e->out->details = details;
	return false;
}

bool explain_connection(struct explaining *e)
{
	struct explained *out = e->out;
	bool tls = out->question->tls;
	const struct chain *c;

	out->listener = find_listener(e);
	if (out->listener == NULL)
		return ends_with(e, EXPLAINED_NO_LISTENER, "");
	out->sni = sent_name(e);
	c = out->chain = listener_find_chain(out->listener, out->sni);
	if (c == NULL || c->needs_mesh_alpn)
		return ends_with(e, EXPLAINED_NO_CHAIN, "filter_chain_not_found");
	if (c->kind == CHAIN_TCP && !c->tls)
		return ends_with(e, EXPLAINED_RELAYED, "");
	if (c->tls != tls)
		return ends_with(e, EXPLAINED_TLS_MISMATCH, "");
	if (c->tls && lacks_secret(e, c))
		return ends_with(e, EXPLAINED_NO_SECRET, "");
	explain_certificate(e);
	if (c->kind == CHAIN_TCP)
		return ends_with(e, EXPLAINED_RELAYED, "");
	out->choice.chain = c;
	return true;
}
