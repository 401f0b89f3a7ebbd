/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots from whole documents: listeners, chains, virtual hosts, routes and what is warned about
 * (spec/gateway.md 5-9, 12, 17; spec/virtual-service.md 4-6, 18; spec/README.md D1-D12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/route/compile.h"
#include "reg-tests/unit/snapshot_case.h"
#include "sallyport/clock.h"
#include "sallyport/hostname.h"
#include "sallyport/text.h"

static struct message *request(struct loaded *l, const char *host, const char *path)
{
	struct message *m = arena_new(l->arena, struct message);

	m->method = SLICE("GET");
	m->scheme = SLICE("http");
	m->authority = slice_of(host);
	m->path = slice_of(path);
	headers_init(&m->headers, l->arena, 2);
	return m;
}

static const struct route *route_at(struct loaded *l, const struct chain *c, const char *host, const char *path)
{
	const struct virtual_host *vh = c != NULL ? route_table_find(c->routes, slice_of(host)) : NULL;
	const struct route_input in = { .request = request(l, host, path), .arena = l->arena };

	return vh != NULL ? virtual_host_match(vh, &in) : NULL;
}

static const char *served_by_chain(struct loaded *l, const struct chain *c, const char *host, const char *path)
{
	const struct virtual_host *vh = c != NULL ? route_table_find(c->routes, slice_of(host)) : NULL;
	const struct route *r = route_at(l, c, host, path);

	if (vh != NULL && virtual_host_requires_tls(vh) && !c->tls)
		return "301";
	if (r == NULL)
		return "404";
	if (r->action != ROUTE_FORWARD)
		return r->action == ROUTE_REDIRECT ? "redirect" : "direct";
	return arena_text(l->arena, r->targets.items[0].cluster_name);
}

/* What happens to GET on plain HTTP: a cluster, "301", "404", or "closed". */
static const char *served(struct loaded *l, uint32_t port, const char *host, const char *path)
{
	const struct listener_plan *p = listener(l, port);

	return p == NULL || p->plain == NULL ? "closed" : served_by_chain(l, p->plain, host, path);
}

/* ---- plain HTTP: who serves a request ---- */

#define B80		"outbound|80||b.local"
#define BASE		ENTRY("b", 80)
#define GW_ANY		GW("gw", SERVER(80, "HTTP", "[\"*\"]"))

#define EXPORTED(ns, name, export_to, more, http) \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name ", namespace: " ns more "}\n" \
	"spec:\n  hosts: [a.com]\n  gateways: [default/gw]\n  exportTo: " export_to "\n  http:\n" http "---\n"

struct http_row {
	const char *name, *yaml, *host, *path, *expected;
};

static const struct http_row http_rows[] = {
	{ "G1", BASE GW("gw", SERVER(80, "HTTP", "[example.com]")) VS("v", "[example.com]", TO("b")), "example.com:1234", "/", B80 },
	{ "G2", BASE GW("gw", SERVER(80, "HTTP", "[example.com]")) VS("v", "[example.com]", TO("b")), "EXAMPLE.com", "/", B80 },
	{ "G3", BASE GW("gw", SERVER(80, "HTTP", "[example.com]")) VS("v", "[example.com]", TO("b")), "other.com", "/", "404" },
	{ "trailing dot", BASE GW("gw", SERVER(80, "HTTP", "[example.com]")) VS("v", "[example.com]", TO("b")), "example.com.", "/", "404" },
	{ "G4", BASE GW("gw", SERVER(80, "HTTP", "[\"*.example.com\"]")) VS("v", "[a.example.com]", TO("b")), "b.example.com", "/", "404" },
	{ "G5", BASE GW("gw", SERVER(80, "HTTP", "[\"*.example.com\"]")) VS("v", "[\"*\"]", TO("b")), "x.y.example.com", "/", B80 },
	{ "G6", GW("gw", SERVER(80, "HTTP", "[example.com]") TO_HTTPS), "example.com", "/p?q=1", "301" },
	{ "redirect, other host", GW("gw", SERVER(80, "HTTP", "[example.com]") TO_HTTPS), "other.com", "/", "404" },
	{ "redirect, ns/host", GW("gw", SERVER(80, "HTTP", "[default/example.com]") TO_HTTPS), "example.com", "/", "301" },
	{ "redirect, routes of a name within", BASE GW("gw", SERVER(80, "HTTP", "[\"*.example.com\"]") TO_HTTPS)
	  VS("v", "[a.example.com]", TO("b")), "a.example.com", "/", "301" },
	{ "G8", BASE GW("gw", SERVER(80, "HTTP", "[example.com]")) GW("agw", SERVER(80, "HTTP", "[example.com]") TO_HTTPS)
	  VS("v", "[example.com]", TO("b")), "example.com", "/", "301" },
	{ "G8 the other way", BASE GW("gw", SERVER(80, "HTTP", "[example.com]")) GW("zgw", SERVER(80, "HTTP", "[example.com]") TO_HTTPS)
	  VS("v", "[example.com]", TO("b")), "example.com", "/", "301" },
	{ "G21 HTTP first", BASE GW("gw", SERVER(80, "HTTP", "[a.com]")) GW("zzz", SERVER(80, "TCP", "[\"*\"]"))
	  VS("v", "[a.com]", TO("b")), "a.com", "/", B80 },
	{ "G22 TCP first", BASE GW("gw", SERVER(80, "HTTP", "[a.com]")) GW("aaa", SERVER(80, "TCP", "[\"*\"]"))
	  VS("v", "[a.com]", TO("b")), "a.com", "/", "closed" },
	{ "G26", BASE GW_IN("x", "gw", SERVER(80, "HTTP", "[./a.com]")) VS_IN("y", "v", "[a.com]", "[x/gw]", TO("b")), "a.com", "/", "404" },
	{ "own namespace", BASE GW_IN("x", "gw", SERVER(80, "HTTP", "[./a.com]")) VS_IN("x", "v", "[a.com]", "[gw]", TO("b")), "a.com", "/", B80 },
	{ "no VirtualService", GW_ANY, "a.com", "/", "404" },
	{ "two Gateways, one port", BASE ENTRY("c", 80) GW("gw", SERVER(80, "HTTP", "[a.com]")) GW("gx", SERVER(80, "HTTP2", "[a.com]"))
	  VS("v", "[a.com]", MATCH_TO("uri: {prefix: /b}", "b")) VS_IN("default", "w", "[a.com]", "[gx]", TO("c")), "a.com", "/x", "outbound|80||c.local" },
	{ "whole reference to another namespace", BASE GW_IN("infra", "gw", SERVER(80, "HTTP", "[a.com]"))
	  VS_IN("default", "v", "[a.com]", "[infra/gw]", TO("b")), "a.com", "/", B80 },
	{ "gateway of another namespace", BASE GW_IN("infra", "gw", SERVER(80, "HTTP", "[a.com]"))
	  VS_IN("default", "v", "[a.com]", "[gw]", TO("b")), "a.com", "/", "404" },
	{ "short host, as written", BASE GW("gw", SERVER(80, "HTTP", "[\"*\"]")) VS("v", "[localhost]", TO("b")), "localhost", "/", B80 },
	{ "short host, completed", BASE GW("gw", SERVER(80, "HTTP", "[\"*\"]")) VS("v", "[shop]", TO("b")),
	  "shop.default.svc.cluster.local", "/", B80 },
	{ "exact beats wildcard without fall-through", BASE GW("gw", SERVER(80, "HTTP", "[\"*\"]"))
	  VS("v", "[\"*.a.com\"]", TO("b")) VS("w", "[x.a.com]", MATCH_TO("uri: {exact: /only}", "b")), "x.a.com", "/", "404" },

	/* virtual-service.md 18 */
	{ "V16", BASE ENTRY("c", 80) GW_ANY VS("v", "[a.com]", TO("b") MATCH_TO("uri: {prefix: /x}", "c")), "a.com", "/x", B80 },
	{ "V17", BASE ENTRY("c", 80) GW_ANY VS("a1", "[a.com]", TO("b")) VS("a2", "[a.com]", MATCH_TO("uri: {prefix: /x}", "c")),
	  "a.com", "/x", "outbound|80||c.local" },
	{ "V18", BASE ENTRY("c", 80) GW_ANY VS("b1", "[a.com]", TO("b")) VS("a9", "[a.com]", TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "V19", BASE ENTRY("c", 80) GW_ANY VS("v", "[a.com]", MATCH_TO("uri: {prefix: \"\"}", "b") MATCH_TO("uri: {prefix: /x}", "c")),
	  "a.com", "/x", B80 },
	{ "V20", BASE ENTRY("c", 80) GW_ANY VS("a1", "[a.com]", MATCH_TO("uri: {prefix: \"\"}", "b"))
	  VS("a2", "[a.com]", MATCH_TO("uri: {prefix: /x}", "c")), "a.com", "/x", B80 },
	{ "V21", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("port: 8080", "b")), "a.com", "/", "404" },
	{ "V21 its port", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("port: 80", "b")), "a.com", "/", B80 },
	{ "items that are filtered out do not stop", BASE ENTRY("c", 80) GW_ANY
	  VS("v", "[a.com]", MATCH_TO("port: 8080", "b") TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "gateways of an item", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("gateways: [other]", "b")), "a.com", "/", "404" },
	{ "source labels of an item", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("sourceLabels: {istio: egress}", "b")), "a.com", "/", "404" },
	{ "our labels", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("sourceLabels: {istio: ingressgateway}", "b")), "a.com", "/", B80 },
	{ "source namespace", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("sourceNamespace: other", "b")), "a.com", "/", "404" },
	/* 4.1: names of Gateways */
	{ "old dotted name", BASE GW_IN("infra", "gw", SERVER(80, "HTTP", "[a.com]")) VS_IN("default", "v", "[a.com]", "[gw.infra]", TO("b")), "a.com", "/", B80 },
	{ "old dotted name, long", BASE GW_IN("infra", "gw", SERVER(80, "HTTP", "[a.com]"))
	  VS_IN("default", "v", "[a.com]", "[gw.infra.svc.cluster.local]", TO("b")), "a.com", "/", B80 },
	{ "mesh and a Gateway", BASE GW_ANY VS_IN("default", "v", "[a.com]", "[mesh, gw]", TO("b")), "a.com", "/", B80 },
	{ "an item for another of its Gateways", BASE ENTRY("c", 80) GW_ANY VS_IN("default", "v", "[a.com]", "[gw, infra/gw]",
	  MATCH_TO("gateways: [infra/gw]", "b") TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "an item beyond its Gateways", BASE GW_ANY GW_IN("infra", "gw", SERVER(80, "HTTP", "[a.com]")) VS_IN("default", "v", "[a.com]", "[gw]",
	  MATCH_TO("gateways: [infra/gw]", "b")), "a.com", "/", "404" },
	/* 4.2: gateways of an item put sources aside */
	{ "sources beside gateways", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("gateways: [gw], sourceLabels: {istio: other}, sourceNamespace: other", "b")), "a.com", "/", B80 },
	{ "our namespace", BASE GW_ANY VS("v", "[a.com]", MATCH_TO("sourceNamespace: istio-system", "b")), "a.com", "/", B80 },
	/* 4.3, 4.4: private ones, then those exported by name, then public ones; by age; D12: by namespace, then name */
	{ "private before by name", BASE ENTRY("c", 80) GW_ANY EXPORTED("default", "aaa", "[istio-system]", "", TO("b"))
	  EXPORTED("istio-system", "zzz", "[.]", "", TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "by name before public", BASE ENTRY("c", 80) GW_ANY EXPORTED("default", "aaa", "[\"*\"]", "", TO("b"))
	  EXPORTED("default", "zzz", "[istio-system, other]", "", TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "hidden", BASE ENTRY("c", 80) GW_ANY EXPORTED("default", "aaa", "[other]", "", TO("b"))
	  EXPORTED("default", "zzz", "[\"*\"]", "", TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "the older before the newer", BASE ENTRY("c", 80) GW_ANY
	  EXPORTED("default", "aaa", "[\"*\"]", ", creationTimestamp: \"2024-02-01T00:00:00Z\"", TO("b"))
	  EXPORTED("default", "zzz", "[\"*\"]", ", creationTimestamp: \"2024-01-01T00:00:00Z\"", TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "without an age the oldest", BASE ENTRY("c", 80) GW_ANY
	  EXPORTED("default", "aaa", "[\"*\"]", ", creationTimestamp: \"2024-02-01T00:00:00Z\"", TO("b"))
	  EXPORTED("default", "zzz", "[\"*\"]", "", TO("c")), "a.com", "/", "outbound|80||c.local" },
	{ "by namespace, then name", BASE ENTRY("c", 80) GW_ANY EXPORTED("default", "bbb", "[\"*\"]", "", TO("b"))
	  EXPORTED("aaa", "zzz", "[\"*\"]", "", TO("c")), "a.com", "/", "outbound|80||c.local" },
	/* 6.1, 6.9 */
	{ "what catches all drops the rest of its document", BASE ENTRY("c", 80) GW_ANY
	  VS("v", "[a.com]", MATCH_TO("uri: {prefix: /}", "b") MATCH_TO("uri: {exact: /x}", "c")), "a.com", "/x", B80 },
	{ "regex .*", BASE ENTRY("c", 80) GW_ANY VS("a1", "[a.com]", MATCH_TO("uri: {regex: \".*\"}", "b"))
	  VS("a2", "[a.com]", MATCH_TO("uri: {prefix: /x}", "c")), "a.com", "/x", "outbound|80||c.local" },
	{ "regex /.* is none", BASE ENTRY("c", 80) GW_ANY VS("a1", "[a.com]", MATCH_TO("uri: {regex: \"/.*\"}", "b"))
	  VS("a2", "[a.com]", MATCH_TO("uri: {prefix: /x}", "c")), "a.com", "/x", B80 },
	{ "{} of a method is none", BASE ENTRY("c", 80) GW_ANY VS("a1", "[a.com]", MATCH_TO("method: {}", "b"))
	  VS("a2", "[a.com]", MATCH_TO("uri: {prefix: /x}", "c")), "a.com", "/x", B80 },
	{ "a port does not count", BASE ENTRY("c", 80) GW_ANY VS("a1", "[a.com]", MATCH_TO("port: 80, uri: {prefix: /}", "b"))
	  VS("a2", "[a.com]", MATCH_TO("uri: {prefix: /x}", "c")), "a.com", "/x", "outbound|80||c.local" },
	{ "an item that is filtered out catches nothing", BASE ENTRY("c", 80) GW_ANY
	  VS("v", "[a.com]", "  - match: [{port: 81}, {uri: {exact: /y}}]\n    route: [{destination: {host: b.local}}]\n" MATCH_TO("uri: {exact: /x}", "c")),
	  "a.com", "/x", "outbound|80||c.local" },
	{ "V66", BASE GW_ANY VS_IN("default", "v", "[a.com]", "[mesh]", TO("b")), "a.com", "/", "404" },
	{ "redirect", GW_ANY VS("v", "[a.com]", "  - redirect: {uri: /n}\n"), "a.com", "/", "redirect" },
	{ "direct response", GW_ANY VS("v", "[a.com]", "  - directResponse: {status: 200}\n"), "a.com", "/", "direct" },
	{ "unknown service", GW_ANY VS("v", "[a.com]", TO("nobody")), "a.com", "/", "outbound|80||nobody.local" },
	{ "V57 claims", BASE ENTRY("c", 80) GW_ANY VS("v", "[a.com]",
	  MATCH_TO("headers: {\"@request.auth.claims.groups\": {exact: dev}}", "b") TO("c")), "a.com", "/", "outbound|80||c.local" },
};

static void requests_find_their_routes(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(http_rows); i++) {
		struct loaded l;
		const char *found;

		load(&l, http_rows[i].yaml);
		assert_non_null(l.s);
		found = served(&l, 80, http_rows[i].host, http_rows[i].path);
		if (strcmp(found, http_rows[i].expected) != 0) {
			print_message("%s: %s, expected %s\n", http_rows[i].name, found, http_rows[i].expected);
			wrong++;
		}
		unload(&l);
	}
	assert_int_equal(wrong, 0);
}

/* ---- TLS: who gets a connection ---- */

struct sni_row {
	const char *name, *yaml, *sni;
	const char *expected;		/* the chain's first domain; NULL: refused; "plain" */
};

#define TLS_A_B		GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("one") NAMED("b", 443, "HTTPS", "[b.com]") SIMPLE("two"))

static const struct sni_row sni_rows[] = {
	{ "G9", GW("gw", SERVER(443, "HTTPS", "[a.com]") SIMPLE("c")), "a.com", "a.com" },
	{ "G10", GW("gw", SERVER(443, "HTTPS", "[a.com]") SIMPLE("c")), "b.com", NULL },
	{ "G11", GW("gw", SERVER(443, "HTTPS", "[a.com]") SIMPLE("c")), NULL, NULL },
	{ "G12", GW("gw", SERVER(443, "HTTPS", "[\"*\"]") SIMPLE("c")), NULL, "*" },
	{ "any name", GW("gw", SERVER(443, "HTTPS", "[\"*\"]") SIMPLE("c")), "x.y", "*" },
	{ "second server", TLS_A_B, "b.com", "b.com" },
	{ "longest suffix", GW("gw", NAMED("a", 443, "HTTPS", "[\"*.com\"]") SIMPLE("c") NAMED("b", 443, "HTTPS", "[\"*.b.com\"]") SIMPLE("c")),
	  "x.b.com", "*.b.com" },
	{ "a wildcard is not its apex", GW("gw", SERVER(443, "HTTPS", "[\"*.b.com\"]") SIMPLE("c")), "b.com", NULL },
	{ "G14", GW("gw", NAMED("a", 443, "HTTPS", "[\"*.example.com\"]") SIMPLE("c") NAMED("b", 443, "TLS", "[foo.example.com]") "    tls: {mode: PASSTHROUGH}\n"),
	  "bar.example.com", "*.example.com" },
	{ "G24", GW("zz", SERVER(443, "HTTPS", "[a.com, z.com]") SIMPLE("c")) GW("aa", SERVER(443, "HTTPS", "[a.com]") SIMPLE("c")),
	  "z.com", NULL },
	{ "G28 D1", GW("gw", SERVER(443, "GRPC", "[a.com]") SIMPLE("c")), "a.com", "a.com" },
	{ "plain HTTP behind TLS", GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c") NAMED("b", 443, "HTTP", "[b.com]")), "other", "plain" },
	{ "plain HTTP first: TLS is skipped", GW("gw", NAMED("b", 443, "HTTP", "[b.com]") NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c")), "a.com", "plain" },
	{ "namespaces do not make names different", GW("gw", NAMED("a", 443, "HTTPS", "[ns1/*.x.com]") SIMPLE("c")
	  NAMED("b", 443, "HTTPS", "[ns2/*.x.com, y.com]") SIMPLE("c")), "y.com", "*.x.com" },
	{ "star among others", GW("gw", NAMED("a", 443, "HTTPS", "[default/*, a.com]") SIMPLE("c")), "zzz", "*" },
};

static void connections_find_their_chains(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sni_rows); i++) {
		const struct chain *c;
		struct loaded l;
		const char *found;

		load(&l, sni_rows[i].yaml);
		c = chain_for(&l, 443, sni_rows[i].sni);
		found = c == NULL ? NULL : !c->tls ? "plain" : arena_text(l.arena, c->domains.items[0]);
		if ((found == NULL) != (sni_rows[i].expected == NULL) || (found != NULL && strcmp(found, sni_rows[i].expected) != 0)) {
			print_message("%s: %s, expected %s\n", sni_rows[i].name, found ? found : "refused",
				      sni_rows[i].expected ? sni_rows[i].expected : "refused");
			wrong++;
		}
		unload(&l);
	}
	assert_int_equal(wrong, 0);
}

static void tls_servers_have_their_own_tables(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, BASE TLS_A_B VS("v", "[a.com, b.com]", TO("b")));
	assert_string_equal(served_by_chain(&l, chain_for(&l, 443, "a.com"), "a.com", "/"), "outbound|80||b.local");
	assert_string_equal(served_by_chain(&l, chain_for(&l, 443, "a.com"), "b.com", "/"), "404");
	assert_int_equal(l.s->tls_chains.count, 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(l.s->tls_chains.items[i]->tls_slot, i);
	assert_true(slice_eq(chain_for(&l, 443, "b.com")->name, SLICE("https.443.b.gw.default")));
	assert_true(slice_eq(chain_for(&l, 443, "b.com")->gateway, SLICE("default/gw")));
	unload(&l);
}

/* 421 for another server's host; the same certificate and demands: that server's routes (D5). */
static void reused_connections_are_told_apart(void **state)
{
	const struct chain *same, *a, *b;
	const struct listener_plan *p;
	struct loaded l;

	(void)state;
	load(&l, TLS_A_B);
	p = listener(&l, 443);
	a = chain_for(&l, 443, "a.com");
	assert_true(listener_is_misdirected(p, a, SLICE("B.com:443"), &same));
	assert_null(same);
	assert_false(listener_is_misdirected(p, a, SLICE("a.com"), &same));
	assert_false(listener_is_misdirected(p, a, SLICE("c.com"), &same));
	unload(&l);

	load(&l, GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("one") NAMED("b", 443, "HTTPS", "[b.com]") SIMPLE("one")
		    NAMED("c", 443, "HTTPS", "[c.com]") "    tls: {mode: SIMPLE, credentialName: one, minProtocolVersion: TLSV1_3}\n"
		    NAMED("d", 443, "HTTPS", "[d.com]") "    tls: {mode: MUTUAL, credentialName: one}\n"));
	p = listener(&l, 443);
	a = chain_for(&l, 443, "a.com");
	b = chain_for(&l, 443, "b.com");
	assert_true(listener_is_misdirected(p, a, SLICE("b.com"), &same));
	assert_ptr_equal(same, b);
	assert_true(listener_is_misdirected(p, a, SLICE("c.com"), &same));
	assert_null(same);
	assert_true(listener_is_misdirected(p, a, SLICE("d.com"), &same));
	assert_null(same);
	unload(&l);
}

#define MUTUAL(more)	"    tls: {mode: MUTUAL, credentialName: one" more "}\n"

/* D5 reaches a server of the same demands on clients alone; so does a connection that outlives a reload. */
static void demands_on_clients_are_compared(void **state)
{
	static const char *const others[] = {
		"    tls: {mode: SIMPLE, credentialName: one}\n",
		"    tls: {mode: OPTIONAL_MUTUAL, credentialName: one}\n",
		MUTUAL(", caCertCredentialName: other"), MUTUAL(", caCertCredentialName: \"configmap://n/one-cacert\""),
		MUTUAL(", subjectAltNames: [b]"), MUTUAL(", subjectAltNames: [a, b]"), MUTUAL(""),
		MUTUAL(", subjectAltNames: [a], insecureSkipVerify: true"),
		MUTUAL(", subjectAltNames: [a], verifyCertificateSpki: [\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]"),
		MUTUAL(", subjectAltNames: [a], verifyCertificateHash: "
		       "[e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855]"),
	};
	const struct chain *same, *a, *b;
	struct loaded l;

	(void)state;
	for (size_t i = 0; i <= COUNT_OF(others); i++) {
		bool is_same = i == COUNT_OF(others);
		char text[2048];

		snprintf(text, sizeof(text), GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") MUTUAL(", subjectAltNames: [a]")
						NAMED("b", 443, "HTTPS", "[b.com]") "%s"),
			 is_same ? MUTUAL(", subjectAltNames: [a]") : others[i]);
		load(&l, text);
		a = chain_for(&l, 443, "a.com");
		b = chain_for(&l, 443, "b.com");
		assert_true(listener_is_misdirected(listener(&l, 443), a, SLICE("b.com"), &same));
		if ((same == b) != is_same || tls_clients_same(&a->tls_settings, &b->tls_settings) != is_same)
			fail_msg("%s", text);
		unload(&l);
	}
}

static void tls_settings_are_openssl_s(void **state)
{
	const struct tls_settings *t;
	struct loaded l;

	(void)state;
	load(&l, GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("kubernetes://certs/one")
		    NAMED("b", 443, "HTTPS", "[b.com]") "    tls: {mode: SIMPLE, credentialName: two, minProtocolVersion: TLSV1_1, "
		    "maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES128-SHA, AES128-SHA]}\n"
		    NAMED("c", 443, "HTTPS", "[c.com]") "    tls: {mode: SIMPLE, serverCertificate: /c.pem, privateKey: /k.pem}\n"
		    NAMED("d", 443, "HTTPS", "[d.com]") "    tls: {mode: SIMPLE, credentialName: \"invalid://x\"}\n"
		    NAMED("e", 443, "HTTPS", "[e.com]") "    tls: {mode: OPTIONAL_MUTUAL, credentialNames: [n/five, six], "
		    "ecdhCurves: [P-384, X25519]}\n"));
	t = &chain_for(&l, 443, "a.com")->tls_settings;
	assert_true(slice_eq(t->certificates[0].ns, SLICE("certs")) && slice_eq(t->certificates[0].credential_name, SLICE("one")));
	assert_int_equal(t->min_version, 0x0303);
	assert_int_equal(t->max_version, 0x0304);
	assert_null(t->cipher_list.at);
	assert_int_equal(t->where.line, 9);
	t = &chain_for(&l, 443, "b.com")->tls_settings;
	assert_null(t->certificates[0].ns.at);
	assert_true(slice_eq(t->gateway_ns, SLICE("default")));
	assert_int_equal(t->min_version, 0x0302);
	assert_int_equal(t->max_version, 0x0303);
	assert_true(slice_eq(t->cipher_list, SLICE("ECDHE-RSA-AES128-SHA:AES128-SHA:@SECLEVEL=0")));
	assert_int_equal(t->client.certificate, TLS_CLIENT_NONE);
	t = &chain_for(&l, 443, "e.com")->tls_settings;
	assert_int_equal(t->client.certificate, TLS_CLIENT_OPTIONAL);
	assert_int_equal(t->certificate_count, 2);
	assert_true(slice_eq(t->certificates[1].credential_name, SLICE("six")));
	assert_true(slice_eq(t->client.ns, SLICE("n")) && slice_eq(t->client.credential_name, SLICE("five-cacert")));
	assert_true(slice_eq(t->groups, SLICE("P-384:X25519")));
	t = &chain_for(&l, 443, "c.com")->tls_settings;
	assert_null(t->certificates[0].credential_name.at);
	assert_true(slice_eq(t->certificates[0].certificate_path, SLICE("/c.pem")) && slice_eq(t->certificates[0].key_path, SLICE("/k.pem")));
	assert_told(&l, "credentialName \"invalid://x\"");
	unload(&l);
}

