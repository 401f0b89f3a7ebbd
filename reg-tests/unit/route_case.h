/* SPDX-License-Identifier: Apache-2.0
 *
 * route_case.h - routes of a VirtualService as YAML, compiled, and requests to try them with.
 *
 * The `http` list stands in VirtualService shop/web with the host a.com; destinations have no
 * clusters, only names: their host. */
#ifndef SALLYPORT_ROUTE_CASE_H
#define SALLYPORT_ROUTE_CASE_H

#include "document_check.h"
#include "proxy/route/compile.h"

struct route_case {
	struct document doc;
	struct route_compiler *compiler;
	struct route_block block;
	struct route_table *table;
	struct arena *arena;		/* of requests */
};

/* What verdicts change, for the cases that are opened from now on; NULL: nothing. */
static const struct verdict_reach *route_case_reach;

static void *route_case_decode(struct decoder *d, const struct node *spec, const struct meta *meta)
{
	return virtual_service_decode(d, spec, meta);
}

static inline void route_case_targets(struct route_case *c, struct route *r)
{
	const struct http_route *source = r->source;

	r->action = source->redirect != NULL ? ROUTE_REDIRECT : source->direct_response != NULL ?
		    ROUTE_DIRECT_RESPONSE : ROUTE_FORWARD;
	r->fused_headers = source->route.count == 1;
	r->targets.items = arena_array(c->arena, struct route_target, source->route.count + 1);
	for (size_t i = 0; i < source->route.count; i++) {
		const struct route_destination *d = &source->route.items[i];
		struct route_target *t = &r->targets.items[r->targets.count];

		if (source->route.count > 1 && d->weight == 0)
			continue;
		*t = (struct route_target){ NULL, d->destination.host, d->weight, &d->headers };
		r->weight_sum += d->weight;
		r->targets.count++;
	}
}

static inline void route_case_add(struct route_case *c, const struct virtual_service *vs,
				  const struct http_route *source, const struct http_match *m)
{
	struct route *r = &c->block.routes.items[c->block.routes.count++];

	*r = (struct route){ .name = source->name, .source = source, .service = vs, .match = m };
	route_case_targets(c, r);
	route_compile(c->compiler, r);
}

/* `http`: the elements of the list, indented by two: "- match: ...\n  route: ...\n". */
static inline void route_case_open(struct route_case *c, const char *http)
{
	const struct route_block *blocks[] = { &c->block };
	struct virtual_host_plan plan = { SLICE("a.com"), blocks, 1, false };
	const struct virtual_service *vs;
	struct text spec;
	size_t count = 0;

	memset(c, 0, sizeof(*c));
	text_init(&spec);
	text_printf(&spec, "hosts: [a.com]\ngateways: [edge]\nhttp:\n%s", http);
	document_open(&c->doc, route_case_decode, "VirtualService", spec.at);
	if (c->doc.problems.errors != 0)
		fail_msg("%s\n%s", spec.at, c->doc.text.at);
	text_fini(&spec);
	c->arena = arena_create(0);
	c->compiler = route_compiler_create(c->doc.arena);
	if (route_case_reach != NULL)
		route_compiler_expect(c->compiler, route_case_reach);
	vs = c->doc.object;
	for (size_t i = 0; i < vs->http.count; i++)
		count += vs->http.items[i].match.count + 1;
	c->block.routes.items = arena_array(c->doc.arena, struct route, count);
	for (size_t i = 0; i < vs->http.count; i++) {
		const struct http_route *source = &vs->http.items[i];

		if (source->match.count == 0)
			route_case_add(c, vs, source, NULL);
		for (size_t k = 0; k < source->match.count; k++)
			route_case_add(c, vs, source, &source->match.items[k]);
	}
	c->table = route_table_compile(c->compiler, &plan, 1);
}

static inline void route_case_close(struct route_case *c)
{
	route_compiler_free(&c->compiler);
	arena_free(&c->arena);
	document_close(&c->doc);
}

/* "GET /path", "POST http://host/path", "GET https://host:443/p": one that came in over HTTP/1.1.
 * `fields`: "name: value\n…" or NULL. */
static inline struct message *route_case_request(struct route_case *c, const char *line, const char *fields)
{
	struct message *m = arena_new(c->arena, struct message);
	struct slice rest = slice_of(arena_text(c->arena, slice_of(line))), all = slice_of(fields);
	ptrdiff_t scheme;

	m->version = HTTP_1_1;
	m->method = slice_cut(&rest, ' ');
	m->scheme = SLICE("http");
	m->authority = SLICE("a.com");
	scheme = slice_find(rest, ':');
	if (rest.at[0] != '/' && scheme > 0) {
		ptrdiff_t slash;

		m->scheme = slice_first(rest, (size_t)scheme);
		rest = slice_from(rest, (size_t)scheme + 3);
		slash = slice_find(rest, '/');
		m->authority = slice_first(rest, (size_t)slash);
		rest = slice_from(rest, (size_t)slash);
	}
	m->path = rest;
	headers_init(&m->headers, c->arena, 8);
	while (all.at != NULL && all.len != 0) {
		struct slice value = slice_cut(&all, '\n'), name = slice_cut(&value, ':');

		headers_add(&m->headers, name, slice_trim(value));
	}
	return m;
}

static inline const struct route *route_case_match(struct route_case *c, const struct message *request)
{
	const struct route_input in = { .request = request, .arena = c->arena };
	const struct virtual_host *vh = route_table_find(c->table, SLICE("a.com"));

	assert_non_null(vh);
	return virtual_host_match(vh, &in);
}

/* "name: value\n" of all fields, in order. */
static inline const char *route_case_fields(struct route_case *c, const struct headers *h)
{
	struct text t;
	const char *out;

	text_init(&t);
	for (const struct header *f = headers_begin(h); f != NULL; f = headers_next(h, f))
		text_printf(&t, "%.*s: %.*s\n", SLICE_ARG(f->name), SLICE_ARG(f->value));
	out = arena_text(c->arena, text_slice(&t));
	text_fini(&t);
	return out;
}

#endif
