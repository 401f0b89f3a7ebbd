/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_index.c - the compiled documents by namespace, and the few of them that reach a workload. */
#include <stdlib.h>

#include "spoa/extauthz.h"
#include "spoa/policy_priv.h"
#include "spoa/rule_filter.h"

#define ROOT_NAMESPACE	"istio-system"
#define TRUST_DOMAIN	"cluster.local"

/* uthash calls this when memory is gone. */
#undef uthash_fatal
#define uthash_fatal(text) fatal("out of memory: %s", text)

static struct namespace_policies *namespace_find(struct policy_index *x, struct slice name)
{
	struct namespace_policies *n = NULL;

	HASH_FIND(hh, x->namespaces, name.at, name.len, n);
	return n;
}

static struct namespace_policies *namespace_get(struct policy_index *x, struct slice name)
{
	struct namespace_policies *n = namespace_find(x, name);

	if (n != NULL)
		return n;
	n = arena_new(x->arena, struct namespace_policies);
	n->name = arena_slice(x->arena, name);
	HASH_ADD_KEYPTR(hh, x->namespaces, n->name.at, n->name.len, n);
	return n;
}

static struct trust_domains trust_domains_of(struct policy_index *x)
{
	struct slice *items = arena_array(x->arena, struct slice, x->mesh.trust_domain_alias_count + 1);
	size_t count = 0;

	items[count++] = x->mesh.trust_domain;
	for (size_t i = 0; i < x->mesh.trust_domain_alias_count; i++)
		items[count++] = x->mesh.trust_domain_aliases[i];
	return (struct trust_domains){ items, count };
}

static int namespace_order(struct namespace_policies *a, struct namespace_policies *b)
{
	return slice_cmp(a->name, b->name);
}

/* By name inside a namespace, whatever file a document stands in (spec/README.md D12). */
static int policy_order(const void *a, const void *b)
{
	return slice_cmp((*(struct policy *const *)a)->name, (*(struct policy *const *)b)->name);
}

static int authentication_order(const void *a, const void *b)
{
	return slice_cmp((*(struct authentication *const *)a)->name,
			 (*(struct authentication *const *)b)->name);
}

/* For a CUSTOM policy; its provider may be unknown. */
static const struct extauthz_target *provider_find(const struct policy_index *x,
						   const struct authorization_policy *doc)
{
	if (doc->action != POLICY_CUSTOM)
		return NULL;
	for (size_t i = 0; i < x->mesh.provider_count; i++)
		if (slice_eq(x->mesh.providers[i].provider->name, doc->provider))
			return &x->mesh.providers[i];
	log_warn("custom", "%.*s/%.*s: there is no provider %.*s in Proxy.spec.mesh.extensionProviders: what the "
		 "policy matches is refused", SLICE_ARG(doc->meta.ns), SLICE_ARG(doc->meta.name),
		 SLICE_ARG(doc->provider));
	return NULL;
}

static void policies_add(struct policy_index *x, struct authorization_policy *const *docs, size_t count)
{
	struct trust_domains domains = trust_domains_of(x);
	struct namespace_policies *n, *next;

	for (size_t i = 0; i < count; i++)
		namespace_get(x, docs[i]->meta.ns)->policy_count++;
	HASH_ITER(hh, x->namespaces, n, next) {
		n->policies = arena_array(x->arena, struct policy *, n->policy_count);
		n->policy_count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		n = namespace_get(x, docs[i]->meta.ns);
		n->policies[n->policy_count] = policy_compile(x->arena, &domains, docs[i]);
		n->policies[n->policy_count++]->asked = provider_find(x, docs[i]);
	}
	HASH_ITER(hh, x->namespaces, n, next)
		if (n->policy_count > 1)
			qsort(n->policies, n->policy_count, sizeof(*n->policies), policy_order);
}

static void providers_open(struct policy_index *x, struct jwks_store *keys)
{
	const struct jwt_rule *rule;

	for (size_t i = 0; i < x->provider_count; i++) {
		rule = x->providers[i].rule;
		x->providers[i].keys = jwks_source_open(keys, &(struct jwks_spec){
			.issuer = rule->issuer, .uri = rule->jwks_uri, .inline_set = rule->jwks,
			.timeout_ms = rule->timeout_ms,
		});
	}
}

static void authentications_add(struct policy_index *x, struct request_authentication *const *docs,
				size_t count)
{
	struct namespace_policies *n, *next;
	struct provider *at;

	for (size_t i = 0; i < count; i++) {
		namespace_get(x, docs[i]->meta.ns)->authentication_count++;
		x->provider_count += docs[i]->rules.count;
	}
	x->providers = at = arena_array(x->arena, struct provider, x->provider_count);
	HASH_ITER(hh, x->namespaces, n, next) {
		n->authentications = arena_array(x->arena, struct authentication *,
						 n->authentication_count);
		n->authentication_count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		n = namespace_get(x, docs[i]->meta.ns);
		n->authentications[n->authentication_count++] = authentication_compile(x->arena, at,
										       docs[i]);
		at += docs[i]->rules.count;
	}
	HASH_ITER(hh, x->namespaces, n, next)
		if (n->authentication_count > 1)
			qsort(n->authentications, n->authentication_count, sizeof(*n->authentications),
			      authentication_order);
}

