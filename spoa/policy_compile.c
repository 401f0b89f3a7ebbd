/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_compile.c - from documents to what is compared at run time: values by kind, trust-domain
 * aliases written out, sources, operations and conditions as one kind of test. */
#include <stdlib.h>

#include "spoa/policy_priv.h"

struct compiler {
	struct arena *arena;
	const struct trust_domains *domains;
	struct slice ns;		/* of the document */
};

/* Appends one or more values; there is room for one a trust domain. */
typedef void value_fn(const struct compiler *k, struct slice written, struct value_list *out);

static union value *add(struct value_list *out)
{
	return &out->items[out->count++];
}

struct text_value text_value_parse(struct slice written)
{
	if (slice_eq(written, SLICE("*")))
		return (struct text_value){ TEXT_PRESENT, SLICE("") };
	if (slice_starts(written, SLICE("*")))
		return (struct text_value){ TEXT_SUFFIX, slice_from(written, 1) };
	if (slice_ends(written, SLICE("*")))
		return (struct text_value){ TEXT_PREFIX, slice_first(written, written.len - 1) };
	return (struct text_value){ TEXT_EXACT, written };
}

static void text_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	(void)k;
	add(out)->text = text_value_parse(written);
}

static void whole_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	(void)k;
	add(out)->text = (struct text_value){ TEXT_EXACT, written };
}

/* `.*` "/ns/NAME/" `.*` over the whole identity, a star in NAME standing for any text. */
static void namespace_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	const char *pattern = arena_printf(k->arena, "*/ns/%.*s/*", SLICE_ARG(written));

	whole_compile(k, slice_of(pattern), out);
}

static void path_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	if (slice_find(written, '{') >= 0)
		add(out)->text = (struct text_value){ TEXT_TEMPLATE, written };
	else
		text_compile(k, written, out);
}

static void port_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	uint64_t port = 0;

	(void)k;
	must(slice_to_u64(written, &port) && port <= 65535);
	add(out)->port = (uint16_t)port;
}

static void block_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	(void)k;
	must(cidr_parse(written, &add(out)->block));
}

static void account_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	struct slice name = written, ns = slice_cut(&name, '/');
	struct account_value *v = &add(out)->account;

	*v = name.at != NULL ? (struct account_value){ ns, name } :
			       (struct account_value){ k->ns, written };
}

/* 5.4: split at the last slash; a star at the begin or the end says which part it stands for. */
struct principal_value principal_value_parse(struct slice written)
{
	const struct text_value present = { TEXT_PRESENT, SLICE("") };
	struct text_value v = text_value_parse(written);
	ptrdiff_t slash = slice_rfind(v.text, '/');
	struct slice iss, sub;

	if (v.kind == TEXT_PRESENT)
		return (struct principal_value){ present, present };
	if (slash < 0 && v.kind == TEXT_SUFFIX)
		return (struct principal_value){ present, v };
	if (slash < 0 && v.kind == TEXT_PREFIX)
		return (struct principal_value){ v, present };
	if (slash < 0)
		return (struct principal_value){ v, { TEXT_EXACT, SLICE("") } };
	iss = slice_first(v.text, (size_t)slash);
	sub = slice_from(v.text, (size_t)slash + 1);
	if (v.kind == TEXT_SUFFIX)
		return (struct principal_value){
			iss.len > 0 ? (struct text_value){ TEXT_SUFFIX, iss } : present,
			{ TEXT_EXACT, sub }
		};
	if (v.kind == TEXT_PREFIX)
		return (struct principal_value){
			{ TEXT_EXACT, iss },
			sub.len > 0 ? (struct text_value){ TEXT_PREFIX, sub } : present
		};
	return (struct principal_value){ { TEXT_EXACT, iss }, { TEXT_EXACT, sub } };
}

static void principal_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	(void)k;
	add(out)->principal = principal_value_parse(written);
}

/* Trust domains that are known by several names (5.3) */

static bool is_known_domain(const struct compiler *k, struct slice written)
{
	struct text_value v = text_value_parse(written);

	if (slice_eq(written, SLICE("cluster.local")))
		return true;
	for (size_t i = 0; i < k->domains->count; i++)
		if (text_value_matches(&v, k->domains->items[i], false))
			return true;
	return false;
}

static bool has_five_parts(struct slice written)
{
	struct slice rest = written;
	size_t parts = 0;

	for (; rest.at != NULL; parts++)
		(void)slice_cut(&rest, '/');
	return parts == 5;
}

