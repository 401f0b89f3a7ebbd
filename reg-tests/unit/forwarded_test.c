/* SPDX-License-Identifier: Apache-2.0
 * What the edge adds to, replaces in and takes from requests and responses: every row of
 * spec/http.md 21-23 that is not the route's, and the repeated fields of 4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy/http/forwarded.h"

#define PEER	"192.0.2.5"

static struct arena *arena;

/* Lines of `name: value` become the fields of `m`. */
static void make_message(struct message *m, const char *lines)
{
	struct slice rest = slice_of(lines);

	*m = (struct message){ .version = HTTP_1_1 };
	headers_init(&m->headers, arena, 0);
	while (rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');
		struct slice name = slice_cut(&line, ':');

		headers_add(&m->headers, name, slice_trim(line));
	}
}

static const char *printed(const struct message *m)
{
	static char out[65536];
	size_t at = 0;

	out[0] = '\0';
	for (struct header *f = headers_begin(&m->headers); f != NULL; f = headers_next(&m->headers, f))
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%.*s: %.*s\n", SLICE_ARG(f->name),
				       SLICE_ARG(f->value));
	return out;
}

static const struct edge_peer plain_peer = { .address = { PEER, sizeof(PEER) - 1 }, .local_port = 8080 };
static const uint64_t zeros[2];

static struct edge_client run(struct message *m, const char *lines, struct edge_rules rules,
			      struct edge_peer peer)
{
	struct edge_client client;

	rules.request_id_off = true;
	make_message(m, lines);
	assert_int_equal(edge_request(m, &rules, &peer, zeros, &client), OK);
	return client;
}

#define ADDED(list, client) \
	"x-forwarded-for: " list "\nx-forwarded-proto: http\nx-envoy-external-address: " client "\n"

