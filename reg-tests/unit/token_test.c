/* SPDX-License-Identifier: Apache-2.0
 *
 * token_test.c - tokens: each status of spec/request-authentication.md 5, 6.2 and 7.2 that a token
 * can earn, in the order in which the checks stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reg-tests/tools/jwt_make.h"
#include "spoa/token.h"

#define NOW	1700000000
#define B64_HEADER_RS256	"eyJhbGciOiJSUzI1NiJ9"
#define CLAIMS	"{\"iss\":\"https://iss\",\"sub\":\"ann\",\"aud\":\"shop\",\"exp\":1700000300}"

enum { RSA_KEY, OTHER_RSA, P256, P384, P521, ED25519, KEYS };
static EVP_PKEY *keys[KEYS];

static int make_keys(void **state)
{
	static const char *const algs[KEYS] = { "RS256", "RS256", "ES256", "ES384", "ES512", "EdDSA" };

	(void)state;
	for (int i = 0; i < KEYS; i++)
		keys[i] = make_key(algs[i]);
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	for (int i = 0; i < KEYS; i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}

static struct jwk_set *set_of(const char *jwks)
{
	return jwk_set_parse(slice_of(jwks), NULL, NULL);
}

static struct jwk_set *set_of_key(EVP_PKEY *key, const char *kid, const char *alg)
{
	char *jwk = make_jwk(key, kid, alg);
	struct text t;
	struct jwk_set *set;

	text_init(&t);
	text_printf(&t, "{\"keys\":[%s]}", jwk);
	set = set_of(t.at);
	text_fini(&t);
	free(jwk);
	return set;
}

/* All steps in their order, for issuer `https://iss` and audience `shop` at NOW. */
static enum jwt_status judge(struct slice text, const struct jwk_set *set)
{
	struct slice audience = SLICE("shop");
	struct token *t;
	enum jwt_status status = token_parse(text, &t);

	if (status != JWT_OK)
		return status;
	status = token_check_issuer(t, SLICE("https://iss"));
	if (status == JWT_OK)
		status = token_check_time(t, NOW);
	if (status == JWT_OK)
		status = token_check_audience(t, &audience, 1);
	if (status == JWT_OK)
		status = token_verify(t, set, NULL);
	token_unref(&t);
	return status;
}

static void assert_status(enum jwt_status got, enum jwt_status want, const char *what)
{
	if (got != want)
		fail_msg("%s: %s, not %s", what, jwt_status_text(got), jwt_status_text(want));
}

/* ---- the form ---- */

static void test_form(void **state)
{
	static const struct { const char *text; enum jwt_status want; } rows[] = {
		{ "", JWT_BAD_FORMAT },
		{ "abc", JWT_BAD_FORMAT },
		{ ".", JWT_BAD_FORMAT },
		{ "..", JWT_BAD_FORMAT },
		{ "a.b", JWT_BAD_FORMAT },
		{ "a.b.", JWT_BAD_FORMAT },
		{ ".b.c", JWT_BAD_FORMAT },
		{ "a..c", JWT_BAD_FORMAT },
		{ "a..b.c", JWT_BAD_FORMAT },
		{ "a.b.c.d", JWT_BAD_FORMAT },
		{ "a.b.c.", JWT_BAD_FORMAT },
		{ "a.b.c", JWT_HEADER_BAD_BASE64 },
		{ "e30=.e30.c2ln", JWT_HEADER_BAD_ALG },
		{ "e30==.e30.c2ln", JWT_HEADER_BAD_BASE64 },
		{ "e3+.e30.c2ln", JWT_HEADER_BAD_BASE64 },
		{ "e3/.e30.c2ln", JWT_HEADER_BAD_BASE64 },
		{ " e30.e30.c2ln", JWT_HEADER_BAD_BASE64 },
		{ "e3\n0.e30.c2ln", JWT_HEADER_BAD_BASE64 },
		{ "e31.e30.c2ln", JWT_HEADER_BAD_BASE64 },	/* stray bits */
		{ "e.e30.c2ln", JWT_HEADER_BAD_BASE64 },
		{ "e30.e30.c2ln", JWT_HEADER_BAD_ALG },
		{ "W10.e30.c2ln", JWT_HEADER_BAD_JSON },	/* [] */
		{ "MQ.e30.c2ln", JWT_HEADER_BAD_JSON },		/* 1 */
		{ "e30s.e30.c2ln", JWT_HEADER_BAD_JSON },	/* {}, */
		{ B64_HEADER_RS256 ".e3+.c2ln", JWT_PAYLOAD_BAD_BASE64 },
		{ B64_HEADER_RS256 ".e.c2ln", JWT_PAYLOAD_BAD_BASE64 },
		{ B64_HEADER_RS256 ".W10.c2ln", JWT_PAYLOAD_BAD_JSON },
		{ B64_HEADER_RS256 ".YQ.c2ln", JWT_PAYLOAD_BAD_JSON },
		{ B64_HEADER_RS256 ".e30.c2l+", JWT_SIGNATURE_BAD_BASE64 },
		{ B64_HEADER_RS256 ".e30.c", JWT_SIGNATURE_BAD_BASE64 },
		{ B64_HEADER_RS256 ".e30.c2ln word", JWT_SIGNATURE_BAD_BASE64 },
		{ B64_HEADER_RS256 ".e30.c2ln,", JWT_SIGNATURE_BAD_BASE64 },
		{ B64_HEADER_RS256 ".e30.c2ln", JWT_OK },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct token *t = NULL;

		assert_status(token_parse(slice_of(rows[i].text), &t), rows[i].want, rows[i].text);
		assert_true((t != NULL) == (rows[i].want == JWT_OK));
		token_unref(&t);
	}
}

