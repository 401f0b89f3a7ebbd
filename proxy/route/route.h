/* SPDX-License-Identifier: Apache-2.0
 *
 * route.h - route tables: which virtual host and route a request belongs to, and what the route
 * does to it. Immutable, compiled by snapshot/, asked by stream/ and explain alike.
 *
 * Cost     of a lookup does not grow with the number of hosts, nor with the number of exact and
 *          prefix paths of a host, nor with that of expressions that begin with a text of their own;
 *          other expressions are tried in turn. The first route in order that holds wins (spec/virtual-service.md 6).
 * Owner    the snapshot's arena; regexes are given back by route_compiler_free() (compile.h).
 * Thread   read by all workers at once; results live in the caller's arena. */
#ifndef SALLYPORT_PROXY_ROUTE_H
#define SALLYPORT_PROXY_ROUTE_H

#include "proxy/http/exchange.h"
#include "sallyport/claims.h"
#include "sallyport/resource/virtual_service.h"

struct cluster;
struct cors;
struct worker;
struct route_table;
struct virtual_host;

enum route_action { ROUTE_FORWARD, ROUTE_REDIRECT, ROUTE_DIRECT_RESPONSE };

struct route_target {
	struct cluster *cluster;		/* NULL: no such service, port or subset: 503 NC */
	struct slice cluster_name;		/* also when the cluster is missing */
	uint32_t weight;
	const struct headers_policy *headers;	/* of the destination; may be empty */
};

/* Somebody else who gets a copy of requests (7.10). */
struct route_mirror {
	const struct cluster *cluster;		/* NULL: no such service, port or subset: no copy */
	struct slice cluster_name;		/* also when the cluster is missing */
	uint32_t per_million;			/* of the requests */
};

struct route_match;		/* a match item, compiled */
struct regex;

struct route {
	/* What each request needs stands first, close together: with many routes the rest is cold. */
	enum route_action action;
	bool catch_all;				/* 6.9: stands behind all others of its virtual host */
	bool path_alone;			/* holds wherever its path condition holds */
	bool edits_request, edits_response;	/* there is something to apply */
	bool has_cors;				/* `cors` is not NULL */
	bool has_fault, has_mirrors;		/* likewise */
	const struct route_match *matcher;	/* NULL: matches all */
	LIST(struct route_target) targets;	/* ROUTE_FORWARD; those of weight 0 removed */
	int64_t timeout_ms;			/* 0: none */
	const struct retry_policy *retries;	/* ROUTE_FORWARD; never NULL: Istio's where none is written */
	struct slice name;			/* "name.matchName" forms; absent: unnamed */
	struct route_target only;		/* what targets.items points to where one was written */

	const struct http_route *source;	/* what it was compiled from: rewrite, headers, redirect … */
	const struct virtual_service *service;
	const struct http_match *match;		/* NULL: matches all */
	uint64_t weight_sum;
	uint32_t index;				/* in its virtual host, after ordering */
	const struct http_fault *fault;		/* ROUTE_FORWARD; NULL: none */
	const struct route_mirror *mirrors;	/* ROUTE_FORWARD; NULL: none */
	uint32_t mirror_count;
	bool fused_headers;			/* one destination was written: 7.6 precedence */
	const struct regex *rewrite_regex;	/* of uriRegexRewrite; NULL: none */
	const struct cors *cors;		/* ROUTE_FORWARD; NULL: no corsPolicy */
};

/* The host of an authority: port and the brackets of an IPv6 address taken off; case as it was. */
struct slice authority_host(struct slice authority);
/* `:port` of an authority without the colon; absent: none written. */
struct slice authority_port(struct slice authority);

/* By Host or :authority as received (port ignored, any case); NULL: no virtual host. */
const struct virtual_host *route_table_find(const struct route_table *t, struct slice authority);
bool virtual_host_requires_tls(const struct virtual_host *vh);
struct slice virtual_host_domain(const struct virtual_host *vh);

