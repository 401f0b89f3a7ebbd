/* SPDX-License-Identifier: Apache-2.0
 *
 * authn_test.c - whose token a request carries: the table of spec/request-authentication.md 11 as
 * far as it needs no network, the combination of rules (4.3), and what a token does to a request. */
#include "reg-tests/unit/policy_case.h"
#include "sallyport/claims.h"

/* In documents and headers: {1} {2} the key sets; {ok} and the like the tokens below. */
#define ONE(more)	"{issuer: issuer-1, jwks: '{1}'" more "}"
#define TWO(more)	"{issuer: issuer-2, jwks: '{2}'" more "}"
#define S1		TOKENS("foo", "a", ONE(""))
#define S2		TOKENS("foo", "a", ONE("") ", " TWO(""))
#define S3		TOKENS("foo", "a", ONE(", fromHeaders: [{name: x-jwt-token, prefix: 'Value '}], " \
					       "fromParams: [tok, tok2]"))
#define REQUIRE		ALLOW(FROM("requestPrincipals: ['*']"))
#define BEARER(token)	"authorization: Bearer {" token "}"

#define EXPIRED		"Jwt is expired"
#define UNKNOWN		"Jwt issuer is not configured"
#define BAD_FORMAT	"Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
#define FAILS		"Jwt verification fails"
#define NO_ALG		"Jwt header [alg] is not supported"
#define RBAC		"RBAC: access denied"

static EVP_PKEY *keys[2];

static struct named {
	const char *name;
	const char *claims;		/* `%lld`: now plus `offset` */
	int key;
	int64_t offset;
	char *text;			/* owned */
} tokens[] = {
	{ "1", NULL, 0, 0, NULL },	/* the sets, made apart */
	{ "2", NULL, 1, 0, NULL },
	{ "ok", "{\"iss\":\"issuer-1\",\"sub\":\"ann\",\"aud\":\"foo\",\"iat\":1562182722,"
	  "\"nested\":{\"k\":\"v\",\"n\":-1},\"half\":1.5,\"yes\":true,\"list\":[1],\"empty\":\"\","
	  "\"evil\":\"a\\r\\nx: y\",\"scope\":\"read write\"}", 0, 0, NULL },
	{ "two", "{\"iss\":\"issuer-2\",\"sub\":\"bob\"}", 1, 0, NULL },
	{ "three", "{\"iss\":\"issuer-3\",\"sub\":\"eve\"}", 0, 0, NULL },
	{ "forged", "{\"iss\":\"issuer-1\",\"sub\":\"ann\"}", 1, 0, NULL },
	{ "no-iss", "{\"sub\":\"ann\"}", 0, 0, NULL },
	{ "no-sub", "{\"iss\":\"issuer-1\"}", 0, 0, NULL },
	{ "old", "{\"iss\":\"issuer-1\",\"sub\":\"ann\",\"exp\":%lld}", 0, -3600, NULL },
	{ "old-two", "{\"iss\":\"issuer-2\",\"sub\":\"bob\",\"exp\":%lld}", 1, -3600, NULL },
	{ "just-old", "{\"iss\":\"issuer-1\",\"exp\":%lld}", 0, -62, NULL },
	{ "skewed", "{\"iss\":\"issuer-1\",\"exp\":%lld}", 0, -50, NULL },
	{ "soon", "{\"iss\":\"issuer-1\",\"nbf\":%lld}", 0, 50, NULL },
	{ "early", "{\"iss\":\"issuer-1\",\"nbf\":%lld}", 0, 75, NULL },
};

static char *key_set(EVP_PKEY *key)
{
	char *jwk = make_jwk(key, NULL, NULL);
	struct text t;

	text_init(&t);
	text_printf(&t, "{\"keys\":[%s]}", jwk);
	free(jwk);
	return t.at;
}

