/* SPDX-License-Identifier: Apache-2.0
 *
 * decisions_test.c - every case of reg-tests/policy/decisions.cases, put to the judge as the agent does
 * and to reasoning_of(), which have to agree. The file says how it is written. */
#include "reg-tests/unit/policy_case.h"

#include "spoa/reasoning.h"
#include "spoa/token.h"

#define CASES_FILE	"reg-tests/policy/decisions.cases"
#define CASES_LEAST	250u
#define KEYS		2
#define TOKENS_MAX	64

struct named_token {
	struct slice name;
	char *text;			/* owned */
};

static EVP_PKEY *keys[KEYS];
static struct slice key_sets[KEYS];
static struct named_token named[TOKENS_MAX];
static size_t named_count;
static struct arena *arena;		/* of the whole file */

/* ---- keys and tokens ---- */

static int make_keys(void **state)
{
	char *jwk;

	(void)state;
	arena = arena_create(0);
	for (size_t i = 0; i < KEYS; i++) {
		keys[i] = make_key("ES256");
		jwk = make_jwk(keys[i], NULL, NULL);
		key_sets[i] = slice_of(arena_printf(arena, "{\"keys\":[%s]}", jwk));
		free(jwk);
	}
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < named_count; i++)
		free(named[i].text);
	for (size_t i = 0; i < KEYS; i++)
		EVP_PKEY_free(keys[i]);
	arena_free(&arena);
	return 0;
}

/* `@now+60@` and the like. */
static struct slice time_text(struct slice name)
{
	long long offset = strtoll(name.at + 3, NULL, 10);

	return slice_of(arena_printf(arena, "%lld", (long long)(clock_wall_us() / 1000000) + offset));
}

/* What `@name@` stands for; absent: nothing. */
static struct slice value_of(struct slice name)
{
	if (slice_eq(name, SLICE("jwks1")) || slice_eq(name, SLICE("jwks2")))
		return key_sets[name.at[4] - '1'];
	if (slice_starts(name, SLICE("now")))
		return time_text(name);
	for (size_t i = 0; i < named_count; i++)
		if (slice_eq(named[i].name, name))
			return slice_of(named[i].text);
	return NO_SLICE;
}

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-' && s.at[i] != '+')
			return false;
	return s.len > 0;
}

/* `text` with every `@name@` that is known written out; absent stays absent. */
static const char *filled(struct slice text)
{
	struct slice name, value;
	const char *copy;
	struct text t;
	ptrdiff_t end;

	if (text.at == NULL)
		return NULL;
	text_init(&t);
	for (size_t i = 0; i < text.len; i++) {
		end = text.at[i] == '@' ? slice_find(slice_from(text, i + 1), '@') : -1;
		name = end > 0 ? slice_first(slice_from(text, i + 1), (size_t)end) : NO_SLICE;
		value = name.at != NULL && is_name(name) ? value_of(name) : NO_SLICE;
		if (value.at != NULL) {
			text_add(&t, value);
			i += name.len + 1;
		} else {
			text_add_char(&t, text.at[i]);
		}
	}
	copy = arena_text(arena, text_slice(&t));
	text_fini(&t);
	return copy;
}

/* `name` or `name 2`: by which key it is signed. */
static void add_token(struct slice key, struct slice claims)
{
	struct slice number = key, name = slice_cut(&number, ' ');

	must(named_count < TOKENS_MAX);
	named[named_count++] = (struct named_token){
		name, make_token(keys[slice_eq(number, SLICE("2"))], "ES256", NULL, filled(claims)) };
}

/* ---- one group of documents ---- */

static struct slice text_at(const struct node *n, const char *key)
{
	const struct node *value = node_get(n, key);

	return value != NULL && value->kind == NODE_SCALAR ? value->text : NO_SLICE;
}

/* Key sets stand in the documents as `@jwks1@`; the tree is ours to write in. */
static void fill_in(struct node *n)
{
	for (size_t i = 0; i < n->count; i++)
		fill_in(n->kind == NODE_SEQUENCE ? n->items[i] : n->pairs[i].value);
	if (n->kind == NODE_SCALAR && slice_find(n->text, '@') >= 0)
		n->text = slice_of(filled(n->text));
}