static void the_trusted_client(void **state)
{
	static const char list[] = "203.0.113.128, 203.0.113.10, 203.0.113.1";
	static const struct { uint32_t trusted; const char *received, *client; bool from_header; } cases[] = {
		{ 0, list, PEER, false }, { 1, list, "203.0.113.1", true }, { 2, list, "203.0.113.10", true },
		{ 3, list, "203.0.113.128", true }, { 4, list, PEER, false },
		{ 1, NULL, PEER, false }, { 1, "", PEER, false }, { 1, "2001:db8::1", "2001:db8::1", true },
		{ 1, "[2001:db8::1]", PEER, false }, { 1, "10.0.0.1:80", PEER, false },
		{ 1, "unknown", PEER, false }, { 1, "10.0.0.1,", PEER, false },
		{ 2, "10.0.0.1,garbage", "10.0.0.1", true }, { 2, "garbage,10.0.0.1", PEER, false },
		{ 1, "10.0.0.1, \t10.0.0.2 ", "10.0.0.2", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct edge_client c = edge_client_of(slice_of(cases[i].received), cases[i].trusted,
						      SLICE(PEER));

		assert_true(slice_eq(c.address, slice_of(cases[i].client)));
		assert_int_equal(c.from_header, cases[i].from_header);
	}
}

static void the_list_grows_by_the_peer(void **state)
{
	struct message m;
	struct edge_client c;

	(void)state;
	run(&m, "", (struct edge_rules){ 0 }, plain_peer);
	assert_string_equal(printed(&m), ADDED(PEER, PEER));
	run(&m, "x-forwarded-for: 1.1.1.1, 2.2.2.2\nx-forwarded-for: 3.3.3.3\n",
	    (struct edge_rules){ 0 }, plain_peer);
	assert_string_equal(printed(&m), ADDED("1.1.1.1, 2.2.2.2,3.3.3.3," PEER, PEER));
	c = run(&m, "x-forwarded-for: 1.1.1.1, 2.2.2.2\nx-forwarded-for: 3.3.3.3\n",
		(struct edge_rules){ .trusted_proxies = 3 }, plain_peer);
	assert_true(slice_eq(c.address, SLICE("1.1.1.1")));
	assert_string_equal(printed(&m), ADDED("1.1.1.1, 2.2.2.2,3.3.3.3," PEER, "1.1.1.1"));
	/* a loopback peer is named by the proxy's own address, where there is one */
	run(&m, "", (struct edge_rules){ .own_address = SLICE("10.0.0.9") },
	    (struct edge_peer){ .address = SLICE("127.0.0.1"), .loopback = true });
	assert_string_equal(printed(&m), ADDED("10.0.0.9", "127.0.0.1"));
	run(&m, "", (struct edge_rules){ 0 },
	    (struct edge_peer){ .address = SLICE("127.0.0.1"), .loopback = true });
	assert_string_equal(printed(&m), ADDED("127.0.0.1", "127.0.0.1"));
}

static void the_list_is_bounded(void **state)
{
	static char list[9000];
	struct edge_rules rules = { 0 };
	struct edge_client client;
	struct message m;

	(void)state;
	for (unsigned entries = 100; entries <= 101; entries++) {
		size_t at = 0;

		for (unsigned i = 0; i < entries; i++)
			at += (size_t)sprintf(list + at, "%s1.1.1.1", i > 0 ? "," : "");
		make_message(&m, "");
		headers_add_id(&m.headers, HEADER_X_FORWARDED_FOR, slice_of(list));
		assert_int_equal(edge_request(&m, &rules, &plain_peer, zeros, &client),
				 entries == 100 ? OK : FAILED);
		assert_true(slice_eq(client.address, SLICE(PEER)));
	}
	for (int len = 8192; len <= 8193; len++) {
		sprintf(list, "%0*d", len, 1);
		make_message(&m, "");
		headers_add_id(&m.headers, HEADER_X_FORWARDED_FOR, slice_of(list));
		assert_int_equal(edge_request(&m, &rules, &plain_peer, zeros, &client),
				 len == 8192 ? OK : FAILED);
	}
	rules.forwarded_for_max = 2;
	make_message(&m, "x-forwarded-for: 1.1.1.1\nx-forwarded-for: 1.1.1.1, 1.1.1.1\n");
	assert_int_equal(edge_request(&m, &rules, &plain_peer, zeros, &client), FAILED);
}

static void proto_and_port(void **state)
{
	struct edge_rules trusting = { .trusted_proxies = 1, .forwarded_port = true };
	struct edge_rules edge = { .forwarded_port = true };
	struct edge_peer tls = plain_peer;
	struct message m;

	(void)state;
	tls.tls = true;
	run(&m, "x-forwarded-proto: http\nx-forwarded-port: 1\n", edge, tls);
	assert_true(slice_eq(headers_value(&m.headers, HEADER_X_FORWARDED_PROTO), SLICE("https")));
	assert_true(slice_eq(headers_value(&m.headers, HEADER_X_FORWARDED_PORT), SLICE("8080")));
	run(&m, "x-forwarded-proto: https\nx-forwarded-port: 443\n", trusting, plain_peer);
	assert_true(slice_eq(headers_value(&m.headers, HEADER_X_FORWARDED_PROTO), SLICE("https")));
	assert_true(slice_eq(headers_value(&m.headers, HEADER_X_FORWARDED_PORT), SLICE("443")));
	assert_true(slice_eq(m.scheme, SLICE("https")));
	run(&m, "x-forwarded-proto: HTTPS\n", trusting, plain_peer);
	assert_true(slice_eq(m.scheme, SLICE("https")));
	run(&m, "x-forwarded-proto: wss\n", trusting, tls);
	assert_true(slice_eq(headers_value(&m.headers, HEADER_X_FORWARDED_PROTO), SLICE("wss")));
	assert_false(slice_eq(m.scheme, SLICE("wss")));
	run(&m, "x-forwarded-proto: https\n", edge, plain_peer);
	assert_false(slice_eq(m.scheme, SLICE("https")));
	run(&m, "", trusting, plain_peer);
	assert_true(slice_eq(headers_value(&m.headers, HEADER_X_FORWARDED_PROTO), SLICE("http")));
	run(&m, "", (struct edge_rules){ 0 }, plain_peer);
	assert_null(headers_get(&m.headers, HEADER_X_FORWARDED_PORT));
}

static void what_no_client_may_send(void **state)
{
	static const char *const names[] = {
		"x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries",
		"x-envoy-retriable-status-codes", "x-envoy-retriable-header-names",
		"x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-timeout-ms",
		"x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response",
		"x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace", "x-envoy-ip-tags",
		"x-envoy-original-url", "x-envoy-hedge-on-per-try-timeout", "x-envoy-decorator-operation",
		"x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node",
		"x-envoy-original-path", "x-envoy-original-host", "x-envoy-original-dst-host",
		"x-envoy-upstream-stream-duration-ms", "x-envoy-peer-metadata", "x-envoy-peer-metadata-id",
		"x-envoy-internal", "x-envoy-attempt-count", "proxy-authorization", "x-jwt-claim-sub",
	};
	static const struct slice claims[] = { { "x-jwt-claim-sub", 15 } };
	struct edge_rules rules = { .claim_headers = claims, .claim_header_count = 1 };
	struct message m;
	char line[200];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(line, sizeof(line), "%s: 1\na: b\n%s: 2\n", names[i], names[i]);
		run(&m, line, rules, plain_peer);
		assert_string_equal(printed(&m), "a: b\n" ADDED(PEER, PEER));
	}
	run(&m, "x-envoy-external-address: 6.6.6.6\nx-envoy-other: 1\nx-envoy: 2\n", rules, plain_peer);
	assert_string_equal(printed(&m), "x-envoy-other: 1\nx-envoy: 2\n" ADDED(PEER, PEER));
}