static int make_tokens(void **state)
{
	int64_t now = clock_wall_us() / 1000000;
	char claims[600];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		keys[i] = make_key("ES256");
		tokens[i].text = key_set(keys[i]);
	}
	for (size_t i = 2; i < COUNT_OF(tokens); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(claims, sizeof(claims), tokens[i].claims,
			 (long long)(now + tokens[i].offset));
#pragma GCC diagnostic pop
		tokens[i].text = make_token(keys[tokens[i].key], "ES256", NULL, claims);
	}
	return 0;
}

static int free_tokens(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(tokens); i++)
		free(tokens[i].text);
	for (size_t i = 0; i < 2; i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}

/* `text` with every {name} written out. */
static const char *filled(struct arena *arena, const char *text)
{
	const char *copy;
	struct text t;
	size_t i, len;

	if (text == NULL)
		return NULL;
	text_init(&t);
	while (*text != '\0') {
		for (i = 0; i < COUNT_OF(tokens); i++) {
			len = strlen(tokens[i].name);
			if (text[0] == '{' && strncmp(text + 1, tokens[i].name, len) == 0 &&
			    text[1 + len] == '}')
				break;
		}
		if (i < COUNT_OF(tokens)) {
			text_add(&t, slice_of(tokens[i].text));
			text += strlen(tokens[i].name) + 2;
		} else {
			text_add_char(&t, *text++);
		}
	}
	copy = arena_text(arena, text_slice(&t));
	text_fini(&t);
	return copy;
}

static const struct verdict *judge_filled(struct world *w, struct arena *arena, const char *documents,
					  const struct ask *ask)
{
	struct ask a = *ask;

	world_open(w, NULL, filled(arena, documents));
	a.headers = filled(arena, a.headers);
	a.path = filled(arena, a.path);
	return world_ask(w, arena, &a);
}

struct row {
	const char *name, *documents;
	struct ask ask;
	unsigned status;
	const char *body;		/* of a refusal */
	const char *principal;		/* NULL: not asked about; "": none */
};

static void judge_row(const struct row *row)
{
	struct arena *arena = arena_create(0);
	const struct verdict *v;
	struct world w;

	v = judge_filled(&w, arena, row->documents, &row->ask);
	if (v->status != row->status || v->allow != (row->status == 200))
		fail_msg("%s: %u (%.*s), not %u", row->name, v->status, SLICE_ARG(v->detail),
			 row->status);
	if (row->body != NULL && !slice_eq(v->body, slice_of(row->body)))
		fail_msg("%s: body \"%.*s\", not \"%s\"", row->name, SLICE_ARG(v->body), row->body);
	if (row->principal != NULL && !slice_eq(v->principal, slice_of(row->principal)))
		fail_msg("%s: principal \"%.*s\"", row->name, SLICE_ARG(v->principal));
	if (v->reason == REASON_JWT)
		assert_true(v->www_authenticate.len > 0);
	world_close(&w);
	arena_free(&arena);
}

#define JUDGE(rows)	do { for (size_t n = 0; n < COUNT_OF(rows); n++) judge_row(&rows[n]); } while (0)

