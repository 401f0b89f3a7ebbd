/* SPDX-License-Identifier: Apache-2.0
 *
 * compile.h - from matches and actions as documents write them to tables that requests are looked
 * up in. Called by snapshot/ alone.
 *
 * Owner    everything lives in the arena given to route_compiler_create(), except the compiled
 *          expressions, which the compiler owns: it has to live as long as its tables.
 * Thread   main. What it made is read by all.
 * Sharing  a match item is compiled once, and virtual hosts with the same blocks share their routes
 *          and index: a VirtualService with a thousand hosts costs its routes once. */
#ifndef SALLYPORT_PROXY_ROUTE_COMPILE_H
#define SALLYPORT_PROXY_ROUTE_COMPILE_H

#include "proxy/route/route.h"

struct route_compiler;

struct route_compiler *route_compiler_create(struct arena *a);
/* Gives the expressions back and clears the caller's pointer; *cp may be NULL already. */
void route_compiler_free(struct route_compiler **cp);

/* What of a request the gateway's verdict may change before the route is chosen again. */
struct verdict_reach {
	bool claims, query;				/* tells claims; edits parameters of the query */
	bool (*header)(const void *arg, struct slice name);	/* sets, changes or removes it; in lower case */
	bool (*param)(const void *arg, struct slice name);
	const void *arg;
};
/* For all routes that are compiled from now on; without it verdicts change nothing. */
void route_compiler_expect(struct route_compiler *c, const struct verdict_reach *reach);

/* Fills in matcher, rewrite_regex, cors and catch_all of a route whose other members are set. */
void route_compile(struct route_compiler *c, struct route *r);

/* The routes of one VirtualService at one server of one Gateway, in order. */
struct route_block {
	LIST(struct route) routes;
};

struct virtual_host_plan {
	struct slice domain;			/* lower case: exact, `*suffix` or `*` */
	const struct route_block *const *blocks;	/* concatenated in this order (4.6) */
	size_t block_count;
	bool requires_tls;
};

/* `plans` with different domains; they may go away afterwards. */
struct route_table *route_table_compile(struct route_compiler *c, const struct virtual_host_plan *plans,
					size_t count);

#endif
