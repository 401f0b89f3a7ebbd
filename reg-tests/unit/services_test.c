/* SPDX-License-Identifier: Apache-2.0
 *
 * services_test.c - which endpoints stand behind a host and port, by the documents alone. */
#include "registry_rig.h"

#define ENTRY(ns, name) \
	"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n" \
	"metadata: {name: " name ", namespace: " ns "}\nspec:\n"
#define WORKLOAD(ns, name, labels) \
	"---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n" \
	"metadata: {name: " name ", namespace: " ns ", labels: " labels "}\nspec:\n"
#define SERVICE(ns, name) \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns "}\nspec:\n"
#define ENDPOINT_SLICE(ns, name, service) \
	"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n" \
	"metadata: {name: " name ", namespace: " ns ", labels: {kubernetes.io/service-name: " service "}}\n"
#define PROXY(ns) \
	"---\napiVersion: sallyport.io/v1\nkind: Proxy\nmetadata: {name: edge, namespace: " ns "}\n"

static struct documents d;

/* Spec 18 A. */
static void test_short_name_on_a_plain_host(void **state)
{
	struct slice name;

	(void)state;
	documents_open(&d,
		SERVICE("production", "api-service")
		"  ports: [{name: http-api, port: 8080}]\n"
		ENDPOINT_SLICE("production", "api-1", "api-service")
		"ports: [{name: http-api, port: 3000}]\n"
		"endpoints: [{addresses: [192.0.2.10]}, "
		"{addresses: [192.0.2.11], conditions: {ready: false, terminating: false}}, "
		"{addresses: [192.0.2.12], conditions: {ready: false}}]\n");
	ASSERT_MEANS(&d, "production", "api-service", 8080, "192.0.2.10:3000 192.0.2.11:3000!");
	assert_int_equal(d.problems.count, 0);
	ASSERT_MEANS(&d, "staging", "api-service", 8080, "NC");
	ASSERT_WARNED(&d, "host api-service.staging.svc.cluster.local: no ServiceEntry or Service");
	ASSERT_MEANS(&d, "production", "api-service", 3000, "NC");
	ASSERT_WARNED(&d, "port 3000 of api-service.production.svc.cluster.local: "
			  "Service production/api-service has port 8080");
	ask(&d, "production", "api-service", 0, NULL, &name);
	assert_string_equal(name.at, "outbound|8080||api-service.production.svc.cluster.local");
	/* Neither of these is expanded. */
	ASSERT_MEANS(&d, "production", "api-service.production", 8080, "NC");
	ASSERT_MEANS(&d, "production", "api-service.production.svc", 8080, "NC");
	ASSERT_MEANS(&d, "any", "api-service.production.svc.cluster.local", 8080,
		     "192.0.2.10:3000 192.0.2.11:3000!");
	documents_close(&d);
}

/* Spec 18 B. */
static void test_static_entry(void **state)
{
	struct cluster *c;
	struct slice name;

	(void)state;
	documents_open(&d,
		ENTRY("production", "api")
		"  hosts: [api-service.production.svc.cluster.local]\n  location: MESH_INTERNAL\n"
		"  resolution: STATIC\n  ports: [{number: 8080, name: http, protocol: HTTP, targetPort: 3000}]\n"
		"  endpoints:\n  - {address: 192.0.2.10, labels: {version: v1}, weight: 3}\n"
		"  - {address: 192.0.2.11, labels: {version: v2}, ports: {http: 3001}}\n"
		"  - {address: '2001:db8::1', weight: 0}\n"
		"  - {address: 192.0.2.12, labels: {istio.io/draining: 'yes'}}\n");
	ASSERT_MEANS(&d, "production", "api-service", 8080,
		     "192.0.2.10:3000*3 192.0.2.11:3001 [2001:db8::1]:3000");
	c = ask(&d, "production", "api-service", 8080, NULL, &name);
	assert_int_equal(c->resolution, RESOLVE_STATIC);
	assert_int_equal(c->balance, BALANCE_LEAST_REQUEST);
	assert_int_equal(c->connect_timeout_ms, 10000);
	assert_int_equal(c->idle_timeout_ms, 3600000);
	assert_true(slice_eq(c->service_ns, SLICE("production")));
	assert_true(slice_eq(c->workload, SLICE("production/api")));
	assert_ptr_equal(c, ask(&d, "other", "api-service.production.svc.cluster.local", 8080, NULL, &name));
	documents_close(&d);
}

