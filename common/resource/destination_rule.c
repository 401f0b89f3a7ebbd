/* SPDX-License-Identifier: Apache-2.0
 *
 * DestinationRule: its host, subsets and selector, and which policy a port of a subset gets
 * (spec/destination-rule.md 2.1, 3, 6). */
#include "common/resource/destination_rule_priv.h"
#include "sallyport/hostname.h"

#define LABEL_VALUE_MAX	63u

/* --- subsets ------------------------------------------------------------------------------- */

static const struct decode_pointer policy_pointer = {
	sizeof(struct traffic_policy), dr_decode_traffic_policy, NULL
};

static const struct field subset_fields[] = {
	FIELD(struct subset, "name",			name,	decode_string,	FIELD_REQUIRED),
	FIELD(struct subset, "labels",			labels,	decode_labels,	FIELD_OPTIONAL),
	FIELD_ARG(struct subset, "trafficPolicy", policy, decode_pointer, FIELD_OPTIONAL,
		  &policy_pointer),
	FIELDS_END
};

static bool decode_subset(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct subset *s = out;
	bool ok;

	(void)arg;
	s->where = n->where;
	ok = decode_mapping(d, n, subset_fields, s);
	if (s->name.at != NULL && !hostname_is_label(s->name))
		ok = decode_error(d, node_get(n, "name"),
				  "subset name \"%.*s\" is invalid: letters, digits and "
				  "inner hyphens, at most 63",
				  SLICE_ARG(s->name));
	return ok;
}

static bool decode_subsets(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct subset), decode_subset, NULL, 0 };
	LIST(struct subset) *list = out;
	bool ok = decode_list(d, n, out, &row);

	(void)arg;
	for (size_t i = 1; i < list->count; i++) {
		const struct subset *s = &list->items[i];
		size_t mark = decode_push_index(d, i), j = 0;

		while (j < i && (s->name.at == NULL || !slice_eq(s->name, list->items[j].name)))
			j++;
		if (j < i)
			ok = decode_problem(d, SEVERITY_ERROR, s->where,
					    "duplicate subset name \"%.*s\", as at line %u",
					    SLICE_ARG(s->name), list->items[j].where.line);
		decode_pop(d, mark);
	}
	return ok;
}

/* --- workload selector --------------------------------------------------------------------- */

static bool decode_selector_labels(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	LIST(struct string_entry) *labels = out;
	bool ok = decode_string_map(d, n, out, arg);

	if (labels->count > SELECTOR_LABELS_MAX)
		ok = decode_error(d, n, "%zu labels, %u are allowed", labels->count,
				  SELECTOR_LABELS_MAX);
	for (size_t i = 0; i < labels->count; i++) {
		const struct string_entry *e = &labels->items[i];

		if (e->key.len == 0)
			ok = decode_problem(d, SEVERITY_ERROR, e->where, "an empty label key");
		if (slice_find(e->key, '*') >= 0 || slice_find(e->value, '*') >= 0)
			ok = decode_problem(d, SEVERITY_ERROR, e->where,
					    "a wildcard in \"%.*s: %.*s\": labels are "
					    "compared as they are",
					    SLICE_ARG(e->key), SLICE_ARG(e->value));
		if (e->value.len > LABEL_VALUE_MAX)
			ok = decode_problem(d, SEVERITY_ERROR, e->where,
					    "a label value of %zu characters, at most %u "
					    "are allowed",
					    e->value.len, LABEL_VALUE_MAX);
	}
	return ok;
}

