/* SPDX-License-Identifier: Apache-2.0
 *
 * jwk_test.c - JWKS documents: which keys are taken, and what is said of the others
 * (spec/request-authentication.md 6.3, 7.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "reg-tests/tools/jwt_make.h"
#include "sallyport/object.h"
#include "spoa/jwk.h"

/* Public values of RFC 7515 A.2 and A.3, RFC 8037 A.2. */
#define N	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
		"d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5" \
		"rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aG" \
		"hyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define X	"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y	"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define ED	"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RSA_MEMBERS	"\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQAB\""
#define EC_MEMBERS	"\"kty\":\"EC\",\"x\":\"" X "\",\"y\":\"" Y "\""
#define OKP_MEMBERS	"\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED "\""

static struct jwk_set *parse(const char *json)
{
	return jwk_set_parse(slice_of(json), NULL, NULL);
}

static void test_documents(void **state)
{
	static const struct { const char *json; enum jwt_status want; size_t keys; } rows[] = {
		{ "", JWKS_PARSE_ERROR, 0 },
		{ "garbage", JWKS_PARSE_ERROR, 0 },
		{ "[]", JWKS_PARSE_ERROR, 0 },
		{ "\"keys\"", JWKS_PARSE_ERROR, 0 },
		{ "{\"keys\":[]} trailing", JWKS_PARSE_ERROR, 0 },
		{ "{\"keys\":[],\"keys\":[]}", JWKS_PARSE_ERROR, 0 },
		{ "{\"a\":\"\xc3\x28\"}", JWKS_PARSE_ERROR, 0 },
		{ "{}", JWKS_NO_KEYS, 0 },
		{ "{\"key\":[]}", JWKS_NO_KEYS, 0 },
		{ "{\"a\":\"b\"}", JWKS_NO_KEYS, 0 },
		{ "{\"keys\":null}", JWKS_BAD_KEYS, 0 },
		{ "{\"keys\":\"x\"}", JWKS_BAD_KEYS, 0 },
		{ "{\"keys\":{}}", JWKS_BAD_KEYS, 0 },
		{ "{\"keys\":[]}", JWKS_NO_VALID_KEYS, 0 },
		{ "{\"keys\":[1,\"a\",null,[]]}", JWKS_NO_VALID_KEYS, 0 },
		/* The first reason is told, whatever comes behind it. */
		{ "{\"keys\":[{},{\"kty\":5}]}", JWKS_MISSING_KTY, 0 },
		{ "{\"keys\":[{\"kty\":5},{}]}", JWKS_BAD_KTY, 0 },
		{ "{\"keys\":[{},{" EC_MEMBERS "}]}", JWT_OK, 1 },
		{ "{\"keys\":[{" EC_MEMBERS "},{" RSA_MEMBERS "},7,{" OKP_MEMBERS "}]}", JWT_OK, 3 },
		{ "{\"keys\":[{" EC_MEMBERS "}],\"more\":{\"a\":[]}}", JWT_OK, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct jwk_set *set = parse(rows[i].json);

		if (jwk_set_status(set) != rows[i].want)
			fail_msg("%s: %s", rows[i].json, jwt_status_text(jwk_set_status(set)));
		assert_int_equal(jwk_set_count(set), rows[i].keys);
		jwk_set_unref(&set);
	}
}

static void test_keys(void **state)
{
	static const struct { const char *members; enum jwt_status want; } rows[] = {
		{ "\"n\":\"AQAB\"", JWKS_MISSING_KTY },
		{ "\"kty\":1", JWKS_BAD_KTY },
		{ "\"kty\":null", JWKS_BAD_KTY },
		{ "\"kty\":\"rsa\"", JWKS_NOT_IMPLEMENTED_KTY },
		{ "\"kty\":\"AKP\"", JWKS_NOT_IMPLEMENTED_KTY },
		{ "\"kty\":\"oct\",\"k\":\"c2VjcmV0\"", JWKS_NOT_IMPLEMENTED_KTY },

		{ RSA_MEMBERS, JWT_OK },
		{ RSA_MEMBERS ",\"alg\":\"RS256\"", JWT_OK },
		{ RSA_MEMBERS ",\"alg\":\"PS512\"", JWT_OK },
		{ RSA_MEMBERS ",\"alg\":5,\"kid\":6,\"use\":\"enc\",\"key_ops\":[\"encrypt\"]", JWT_OK },
		{ RSA_MEMBERS ",\"alg\":\"RSA-OAEP\"", JWT_OK },	/* begins with RS: never matches */
		{ RSA_MEMBERS ",\"alg\":\"ES256\"", JWKS_RSA_KEY_BAD_ALG },
		{ RSA_MEMBERS ",\"alg\":\"HS256\"", JWKS_RSA_KEY_BAD_ALG },
		{ "\"kty\":\"RSA\",\"e\":\"AQAB\"", JWKS_RSA_KEY_MISSING_N },
		{ "\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":1", JWKS_RSA_KEY_BAD_N },
		{ "\"kty\":\"RSA\",\"n\":\"" N "\"", JWKS_RSA_KEY_MISSING_E },
		{ "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":65537", JWKS_RSA_KEY_BAD_E },
		{ "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"Aw\"", JWT_OK },	/* 3 */
		{ "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AAEAAQ\"", JWT_OK },	/* leading zero */
		{ "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQ\"", JWKS_RSA_PARSE_ERROR },	/* 1 */
		{ "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"BQ\"", JWKS_RSA_PARSE_ERROR },	/* 5 */
		{ "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"\"", JWKS_RSA_PARSE_ERROR },
		{ "\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQAB+\"", JWKS_RSA_PARSE_ERROR },
		{ "\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"", JWKS_RSA_PARSE_ERROR },
		{ "\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"AQAB\"", JWKS_RSA_PARSE_ERROR },
		{ "\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"", JWKS_RSA_PARSE_ERROR },
		{ "\"kty\":\"RSA\",\"n\":\"+" N "\",\"e\":\"AQAB\"", JWKS_RSA_PARSE_ERROR },

		{ EC_MEMBERS, JWT_OK },
		{ EC_MEMBERS ",\"crv\":\"P-256\"", JWT_OK },
		{ EC_MEMBERS ",\"alg\":\"ES256\"", JWT_OK },
		{ EC_MEMBERS ",\"alg\":\"ES256\",\"crv\":\"P-256\"", JWT_OK },
		{ EC_MEMBERS ",\"alg\":\"RS256\"", JWKS_EC_KEY_BAD_ALG },
		{ EC_MEMBERS ",\"crv\":256", JWKS_EC_KEY_BAD_CRV },
		{ EC_MEMBERS ",\"crv\":null", JWKS_EC_KEY_BAD_CRV },
		{ EC_MEMBERS ",\"crv\":\"secp256k1\"", JWKS_EC_KEY_ALG_OR_CRV_UNSUPPORTED },
		{ EC_MEMBERS ",\"alg\":\"ES256K\"", JWKS_EC_KEY_ALG_OR_CRV_UNSUPPORTED },
		{ EC_MEMBERS ",\"alg\":\"ES384\",\"crv\":\"P-256\"",
		  JWKS_EC_KEY_ALG_NOT_COMPATIBLE_WITH_CRV },
		{ EC_MEMBERS ",\"alg\":\"ES256\",\"crv\":\"P-521\"",
		  JWKS_EC_KEY_ALG_NOT_COMPATIBLE_WITH_CRV },
		{ EC_MEMBERS ",\"crv\":\"P-384\"", JWKS_EC_PARSE_ERROR },	/* not on that curve */
		{ "\"kty\":\"EC\",\"y\":\"" Y "\"", JWKS_EC_KEY_MISSING_X },
		{ "\"kty\":\"EC\",\"x\":5,\"y\":\"" Y "\"", JWKS_EC_KEY_BAD_X },
		{ "\"kty\":\"EC\",\"x\":\"" X "\"", JWKS_EC_KEY_MISSING_Y },
		{ "\"kty\":\"EC\",\"x\":\"" X "\",\"y\":[]", JWKS_EC_KEY_BAD_Y },
		{ "\"kty\":\"EC\",\"x\":\"" X "\",\"y\":\"" Y "/\"", JWKS_EC_X_OR_Y_BAD_BASE64 },
		{ "\"kty\":\"EC\",\"x\":\"=\",\"y\":\"" Y "\"", JWKS_EC_X_OR_Y_BAD_BASE64 },
		{ "\"kty\":\"EC\",\"x\":\"" Y "\",\"y\":\"" X "\"", JWKS_EC_PARSE_ERROR },
		{ "\"kty\":\"EC\",\"x\":\"\",\"y\":\"\"", JWKS_EC_PARSE_ERROR },
		{ "\"kty\":\"EC\",\"x\":\"AAAA\",\"y\":\"AAAA\"", JWKS_EC_PARSE_ERROR },
		{ "\"kty\":\"EC\",\"x\":\"" X "AAAA\",\"y\":\"" Y "\"", JWKS_EC_PARSE_ERROR },
		{ "\"kty\":\"EC\",\"x\":\"" N "\",\"y\":\"" Y "\"", JWKS_EC_PARSE_ERROR },	/* too long */
		{ "\"kty\":\"EC\",\"x\":\"AAB_zc4ncPbEXUGDy-5v20t7WAczNXvp7xO6z248e9FURQ\",\"y\":\"" Y "\"",
		  JWT_OK },	/* leading zeros */

		{ OKP_MEMBERS, JWT_OK },
		{ OKP_MEMBERS ",\"alg\":\"EdDSA\"", JWT_OK },
		{ OKP_MEMBERS ",\"alg\":\"Ed25519\"", JWKS_OKP_KEY_BAD_ALG },
		{ OKP_MEMBERS ",\"alg\":\"RS256\"", JWKS_OKP_KEY_BAD_ALG },
		{ "\"kty\":\"OKP\",\"x\":\"" ED "\"", JWKS_OKP_KEY_MISSING_CRV },
		{ "\"kty\":\"OKP\",\"crv\":1,\"x\":\"" ED "\"", JWKS_OKP_KEY_BAD_CRV },
		{ "\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" ED "\"", JWKS_OKP_KEY_CRV_UNSUPPORTED },
		{ "\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED "\"", JWKS_OKP_KEY_CRV_UNSUPPORTED },
		{ "\"kty\":\"OKP\",\"crv\":\"Ed25519\"", JWKS_OKP_KEY_MISSING_X },
		{ "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":{}", JWKS_OKP_KEY_BAD_X },
		{ "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"*\"", JWKS_OKP_X_BAD_BASE64 },
		{ "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"", JWKS_OKP_X_WRONG_LENGTH },
		{ "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"\"", JWKS_OKP_X_WRONG_LENGTH },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct jwk_set *set;
		struct text t;

		text_init(&t);
		text_printf(&t, "{\"keys\":[{%s}]}", rows[i].members);
		set = parse(t.at);
		if (jwk_set_status(set) != rows[i].want)
			fail_msg("%s: %s", rows[i].members, jwt_status_text(jwk_set_status(set)));
		assert_int_equal(jwk_set_count(set), rows[i].want == JWT_OK);
		assert_int_equal(ERR_peek_error(), 0);
		jwk_set_unref(&set);
		text_fini(&t);
	}
}

static void test_fields(void **state)
{
	struct jwk_set *set = parse("{\"keys\":[{" RSA_MEMBERS ",\"kid\":\"r\",\"alg\":\"RS256\"},"
				    "{" EC_MEMBERS ",\"kid\":\"e\"},{" OKP_MEMBERS "}]}");
	const struct jwk *rsa = jwk_set_key(set, 0), *ec = jwk_set_key(set, 1), *ed = jwk_set_key(set, 2);

	(void)state;
	assert_true(rsa->kind == JWK_RSA && rsa->bits == 2048);
	assert_true(slice_eq(rsa->kid, SLICE("r")) && slice_eq(rsa->alg, SLICE("RS256")));
	assert_true(ec->kind == JWK_P256 && ec->bits == 256 && ec->alg.at == NULL);
	assert_true(ed->kind == JWK_ED25519 && ed->kid.at == NULL);
	assert_ptr_equal(jwk_set_find(set, SLICE("e")), ec);
	assert_null(jwk_set_find(set, SLICE("E")));
	assert_null(jwk_set_find(set, SLICE("")));
	assert_ptr_equal(jwk_set_find_same(set, ed->fingerprint), ed);
	jwk_set_unref(&set);
}

/* Equal are keys, not texts: members in another order and leading zeros change nothing. */
static void test_equality(void **state)
{
	static const struct { const char *a, *b; bool equal; } rows[] = {
		{ "{" RSA_MEMBERS "}", "{\"e\":\"AAEAAQ\",\"n\":\"" N "\",\"kty\":\"RSA\",\"use\":\"sig\"}", true },
		{ "{" RSA_MEMBERS "}", "{\"e\":\"Aw\",\"n\":\"" N "\",\"kty\":\"RSA\"}", false },
		{ "{" EC_MEMBERS "}", "{" EC_MEMBERS ",\"kid\":\"\"}", true },
		{ "{" EC_MEMBERS "}", "{" EC_MEMBERS ",\"kid\":\"a\"}", false },
		{ "{" EC_MEMBERS "}", "{" EC_MEMBERS ",\"alg\":\"ES256\"}", false },
		{ "{" EC_MEMBERS "}", "{" EC_MEMBERS "},{" EC_MEMBERS "}", false },
		{ "{" EC_MEMBERS "}", "{" OKP_MEMBERS "}", false },
		{ "{" EC_MEMBERS ",\"kid\":\"ES256\"}", "{" EC_MEMBERS ",\"alg\":\"ES256\"}", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char a[2048], b[2048];
		struct jwk_set *sa, *sb;

		snprintf(a, sizeof(a), "{\"keys\":[%s]}", rows[i].a);
		snprintf(b, sizeof(b), "{\"keys\":[%s]}", rows[i].b);
		sa = parse(a);
		sb = parse(b);
		assert_int_equal(jwk_set_equal(sa, sb), rows[i].equal);
		jwk_set_unref(&sa);
		jwk_set_unref(&sb);
	}
}

static void test_rsa_sizes(void **state)
{
	static const struct { unsigned bits; bool good; } rows[] = {
		{ 1024, false }, { 2040, false }, { 2047, false }, { 2048, true }, { 2049, true },
		{ 4096, true }, { 8192, true }, { 8193, false }, { 16384, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		size_t bytes = (rows[i].bits + 7) / 8;
		unsigned char *n = calloc(1, bytes);
		struct jwk_set *set;
		struct text t;
		char *b64;

		n[0] = (unsigned char)(1u << (rows[i].bits - 1) % 8);
		for (int odd = 0; odd < 2; odd++) {
			n[bytes - 1] = (unsigned char)odd;
			b64 = make_base64url(n, bytes);
			text_init(&t);
			text_printf(&t, "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%s\"}]}", b64);
			set = parse(t.at);
			assert_int_equal(jwk_set_status(set),
					 rows[i].good && odd ? JWT_OK : JWKS_RSA_PARSE_ERROR);
			if (jwk_set_count(set) == 1)
				assert_int_equal(jwk_set_key(set, 0)->bits, rows[i].bits);
			jwk_set_unref(&set);
			text_fini(&t);
			free(b64);
		}
		free(n);
	}
}

/* ---- limits and notes ---- */

struct notes {
	unsigned count, warnings;
	size_t last_index;
	enum jwt_status last;
};

static void on_note(void *arg, size_t index, struct slice kid, enum jwt_status status,
		    const char *text)
{
	struct notes *n = arg;

	(void)kid;
	assert_non_null(text);
	n->count++;
	n->warnings += status == JWT_OK;
	n->last_index = index;
	n->last = status;
}

static void test_notes(void **state)
{
	struct notes notes = { 0 };
	const char *json = "{\"keys\":[{" EC_MEMBERS ",\"d\":\"AQAB\"},{\"kty\":\"oct\",\"k\":\"AQAB\"}]}";
	struct jwk_set *set = jwk_set_parse(slice_of(json), on_note, &notes);

	(void)state;
	assert_int_equal(jwk_set_count(set), 1);
	assert_true(notes.count == 2 && notes.warnings == 1);
	assert_true(notes.last_index == 1 && notes.last == JWKS_NOT_IMPLEMENTED_KTY);
	jwk_set_unref(&set);
}

static void test_limits(void **state)
{
	struct notes notes = { 0 };
	struct jwk_set *set;
	struct text t;

	(void)state;
	text_init(&t);
	text_printf(&t, "{\"keys\":[{\"kty\":\"x\"}");
	for (unsigned i = 0; i <= JWKS_KEYS_MAX; i++)
		text_printf(&t, ",{" OKP_MEMBERS ",\"kid\":\"%u\"}", i);
	text_printf(&t, "]}");
	set = jwk_set_parse(text_slice(&t), on_note, &notes);
	assert_int_equal(jwk_set_count(set), JWKS_KEYS_MAX);
	assert_non_null(jwk_set_find(set, SLICE("99")));
	assert_null(jwk_set_find(set, SLICE("100")));
	assert_true(notes.count == 2 && notes.last_index == JWKS_KEYS_MAX + 1);
	jwk_set_unref(&set);

	for (unsigned depth = JWKS_JSON_DEPTH_MAX; depth <= JWKS_JSON_DEPTH_MAX + 1; depth++) {
		text_clear(&t);
		text_printf(&t, "{\"keys\":[],\"a\":");
		for (unsigned i = 1; i < depth; i++)
			text_add_char(&t, '[');
		for (unsigned i = 1; i < depth; i++)
			text_add_char(&t, ']');
		text_add_char(&t, '}');
		set = jwk_set_parse(text_slice(&t), NULL, NULL);
		assert_int_equal(jwk_set_status(set), depth <= JWKS_JSON_DEPTH_MAX ? JWKS_NO_VALID_KEYS
				 : JWKS_PARSE_ERROR);
		jwk_set_unref(&set);
	}

	for (size_t len = JWKS_DOCUMENT_BYTES_MAX; len <= JWKS_DOCUMENT_BYTES_MAX + 1; len++) {
		text_clear(&t);
		text_printf(&t, "{\"keys\":[{" EC_MEMBERS "}]}");
		while (t.len < len)
			text_add_char(&t, ' ');
		set = jwk_set_parse(text_slice(&t), NULL, NULL);
		assert_int_equal(jwk_set_status(set), len <= JWKS_DOCUMENT_BYTES_MAX ? JWT_OK
				 : JWKS_PARSE_ERROR);
		jwk_set_unref(&set);
	}
	text_fini(&t);
}

/* ---- certificates ---- */

/* As a JSON string without its quotes. */
static char *certificate(EVP_PKEY *key)
{
	X509 *x = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	struct text t;
	char *pem;
	long len;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	must(X509_sign(x, key, EVP_sha256()) > 0);
	must(PEM_write_bio_X509(bio, x) == 1);
	len = BIO_get_mem_data(bio, &pem);
	text_init(&t);
	for (long i = 0; i < len; i++)
		if (pem[i] == '\n')
			text_printf(&t, "\\n");
		else
			text_add_char(&t, pem[i]);
	BIO_free(bio);
	X509_free(x);
	return t.at;
}

static void test_certificate_map(void **state)
{
	EVP_PKEY *rsa = make_key("RS256"), *ec = make_key("ES256");
	char *rsa_pem = certificate(rsa), *ec_pem = certificate(ec), *jws, *last;
	unsigned char sig[512];
	struct jwk_set *set;
	struct text t;
	ptrdiff_t len;

	(void)state;
	text_init(&t);
	text_printf(&t, "{\"one\":\"%s\",\"two\":\"%s\"}", rsa_pem, ec_pem);
	set = jwk_set_parse(text_slice(&t), NULL, NULL);
	assert_int_equal(jwk_set_status(set), JWT_OK);
	assert_int_equal(jwk_set_count(set), 1);
	assert_true(slice_eq(jwk_set_key(set, 0)->kid, SLICE("one")));
	jws = make_token(rsa, "PS256", NULL, "{}");
	last = strrchr(jws, '.');
	len = base64url_decode(slice_of(last + 1), sig);
	assert_int_equal(jwk_verify(jwk_set_key(set, 0), JWT_ALG_PS256,
				    slice_make(jws, (size_t)(last - jws)), slice_make(sig, (size_t)len)),
			 JWT_OK);
	free(jws);
	jwk_set_unref(&set);

	static const struct { const char *format; enum jwt_status want; } rows[] = {
		{ "{\"a\":\"%s\",\"b\":1}", JWKS_NO_KEYS },
		{ "{\"a\":\"%s\",\"b\":\"x\"}", JWKS_NO_KEYS },
		{ "{\"a\":\" %s\"}", JWKS_NO_KEYS },
		{ "{\"a\":\"%s\\n\"}", JWKS_NO_KEYS },
		{ "{\"keys\":\"%s\"}", JWKS_BAD_KEYS },
		{ "{\"b\":\"-----BEGIN CERTIFICATE-----\\n!\\n-----END CERTIFICATE-----\\n\"}",
		  JWKS_X509_PARSE_ERROR },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char json[8192];

		/* The last row has no %s: what is printed is the row. */
		const char *mark = strstr(rows[i].format, "%s");

		if (mark != NULL)
			snprintf(json, sizeof(json), "%.*s%s%s", (int)(mark - rows[i].format),
				 rows[i].format, rsa_pem, mark + 2);
		else
			snprintf(json, sizeof(json), "%s", rows[i].format);
		set = parse(json);
		if (jwk_set_status(set) != rows[i].want)
			fail_msg("row %zu: %s", i, jwt_status_text(jwk_set_status(set)));
		jwk_set_unref(&set);
	}
	text_clear(&t);
	text_printf(&t, "{\"two\":\"%s\"}", ec_pem);
	set = jwk_set_parse(text_slice(&t), NULL, NULL);
	assert_int_equal(jwk_set_status(set), JWKS_X509_GET_PUBKEY_ERROR);
	jwk_set_unref(&set);
	text_fini(&t);
	free(rsa_pem);
	free(ec_pem);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned alg = JWT_ALG_UNSUPPORTED + 1; alg < JWT_ALG_COUNT; alg++)
		assert_int_equal(jwt_alg_parse(slice_of(jwt_alg_name((enum jwt_alg)alg))), alg);
	assert_int_equal(jwt_alg_parse(NO_SLICE), JWT_ALG_UNSUPPORTED);
	assert_int_equal(jwt_alg_parse(SLICE("none")), JWT_ALG_UNSUPPORTED);
	for (unsigned i = 0; i < JWT_STATUS_COUNT; i++)
		assert_true(strlen(jwt_status_text((enum jwt_status)i)) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_rsa_sizes),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_certificate_map),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