/* ---- listeners ---- */

static void addresses_are_bound_as_written(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, GW("gw", SERVER(80, "HTTP", "[\"*\"]") NAMED("x", 8080, "HTTP", "[\"*\"]") "    bind: 10.0.0.1\n"
		    NAMED("y", 8080, "TCP", "[\"*\"]") "    bind: 10.0.0.2\n" NAMED("z", 8081, "HTTP", "[\"*\"]") "    bind: \"::1\"\n"
		    NAMED("u", 0, "HTTP", "[\"*\"]") "    bind: unix:///run/x.sock\n" NAMED("v", 0, "HTTP", "[\"*\"]") "    bind: unix://@abs\n"));
	assert_int_equal(l.s->listeners.count, 5);	/* G23: the TCP server has one of its own, not opened */
	assert_string_equal(l.s->listeners.items[0]->bind.key, host_has_ipv6() ? "[::]:80" : "0.0.0.0:80");
	assert_true(slice_eq(l.s->listeners.items[0]->name, SLICE("0.0.0.0_80")));
	assert_true(slice_eq(l.s->listeners.items[0]->plain->name, SLICE("outbound_0.0.0.0_80")));
	assert_string_equal(l.s->listeners.items[1]->bind.key, "10.0.0.1:8080");
	assert_string_equal(l.s->listeners.items[2]->bind.key, "[::1]:8081");
	assert_string_equal(l.s->listeners.items[3]->bind.key, "unix:/run/x.sock");
	assert_string_equal(l.s->listeners.items[4]->bind.key, "unix:@abs");
	for (size_t i = 0; i < 5; i++) {
		assert_null(l.s->listeners.items[i]->sni);
		assert_true(l.s->listeners.items[i]->bind.address_len != 0);
		assert_ptr_equal(listener_find_chain(l.s->listeners.items[i], SLICE("a.com")),
				 l.s->listeners.items[i]->plain);
	}
	unload(&l);
}

