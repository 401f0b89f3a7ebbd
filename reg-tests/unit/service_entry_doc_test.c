/* SPDX-License-Identifier: Apache-2.0
 * ServiceEntry, WorkloadEntry, WorkloadGroup, Service and its endpoints, Secret and ConfigMap that are
 * fine: what they decode to, and what they are warned of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "sallyport/resource/secret.h"
#include "sallyport/resource/service.h"
#include "sallyport/resource/service_entry.h"
#include "sallyport/resource/workload.h"

struct reading {
	struct problems problems;
	struct resource_set *set;
};

static struct reading read_text(const char *text)
{
	struct reading r;

	problems_init(&r.problems);
	r.set = resource_set_parse("s.yaml", slice_of(text), &r.problems);
	if (r.problems.errors > 0)
		fail_msg("%s", r.problems.items[0].text);
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

#define ISTIO(kind, meta) "---\napiVersion: networking.istio.io/v1\nkind: " kind "\nmetadata: {" meta "}\n"
#define CORE(kind, meta) "---\napiVersion: v1\nkind: " kind "\nmetadata: {" meta "}\n"

static void endpoints_keep_their_ports_weights_and_labels(void **state)
{
	struct reading r = read_text(ISTIO("ServiceEntry", "name: api, namespace: production")
		"spec:\n  hosts: [API-service.production.svc.cluster.local]\n  location: MESH_INTERNAL\n"
		"  resolution: STATIC\n  exportTo: [\"~\"]\n"
		"  ports: [{number: 8080, name: http, protocol: http, targetPort: 3000}]\n"
		"  endpoints:\n  - {address: 192.0.2.10, labels: {version: v1}, weight: 3}\n"
		"  - {address: \"2001:db8::1\", labels: {istio.io/draining: \"yes\"}, ports: {http: 3001}, weight: 0}\n"
		"  - {network: far}\n");
	const struct service_entry *e = r.set->service_entries.items[0];

	(void)state;
	assert_string_equal(e->hosts.items[0].text.at, "api-service.production.svc.cluster.local");
	assert_true(e->internal && e->served);
	assert_int_equal(e->resolution, RESOLUTION_STATIC);
	assert_int_equal(e->ports.items[0].protocol, SERVICE_HTTP);
	assert_int_equal(e->ports.items[0].target_port, 3000);
	assert_int_equal(e->endpoints.count, 3);
	assert_int_equal(e->endpoints.items[0].weight, 3);
	assert_int_equal(e->endpoints.items[0].address_kind, ADDRESS_IP);
	assert_int_equal(workload_port(&e->endpoints.items[0], SLICE("http")), 0);
	assert_int_equal(workload_port(&e->endpoints.items[1], SLICE("http")), 3001);
	assert_int_equal(e->endpoints.items[1].weight, 1);
	assert_true(e->endpoints.items[1].draining);
	assert_false(e->endpoints.items[0].draining);
	assert_int_equal(e->endpoints.items[2].address_kind, ADDRESS_NONE);
	assert_true(has_problem(&r, "address is unset with network \"far\""));
	assert_false(export_to_visible(&e->export_to, SLICE("production"), SLICE("production")));
	done(&r);
}

static void addresses_are_told_apart(void **state)
{
	struct reading r = read_text(
		ISTIO("ServiceEntry", "name: a") "spec: {hosts: [a.test], resolution: STATIC, ports: [{number: 80, "
		"name: http, protocol: HTTP}], endpoints: [{address: \"unix:///run/app.sock\"}, "
		"{address: \"unix://@app\"}]}\n"
		ISTIO("ServiceEntry", "name: b") "spec: {hosts: [b.test], resolution: DNS, ports: [{number: 80, "
		"name: http, protocol: HTTP}], endpoints: [{address: Backend.Example.}]}\n");
	const struct workload *sockets = r.set->service_entries.items[0]->endpoints.items;

	(void)state;
	assert_int_equal(r.problems.count, 0);
	assert_int_equal(sockets[0].address_kind, ADDRESS_UNIX);
	assert_string_equal(sockets[0].address.at, "/run/app.sock");
	assert_int_equal(sockets[1].address_kind, ADDRESS_ABSTRACT);
	assert_string_equal(sockets[1].address.at, "app");
	sockets = r.set->service_entries.items[1]->endpoints.items;
	assert_int_equal(sockets[0].address_kind, ADDRESS_NAME);
	assert_string_equal(sockets[0].address.at, "backend.example");
	done(&r);
}

static void what_a_gateway_cannot_do_with_an_entry_is_told(void **state)
{
	static const struct { const char *spec, *piece; bool served; } rows[] = {
		{ "hosts: [a.test], ports: [{number: 80, name: http, protocol: HTTP}]",
		  "resolution NONE has no endpoints at a gateway", true },
		{ "hosts: [\"*.a.test\"], resolution: DYNAMIC_DNS, ports: [{number: 80, name: h, protocol: HTTP}]",
		  "resolution DYNAMIC_DNS is accepted but not obeyed yet", false },
		{ "hosts: [single], resolution: DNS, ports: [{number: 80, name: h, protocol: HTTP}]",
		  "\"single\" is not expanded", true },
		{ "hosts: [\"*a.test\"], resolution: STATIC, ports: [{number: 80, name: h, protocol: HTTP}]",
		  "partial wildcard \"*a.test\" not allowed", true },
		{ "hosts: [a.test], resolution: STATIC, workloadSelector: {labels: {}}",
		  "every WorkloadEntry of the namespace is selected", true },
		{ "hosts: [a.test], resolution: DNS, subjectAltNames: [a.test]",
		  "spec.subjectAltNames: is accepted but not obeyed yet", true },
		{ "hosts: [a.test], workloadSelector: {labels: {app: x}}",
		  "workloadSelector should not be set when resolution mode is NONE", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct arena *a = arena_create(0);
		struct reading r = read_text(arena_printf(a, ISTIO("ServiceEntry", "name: a") "spec: {%s}\n",
							  rows[i].spec));

		if (!has_problem(&r, rows[i].piece))
			fail_msg("row %zu: %s", i, r.problems.count > 0 ? r.problems.items[0].text : "no problem");
		assert_int_equal(r.set->service_entries.items[0]->served, rows[i].served);
		done(&r);
		arena_free(&a);
	}
}

static void workload_entries_know_their_health_and_group(void **state)
{
	struct reading r = read_text(
		ISTIO("WorkloadEntry", "name: a, labels: {app: x, version: v2}") "spec: {address: 192.0.2.1, "
		"labels: {app: y, zone: z}}\n"
		ISTIO("WorkloadEntry", "name: b, annotations: {proxy.istio.io/health-checks-enabled: \"true\", "
		"istio.io/autoRegistrationGroup: g}") "spec: {address: vm.example}\n"
		ISTIO("WorkloadEntry", "name: c, ownerReferences: [{kind: WorkloadGroup, name: h}], annotations: "
		"{proxy.istio.io/health-checks-enabled: \"true\"}") "spec: {address: 192.0.2.3}\n"
		"status: {conditions: [{type: Healthy, status: \"True\"}]}\n");
	const struct workload_entry *const *e = (const struct workload_entry *const *)r.set->workload_entries.items;

	(void)state;
	assert_int_equal(r.problems.count, 0);
	assert_int_equal(e[0]->workload.labels.count, 3);
	assert_true(e[0]->healthy && !e[0]->health_checked);
	assert_null(e[0]->group.at);
	assert_true(slice_eq(e[0]->workload.labels.items[0].value, SLICE("x")));
	assert_true(e[1]->health_checked && !e[1]->healthy);
	assert_string_equal(e[1]->group.at, "g");
	assert_true(e[2]->health_checked && e[2]->healthy);
	assert_string_equal(e[2]->group.at, "h");
	done(&r);
}

static void probes_have_their_defaults(void **state)
{
	struct reading r = read_text(ISTIO("WorkloadGroup", "name: g") "spec: {metadata: {labels: {app: x}}, "
		"template: {ports: {http: 8080}, serviceAccount: sa}, probe: {httpGet: {port: 8080, scheme: HTTPS, "
		"httpHeaders: [{name: Host, value: a}, {name: Host, value: b}]}}}\n");
	const struct workload_group *g = r.set->workload_groups.items[0];

	(void)state;
	assert_true(has_problem(&r, "spec.probe: is accepted but not obeyed yet"));
	assert_int_equal(g->template.ports.items[0].number, 8080);
	assert_int_equal(g->probe->kind, PROBE_HTTP);
	assert_true(g->probe->https);
	assert_string_equal(g->probe->path.at, "/");
	assert_int_equal(g->probe->timeout_s, 1);
	assert_int_equal(g->probe->period_s, 10);
	assert_int_equal(g->probe->failure_threshold, 1);
	assert_int_equal(g->probe->headers.count, 2);
	done(&r);
}

static void services_guess_the_protocol_of_their_ports(void **state)
{
	static const struct { const char *protocol, *app, *name; uint32_t number; enum service_protocol is; } rows[] = {
		{ "TCP", "", "http", 80, SERVICE_HTTP }, { "TCP", "", "http-web", 80, SERVICE_HTTP },
		{ "TCP", "", "http2-api", 80, SERVICE_HTTP2 }, { "TCP", "", "GRPC-x", 80, SERVICE_GRPC },
		{ "TCP", "", "grpcfoo", 80, SERVICE_AUTO }, { "TCP", "", "grpc-web-x", 80, SERVICE_GRPC_WEB },
		{ "TCP", "", "https-x", 80, SERVICE_HTTPS }, { "TCP", "", "web", 80, SERVICE_AUTO },
		{ "TCP", "", "", 80, SERVICE_AUTO }, { "TCP", "", "", 3306, SERVICE_TCP },
		{ "TCP", "", "smtp", 25, SERVICE_TCP }, { "UDP", "", "http", 80, SERVICE_UDP },
		{ "SCTP", "", "http", 80, SERVICE_HTTP }, { "TCP", "kubernetes.io/h2c", "http", 80, SERVICE_HTTP2 },
		{ "TCP", "kubernetes.io/ws", "", 80, SERVICE_HTTP }, { "TCP", "kubernetes.io/wss", "", 80, SERVICE_HTTPS },
		{ "TCP", "grpc", "http", 80, SERVICE_GRPC }, { "TCP", "other", "http", 80, SERVICE_AUTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(service_protocol_guess(slice_of(rows[i].protocol), slice_of(rows[i].app),
							slice_of(rows[i].name), rows[i].number), rows[i].is);
}

static void services_are_read(void **state)
{
	struct reading r = read_text(
		CORE("Service", "name: a, namespace: edge, annotations: {networking.istio.io/exportTo: \"., shop\"}")
		"spec: {type: LoadBalancer, selector: {istio: ingressgateway}, ports: [{name: http, port: 80, "
		"targetPort: 8080, nodePort: 30080}, {name: grpc, port: 9090, targetPort: named}]}\n"
		CORE("Service", "name: b") "spec: {clusterIP: None}\n"
		CORE("Service", "name: c") "spec: {type: ExternalName, externalName: Api.Example.com}\n"
		CORE("Service", "name: d") "spec: {selector: {a: b}}\n");
	struct service **s = r.set->services.items;

	(void)state;
	assert_int_equal(r.problems.count, 1);
	assert_true(has_problem(&r, "Service default/d: spec: no ports"));
	/* By namespace first: default before edge. */
	assert_true(s[0]->headless && !s[1]->headless);
	assert_string_equal(s[1]->external_name.at, "api.example.com");
	assert_int_equal(s[3]->ports.count, 2);
	assert_int_equal(s[3]->ports.items[0].target_port, 8080);
	assert_int_equal(s[3]->ports.items[1].protocol, SERVICE_GRPC);
	assert_string_equal(s[3]->ports.items[1].target_name.at, "named");
	assert_int_equal(s[3]->selector.count, 1);
	assert_true(export_to_visible(&s[3]->export_to, SLICE("edge"), SLICE("shop")));
	assert_false(export_to_visible(&s[3]->export_to, SLICE("edge"), SLICE("other")));
	done(&r);
}

