/* SPDX-License-Identifier: Apache-2.0
 *
 * Delegates: routes of one VirtualService in the place of another's (spec/virtual-service.md 13, 18). */
#include "reg-tests/unit/snapshot_case.h"

#include "reg-tests/unit/document_check.h"

#define GATEWAY		GW("gw", SERVER(80, "HTTP", "[\"*\"]"))
#define BASE		ENTRY("child", 80) ENTRY("next", 80) ENTRY("b", 80) GATEWAY
#define DELEGATE_IN(ns, name, more, http) \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name ", namespace: " ns "}\n" \
	"spec:\n" more "  http:\n" http "---\n"
#define DELEGATE(name, http)	DELEGATE_IN("default", name, "", http)
#define TO_CHILD	"  - delegate: {name: d}\n"

static struct message *request(struct loaded *l, const char *line, const char *fields)
{
	struct message *m = arena_new(l->arena, struct message);
	struct slice rest = slice_of(arena_text(l->arena, slice_of(line))), all = slice_of(fields);

	m->method = slice_cut(&rest, ' ');
	m->scheme = SLICE("http");
	m->authority = SLICE("a.com");
	m->path = rest;
	headers_init(&m->headers, l->arena, 4);
	while (all.at != NULL && all.len != 0) {
		struct slice value = slice_cut(&all, '\n'), name = slice_cut(&value, ':');

		headers_add(&m->headers, name, slice_trim(value));
	}
	return m;
}

static const struct route *route_of(struct loaded *l, const struct message *m)
{
	const struct virtual_host *vh = route_table_find(listener(l, 80)->plain->routes, m->authority);

	return vh != NULL ? virtual_host_match(vh, &(struct route_input){ .request = m, .arena = l->arena }) : NULL;
}

/* A cluster's host without ".local", "direct", "redirect" or "404". */
static const char *served(struct loaded *l, const struct message *m)
{
	const struct route *r = route_of(l, m);
	struct slice name;

	if (r == NULL)
		return "404";
	if (r->action != ROUTE_FORWARD)
		return r->action == ROUTE_REDIRECT ? "redirect" : "direct";
	name = slice_from(r->targets.items[0].cluster_name, sizeof("outbound|80||") - 1);
	return arena_text(l->arena, slice_first(name, name.len - 6));
}

/* ---- the two matches ---- */

struct merge_row {
	const char *name, *root, *child;	/* lists of matches; NULL: none */
	const char *line, *fields, *expected;	/* "child", or where else it goes: "next" */
};