#define SERVICE_IN(ns) \
	"apiVersion: v1\nkind: Service\nmetadata: {name: gateway, namespace: " ns "}\n" \
	"spec: {selector: {istio: ingressgateway}, ports: [{name: a, port: 80, targetPort: 7080}, {name: b, port: 81, targetPort: 7081}, {name: c, port: 82}]}\n---\n"

static void ports_are_mapped(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, PROXY("ports: {80: 8080}") SERVICE_IN("istio-system")
	     GW("gw", SERVER(80, "HTTP", "[\"*\"]") SERVER(81, "HTTP", "[\"*\"]") SERVER(82, "HTTP", "[\"*\"]") SERVER(83, "HTTP", "[\"*\"]")
		"  - port: {number: 443, name: tls, protocol: HTTPS, targetPort: 8443}\n    hosts: [a.com]\n" SIMPLE("c")));
	assert_int_equal(listener(&l, 8080)->number, 80);	/* Proxy.spec.ports before Service */
	assert_int_equal(listener(&l, 7081)->number, 81);
	assert_int_equal(listener(&l, 82)->number, 82);
	assert_int_equal(listener(&l, 83)->number, 83);
	assert_int_equal(listener(&l, 8443)->number, 443);	/* G30 */
	assert_true(listener(&l, 83)->mapped);
	assert_int_equal(listener(&l, 8080)->plain->server_port, 80);
	assert_int_equal(snapshot_https_port(l.s, SLICE("A.com:80")), 8443);
	assert_int_equal(snapshot_https_port(l.s, SLICE("b.com")), 0);
	unload(&l);

	load(&l, SERVICE_IN("default") GW_ANY);
	assert_non_null(listener(&l, 80));
	assert_false(listener(&l, 80)->mapped);
	assert_true(told(&l, SEVERITY_NOTE, "is in another namespace than istio-system"));
	unload(&l);

	/* Two numbers on one bound port share it, each with its own number in matches. */
	load(&l, PROXY("ports: {80: 8080}") ENTRY("b", 80) ENTRY("c", 80)
	     GW("gw", SERVER(80, "HTTP", "[a.com]") SERVER(8080, "HTTP", "[b.com]"))
	     VS("v", "[a.com, b.com]", MATCH_TO("port: 80", "b") MATCH_TO("port: 8080", "c")));
	assert_int_equal(l.s->listeners.count, 1);
	assert_string_equal(served(&l, 8080, "a.com", "/"), "outbound|80||b.local");
	assert_string_equal(served(&l, 8080, "b.com", "/"), "outbound|80||c.local");
	unload(&l);
}