struct policy_index *policy_index_create(const struct policy_mesh *mesh, struct jwks_store *keys,
					 struct request_authentication *const *authentications,
					 size_t authentication_count,
					 struct authorization_policy *const *policies,
					 size_t policy_count)
{
	struct policy_index *x = calloc(1, sizeof(*x));

	if (x == NULL)
		fatal("out of memory: policy index");
	x->obj = (struct object){ .kind = KIND_POLICY_INDEX, .refs = 1 };
	x->arena = arena_create(0);
	x->mesh = *mesh;
	if (x->mesh.root_namespace.len == 0)
		x->mesh.root_namespace = SLICE(ROOT_NAMESPACE);
	if (x->mesh.trust_domain.len == 0)
		x->mesh.trust_domain = SLICE(TRUST_DOMAIN);
	policies_add(x, policies, policy_count);
	authentications_add(x, authentications, authentication_count);
	providers_open(x, keys);
	HASH_SORT(x->namespaces, namespace_order);
	return x;
}

struct policy_index *policy_index_ref(struct policy_index *x)
{
	object_must(x, KIND_POLICY_INDEX);
	atomic_fetch_add(&x->obj.refs, 1);
	return x;
}

void policy_index_unref(struct policy_index **xp)
{
	struct namespace_policies *n, *next;
	struct policy_index *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	object_must(x, KIND_POLICY_INDEX);
	if (atomic_fetch_sub(&x->obj.refs, 1) > 1)
		return;
	for (size_t i = 0; i < x->provider_count; i++)
		jwks_source_close(&x->providers[i].keys);
	HASH_ITER(hh, x->namespaces, n, next)
		for (size_t i = 0; i < n->policy_count; i++)
			ledger_free(n->policies[i]->ledger);
	HASH_CLEAR(hh, x->namespaces);
	arena_free(&x->arena);
	object_wipe(x);
	free(x);
}

/* What policies did */

static bool same_shape(const struct policy *a, const struct policy *b)
{
	return a->action == b->action && a->dry_run == b->dry_run && a->rule_count == b->rule_count;
}

static struct policy *policy_find(struct namespace_policies *n, struct slice name)
{
	const struct policy key = { .name = name }, *wanted = &key;
	struct policy **found = bsearch(&wanted, n->policies, n->policy_count, sizeof(*n->policies),
					policy_order);

	return found != NULL ? *found : NULL;
}

void policy_index_carry(struct policy_index *x, struct policy_index *last)
{
	struct namespace_policies *n, *next, *before;
	struct policy *p;

	HASH_ITER(hh, x->namespaces, n, next) {
		before = namespace_find(last, n->name);
		for (size_t i = 0; before != NULL && i < n->policy_count; i++) {
			p = policy_find(before, n->policies[i]->name);
			if (p != NULL && same_shape(p, n->policies[i]))
				ledger_carry(n->policies[i]->ledger, p->ledger);
		}
	}
}

void policy_index_visit(struct policy_index *x, void (*visit)(void *arg, const struct policy *p), void *arg)
{
	struct namespace_policies *n, *next;

	HASH_ITER(hh, x->namespaces, n, next)
		for (size_t i = 0; i < n->policy_count; i++)
			visit(arg, n->policies[i]);
}

/* Sets */

struct labels {
	struct label *items;
	size_t count;
};

static struct labels labels_parse(struct arena *arena, struct slice text)
{
	struct labels l = { NULL, 0 };
	struct slice rest = text, value, key;
	size_t most = 1;

	for (size_t i = 0; i < text.len; i++)
		most += text.at[i] == ',';
	l.items = arena_array(arena, struct label, most);
	while (rest.len > 0) {
		value = slice_cut(&rest, ',');
		key = slice_cut(&value, '=');
		if (key.len > 0)
			l.items[l.count++] = (struct label){ key, value.at != NULL ? value : SLICE("") };
	}
	return l;
}

static bool has_label(const struct labels *l, const struct label *wanted)
{
	for (size_t i = 0; i < l->count; i++)
		if (slice_eq(l->items[i].key, wanted->key))
			return slice_eq(l->items[i].value, wanted->value);
	return false;
}

static bool names_gateway(const struct target *t, const struct labels *l)
{
	struct label wanted = { .key = SLICE(GATEWAY_NAME_LABEL) };

	for (size_t i = 0; i < t->gateway_count; i++) {
		wanted.value = t->gateways[i];
		if (has_label(l, &wanted))
			return true;
	}
	return false;
}

/* `ns`: of the workload. */
static bool reaches(const struct target *t, struct slice ns, const struct labels *l)
{
	if (t->attached)
		return slice_eq(t->ns, ns) && names_gateway(t, l);
	for (size_t i = 0; i < t->count; i++)
		if (!has_label(l, &t->labels[i]))
			return false;
	return true;
}

