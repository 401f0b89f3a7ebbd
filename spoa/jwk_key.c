/* SPDX-License-Identifier: Apache-2.0
 *
 * jwk_key.c - one public key: out of a JWK or a certificate into OpenSSL, and signatures checked
 * with it (spec/request-authentication.md 6.1, 6.3, 6.4). */
#include "spoa/jwk_priv.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "sallyport/base64.h"
#include "sallyport/object.h"
#include "sallyport/strict_json.h"

#define EC_COORDINATE_MAX	66u	/* P-521 */
#define ED25519_KEY_BYTES	32u
#define ED25519_SIGNATURE_BYTES	64u
/* SEQUENCE and two INTEGERs, each with tag, length and perhaps a zero in front. */
#define ECDSA_DER_MAX		(3u + 2 * (3u + EC_COORDINATE_MAX))

struct curve {
	const char *crv, *alg, *group;
	enum jwk_kind kind;
	unsigned bits, coordinate_bytes;
};

static const struct curve curves[] = {
	{ "P-256", "ES256", "prime256v1", JWK_P256, 256, 32 },
	{ "P-384", "ES384", "secp384r1", JWK_P384, 384, 48 },
	{ "P-521", "ES512", "secp521r1", JWK_P521, 521, 66 },
};

struct algorithm {
	const char *digest;		/* NULL: the signature scheme has its own */
	bool pss;
	unsigned kinds;			/* bits of enum jwk_kind */
	size_t coordinate_bytes;	/* ECDSA: of R and of S */
};

#define ON(kind)	(1u << (kind))
static const struct algorithm algorithms[JWT_ALG_COUNT] = {
	[JWT_ALG_RS256] = { "SHA256", false, ON(JWK_RSA), 0 },
	[JWT_ALG_RS384] = { "SHA384", false, ON(JWK_RSA), 0 },
	[JWT_ALG_RS512] = { "SHA512", false, ON(JWK_RSA), 0 },
	[JWT_ALG_PS256] = { "SHA256", true, ON(JWK_RSA), 0 },
	[JWT_ALG_PS384] = { "SHA384", true, ON(JWK_RSA), 0 },
	[JWT_ALG_PS512] = { "SHA512", true, ON(JWK_RSA), 0 },
	[JWT_ALG_ES256] = { "SHA256", false, ON(JWK_P256), 32 },
	[JWT_ALG_ES384] = { "SHA384", false, ON(JWK_P384), 48 },
	[JWT_ALG_ES512] = { "SHA512", false, ON(JWK_P521), 66 },
	[JWT_ALG_EdDSA] = { NULL, false, ON(JWK_ED25519), 0 },
};

/* Whoever looks at OpenSSL's error queue later shall not find what a stranger's key left there. */
static enum jwt_status failed(enum jwt_status status)
{
	ERR_clear_error();
	return status;
}

/* The context for `alg`, initialised; NULL where OpenSSL refuses. */
static EVP_MD_CTX *context_for(EVP_PKEY *pkey, const struct algorithm *alg)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool good = ctx != NULL &&
		    EVP_DigestVerifyInit_ex(ctx, &pctx, alg->digest, NULL, NULL, pkey, NULL) == 1;

	/* PSS: MGF1 takes the same digest by default; any salt length is accepted. */
	if (good && alg->pss)
		good = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_AUTO) == 1;
	if (good)
		return ctx;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return NULL;
}

static bool entry_hash(struct jwk_entry *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	int der_len = i2d_PUBKEY(e->pkey, &der);
	uint64_t lengths[2] = { e->pub.kid.len, e->pub.alg.len };
	bool good = ctx != NULL && der_len > 0 &&
		    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(ctx, lengths, sizeof(lengths)) == 1 &&
		    EVP_DigestUpdate(ctx, e->pub.kid.at, e->pub.kid.len) == 1 &&
		    EVP_DigestUpdate(ctx, e->pub.alg.at, e->pub.alg.len) == 1 &&
		    EVP_DigestUpdate(ctx, der, (size_t)der_len) == 1 &&
		    EVP_DigestFinal_ex(ctx, e->pub.fingerprint, NULL) == 1;

	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	return good;
}

/* Makes the contexts that this key may be asked for. Takes `pkey` in any case. */
static enum jwt_status entry_finish(struct jwk_entry *e, EVP_PKEY *pkey, enum jwt_status otherwise)
{
	enum jwt_alg only = jwt_alg_parse(e->pub.alg);
	bool any = e->pub.alg.len == 0;