static void endpoints_of_services_have_a_health(void **state)
{
	struct reading r = read_text(
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
		"metadata: {name: a-1, labels: {kubernetes.io/service-name: a}}\naddressType: IPv4\n"
		"ports: [{name: http, port: 3000}, {port: 3001}]\nendpoints:\n"
		"- {addresses: [192.0.2.1, 192.0.2.2], zone: z1}\n"
		"- {addresses: [192.0.2.3], conditions: {ready: false, terminating: false}}\n"
		"- {addresses: [192.0.2.4], conditions: {ready: false}}\n"
		"- {addresses: [192.0.2.5], conditions: {ready: false, terminating: true}}\n"
		"- {addresses: [192.0.2.6], conditions: {ready: true}, nodeName: n}\n"
		CORE("Endpoints", "name: b") "subsets: [{addresses: [{ip: 192.0.2.7}], notReadyAddresses: "
		"[{ip: \"2001:db8::8\"}], ports: [{port: 80}]}]\n"
		"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: c}\naddressType: FQDN\n"
		"endpoints: [{addresses: [a.example]}]\n");
	const struct endpoint_slice *s = r.set->endpoint_slices.items[0];
	const struct endpoints *e = r.set->endpoints.items[0];

	(void)state;
	assert_string_equal(s->service.at, "a");
	assert_int_equal(s->ports.count, 2);
	assert_int_equal(s->ports.items[1].name.len, 0);
	assert_int_equal(s->endpoints.count, 4);
	assert_int_equal(s->endpoints.items[1].health, ENDPOINT_HEALTHY);
	assert_string_equal(s->endpoints.items[1].zone.at, "z1");
	assert_int_equal(s->endpoints.items[2].health, ENDPOINT_UNHEALTHY);
	assert_string_equal(s->endpoints.items[3].node_name.at, "n");
	assert_int_equal(e->subsets.items[0].endpoints.count, 2);
	assert_int_equal(e->subsets.items[0].endpoints.items[0].health, ENDPOINT_HEALTHY);
	assert_int_equal(e->subsets.items[0].endpoints.items[1].health, ENDPOINT_UNHEALTHY);
	assert_true(has_problem(&r, "no label kubernetes.io/service-name"));
	assert_true(has_problem(&r, "addressType FQDN is ignored"));
	done(&r);
}