static void test_places(void **state)
{
	static const struct row rows[] = {
		{ "1", S1, { .headers = BEARER("ok") }, 200, NULL, "issuer-1/ann" },
		{ "3", S1, { 0 }, 200, NULL, "" },
		{ "4", S1, { .headers = BEARER("old") }, 401, EXPIRED, NULL },
		{ "5", S1, { .path = "/?access_token={ok}&a=1" }, 200, NULL, "issuer-1/ann" },
		{ "9", S3, { .headers = "x-jwt-token: Value {ok}" }, 200, NULL, "issuer-1/ann" },
		{ "10", S3, { .headers = "x-jwt-token: {ok}" }, 200, NULL, "" },
		{ "10b", S3 REQUIRE, { .headers = "x-jwt-token: {ok}" }, 403, RBAC, NULL },
		{ "11", S3, { .headers = BEARER("ok") }, 200, NULL, "" },
		{ "12", S3, { .path = "/?tok={ok}&tok2={ok}" }, 200, NULL, "issuer-1/ann" },
		{ "13", S3, { .path = "/?tok={ok}&tok2={old}" }, 401, EXPIRED, NULL },
		{ "14", S3, { .path = "/?wrong={ok}" }, 200, NULL, "" },
		{ "32", S1, { .headers = "authorization: bearer {ok}" }, 200, NULL, "" },
		{ "Basic is no token", S1, { .headers = "authorization: Basic abc" }, 200, NULL, "" },
		{ "Bearer alone", S1, { .headers = "authorization: Bearer" }, 200, NULL, "" },
		{ "no token behind the prefix", S1, { .headers = "authorization: Bearer !" }, 401,
		  BAD_FORMAT, NULL },
		{ "abc", S1, { .headers = "authorization: Bearer abc" }, 401, BAD_FORMAT, NULL },
		{ "prefix inside the value", S1, { .headers = "authorization: x Bearer  {ok}" }, 200, NULL,
		  "issuer-1/ann" },
		{ "a word behind the token", S1, { .headers = "authorization: Bearer {ok}, x" }, 401, NULL,
		  NULL },
		{ "34 empty section", S1, { .headers = "authorization: Bearer a..b.c" }, 401, BAD_FORMAT,
		  NULL },
		{ "every line counts", S1, { .headers = BEARER("ok") "\n" BEARER("old") }, 401, EXPIRED,
		  NULL },
		{ "good header, expired parameter", S1, { .headers = BEARER("ok"),
		  .path = "/?access_token={old}" }, 401, EXPIRED, NULL },
		{ "the same token twice", S1, { .headers = BEARER("ok"), .path = "/?access_token={ok}" },
		  200, NULL, "issuer-1/ann" },
		{ "empty parameter", S1, { .path = "/?access_token=" }, 401, BAD_FORMAT, NULL },
		{ "encoded parameter name", S1, { .path = "/?access%5Ftoken=x" }, 401, BAD_FORMAT, NULL },
		{ "cookie", TOKENS("foo", "a", ONE(", fromCookies: [session]")),
		  { .headers = "cookie: a=b; session=\"{ok}\"" }, 200, NULL, "issuer-1/ann" },
		{ "cookie of another line", TOKENS("foo", "a", ONE(", fromCookies: [session]")),
		  { .headers = "cookie: a=b\ncookie: session={old}" }, 401, EXPIRED, NULL },
		{ "first cookie of the name", TOKENS("foo", "a", ONE(", fromCookies: [s]")),
		  { .headers = "cookie: s={ok}; s={old}" }, 200, NULL, "issuer-1/ann" },
		{ "header without prefix", TOKENS("foo", "a", ONE(", fromHeaders: [{name: X-Token}]")),
		  { .headers = "x-token: {ok}" }, 200, NULL, "issuer-1/ann" },
		{ "35 root namespace", TOKENS("istio-system", "a", ONE("")), { .headers = BEARER("old") },
		  401, EXPIRED, NULL },
		{ "another namespace", TOKENS("bar", "a", ONE("")), { .headers = BEARER("old") }, 200,
		  NULL, "" },
		{ "another workload", DOCUMENT("RequestAuthentication", "foo", "a",
		  "{selector: {matchLabels: {app: x}}, jwtRules: [" ONE("") "]}"),
		  { .headers = BEARER("old") }, 200, NULL, "" },
		{ "no rules", DOCUMENT("RequestAuthentication", "foo", "a", "{}"),
		  { .headers = BEARER("old") }, 200, NULL, "" },
	};

	(void)state;
	JUDGE(rows);
}