static const struct merge_row merges[] = {
	{ "60", "{uri: {prefix: /p}}", "{uri: {prefix: /p/x}}", "GET /p/x", NULL, "child" },
	{ "60 outside of the child", "{uri: {prefix: /p}}", "{uri: {prefix: /p/x}}", "GET /p/y", NULL, "next" },
	{ "61", "{uri: {prefix: /p}}", "{uri: {prefix: /q}}", "GET /q", NULL, "next" },
	{ "62", "{uri: {regex: /p}}", "{uri: {regex: /p}}", "GET /p", NULL, "next" },
	{ "none and any", NULL, "{uri: {prefix: /x}}", "GET /x", NULL, "child" },
	{ "none and any, outside", NULL, "{uri: {prefix: /x}}", "GET /y", NULL, "next" },
	{ "any and none", "{uri: {prefix: /x}}", NULL, "GET /x", NULL, "child" },
	{ "any and none, outside", "{uri: {prefix: /x}}", NULL, "GET /y", NULL, "next" },
	{ "none and none", NULL, NULL, "GET /y", NULL, "child" },
	{ "absent and any", "{method: {exact: GET}}", "{uri: {regex: \"/x.*\"}}", "GET /xy", NULL, "child" },
	{ "absent and any, the root's", "{method: {exact: GET}}", "{uri: {regex: \"/x.*\"}}", "PUT /xy", NULL, "next" },
	{ "regex and exact", "{uri: {regex: \"/.*\"}}", "{uri: {exact: /x}}", "GET /x", NULL, "next" },
	{ "regex and {}", "{headers: {x: {regex: a}}}", "{headers: {x: {}}}", "GET /", "x: a", "next" },
	{ "exact and regex", "{uri: {exact: /x}}", "{uri: {regex: \"/x\"}}", "GET /x", NULL, "next" },
	{ "exact and the same", "{uri: {exact: /x}}", "{uri: {exact: /x}}", "GET /x", NULL, "child" },
	{ "exact and another", "{uri: {exact: /x}}", "{uri: {exact: /y}}", "GET /y", NULL, "next" },
	{ "exact and prefix", "{uri: {exact: /x}}", "{uri: {prefix: /x}}", "GET /x", NULL, "next" },
	{ "prefix and exact", "{uri: {prefix: /x}}", "{uri: {exact: /x/1}}", "GET /x/1", NULL, "child" },
	{ "prefix and exact outside", "{uri: {prefix: /x}}", "{uri: {exact: /y}}", "GET /y", NULL, "next" },
	{ "prefix and the same", "{uri: {prefix: /x}}", "{uri: {prefix: /x}}", "GET /xx", NULL, "child" },
	{ "a longer prefix and a shorter", "{uri: {prefix: /x/y}}", "{uri: {prefix: /x}}", "GET /x/y", NULL, "next" },
	{ "{} and exact", "{headers: {x: {}}}", "{headers: {x: {exact: a}}}", "GET /", "x: a", "next" },
	{ "exact and {}", "{headers: {x: {exact: a}}}", "{headers: {x: {}}}", "GET /", "x: a", "next" },
	{ "methods", "{method: {exact: GET}}", "{method: {exact: PUT}}", "PUT /", NULL, "next" },
	{ "scheme", "{scheme: {exact: https}}", "{scheme: {exact: http}}", "GET /", NULL, "next" },
	{ "authority", "{authority: {prefix: a.}}", "{authority: {exact: a.com}}", "GET /", NULL, "child" },
	{ "header of both", "{headers: {x: {prefix: a}}}", "{headers: {x: {exact: ab}}}", "GET /", "x: ab", "child" },
	{ "header of both, the root's alone", "{headers: {x: {prefix: a}}}", "{headers: {x: {exact: ab}}}", "GET /", "x: ac", "next" },
	{ "headers of each", "{headers: {x: {exact: a}}}", "{headers: {y: {exact: b}}}", "GET /", "x: a\ny: b", "child" },
	{ "headers of each, without the root's", "{headers: {x: {exact: a}}}", "{headers: {y: {exact: b}}}", "GET /", "y: b", "next" },
	{ "headers of each, without the child's", "{headers: {x: {exact: a}}}", "{headers: {y: {exact: b}}}", "GET /", "x: a", "next" },
	{ "withoutHeaders of each", "{withoutHeaders: {x: {}}}", "{withoutHeaders: {y: {}}}", "GET /", "x: 1", "next" },
	{ "withoutHeaders of each, neither", "{withoutHeaders: {x: {}}}", "{withoutHeaders: {y: {}}}", "GET /", NULL, "child" },
	{ "withoutHeaders of both", "{withoutHeaders: {x: {exact: a}}}", "{withoutHeaders: {x: {exact: b}}}", "GET /", NULL, "next" },
	{ "queries of each", "{queryParams: {a: {exact: x}}}", "{queryParams: {b: {exact: y}}}", "GET /?a=x&b=y", NULL, "child" },
	{ "queries of each, one", "{queryParams: {a: {exact: x}}}", "{queryParams: {b: {exact: y}}}", "GET /?b=y", NULL, "next" },
	{ "queries of both", "{queryParams: {a: {exact: x}}}", "{queryParams: {a: {exact: y}}}", "GET /?a=y", NULL, "next" },
	{ "case of one", "{uri: {prefix: /x}, ignoreUriCase: true}", "{uri: {prefix: /x}}", "GET /x", NULL, "next" },
	{ "case of both", "{uri: {prefix: /x}, ignoreUriCase: true}", "{uri: {prefix: /xy}, ignoreUriCase: true}", "GET /XY", NULL, "child" },
	{ "ports", "{port: 80}", "{port: 81}", "GET /", NULL, "next" },
	{ "port of the root", "{port: 81}", "{uri: {prefix: /}}", "GET /", NULL, "next" },
	{ "port of both", "{port: 80}", "{port: 80}", "GET /", NULL, "child" },
	{ "namespace of the root alone", "{sourceNamespace: istio-system}", "{uri: {prefix: /}}", "GET /", NULL, "next" },
	{ "namespace of the child alone", "{uri: {prefix: /}}", "{sourceNamespace: istio-system}", "GET /", NULL, "child" },
	{ "namespace of both", "{sourceNamespace: istio-system}", "{sourceNamespace: istio-system}", "GET /", NULL, "child" },
	{ "labels", "{sourceLabels: {istio: ingressgateway}}", "{sourceLabels: {istio: other}}", "GET /", NULL, "next" },
	{ "labels of each", "{sourceLabels: {istio: ingressgateway}}", "{sourceLabels: {app: x}}", "GET /", NULL, "next" },
	{ "labels of the root", "{sourceLabels: {istio: ingressgateway}}", "{uri: {prefix: /}}", "GET /", NULL, "child" },
	{ "gateways within", "{gateways: [gw, other]}", "{gateways: [gw]}", "GET /", NULL, "child" },
	{ "gateways beyond", "{gateways: [gw]}", "{gateways: [gw, other]}", "GET /", NULL, "next" },
	{ "gateways of the root", "{gateways: [other]}", "{uri: {prefix: /}}", "GET /", NULL, "next" },
	{ "gateways of the child", "{uri: {prefix: /}}", "{gateways: [other]}", "GET /", NULL, "next" },
	{ "each below each", "{uri: {prefix: /a}}, {uri: {prefix: /b}}", "{method: {exact: GET}}, {method: {exact: PUT}}", "PUT /b", NULL, "child" },
	{ "each below one at least", "{uri: {prefix: /a}}, {uri: {prefix: /b}}", "{uri: {prefix: /b/1}}, {uri: {prefix: /a/1}}", "GET /a/1", NULL, "child" },
	{ "one of them below none", "{uri: {prefix: /a}}, {uri: {prefix: /b}}", "{uri: {prefix: /b/1}}, {uri: {prefix: /c}}", "GET /b/1", NULL, "next" },
	{ "null items", "null", "{uri: {prefix: /x}}", "GET /x", NULL, "child" },
	{ "{} and {}", "{uri: {}}", "{uri: {}}", "GET /", NULL, "next" },
};