/* ---- warnings ---- */

struct warning_row {
	const char *yaml, *what;
	enum severity severity;
};

static const struct warning_row warning_rows[] = {
	{ "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {selector: {istio: other}, servers: [{port: {number: 80, name: p, protocol: HTTP}, hosts: [a.com]}]}\n",
	  "no Gateway's selector matches this proxy", SEVERITY_WARNING },
	{ "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {selector: {istio: other}, servers: [{port: {number: 80, name: p, protocol: HTTP}, hosts: [a.com]}]}\n",
	  "selector istio=other does not match this proxy", SEVERITY_NOTE },
	{ GW_ANY, "Gateway default/gw: no VirtualService is bound to it", SEVERITY_WARNING },
	{ GW("gw", SERVER(80, "HTTP", "[a.com]")) VS("v", "[b.com]", TO("b")), "none of its hosts is a host of its Gateways", SEVERITY_WARNING },
	{ GW_ANY VS_IN("default", "v", "[b.com]", "[gw, nowhere]", TO("b")), "VirtualService default/v: Gateway default/nowhere does not exist", SEVERITY_WARNING },
	{ BASE GW_ANY VS("v", "[a.com]", MATCH_TO("port: 81", "b")), "all of its http routes are for other ports or Gateways", SEVERITY_WARNING },
	{ BASE GW_ANY VS("a", "[a.com]", MATCH_TO("uri: {prefix: /x}", "b")) VS("b", "[a.com]", TO("b")),
	  "VirtualService default/b: host a.com is also that of VirtualService default/a", SEVERITY_WARNING },
	{ BASE GW_ANY VS("a", "[a.com]", TO("b")) VS("b", "[a.com]", TO("b")), "its route for everything is never reached at host a.com", SEVERITY_WARNING },
	{ GW("gw", SERVER(80, "HTTP", "[a.com]") TO_HTTPS), "httpsRedirect sends clients of a.com to https", SEVERITY_WARNING },
	{ GW("gw", NAMED("a", 80, "HTTP", "[a.com]") NAMED("b", 80, "TCP", "[a.com]")), "server b on port 80 is not served: Gateway default/gw, server a", SEVERITY_WARNING },
	{ GW("a", SERVER(443, "HTTPS", "[a.com]") SIMPLE("c")) GW("b", SERVER(443, "HTTPS", "[a.com]") SIMPLE("c")), "Gateway default/b: server p443 on port 443 is not served: Gateway default/a", SEVERITY_WARNING },
	{ GW("gw", NAMED("a", 443, "HTTPS", "[ns1/*.x.com]") SIMPLE("c") NAMED("b", 443, "HTTPS", "[ns2/*.x.com]") SIMPLE("c")), "*.x.com belongs to the server of Gateway default/gw at t:7 already", SEVERITY_WARNING },
	{ GW("gw", SERVER(443, "HTTPS", "[a.com]") "    tls: {mode: SIMPLE, credentialName: one, ecdhCurves: [X25519MLKEM768, P-384]}\n"), "ecdhCurves: X25519MLKEM768 is unknown to this OpenSSL", SEVERITY_WARNING },
	{ GW_ANY "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: default}\nspec: {hosts: [a.com], gateways: [gw], exportTo: [other], http: [{directResponse: {status: 200}}]}\n",
	  "exportTo hides it from this proxy, which is in namespace istio-system", SEVERITY_WARNING },
	{ BASE GW_ANY VS("v", "[a.com]", "  - route: [{destination: {host: b.local}}]\n    headers: {request: {set: {x: \"%UPSTREAM_TLS_VERSION%\"}}}\n"),
	  "header x: %UPSTREAM_TLS_VERSION% is accepted but not obeyed yet", SEVERITY_WARNING },
	{ GW("gw", SERVER(443, "TLS", "[a.com]") "    tls: {mode: PASSTHROUGH}\n") VS("v", "[a.com]", TO("b")), "its http routes have no effect", SEVERITY_WARNING },
	{ "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: default}\nspec: {selector: {matchLabels: {app: nobody}}}\n",
	  "AuthorizationPolicy default/p: it protects nothing: no workload that namespace default reaches has the labels app=nobody", SEVERITY_WARNING },
	{ BASE GW_ANY VS("v", "[a.com]", MATCH_TO("withoutHeaders: {\"@request.auth.claims.sub\": {}}", "b")),
	  "VirtualService default/v: no RequestAuthentication reaches this proxy", SEVERITY_WARNING },
	{ "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: p, namespace: empty}\nspec: {}\n",
	  "RequestAuthentication empty/p: it protects nothing: neither this proxy nor any workload is in namespace empty", SEVERITY_WARNING },
};

