/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.c - DestinationRules: merged by host and namespace, looked up in three stages. */
#include "proxy/snapshot/rules_priv.h"

#include <stdlib.h>

#include "proxy/snapshot/services_priv.h"
#include "sallyport/hostname.h"
#include "sallyport/policy_reach.h"
#include "sallyport/resource/proxy_settings.h"

/* Rules of one namespace for one host string, after merging: usually one. */
struct rule_host {
	struct slice host;		/* expanded */
	LIST(struct destination_rule *) rules;
	size_t room;
};

struct rule_namespace {
	struct name_map hosts;		/* -> struct rule_host */
	LIST(struct rule_host *) wild;
	size_t wild_room;
};

/* Which of a namespace's rules a stage of the lookup sees (spec 4.3). */
enum rule_stage { STAGE_LOCAL, STAGE_ROOT_PRIVATE, STAGE_EXPORTED };

static bool export_names(const struct export_to *e, struct slice text)
{
	for (size_t i = 0; i < e->count; i++)
		if (slice_eq(e->items[i].text, text))
			return true;
	return false;
}

static bool is_private(const struct destination_rule *r)
{
	const struct export_to *e = &r->export_to;

	if (r->has_selector)
		return true;
	return e->count == 1 && (slice_eq(e->items[0].text, SLICE(".")) ||
				 slice_eq(e->items[0].text, r->meta->ns));
}

static bool stage_has(enum rule_stage stage, const struct destination_rule *r)
{
	const struct export_to *e = &r->export_to;

	switch (stage) {
	case STAGE_LOCAL:
		return r->has_selector || e->count == 0 || export_names(e, SLICE("*")) ||
		       export_names(e, SLICE(".")) || export_names(e, r->meta->ns);
	case STAGE_ROOT_PRIVATE:
		return is_private(r);
	case STAGE_EXPORTED:
		return !is_private(r);
	}
	return false;
}

static bool stage_has_host(enum rule_stage stage, const struct rule_host *h)
{
	for (size_t i = 0; i < h->rules.count; i++)
		if (stage_has(stage, h->rules.items[i]))
			return true;
	return false;
}

static bool same_exports(const struct export_to *a, const struct export_to *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!export_names(b, a->items[i].text))
			return false;
	return true;
}

static bool merges(const struct destination_rule *a, const struct destination_rule *b)
{
	if (!same_exports(&a->export_to, &b->export_to) || a->has_selector != b->has_selector)
		return false;
	return a->selector.count == b->selector.count &&
	       labels_include(a->selector.items, a->selector.count, b->selector.items, b->selector.count);
}

/* The earlier rule's policy stays, subsets with new names are added; no field is merged (spec 5). */
static void merge_into(struct rule_index *x, struct destination_rule *r, const struct destination_rule *later)
{
	struct subset *all = arena_array(x->arena, struct subset, r->subsets.count + later->subsets.count + 1);
	size_t count = r->subsets.count;

	if (r->policy == NULL)
		r->policy = later->policy;
	else if (later->policy != NULL)
		problem_add(x->problems, SEVERITY_WARNING, later->policy->where,
			    "DestinationRule %.*s/%.*s: spec.trafficPolicy is ignored: DestinationRule "
			    "%.*s/%.*s for the same host has one already; write it there",
			    SLICE_ARG(later->meta->ns), SLICE_ARG(later->meta->name),
			    SLICE_ARG(r->meta->ns), SLICE_ARG(r->meta->name));
	if (count > 0)
		memcpy(all, r->subsets.items, count * sizeof(*all));
	r->subsets.items = all;
	for (size_t i = 0; i < later->subsets.count; i++) {
		const struct subset *s = &later->subsets.items[i];

		if (destination_rule_subset(r, s->name) == NULL) {
			all[r->subsets.count++] = *s;
			continue;
		}
		problem_add(x->problems, SEVERITY_WARNING, s->where,
			    "DestinationRule %.*s/%.*s: subset %.*s is ignored: DestinationRule "
			    "%.*s/%.*s defines one of this name for the same host",
			    SLICE_ARG(later->meta->ns), SLICE_ARG(later->meta->name),
			    SLICE_ARG(s->name), SLICE_ARG(r->meta->ns), SLICE_ARG(r->meta->name));
	}
}

static struct rule_namespace *namespace_of(struct rule_index *x, struct slice ns)
{
	struct rule_namespace *n = name_map_get(&x->namespaces, ns);

	if (n == NULL) {
		n = arena_new(x->arena, struct rule_namespace);
		name_map_init(&n->hosts, x->arena);
		name_map_put(&x->namespaces, ns, n);
	}
	return n;
}

static struct rule_host *host_of(struct rule_index *x, struct rule_namespace *n, struct slice host)
{
	struct rule_host *h = name_map_get(&n->hosts, host);

