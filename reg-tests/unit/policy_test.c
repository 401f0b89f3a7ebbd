/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_test.c - who may do what: the decision table of spec/authorization-policy.md 12, and each
 * matcher of 5 on its own. */
#include "reg-tests/unit/policy_case.h"

#include "spoa/policy_priv.h"

#define PEER(ns)	"spiffe://cluster.local/ns/" ns "/sa/default"
#define REMOTE_BLOCKS	ALLOW(FROM("remoteIpBlocks: [\"172.17.72.46\", \"192.168.4.0/23\"]"))
#define ISSUERS \
	"{issuer: 'i', jwks: '@jwks@'}, {issuer: 'https://iss', jwks: '@jwks@'}, " \
	"{issuer: 'any', jwks: '@jwks@', spaceDelimitedClaims: [roles]}"

static EVP_PKEY *key;
static char *jwks;

static int make_keys(void **state)
{
	char *jwk;
	struct text t;

	(void)state;
	key = make_key("ES256");
	jwk = make_jwk(key, "k", "ES256");
	text_init(&t);
	text_printf(&t, "{\"keys\":[%s]}", jwk);
	free(jwk);
	jwks = t.at;
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	free(jwks);
	return 0;
}

/* `documents` with the key set written in. */
static char *with_keys(struct arena *arena, const char *documents)
{
	struct text t;
	const char *at;
	char *out;

	text_init(&t);
	while ((at = strstr(documents, "@jwks@")) != NULL) {
		text_add(&t, slice_make(documents, (size_t)(at - documents)));
		text_add(&t, slice_of(jwks));
		documents = at + strlen("@jwks@");
	}
	text_add(&t, slice_of(documents));
	out = arena_text(arena, text_slice(&t));
	text_fini(&t);
	return out;
}

/* Claims become a signed token in the request's Authorization. */
static const char *with_token(struct arena *arena, const char *headers, const char *claims)
{
	char *token, *all;

	if (claims == NULL)
		return headers;
	token = make_token(key, "ES256", "k", claims);
	all = arena_printf(arena, "%s%sauthorization: Bearer %s", or_else(headers, ""),
			   headers != NULL ? "\n" : "", token);
	free(token);
	return all;
}

struct row {
	const char *name, *documents;
	struct ask ask;
	const char *claims;		/* of a token; NULL: none */
	unsigned status;
	const char *policy, *shadow;	/* NULL: not asked about */
};

static void check_slice(const char *row, const char *what, struct slice got, const char *want)
{
	if (want != NULL && !slice_eq(got, slice_of(want)))
		fail_msg("%s: %s is \"%.*s\", not \"%s\"", row, what, SLICE_ARG(got), want);
}

static void decide_row(const struct policy_mesh *mesh, const struct row *row)
{
	struct arena *arena = arena_create(0);
	const struct verdict *v;
	struct ask ask = row->ask;
	struct world w;

	world_open(&w, mesh, with_keys(arena, or_else(row->documents, "")));
	ask.headers = with_token(arena, ask.headers, row->claims);
	v = world_ask(&w, arena, &ask);
	if (v->status != row->status || v->allow != (row->status == 200))
		fail_msg("%s: %u (allow %d, %.*s), not %u", row->name, v->status, v->allow,
			 SLICE_ARG(v->detail), row->status);
	if (v->status == 403 && v->reason == REASON_RBAC)
		assert_true(slice_eq(v->body, SLICE("RBAC: access denied")));
	check_slice(row->name, "policy", v->policy, row->policy);
	check_slice(row->name, "shadow", v->shadow, row->shadow);
	world_close(&w);
	arena_free(&arena);
}

static void decide_rows(const struct policy_mesh *mesh, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		decide_row(mesh, &rows[i]);
}

#define DECIDE(mesh, rows)	decide_rows(mesh, rows, COUNT_OF(rows))

