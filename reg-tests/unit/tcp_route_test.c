/* SPDX-License-Identifier: Apache-2.0
 *
 * Chains that carry bytes: TCP servers with and without TLS, PASSTHROUGH and AUTO_PASSTHROUGH ones, who gets
 * which connection on a shared port, and where its bytes go (spec/gateway.md 7.4, 8-10, 13, 14, 17;
 * spec/virtual-service.md 10, 11, 18). */
#include "reg-tests/unit/snapshot_case.h"

#include "sallyport/text.h"

#define TLS(mode)	"    tls: {mode: " mode "}\n"
#define PASS		TLS("PASSTHROUGH")
#define L4_IN(ns, name, hosts, gateways, routes) \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name ", namespace: " ns "}\n" \
	"spec:\n  hosts: " hosts "\n  gateways: " gateways "\n" routes "---\n"
#define L4(name, hosts, routes)	L4_IN("default", name, hosts, "[gw]", routes)
#define TCP_TO(host)		"  tcp:\n  - route: [{destination: {host: " host ".local}}]\n"
#define AND(match, host) \
	"  - match: [{" match "}]\n    route: [{destination: {host: " host ".local}}]\n"
#define TLS_TO(sni, host)	"  tls:\n" AND("sniHosts: " sni, host)
#define DB			ENTRY("b", 5432) ENTRY("c", 5432)
#define GW_TCP			GW("gw", SERVER(5432, "TCP", "[\"*\"]"))
#define WORKLOAD		PROXY("workloadCredentials: {directory: /etc/workload}")

#define B			"outbound|5432||b.local"
#define C			"outbound|5432||c.local"

/* What becomes of a connection: "closed" (nobody listens), "reset" (nobody for that name), "http", "https",
 * the cluster of its bytes, with "tls " before it where TLS ends here. */
static const char *fate(struct loaded *l, uint32_t port, const char *sni)
{
	const struct listener_plan *p = listener(l, port);
	const struct chain *c = p != NULL ? listener_find_chain(p, slice_of(sni)) : NULL;

	if (p == NULL)
		return "closed";
	if (c == NULL)
		return "reset";
	assert_int_equal(c->kind == CHAIN_TCP, c->tcp != NULL);
	assert_int_equal(c->kind == CHAIN_HTTP, c->routes != NULL);
	if (c->kind == CHAIN_HTTP)
		return c->tls ? "https" : "http";
	return arena_printf(l->arena, "%s%.*s", c->tls ? "tls " : "",
			    SLICE_ARG(c->tcp->targets.items[0].cluster_name));
}

struct fate_row {
	const char *name, *yaml;
	uint32_t port;
	const char *sni;		/* NULL: none, or no TLS */
	const char *expected, *warning;	/* NULL: no warning is looked for */
};