	e->pkey = pkey;
	for (unsigned alg = JWT_ALG_UNSUPPORTED + 1; alg < JWT_ALG_COUNT; alg++) {
		if (!(algorithms[alg].kinds & ON(e->pub.kind)) || (!any && alg != only))
			continue;
		e->ready[alg] = context_for(pkey, &algorithms[alg]);
		if (e->ready[alg] == NULL) {
			jwk_entry_fini(e);
			return failed(otherwise);
		}
	}
	if (!entry_hash(e)) {
		jwk_entry_fini(e);
		return failed(otherwise);
	}
	return JWT_OK;
}

void jwk_entry_fini(struct jwk_entry *e)
{
	for (unsigned alg = 0; alg < JWT_ALG_COUNT; alg++)
		EVP_MD_CTX_free(e->ready[alg]);
	EVP_PKEY_free(e->pkey);
	*e = (struct jwk_entry){ 0 };
}

/* Big-endian bytes without leading zeros, in the arena; an empty result is no number. */
static bool decode_number(struct slice text, struct arena *a, struct slice *out)
{
	unsigned char *bytes = arena_alloc(a, BASE64_DECODED_MAX(text.len));
	ptrdiff_t len = base64url_decode(text, bytes);

	if (len < 0)
		return false;
	*out = slice_make(bytes, (size_t)len);
	while (out->len > 0 && out->at[0] == 0)
		*out = slice_from(*out, 1);
	return true;
}

