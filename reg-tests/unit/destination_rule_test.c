/* SPDX-License-Identifier: Apache-2.0
 *
 * DestinationRule: what a spec decodes to, every rule of spec/destination-rule.md 3, and which policy a
 * port of a subset inherits (6). */
#include "document_check.h"
#include "sallyport/resource/destination_rule.h"

static void *decode(struct decoder *d, const struct node *spec, const struct meta *meta)
{
	return destination_rule_decode(d, spec, meta);
}

#define AT		"DestinationRule shop/web: "
#define POLICY(rest)	"host: a.b\ntrafficPolicy: {" rest "}\n"
#define P		"spec.trafficPolicy"
#define LB(rest)	"host: a.b\ntrafficPolicy:\n  loadBalancer: {" rest "}\n"
#define L		"spec.trafficPolicy.loadBalancer"
#define HASH(rest)	"host: a.b\ntrafficPolicy:\n  loadBalancer:\n    consistentHash: {" rest "}\n"
#define H		"spec.trafficPolicy.loadBalancer.consistentHash"
#define LATER		": is accepted but not obeyed yet\n"

static const struct document_row rules[] = {
	/* 3.1 and 3.2: host and visibility */
	{ "no spec", "null\n", "1:1: " AT "spec: is missing: a DestinationRule needs a host\n" },
	{ "no host", "subsets: []\n", "1:1: " AT "spec: missing required field \"host\"\n" },
	{ "empty host", "host: \"\"\n", "1:7: " AT "spec.host: an empty host\n" },
	{ "address", "host: 10.0.0.1\n", "1:7: " AT "spec.host: \"10.0.0.1\" is an address: declare it through a ServiceEntry (resolution: STATIC) and name that host\n" },
	{ "inner wildcard", "host: foo.*.com\n", "*1:7: " AT "spec.host: host \"foo.*.com\" " },
	{ "wildcards", "host: \"*.*.com\"\n", "*1:7: " AT "spec.host: host \"*.*.com\" " },
	{ "wildcard", "host: \"*.example.com\"\n", "" },
	{ "short", "host: reviews\n", "" },
	{ "unknown field", "host: a.b\nsubset: []\n", "2:1: " AT "spec: unknown field \"subset\", did you mean \"subsets\"?\n" },
	{ "exportTo", "host: a.b\nexportTo: [\"*\", x]\n", "2:11: " AT "spec.exportTo: \"*\" must stand alone\n" },
	{ "selector", "host: a.b\nworkloadSelector: {}\n", "2:19: warning: " AT "spec.workloadSelector: workload selector specified without labels\n" },
	{ "selector wildcard", "host: a.b\nworkloadSelector: {matchLabels: {app: a*}}\n",
	  "2:34: " AT "spec.workloadSelector.matchLabels: a wildcard in \"app: a*\": labels are compared as they are\n" },
	{ "selector beyond", "host: a.b\nexportTo: [\"*\"]\nworkloadSelector: {matchLabels: {app: a}}\n",
	  "2:11: " AT "spec: exportTo \"*\" reaches beyond the rule's namespace, to which a workloadSelector is limited: write \".\"\n" },
	{ "selector many", "host: a.b\nexportTo: [\".\", x]\nworkloadSelector: {matchLabels: {app: a}}\n",
	  "2:11: " AT "spec: exportTo must be \".\" alone beside a workloadSelector\n" },
	{ "selector own", "host: a.b\nexportTo: [shop]\nworkloadSelector: {matchLabels: {app: a}}\n", "" },

	/* the policy as a whole */
	{ "empty policy", POLICY(""), "2:16: " AT P ": traffic policy must have at least one field\n" },
	{ "tunnel and proxyProtocol", POLICY("tunnel: {targetHost: a.b, targetPort: 80}, proxyProtocol: {version: V2}"),
	  "2:16: " AT P ": tunnel and proxyProtocol must not be set together\n"
	  "2:17: warning: " AT P ".tunnel" LATER },
	{ "empty pool", POLICY("connectionPool: {}"), "2:33: " AT P ".connectionPool: connection pool must have at least one of tcp and http\n" },
	{ "empty tcp", POLICY("connectionPool: {tcp: {}}"), "" },
	{ "negative", POLICY("connectionPool: {http: {maxRequestsPerConnection: -1}}"),
	  "2:67: " AT P ".connectionPool.http.maxRequestsPerConnection: -1: must not be negative\n" },
	{ "client protocol", POLICY("connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}"),
	  "*2:40: " AT P ".connectionPool: useClientProtocol must not be true when h2UpgradePolicy is UPGRADE" },
	{ "ping", POLICY("connectionPool: {http: {http2KeepAlive: {interval: 5s}}}"),
	  "2:57: " AT P ".connectionPool.http.http2KeepAlive: missing required field \"timeout\"\n" },
	{ "short timeout", POLICY("connectionPool: {tcp: {connectTimeout: 500us}}"),
	  "2:56: " AT P ".connectionPool.tcp.connectTimeout: \"500us\" is too short: at least 1ms\n" },
	{ "no precision", POLICY("connectionPool: {tcp: {connectTimeout: 1.5ms}}"),
	  "2:56: " AT P ".connectionPool.tcp.connectTimeout: \"1.5ms\" is no whole number of milliseconds\n" },
	{ "no idle", POLICY("connectionPool: {tcp: {idleTimeout: 0s}}"), "" },
	{ "obeyed", POLICY("connectionPool: {tcp: {connectTimeout: 2s}, http: {idleTimeout: 30s, maxRequestsPerConnection: 100}}"), "" },
	{ "later", POLICY("connectionPool: {tcp: {maxConnections: 10}, http: {maxRetries: 3}}"),
	  "2:56: warning: " AT P ".connectionPool.tcp.maxConnections: holds for relayed TCP alone; for connections of HTTP it is accepted but not obeyed yet\n" },
	{ "budget interval", POLICY("retryBudget: {percent: 10, budgetInterval: 10s}"),
	  "2:44: warning: " AT P ".retryBudget.budgetInterval" LATER },

	/* outlier detection */
	{ "local origin", POLICY("outlierDetection: {consecutiveLocalOriginFailures: 3}"),
	  "2:68: " AT P ".outlierDetection: consecutive local origin failures are specified, but splitExternalLocalOriginErrors is not true\n" },
	{ "ejection percent", POLICY("outlierDetection: {maxEjectionPercent: 101}"), "2:56: " AT P ".outlierDetection.maxEjectionPercent: percentage 101 is not in range 0..100\n" },
	{ "health percent", POLICY("outlierDetection: {minHealthPercent: -1}"), "2:54: " AT P ".outlierDetection.minHealthPercent: percentage -1 is not in range 0..100\n" },
	{ "codes", POLICY("outlierDetection: {outlierDetectionHttpErrorCodes: [99]}"), "2:69: " AT P ".outlierDetection.outlierDetectionHttpErrorCodes[0]: 99 is no HTTP status, write 100 to 599\n" },
	{ "consecutiveErrors", POLICY("outlierDetection: {consecutiveErrors: 5}"),
	  "2:17: warning: " AT P ".outlierDetection" LATER
	  "2:55: warning: " AT P ".outlierDetection.consecutiveErrors: outlier detection consecutive errors is deprecated and without effect, use consecutiveGatewayErrors or consecutive5xxErrors instead\n" },

	/* load balancer */
	{ "simple and hash", LB("simple: RANDOM, consistentHash: {useSourceIp: true}"),
	  "3:17: " AT L ": simple and consistentHash both: choose one\n" "3:34: warning: " AT L ".consistentHash" LATER },
	{ "simple spelled", LB("simple: ROUNDROBIN"), "3:26: " AT L ".simple: bad value \"ROUNDROBIN\", did you mean \"ROUND_ROBIN\"?\n" },
	{ "passthrough", LB("simple: PASSTHROUGH"), "3:26: warning: " AT L ".simple: PASSTHROUGH is accepted but not obeyed yet\n" },
	{ "least conn", LB("simple: LEAST_CONN"), "" },
	{ "two keys", HASH("useSourceIp: true, httpHeaderName: x"),
	  "4:21: " AT H ": more than one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName: choose one\n" },
	{ "two algorithms", HASH("useSourceIp: true, ringHash: {}, maglev: {tableSize: 7}"), "4:21: " AT H ": ringHash and maglev both: choose one\n" },
	{ "cookie name", HASH("httpCookie: {ttl: 0s}"), "4:34: " AT H ".httpCookie: missing required field \"name\"\n" },
	{ "cookie name empty", HASH("httpCookie: {name: \"\"}"), "4:41: " AT H ".httpCookie: name required for httpCookie\n" },
	{ "cookie attributes", HASH("httpCookie: {name: c, attributes: [{name: a}, {name: a}, {name: \"\"}]}"),
	  "4:68: " AT H ".httpCookie.attributes: duplicate cookie attribute name \"a\"\n"
	  "4:79: " AT H ".httpCookie.attributes[2]: cookie attribute name cannot be empty\n" },
	{ "deprecated ring", HASH("useSourceIp: true, minimumRingSize: 10, ringHash: {}"),
	  "4:21: " AT H ": only one of minimumRingSize or maglev/ringHash can be specified\n"
	  "4:58: warning: " AT H ": minimumRingSize is deprecated, use ringHash: {minimumRingSize: …} instead\n" },
	{ "maglev none", HASH("useSourceIp: true, maglev: {}"), "4:49: " AT H ".maglev: tableSize must be set for maglev, such as 65537\n" },
	{ "maglev not prime", HASH("useSourceIp: true, maglev: {tableSize: 9}"), "4:61: " AT H ".maglev.tableSize: tableSize must be a prime number for maglev, such as 65537\n" },
	{ "maglev large", HASH("useSourceIp: true, maglev: {tableSize: 5000011}"), "4:61: " AT H ".maglev.tableSize: tableSize must be less than 5000011 for maglev\n" },
	{ "maglev prime", HASH("useSourceIp: true, maglev: {tableSize: 65537}"), "4:5: warning: " AT L ".consistentHash" LATER },
	{ "source ip false", HASH("useSourceIp: false"), "4:5: warning: " AT L ".consistentHash" LATER },
	{ "warmup", LB("warmup: {minimumPercent: 101, aggression: 0}"),
	  "3:26: " AT L ".warmup: missing required field \"duration\"\n"
	  "3:43: " AT L ".warmup.minimumPercent: 101 percent, write 0 to 100\n"
	  "3:60: " AT L ".warmup.aggression: aggression should be greater than 0\n" },
	{ "localities both", LB("localityLbSetting: {}, zoneAwareLbSetting: {}"),
	  "*3:17: " AT L ": only one of localityLbSetting and zoneAwareLbSetting can be set" },
	{ "distribute and failover", LB("localityLbSetting: {distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}"),
	  "*3:37: " AT L ".localityLbSetting: can not simultaneously specify distribute and failover: choose one" },
	{ "weight", LB("localityLbSetting: {distribute: [{from: a, to: {b: 0, c: 100}}]}"),
	  "3:69: " AT L ".localityLbSetting.distribute[0].to.b: locality weight must be in range 1..100, found 0\n" },
	{ "sum", LB("localityLbSetting: {distribute: [{from: a, to: {b: 10, c: 80}}]}"),
	  "3:65: " AT L ".localityLbSetting.distribute[0].to: total locality weight 90 != 100\n" },
	{ "overlap", LB("localityLbSetting: {distribute: [{from: a, to: {b: 10, b/c: 90}}]}"),
	  "3:73: " AT L ".localityLbSetting.distribute[0].to.b/c: locality \"b/c\" overlaps \"b\" before it\n" },
	{ "overlap from", LB("localityLbSetting: {distribute: [{from: \"a/*\", to: {b: 100}}, {from: a/b/c, to: {b: 100}}]}"),
	  "3:80: " AT L ".localityLbSetting.distribute: locality \"a/b/c\" overlaps \"a/*\" before it\n" },
	{ "empty part", LB("localityLbSetting: {distribute: [{from: a//c, to: {b: 100}}]}"),
	  "3:51: " AT L ".localityLbSetting.distribute[0]: locality \"a//c\" must not contain an empty region, zone or subzone\n" },
	{ "star inside", LB("localityLbSetting: {distribute: [{from: \"*/b\", to: {b: 100}}]}"),
	  "3:51: " AT L ".localityLbSetting.distribute[0]: locality \"*/b\": one \"*\" may stand, at the end\n" },
	{ "failover same", LB("localityLbSetting: {failover: [{from: a, to: a}]}"), "*3:49: " AT L ".localityLbSetting.failover[0]: failover settings must specify different regions" },
	{ "failover zone", LB("localityLbSetting: {failover: [{from: a/b, to: c}]}"), "*3:49: " AT L ".localityLbSetting.failover[0]: failover names regions only, without \"/\"" },
	{ "failover star", LB("localityLbSetting: {failover: [{from: a, to: \"*\"}]}"), "*3:49: " AT L ".localityLbSetting.failover[0]: a failover region should not contain the wildcard \"*\"" },
	{ "failover label", LB("localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/zone]}"),
	  "*3:87: " AT L ".localityLbSetting: failover excludes the topology label \"topology.kubernetes.io/zone\" in failoverPriority" },
	{ "zone label", LB("zoneAwareLbSetting: {failoverPriority: [topology.kubernetes.io/region]}"),
	  "*3:58: " AT L ".zoneAwareLbSetting: failoverPriority of zoneAwareLbSetting must not use the topology label" },
	{ "failover without outlier", LB("localityLbSetting: {failover: [{from: a, to: b}]}"),
	  "3:17: warning: " AT P ": outlier detection policy must be provided for failover: add outlierDetection beside loadBalancer\n"
	  "3:18: warning: " AT L ".localityLbSetting" LATER },

	/* tunnel, budget, TLS */
	{ "tunnel", POLICY("tunnel: {protocol: GET, targetHost: \"a b\", targetPort: 0}"),
	  "2:36: " AT P ".tunnel.protocol: tunnel protocol must be CONNECT or POST, found \"GET\"\n"
	  "2:53: " AT P ".tunnel.targetHost: tunnel target host must be a full name or an IP address, found \"a b\"\n"
	  "2:72: " AT P ".tunnel.targetPort: 0 is out of range 1..65535\n" },
	{ "proxy protocol", POLICY("proxyProtocol: {version: V3}"), "*2:42: " AT P ".proxyProtocol.version: bad value \"V3\"" },
	{ "budget", POLICY("retryBudget: {percent: 101}"), "2:40: " AT P ".retryBudget.percent: 101 percent, write 0 to 100\n" },
	{ "skip verify", POLICY("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /ca}"),
	  "2:22: " AT P ".tls: cannot specify caCertificates or credentialName or subjectAltNames when insecureSkipVerify is true\n" },
	{ "skip verify mutual", POLICY("tls: {mode: MUTUAL, insecureSkipVerify: true, subjectAltNames: [a], clientCertificate: /c, privateKey: /k}"),
	  "2:22: " AT P ".tls: cannot specify caCertificates or subjectAltNames when insecureSkipVerify is true\n" },
	{ "credential and files", POLICY("tls: {mode: SIMPLE, credentialName: x, caCertificates: /ca}"),
	  "2:22: " AT P ".tls: cannot specify client certificates, CA certificate or CA CRL if credentialName is set\n" },
	{ "mutual", POLICY("tls: {mode: MUTUAL}"),
	  "2:22: " AT P ".tls: client certificate required for mutual tls: give clientCertificate or credentialName\n"
	  "2:22: " AT P ".tls: private key required for mutual tls: give privateKey or credentialName\n" },
	{ "config map", POLICY("tls: {mode: SIMPLE, credentialName: \"configmap://other/ca\"}"),
	  "2:53: " AT P ".tls: invalid credentialName \"configmap://other/ca\": a ConfigMap must be in the rule's namespace\n" },
	{ "tls later", POLICY("tls: {mode: SIMPLE, sni: a.b}"), "2:29: warning: " AT P ".tls: mode SIMPLE is accepted but not obeyed yet\n" },
	{ "tls off", POLICY("tls: {mode: DISABLE, clientCertificate: /x}"), "" },
	{ "istio mutual", POLICY("tls: {mode: ISTIO_MUTUAL, credentialName: x, caCrl: /x}"), "2:29: warning: " AT P ".tls: mode ISTIO_MUTUAL is accepted but not obeyed yet\n" },

	/* ports and subsets */
	{ "port null", POLICY("portLevelSettings: [null]"), "*2:37: " AT P ".portLevelSettings[0]: is null" },
	{ "port none", POLICY("portLevelSettings: [{tls: {}}]"), "2:37: " AT P ".portLevelSettings[0]: missing required field \"port\"\n" },
	{ "port empty", POLICY("portLevelSettings: [{port: {number: 80}}]"),
	  "2:37: " AT P ".portLevelSettings[0]: port traffic policy must have at least one of loadBalancer, connectionPool, outlierDetection, tls\n" },
	{ "port tunnel", POLICY("portLevelSettings: [{port: {number: 80}, tunnel: {}}]"), "*2:58: " AT P ".portLevelSettings[0]: unknown field \"tunnel\"" },
	{ "port twice", POLICY("portLevelSettings: [{port: {number: 80}, tls: {}}, {port: {number: 80}, tls: {}}]"), "" },
	{ "subset null", "host: a.b\nsubsets: [null]\n", "*2:11: " AT "spec.subsets[0]: is null" },
	{ "subset name", "host: a.b\nsubsets: [{labels: {}}]\n", "2:11: " AT "spec.subsets[0]: missing required field \"name\"\n" },
	{ "subset bad name", "host: a.b\nsubsets: [{name: v_1}]\n", "2:18: " AT "spec.subsets[0]: subset name \"v_1\" is invalid: letters, digits and inner hyphens, at most 63\n" },
	{ "subset twice", "host: a.b\nsubsets: [{name: v1}, {name: v1}]\n", "2:23: " AT "spec.subsets[1]: duplicate subset name \"v1\", as at line 2\n" },
	{ "subset labels", "host: a.b\nsubsets: [{name: v1, labels: {\"a b\": x}}]\n", "*2:31: " AT "spec.subsets[0].labels: bad label key \"a b\"" },
	{ "subset policy", "host: a.b\nsubsets: [{name: v1, trafficPolicy: {}}]\n", "2:37: " AT "spec.subsets[0].trafficPolicy: traffic policy must have at least one field\n" },
};