static void peer_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	struct slice rest = written, domain = slice_cut(&rest, '/');
	const char *text;

	if (!has_five_parts(written) || slice_eq(domain, SLICE("*")) || !is_known_domain(k, domain)) {
		text_compile(k, written, out);
		return;
	}
	for (size_t i = 0; i < k->domains->count; i++) {
		text = arena_printf(k->arena, "%.*s/%.*s", SLICE_ARG(k->domains->items[i]),
				    SLICE_ARG(rest));
		text_compile(k, slice_of(text), out);
	}
}

static void domain_compile(const struct compiler *k, struct slice written, struct value_list *out)
{
	for (size_t i = 0; i < k->domains->count; i++) {
		if (!slice_eq(written, k->domains->items[i]))
			continue;
		for (size_t j = 0; j < k->domains->count; j++)
			whole_compile(k, k->domains->items[j], out);
		return;
	}
	text_compile(k, written, out);
}

static const struct {
	value_fn *compile;
	bool http_only;
} attributes[] = {
	[ATTR_PRINCIPAL] = { peer_compile, false },
	[ATTR_NAMESPACE] = { namespace_compile, false },
	[ATTR_SERVICE_ACCOUNT] = { account_compile, false },
	[ATTR_TRUST_DOMAIN] = { domain_compile, false },
	[ATTR_REQUEST_PRINCIPAL] = { principal_compile, true },
	[ATTR_AUDIENCE] = { text_compile, true },
	[ATTR_PRESENTER] = { text_compile, true },
	[ATTR_CLAIM] = { text_compile, true },
	[ATTR_SOURCE_IP] = { block_compile, false },
	[ATTR_REMOTE_IP] = { block_compile, false },
	[ATTR_DESTINATION_IP] = { block_compile, false },
	[ATTR_PORT] = { port_compile, false },
	[ATTR_SNI] = { text_compile, false },
	[ATTR_HOST] = { text_compile, true },
	[ATTR_METHOD] = { text_compile, true },
	[ATTR_PATH] = { path_compile, true },
	[ATTR_HEADER] = { text_compile, true },
};
_Static_assert(COUNT_OF(attributes) == ATTRIBUTE_COUNT, "every attribute has a compiler");

bool attribute_is_http_only(enum attribute a)
{
	return attributes[a].http_only;
}

static struct value_list values_compile(const struct compiler *k, enum attribute a,
					const policy_values *written)
{
	struct value_list out = { NULL, 0 };

	if (written->count == 0)
		return out;
	out.items = arena_array(k->arena, union value, written->count * (k->domains->count + 1));
	for (size_t i = 0; i < written->count; i++)
		attributes[a].compile(k, written->items[i].text, &out);
	return out;
}

/* Adds the test to the clause where anything is asked. */
static struct test *test_compile(const struct compiler *k, enum attribute a, struct slice field,
				 struct slice not_field, const struct policy_field *f,
				 struct clause *clause)
{
	struct test *t;

	if (f->is.count + f->not.count == 0)
		return NULL;
	t = &clause->tests[clause->count++];
	*t = (struct test){
		.attribute = a, .field = field, .not_field = not_field,
		.is = values_compile(k, a, &f->is),
		.not = values_compile(k, a, &f->not),
	};
	return t;
}

static void field_compile(const struct compiler *k, enum attribute a, const char *field,
			  const char *not_field, const struct policy_field *f, struct clause *out)
{
	test_compile(k, a, slice_of(field), slice_of(not_field), f, out);
}

/* Cheap questions first: the order of an AND does not change its truth. */
static void source_compile(const struct compiler *k, const struct policy_source *s, struct clause *out)
{
	out->tests = arena_array(k->arena, struct test, 7);
	field_compile(k, ATTR_SOURCE_IP, "ipBlocks", "notIpBlocks", &s->ip_blocks, out);
	field_compile(k, ATTR_REMOTE_IP, "remoteIpBlocks", "notRemoteIpBlocks", &s->remote_ip_blocks, out);
	field_compile(k, ATTR_REQUEST_PRINCIPAL, "requestPrincipals", "notRequestPrincipals", &s->request_principals, out);
	field_compile(k, ATTR_PRINCIPAL, "principals", "notPrincipals", &s->principals, out);
	field_compile(k, ATTR_NAMESPACE, "namespaces", "notNamespaces", &s->namespaces, out);
	field_compile(k, ATTR_SERVICE_ACCOUNT, "serviceAccounts", "notServiceAccounts", &s->service_accounts, out);
	field_compile(k, ATTR_TRUST_DOMAIN, "trustDomains", "notTrustDomains", &s->trust_domains, out);
}