/* `ap foo/name` or `ra foo/name`, and `dry-run` behind it. */
static void add_document(struct world *w, struct slice key, struct node *spec)
{
	struct decoder d = { .arena = w->arena, .problems = &w->problems };
	struct slice rest = key, kind = slice_cut(&rest, ' '), full = slice_cut(&rest, ' ');
	struct string_entry *annotation = arena_new(w->arena, struct string_entry);
	struct meta *meta = arena_new(w->arena, struct meta);

	*annotation = (struct string_entry){ .key = SLICE("istio.io/dry-run"), .value = SLICE("true") };
	meta->ns = slice_cut(&full, '/');
	meta->name = full;
	meta->annotations.items = annotation;
	meta->annotations.count = slice_eq(rest, SLICE("dry-run"));
	meta->kind = d.kind = slice_eq(kind, SLICE("ra")) ? "RequestAuthentication" : "AuthorizationPolicy";
	d.path_len = (size_t)snprintf(d.path, sizeof(d.path), "spec");
	must(w->policy_count < CASE_DOCUMENTS_MAX && w->authentication_count < CASE_DOCUMENTS_MAX);
	fill_in(spec);
	if (slice_eq(kind, SLICE("ra")))
		w->authentications[w->authentication_count++] = request_authentication_decode(&d, spec, meta);
	else
		w->policies[w->policy_count++] = authorization_policy_decode(&d, spec, meta);
}

static enum path_normalization normalization_of(struct slice name)
{
	static const char *const names[] = { "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES" };

	for (unsigned i = 0; name.at != NULL && i < COUNT_OF(names); i++)
		if (slice_eq(name, slice_of(names[i])))
			return (enum path_normalization)i;
	return PATH_BASE;
}

static struct policy_mesh mesh_of(const struct node *n)
{
	const struct node *aliases = node_get(n, "aliases");
	size_t count = aliases != NULL ? aliases->count : 0;
	struct slice *items = arena_array(arena, struct slice, count);

	for (size_t i = 0; i < count; i++)
		items[i] = aliases->items[i]->text;
	return (struct policy_mesh){
		.root_namespace = text_at(n, "root"), .trust_domain = text_at(n, "trustDomain"),
		.trust_domain_aliases = items, .trust_domain_alias_count = count,
		.normalization = normalization_of(text_at(n, "normalization")),
	};
}

static void group_open(struct world *w, const struct node *group)
{
	struct node *documents = node_get(group, "documents");
	struct policy_mesh mesh = mesh_of(node_get(group, "mesh"));

	*w = (struct world){ .arena = arena_create(0) };
	problems_init(&w->problems);
	for (size_t i = 0; documents != NULL && i < documents->count; i++)
		add_document(w, documents->pairs[i].key, documents->pairs[i].value);
	world_compile(w, &mesh);
}

/* ---- one case ---- */

static const char *string_at(const struct node *n, const char *key)
{
	return filled(text_at(n, key));
}

/* A list, or one line. */
static const char *lines_at(const struct node *n, const char *key)
{
	const struct node *value = node_get(n, key);
	const char *all = NULL;

	if (value == NULL || value->kind == NODE_SCALAR)
		return string_at(n, key);
	for (size_t i = 0; i < value->count; i++)
		all = arena_printf(arena, "%s%s%s", all != NULL ? all : "", all != NULL ? "\n" : "",
				   filled(value->items[i]->text));
	return all;
}

static const char *last_claims;

/* `iss`, `sub` and `claims` make a token where tokens usually are. */
static const char *with_bearer(const struct node *n, const char *headers)
{
	struct slice iss = text_at(n, "iss"), sub = text_at(n, "sub");
	const char *claims = string_at(n, "claims"), *all;
	char *token;

	if (iss.at == NULL)
		return headers;
	last_claims = arena_printf(arena, "{\"iss\":\"%.*s\"%s%.*s%s%s%s}", SLICE_ARG(iss),
				   sub.at != NULL ? ",\"sub\":\"" : "", SLICE_ARG(sub),
				   sub.at != NULL ? "\"" : "", claims != NULL ? "," : "",
				   claims != NULL ? claims : "");
	token = make_token(keys[0], "ES256", NULL, last_claims);
	all = arena_printf(arena, "%s%sauthorization: Bearer %s", headers != NULL ? headers : "",
			   headers != NULL ? "\n" : "", token);
	free(token);
	return all;
}

