/* SPDX-License-Identifier: Apache-2.0
 *
 * Header operations: order within a level, and which level wins (spec/virtual-service.md 7.6, 18). */
#include "route_case.h"

#define OPS(side, ops)		"headers: {" side ": {" ops "}}"
#define HTTP_ONE(route, dest)	"- route: [{destination: {host: v1.local}, " OPS("request", dest) "}]\n  " \
				OPS("request", route) "\n"
#define HTTP_TWO(route, dest)	"- route:\n  - {destination: {host: v1.local}, weight: 1, " OPS("request", dest) "}\n" \
				"  - {destination: {host: v2.local}, weight: 1}\n  " OPS("request", route) "\n"
#define ROUTE_ONLY(ops)		"- route: [{destination: {host: v1.local}}]\n  " OPS("request", ops) "\n"

struct op_row {
	const char *name, *http, *before, *after;
};

static const struct op_row rows[] = {
	{ "32 one destination: it wins", HTTP_ONE("set: {x: r}", "set: {x: d}"), "x: c", "x: d\n" },
	{ "33 two: the route wins", HTTP_TWO("set: {x: r}", "set: {x: d}"), "x: c", "x: r\n" },
	{ "34 empty is skipped", ROUTE_ONLY("set: {x: \"\"}"), "x: c", "x: c\n" },
	{ "35", ROUTE_ONLY("remove: [x], add: {x: n}"), "x: c", "x: n\n" },
	{ "add appends", ROUTE_ONLY("add: {x: n}"), "x: c", "x: c\nx: n\n" },
	{ "set folds", ROUTE_ONLY("set: {x: n}"), "x: a\ny: b\nx: c", "x: n\ny: b\n" },
	{ "set creates", ROUTE_ONLY("set: {X-New: n}"), "y: b", "y: b\nx-new: n\n" },
	{ "remove, set, add", ROUTE_ONLY("add: {x: a}, set: {x: s}, remove: [X, y]"), "x: c\ny: b", "x: s\nx: a\n" },
	{ "names in byte order", ROUTE_ONLY("set: {c: \"3\", a: \"1\", b: \"2\"}"), NULL, "a: 1\nb: 2\nc: 3\n" },
	{ "fused: a route's set survives", HTTP_ONE("set: {x: r}", "remove: [x]"), "x: c", "x: r\n" },
	{ "apart: the route removes", HTTP_TWO("remove: [x]", "set: {x: d}"), "x: c", "" },
	{ "apart: the route adds", HTTP_TWO("add: {x: r}", "set: {x: d}"), "x: c", "x: d\nx: r\n" },
	{ "fused: adds after sets", HTTP_ONE("add: {x: r}", "set: {x: d}"), "x: c", "x: d\nx: r\n" },
	{ "operators", ROUTE_ONLY("set: {x: \"%REQ(y)%-%REQ(:METHOD)%-100%%\"}"), "y: b", "y: b\nx: b-GET-100%\n" },
	{ "alternatives", ROUTE_ONLY("set: {x: \"%REQ(z?y)%\"}"), "y: b", "y: b\nx: b\n" },
	{ "removed before computed", ROUTE_ONLY("remove: [y], set: {x: \"[%REQ(y)%]\"}"), "y: b", "x: []\n" },
	{ "computed before set", ROUTE_ONLY("set: {a: new, x: \"%REQ(a)%\"}"), "a: old", "a: new\nx: old\n" },
	{ "empty after expansion", ROUTE_ONLY("set: {x: \"%REQ(none)%\"}"), "x: c", "x: c\n" },
	{ "truncated", ROUTE_ONLY("set: {x: \"%REQ(y):3%\"}"), "y: abcdef", "y: abcdef\nx: abc\n" },
};

static void operations_apply_in_order(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct exchange x = { 0 };
		struct route_case c;
		struct message *m;
		const struct route *r;
		const char *found;

		route_case_open(&c, rows[i].http);
		m = route_case_request(&c, "GET /", rows[i].before);
		x.request = m;
		r = route_case_match(&c, m);
		route_apply_request(r, &r->targets.items[0], m, &x, c.arena);
		found = route_case_fields(&c, &m->headers);
		if (strcmp(found, rows[i].after) != 0) {
			print_message("%s: found\n%sexpected\n%s", rows[i].name, found, rows[i].after);
			wrong++;
		}
		route_case_close(&c);
	}
	assert_int_equal(wrong, 0);
}

struct response_row {
	const char *http, *before, *after;
	bool target;
};

static const struct response_row responses[] = {
	{ "- route: [{destination: {host: v1.local}, " OPS("response", "set: {x: d}") "}]\n  "
	  OPS("response", "set: {x: r}, remove: [server]") "\n", "server: up\nx: u", "x: d\n", true },
	{ "- route: [{destination: {host: v1.local}, " OPS("response", "set: {x: d}") "}]\n  "
	  OPS("response", "set: {x: r}") "\n", "x: u", "x: r\n", false },
	{ "- route:\n  - {destination: {host: v1.local}, weight: 1, " OPS("response", "set: {x: d}, add: {y: d}") "}\n"
	  "  - {destination: {host: v2.local}, weight: 1}\n  " OPS("response", "set: {x: r}") "\n", "x: u", "x: r\ny: d\n", true },
	{ "- redirect: {uri: /}\n  " OPS("response", "set: {x: \"%RESPONSE_CODE%\"}") "\n", NULL, "x: 301\n", false },
	{ "- directResponse: {status: 200}\n  " OPS("response", "add: {x: \"%RESP(server)%\"}") "\n", "server: s", "server: s\nx: s\n", false },
};

static void responses_are_edited_alike(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(responses); i++) {
		struct exchange x = { 0 };
		struct route_case c;
		struct message *m;
		const struct route *r;

		route_case_open(&c, responses[i].http);
		m = route_case_request(&c, "GET /", responses[i].before);
		m->status = 301;
		x.response = m;
		r = &c.block.routes.items[0];
		route_apply_response(r, responses[i].target ? &r->targets.items[0] : NULL, m, &x, c.arena);
		assert_string_equal(route_case_fields(&c, &m->headers), responses[i].after);
		route_case_close(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_apply_in_order),
		cmocka_unit_test(responses_are_edited_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