static void operation_compile(const struct compiler *k, const struct policy_operation *o,
			      struct clause *out)
{
	out->tests = arena_array(k->arena, struct test, 4);
	field_compile(k, ATTR_PORT, "ports", "notPorts", &o->ports, out);
	field_compile(k, ATTR_METHOD, "methods", "notMethods", &o->methods, out);
	field_compile(k, ATTR_PATH, "paths", "notPaths", &o->paths, out);
	field_compile(k, ATTR_HOST, "hosts", "notHosts", &o->hosts, out);
}

static const enum attribute key_attributes[] = {
	[KEY_REQUEST_HEADER] = ATTR_HEADER,
	[KEY_SOURCE_IP] = ATTR_SOURCE_IP,
	[KEY_REMOTE_IP] = ATTR_REMOTE_IP,
	[KEY_SOURCE_NAMESPACE] = ATTR_NAMESPACE,
	[KEY_SOURCE_SERVICE_ACCOUNT] = ATTR_SERVICE_ACCOUNT,
	[KEY_SOURCE_PRINCIPAL] = ATTR_PRINCIPAL,
	[KEY_SOURCE_TRUST_DOMAIN] = ATTR_TRUST_DOMAIN,
	[KEY_AUTH_PRINCIPAL] = ATTR_REQUEST_PRINCIPAL,
	[KEY_AUTH_AUDIENCES] = ATTR_AUDIENCE,
	[KEY_AUTH_PRESENTER] = ATTR_PRESENTER,
	[KEY_AUTH_CLAIM] = ATTR_CLAIM,
	[KEY_DESTINATION_IP] = ATTR_DESTINATION_IP,
	[KEY_DESTINATION_PORT] = ATTR_PORT,
	[KEY_SNI] = ATTR_SNI,
	[KEY_ENVOY_FILTER] = ATTRIBUTE_COUNT,	/* has no attribute here */
};
_Static_assert(COUNT_OF(key_attributes) == CONDITION_KEY_COUNT, "every key has its attribute");

static void condition_compile(const struct compiler *k, const struct policy_condition *c,
			      enum policy_action action, struct rule *r)
{
	struct test *t;

	/* What cannot be asked must not open anything (spec/hardening.md T-105): an ALLOW rule never
	 * holds, any other holds without the condition. */
	if (c->key == KEY_ENVOY_FILTER) {
		if (action == POLICY_ALLOW)
			r->never = c->text;
		return;
	}
	t = test_compile(k, key_attributes[c->key], c->text, c->text, &c->values, &r->when);
	if (t == NULL)
		return;
	t->names = c->names.items;
	t->name_count = c->names.count;
}

static bool clause_is_http_only(const struct clause *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (attributes[c->tests[i].attribute].http_only)
			return true;
	return false;
}

static bool any_http_only(const struct clause_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (clause_is_http_only(&list->items[i]))
			return true;
	return false;
}

static void rule_name(const struct compiler *k, const struct meta *meta, size_t number, struct rule *r)
{
	r->id = slice_of(arena_printf(k->arena, "ns[%.*s]-policy[%.*s]-rule[%zu]", SLICE_ARG(meta->ns),
				      SLICE_ARG(meta->name), number));
	r->name = slice_of(arena_printf(k->arena, "%.*s/%.*s#rule %zu", SLICE_ARG(meta->ns),
					SLICE_ARG(meta->name), number));
}

static void rule_compile(const struct compiler *k, const struct policy_rule *doc,
			 enum policy_action action, struct rule *r)
{
	r->from.items = arena_array(k->arena, struct clause, doc->from.count);
	r->from.count = doc->from.count;
	for (size_t i = 0; i < doc->from.count; i++)
		source_compile(k, &doc->from.items[i], &r->from.items[i]);
	r->to.items = arena_array(k->arena, struct clause, doc->to.count);
	r->to.count = doc->to.count;
	for (size_t i = 0; i < doc->to.count; i++)
		operation_compile(k, &doc->to.items[i], &r->to.items[i]);
	r->when.tests = arena_array(k->arena, struct test, doc->when.count);
	for (size_t i = 0; i < doc->when.count; i++)
		condition_compile(k, &doc->when.items[i], action, r);
	r->http_only = any_http_only(&r->from) || any_http_only(&r->to) || clause_is_http_only(&r->when);
}

static struct target target_compile(struct arena *arena, const struct meta *meta,
				    const struct policy_target *doc)
{
	struct target t = { .count = doc->match_labels.count, .attached = doc->refs.count > 0, .ns = meta->ns };

	t.labels = arena_array(arena, struct label, t.count);
	for (size_t i = 0; i < t.count; i++)
		t.labels[i] = (struct label){ doc->match_labels.items[i].key,
					      doc->match_labels.items[i].value };
	t.gateways = arena_array(arena, struct slice, doc->refs.count);
	for (size_t i = 0; i < doc->refs.count; i++)
		if (target_ref_is_gateway(&doc->refs.items[i]))
			t.gateways[t.gateway_count++] = doc->refs.items[i].name;
	return t;
}