static void test_verification(void **state)
{
#define AUDIENCE	", audiences: [bar]"
	static const struct row rows[] = {
		{ "6", S1, { .headers = BEARER("two") }, 401, UNKNOWN, NULL },
		{ "forged", S1, { .headers = BEARER("forged") }, 401, FAILS, NULL },
		{ "no iss", S1, { .headers = BEARER("no-iss") }, 401, UNKNOWN, NULL },
		{ "15", TOKENS("foo", "a", ONE(AUDIENCE)), { .headers = BEARER("ok") }, 403,
		  "Audiences in Jwt are not allowed", NULL },
		{ "16", TOKENS("foo", "a", ONE(AUDIENCE)) TOKENS("foo", "b", ONE("")),
		  { .headers = BEARER("ok") }, 200, NULL, "issuer-1/ann" },
		{ "27", S1, { .headers = BEARER("skewed") }, 200, NULL, NULL },
		{ "27b", S1, { .headers = BEARER("just-old") }, 401, EXPIRED, NULL },
		{ "28", S1, { .headers = BEARER("soon") }, 200, NULL, NULL },
		{ "28b", S1, { .headers = BEARER("early") }, 401, "Jwt not yet valid", NULL },
		{ "29", S1 REQUIRE, { .headers = BEARER("no-sub") }, 403, RBAC, "" },
		{ "alg none", S1, { .headers = "authorization: Bearer eyJhbGciOiJub25lIn0.e30.e30" }, 401,
		  NO_ALG, NULL },
		{ "30 HS256", S1, { .headers = "authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.e30" }, 401,
		  NO_ALG, NULL },
		{ "19 preflight", S1, { .method = "OPTIONS", .headers = "origin: https://a\n"
		  "access-control-request-method: GET\n" BEARER("old") }, 200, NULL, "" },
		{ "20 no preflight", S1, { .method = "OPTIONS", .headers = BEARER("old") }, 401, EXPIRED,
		  NULL },
		{ "empty origin is none", S1, { .method = "OPTIONS", .headers = "origin:\n"
		  "access-control-request-method: GET\n" BEARER("old") }, 401, EXPIRED, NULL },
		{ "a set without keys", TOKENS("foo", "a", "{issuer: issuer-1, jwks: '{\"keys\":[]}'}"),
		  { .headers = BEARER("ok") }, 401, "Jwks doesn't have any valid public key", NULL },
		{ "17", TOKENS("foo", "a", "{issuer: issuer-1, jwksUri: 'http://127.0.0.1:1/keys'}"),
		  { .headers = BEARER("ok") }, 401, "Jwks remote fetch is failed", NULL },
		{ "17b", TOKENS("foo", "a", "{issuer: issuer-1, jwksUri: 'http://127.0.0.1:1/keys'}"),
		  { 0 }, 200, NULL, "" },
		{ "17c expiry is told first", TOKENS("foo", "a",
		  "{issuer: issuer-1, jwksUri: 'http://127.0.0.1:1/keys'}"), { .headers = BEARER("old") },
		  401, EXPIRED, NULL },
	};

	(void)state;
	JUDGE(rows);
}