static EVP_PKEY *pkey_from_params(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *rsa_pkey(struct slice n, struct slice e)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn_n = BN_bin2bn((const unsigned char *)n.at, (int)n.len, NULL);
	BIGNUM *bn_e = BN_bin2bn((const unsigned char *)e.at, (int)e.len, NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (bld != NULL && bn_n != NULL && bn_e != NULL &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1)
		params = OSSL_PARAM_BLD_to_param(bld);
	if (params != NULL)
		pkey = pkey_from_params("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(bn_n);
	BN_free(bn_e);
	return pkey;
}

/* Both bounds keep the price of a signature in proportion; an even modulus is none. A primality
 * test of the modulus would cost more than all of these and prove little. */
static bool rsa_is_acceptable(struct slice n, struct slice e)
{
	static const unsigned char e3[] = { 3 }, e65537[] = { 1, 0, 1 };
	unsigned bits;

	if (n.len == 0 || n.len > JWK_RSA_BITS_MAX / 8 || !(n.at[n.len - 1] & 1))
		return false;
	bits = (unsigned)n.len * 8 - (unsigned)__builtin_clz((unsigned char)n.at[0]) + 24;
	return bits >= JWK_RSA_BITS_MIN && (slice_eq(e, slice_make(e3, sizeof(e3))) ||
					    slice_eq(e, slice_make(e65537, sizeof(e65537))));
}

static enum jwt_status rsa_from_json(struct jwk_entry *entry, const json_t *m, struct arena *a)
{
	struct slice n_text, e_text, n, e;
	EVP_PKEY *pkey;

	if (entry->pub.alg.len > 0 && !slice_starts(entry->pub.alg, SLICE("RS")) &&
	    !slice_starts(entry->pub.alg, SLICE("PS")))
		return JWKS_RSA_KEY_BAD_ALG;
	switch (json_string_field(m, "n", &n_text)) {
	case JSON_FIELD_MISSING:	return JWKS_RSA_KEY_MISSING_N;
	case JSON_FIELD_WRONG:		return JWKS_RSA_KEY_BAD_N;
	case JSON_FIELD_FOUND:		break;
	}
	switch (json_string_field(m, "e", &e_text)) {
	case JSON_FIELD_MISSING:	return JWKS_RSA_KEY_MISSING_E;
	case JSON_FIELD_WRONG:		return JWKS_RSA_KEY_BAD_E;
	case JSON_FIELD_FOUND:		break;
	}
	if (!decode_number(n_text, a, &n) || !decode_number(e_text, a, &e) ||
	    !rsa_is_acceptable(n, e))
		return JWKS_RSA_PARSE_ERROR;
	pkey = rsa_pkey(n, e);
	if (pkey == NULL)
		return failed(JWKS_RSA_PARSE_ERROR);
	entry->pub.kind = JWK_RSA;
	entry->pub.bits = (unsigned)EVP_PKEY_get_bits(pkey);
	return entry_finish(entry, pkey, JWKS_RSA_PARSE_ERROR);
}

/* The curve by crv, else by alg, else P-256. */
static enum jwt_status pick_curve(const json_t *m, struct slice alg, const struct curve **out)
{
	struct slice crv;

	if (alg.len > 0 && !slice_starts(alg, SLICE("ES")))
		return JWKS_EC_KEY_BAD_ALG;
	if (json_string_field(m, "crv", &crv) == JSON_FIELD_WRONG)
		return JWKS_EC_KEY_BAD_CRV;
	if (crv.len == 0 && alg.len == 0)
		crv = SLICE("P-256");
	for (size_t i = 0; i < COUNT_OF(curves); i++) {
		bool by_crv = slice_eq(crv, slice_of(curves[i].crv));
		bool by_alg = slice_eq(alg, slice_of(curves[i].alg));

		if ((by_crv || crv.len == 0) && (by_alg || alg.len == 0)) {
			*out = &curves[i];
			return JWT_OK;
		}
	}
	return crv.len > 0 && alg.len > 0 ? JWKS_EC_KEY_ALG_NOT_COMPATIBLE_WITH_CRV
					  : JWKS_EC_KEY_ALG_OR_CRV_UNSUPPORTED;
}

static EVP_PKEY *ec_pkey(const struct curve *curve, struct slice x, struct slice y)
{
	unsigned char point[1 + 2 * EC_COORDINATE_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
	size_t each = curve->coordinate_bytes;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve->group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * each),
		OSSL_PARAM_construct_end()
	};
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *pkey;

	memcpy(point + 1 + each - x.len, x.at, x.len);
	memcpy(point + 1 + 2 * each - y.len, y.at, y.len);
	pkey = pkey_from_params("EC", params);
	if (pkey == NULL)
		return NULL;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (ctx == NULL || EVP_PKEY_public_check(ctx) != 1) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static enum jwt_status ec_from_json(struct jwk_entry *entry, const json_t *m, struct arena *a)
{
	struct slice x_text, y_text, x, y;
	const struct curve *curve;
	enum jwt_status status = pick_curve(m, entry->pub.alg, &curve);
	EVP_PKEY *pkey;

	if (status != JWT_OK)
		return status;
	switch (json_string_field(m, "x", &x_text)) {
	case JSON_FIELD_MISSING:	return JWKS_EC_KEY_MISSING_X;
	case JSON_FIELD_WRONG:		return JWKS_EC_KEY_BAD_X;
	case JSON_FIELD_FOUND:		break;
	}
	switch (json_string_field(m, "y", &y_text)) {
	case JSON_FIELD_MISSING:	return JWKS_EC_KEY_MISSING_Y;
	case JSON_FIELD_WRONG:		return JWKS_EC_KEY_BAD_Y;
	case JSON_FIELD_FOUND:		break;
	}
	if (!decode_number(x_text, a, &x) || !decode_number(y_text, a, &y))
		return JWKS_EC_X_OR_Y_BAD_BASE64;
	if (x.len > curve->coordinate_bytes || y.len > curve->coordinate_bytes)
		return JWKS_EC_PARSE_ERROR;
	pkey = ec_pkey(curve, x, y);
	if (pkey == NULL)
		return failed(JWKS_EC_PARSE_ERROR);
	entry->pub.kind = curve->kind;
	entry->pub.bits = curve->bits;
	return entry_finish(entry, pkey, JWKS_EC_CREATE_KEY_FAIL);
}

static enum jwt_status okp_from_json(struct jwk_entry *entry, const json_t *m, struct arena *a)
{
	struct slice crv, x_text;
	unsigned char *bytes;
	ptrdiff_t len;
	EVP_PKEY *pkey;

	if (entry->pub.alg.len > 0 && !slice_eq(entry->pub.alg, SLICE("EdDSA")))
		return JWKS_OKP_KEY_BAD_ALG;
	switch (json_string_field(m, "crv", &crv)) {
	case JSON_FIELD_MISSING:	return JWKS_OKP_KEY_MISSING_CRV;
	case JSON_FIELD_WRONG:		return JWKS_OKP_KEY_BAD_CRV;
	case JSON_FIELD_FOUND:		break;
	}
	if (!slice_eq(crv, SLICE("Ed25519")))
		return JWKS_OKP_KEY_CRV_UNSUPPORTED;
	switch (json_string_field(m, "x", &x_text)) {
	case JSON_FIELD_MISSING:	return JWKS_OKP_KEY_MISSING_X;
	case JSON_FIELD_WRONG:		return JWKS_OKP_KEY_BAD_X;
	case JSON_FIELD_FOUND:		break;
	}
	bytes = arena_alloc(a, BASE64_DECODED_MAX(x_text.len));
	len = base64url_decode(x_text, bytes);
	if (len < 0)
		return JWKS_OKP_X_BAD_BASE64;
	if (len != ED25519_KEY_BYTES)
		return JWKS_OKP_X_WRONG_LENGTH;
	pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, bytes, ED25519_KEY_BYTES);
	if (pkey == NULL)
		return failed(JWKS_OKP_X_BAD_BASE64);
	entry->pub.kind = JWK_ED25519;
	entry->pub.bits = 256;
	return entry_finish(entry, pkey, JWKS_OKP_X_BAD_BASE64);
}

/* Certificates: keys without numbers of their own */

static enum jwt_status rsa_from_pkey(struct jwk_entry *e, EVP_PKEY *pkey, enum jwt_status otherwise)
{
	int bits = EVP_PKEY_get_bits(pkey);

	if (bits < (int)JWK_RSA_BITS_MIN || bits > (int)JWK_RSA_BITS_MAX) {
		EVP_PKEY_free(pkey);
		return failed(otherwise);
	}
	e->pub.kind = JWK_RSA;
	e->pub.bits = (unsigned)bits;
	return entry_finish(e, pkey, otherwise);
}

static enum jwt_status ec_from_pkey(struct jwk_entry *e, const json_t *m, EVP_PKEY *pkey)
{
	char group[32] = "";
	struct slice crv;

	json_string_field(m, "crv", &crv);
	EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL);
	for (size_t i = 0; i < COUNT_OF(curves); i++) {
		if (strcmp(curves[i].group, group) != 0)
			continue;
		if ((crv.len > 0 && !slice_eq(crv, slice_of(curves[i].crv))) ||
		    (e->pub.alg.len > 0 && !slice_eq(e->pub.alg, slice_of(curves[i].alg))))
			break;
		e->pub.kind = curves[i].kind;
		e->pub.bits = curves[i].bits;
		return entry_finish(e, pkey, JWKS_EC_CREATE_KEY_FAIL);
	}
	EVP_PKEY_free(pkey);
	return failed(JWKS_EC_KEY_ALG_OR_CRV_UNSUPPORTED);
}