struct policy *policy_compile(struct arena *arena, const struct trust_domains *domains,
			      const struct authorization_policy *doc)
{
	const struct compiler k = { arena, domains, doc->meta.ns };
	struct policy *p = arena_new(arena, struct policy);

	*p = (struct policy){
		.action = doc->action, .dry_run = doc->dry_run,
		.ns = doc->meta.ns, .name = doc->meta.name, .provider = doc->provider,
		.where = doc->meta.where,
		.target = target_compile(arena, &doc->meta, &doc->target),
		.rules = arena_array(arena, struct rule, doc->rules.count),
		.rule_count = doc->rules.count,
		.ledger = ledger_create(arena, doc->rules.count, doc->dry_run),
	};
	for (size_t i = 0; i < doc->rules.count; i++) {
		rule_compile(&k, &doc->rules.items[i], doc->action, &p->rules[i]);
		rule_name(&k, &doc->meta, i, &p->rules[i]);
	}
	return p;
}

/* Tokens */

static int char_at(const struct token_place *p, size_t i)
{
	if (i < p->name.len)
		return (unsigned char)p->name.at[i];
	i -= p->name.len;
	return i < p->prefix.len ? (unsigned char)p->prefix.at[i] : -1;
}

/* Tokens are collected from headers, parameters and cookies, each sorted by name and prefix as one
 * text, and verified from the last to the first (spec/request-authentication.md 4.2): so the list
 * runs backwards. */
static int place_order(const void *a, const void *b)
{
	const struct token_place *x = a, *y = b;
	size_t i = 0;

	if (x->kind != y->kind)
		return x->kind < y->kind ? 1 : -1;
	while (char_at(x, i) == char_at(y, i) && char_at(x, i) >= 0)
		i++;
	return char_at(y, i) - char_at(x, i);
}

static void places_compile(struct arena *arena, const struct jwt_rule *doc, struct provider *p)
{
	size_t written = doc->from_headers.count + doc->from_params.count + doc->from_cookies.count;
	struct token_place *at;

	p->places = at = arena_array(arena, struct token_place, written > 0 ? written : 2);
	for (size_t i = 0; i < doc->from_headers.count; i++)
		*at++ = (struct token_place){ PLACE_HEADER,
					      arena_lower(arena, doc->from_headers.items[i].name),
					      doc->from_headers.items[i].prefix };
	for (size_t i = 0; i < doc->from_params.count; i++)
		*at++ = (struct token_place){ PLACE_PARAM, doc->from_params.items[i].text, NO_SLICE };
	for (size_t i = 0; i < doc->from_cookies.count; i++)
		*at++ = (struct token_place){ PLACE_COOKIE, doc->from_cookies.items[i].text, NO_SLICE };
	if (written == 0) {
		*at++ = (struct token_place){ PLACE_HEADER, SLICE("authorization"), SLICE("Bearer ") };
		*at++ = (struct token_place){ PLACE_PARAM, SLICE("access_token"), NO_SLICE };
	}
	p->place_count = (size_t)(at - p->places);
	qsort(p->places, p->place_count, sizeof(*p->places), place_order);
}

static void provider_compile(struct arena *arena, const struct jwt_rule *doc, struct provider *p)
{
	p->rule = doc;
	p->claim_told = arena_array(arena, atomic_bool, doc->output_claim_to_headers.count);
	places_compile(arena, doc, p);
	p->audience_count = doc->audiences.count;
	p->audiences = arena_array(arena, struct slice, doc->audiences.count);
	for (size_t i = 0; i < doc->audiences.count; i++)
		p->audiences[i] = doc->audiences.items[i].text;
}

struct authentication *authentication_compile(struct arena *arena, struct provider *providers,
					      const struct request_authentication *doc)
{
	struct authentication *a = arena_new(arena, struct authentication);

	*a = (struct authentication){
		.ns = doc->meta.ns, .name = doc->meta.name, .where = doc->meta.where,
		.target = target_compile(arena, &doc->meta, &doc->target),
		.providers = providers, .provider_count = doc->rules.count,
	};
	for (size_t i = 0; i < doc->rules.count; i++) {
		provider_compile(arena, &doc->rules.items[i], &providers[i]);
		providers[i].of = a;
		providers[i].number = i;
	}
	return a;
}
