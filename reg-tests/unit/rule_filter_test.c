/* SPDX-License-Identifier: Apache-2.0
 *
 * rule_filter_test.c - whatever the rules and the request: asked through the index, the same rule answers
 * as when all are asked one after the other; and few are asked. */
#include "reg-tests/unit/policy_case.h"

#include "spoa/rule_filter.h"

#define ROUNDS		300
#define REQUESTS	200
#define POLICIES	12

static const char *const hosts[] = {
	"a.example", "A.example", "a.example:*", "b.example", "*.example", "*e", "*", "a.*", "*b.EXAMPLE:80",
	"averyveryverylonghostname.averyveryverylonghostname.averyveryverylonghostname.example",
	"*veryverylonghostname.averyveryverylonghostname.averyveryverylonghostname.averyverylonghost.example",
};
static const char *const paths[] = {
	"/", "/*", "*", "/a", "/a/*", "/a/b", "/b*", "*/b", "/a/{*}/c", "/{**}", "/{*}/b", "*.js",
	"/averyverylongpathaveryverylongpathaveryverylongpathaveryverylongpath/x",
	"/averyverylongpathaveryverylongpathaveryverylongpathaveryverylongpath/*",
};
static const char *const asked_hosts[] = {
	"a.example", "A.EXAMPLE", "a.example:80", "b.example:80", "b.EXAMPLE:80", "c.d.example", "x", "",
	"averyveryverylonghostname.averyveryverylonghostname.averyveryverylonghostname.example",
	"aveveryverylonghostname.averyveryverylonghostname.averyveryverylonghostname.averyverylonghost.example",
};
static const char *const asked_paths[] = {
	"/", "/a", "/a/b", "/a/x/c", "/A", "/b", "/bb/b", "/x/b", "/x.js", "",
	"/averyverylongpathaveryverylongpathaveryverylongpathaveryverylongpath/x",
	"/averyverylongpathaveryverylongpathaveryverylongpathaveryverylongpath/y",
};

#define ANY_OF(list)	list[(size_t)random() % COUNT_OF(list)]

static void write_values(struct text *t, const char *field, const char *const *list, size_t count)
{
	size_t many = 1 + (size_t)random() % 3;

	text_printf(t, "%s: [", field);
	for (size_t i = 0; i < many; i++)
		text_printf(t, "%s'%s'", i > 0 ? ", " : "", list[(size_t)random() % count]);
	text_add(t, SLICE("], "));
}

static void write_operation(struct text *t)
{
	long kinds = 1 + random() % 15;

	text_add(t, SLICE("{operation: {"));
	if (kinds & 1)
		write_values(t, "hosts", hosts, COUNT_OF(hosts));
	if (kinds & 2)
		write_values(t, "paths", paths, COUNT_OF(paths));
	if (kinds & 4)
		text_add(t, SLICE("methods: [GET], "));
	if (kinds & 8)
		write_values(t, random() % 2 ? "notPaths" : "notHosts", asked_hosts, 5);
	text_add(t, SLICE("}}, "));
}

/* Policies of one action, some with several rules, some of those with several operations or none. */
static char *write_policies(struct arena *arena)
{
	struct text t;
	char *out;

	text_init(&t);
	for (unsigned i = 0; i < POLICIES; i++) {
		text_printf(&t, "---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: "
			    "{name: p%u, namespace: foo}, spec: {action: DENY, rules: [", i);
		for (long r = random() % 4; r >= 0; r--) {
			bool operations = random() % 8 > 0;

			text_add(&t, operations ? SLICE("{to: [") : SLICE("{when: [{key: 'request.headers[x]', "
										 "values: [y]}"));
			for (long k = random() % 3; operations && k >= 0; k--)
				write_operation(&t);
			text_add(&t, SLICE("]}, "));
		}
		text_add(&t, SLICE("]}}\n"));
	}
	out = arena_text(arena, text_slice(&t));
	text_fini(&t);
	return out;
}

static struct request request_of(const struct check *c, const char *host, const char *path)
{
	return (struct request){ .check = c, .authority = slice_of(host), .path = slice_of(path),
				 .target = slice_of(path), .port = 80 };
}

static void test_same_answer(void **state)
{
	const struct check c = { .proto = CHECK_HTTP, .method = SLICE("GET") };
	unsigned indexed = 0;

	(void)state;
	srandom(1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct arena *arena = arena_create(0);
		struct policy_list plain;
		struct policy_set *set;
		struct world w;

		world_open(&w, NULL, write_policies(arena));
		set = policy_set_create(w.index, SLICE("foo"), SLICE("app=y"));
		plain = set->by_action[POLICY_DENY];
		indexed += plain.filter != NULL;
		plain.filter = NULL;
		for (unsigned i = 0; i < REQUESTS; i++) {
			struct request r = request_of(&c, ANY_OF(asked_hosts), ANY_OF(asked_paths));
			struct match wanted = policies_match(&plain, &r);
			struct match found = policies_match(&set->by_action[POLICY_DENY], &r);

			assert_ptr_equal(found.policy, wanted.policy);
			assert_int_equal(found.rule, wanted.rule);
		}
		policy_set_unref(&set);
		world_close(&w);
		arena_free(&arena);
	}
	assert_true(indexed > ROUNDS * 9 / 10);
}

/* A rule for each of five hundred hosts, and one of them for all: a request meets its own and that one. */
static void test_few_are_asked(void **state)
{
	struct text t;
	struct policy_set *set;
	const struct rule_filter *x;
	uint32_t found[RULE_FILTER_FOUND_MAX];
	const uint32_t *always;
	struct world w;

	(void)state;
	text_init(&t);
	text_add(&t, SLICE(POLICY("foo", "all", "{action: ALLOW, rules: [{when: [{key: 'request.headers[x]', "
				  "values: [y]}]}]}")));
	text_add(&t, SLICE("---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: "
			   "{name: hosts, namespace: foo}, spec: {action: ALLOW, rules: ["));
	for (unsigned i = 0; i < 500; i++)
		text_printf(&t, "{to: [{operation: {hosts: ['h%u.example', 'h%u.example:*'], paths: ['/api/*']}}]}, ",
			    i, i);
	text_add(&t, SLICE("]}}\n"));
	world_open(&w, NULL, t.at);
	set = policy_set_create(w.index, SLICE("foo"), SLICE("app=y"));
	x = set->by_action[POLICY_ALLOW].filter;
	assert_non_null(x);
	assert_int_equal(rule_filter_always(x, &always), 1);
	assert_int_equal(rule_filter_find(x, SLICE("h77.example"), SLICE("/api/x"), found), 1);
	assert_int_equal(rule_filter_at(x, found[0]).rule, 77);
	assert_int_equal(rule_filter_find(x, SLICE("H77.example:8080"), SLICE("/api/x"), found), 2);
	assert_int_equal(rule_filter_find(x, SLICE("h500.example"), SLICE("/api/x"), found), 0);
	policy_set_unref(&set);
	world_close(&w);
	text_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_answer),
		cmocka_unit_test(test_few_are_asked),
	};

	return cmocka_run_group_tests_name("rule_filter", tests, NULL, NULL);
}
