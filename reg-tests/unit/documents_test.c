/* SPDX-License-Identifier: Apache-2.0
 * Whole documents: the seeds load, each invalid one gets exactly its lines, sets are read in order. */
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "sallyport/resource/gateway.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/virtual_service.h"
#include "sallyport/text.h"

#define INVALID_FILES_MIN	50	/* fewer means that the folder was not found as it should be */
#define SEED_FILES		29

/* --- files --------------------------------------------------------------------------------- */

static int is_yaml(const struct dirent *e)
{
	return slice_ends(slice_of(e->d_name), SLICE(".yaml"));
}

/* Inside `folder` while `visit` runs for each *.yaml in it; returns how many there were. */
static int for_each_file(const char *folder, void (*visit)(const char *name))
{
	char before[PATH_MAX];
	struct dirent **names;
	int count;

	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	count = scandir(".", &names, is_yaml, alphasort);
	for (int i = 0; i < count; i++) {
		visit(names[i]->d_name);
		free(names[i]);
	}
	free(names);
	assert_int_equal(chdir(before), 0);
	return count;
}

static void problems_text(struct problems *ps, enum severity least, struct text *out)
{
	char line[4096];

	problems_sort(ps);
	for (size_t i = 0; i < ps->count; i++) {
		if (ps->items[i].severity < least)
			continue;
		problem_format(&ps->items[i], line, sizeof(line));
		text_printf(out, "%s\n", line);
	}
}

static void read_whole(const char *path, struct text *out)
{
	FILE *f = fopen(path, "r");
	char bytes[4096];
	size_t n;

	if (f == NULL)
		fail_msg("%s: no such file: every invalid document needs its lines beside it", path);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		text_add(out, slice_make(bytes, n));
	fclose(f);
}

static void expect_lines(const char *name)
{
	struct text expected, found;
	struct resource_set *set;
	struct problems ps;
	char path[512];

	text_init(&expected);
	text_init(&found);
	problems_init(&ps);
	snprintf(path, sizeof(path), "%.*s.expect", (int)(strlen(name) - strlen(".yaml")), name);
	read_whole(path, &expected);
	set = resource_set_load(&name, 1, &ps);
	problems_text(&ps, SEVERITY_NOTE, &found);
	if (!slice_eq(text_slice(&expected), text_slice(&found)))
		fail_msg("%s\nexpected:\n%s\nfound:\n%s", name, text_slice(&expected).at, text_slice(&found).at);
	if (ps.errors == 0)
		fail_msg("%s: has no error at all", name);
	resource_set_free(&set);
	problems_fini(&ps);
	text_fini(&expected);
	text_fini(&found);
}

static void each_invalid_document_gets_exactly_its_lines(void **state)
{
	(void)state;
	assert_true(for_each_file("reg-tests/documents/invalid", expect_lines) >= INVALID_FILES_MIN);
}

static void expect_no_error(const char *name)
{
	struct resource_set *set;
	struct problems ps;
	struct text found;

	text_init(&found);
	problems_init(&ps);
	set = resource_set_load(&name, 1, &ps);
	problems_text(&ps, SEVERITY_ERROR, &found);
	if (ps.errors > 0)
		fail_msg("%s:\n%s", name, found.at);
	if (set->documents == 0 && ps.warnings == 0)
		fail_msg("%s: neither a document nor a warning", name);
	resource_set_free(&set);
	problems_fini(&ps);
	text_fini(&found);
}

static void every_block_of_the_seeds_loads(void **state)
{
	(void)state;
	assert_int_equal(for_each_file("reg-tests/documents/seeds", expect_no_error), SEED_FILES);
}

/* --- sets ---------------------------------------------------------------------------------- */

static struct resource_set *parse(const char *text, struct problems *ps)
{
	problems_init(ps);
	return resource_set_parse("t.yaml", slice_of(text), ps);
}

#define GATEWAY(ns, name, more) \
	"---\napiVersion: networking.istio.io/v1\nkind: Gateway\n" \
	"metadata: {name: " name ", namespace: " ns more "}\n" \
	"spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]}\n"

