/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_reach.c - which workloads a security document reaches. */
#include "sallyport/policy_reach.h"

#include <stdlib.h>

#include "sallyport/resource/authorization_policy.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/request_authentication.h"

static bool labels_hold(const struct string_entry *labels, size_t count,
			const struct string_entry *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(labels[i].key, wanted->key))
			return slice_eq(labels[i].value, wanted->value);
	return false;
}

bool labels_include(const struct string_entry *labels, size_t count,
		    const struct string_entry *wanted, size_t wanted_count)
{
	for (size_t i = 0; i < wanted_count; i++)
		if (!labels_hold(labels, count, &wanted[i]))
			return false;
	return true;
}

/* A reference has no namespace: it is to a Gateway of the document's own. */
static bool names_gateway(const struct policy_target *t, const struct string_entry *labels, size_t count)
{
	struct string_entry wanted = { .key = SLICE(GATEWAY_NAME_LABEL) };

	for (size_t i = 0; i < t->refs.count; i++) {
		wanted.value = t->refs.items[i].name;
		if (target_ref_is_gateway(&t->refs.items[i]) && labels_hold(labels, count, &wanted))
			return true;
	}
	return false;
}

bool policy_reaches(const struct policy_target *t, struct slice policy_ns, struct slice root_ns,
		    struct slice workload_ns, const struct string_entry *labels, size_t count)
{
	if (!slice_eq(policy_ns, workload_ns) && !slice_eq(policy_ns, root_ns))
		return false;
	if (t->refs.count > 0)
		return slice_eq(policy_ns, workload_ns) && names_gateway(t, labels, count);
	return labels_include(labels, count, t->match_labels.items, t->match_labels.count);
}

bool authentications_reach(const struct resource_set *set, struct slice workload_ns,
			   const struct string_entry *labels, size_t count)
{
	struct slice root = set->proxy->mesh.root_namespace;

	for (size_t i = 0; i < set->request_authentications.count; i++) {
		const struct request_authentication *r = set->request_authentications.items[i];

		if (policy_reaches(&r->target, r->meta.ns, root, workload_ns, labels, count))
			return true;
	}
	return false;
}

bool policies_reach(const struct resource_set *set, struct slice workload_ns,
		    const struct string_entry *labels, size_t count)
{
	struct slice root = set->proxy->mesh.root_namespace;

	if (authentications_reach(set, workload_ns, labels, count))
		return true;
	for (size_t i = 0; i < set->authorization_policies.count; i++) {
		const struct authorization_policy *p = set->authorization_policies.items[i];

		if (policy_reaches(&p->target, p->meta.ns, root, workload_ns, labels, count))
			return true;
	}
	return false;
}

static int by_key(const void *a, const void *b)
{
	const struct string_entry *x = a, *y = b;

	return slice_cmp(x->key, y->key);
}

struct slice labels_text(struct arena *a, const struct string_entry *labels, size_t count)
{
	struct string_entry *sorted = arena_array(a, struct string_entry, count + 1);
	size_t bytes = 0;
	char *text, *end;

	for (size_t i = 0; i < count; i++) {
		sorted[i] = labels[i];
		bytes += labels[i].key.len + labels[i].value.len + 2;
	}
	qsort(sorted, count, sizeof(*sorted), by_key);
	text = end = arena_alloc(a, bytes + 1);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			*end++ = ',';
		memcpy(end, sorted[i].key.at, sorted[i].key.len);
		end += sorted[i].key.len;
		*end++ = '=';
		if (sorted[i].value.len > 0)
			memcpy(end, sorted[i].value.at, sorted[i].value.len);
		end += sorted[i].value.len;
	}
	*end = '\0';
	return slice_make(text, (size_t)(end - text));
}
