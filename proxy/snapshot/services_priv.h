/* SPDX-License-Identifier: Apache-2.0
 *
 * services_priv.h - the directory of hosts that documents declare, and the endpoints of their ports.
 *
 * Owner    everything lives in the arena; strings are borrowed from the resource set.
 * Thread   the main thread, while a snapshot is built.
 * Spec     spec/service-entry.md 5, 7-12. */
#ifndef SALLYPORT_PROXY_SERVICES_PRIV_H
#define SALLYPORT_PROXY_SERVICES_PRIV_H

#include "proxy/snapshot/name_map.h"
#include "proxy/upstream/cluster.h"
#include "sallyport/resource.h"
#include "sallyport/resource/service.h"

/* Room for one more in a list of the arena. */
#define LIST_GROW(arena, list, room) \
	do { \
		if ((list).count == (room)) { \
			size_t more_ = (room) > 0 ? (room) * 2 : 2; \
			void *larger_ = arena_zalloc_array((arena), more_, sizeof(*(list).items)); \
			if ((list).count > 0) \
				memcpy(larger_, (list).items, (list).count * sizeof(*(list).items)); \
			(list).items = larger_; \
			(room) = more_; \
		} \
	} while (0)

struct known_endpoints;

/* Borrowed labels. */
struct label_set {
	const struct string_entry *items;
	size_t count;
};

struct declared_port {
	uint32_t number;
	struct slice name;
	enum service_protocol protocol;
	struct known_endpoints *endpoints;	/* once gathered; NULL until then */
};

/* One document that declares a host: either a ServiceEntry or a Service. */
struct definition {
	const struct meta *meta;
	const struct service_entry *entry;
	const struct service *service;
};

/* A host: what its first definition says, with the ports and endpoints that others of the same
 * namespace add (spec 8.2). */
struct declared_service {
	struct slice host;
	const struct meta *meta;		/* of the first definition */
	enum resolution resolution;		/* of the first; a Service's is static */
	struct slice external_name;		/* of an ExternalName Service: an alias */
	LIST(struct definition) definitions;
	LIST(struct declared_port) ports;
	size_t definitions_room, ports_room;
};

/* An endpoint with what selects it. */
struct known_endpoint {
	struct endpoint_spec spec;
	struct slice locality;
	struct label_set labels;		/* what subsets select by */
	struct label_set workload_labels;	/* what policies select by */
	uint32_t order;				/* as gathered */
};

struct known_endpoints {
	struct known_endpoint *items;
	size_t count, room;
};

/* Documents of one kind that share a key. */
struct document_list {
	const void **items;
	size_t count, room;
};

struct service_directory {
	const struct resource_set *set;
	struct arena *arena;
	struct problems *problems;
	struct slice proxy_ns;
	struct name_map hosts;			/* -> struct declared_service */
	struct name_map slices, endpoints;	/* "namespace/service" -> struct document_list */
	struct name_map workloads;		/* namespace -> struct document_list */
};

void service_directory_build(struct service_directory *dir, const struct resource_set *set,
			     struct arena *a, struct problems *ps);
/* NULL: nobody declares it, or the proxy does not see it. `host` in lower case. */
struct declared_service *service_directory_find(const struct service_directory *dir, struct slice host);
struct declared_port *declared_service_port(const struct declared_service *s, uint32_t number);
/* Of that port, ordered by locality (spec 10.4); duplicates are still in it. Gathered once. */
const struct known_endpoints *declared_service_endpoints(const struct service_directory *dir,
							 const struct declared_service *s,
							 struct declared_port *port);
/* "namespace/name" in the arena. */
struct slice namespaced_name(struct arena *a, struct slice ns, struct slice name);

#endif
