/* SPDX-License-Identifier: Apache-2.0
 *
 * clusters_test.c - clusters with the DestinationRule that applies and the policies that reach them. */
#include "registry_rig.h"
#include "sallyport/policy_reach.h"

#define ENTRY(ns, name, host) \
	"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n" \
	"metadata: {name: " name ", namespace: " ns "}\n" \
	"spec:\n  hosts: [" host "]\n  resolution: STATIC\n" \
	"  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: other, protocol: HTTP}]\n" \
	"  endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}}, " \
	"{address: 10.0.0.3, labels: {version: v2, canary: 'yes'}}]\n"
#define RULE(ns, name, host) \
	"---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n" \
	"metadata: {name: " name ", namespace: " ns "}\nspec:\n  host: '" host "'\n"
#define PROXY(ns) \
	"---\napiVersion: sallyport.io/v1\nkind: Proxy\nmetadata: {name: edge, namespace: " ns "}\n"

static struct documents d;

static struct cluster *get(const char *host, uint32_t port, const char *subset)
{
	struct slice name;
	struct cluster *c = ask(&d, "default", host, port, subset, &name);

	if (c == NULL) {
		documents_print(&d);
		fail_msg("no cluster for %s", host);
	}
	return c;
}

static void test_subsets(void **state)
{
	struct slice name;

	(void)state;
	documents_open(&d, ENTRY("shop", "a", "a.test")
		RULE("shop", "a", "a.test")
		"  subsets:\n  - {name: v1, labels: {version: v1}}\n  - {name: v2, labels: {version: v2}}\n"
		"  - {name: canary, labels: {version: v2, canary: 'yes'}}\n  - {name: all}\n"
		"  - {name: none, labels: {version: v3}}\n");
	ASSERT_SUBSET(&d, "a.test", 80, "v1", "10.0.0.1:80");
	ASSERT_SUBSET(&d, "a.test", 80, "v2", "10.0.0.2:80 10.0.0.3:80");
	ASSERT_SUBSET(&d, "a.test", 80, "canary", "10.0.0.3:80");
	ASSERT_SUBSET(&d, "a.test", 80, "all", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
	ASSERT_SUBSET(&d, "a.test", 80, "none", "");		/* static: UH */
	ASSERT_SUBSET(&d, "a.test", 80, NULL, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
	assert_int_equal(d.problems.count, 0);
	ASSERT_SUBSET(&d, "a.test", 80, "v9", "NC");
	ASSERT_WARNED(&d, "VirtualService default/route: destination a.test: subset v9 of a.test is not "
			  "defined: DestinationRule shop/a has v1, v2, canary, all, none; its requests are "
			  "answered 503");
	ask(&d, "default", "a.test", 80, "v9", &name);
	assert_string_equal(name.at, "outbound|80|v9|a.test");
	assert_int_equal(d.problems.count, 1);			/* told once for each place */
	documents_close(&d);
}

static void test_a_subset_without_a_rule(void **state)
{
	(void)state;
	documents_open(&d, ENTRY("shop", "a", "a.test"));
	ASSERT_SUBSET(&d, "a.test", 80, "v1", "NC");
	ASSERT_WARNED(&d, "subset v1 of a.test is defined nowhere");
	documents_close(&d);
}

/* Endpoints of slices have no labels: a static group without members (spec 19, 13). With DNS the
 * group is not there at all. */
static void test_subsets_of_unlabelled_endpoints(void **state)
{
	(void)state;
	documents_open(&d,
		"apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: default}\n"
		"spec: {ports: [{name: http, port: 80}], selector: {version: v1}}\n"
		"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
		"metadata: {name: api-1, namespace: default, labels: {kubernetes.io/service-name: api}}\n"
		"ports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.0.1]}]\n"
		"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: d}\n"
		"spec: {hosts: [d.test], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n"
		RULE("default", "api", "api") "  subsets: [{name: v1, labels: {version: v1}}]\n"
		RULE("default", "d", "d.test") "  subsets: [{name: v1, labels: {version: v1}}]\n");
	ASSERT_SUBSET(&d, "api", 80, "v1", "");
	ASSERT_SUBSET(&d, "d.test", 80, "v1", "NC");
	ASSERT_WARNED(&d, "d.test has no endpoint in this subset");
	documents_close(&d);
}

/* Spec destination-rule.md 6: blocks are atomic, port entries replace all of them. */
static void test_policy_inheritance(void **state)
{
	struct cluster *c;

	(void)state;
	documents_open(&d, ENTRY("shop", "a", "a.test")
		RULE("shop", "a", "a.test")
		"  trafficPolicy:\n    loadBalancer: {simple: ROUND_ROBIN}\n"
		"    connectionPool: {tcp: {connectTimeout: 2s}, http: {maxRequestsPerConnection: 7, idleTimeout: 9s}}\n"
		"    portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]\n"
		"  subsets:\n  - {name: plain}\n"
		"  - {name: pool, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 30s}}}}\n"
		"  - {name: through, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}\n"
		"  - {name: never, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 0s}}}}\n");
	for (int i = 0; i < 2; i++) {
		c = get("a.test", 80, i == 0 ? NULL : "plain");
		assert_int_equal(c->balance, BALANCE_ROUND_ROBIN);
		assert_int_equal(c->connect_timeout_ms, 2000);
		assert_int_equal(c->idle_timeout_ms, 9000);
		assert_int_equal(c->max_requests_per_connection, 7);
	}
	c = get("a.test", 81, NULL);
	assert_int_equal(c->balance, BALANCE_RANDOM);
	assert_int_equal(c->connect_timeout_ms, 10000);
	assert_int_equal(c->max_requests_per_connection, 0);
	c = get("a.test", 80, "pool");
	assert_int_equal(c->balance, BALANCE_ROUND_ROBIN);
	assert_int_equal(c->connect_timeout_ms, 10000);
	assert_int_equal(c->idle_timeout_ms, 30000);
	assert_int_equal(get("a.test", 80, "through")->balance, BALANCE_PASSTHROUGH);
	assert_int_equal(get("a.test", 80, "never")->idle_timeout_ms, 0);
	documents_close(&d);
}

static void test_defaults_come_from_the_proxy(void **state)
{
	struct cluster *c;

	(void)state;
	documents_open(&d, PROXY("edge")
		"spec: {limits: {connectTimeout: 3s, upstreamIdleTimeout: 4s}, mesh: {dnsRefreshRate: 5s}}\n"
		ENTRY("shop", "a", "a.test"));
	c = get("a.test", 80, NULL);
	assert_int_equal(c->connect_timeout_ms, 3000);
	assert_int_equal(c->idle_timeout_ms, 4000);
	assert_int_equal(c->dns_refresh_ms, 5000);
	documents_close(&d);
}

/* TLS that cannot be spoken yet must not turn into plain text. */
static void test_tls_is_not_sent_in_plain(void **state)
{
	(void)state;
	documents_open(&d, ENTRY("shop", "a", "a.test") ENTRY("shop", "b", "b.test")
		RULE("shop", "a", "a.test") "  trafficPolicy: {tls: {mode: SIMPLE}}\n"
		RULE("shop", "b", "b.test") "  trafficPolicy: {tls: {mode: DISABLE}}\n");
	ASSERT_SUBSET(&d, "a.test", 80, NULL, "");
	ASSERT_WARNED(&d, "TLS towards endpoints is accepted but not obeyed yet: nothing is sent there");
	ASSERT_SUBSET(&d, "b.test", 80, NULL, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
	documents_close(&d);
}

/* Spec destination-rule.md 10. */
static void test_protocols(void **state)
{
	static const struct {
		const char *http;	/* of connectionPool */
		enum upstream_protocol of_http, of_grpc;
	} rows[] = {
		{ "{}", UPSTREAM_HTTP1, UPSTREAM_HTTP2 },
		{ "{h2UpgradePolicy: DEFAULT}", UPSTREAM_HTTP1, UPSTREAM_HTTP2 },
		{ "{h2UpgradePolicy: DO_NOT_UPGRADE}", UPSTREAM_HTTP1, UPSTREAM_HTTP2 },
		{ "{h2UpgradePolicy: UPGRADE}", UPSTREAM_HTTP2, UPSTREAM_HTTP2 },
		{ "{useClientProtocol: true}", UPSTREAM_AS_CLIENT, UPSTREAM_AS_CLIENT },
		{ "{useClientProtocol: false, maxConcurrentStreams: 7}", UPSTREAM_HTTP1, UPSTREAM_HTTP2 },
	};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		snprintf(text, sizeof(text),
			"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: g, namespace: shop}\n"
			"spec: {hosts: [g.test], resolution: STATIC, endpoints: [{address: 10.0.0.1}],\n"
			"  ports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: b, protocol: GRPC},\n"
			"          {number: 82, name: grpc-web-x, protocol: HTTP2}]}\n"
			RULE("shop", "g", "g.test") "  trafficPolicy: {connectionPool: {http: %s}}\n", rows[i].http);
		documents_open(&d, text);
		assert_int_equal(get("g.test", 80, NULL)->protocol, rows[i].of_http);
		assert_int_equal(get("g.test", 81, NULL)->protocol, rows[i].of_grpc);
		assert_int_equal(get("g.test", 82, NULL)->protocol, rows[i].of_grpc);
		assert_int_equal(get("g.test", 81, NULL)->max_concurrent_streams,
				 i == 5 ? 7 : i == 4 ? 0 : INT32_MAX);
		documents_close(&d);
	}
}

/* --- which rule applies: destination-rule.md 4 and 5 ------------------------------------------ */

#define TIMEOUT(s)	"  trafficPolicy: {connectionPool: {tcp: {connectTimeout: " s "s}}}\n"

struct rule_row {
	const char *name, *rules;
	int64_t connect_ms;		/* of a.shop.test in namespace shop; the proxy is in edge */
};

static const struct rule_row rule_rows[] = {
	{ "none", "", 10000 },
	{ "the service's namespace", RULE("shop", "r", "a.shop.test") TIMEOUT("1"), 1000 },
	{ "the root namespace", RULE("istio-system", "r", "a.shop.test") TIMEOUT("2"), 2000 },
	{ "the proxy's namespace", RULE("edge", "r", "a.shop.test") TIMEOUT("3"), 3000 },
	{ "another namespace", RULE("elsewhere", "r", "a.shop.test") TIMEOUT("4"), 10000 },
	{ "a wildcard in the proxy's beats an exact one in the service's",
	  RULE("edge", "r", "*.test") TIMEOUT("5") RULE("shop", "r", "a.shop.test") TIMEOUT("1"), 5000 },
	{ "exact beats wildcard", RULE("shop", "b", "*.shop.test") TIMEOUT("6")
	  RULE("shop", "a", "a.shop.test") TIMEOUT("1"), 1000 },
	{ "the longer wildcard wins", RULE("shop", "a", "*.test") TIMEOUT("6")
	  RULE("shop", "b", "*.shop.test") TIMEOUT("7"), 7000 },
	{ "all hosts", RULE("shop", "a", "*") TIMEOUT("8"), 8000 },
	{ "the service's before the root's", RULE("istio-system", "r", "a.shop.test") TIMEOUT("2")
	  RULE("shop", "a", "*") TIMEOUT("8"), 8000 },
	{ "private to the service's namespace", RULE("shop", "r", "a.shop.test") "  exportTo: ['.']\n" TIMEOUT("1"),
	  10000 },
	{ "private, so the root's", RULE("shop", "r", "a.shop.test") "  exportTo: ['.']\n" TIMEOUT("1")
	  RULE("istio-system", "r", "*.test") TIMEOUT("2"), 2000 },
	{ "exported to the proxy", RULE("shop", "r", "a.shop.test") "  exportTo: [edge]\n" TIMEOUT("1"), 1000 },
	{ "exported to others: less specific ones are not tried, the root's are",
	  RULE("shop", "r", "a.shop.test") "  exportTo: [foo, bar]\n" TIMEOUT("1")
	  RULE("shop", "s", "*") TIMEOUT("8") RULE("istio-system", "r", "*") TIMEOUT("2"), 2000 },
	{ "private in the proxy's", RULE("edge", "r", "a.shop.test") "  exportTo: ['.']\n" TIMEOUT("3"), 3000 },
	{ "in the proxy's, but for others", RULE("edge", "r", "a.shop.test") "  exportTo: [foo]\n" TIMEOUT("3"),
	  10000 },
	{ "a selector that picks this proxy", RULE("edge", "r", "a.shop.test")
	  "  workloadSelector: {matchLabels: {istio: ingressgateway}}\n" TIMEOUT("3")
	  RULE("edge", "a", "a.shop.test") TIMEOUT("4"), 3000 },
	{ "a selector that does not", RULE("edge", "r", "a.shop.test")
	  "  workloadSelector: {matchLabels: {istio: other}}\n" TIMEOUT("3")
	  RULE("edge", "z", "a.shop.test") TIMEOUT("4"), 4000 },
	{ "the first of two by name", RULE("shop", "b", "a.shop.test") TIMEOUT("2")
	  RULE("shop", "a", "a.shop.test") TIMEOUT("1"), 1000 },
	{ "adopted where the first has none", RULE("shop", "b", "a.shop.test") TIMEOUT("2")
	  RULE("shop", "a", "a.shop.test") "  subsets: [{name: v1}]\n", 2000 },
	{ "a short name does not match a host with dots", RULE("shop", "a", "a") TIMEOUT("2"), 10000 },
};

static void test_which_rule_applies(void **state)
{
	char text[4096];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rule_rows); i++) {
		const struct rule_row *row = &rule_rows[i];
		int64_t found;

		snprintf(text, sizeof(text), "%s%s%s", PROXY("edge") "spec: {}\n",
			 ENTRY("shop", "a", "a.shop.test"), row->rules);
		documents_open(&d, text);
		found = get("a.shop.test", 80, NULL)->connect_timeout_ms;
		if (found != row->connect_ms)
			fail_msg("%s: %ld, not %ld", row->name, (long)found, (long)row->connect_ms);
		documents_close(&d);
	}
}