/* ---- types ---- */

static void assert_parse(const char *header, const char *claims, enum jwt_status want)
{
	char *text = make_compact(header, claims, "sig", 3);
	struct token *t = NULL;

	assert_status(token_parse(slice_of(text), &t), want, claims[0] ? claims : header);
	token_unref(&t);
	free(text);
}

static void test_header_types(void **state)
{
	static const struct { const char *header; enum jwt_status want; } rows[] = {
		{ "{\"alg\":1}", JWT_HEADER_BAD_ALG },
		{ "{\"alg\":null}", JWT_HEADER_BAD_ALG },
		{ "{\"typ\":\"JWT\"}", JWT_HEADER_BAD_ALG },
		{ "{\"alg\":\"none\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"None\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"HS256\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"HS384\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"HS512\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"ES256K\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"Ed448\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"rs256\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"RS256 \"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"RS1\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"unsupported\"}", JWT_HEADER_ALG_NOT_SUPPORTED },
		{ "{\"alg\":\"RS256\",\"alg\":\"none\"}", JWT_HEADER_BAD_JSON },
		{ "{\"alg\":\"RS256\"} {}", JWT_HEADER_BAD_JSON },
		{ "{\"alg\":\"RS256\",\"kid\":\"a\\u0000b\"}", JWT_HEADER_BAD_JSON },
		{ "{\"alg\":\"RS256\",\"x\":\"\xff\"}", JWT_HEADER_BAD_JSON },
		{ "{\"alg\":\"RS256\",\"kid\":null}", JWT_HEADER_BAD_KID },
		{ "{\"alg\":\"RS256\",\"kid\":7}", JWT_HEADER_BAD_KID },
		{ "{\"alg\":\"RS256\",\"kid\":\"\"}", JWT_OK },
		{ "{\"alg\":\"EdDSA\",\"jku\":\"http://x\",\"typ\":3}", JWT_OK },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_parse(rows[i].header, "{}", rows[i].want);
}

static void test_claim_types(void **state)
{
	static const struct { const char *claims; enum jwt_status want; } rows[] = {
		{ "{\"iss\":1}", JWT_ISS_NOT_STRING },
		{ "{\"iss\":null}", JWT_ISS_NOT_STRING },
		{ "{\"sub\":[]}", JWT_SUB_NOT_STRING },
		{ "{\"sub\":null,\"iss\":{}}", JWT_ISS_NOT_STRING },
		{ "{\"iat\":\"1\"}", JWT_IAT_NOT_INTEGER },
		{ "{\"iat\":true}", JWT_IAT_NOT_INTEGER },
		{ "{\"iat\":-1}", JWT_IAT_OUT_OF_RANGE },
		{ "{\"iat\":1.9}", JWT_OK },
		{ "{\"iat\":18446744073709551616}", JWT_IAT_OUT_OF_RANGE },
		{ "{\"iat\":9223372036854775808}", JWT_OK },
		{ "{\"iat\":-0.5}", JWT_IAT_OUT_OF_RANGE },
		{ "{\"nbf\":\"1\"}", JWT_NBF_NOT_INTEGER },
		{ "{\"nbf\":null}", JWT_NBF_NOT_INTEGER },
		{ "{\"nbf\":-1}", JWT_NBF_OUT_OF_RANGE },
		{ "{\"nbf\":1e300}", JWT_NBF_OUT_OF_RANGE },
		{ "{\"exp\":\"123\"}", JWT_EXP_NOT_INTEGER },
		{ "{\"exp\":[1]}", JWT_EXP_NOT_INTEGER },
		{ "{\"exp\":-9223372036854775808}", JWT_EXP_OUT_OF_RANGE },
		{ "{\"exp\":1e19}", JWT_OK },
		{ "{\"exp\":2e19}", JWT_EXP_OUT_OF_RANGE },
		{ "{\"exp\":1e999}", JWT_PAYLOAD_BAD_JSON },
		{ "{\"exp\":-1,\"iat\":\"1\"}", JWT_IAT_NOT_INTEGER },
		{ "{\"exp\":-1,\"nbf\":\"1\"}", JWT_NBF_NOT_INTEGER },
		{ "{\"jti\":5}", JWT_JTI_NOT_STRING },
		{ "{\"jti\":null,\"aud\":5}", JWT_JTI_NOT_STRING },
		{ "{\"aud\":5}", JWT_AUD_NOT_STRING },
		{ "{\"aud\":null}", JWT_AUD_NOT_STRING },
		{ "{\"aud\":{}}", JWT_AUD_NOT_STRING },
		{ "{\"aud\":[\"a\",1]}", JWT_AUD_NOT_STRING },
		{ "{\"aud\":[\"a\",[\"b\"]]}", JWT_AUD_NOT_STRING },
		{ "{\"aud\":[]}", JWT_OK },
		{ "{\"aud\":[\"a\",\"b\"]}", JWT_OK },
		{ "{\"iss\":\"a\",\"iss\":\"b\"}", JWT_PAYLOAD_BAD_JSON },
		{ "{\"a\":{\"b\":1,\"b\":2}}", JWT_PAYLOAD_BAD_JSON },
		{ "{\"a\":1}x", JWT_PAYLOAD_BAD_JSON },
		{ "{'a':1}", JWT_PAYLOAD_BAD_JSON },
		{ "{\"a\":NaN}", JWT_PAYLOAD_BAD_JSON },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_parse("{\"alg\":\"RS256\"}", rows[i].claims, rows[i].want);
}

static void test_fields(void **state)
{
	char *text = make_compact("{\"alg\":\"PS384\",\"kid\":\"k1\"}",
				  "{\"iss\":\"i\",\"sub\":\"s\",\"jti\":\"j\",\"aud\":[\"a\",\"b\"],"
				  "\"exp\":3.9,\"nbf\":2,\"iat\":1,\"n\":{\"k\":\"v\"}}", "sig", 3);
	struct token *t, *more;
	struct slice rest = slice_of(text), first, second;

	(void)state;
	assert_int_equal(token_parse(rest, &t), JWT_OK);
	first = slice_cut(&rest, '.');
	second = slice_cut(&rest, '.');
	assert_true(slice_eq(t->text, slice_of(text)) && t->text.at != text);
	assert_true(slice_eq(t->payload, second));
	assert_int_equal(t->signed_bytes.len, first.len + 1 + second.len);
	assert_true(slice_eq(t->signature, SLICE("sig")));
	assert_int_equal(t->alg, JWT_ALG_PS384);
	assert_true(slice_eq(t->kid, SLICE("k1")));
	assert_true(slice_eq(t->iss, SLICE("i")) && slice_eq(t->sub, SLICE("s")));
	assert_true(slice_eq(t->jti, SLICE("j")));
	assert_int_equal(t->aud_count, 2);
	assert_true(slice_eq(t->aud[1], SLICE("b")));
	assert_true(t->exp == 3 && t->nbf == 2 && t->iat == 1);
	assert_string_equal(json_string_value(json_object_get(json_object_get(t->claims, "n"), "k")),
			    "v");
	more = token_ref(t);
	token_unref(&t);
	assert_null(t);
	assert_true(slice_eq(more->iss, SLICE("i")));
	token_unref(&more);
	free(text);

	text = make_compact("{\"alg\":\"RS256\"}", "{}", "sig", 3);
	assert_int_equal(token_parse(slice_of(text), &t), JWT_OK);
	assert_true(t->kid.at == NULL && t->iss.at == NULL && t->sub.at == NULL);
	assert_true(t->aud_count == 0 && t->exp == 0);
	token_unref(&t);
	free(text);
}

static void test_limits(void **state)
{
	struct text t;
	char *text;

	(void)state;
	for (unsigned depth = TOKEN_JSON_DEPTH_MAX - 2; depth <= TOKEN_JSON_DEPTH_MAX + 1; depth++) {
		text_init(&t);
		text_printf(&t, "{\"a\":");
		for (unsigned i = 1; i < depth; i++)
			text_add_char(&t, '[');
		for (unsigned i = 1; i < depth; i++)
			text_add_char(&t, ']');
		text_add_char(&t, '}');
		assert_parse("{\"alg\":\"RS256\"}", t.at,
			     depth <= TOKEN_JSON_DEPTH_MAX ? JWT_OK : JWT_PAYLOAD_BAD_JSON);
		text_fini(&t);
	}
	assert_parse("{\"alg\":\"RS256\"}", "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"}",
		     JWT_OK);
	text_init(&t);
	text_printf(&t, "{\"a\":\"");
	while (t.len < 12200)
		text_add_char(&t, 'x');
	text_printf(&t, "\"}");
	text = make_compact("{\"alg\":\"RS256\"}", t.at, "sig", 3);
	assert_true(strlen(text) < TOKEN_BYTES_MAX && strlen(text) > TOKEN_BYTES_MAX - 120);
	assert_parse("{\"alg\":\"RS256\"}", t.at, JWT_OK);
	free(text);
	t.len -= 2;
	while (t.len < 12300)
		text_add_char(&t, 'x');
	text_printf(&t, "\"}");
	assert_parse("{\"alg\":\"RS256\"}", t.at, JWT_BAD_FORMAT);
	text_fini(&t);
}

/* ---- time and audience ---- */

static void test_time(void **state)
{
	static const struct { const char *claims; int64_t now; enum jwt_status want; } rows[] = {
		{ "{}", NOW, JWT_OK },
		{ "{\"exp\":1700000000}", NOW, JWT_OK },
		{ "{\"exp\":1699999940}", NOW, JWT_OK },		/* now - 60 */
		{ "{\"exp\":1699999939}", NOW, JWT_EXPIRED },		/* now - 61 */
		{ "{\"exp\":0}", NOW, JWT_OK },
		{ "{\"exp\":1}", NOW, JWT_EXPIRED },
		{ "{\"exp\":18446744073709551615}", NOW, JWT_EXP_OUT_OF_RANGE },
		{ "{\"exp\":9223372036854775807}", NOW, JWT_OK },
		{ "{\"exp\":18446744073709549568}", NOW, JWT_OK },	/* 2^64 - 2048 */
		{ "{\"exp\":9223372036854775807}", INT64_MAX, JWT_OK },
		{ "{\"nbf\":1700000060}", NOW, JWT_OK },
		{ "{\"nbf\":1700000061}", NOW, JWT_NOT_YET_VALID },
		{ "{\"nbf\":18446744073709549568}", INT64_MAX, JWT_NOT_YET_VALID },
		{ "{\"nbf\":61}", 0, JWT_NOT_YET_VALID },
		{ "{\"nbf\":60}", -5, JWT_OK },
		{ "{\"nbf\":1800000000,\"exp\":5}", NOW, JWT_NOT_YET_VALID },
		{ "{\"iat\":1800000000}", NOW, JWT_OK },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *text = make_compact("{\"alg\":\"RS256\"}", rows[i].claims, "sig", 3);
		struct token *t = NULL;
		enum jwt_status got = token_parse(slice_of(text), &t);

		if (got == JWT_OK)
			got = token_check_time(t, rows[i].now);
		assert_status(got, rows[i].want, rows[i].claims);
		token_unref(&t);
		free(text);
	}
}

static void test_audience(void **state)
{
	static const struct { const char *rule, *aud; bool good; } rows[] = {
		{ "foo", "\"foo\"", true },
		{ "foo", "[\"x\",\"foo\"]", true },
		{ "https://a.example/", "\"a.example\"", true },
		{ "http://a.example", "\"https://a.example/\"", true },
		{ "a.example", "\"http://a.example\"", true },
		{ "foo", "\"foo/\"", true },
		{ "foo", "\"foo//\"", false },
		{ "foo", "\"FOO\"", false },
		{ "foo", "\"fo\"", false },
		{ "foo", "[]", false },
		{ "foo", NULL, false },
		{ "foo", "\"HTTPS://foo\"", false },
		{ "foo", "\"https://http://foo\"", false },
		{ "foo", "\"\"", false },
		{ "foo", "[\"a\",\"b\"]", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct slice rule[2] = { SLICE("unrelated"), slice_of(rows[i].rule) };
		char claims[128], *text;
		struct token *t;

		snprintf(claims, sizeof(claims), rows[i].aud != NULL ? "{\"aud\":%s}" : "{}",
			 rows[i].aud);
		text = make_compact("{\"alg\":\"RS256\"}", claims, "sig", 3);
		assert_int_equal(token_parse(slice_of(text), &t), JWT_OK);
		assert_status(token_check_audience(t, rule, 2),
			      rows[i].good ? JWT_OK : JWT_AUDIENCE_NOT_ALLOWED, claims);
		assert_int_equal(token_check_audience(t, NULL, 0), JWT_OK);
		token_unref(&t);
		free(text);
	}
	assert_int_equal(jwt_status_code(JWT_AUDIENCE_NOT_ALLOWED), 403);
	assert_int_equal(jwt_status_code(JWT_EXPIRED), 401);
}

static void test_issuer(void **state)
{
	char *text = make_compact("{\"alg\":\"RS256\"}", "{\"iss\":\"https://iss\"}", "sig", 3);
	char *bare = make_compact("{\"alg\":\"RS256\"}", "{}", "sig", 3);
	struct token *t;

	(void)state;
	assert_int_equal(token_parse(slice_of(text), &t), JWT_OK);
	assert_int_equal(token_check_issuer(t, SLICE("https://iss")), JWT_OK);
	assert_int_equal(token_check_issuer(t, SLICE("https://iss/")), JWT_UNKNOWN_ISSUER);
	assert_int_equal(token_check_issuer(t, NO_SLICE), JWT_OK);
	token_unref(&t);
	assert_int_equal(token_parse(slice_of(bare), &t), JWT_OK);
	assert_int_equal(token_check_issuer(t, SLICE("https://iss")), JWT_UNKNOWN_ISSUER);
	assert_int_equal(token_check_issuer(t, NO_SLICE), JWT_OK);
	token_unref(&t);
	free(text);
	free(bare);
}

/* ---- signatures ---- */

static void test_every_algorithm(void **state)
{
	static const struct { const char *alg; int key; } rows[] = {
		{ "RS256", RSA_KEY }, { "RS384", RSA_KEY }, { "RS512", RSA_KEY },
		{ "PS256", RSA_KEY }, { "PS384", RSA_KEY }, { "PS512", RSA_KEY },
		{ "ES256", P256 }, { "ES384", P384 }, { "ES512", P521 }, { "EdDSA", ED25519 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		/* With alg in the key, and without. */
		for (int named = 0; named < 2; named++) {
			struct jwk_set *set = set_of_key(keys[rows[i].key], "k",
							 named ? rows[i].alg : NULL);
			char *text = make_token(keys[rows[i].key], rows[i].alg, "k", CLAIMS);
			char *dot = strchr(text, '.');

			assert_status(judge(slice_of(text), set), JWT_OK, rows[i].alg);
			assert_status(judge(slice_of(text), set), JWT_OK, rows[i].alg);
			/* One bit of the payload's text, then of the signature. */
			dot = strchr(dot + 1, '.');
			dot[3] = dot[3] == 'A' ? 'B' : 'A';
			assert_status(judge(slice_of(text), set), JWT_VERIFICATION_FAIL, rows[i].alg);
			free(text);
			jwk_set_unref(&set);
		}
	}
}

static void test_algorithm_and_key_agree(void **state)
{
	static const char *const algs[] = { "RS256", "RS384", "PS256", "ES256", "ES384", "ES512",
					    "EdDSA" };
	static const int key_of[] = { RSA_KEY, RSA_KEY, RSA_KEY, P256, P384, P521, ED25519 };

	(void)state;
	/* A key without alg is a candidate for all, but verifies only what its type can. */
	for (size_t signer = 0; signer < COUNT_OF(algs); signer++) {
		char *text = make_token(keys[key_of[signer]], algs[signer], NULL, CLAIMS);

		for (int k = 0; k < KEYS; k++) {
			struct jwk_set *set = set_of_key(keys[k], "k", NULL);
			bool same = k == key_of[signer];

			assert_status(judge(slice_of(text), set), same ? JWT_OK : JWT_VERIFICATION_FAIL,
				      algs[signer]);
			jwk_set_unref(&set);
		}
		free(text);
	}
}

static void test_kid(void **state)
{
	static const struct { const char *token, *key; enum jwt_status want; } rows[] = {
		{ "a", "a", JWT_OK },
		{ "a", "b", JWKS_KID_ALG_MISMATCH },
		{ "a", "A", JWKS_KID_ALG_MISMATCH },
		{ "a", NULL, JWT_OK },
		{ NULL, "a", JWT_OK },
		{ NULL, NULL, JWT_OK },
		{ "", "a", JWT_OK },
		{ "a", "", JWT_OK },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct jwk_set *set = set_of_key(keys[P256], rows[i].key, "ES256");
		char *text = make_token(keys[P256], "ES256", rows[i].token, CLAIMS);

		assert_status(judge(slice_of(text), set), rows[i].want, rows[i].token ?: "no kid");
		free(text);
		jwk_set_unref(&set);
	}
}

static void test_several_keys(void **state)
{
	char *a = make_jwk(keys[RSA_KEY], "a", "RS256"), *b = make_jwk(keys[OTHER_RSA], "a", "RS256");
	char *c = make_jwk(keys[P256], NULL, NULL), *d = make_jwk(keys[P256], "a", "ES384");
	const struct jwk *used = NULL;
	struct jwk_set *set;
	struct text t;
	struct token *token;
	char *text;

	(void)state;
	text_init(&t);
	text_printf(&t, "{\"keys\":[%s,%s,%s,7,%s]}", a, b, c, d);
	set = set_of(t.at);
	assert_int_equal(jwk_set_count(set), 3);	/* d: its alg and curve do not agree */

	/* The second key of the same kid. */
	text = make_token(keys[OTHER_RSA], "RS256", "a", CLAIMS);
	assert_int_equal(token_parse(slice_of(text), &token), JWT_OK);
	assert_status(token_verify(token, set, &used), JWT_OK, "second of two");
	assert_ptr_equal(used, jwk_set_key(set, 1));
	token_unref(&token);
	free(text);
	/* The key without kid serves every kid. */
	text = make_token(keys[P256], "ES256", "zzz", CLAIMS);
	assert_status(judge(slice_of(text), set), JWT_OK, "key without kid");
	free(text);
	/* alg of the key excludes: only the keyless-alg one is left, of another type. */
	text = make_token(keys[RSA_KEY], "RS384", "a", CLAIMS);
	assert_status(judge(slice_of(text), set), JWT_VERIFICATION_FAIL, "alg");
	free(text);
	jwk_set_unref(&set);
	text_fini(&t);
	set = set_of_key(keys[RSA_KEY], "a", "RS256");
	text = make_token(keys[RSA_KEY], "RS384", "a", CLAIMS);
	assert_status(judge(slice_of(text), set), JWKS_KID_ALG_MISMATCH, "alg alone");
	free(text);
	jwk_set_unref(&set);
	free(a);
	free(b);
	free(c);
	free(d);
}

static void test_forgeries(void **state)
{
	struct jwk_set *set = set_of_key(keys[P256], "k", "ES256");
	struct jwk_set *rsa = set_of_key(keys[RSA_KEY], "k", NULL);
	struct jwk_set *ed = set_of_key(keys[ED25519], "k", NULL);
	unsigned char sig[1024] = { 0 };
	char *text, *header = "{\"alg\":\"ES256\",\"kid\":\"k\"}";

	(void)state;
	/* Another key. */
	text = make_token(keys[OTHER_RSA], "RS256", "k", CLAIMS);
	assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "other key");
	free(text);
	/* Zero R and S verify nothing. */
	text = make_compact(header, CLAIMS, sig, 64);
	assert_status(judge(slice_of(text), set), JWT_VERIFICATION_FAIL, "zero signature");
	free(text);
	for (size_t len = 1; len < 140; len++) {
		memset(sig, 0xff, sizeof(sig));
		text = make_compact(header, CLAIMS, sig, len);
		assert_status(judge(slice_of(text), set), JWT_VERIFICATION_FAIL, "length");
		free(text);
	}
	for (size_t len = 1; len < 300; len += 7) {
		text = make_compact("{\"alg\":\"EdDSA\"}", CLAIMS, sig, len);
		assert_status(judge(slice_of(text), ed), len == 64 ? JWT_VERIFICATION_FAIL
			      : JWT_ED25519_SIGNATURE_WRONG_LENGTH, "Ed25519 length");
		free(text);
		text = make_compact("{\"alg\":\"RS256\"}", CLAIMS, sig, len);
		assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "RSA length");
		free(text);
		text = make_compact("{\"alg\":\"PS256\"}", CLAIMS, sig, len);
		assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "PSS length");
		free(text);
	}
	/* An Ed25519 token against an RSA key, of any length. */
	text = make_compact("{\"alg\":\"EdDSA\"}", CLAIMS, sig, 3);
	assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "EdDSA on RSA");
	free(text);
	/* PS256 signed as RS256 and the other way round. */
	text = make_token_with_header(keys[RSA_KEY], "RS256", "{\"alg\":\"PS256\"}", CLAIMS);
	assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "PKCS1 as PSS");
	free(text);
	text = make_token_with_header(keys[RSA_KEY], "PS256", "{\"alg\":\"RS256\"}", CLAIMS);
	assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "PSS as PKCS1");
	free(text);
	/* A digest other than the one of the header. */
	text = make_token_with_header(keys[RSA_KEY], "RS512", "{\"alg\":\"RS256\"}", CLAIMS);
	assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "digest");
	free(text);
	/* crit is never understood. */
	text = make_token_with_header(keys[RSA_KEY], "RS256", "{\"alg\":\"RS256\",\"crit\":[\"b64\"],"
				      "\"b64\":false}", CLAIMS);
	assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "crit");
	free(text);
	/* A key that the token brings along is not looked at. */
	text = make_token_with_header(keys[OTHER_RSA], "RS256",
				      "{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"RSA\"}}", CLAIMS);
	assert_status(judge(slice_of(text), rsa), JWT_VERIFICATION_FAIL, "jwk in header");
	free(text);
	jwk_set_unref(&set);
	jwk_set_unref(&rsa);
	jwk_set_unref(&ed);
}