/* The first certificate of `x5c` (RFC 7517, 4.7) in base64; NULL: there is none that could be read. */
static EVP_PKEY *x5c_pkey(const json_t *m, struct arena *a)
{
	const json_t *first = json_array_get(json_object_get(m, "x5c"), 0);
	struct slice text = slice_make(json_string_value(first), json_string_length(first));
	const unsigned char *at;
	unsigned char *bytes;
	X509 *certificate;
	EVP_PKEY *pkey;
	ptrdiff_t len;

	if (!json_is_string(first))
		return NULL;
	at = bytes = arena_alloc(a, BASE64_DECODED_MAX(text.len));
	len = base64_decode(text, bytes);
	certificate = len > 0 ? d2i_X509(NULL, &at, len) : NULL;
	pkey = certificate != NULL && at == bytes + len ? X509_get_pubkey(certificate) : NULL;
	X509_free(certificate);
	return pkey;
}

/* A key that has no numbers but those of its certificate. Who gave us the set vouches for it: neither the
 * chain nor the dates are looked at, as with numbers. */
static enum jwt_status entry_from_x5c(struct jwk_entry *e, const json_t *m, struct slice kty, struct arena *a)
{
	bool rsa = slice_eq(kty, SLICE("RSA"));
	EVP_PKEY *pkey;

	if (rsa && e->pub.alg.len > 0 && !slice_starts(e->pub.alg, SLICE("RS")) &&
	    !slice_starts(e->pub.alg, SLICE("PS")))
		return JWKS_RSA_KEY_BAD_ALG;
	if (!rsa && e->pub.alg.len > 0 && !slice_starts(e->pub.alg, SLICE("ES")))
		return JWKS_EC_KEY_BAD_ALG;
	pkey = x5c_pkey(m, a);
	if (pkey == NULL)
		return failed(JWKS_X509_PARSE_ERROR);
	if (!EVP_PKEY_is_a(pkey, rsa ? "RSA" : "EC")) {
		EVP_PKEY_free(pkey);
		return failed(JWKS_X509_GET_PUBKEY_ERROR);
	}
	return rsa ? rsa_from_pkey(e, pkey, JWKS_X509_GET_PUBKEY_ERROR) : ec_from_pkey(e, m, pkey);
}

static bool has_only_x5c(const json_t *m, struct slice kty)
{
	static const char *const numbers[] = { "n", "e", "x", "y" };

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		if (json_object_get(m, numbers[i]) != NULL)
			return false;
	return json_is_array(json_object_get(m, "x5c")) &&
	       (slice_eq(kty, SLICE("RSA")) || slice_eq(kty, SLICE("EC")));
}

