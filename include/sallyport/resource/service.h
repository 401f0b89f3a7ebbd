/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/service.h - Kubernetes' Service, Endpoints and EndpointSlice as far as they matter here.
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Spec     spec/service-entry.md 5, 6.5, 9.2; spec/README.md D2. */
#ifndef SALLYPORT_RESOURCE_SERVICE_H
#define SALLYPORT_RESOURCE_SERVICE_H

#include "sallyport/resource/service_entry.h"

struct kube_port {
	struct where where;
	uint32_t number;
	struct slice name;		/* may be "" where there is one port */
	enum service_protocol protocol;
	uint32_t target_port;		/* 0: none or by name */
	struct slice target_name;	/* absent: none or by number */
};

struct service {
	const struct meta *meta;
	LIST(struct kube_port) ports;
	LIST(struct string_entry) selector;
	bool headless;
	bool local_only;		/* internalTrafficPolicy: Local */
	struct slice external_name;	/* of type ExternalName; lower case */
	struct export_to export_to;	/* annotation networking.istio.io/exportTo */
};

enum endpoint_health { ENDPOINT_HEALTHY, ENDPOINT_UNHEALTHY };

/* One address; terminating ones were dropped. */
struct kube_endpoint {
	struct where where;
	struct slice address;		/* IP literal */
	enum endpoint_health health;
	struct slice zone, node_name;
};

struct endpoint_port {
	struct slice name;		/* "" where not written */
	uint32_t number;		/* 0: none */
};

struct endpoint_slice {
	const struct meta *meta;
	struct slice service;		/* label kubernetes.io/service-name; absent: ignored, noted */
	LIST(struct endpoint_port) ports;
	LIST(struct kube_endpoint) endpoints;	/* one for each address; none for addressType FQDN */
};

struct endpoint_subset {
	LIST(struct endpoint_port) ports;
	LIST(struct kube_endpoint) endpoints;
};

struct endpoints {
	const struct meta *meta;	/* its name is the Service's */
	LIST(struct endpoint_subset) subsets;
};

/* The latter two get the whole document. */
struct service *service_decode(struct decoder *d, const struct node *spec, const struct meta *meta);
struct endpoints *endpoints_decode(struct decoder *d, const struct node *root, const struct meta *meta);
struct endpoint_slice *endpoint_slice_decode(struct decoder *d, const struct node *root,
					     const struct meta *meta);

#endif