static void test_several_rules(void **state)
{
#define APART	TOKENS("foo", "a", ONE(", fromHeaders: [{name: x-a}]") ", " \
				   TWO(", fromHeaders: [{name: x-b}]"))
	static const struct row rows[] = {
		{ "7", S2, { .headers = BEARER("two") }, 200, NULL, "issuer-2/bob" },
		{ "8", S2, { .headers = BEARER("three") }, 401, UNKNOWN, NULL },
		{ "expired of the second issuer", S2, { .headers = BEARER("old-two") }, 401, EXPIRED,
		  NULL },
		{ "expired of the first", S2, { .headers = BEARER("old") }, 401, EXPIRED, NULL },
		{ "none", S2, { 0 }, 200, NULL, "" },
		{ "31 bad for one, good for the other", APART, { .headers = "x-a: junk\nx-b: {two}" }, 200,
		  NULL, "issuer-2/bob" },
		{ "good for the first, junk never looked at", APART,
		  { .headers = "x-a: {ok}\nx-b: junk" }, 200, NULL, "issuer-1/ann" },
		{ "both junk", APART, { .headers = "x-a: junk\nx-b: junk" }, 401, BAD_FORMAT, NULL },
		{ "the first failure in rule order", APART, { .headers = "x-a: {old}\nx-b: junk" }, 401,
		  EXPIRED, NULL },
		{ "an unknown issuer is told last", APART, { .headers = "x-a: {two}\nx-b: {old-two}" },
		  401, EXPIRED, NULL },
		{ "a token counts at its own place only", APART, { .headers = "x-b: {ok}" }, 401, UNKNOWN,
		  NULL },
		{ "one document each", TOKENS("foo", "b", TWO("")) TOKENS("istio-system", "a", ONE("")),
		  { .headers = BEARER("two") }, 200, NULL, "issuer-2/bob" },
		{ "a dead issuer does not hinder", TOKENS("foo", "a",
		  "{issuer: dead, jwksUri: 'http://127.0.0.1:1/keys'}, " ONE("")),
		  { .headers = BEARER("ok") }, 200, NULL, "issuer-1/ann" },
	};

	(void)state;
	JUDGE(rows);
}

/* What is done to the request */

static bool has_name(const struct verdict *v, const char *name)
{
	for (size_t i = 0; i < v->header_del.count; i++)
		if (slice_eq_nocase(v->header_del.items[i], slice_of(name)))
			return true;
	return false;
}

static struct slice set_value(const struct verdict *v, const char *name)
{
	for (size_t i = 0; i < v->header_set.count; i++)
		if (slice_eq_nocase(v->header_set.items[i].name, slice_of(name)))
			return v->header_set.items[i].value;
	return NO_SLICE;
}

static void test_token_is_removed(void **state)
{
	struct arena *arena = arena_create(0);
	const struct verdict *v;
	struct world w;

	(void)state;
	v = judge_filled(&w, arena, S1, &(struct ask){ .headers = BEARER("ok") });
	assert_true(has_name(v, "authorization"));
	assert_true(v->strip_authorization);
	assert_null(v->path_out.at);
	world_close(&w);

	v = judge_filled(&w, arena, TOKENS("foo", "a", ONE(", forwardOriginalToken: true")),
			 &(struct ask){ .headers = BEARER("ok"), .path = "/?access_token={ok}" });
	assert_int_equal(v->header_del.count, 0);
	assert_false(v->strip_authorization);
	assert_null(v->path_out.at);
	world_close(&w);

	v = judge_filled(&w, arena, S1, &(struct ask){ .path = "/p?b=%20&access_token={ok}&a=1&c" });
	assert_true(slice_eq(v->path_out, SLICE("/p?b=%20&a=1&c")));
	assert_int_equal(v->header_del.count, 0);
	world_close(&w);

	v = judge_filled(&w, arena, S1, &(struct ask){ .path = "/p?access_token={ok}" });
	assert_true(slice_eq(v->path_out, SLICE("/p")));
	world_close(&w);

	v = judge_filled(&w, arena, TOKENS("foo", "a", ONE(", fromCookies: [s]")),
			 &(struct ask){ .headers = "cookie: s={ok}" });
	assert_int_equal(v->header_del.count, 0);
	world_close(&w);
	arena_free(&arena);
}

#define OUTPUTS	TOKENS("foo", "a", ONE(", outputPayloadToHeader: x-p, outputClaimToHeaders: [" \
	"{header: x-iat, claim: iat}, {header: x-k, claim: nested.k}, {header: x-n, claim: nested.n}, " \
	"{header: x-half, claim: half}, {header: x-yes, claim: 'yes'}, {header: x-list, claim: list}, " \
	"{header: x-empty, claim: empty}, {header: x-evil, claim: evil}, {header: x-none, claim: zz}]"))

