/* SPDX-License-Identifier: Apache-2.0
 *
 * authorization_policy.c - AuthorizationPolicy: fields and rules of spec/authorization-policy.md
 * 1 and 2 (the A and AW numbers below are its). Values: policy_values.c. */
#include "sallyport/resource/authorization_policy.h"

#include "policy_values_priv.h"
#include "sallyport/object.h"

#define DRY_RUN "istio.io/dry-run"

static const char *const action_names[] = { "ALLOW", "DENY", "AUDIT", "CUSTOM", NULL };

static const char *policy_action_name(enum policy_action action)
{
	return action_names[action];
}

/* What every rule below needs to know of the document around it. */
struct rule_scope {
	enum policy_action action;
	size_t index;			/* of the rule, for Istio's texts */
};

static bool decode_raw(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)d;
	(void)arg;
	*(const struct node **)out = n;
	return true;
}

/* An empty list asks nothing: no error to Istio, yet seldom what its writer believes. */
static void warn_of_empty_lists(struct decoder *d, const struct node *n, const struct field *fields)
{
	const struct node *v;

	for (; fields->name != NULL; fields++) {
		v = node_get(n, fields->name);
		if (v != NULL && v->kind == NODE_SEQUENCE && v->count == 0)
			decode_warning(d, v, "%s is an empty list and asks nothing; leave it out",
				       fields->name);
	}
}

/* from[].source */

#define TWIN(type, name, not_name, member) \
	FIELD(type, name, member.is, decode_string_list, FIELD_OPTIONAL), \
	FIELD(type, not_name, member.not, decode_string_list, FIELD_OPTIONAL)

static const struct field source_fields[] = {
	TWIN(struct policy_source, "principals", "notPrincipals", principals),
	TWIN(struct policy_source, "requestPrincipals", "notRequestPrincipals", request_principals),
	TWIN(struct policy_source, "namespaces", "notNamespaces", namespaces),
	TWIN(struct policy_source, "serviceAccounts", "notServiceAccounts", service_accounts),
	TWIN(struct policy_source, "trustDomains", "notTrustDomains", trust_domains),
	TWIN(struct policy_source, "ipBlocks", "notIpBlocks", ip_blocks),
	TWIN(struct policy_source, "remoteIpBlocks", "notRemoteIpBlocks", remote_ip_blocks),
	FIELDS_END
};

/* A source's fields in one table: the name in Istio's texts, how values are checked, and whether a
 * CUSTOM policy, which is judged before identities are known, may ask it (A6). */
struct field_rule {
	const char *key, *not_key, *name;
	size_t offset;
	enum value_kind kind;
	bool custom;
};

#define FIELD_RULE(type, key, name, member, kind, custom) \
	{ key, "not" name, name, offsetof(type, member), kind, custom }

static const struct field_rule source_rules[] = {
	FIELD_RULE(struct policy_source, "principals", "Principals", principals, VALUE_TEXT, false),
	FIELD_RULE(struct policy_source, "requestPrincipals", "RequestPrincipals", request_principals, VALUE_TEXT, false),
	FIELD_RULE(struct policy_source, "namespaces", "Namespaces", namespaces, VALUE_TEXT, false),
	FIELD_RULE(struct policy_source, "serviceAccounts", "ServiceAccounts", service_accounts, VALUE_SERVICE_ACCOUNT, false),
	FIELD_RULE(struct policy_source, "trustDomains", "TrustDomains", trust_domains, VALUE_TRUST_DOMAIN, false),
	FIELD_RULE(struct policy_source, "ipBlocks", "IpBlocks", ip_blocks, VALUE_IP_BLOCK, true),
	FIELD_RULE(struct policy_source, "remoteIpBlocks", "RemoteIpBlocks", remote_ip_blocks, VALUE_IP_BLOCK, true),
};

static const struct field_rule operation_rules[] = {
	FIELD_RULE(struct policy_operation, "hosts", "Hosts", hosts, VALUE_TEXT, true),
	FIELD_RULE(struct policy_operation, "ports", "Ports", ports, VALUE_PORT, true),
	FIELD_RULE(struct policy_operation, "methods", "Methods", methods, VALUE_TEXT, true),
	FIELD_RULE(struct policy_operation, "paths", "Paths", paths, VALUE_PATH, true),
};

static const struct policy_field *field_of(const void *clause, const struct field_rule *r)
{
	return (const struct policy_field *)((const char *)clause + r->offset);
}