static bool flag_at(const struct node *n, const char *key)
{
	return slice_eq(text_at(n, key), SLICE("true"));
}

static struct ask ask_of(const struct node *n)
{
	struct slice target = text_at(n, "ask"), method = slice_cut(&target, ' ');
	struct slice port = text_at(n, "port");

	return (struct ask){
		.method = filled(method), .path = filled(target), .authority = string_at(n, "host"),
		.headers = with_bearer(n, lines_at(n, "headers")),
		.src = string_at(n, "src"), .remote = string_at(n, "remote"), .dst = string_at(n, "dst"),
		.port = port.at != NULL ? (uint16_t)atoi(port.at) : 0,
		.peer = string_at(n, "peer"), .sni = string_at(n, "sni"),
		.ns = string_at(n, "ns"), .labels = string_at(n, "labels"),
		.gateway_ns = string_at(n, "gateway"), .gateway_labels = string_at(n, "gatewayLabels"),
		.workload_path = string_at(n, "rewritten"),
		.tcp = slice_eq(text_at(n, "ask"), SLICE("TCP")), .raw_path = flag_at(n, "raw"),
		.claims = node_has(n, "wantClaims"),
	};
}

static unsigned failures;

static void expect(const struct node *n, const char *what, struct slice got)
{
	const struct node *wanted = node_get(n, what);
	struct slice text;

	if (wanted == NULL)
		return;
	text = wanted->kind == NODE_NULL ? NO_SLICE : slice_of(filled(wanted->text));
	if (slice_eq(got, text))
		return;
	failures++;
	print_error("%s:%u: %s is \"%.*s\", not \"%.*s\"\n", n->where.file, n->where.line, what,
		    SLICE_ARG(got), SLICE_ARG(text));
}

/* "a: 1, b: 2", as `headers` of a case spell it; names in lower case. */
static struct slice headers_text(const struct check_header *items, size_t count)
{
	struct text t;
	struct slice out;

	text_init(&t);
	for (size_t i = 0; i < count; i++)
		text_printf(&t, "%s%.*s: %.*s", i > 0 ? ", " : "", SLICE_ARG(arena_lower(arena, items[i].name)),
			    SLICE_ARG(items[i].value));
	out = arena_slice(arena, text_slice(&t));
	text_fini(&t);
	return out;
}

static struct slice names_text(const struct slice *items, size_t count)
{
	struct slice out = NO_SLICE;

	for (size_t i = 0; i < count; i++)
		out = slice_of(arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(out), i > 0 ? ", " : "",
					    SLICE_ARG(arena_lower(arena, items[i]))));
	return out;
}

static void check_verdict(const struct node *n, const struct verdict *v)
{
	/* What nobody wrote down is as Istio has it. */
	static const char *const rbac = "RBAC: access denied";

	expect(n, "is", slice_of(arena_printf(arena, "%u", v->status)));
	if (v->allow != (v->status == 200) || (v->reason == REASON_OK) != v->allow) {
		failures++;
		print_error("%s:%u: allow %d and status %u\n", n->where.file, n->where.line, v->allow, v->status);
	}
	if (v->reason == REASON_RBAC && !slice_eq(v->body, slice_of(rbac))) {
		failures++;
		print_error("%s:%u: body \"%.*s\"\n", n->where.file, n->where.line, SLICE_ARG(v->body));
	}
	if ((v->reason == REASON_JWT) != (v->www_authenticate.len > 0)) {
		failures++;
		print_error("%s:%u: challenge \"%.*s\"\n", n->where.file, n->where.line,
			    SLICE_ARG(v->www_authenticate));
	}
	expect(n, "body", v->body);
	expect(n, "challenge", v->www_authenticate);
	expect(n, "policy", v->policy);
	expect(n, "why", v->why);
	expect(n, "detail", v->detail);
	expect(n, "shadow", v->shadow);
	expect(n, "principal", v->principal);
	expect(n, "wantClaims", v->claims);
	expect(n, "path", v->path_out);
	expect(n, "set", headers_text(v->header_set.items, v->header_set.count));
	expect(n, "add", headers_text(v->header_add.items, v->header_add.count));
	expect(n, "del", names_text(v->header_del.items, v->header_del.count));
}