static const struct fate_row fates[] = {
	/* protocols */
	{ "TCP", DB GW_TCP L4("v", "[\"*\"]", TCP_TO("b")), 5432, NULL, B, NULL },
	{ "MONGO", DB GW("gw", SERVER(5432, "MONGO", "[\"*\"]")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, NULL, B, NULL },
	{ "REDIS", DB GW("gw", SERVER(5432, "REDIS", "[\"*\"]")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, NULL, B, NULL },
	{ "MYSQL", DB GW("gw", SERVER(5432, "MYSQL", "[\"*\"]")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, NULL, B, NULL },
	{ "TLS that ends here", DB GW("gw", SERVER(5432, "TLS", "[a.com]") SIMPLE("c")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, "a.com", "tls " B, NULL },
	{ "TLS that ends here, another name", DB GW("gw", SERVER(5432, "TLS", "[a.com]") SIMPLE("c")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, "b.com", "reset", NULL },
	{ "G29 D1", DB GW("gw", SERVER(5432, "TCP", "[a.com]") SIMPLE("c")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, "a.com", "tls " B, "is served as TLS; Istio refuses it" },
	{ "TLS PASSTHROUGH", DB GW("gw", SERVER(5432, "TLS", "[a.com]") PASS) L4("v", "[a.com]", TLS_TO("[a.com]", "b")), 5432, "a.com", B, NULL },
	{ "HTTPS PASSTHROUGH", DB GW("gw", SERVER(5432, "HTTPS", "[a.com]") PASS) L4("v", "[a.com]", TLS_TO("[a.com]", "b")), 5432, "a.com", B, NULL },
	{ "G27 the default mode", DB GW("gw", SERVER(5432, "HTTPS", "[a.com]") "    tls: {credentialName: c}\n") L4("v", "[a.com]", TLS_TO("[a.com]", "b")),
	  5432, "a.com", B, "mode is not set and defaults to PASSTHROUGH" },
	{ "ISTIO_MUTUAL, TCP", WORKLOAD DB GW("gw", SERVER(5432, "TLS", "[a.com]") TLS("ISTIO_MUTUAL")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, "a.com", "tls " B, NULL },
	{ "ISTIO_MUTUAL, HTTP", WORKLOAD GW("gw", SERVER(443, "HTTPS", "[a.com]") TLS("ISTIO_MUTUAL")), 443, "a.com", "https", NULL },

	/* gateway.md 8, 9: who shares a port */
	{ "G21", DB GW("alpha", SERVER(80, "HTTP", "[a.com]")) GW("gw", SERVER(80, "TCP", "[\"*\"]")) L4("v", "[\"*\"]", TCP_TO("b")),
	  80, NULL, "http", "Gateway default/gw: server p80 on port 80 is not served: Gateway default/alpha, server p80" },
	{ "G22", GW("alpha", SERVER(80, "TCP", "[\"*\"]")) GW("beta", SERVER(80, "HTTP", "[a.com]")), 80, NULL, "closed", "has this port for plain TCP" },
	{ "G22 told", GW("alpha", SERVER(80, "TCP", "[\"*\"]")), 80, NULL, "closed", "no VirtualService bound to it shares a host with it and has tcp routes" },
	{ "two TCP servers", DB GW("gw", NAMED("a", 5432, "TCP", "[a.com]") NAMED("b", 5432, "TCP", "[b.com]")) L4("v", "[b.com]", TCP_TO("b")),
	  5432, NULL, "closed", "server b on port 5432 is not served: Gateway default/gw, server a" },
	{ "TCP first, then TLS", DB GW("gw", NAMED("a", 5432, "TCP", "[\"*\"]") NAMED("b", 5432, "TLS", "[a.com]") PASS) L4("v", "[\"*\"]", TCP_TO("b") TLS_TO("[a.com]", "c")),
	  5432, "a.com", B, "has this port without TLS" },
	{ "HTTP first, then TLS", DB GW("gw", NAMED("a", 80, "HTTP", "[\"*\"]") NAMED("b", 80, "TLS", "[a.com]") PASS) L4("v", "[a.com]", TLS_TO("[a.com]", "b")),
	  80, "a.com", "http", "has this port without TLS" },
	{ "G34", DB GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c") NAMED("b", 443, "TCP", "[\"*\"]")) L4("v", "[\"*\"]", TCP_TO("b")), 443, "z.com", B, NULL },
	{ "G34, a name of TLS", DB GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c") NAMED("b", 443, "TCP", "[\"*\"]")) L4("v", "[\"*\"]", TCP_TO("b")), 443, "a.com", "https", NULL },
	{ "G34, no TLS", DB GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c") NAMED("b", 443, "TCP", "[\"*\"]")) L4("v", "[\"*\"]", TCP_TO("b")), 443, NULL, B, NULL },
	{ "no more TLS after plain", DB GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c") NAMED("b", 443, "HTTP", "[\"*\"]") NAMED("d", 443, "HTTPS", "[d.com]") SIMPLE("c")),
	  443, "d.com", "http", "server d on port 443 is not served" },
	{ "plain never reached behind a star", GW("gw", NAMED("a", 443, "HTTPS", "[\"*\"]") SIMPLE("c") NAMED("b", 443, "HTTP", "[b.com]")), 443, NULL, "https",
	  "this server without TLS is never chosen" },
	{ "G23", DB GW("gw", NAMED("a", 5432, "HTTP", "[\"*\"]") "    bind: 10.0.0.1\n" NAMED("b", 5432, "TCP", "[\"*\"]") "    bind: 10.0.0.2\n") L4("v", "[\"*\"]", TCP_TO("b")),
	  5432, NULL, "http", NULL },
	{ "G13", DB GW("gw", NAMED("a", 443, "HTTPS", "[\"*.example.com\"]") SIMPLE("c") NAMED("b", 443, "TLS", "[foo.example.com]") PASS)
	  L4("v", "[\"*\"]", TLS_TO("[foo.example.com]", "b")), 443, "foo.example.com", B, NULL },
	{ "G14", DB GW("gw", NAMED("a", 443, "HTTPS", "[\"*.example.com\"]") SIMPLE("c") NAMED("b", 443, "TLS", "[foo.example.com]") PASS)
	  L4("v", "[\"*\"]", TLS_TO("[foo.example.com]", "b")), 443, "bar.example.com", "https", NULL },
	{ "same host of two servers with tls", DB GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c") NAMED("b", 443, "TLS", "[a.com]") PASS) L4("v", "[a.com]", TLS_TO("[a.com]", "b")),
	  443, "a.com", "https", "server b on port 443 is not served: Gateway default/gw, server a in line 17, has the same host" },
	{ "the server's own name gives way to a wildcard where it has no route", GW("gw", NAMED("a", 443, "HTTPS", "[\"*.com\"]") SIMPLE("c") NAMED("b", 443, "TLS", "[t.com]") SIMPLE("c")),
	  443, "t.com", "https", "server b on port 443 is not served: no VirtualService" },

	/* 10.3: names */
	{ "no name", DB GW("gw", SERVER(5432, "TLS", "[a.com]") PASS) L4("v", "[a.com]", TLS_TO("[a.com]", "b")), 5432, NULL, "reset", NULL },
	{ "longest wildcard", DB GW("gw", SERVER(5432, "TLS", "[\"*.com\"]") PASS) L4("v", "[\"*.com\"]", TLS_TO("[\"*.com\"]", "b") AND("sniHosts: [\"*.a.com\"]", "c")), 5432, "x.a.com", C, NULL },
	{ "exact before wildcard", DB GW("gw", SERVER(5432, "TLS", "[\"*.com\"]") PASS) L4("v", "[\"*.com\"]", TLS_TO("[\"*.a.com\"]", "b") AND("sniHosts: [x.a.com]", "c")), 5432, "x.a.com", C, NULL },
	{ "a wildcard is not its apex", DB GW("gw", SERVER(5432, "TLS", "[\"*\"]") PASS) L4("v", "[\"*\"]", TLS_TO("[\"*.a.com\"]", "b")), 5432, "a.com", "reset", NULL },
	{ "upper case in documents", DB GW("gw", SERVER(5432, "TLS", "[A.com]") PASS) L4("v", "[a.COM]", TLS_TO("[a.Com]", "b")), 5432, "a.com", B, NULL },
	{ "star: any name", DB GW("gw", SERVER(5432, "TLS", "[\"*\"]") PASS) L4("v", "[\"*\"]", TLS_TO("[\"*\"]", "b")), 5432, "what.ever", B, NULL },
	{ "star: no name, no TLS", DB GW("gw", SERVER(5432, "TLS", "[\"*\"]") PASS) L4("v", "[\"*\"]", TLS_TO("[\"*\"]", "b")), 5432, NULL, B, NULL },
	{ "star among others", DB GW("gw", SERVER(5432, "TLS", "[\"*\"]") PASS) L4("v", "[\"*\"]", TLS_TO("[a.com, \"*\"]", "b")), 5432, "z", B, NULL },
	{ "second of two names", DB GW("gw", SERVER(5432, "TLS", "[\"*\"]") PASS) L4("v", "[\"*\"]", TLS_TO("[a.com, b.com]", "b")), 5432, "b.com", B, NULL },

	/* 13: the one tcp route */
	{ "first of two", DB GW_TCP L4("v", "[\"*\"]", TCP_TO("b") "  - route: [{destination: {host: c.local}}]\n"), 5432, NULL, B, "never reached" },
	{ "first VirtualService by name", DB GW_TCP L4("zz", "[\"*\"]", TCP_TO("b")) L4("aa", "[\"*\"]", TCP_TO("c")), 5432, NULL, C,
	  "VirtualService default/zz: this tcp route is never used on port 5432: that of VirtualService default/aa" },
	{ "port", DB GW_TCP L4("v", "[\"*\"]", "  tcp:\n" AND("port: 3306", "b") AND("port: 5432", "c")), 5432, NULL, C, NULL },
	{ "one of two items", DB GW_TCP L4("v", "[\"*\"]", "  tcp:\n  - match: [{port: 1}, {port: 5432}]\n    route: [{destination: {host: b.local}}]\n"), 5432, NULL, B, NULL },
	{ "another port", DB GW_TCP L4("v", "[\"*\"]", "  tcp:\n" AND("port: 3306", "b")), 5432, NULL, "closed", "all of its tcp routes are for other ports or Gateways" },
	{ "gateways", DB GW_TCP L4_IN("default", "v", "[\"*\"]", "[gw, other]", "  tcp:\n" AND("gateways: [other]", "b") AND("gateways: [gw]", "c")), 5432, NULL, C, NULL },
	{ "an item does not become everything", DB GW_TCP L4("v", "[\"*\"]", "  tcp:\n" AND("gateways: [other]", "b")), 5432, NULL, "closed", NULL },
	{ "V70 conditions that no gateway looks at", DB GW_TCP L4("v", "[\"*\"]", "  tcp:\n" AND("destinationSubnets: [10.0.0.0/8], sourceSubnet: 10.0.0.0/8, sourceLabels: {a: b}", "b")),
	  5432, NULL, B, "destinationSubnets: is not evaluated at a gateway" },
	{ "hosts that do not meet", DB GW("gw", SERVER(5432, "TCP", "[a.com]")) L4("v", "[b.com]", TCP_TO("b")), 5432, NULL, "closed", "none of its hosts is a host of its Gateways: nothing comes to it" },
	{ "hosts that meet in a wildcard", DB GW("gw", SERVER(5432, "TCP", "[\"*.a.com\"]")) L4("v", "[\"*.x.a.com\"]", TCP_TO("b")), 5432, NULL, B, NULL },
	{ "namespace of the server's host", DB GW("gw", SERVER(5432, "TCP", "[other/*]")) L4("v", "[\"*\"]", TCP_TO("b")), 5432, NULL, "closed", NULL },
	{ "tls routes do not serve TCP", DB GW_TCP L4("v", "[\"*\"]", TLS_TO("[\"*\"]", "b")), 5432, NULL, "closed", "its tls routes have no effect: its Gateways have no server of mode PASSTHROUGH" },
	{ "tcp routes do not serve passthrough", DB GW("gw", SERVER(5432, "TLS", "[a.com]") PASS) L4("v", "[\"*\"]", TCP_TO("b")), 5432, "a.com", "closed", "its tcp routes have no effect" },
	{ "nobody behind it", GW_TCP L4("v", "[\"*\"]", TCP_TO("nobody")), 5432, NULL, "outbound|5432||nobody.local", "declares it; its connections are closed" },
	{ "port of the destination", ENTRY("p", 7000) GW_TCP L4("v", "[\"*\"]", TCP_TO("p")), 5432, NULL, "outbound|7000||p.local", NULL },

	/* 14.1: tls routes */
	{ "V67 the first VirtualService has the name", DB GW("gw", SERVER(5432, "TLS", "[a.com]") PASS) L4("w", "[a.com]", TLS_TO("[a.com]", "b")) L4("x", "[a.com]", TLS_TO("[a.com]", "c")),
	  5432, "a.com", B, "a.com belongs to the server of Gateway default/gw at t:" },
	{ "an item with a name that is taken is dead as a whole", DB GW("gw", SERVER(5432, "TLS", "[\"*\"]") PASS)
	  L4("w", "[\"*\"]", TLS_TO("[a.com]", "b")) L4("x", "[\"*\"]", TLS_TO("[d.com, a.com]", "c")), 5432, "d.com", "reset", "this whole match is not used" },
	{ "the other items of its route live", DB GW("gw", SERVER(5432, "TLS", "[\"*\"]") PASS) L4("w", "[\"*\"]", TLS_TO("[a.com]", "b"))
	  L4("x", "[\"*\"]", "  tls:\n  - match: [{sniHosts: [a.com]}, {sniHosts: [d.com]}]\n    route: [{destination: {host: c.local}}]\n"), 5432, "d.com", C, NULL },
	{ "names beyond the server's hosts", DB GW("gw", SERVER(5432, "TLS", "[a.com]") PASS) L4("v", "[\"*\"]", TLS_TO("[b.com]", "b")), 5432, "b.com", B,
	  "b.com is served although server p5432 of Gateway default/gw has no such host" },
	{ "port of an item", DB GW("gw", SERVER(5432, "TLS", "[a.com]") PASS) L4("v", "[a.com]", "  tls:\n" AND("sniHosts: [a.com], port: 1", "b")), 5432, "a.com", "closed",
	  "all of its tls routes are for other ports or Gateways" },
	{ "only http routes", DB GW("gw", SERVER(5432, "TLS", "[a.com]") PASS) VS("v", "[a.com]", TO("b")), 5432, "a.com", "closed", "a server of mode PASSTHROUGH needs a VirtualService with tls routes" },
	{ "an HTTPS server with only tcp routes", DB GW("gw", SERVER(443, "HTTPS", "[a.com]") SIMPLE("c")) L4("v", "[a.com]", TCP_TO("b")), 443, "a.com", "https",
	  "server p443 answers every request with 404" },
};

static void connections_meet_their_fate(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(fates); i++) {
		const struct fate_row *row = &fates[i];
		struct loaded l;
		const char *found;

		load(&l, row->yaml);
		assert_non_null(l.s);
		found = fate(&l, row->port, row->sni);
		if (strcmp(found, row->expected) != 0) {
			print_message("%s: %s, expected %s\n", row->name, found, row->expected);
			wrong++;
		}
		if (row->warning != NULL && !told(&l, SEVERITY_WARNING, row->warning)) {
			print_message("%s: not told: %s\n", row->name, row->warning);
			problems_print(&l.problems, SEVERITY_NOTE, stderr);
			wrong++;
		}
		unload(&l);
	}
	assert_int_equal(wrong, 0);
}

static void good_servers_are_left_in_peace(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, WORKLOAD DB ENTRY("web", 80)
	     GW("gw", SERVER(80, "HTTP", "[a.com]") TO_HTTPS NAMED("web", 443, "HTTPS", "[a.com]") SIMPLE("c")
		NAMED("through", 443, "TLS", "[t.com]") PASS SERVER(5432, "TCP", "[\"*\"]") SERVER(3306, "MYSQL", "[\"*\"]")
		SERVER(6379, "TLS", "[r.com]") TLS("ISTIO_MUTUAL"))
	     VS("web", "[a.com]", TO("web")) L4("through", "[t.com]", TLS_TO("[t.com]", "b"))
	     L4("sql", "[\"*\"]", "  tcp:\n" AND("port: 5432", "b") AND("port: 3306", "c") AND("port: 6379", "c")));
	if (l.problems.count != 0) {
		problems_print(&l.problems, SEVERITY_NOTE, stderr);
		fail_msg("something was told");
	}
	assert_int_equal(l.s->listeners.count, 5);
	unload(&l);
}

/* G22: nobody to give bytes to means nobody who listens, and a server that has a route elsewhere listens there. */
static void servers_without_a_route_are_not_opened(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, DB GW("gw", NAMED("x", 5432, "TCP", "[\"*\"]") "    bind: 10.0.0.1\n" NAMED("y", 5432, "TCP", "[y.com]") "    bind: 10.0.0.2\n"
		       SERVER(3306, "TLS", "[a.com]") SIMPLE("c") SERVER(6443, "TLS", "[a.com]") PASS SERVER(15443, "TLS", "[\"*.local\"]") TLS("AUTO_PASSTHROUGH"))
	     L4("v", "[x.com]", "  tcp:\n" AND("port: 5432", "b")));
	assert_int_equal(l.s->listeners.count, 1);
	assert_string_equal(l.s->listeners.items[0]->bind.key, "10.0.0.1:5432");
	unload(&l);
}

