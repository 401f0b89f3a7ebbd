/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes by claims of the token: what is asked for, what travels, and what matches
 * (spec/virtual-service.md 6.7, 18; spec/request-authentication.md 8.4). */
#include "reg-tests/unit/route_case.h"

#include "sallyport/spop.h"

#define TO(host)	"route: [{destination: {host: " host ".local}}]"
#define CLAIM		"\"@request.auth.claims"
#define WITH(key, m)	"- match: [{headers: {" CLAIM key "\": " m "}}]\n  " TO("v1") "\n"
#define WITHOUT(key, m)	"- match: [{withoutHeaders: {" CLAIM key "\": " m "}}]\n  " TO("v1") "\n"

#define LONG		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaad"

struct claims_row {
	const char *name, *http, *claims;	/* claims NULL: no token */
	bool holds;
};

static const struct claims_row rows[] = {
	{ "56", WITH(".groups", "{exact: dev}"), "{\"groups\":[\"ops\",\"dev\"]}", true },
	{ "57 no token", WITH(".groups", "{exact: dev}"), NULL, false },
	{ "none of the list", WITH(".groups", "{exact: dev}"), "{\"groups\":[\"ops\",\"devs\"]}", false },
	{ "empty list", WITH(".groups", "{regex: \".*\"}"), "{\"groups\":[]}", false },
	{ "strings of a mixed list", WITH(".groups", "{exact: dev}"), "{\"groups\":[1,\"dev\",null]}", true },
	{ "string", WITH(".sub", "{exact: me}"), "{\"sub\":\"me\"}", true },
	{ "values in one case", WITH(".sub", "{exact: Me}"), "{\"sub\":\"me\"}", false },
	{ "prefix", WITH(".sub", "{prefix: user-}"), "{\"sub\":\"user-7\"}", true },
	{ "regex", WITH(".sub", "{regex: \"user-[0-9]+\"}"), "{\"sub\":\"user-77\"}", true },
	{ "regex is the whole", WITH(".sub", "{regex: \"user-[0-9]\"}"), "{\"sub\":\"user-77\"}", false },
	{ "empty string", WITH(".sub", "{exact: \"\"}"), "{\"sub\":\"\"}", true },
	{ "empty is not absent", WITH(".sub", "{exact: \"\"}"), "{}", false },
	{ "names in one case", WITH(".Sub", "{exact: me}"), "{\"sub\":\"me\"}", false },
	{ "the prefix in any case", "- match: [{headers: {\"@Request.AUTH.Claims.sub\": {exact: me}}}]\n  " TO("v1") "\n",
	  "{\"sub\":\"me\"}", true },
	{ "nested", WITH(".a.b", "{exact: x}"), "{\"a\":{\"b\":\"x\"}}", true },
	{ "no name with a dot", WITH(".a.b", "{exact: x}"), "{\"a.b\":\"x\"}", false },
	{ "brackets", WITH("[a][b.c]", "{exact: x}"), "{\"a\":{\"b.c\":\"x\"}}", true },
	{ "brackets, URL", WITH("[https://x/roles]", "{exact: r}"), "{\"https://x/roles\":[\"r\"]}", true },
	{ "brackets within", WITH("[a]b]", "{exact: x}"), "{\"a]b\":\"x\"}", true },
	{ "no way through a string", WITH(".a.b", "{exact: x}"), "{\"a\":\"b\"}", false },
	{ "no index", WITH(".a.0", "{exact: x}"), "{\"a\":[\"x\"]}", false },
	{ "scope, one word", WITH(".scope", "{exact: read}"), "{\"scope\":\"write  read \"}", true },
	{ "scope, all of it", WITH(".scope", "{exact: \"write read\"}"), "{\"scope\":\"write read\"}", false },
	{ "permission", WITH(".permission", "{exact: b}"), "{\"permission\":\"a b\"}", true },
	{ "scope as a list", WITH(".scope", "{exact: \"a b\"}"), "{\"scope\":[\"a b\"]}", true },
	{ "a nested scope is no list", WITH(".x.scope", "{exact: a}"), "{\"x\":{\"scope\":\"a b\"}}", false },
	{ "number", WITH(".n", "{exact: \"7\"}"), "{\"n\":7}", false },
	{ "bool", WITH(".n", "{exact: \"true\"}"), "{\"n\":true}", false },
	{ "object", WITH(".n", "{regex: \".*\"}"), "{\"n\":{\"x\":\"y\"}}", false },
	{ "null", WITH(".n", "{regex: \".*\"}"), "{\"n\":null}", false },
	{ "present", WITH(".n", "{}"), "{\"n\":7}", true },
	{ "present, an object", WITH(".n", "{}"), "{\"n\":{}}", true },
	{ "present, absent", WITH(".n", "{}"), "{\"m\":7}", false },
	{ "present, null", WITH(".n", "{}"), "{\"n\":null}", false },
	{ "present, no token", WITH(".n", "{}"), NULL, false },
	{ "without", WITHOUT(".groups", "{exact: dev}"), "{\"groups\":[\"ops\",\"dev\"]}", false },
	{ "without, another value", WITHOUT(".groups", "{exact: dev}"), "{\"groups\":\"ops\"}", true },
	{ "without, absent", WITHOUT(".groups", "{exact: dev}"), "{}", true },
	{ "without, no token", WITHOUT(".groups", "{exact: dev}"), NULL, true },
	{ "without, absent is not empty", WITHOUT(".groups", "{regex: \".*\"}"), "{}", true },
	{ "without, number", WITHOUT(".n", "{exact: \"7\"}"), "{\"n\":7}", true },
	{ "without, star", WITHOUT(".n", "{regex: \"*\"}"), "{\"n\":7}", false },
	{ "without, null", WITHOUT(".n", "null"), "{\"n\":\"x\"}", false },
	{ "without, null, absent", WITHOUT(".n", "null"), "{}", true },
	{ "together", "- match: [{headers: {" CLAIM ".a\": {exact: x}, " CLAIM ".b\": {exact: y}}}]\n  " TO("v1") "\n",
	  "{\"a\":\"x\",\"b\":\"z\"}", false },
	{ "beside others", "- match: [{uri: {prefix: /other}, headers: {" CLAIM ".a\": {exact: x}}}]\n  " TO("v1") "\n",
	  "{\"a\":\"x\"}", false },
	/* Nobody knows whether these hold: no route is chosen. */
	{ "a limit reached", WITH(".a", "{regex: \"(a|aa)+[bc]\"}"), "{\"a\":\"" LONG "\"}", false },
	{ "without, a limit reached", WITHOUT(".a", "{regex: \"(a|aa)+[bc]\"}"), "{\"a\":[\"x\",\"" LONG "\"]}", false },
	{ "a limit reached beside what matches", WITH(".a", "{regex: \"(a|aa)+[bc]\"}"), "{\"a\":[\"" LONG "\",\"ab\"]}", true },
	/* Other routes of the same host ask for more, in another order. */
	{ "several claims", WITH(".z", "{exact: no}") WITH(".b", "{exact: no}") WITH(".a", "{exact: x}")
	  WITH(".b", "{exact: y}"), "{\"b\":\"y\"}", true },
};