static bool is_asked(const struct policy_field *f)
{
	return f->is.count + f->not.count > 0;
}

/* False: nothing is asked at all (A12, A13). */
static bool asks_anything(const void *clause, const struct field_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_asked(field_of(clause, &rules[i])))
			return true;
	return false;
}

static bool fields_check(struct decoder *d, const struct node *n, const void *clause,
			 const struct field_rule *rules, size_t count, const struct rule_scope *scope)
{
	const struct policy_field *f;
	char not_name[40];
	bool ok = true;

	for (size_t i = 0; i < count; i++) {
		f = field_of(clause, &rules[i]);
		snprintf(not_name, sizeof(not_name), "Not%s", rules[i].name);
		ok &= values_check(d, &f->is, rules[i].kind, rules[i].key, "", rules[i].name);
		ok &= values_check(d, &f->not, rules[i].kind, rules[i].not_key, "", not_name);
		if (scope->action != POLICY_CUSTOM || rules[i].custom)
			continue;
		if (f->is.count > 0)
			ok = decode_error(d, n, "From.%s is currently not supported with CUSTOM action",
					  rules[i].name);
		if (f->not.count > 0)
			ok = decode_error(d, n, "From.%s is currently not supported with CUSTOM action",
					  not_name);
	}
	return ok;
}

static bool source_check(struct decoder *d, const struct node *n, const struct policy_source *s,
			 const struct rule_scope *scope)
{
	if (!asks_anything(s, source_rules, COUNT_OF(source_rules)))
		return decode_error(d, n, "`from.source` must not be empty, found at rule %zu",
				    scope->index);
	if (is_asked(&s->service_accounts) && (is_asked(&s->principals) || is_asked(&s->namespaces)))
		return decode_error(d, n, "cannot set serviceAccounts with namespaces or principals, "
				    "found at rule %zu", scope->index);
	if (is_asked(&s->ip_blocks))
		decode_note(d, n, "ipBlocks is the address of the socket's peer; where another proxy "
			    "stands in front, write remoteIpBlocks");
	return fields_check(d, n, s, source_rules, COUNT_OF(source_rules), scope);
}

/* to[].operation */

static const struct field operation_fields[] = {
	TWIN(struct policy_operation, "hosts", "notHosts", hosts),
	TWIN(struct policy_operation, "ports", "notPorts", ports),
	TWIN(struct policy_operation, "methods", "notMethods", methods),
	TWIN(struct policy_operation, "paths", "notPaths", paths),
	FIELDS_END
};

/* AW4: `example.com` does not match `Host: example.com:8080`. */
static void note_hosts_without_port(struct decoder *d, const policy_values *hosts)
{
	struct slice host;

	for (size_t i = 0; i < hosts->count; i++) {
		host = hosts->items[i].text;
		if (host.len == 0 || slice_find(host, '*') >= 0 || slice_find(host, ':') >= 0)
			continue;
		decode_note(d, &(struct node){ .where = hosts->items[i].where }, "hosts are compared with "
			    "their port where the client sends one: \"%.*s:*\" beside \"%.*s\" covers both",
			    SLICE_ARG(host), SLICE_ARG(host));
		return;
	}
}

static bool operation_check(struct decoder *d, const struct node *n,
			    const struct policy_operation *o, const struct rule_scope *scope)
{
	if (!asks_anything(o, operation_rules, COUNT_OF(operation_rules)))
		return decode_error(d, n, "`to.operation` must not be empty, found at rule %zu",
				    scope->index);
	note_hosts_without_port(d, &o->hosts.is);
	note_hosts_without_port(d, &o->hosts.not);
	return fields_check(d, n, o, operation_rules, COUNT_OF(operation_rules), scope);
}

/* `from` and `to` are alike: a list of mappings with one member. */
struct clause_kind {
	const char *list, *member;
	const struct field *fields;
};

static const struct clause_kind from_kind = { "from", "source", source_fields };
static const struct clause_kind to_kind = { "to", "operation", operation_fields };

