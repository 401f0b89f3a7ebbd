/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot.c - builds a snapshot from a resource set, and lets go of it. */
#include "proxy/snapshot/build_priv.h"

#include <stdlib.h>
#include <sys/random.h>

#include "proxy/snapshot/services_priv.h"
#include "sallyport/resource/authorization_policy.h"

#define KIND_SNAPSHOT	KIND('S', 'N', 'A', 'P')

static void snapshot_destroy(struct snapshot *s)
{
	route_compiler_free(&s->compiler);
	clusters_release(s->clusters.items, s->clusters.count);
	arena_free(&s->arena);
	resource_set_free(&s->resources);
	object_wipe(s);
	free(s);
}

/* The longest that any provider in use may take. The agent keeps a fifth of its time for itself. */
static int64_t provider_ms(const struct resource_set *set)
{
	int64_t most = 0;

	for (size_t i = 0; i < set->authorization_policies.count; i++) {
		const struct authorization_policy *p = set->authorization_policies.items[i];
		const struct extension_provider *asked =
			p->action == POLICY_CUSTOM ? extension_provider_find(set->proxy, p->provider) : NULL;

		if (asked != NULL && asked->timeout_ms > most)
			most = asked->timeout_ms;
	}
	return most * 5 / 4;
}

/* What this proxy is to the agent: a workload with a namespace and labels. */
static void describe_gateway(struct snapshot *s, const struct resource_set *set)
{
	const struct proxy_settings *proxy = set->proxy;

	s->settings = proxy;
	s->gateway_workload = namespaced_name(s->arena, proxy->meta->ns, proxy->meta->name);
	s->gateway_labels = labels_text(s->arena, proxy->labels.items, proxy->labels.count);
	s->gateway_has_policies = policies_reach(set, proxy->meta->ns, proxy->labels.items,
						 proxy->labels.count);
	s->gateway_verifies_tokens = authentications_reach(set, proxy->meta->ns, proxy->labels.items,
							   proxy->labels.count);
	s->check_ms = proxy->authz.timeout_ms + provider_ms(set);
	s->has_policies = set->request_authentications.count != 0 || set->authorization_policies.count != 0;
}

static bool build(struct snapshot *s, const struct resource_set *set, struct problems *ps)
{
	struct snapshot_builder b = { .s = s, .set = set, .ps = ps, .arena = s->arena };
	size_t errors = ps->errors;

	name_map_init(&b.blocks, b.arena);
	name_map_init(&b.told, b.arena);
	describe_gateway(s, set);
	b.registry = service_registry_build(set, b.arena, ps);
	s->services = b.registry;
	expect_verdicts(&b);
	bind_documents(&b);
	if (!build_listeners(&b))
		return false;
	s->clusters.count = service_registry_clusters(b.registry, &s->clusters.items);
	diagnose(&b);
	return ps->errors == errors;
}

/* Tells this process's loads from those of the one before: an agent remembers them. */
static unsigned process_mark(void)
{
	static unsigned mark;

	if (mark == 0 && getrandom(&mark, sizeof(mark), 0) != (ssize_t)sizeof(mark))
		fatal("getrandom: no randomness for a revision");
	return mark;
}

struct snapshot *snapshot_build(struct resource_set *set, uint64_t serial, struct problems *ps)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fatal("out of memory for a snapshot");
	s->obj.kind = KIND_SNAPSHOT;
	atomic_init(&s->obj.refs, 1);
	s->serial = serial;
	memcpy(s->rev, set->rev, sizeof(s->rev));
	snprintf(s->rev_of_load, sizeof(s->rev_of_load), "%s.%x-%llu", s->rev, process_mark(),
		 (unsigned long long)serial);
	s->arena = arena_create(0);
	s->compiler = route_compiler_create(s->arena);
	if (!build(s, set, ps)) {
		snapshot_destroy(s);
		return NULL;
	}
	s->resources = set;
	return s;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	object_must(s, KIND_SNAPSHOT);
	atomic_fetch_add_explicit(&s->obj.refs, 1, memory_order_relaxed);
	return s;
}

void snapshot_unref(struct snapshot **sp)
{
	struct snapshot *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	object_must(s, KIND_SNAPSHOT);
	if (atomic_fetch_sub_explicit(&s->obj.refs, 1, memory_order_acq_rel) == 1)
		snapshot_destroy(s);
}

const char *snapshot_why_no_cluster(const struct snapshot *s, struct slice name)
{
	return service_registry_why_none(s->services, name);
}

static int cluster_by_name(const void *name, const void *item)
{
	return slice_cmp(*(const struct slice *)name, (*(struct cluster *const *)item)->name);
}

const struct cluster *snapshot_find_cluster(const struct snapshot *s, struct slice name)
{
	struct cluster *const *found = NULL;

	if (s->clusters.count != 0)
		found = bsearch(&name, s->clusters.items, s->clusters.count, sizeof(*s->clusters.items),
				cluster_by_name);
	return found != NULL ? *found : NULL;
}