static void documents_that_do_not_fit_are_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(warning_rows); i++) {
		struct loaded l;

		load(&l, warning_rows[i].yaml);
		if (!told(&l, warning_rows[i].severity, warning_rows[i].what)) {
			problems_print(&l.problems, SEVERITY_NOTE, stderr);
			fail_msg("%s\nnot told: %s", warning_rows[i].yaml, warning_rows[i].what);
		}
		unload(&l);
	}
}

static void good_documents_are_left_in_peace(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, BASE GW("gw", NAMED("http", 80, "HTTP", "[\"*.a.com\", a.com]") TO_HTTPS NAMED("https", 443, "HTTPS", "[\"*.a.com\", a.com]") SIMPLE("c"))
	     VS("one", "[a.com]", TO("b")) VS("two", "[www.a.com]", TO("b"))
	     "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\n"
	     "spec: {selector: {matchLabels: {istio: ingressgateway}}}\n");
	if (l.problems.warnings != 0) {
		problems_print(&l.problems, SEVERITY_NOTE, stderr);
		fail_msg("%zu warnings", l.problems.warnings);
	}
	unload(&l);
}

/* ---- policies ---- */

#define POLICY(kind, ns, selector) \
	"apiVersion: security.istio.io/v1\nkind: " kind "\nmetadata: {name: p, namespace: " ns "}\nspec: {" selector "}\n---\n"