/* ---- routes ---- */

#define RULE(spec) \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: default}\nspec: {host: b.local, " spec "}\n---\n"

static const struct tcp_route *route_of(const struct loaded *l, uint32_t port)
{
	return listener(l, port)->plain->tcp;
}

static void weights_share_connections(void **state)
{
	unsigned drawn[2] = { 0 };
	const struct tcp_route *r;
	struct loaded l;

	(void)state;
	load(&l, DB GW_TCP L4("v", "[\"*\"]", "  tcp:\n  - route:\n    - {destination: {host: b.local}, weight: 3}\n"
		 "    - {destination: {host: c.local}, weight: 0}\n    - {destination: {host: nobody.local}, weight: 1}\n"));
	r = route_of(&l, 5432);
	assert_int_equal(r->targets.count, 2);
	assert_int_equal(r->total_weight, 4);
	for (uint64_t random = 1000; random < 1400; random++) {
		const struct tcp_target *t = tcp_route_draw(r, random);

		drawn[t - r->targets.items]++;
	}
	assert_int_equal(drawn[0], 300);
	assert_int_equal(drawn[1], 100);
	assert_non_null(r->targets.items[0].cluster);
	assert_null(r->targets.items[1].cluster);
	assert_true(slice_eq(r->targets.items[1].cluster_name, SLICE("outbound|5432||nobody.local")));
	assert_true(slice_eq(r->name, SLICE("default/v")));
	assert_int_equal(r->where.line, 27);
	unload(&l);

	load(&l, DB GW_TCP L4("v", "[\"*\"]", "  tcp:\n  - route: [{destination: {host: b.local}, weight: 0}]\n"));
	r = route_of(&l, 5432);
	assert_ptr_equal(tcp_route_draw(r, UINT64_MAX), &r->targets.items[0]);
	unload(&l);
}

