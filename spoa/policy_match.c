/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_match.c - does a rule hold for a request? One hand-written matcher an attribute
 * (spec/authorization-policy.md 4.2, 4.3, 5); an attribute that is missing holds for no value. */
#include "spoa/policy_priv.h"
#include "spoa/rule_filter.h"

#define SPIFFE	SLICE("spiffe://")

/* Strings */

bool text_value_matches(const struct text_value *v, struct slice s, bool ignore_case)
{
	switch (v->kind) {
	case TEXT_PRESENT:
		return true;
	case TEXT_EXACT:
		return ignore_case ? slice_eq_nocase(s, v->text) : slice_eq(s, v->text);
	case TEXT_PREFIX:
		return ignore_case ? slice_starts_nocase(s, v->text) : slice_starts(s, v->text);
	case TEXT_SUFFIX:
		if (s.len < v->text.len)
			return false;
		s = slice_from(s, s.len - v->text.len);
		return ignore_case ? slice_eq_nocase(s, v->text) : slice_eq(s, v->text);
	case TEXT_TEMPLATE:
		return path_template_matches(v->text, s);
	}
	return false;
}

/* `*` asks for at least one character. */
static bool filled_matches(const struct text_value *v, struct slice s)
{
	return v->kind == TEXT_PRESENT ? s.len > 0 : text_value_matches(v, s, false);
}

typedef bool text_fn(const struct text_value *v, struct slice s);

static bool any_text(const struct value_list *l, struct slice s, text_fn *matches)
{
	for (size_t i = 0; s.at != NULL && i < l->count; i++)
		if (matches(&l->items[i].text, s))
			return true;
	return false;
}

static bool cased_matches(const struct text_value *v, struct slice s)
{
	return text_value_matches(v, s, false);
}

static bool host_matches(const struct text_value *v, struct slice s)
{
	return text_value_matches(v, s, true);
}

static bool sni_matches(const struct text_value *v, struct slice s)
{
	return v->kind == TEXT_PRESENT ? s.len > 0 : text_value_matches(v, s, true);
}

/* Path templates: {*} is one segment, {**} the rest up to the literal end. */

static bool is_template_char(char c)
{
	return ascii_is_alnum(c) || (c != '\0' && strchr("-._~%!$&'()+,;:@=", c) != NULL);
}

static bool rest_matches(struct slice pattern, struct slice path)
{
	if (path.len < pattern.len || !slice_ends(path, pattern))
		return false;
	for (size_t i = 0; i < path.len - pattern.len; i++)
		if (path.at[i] != '/' && !is_template_char(path.at[i]))
			return false;
	return true;
}

bool path_template_matches(struct slice pattern, struct slice path)
{
	size_t n;

	/* Nothing but literals may follow {**}, and {*} ends at the next slash: no way back is needed. */
	while (pattern.len > 0) {
		if (slice_starts(pattern, SLICE("{**}")))
			return rest_matches(slice_from(pattern, 4), path);
		if (slice_starts(pattern, SLICE("{*}"))) {
			for (n = 0; n < path.len && is_template_char(path.at[n]); n++)
				;
			if (n == 0)
				return false;
			pattern = slice_from(pattern, 3);
			path = slice_from(path, n);
			continue;
		}
		if (path.len == 0 || path.at[0] != pattern.at[0])
			return false;
		pattern = slice_from(pattern, 1);
		path = slice_from(path, 1);
	}
	return path.len == 0;
}

/* Peer identities */

static bool principal_matches(const struct text_value *v, struct slice id)
{
	if (v->kind == TEXT_PRESENT)
		return id.len > 0;
	if (!slice_starts(id, SPIFFE))
		return false;
	return text_value_matches(v, slice_from(id, SPIFFE.len), false);
}

static bool domain_matches(const struct text_value *v, struct slice id)
{
	struct slice rest;
	ptrdiff_t end;

	if (!slice_starts(id, SPIFFE))
		return false;
	rest = slice_from(id, SPIFFE.len);
	end = slice_find(rest, '/');
	if (v->kind == TEXT_PRESENT)
		return true;
	return end >= 0 && text_value_matches(v, slice_first(rest, (size_t)end), false);
}