static void policies_reach_the_gateway_by_namespace_and_labels(void **state)
{
	static const struct { const char *yaml; bool any, gateway; } table[] = {
		{ GW_ANY, false, false },
		{ POLICY("AuthorizationPolicy", "istio-system", ""), true, true },
		{ POLICY("RequestAuthentication", "istio-system", "selector: {matchLabels: {istio: ingressgateway}}"), true, true },
		{ POLICY("RequestAuthentication", "istio-system", "selector: {matchLabels: {app: x}}"), true, false },
		{ POLICY("AuthorizationPolicy", "default", ""), true, false },
		{ PROXY("mesh: {rootNamespace: root}") POLICY("AuthorizationPolicy", "root", ""), true, true },
		{ POLICY("AuthorizationPolicy", "istio-system", "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: gw}]"), true, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct loaded l;

		load(&l, table[i].yaml);
		assert_int_equal(l.s->has_policies, table[i].any);
		assert_int_equal(l.s->gateway_has_policies, table[i].gateway);
		assert_true(slice_starts(l.s->gateway_workload, SLICE("istio-system/")));
		assert_true(slice_eq(l.s->gateway_labels, SLICE("app=istio-ingressgateway,istio=ingressgateway")));
		unload(&l);
	}
}

/* ---- routes as compiled ---- */

static void routes_carry_what_they_need(void **state)
{
	const struct route *r;
	struct loaded l;

	(void)state;
	load(&l, BASE ENTRY("c", 9000) GW_ANY VS("v", "[a.com]",
	     "  - name: split\n    match: [{name: m, uri: {prefix: /s}}]\n    timeout: 3s\n    route:\n"
	     "    - {destination: {host: b.local}, weight: 0}\n    - {destination: {host: c.local}, weight: 5}\n"
	     "    - {destination: {host: none.local}, weight: 5}\n" TO("c")));
	r = route_at(&l, listener(&l, 80)->plain, "a.com", "/s");
	assert_true(slice_eq(r->name, SLICE("split.m")));
	assert_int_equal(r->timeout_ms, 3000);
	assert_int_equal(r->targets.count, 2);		/* V38: nothing for weight 0 */
	assert_int_equal(r->weight_sum, 10);
	assert_false(r->fused_headers);
	assert_ptr_equal(r->targets.items[0].cluster, snapshot_find_cluster(l.s, SLICE("outbound|9000||c.local")));
	assert_null(r->targets.items[1].cluster);
	assert_true(slice_eq(r->targets.items[1].cluster_name, SLICE("outbound|80||none.local")));
	r = route_at(&l, listener(&l, 80)->plain, "a.com", "/other");
	assert_true(r->fused_headers && r->catch_all);
	assert_null(r->name.at);
	assert_null(snapshot_find_cluster(l.s, SLICE("outbound|1||c.local")));
	unload(&l);
}

static void routes_know_their_faults_and_mirrors(void **state)
{
	const struct route *r;
	struct loaded l;

	(void)state;
	load(&l, BASE ENTRY("c", 9000) GW_ANY VS("v", "[a.com]",
	     "  - match: [{uri: {prefix: /one}}]\n    route: [{destination: {host: b.local}}]\n"
	     "    mirror: {host: c.local, port: {number: 9000}}\n    mirrorPercent: 3\n"
	     "  - match: [{uri: {prefix: /two}}]\n    route: [{destination: {host: b.local}}]\n"
	     "    mirrors: [{destination: {host: none.local}}, {destination: {host: c.local}, percentage: {value: 0.5}}]\n"
	     "  - match: [{uri: {prefix: /fault}}]\n    route: [{destination: {host: b.local}}]\n"
	     "    fault: {abort: {httpStatus: 500, percentage: {value: 100}}}\n" TO("b")));
	r = route_at(&l, listener(&l, 80)->plain, "a.com", "/one");
	assert_int_equal(r->mirror_count, 1);
	assert_ptr_equal(r->mirrors[0].cluster, snapshot_find_cluster(l.s, SLICE("outbound|9000||c.local")));
	assert_int_equal(r->mirrors[0].per_million, 30000);
	r = route_at(&l, listener(&l, 80)->plain, "a.com", "/two");
	assert_int_equal(r->mirror_count, 2);
	assert_null(r->mirrors[0].cluster);
	assert_true(slice_eq(r->mirrors[0].cluster_name, SLICE("outbound|80||none.local")));
	assert_int_equal(r->mirrors[0].per_million, PER_MILLION);
	assert_non_null(r->mirrors[1].cluster);
	assert_int_equal(r->mirrors[1].per_million, 5000);
	assert_told(&l, "destination none.local: host none.local: no ServiceEntry or Service that this proxy sees "
		    "declares it; no copies of requests are sent there");
	r = route_at(&l, listener(&l, 80)->plain, "a.com", "/fault");
	assert_int_equal(r->fault->abort_status, 500);
	r = route_at(&l, listener(&l, 80)->plain, "a.com", "/");
	assert_true(r->fault == NULL && r->mirrors == NULL);
	unload(&l);
}

static void shares_are_drawn_as_written(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 2 * PER_MILLION; i += 999) {
		assert_false(share_is_drawn(0, i));
		assert_true(share_is_drawn(PER_MILLION, i));
		assert_int_equal(share_is_drawn(5000, i), i % PER_MILLION < 5000);
	}
	assert_true(share_is_drawn(1, UINT64_MAX - UINT64_MAX % PER_MILLION));
}

