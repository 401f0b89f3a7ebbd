/* SPDX-License-Identifier: Apache-2.0
 *
 * build_priv.h - what the parts of snapshot_build() share while they work.
 *
 * Order of work: gateways and their VirtualServices are bound to each other (bindings.c), delegates
 * take the place of the routes that refer to them (delegates.c), servers
 * merge into listeners (listeners.c) and become chains (chains.c), each with its virtual hosts
 * (virtual_hosts.c) or the destinations of its bytes (tcp_routes.c), and what does not fit together
 * is told (diagnostics.c).
 *
 * Owner    everything is in the snapshot's arena. Thread: main. */
#ifndef SALLYPORT_PROXY_SNAPSHOT_BUILD_PRIV_H
#define SALLYPORT_PROXY_SNAPSHOT_BUILD_PRIV_H

#include "proxy/route/compile.h"
#include "proxy/snapshot/clusters.h"
#include "proxy/snapshot/name_map.h"
#include "proxy/snapshot/snapshot.h"
#include "sallyport/object.h"
#include "sallyport/policy_reach.h"
#include "sallyport/resource/gateway.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/virtual_service.h"

/* The three lists of a VirtualService; each server reads one of them (virtual-service.md 12). */
enum route_kind { ROUTES_HTTP = 1, ROUTES_TLS = 2, ROUTES_TCP = 4 };

/* An http route as it is served: the VirtualService's own, or a delegate's merged with it. */
struct served_route {
	const struct http_route *route;
	const struct virtual_service *of;	/* whose namespace completes the names of its destinations */
	const struct meta *mirror_of, *mirrors_of;	/* likewise: a delegate may have them from the root */
};

/* A VirtualService that this proxy sees. */
struct bound_service {
	const struct virtual_service *service;
	LIST(struct served_route) http;	/* in place of service->http */
	size_t http_room;
	LIST(struct slice) hosts;	/* short names as written and completed (4.5) */
	bool has_gateway;		/* names at least one that this proxy serves */
	bool reaches_host;		/* at least one of its hosts is one of a server's */
	unsigned used;			/* enum route_kind: of what at least one server takes something */
};

/* A Gateway document whose selector picks this proxy, or a name that only VirtualServices know. */
struct bound_gateway {
	const struct gateway *gateway;	/* NULL: not selected, or there is no such document */
	bool exists;
	struct slice id;		/* "namespace/name" */
	LIST(struct bound_service *) services;	/* in the order of spec/virtual-service.md 4.4 */
	size_t services_room;
};

/* A server that takes part in a listener. */
struct server_use {
	struct bound_gateway *gateway;
	const struct server *server;
	const struct server_hosts *hosts;
};

struct snapshot_builder {
	struct snapshot *s;
	const struct resource_set *set;
	struct problems *ps;
	struct arena *arena;
	struct service_registry *registry;
	LIST(struct bound_gateway *) gateways;	/* selected ones, in order */
	LIST(struct bound_service *) services;
	struct name_map gateway_by_id;		/* -> struct bound_gateway */
	struct name_map service_by_id;		/* -> struct virtual_service, seen or not */
	struct name_map blocks;			/* -> struct route_block, by service, gateway and port */
	struct name_map told;			/* warnings that are given once */
};

/* "VirtualService shop/web: …" at `where`; its meta's place when `where.file` is NULL. */
void build_problem(struct snapshot_builder *b, enum severity severity, const struct meta *m,
		   struct where where, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
#define build_warning(b, m, where, ...)	build_problem((b), SEVERITY_WARNING, (m), (where), __VA_ARGS__)
#define build_note(b, m, where, ...)	build_problem((b), SEVERITY_NOTE, (m), (where), __VA_ARGS__)
#define NOWHERE				((struct where){ NULL, 0, 0 })

/* bindings.c: which Gateways are ours, and which VirtualServices belong to them. */
void bind_documents(struct snapshot_builder *b);

/* delegates.c: fills in the http routes of all bound services. */
void resolve_delegates(struct snapshot_builder *b);

/* verdict_reach.c: tells the compiler of routes what the gateway's policies may change of requests. */
void expect_verdicts(struct snapshot_builder *b);

/* listeners.c: servers into listeners and chains. False: an error was added. */
bool build_listeners(struct snapshot_builder *b);

/* chains.c: fills in chains, plain and sni of a listener, whose other members are set; `uses` is what was
 * merged into it, in order. No chain: nothing of it can be served. */
void build_chains(struct snapshot_builder *b, struct listener_plan *l, struct server_use *const *uses,
		  size_t count);

/* bind_point.c: where a server listens. False: `why` tells what is wrong with the address. */
bool bind_point_make(const struct server *s, uint32_t port, struct bind_point *out, char *why,
		     size_t why_bytes);
/* Is there IPv6 on this host? Asked once. */
bool host_has_ipv6(void);

/* hosts.c: the host patterns of one server, for finding those in common with VirtualServices. */
struct server_hosts;
typedef LIST(struct slice) slice_list;

struct server_hosts *server_hosts_create(struct arena *a, const struct server *s);
/* The domains that a VirtualService of namespace `ns` with these hosts gets here (gateway.md 7.3); those
 * are `take`n one by one, some perhaps twice. */
void server_hosts_intersect(const struct server_hosts *h, struct slice ns, const struct slice *hosts,
			    size_t count, void (*take)(void *arg, struct slice domain), void *arg);

/* virtual_hosts.c: the route table of the servers that share one. */
const struct route_table *build_routes(struct snapshot_builder *b, const struct server_use *servers,
				       size_t count);

/* The list that a server reads; 0: none, its routes are in the names that clients send. */
unsigned server_routes(const struct server *s);

/* tcp_routes.c: the one route of a server of opaque TCP, with or without TLS before it (gateway.md 13);
 * NULL: no VirtualService has any. */
const struct tcp_route *build_tcp_route(struct snapshot_builder *b, const struct server_use *u);
/* Each match item of a tls route that a PASSTHROUGH server takes, with where its bytes go; items of one
 * route share it. take() returns whether the item came into use (14.1). */
void build_tls_routes(struct snapshot_builder *b, const struct server_use *u,
		      bool (*take)(void *arg, const struct tcp_route *r, const struct l4_match *m), void *arg);
/* Each service that an AUTO_PASSTHROUGH server lets through, by the name that clients send for it (14.2). */
void build_mesh_routes(struct snapshot_builder *b, const struct server_use *u,
		       void (*take)(void *arg, const struct tcp_route *r, struct slice name), void *arg);

/* Is this the first time that these two are told of together? */
bool first_telling(struct snapshot_builder *b, const void *one, const void *other, uintptr_t what);

/* tls_settings.c */
void tls_settings_make(struct snapshot_builder *b, const struct server_use *u, struct tls_settings *out);

/* sni.c: what becomes listener_plan.sni. `meta`: of the Gateway that declares it. */
void sni_add_plain(struct snapshot_builder *b, struct host_map *names, struct chain *plain,
		   const struct meta *meta);
/* False: all of its names belong to servers before it: the server is dead. */
bool sni_add_chain(struct snapshot_builder *b, struct host_map *names, struct chain *chain,
		   const struct server_use *u);
/* The sniHosts of an item of a tls route. False: one of them is taken, and with it the item is dead. */
bool sni_add_item(struct snapshot_builder *b, struct host_map *names, struct chain *chain,
		  const struct meta *meta, const struct l4_match *m);

/* diagnostics.c: what documents say together and surely do not mean. */
void diagnose(struct snapshot_builder *b);

#endif