static void every_rule_is_told(void **state)
{
	(void)state;
	check_documents(decode, "DestinationRule", rules, COUNT_OF(rules));
}

static void a_rule_decodes_with_its_defaults(void **state)
{
	struct document doc;
	const struct destination_rule *r;
	const struct connection_pool *p;
	const struct outlier_detection *o;

	(void)state;
	document_open(&doc, decode, "DestinationRule",
		      "host: Reviews.Shop.\n"
		      "trafficPolicy:\n"
		      "  loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 1m}}\n"
		      "  connectionPool:\n"
		      "    tcp: {connectTimeout: 1.5s, maxConnections: 0, tcpKeepalive: {time: 2h}}\n"
		      "    http: {maxRequestsPerConnection: 7, http2MaxRequests: 9}\n"
		      "  outlierDetection: {consecutive5xxErrors: 0, interval: 3s}\n"
		      "  proxyProtocol: {}\n"
		      "  retryBudget: {percent: 12.5}\n"
		      "subsets:\n"
		      "- name: v1\n"
		      "  labels: {version: v1}\n");
	r = doc.object;
	assert_int_equal(doc.problems.errors, 0);
	assert_true(slice_eq(r->host, SLICE("reviews.shop")));
	assert_int_equal(r->policy->load_balancer->simple, LB_ROUND_ROBIN);
	assert_int_equal(r->policy->load_balancer->warmup->duration_ms, 60000);
	assert_true(r->policy->load_balancer->warmup->minimum_percent == 10);
	p = r->policy->connection_pool;
	assert_int_equal(p->connect_timeout_ms, 1500);
	assert_int_equal(p->max_connections, UINT32_MAX);
	assert_true(p->tcp_keepalive);
	assert_int_equal(p->keepalive_time_ms, 7200000);
	assert_int_equal(p->max_requests_per_connection, 7);
	assert_int_equal(p->http2_max_requests, 9);
	assert_int_equal(p->max_retries, UINT32_MAX);
	assert_int_equal(p->max_concurrent_streams, INT32_MAX);
	assert_false(p->tcp_idle_timeout_set);
	o = r->policy->outlier;
	assert_int_equal(o->consecutive_5xx, 0);
	assert_int_equal(o->consecutive_gateway, 0);
	assert_int_equal(o->interval_ms, 3000);
	assert_int_equal(o->base_ejection_ms, 30000);
	assert_int_equal(o->max_ejection_percent, 10);
	assert_int_equal(r->policy->proxy_protocol, 1);
	assert_true(r->policy->retry_budget->percent == 12.5);
	assert_int_equal(r->policy->retry_budget->min_concurrency, 3);
	assert_int_equal(r->subsets.count, 1);
	assert_ptr_equal(destination_rule_subset(r, SLICE("v1")), r->subsets.items);
	assert_null(destination_rule_subset(r, SLICE("v2")));
	assert_true(slice_eq(r->subsets.items[0].labels.items[0].value, SLICE("v1")));
	assert_int_equal(r->subsets.items[0].where.line, 11);
	document_close(&doc);
}