static void secrets_are_decoded_and_overlaid(void **state)
{
	struct reading r = read_text(
		CORE("Secret", "name: a") "type: kubernetes.io/tls\n"
		"stringData: {tls.crt: literal}\n"
		"data:\n  tls.crt: b2xk\n  tls.key: |\n    a2V5\n    a2V5\n  empty: \"\"\n  digits: 1234\n"
		CORE("ConfigMap", "name: ca") "data: {ca.crt: pem}\nbinaryData: {bin: AAE=}\n");
	const struct secret *s = r.set->secrets.items[0];
	const struct config_map *m = r.set->config_maps.items[0];

	(void)state;
	assert_int_equal(r.problems.count, 0);
	assert_string_equal(secret_value(s, "tls.crt").at, "literal");
	assert_string_equal(secret_value(s, "tls.key").at, "keykey");
	assert_int_equal(secret_value(s, "empty").len, 0);
	assert_int_equal(secret_value(s, "digits").len, 3);
	assert_null(secret_value(s, "ca.crt").at);
	assert_string_equal(config_map_value(m, "ca.crt").at, "pem");
	assert_memory_equal(config_map_value(m, "bin").at, "\0\1", 2);
	done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints_keep_their_ports_weights_and_labels),
		cmocka_unit_test(addresses_are_told_apart),
		cmocka_unit_test(what_a_gateway_cannot_do_with_an_entry_is_told),
		cmocka_unit_test(workload_entries_know_their_health_and_group),
		cmocka_unit_test(probes_have_their_defaults),
		cmocka_unit_test(services_guess_the_protocol_of_their_ports),
		cmocka_unit_test(services_are_read),
		cmocka_unit_test(endpoints_of_services_have_a_health),
		cmocka_unit_test(secrets_are_decoded_and_overlaid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
