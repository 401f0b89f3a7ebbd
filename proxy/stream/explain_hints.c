/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_hints.c - what would have to be different: the nearest misses of a request that is not served
 * as its sender may have hoped. */
#include "proxy/stream/explain_priv.h"

#include "sallyport/hostname.h"
#include "sallyport/text.h"

#define SPELLING_BYTES_MAX	64u	/* longer names are not compared by spelling */
#define SPELLING_DISTANCE_MAX	2u
#define NEAREST_ROUTES_MAX	3u

__attribute__((format(printf, 2, 3)))
static void hint(struct explaining *e, const char *fmt, ...)
{
	char text[2 * EXPLAIN_WHY_MAX];
	va_list args;

	if (e->out->hints.count == EXPLAIN_HINTS_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	e->out->hints.items[e->out->hints.count++] = arena_text(e->arena, slice_of(text));
}

/* ---- connections ---- */

static void hint_listeners(struct explaining *e)
{
	const struct snapshot *s = e->out->snapshot;

	if (s->listeners.count == 0)
		hint(e, "no Gateway server is served: nothing listens");
	for (size_t i = 0; i < s->listeners.count; i++) {
		const struct listener_plan *l = s->listeners.items[i];

		hint(e, "listener %.*s is bound to %s for port %u of Gateway %.*s (%s:%u)", SLICE_ARG(l->name),
		     l->bind.key, l->number, SLICE_ARG(l->chains.items[0]->gateway), l->where.file,
		     l->where.line);
	}
}

static const char *list_domains(struct explaining *e, const struct chain *c)
{
	struct text t;
	const char *out;

	text_init(&t);
	for (size_t i = 0; i < c->domains.count && t.len < EXPLAIN_WHY_MAX / 2; i++)
		text_printf(&t, "%s%.*s", i > 0 ? ", " : "", SLICE_ARG(c->domains.items[i]));
	out = arena_text(e->arena, text_slice(&t));
	text_fini(&t);
	return out;
}

static void hint_chains(struct explaining *e)
{
	const struct explained *out = e->out;
	const struct listener_plan *l = out->listener;

	if (out->chain != NULL)
		hint(e, "the server of Gateway %.*s lets through only clients that offer a mesh protocol "
		     "by ALPN", SLICE_ARG(out->chain->gateway));
	else if (!out->question->tls)
		hint(e, "every server of this listener speaks TLS: ask for https");
	else if (out->sni.at == NULL)
		hint(e, "the client names no server, and no server of this listener has host *: "
		     "the connection is closed");
	else
		hint(e, "no server of this listener has host %.*s: the connection is closed",
		     SLICE_ARG(out->sni));
	for (size_t i = 0; i < l->chains.count; i++)
		hint(e, "Gateway %.*s has a server here for %s (%s:%u)", SLICE_ARG(l->chains.items[i]->gateway),
		     list_domains(e, l->chains.items[i]), l->chains.items[i]->where.file,
		     l->chains.items[i]->where.line);
}

static void hint_tls(struct explaining *e)
{
	const struct chain *c = e->out->chain;

	if (c->tls)
		hint(e, "the server of Gateway %.*s (%s:%u) speaks TLS: ask for https", SLICE_ARG(c->gateway),
		     c->where.file, c->where.line);
	else
		hint(e, "the server of Gateway %.*s (%s:%u) speaks no TLS: ask for http", SLICE_ARG(c->gateway),
		     c->where.file, c->where.line);
}

static void hint_secret(struct explaining *e)
{
	const struct tls_settings *t = &e->out->chain->tls_settings;

	if (t->certificates[0].credential_name.at != NULL)
		hint(e, "the certificate %.*s/%.*s is missing or unusable: sallyctl show secrets says why",
		     SLICE_ARG(t->certificates[0].ns), SLICE_ARG(t->certificates[0].credential_name));
	else
		hint(e, "the certificate %.*s is missing or unusable: sallyctl show secrets says why",
		     SLICE_ARG(t->certificates[0].certificate_path));
}

/* ---- hosts ---- */

/* The same host elsewhere: another listener, or another server of this one. */
static void hint_elsewhere(struct explaining *e)
{
	const struct snapshot *s = e->out->snapshot;

	for (size_t i = 0; i < s->listeners.count; i++)
		for (size_t k = 0; k < s->listeners.items[i]->chains.count; k++) {
			const struct chain *c = s->listeners.items[i]->chains.items[k];
			const struct virtual_host *vh;

			if (c->kind != CHAIN_HTTP || c == e->out->choice.chain)
				continue;
			vh = route_table_find(c->routes, e->request->authority);
			if (vh == NULL)
				continue;
			hint(e, "%s://%.*s on port %u is served by virtual host %.*s of Gateway %.*s (%s:%u)",
			     c->tls ? "https" : "http", SLICE_ARG(e->host), c->server_port,
			     SLICE_ARG(virtual_host_domain(vh)), SLICE_ARG(c->gateway), c->where.file,
			     c->where.line);
		}
}

static const char *list_gateways(struct explaining *e, const struct virtual_service *v)
{
	struct text t;
	const char *out;

	text_init(&t);
	for (size_t i = 0; i < v->gateways.count && t.len < EXPLAIN_WHY_MAX / 2; i++) {
		const struct gateway_ref *g = &v->gateways.items[i];

		if (g->mesh)
			text_printf(&t, "%smesh", i > 0 ? ", " : "");
		else
			text_printf(&t, "%s%.*s/%.*s", i > 0 ? ", " : "", SLICE_ARG(g->ns), SLICE_ARG(g->name));
	}
	out = arena_text(e->arena, text_slice(&t));
	text_fini(&t);
	return out;
}

/* VirtualServices that have the host, and do not get it here. */
static void hint_services(struct explaining *e)
{
	const struct resource_set *set = e->out->snapshot->resources;

	for (size_t i = 0; i < set->virtual_services.count; i++) {
		const struct virtual_service *v = set->virtual_services.items[i];

		for (size_t h = 0; h < v->hosts.count; h++) {
			if (!hostname_matches(v->hosts.items[h].text, e->host))
				continue;
			hint(e, "VirtualService %.*s/%.*s has host %.*s (%s:%u) for gateways %s; this server "
			     "is of Gateway %.*s with hosts %s", SLICE_ARG(v->meta->ns), SLICE_ARG(v->meta->name),
			     SLICE_ARG(v->hosts.items[h].text), v->hosts.items[h].where.file,
			     v->hosts.items[h].where.line, list_gateways(e, v),
			     SLICE_ARG(e->out->choice.chain->gateway), list_domains(e, e->out->choice.chain));
			break;
		}
	}
}

/* Insertions, deletions and replacements from one to the other. */
static unsigned distance(struct slice a, struct slice b)
{
	unsigned row[SPELLING_BYTES_MAX + 1];

	for (unsigned k = 0; k <= b.len; k++)
		row[k] = k;
	for (size_t i = 0; i < a.len; i++) {
		unsigned before = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t k = 0; k < b.len; k++) {
			unsigned best = before + (ascii_lower(a.at[i]) != ascii_lower(b.at[k]));

			before = row[k + 1];
			if (row[k] + 1 < best)
				best = row[k] + 1;
			row[k + 1] = before + 1 < best ? before + 1 : best;
		}
	}
	return row[b.len];
}

