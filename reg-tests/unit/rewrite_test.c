/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes upstream as path and host: spec/virtual-service.md 7.5 and 18. */
#include "route_case.h"

#define TO			"route: [{destination: {host: v1.local}}]"
#define ROUTE(match, rewrite)	"- match: [{" match "}]\n  " TO "\n  rewrite: {" rewrite "}\n"
#define ANY(rewrite)		"- " TO "\n  rewrite: {" rewrite "}\n"

struct rewrite_row {
	const char *http, *path, *expected;	/* expected NULL: nothing is rewritten */
};

static const struct rewrite_row rows[] = {
	{ ROUTE("uri: {prefix: /api}", "uri: /"), "/api/v1?x=1", "//v1?x=1" },
	{ ROUTE("uri: {prefix: /api/}", "uri: /"), "/api/v1", "/v1" },
	{ ROUTE("uri: {prefix: /api}", "uri: /v2"), "/apix", "/v2x" },
	{ ANY("uri: /new"), "/foo", "/newfoo" },
	{ ANY("uri: /new/"), "/foo?q", "/new/foo?q" },
	{ ROUTE("uri: {prefix: /api}", "uri: /"), "/api", "/" },
	{ ROUTE("uri: {prefix: /API}, ignoreUriCase: true", "uri: /v2"), "/api/x", "/v2/x" },
	{ ROUTE("uri: {exact: /a}", "uri: /b"), "/a?x=/a", "/b?x=/a" },
	{ ROUTE("uri: {regex: \"/a.*\"}", "uri: /b"), "/a/long/one?x", "/b?x" },
	{ ROUTE("method: {exact: GET}", "uri: /new/"), "/foo", "/new/foo" },
	{ ANY("uriRegexRewrite: {match: \"^/a/([^/]+)(/.*)$\", rewrite: '\\2/\\1'}"), "/a/u/x?q", "/x/u?q" },
	{ ANY("uriRegexRewrite: {match: \"o\", rewrite: \"0\"}"), "/foo/boo?o", "/f00/b00?o" },
	{ ANY("uriRegexRewrite: {match: \"zzz\", rewrite: \"0\"}"), "/foo", NULL },
	{ ANY("uriRegexRewrite: {match: \"a\", rewrite: '[\\0]\\\\'}"), "/a", "/[a]\\" },
	{ ANY("authority: b.com"), "/foo?x", NULL },
	/* a target that could not stand in a request line */
	{ ANY("uri: v2"), "/foo", "/v2foo" },
	{ ANY("uri: \"/a b/\""), "/foo", "/a%20b/foo" },
	{ ANY("uri: /new"), "*", NULL },
};

static void paths_are_rewritten(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct exchange x = { 0 };
		struct route_case c;
		struct message *m;
		struct slice original;
		const char *expected = rows[i].expected != NULL ? rows[i].expected : rows[i].path;

		route_case_open(&c, rows[i].http);
		m = route_case_request(&c, "GET /", NULL);
		m->path = slice_of(rows[i].path);
		x.request = m;
		route_apply_request(&c.block.routes.items[0], &c.block.routes.items[0].targets.items[0], m, &x,
				    c.arena);
		original = headers_value(&m->headers, HEADER_X_ENVOY_ORIGINAL_PATH);
		if (!slice_eq(m->path, slice_of(expected)) ||
		    !slice_eq(original, slice_of(rows[i].expected != NULL ? rows[i].path : NULL))) {
			print_message("%s%s -> %.*s, expected %s, original %.*s\n", rows[i].http, rows[i].path,
				      SLICE_ARG(m->path), expected, SLICE_ARG(original));
			wrong++;
		}
		route_case_close(&c);
	}
	assert_int_equal(wrong, 0);
}

struct host_row {
	const char *http, *expected;	/* NULL: the client's, and no x-envoy-original-host */
};

#define HEADERS(level)	"headers: {request: {" level "}}"
#define DEST(level)	"{destination: {host: v1.local}, " HEADERS(level) "}"

static const struct host_row hosts[] = {
	{ ANY("authority: b.com"), "b.com" },
	{ "- " TO "\n", NULL },
	{ "- " TO "\n  " HEADERS("set: {host: s.com}") "\n", "s.com" },
	{ "- " TO "\n  " HEADERS("add: {\":authority\": s.com}") "\n", "s.com" },
	{ "- route: [" DEST("set: {host: d.com}") "]\n", "d.com" },
	{ "- route: [" DEST("add: {host: d.com}") "]\n", "d.com" },
	{ "- route: [" DEST("set: {host: d.com}, add: {\":authority\": e.com}") "]\n", "d.com" },
	{ "- route: [" DEST("set: {host: d.com}") "]\n  " HEADERS("set: {host: s.com}") "\n", "s.com" },
	{ "- route: [" DEST("set: {host: d.com}") "]\n  " HEADERS("add: {host: s.com}") "\n", "s.com" },
	{ "- route: [" DEST("set: {host: d.com}") "]\n  rewrite: {authority: b.com}\n", "b.com" },
	{ "- route: [" DEST("set: {host: d.com}") ", {destination: {host: v2.local}, weight: 1}]\n", "d.com" },
	{ "- route:\n  - {destination: {host: v1.local}, weight: 1, " HEADERS("set: {host: d.com}") "}\n"
	  "  - {destination: {host: v2.local}, weight: 1}\n  " HEADERS("add: {host: s.com}") "\n", "s.com" },
	{ "- " TO "\n  " HEADERS("set: {host: \"%REQ(x-host)%\"}") "\n", "from-header.com" },
	{ "- " TO "\n  " HEADERS("set: {host: \"%REQ(x-none)%\"}") "\n", NULL },
};

static void hosts_are_rewritten_by_rank(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		struct exchange x = { 0 };
		struct route_case c;
		struct message *m;
		const char *expected = hosts[i].expected != NULL ? hosts[i].expected : "a.com:80";
		const struct route *r;
		struct route_target target;

		route_case_open(&c, hosts[i].http);
		m = route_case_request(&c, "GET http://a.com:80/p", "x-host: from-header.com");
		x.request = m;
		r = &c.block.routes.items[0];
		/* The first written one, also where its weight leaves it nothing. */
		target = (struct route_target){ .headers = &r->source->route.items[0].headers };
		route_apply_request(r, &target, m, &x, c.arena);
		if (!slice_eq(m->authority, slice_of(expected)))
			fail_msg("%s: %.*s, expected %s", hosts[i].http, SLICE_ARG(m->authority), expected);
		assert_true(slice_eq(headers_value(&m->headers, HEADER_X_ENVOY_ORIGINAL_HOST),
				     hosts[i].expected != NULL ? SLICE("a.com:80") : NO_SLICE));
		assert_null(headers_find(&m->headers, SLICE("host")));
		assert_null(headers_find(&m->headers, SLICE(":authority")));
		route_case_close(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_rewritten),
		cmocka_unit_test(hosts_are_rewritten_by_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
