/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_reach.c - which fields of a request the policies of the gateway may set, change or take away
 * (spec/request-authentication.md 8.1): routes that look at those are not known before the verdict. */
#include "proxy/snapshot/build_priv.h"

#include "sallyport/resource/authorization_policy.h"
#include "sallyport/resource/request_authentication.h"

struct changed_fields {
	struct name_map headers, params;	/* -> themselves */
	LIST(const struct extension_provider *) providers;
};

/* One over gRPC may edit whatever it likes. */
static bool asks_over_grpc(const struct changed_fields *f)
{
	for (size_t i = 0; i < f->providers.count; i++)
		if (f->providers.items[i]->kind == PROVIDER_GRPC)
			return true;
	return false;
}

static bool is_header_changed(const void *arg, struct slice name)
{
	const struct changed_fields *f = arg;

	for (size_t i = 0; i < f->providers.count; i++)
		if (name_patterns_match(&f->providers.items[i]->upstream_on_allow, name))
			return true;
	return asks_over_grpc(f) || name_map_get(&f->headers, name) != NULL;
}

static bool is_param_changed(const void *arg, struct slice name)
{
	const struct changed_fields *f = arg;

	return asks_over_grpc(f) || name_map_get(&f->params, name) != NULL;
}

static void add_header(struct snapshot_builder *b, struct changed_fields *f, struct slice name)
{
	if (name.len != 0)
		name_map_put(&f->headers, arena_lower(b->arena, name), f);
}

/* Where the token stood it is taken away. */
static void add_places(struct snapshot_builder *b, struct changed_fields *f, const struct jwt_rule *r)
{
	if (r->forward_original_token)
		return;
	for (size_t i = 0; i < r->from_headers.count; i++)
		add_header(b, f, r->from_headers.items[i].name);
	for (size_t i = 0; i < r->from_params.count; i++)
		name_map_put(&f->params, r->from_params.items[i].text, f);
	if (r->from_headers.count + r->from_params.count + r->from_cookies.count != 0)
		return;
	add_header(b, f, SLICE("authorization"));
	name_map_put(&f->params, SLICE("access_token"), f);
}

static void add_rules(struct snapshot_builder *b, struct changed_fields *f,
		      const struct request_authentication *a)
{
	for (size_t i = 0; i < a->rules.count; i++) {
		const struct jwt_rule *r = &a->rules.items[i];

		add_places(b, f, r);
		add_header(b, f, r->output_payload_to_header);
		for (size_t k = 0; k < r->output_claim_to_headers.count; k++)
			add_header(b, f, r->output_claim_to_headers.items[k].header);
	}
}

static bool reaches_gateway(const struct snapshot_builder *b, const struct policy_target *t, const struct meta *m)
{
	const struct proxy_settings *proxy = b->set->proxy;

	return policy_reaches(t, m->ns, proxy->mesh.root_namespace, proxy->meta->ns, proxy->labels.items,
			      proxy->labels.count);
}

void expect_verdicts(struct snapshot_builder *b)
{
	struct changed_fields *f = arena_new(b->arena, struct changed_fields);

	name_map_init(&f->headers, b->arena);
	name_map_init(&f->params, b->arena);
	f->providers.items = arena_array(b->arena, const struct extension_provider *,
					 b->set->authorization_policies.count);
	for (size_t i = 0; i < b->set->request_authentications.count; i++) {
		const struct request_authentication *a = b->set->request_authentications.items[i];

		if (reaches_gateway(b, &a->target, &a->meta))
			add_rules(b, f, a);
	}
	for (size_t i = 0; i < b->set->authorization_policies.count; i++) {
		const struct authorization_policy *p = b->set->authorization_policies.items[i];
		const struct extension_provider *asked =
			p->action == POLICY_CUSTOM && reaches_gateway(b, &p->target, &p->meta) ?
			extension_provider_find(b->set->proxy, p->provider) : NULL;

		if (asked != NULL)
			f->providers.items[f->providers.count++] = asked;
	}
	route_compiler_expect(b->s->compiler, &(struct verdict_reach){
		.claims = b->s->gateway_verifies_tokens, .query = f->params.count != 0 || asks_over_grpc(f),
		.header = is_header_changed, .param = is_param_changed, .arg = f });
}