static void test_actions(void **state)
{
	static const struct row rows[] = {
		{ "1 no policy", "", { 0 }, NULL, 200, NULL, NULL },
		{ "2 ALLOW without rules", ALLOW_NONE, { 0 }, NULL, 403, "", NULL },
		{ "3 ALLOW all", ALLOW("{}"), { 0 }, NULL, 200, NULL, NULL },
		{ "4 DENY wins", DENY("{}") ALLOW("{}"), { 0 }, NULL, 403,
		  "ns[foo]-policy[deny]-rule[0]", NULL },
		{ "5 DENY path", DENY(TO("paths: [/admin]")), { .path = "/admin" }, NULL, 403, NULL, NULL },
		{ "6 DENY other path", DENY(TO("paths: [/admin]")), { .path = "/public" }, NULL, 200,
		  NULL, NULL },
		{ "7 two ALLOW", ALLOW_NONE ALLOW(TO("paths: [/public]")), { .path = "/public" }, NULL,
		  200, "ns[foo]-policy[allow]-rule[0]", NULL },
		{ "8 two ALLOW, no match", ALLOW_NONE ALLOW(TO("paths: [/public]")), { .path = "/x" },
		  NULL, 403, "", NULL },
		{ "71 AUDIT all and ALLOW none", POLICY("foo", "audit", "{action: AUDIT, rules: [{}]}")
		  ALLOW_NONE, { 0 }, NULL, 403, NULL, NULL },
		{ "AUDIT alone refuses nothing", POLICY("foo", "audit", "{action: AUDIT, rules: [{}]}"),
		  { 0 }, NULL, 200, NULL, NULL },
		{ "second rule", DENY(TO("paths: [/a]") ", " TO("paths: [/b]")), { .path = "/b" }, NULL,
		  403, "ns[foo]-policy[deny]-rule[1]", NULL },
		{ "rules: null", POLICY("foo", "n", "{rules: null}"), { 0 }, NULL, 403, NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_operations(void **state)
{
	static const char *const both = ALLOW(TO("methods: [GET], paths: [\"/info*\"]"));
	const struct row rows[] = {
		{ "9", ALLOW(TO("methods: [GET]")), { .method = "POST" }, NULL, 403, NULL, NULL },
		{ "10", both, { .path = "/information" }, NULL, 200, NULL, NULL },
		{ "11", both, { .method = "POST", .path = "/info" }, NULL, 403, NULL, NULL },
		{ "12", ALLOW("{to: [{operation: {methods: [GET]}}, {operation: {paths: [/x]}}]}"),
		  { .method = "POST", .path = "/x" }, NULL, 200, NULL, NULL },
		{ "13", ALLOW(TO("notMethods: [PUT]")), { .method = "PUT" }, NULL, 403, NULL, NULL },
		{ "14", ALLOW(TO("notMethods: [PUT]")), { 0 }, NULL, 200, NULL, NULL },
		{ "15", ALLOW(TO("notPorts: [\"8080\"]")), { 0 }, NULL, 403, NULL, NULL },
		{ "16", DENY(TO("notPaths: [/healthz]")), { .path = "/healthz" }, NULL, 200, NULL, NULL },
		{ "17", DENY(TO("notPaths: [/healthz]")), { .path = "/x" }, NULL, 403, NULL, NULL },
		{ "18", ALLOW(TO("hosts: [example.com]")), { .authority = "EXAMPLE.COM" }, NULL, 200,
		  NULL, NULL },
		{ "19", ALLOW(TO("hosts: [example.com]")), { .authority = "example.com:8080" }, NULL, 403,
		  NULL, NULL },
		{ "20", ALLOW(TO("hosts: [example.com, \"example.com:*\"]")),
		  { .authority = "example.com:8080" }, NULL, 200, NULL, NULL },
		{ "21", ALLOW(TO("hosts: [\"*.example.com\"]")), { .authority = "example.com" }, NULL, 403,
		  NULL, NULL },
		{ "21b", ALLOW(TO("hosts: [\"*.example.com\"]")), { .authority = "A.example.com" }, NULL,
		  200, NULL, NULL },
		{ "22", DENY(TO("hosts: [example.com]")), { .authority = "Example.com" }, NULL, 403, NULL,
		  NULL },
		{ "60", ALLOW(TO("paths: [\"/foo/{*}/bar\"]")), { .path = "/foo/x/bar" }, NULL, 200, NULL,
		  NULL },
		{ "60b", ALLOW(TO("paths: [\"/foo/{*}/bar\"]")), { .path = "/foo/x/y/bar" }, NULL, 403,
		  NULL, NULL },
		{ "61", ALLOW(TO("paths: [\"/store/{**}/cart\"]")), { .path = "/store/cart" }, NULL, 403,
		  NULL, NULL },
		{ "query is no part of the path", DENY(TO("paths: [/admin]")), { .path = "/admin?x=/a" },
		  NULL, 403, NULL, NULL },
		{ "77", ALLOW(WHEN("destination.port", "values: [\"8080\"]")), { 0 }, NULL, 200, NULL,
		  NULL },
		{ "78", ALLOW(TO("paths: [\"/echo.Svc/Echo\"], methods: [POST]")),
		  { .method = "POST", .path = "/echo.Svc/Echo" }, NULL, 200, NULL, NULL },
		{ "79", ALLOW(TO("methods: [GET]")), { .method = "POST", .path = "/echo.Svc/Echo" }, NULL,
		  403, NULL, NULL },
		{ "94", ALLOW(TO("methods: [\"*\"]")), { .method = "PURGE" }, NULL, 200, NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_peers(void **state)
{
	const struct row rows[] = {
		{ "23", ALLOW(FROM("principals: [cluster.local/ns/a/sa/default]")), { .peer = PEER("a") },
		  NULL, 200, NULL, NULL },
		{ "24", ALLOW(FROM("principals: [cluster.local/ns/a/sa/default]")), { 0 }, NULL, 403, NULL,
		  NULL },
		{ "25", ALLOW(FROM("principals: [\"*\"]")), { 0 }, NULL, 403, NULL, NULL },
		{ "26", DENY(FROM("notPrincipals: [\"*\"]")), { 0 }, NULL, 403, NULL, NULL },
		{ "27", DENY(FROM("notPrincipals: [\"*\"]")), { .peer = PEER("a") }, NULL, 200, NULL,
		  NULL },
		{ "28", ALLOW(FROM("namespaces: [a]")), { .peer = PEER("a") }, NULL, 200, NULL, NULL },
		{ "28b", ALLOW(FROM("namespaces: [a]")), { .peer = PEER("ab") }, NULL, 403, NULL, NULL },
		{ "29", ALLOW(FROM("namespaces: [\"a*\"]")), { .peer = PEER("ab") }, NULL, 200, NULL,
		  NULL },
		{ "30", ALLOW(FROM("serviceAccounts: [default]")), { .peer = PEER("foo") }, NULL, 200,
		  NULL, NULL },
		{ "30b", ALLOW(FROM("serviceAccounts: [default]")), { .peer = PEER("a") }, NULL, 403, NULL,
		  NULL },
		{ "31", ALLOW(FROM("serviceAccounts: [a/default]")), { .peer = PEER("a") }, NULL, 200,
		  NULL, NULL },
		{ "33", ALLOW(FROM("trustDomains: [cluster.local]")), { .peer = PEER("a") }, NULL, 200,
		  NULL, NULL },
		{ "33b", ALLOW(FROM("trustDomains: [cluster.local]")),
		  { .peer = "spiffe://x/ns/a/sa/default" }, NULL, 403, NULL, NULL },
		{ "91", ALLOW(FROM("principals: [cluster.local/ns/a/sa/default], ipBlocks: [11.0.0.0/8]")),
		  { .peer = PEER("a") }, NULL, 403, NULL, NULL },
		{ "92", ALLOW("{from: [{source: {principals: [x]}}, {source: {ipBlocks: [10.0.0.0/8]}}]}"),
		  { .peer = PEER("a") }, NULL, 200, NULL, NULL },
		{ "93", ALLOW(FROM("principals: [\"*/sa/default\"]")), { .peer = PEER("a") }, NULL, 200,
		  NULL, NULL },
		{ "a DNS name is no SPIFFE identity", ALLOW(FROM("principals: [\"peer.example\"]")),
		  { .peer = "peer.example" }, NULL, 403, NULL, NULL },
		{ "…but some identity", ALLOW(FROM("principals: [\"*\"]")), { .peer = "peer.example" },
		  NULL, 200, NULL, NULL },
		{ "when source.namespace", ALLOW(WHEN("source.namespace", "values: [a]")),
		  { .peer = PEER("a") }, NULL, 200, NULL, NULL },
		{ "when source.trustDomain", ALLOW(WHEN("source.trustDomain", "values: [\"cluster.*\"]")),
		  { .peer = PEER("a") }, NULL, 200, NULL, NULL },
		{ "when source.serviceAccount", ALLOW(WHEN("source.serviceAccount",
		  "notValues: [a/default]")), { .peer = PEER("a") }, NULL, 403, NULL, NULL },
		{ "when source.principal", ALLOW(WHEN("source.principal",
		  "values: [\"cluster.local/ns/a/*\"]")), { .peer = PEER("a") }, NULL, 200, NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_trust_domain_aliases(void **state)
{
	const struct slice aliases[] = { SLICE("old") };
	const struct policy_mesh mesh = { .trust_domain = SLICE("new"), .trust_domain_aliases = aliases,
					  .trust_domain_alias_count = 1, .normalization = PATH_BASE };
	const struct row rows[] = {
		{ "32", ALLOW(FROM("principals: [old/ns/a/sa/b]")),
		  { .peer = "spiffe://new/ns/a/sa/b" }, NULL, 200, NULL, NULL },
		{ "cluster.local is the mesh's", ALLOW(FROM("principals: [cluster.local/ns/a/sa/b]")),
		  { .peer = "spiffe://old/ns/a/sa/b" }, NULL, 200, NULL, NULL },
		{ "…and no longer itself", ALLOW(FROM("principals: [cluster.local/ns/a/sa/b]")),
		  { .peer = "spiffe://cluster.local/ns/a/sa/b" }, NULL, 403, NULL, NULL },
		{ "a stranger stays alone", ALLOW(FROM("principals: [other/ns/a/sa/b]")),
		  { .peer = "spiffe://new/ns/a/sa/b" }, NULL, 403, NULL, NULL },
		{ "a suffix is not expanded", ALLOW(FROM("principals: [\"*/ns/a/sa/b\"]")),
		  { .peer = "spiffe://zzz/ns/a/sa/b" }, NULL, 200, NULL, NULL },
		{ "DENY by alias", DENY(FROM("principals: [old/ns/a/sa/b]")),
		  { .peer = "spiffe://new/ns/a/sa/b" }, NULL, 403, NULL, NULL },
		{ "trustDomains", ALLOW(FROM("trustDomains: [old]")),
		  { .peer = "spiffe://new/ns/a/sa/b" }, NULL, 200, NULL, NULL },
		{ "prefix of five parts", ALLOW(FROM("principals: [\"old/ns/a/sa/*\"]")),
		  { .peer = "spiffe://new/ns/a/sa/b" }, NULL, 200, NULL, NULL },
	};

	(void)state;
	DECIDE(&mesh, rows);
}

static void test_tokens(void **state)
{
#define T	TOKENS("foo", "t", ISSUERS)
#define CLAIMS(more)	"{\"iss\":\"i\",\"sub\":\"s\"" more "}"
#define STAR	ALLOW(FROM("requestPrincipals: [\"*\"]"))
#define DENY_NONE	DENY(FROM("notRequestPrincipals: [\"*\"]"))
	const struct row rows[] = {
		{ "34", T STAR, { 0 }, CLAIMS(""), 200, NULL, NULL },
		{ "34b", T STAR, { 0 }, NULL, 403, NULL, NULL },
		{ "35", T ALLOW(FROM("requestPrincipals: [\"https://iss/*\"]")), { 0 },
		  "{\"iss\":\"https://iss\",\"sub\":\"u\"}", 200, NULL, NULL },
		{ "35b other issuer", T ALLOW(FROM("requestPrincipals: [\"https://iss/*\"]")), { 0 },
		  CLAIMS(""), 403, NULL, NULL },
		{ "36", T ALLOW(FROM("requestPrincipals: [\"*/u\"]")), { 0 },
		  "{\"iss\":\"any\",\"sub\":\"u\"}", 200, NULL, NULL },
		{ "36b", T ALLOW(FROM("requestPrincipals: [\"*/u\"]")), { 0 },
		  "{\"iss\":\"any\",\"sub\":\"v\"}", 403, NULL, NULL },
		{ "37", T ALLOW(FROM("requestPrincipals: [\"*/*\"]")), { 0 },
		  "{\"iss\":\"any\",\"sub\":\"u\"}", 403, NULL, NULL },
		{ "38", T STAR, { 0 }, "{\"iss\":\"i\"}", 403, NULL, NULL },
		{ "39", T DENY_NONE, { 0 }, NULL, 403, NULL, NULL },
		{ "39b", T DENY_NONE, { 0 }, CLAIMS(""), 200, NULL, NULL },
		{ "40", T DENY("{from: [{source: {notRequestPrincipals: [\"*\"]}}], "
			       "to: [{operation: {paths: [/private]}}]}"),
		  { .path = "/public" }, NULL, 200, NULL, NULL },
		{ "41", T ALLOW(WHEN("request.auth.claims[group]", "values: [admin]")), { 0 },
		  CLAIMS(",\"group\":[\"x\",\"admin\"]"), 200, NULL, NULL },
		{ "42", T ALLOW(WHEN("request.auth.claims[group]", "values: [admin]")), { 0 },
		  CLAIMS(",\"group\":\"adminx\""), 403, NULL, NULL },
		{ "43", T ALLOW(WHEN("request.auth.claims[nested][k]", "values: [\"v*\"]")), { 0 },
		  CLAIMS(",\"nested\":{\"k\":\"v1\"}"), 200, NULL, NULL },
		{ "44", T ALLOW(WHEN("request.auth.claims[level]", "values: [\"5\"]")), { 0 },
		  CLAIMS(",\"level\":5"), 403, NULL, NULL },
		{ "45", T ALLOW(WHEN("request.auth.claims[scope]", "values: [write]")), { 0 },
		  CLAIMS(",\"scope\":\"read write\""), 200, NULL, NULL },
		{ "46", T ALLOW(WHEN("request.auth.claims[scope]", "values: [read write]")), { 0 },
		  CLAIMS(",\"scope\":\"read write\""), 403, NULL, NULL },
		{ "words of a configured claim", T ALLOW(WHEN("request.auth.claims[roles]",
		  "values: [b]")), { 0 }, "{\"iss\":\"any\",\"sub\":\"s\",\"roles\":\"a  b\"}", 200, NULL,
		  NULL },
		{ "…only of its own rule", T ALLOW(WHEN("request.auth.claims[roles]", "values: [b]")),
		  { 0 }, CLAIMS(",\"roles\":\"a b\""), 403, NULL, NULL },
		{ "a mixed list has no value", T ALLOW(WHEN("request.auth.claims[g]", "values: [a]")),
		  { 0 }, CLAIMS(",\"g\":[\"a\",1]"), 403, NULL, NULL },
		{ "absent claim, notValues", T ALLOW(WHEN("request.auth.claims[g]", "notValues: [a]")),
		  { 0 }, CLAIMS(""), 200, NULL, NULL },
		{ "47", T ALLOW(WHEN("request.auth.audiences", "values: [a]")), { 0 },
		  CLAIMS(",\"aud\":[\"b\",\"a\"]"), 200, NULL, NULL },
		{ "48", T ALLOW(WHEN("request.auth.presenter", "values: [app]")), { 0 },
		  CLAIMS(",\"azp\":\"app\""), 200, NULL, NULL },
		{ "89", T STAR, { .headers = "authorization: Bearer nonsense" }, NULL, 401, NULL, NULL },
		{ "90", T STAR, { .method = "OPTIONS",
		  .headers = "origin: https://a\naccess-control-request-method: GET" }, CLAIMS(""), 403,
		  NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_headers(void **state)
{
	const struct row rows[] = {
		{ "49", ALLOW(WHEN("request.headers[x-t]", "values: [\"*\"]")),
		  { .headers = "X-T: some" }, NULL, 200, NULL, NULL },
		{ "49b empty is present", ALLOW(WHEN("request.headers[x-t]", "values: [\"*\"]")),
		  { .headers = "X-T:" }, NULL, 200, NULL, NULL },
		{ "49c", ALLOW(WHEN("request.headers[x-t]", "values: [\"*\"]")), { 0 }, NULL, 403, NULL,
		  NULL },
		{ "50", ALLOW(WHEN("request.headers[x-t]", "values: [a], notValues: [b]")),
		  { .headers = "x-t: a" }, NULL, 200, NULL, NULL },
		{ "51", DENY(WHEN("request.headers[user-agent]", "values: [\"curl*\"]")),
		  { .headers = "user-agent: curl/8" }, NULL, 403, NULL, NULL },
		{ "52", ALLOW(WHEN("request.headers[x-t]", "values: [a]")),
		  { .headers = "x-t: a\nx-t: b" }, NULL, 403, NULL, NULL },
		{ "52b", ALLOW(WHEN("request.headers[x-t]", "values: [\"a,b\"]")),
		  { .headers = "x-t: a\nx-t: b" }, NULL, 200, NULL, NULL },
		{ "53", DENY(WHEN("request.headers[x-t]", "notValues: [ok]")), { 0 }, NULL, 403, NULL,
		  NULL },
		{ ":path holds the query", ALLOW(WHEN("request.headers[:path]", "values: [\"/a?b=c\"]")),
		  { .path = "/a?b=c" }, NULL, 200, NULL, NULL },
		{ ":method", ALLOW(WHEN("request.headers[:method]", "values: [PUT]")),
		  { .method = "PUT" }, NULL, 200, NULL, NULL },
		{ "experimental in ALLOW", ALLOW(WHEN("experimental.envoy.filters.a[b]", "values: [c]")),
		  { 0 }, NULL, 403, NULL, NULL },
		{ "experimental in DENY", DENY(WHEN("experimental.envoy.filters.a[b]", "values: [c]")),
		  { 0 }, NULL, 403, NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_addresses(void **state)
{
	const struct row rows[] = {
		{ "54", ALLOW(FROM("ipBlocks: [\"10.0.0.0/8\"]")), { .remote = "1.1.1.1" }, NULL, 200,
		  NULL, NULL },
		{ "55", REMOTE_BLOCKS, { .remote = "192.168.5.6" }, NULL, 200, NULL, NULL },
		{ "56", REMOTE_BLOCKS, { .remote = "192.168.6.1" }, NULL, 403, NULL, NULL },
		{ "57", REMOTE_BLOCKS, { 0 }, NULL, 403, NULL, NULL },
		{ "58", ALLOW(FROM("notRemoteIpBlocks: [\"172.23.240.0/22\"]")),
		  { .remote = "172.23.242.1" }, NULL, 403, NULL, NULL },
		{ "host bits are masked", ALLOW(FROM("ipBlocks: [\"10.9.9.9/8\"]")), { 0 }, NULL, 200,
		  NULL, NULL },
		{ "mapped peer", ALLOW(FROM("ipBlocks: [\"10.0.0.0/8\"]")), { .src = "::ffff:10.0.0.9" },
		  NULL, 200, NULL, NULL },
		{ "::/0 is no IPv4", ALLOW(FROM("ipBlocks: [\"::/0\"]")), { 0 }, NULL, 403, NULL, NULL },
		{ "IPv6", ALLOW(WHEN("source.ip", "values: [\"2001:db8::/32\"]")),
		  { .src = "2001:db8::7" }, NULL, 200, NULL, NULL },
		{ "destination.ip", ALLOW(WHEN("destination.ip", "values: [\"10.0.0.1\"]")), { 0 }, NULL,
		  200, NULL, NULL },
		{ "remote.ip", ALLOW(WHEN("remote.ip", "notValues: [\"10.0.0.9\"]")), { 0 }, NULL, 403,
		  NULL, NULL },
		{ "76", ALLOW(WHEN("connection.sni", "values: [\"*.example.com\"]")),
		  { .sni = "A.example.com" }, NULL, 200, NULL, NULL },
		{ "76b", ALLOW(WHEN("connection.sni", "values: [\"*.example.com\"]")), { 0 }, NULL, 403,
		  NULL, NULL },
		{ "76c", ALLOW(WHEN("connection.sni", "values: [\"*\"]")), { 0 }, NULL, 403, NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_normalization(void **state)
{
	const struct policy_mesh none = { .normalization = PATH_NONE };
	const struct policy_mesh merge = { .normalization = PATH_MERGE_SLASHES };
	const struct row base = { "62", DENY(TO("paths: [/private]")) ALLOW(TO("paths: [\"/public*\"]")),
				  { .path = "/public/%2e%2e/private", .raw_path = true }, NULL, 403, NULL,
				  NULL };
	const struct row hole = { "63", DENY(TO("paths: [/admin]")),
				  { .path = "/x/../admin", .raw_path = true }, NULL, 200, NULL, NULL };
	const struct row slashes = { "64", DENY(TO("paths: [/admin]")),
				     { .path = "//admin", .raw_path = true }, NULL, 403, NULL, NULL };
	const struct row nul = { "%00", ALLOW("{}"), { .path = "/a%00", .raw_path = true }, NULL, 400,
				 NULL, NULL };

	(void)state;
	decide_row(NULL, &base);
	decide_row(&none, &hole);
	decide_row(&merge, &slashes);
	decide_row(NULL, &nul);
}

static void test_reach(void **state)
{
#define ROOT(name, spec)	POLICY("istio-system", name, spec)
	const struct row rows[] = {
		{ "65", ROOT("d", "{action: DENY, rules: [" TO("methods: [DELETE]") "]}"),
		  { .method = "DELETE" }, NULL, 403, "ns[istio-system]-policy[d]-rule[0]", NULL },
		{ "66 a", ROOT("a", "{rules: [" TO("paths: [/a]") "]}") ALLOW(TO("paths: [/b]")),
		  { .path = "/a" }, NULL, 200, NULL, NULL },
		{ "66 b", ROOT("a", "{rules: [" TO("paths: [/a]") "]}") ALLOW(TO("paths: [/b]")),
		  { .path = "/b" }, NULL, 200, NULL, NULL },
		{ "66 c", ROOT("a", "{rules: [" TO("paths: [/a]") "]}") ALLOW(TO("paths: [/b]")),
		  { .path = "/c" }, NULL, 403, NULL, NULL },
		{ "67", POLICY("bar", "p", "{}"), { 0 }, NULL, 200, NULL, NULL },
		{ "68", POLICY("foo", "p", "{selector: {matchLabels: {app: x}}}"), { 0 }, NULL, 200, NULL,
		  NULL },
		{ "68b", POLICY("foo", "p", "{selector: {matchLabels: {app: x, tier: a}}}"),
		  { .labels = "tier=a,app=x,v=1" }, NULL, 403, NULL, NULL },
		{ "root policies count once in the root namespace", ROOT("a", "{}"),
		  { .ns = "istio-system" }, NULL, 403, NULL, NULL },
		{ "targetRefs reach no labels", POLICY("foo", "p", "{targetRefs: [{kind: Gateway, "
		  "group: gateway.networking.k8s.io, name: g}]}"), { 0 }, NULL, 200, NULL, NULL },
		{ "gateway's policies", POLICY("istio-system", "p", "{selector: {matchLabels: "
		  "{istio: ingressgateway}}}"), { .gateway_ns = "istio-system",
		  .gateway_labels = "istio=ingressgateway" }, NULL, 403, NULL, NULL },
		{ "…are the gateway's alone", POLICY("istio-system", "p", "{selector: {matchLabels: "
		  "{istio: ingressgateway}}}"), { 0 }, NULL, 200, NULL, NULL },
		{ "workload sees the rewritten path", DENY(TO("paths: [/inner]")),
		  { .gateway_ns = "istio-system", .path = "/outer", .workload_path = "/inner" }, NULL, 403,
		  NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

#define TRIAL(action, rules) \
	"---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: trial, " \
	"namespace: foo, annotations: {istio.io/dry-run: \"true\"}}, spec: {action: " action \
	", rules: [" rules "]}}\n"

static void test_dry_run_and_custom(void **state)
{
#define CUSTOM	POLICY("foo", "c", "{action: CUSTOM, provider: {name: p}, rules: [" \
		       TO("paths: [\"/c*\"]") "]}")
	const struct row rows[] = {
		{ "69", TRIAL("DENY", "{}"), { 0 }, NULL, 200, NULL,
		  "denied ns[foo]-policy[trial]-rule[0]" },
		{ "70", TRIAL("ALLOW", TO("paths: [/x]")), { 0 }, NULL, 200, NULL, "denied none" },
		{ "trial that allows", TRIAL("ALLOW", "{}"), { 0 }, NULL, 200, NULL,
		  "allowed ns[foo]-policy[trial]-rule[0]" },
		{ "trial beside an ALLOW", TRIAL("ALLOW", "{}") ALLOW_NONE, { 0 }, NULL, 403, NULL,
		  "allowed ns[foo]-policy[trial]-rule[0]" },
		{ "85", CUSTOM, { .path = "/c1" }, NULL, 403, "istio-ext-authz-p-ns[foo]-policy[c]-rule[0]"
		  "-deny-due-to-bad-CUSTOM-action", NULL },
		{ "85b", CUSTOM, { .path = "/d" }, NULL, 200, NULL, NULL },
		{ "86 CUSTOM comes first", TOKENS("foo", "t", ISSUERS) CUSTOM,
		  { .path = "/c", .headers = "authorization: Bearer x" }, NULL, 403, NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_tcp(void **state)
{
	const struct row rows[] = {
		{ "72", ALLOW(TO("methods: [GET]")), { .tcp = true }, NULL, 403, NULL, NULL },
		{ "73", DENY(TO("methods: [GET]")), { .tcp = true }, NULL, 403, NULL, NULL },
		{ "74", DENY(TO("methods: [GET], ports: [\"9000\"]")), { .tcp = true }, NULL, 200, NULL,
		  NULL },
		{ "74b", DENY(TO("methods: [GET], ports: [\"9000\"]")), { .tcp = true, .port = 9000 },
		  NULL, 403, NULL, NULL },
		{ "75", ALLOW(FROM("principals: [cluster.local/ns/a/sa/default]")),
		  { .tcp = true, .peer = PEER("a") }, NULL, 200, NULL, NULL },
		{ "DENY with a claim matches all", DENY(WHEN("request.auth.claims[a]", "values: [b]")),
		  { .tcp = true }, NULL, 403, NULL, NULL },
		{ "tokens are not asked for", TOKENS("foo", "t", ISSUERS), { .tcp = true }, NULL, 200,
		  NULL, NULL },
	};

	(void)state;
	DECIDE(NULL, rows);
}

static void test_nul_is_refused(void **state)
{
	struct arena *arena = arena_create(0);
	struct check_header header = { SLICE("x"), SLICE("a\0b") };
	struct check_workload workload = { .ns = SLICE("foo") };
	struct check c = { .arena = arena, .method = SLICE("GET"), .path = SLICE("/"),
			   .authority = SLICE("h"), .normalized = true, .headers = &header,
			   .header_count = 1, .workloads = &workload, .workload_count = 1 };
	struct decision *d;
	struct world w;

	(void)state;
	world_open(&w, NULL, "");
	assert_int_equal(decision_start(w.judge, &c, case_never, NULL, &d), OK);
	assert_false(decision_verdict(d)->allow);
	assert_int_equal(decision_verdict(d)->status, 403);
	header.value = SLICE("ab");
	assert_int_equal(decision_start(w.judge, &c, case_never, NULL, &d), OK);
	assert_true(decision_verdict(d)->allow);
	c.workload_count = 0;
	assert_int_equal(decision_start(w.judge, &c, case_never, NULL, &d), OK);
	assert_int_equal(decision_verdict(d)->status, 503);
	world_close(&w);
	arena_free(&arena);
}

/* A set is remembered, and after a reload asked for anew. */
static void test_reload(void **state)
{
	struct arena *arena = arena_create(0);
	struct world a, b;

	(void)state;
	world_open(&a, NULL, ALLOW("{}"));
	world_open(&b, NULL, DENY("{}"));
	assert_true(world_ask(&a, arena, &(struct ask){ 0 })->allow);
	assert_true(world_ask(&a, arena, &(struct ask){ 0 })->allow);
	judge_use(a.judge, b.index);
	assert_false(world_ask(&a, arena, &(struct ask){ 0 })->allow);
	judge_use(a.judge, a.index);
	assert_true(world_ask(&a, arena, &(struct ask){ 0 })->allow);
	world_close(&a);
	world_close(&b);
	arena_free(&arena);
}

/* More workloads than are remembered: each is still judged by its own. */
static void test_many_workloads(void **state)
{
	struct arena *arena = arena_create(0);
	struct world w;
	char labels[32];

	(void)state;
	world_open(&w, NULL, POLICY("foo", "p", "{selector: {matchLabels: {n: '7'}}}"));
	for (unsigned i = 0; i < JUDGE_SETS_MAX + 100; i++) {
		snprintf(labels, sizeof(labels), "n=%u", i);
		assert_int_equal(world_ask(&w, arena, &(struct ask){ .labels = labels })->allow, i != 7);
		arena_reset(arena);
	}
	assert_false(world_ask(&w, arena, &(struct ask){ .labels = "n=7" })->allow);
	world_close(&w);
	arena_free(&arena);
}

/* What is accepted, and said aloud. */
static void test_warnings(void **state)
{
	static const struct { const char *documents, *text; } rows[] = {
		{ POLICY("foo", "p", "{selector: {}}"), "workload selector specified without labels" },
		{ DENY(TO("methods: [GET]")), "will deny all traffic to TCP ports" },
		{ DENY(FROM("requestPrincipals: [a]")), "will deny all traffic to TCP ports" },
		{ DENY(TO("methods: [GET], ports: [\"80\"]")), NULL },
		{ DENY(FROM("principals: [a]")), NULL },
		{ DENY("{}"), NULL },
		{ POLICY("foo", "p", "{targetRef: {kind: Service, name: s}}"), "not applied at this edge" },
		{ ALLOW(WHEN("experimental.envoy.filters.a[b]", "values: [c]")), "the rule never matches" },
		{ DENY(WHEN("experimental.envoy.filters.a[b]", "values: [c]")),
		  "the condition is dropped" },
		{ TOKENS("foo", "t", "{issuer: i, jwksUri: 'http://h/k'}"), "in plain text" },
		{ TOKENS("foo", "t", "{issuer: i, jwks: '{\"keys\":[]}'}"), "no usable key" },
		{ TOKENS("foo", "t", "{issuer: i}, {issuer: i, audiences: [a]}"), "the less strict" },
		{ TOKENS("foo", "t", "{issuer: i}, {issuer: i, fromParams: [a]}"), NULL },
		{ TOKENS("foo", "t", "null, {issuer: i, timeout: 250ms}"), NULL },
		{ POLICY("foo", "p", "{action: 1, rules: [" TO("ports: [\"80\"]") "]}"), NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bool found = false;
		struct world w;

		world_read(&w, rows[i].documents);
		for (size_t j = 0; j < w.problems.count; j++)
			found |= rows[i].text != NULL && strstr(w.problems.items[j].text, rows[i].text);
		if (w.problems.errors > 0 || found != (rows[i].text != NULL) ||
		    (rows[i].text == NULL && w.problems.warnings > 0)) {
			case_print_problems(&w.problems);
			fail_msg("row %zu", i);
		}
		world_close(&w);
	}
}

/* Matchers alone */

static void test_text_values(void **state)
{
	static const struct { const char *written, *value; bool matches; } rows[] = {
		{ "abc", "abc", true }, { "abc", "ABC", false }, { "abc", "abcd", false },
		{ "abc*", "abcd", true }, { "abc*", "abc", true }, { "abc*", "ab", false },
		{ "*abc", "xabc", true }, { "*abc", "abc", true }, { "*abc", "abcx", false },
		{ "a*b", "a*b", true }, { "a*b", "axb", false },
		{ "*abc*", "xabc*", true }, { "*abc*", "xabcx", false }, { "*", "", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct text_value v = text_value_parse(slice_of(rows[i].written));

		if (text_value_matches(&v, slice_of(rows[i].value), false) != rows[i].matches)
			fail_msg("%s against %s", rows[i].written, rows[i].value);
	}
}

static void test_templates(void **state)
{
	static const struct { const char *pattern, *path; bool matches; } rows[] = {
		{ "/foo/{*}", "/foo/a", true }, { "/foo/{*}", "/foo/", false },
		{ "/foo/{*}", "/foo/a/b", false }, { "/foo/{**}", "/foo/", true },
		{ "/foo/{**}", "/foo/a", true }, { "/foo/{**}", "/foo/a/b/", true },
		{ "/foo/{**}", "/foo", false }, { "/foo/{*}/bar/{**}", "/foo/x/bar/", true },
		{ "/foo/{*}/bar/{**}", "/foo/x/bar/a/b", true },
		{ "/foo/{*}/bar/{**}", "/foo//bar/x", false },
		{ "/foo/{*}/bar/{**}", "/foo/x/bar", false },
		{ "/store/{**}/cart", "/store/a/cart", true },
		{ "/store/{**}/cart", "/store/a/b/cart", true },
		{ "/store/{**}/cart", "/store//cart", true }, { "/store/{**}/cart", "/store/cart", false },
		{ "/foo/{*}", "/foo/*", false }, { "/foo/{**}", "/foo/a*", false },
		{ "/{*}/{*}", "/a/b", true }, { "/{*}/{*}", "/a", false }, { "/{**}", "/", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (path_template_matches(slice_of(rows[i].pattern), slice_of(rows[i].path)) !=
		    rows[i].matches)
			fail_msg("%s against %s", rows[i].pattern, rows[i].path);
}

static void test_request_principals(void **state)
{
	static const struct {
		const char *written;
		enum text_kind iss_kind;
		const char *iss;
		enum text_kind sub_kind;
		const char *sub;
	} rows[] = {
		{ "*", TEXT_PRESENT, "", TEXT_PRESENT, "" },
		{ "iss/sub", TEXT_EXACT, "iss", TEXT_EXACT, "sub" },
		{ "https://i/sub", TEXT_EXACT, "https://i", TEXT_EXACT, "sub" },
		{ "iss/*", TEXT_EXACT, "iss", TEXT_PRESENT, "" },
		{ "iss/su*", TEXT_EXACT, "iss", TEXT_PREFIX, "su" },
		{ "*/sub", TEXT_PRESENT, "", TEXT_EXACT, "sub" },
		{ "*ss/sub", TEXT_SUFFIX, "ss", TEXT_EXACT, "sub" },
		{ "*sub", TEXT_PRESENT, "", TEXT_SUFFIX, "sub" },
		{ "iss*", TEXT_PREFIX, "iss", TEXT_PRESENT, "" },
		{ "iss", TEXT_EXACT, "iss", TEXT_EXACT, "" },
		{ "*/*", TEXT_PRESENT, "", TEXT_EXACT, "*" },
		{ "https://acc*", TEXT_EXACT, "https:/", TEXT_PREFIX, "acc" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct principal_value v = principal_value_parse(slice_of(rows[i].written));

		if (v.iss.kind != rows[i].iss_kind || v.sub.kind != rows[i].sub_kind ||
		    !slice_eq(v.iss.text, slice_of(rows[i].iss)) ||
		    !slice_eq(v.sub.text, slice_of(rows[i].sub)))
			fail_msg("%s: iss %d \"%.*s\", sub %d \"%.*s\"", rows[i].written, v.iss.kind,
				 SLICE_ARG(v.iss.text), v.sub.kind, SLICE_ARG(v.sub.text));
	}
}

static void test_service_accounts(void **state)
{
	static const struct { const char *id; bool matches; } rows[] = {
		{ "spiffe://td/ns/n/sa/s", true }, { "spiffe://td/ns/n/x/sa/s", true },
		{ "spiffe://td/ns/n/sa/s/x", true }, { "spiffe://td/x/ns/n/sa/s", true },
		{ "spiffe://td/ns/n/sa/s/", false }, { "spiffe://td/ns/n/sa/st", false },
		{ "spiffe://td/ns/nn/sa/s", false }, { "spiffe://td/ns/n", false },
		{ "spiffe:///ns/n/sa/s", false }, { "td/ns/n/sa/s", false }, { "", false },
	};
	const struct account_value v = { SLICE("n"), SLICE("s") };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (service_account_matches(&v, slice_of(rows[i].id)) != rows[i].matches)
			fail_msg("%s", rows[i].id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_trust_domain_aliases),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_normalization),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_dry_run_and_custom),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_many_workloads),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_text_values),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_request_principals),
		cmocka_unit_test(test_service_accounts),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