static void references_keep_a_snapshot(void **state)
{
	struct snapshot *second, *none = NULL;
	struct loaded l;

	(void)state;
	load(&l, BASE GW_ANY VS("v", "[a.com]", MATCH_TO("uri: {regex: \"/a+\"}", "b")));
	second = snapshot_ref(l.s);
	snapshot_unref(&l.s);
	assert_null(l.s);
	l.s = second;
	assert_string_equal(served(&l, 80, "a.com", "/aa"), "outbound|80||b.local");
	snapshot_unref(&none);
	unload(&l);
}

static void a_failed_build_says_why(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, GW("gw", NAMED("u", 0, "HTTP", "[\"*\"]")
		    "    bind: unix:///a/path/that/is/much/longer/than/any/socket/can/have/because/there/are/only/a/hundred/and/eight/bytes/in/an/address\n"));
	assert_null(l.s);
	assert_true(told(&l, SEVERITY_ERROR, "at most 107 are possible"));
	unload(&l);
}

#define SEC(kind, ns, spec) \
	"apiVersion: security.istio.io/v1\nkind: " kind "\nmetadata: {name: p, namespace: " ns "}\nspec: {" spec "}\n---\n"
#define AUTHN(ns, rule)	SEC("RequestAuthentication", ns, "jwtRules: [{issuer: i, jwks: '{\"keys\":[]}'" rule "}]")
#define CUSTOM(ns, provider)	SEC("AuthorizationPolicy", ns, "action: CUSTOM, provider: {name: " provider "}, rules: [{}]")
#define PROVIDERS PROXY("labels: {istio: ingressgateway}, mesh: {extensionProviders: [" \
	"{name: web, envoyExtAuthzHttp: {service: authz.example.com, port: 80, headersToUpstreamOnAllow: [x-user, \"x-p-*\"]}}, " \
	"{name: grpc, envoyExtAuthzGrpc: {service: authz.example.com, port: 80}}]}")

struct verdict_row {
	const char *documents, *match;
	bool depends;
};

/* What the gateway's own policies may change of a request; those of others say nothing of routes. */
static const struct verdict_row verdict_rows[] = {
	{ AUTHN("istio-system", ", outputClaimToHeaders: [{header: X-Tier, claim: tier}]"), "headers: {x-tier: {exact: a}}", true },
	{ AUTHN("istio-system", ", outputClaimToHeaders: [{header: X-Tier, claim: tier}]"), "headers: {x-other: {exact: a}}", false },
	{ AUTHN("elsewhere", ", outputClaimToHeaders: [{header: X-Tier, claim: tier}]"), "headers: {x-tier: {exact: a}}", false },
	{ AUTHN("istio-system", ", outputPayloadToHeader: x-payload"), "withoutHeaders: {x-payload: {}}", true },
	{ AUTHN("istio-system", ""), "withoutHeaders: {Authorization: {}}", true },
	{ AUTHN("istio-system", ", forwardOriginalToken: true"), "withoutHeaders: {Authorization: {}}", false },
	{ AUTHN("istio-system", ", fromHeaders: [{name: X-Token}]"), "headers: {x-token: {}}", true },
	{ AUTHN("istio-system", ", fromHeaders: [{name: X-Token}]"), "headers: {authorization: {}}", false },
	{ AUTHN("istio-system", ""), "queryParams: {access_token: {}}", true },
	{ AUTHN("istio-system", ""), "queryParams: {other: {}}", false },
	{ AUTHN("istio-system", ""), "headers: {\":path\": {prefix: /}}", true },
	{ AUTHN("istio-system", ", fromHeaders: [{name: X-Token}]"), "headers: {\":path\": {prefix: /}}", false },
	{ AUTHN("istio-system", ", fromParams: [t]"), "queryParams: {t: {}}", true },
	{ AUTHN("istio-system", ", fromCookies: [t]"), "headers: {cookie: {}}", false },
	{ AUTHN("istio-system", ""), "headers: {\"@request.auth.claims.sub\": {}}", true },
	{ AUTHN("elsewhere", ""), "headers: {\"@request.auth.claims.sub\": {}}", false },
	{ CUSTOM("istio-system", "web"), "headers: {X-User: {exact: a}}", true },
	{ CUSTOM("istio-system", "web"), "headers: {x-p-1: {exact: a}}", true },
	{ CUSTOM("istio-system", "web"), "headers: {x-q: {exact: a}}", false },
	{ CUSTOM("istio-system", "grpc"), "headers: {x-q: {exact: a}}", true },
	{ CUSTOM("elsewhere", "grpc"), "headers: {x-q: {exact: a}}", false },
	{ CUSTOM("istio-system", "grpc"), "method: {exact: GET}", false },
	{ CUSTOM("istio-system", "grpc"), "queryParams: {tier: {exact: a}}", true },
	{ CUSTOM("istio-system", "grpc"), "headers: {\":path\": {prefix: /}}", true },
	{ CUSTOM("istio-system", "grpc"), "uri: {prefix: /}", false },
	{ CUSTOM("istio-system", "web"), "queryParams: {tier: {exact: a}}", false },
	{ CUSTOM("elsewhere", "grpc"), "queryParams: {tier: {exact: a}}", false },
	{ "", "headers: {x-q: {exact: a}}", false },
};

static void what_verdicts_may_change_is_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(verdict_rows); i++) {
		const struct verdict_row *row = &verdict_rows[i];
		struct route_input in;
		struct loaded l;
		struct text t;

		text_init(&t);
		text_printf(&t, "%s%s" BASE GW_ANY "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			    "metadata: {name: v, namespace: default}\nspec:\n  hosts: [a.com]\n  gateways: [gw]\n  http:\n"
			    "  - match: [{%s}]\n    route: [{destination: {host: b.local}}]\n" TO("b"),
			    PROVIDERS, row->documents, row->match);
		load(&l, t.at);
		assert_non_null(l.s);
		in = (struct route_input){ .request = request(&l, "a.com", "/"), .arena = l.arena };
		if (virtual_host_depends_on_verdict(route_table_find(listener(&l, 80)->plain->routes, SLICE("a.com")), &in) !=
		    row->depends)
			fail_msg("%s with %s", row->match, row->documents);
		unload(&l);
		text_fini(&t);
	}
}

/* A host asks for all of its claims at once, which needs room in a question. */
static void claims_of_a_host_are_bounded(void **state)
{
	(void)state;
	for (unsigned n = 100; n <= 1000; n *= 10) {
		struct loaded l;
		struct text t;

		text_init(&t);
		text_printf(&t, "%s", GW_ANY "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			    "metadata: {name: v, namespace: default}\n"
			    "spec:\n  hosts: [a.com]\n  gateways: [gw]\n  http:\n");
		for (unsigned i = 0; i < n; i++)
			text_printf(&t, "  - match: [{headers: {\"@request.auth.claims.c%u\": {exact: x}}}]\n"
				    "    directResponse: {status: 200}\n", i);
		load(&l, t.at);
		assert_true((l.s == NULL) == (n == 1000));
		assert_true(told(&l, SEVERITY_ERROR, "the routes of host a.com ask for 1000 different claims") ==
			    (n == 1000));
		unload(&l);
		text_fini(&t);
	}
}