/* With the proxy in the root namespace, rules beside the service win over exported root rules. */
static void test_rules_of_a_proxy_in_the_root_namespace(void **state)
{
	(void)state;
	documents_open(&d, ENTRY("shop", "a", "a.test")
		RULE("istio-system", "r", "a.test") TIMEOUT("2") RULE("shop", "r", "*.test") TIMEOUT("1"));
	assert_int_equal(get("a.test", 80, NULL)->connect_timeout_ms, 1000);
	documents_close(&d);
	documents_open(&d, ENTRY("shop", "a", "a.test")
		RULE("istio-system", "r", "a.test") "  exportTo: ['.']\n" TIMEOUT("2")
		RULE("shop", "r", "*.test") TIMEOUT("1"));
	assert_int_equal(get("a.test", 80, NULL)->connect_timeout_ms, 2000);
	documents_close(&d);
}

static void test_rules_for_one_host_merge(void **state)
{
	(void)state;
	documents_open(&d, ENTRY("shop", "a", "a.test")
		RULE("shop", "a", "a.test") TIMEOUT("1") "  subsets: [{name: one, labels: {version: v1}}]\n"
		RULE("shop", "b", "a.test") TIMEOUT("2")
		"  subsets: [{name: one, labels: {version: v2}}, {name: two, labels: {version: v2}}]\n");
	ASSERT_SUBSET(&d, "a.test", 80, "one", "10.0.0.1:80");
	ASSERT_SUBSET(&d, "a.test", 80, "two", "10.0.0.2:80 10.0.0.3:80");
	assert_int_equal(get("a.test", 80, "two")->connect_timeout_ms, 1000);
	ASSERT_WARNED(&d, "DestinationRule shop/b: spec.trafficPolicy is ignored: DestinationRule shop/a");
	ASSERT_WARNED(&d, "DestinationRule shop/b: subset one is ignored: DestinationRule shop/a");
	documents_close(&d);
}