/* The member's node, or NULL after an error. */
static const struct node *clause_member(struct decoder *d, const struct node *n,
					const struct clause_kind *k, const struct rule_scope *scope)
{
	const struct field fields[] = { { k->member, decode_raw, 0, FIELD_OPTIONAL, NULL }, FIELDS_END };
	const struct node *member = NULL;

	if (n->kind == NODE_NULL) {
		decode_error(d, n, "`%s` must not be nil, found at rule %zu", k->list, scope->index);
		return NULL;
	}
	if (!decode_mapping(d, n, fields, &member))
		return NULL;
	if (member == NULL)
		decode_error(d, n, "`%s.%s` must not be nil, found at rule %zu", k->list, k->member,
			     scope->index);
	return member;
}

static bool clause_decode(struct decoder *d, const struct node *n, const struct clause_kind *k,
			  const struct rule_scope *scope, void *out)
{
	const struct node *member = clause_member(d, n, k, scope);
	size_t mark;
	bool ok;

	if (member == NULL)
		return false;
	mark = decode_push(d, k->member);
	ok = decode_mapping(d, member, k->fields, out);
	if (ok) {
		warn_of_empty_lists(d, member, k->fields);
		ok = k == &from_kind ? source_check(d, member, out, scope) :
				       operation_check(d, member, out, scope);
	}
	decode_pop(d, mark);
	return ok;
}

static bool clauses_check(struct decoder *d, const struct node *n, const struct clause_kind *k,
			  const struct rule_scope *scope)
{
	if (!decode_is_list(d, n, POLICY_CLAUSES_MAX))
		return false;
	if (n->count == 0)
		return decode_error(d, n, "`%s` must not be empty, found at rule %zu", k->list,
				    scope->index);
	return true;
}

static bool decode_source(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	((struct policy_source *)out)->where = n->where;
	return clause_decode(d, n, &from_kind, arg, out);
}

static bool decode_from(struct decoder *d, const struct node *n, const struct rule_scope *scope,
			struct policy_rule *r)
{
	const struct decode_list row = { sizeof(struct policy_source), decode_source, scope, 0 };

	return clauses_check(d, n, &from_kind, scope) && decode_list_and_nulls(d, n, &r->from, &row);
}

static bool decode_operation(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	((struct policy_operation *)out)->where = n->where;
	return clause_decode(d, n, &to_kind, arg, out);
}

static bool decode_to(struct decoder *d, const struct node *n, const struct rule_scope *scope,
		      struct policy_rule *r)
{
	const struct decode_list row = { sizeof(struct policy_operation), decode_operation, scope, 0 };

	return clauses_check(d, n, &to_kind, scope) && decode_list_and_nulls(d, n, &r->to, &row);
}

/* when[] */

static const struct field condition_fields[] = {
	FIELD(struct policy_condition, "key", text, decode_string, FIELD_OPTIONAL),
	TWIN(struct policy_condition, "values", "notValues", values),
	FIELDS_END
};

static bool decode_condition(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct rule_scope *scope = arg;
	struct policy_condition *c = out;

	if (n->kind == NODE_NULL)
		return decode_error(d, n, "when field cannot be nil");
	c->where = n->where;
	if (!decode_mapping(d, n, condition_fields, c))
		return false;
	warn_of_empty_lists(d, n, condition_fields);
	if (c->text.len == 0)
		return decode_error(d, n, "`key` must not be empty");
	if (!is_asked(&c->values))
		return decode_error(d, n, "at least one of `values` or `notValues` must be set for key "
				    "%.*s", SLICE_ARG(c->text));
	if (!condition_key_parse(d, n, c) || !condition_values_check(d, c))
		return false;
	if (scope->action == POLICY_CUSTOM && condition_key_needs_identity(c->key))
		return decode_error(d, n, "%.*s is currently not supported with CUSTOM action",
				    SLICE_ARG(c->text));
	if (c->key == KEY_ENVOY_FILTER)
		decode_warning(d, n, "%.*s has no value at this edge: %s", SLICE_ARG(c->text),
			       scope->action == POLICY_ALLOW ? "the rule never matches" :
			       "the condition is dropped and the rule matches more");
	return true;
}

static bool decode_when(struct decoder *d, const struct node *n, const struct rule_scope *scope,
			struct policy_rule *r)
{
	const struct decode_list row = { sizeof(struct policy_condition), decode_condition, scope, 0 };

	return decode_list_and_nulls(d, n, &r->when, &row);
}

/* rules[] */

struct rule_nodes {
	const struct node *from, *to, *when;
};