/* What the agent makes of the claims, as the proxy reads it. */
static const struct claim_set *through_the_wire(struct arena *a, const struct claims_asked *asked, const char *text)
{
	json_t *claims = text != NULL ? json_loads(text, 0, NULL) : NULL;
	struct slice wire = claim_values_write(a, asked->wire, claims, NULL, NULL);
	const struct claim_set *set;

	assert_non_null(wire.at);
	wire = arena_slice(a, wire);	/* as it will be: elsewhere, and without the token */
	json_decref(claims);
	set = claim_values_read(a, asked, wire);
	assert_non_null(set);
	/* Never half an answer. */
	for (size_t n = 0; n < wire.len; n++)
		assert_null(claim_values_read(a, asked, slice_first(wire, n)));
	return set;
}

static void rows_match(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct route_case c;
		struct route_input in;
		const struct virtual_host *vh;
		const struct claims_asked *asked;
		bool found[3];
		char why[256];

		route_case_open(&c, rows[i].http);
		vh = route_table_find(c.table, SLICE("a.com"));
		asked = virtual_host_claims(vh);
		assert_non_null(asked);
		/* Fields of these names are the client's: they are nobody's claims. */
		in = (struct route_input){ .request = route_case_request(&c, "GET /", "@request.auth.claims.groups: dev\nsub: me"),
					   .arena = c.arena };
		in.claims = through_the_wire(c.arena, asked, rows[i].claims);
		found[0] = virtual_host_match(vh, &in) != NULL;
		in.claims = rows[i].claims != NULL ? claims_of_json(c.arena, asked, slice_of(rows[i].claims)) : NULL;
		assert_true((in.claims != NULL) == (rows[i].claims != NULL));
		found[1] = virtual_host_match(vh, &in) != NULL;
		found[2] = false;
		for (size_t r = 0; r < c.block.routes.count; r++)
			found[2] |= route_explain(&c.block.routes.items[r], &in, why, sizeof(why));
		if (found[0] != rows[i].holds || found[1] != rows[i].holds || found[2] != rows[i].holds) {
			print_message("%s: %d %d %d, expected %d\n", rows[i].name, found[0], found[1], found[2],
				      rows[i].holds);
			wrong++;
		}
		route_case_close(&c);
	}
	assert_int_equal(wrong, 0);
}