/* Whoever asks why is told what would be answered. */
static void check_reasoning(struct world *w, const struct node *n, const struct check *c, const struct verdict *v)
{
	const struct reasoning *reasoning = reasoning_of(w->index, w->tokens, c);
	const struct verdict *also = reasoning->verdict;

	if (also->allow == v->allow && also->status == v->status && slice_eq(also->why, v->why) &&
	    slice_eq(also->policy, v->policy) && slice_eq(also->body, v->body) && slice_eq(also->shadow, v->shadow) &&
	    reasoning->door_count == c->workload_count + (c->gateway != NULL))
		return;
	failures++;
	print_error("%s:%u: the reasoning comes to %u \"%.*s\"\n", n->where.file, n->where.line, also->status,
		    SLICE_ARG(also->why));
}

/* Claims that are only said to be verified come to the same as a token that is. */
static void check_assumed(struct world *w, const struct node *n, const struct check *c, const struct verdict *v)
{
	struct check_header *rest = arena_array(arena, struct check_header, c->header_count);
	struct slice text = slice_of(last_claims);
	struct token *token;
	struct check also = *c;
	const struct verdict *got;

	if (!node_has(n, "iss"))
		return;
	also.headers = rest;
	also.header_count = 0;
	for (size_t i = 0; i < c->header_count; i++)
		if (!slice_eq(c->headers[i].name, SLICE("authorization")))
			rest[also.header_count++] = c->headers[i];
	must(token_of_claims(text, &token) == JWT_OK);
	also.assumed = token;
	got = reasoning_of(w->index, w->tokens, &also)->verdict;
	if (got->status != v->status || !slice_eq(got->why, v->why) || !slice_eq(got->principal, v->principal) ||
	    !slice_eq(got->policy, v->policy) || !slice_eq(got->claims, v->claims)) {
		failures++;
		print_error("%s:%u: the claims alone come to %u \"%.*s\"\n", n->where.file, n->where.line,
			    got->status, SLICE_ARG(got->why));
	}
	token_unref(&token);
}

static void decide(struct world *w, const struct node *n)
{
	static const char *const known[] = {
		"as", "ask", "host", "headers", "iss", "sub", "claims", "src", "remote", "dst", "port", "peer",
		"sni", "ns", "labels", "gateway", "gatewayLabels", "rewritten", "raw", "is", "body", "challenge",
		"policy", "why", "detail", "shadow", "principal", "wantClaims", "path", "set", "add", "del",
	};
	struct ask ask = ask_of(n);
	const struct verdict *v;
	struct check *c;

	must(node_has(n, "ask") && node_has(n, "is"));
	for (size_t i = 0; i < n->count; i++) {
		size_t k = 0;

		while (k < COUNT_OF(known) && !slice_eq(n->pairs[i].key, slice_of(known[k])))
			k++;
		if (k == COUNT_OF(known))
			fail_msg("%s:%u: \"%.*s\" is nothing that a case has", n->where.file,
				 n->pairs[i].where.line, SLICE_ARG(n->pairs[i].key));
	}
	c = check_of(arena, &ask);
	v = world_judge(w, c);
	check_verdict(n, v);
	check_reasoning(w, n, c, v);
	check_assumed(w, n, c, v);
}

/* ---- documents that are refused ---- */

static bool was_said(const struct world *w, enum severity severity, struct slice text)
{
	for (size_t i = 0; i < w->problems.count; i++)
		if (w->problems.items[i].severity == severity &&
		    strstr(w->problems.items[i].text, text.at) != NULL)
			return true;
	return false;
}