/* A short host means the rule's own namespace. */
static void test_short_rule_hosts(void **state)
{
	(void)state;
	documents_open(&d,
		"apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n"
		"spec: {ports: [{name: http, port: 80}]}\n"
		RULE("shop", "a", "api") TIMEOUT("1") RULE("default", "a", "api") TIMEOUT("2"));
	assert_int_equal(get("api.shop.svc.cluster.local", 80, NULL)->connect_timeout_ms, 1000);
	documents_close(&d);
}

/* --- policies ----------------------------------------------------------------------------------- */

#define POLICY(ns, selector) \
	"---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n" \
	"metadata: {name: p, namespace: " ns "}\nspec: {" selector "action: ALLOW}\n"
#define SELECT(labels)	"selector: {matchLabels: {" labels "}}, "

struct reach_row {
	const char *name, *policy;
	bool reached;
};

static const struct reach_row reach_rows[] = {
	{ "nothing there", "", false },
	{ "its namespace", POLICY("shop", ""), true },
	{ "another namespace", POLICY("default", ""), false },
	{ "the root namespace", POLICY("istio-system", ""), true },
	{ "its labels", POLICY("shop", SELECT("version: v2")), true },
	{ "all of them are needed", POLICY("shop", SELECT("version: v2, canary: 'yes'")), true },
	{ "of one endpoint each", POLICY("shop", SELECT("version: v1, canary: 'yes'")), false },
	{ "other labels", POLICY("shop", SELECT("version: v3")), false },
	{ "the root namespace, by labels", POLICY("istio-system", SELECT("version: v1")), true },
	{ "another namespace, by labels", POLICY("default", SELECT("version: v1")), false },
	{ "by reference", POLICY("shop", "targetRefs: [{kind: Gateway, name: g, group: gateway.networking.k8s.io}], "),
	  false },
	{ "tokens", "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\n"
	  "metadata: {name: r, namespace: shop}\n"
	  "spec: {selector: {matchLabels: {version: v1}}, jwtRules: [{issuer: i, jwksUri: 'https://i.test/k'}]}\n",
	  true },
};