static void matches_are_merged(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(merges); i++) {
		const struct merge_row *row = &merges[i];
		struct loaded l;
		struct text t;
		const char *found;

		text_init(&t);
		text_printf(&t, "%s", BASE PROXY("labels: {istio: ingressgateway}")
			    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: default}\n"
			    "spec:\n  hosts: [a.com]\n  gateways: [gw, other]\n  http:\n");
		if (row->root != NULL)
			text_printf(&t, "  - match: [%s]\n    delegate: {name: d}\n", row->root);
		else
			text_printf(&t, TO_CHILD);
		text_printf(&t, TO("next") "---\n"
			    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: d, namespace: default}\nspec:\n  http:\n");
		if (row->child != NULL)
			text_printf(&t, "  - match: [%s]\n    route: [{destination: {host: child.local}}]\n", row->child);
		else
			text_printf(&t, TO("child"));
		load(&l, t.at);
		found = served(&l, request(&l, row->line, row->fields));
		if (strcmp(found, row->expected) != 0) {
			print_message("%s: %s\n", row->name, found);
			wrong++;
		}
		unload(&l);
		text_fini(&t);
	}
	assert_int_equal(wrong, 0);
}

/* ---- documents ---- */

struct documents_row {
	const char *name, *yaml, *line, *expected;
};