static void lists_are_in_order_of_age_namespace_and_name(void **state)
{
	static const char *const order[] = { "young/d", "a/z", "b/a", "b/c" };
	struct problems ps;
	struct resource_set *set = parse(
		GATEWAY("b", "c", ", creationTimestamp: 2024-05-02T00:00:00Z")
		GATEWAY("b", "a", ", creationTimestamp: 2024-05-02T02:00:00+02:00")
		GATEWAY("a", "z", ", creationTimestamp: \"2024-05-02T00:00:00.5Z\"")
		GATEWAY("young", "d", ""), &ps);

	(void)state;
	assert_int_equal(ps.errors, 0);
	assert_int_equal(set->gateways.count, COUNT_OF(order));
	for (size_t i = 0; i < COUNT_OF(order); i++) {
		const struct meta *m = set->gateways.items[i]->meta;
		char name[64];

		snprintf(name, sizeof(name), "%.*s/%.*s", SLICE_ARG(m->ns), SLICE_ARG(m->name));
		assert_string_equal(name, order[i]);
	}
	assert_int_equal(set->gateways.items[1]->meta->created, 1714608000);
	resource_set_free(&set);
	assert_null(set);
	problems_fini(&ps);
}

static void the_revision_is_that_of_the_bytes(void **state)
{
	struct problems ps, other;
	struct resource_set *a = parse("", &ps), *b;

	(void)state;
	assert_string_equal(a->rev, "ef46db3751d8e999");	/* XXH64 of nothing */
	problems_fini(&ps);
	resource_set_free(&a);
	a = parse(GATEWAY("a", "b", ""), &ps);
	b = parse(GATEWAY("a", "b", "") " ", &other);
	assert_string_not_equal(a->rev, b->rev);
	resource_set_free(&a);
	resource_set_free(&b);
	problems_fini(&ps);
	problems_fini(&other);
}

static void lists_of_kubectl_are_opened(void **state)
{
	struct problems ps;
	struct resource_set *set = parse(
		"{\"apiVersion\": \"v1\", \"kind\": \"List\", \"metadata\": {\"resourceVersion\": \"\"}, \"items\": [\n"
		"{\"apiVersion\": \"networking.istio.io/v1\", \"kind\": \"Gateway\", \"metadata\": {\"name\": \"a\"},"
		" \"spec\": {\"servers\": []}}]}\n"
		"---\napiVersion: networking.istio.io/v1beta1\nkind: GatewayList\nitems:\n"
		"- metadata: {name: b, creationTimestamp: null}\n  spec: {}\n", &ps);

	(void)state;
	assert_int_equal(ps.errors, 0);
	assert_int_equal(set->gateways.count, 2);
	resource_set_free(&set);
	problems_fini(&ps);
}

static void kinds_of_no_use_are_told(void **state)
{
	struct problems ps;
	struct resource_set *set = parse(
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n"
		"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: b}\n---\n# nothing\n", &ps);

	(void)state;
	assert_int_equal(ps.errors, 0);
	assert_int_equal(ps.count, 2);
	problems_sort(&ps);
	assert_int_equal(ps.items[0].severity, SEVERITY_NOTE);
	assert_string_equal(ps.items[0].text, "Deployment default/a: has no use here");
	assert_int_equal(ps.items[1].severity, SEVERITY_WARNING);
	assert_string_equal(ps.items[1].text, "PeerAuthentication default/b: this kind is not obeyed here: "
			    "nothing in it takes effect");
	resource_set_free(&set);
	problems_fini(&ps);
}

/* --- proxy settings ------------------------------------------------------------------------ */

static void a_proxy_without_document_has_defaults(void **state)
{
	struct problems ps;
	struct resource_set *set = parse("", &ps);
	const struct proxy_settings *p = set->proxy;

	(void)state;
	assert_string_equal(p->meta->ns.at, "istio-system");
	assert_int_equal(p->labels.count, 2);
	assert_string_equal(p->labels.items[0].value.at, "ingressgateway");
	assert_int_equal(p->limits.request_head_bytes, 60 * 1024);
	assert_int_equal(p->limits.request_headers, 100);
	assert_int_equal(p->limits.response_head_bytes, 80 * 1024);
	assert_int_equal(p->limits.request_header_ms, 60000);
	assert_int_equal(p->limits.idle_ms, 3600000);
	assert_int_equal(p->limits.connect_ms, 10000);
	assert_int_equal(p->limits.tls_handshake_ms, 15000);
	assert_int_equal(p->limits.drain_ms, 5000);
	assert_int_equal(p->authz.timeout_ms, 200);
	assert_null(p->authz.addresses.items);
	assert_null(p->access_log.path.at);
	assert_int_equal(p->mesh.path_normalization, PATH_BASE);
	assert_false(p->http.accept_http10);
	assert_string_equal(p->http.server_name.at, "istio-envoy");
	assert_false(p->admin.socket_set);
	assert_false(p->proxy_protocol.on);
	resource_set_free(&set);
	problems_fini(&ps);
}

