/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/workload.h - WorkloadEntry, which is also the form of ServiceEntry endpoints, and
 * WorkloadGroup.
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Spec     spec/service-entry.md 3, 4, 6.3, 6.4, 10, 14. */
#ifndef SALLYPORT_RESOURCE_WORKLOAD_H
#define SALLYPORT_RESOURCE_WORKLOAD_H

#include "sallyport/decode.h"

enum address_kind { ADDRESS_NONE, ADDRESS_IP, ADDRESS_NAME, ADDRESS_UNIX, ADDRESS_ABSTRACT };

struct named_port {
	struct slice name;
	uint32_t number;
	struct where where;
};

/* One endpoint: inline in a ServiceEntry, or the spec of a WorkloadEntry. */
struct workload {
	struct where where, address_where;
	enum address_kind address_kind;
	struct slice address;		/* IP, lower-case name, path, or abstract name without the @ */
	LIST(struct named_port) ports;
	LIST(struct string_entry) labels;	/* of a WorkloadEntry: metadata.labels laid over */
	struct slice network, locality, service_account;
	uint32_t weight;		/* 0 as written is 1 */
	bool draining;			/* label istio.io/draining */
};

struct workload_entry {
	const struct meta *meta;
	struct workload workload;
	struct slice group;		/* WorkloadGroup it belongs to (14.2) */
	bool health_checked;		/* annotation proxy.istio.io/health-checks-enabled */
	bool healthy;			/* its Healthy condition is True, or it is not health checked */
};

enum probe_kind { PROBE_HTTP, PROBE_TCP, PROBE_EXEC, PROBE_GRPC };

struct probe_header {
	struct slice name, value;
};

struct probe {
	enum probe_kind kind;
	int32_t initial_delay_s, timeout_s, period_s, success_threshold, failure_threshold;
	struct slice path, host, service;
	bool https;
	uint32_t port;
	LIST(struct probe_header) headers;
	LIST(struct located_slice) command;
};

struct workload_group {
	const struct meta *meta;
	LIST(struct string_entry) labels, annotations;	/* put on entries made from the group */
	struct workload template;
	struct probe *probe;		/* NULL: none */
};

/* Both get the whole document, for `status` and `metadata` matter. */
struct workload_entry *workload_entry_decode(struct decoder *d, const struct node *root,
					     const struct meta *meta);
struct workload_group *workload_group_decode(struct decoder *d, const struct node *spec,
					     const struct meta *meta);

/* As a field's decoder: `out` is a struct workload; `arg` unused. */
bool decode_workload(struct decoder *d, const struct node *n, void *out, const void *arg);
/* The number of the port of this name, 0: none. */
uint32_t workload_port(const struct workload *w, struct slice name);

#endif