static const struct documents_row documents[] = {
	{ "64 missing", BASE VS("r", "[a.com]", "  - match: [{uri: {prefix: /x}}]\n    delegate: {name: gone}\n" TO("next")), "GET /x", "next" },
	{ "in place, in order", BASE VS("r", "[a.com]", MATCH_TO("uri: {prefix: /a}", "b") TO_CHILD TO("next"))
	  DELEGATE("d", MATCH_TO("uri: {prefix: /a}", "child") MATCH_TO("uri: {prefix: /c}", "child")), "GET /a", "b" },
	{ "in place, behind the first", BASE VS("r", "[a.com]", MATCH_TO("uri: {prefix: /a}", "b") TO_CHILD MATCH_TO("uri: {prefix: /c}", "next"))
	  DELEGATE("d", MATCH_TO("uri: {prefix: /a}", "child") MATCH_TO("uri: {prefix: /c}", "child")), "GET /c", "child" },
	{ "children in their order", BASE VS("r", "[a.com]", TO_CHILD)
	  DELEGATE("d", MATCH_TO("uri: {prefix: /c}", "child") MATCH_TO("uri: {prefix: /c/1}", "b")), "GET /c/1", "child" },
	{ "nothing of the child holds", BASE VS("r", "[a.com]", TO_CHILD) DELEGATE("d", MATCH_TO("uri: {prefix: /c}", "child")), "GET /", "404" },
	{ "two roots of one child, the first", BASE VS("r", "[a.com]", "  - match: [{uri: {prefix: /1}}]\n    delegate: {name: d}\n")
	  VS("s", "[b.com]", "  - match: [{uri: {prefix: /2}}]\n    delegate: {name: d}\n") DELEGATE("d", TO("child")), "GET /1", "child" },
	{ "two roots of one child, each its own", BASE VS("r", "[a.com]", "  - match: [{uri: {prefix: /1}}]\n    delegate: {name: d}\n")
	  VS("s", "[b.com]", "  - match: [{uri: {prefix: /2}}]\n    delegate: {name: d}\n") DELEGATE("d", TO("child")), "GET /2", "404" },
	{ "another namespace", BASE VS("r", "[a.com]", "  - delegate: {name: d, namespace: team}\n") DELEGATE_IN("team", "d", "", TO("child")), "GET /", "child" },
	{ "the root's namespace unless told", BASE VS("r", "[a.com]", TO_CHILD) DELEGATE_IN("team", "d", "", TO("child")), "GET /", "404" },
	{ "exported to the root", BASE VS("r", "[a.com]", "  - delegate: {name: d, namespace: team}\n")
	  DELEGATE_IN("team", "d", "  exportTo: [default]\n", TO("child")), "GET /", "child" },
	{ "exported to the proxy alone", BASE VS("r", "[a.com]", "  - delegate: {name: d, namespace: team}\n")
	  DELEGATE_IN("team", "d", "  exportTo: [istio-system]\n", TO("child")), "GET /", "404" },
	{ "kept to itself", BASE VS("r", "[a.com]", "  - delegate: {name: d, namespace: team}\n")
	  DELEGATE_IN("team", "d", "  exportTo: [.]\n", TO("child")), "GET /", "404" },
	{ "kept to the namespace of both", BASE VS("r", "[a.com]", TO_CHILD) DELEGATE_IN("default", "d", "  exportTo: [.]\n", TO("child")), "GET /", "child" },
	{ "has hosts", BASE VS("r", "[a.com]", TO_CHILD TO("next")) VS("d", "[b.com]", TO("child")), "GET /", "next" },
	{ "itself", BASE VS("r", "[a.com]", "  - delegate: {name: r}\n" TO("next")), "GET /", "next" },
	{ "a direct response for those without", BASE VS("r", "[a.com]", "  - delegate: {name: d}\n    directResponse: {status: 200}\n")
	  DELEGATE("d", TO("child")), "GET /", "direct" },
	{ "a redirect stays", BASE VS("r", "[a.com]", "  - delegate: {name: d}\n    directResponse: {status: 200}\n")
	  DELEGATE("d", "  - redirect: {uri: /n}\n"), "GET /", "redirect" },
	{ "what catches all ends its document", BASE VS("r", "[a.com]", TO_CHILD MATCH_TO("uri: {prefix: /x}", "next"))
	  DELEGATE("d", TO("child")), "GET /x", "child" },
	{ "and stands behind others", BASE VS("r", "[a.com]", TO_CHILD) VS("s", "[a.com]", MATCH_TO("uri: {prefix: /x}", "next"))
	  DELEGATE("d", TO("child")), "GET /x", "next" },
	{ "below a prefix it does not", BASE VS("r", "[a.com]", "  - match: [{uri: {prefix: /x}}]\n    delegate: {name: d}\n")
	  VS("s", "[a.com]", MATCH_TO("uri: {prefix: /x}", "next")) DELEGATE("d", TO("child")), "GET /x", "child" },
};