/* ECDSA in DER, as certificates have it, is no JWS. */
static void test_der_signature(void **state)
{
	struct jwk_set *set = set_of_key(keys[P256], "k", NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char der[128];
	size_t len = sizeof(der);
	char *text = make_compact("{\"alg\":\"ES256\"}", CLAIMS, "x", 1), *whole;

	(void)state;
	*strrchr(text, '.') = '\0';
	assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, keys[P256], NULL), 1);
	assert_int_equal(EVP_DigestSign(ctx, der, &len, (unsigned char *)text, strlen(text)), 1);
	EVP_MD_CTX_free(ctx);
	whole = make_compact("{\"alg\":\"ES256\"}", CLAIMS, der, len);
	assert_status(judge(slice_of(whole), set), JWT_VERIFICATION_FAIL, "DER");
	free(text);
	free(whole);
	jwk_set_unref(&set);
}

/* The RSA key's PEM text as an HMAC secret: the confusion that reads the algorithm first. */
static void test_hmac_with_public_key(void **state)
{
	struct jwk_set *set = set_of_key(keys[RSA_KEY], "k", NULL);
	char *text = make_compact("{\"alg\":\"HS256\"}", CLAIMS, "sig", 3);

	(void)state;
	assert_status(judge(slice_of(text), set), JWT_HEADER_ALG_NOT_SUPPORTED, "HS256");
	free(text);
	jwk_set_unref(&set);
}