static unsigned check_refused(const struct node *group)
{
	const struct node *refused = node_get(group, "refused");
	unsigned count = 0;
	struct world w;

	for (size_t i = 0; refused != NULL && i < refused->count; i++, count++) {
		struct node *n = refused->items[i], *spec = NULL;
		struct slice error = text_at(n, "error"), warning = text_at(n, "warning"), key = NO_SLICE;

		for (size_t k = 0; k < n->count; k++)
			if (slice_starts(n->pairs[k].key, SLICE("ap ")) || slice_starts(n->pairs[k].key, SLICE("ra "))) {
				key = n->pairs[k].key;
				spec = n->pairs[k].value;
			}
		must(spec != NULL && (error.at != NULL) != (warning.at != NULL));
		w = (struct world){ .arena = arena_create(0) };
		problems_init(&w.problems);
		add_document(&w, key, spec);
		if ((error.at == NULL) != (w.problems.errors == 0) ||
		    !was_said(&w, error.at != NULL ? SEVERITY_ERROR : SEVERITY_WARNING,
			      error.at != NULL ? error : warning)) {
			failures++;
			print_error("%s:%u: \"%s\" is not what is said:\n", n->where.file, n->where.line,
				    error.at != NULL ? error.at : warning.at);
			case_print_problems(&w.problems);
		}
		world_close(&w);
	}
	return count;
}

/* ---- the file ---- */

static unsigned decide_group(const struct node *group)
{
	const struct node *cases = node_get(group, "cases"), *tokens = node_get(group, "tokens");
	struct world w;

	for (size_t i = 0; tokens != NULL && i < tokens->count; i++)
		add_token(tokens->pairs[i].key, tokens->pairs[i].value->text);
	if (cases == NULL)
		return 0;
	group_open(&w, group);
	for (size_t i = 0; i < cases->count; i++)
		decide(&w, cases->items[i]);
	world_close(&w);
	return (unsigned)cases->count;
}

static struct slice read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	struct slice s;
	char *at;
	long size;

	must(f != NULL && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 0);
	rewind(f);
	at = arena_alloc(arena, (size_t)size);
	s = slice_make(at, fread(at, 1, (size_t)size, f));
	fclose(f);
	return s;
}

static void test_cases(void **state)
{
	unsigned cases = 0, refused = 0;
	struct problems problems;
	struct node **groups;
	size_t count;

	(void)state;
	problems_init(&problems);
	if (yaml_read(arena, CASES_FILE, read_all(CASES_FILE), &problems, &groups, &count) != OK) {
		case_print_problems(&problems);
		fail_msg("%s cannot be read", CASES_FILE);
	}
	for (size_t i = 0; i < count; i++) {
		cases += decide_group(groups[i]);
		refused += check_refused(groups[i]);
	}
	problems_fini(&problems);
	print_message("%u decisions, %u documents that are refused or warned of\n", cases, refused);
	if (failures > 0)
		fail_msg("%u of them are otherwise", failures);
	assert_true(cases >= CASES_LEAST);
}

/* Of many rules those are compared that the request could have met. */
static void test_nearest_of_many(void **state)
{
	const struct ask ask = { .path = "/p150" }, strange = { .path = "/q" };
	const struct verdict *v;
	struct text rules;
	struct world w;

	(void)state;
	text_init(&rules);
	for (unsigned i = 0; i < 200; i++)
		text_printf(&rules, "%s{from: [{source: {principals: [x]}}], to: [{operation: {paths: [/p%u]}}]}",
			    i > 0 ? ", " : "", i);
	world_open(&w, NULL, arena_printf(arena, POLICY("foo", "p", "{rules: [%s]}"), rules.at));
	text_fini(&rules);
	v = world_ask(&w, arena, &ask);
	assert_int_equal(v->status, 403);
	assert_true(slice_eq(v->why, SLICE("foo/p#rule 150: principals did not match")));
	v = world_ask(&w, arena, &strange);
	assert_true(slice_eq(v->why, SLICE("foo/p#rule 0: principals did not match")));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_nearest_of_many),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