static void documents_find_each_other(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(documents); i++) {
		struct loaded l;
		const char *found;

		load(&l, documents[i].yaml);
		found = served(&l, request(&l, documents[i].line, NULL));
		if (strcmp(found, documents[i].expected) != 0) {
			print_message("%s: %s\n", documents[i].name, found);
			wrong++;
		}
		unload(&l);
	}
	assert_int_equal(wrong, 0);
}

/* ---- what is told ---- */

#define FROM_ROOT	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: default}\n" \
	"spec:\n  hosts: [a.com]\n  gateways: [gw]\n  http:\n"
#define IT_IS_CHILD(more)	"---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: d, namespace: default}\n" \
	"spec:\n" more "  http:\n"
#define ROUTE(n)	"  - match: [{uri: {prefix: /" n "}}]\n    route: [{destination: {host: b.local}}]\n"

/* The first document of each begins at line 1. */
static const struct { const char *yaml, *line; } told_rows[] = {
	{ FROM_ROOT "  - match: [{uri: {prefix: /x}}]\n    delegate: {name: gone}\n---\n",
	  "t:9:15: warning: VirtualService default/r: there is no VirtualService default/gone: this route is dropped" },
	{ FROM_ROOT "  - delegate: {name: d}\n" IT_IS_CHILD("  hosts: [b.com]\n  gateways: [gw]\n") ROUTE("y") "---\n",
	  "t:8:15: warning: VirtualService default/r: VirtualService default/d has hosts and so is no delegate: this route is dropped" },
	{ FROM_ROOT "  - delegate: {name: d}\n" IT_IS_CHILD("  exportTo: [team]\n") ROUTE("y") "---\n",
	  "t:8:15: warning: VirtualService default/r: exportTo of VirtualService default/d hides it from namespace default: this route is dropped" },
	{ FROM_ROOT "  - match: [{uri: {prefix: /x}}]\n    delegate: {name: d}\n" IT_IS_CHILD("") ROUTE("x/1") ROUTE("y") "---\n",
	  "t:18:5: warning: VirtualService default/d: never used below the route of VirtualService default/r at t:8: its matches and those there exclude each other" },
	{ FROM_ROOT "  - directResponse: {status: 200}\n    delegate: {name: d}\n" IT_IS_CHILD("") ROUTE("y") "---\n",
	  "t:16:5: warning: VirtualService default/d: its destinations are never asked: the directResponse of the route at t:8 answers" },
	{ FROM_ROOT "  - directResponse: {status: 200}\n" IT_IS_CHILD("") ROUTE("y") "---\n",
	  "t:10:1: warning: VirtualService default/d: it has no hosts, and no route of another VirtualService delegates to it: it has no effect" },
	{ FROM_ROOT "  - delegate: {name: d}\n  - directResponse: {status: 200}\n" IT_IS_CHILD("") "  - directResponse: {status: 201}\n---\n",
	  "t:9:5: warning: VirtualService default/r: never reached below VirtualService default/r, nor is what follows: the route at t:16 takes everything" },
	{ FROM_ROOT "  - match: [{uri: {prefix: /}}]\n    delegate: {name: d}\n  - directResponse: {status: 200}\n" IT_IS_CHILD("") "  - directResponse: {status: 201}\n---\n",
	  "t:10:5: warning: VirtualService default/r: never reached below VirtualService default/r, nor is what follows: the route at t:17 takes everything" },
	{ FROM_ROOT "  - delegate: {name: d}\n" IT_IS_CHILD("") "  - directResponse: {status: 200}\n    headers: {response: {set: {x: \"%UPSTREAM_TLS_VERSION%\"}}}\n---\n",
	  "header x: %UPSTREAM_TLS_VERSION%" },
};

