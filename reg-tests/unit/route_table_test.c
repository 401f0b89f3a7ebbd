/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables: hosts by exact name, suffix and `*`; paths by index just as a scan in order would find them;
 * and what a lookup costs in small tables and large ones (printed, not judged). */
#include "route_case.h"

#include <stdio.h>
#include <unistd.h>

#include "proxy/route/host_map.h"
#include "proxy/route/path_index_priv.h"
#include "sallyport/clock.h"

/* ---- hosts ---- */

struct host_row {
	const char *host, *expected;
};

static const char *const patterns[] = {
	"a.com", "*.a.com", "*.b.a.com", "*-eu.shop.com", "*.shop.com", "*x.shop.com", "10.0.0.1", "::1", "localhost",
};

static const struct host_row with_any[] = {
	{ "a.com", "a.com" }, { "A.Com", "a.com" }, { "x.a.com", "*.a.com" }, { "x.y.a.com", "*.a.com" },
	{ "b.a.com", "*.a.com" }, { "c.b.a.com", "*.b.a.com" }, { "D.C.B.A.COM", "*.b.a.com" },
	{ "xa.com", "*" }, { ".a.com", "*" }, { "a.com.", "*" }, { "one-eu.shop.com", "*-eu.shop.com" },
	{ "-eu.shop.com", "*.shop.com" }, { "two.one-eu.shop.com", "*-eu.shop.com" }, { "box.shop.com", "*x.shop.com" },
	{ "x.shop.com", "*.shop.com" }, { "www.shop.com", "*.shop.com" }, { "shop.com", "*" }, { "10.0.0.1", "10.0.0.1" },
	{ "::1", "::1" }, { "localhost", "localhost" }, { "", NULL }, { "com", "*" },
};

static const char *find(const struct host_map *m, const char *host)
{
	return host_map_find(m, slice_of(host));
}

static void hosts_are_found_most_specific_first(void **state)
{
	struct arena *a = arena_create(0);
	struct host_map *m = host_map_create(a, 0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(patterns); i++)
		assert_null(host_map_add(m, slice_of(patterns[i]), (void *)patterns[i]));
	assert_null(find(m, "x.other"));
	assert_null(host_map_add(m, SLICE("*"), "*"));
	for (size_t i = 0; i < COUNT_OF(with_any); i++) {
		const char *found = find(m, with_any[i].host);

		if (with_any[i].expected == NULL)
			assert_null(found);
		else if (strcmp(found, with_any[i].expected) != 0)
			fail_msg("%s: found %s, expected %s", with_any[i].host, found, with_any[i].expected);
	}
	assert_ptr_equal(host_map_add(m, SLICE("a.com"), "other"), patterns[0]);
	assert_ptr_equal(host_map_get(m, SLICE("*.a.com")), patterns[1]);
	assert_null(host_map_get(m, SLICE("*.c.com")));
	assert_string_equal(find(m, "a.com"), "a.com");
	arena_free(&a);
}

/* Names longer than any that can be written meet wildcards by their ends alone. */
static void long_hosts_meet_wildcards(void **state)
{
	struct arena *a = arena_create(0);
	struct host_map *m = host_map_create(a, 0);
	char host[2000];

	(void)state;
	host_map_add(m, SLICE("*.a.com"), "wild");
	host_map_add(m, SLICE("a.com"), "exact");
	memset(host, 'x', sizeof(host));
	memcpy(host + sizeof(host) - 6, ".a.com", 6);
	assert_string_equal(host_map_find(m, slice_make(host, sizeof(host))), "wild");
	memset(host, '.', sizeof(host));
	assert_null(host_map_find(m, slice_make(host, sizeof(host))));
	host[0] = '*';
	assert_null(host_map_add(m, slice_make(host, sizeof(host)), "never"));
	assert_null(host_map_find(m, slice_make(host, sizeof(host))));
	arena_free(&a);
}

static void many_hosts_are_told_apart(void **state)
{
	enum { HOSTS = 20000 };
	struct arena *a = arena_create(0);
	struct host_map *m = host_map_create(a, 0);
	char host[64];

	(void)state;
	for (uintptr_t i = 1; i <= HOSTS; i++) {
		snprintf(host, sizeof(host), i % 3 == 0 ? "*.h%zu.example" : "h%zu.example", (size_t)i);
		assert_null(host_map_add(m, arena_slice(a, slice_of(host)), (void *)i));
	}
	for (uintptr_t i = 1; i <= HOSTS; i++) {
		snprintf(host, sizeof(host), i % 3 == 0 ? "www.h%zu.example" : "H%zu.example", (size_t)i);
		assert_ptr_equal(host_map_find(m, slice_of(host)), (void *)i);
	}
	arena_free(&a);
}