struct spelling {
	struct slice wanted, nearest;
	unsigned distance;
};

static void compare_spelling(void *arg, const struct virtual_host *vh)
{
	struct slice domain = virtual_host_domain(vh);
	struct spelling *s = arg;
	unsigned d;

	if (domain.len > SPELLING_BYTES_MAX || hostname_is_wild(domain) ||
	    domain.len > s->wanted.len + SPELLING_DISTANCE_MAX ||
	    s->wanted.len > domain.len + SPELLING_DISTANCE_MAX)
		return;
	d = distance(s->wanted, domain);
	if (d < s->distance) {
		s->distance = d;
		s->nearest = domain;
	}
}

static void hint_spelling(struct explaining *e)
{
	struct spelling s = { .wanted = e->host, .distance = SPELLING_DISTANCE_MAX + 1 };

	if (e->host.len > SPELLING_BYTES_MAX)
		return;
	route_table_visit(e->out->choice.chain->routes, compare_spelling, &s);
	if (s.nearest.at != NULL)
		hint(e, "there is a virtual host %.*s here: is the host spelled right?", SLICE_ARG(s.nearest));
}

static void hint_no_host(struct explaining *e)
{
	hint_elsewhere(e);
	hint_spelling(e);
	hint_services(e);
	if (e->out->hints.count == 0)
		hint(e, "no VirtualService has host %.*s", SLICE_ARG(e->host));
}

