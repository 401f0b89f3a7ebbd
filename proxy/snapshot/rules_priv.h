/* SPDX-License-Identifier: Apache-2.0
 *
 * rules_priv.h - which DestinationRule applies to a service at this proxy.
 *
 * Owner    everything lives in the arena; rules are borrowed from the resource set.
 * Thread   the main thread, while a snapshot is built.
 * Spec     spec/destination-rule.md 4, 5. */
#ifndef SALLYPORT_PROXY_RULES_PRIV_H
#define SALLYPORT_PROXY_RULES_PRIV_H

#include "proxy/snapshot/name_map.h"
#include "sallyport/resource.h"
#include "sallyport/resource/destination_rule.h"

struct rule_index {
	const struct resource_set *set;
	struct arena *arena;
	struct problems *problems;
	struct name_map namespaces;	/* -> struct rule_namespace */
};

void rule_index_build(struct rule_index *x, const struct resource_set *set, struct arena *a,
		      struct problems *ps);
/* NULL: none. `host` of the service, in lower case; `ns` of the document that declares it. */
const struct destination_rule *rule_index_find(const struct rule_index *x, struct slice host,
					       struct slice ns);

#endif
