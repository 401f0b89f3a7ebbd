/* SPDX-License-Identifier: Apache-2.0
 *
 * localityLbSetting and zoneAwareLbSetting (spec/destination-rule.md 2.3, 3.2). */
#include "common/resource/destination_rule_priv.h"

#define MIN_CLUSTER_SIZE	6u
#define WEIGHT_SUM		100u

/* --- localities ---------------------------------------------------------------------------- */

/* region/zone/subzone, where a `*` may stand at the very end. */
static bool check_locality(struct decoder *d, struct where where, struct slice locality)
{
	ptrdiff_t star = slice_find(locality, '*');
	struct slice rest = locality;

	if (star >= 0 && (size_t)star + 1 != locality.len)
		return decode_problem(d, SEVERITY_ERROR, where,
				      "locality \"%.*s\": one \"*\" may stand, at the end",
				      SLICE_ARG(locality));
	while (rest.at != NULL)
		if (slice_cut(&rest, '/').len == 0)
			return decode_problem(d, SEVERITY_ERROR, where,
					      "locality \"%.*s\" must not contain an empty "
					      "region, zone or subzone",
					      SLICE_ARG(locality));
	return true;
}

/* Is there a place that both stand for? `a` holds all of `a/b`, `*` everything. */
static bool localities_overlap(struct slice a, struct slice b)
{
	while (a.at != NULL && b.at != NULL) {
		struct slice x = slice_cut(&a, '/'), y = slice_cut(&b, '/');

		if (slice_eq(x, SLICE("*")) || slice_eq(y, SLICE("*")))
			return true;
		if (!slice_eq(x, y))
			return false;
	}
	return true;
}

static bool overlap_problem(struct decoder *d, struct where where, struct slice later,
			    struct slice earlier)
{
	return decode_problem(d, SEVERITY_ERROR, where,
			      "locality \"%.*s\" overlaps \"%.*s\" before it", SLICE_ARG(later),
			      SLICE_ARG(earlier));
}

/* --- distribute ---------------------------------------------------------------------------- */

typedef LIST(struct locality_weight) weight_list;

static bool decode_weight(struct decoder *d, const struct node_pair *pair,
			  struct locality_weight *w, uint64_t *sum)
{
	*w = (struct locality_weight){ .locality = pair->key, .where = pair->where };
	if (!decode_u32(d, pair->value, &w->weight, NULL))
		return false;
	*sum += w->weight;
	if (w->weight < 1 || w->weight > WEIGHT_SUM)
		return decode_error(d, pair->value,
				    "locality weight must be in range 1..100, found %u", w->weight);
	return check_locality(d, pair->where, w->locality);
}

static bool decode_weights(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	weight_list *list = out;
	uint64_t sum = 0;
	bool ok = true;

	(void)arg;
	if (n->kind != NODE_MAPPING)
		return decode_error(d, n, "must be a mapping of localities to weights, found %s",
				    node_found(n));
	list->items = arena_array(d->arena, struct locality_weight, n->count + 1);
	list->count = n->count;
	for (size_t i = 0; i < n->count; i++) {
		size_t mark = decode_push_slice(d, n->pairs[i].key);

		ok = decode_weight(d, &n->pairs[i], &list->items[i], &sum) && ok;
		for (size_t j = 0; j < i; j++)
			if (localities_overlap(list->items[j].locality, list->items[i].locality))
				ok = overlap_problem(d, list->items[i].where,
						     list->items[i].locality,
						     list->items[j].locality);
		decode_pop(d, mark);
	}
	if (ok && sum != WEIGHT_SUM)
		ok = decode_error(d, n, "total locality weight %llu != 100",
				  (unsigned long long)sum);
	return ok;
}

static const struct field distribute_fields[] = {
	FIELD(struct locality_distribute, "from",	from,	decode_string,	FIELD_OPTIONAL),
	FIELD(struct locality_distribute, "to",		to,	decode_weights,	FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_distribute_item(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	struct locality_distribute *item = out;
	bool ok;

	(void)arg;
	item->where = n->where;
	ok = decode_mapping(d, n, distribute_fields, item);
	return check_locality(d, n->where, item->from.at != NULL ? item->from : SLICE("")) && ok;
}

static bool decode_distribute(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct locality_distribute),
					       decode_distribute_item, NULL, 4096 };
	LIST(struct locality_distribute) *list = out;
	bool ok = decode_list(d, n, out, &row);

	(void)arg;
	for (size_t i = 0; ok && i < list->count; i++)
		for (size_t j = 0; j < i; j++)
			if (localities_overlap(list->items[j].from, list->items[i].from))
				ok = overlap_problem(d, list->items[i].where, list->items[i].from,
						     list->items[j].from);
	return ok;
}