/* `*` stands for any text. Goes back to the last star only: that is enough, and linear a star. */
static bool glob_matches(struct slice pattern, struct slice text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.at[p] == '*') {
			star = p++;
			mark = t;
		} else if (p < pattern.len && pattern.at[p] == text.at[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.at[p] == '*')
		p++;
	return p == pattern.len;
}

/* Offset behind the next "/ns/", or the length. */
static size_t after_ns(struct slice id, size_t from)
{
	for (size_t i = from; i + 4 <= id.len; i++)
		if (memcmp(id.at + i, "/ns/", 4) == 0)
			return i + 4;
	return id.len;
}

/* `sa/NAME`, then nothing or `/` and something. */
static bool is_account(struct slice s, struct slice name)
{
	struct slice rest;

	if (!slice_starts(s, SLICE("sa/")) || !slice_starts(slice_from(s, 3), name))
		return false;
	rest = slice_from(s, 3 + name.len);
	return rest.len == 0 || (rest.len > 1 && rest.at[0] == '/');
}

/* spiffe://<any>/ns/<ns>/[<any>/]sa/<sa>[/<any>] */
bool service_account_matches(const struct account_value *v, struct slice id)
{
	struct slice rest;

	if (!slice_starts(id, SPIFFE))
		return false;
	for (size_t at = after_ns(id, SPIFFE.len + 1); at < id.len; at = after_ns(id, at - 1)) {
		rest = slice_from(id, at);
		if (!slice_starts(rest, v->ns) || rest.len <= v->ns.len || rest.at[v->ns.len] != '/')
			continue;
		rest = slice_from(rest, v->ns.len + 1);
		if (is_account(rest, v->name))
			return true;
		for (size_t i = 1; i < rest.len; i++)
			if (rest.at[i] == '/' && is_account(slice_from(rest, i + 1), v->name))
				return true;
	}
	return false;
}

typedef bool identity_fn(const union value *v, struct slice id);

static bool any_identity(const struct request *r, const struct value_list *l, identity_fn *matches)
{
	const struct check *c = r->check;

	for (size_t i = 0; c->tls && i < c->peer_id_count; i++)
		for (size_t j = 0; j < l->count; j++)
			if (c->peer_ids[i].len <= PEER_ID_BYTES_MAX &&
			    matches(&l->items[j], c->peer_ids[i]))
				return true;
	return false;
}

static bool principal_value_holds(const union value *v, struct slice id)
{
	return principal_matches(&v->text, id);
}

/* Compiled to a pattern over the whole identity. */
static bool namespace_value_holds(const union value *v, struct slice id)
{
	return glob_matches(v->text.text, id);
}

static bool account_value_holds(const union value *v, struct slice id)
{
	return service_account_matches(&v->account, id);
}

static bool domain_value_holds(const union value *v, struct slice id)
{
	return domain_matches(&v->text, id);
}

/* One matcher an attribute: does any value of the list hold? */
typedef bool attribute_fn(const struct request *r, const struct test *t, const struct value_list *l);

static bool on_principal(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_identity(r, l, principal_value_holds);
}

static bool on_namespace(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_identity(r, l, namespace_value_holds);
}

static bool on_account(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_identity(r, l, account_value_holds);
}

static bool on_domain(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_identity(r, l, domain_value_holds);
}

/* The token */

static bool on_request_principal(const struct request *r, const struct test *t,
				 const struct value_list *l)
{
	const struct principal_value *v;

	(void)t;
	if (r->token == NULL || r->token->iss.at == NULL || r->token->sub.at == NULL)
		return false;
	for (size_t i = 0; i < l->count; i++) {
		v = &l->items[i].principal;
		if (filled_matches(&v->iss, r->token->iss) && filled_matches(&v->sub, r->token->sub))
			return true;
	}
	return false;
}