static void test_which_policies_reach(void **state)
{
	char text[4096];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(reach_rows); i++) {
		struct cluster *c;

		snprintf(text, sizeof(text), "%s%s", ENTRY("shop", "a", "a.test"), reach_rows[i].policy);
		documents_open(&d, text);
		c = get("a.test", 80, NULL);
		if (c->has_policies != reach_rows[i].reached)
			fail_msg("%s", reach_rows[i].name);
		assert_true(slice_eq(c->workload, SLICE("shop/a")));
		assert_string_equal(c->workload_labels.at, "version=v1;version=v2;canary=yes,version=v2");
		documents_close(&d);
	}
}

static void test_policies_of_a_subset(void **state)
{
	(void)state;
	documents_open(&d, ENTRY("shop", "a", "a.test") POLICY("shop", SELECT("version: v1"))
		RULE("shop", "a", "a.test")
		"  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n");
	assert_true(get("a.test", 80, "v1")->has_policies);
	assert_string_equal(get("a.test", 80, "v1")->workload_labels.at, "version=v1");
	assert_false(get("a.test", 80, "v2")->has_policies);
	documents_close(&d);
}

/* What a policy selects by, for each way to declare endpoints. */
static void test_labels_of_workloads(void **state)
{
	(void)state;
	documents_open(&d,
		/* DNS on the host: the entry's own labels */
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
		"metadata: {name: dns, namespace: shop, labels: {app: dns}}\n"
		"spec: {hosts: [dns.test], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n"
		/* endpoints without labels: the entry's; one with labels: its own */
		"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
		"metadata: {name: bare, namespace: shop, labels: {app: my-app}}\n"
		"spec: {hosts: [bare.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}],\n"
		"  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, labels: {app: own}}, {address: 10.0.0.3}]}\n"
		/* by selector: the WorkloadEntry's, metadata over spec */
		"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
		"metadata: {name: sel, namespace: shop, labels: {app: no}}\n"
		"spec: {hosts: [sel.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}],\n"
		"  workloadSelector: {labels: {app: vm}}}\n"
		"---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
		"metadata: {name: w, namespace: shop, labels: {tier: meta}}\n"
		"spec: {address: 10.0.0.4, labels: {app: vm, tier: spec}}\n"
		/* a Service's endpoints: its selector; without one, its own labels */
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: svc, namespace: shop, labels: {l: no}}\n"
		"spec: {ports: [{name: http, port: 80}], selector: {app: my-app}}\n"
		"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
		"metadata: {name: svc-1, namespace: shop, labels: {kubernetes.io/service-name: svc}}\n"
		"ports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.0.5]}, {addresses: [10.0.0.6]}]\n"
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: free, namespace: shop, labels: {l: own}}\n"
		"spec: {ports: [{name: http, port: 80}]}\n"
		POLICY("shop", SELECT("app: my-app")));
	assert_string_equal(get("dns.test", 80, NULL)->workload_labels.at, "app=dns");
	assert_string_equal(get("bare.test", 80, NULL)->workload_labels.at, "app=my-app;app=own");
	assert_true(get("bare.test", 80, NULL)->has_policies);
	assert_string_equal(get("sel.test", 80, NULL)->workload_labels.at, "app=vm,tier=meta");
	assert_false(get("sel.test", 80, NULL)->has_policies);
	assert_string_equal(get("svc.shop.svc.cluster.local", 80, NULL)->workload_labels.at, "app=my-app");
	assert_true(get("svc.shop.svc.cluster.local", 80, NULL)->has_policies);
	assert_true(slice_eq(get("svc.shop.svc.cluster.local", 80, NULL)->workload, SLICE("shop/svc")));
	assert_string_equal(get("free.shop.svc.cluster.local", 80, NULL)->workload_labels.at, "l=own");
	documents_close(&d);
}