static void fields_that_must_be_single(void **state)
{
	static const struct { const char *sent, *kept; } cases[] = {
		{ "traceparent: 00-a\n", "traceparent: 00-a\n" },
		{ "traceparent: 00-a\ntraceparent: 00-a\n", "" },
		{ "referer: https://a/b?c\n", "referer: https://a/b?c\n" },
		{ "referer: HTTP://a\n", "referer: HTTP://a\n" },
		{ "referer: /a/b\n", "referer: /a/b\n" },
		{ "referer: https://a/\nreferer: https://a/\n", "" },
		{ "referer: ftp://a/\n", "" }, { "referer: http://\n", "" }, { "referer: http:///a\n", "" },
		{ "referer: javascript:alert(1)\n", "" }, { "referer: http://a b\n", "" },
		{ "referer: \n", "" },
	};
	struct message m;
	char want[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(&m, cases[i].sent, (struct edge_rules){ 0 }, plain_peer);
		snprintf(want, sizeof(want), "%s" ADDED(PEER, PEER), cases[i].kept);
		assert_string_equal(printed(&m), want);
	}
}

static void client_certificates(void **state)
{
	static const struct { enum client_cert_mode mode; bool certificate; const char *kept; } cases[] = {
		{ CLIENT_CERT_SANITIZE, false, NULL }, { CLIENT_CERT_SANITIZE, true, NULL },
		{ CLIENT_CERT_FORWARD_ONLY, false, NULL }, { CLIENT_CERT_FORWARD_ONLY, true, "Hash=spoof" },
		{ CLIENT_CERT_APPEND_FORWARD, false, NULL },
		{ CLIENT_CERT_APPEND_FORWARD, true, "Hash=spoof,Hash=true" },
		{ CLIENT_CERT_SANITIZE_SET, false, NULL }, { CLIENT_CERT_SANITIZE_SET, true, "Hash=true" },
		{ CLIENT_CERT_ALWAYS_FORWARD_ONLY, false, "Hash=spoof" },
		{ CLIENT_CERT_ALWAYS_FORWARD_ONLY, true, "Hash=spoof" },
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct edge_peer peer = plain_peer;

		peer.client_cert = cases[i].certificate ? SLICE("Hash=true") : NO_SLICE;
		run(&m, "x-forwarded-client-cert: Hash=spoof\n",
		    (struct edge_rules){ .client_cert = cases[i].mode }, peer);
		if (cases[i].kept == NULL)
			assert_null(headers_get(&m.headers, HEADER_X_FORWARDED_CLIENT_CERT));
		else
			assert_true(slice_eq(headers_value(&m.headers, HEADER_X_FORWARDED_CLIENT_CERT),
					     slice_of(cases[i].kept)));
	}
}