/* --- failover ------------------------------------------------------------------------------ */

static const struct field failover_fields[] = {
	FIELD(struct locality_failover, "from",	from,	decode_string,	FIELD_OPTIONAL),
	FIELD(struct locality_failover, "to",	to,	decode_string,	FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_failover_item(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	struct locality_failover *f = out;
	bool ok;

	(void)arg;
	f->where = n->where;
	ok = decode_mapping(d, n, failover_fields, f);
	if (slice_eq(f->from, f->to))
		ok = decode_error(d, n, "failover settings must specify different regions");
	if (slice_find(f->from, '/') >= 0 || slice_find(f->to, '/') >= 0)
		ok = decode_error(d, n, "failover names regions only, without \"/\"");
	if (slice_find(f->from, '*') >= 0 || slice_find(f->to, '*') >= 0)
		ok = decode_error(d, n, "a failover region should not contain the wildcard \"*\"");
	return ok;
}

static const struct decode_list failover_row = { sizeof(struct locality_failover),
						decode_failover_item, NULL, 4096 };

/* The topology label written without a value, if it is one. */
static bool is_topology_label(struct slice s)
{
	return slice_eq(s, SLICE("topology.kubernetes.io/region")) ||
	       slice_eq(s, SLICE("topology.kubernetes.io/zone")) ||
	       slice_eq(s, SLICE("topology.istio.io/subzone"));
}

/* --- the settings -------------------------------------------------------------------------- */

static const struct decode_nullable nullable_bool = {
	decode_bool,
	offsetof(struct locality_lb, enabled) - offsetof(struct locality_lb, enabled_set),
	NULL,
};

static bool decode_min_cluster_size(struct decoder *d, const struct node *n, void *out,
				    const void *arg)
{
	uint32_t *size = out;

	if (!decode_u32(d, n, size, arg))
		return false;
	return *size > 0 || decode_error(d, n, "minClusterSize must be at least 1");
}

#define SHARED_ROWS \
	FIELD_ARG(struct locality_lb, "enabled", enabled_set, decode_nullable, FIELD_OPTIONAL, \
		  &nullable_bool), \
	FIELD_ARG(struct locality_lb, "failover", failover, decode_list, FIELD_OPTIONAL, \
		  &failover_row), \
	FIELD(struct locality_lb, "failoverPriority", failover_priority, decode_string_list, \
	      FIELD_OPTIONAL)

static const struct field locality_fields[] = {
	SHARED_ROWS,
	FIELD(struct locality_lb, "distribute", distribute, decode_distribute, FIELD_OPTIONAL),
	FIELDS_END
};

static const struct field zone_aware_fields[] = {
	SHARED_ROWS,
	FIELD(struct locality_lb, "minClusterSize", min_cluster_size, decode_min_cluster_size,
	      FIELD_OPTIONAL),
	FIELDS_END
};

static bool check_priority_labels(struct decoder *d, const struct locality_lb *l, bool zone_aware)
{
	bool ok = true;

	for (size_t i = 0; i < l->failover_priority.count; i++) {
		const struct located_slice *label = &l->failover_priority.items[i];

		if (!is_topology_label(label->text) || (!zone_aware && l->failover.count == 0))
			continue;
		ok = decode_problem(d, SEVERITY_ERROR, label->where,
				    zone_aware ? "failoverPriority of zoneAwareLbSetting must not "
						 "use the topology label \"%.*s\""
					       : "failover excludes the topology label \"%.*s\" in "
						 "failoverPriority",
				    SLICE_ARG(label->text));
	}
	return ok;
}

bool dr_decode_locality_lb(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct locality_lb *l = out;
	bool ok;

	l->enabled = true;
	l->min_cluster_size = MIN_CLUSTER_SIZE;
	ok = decode_mapping(d, n, arg != NULL ? zone_aware_fields : locality_fields, l);
	if (l->distribute.count > 0 && l->failover.count > 0)
		ok = decode_error(
			d, n, "can not simultaneously specify distribute and failover: choose one");
	return check_priority_labels(d, l, arg != NULL) && ok;
}
