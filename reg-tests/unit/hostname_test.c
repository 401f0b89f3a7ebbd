/* SPDX-License-Identifier: Apache-2.0
 * Host names, their wildcards and relations; addresses and blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "sallyport/cidr.h"
#include "sallyport/hostname.h"
#include "sallyport/object.h"

static void patterns_relate_as_istio_says(void **state)
{
	static const struct { const char *a, *b; bool matches, subset; } rows[] = {
		{ "a.com", "a.com", true, true }, { "a.com", "b.com", false, false },
		{ "A.com", "a.COM.", true, true }, { "a.example.com", "*.example.com", true, true },
		{ "a.b.example.com", "*.example.com", true, true },
		{ "example.com", "*.example.com", false, false },
		{ "newexample.com", "*.example.com", false, false },
		{ "*.example.com", "a.example.com", true, false },
		{ "*.eu.example.com", "*.example.com", true, true },
		{ "*.example.com", "*.eu.example.com", true, false },
		{ "*", "*.example.com", true, false }, { "*.example.com", "*", true, true },
		{ "*", "*", true, true }, { "a.com", "*", true, true }, { "*.a.com", "*.b.com", false, false },
		{ "*.a.com", "*.a.com", true, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct slice a = slice_of(rows[i].a), b = slice_of(rows[i].b);

		assert_int_equal(hostname_matches(a, b), rows[i].matches);
		assert_int_equal(hostname_matches(b, a), rows[i].matches);
		assert_int_equal(hostname_subset(a, b), rows[i].subset);
	}
}

static void gateway_hosts_are_checked(void **state)
{
	static const char *const good[] = { "*", "a.com", "a.com.", "*.example.com", "*.com", "10.0.0.1",
					    "::1", "xn--bcher-kva.example", "a-b.c1", "1.2.3.com" };
	static const struct { const char *host, *problem; } bad[] = {
		{ "", "is empty" }, { "short", "is a short name, which is not allowed: write the whole domain" },
		{ "*short", "is a short name, which is not allowed: write the whole domain" },
		{ "*foo.com", "is a partial wildcard, which is not allowed: * or *.domain are" },
		{ "*-foo.com", "is a partial wildcard, which is not allowed: * or *.domain are" },
		{ "a.*.com", "is not a valid host" }, { "a..com", "is not a valid host" },
		{ "-a.com", "is not a valid host" }, { "a_b.com", "is not a valid host" },
		{ "a.123", "is not a valid host" }, { "https://a.com", "is not a valid host" },
		{ "a.com:80", "is not a valid host" }, { ".a.com", "is not a valid host" },
		{ "*.", "is not a valid host" }, { "**.a.com", "is not a valid host" },
	};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_null(hostname_gateway_problem(slice_of(good[i])));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_string_equal(hostname_gateway_problem(slice_of(bad[i].host)), bad[i].problem);
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 50; i < sizeof(longest); i += 50)
		longest[i] = '.';
	assert_string_equal(hostname_gateway_problem(slice_make(longest, 256)),
			    "is longer than 255 characters");
	assert_null(hostname_gateway_problem(slice_make(longest, 255)));
	assert_null(hostname_wildcard_problem(SLICE("*foo.com")));
	assert_null(hostname_wildcard_problem(SLICE("single")));
}

static void references_are_expanded(void **state)
{
	static const struct { const char *host, *whole; } rows[] = {
		{ "api", "api.prod.svc.cluster.local" }, { "API", "api.prod.svc.cluster.local" },
		{ "api.prod", "api.prod" }, { "Example.com.", "example.com" }, { "10.0.0.5", "10.0.0.5" },
		{ "::1", "::1" }, { "*", "*" },
	};
	struct arena *a = arena_create(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(hostname_expand(a, slice_of(rows[i].host), SLICE("prod"),
						    SLICE("cluster.local")).at, rows[i].whole);
	assert_string_equal(hostname_expand(a, SLICE("api"), SLICE("ns"), SLICE("")).at, "api.ns.svc");
	arena_free(&a);
}

static void blocks_contain_what_their_bits_say(void **state)
{
	static const struct { const char *block, *ip; bool inside; } rows[] = {
		{ "10.0.0.0/8", "10.255.1.2", true }, { "10.0.0.0/8", "11.0.0.1", false },
		{ "10.1.2.3/8", "10.9.9.9", true }, { "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.8", false }, { "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false }, { "::/0", "10.0.0.1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true }, { "2001:db8::/33", "2001:db8:8000::1", false },
		{ "10.0.0.0/8", "::ffff:10.0.0.1", true }, { "::ffff:10.0.0.0/104", "10.1.1.1", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
	};
	static const char *const bad[] = { "", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "1.2.3.4/08",
					   "::1/129", "[::1]", "fe80::1%eth0", "10.0.0.0/8/8", "01.2.3.4",
					   "::ffff:10.0.0.0/8", "a" };
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	struct cidr c;
	struct ip ip, other;
	char text[IP_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_true(cidr_parse(slice_of(rows[i].block), &c));
		assert_true(ip_parse(slice_of(rows[i].ip), &ip));
		assert_int_equal(cidr_contains(&c, &ip), rows[i].inside);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(cidr_parse(slice_of(bad[i]), &c));
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &sa.sin6_addr), 1);
	assert_true(ip_from_sockaddr((struct sockaddr *)&sa, &ip));
	assert_true(ip_parse(SLICE("192.0.2.1"), &other) && other.v4 == ip.v4);
	assert_memory_equal(ip.bytes, other.bytes, sizeof(ip.bytes));
	assert_string_equal(ip_format(&ip, text), "192.0.2.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_relate_as_istio_says),
		cmocka_unit_test(gateway_hosts_are_checked),
		cmocka_unit_test(references_are_expanded),
		cmocka_unit_test(blocks_contain_what_their_bits_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