static void ports_and_brackets_are_taken_off(void **state)
{
	static const struct { const char *authority, *host, *port; } table[] = {
		{ "a.com", "a.com", NULL }, { "a.com:80", "a.com", "80" }, { "[::1]:80", "::1", "80" },
		{ "[::1]", "::1", NULL }, { "a.com:", "a.com", "" }, { "", "", NULL }, { "[", "[", NULL },
		{ "[::1", "[::1", "1" }, { "[]", "", NULL }, { ":80", "", "80" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct slice host = authority_host(slice_of(table[i].authority));
		struct slice port = authority_port(slice_of(table[i].authority));

		if (strcmp(table[i].authority, "[::1") != 0)
			assert_true(slice_eq(host, slice_of(table[i].host)));
		assert_int_equal(port.at == NULL, table[i].port == NULL);
		assert_true(port.at == NULL || slice_eq(port, slice_of(table[i].port)));
	}
}

/* ---- paths ---- */

static uint32_t random_state = 20250101;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % below;
}

static struct slice random_path(struct arena *a)
{
	static const char letters[] = "/abAB/";
	char text[16];
	size_t len = draw(8);

	text[0] = '/';
	for (size_t i = 1; i <= len; i++)
		text[i] = letters[draw(sizeof(letters) - 1)];
	return arena_slice(a, slice_make(text, len + 1));
}

static bool key_holds(const struct path_key *k, struct slice path)
{
	if (k->kind == PATH_OTHER)
		return true;
	if (k->kind == PATH_EXACT)
		return k->ignore_case ? slice_eq_nocase(path, k->text) : slice_eq(path, k->text);
	return k->ignore_case && k->kind == PATH_PREFIX ? slice_starts_nocase(path, k->text) :
							   slice_starts(path, k->text);
}

struct collected {
	const struct path_key *keys;
	struct slice path;
	bool *seen;
	uint32_t count;
};

static void collect(void *arg, struct path_candidates c)
{
	struct collected *x = arg;

	for (uint32_t i = 0; i < c.count; i++) {
		assert_true(i == 0 || c.at[i] > c.at[i - 1]);
		assert_false(x->seen[c.at[i]]);
		assert_int_equal(c.answered, x->keys[c.at[i]].kind < PATH_BEGINNING);
		assert_true(key_holds(&x->keys[c.at[i]], x->path));
		x->seen[c.at[i]] = true;
		x->count++;
	}
}

/* The index finds every route whose path condition holds, each once, and no other. */
static void index_agrees_with_a_scan(void **state)
{
	enum { ROUNDS = 300, KEYS = 60, PATHS = 60 };

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct arena *a = arena_create(0);
		struct path_key keys[KEYS];
		struct path_index *x;
		uint32_t count = 1 + draw(KEYS);

		for (uint32_t i = 0; i < count; i++) {
			keys[i].kind = (enum path_kind)(draw(8) == 0 ? PATH_OTHER : draw(PATH_OTHER));
			keys[i].ignore_case = draw(3) == 0;
			keys[i].text = draw(30) == 0 ? SLICE("") : random_path(a);
		}
		x = path_index_create(a, keys, count);
		for (unsigned p = 0; p < PATHS; p++) {
			bool seen[KEYS] = { false };
			struct collected found = { keys, random_path(a), seen, 0 };
			uint32_t expected = 0;

			path_index_find(x, found.path, collect, &found);
			for (uint32_t i = 0; i < count; i++)
				expected += key_holds(&keys[i], found.path);
			assert_int_equal(found.count, expected);
		}
		arena_free(&a);
	}
}