static void consistent_hash_decodes(void **state)
{
	struct document doc;
	const struct consistent_hash *h;

	(void)state;
	document_open(&doc, decode, "DestinationRule",
		      HASH("httpCookie: {name: sid, ttl: 0s, path: /a}, ringHash: {minimumRingSize: 99999999}"));
	h = ((struct destination_rule *)doc.object)->policy->load_balancer->consistent_hash;
	assert_int_equal(h->key, HASH_COOKIE);
	assert_true(slice_eq(h->name, SLICE("sid")));
	assert_true(h->cookie_ttl_set);
	assert_int_equal(h->cookie_ttl_ms, 0);
	assert_int_equal(h->algorithm, HASH_RING);
	assert_int_equal(h->table_size, RING_SIZE_MAX);
	document_close(&doc);
	document_open(&doc, decode, "DestinationRule", HASH("httpHeaderName: X-User"));
	h = ((struct destination_rule *)doc.object)->policy->load_balancer->consistent_hash;
	assert_int_equal(h->key, HASH_HEADER);
	assert_true(slice_eq(h->name, SLICE("x-user")));
	assert_int_equal(h->table_size, RING_SIZE_MIN_DEFAULT);
	document_close(&doc);
}

/* The table of 6.3, in its order. */
static void policies_are_inherited_block_by_block(void **state)
{
	struct document doc;
	const struct destination_rule *r;
	struct traffic_policy p;

	(void)state;
	document_open(&doc, decode, "DestinationRule",
		      "host: a.b\n"
		      "trafficPolicy:\n"
		      "  connectionPool: {tcp: {connectTimeout: 1s}, http: {maxRequestsPerConnection: 3}}\n"
		      "  outlierDetection: {interval: 7s}\n"
		      "  proxyProtocol: {version: V2}\n"
		      "  portLevelSettings:\n"
		      "  - {port: {number: 80}, tls: {mode: DISABLE}}\n"
		      "subsets:\n"
		      "- {name: lb, trafficPolicy: {loadBalancer: {simple: RANDOM}}}\n"
		      "- {name: http, trafficPolicy: {connectionPool: {http: {idleTimeout: 9s}}}}\n"
		      "- {name: ports, trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]}}\n"
		      "- {name: plain}\n");
	r = doc.object;
	assert_int_equal(doc.problems.errors, 0);

	destination_rule_policy(r, NULL, 443, &p);
	assert_int_equal(p.connection_pool->connect_timeout_ms, 1000);
	assert_int_equal(p.proxy_protocol, 2);
	assert_int_equal(p.ports.count, 0);

	destination_rule_policy(r, NULL, 80, &p);
	assert_null(p.connection_pool);
	assert_null(p.outlier);
	assert_non_null(p.tls);
	assert_int_equal(p.proxy_protocol, 0);

	destination_rule_policy(r, destination_rule_subset(r, SLICE("lb")), 443, &p);
	assert_int_equal(p.load_balancer->simple, LB_RANDOM);
	assert_int_equal(p.connection_pool->max_requests_per_connection, 3);
	assert_non_null(p.outlier);

	destination_rule_policy(r, destination_rule_subset(r, SLICE("http")), 443, &p);
	assert_int_equal(p.connection_pool->http_idle_timeout_ms, 9000);
	assert_int_equal(p.connection_pool->connect_timeout_ms, 0);
	assert_int_equal(p.connection_pool->max_requests_per_connection, 0);

	destination_rule_policy(r, destination_rule_subset(r, SLICE("ports")), 81, &p);
	assert_int_equal(p.load_balancer->simple, LB_RANDOM);
	assert_null(p.connection_pool);
	assert_null(p.tls);
	assert_int_equal(p.proxy_protocol, 2);

	destination_rule_policy(r, destination_rule_subset(r, SLICE("ports")), 82, &p);
	assert_non_null(p.tls);
	assert_non_null(p.connection_pool);

	destination_rule_policy(r, destination_rule_subset(r, SLICE("plain")), 80, &p);
	assert_null(p.connection_pool);
	assert_non_null(p.tls);
	document_close(&doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_is_told),
		cmocka_unit_test(a_rule_decodes_with_its_defaults),
		cmocka_unit_test(consistent_hash_decodes),
		cmocka_unit_test(policies_are_inherited_block_by_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