/* ---- hosts: against the words of the specification ---- */

static const char *const host_pool[] = {
	"*", "a.com", "b.com", "x.a.com", "y.x.a.com", "*.a.com", "*.x.a.com", "*.com", "*.b.com", "*y.x.a.com", "com",
};

struct host_set {
	const char *items[64];
	size_t count;
};

static void add_host(struct host_set *s, const char *host)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->items[i], host) == 0)
			return;
	s->items[s->count++] = host;
}

static void take_host(void *arg, struct slice domain)
{
	for (size_t i = 0; i < COUNT_OF(host_pool); i++)
		if (slice_eq(domain, slice_of(host_pool[i])))
			add_host(arg, host_pool[i]);
}

static void hosts_in_common_are_those_of_the_definition(void **state)
{
	static const char *const namespaces[] = { NULL, "n1", "n2" };

	(void)state;
	srand(7);
	for (unsigned round = 0; round < 3000; round++) {
		struct arena *a = arena_create(0);
		struct server_host hosts[6] = { 0 };
		struct server s = { .hosts = { hosts, 1 + (size_t)rand() % 6 } };
		struct slice services[4];
		size_t count = 1 + (size_t)rand() % 4;
		struct host_set found = { .count = 0 }, expected = { .count = 0 };

		for (size_t i = 0; i < s.hosts.count; i++) {
			hosts[i].host = slice_of(host_pool[rand() % COUNT_OF(host_pool)]);
			hosts[i].ns = slice_of(namespaces[rand() % 3]);
		}
		for (size_t i = 0; i < count; i++)
			services[i] = slice_of(host_pool[rand() % COUNT_OF(host_pool)]);
		server_hosts_intersect(server_hosts_create(a, &s), SLICE("n1"), services, count, take_host, &found);
		for (size_t i = 0; i < s.hosts.count; i++)
			for (size_t k = 0; k < count; k++) {
				if (hosts[i].ns.at != NULL && !slice_eq(hosts[i].ns, SLICE("n1")))
					continue;
				if (hostname_subset(hosts[i].host, services[k]))
					take_host(&expected, hosts[i].host);
				else if (hostname_subset(services[k], hosts[i].host))
					take_host(&expected, services[k]);
			}
		for (size_t i = 0; i < expected.count; i++) {
			size_t k = 0;

			while (k < found.count && found.items[k] != expected.items[i])
				k++;
			assert_true(k < found.count);
		}
		assert_int_equal(found.count, expected.count);
		arena_free(&a);
	}
}

/* ---- size (printed, not judged) ---- */

/* CPU time: neighbours on the machine count less. */
static int64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static long resident_kib(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f != NULL && fscanf(f, "%ld %ld", &pages, &resident) != 2)
		resident = 0;
	if (f != NULL)
		fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void measure(size_t hosts, bool one_by_one)
{
	enum { ROUTES = 10, LOOKUPS = 200000 };
	struct problems ps;
	struct resource_set *set;
	struct snapshot *s;
	struct arena *a = arena_create(0);
	struct text yaml;
	int64_t start = cpu_us(), loaded, built;
	long before = resident_kib();
	size_t found = 0;
	double ns;

	text_init(&yaml);
	text_printf(&yaml, BASE "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: default}\n"
		    "spec:\n  servers:\n  - port: {number: 80, name: http, protocol: HTTP}\n    hosts:\n");
	for (size_t h = 0; h < hosts && one_by_one; h++)
		text_printf(&yaml, "    - host%zu.example\n", h);
	text_printf(&yaml, one_by_one ? "---\n" : "    - \"*.example\"\n    - \"*\"\n---\n");
	for (size_t h = 0; h < hosts; h++) {
		text_printf(&yaml, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v%zu, namespace: default}\n"
			    "spec:\n  hosts: [host%zu.example]\n  gateways: [gw]\n  http:\n", h, h);
		for (size_t r = 0; r < ROUTES; r++)
			text_printf(&yaml, "  - {match: [{uri: {prefix: /svc%zu/}}], route: [{destination: {host: b.local}}]}\n", r);
		text_add(&yaml, SLICE("---\n"));
	}
	problems_init(&ps);
	set = resource_set_parse("t", text_slice(&yaml), &ps);
	assert_int_equal(ps.errors, 0);
	loaded = cpu_us();
	s = snapshot_build(set, 1, &ps);
	built = cpu_us();
	assert_non_null(s);
	for (size_t i = 0; i < LOOKUPS; i++) {
		struct message m = { .method = SLICE("GET"), .scheme = SLICE("http"), .path = SLICE("/svc7/items?id=1") };
		const struct route_input in = { .request = &m, .arena = a };
		char host[64];

		m.authority = slice_make(host, (size_t)snprintf(host, sizeof(host), "host%zu.example", i * 7919 % hosts));
		found += virtual_host_match(route_table_find(s->listeners.items[0]->plain->routes, m.authority), &in) != NULL;
	}
	ns = (double)(cpu_us() - built) * 1000 / LOOKUPS;
	assert_int_equal(found, LOOKUPS);
	print_message("  %5zu hosts x %d routes%s: read in %5.0f ms, built in %5.0f ms, %7ld KiB with documents, %4.0f ns a request "
		      "(its host printed)\n", hosts, ROUTES, one_by_one ? ", each in the Gateway" : "",
		      (double)(loaded - start) / 1000, (double)(built - loaded) / 1000, resident_kib() - before, ns);
	snapshot_unref(&s);
	problems_fini(&ps);
	text_fini(&yaml);
	arena_free(&a);
}

static void size_is_shown(void **state)
{
	(void)state;
	measure(10, false);
	measure(10000, false);
	measure(10000, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_find_their_routes),
		cmocka_unit_test(connections_find_their_chains),
		cmocka_unit_test(tls_servers_have_their_own_tables),
		cmocka_unit_test(reused_connections_are_told_apart),
		cmocka_unit_test(demands_on_clients_are_compared),
		cmocka_unit_test(tls_settings_are_openssl_s),
		cmocka_unit_test(addresses_are_bound_as_written),
		cmocka_unit_test(ports_are_mapped),
		cmocka_unit_test(documents_that_do_not_fit_are_told),
		cmocka_unit_test(good_documents_are_left_in_peace),
		cmocka_unit_test(policies_reach_the_gateway_by_namespace_and_labels),
		cmocka_unit_test(routes_carry_what_they_need),
		cmocka_unit_test(routes_know_their_faults_and_mirrors),
		cmocka_unit_test(shares_are_drawn_as_written),
		cmocka_unit_test(references_keep_a_snapshot),
		cmocka_unit_test(a_failed_build_says_why),
		cmocka_unit_test(what_verdicts_may_change_is_known),
		cmocka_unit_test(claims_of_a_host_are_bounded),
		cmocka_unit_test(hosts_in_common_are_those_of_the_definition),
		cmocka_unit_test(size_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