static void a_proxy_document_sets_what_it_names(void **state)
{
	struct problems ps;
	struct resource_set *set = parse(
		"apiVersion: sallyport.io/v1\nkind: Proxy\nmetadata: {name: edge, namespace: edge-system}\nspec:\n"
		"  labels: {app: edge}\n  workers: 2\n  ports: {80: 8080, 443: 8443}\n  user: sallyport\n"
		"  secrets: {directory: /srv/secrets}\n  admin: {socket: \"\"}\n"
		"  authz: {address: \"[::1]:9000\", timeout: 50ms, agent: ./sallyport-authz}\n"
		"  accessLog: {path: /dev/stdout, format: json}\n"
		"  mesh: {rootNamespace: root, trustDomain: td, trustedProxies: 2, clusterDomain: \"\",\n"
		"         pathNormalization: {normalization: MERGE_SLASHES}, dnsRefreshRate: 5s,\n"
		"         defaultHttpRetryPolicy: {attempts: 5, retryOn: \"reset,503\"}}\n"
		"  http: {acceptHttp10: true, serverName: edge, underscoresInNames: REJECT}\n"
		"  proxyProtocol: {ports: [443], trustedSources: [10.0.0.0/8, \"::1\"]}\n"
		"  limits: {maxConnections: 50000, maxRequestHeadersKb: 16, idleTimeout: 0s, connectTimeout: 250ms}\n",
		&ps);
	const struct proxy_settings *p = set->proxy;

	(void)state;
	assert_int_equal(ps.count, 0);
	assert_string_equal(p->meta->ns.at, "edge-system");
	assert_int_equal(p->labels.count, 1);
	assert_int_equal(p->workers, 2);
	assert_int_equal(p->ports.count, 2);
	assert_int_equal(p->ports.items[1].number, 443);
	assert_int_equal(p->ports.items[1].bound, 8443);
	assert_int_equal(p->admin.socket.len, 0);
	assert_true(p->admin.socket_set);
	assert_int_equal(p->authz.addresses.count, 1);
	assert_string_equal(p->authz.addresses.items[0].at, "[::1]:9000");
	assert_int_equal(p->authz.timeout_ms, 50);
	assert_int_equal(p->access_log.format, ACCESS_LOG_JSON);
	assert_int_equal(p->mesh.trusted_proxies, 2);
	assert_int_equal(p->mesh.cluster_domain.len, 0);
	assert_int_equal(p->mesh.path_normalization, PATH_MERGE_SLASHES);
	assert_int_equal(p->mesh.dns_refresh_ms, 5000);
	assert_int_equal(p->mesh.default_retries->attempts, 5);
	assert_int_equal(p->mesh.default_retries->on, RETRY_ON_RESET | RETRY_ON_RETRIABLE_STATUS_CODES);
	assert_true(p->http.accept_http10);
	assert_int_equal(p->http.underscores, UNDERSCORES_IN_NAMES_REJECT);
	assert_true(p->proxy_protocol.on);
	assert_int_equal(p->proxy_protocol.ports.count, 1);
	assert_int_equal(p->proxy_protocol.ports.items[0].number, 443);
	assert_int_equal(p->proxy_protocol.trusted_sources.count, 2);
	assert_int_equal(p->proxy_protocol.trusted_sources.items[0].bits, 8);
	assert_int_equal(p->limits.max_connections, 50000);
	assert_int_equal(p->limits.request_head_bytes, 16384);
	assert_int_equal(p->limits.idle_ms, 0);
	assert_int_equal(p->limits.connect_ms, 250);
	resource_set_free(&set);
	problems_fini(&ps);
}

