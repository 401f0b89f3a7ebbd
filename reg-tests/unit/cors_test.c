/* SPDX-License-Identifier: Apache-2.0
 *
 * corsPolicy: which origins are allowed, which preflights are answered and how, and what other
 * responses get (spec/virtual-service.md 7.11 and the rows 50-54 of 18). */
#include "route_case.h"

#include "proxy/route/cors.h"

#define CORS(policy)	"- route: [{destination: {host: v1.local}}]\n  corsPolicy: {" policy "}\n"
#define EXACT		"allowOrigins: [{exact: \"https://o.com\"}]"
#define FULL		EXACT ", allowMethods: [GET, PUT], allowHeaders: [x-a, X-B], exposeHeaders: [x-c, x-d], " \
			"maxAge: 24h, allowCredentials: true"
#define PREFLIGHT(origin) "origin: " origin "\naccess-control-request-method: PUT\n" \
			  "access-control-request-headers: x-q,x-r"

struct origin_row {
	const char *policy, *origin;
	bool allowed;
};

static const struct origin_row origins[] = {
	{ EXACT, "https://o.com", true },
	{ EXACT, "https://O.com", false },
	{ EXACT, "https://o.com:443", false },
	{ EXACT, "https://o.com/", false },
	{ EXACT, "https://o.com.evil", false },
	{ EXACT, "http://o.com", false },
	{ EXACT, "null", false },
	{ EXACT, "*", false },
	{ EXACT, "", false },
	{ EXACT, NULL, false },
	{ EXACT, "https://o.com\norigin: https://o.com", false },
	{ EXACT, "https://o.com\norigin: https://evil", false },
	{ "allowOrigins: [{exact: \"null\"}]", "null", true },
	{ "allowOrigins: [{exact: a}, {exact: b}, {prefix: c}]", "b", true },
	{ "allowOrigins: [{exact: a}, {exact: b}, {prefix: c}]", "cd", true },
	{ "allowOrigins: [{exact: a}, {exact: b}, {prefix: c}]", "d", false },
	{ "allowOrigins: [{prefix: \"https://o.\"}]", "https://o.com", true },
	{ "allowOrigins: [{prefix: \"https://o.\"}]", "https://x.com", false },
	{ "allowOrigins: [{regex: \"https://[a-z]+\\\\.o\\\\.com\"}]", "https://a.o.com", true },
	{ "allowOrigins: [{regex: \"https://[a-z]+\\\\.o\\\\.com\"}]", "https://a.o.com.evil", false },
	{ "allowOrigins: [{regex: \"https://[a-z]+\\\\.o\\\\.com\"}]", "xhttps://a.o.com", false },
	{ "allowOrigins: [{regex: \"https://[a-z]+\\\\.o\\\\.com\"}]", "https://a.oXcom", false },
	{ "allowOrigins: [{exact: \"*\"}]", "https://any", true },
	{ "allowOrigins: [{prefix: \"*\"}]", "https://any", true },
	{ "allowOrigins: [{regex: .*}]", "https://any", true },
	{ "allowOrigins: [{exact: \"*\"}]", "", false },
	{ "allowOrigins: [{exact: \"*\"}]", NULL, false },
	{ "allowOrigin: [\"https://o.com\", \"https://p.com\"]", "https://p.com", true },
	{ "allowOrigin: [\"https://o.com\"]", "https://p.com", false },
	{ "allowOrigin: [\"*\"]", "https://p.com", true },
	{ EXACT ", allowOrigin: [\"https://p.com\"]", "https://p.com", false },
	{ "allowMethods: [GET]", "https://o.com", false },
};

static void origins_are_judged_as_written(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(origins); i++) {
		const struct origin_row *row = &origins[i];
		char http[512], fields[256];
		struct message *m;
		struct route_case c;
		struct slice origin;
		const struct route *r;

		snprintf(http, sizeof(http), CORS("%s"), row->policy);
		snprintf(fields, sizeof(fields), "origin: %s", row->origin != NULL ? row->origin : "");
		route_case_open(&c, http);
		m = route_case_request(&c, "GET /", row->origin != NULL ? fields : NULL);
		r = route_case_match(&c, m);
		assert_true(r->has_cors);
		origin = cors_allowed_origin(r->cors, m, c.arena);
		if ((origin.at != NULL) != row->allowed ||
		    (row->allowed && !slice_eq(origin, slice_of(row->origin)))) {
			print_message("%s: \"%s\": %.*s\n", row->policy, row->origin, SLICE_ARG(origin));
			wrong++;
		}
		route_case_close(&c);
	}
	assert_int_equal(wrong, 0);
}

/* `answer`: of ours, or NULL where the request goes on; then `after` is what becomes of `before`. */
struct request_row {
	const char *name, *policy, *line, *fields;
	const char *answer, *before, *after;
};

