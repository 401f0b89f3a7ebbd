/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_case.h - documents in, a verdict out: what the tests of the agent's decisions share.
 * Test code: what goes wrong in preparing ends the program. */
#ifndef SALLYPORT_UNIT_POLICY_CASE_H
#define SALLYPORT_UNIT_POLICY_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/resource/document_priv.h"
#include "reg-tests/tools/jwt_make.h"
#include "sallyport/clock.h"
#include "spoa/decision.h"
#include "spoa/jwks.h"
#include "spoa/token_cache.h"

#define DOCUMENT(kind, ns, name, spec) \
	"---\n{apiVersion: security.istio.io/v1, kind: " kind ", metadata: {name: " name \
	", namespace: " ns "}, spec: " spec "}\n"
#define POLICY(ns, name, spec)	DOCUMENT("AuthorizationPolicy", ns, name, spec)
#define ALLOW(rules)	POLICY("foo", "allow", "{action: ALLOW, rules: [" rules "]}")
#define DENY(rules)	POLICY("foo", "deny", "{action: DENY, rules: [" rules "]}")
#define ALLOW_NONE	POLICY("foo", "none", "{}")
#define FROM(source)	"{from: [{source: {" source "}}]}"
#define TO(operation)	"{to: [{operation: {" operation "}}]}"
#define WHEN(key, more)	"{when: [{key: \"" key "\", " more "}]}"
#define TOKENS(ns, name, rules)	DOCUMENT("RequestAuthentication", ns, name, "{jwtRules: [" rules "]}")

#define CASE_DOCUMENTS_MAX	64

/* Documents compiled, and a judge over them. */
struct world {
	struct arena *arena;
	struct problems problems;
	struct jwks_store *keys;
	struct token_cache *tokens;
	struct policy_index *index;
	struct judge *judge;
	struct authorization_policy *policies[CASE_DOCUMENTS_MAX];
	struct request_authentication *authentications[CASE_DOCUMENTS_MAX];
	size_t policy_count, authentication_count;
};

/* A request; what is left out is as in spec/authorization-policy.md 12. */
struct ask {
	const char *method, *path, *authority;	/* GET / h */
	const char *headers;			/* `name: value` lines */
	const char *src, *remote, *dst;		/* 10.0.0.9, as src, 10.0.0.1 */
	uint16_t port;				/* 8080 */
	const char *peer, *sni;			/* none; a peer implies TLS */
	const char *ns, *labels;		/* foo, app=y */
	const char *gateway_ns, *gateway_labels;	/* none */
	const char *workload_path;		/* as received */
	bool tcp, raw_path;			/* raw: not normalised by the caller */
	bool claims;
	struct slice claims_of;	/* what routes look at (sallyport/claims.h) */
};

static inline void case_print_problems(const struct problems *ps)
{
	problems_print(ps, SEVERITY_NOTE, stderr);
}

static inline void world_decode(struct world *w, const struct node *root)
{
	struct decoder d = { .arena = w->arena, .problems = &w->problems };
	const struct node *spec = node_get(root, "spec");
	struct meta *meta;

	d.kind = node_get(root, "kind")->text.at;
	meta = meta_decode(&d, root, "default", true);
	must(meta != NULL);
	d.path_len = (size_t)snprintf(d.path, sizeof(d.path), "spec");
	must(w->policy_count < CASE_DOCUMENTS_MAX && w->authentication_count < CASE_DOCUMENTS_MAX);
	if (strcmp(d.kind, "AuthorizationPolicy") == 0)
		w->policies[w->policy_count++] = authorization_policy_decode(&d, spec, meta);
	else
		w->authentications[w->authentication_count++] =
			request_authentication_decode(&d, spec, meta);
}

/* Decodes only: w->problems has what was said. */
static inline void world_read(struct world *w, const char *yaml)
{
	struct node **docs = NULL;
	size_t count = 0;

	*w = (struct world){ .arena = arena_create(0) };
	problems_init(&w->problems);
	yaml_read(w->arena, "case.yaml", slice_of(yaml), &w->problems, &docs, &count);
	for (size_t i = 0; i < count; i++)
		world_decode(w, docs[i]);
}

