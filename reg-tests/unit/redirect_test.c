/* SPDX-License-Identifier: Apache-2.0
 *
 * Where redirects lead: spec/virtual-service.md 7.2 and 18, spec/gateway.md 12.5 and 17, README D4. */
#include "route_case.h"

#define ROUTE(match, redirect)	"- match: [{" match "}]\n  redirect: {" redirect "}\n"
#define ANY			"uri: {prefix: /}"

struct redirect_row {
	const char *name, *http, *line;
	uint32_t server_port;
	bool server_tls;
	const char *location;
};

static const struct redirect_row rows[] = {
	{ "22", ROUTE(ANY, "uri: /n"), "GET /o?q=1", 80, false, "http://a.com/n?q=1" },
	{ "23", ROUTE(ANY, "uri: \"/n?z=2\""), "GET /o?q=1", 80, false, "http://a.com/n?z=2" },
	{ "24", ROUTE(ANY, "scheme: https"), "GET http://a.com:80/p", 80, false, "https://a.com/p" },
	{ "25", ROUTE(ANY, "scheme: https"), "GET http://a.com:8080/p", 80, false, "https://a.com:8080/p" },
	{ "26", ROUTE(ANY, "scheme: https, port: 8443"), "GET http://a.com/p", 80, false, "https://a.com:8443/p" },
	{ "27", ROUTE("uri: {prefix: /o}", "prefixRewrite: /n"), "GET /o/x?q", 80, false, "http://a.com/n/x?q" },
	{ "prefixRewrite without uri", "- redirect: {prefixRewrite: /n/}\n", "GET /o/x?q", 80, false, "http://a.com/n/o/x?q" },
	{ "missing slash", ROUTE(ANY, "uri: n"), "GET /o", 80, false, "http://a.com/n" },
	{ "fragment as written", ROUTE(ANY, "uri: \"/n#x\""), "GET /o?q", 80, false, "http://a.com/n#x?q" },
	{ "authority verbatim", ROUTE(ANY, "authority: \"b.com:81\""), "GET http://a.com:99/p?q", 80, false, "http://b.com:81/p?q" },
	{ "authority and port", ROUTE(ANY, "authority: \"b.com\", port: 81"), "GET /p", 80, false, "http://b.com:81/p" },
	{ "port replaces", ROUTE(ANY, "port: 81"), "GET http://a.com:99/p", 80, false, "http://a.com:81/p" },
	{ "default port counts as unset", ROUTE(ANY, "port: 80"), "GET http://a.com:8080/p", 80, false, "http://a.com:8080/p" },
	{ "default of the server's scheme", ROUTE(ANY, "port: 443"), "GET https://a.com:8443/p", 443, true, "https://a.com:8443/p" },
	{ "443 over http", ROUTE(ANY, "port: 443"), "GET http://a.com/p", 80, false, "http://a.com:443/p" },
	{ "request port", ROUTE(ANY, "derivePort: FROM_REQUEST_PORT"), "GET http://a.com:99/p", 8080, false, "http://a.com:8080/p" },
	{ "request port 80", ROUTE(ANY, "derivePort: FROM_REQUEST_PORT"), "GET http://a.com/p", 80, false, "http://a.com/p" },
	{ "protocol default", ROUTE(ANY, "derivePort: FROM_PROTOCOL_DEFAULT"), "GET http://a.com:99/p", 80, false, "http://a.com:99/p" },
	{ "https to http", ROUTE(ANY, "scheme: http"), "GET https://a.com:443/p", 443, true, "http://a.com/p" },
	{ "IPv6", ROUTE(ANY, "port: 81"), "GET http://[::1]:80/p", 80, false, "http://[::1]:81/p" },
	{ "IPv6 without port", ROUTE(ANY, "scheme: https"), "GET http://[::1]/p", 80, false, "https://[::1]/p" },
	{ "two slashes stay a path (T-134)", ROUTE(ANY, "scheme: https"), "GET //evil.example/..", 80, false, "https://a.com//evil.example/.." },
	{ "and a prefix (T-134)", ROUTE(ANY, "prefixRewrite: /"), "GET //evil.example/", 80, false, "http://a.com//evil.example/" },
};

static void routes_redirect(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct route_case c;
		struct message *m;
		struct slice found;

		route_case_open(&c, rows[i].http);
		m = route_case_request(&c, rows[i].line, NULL);
		found = route_redirect_location(&c.block.routes.items[0], m, rows[i].server_port,
						rows[i].server_tls, c.arena);
		if (!slice_eq(found, slice_of(rows[i].location))) {
			print_message("%s: %.*s, expected %s\n", rows[i].name, SLICE_ARG(found), rows[i].location);
			wrong++;
		}
		route_case_close(&c);
	}
	assert_int_equal(wrong, 0);
}

struct https_row {
	const char *line;
	uint32_t bound, https;
	bool mapped;
	const char *location;
};

static const struct https_row https_rows[] = {
	{ "GET http://example.com/p?q=1", 80, 443, false, "https://example.com/p?q=1" },
	{ "GET http://example.com:80/p?q=1", 80, 443, false, "https://example.com:80/p?q=1" },
	{ "GET http://a.com:8080/x?y", 8080, 8443, false, "https://a.com:8080/x?y" },
	/* D4: mapped ports lead to the port that is bound for https */
	{ "GET http://a.com:8080/x?y", 8080, 8443, true, "https://a.com:8443/x?y" },
	{ "GET http://a.com:8080/", 8080, 443, true, "https://a.com/" },
	{ "GET http://a.com:9999/", 8080, 8443, true, "https://a.com:9999/" },
	{ "GET http://a.com/", 8080, 8443, true, "https://a.com/" },
	{ "GET http://a.com/", 80, 8443, true, "https://a.com:8443/" },
	{ "GET http://a.com:8080/", 8080, 0, true, "https://a.com:8080/" },
	{ "GET http://[::1]:8080/", 8080, 8443, true, "https://[::1]:8443/" },
	{ "GET http://a.com//evil.example/..", 80, 443, false, "https://a.com//evil.example/.." },
};

static void servers_redirect_to_https(void **state)
{
	struct route_case c;

	(void)state;
	route_case_open(&c, "- redirect: {uri: /}\n");
	for (size_t i = 0; i < COUNT_OF(https_rows); i++) {
		const struct https_row *r = &https_rows[i];
		struct slice found = https_redirect_location(route_case_request(&c, r->line, NULL), r->bound,
							     r->https, r->mapped, c.arena);

		if (!slice_eq(found, slice_of(r->location)))
			fail_msg("%s: %.*s, expected %s", r->line, SLICE_ARG(found), r->location);
	}
	route_case_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_redirect),
		cmocka_unit_test(servers_redirect_to_https),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