static void sessions_have_times(void **state)
{
	static const struct { const char *yaml; int64_t idle, duration; } rows[] = {
		{ "", 3600000, 0 },
		{ PROXY("limits: {tcpIdleTimeout: 5s}"), 5000, 0 },
		{ RULE("trafficPolicy: {connectionPool: {tcp: {idleTimeout: 7s, maxConnectionDuration: 2m}}}"), 7000, 120000 },
		{ RULE("trafficPolicy: {connectionPool: {tcp: {idleTimeout: 0s}}}"), 0, 0 },
		{ RULE("trafficPolicy: {connectionPool: {http: {idleTimeout: 9s}}}"), 3600000, 0 },
		{ RULE("trafficPolicy: {portLevelSettings: [{port: {number: 5432}, connectionPool: {tcp: {idleTimeout: 7s}}}]}"), 3600000, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct arena *a = arena_create(0);
		struct loaded l;

		load(&l, arena_printf(a, "%s%s", rows[i].yaml, DB GW_TCP L4("v", "[\"*\"]", TCP_TO("b"))));
		assert_int_equal(route_of(&l, 5432)->idle_timeout_ms, rows[i].idle);
		assert_int_equal(route_of(&l, 5432)->max_duration_ms, rows[i].duration);
		assert_int_equal(told(&l, SEVERITY_WARNING, "maxConnectionDuration: holds for relayed TCP alone"),
				 rows[i].duration != 0);
		unload(&l);
		arena_free(&a);
	}
}

static void items_of_one_route_share_it(void **state)
{
	const struct chain *one, *other;
	struct loaded l;

	(void)state;
	load(&l, DB GW("gw", NAMED("db", 5432, "TLS", "[\"*\"]") PASS) L4("v", "[\"*\"]", "  tls:\n  - match: [{sniHosts: [a.com, b.com]}, {sniHosts: [d.com]}]\n"
		       "    route: [{destination: {host: b.local}}]\n"));
	one = chain_for(&l, 5432, "b.com");
	other = chain_for(&l, 5432, "d.com");
	assert_ptr_not_equal(one, other);
	assert_ptr_equal(one->tcp, other->tcp);
	assert_ptr_equal(one, chain_for(&l, 5432, "a.com"));
	assert_int_equal(one->domains.count, 2);
	assert_true(slice_eq(one->name, SLICE("passthrough.5432.db.gw.default")));
	assert_int_equal(one->server_port, 5432);
	assert_false(one->needs_mesh_alpn);
	assert_null(listener(&l, 5432)->plain);
	unload(&l);
}

/* ---- AUTO_PASSTHROUGH ---- */

#define AUTO(hosts)	GW("gw", SERVER(15443, "TLS", hosts) TLS("AUTO_PASSTHROUGH"))
#define INTERNAL(name, host, more) \
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " name ", namespace: default}\n" \
	"spec: {hosts: [" host "], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 127.0.0.1, labels: {v: \"1\"}}]," more "}\n---\n"
#define PORT80		"ports: [{number: 80, name: http, protocol: HTTP}]"

static void services_are_let_through_by_name(void **state)
{
	const struct chain *c;
	struct loaded l;

	(void)state;
	load(&l, INTERNAL("s-s.local", "s.local", "ports: [{number: 80, name: http, protocol: HTTP}, {number: 5432, name: db, protocol: TCP}]")
	     INTERNAL("other", "other.example", PORT80) INTERNAL("wild", "\"*.w.local\"", PORT80) ENTRY("external", 80)
	     "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: default}\nspec: {ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}\n---\n"
	     "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: default}\nspec: {host: s.local, subsets: [{name: v1, labels: {v: \"1\"}}]}\n---\n"
	     AUTO("[\"*.local\"]"));
	/* G35 */
	c = chain_for(&l, 15443, "outbound_.80_._.s.local");
	assert_non_null(c);
	assert_true(c->kind == CHAIN_TCP && !c->tls && c->needs_mesh_alpn);
	assert_string_equal(fate(&l, 15443, "outbound_.80_._.s.local"), "outbound|80||s.local");
	assert_null(c->tcp->service);
	assert_true(slice_eq(c->tcp->name, SLICE("default/s-s.local")));
	assert_int_equal(c->tcp->idle_timeout_ms, 3600000);
	assert_string_equal(fate(&l, 15443, "outbound_.80_.v1_.s.local"), "outbound|80|v1|s.local");
	assert_string_equal(fate(&l, 15443, "outbound_.5432_._.s.local"), "outbound|5432||s.local");
	assert_string_equal(fate(&l, 15443, "outbound_.80_._.shop.default.svc.cluster.local"), "outbound|80||shop.default.svc.cluster.local");
	assert_string_equal(fate(&l, 15443, "outbound_.53_._.shop.default.svc.cluster.local"), "reset");	/* UDP */
	assert_string_equal(fate(&l, 15443, "outbound_.80_.v2_.s.local"), "reset");
	assert_string_equal(fate(&l, 15443, "outbound_.81_._.s.local"), "reset");
	assert_string_equal(fate(&l, 15443, "outbound_.80_._.other.example"), "reset");
	assert_string_equal(fate(&l, 15443, "outbound_.80_._.external.local"), "reset");	/* MESH_EXTERNAL */
	assert_string_equal(fate(&l, 15443, "outbound_.80_._.x.w.local"), "reset");
	assert_string_equal(fate(&l, 15443, "s.local"), "reset");
	assert_string_equal(fate(&l, 15443, NULL), "reset");
	assert_int_equal(l.problems.warnings, 0);	/* no VirtualService is needed */
	unload(&l);

	load(&l, ENTRY("s", 80) AUTO("[\"*.local\"]"));
	assert_int_equal(l.s->listeners.count, 0);
	assert_told(&l, "no Service, and no ServiceEntry of location MESH_INTERNAL");
	unload(&l);
}

/* ---- what chains are like ---- */

static void mesh_servers_show_the_proxys_own_certificate(void **state)
{
	const struct tls_settings *t;
	struct loaded l;

	(void)state;
	load(&l, WORKLOAD DB GW("gw", NAMED("web", 443, "HTTPS", "[a.com]") TLS("ISTIO_MUTUAL") NAMED("db", 443, "TLS", "[d.com]")
				"    tls: {mode: ISTIO_MUTUAL, caCrl: /crl.pem, subjectAltNames: [spiffe://cluster.local/ns/a/sa/b], minProtocolVersion: TLSV1_3}\n"
				NAMED("simple", 443, "TLS", "[s.com]") SIMPLE("c"))
	     L4("v", "[\"*\"]", TCP_TO("b")));
	t = &chain_for(&l, 443, "a.com")->tls_settings;
	assert_int_equal(t->certificate_count, 1);
	assert_string_equal(t->certificates[0].certificate_path.at, "/etc/workload/cert-chain.pem");
	assert_string_equal(t->certificates[0].key_path.at, "/etc/workload/key.pem");
	assert_string_equal(t->client.ca_path.at, "/etc/workload/root-cert.pem");
	assert_int_equal(t->client.certificate, TLS_CLIENT_REQUIRED);
	assert_false(t->client.skip_verify);
	assert_false(t->peer_exchange);
	t = &chain_for(&l, 443, "d.com")->tls_settings;
	assert_string_equal(t->client.crl_path.at, "/crl.pem");
	assert_int_equal(t->client.names.count, 1);
	assert_int_equal(t->min_version, chain_for(&l, 443, "a.com")->tls_settings.min_version);
	assert_true(t->peer_exchange && t->http2);
	t = &chain_for(&l, 443, "s.com")->tls_settings;
	assert_true(!t->peer_exchange && t->http2);	/* 10.6: opaque TCP, too */
	unload(&l);

	load(&l, GW("gw", SERVER(443, "HTTPS", "[a.com]") TLS("ISTIO_MUTUAL")));
	assert_null(l.s);
	assert_true(told(&l, SEVERITY_ERROR, "ISTIO_MUTUAL needs the proxy's own certificate: set Proxy.spec.workloadCredentials.directory"));
	unload(&l);
}

static void grpc_web_is_what_the_first_server_says(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, GW("gw", NAMED("a", 80, "GRPC-WEB", "[a.com]") NAMED("b", 80, "HTTP", "[b.com]") NAMED("c", 81, "HTTP", "[a.com]") NAMED("d", 81, "GRPC-WEB", "[b.com]")
		    NAMED("e", 443, "GRPC-WEB", "[a.com]") SIMPLE("c") NAMED("f", 443, "HTTPS", "[b.com]") SIMPLE("c")));
	assert_true(listener(&l, 80)->plain->grpc_web);
	assert_false(listener(&l, 81)->plain->grpc_web);
	assert_true(chain_for(&l, 443, "a.com")->grpc_web);
	assert_false(chain_for(&l, 443, "b.com")->grpc_web);
	unload(&l);
}

/* A host that goes through, or that ends in TCP, is no host of this connection: 421, never another's routes. */
static void requests_do_not_cross_into_tcp(void **state)
{
	const struct chain *a, *same;
	struct loaded l;

	(void)state;
	load(&l, DB GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c") NAMED("b", 443, "TLS", "[b.com]") SIMPLE("c") NAMED("t", 443, "TLS", "[t.com]") PASS)
	     L4("v", "[\"*\"]", TCP_TO("b") TLS_TO("[t.com]", "b")));
	a = chain_for(&l, 443, "a.com");
	assert_true(listener_is_misdirected(listener(&l, 443), a, SLICE("b.com"), &same));
	assert_null(same);
	assert_true(listener_is_misdirected(listener(&l, 443), a, SLICE("t.com"), &same));
	assert_null(same);
	unload(&l);
}

/* ---- the vectors of spec/gateway.md 17 that no other test has by its number ---- */

static void vectors_of_https_servers(void **state)
{
	const struct chain *same, *c;
	struct loaded l;

	(void)state;
	/* G16: two hosts of one server are one chain. */
	load(&l, GW("gw", SERVER(443, "HTTPS", "[a.com, b.com]") SIMPLE("c")));
	c = chain_for(&l, 443, "a.com");
	assert_ptr_equal(c, chain_for(&l, 443, "b.com"));
	assert_false(listener_is_misdirected(listener(&l, 443), c, SLICE("b.com"), &same));
	unload(&l);

	/* G25: a host twice, on two addresses. */
	load(&l, GW("gw", NAMED("a", 443, "HTTPS", "[a.com]") "    bind: 10.0.0.1\n" SIMPLE("c") NAMED("b", 443, "HTTPS", "[a.com]") "    bind: 10.0.0.2\n" SIMPLE("c")));
	assert_int_equal(l.s->listeners.count, 2);
	for (size_t i = 0; i < 2; i++) {
		c = listener_find_chain(l.s->listeners.items[i], SLICE("a.com"));
		assert_ptr_equal(c->listener, l.s->listeners.items[i]);
	}
	unload(&l);

	/* G31: beside a credential the CA comes from credentials alone. */
	load(&l, GW("gw", SERVER(443, "HTTPS", "[a.com]") "    tls: {mode: MUTUAL, credentialName: c, caCertificates: /ca.pem}\n"));
	c = chain_for(&l, 443, "a.com");
	assert_null(c->tls_settings.client.ca_path.at);
	assert_true(slice_eq(c->tls_settings.client.credential_name, SLICE("c-cacert")));
	assert_told(&l, "caCertificates is ignored beside a credential");
	unload(&l);

	/* G32: a list of nothing we know is no list. */
	load(&l, GW("gw", SERVER(443, "HTTPS", "[a.com]") "    tls: {mode: SIMPLE, credentialName: c, cipherSuites: [FOO]}\n"));
	assert_null(chain_for(&l, 443, "a.com")->tls_settings.cipher_list.at);
	assert_told(&l, "ignoring unknown ciphers FOO; none is left, the default list is in force");
	unload(&l);
}

/* D4: https goes where the name is served, though it be by somebody behind us. */
static void redirects_know_passthrough_servers(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, DB PROXY("ports: {80: 8080, 443: 8443, 444: 8444}") GW("gw", SERVER(80, "HTTP", "[a.com, t.com, d.com]") TO_HTTPS NAMED("a", 443, "HTTPS", "[a.com]") SIMPLE("c")
		NAMED("t", 444, "TLS", "[t.com]") PASS NAMED("d", 445, "TLS", "[d.com]") SIMPLE("c"))
	     L4("v", "[\"*\"]", TCP_TO("b") TLS_TO("[t.com]", "b")));
	assert_int_equal(snapshot_https_port(l.s, SLICE("a.com")), 8443);
	assert_int_equal(snapshot_https_port(l.s, SLICE("t.com")), 8444);
	assert_int_equal(snapshot_https_port(l.s, SLICE("d.com")), 0);
	assert_told(&l, "httpsRedirect sends clients of d.com to https");
	unload(&l);
}