static const struct request_row requests[] = {
	{ "50 a preflight", EXACT, "OPTIONS /", PREFLIGHT("https://o.com"), "access-control-allow-origin: https://o.com\n", NULL, NULL },
	{ "all that a preflight gets", FULL, "OPTIONS /", PREFLIGHT("https://o.com"),
	  "access-control-allow-origin: https://o.com\naccess-control-allow-credentials: true\n"
	  "access-control-allow-methods: GET,PUT\naccess-control-allow-headers: x-a,X-B\n"
	  "access-control-max-age: 86400\naccess-control-expose-headers: x-c,x-d\n", NULL, NULL },
	{ "* alone grants what is asked for", "allowOrigins: [{exact: \"*\"}], allowMethods: [\"*\"], allowHeaders: [\"*\"]",
	  "OPTIONS /", PREFLIGHT("https://any"),
	  "access-control-allow-origin: https://any\naccess-control-allow-methods: PUT\n"
	  "access-control-allow-headers: x-q,x-r\n", NULL, NULL },
	{ "* alone, and no header is asked for", EXACT ", allowHeaders: [\"*\"]", "OPTIONS /",
	  "origin: https://o.com\naccess-control-request-method: PUT", "access-control-allow-origin: https://o.com\n", NULL, NULL },
	{ "* among others is one of them", EXACT ", allowMethods: [GET, \"*\"]", "OPTIONS /", PREFLIGHT("https://o.com"),
	  "access-control-allow-origin: https://o.com\naccess-control-allow-methods: GET,*\n", NULL, NULL },
	{ "what is asked for in two lines", EXACT ", allowHeaders: [\"*\"]", "OPTIONS /",
	  PREFLIGHT("https://o.com") "\naccess-control-request-headers: x-s",
	  "access-control-allow-origin: https://o.com\naccess-control-allow-headers: x-q,x-r,x-s\n", NULL, NULL },
	{ "no caching", EXACT ", maxAge: 0s", "OPTIONS /", PREFLIGHT("https://o.com"),
	  "access-control-allow-origin: https://o.com\naccess-control-max-age: 0\n", NULL, NULL },
	{ "what is not in the lists is the browser's to refuse", EXACT ", allowMethods: [GET]", "OPTIONS /",
	  PREFLIGHT("https://o.com"), "access-control-allow-origin: https://o.com\naccess-control-allow-methods: GET\n", NULL, NULL },
	{ "credentials are not denied aloud", EXACT ", allowCredentials: false", "OPTIONS /", PREFLIGHT("https://o.com"),
	  "access-control-allow-origin: https://o.com\n", NULL, NULL },

	{ "51 not allowed: the upstream's", FULL, "OPTIONS /", PREFLIGHT("https://evil"), NULL,
	  "access-control-allow-origin: https://evil\nx: y", "access-control-allow-origin: https://evil\nx: y\n" },
	{ "FORWARD says the same", FULL ", unmatchedPreflights: FORWARD", "OPTIONS /", PREFLIGHT("https://evil"), NULL, "x: y", "x: y\n" },
	{ "52 IGNORE", FULL ", unmatchedPreflights: IGNORE", "OPTIONS /", PREFLIGHT("https://evil"),
	  "access-control-allow-credentials: true\naccess-control-allow-methods: GET,PUT\n"
	  "access-control-allow-headers: x-a,X-B\naccess-control-max-age: 86400\n", NULL, NULL },
	{ "IGNORE and an origin that is allowed", EXACT ", unmatchedPreflights: IGNORE", "OPTIONS /", PREFLIGHT("https://o.com"),
	  "access-control-allow-origin: https://o.com\n", NULL, NULL },
	{ "IGNORE without any origin", "unmatchedPreflights: IGNORE, allowMethods: [GET]", "OPTIONS /", PREFLIGHT("https://o.com"),
	  "access-control-allow-methods: GET\n", NULL, NULL },
	{ "IGNORE and no preflight", FULL ", unmatchedPreflights: IGNORE", "OPTIONS /", "origin: https://evil", NULL, "x: y", "x: y\n" },

	{ "53 another request, not allowed", FULL, "GET /", "origin: https://evil", NULL,
	  "access-control-allow-origin: *", "access-control-allow-origin: *\n" },
	{ "54 OPTIONS that asks for no method", EXACT, "OPTIONS /", "origin: https://o.com", NULL, NULL,
	  "access-control-allow-origin: https://o.com\n" },
	{ "OPTIONS that asks for an empty method", EXACT, "OPTIONS /", "origin: https://o.com\naccess-control-request-method:", NULL,
	  NULL, "access-control-allow-origin: https://o.com\n" },
	{ "OPTIONS without an origin", EXACT, "OPTIONS /", "access-control-request-method: PUT", NULL, "x: y", "x: y\n" },
	{ "OPTIONS with an empty origin", EXACT, "OPTIONS /", "origin:\naccess-control-request-method: PUT", NULL, "x: y", "x: y\n" },
	{ "methods have a case", EXACT, "options /", PREFLIGHT("https://o.com"), NULL, NULL, "access-control-allow-origin: https://o.com\n" },
	{ "GET that asks for a method", EXACT, "GET /", PREFLIGHT("https://o.com"), NULL, NULL, "access-control-allow-origin: https://o.com\n" },
	{ "all that a response gets", FULL, "GET /", "origin: https://o.com", NULL, "x: y",
	  "x: y\naccess-control-allow-origin: https://o.com\naccess-control-allow-credentials: true\n"
	  "access-control-expose-headers: x-c,x-d\n" },
	{ "the upstream's word counts less", FULL, "GET /", "origin: https://o.com", NULL,
	  "access-control-allow-origin: *\nx: y\naccess-control-allow-origin: https://evil\n"
	  "access-control-expose-headers: x-z\naccess-control-max-age: 5",
	  "access-control-allow-origin: https://o.com\nx: y\naccess-control-expose-headers: x-c,x-d\n"
	  "access-control-max-age: 5\naccess-control-allow-credentials: true\n" },
	{ "and stays where the policy has none", EXACT, "GET /", "origin: https://o.com", NULL,
	  "access-control-allow-credentials: true", "access-control-allow-credentials: true\naccess-control-allow-origin: https://o.com\n" },
	{ "no origin", FULL, "GET /", NULL, NULL, "access-control-allow-origin: *", "access-control-allow-origin: *\n" },
};