/* Two workloads at one address: one endpoint, but the policies of both. */
static void test_a_shared_address_keeps_both_policies(void **state)
{
	(void)state;
	documents_open(&d,
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\n"
		"spec: {hosts: [a.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}],\n"
		"  endpoints: [{address: 10.0.0.1, labels: {app: a}}, {address: 10.0.0.1, labels: {app: b}}]}\n"
		POLICY("shop", SELECT("app: b")));
	ASSERT_SUBSET(&d, "a.test", 80, NULL, "10.0.0.1:80");
	assert_true(get("a.test", 80, NULL)->has_policies);
	assert_string_equal(get("a.test", 80, NULL)->workload_labels.at, "app=a;app=b");
	documents_close(&d);
}

static void test_the_list_of_clusters(void **state)
{
	struct cluster **all;

	(void)state;
	documents_open(&d, ENTRY("shop", "b", "b.test") ENTRY("shop", "a", "a.test"));
	assert_int_equal(service_registry_clusters(d.registry, &all), 0);
	get("b.test", 80, NULL);
	get("a.test", 81, NULL);
	get("a.test", 80, NULL);
	get("b.test", 80, NULL);
	assert_int_equal(service_registry_clusters(d.registry, &all), 3);
	assert_string_equal(all[0]->name.at, "outbound|80||a.test");
	assert_string_equal(all[1]->name.at, "outbound|80||b.test");
	assert_string_equal(all[2]->name.at, "outbound|81||a.test");
	documents_close(&d);
}

