/* SPDX-License-Identifier: Apache-2.0
 * Gateway documents that are fine: what they decode to, and what they are warned of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "sallyport/resource/gateway.h"

struct reading {
	struct problems problems;
	struct resource_set *set;
	const struct gateway *gateway;
};

/* `servers` is flow YAML: one server, or several with commas. */
static struct reading read_servers(const char *servers)
{
	struct arena *a = arena_create(0);
	struct reading r;
	const char *text = arena_printf(a, "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
					"metadata: {name: web, namespace: edge}\n"
					"spec: {selector: {istio: ingressgateway}, servers: [%s]}\n", servers);

	problems_init(&r.problems);
	r.set = resource_set_parse("g.yaml", slice_of(text), &r.problems);
	if (r.problems.errors > 0)
		fail_msg("%s: %s", servers, r.problems.items[0].text);
	r.gateway = r.set->gateways.items[0];
	arena_free(&a);
	return r;
}

static void done(struct reading *r)
{
	resource_set_free(&r->set);
	problems_fini(&r->problems);
}

static bool has_problem(const struct reading *r, const char *piece)
{
	for (size_t i = 0; i < r->problems.count; i++)
		if (strstr(r->problems.items[i].text, piece) != NULL)
			return true;
	return false;
}

/* protocol, tls, family, a piece of a warning (NULL: there is no problem at all). */
static const struct {
	const char *protocol, *tls;
	enum server_family family;
	const char *warning;
} families[] = {
	{ "HTTP", NULL, SERVER_HTTP, NULL },
	{ "http", NULL, SERVER_HTTP, NULL },
	{ "HTTP2", NULL, SERVER_HTTP, NULL },
	{ "GRPC", NULL, SERVER_HTTP, NULL },
	{ "HTTP", "{}", SERVER_HTTP, NULL },
	{ "HTTP", "{httpsRedirect: true}", SERVER_HTTP, NULL },
	{ "HTTP", "{mode: PASSTHROUGH, httpsRedirect: true}", SERVER_HTTP, NULL },
	{ "HTTP", "{credentialName: c}", SERVER_HTTP, "PASSTHROUGH uses no certificates, they are "
	  "ignored: credentialName" },
	{ "HTTP_PROXY", NULL, SERVER_HTTP, "protocol HTTP_PROXY is served as HTTP" },
	{ "GRPC-WEB", NULL, SERVER_HTTP, NULL },
	{ "HTTPS", "{mode: SIMPLE, credentialName: c}", SERVER_HTTPS, NULL },
	{ "HTTPS", "{mode: SIMPLE, serverCertificate: /c, privateKey: /k}", SERVER_HTTPS, NULL },
	{ "GRPC", "{mode: SIMPLE, credentialName: c}", SERVER_HTTPS, "use protocol HTTPS" },
	{ "HTTP2", "{mode: SIMPLE, credentialName: c}", SERVER_HTTPS, "use protocol HTTPS" },
	{ "HTTPS", "{mode: MUTUAL, credentialName: c}", SERVER_HTTPS, NULL },
	{ "HTTPS", "{mode: OPTIONAL_MUTUAL, credentialName: c}", SERVER_HTTPS, NULL },
	{ "HTTPS", "{mode: ISTIO_MUTUAL}", SERVER_HTTPS, NULL },
	{ "GRPC", "{mode: MUTUAL, credentialName: c}", SERVER_HTTPS, "use protocol HTTPS" },
	{ "HTTPS", "{mode: PASSTHROUGH}", SERVER_PASSTHROUGH, NULL },
	{ "TLS", "{mode: AUTO_PASSTHROUGH}", SERVER_PASSTHROUGH, NULL },
	{ "HTTPS", "{credentialName: c}", SERVER_PASSTHROUGH, "mode is not set and defaults to PASSTHROUGH" },
	{ "HTTPS", "{}", SERVER_PASSTHROUGH, NULL },
	{ "TLS", "{mode: SIMPLE, credentialName: c}", SERVER_TLS, NULL },
	{ "TCP", NULL, SERVER_TCP, NULL },
	{ "MONGO", NULL, SERVER_TCP, "no statistics of MongoDB's own protocol" },
	{ "TCP", "{mode: SIMPLE, credentialName: c}", SERVER_TLS, "is served as TLS" },
	{ "MYSQL", "{}", SERVER_PASSTHROUGH, "is served as TLS" },
	{ "HTTPS", "{mode: SIMPLE, credentialName: c, caCertificates: /ca}", SERVER_HTTPS,
	  "caCertificates is ignored beside a credential" },
	{ "HTTPS", "{mode: SIMPLE, credentialNames: [a, b]}", SERVER_HTTPS, NULL },
	{ "HTTPS", "{mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_0}", SERVER_HTTPS,
	  "versions below 1.2 need an explicit cipher list" },
	{ "HTTPS", "{mode: SIMPLE, credentialName: c, subjectAltNames: [a]}", SERVER_HTTPS,
	  "SIMPLE asks for no client certificate" },
	{ "HTTPS", "{mode: SIMPLE, credentialName: c, ecdhCurves: [X25519]}", SERVER_HTTPS, NULL },
	{ "HTTPS", "{mode: SIMPLE, credentialName: c, caCertCredentialName: d}", SERVER_HTTPS,
	  "caCertCredentialName has no effect: SIMPLE asks for no client certificate" },
	{ "REDIS", NULL, SERVER_TCP, NULL },
	{ "MYSQL", NULL, SERVER_TCP, NULL },
	{ "TLS", "{mode: ISTIO_MUTUAL, caCrl: /crl, subjectAltNames: [a]}", SERVER_TLS, NULL },
	{ "TLS", "{mode: ISTIO_MUTUAL, minProtocolVersion: TLSV1_3}", SERVER_TLS,
	  "minProtocolVersion has no effect in ISTIO_MUTUAL" },
	{ "TLS", "{mode: ISTIO_MUTUAL, cipherSuites: [AES128-SHA]}", SERVER_TLS,
	  "cipherSuites has no effect in ISTIO_MUTUAL" },
	{ "TLS", "{mode: ISTIO_MUTUAL, insecureSkipVerify: true}", SERVER_TLS,
	  "insecureSkipVerify has no effect in ISTIO_MUTUAL" },
	{ "TCP", "{httpsRedirect: true}", SERVER_PASSTHROUGH, "httpsRedirect works only on" },
};