struct why_row {
	const char *http, *claims, *why;
};

static const struct why_row reasons[] = {
	{ WITH(".groups", "{exact: dev}"), NULL, "claim groups is absent, wanted exact \"dev\"" },
	{ WITH(".groups", "{exact: dev}"), "{\"groups\":[\"a\",\"b\"]}", "claim groups is \"a\", \"b\", wanted exact \"dev\"" },
	{ WITH(".a.b", "{prefix: x}"), "{\"a\":{\"b\":7}}", "claim a.b is no text, wanted prefix \"x\"" },
	{ WITH("[a.b][c]", "{}"), "{}", "claim [a.b][c] is absent, wanted present" },
	{ WITHOUT(".a", "{}"), "{\"a\":\"x\"}", "withoutHeaders: claim a is \"x\", must not be present" },
	{ WITHOUT(".a", "{regex: x+}"), "{\"a\":\"x\"}", "withoutHeaders: claim a is \"x\", must not be regex \"x+\"" },
	{ WITHOUT(".a", "{regex: x+}"), "{\"a\":\"y\"}", "" },
};

static void explaining_names_the_claim(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		struct route_case c;
		struct route_input in;
		char why[256];

		route_case_open(&c, reasons[i].http);
		in = (struct route_input){ .request = route_case_request(&c, "GET /", NULL), .arena = c.arena };
		if (reasons[i].claims != NULL)
			in.claims = claims_of_json(c.arena, virtual_host_claims(route_table_find(c.table, SLICE("a.com"))),
						   slice_of(reasons[i].claims));
		route_explain(&c.block.routes.items[0], &in, why, sizeof(why));
		assert_string_equal(why, reasons[i].why);
		route_case_close(&c);
	}
}

#define GUARDED	"- match: [{uri: {prefix: /a}, headers: {" CLAIM ".a\": {exact: x}}}]\n  " TO("v1") "\n"
#define OPEN	"- match: [{uri: {prefix: /b}}]\n  " TO("v2") "\n- " TO("v3") "\n"

struct need_row {
	const char *http, *line;
	bool depends;
};

#define TIER	"- match: [{uri: {prefix: /a}, headers: {X-Tier: {exact: gold}}}]\n  " TO("v1") "\n"
#define QUERY	"- match: [{uri: {prefix: /a}, queryParams: {token: {}}}]\n  " TO("v1") "\n"
#define TARGET	"- match: [{headers: {\":path\": {prefix: \"/a?x\"}}}]\n  " TO("v1") "\n"

/* Only what some token could change is worth asking for first. */
static const struct need_row needs[] = {
	{ GUARDED OPEN, "GET /a/x", true },
	{ GUARDED OPEN, "GET /b", false },
	{ GUARDED OPEN, "GET /", false },
	{ OPEN, "GET /a", false },
	{ "- match: [{uri: {prefix: /}, method: {exact: GET}}]\n  " TO("v2") "\n" GUARDED, "GET /a", false },
	{ "- match: [{uri: {prefix: /}, method: {exact: GET}}]\n  " TO("v2") "\n" GUARDED, "PUT /a", true },
	{ WITHOUT(".a", "{}") "- " TO("v3") "\n", "GET /", true },
	{ TIER OPEN, "GET /a", true },
	{ TIER OPEN, "GET /b", false },
	{ "- match: [{headers: {other: {}}}]\n  " TO("v1") "\n" OPEN, "GET /", false },
	{ QUERY OPEN, "GET /a", true },
	{ "- match: [{queryParams: {other: {}}}]\n  " TO("v1") "\n" OPEN, "GET /", false },
	{ TARGET OPEN, "GET /a?x", true },
};

static bool is_tier(const void *arg, struct slice name)
{
	(void)arg;
	return slice_eq(name, SLICE("x-tier"));
}

static bool is_token_param(const void *arg, struct slice name)
{
	(void)arg;
	return slice_eq(name, SLICE("token"));
}