static void what_has_no_effect_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(told_rows); i++) {
		struct loaded l;
		struct text all, whole;
		char line[2048];

		text_init(&all);
		text_init(&whole);
		text_printf(&whole, "%s%s", told_rows[i].yaml, ENTRY("b", 80) GATEWAY);
		load(&l, whole.at);
		for (size_t k = 0; k < l.problems.count; k++) {
			problem_format(&l.problems.items[k], line, sizeof(line));
			text_printf(&all, "%s\n", line);
		}
		if (all.at == NULL || strstr(all.at, told_rows[i].line) == NULL)
			fail_msg("%s\nnot told: %s\nbut:\n%s", told_rows[i].yaml, told_rows[i].line, all.at);
		unload(&l);
		text_fini(&whole);
		text_fini(&all);
	}
}

static void good_delegates_are_left_in_peace(void **state)
{
	struct loaded l;

	(void)state;
	load(&l, FROM_ROOT "  - match: [{uri: {prefix: /a}}]\n    delegate: {name: d}\n  - delegate: {name: e, namespace: team}\n"
	     "  - match: [{uri: {prefix: /b}}]\n    route: [{destination: {host: b.local}}]\n"
	     IT_IS_CHILD("  exportTo: [.]\n") ROUTE("a/1") ROUTE("a/2") "---\n"
	     DELEGATE_IN("team", "e", "", ROUTE("c")) ENTRY("b", 80) GATEWAY);
	if (l.problems.warnings != 0) {
		problems_print(&l.problems, SEVERITY_NOTE, stderr);
		fail_msg("%zu warnings", l.problems.warnings);
	}
	unload(&l);
}

/* ---- fields ---- */

#define FIELDS_OF_ROOT \
	"    name: root\n    rewrite: {uri: /root}\n    timeout: 1s\n    retries: {attempts: 1}\n" \
	"    fault: {abort: {httpStatus: 418, percentage: {value: 1}}}\n    mirror: {host: root-mirror}\n" \
	"    mirrorPercentage: {value: 10}\n    corsPolicy: {allowOrigins: [{exact: \"https://root\"}]}\n" \
	"    headers: {request: {set: {x: root}}}\n"
#define FIELDS_OF_CHILD \
	"    name: child\n    rewrite: {uri: /child}\n    timeout: 2s\n    retries: {attempts: 2}\n" \
	"    fault: {abort: {httpStatus: 419, percentage: {value: 1}}}\n    mirror: {host: child-mirror}\n" \
	"    mirrorPercentage: {value: 20}\n    corsPolicy: {allowOrigins: [{exact: \"https://child\"}]}\n" \
	"    headers: {request: {set: {x: child}}}\n"

static void assert_fields(const struct route *r, const char *who, const char *name, const char *mirror)
{
	const struct http_route *s = r->source;
	unsigned n = strcmp(who, "child") == 0 ? 2 : 1;

	if (!slice_eq(r->name, slice_of(name)))
		fail_msg("name is %.*s, not %s", SLICE_ARG(r->name), name);
	assert_true(slice_ends(s->rewrite->uri, slice_of(who)));
	assert_int_equal(r->timeout_ms, n * 1000);
	assert_int_equal(s->retries->attempts, n);
	assert_int_equal(s->fault->abort_status, 417 + n);
	assert_int_equal(s->mirror_percentage.per_million, n * 100000);
	assert_true(slice_ends(s->cors->allow_origins.items[0].text, slice_of(who)));
	assert_true(slice_eq(s->headers->request.set.items[0].value, slice_of(who)));
	assert_int_equal(r->mirror_count, 1);
	if (!slice_eq(r->mirrors[0].cluster_name, slice_of(mirror)))
		fail_msg("mirror is %.*s, not %s", SLICE_ARG(r->mirrors[0].cluster_name), mirror);
}