static void protocol_and_tls_make_a_family(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(families); i++) {
		struct arena *a = arena_create(0);
		struct reading r = read_servers(arena_printf(a, "{port: {number: 443, name: p, protocol: %s}, "
			"hosts: [a.com]%s%s}", families[i].protocol, families[i].tls != NULL ? ", tls: " : "",
			families[i].tls != NULL ? families[i].tls : ""));
		const struct server *s = &r.gateway->servers.items[0];

		if (s->family != families[i].family)
			fail_msg("row %zu: family %d", i, s->family);
		if (families[i].warning == NULL ? r.problems.count > 0 : !has_problem(&r, families[i].warning))
			fail_msg("row %zu: %s", i, r.problems.count > 0 ? r.problems.items[0].text : "no problem");
		done(&r);
		arena_free(&a);
	}
}

static void hosts_are_normalised(void **state)
{
	struct reading r = read_servers("{port: {number: 80, name: a, protocol: HTTP}, hosts: [A.Example.com., "
					"./b.com, shop/c.com, \"*/d.com\", \"ns/*\"]}, "
					"{port: {number: 81, name: b, protocol: HTTP}, hosts: [a.com, \"*/*\", b.com]}");
	const struct server *s = r.gateway->servers.items;

	(void)state;
	assert_int_equal(s[0].hosts.count, 5);
	assert_string_equal(s[0].hosts.items[0].host.at, "a.example.com");
	assert_null(s[0].hosts.items[0].ns.at);
	assert_string_equal(s[0].hosts.items[1].ns.at, "edge");
	assert_true(slice_eq(s[0].hosts.items[2].ns, SLICE("shop")));
	assert_string_equal(s[0].hosts.items[2].host.at, "c.com");
	assert_null(s[0].hosts.items[3].ns.at);
	assert_true(slice_eq(s[0].hosts.items[4].ns, SLICE("ns")));
	assert_string_equal(s[0].hosts.items[4].host.at, "*");
	assert_int_equal(s[1].hosts.count, 1);
	assert_string_equal(s[1].hosts.items[0].host.at, "*");
	done(&r);
}