/* The Gateways that users write: every protocol and TLS mode of theirs is served. */
static void documents_of_users_are_obeyed(void **state)
{
	static const char *const files[] = { "advanced-03", "advanced-06", "advanced-07", "advanced-08", "advanced-12" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		char path[100];
		const char *paths[] = { path };
		struct resource_set *set;
		struct snapshot *s;
		struct problems ps;

		problems_init(&ps);
		snprintf(path, sizeof(path), "reg-tests/documents/seeds/%s.yaml", files[i]);
		set = resource_set_load(paths, 1, &ps);
		s = snapshot_build(set, 1, &ps);
		assert_non_null(s);
		for (size_t k = 0; k < ps.count; k++)
			if (strstr(ps.items[k].text, DECODE_NOT_OBEYED) != NULL)
				fail_msg("%s: %s", path, ps.items[k].text);
		snapshot_unref(&s);
		problems_fini(&ps);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_meet_their_fate),
		cmocka_unit_test(good_servers_are_left_in_peace),
		cmocka_unit_test(servers_without_a_route_are_not_opened),
		cmocka_unit_test(weights_share_connections),
		cmocka_unit_test(sessions_have_times),
		cmocka_unit_test(items_of_one_route_share_it),
		cmocka_unit_test(services_are_let_through_by_name),
		cmocka_unit_test(mesh_servers_show_the_proxys_own_certificate),
		cmocka_unit_test(grpc_web_is_what_the_first_server_says),
		cmocka_unit_test(requests_do_not_cross_into_tcp),
		cmocka_unit_test(vectors_of_https_servers),
		cmocka_unit_test(documents_of_users_are_obeyed),
		cmocka_unit_test(redirects_know_passthrough_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