static void test_outputs(void **state)
{
	static const struct { const char *header, *value; } rows[] = {
		{ "x-iat", "1562182722" }, { "x-k", "v" }, { "x-n", "-1.000000" },
		{ "x-half", "1.500000" }, { "x-yes", "true" }, { "x-list", NULL }, { "x-empty", NULL },
		{ "x-evil", NULL }, { "x-none", NULL },
	};
	struct arena *arena = arena_create(0);
	struct slice payload, value;
	const struct verdict *v;
	struct world w;

	(void)state;
	v = judge_filled(&w, arena, OUTPUTS, &(struct ask){
		.headers = BEARER("ok") "\nx-evil: mine\nX-P: mine", .claims = true });
	payload = slice_of(strchr(filled(arena, "{ok}"), '.') + 1);
	payload = slice_first(payload, (size_t)slice_find(payload, '.'));
	assert_true(slice_eq(set_value(v, "x-p"), payload));
	assert_true(slice_eq(v->payload, payload));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		value = set_value(v, rows[i].header);
		if (!slice_eq(value, slice_of(rows[i].value)))
			fail_msg("%s: \"%.*s\"", rows[i].header, SLICE_ARG(value));
	}
	assert_true(has_name(v, "x-evil"));
	assert_non_null(strstr(arena_text(arena, v->claims), "\"scope\":[\"read\",\"write\"]"));
	assert_non_null(strstr(arena_text(arena, v->claims), "\"nested\":{"));
	world_close(&w);

	/* Without a token nobody else may fill the headers in. */
	v = judge_filled(&w, arena, OUTPUTS, &(struct ask){ .headers = "X-P: mine\nx-k: mine" });
	assert_true(v->allow && has_name(v, "x-p") && has_name(v, "x-k"));
	assert_int_equal(v->header_set.count, 0);
	world_close(&w);
	arena_free(&arena);
}

/* The workload behind the gateway sees what the gateway leaves. */
static void test_two_doors(void **state)
{
	static const struct row rows[] = {
		{ "the gateway takes the token", TOKENS("istio-system", "g", ONE("")) REQUIRE,
		  { .gateway_ns = "istio-system", .headers = BEARER("ok") }, 403, RBAC, NULL },
		{ "the gateway leaves it", TOKENS("istio-system", "g", ONE(", forwardOriginalToken: true"))
		  REQUIRE, { .gateway_ns = "istio-system", .headers = BEARER("ok") }, 200, NULL,
		  "issuer-1/ann" },
		{ "a claim as a header, checked behind", DOCUMENT("RequestAuthentication", "istio-system",
		  "g", "{selector: {matchLabels: {g: '1'}}, jwtRules: ["
		  ONE(", outputClaimToHeaders: [{header: x-sub, claim: sub}]") "]}")
		  ALLOW(WHEN("request.headers[x-sub]", "values: [ann]")),
		  { .gateway_ns = "istio-system", .gateway_labels = "g=1", .headers = BEARER("ok") }, 200,
		  NULL, "issuer-1/ann" },
		{ "…cannot be spoofed", DOCUMENT("RequestAuthentication", "istio-system",
		  "g", "{selector: {matchLabels: {g: '1'}}, jwtRules: ["
		  ONE(", outputClaimToHeaders: [{header: x-sub, claim: sub}]") "]}")
		  ALLOW(WHEN("request.headers[x-sub]", "values: [ann]")),
		  { .gateway_ns = "istio-system", .gateway_labels = "g=1", .headers = "x-sub: ann" }, 403,
		  RBAC, NULL },
		{ "the parameter is gone from a rewritten path", DOCUMENT("RequestAuthentication",
		  "istio-system", "g", "{selector: {matchLabels: {g: '1'}}, jwtRules: [" ONE("") "]}")
		  DENY(WHEN("request.headers[:path]", "values: ['/in?access_token*']")),
		  { .gateway_ns = "istio-system", .gateway_labels = "g=1", .path = "/?access_token={ok}",
		    .workload_path = "/in?access_token=x" }, 200, NULL, "issuer-1/ann" },
	};

	(void)state;
	JUDGE(rows);
}