static struct policy_list *list_of(struct policy_set *s, const struct policy *p)
{
	if (p->dry_run)
		return p->action == POLICY_DENY ? &s->shadow_deny : &s->shadow_allow;
	return &s->by_action[p->action];
}

/* Counts first (`place` false), then fills in. */
static void set_add(struct policy_set *s, const struct namespace_policies *n, struct slice ns,
		    const struct labels *l, bool place)
{
	struct policy_list *list;

	for (size_t i = 0; n != NULL && i < n->policy_count; i++) {
		if (!reaches(&n->policies[i]->target, ns, l))
			continue;
		list = list_of(s, n->policies[i]);
		if (place)
			list->items[list->count] = n->policies[i];
		list->count++;
	}
	for (size_t i = 0; n != NULL && i < n->authentication_count; i++) {
		if (!reaches(&n->authentications[i]->target, ns, l))
			continue;
		for (size_t j = 0; place && j < n->authentications[i]->provider_count; j++)
			s->providers[s->provider_count + j] = &n->authentications[i]->providers[j];
		s->provider_count += n->authentications[i]->provider_count;
	}
}

static void list_room(struct arena *arena, struct policy_list *list)
{
	list->items = arena_array(arena, const struct policy *, list->count);
	list->count = 0;
}

static void set_room(struct policy_set *s)
{
	for (size_t i = 0; i < POLICY_ACTION_COUNT; i++)
		list_room(s->arena, &s->by_action[i]);
	list_room(s->arena, &s->shadow_deny);
	list_room(s->arena, &s->shadow_allow);
	s->providers = arena_array(s->arena, const struct provider *, s->provider_count);
	s->provider_count = 0;
}

/* Stable, by issuer: there are few, and they come nearly sorted. */
static void sort_by_issuer(const struct provider **items, size_t count)
{
	const struct provider *p;
	size_t at;

	for (size_t i = 1; i < count; i++) {
		p = items[i];
		for (at = i; at > 0 && slice_cmp(items[at - 1]->rule->issuer, p->rule->issuer) > 0; at--)
			items[at] = items[at - 1];
		items[at] = p;
	}
}

static void output_header_add(struct policy_set *s, struct slice name)
{
	if (name.len == 0)
		return;
	for (size_t i = 0; i < s->output_header_count; i++)
		if (slice_eq_nocase(s->output_headers[i], name))
			return;
	s->output_headers[s->output_header_count++] = name;
}

static void output_headers_collect(struct policy_set *s)
{
	const struct jwt_rule *rule;
	size_t most = 0;

	for (size_t i = 0; i < s->provider_count; i++)
		most += 1 + s->providers[i]->rule->output_claim_to_headers.count;
	s->output_headers = arena_array(s->arena, struct slice, most);
	for (size_t i = 0; i < s->provider_count; i++) {
		rule = s->providers[i]->rule;
		output_header_add(s, rule->output_payload_to_header);
		for (size_t j = 0; j < rule->output_claim_to_headers.count; j++)
			output_header_add(s, rule->output_claim_to_headers.items[j].header);
	}
}

/* One provider a workload, as in Istio (10.1). */
static const struct extauthz_target *one_provider(const struct policy_list *custom)
{
	const struct extauthz_target *t = custom->count > 0 ? custom->items[0]->asked : NULL;

	for (size_t i = 1; i < custom->count; i++)
		if (custom->items[i]->asked != t)
			return NULL;
	return t;
}

struct policy_set *policy_set_create(struct policy_index *x, struct slice ns, struct slice labels)
{
	const struct namespace_policies *root = namespace_find(x, x->mesh.root_namespace);
	const struct namespace_policies *own = namespace_find(x, ns);
	struct arena *arena = arena_create(0);
	struct policy_set *s = arena_new(arena, struct policy_set);
	struct labels l = labels_parse(arena, labels);

	if (own == root)
		own = NULL;
	s->arena = arena;
	s->index = policy_index_ref(x);
	s->refs = 1;
	for (int place = false; place <= true; place++) {
		set_add(s, root, ns, &l, place);
		set_add(s, own, ns, &l, place);
		if (!place)
			set_room(s);
	}
	for (size_t i = 0; i < POLICY_ACTION_COUNT; i++)
		s->by_action[i].filter = rule_filter_create(arena, &s->by_action[i]);
	s->shadow_deny.filter = rule_filter_create(arena, &s->shadow_deny);
	s->shadow_allow.filter = rule_filter_create(arena, &s->shadow_allow);
	s->custom = one_provider(&s->by_action[POLICY_CUSTOM]);
	sort_by_issuer(s->providers, s->provider_count);
	output_headers_collect(s);
	return s;
}

struct policy_set *policy_set_ref(struct policy_set *s)
{
	s->refs++;
	return s;
}

void policy_set_unref(struct policy_set **sp)
{
	struct policy_set *s = *sp;
	struct arena *arena;

	*sp = NULL;
	if (s == NULL || --s->refs > 0)
		return;
	policy_index_unref(&s->index);
	arena = s->arena;	/* the set lives in it */
	arena_free(&arena);
}