/* Whole fields, and short names by the namespace of the document that wrote them. */
static void fields_left_out_are_the_root_s(void **state)
{
	struct loaded l;
	const struct route *r;

	(void)state;
	load(&l, BASE VS("r", "[a.com]",
			 "  - match: [{uri: {prefix: /1}, name: outer}]\n    delegate: {name: d, namespace: team}\n" FIELDS_OF_ROOT
			 "  - match: [{uri: {prefix: /2}}]\n    delegate: {name: e, namespace: team}\n" FIELDS_OF_ROOT
			 "  - match: [{uri: {prefix: /3}}]\n    delegate: {name: e, namespace: team}\n")
	     DELEGATE_IN("team", "d", "", "  - route: [{destination: {host: short}}]\n    match: [{name: inner, method: {exact: GET}}]\n")
	     DELEGATE_IN("team", "e", "", "  - route: [{destination: {host: short}}]\n" FIELDS_OF_CHILD));
	r = route_of(&l, request(&l, "GET /1", NULL));
	assert_non_null(r);
	assert_fields(r, "root", "root.outer-inner", "outbound|80||root-mirror.default.svc.cluster.local");
	assert_true(slice_eq(r->targets.items[0].cluster_name, SLICE("outbound|80||short.team.svc.cluster.local")));
	assert_true(slice_eq(r->service->meta->name, SLICE("d")));
	r = route_of(&l, request(&l, "GET /2", NULL));
	assert_non_null(r);
	assert_fields(r, "child", "root-child", "outbound|80||child-mirror.team.svc.cluster.local");
	r = route_of(&l, request(&l, "GET /3", NULL));
	assert_non_null(r);
	assert_fields(r, "child", "child", "outbound|80||child-mirror.team.svc.cluster.local");
	unload(&l);
}

static void claims_of_the_root_hold_for_its_delegates(void **state)
{
	struct loaded l;
	const struct virtual_host *vh;
	struct route_input in;

	(void)state;
	load(&l, BASE VS("r", "[a.com]", "  - match: [{headers: {\"@request.auth.claims.sub\": {exact: ann}}}]\n    delegate: {name: d}\n" TO("next"))
	     DELEGATE("d", MATCH_TO("uri: {prefix: /}", "child"))
	     "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: p, namespace: istio-system}\nspec: {jwtRules: [{issuer: i, jwks: '{\"keys\":[]}'}]}\n---\n");
	vh = route_table_find(listener(&l, 80)->plain->routes, SLICE("a.com"));
	assert_string_equal(served(&l, request(&l, "GET /", NULL)), "next");
	in = (struct route_input){ .request = request(&l, "GET /", NULL), .arena = l.arena,
				   .claims = claims_of_json(l.arena, virtual_host_claims(vh), SLICE("{\"sub\":\"ann\"}")) };
	assert_true(slice_ends(virtual_host_match(vh, &in)->targets.items[0].cluster_name, SLICE("child.local")));
	unload(&l);
}

static void merged_matches_are_bounded(void **state)
{
	struct loaded l;
	struct text t;

	(void)state;
	text_init(&t);
	text_printf(&t, FROM_ROOT "  - match:\n");
	for (unsigned i = 0; i < 300; i++)
		text_printf(&t, "    - {uri: {prefix: /%u}}\n", i);
	text_printf(&t, "    delegate: {name: d}\n" IT_IS_CHILD("") "  - match:\n");
	for (unsigned i = 0; i < 300; i++)
		text_printf(&t, "    - {headers: {x: {exact: \"%u\"}}}\n", i);
	text_printf(&t, "    directResponse: {status: 200}\n---\n" GATEWAY);
	load(&l, t.at);
	assert_null(l.s);
	assert_true(told(&l, SEVERITY_ERROR, "its 300 matches and the 300 of the route at t:316 are more than 65536 together"));
	unload(&l);
	text_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_are_merged),
		cmocka_unit_test(documents_find_each_other),
		cmocka_unit_test(what_has_no_effect_is_told),
		cmocka_unit_test(good_delegates_are_left_in_peace),
		cmocka_unit_test(fields_left_out_are_the_root_s),
		cmocka_unit_test(claims_of_the_root_hold_for_its_delegates),
		cmocka_unit_test(merged_matches_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
