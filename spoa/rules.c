/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/rules.h"

#include <stdlib.h>

#include "sallyport/arena.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/workload.h"
#include "spoa/providers.h"

#define KIND_RULES	KIND('R', 'U', 'L', 'E')

/* ---- inventory: what a HAProxy names without labels ---- */

static struct slice labels_text(struct arena *a, const struct string_entry *labels, size_t count)
{
	size_t bytes = 0, at = 0;
	char *text;

	for (size_t i = 0; i < count; i++)
		bytes += labels[i].key.len + labels[i].value.len + 2;
	text = arena_alloc(a, bytes + 1);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			text[at++] = ',';
		memcpy(text + at, labels[i].key.at, labels[i].key.len);
		at += labels[i].key.len;
		text[at++] = '=';
		if (labels[i].value.len > 0)
			memcpy(text + at, labels[i].value.at, labels[i].value.len);
		at += labels[i].value.len;
	}
	return slice_make(text, at);
}

static struct slice workload_name(struct arena *a, const struct meta *m)
{
	return slice_of(arena_printf(a, "%.*s/%.*s", SLICE_ARG(m->ns), SLICE_ARG(m->name)));
}

static int by_workload(const void *a, const void *b)
{
	return slice_cmp(((const struct workload_labels *)a)->workload,
			 ((const struct workload_labels *)b)->workload);
}

static void take_inventory(struct rules *r)
{
	const struct proxy_settings *proxy = r->set->proxy;
	struct arena *a = r->set->arena;
	struct workload_labels *next;

	next = r->inventory = arena_array(a, struct workload_labels,
					  r->set->workload_entries.count + 1);
	next->workload = workload_name(a, proxy->meta);
	(next++)->labels = labels_text(a, proxy->labels.items, proxy->labels.count);
	for (size_t i = 0; i < r->set->workload_entries.count; i++) {
		const struct workload_entry *e = r->set->workload_entries.items[i];

		next->workload = workload_name(a, e->meta);
		(next++)->labels = labels_text(a, e->workload.labels.items,
					       e->workload.labels.count);
	}
	r->inventory_count = (size_t)(next - r->inventory);
	qsort(r->inventory, r->inventory_count, sizeof(*r->inventory), by_workload);
}

struct slice rules_labels(const struct rules *r, struct slice workload)
{
	struct workload_labels key = { .workload = workload }, *found;

	found = bsearch(&key, r->inventory, r->inventory_count, sizeof(key), by_workload);
	return found != NULL ? found->labels : NO_SLICE;
}

/* ---- revisions ---- */

bool rules_are_of(const struct rules *r, struct slice rev)
{
	return slice_eq(slice_cut(&rev, '.'), r->rev);
}

static void lock_askers(struct rules *r)
{
	must(pthread_mutex_lock(&r->askers_lock) == 0);
}

static void unlock_askers(struct rules *r)
{
	must(pthread_mutex_unlock(&r->askers_lock) == 0);
}

/* The lock is held. */
static bool has_asked(const struct rules *r, struct slice rev)
{
	size_t count = r->asker_count < RULES_ASKERS_MAX ? r->asker_count : RULES_ASKERS_MAX;

	for (size_t i = 0; i < count; i++)
		if (slice_eq(slice_of(r->askers[i]), rev))
			return true;
	return false;
}

void rules_note_asker(struct rules *r, struct slice rev)
{
	char *place;

	if (rev.len >= RULES_REVISION_BYTES)
		return;
	lock_askers(r);
	if (!has_asked(r, rev)) {
		place = r->askers[r->asker_count++ % RULES_ASKERS_MAX];
		memcpy(place, rev.at, rev.len);
		place[rev.len] = '\0';
	}
	unlock_askers(r);
}

bool rules_are_ahead_of(struct rules *r, struct slice rev)
{
	bool known;

	lock_askers(r);
	known = has_asked(r, rev);
	unlock_askers(r);
	return known;
}

static void remember_askers(struct rules *r, struct rules *last)
{
	lock_askers(last);
	memcpy(r->askers, last->askers, sizeof(r->askers));
	r->asker_count = last->asker_count;
	unlock_askers(last);
}

/* ---- life ---- */

static struct policy_index *make_index(struct resource_set *set, struct jwks_store *keys)
{
	const struct proxy_settings *proxy = set->proxy;
	size_t aliases = proxy->mesh.trust_domain_aliases.count;
	struct slice *alias = arena_array(set->arena, struct slice, aliases + 1);
	struct policy_mesh mesh = {
		.root_namespace = proxy->mesh.root_namespace,
		.trust_domain = proxy->mesh.trust_domain,
		.trust_domain_aliases = alias,
		.trust_domain_alias_count = aliases,
		.normalization = proxy->mesh.path_normalization,
	};

	mesh.providers = providers_find(set, &mesh.provider_count);
	for (size_t i = 0; i < aliases; i++)
		alias[i] = proxy->mesh.trust_domain_aliases.items[i].text;
	return policy_index_create(&mesh, keys,
				   set->request_authentications.items,
				   set->request_authentications.count,
				   set->authorization_policies.items,
				   set->authorization_policies.count);
}

struct rules *rules_create(struct resource_set *set, struct jwks_store *keys, struct rules *last)
{
	struct rules *r;

	if (last != NULL && slice_eq(slice_of(set->rev), last->rev)) {
		resource_set_free(&set);
		return rules_ref(last);
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		fatal("out of memory: rules");
	r->obj.kind = KIND_RULES;
	atomic_init(&r->obj.refs, 1);
	r->set = set;
	r->rev = slice_of(set->rev);
	must(pthread_mutex_init(&r->askers_lock, NULL) == 0);
	take_inventory(r);
	if (last != NULL)
		remember_askers(r, last);
	r->index = make_index(set, keys);
	if (last != NULL)
		policy_index_carry(r->index, last->index);
	return r;
}

struct rules *rules_ref(struct rules *r)
{
	object_must(r, KIND_RULES);
	atomic_fetch_add(&r->obj.refs, 1);
	return r;
}

void rules_unref(struct rules **rp)
{
	struct rules *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	object_must(r, KIND_RULES);
	if (atomic_fetch_sub(&r->obj.refs, 1) > 1)
		return;
	policy_index_unref(&r->index);
	resource_set_free(&r->set);
	pthread_mutex_destroy(&r->askers_lock);
	object_wipe(r);
	free(r);
}