static void test_challenge(void **state)
{
	struct arena *arena = arena_create(0);
	const struct verdict *v;
	struct slice want;
	struct world w;
	char path[600];

	(void)state;
	v = judge_filled(&w, arena, S1, &(struct ask){
		.path = "/a\"b?access_token=secret&x=1", .authority = "shop.example:8080" });
	want = SLICE("Bearer realm=\"http://shop.example:8080/a\\\"b?access_token=***&x=1\", "
		     "error=\"invalid_token\"");
	assert_int_equal(v->status, 401);
	if (!slice_eq(v->www_authenticate, want))
		fail_msg("%.*s", SLICE_ARG(v->www_authenticate));
	assert_true(slice_eq(v->detail, SLICE("jwt_authn_access_denied{Jwt_is_not_in_the_form_of_"
		    "Header.Payload.Signature_with_two_dots_and_3_sections}")));
	world_close(&w);

	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	v = judge_filled(&w, arena, S1, &(struct ask){ .path = path, .headers = BEARER("old") });
	assert_int_equal(v->www_authenticate.len,
			 strlen("Bearer realm=\"http://h\", error=\"invalid_token\"") + 256);
	world_close(&w);
	arena_free(&arena);
}

/* For routes: of the gateway's token, and never of one that only a workload looks at. */
static void test_claims_for_routes(void **state)
{
	static const char no_values[] = { 0, 0 };
	const struct slice names[] = { SLICE("scope"), SLICE("nested"), SLICE("k") };
	struct arena *arena = arena_create(0);
	const struct slice both[] = { claim_key(arena, names, 1), claim_key(arena, names + 1, 2) };
	const struct claims_asked *asked = claims_asked_create(arena, both, 2);
	struct ask a = { .headers = BEARER("ok"), .claims_of = asked->wire, .gateway_ns = "foo", .gateway_labels = "app=y" };
	const struct slice none = slice_make(no_values, sizeof(no_values));
	const struct claim_set *set;
	const struct verdict *v;
	struct world w;

	(void)state;
	v = judge_filled(&w, arena, OUTPUTS, &a);
	set = claim_values_read(arena, asked, v->claim_values);
	assert_non_null(set);
	assert_int_equal(set->values[0].texts.count, 2);
	assert_true(slice_eq(set->values[0].texts.items[1], SLICE("write")));
	assert_true(slice_eq(set->values[1].texts.items[0], SLICE("v")));
	assert_null(v->claims.at);	/* nothing else travels */
	world_close(&w);

	a.headers = NULL;		/* no token */
	v = judge_filled(&w, arena, OUTPUTS, &a);
	assert_true(v->allow && slice_eq(v->claim_values, none));
	world_close(&w);

	a.headers = BEARER("ok");	/* the gateway looks at none */
	a.gateway_ns = "bar";
	v = judge_filled(&w, arena, OUTPUTS, &a);
	assert_true(v->allow && slice_eq(v->claim_values, none) && v->payload.len > 0);
	world_close(&w);

	a.headers = BEARER("old");	/* refused: not a word */
	a.gateway_ns = "foo";
	v = judge_filled(&w, arena, OUTPUTS, &a);
	assert_false(v->allow);
	assert_null(v->claim_values.at);
	world_close(&w);

	a = (struct ask){ .headers = BEARER("ok"), .gateway_ns = "foo", .gateway_labels = "app=y" };
	v = judge_filled(&w, arena, OUTPUTS, &a);
	assert_null(v->claim_values.at);	/* nobody asked */
	world_close(&w);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_verification),
		cmocka_unit_test(test_several_rules),
		cmocka_unit_test(test_token_is_removed),
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_claims_for_routes),
		cmocka_unit_test(test_two_doors),
		cmocka_unit_test(test_challenge),
	};

	return cmocka_run_group_tests(tests, make_tokens, free_tokens);
}
