/* SPDX-License-Identifier: Apache-2.0
 *
 * clusters.h - the services that documents declare, and the clusters that routes ask of them.
 *
 * A service is a host with ports and endpoints, whatever declared it: ServiceEntry, Service with
 * Endpoints or EndpointSlices, WorkloadEntries by selector. A cluster is made of it once for each
 * (host, port, subset) that a route names, with the DestinationRule that applies.
 *
 * Owner    everything lives in the arena; strings are borrowed from the resource set.
 * Thread   the main thread, while a snapshot is built.
 * Fails    what cannot be found is a warning where it was written and answers 503 at run time (NC).
 * Spec     spec/service-entry.md 5, 7-12, 17; spec/destination-rule.md 4-7; spec/virtual-service.md 5. */
#ifndef SALLYPORT_PROXY_CLUSTERS_H
#define SALLYPORT_PROXY_CLUSTERS_H

#include "proxy/upstream/cluster.h"
#include "sallyport/resource.h"
#include "sallyport/resource/virtual_service.h"

struct service_registry;

/* The namespace and labels of the proxy and all defaults come from set->proxy. */
struct service_registry *service_registry_build(const struct resource_set *set, struct arena *a,
						struct problems *ps);

/* The cluster that a destination of `document` means on a server with that port.number: the same
 * pointer for the same (host, port, subset). NULL: there is none, which is warned of once for each
 * place it was written at. *name gets "outbound|port|subset|host" in either case. `document` is
 * the one whose namespace completes short names: the delegate, in a delegate. */
struct cluster *service_registry_cluster(struct service_registry *r, const struct destination *to,
					 const struct meta *document, uint32_t server_port,
					 struct slice *name);

/* Likewise for copies of requests, which nobody misses. */
struct cluster *service_registry_mirror_cluster(struct service_registry *r, const struct destination *to,
						const struct meta *document, uint32_t server_port,
						struct slice *name);

/* Likewise for a connection: there is nobody to answer 503 to. */
struct cluster *service_registry_tcp_cluster(struct service_registry *r, const struct destination *to,
					     const struct meta *document, uint32_t server_port,
					     struct slice *name);
/* What the rule of the destination's host says of a session's times, above subsets and ports
 * (destination-rule.md 6.5); what it does not say stays. */
void service_registry_session_times(struct service_registry *r, const struct destination *to,
				    const struct meta *document, uint32_t server_port, int64_t *idle_ms,
				    int64_t *duration_ms);

/* A port of a service within the mesh, or a subset of it. */
struct mesh_address {
	struct destination to;
	const struct meta *document;	/* that declares the service */
};
/* All of them, by host, port and subset: Services, and ServiceEntries of location MESH_INTERNAL that are no
 * pattern; no UDP (gateway.md 14.2). Made once; the array lives in the arena. */
size_t service_registry_mesh_addresses(struct service_registry *r, const struct mesh_address **out);

/* Why there is no cluster of this name that was asked for; NULL: there is one, or nobody asked. For as long as
 * the arena lives. */
const char *service_registry_why_none(const struct service_registry *r, struct slice name);

/* All clusters made so far, sorted by name; the array lives in the arena. */
size_t service_registry_clusters(struct service_registry *r, struct cluster ***clusters);

#endif