static const struct field rule_fields[] = {
	FIELD(struct rule_nodes, "from", from, decode_raw, FIELD_OPTIONAL),
	FIELD(struct rule_nodes, "to", to, decode_raw, FIELD_OPTIONAL),
	FIELD(struct rule_nodes, "when", when, decode_raw, FIELD_OPTIONAL),
	FIELDS_END
};

typedef bool clauses_fn(struct decoder *d, const struct node *n, const struct rule_scope *scope,
			struct policy_rule *r);

static bool decode_part(struct decoder *d, const char *key, const struct node *n, clauses_fn *decode,
			const struct rule_scope *scope, struct policy_rule *r)
{
	size_t mark;
	bool ok;

	if (n == NULL)
		return true;
	mark = decode_push(d, key);
	ok = decode(d, n, scope, r);
	decode_pop(d, mark);
	return ok;
}

static bool rule_decode(struct decoder *d, const struct node *n, const struct rule_scope *scope,
			struct policy_rule *r)
{
	struct rule_nodes nodes = { 0 };
	bool ok;

	if (n->kind == NODE_NULL)
		return decode_error(d, n, "`rule` must not be nil, found at rule %zu", scope->index);
	r->where = n->where;
	ok = decode_mapping(d, n, rule_fields, &nodes);
	ok &= decode_part(d, "from", nodes.from, decode_from, scope, r);
	ok &= decode_part(d, "to", nodes.to, decode_to, scope, r);
	ok &= decode_part(d, "when", nodes.when, decode_when, scope, r);
	return ok;
}

static bool rules_decode(struct decoder *d, const struct node *n, struct authorization_policy *p)
{
	struct rule_scope scope = { .action = p->action };
	bool ok = true;
	size_t mark;

	if (!decode_is_list(d, n, POLICY_RULES_MAX))
		return false;
	p->rules.items = arena_array(d->arena, struct policy_rule, n->count);
	p->rules.count = n->count;
	for (size_t i = 0; i < n->count; i++) {
		scope.index = i;
		mark = decode_push_index(d, i);
		ok &= rule_decode(d, n->items[i], &scope, &p->rules.items[i]);
		decode_pop(d, mark);
	}
	return ok;
}

/* AW2 */

static bool has_tcp_source(const struct policy_rule *r)
{
	const struct policy_source *s;

	for (size_t i = 0; i < r->from.count; i++) {
		s = &r->from.items[i];
		if (is_asked(&s->principals) || is_asked(&s->namespaces) || is_asked(&s->ip_blocks) ||
		    is_asked(&s->service_accounts) || is_asked(&s->remote_ip_blocks))
			return true;
	}
	return false;
}

static bool has_ports(const struct policy_rule *r)
{
	for (size_t i = 0; i < r->to.count; i++)
		if (is_asked(&r->to.items[i].ports))
			return true;
	return false;
}

static void warn_of_http_only_deny(struct decoder *d, const struct authorization_policy *p)
{
	const struct policy_rule *r;

	for (size_t i = 0; i < p->rules.count; i++) {
		r = &p->rules.items[i];
		if (!(r->from.count > 0 && r->to.count == 0 && !has_tcp_source(r)) &&
		    !(r->to.count > 0 && !has_ports(r)))
			continue;
		decode_warning(d, &(struct node){ .where = r->where }, "configured AuthorizationPolicy "
			       "will deny all traffic to TCP ports under its scope due to the use of only "
			       "HTTP attributes in a DENY rule; it is recommended to explicitly specify "
			       "the port");
		return;
	}
}

/* The document */

struct policy_nodes {
	struct policy_target target;
	const struct node *action, *provider, *rules;
};

static const struct field spec_fields[] = {
	FIELD(struct policy_nodes, "selector", target, decode_selector, FIELD_OPTIONAL),
	FIELD(struct policy_nodes, "targetRef", target, decode_target_ref, FIELD_OPTIONAL),
	FIELD(struct policy_nodes, "targetRefs", target, decode_target_refs, FIELD_OPTIONAL),
	FIELD(struct policy_nodes, "action", action, decode_raw, FIELD_OPTIONAL),
	FIELD(struct policy_nodes, "provider", provider, decode_raw, FIELD_OPTIONAL),
	FIELD(struct policy_nodes, "rules", rules, decode_raw, FIELD_OPTIONAL),
	FIELDS_END
};

static const struct field provider_fields[] = {
	FIELD(struct authorization_policy, "name", provider, decode_string, FIELD_OPTIONAL),
	FIELDS_END
};