/* Thousands of hosts cost what they must: nothing here is quadratic. */
static void test_many_hosts(void **state)
{
	enum { HOSTS = 5000 };
	struct text t;
	char host[64];

	(void)state;
	text_init(&t);
	for (int i = 0; i < HOSTS; i++) {
		text_printf(&t, "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
			    "metadata: {name: s%d}\nspec: {hosts: [h%d.test], resolution: STATIC, "
			    "ports: [{number: 80, name: http, protocol: HTTP}], "
			    "endpoints: [{address: 10.0.%d.%d}]}\n", i, i, i / 250, i % 250);
		text_printf(&t, RULE("default", "r%d", "h%d.test") TIMEOUT("1"), i, i);
	}
	documents_open(&d, t.at);
	for (int i = 0; i < HOSTS; i++) {
		snprintf(host, sizeof(host), "h%d.test", i);
		assert_int_equal(get(host, 80, NULL)->connect_timeout_ms, 1000);
	}
	documents_close(&d);
	text_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subsets),
		cmocka_unit_test(test_a_subset_without_a_rule),
		cmocka_unit_test(test_subsets_of_unlabelled_endpoints),
		cmocka_unit_test(test_policy_inheritance),
		cmocka_unit_test(test_defaults_come_from_the_proxy),
		cmocka_unit_test(test_tls_is_not_sent_in_plain),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_which_rule_applies),
		cmocka_unit_test(test_rules_of_a_proxy_in_the_root_namespace),
		cmocka_unit_test(test_rules_for_one_host_merge),
		cmocka_unit_test(test_short_rule_hosts),
		cmocka_unit_test(test_which_policies_reach),
		cmocka_unit_test(test_policies_of_a_subset),
		cmocka_unit_test(test_labels_of_workloads),
		cmocka_unit_test(test_a_shared_address_keeps_both_policies),
		cmocka_unit_test(test_the_list_of_clusters),
		cmocka_unit_test(test_many_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
