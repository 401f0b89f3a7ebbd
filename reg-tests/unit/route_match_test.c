/* SPDX-License-Identifier: Apache-2.0
 *
 * Matching: the vectors of spec/virtual-service.md 18 that one table decides, and each rule of 6. */
#include "route_case.h"

#define TO(name)	"route: [{destination: {host: " name ".local}}]"
#define ONE(match)	"- match: [{" match "}]\n  " TO("v1") "\n"

struct match_row {
	const char *name, *http, *line, *fields;
	const char *expected;		/* host of the destination; NULL: 404 */
};

static const struct match_row rows[] = {
	{ "1 no segment boundary", ONE("uri: {prefix: /api}"), "GET /apix", NULL, "v1" },
	{ "2 the query is no path", ONE("uri: {exact: /api}"), "GET /api?x=1", NULL, "v1" },
	{ "exact and a slash", ONE("uri: {exact: /a}"), "GET /a/", NULL, NULL },
	{ "3 the whole path", ONE("uri: {regex: /api}"), "GET /api/x", NULL, NULL },
	{ "4", ONE("uri: {regex: \"/v[0-9]+/.*\"}"), "GET /v2/x?y", NULL, "v1" },
	{ "5", ONE("uri: {prefix: /API}, ignoreUriCase: true"), "GET /api/x", NULL, "v1" },
	{ "exact, any case", ONE("uri: {exact: /Api}, ignoreUriCase: true"), "GET /aPI?q", NULL, "v1" },
	{ "case counts", ONE("uri: {prefix: /API}"), "GET /api/x", NULL, NULL },
	{ "6 not for expressions", ONE("uri: {regex: /API}, ignoreUriCase: true"), "GET /api", NULL, NULL },
	{ "7 joined lines", ONE("headers: {x: {exact: \"a,b\"}}"), "GET /", "x: a\nx: b", "v1" },
	{ "8", ONE("withoutHeaders: {x: {exact: v}}"), "GET /", NULL, "v1" },
	{ "9", ONE("withoutHeaders: {x: {exact: v}}"), "GET /", "x: v", NULL },
	{ "another value", ONE("withoutHeaders: {x: {exact: v}}"), "GET /", "x: w", "v1" },
	{ "10", ONE("withoutHeaders: {x: {}}"), "GET /", "x: w", NULL },
	{ "absent", ONE("withoutHeaders: {x: {}}"), "GET /", NULL, "v1" },
	{ "star is absent", ONE("withoutHeaders: {x: {regex: \"*\"}}"), "GET /", "x: w", NULL },
	{ "absent is judged empty", ONE("withoutHeaders: {x: {regex: \".*\"}}"), "GET /", NULL, NULL },
	{ "absent header", ONE("headers: {x: {exact: \"\"}}"), "GET /", NULL, NULL },
	{ "present", ONE("headers: {x: {}}"), "GET /", "x:", "v1" },
	{ "present, absent", ONE("headers: {x: {}}"), "GET /", NULL, NULL },
	{ "names in any case", ONE("headers: {X-Key: {exact: V}}"), "GET /", "x-key: V", "v1" },
	{ "values in one", ONE("headers: {x: {exact: V}}"), "GET /", "x: v", NULL },
	{ "known field", ONE("headers: {user-agent: {prefix: curl/}}"), "GET /", "user-agent: curl/8", "v1" },
	{ "known field, absent", ONE("headers: {user-agent: {prefix: curl/}}"), "GET /", "x: y", NULL },
	{ "cookies", ONE("headers: {cookie: {regex: \".*b=2.*\"}}"), "GET /", "cookie: a=1\ncookie: b=2", "v1" },
	{ "11 not decoded", ONE("queryParams: {k: {exact: \"a b\"}}"), "GET /?k=a%20b", NULL, NULL },
	{ "12", ONE("queryParams: {k: {exact: \"\"}}"), "GET /?k", NULL, "v1" },
	{ "13 the first counts", ONE("queryParams: {k: {exact: \"2\"}}"), "GET /?k=1&k=2", NULL, NULL },
	{ "later key", ONE("queryParams: {k: {exact: \"2\"}}"), "GET /?a&b=&k=2", NULL, "v1" },
	{ "value with =", ONE("queryParams: {k: {exact: \"a=b\"}}"), "GET /?k=a=b", NULL, "v1" },
	{ "key case", ONE("queryParams: {k: {}}"), "GET /?K=1", NULL, NULL },
	{ "all keys", ONE("queryParams: {a: {}, b: {}}"), "GET /?a=1", NULL, NULL },
	{ "no query", ONE("queryParams: {a: {}}"), "GET /", NULL, NULL },
	{ "14 with its port", ONE("authority: {exact: a.com}"), "GET http://a.com:80/", NULL, NULL },
	{ "authority prefix", ONE("authority: {prefix: \"a.com:\"}"), "GET http://a.com:80/", NULL, "v1" },
	{ "15", ONE("headers: {\":path\": {prefix: \"/x?\"}}"), "GET /x?y", NULL, "v1" },
	{ "host is :authority", ONE("headers: {host: {exact: a.com}}"), "GET /", NULL, "v1" },
	{ ":method", ONE("headers: {\":method\": {exact: PUT}}"), "PUT /", NULL, "v1" },
	{ ":status", ONE("headers: {\":status\": {exact: \"200\"}}"), "GET /", NULL, NULL },
	{ "method", ONE("method: {exact: GET}"), "GET /", NULL, "v1" },
	{ "method case", ONE("method: {exact: GET}"), "get /", NULL, NULL },
	{ "scheme", ONE("scheme: {exact: https}"), "GET https://a.com/", NULL, "v1" },
	{ "other scheme", ONE("scheme: {exact: https}"), "GET /", NULL, NULL },
	{ "what catches all stands last (4.6)", "- " TO("v1") "\n- match: [{uri: {prefix: /x}}]\n  " TO("v2") "\n", "GET /x", NULL, "v2" },
	{ "19 an empty prefix", "- match: [{uri: {prefix: \"\"}}]\n  " TO("v1") "\n- match: [{uri: {prefix: /x}}]\n  " TO("v2") "\n",
	  "GET /x", NULL, "v1" },
	{ "items are alternatives", "- match: [{uri: {exact: /a}}, {uri: {exact: /b}}]\n  " TO("v1") "\n", "GET /b", NULL, "v1" },
	{ "conditions hold together", ONE("uri: {prefix: /a}, method: {exact: PUT}"), "GET /a", NULL, NULL },
	{ "57 without a token", ONE("headers: {\"@request.auth.claims.groups\": {exact: dev}}"), "GET /", NULL, NULL },
	{ "the absence of a claim", ONE("withoutHeaders: {\"@request.auth.claims.groups\": {exact: dev}}"), "GET /", NULL, "v1" },
	{ "empty uri", ONE("uri: {}"), "GET /any", NULL, "v1" },
	{ "CONNECT", ONE("uri: {}"), "CONNECT http://a.com:443/", NULL, NULL },
};