/* The name, or its number as in protobuf's JSON. */
static bool action_decode(struct decoder *d, const struct node *n, enum policy_action *action)
{
	int index = 0;

	if (n->kind == NODE_SCALAR && !n->quoted && n->text.len == 1 && n->text.at[0] >= '0' &&
	    n->text.at[0] <= '3') {
		*action = (enum policy_action)(n->text.at[0] - '0');
		return true;
	}
	if (!decode_enum(d, n, &index, action_names))
		return false;
	*action = (enum policy_action)index;
	return true;
}

static bool provider_check(struct decoder *d, const struct node *spec, const struct node *provider,
			   const struct authorization_policy *p)
{
	if (p->action == POLICY_CUSTOM && p->rules.count > 0 && p->provider.len == 0)
		return decode_error(d, provider != NULL ? provider : spec,
				    "`provider.name` must not be empty");
	if (p->action != POLICY_CUSTOM && provider != NULL)
		return decode_error(d, provider, "`provider` must not be with non CUSTOM action, found "
				    "%.*s", SLICE_ARG(p->provider));
	return true;
}

static bool rules_check(struct decoder *d, const struct node *spec,
			const struct authorization_policy *p)
{
	if ((p->action != POLICY_DENY && p->action != POLICY_CUSTOM) || p->rules.count > 0)
		return true;
	return decode_error(d, spec, "%s action without `rules` is meaningless as it will never be "
			    "triggered, add an empty rule `{}` if you want it be triggered for every "
			    "request", policy_action_name(p->action));
}

/* A member of the spec by its own decoder, with its path. */
static bool spec_decode(struct decoder *d, const struct node *spec, struct authorization_policy *p)
{
	struct policy_nodes nodes = { .action = NULL };
	bool ok = decode_mapping(d, spec, spec_fields, &nodes), action_known = true;
	size_t mark;

	p->target = nodes.target;
	if (nodes.action != NULL) {
		mark = decode_push(d, "action");
		action_known = action_decode(d, nodes.action, &p->action);
		decode_pop(d, mark);
	}
	if (nodes.rules != NULL) {
		mark = decode_push(d, "rules");
		ok &= rules_decode(d, nodes.rules, p);
		decode_pop(d, mark);
	}
	if (nodes.provider != NULL) {
		mark = decode_push(d, "provider");
		ok &= decode_mapping(d, nodes.provider, provider_fields, p);
		decode_pop(d, mark);
	}
	ok &= policy_target_check(d, spec);
	if (!action_known)
		return false;
	ok &= rules_check(d, spec, p);
	ok &= provider_check(d, spec, nodes.provider, p);
	return ok;
}

/* Go's strconv.ParseBool. */
static bool go_bool(struct slice s, bool *out)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < COUNT_OF(yes); i++) {
		*out = slice_eq(s, slice_of(yes[i]));
		if (*out || slice_eq(s, slice_of(no[i])))
			return true;
	}
	return false;
}

static bool dry_run_decode(struct decoder *d, struct authorization_policy *p)
{
	struct slice text = meta_annotation(&p->meta, DRY_RUN);

	if (text.at == NULL)
		return true;
	if (!go_bool(text, &p->dry_run))
		return annotation_error(d, &p->meta, DRY_RUN, arena_printf(d->arena, "the annotation "
					DRY_RUN " has the value \"%.*s\"; write \"true\" or \"false\"",
					SLICE_ARG(text)));
	if (p->action != POLICY_ALLOW && p->action != POLICY_DENY)
		return annotation_error(d, &p->meta, DRY_RUN, arena_printf(d->arena, "the annotation "
					DRY_RUN " currently only supports action ALLOW/DENY, found action "
					"%s", policy_action_name(p->action)));
	return true;
}

static void warn_of_limits(struct decoder *d, const struct authorization_policy *p)
{
	if (p->action == POLICY_DENY)
		warn_of_http_only_deny(d, p);
}

struct authorization_policy *authorization_policy_decode(struct decoder *d,
							 const struct node *spec,
							 const struct meta *meta)
{
	struct authorization_policy *p = arena_new(d->arena, struct authorization_policy);
	bool ok = true;

	p->meta = *meta;
	if (spec != NULL && spec->kind != NODE_NULL)
		ok = spec_decode(d, spec, p);
	ok &= dry_run_decode(d, p);
	if (!ok)
		return NULL;
	warn_of_limits(d, p);
	return p;
}