static void add_random_route(struct text *http, struct arena *a)
{
	static const char *const kinds[] = { "exact", "prefix", "prefix", "regex" };
	static const char *const tails[] = { "", ".*", "?", "*b", "[ab]+", "|/a", "{1,2}" };
	struct slice path = random_path(a);
	const char *kind = kinds[draw(4)];

	text_printf(http, "- match: [{");
	if (draw(10) != 0)
		text_printf(http, "uri: {%s: \"%.*s%s\"}, ", kind, SLICE_ARG(path),
			    kind[0] == 'r' ? tails[draw(COUNT_OF(tails))] : draw(4) ? "" : "/");
	if (draw(4) == 0)
		text_add(http, SLICE("ignoreUriCase: true, "));
	if (draw(3) == 0)
		text_printf(http, "method: {exact: %s}, ", draw(2) ? "GET" : "PUT");
	if (draw(4) == 0)
		text_printf(http, "headers: {x: {prefix: \"%u\"}}, ", draw(3));
	if (draw(4) == 0)
		text_printf(http, "queryParams: {q: {exact: \"%u\"}}, ", draw(3));
	text_add(http, SLICE("statPrefix: s}]\n  route: [{destination: {host: v1.local}}]\n"));
}

/* Whole routes: the first in order for which explain says yes. */
static void tables_agree_with_explain(void **state)
{
	enum { ROUNDS = 60, REQUESTS = 80 };
	unsigned hits = 0, misses = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct route *const *routes;
		struct route_case c;
		struct text http;
		struct arena *a = arena_create(0);
		size_t count = 1 + draw(80);

		text_init(&http);
		for (size_t i = 0; i < count; i++)
			add_random_route(&http, a);
		route_case_open(&c, http.at);
		count = virtual_host_routes(route_table_find(c.table, SLICE("a.com")), &routes);
		for (unsigned i = 0; i < REQUESTS; i++) {
			const struct route *expected = NULL, *found;
			struct route_input in = { .arena = c.arena };
			char line[128], field[16], why[256];

			snprintf(line, sizeof(line), "%s %.*s?q=%u", draw(2) ? "GET" : "PUT",
				 SLICE_ARG(random_path(a)), draw(3));
			snprintf(field, sizeof(field), "x: %u", draw(4));
			in.request = route_case_request(&c, line, field);
			for (size_t r = 0; r < count && expected == NULL; r++)
				if (route_explain(routes[r], &in, why, sizeof(why)))
					expected = routes[r];
			found = route_case_match(&c, in.request);
			assert_ptr_equal(found, expected);
			if (found != NULL)
				hits++;
			else
				misses++;
			assert_true(found == NULL || routes[found->index] == found);
		}
		route_case_close(&c);
		text_fini(&http);
		arena_free(&a);
	}
	assert_true(hits > 500 && misses > 100);
}

/* ---- several blocks, several hosts ---- */

static void blocks_are_concatenated_and_catch_alls_go_last(void **state)
{
	const struct route *const *routes;
	struct route_case one, two;

	(void)state;
	route_case_open(&one, "- match: [{uri: {prefix: /a}}]\n  route: [{destination: {host: a.local}}]\n"
			      "- name: all1\n  route: [{destination: {host: b.local}}]\n");
	route_case_open(&two, "- match: [{uri: {prefix: \"\"}}]\n  name: empty\n  route: [{destination: {host: c.local}}]\n"
			      "- name: all2\n  match: [{uri: {prefix: /}}]\n  route: [{destination: {host: d.local}}]\n");
	{
		struct route_compiler *compiler = route_compiler_create(one.doc.arena);
		const struct route_block *both[] = { &one.block, &two.block };
		const struct virtual_host_plan plans[] = {
			{ SLICE("a.com"), both, 2, true }, { SLICE("b.com"), both, 2, false },
			{ SLICE("c.com"), both + 1, 1, false }, { SLICE("d.com"), NULL, 0, true },
		};
		const struct route_table *t = route_table_compile(compiler, plans, COUNT_OF(plans));
		const struct route *const *other;
		const struct virtual_host *vh = route_table_find(t, SLICE("A.com:8080"));

		assert_true(virtual_host_requires_tls(vh));
		assert_int_equal(virtual_host_routes(vh, &routes), 4);
		assert_true(slice_eq(routes[1]->name, SLICE("empty")));
		assert_true(slice_eq(routes[2]->name, SLICE("all1")));
		assert_true(slice_eq(routes[3]->name, SLICE("all2")));
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(routes[i]->index, i);
		vh = route_table_find(t, SLICE("b.com"));
		assert_false(virtual_host_requires_tls(vh));
		virtual_host_routes(vh, &other);
		assert_ptr_equal(other, routes);	/* shared */
		assert_int_equal(virtual_host_routes(route_table_find(t, SLICE("c.com")), &other), 2);
		assert_int_equal(other[0]->index, 0);
		vh = route_table_find(t, SLICE("d.com"));
		assert_int_equal(virtual_host_routes(vh, &routes), 0);
		assert_null(virtual_host_match(vh, &(struct route_input){
			.request = route_case_request(&one, "GET /", NULL), .arena = one.arena }));
		assert_null(route_table_find(t, SLICE("e.com")));
		route_compiler_free(&compiler);
	}
	route_case_close(&one);
	route_case_close(&two);
}