static void request_ids(void **state)
{
	static const struct { uint64_t random[2]; const char *id; } cases[] = {
		{ { 0, 0 }, "00000000-0000-4000-8000-000000000000" },
		{ { UINT64_MAX, UINT64_MAX }, "ffffffff-ffff-4fff-bfff-ffffffffffff" },
		{ { 0x0123456789abcdefull, 0xfedcba9876543210ull }, "01234567-89ab-4def-bedc-ba9876543210" },
	};
	struct edge_rules rules = { 0 };
	struct edge_client client;
	struct message m;
	char id[REQUEST_ID_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request_id_format(cases[i].random, id);
		assert_memory_equal(id, cases[i].id, sizeof(id));
	}
	make_message(&m, "x-request-id: mine\nx-request-id: also\n");
	assert_int_equal(edge_request(&m, &rules, &plain_peer, cases[2].random, &client), OK);
	assert_true(slice_eq(headers_joined(&m.headers, SLICE("x-request-id"), arena),
			     slice_of(cases[2].id)));
	rules.request_id_off = true;
	make_message(&m, "x-request-id: mine\n");
	assert_int_equal(edge_request(&m, &rules, &plain_peer, zeros, &client), OK);
	assert_true(slice_eq(headers_value(&m.headers, HEADER_X_REQUEST_ID), SLICE("mine")));
}

static void responses(void **state)
{
	struct edge_rules rules = { .server_name = SLICE("istio-envoy") };
	struct message m;

	(void)state;
	make_message(&m, "server: a\nserver: b\nx-envoy-peer-metadata: x\nx-envoy-peer-metadata-id: y\n"
		     "x-envoy-upstream-service-time: 99\nx-envoy-other: z\n");
	edge_response(&m, &rules, SLICE("now"), 7);
	assert_string_equal(printed(&m), "server: istio-envoy\nx-envoy-upstream-service-time: 7\n"
			    "x-envoy-other: z\ndate: now\n");
	make_message(&m, "date: then\n");
	edge_response(&m, &rules, SLICE("now"), -1);
	assert_string_equal(printed(&m), "date: then\nserver: istio-envoy\n");
	make_message(&m, "server: a\n");
	rules = (struct edge_rules){ .service_time_off = true };
	edge_response(&m, &rules, SLICE("now"), 1234567);
	assert_string_equal(printed(&m), "server: a\ndate: now\n");
	make_message(&m, "");
	rules = (struct edge_rules){ 0 };
	edge_response(&m, &rules, SLICE("now"), 1234567890123);
	assert_string_equal(printed(&m), "date: now\nx-envoy-upstream-service-time: 1234567890123\n");
}

static int set_up(void **state)
{
	(void)state;
	arena = arena_create(0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_trusted_client),
		cmocka_unit_test(the_list_grows_by_the_peer),
		cmocka_unit_test(the_list_is_bounded),
		cmocka_unit_test(proto_and_port),
		cmocka_unit_test(what_no_client_may_send),
		cmocka_unit_test(fields_that_must_be_single),
		cmocka_unit_test(client_certificates),
		cmocka_unit_test(request_ids),
		cmocka_unit_test(responses),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