/* What the static filters and matches need beside the message. */
struct route_input {
	const struct message *request;
	struct arena *arena;			/* for joined header lines */
	const struct claim_set *claims;		/* of the verified token; NULL: no token, all are absent */
	bool for_some_verdict;			/* what the verdict may change is as the route wants it */
	bool *undecided;			/* set where no route is chosen because an expression reached its
						 * limit: such a request is refused. NULL: nobody asks */
};

/* The first route that holds, or NULL. Never one behind a route of which nobody knows whether it holds.
 * CONNECT is never routed (spec/virtual-service.md 8). */
const struct route *virtual_host_match(const struct virtual_host *vh, const struct route_input *in);

/* The claims that its routes look at; NULL: none of them does. */
const struct claims_asked *virtual_host_claims(const struct virtual_host *vh);
/* May the verdict change which route it is: by what the token claims, or by header fields and parameters
 * that it sets or takes away? To be asked before it is known. */
bool virtual_host_depends_on_verdict(const struct virtual_host *vh, const struct route_input *in);

/* For explain and show: every route in order; `why` gets the first reason it does not hold. */
size_t virtual_host_routes(const struct virtual_host *vh, const struct route *const **routes);
bool route_explain(const struct route *r, const struct route_input *in, char *why, size_t bytes);
/* How many of its conditions do not hold. */
unsigned route_unmet(const struct route *r, const struct route_input *in);
void route_table_visit(const struct route_table *t,
		       void (*visit)(void *arg, const struct virtual_host *vh), void *arg);

/* Weighted draw; NULL never for ROUTE_FORWARD with at least one target. */
const struct route_target *route_draw(const struct route *r, uint64_t random);

/* Is this request of those that a share of all is meant for? */
static inline bool share_is_drawn(uint32_t per_million, uint64_t random)
{
	return random % PER_MILLION < per_million;
}

/* ROUTE_REDIRECT: status and location (7.2). `server_port`, `server_tls`: of the Gateway server. */
struct slice route_redirect_location(const struct route *r, const struct message *request,
				     uint32_t server_port, bool server_tls, struct arena *a);
/* httpsRedirect (gateway.md 12.5, README D4). `bound_port`: of this listener; `https_port`: bound
 * port of the HTTPS server that serves this host, 0: none known; `mapped`: ports are mapped. */
struct slice https_redirect_location(const struct message *request, uint32_t bound_port,
				     uint32_t https_port, bool mapped, struct arena *a);

/* Route and destination operations on the request, then host and path rewrite (7.5, 7.6);
 * adds x-envoy-original-path and -host. */
void route_apply_request(const struct route *r, const struct route_target *target,
			 struct message *request, const struct exchange *x, struct arena *a);
/* Does the expression of its rewrite reach its limit on this path? Then the request is refused. */
bool route_rewrite_gives_up(const struct route *r, struct slice target, struct arena *a);
/* The head of a copy for a mirror: of `request` as it goes upstream. `suffix`: the authority says that it
 * is a copy; `own_address`: ours, may be empty. All of it lives in `a`. */
struct message *route_mirror_request(const struct message *request, bool suffix, struct slice own_address,
				     struct arena *a);
struct headers *route_mirror_trailers(const struct headers *trailers, struct arena *a);
/* On upstream responses and on local replies of a route (7.6). `target` may be NULL. */
void route_apply_response(const struct route *r, const struct route_target *target,
			  struct message *response, const struct exchange *x, struct arena *a);

/* Will this operator ever have a value in this version? Documents that use another are warned about. */
bool format_op_is_known(enum format_op op);

/* A compiled format with everything filled in that `x` knows; an absent value is empty. Also the
 * base of the access log: `absent` is what to write for a missing value ("-" there). */
struct slice format_run(const struct format *f, const struct exchange *x, struct slice absent,
			struct arena *a);

#endif