static bool on_audience(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	if (r->token == NULL)
		return false;
	for (size_t i = 0; i < r->token->aud_count; i++)
		if (any_text(l, r->token->aud[i], filled_matches))
			return true;
	return false;
}

static struct slice json_slice(const json_t *s)
{
	return slice_make(json_string_value(s), json_string_length(s));
}

/* Any element of a list of strings; a list with anything else in it has no value. */
static bool list_claim_matches(const json_t *list, const struct value_list *l)
{
	size_t count = json_array_size(list);
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(list, i);

		if (!json_is_string(item))
			return false;
		found = found || any_text(l, json_slice(item), filled_matches);
	}
	return found;
}

static bool words_match(struct slice words, const struct value_list *l)
{
	struct slice word;

	while (words.at != NULL) {
		word = slice_cut(&words, ' ');
		if (word.len > 0 && any_text(l, word, filled_matches))
			return true;
	}
	return false;
}

bool claim_is_split(const struct provider *p, struct slice name)
{
	if (slice_eq(name, SLICE("scope")) || slice_eq(name, SLICE("permission")))
		return true;
	for (size_t i = 0; i < p->rule->space_delimited_claims.count; i++)
		if (slice_eq(name, p->rule->space_delimited_claims.items[i].text))
			return true;
	return false;
}

static bool claim_matches(const struct request *r, const struct slice *names, size_t count,
			  const struct value_list *l)
{
	const json_t *at = r->token != NULL ? r->token->claims : NULL;

	for (size_t i = 0; at != NULL && i < count; i++)
		at = json_is_object(at) ? json_object_getn(at, names[i].at, names[i].len) : NULL;
	if (json_is_array(at))
		return list_claim_matches(at, l);
	if (!json_is_string(at))
		return false;
	if (count == 1 && claim_is_split(r->provider, names[0]))
		return words_match(json_slice(at), l);
	return any_text(l, json_slice(at), filled_matches);
}

static bool on_claim(const struct request *r, const struct test *t, const struct value_list *l)
{
	return claim_matches(r, t->names, t->name_count, l);
}

static bool on_presenter(const struct request *r, const struct test *t, const struct value_list *l)
{
	const struct slice azp = SLICE("azp");

	(void)t;
	return claim_matches(r, &azp, 1, l);
}

/* The connection */

static bool any_block(const struct check_ip *ip, const struct value_list *l)
{
	for (size_t i = 0; ip->known && i < l->count; i++)
		if (cidr_contains(&l->items[i].block, &ip->ip))
			return true;
	return false;
}

static bool on_source_ip(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_block(&r->check->src, l);
}

static bool on_remote_ip(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_block(&r->check->remote_ip, l);
}

static bool on_destination_ip(const struct request *r, const struct test *t,
			      const struct value_list *l)
{
	(void)t;
	return any_block(&r->check->dst, l);
}

static bool on_port(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	for (size_t i = 0; r->port != 0 && i < l->count; i++)
		if (l->items[i].port == r->port)
			return true;
	return false;
}

static bool on_sni(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_text(l, r->check->sni, sni_matches);
}

/* The request */

static bool on_host(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_text(l, r->authority, host_matches);
}

static bool on_method(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_text(l, r->check->method, cased_matches);
}

static bool on_path(const struct request *r, const struct test *t, const struct value_list *l)
{
	(void)t;
	return any_text(l, r->path, filled_matches);
}

static bool on_header(const struct request *r, const struct test *t, const struct value_list *l)
{
	return any_text(l, request_header(r, t->names[0]), cased_matches);
}

