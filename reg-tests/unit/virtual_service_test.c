/* SPDX-License-Identifier: Apache-2.0
 *
 * VirtualService: what a spec decodes to, and every rule of spec/virtual-service.md 3. */
#include "document_check.h"
#include "sallyport/resource/virtual_service.h"

static void *decode(struct decoder *d, const struct node *spec, const struct meta *meta)
{
	return virtual_service_decode(d, spec, meta);
}

/* Indentation of what the rows below leave out. */
#define HEAD	"hosts: [shop.example]\ngateways: [edge]\n"
#define ROUTE(rest)	HEAD "http:\n- " rest "\n"
#define TO	"route: [{destination: {host: cart.shop.svc}}]"
#define MATCH(item)	HEAD "http:\n- match:\n  - " item "\n  " TO "\n"
#define TCP(rest)	HEAD "tcp:\n- " rest "\n"
#define TLS(item)	HEAD "tls:\n- match:\n  - " item "\n  route: [{destination: {host: cart.shop.svc}}]\n"
#define LATER(where, path)	where ": warning: VirtualService shop/web: " path ": is accepted but not obeyed yet\n"

static const struct document_row rules[] = {
	/* 3.1 the document */
	{ "V01", "hosts: [a.b]\ngateways: [edge]\n", "1:1: VirtualService shop/web: spec: no routes: give http, tls or tcp\n" },
	{ "V02", "gateways: [edge]\nhttp: [{" TO "}]\n", "1:11: VirtualService shop/web: spec: without hosts this is a delegate, which must not name gateways\n" },
	{ "V03", "tls: [{match: [{sniHosts: [a.b]}], " TO "}]\n",
	  "1:1: warning: VirtualService shop/web: spec.tls: is accepted but not obeyed yet\n"
	  "1:6: VirtualService shop/web: spec: without hosts this is a delegate, which must not have tls routes\n" },
	{ "V05", "hosts: [\"\"]\ngateways: [edge]\nhttp: [{" TO "}]\n", "1:9: VirtualService shop/web: spec.hosts[0]: an empty host\n" },
	{ "V06", "hosts: [a_b.example]\ngateways: [edge]\nhttp: [{" TO "}]\n", "*1:9: VirtualService shop/web: spec.hosts[0]: invalid host \"a_b.example\"" },
	{ "V06 ip", "hosts: [10.1.2.3]\ngateways: [edge]\nhttp: [{" TO "}]\n", "" },
	{ "V07", "hosts: [\"*\"]\nhttp: [{" TO "}]\n",
	  "1:1: warning: VirtualService shop/web: spec: has no effect at the edge: no Gateway is named in gateways\n"
	  "1:9: VirtualService shop/web: spec.hosts[0]: \"*\" needs a gateway-only VirtualService: name the Gateway in gateways, without mesh\n" },
	{ "V08", "hosts: [\"*.a.com\", x.a.com]\ngateways: [edge]\nhttp: [{" TO "}]\n",
	  "1:20: VirtualService shop/web: spec.hosts: overlapping hosts: \"x.a.com\" and \"*.a.com\" of line 1\n" },
	{ "V08 equal", "hosts: [x.a.com, X.a.com.]\ngateways: [edge]\nhttp: [{" TO "}]\n",
	  "1:18: VirtualService shop/web: spec.hosts: overlapping hosts: \"x.a.com\" and \"x.a.com\" of line 1\n" },
	{ "V08 apart", "hosts: [\"*.a.com\", a.com]\ngateways: [edge]\nhttp: [{" TO "}]\n", "" },
	{ "V09", "hosts: [a.b]\ngateways: [\"*/x\"]\nhttp: [{" TO "}]\n", "2:12: VirtualService shop/web: spec.gateways[0]: invalid gateway reference \"*/x\", write name, namespace/name or mesh\n" },
	{ "V10", "hosts: [a.b]\ngateways: [a_b]\nhttp: [{" TO "}]\n", "2:12: VirtualService shop/web: spec.gateways[0]: invalid gateway reference \"a_b\", write name, namespace/name or mesh\n" },
	{ "V11", "hosts: [a.b]\ngateways: [edge.infra]\nhttp: [{" TO "}]\n", "2:12: warning: VirtualService shop/web: spec.gateways[0]: \"edge.infra\" is an old form of a gateway reference, write infra/edge\n" },
	{ "V12", "hosts: [a.b]\ngateways: [edge, shop/edge]\nhttp: [{" TO "}]\n", "2:18: warning: VirtualService shop/web: spec.gateways: duplicate gateway\n" },
	{ "V13", HEAD "exportTo: [\"~\"]\nhttp: [{" TO "}]\n", "3:12: VirtualService shop/web: spec.exportTo[0]: bad exportTo value \"~\", use \".\", \"*\" or a namespace\n" },
	{ "V14", HEAD "exportTo: [\".\", shop]\nhttp: [{" TO "}]\n", "3:17: VirtualService shop/web: spec.exportTo[1]: duplicate exportTo value \"shop\": \".\" is the resource's own namespace\n" },
	{ "V15", HEAD "exportTo: [\"*\", shop]\nhttp: [{" TO "}]\n", "3:11: VirtualService shop/web: spec.exportTo: \"*\" must stand alone\n" },
	{ "V16", HEAD "http:\n- null\n", "*4:3: VirtualService shop/web: spec.http[0]: is null" },
	{ "V17", "hosts: [a.b]\ngateways: [mesh]\nhttp: [{" TO "}]\n", "2:11: warning: VirtualService shop/web: spec: has no effect at the edge: no Gateway is named in gateways\n" },
	{ "unknown", HEAD "http:\n- matches: []\n  " TO "\n", "4:3: VirtualService shop/web: spec.http[0]: unknown field \"matches\", did you mean \"match\"?\n" },

	/* 3.2 actions */
	{ "V20", ROUTE("{delegate: {name: x}, " TO "}"),
	  "4:3: VirtualService shop/web: spec.http[0]: delegate excludes route\n" LATER("4:4", "spec.http[0].delegate") },
	{ "V21", "http:\n- delegate: {name: x}\n",
	  LATER("2:3", "spec.http[0].delegate") "2:13: VirtualService shop/web: spec.http[0]: delegates cannot be chained: this VirtualService has no hosts, so it is one itself\n" },
	{ "V22", ROUTE("{redirect: {uri: /x}, " TO ", directResponse: {status: 200}}"),
	  "4:3: VirtualService shop/web: spec.http[0]: redirect excludes route\n"
	  "4:3: VirtualService shop/web: spec.http[0]: redirect excludes directResponse\n"
	  "4:3: VirtualService shop/web: spec.http[0]: directResponse excludes route\n" },
	{ "V23", ROUTE("{directResponse: {status: 200}, rewrite: {uri: /x}}"), "4:3: VirtualService shop/web: spec.http[0]: directResponse excludes rewrite\n" },
	{ "V24", ROUTE("name: x"), "4:3: VirtualService shop/web: spec.http[0]: needs an action: route, redirect or directResponse\n" },
	{ "V25", ROUTE("{" TO ", mirror: {host: a.b}, mirrors: [{destination: {host: a.b}}]}"), "*4:3: VirtualService shop/web: spec.http[0]: mirror excludes mirrors" },
	{ "V26", ROUTE("delegate: {namespace: shop}"), "4:13: VirtualService shop/web: spec.http[0].delegate: missing required field \"name\"\n" },
	{ "V26 name", ROUTE("delegate: {name: a.b}"), "4:20: VirtualService shop/web: spec.http[0].delegate.name: \"a.b\" is no name of a VirtualService\n" },
	{ "V27", ROUTE("{redirect: {uri: /x}, timeout: 1s}"), "4:34: warning: VirtualService shop/web: spec.http[0]: timeout has no effect with redirect\n" },

	/* 3.3 matches */
	{ "V30", MATCH("headers: {\"a b\": {exact: x}}"), "*5:15: VirtualService shop/web: spec.http[0].match[0].headers.a b: \"a b\" is no header name" },
	{ "V31", MATCH("queryParams: {k: null}"), "5:19: VirtualService shop/web: spec.http[0].match[0].queryParams.k: has no condition, write {} for \"present, whatever its value\"\n" },
};

static void every_rule_is_told(void **state)
{
	(void)state;
	check_documents(decode, "VirtualService", rules, COUNT_OF(rules));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
