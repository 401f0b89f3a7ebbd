/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_reach.h - which workloads a security document reaches: by namespace and by labels.
 *
 * A workload is a gateway or what stands behind a route: a namespace and labels.
 * Thread   any; nothing is kept.
 * Spec     spec/request-authentication.md 3, spec/authorization-policy.md 3, spec/spop.md 13.1. */
#ifndef SALLYPORT_POLICY_REACH_H
#define SALLYPORT_POLICY_REACH_H

#include "sallyport/resource.h"
#include "sallyport/resource/policy_target.h"

/* Does a document of namespace `policy_ns` reach the workload? One with targetRefs does where one of them is
 * the Gateway that the workload is labelled with (GATEWAY_NAME_LABEL), in its own namespace. */
bool policy_reaches(const struct policy_target *t, struct slice policy_ns, struct slice root_ns,
		    struct slice workload_ns, const struct string_entry *labels, size_t count);

/* Does any RequestAuthentication or AuthorizationPolicy of the set? */
bool policies_reach(const struct resource_set *set, struct slice workload_ns,
		    const struct string_entry *labels, size_t count);

/* Does any RequestAuthentication: are tokens looked at there? */
bool authentications_reach(const struct resource_set *set, struct slice workload_ns,
			   const struct string_entry *labels, size_t count);

/* Are all of `wanted` among `labels`? None wanted: yes. */
bool labels_include(const struct string_entry *labels, size_t count,
		    const struct string_entry *wanted, size_t wanted_count);

/* "k=v,k=v" in byte order of the keys, as the agent reads it; "" for none. */
struct slice labels_text(struct arena *a, const struct string_entry *labels, size_t count);

#endif
