/* SPDX-License-Identifier: Apache-2.0
 *
 * tcp_route.h - where the bytes of a connection go: the one route of a chain that relays TCP.
 *
 * A tcp route of a VirtualService behind a TCP server or one that ends TLS, a match item of a tls
 * route behind a PASSTHROUGH server, or a declared service behind an AUTO_PASSTHROUGH one.
 *
 * Owner    the snapshot's arena; immutable. Thread: built by snapshot/, read by all workers at once.
 * Spec     spec/gateway.md 13, 14; spec/virtual-service.md 10, 11; spec/destination-rule.md 6.5, 11. */
#ifndef SALLYPORT_PROXY_TCP_ROUTE_H
#define SALLYPORT_PROXY_TCP_ROUTE_H

#include "sallyport/decode.h"

struct cluster;
struct virtual_service;

struct tcp_target {
	const struct cluster *cluster;	/* NULL: no such service, port or subset: the connection is closed */
	struct slice cluster_name;	/* also when the cluster is missing */
	uint32_t weight;		/* 0 only where it stands alone, and then it takes everything */
};

struct tcp_route {
	struct slice name;		/* "namespace/name" of the VirtualService; of the service in
					 * AUTO_PASSTHROUGH */
	const struct virtual_service *service;	/* NULL: AUTO_PASSTHROUGH, no VirtualService is asked */
	struct where where;
	LIST(struct tcp_target) targets;	/* at least one; those of weight 0 removed from several */
	uint64_t total_weight;
	int64_t idle_timeout_ms;	/* no byte either way: both sides are closed; 0: never */
	int64_t max_duration_ms;	/* of a connection's life; 0: none */
};

/* Weighted draw, once a connection. Never NULL. */
const struct tcp_target *tcp_route_draw(const struct tcp_route *r, uint64_t random);

#endif
