/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_policies.c - the policies that a request is judged by: those that reach the gateway, and those
 * that reach a workload it may go to. */
#include "proxy/stream/explain_priv.h"

#include "sallyport/policy_reach.h"
#include "sallyport/resource/authorization_policy.h"
#include "sallyport/resource/request_authentication.h"

#define LABELS_MAX	256u	/* of one workload */

/* A workload as policies select it. */
struct place {
	struct slice ns;
	struct string_entry labels[LABELS_MAX];
	size_t count;
};

static void read_labels(struct place *p, struct slice text)
{
	p->count = 0;
	while (text.len > 0 && p->count < LABELS_MAX) {
		struct slice value = slice_cut(&text, ',');

		p->labels[p->count].key = slice_cut(&value, '=');
		p->labels[p->count++].value = value;
	}
}

static bool reaches_cluster(const struct explaining *e, const struct policy_target *t, struct slice ns,
			    const struct cluster *c)
{
	struct place p;
	struct slice sets;

	if (c == NULL || !c->has_policies)
		return false;
	p.ns = c->service_ns;
	sets = c->workload_labels;
	do {
		read_labels(&p, slice_cut(&sets, ';'));
		if (policy_reaches(t, ns, e->out->snapshot->settings->mesh.root_namespace, p.ns, p.labels,
				   p.count))
			return true;
	} while (sets.at != NULL);
	return false;
}

/* Any of those that the request or connection may go to, also where it is refused before. */
static bool reaches_target(const struct explaining *e, const struct policy_target *t, struct slice ns)
{
	const struct route *r = e->out->choice.route;
	bool reaches = false;

	for (size_t i = 0; r != NULL && i < r->targets.count && !reaches; i++)
		reaches = reaches_cluster(e, t, ns, r->targets.items[i].cluster);
	for (size_t i = 0; r == NULL && i < e->out->targets.count && !reaches; i++)
		reaches = reaches_cluster(e, t, ns, e->out->targets.items[i].cluster);
	return reaches;
}

static void add(struct explaining *e, struct explained_policy p, const struct policy_target *t)
{
	const struct proxy_settings *proxy = e->out->snapshot->settings;

	p.at_gateway = policy_reaches(t, p.meta->ns, proxy->mesh.root_namespace, proxy->meta->ns,
				      proxy->labels.items, proxy->labels.count);
	p.at_destination = reaches_target(e, t, p.meta->ns);
	if ((p.at_gateway || p.at_destination) && e->out->policies.count < EXPLAIN_POLICIES_MAX)
		e->out->policies.items[e->out->policies.count++] = p;
}

static const char *action_text(enum policy_action a)
{
	static const char *const texts[POLICY_ACTION_COUNT] = { "ALLOW", "DENY", "AUDIT", "CUSTOM" };

	return texts[a];
}

static bool on_trial(const struct meta *m)
{
	return slice_eq(meta_annotation(m, "istio.io/dry-run"), SLICE("true"));
}

void explain_policies(struct explaining *e)
{
	const struct resource_set *set = e->out->snapshot->resources;
	size_t most = set->request_authentications.count + set->authorization_policies.count;

	if (most > EXPLAIN_POLICIES_MAX)
		most = EXPLAIN_POLICIES_MAX;
	e->out->policies.items = arena_array(e->arena, struct explained_policy, most);
	for (size_t i = 0; i < set->request_authentications.count; i++) {
		const struct request_authentication *r = set->request_authentications.items[i];

		add(e, (struct explained_policy){ .kind = EXPLAINED_REQUEST_AUTHENTICATION, .meta = &r->meta,
						  .action = "", .dry_run = on_trial(&r->meta) }, &r->target);
	}
	for (size_t i = 0; i < set->authorization_policies.count; i++) {
		const struct authorization_policy *p = set->authorization_policies.items[i];

		add(e, (struct explained_policy){ .kind = EXPLAINED_AUTHORIZATION_POLICY, .meta = &p->meta,
						  .action = action_text(p->action), .dry_run = p->dry_run },
		    &p->target);
	}
}