	if (h != NULL)
		return h;
	h = arena_new(x->arena, struct rule_host);
	h->host = host;
	name_map_put(&n->hosts, host, h);
	if (hostname_is_wild(host)) {
		LIST_GROW(x->arena, n->wild, n->wild_room);
		n->wild.items[n->wild.count++] = h;
	}
	return h;
}

static void add_rule(struct rule_index *x, const struct destination_rule *r)
{
	struct rule_namespace *n = namespace_of(x, r->meta->ns);
	struct slice host = hostname_expand(x->arena, r->host, r->meta->ns,
					    x->set->proxy->mesh.cluster_domain);
	struct rule_host *h = host_of(x, n, host);
	struct destination_rule *copy;

	for (size_t i = 0; i < h->rules.count; i++)
		if (merges(h->rules.items[i], r)) {
			merge_into(x, h->rules.items[i], r);
			return;
		}
	copy = arena_new(x->arena, struct destination_rule);
	*copy = *r;
	LIST_GROW(x->arena, h->rules, h->room);
	h->rules.items[h->rules.count++] = copy;
}

/* Those with a workloadSelector first, then by time, name and namespace (spec 4.2). */
static int by_rank(const void *a, const void *b)
{
	const struct destination_rule *x = *(struct destination_rule *const *)a;
	const struct destination_rule *y = *(struct destination_rule *const *)b;
	int order;

	if (x->has_selector != y->has_selector)
		return x->has_selector ? -1 : 1;
	if (x->meta->created != y->meta->created)
		return x->meta->created < y->meta->created ? -1 : 1;
	order = slice_cmp(x->meta->name, y->meta->name);
	return order != 0 ? order : slice_cmp(x->meta->ns, y->meta->ns);
}

void rule_index_build(struct rule_index *x, const struct resource_set *set, struct arena *a,
		      struct problems *ps)
{
	size_t count = set->destination_rules.count;
	struct destination_rule **sorted = arena_array(a, struct destination_rule *, count + 1);

	*x = (struct rule_index){ .set = set, .arena = a, .problems = ps };
	name_map_init(&x->namespaces, a);
	for (size_t i = 0; i < count; i++)
		sorted[i] = set->destination_rules.items[i];
	qsort(sorted, count, sizeof(*sorted), by_rank);
	for (size_t i = 0; i < count; i++)
		if (sorted[i]->host.len > 0)
			add_rule(x, sorted[i]);
}

/* The most specific host of the stage: the same, or the longest wildcard that covers it. */
static const struct rule_host *best_host(const struct rule_index *x, struct slice ns,
					 enum rule_stage stage, struct slice host)
{
	const struct rule_namespace *n = name_map_get(&x->namespaces, ns);
	const struct rule_host *h, *best = NULL;

	if (n == NULL)
		return NULL;
	h = name_map_get(&n->hosts, host);
	if (h != NULL && stage_has_host(stage, h))
		return h;
	for (size_t i = 0; i < n->wild.count; i++) {
		h = n->wild.items[i];
		if ((best == NULL || h->host.len > best->host.len) &&
		    hostname_subset(host, h->host) && stage_has_host(stage, h))
			best = h;
	}
	return best;
}

/* The first whose selector picks this proxy, else the last without one (spec 4.4). */
static const struct destination_rule *choose(const struct rule_index *x, const struct rule_host *h,
					     enum rule_stage stage)
{
	const struct proxy_settings *proxy = x->set->proxy;
	const struct destination_rule *last = NULL;

	for (size_t i = 0; i < h->rules.count; i++) {
		const struct destination_rule *r = h->rules.items[i];

		if (!stage_has(stage, r))
			continue;
		if (stage == STAGE_EXPORTED && r->export_to.count > 0 &&
		    !export_names(&r->export_to, SLICE("*")) &&
		    !export_names(&r->export_to, proxy->meta->ns))
			continue;
		if (!r->has_selector)
			last = r;
		else if (slice_eq(r->meta->ns, proxy->meta->ns) &&
			 labels_include(proxy->labels.items, proxy->labels.count,
					r->selector.items, r->selector.count))
			return r;
	}
	return last;
}

const struct destination_rule *rule_index_find(const struct rule_index *x, struct slice host,
					       struct slice ns)
{
	struct slice own = x->set->proxy->meta->ns, root = x->set->proxy->mesh.root_namespace;
	enum rule_stage first = slice_eq(own, root) ? STAGE_ROOT_PRIVATE : STAGE_LOCAL;
	const struct rule_host *h = best_host(x, own, first, host);
	const struct destination_rule *r;

	if (h != NULL)
		return choose(x, h, first);
	/* An entry that is there but exported to others only ends neither stage, nor does it let less
	 * specific ones of its namespace be tried. */
	h = best_host(x, ns, STAGE_EXPORTED, host);
	r = h != NULL ? choose(x, h, STAGE_EXPORTED) : NULL;
	if (r != NULL || slice_eq(ns, root))
		return r;
	h = best_host(x, root, STAGE_EXPORTED, host);
	return h != NULL ? choose(x, h, STAGE_EXPORTED) : NULL;
}