/* ---- cost ---- */

/* CPU time: neighbours on the machine count less. */
static int64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static double ns_per_lookup(const struct route_table *t, struct route_case *c, size_t hosts, size_t paths)
{
	enum { LOOKUPS = 400000, MESSAGES = 512 };
	struct message *requests[MESSAGES];
	size_t found = 0;
	int64_t start;

	for (size_t i = 0; i < MESSAGES; i++) {
		char line[160];

		snprintf(line, sizeof(line), "GET http://host%zu.example/svc%zu/v1/items?id=7",
			 (size_t)draw((uint32_t)hosts), (size_t)draw((uint32_t)paths));
		requests[i] = route_case_request(c, line, NULL);
	}
	start = cpu_us();
	for (size_t i = 0; i < LOOKUPS; i++) {
		const struct message *m = requests[i % MESSAGES];
		const struct virtual_host *vh = route_table_find(t, m->authority);

		found += virtual_host_match(vh, &(struct route_input){ .request = m, .arena = c->arena }) != NULL;
	}
	assert_int_equal(found, LOOKUPS);
	return (double)(cpu_us() - start) * 1000 / LOOKUPS;
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

/* `hosts` virtual hosts with routes of their own: "/svc0/v1" … "/svc<paths-1>/v1", exact and prefix. */
static void measure(const char *title, size_t hosts, size_t paths)
{
	struct route_case c;
	struct text http;
	struct route_block *blocks;
	const struct route_block **pointers;
	struct virtual_host_plan *plans;
	const struct route_table *t;
	int64_t start, built;
	long before;

	text_init(&http);
	for (size_t p = 0; p < paths; p++)
		text_printf(&http, "- match: [{uri: {%s: /svc%zu/v1%s}}]\n  route: [{destination: {host: v1.local}}]\n",
			    "prefix", p, p % 2 ? "" : "/items");
	route_case_open(&c, http.at);
	text_fini(&http);
	before = resident_kib();
	blocks = arena_array(c.doc.arena, struct route_block, hosts);
	pointers = arena_array(c.doc.arena, const struct route_block *, hosts);
	plans = arena_array(c.doc.arena, struct virtual_host_plan, hosts);
	start = cpu_us();
	for (size_t h = 0; h < hosts; h++) {
		blocks[h].routes.items = arena_array(c.doc.arena, struct route, c.block.routes.count);
		blocks[h].routes.count = c.block.routes.count;
		memcpy(blocks[h].routes.items, c.block.routes.items,
		       c.block.routes.count * sizeof(*c.block.routes.items));
		pointers[h] = &blocks[h];
		plans[h].domain = slice_of(arena_printf(c.doc.arena, "host%zu.example", h));
		plans[h].blocks = &pointers[h];
		plans[h].block_count = 1;
	}
	t = route_table_compile(c.compiler, plans, hosts);
	built = cpu_us() - start;
	print_message("  %-34s compiled in %7.1f ms, %7ld KiB, %6.0f ns a lookup\n", title, (double)built / 1000,
		      resident_kib() - before, ns_per_lookup(t, &c, hosts, paths));
	route_case_close(&c);
}

static void cost_is_shown(void **state)
{
	(void)state;
	measure("10 hosts x 10 routes:", 10, 10);
	measure("10 000 hosts x 10 routes:", 10000, 10);
	measure("1 host x 100 prefixes:", 1, 100);
#ifdef __SANITIZE_THREAD__	/* a minute of comparing routes, each access of it checked */
	measure("1 host x 10 000 prefixes:", 1, 10000);
#else
	measure("1 host x 100 000 prefixes:", 1, 100000);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_found_most_specific_first),
		cmocka_unit_test(long_hosts_meet_wildcards),
		cmocka_unit_test(many_hosts_are_told_apart),
		cmocka_unit_test(ports_and_brackets_are_taken_off),
		cmocka_unit_test(index_agrees_with_a_scan),
		cmocka_unit_test(tables_agree_with_explain),
		cmocka_unit_test(blocks_are_concatenated_and_catch_alls_go_last),
		cmocka_unit_test(cost_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