static void dependence_on_the_verdict_is_seen_before(void **state)
{
	static const struct verdict_reach all = { .claims = true, .query = true, .header = is_tier, .param = is_token_param };

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(needs); i++) {
		const struct need_row *row = &needs[i / 2];
		struct route_case c;
		struct route_input in;
		const struct virtual_host *vh;

		/* Where verdicts change nothing, nothing depends on them. */
		route_case_reach = i % 2 == 0 ? &all : NULL;
		route_case_open(&c, row->http);
		route_case_reach = NULL;
		vh = route_table_find(c.table, SLICE("a.com"));
		in = (struct route_input){ .request = route_case_request(&c, row->line, NULL), .arena = c.arena };
		if (virtual_host_depends_on_verdict(vh, &in) != (row->depends && i % 2 == 0))
			fail_msg("%s of %s", row->line, row->http);
		assert_true((virtual_host_claims(vh) == NULL) == (strstr(row->http, "claims") == NULL));
		route_case_close(&c);
	}
}

static bool split_x(const void *arg, struct slice name)
{
	(void)arg;
	return slice_eq(name, SLICE("x"));
}

static void only_what_is_asked_travels(void **state)
{
	struct arena *a = arena_create(0);
	const struct slice one[] = { SLICE("x") }, two[] = { SLICE("a"), SLICE("b.c") }, other[] = { SLICE("n") };
	const struct slice keys[] = { claim_key(a, one, 1), claim_key(a, two, 2), claim_key(a, one, 1),
				      claim_key(a, other, 1) };
	const struct claims_asked *asked = claims_asked_create(a, keys, COUNT_OF(keys));
	json_t *claims = json_pack("{s:s, s:s, s:{s:[s, i]}, s:i}", "secret", "key", "x", "one  two",
				   "a", "b.c", "in", 7, "n", 1);
	struct slice wire;

	(void)state;
	assert_int_equal(asked->keys.count, 3);
	assert_memory_equal(asked->wire.at, "\2\1x\6\1a\3b.c\2\1n", 13);
	assert_int_equal(asked->wire.len, 13);
	wire = claim_values_write(a, asked->wire, claims, split_x, NULL);
	assert_int_equal(wire.len, 14);
	assert_memory_equal(wire.at, "\3\3one\3two\2\2in\1", 14);
	wire = claim_values_write(a, asked->wire, NULL, split_x, NULL);
	assert_memory_equal(wire.at, "\0\0\0", 3);
	assert_int_equal(wire.len, 3);
	json_decref(claims);
	arena_free(&a);
}

static void what_is_malformed_is_refused(void **state)
{
	static const struct slice questions[] = { { "\5\1x", 3 }, { "\2\4x", 3 }, { "\0", 1 }, { "\1\1", 2 }, { "\xff", 1 } };
	static const struct slice answers[] = { { "", 0 }, { "\2\5x", 3 }, { "\1\1", 2 }, { "\xf0", 1 },
						{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10 }, { "\5\1x", 3 } };
	static const char *const objects[] = { "", "[]", "7", "null", "{", "{\"a\":1,\"a\":2}", "{} x" };
	struct arena *a = arena_create(0);
	const struct slice name = SLICE("x"), key = claim_key(a, &name, 1);
	const struct claims_asked *asked = claims_asked_create(a, &key, 1);
	struct text deep;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(questions); i++)
		assert_null(claim_values_write(a, questions[i], NULL, NULL, NULL).at);
	for (size_t i = 0; i < COUNT_OF(answers); i++)
		assert_null(claim_values_read(a, asked, answers[i]));
	for (size_t i = 0; i < COUNT_OF(objects); i++)
		assert_null(claims_of_json(a, asked, slice_of(objects[i])));
	assert_null(claims_of_json(a, asked, NO_SLICE));
	text_init(&deep);
	text_add_char(&deep, 2 * (CLAIM_DEPTH_MAX + 1));
	for (unsigned i = 0; i <= CLAIM_DEPTH_MAX; i++)
		text_printf(&deep, "\1a");
	assert_null(claim_values_write(a, text_slice(&deep), NULL, NULL, NULL).at);
	text_fini(&deep);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_match),
		cmocka_unit_test(explaining_names_the_claim),
		cmocka_unit_test(dependence_on_the_verdict_is_seen_before),
		cmocka_unit_test(only_what_is_asked_travels),
		cmocka_unit_test(what_is_malformed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