/* Makes a judge over what was decoded. */
static inline void world_compile(struct world *w, const struct policy_mesh *mesh)
{
	const struct jwks_config config = JWKS_CONFIG_DEFAULT;
	const struct policy_mesh plain = { .normalization = PATH_BASE };

	if (w->problems.errors > 0)
		case_print_problems(&w->problems);
	must(w->problems.errors == 0);
	w->keys = jwks_store_create(&config);
	w->tokens = token_cache_create(0, 0);
	w->index = policy_index_create(mesh != NULL ? mesh : &plain, w->keys, w->authentications,
				       w->authentication_count, w->policies, w->policy_count);
	w->judge = judge_create(w->index, NULL, w->tokens);
}

static inline void world_open(struct world *w, const struct policy_mesh *mesh, const char *yaml)
{
	world_read(w, yaml);
	world_compile(w, mesh);
}

static inline void world_close(struct world *w)
{
	judge_free(&w->judge);
	policy_index_unref(&w->index);
	if (w->tokens != NULL)
		token_cache_free(&w->tokens);
	if (w->keys != NULL)
		jwks_store_free(&w->keys);
	problems_fini(&w->problems);
	arena_free(&w->arena);
}

static inline struct check_ip case_ip(const char *text)
{
	struct check_ip ip = { .known = true };

	must(ip_parse(slice_of(text), &ip.ip));
	return ip;
}

static inline size_t case_headers(struct arena *arena, const char *lines, struct check_header *out)
{
	struct slice rest = slice_of(lines), line;
	size_t count = 0;
	ptrdiff_t colon;

	while (rest.len > 0) {
		line = slice_cut(&rest, '\n');
		colon = slice_find(line, ':');
		must(colon > 0);
		out[count++] = (struct check_header){
			arena_slice(arena, slice_first(line, (size_t)colon)),
			arena_slice(arena, slice_trim(slice_from(line, (size_t)colon + 1))),
		};
	}
	return count;
}

static inline const char *or_else(const char *text, const char *otherwise)
{
	return text != NULL ? text : otherwise;
}

static inline void case_never(void *arg, const struct verdict *v)
{
	(void)arg;
	(void)v;
	fatal("a decision that waits for nothing called back");
}

static inline struct check *check_of(struct arena *arena, const struct ask *a)
{
	struct check_header *headers = arena_array(arena, struct check_header, 64);
	struct check *c = arena_new(arena, struct check);
	struct check_workload *places = arena_array(arena, struct check_workload, 2);
	struct slice *peer = arena_new(arena, struct slice);

	places[0] = (struct check_workload){ .ns = slice_of(or_else(a->ns, "foo")),
					     .labels = slice_of(or_else(a->labels, "app=y")),
					     .path = slice_of(a->workload_path) };
	places[1] = (struct check_workload){ .ns = slice_of(a->gateway_ns),
					     .labels = slice_of(a->gateway_labels) };
	*peer = slice_of(a->peer);
	*c = (struct check){
		.arena = arena, .proto = a->tcp ? CHECK_TCP : CHECK_HTTP,
		.method = slice_of(or_else(a->method, "GET")), .scheme = SLICE("http"),
		.authority = slice_of(or_else(a->authority, "h")),
		.path = slice_of(or_else(a->path, "/")), .normalized = !a->raw_path,
		.headers = headers, .header_count = case_headers(arena, a->headers, headers),
		.src = case_ip(or_else(a->src, "10.0.0.9")),
		.remote_ip = case_ip(or_else(a->remote, or_else(a->src, "10.0.0.9"))),
		.dst = case_ip(or_else(a->dst, "10.0.0.1")),
		.dst_port = a->port != 0 ? a->port : 8080,
		.tls = a->peer != NULL || a->sni != NULL, .sni = slice_of(a->sni),
		.peer_ids = peer, .peer_id_count = a->peer != NULL,
		.gateway = a->gateway_ns != NULL ? &places[1] : NULL,
		.workloads = places, .workload_count = 1, .claims_wanted = a->claims,
		.claims_of = a->claims_of,
	};
	if (a->tcp)
		c->method = c->authority = c->path = c->scheme = NO_SLICE;
	return c;
}

/* The verdict lives in the check's arena. */
static inline const struct verdict *world_judge(struct world *w, const struct check *c)
{
	struct decision *d;

	must(decision_start(w->judge, c, case_never, NULL, &d) == OK);
	return decision_verdict(d);
}

static inline const struct verdict *world_ask(struct world *w, struct arena *arena, const struct ask *a)
{
	return world_judge(w, check_of(arena, a));
}

#endif