static void binds_are_told_apart(void **state)
{
	struct reading r = read_servers("{port: {number: 80, name: a, protocol: HTTP}, hosts: [\"*\"]}, "
		"{port: {number: 80, name: b, protocol: HTTP}, hosts: [\"*\"], bind: \"::1\"}, "
		"{port: {number: 0, name: c, protocol: HTTP}, hosts: [\"*\"], bind: \"unix:///run/a.sock\"}, "
		"{port: {number: 0, name: d, protocol: HTTP}, hosts: [\"*\"], bind: \"unix://@edge\"}");
	const struct server *s = r.gateway->servers.items;

	(void)state;
	assert_int_equal(s[0].bind_kind, BIND_ANY);
	assert_int_equal(s[1].bind_kind, BIND_IP);
	assert_string_equal(s[1].bind.at, "::1");
	assert_int_equal(s[2].bind_kind, BIND_UNIX);
	assert_string_equal(s[2].bind.at, "/run/a.sock");
	assert_int_equal(s[3].bind_kind, BIND_ABSTRACT);
	assert_string_equal(s[3].bind.at, "edge");
	done(&r);
}

static void tls_parameters_are_kept(void **state)
{
	struct reading r = read_servers("{port: {number: 443, name: a, protocol: HTTPS, targetPort: 8443}, "
		"hosts: [a.com], tls: {mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_2, "
		"maxProtocolVersion: TLSV1_3, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384, FOO, ALL, "
		"\"!aNULL\", ECDHE-RSA-AES256-GCM-SHA384]}}");
	const struct server *s = r.gateway->servers.items;

	(void)state;
	assert_int_equal(s->number, 443);
	assert_int_equal(s->target_port, 8443);
	assert_true(has_problem(&r, "targetPort is ignored by Istio; it is bound here"));
	assert_int_equal(s->tls->min_version, TLS_VERSION_1_2);
	assert_int_equal(s->tls->max_version, TLS_VERSION_1_3);
	assert_string_equal(s->tls->credential_name.at, "c");
	assert_int_equal(s->tls->credential_where.line, 4);
	assert_int_equal(s->tls->cipher_suites.count, 3);
	assert_string_equal(s->tls->cipher_suites.items[2].text.at, "!aNULL");
	assert_true(has_problem(&r, "ignoring unknown ciphers FOO"));
	assert_true(has_problem(&r, "ignoring duplicate ciphers ECDHE-RSA-AES256-GCM-SHA384"));
	done(&r);
}

static void an_upper_bound_alone_may_stay_below_the_default(void **state)
{
	struct reading r = read_servers("{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.com], "
		"tls: {mode: SIMPLE, credentialName: c, maxProtocolVersion: TLSV1_1}}");

	(void)state;
	assert_int_equal(r.problems.errors, 0);
	done(&r);
}

static void pins_of_the_right_form_are_fine(void **state)
{
	struct reading r = read_servers("{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.com], "
		"tls: {mode: MUTUAL, credentialName: c, "
		"verifyCertificateSpki: [\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"], verifyCertificateHash: ["
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, "
		"\"E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55\"]}}");

	(void)state;
	assert_int_equal(r.problems.errors, 0);
	done(&r);
}

static void selectors_pick_by_every_label(void **state)
{
	static const struct string_entry labels[] = {
		{ .key = SLICE("app"), .value = SLICE("x") },
		{ .key = SLICE("istio"), .value = SLICE("ingressgateway") },
	};
	struct reading r = read_servers("{port: {number: 80, name: a, protocol: HTTP}, hosts: [\"*\"]}");
	struct gateway all = { 0 };

	(void)state;
	assert_true(gateway_selects(r.gateway, labels, 2));
	assert_false(gateway_selects(r.gateway, labels, 1));
	assert_false(gateway_selects(r.gateway, NULL, 0));
	assert_true(gateway_selects(&all, NULL, 0));
	done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocol_and_tls_make_a_family),
		cmocka_unit_test(hosts_are_normalised),
		cmocka_unit_test(binds_are_told_apart),
		cmocka_unit_test(tls_parameters_are_kept),
		cmocka_unit_test(an_upper_bound_alone_may_stay_below_the_default),
		cmocka_unit_test(pins_of_the_right_form_are_fine),
		cmocka_unit_test(selectors_pick_by_every_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
