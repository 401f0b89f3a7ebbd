/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_follow.c - where a redirect leads, if it leads to this edge again: as a client would follow it. */
#include "proxy/stream/explain_priv.h"

#define HOPS_MAX	5u

/* The question that a client asks who follows to `location`, an absolute URL as the proxy writes it. */
static bool follow(const struct explain_question *from, struct slice location, struct explain_question *to)
{
	struct slice rest = location;
	uint64_t port;
	size_t end = 0;

	*to = *from;
	to->url = location;
	to->tls = slice_starts(rest, SLICE("https://"));
	if (!to->tls && !slice_starts(rest, SLICE("http://")))
		return false;
	rest = slice_from(rest, to->tls ? 8 : 7);
	rest = slice_cut(&rest, '#');
	while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?')
		end++;
	to->authority = slice_first(rest, end);
	to->host = authority_host(to->authority);
	to->target = slice_from(rest, end);
	to->port = to->tls ? 443 : 80;
	if (slice_to_u64(authority_port(to->authority), &port) && port <= UINT16_MAX)
		to->port = (uint32_t)port;
	to->listener = to->address = NO_SLICE;
	to->sni_set = false;
	return to->target.len > 0 && to->host.len > 0;
}

/* The Host of the first request is not that of the next. */
static void drop_host(struct explain_question *q, struct arena *a)
{
	struct explain_header *kept = arena_array(a, struct explain_header, q->headers.count);
	size_t count = 0;

	for (size_t i = 0; i < q->headers.count; i++)
		if (!slice_eq_nocase(q->headers.items[i].name, SLICE("host")))
			kept[count++] = q->headers.items[i];
	q->headers.items = kept;
	q->headers.count = count;
}

static bool leads_on(const struct explained *e)
{
	return e->end == EXPLAINED_REDIRECT || e->end == EXPLAINED_TO_HTTPS;
}

static bool was_there(const struct slice *seen, size_t count, struct slice location)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(seen[i], location))
			return true;
	return false;
}

const struct explained *explain_follow(struct explaining *e, bool *circles)
{
	struct explain_ground ground = e->ground;
	struct slice seen[HOPS_MAX + 1] = { e->out->location };
	const struct explained *at = e->out;

	ground.follows = false;
	*circles = false;
	for (size_t hops = 1; hops <= HOPS_MAX && leads_on(at) && !*circles; hops++) {
		struct explain_question *q = arena_new(e->arena, struct explain_question);

		if (!follow(at->question, at->location, q))
			return NULL;
		drop_host(q, e->arena);
		at = explain(e->out->snapshot, q, &ground, e->arena);
		*circles = leads_on(at) && was_there(seen, hops, at->location);
		seen[hops] = at->location;
	}
	return at;
}