/* Time and audience are told before the signature is looked at. */
static void test_order(void **state)
{
	static const struct { const char *claims; enum jwt_status want; } rows[] = {
		{ "{\"iss\":\"x\",\"exp\":5,\"aud\":\"y\"}", JWT_UNKNOWN_ISSUER },
		{ "{\"iss\":\"https://iss\",\"exp\":5,\"aud\":\"y\"}", JWT_EXPIRED },
		{ "{\"iss\":\"https://iss\",\"nbf\":1800000000,\"exp\":5}", JWT_NOT_YET_VALID },
		{ "{\"iss\":\"https://iss\",\"aud\":\"y\"}", JWT_AUDIENCE_NOT_ALLOWED },
		{ "{\"iss\":\"https://iss\",\"aud\":\"shop\"}", JWKS_NO_KEYS },
	};
	struct jwk_set *set = set_of("{}");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *text = make_compact("{\"alg\":\"RS256\"}", rows[i].claims, "sig", 3);

		assert_status(judge(slice_of(text), set), rows[i].want, rows[i].claims);
		free(text);
	}
	jwk_set_unref(&set);
}

/* ---- public vectors ---- */

/* Any payload: the signature alone. */
static enum jwt_status verify_raw(const char *jwk, const char *jws)
{
	struct slice rest = slice_of(jws), header, payload, alg;
	unsigned char sig[1024], head[1024];
	enum jwt_status status;
	struct jwk_set *set;
	struct text t;
	json_t *h;
	ptrdiff_t len;