/* Spec 18 C. */
static void test_unix_sockets(void **state)
{
	(void)state;
	documents_open(&d,
		ENTRY("default", "app")
		"  hosts: [app.local.test]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		"  endpoints: [{address: 'unix:///run/app.sock'}]\n"
		ENTRY("default", "abstract")
		"  hosts: [abstract.test]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		"  endpoints: [{address: 'unix://@app'}]\n");
	ASSERT_MEANS(&d, "default", "app.local.test", 80, "unix:/run/app.sock");
	ASSERT_MEANS(&d, "default", "abstract.test", 80, "unix:app");
	documents_close(&d);
}

/* Spec 12. */
static void test_resolution_modes(void **state)
{
	struct slice name;

	(void)state;
	documents_open(&d,
		ENTRY("default", "dns-host")
		"  hosts: [api.example.com]\n  resolution: DNS\n"
		"  ports: [{number: 443, name: https, protocol: HTTPS}, "
		"{number: 80, name: http, protocol: HTTP, targetPort: 8080}]\n"
		ENTRY("default", "dns-list")
		"  hosts: [list.example.com]\n  resolution: DNS\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		"  endpoints: [{address: b.example.com, ports: {http: 81}}, {address: 192.0.2.1, weight: 2}]\n"
		ENTRY("default", "rr")
		"  hosts: [rr.example.com]\n  resolution: DNS_ROUND_ROBIN\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		ENTRY("default", "none")
		"  hosts: [none.example.com]\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		ENTRY("default", "empty")
		"  hosts: [empty.example.com]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}, {number: 53, name: dns, protocol: UDP}]\n"
		ENTRY("default", "nobody")
		"  hosts: [nobody.example.com]\n  resolution: DNS\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		"  workloadSelector: {labels: {app: nobody}}\n");
	ASSERT_MEANS(&d, "default", "api.example.com", 443, "api.example.com:443");
	ASSERT_MEANS(&d, "default", "api.example.com", 80, "api.example.com:8080");
	ASSERT_MEANS(&d, "default", "list.example.com", 80, "b.example.com:81 192.0.2.1:80*2");
	assert_int_equal(ask(&d, "default", "list.example.com", 80, NULL, &name)->resolution, RESOLVE_DNS);
	assert_int_equal(ask(&d, "default", "rr.example.com", 80, NULL, &name)->resolution, RESOLVE_LOGICAL);
	/* Groups that exist without endpoints answer UH, those that do not exist NC. */
	ASSERT_MEANS(&d, "default", "none.example.com", 80, "");
	ASSERT_MEANS(&d, "default", "empty.example.com", 80, "");
	ASSERT_MEANS(&d, "default", "nobody.example.com", 80, "NC");
	ASSERT_MEANS(&d, "default", "empty.example.com", 53, "NC");
	ASSERT_WARNED(&d, "has it as UDP");
	documents_close(&d);
}

/* Spec 7.2: one port is the port; several: that of the server, 8000 here. */
static void test_a_destination_without_a_port(void **state)
{
	(void)state;
	documents_open(&d,
		ENTRY("default", "one")
		"  hosts: [one.test]\n  resolution: STATIC\n"
		"  ports: [{number: 9, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.1}]\n"
		ENTRY("default", "two")
		"  hosts: [two.test]\n  resolution: STATIC\n"
		"  ports: [{number: 9, name: a, protocol: HTTP}, {number: 8000, name: b, protocol: HTTP}]\n"
		"  endpoints: [{address: 10.0.0.1}]\n"
		ENTRY("default", "three")
		"  hosts: [three.test]\n  resolution: STATIC\n"
		"  ports: [{number: 9, name: a, protocol: HTTP}, {number: 10, name: b, protocol: HTTP}]\n"
		"  endpoints: [{address: 10.0.0.1}]\n");
	ASSERT_MEANS(&d, "default", "one.test", 0, "10.0.0.1:9");
	ASSERT_MEANS(&d, "default", "two.test", 0, "10.0.0.1:8000");
	ASSERT_MEANS(&d, "default", "three.test", 0, "NC");
	ASSERT_WARNED(&d, "port 8000 of three.test: ServiceEntry default/three has port 9, 10");
	documents_close(&d);
}

/* Names without a dot: as declared, then name.namespace, then the full form. */
static void test_dotless_names(void **state)
{
	(void)state;
	documents_open(&d,
		ENTRY("default", "bare")
		"  hosts: [db]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.1}]\n"
		ENTRY("default", "dotted")
		"  hosts: [db.shop, web.shop]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.2}]\n"
		ENTRY("default", "full")
		"  hosts: [web.shop.svc.cluster.local, app.shop.svc.cluster.local]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.3}]\n");
	ASSERT_MEANS(&d, "shop", "db", 80, "10.0.0.1:80");
	ASSERT_MEANS(&d, "shop", "web", 80, "10.0.0.2:80");
	ASSERT_MEANS(&d, "shop", "app", 80, "10.0.0.3:80");
	ASSERT_MEANS(&d, "other", "app", 80, "NC");
	documents_close(&d);
}

static void test_cluster_domain(void **state)
{
	(void)state;
	documents_open(&d,
		PROXY("edge") "spec: {mesh: {clusterDomain: corp.test}}\n"
		SERVICE("shop", "api") "  ports: [{port: 80}]\n"
		ENDPOINT_SLICE("shop", "api-1", "api")
		"ports: [{port: 8080}]\nendpoints: [{addresses: [10.0.0.1]}]\n");
	ASSERT_MEANS(&d, "shop", "api", 80, "10.0.0.1:8080");
	ASSERT_MEANS(&d, "x", "api.shop.svc.corp.test", 80, "10.0.0.1:8080");
	documents_close(&d);
}

/* Spec 8: which of several declarations counts. */
static void test_visibility(void **state)
{
	(void)state;
	documents_open(&d,
		PROXY("edge") "spec: {}\n"
		ENTRY("shop", "hidden")
		"  hosts: [hidden.test]\n  exportTo: ['.']\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.1}]\n"
		ENTRY("shop", "given")
		"  hosts: [given.test]\n  exportTo: [edge]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.2}]\n"
		ENTRY("edge", "own")
		"  hosts: [own.test]\n  exportTo: ['.']\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.3}]\n");
	ASSERT_MEANS(&d, "shop", "hidden.test", 80, "NC");
	ASSERT_MEANS(&d, "shop", "given.test", 80, "10.0.0.2:80");
	ASSERT_MEANS(&d, "shop", "own.test", 80, "10.0.0.3:80");
	documents_close(&d);
}

#define BODY(ip) \
	"  hosts: [x.test]\n  resolution: STATIC\n" \
	"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: " ip "}]\n"

static void test_first_by_namespace_and_name(void **state)
{
	(void)state;
	documents_open(&d, ENTRY("b", "a") BODY("10.0.0.2") ENTRY("a", "z") BODY("10.0.0.1"));
	ASSERT_MEANS(&d, "x", "x.test", 80, "10.0.0.1:80");
	ASSERT_WARNED(&d, "ServiceEntry b/a: host x.test is declared by ServiceEntry a/z already; "
			  "this declaration is ignored");
	documents_close(&d);
	/* Exported by name to the proxy's namespace: ranks before what is public. */
	documents_open(&d, PROXY("edge") "spec: {}\n" ENTRY("a", "a") BODY("10.0.0.1")
		       ENTRY("b", "b") BODY("10.0.0.2") "  exportTo: [edge]\n");
	ASSERT_MEANS(&d, "x", "x.test", 80, "10.0.0.2:80");
	documents_close(&d);
}

static void test_declarations_of_one_namespace_add_up(void **state)
{
	(void)state;
	documents_open(&d,
		ENTRY("shop", "a") BODY("10.0.0.1")
		ENTRY("shop", "b")
		"  hosts: [x.test]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: more, protocol: HTTP}]\n"
		"  endpoints: [{address: 10.0.0.2}, {address: 10.0.0.1}]\n"
		ENTRY("shop", "c")
		"  hosts: [x.test]\n  resolution: STATIC\n  exportTo: ['*']\n"
		"  ports: [{number: 8080, name: http, protocol: HTTP}]\n"
		"  endpoints: [{address: 10.0.0.3}]\n");
	/* By port name, whatever the number; c's own number is not added: its exportTo differs. */
	ASSERT_MEANS(&d, "x", "x.test", 80, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:8080");
	ASSERT_MEANS(&d, "x", "x.test", 81, "10.0.0.2:81 10.0.0.1:81");
	ASSERT_MEANS(&d, "x", "x.test", 8080, "NC");
	ASSERT_WARNED(&d, "ports that only this one has are ignored");
	documents_close(&d);
}

static void test_a_service_beats_an_entry_and_takes_its_endpoints(void **state)
{
	(void)state;
	documents_open(&d,
		ENTRY("shop", "a")
		"  hosts: [api.shop.svc.cluster.local]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: x, protocol: HTTP}]\n"
		"  endpoints: [{address: 10.0.0.2}]\n"
		SERVICE("shop", "api") "  ports: [{name: http, port: 80}]\n"
		ENDPOINT_SLICE("shop", "api-1", "api")
		"ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.1]}]\n");
	ASSERT_MEANS(&d, "shop", "api", 80, "10.0.0.1:8080 10.0.0.2:80");
	ASSERT_MEANS(&d, "shop", "api", 81, "NC");
	documents_close(&d);
}

/* Spec 11 and 10.2. */
static void test_selectors(void **state)
{
	(void)state;
	documents_open(&d,
		WORKLOAD("shop", "w1", "{app: web}") "  address: 10.0.0.1\n  ports: {admin: 9000}\n"
		WORKLOAD("shop", "w2", "{app: web, tier: gold}") "  address: 10.0.0.2\n  weight: 5\n"
		WORKLOAD("shop", "w3", "{app: db}") "  address: 10.0.0.3\n"
		WORKLOAD("shop", "w4", "{app: web}") "  address: name.test\n"
		WORKLOAD("other", "w5", "{app: web}") "  address: 10.0.0.5\n"
		ENTRY("shop", "static")
		"  hosts: [s.test]\n  resolution: STATIC\n  workloadSelector: {labels: {app: web}}\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		ENTRY("shop", "dns")
		"  hosts: [d.test]\n  resolution: DNS\n  workloadSelector: {labels: {app: web}}\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n"
		SERVICE("shop", "web")
		"  selector: {app: web}\n"
		"  ports: [{name: http, port: 80, targetPort: 8080}, {name: adm, port: 81, targetPort: admin}]\n"
		SERVICE("shop", "headless")
		"  clusterIP: None\n  selector: {app: web}\n  ports: [{name: http, port: 80}]\n");
	ASSERT_MEANS(&d, "shop", "s.test", 80, "10.0.0.1:80 10.0.0.2:80*5");
	ASSERT_WARNED(&d, "endpoint name.test of s.test is dropped");
	ASSERT_MEANS(&d, "shop", "d.test", 80, "10.0.0.1:80 10.0.0.2:80*5 name.test:80");
	ASSERT_MEANS(&d, "shop", "web", 80, "10.0.0.1:8080 10.0.0.2:8080*5");
	ASSERT_MEANS(&d, "shop", "web", 81, "10.0.0.1:9000");
	ASSERT_MEANS(&d, "shop", "headless", 80, "");
	documents_close(&d);
}

static void test_workload_health(void **state)
{
	(void)state;
	documents_open(&d,
		"---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
		"metadata: {name: a, namespace: shop, annotations: {proxy.istio.io/health-checks-enabled: 'true'}}\n"
		"spec: {address: 10.0.0.1, labels: {app: web}}\n"
		"---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
		"metadata: {name: b, namespace: shop, annotations: {proxy.istio.io/health-checks-enabled: 'true'}}\n"
		"spec: {address: 10.0.0.2, labels: {app: web}}\n"
		"status: {conditions: [{type: Healthy, status: 'True'}]}\n"
		ENTRY("shop", "static")
		"  hosts: [s.test]\n  resolution: STATIC\n  workloadSelector: {labels: {app: web}}\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n");
	ASSERT_MEANS(&d, "shop", "s.test", 80, "10.0.0.1:80! 10.0.0.2:80");
	documents_close(&d);
}

/* Spec 5.2 and 5.3. */
static void test_slices_and_endpoints(void **state)
{
	(void)state;
	documents_open(&d,
		SERVICE("shop", "api") "  ports: [{name: http, port: 80}, {name: admin, port: 81}]\n"
		ENDPOINT_SLICE("shop", "api-1", "api")
		"ports: [{name: http, port: 8080}, {name: other, port: 1}]\n"
		"endpoints: [{addresses: [10.0.0.1, 10.0.0.2]}]\n"
		ENDPOINT_SLICE("shop", "api-2", "api")
		"ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.2]}]\n"
		ENDPOINT_SLICE("other", "api-3", "api")
		"ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.9]}]\n"
		"---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: api, namespace: shop}\n"
		"subsets:\n- addresses: [{ip: 10.0.0.3}, {ip: 10.0.0.1}]\n  notReadyAddresses: [{ip: 10.0.0.4}]\n"
		"  ports: [{name: http, port: 8080}, {name: admin, port: 9000}]\n"
		SERVICE("shop", "single") "  ports: [{name: web, port: 80}]\n"
		"---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: single, namespace: shop}\n"
		"subsets: [{addresses: [{ip: 10.0.0.7}], ports: [{port: 70}]}]\n");
	ASSERT_MEANS(&d, "shop", "api", 80,
		     "10.0.0.1:8080 10.0.0.2:8080 10.0.0.3:8080 10.0.0.4:8080!");
	ASSERT_MEANS(&d, "shop", "api", 81, "10.0.0.3:9000 10.0.0.1:9000 10.0.0.4:9000!");
	ASSERT_MEANS(&d, "shop", "single", 80, "10.0.0.7:70");
	documents_close(&d);
}

static void test_external_name(void **state)
{
	struct slice name;

	(void)state;
	documents_open(&d,
		SERVICE("shop", "alias") "  type: ExternalName\n  externalName: api.example.com\n"
		SERVICE("shop", "dangling") "  type: ExternalName\n  externalName: nowhere.example.com\n"
		SERVICE("shop", "loop") "  type: ExternalName\n  externalName: alias.shop.svc.cluster.local\n"
		ENTRY("shop", "api")
		"  hosts: [api.example.com]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.1}]\n");
	ASSERT_MEANS(&d, "shop", "alias", 80, "10.0.0.1:80");
	ask(&d, "shop", "alias", 80, NULL, &name);
	assert_string_equal(name.at, "outbound|80||api.example.com");
	ASSERT_MEANS(&d, "shop", "dangling", 80, "NC");
	ASSERT_WARNED(&d, "destination dangling: host nowhere.example.com: no ServiceEntry");
	ASSERT_MEANS(&d, "shop", "loop", 80, "NC");
	documents_close(&d);
}

/* Spec 10.4: grouped by locality, groups sorted, otherwise in order. */
static void test_order_by_locality(void **state)
{
	(void)state;
	documents_open(&d,
		ENTRY("shop", "places")
		"  hosts: [p.test]\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints:\n"
		"  - {address: 10.0.0.1, locality: r2/z1}\n"
		"  - {address: 10.0.0.2, labels: {istio-locality: r1.z1}}\n"
		"  - {address: 10.0.0.3, locality: r1/z1}\n  - {address: 10.0.0.4}\n");
	ASSERT_MEANS(&d, "shop", "p.test", 80, "10.0.0.4:80 10.0.0.2:80 10.0.0.3:80 10.0.0.1:80");
	documents_close(&d);
}

/* Spec 7.3: a wildcard is a name like others. */
static void test_wildcard_hosts(void **state)
{
	(void)state;
	documents_open(&d,
		ENTRY("shop", "wild")
		"  hosts: ['*.example.com']\n  resolution: STATIC\n"
		"  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.0.0.1}]\n");
	ASSERT_MEANS(&d, "shop", "*.example.com", 80, "10.0.0.1:80");
	ASSERT_MEANS(&d, "shop", "a.example.com", 80, "NC");
	documents_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_name_on_a_plain_host),
		cmocka_unit_test(test_static_entry),
		cmocka_unit_test(test_unix_sockets),
		cmocka_unit_test(test_resolution_modes),
		cmocka_unit_test(test_a_destination_without_a_port),
		cmocka_unit_test(test_dotless_names),
		cmocka_unit_test(test_cluster_domain),
		cmocka_unit_test(test_visibility),
		cmocka_unit_test(test_first_by_namespace_and_name),
		cmocka_unit_test(test_declarations_of_one_namespace_add_up),
		cmocka_unit_test(test_a_service_beats_an_entry_and_takes_its_endpoints),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_workload_health),
		cmocka_unit_test(test_slices_and_endpoints),
		cmocka_unit_test(test_external_name),
		cmocka_unit_test(test_order_by_locality),
		cmocka_unit_test(test_wildcard_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