static const char *what_becomes(struct route_case *c, const struct request_row *row, bool *answered)
{
	struct message *m = route_case_request(c, row->line, row->fields);
	struct message *response = route_case_request(c, "GET /", row->before);
	const struct cors *cors = route_case_match(c, m)->cors;
	struct slice origin = cors_allowed_origin(cors, m, c->arena);

	*answered = cors_is_preflight(m) && cors_answers_preflight(cors, origin);
	if (*answered)
		cors_preflight_fields(cors, m, origin, &response->headers);
	else if (origin.at != NULL)
		cors_response_fields(cors, origin, &response->headers);
	return route_case_fields(c, &response->headers);
}

static void requests_get_their_fields(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		const struct request_row *row = &requests[i];
		const char *expected = row->answer != NULL ? row->answer : row->after, *found;
		struct route_case c;
		char http[512];
		bool answered;

		snprintf(http, sizeof(http), CORS("%s"), row->policy);
		route_case_open(&c, http);
		found = what_becomes(&c, row, &answered);
		if (answered != (row->answer != NULL) || strcmp(found, expected) != 0) {
			print_message("%s: %s\n%sexpected\n%s", row->name, answered ? "answered" : "goes on", found, expected);
			wrong++;
		}
		route_case_close(&c);
	}
	assert_int_equal(wrong, 0);
}

static void only_forwarding_has_to_do_with_it(void **state)
{
	struct route_case c;

	(void)state;
	route_case_open(&c, "- match: [{uri: {exact: /r}}]\n  redirect: {uri: /x}\n  corsPolicy: {" EXACT "}\n"
			    "- match: [{uri: {exact: /d}}]\n  directResponse: {status: 200}\n  corsPolicy: {" EXACT "}\n"
			    "- match: [{uri: {exact: /a}}, {uri: {exact: /b}}]\n  route: [{destination: {host: v1.local}}]\n"
			    "  corsPolicy: {" EXACT "}\n"
			    "- route: [{destination: {host: v1.local}}]\n");
	assert_false(route_case_match(&c, route_case_request(&c, "GET /r", NULL))->has_cors);
	assert_false(route_case_match(&c, route_case_request(&c, "GET /d", NULL))->has_cors);
	assert_false(route_case_match(&c, route_case_request(&c, "GET /c", NULL))->has_cors);
	assert_true(route_case_match(&c, route_case_request(&c, "GET /a", NULL))->has_cors);
	/* One policy is compiled once, however many matches lead to it. */
	assert_ptr_equal(route_case_match(&c, route_case_request(&c, "GET /a", NULL))->cors,
			 route_case_match(&c, route_case_request(&c, "GET /b", NULL))->cors);
	route_case_close(&c);
}

static void vary_is_said_once(void **state)
{
	static const struct { const char *before, *after; } rows[] = {
		{ NULL, "vary: Origin\n" },
		{ "vary: accept", "vary: accept\nvary: Origin\n" },
		{ "vary: accept , oRigin", "vary: accept , oRigin\n" },
		{ "vary: accept\nvary: *", "vary: accept\nvary: *\n" },
		{ "vary:", "vary: \nvary: Origin\n" },
		{ "vary: x-origin", "vary: x-origin\nvary: Origin\n" },
	};
	struct route_case c;

	(void)state;
	route_case_open(&c, CORS(EXACT));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct message *m = route_case_request(&c, "GET /", rows[i].before);

		cors_vary(&m->headers);
		assert_string_equal(route_case_fields(&c, &m->headers), rows[i].after);
	}
	route_case_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins_are_judged_as_written),
		cmocka_unit_test(requests_get_their_fields),
		cmocka_unit_test(only_forwarding_has_to_do_with_it),
		cmocka_unit_test(vary_is_said_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