static const char *host_of(const struct route *r)
{
	static char name[64];

	if (r == NULL)
		return NULL;
	snprintf(name, sizeof(name), "%.*s", SLICE_ARG(r->targets.items[0].cluster_name));
	*strchr(name, '.') = '\0';
	return name;
}

static void rows_match(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct route_case c;
		const char *found, *expected = rows[i].expected;

		route_case_open(&c, rows[i].http);
		found = host_of(route_case_match(&c, route_case_request(&c, rows[i].line, rows[i].fields)));
		if ((found == NULL) != (expected == NULL) || (found != NULL && strcmp(found, expected) != 0)) {
			print_message("%s: found %s, expected %s\n", rows[i].name, found ? found : "none",
				      expected ? expected : "none");
			wrong++;
		}
		route_case_close(&c);
	}
	assert_int_equal(wrong, 0);
}

struct why_row {
	const char *match, *line, *fields, *why;
};

static const struct why_row reasons[] = {
	{ "uri: {prefix: /a}", "GET /b?x", NULL, "uri is \"/b\", wanted prefix \"/a\"" },
	{ "uri: {exact: /A}, ignoreUriCase: true", "GET /b", NULL, "uri is \"/b\", wanted exact (any case) \"/A\"" },
	{ "method: {exact: PUT}", "GET /", NULL, "method is \"GET\", wanted exact \"PUT\"" },
	{ "headers: {x-key: {regex: a+}}", "GET /", NULL, "header x-key is absent, wanted regex \"a+\"" },
	{ "withoutHeaders: {x-key: {exact: a}}", "GET /", "x-key: a", "withoutHeaders x-key is \"a\", must not be exact \"a\"" },
	{ "queryParams: {k: {exact: v}}", "GET /?k=w", NULL, "query parameter k is \"w\", wanted exact \"v\"" },
	{ "headers: {\"@request.auth.claims.sub\": {exact: v}}", "GET /", NULL,
	  "claim sub is absent, wanted exact \"v\"" },
	{ "uri: {prefix: /}", "CONNECT http://a.com/", NULL, "CONNECT is never routed" },
	{ "uri: {prefix: /a}", "GET /a", NULL, "" },
};

static void explaining_names_the_first_unmet_condition(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		struct route_case c;
		struct route_input in;
		char http[256], why[256];
		bool holds;

		snprintf(http, sizeof(http), ONE("%s"), reasons[i].match);
		route_case_open(&c, http);
		in = (struct route_input){ .request = route_case_request(&c, reasons[i].line, reasons[i].fields), .arena = c.arena };
		holds = route_explain(&c.block.routes.items[0], &in, why, sizeof(why));
		assert_string_equal(why, reasons[i].why);
		assert_int_equal(holds, reasons[i].why[0] == '\0');
		assert_int_equal(holds, route_case_match(&c, in.request) != NULL);
		route_case_close(&c);
	}
}

static void draws_follow_the_weights(void **state)
{
	unsigned counts[3] = { 0 };
	struct route_case c;
	const struct route *r;

	(void)state;
	route_case_open(&c, "- route:\n  - {destination: {host: v1.local}, weight: 0}\n"
			    "  - {destination: {host: v2.local}, weight: 1}\n"
			    "  - {destination: {host: v3.local}, weight: 3}\n");
	r = &c.block.routes.items[0];
	assert_int_equal(r->targets.count, 2);
	for (uint64_t i = 0; i < 400; i++)
		counts[route_draw(r, i) - r->targets.items]++;
	assert_int_equal(counts[0], 100);
	assert_int_equal(counts[1], 300);
	assert_ptr_equal(route_draw(r, UINT64_MAX), &r->targets.items[(UINT64_MAX % 4) < 1 ? 0 : 1]);
	route_case_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_match),
		cmocka_unit_test(explaining_names_the_first_unmet_condition),
		cmocka_unit_test(draws_follow_the_weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