	text_init(&t);
	text_printf(&t, "{\"keys\":[%s]}", jwk);
	set = set_of(t.at);
	text_fini(&t);
	assert_int_equal(jwk_set_status(set), JWT_OK);
	header = slice_cut(&rest, '.');
	payload = slice_cut(&rest, '.');
	len = base64url_decode(header, head);
	assert_true(len > 0);
	h = json_loadb((char *)head, (size_t)len, 0, NULL);
	alg = slice_of(json_string_value(json_object_get(h, "alg")));
	len = base64url_decode(rest, sig);
	assert_true(len > 0);
	status = jwk_verify(jwk_set_key(set, 0), jwt_alg_parse(alg),
			    slice_make(header.at, header.len + 1 + payload.len),
			    slice_make(sig, (size_t)len));
	json_decref(h);
	jwk_set_unref(&set);
	return status;
}

#define JOE "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt" \
	    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define BILBO_N "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_" \
	"AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7T" \
	"pe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vn" \
	"iUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
#define FRODO "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250" \
	"byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2" \
	"hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
#define A2_JWK "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26" \
	"mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47s" \
	"oMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTB" \
	"QY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW" \
	"9gb54h4FRWyuXpoQ\"}"
#define A3_JWK "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"

static const struct { const char *name, *jwk, *jws; } public_vectors[] = {
	{ "RFC 7515 A.2", A2_JWK, "eyJhbGciOiJSUzI1NiJ9." JOE
	  ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
	  "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMH"
	  "lb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9"
	  "QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw" },
	{ "RFC 7515 A.3", A3_JWK, "eyJhbGciOiJFUzI1NiJ9." JOE
	  ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q" },
	{ "RFC 7515 A.4",
	  "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5"
	  "EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2"
	  "Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}",
	  "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-"
	  "mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNr"
	  "mxYbSW9ERBXukOXolLzeO_Jn" },
	{ "RFC 8037 A.4",
	  "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
	  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvM"
	  "g3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg" },
	{ "RFC 7520 4.1", "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" BILBO_N "\"}",
	  "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." FRODO
	  ".MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xug"
	  "lII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6"
	  "x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQS"
	  "E_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg" },
	{ "RFC 7520 4.2", "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" BILBO_N "\"}",
	  "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." FRODO
	  ".cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8T"
	  "TB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqr"
	  "YRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHt"
	  "fa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw" },
};

static void test_public_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(public_vectors); i++) {
		char *broken = strdup(public_vectors[i].jws);

		assert_status(verify_raw(public_vectors[i].jwk, public_vectors[i].jws), JWT_OK,
			      public_vectors[i].name);
		strchr(broken, '.')[1] ^= 1;
		assert_status(verify_raw(public_vectors[i].jwk, broken), JWT_VERIFICATION_FAIL,
			      public_vectors[i].name);
		free(broken);
	}
}