enum jwt_status jwk_entry_from_json(struct jwk_entry *e, const json_t *m, struct arena *a,
				    const char **warning)
{
	struct slice kty, kid, alg;

	*e = (struct jwk_entry){ 0 };
	*warning = NULL;
	switch (json_string_field(m, "kty", &kty)) {
	case JSON_FIELD_MISSING:	return JWKS_MISSING_KTY;
	case JSON_FIELD_WRONG:		return JWKS_BAD_KTY;
	case JSON_FIELD_FOUND:		break;
	}
	json_string_field(m, "kid", &kid);
	json_string_field(m, "alg", &alg);
	e->pub.kid = arena_slice(a, kid);
	e->pub.alg = arena_slice(a, alg);
	if (json_object_get(m, "d") != NULL)
		*warning = "holds private key material; only the public part is used";
	if (has_only_x5c(m, kty))
		return entry_from_x5c(e, m, kty, a);
	if (slice_eq(kty, SLICE("RSA")))
		return rsa_from_json(e, m, a);
	if (slice_eq(kty, SLICE("EC")))
		return ec_from_json(e, m, a);
	if (slice_eq(kty, SLICE("OKP")))
		return okp_from_json(e, m, a);
	return JWKS_NOT_IMPLEMENTED_KTY;
}

enum jwt_status jwk_entry_from_certificate(struct jwk_entry *e, struct slice kid, struct slice pem,
					   struct arena *a)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	X509 *certificate;
	EVP_PKEY *pkey;

	*e = (struct jwk_entry){ 0 };
	if (bio == NULL)
		return failed(JWKS_X509_BIO_WRITE_ERROR);
	certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (certificate == NULL)
		return failed(JWKS_X509_PARSE_ERROR);
	pkey = X509_get_pubkey(certificate);
	X509_free(certificate);
	if (pkey == NULL || !EVP_PKEY_is_a(pkey, "RSA")) {
		EVP_PKEY_free(pkey);
		return failed(JWKS_X509_GET_PUBKEY_ERROR);
	}
	e->pub.kid = arena_slice(a, kid);
	return rsa_from_pkey(e, pkey, JWKS_X509_GET_PUBKEY_ERROR);
}

/* An INTEGER of DER from `len` big-endian bytes; returns what follows it. */
static unsigned char *der_integer(unsigned char *out, const unsigned char *at, size_t len)
{
	bool zero;

	while (len > 1 && at[0] == 0) {
		at++;
		len--;
	}
	zero = at[0] & 0x80;	/* would read as negative */
	*out++ = 0x02;
	*out++ = (unsigned char)(len + zero);
	if (zero)
		*out++ = 0;
	memcpy(out, at, len);
	return out + len;
}

/* R and S side by side into the SEQUENCE that OpenSSL reads. Returns its length. */
static size_t ecdsa_to_der(const unsigned char *raw, size_t each, unsigned char *der)
{
	unsigned char body[ECDSA_DER_MAX], *end = der_integer(body, raw, each);
	size_t len = (size_t)(der_integer(end, raw + each, each) - body), n = 0;

	der[n++] = 0x30;
	if (len >= 0x80)
		der[n++] = 0x81;
	der[n++] = (unsigned char)len;
	memcpy(der + n, body, len);
	return n + len;
}

enum jwt_status jwk_verify(const struct jwk *key, enum jwt_alg alg, struct slice signed_bytes,
			   struct slice signature)
{
	const struct jwk_entry *e = (const struct jwk_entry *)key;
	const unsigned char *sig = (const unsigned char *)signature.at;
	unsigned char der[ECDSA_DER_MAX];
	size_t len = signature.len;
	EVP_MD_CTX *ctx;
	bool good;

	if (e->ready[alg] == NULL)
		return JWT_VERIFICATION_FAIL;
	if (alg == JWT_ALG_EdDSA && len != ED25519_SIGNATURE_BYTES)
		return JWT_ED25519_SIGNATURE_WRONG_LENGTH;
	if (algorithms[alg].coordinate_bytes > 0) {
		if (len != 2 * algorithms[alg].coordinate_bytes)
			return JWT_VERIFICATION_FAIL;
		len = ecdsa_to_der(sig, algorithms[alg].coordinate_bytes, der);
		sig = der;
	}
	ctx = EVP_MD_CTX_new();
	good = ctx != NULL && EVP_MD_CTX_copy_ex(ctx, e->ready[alg]) == 1 &&
	       EVP_DigestVerify(ctx, sig, len, (const unsigned char *)signed_bytes.at,
				signed_bytes.len) == 1;
	EVP_MD_CTX_free(ctx);
	return good ? JWT_OK : failed(JWT_VERIFICATION_FAIL);
}