static void limits_that_nothing_obeys_yet_are_told(void **state)
{
	struct problems ps;
	struct resource_set *set = parse("apiVersion: sallyport.io/v1\nkind: Proxy\n"
					 "spec: {limits: {requestTimeout: 5s}}\n", &ps);

	(void)state;
	assert_int_equal(ps.errors, 0);
	assert_int_equal(ps.warnings, 1);
	assert_string_equal(ps.items[0].text, "Proxy istio-system/default: spec.limits.requestTimeout: is accepted "
			    "but not obeyed yet");
	assert_int_equal(set->proxy->limits.request_ms, 5000);
	resource_set_free(&set);
	problems_fini(&ps);
}

/* --- folders ------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0644), 0);
}

static bool has_problem(const struct problems *ps, const char *piece)
{
	for (size_t i = 0; i < ps->count; i++)
		if (strstr(ps->items[i].text, piece) != NULL)
			return true;
	return false;
}

static void folders_are_read_whole_and_in_order(void **state)
{
	char top[] = "/tmp/sallyport-documents-XXXXXX", before[PATH_MAX], command[PATH_MAX];
	const char *paths[] = { "tree", "tree/b.yml" };
	struct resource_set *set;
	struct problems ps;

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_non_null(mkdtemp(top));
	assert_int_equal(chdir(top), 0);
	assert_int_equal(mkdir("tree", 0755) | mkdir("tree/sub", 0755) | mkdir("tree/.git", 0755), 0);
	write_file("tree/b.yml", GATEWAY("n", "b", ""));
	write_file("tree/a.yaml", GATEWAY("n", "a", ""));
	write_file("tree/sub/c.json", "{}");
	write_file("tree/notes.txt", "not: [yaml");
	write_file("tree/.git/d.yaml", "not: [yaml");
	write_file("outside.yaml", GATEWAY("n", "outside", ""));
	assert_int_equal(symlink("a.yaml", "tree/again.yaml"), 0);
	assert_int_equal(symlink("sub", "tree/link"), 0);
	problems_init(&ps);
	set = resource_set_load(paths, 2, &ps);
	assert_int_equal(ps.errors, 0);
	assert_int_equal(set->gateways.count, 2);
	assert_int_equal(set->files, 3);	/* a, b, sub/c: links and second namings add none */
	assert_true(has_problem(&ps, "named twice, read once"));
	assert_true(has_problem(&ps, "link to a folder, not followed"));
	resource_set_free(&set);
	problems_fini(&ps);

	assert_int_equal(symlink("../outside.yaml", "tree/out.yaml"), 0);
	assert_int_equal(chmod("tree/a.yaml", 0666), 0);
	problems_init(&ps);
	set = resource_set_load(paths, 1, &ps);
	assert_int_equal(ps.errors, 1);
	assert_true(has_problem(&ps, "this link leads out of the folder"));
	assert_true(has_problem(&ps, "every user of this host may write to this file"));
	resource_set_free(&set);
	problems_fini(&ps);

	paths[0] = "nowhere.yaml";
	paths[1] = "tree/sub/none";
	problems_init(&ps);
	set = resource_set_load(paths, 2, &ps);
	assert_int_equal(ps.errors, 2);
	assert_true(has_problem(&ps, "cannot open: No such file or directory"));
	assert_non_null(set->proxy);
	resource_set_free(&set);
	problems_fini(&ps);
	assert_int_equal(chdir(before), 0);
	snprintf(command, sizeof(command), "rm -r %s", top);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_invalid_document_gets_exactly_its_lines),
		cmocka_unit_test(every_block_of_the_seeds_loads),
		cmocka_unit_test(lists_are_in_order_of_age_namespace_and_name),
		cmocka_unit_test(the_revision_is_that_of_the_bytes),
		cmocka_unit_test(lists_of_kubectl_are_opened),
		cmocka_unit_test(kinds_of_no_use_are_told),
		cmocka_unit_test(a_proxy_without_document_has_defaults),
		cmocka_unit_test(a_proxy_document_sets_what_it_names),
		cmocka_unit_test(limits_that_nothing_obeys_yet_are_told),
		cmocka_unit_test(folders_are_read_whole_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