/* Whole tokens of the RFC, through the front door. */
static void test_public_tokens(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct text t;
		struct jwk_set *set;
		struct token *token;

		text_init(&t);
		text_printf(&t, "{\"keys\":[%s]}", public_vectors[i].jwk);
		set = set_of(t.at);
		assert_int_equal(token_parse(slice_of(public_vectors[i].jws), &token), JWT_OK);
		assert_true(slice_eq(token->iss, SLICE("joe")));
		assert_int_equal(token->exp, 1300819380);
		assert_int_equal(token_check_time(token, NOW), JWT_EXPIRED);
		assert_int_equal(token_check_time(token, 1300819380), JWT_OK);
		assert_int_equal(token_verify(token, set, NULL), JWT_OK);
		token_unref(&token);
		jwk_set_unref(&set);
		text_fini(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_header_types),
		cmocka_unit_test(test_claim_types),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_audience),
		cmocka_unit_test(test_issuer),
		cmocka_unit_test(test_every_algorithm),
		cmocka_unit_test(test_algorithm_and_key_agree),
		cmocka_unit_test(test_kid),
		cmocka_unit_test(test_several_keys),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_der_signature),
		cmocka_unit_test(test_hmac_with_public_key),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_public_vectors),
		cmocka_unit_test(test_public_tokens),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