static attribute_fn *const matchers[] = {
	[ATTR_PRINCIPAL] = on_principal,
	[ATTR_NAMESPACE] = on_namespace,
	[ATTR_SERVICE_ACCOUNT] = on_account,
	[ATTR_TRUST_DOMAIN] = on_domain,
	[ATTR_REQUEST_PRINCIPAL] = on_request_principal,
	[ATTR_AUDIENCE] = on_audience,
	[ATTR_PRESENTER] = on_presenter,
	[ATTR_CLAIM] = on_claim,
	[ATTR_SOURCE_IP] = on_source_ip,
	[ATTR_REMOTE_IP] = on_remote_ip,
	[ATTR_DESTINATION_IP] = on_destination_ip,
	[ATTR_PORT] = on_port,
	[ATTR_SNI] = on_sni,
	[ATTR_HOST] = on_host,
	[ATTR_METHOD] = on_method,
	[ATTR_PATH] = on_path,
	[ATTR_HEADER] = on_header,
};
_Static_assert(COUNT_OF(matchers) == ATTRIBUTE_COUNT, "every attribute has a matcher");

/* Rules */

enum test_answer test_answer(const struct test *t, const struct request *r)
{
	attribute_fn *matches = matchers[t->attribute];

	/* On TCP only that test falls away: what is left of the rule matches more… */
	if (r->check->proto == CHECK_TCP && attribute_is_http_only(t->attribute))
		return TEST_HOLDS;
	if (t->is.count > 0 && !matches(r, t, &t->is))
		return TEST_NONE_OF_IS;
	if (t->not.count > 0 && matches(r, t, &t->not))
		return TEST_ONE_OF_NOT;
	return TEST_HOLDS;
}

static bool clause_holds(const struct clause *c, const struct request *r)
{
	for (size_t i = 0; i < c->count; i++)
		if (test_answer(&c->tests[i], r) != TEST_HOLDS)
			return false;
	return true;
}

static bool any_clause_holds(const struct clause_list *l, const struct request *r)
{
	for (size_t i = 0; i < l->count; i++)
		if (clause_holds(&l->items[i], r))
			return true;
	return l->count == 0;
}

/* …save that an ALLOW must not match more than was written. */
bool rule_is_skipped(const struct policy *p, const struct rule *rule, const struct request *r)
{
	return r->check->proto == CHECK_TCP && rule->http_only && p->action == POLICY_ALLOW;
}

bool rule_holds(const struct policy *p, const struct rule *rule, const struct request *r)
{
	if (rule->never.at != NULL || rule_is_skipped(p, rule, r))
		return false;
	return any_clause_holds(&rule->to, r) && any_clause_holds(&rule->from, r) &&
	       clause_holds(&rule->when, r);
}

bool policy_matches(const struct policy *p, const struct request *r, size_t *rule)
{
	for (size_t i = 0; i < p->rule_count; i++) {
		if (rule_holds(p, &p->rules[i], r)) {
			*rule = i;
			return true;
		}
	}
	return false;
}

static struct match filtered_match(const struct rule_filter *x, const struct request *r, const uint32_t *found,
				  size_t count)
{
	const uint32_t *always;
	size_t always_count = rule_filter_always(x, &always), i = 0, k = 0;

	while (i < count || k < always_count) {
		bool next_found = i < count && (k == always_count || found[i] < always[k]);
		struct rule_ref at = rule_filter_at(x, next_found ? found[i++] : always[k++]);

		if (rule_holds(at.policy, &at.policy->rules[at.rule], r))
			return (struct match){ at.policy, at.rule };
	}
	return (struct match){ NULL, 0 };
}

struct match policies_match(const struct policy_list *list, const struct request *r)
{
	uint32_t found[RULE_FILTER_FOUND_MAX];
	struct match m;
	size_t count;

	/* On TCP the tests that rules are filed by fall away. */
	if (list->filter != NULL && r->check->proto == CHECK_HTTP) {
		count = rule_filter_find(list->filter, r->authority, r->path, found);
		if (count != SIZE_MAX)
			return filtered_match(list->filter, r, found, count);
	}
	for (size_t i = 0; i < list->count; i++) {
		m.policy = list->items[i];
		if (policy_matches(m.policy, r, &m.rule))
			return m;
	}
	return (struct match){ NULL, 0 };
}
