/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_target.h - what a security document applies to: a label selector or Gateway API objects
 * (spec/request-authentication.md 1.1, spec/authorization-policy.md 1.1).
 *
 * Owner    lives in the arena of the decoder. Thread: immutable once decoded. */
#ifndef SALLYPORT_RESOURCE_POLICY_TARGET_H
#define SALLYPORT_RESOURCE_POLICY_TARGET_H

#include "sallyport/decode.h"

#define SELECTOR_LABELS_MAX	4096u
#define SELECTOR_VALUE_MAX	63u
#define TARGET_REFS_MAX		16u

struct target_ref {
	struct slice group, kind, name, ns;	/* absent where not written */
	struct where where;
};

struct policy_target {
	/* All have to be equal to the workload's; none: every workload in the namespace's reach. */
	LIST(struct string_entry) match_labels;
	/* A document that has any selects nothing by labels. Those to a Gateway apply to workloads of its
	 * namespace with GATEWAY_NAME_LABEL, others are not applied at this edge. */
	LIST(struct target_ref) refs;
};

#define GATEWAY_NAME_LABEL	"gateway.networking.k8s.io/gateway-name"

/* To a Gateway of the Gateway API. */
bool target_ref_is_gateway(const struct target_ref *r);

/* As a field's decoders; `out` is the struct policy_target in each case. */
bool decode_selector(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_target_ref(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_target_refs(struct decoder *d, const struct node *n, void *out, const void *arg);

/* More than one of the three under `spec` is an error (E1, A1). */
bool policy_target_check(struct decoder *d, const struct node *spec);

/* A problem of an annotation, at its line and path. Always false. */
bool annotation_error(struct decoder *d, const struct meta *m, const char *key, const char *text);

#endif
