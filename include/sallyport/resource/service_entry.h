/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/service_entry.h - a ServiceEntry, decoded and checked, with defaults applied.
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Spec     spec/service-entry.md 2, 6.1, 6.2, 9, 12. */
#ifndef SALLYPORT_RESOURCE_SERVICE_ENTRY_H
#define SALLYPORT_RESOURCE_SERVICE_ENTRY_H

#include "sallyport/export_to.h"
#include "sallyport/resource/workload.h"

/* Of a service port (spec 9); also for Services, by name or appProtocol. */
enum service_protocol {
	SERVICE_AUTO, SERVICE_HTTP, SERVICE_HTTP_PROXY, SERVICE_HTTP2, SERVICE_GRPC, SERVICE_GRPC_WEB,
	SERVICE_HTTPS, SERVICE_TLS, SERVICE_TCP, SERVICE_UDP, SERVICE_MONGO, SERVICE_REDIS, SERVICE_MYSQL
};

enum resolution {		/* the first is the default */
	RESOLUTION_NONE, RESOLUTION_STATIC, RESOLUTION_DNS, RESOLUTION_DNS_ROUND_ROBIN,
	RESOLUTION_DYNAMIC_DNS
};

/* Of names that are known ahead. */
static inline bool resolution_is_dns(int resolution)
{
	return resolution == RESOLUTION_DNS || resolution == RESOLUTION_DNS_ROUND_ROBIN;
}

struct service_port {
	struct where where;
	uint32_t number;
	uint32_t target_port;		/* 0: not written, as `number` */
	struct slice name;
	enum service_protocol protocol;
};

struct service_entry {
	const struct meta *meta;
	LIST(struct located_slice) hosts;	/* lower case */
	LIST(struct located_slice) addresses;
	LIST(struct service_port) ports;
	bool internal;			/* location MESH_INTERNAL */
	int resolution;			/* enum resolution */
	bool served;			/* false: a warning said that its resolution is not obeyed yet */
	LIST(struct workload) endpoints;
	bool has_selector;
	LIST(struct string_entry) selector;	/* empty with has_selector: all of the namespace */
	struct export_to export_to;
	LIST(struct located_slice) subject_alt_names;
};

struct service_entry *service_entry_decode(struct decoder *d, const struct node *spec,
					   const struct meta *meta);

/* Of a Service's port (9.2). */
enum service_protocol service_protocol_guess(struct slice protocol, struct slice app_protocol,
					     struct slice name, uint32_t number);
/* Does the upstream speak HTTP/2 on such a port (9.3)? */
bool service_protocol_is_http2(enum service_protocol p);

#endif