/* ---- routes ---- */

/* Those with the fewest conditions that do not hold, in their order. */
static void hint_nearest_routes(struct explaining *e)
{
	const struct route_input in = { .request = e->request, .arena = e->arena };
	const struct explained *out = e->out;
	unsigned nearest = UINT32_MAX, told = 0;

	for (size_t i = 0; i < out->routes.count; i++) {
		unsigned unmet = route_unmet(out->routes.items[i].route, &in);

		nearest = unmet < nearest ? unmet : nearest;
	}
	for (size_t i = 0; i < out->routes.count && told < NEAREST_ROUTES_MAX; i++) {
		const struct route *r = out->routes.items[i].route;

		if (route_unmet(r, &in) != nearest)
			continue;
		told++;
		hint(e, "route %u%s%.*s (%s:%u) fails %s: %s", r->index, r->name.len > 0 ? " " : "",
		     SLICE_ARG(r->name), explain_where(r).file, explain_where(r).line,
		     nearest == 1 ? "by one condition alone" : "first by this", out->routes.items[i].why);
	}
}

/* A wildcard that covers the host as well has the route, but is not asked. */
static void ask_wildcard(void *arg, const struct virtual_host *vh)
{
	struct explaining *e = arg;
	const struct route_input in = { .request = e->request, .arena = e->arena };
	const struct route *r;

	if (vh == e->out->choice.host || !hostname_matches(virtual_host_domain(vh), e->host))
		return;
	r = virtual_host_match(vh, &in);
	if (r != NULL)
		hint(e, "route %u of virtual host %.*s (%s:%u) would hold, but %.*s has a virtual host of its "
		     "own, which decides alone", r->index, SLICE_ARG(virtual_host_domain(vh)),
		     explain_where(r).file, explain_where(r).line,
		     SLICE_ARG(virtual_host_domain(e->out->choice.host)));
}

static void hint_not_found(struct explaining *e)
{
	if (e->out->choice.host == NULL) {
		hint_no_host(e);
		return;
	}
	if (e->out->routes_total == 0)
		hint(e, "virtual host %.*s has no routes on this port: it is there for its redirect to https",
		     SLICE_ARG(virtual_host_domain(e->out->choice.host)));
	hint_nearest_routes(e);
	route_table_visit(e->out->choice.chain->routes, ask_wildcard, e);
}

static void hint_misdirected(struct explaining *e)
{
	const struct chain *own = e->out->chain;
	const struct chain *other = listener_find_chain(e->out->listener, arena_lower(e->arena, e->host));

	if (other == NULL)
		return;
	hint(e, "host %.*s belongs to the server of Gateway %.*s (%s:%u), and the connection was made to "
	     "that of Gateway %.*s (%s:%u), by the name %.*s", SLICE_ARG(e->host), SLICE_ARG(other->gateway),
	     other->where.file, other->where.line, SLICE_ARG(own->gateway), own->where.file, own->where.line,
	     SLICE_ARG(e->out->sni.at != NULL ? e->out->sni : SLICE("(none)")));
	hint(e, other->kind == CHAIN_TCP ? "that one serves no HTTP" :
	     tls_clients_same(&own->tls_settings, &other->tls_settings) ?
	     "with the same certificate on both servers the request would be served" :
	     "both servers ask different things of their clients: no connection serves both");
}

/* ---- redirects and clusters ---- */