static const struct field selector_fields[] = {
	FIELD(struct destination_rule, "matchLabels", selector, decode_selector_labels,
	      FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_selector(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct destination_rule *r = out;

	(void)arg;
	r->has_selector = true;
	if (!decode_mapping(d, n, selector_fields, r))
		return false;
	if (r->selector.count == 0)
		decode_warning(d, n, "workload selector specified without labels");
	return true;
}

/* A rule for some proxies of a namespace is nothing for other namespaces. */
static bool check_selector(struct decoder *d, const struct node *spec,
			   const struct destination_rule *r)
{
	const struct node *n = node_get(spec, "exportTo");
	struct slice only;

	if (!r->has_selector || r->export_to.count == 0)
		return true;
	if (r->export_to.count > 1)
		return decode_error(d, n, "exportTo must be \".\" alone beside a workloadSelector");
	only = r->export_to.items[0].text;
	return slice_eq(only, SLICE(".")) || slice_eq(only, slice_of(d->ns)) ||
	       decode_error(d, n,
			    "exportTo \"%.*s\" reaches beyond the rule's namespace, to which a "
			    "workloadSelector is limited: write \".\"",
			    SLICE_ARG(only));
}

/* --- the document -------------------------------------------------------------------------- */

static const struct field spec_fields[] = {
	FIELD(struct destination_rule, "host", host, decode_service_host, FIELD_REQUIRED),
	FIELD_ARG(struct destination_rule, "trafficPolicy", policy, decode_pointer,
		  FIELD_OPTIONAL, &policy_pointer),
	FIELD(struct destination_rule, "subsets", subsets, decode_subsets, FIELD_OPTIONAL),
	FIELD(struct destination_rule, "exportTo", export_to, decode_export_to, FIELD_OPTIONAL),
	{ "workloadSelector", decode_selector, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

struct destination_rule *destination_rule_decode(struct decoder *d, const struct node *spec,
						 const struct meta *meta)
{
	struct destination_rule *r = arena_new(d->arena, struct destination_rule);

	r->meta = meta;
	r->where = meta->where;
	meta_check_annotations(d, meta);
	if (spec == NULL || spec->kind == NODE_NULL) {
		decode_error(d, spec, "is missing: a DestinationRule needs a host");
		return r;
	}
	decode_mapping(d, spec, spec_fields, r);
	check_selector(d, spec, r);
	return r;
}

const struct subset *destination_rule_subset(const struct destination_rule *r, struct slice name)
{
	for (size_t i = 0; i < r->subsets.count; i++)
		if (slice_eq(r->subsets.items[i].name, name))
			return &r->subsets.items[i];
	return NULL;
}

/* --- inheritance (6) ----------------------------------------------------------------------- */

static const struct port_policy *find_port(const struct traffic_policy *p, uint32_t port)
{
	for (size_t i = 0; i < p->ports.count; i++)
		if (p->ports.items[i].port == port)
			return &p->ports.items[i];
	return NULL;
}

/* Exactly what the entry has: what it lacks is a default, not inherited. */
static void take_port(struct traffic_policy *out, const struct port_policy *entry)
{
	out->load_balancer = entry->load_balancer;
	out->connection_pool = entry->connection_pool;
	out->outlier = entry->outlier;
	out->tls = entry->tls;
	out->where = entry->where;
}

static void take_blocks(struct traffic_policy *out, const struct traffic_policy *p)
{
	if (p->load_balancer != NULL)
		out->load_balancer = p->load_balancer;
	if (p->connection_pool != NULL)
		out->connection_pool = p->connection_pool;
	if (p->outlier != NULL)
		out->outlier = p->outlier;
	if (p->tls != NULL)
		out->tls = p->tls;
	out->where = p->where;
}

static void take_rest(struct traffic_policy *out, const struct traffic_policy *p)
{
	if (p->tunnel != NULL)
		out->tunnel = p->tunnel;
	if (p->retry_budget != NULL)
		out->retry_budget = p->retry_budget;
	if (p->proxy_protocol_set) {
		out->proxy_protocol = p->proxy_protocol;
		out->proxy_protocol_set = true;
	}
}

void destination_rule_policy(const struct destination_rule *r, const struct subset *subset,
			     uint32_t port, struct traffic_policy *out)
{
	const struct traffic_policy *p = r->policy;
	const struct port_policy *entry = p != NULL ? find_port(p, port) : NULL;

	*out = (struct traffic_policy){ 0 };
	if (entry != NULL) {
		take_port(out, entry);
	} else if (p != NULL) {
		take_blocks(out, p);
		take_rest(out, p);
	}
	p = subset != NULL ? subset->policy : NULL;
	if (p == NULL)
		return;
	entry = find_port(p, port);
	if (entry != NULL)
		take_port(out, entry);
	else
		take_blocks(out, p);
	take_rest(out, p);
}