static void hint_redirect(struct explaining *e)
{
	bool circles = false;
	const struct explained *there = e->ground.follows ? explain_follow(e, &circles) : NULL;

	if (there == NULL)
		return;
	if (circles)
		hint(e, "%.*s is redirected in circles", SLICE_ARG(e->out->location));
	else if (there->end == EXPLAINED_NO_LISTENER || there->choice.host == NULL)
		hint(e, "%.*s is not served here: %s", SLICE_ARG(there->question->url),
		     explained_end_name(there->end));
	else
		hint(e, "%.*s is served here: %s%s%.*s", SLICE_ARG(there->question->url),
		     explained_end_name(there->end), there->targets.count > 0 ? " to " : "",
		     SLICE_ARG(there->targets.count > 0 ? there->targets.items[0].cluster_name : SLICE("")));
}

static void hint_clusters(struct explaining *e)
{
	const struct explained *out = e->out;

	for (size_t i = 0; i < out->targets.count; i++) {
		const struct explained_target *t = &out->targets.items[i];
		const char *why = snapshot_why_no_cluster(out->snapshot, t->cluster_name);

		if (t->cluster == NULL)
			hint(e, "%.*s, weight %u of %llu: %s", SLICE_ARG(t->cluster_name), t->weight,
			     (unsigned long long)out->weight_sum, why != NULL ? why : "there is none");
	}
}

static void hint_endpoints(struct explaining *e)
{
	const struct cluster *c = e->out->choice.target->cluster;

	if (c->endpoints.count == 0)
		hint(e, "%.*s has no endpoints (%s:%u)", SLICE_ARG(c->name), c->where.file, c->where.line);
	else
		hint(e, "none of the %zu endpoints of %.*s is healthy (%s:%u)", c->endpoints.count,
		     SLICE_ARG(c->name), c->where.file, c->where.line);
}

static void hint_client(struct explaining *e)
{
	const struct chain *c = e->out->chain;

	if (c != NULL && c->tls && c->tls_settings.client.certificate == TLS_CLIENT_REQUIRED &&
	    e->out->question->tls && e->out->question->peer_id.at == NULL)
		hint(e, "the server of Gateway %.*s (%s:%u) requires a certificate of its clients: without "
		     "one the connection ends", SLICE_ARG(c->gateway), c->where.file, c->where.line);
}

static void hint_certificate(struct explaining *e)
{
	const struct explained_certificate *c = &e->out->certificate;
	struct text names;

	if (!c->known || c->covers)
		return;
	text_init(&names);
	for (size_t i = 0; i < c->names.count && names.len < EXPLAIN_WHY_MAX / 2; i++)
		text_printf(&names, "%s%.*s", i > 0 ? ", " : "", SLICE_ARG(c->names.items[i]));
	hint(e, "the certificate of this server is for %s and not for %.*s: a client that looks ends the "
	     "connection", names.len > 0 ? names.at : "no host", SLICE_ARG(e->out->question->host));
	text_fini(&names);
}

void explain_hints(struct explaining *e)
{
	e->out->hints.items = arena_array(e->arena, const char *, EXPLAIN_HINTS_MAX);
	if (e->request != NULL)
		e->host = authority_host(e->request->authority);
	hint_certificate(e);
	hint_client(e);
	hint_clusters(e);
	switch (e->out->end) {
	case EXPLAINED_NO_LISTENER:	hint_listeners(e);	break;
	case EXPLAINED_NO_CHAIN:	hint_chains(e);		break;
	case EXPLAINED_TLS_MISMATCH:	hint_tls(e);		break;
	case EXPLAINED_NO_SECRET:	hint_secret(e);		break;
	case EXPLAINED_NOT_FOUND:	hint_not_found(e);	break;
	case EXPLAINED_MISDIRECTED:	hint_misdirected(e);	break;
	case EXPLAINED_REDIRECT:
	case EXPLAINED_TO_HTTPS:	hint_redirect(e);	break;
	case EXPLAINED_NO_ENDPOINT:	hint_endpoints(e);	break;
	case EXPLAINED_DENIED:
	case EXPLAINED_PREFLIGHT:
	case EXPLAINED_REFUSED:
	case EXPLAINED_RELAYED:
	case EXPLAINED_DIRECT_RESPONSE:
	case EXPLAINED_FORWARDED:
	case EXPLAINED_NO_CLUSTER:
	case EXPLAINED_ABORTED:
	case EXPLAINED_END_COUNT:
		break;
	}
}
