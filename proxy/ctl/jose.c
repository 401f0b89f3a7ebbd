/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/jose.h"

#include <errno.h>
#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "sallyport/base64.h"

#define NUMBER_BYTES_MAX	2048u	/* of an RSA key of 16384 bits */
#define SIGNATURE_BYTES_MAX	2048u
#define PEM_BYTES_MAX		65536u

/* ---- reading ---- */

static EVP_PKEY *key_of_certificate(FILE *f)
{
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
	EVP_PKEY *key = cert != NULL ? X509_get_pubkey(cert) : NULL;

	X509_free(cert);
	return key;
}

EVP_PKEY *jose_read_key(const char *path, const char **why)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key;

	if (f == NULL) {
		*why = strerror(errno);
		return NULL;
	}
	key = PEM_read_PrivateKey(f, NULL, NULL, (void *)"");
	if (key == NULL) {
		rewind(f);
		key = PEM_read_PUBKEY(f, NULL, NULL, NULL);
	}
	if (key == NULL) {
		rewind(f);
		key = key_of_certificate(f);
	}
	fclose(f);
	*why = "holds no key and no certificate in PEM (or the key has a pass phrase)";
	return key;
}

/* ---- JWK ---- */

static void add_base64url(struct text *out, const void *at, size_t len)
{
	char encoded[BASE64_ENCODED_MAX(NUMBER_BYTES_MAX)];

	text_add(out, slice_make(encoded, base64url_encode(slice_make(at, len), encoded)));
}

static bool add_number(struct text *out, const EVP_PKEY *key, const char *param, const char *name, int bytes)
{
	unsigned char raw[NUMBER_BYTES_MAX];
	BIGNUM *n = NULL;
	int len;

	if (EVP_PKEY_get_bn_param(key, param, &n) != 1)
		return false;
	len = BN_num_bytes(n) > (int)sizeof(raw) ? -1 : bytes > 0 ? BN_bn2binpad(n, raw, bytes) : BN_bn2bin(n, raw);
	BN_free(n);
	if (len <= 0)
		return false;
	text_printf(out, "\"%s\":\"", name);
	add_base64url(out, raw, (size_t)len);
	text_add_char(out, '"');
	return true;
}

static bool add_rsa(struct text *out, const EVP_PKEY *key)
{
	if (!add_number(out, key, OSSL_PKEY_PARAM_RSA_E, "e", 0))
		return false;
	text_add(out, SLICE(",\"kty\":\"RSA\","));
	return add_number(out, key, OSSL_PKEY_PARAM_RSA_N, "n", 0);
}

static bool add_ec(struct text *out, const EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key), bytes = (bits + 7) / 8;

	text_printf(out, "\"crv\":\"P-%d\",\"kty\":\"EC\",", bits);
	if (!add_number(out, key, OSSL_PKEY_PARAM_EC_PUB_X, "x", bytes))
		return false;
	text_add_char(out, ',');
	return add_number(out, key, OSSL_PKEY_PARAM_EC_PUB_Y, "y", bytes);
}

static bool add_ed25519(struct text *out, const EVP_PKEY *key)
{
	unsigned char raw[32];
	size_t len = sizeof(raw);

	if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1)
		return false;
	text_add(out, SLICE("\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\""));
	add_base64url(out, raw, len);
	text_add_char(out, '"');
	return true;
}

const char *jose_alg_of(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
		return EVP_PKEY_is_a(key, "RSA") ? "RS256" : "PS256";
	if (EVP_PKEY_is_a(key, "ED25519"))
		return "EdDSA";
	if (!EVP_PKEY_is_a(key, "EC"))
		return NULL;
	switch (EVP_PKEY_get_bits(key)) {
	case 256:	return "ES256";
	case 384:	return "ES384";
	case 521:	return "ES512";
	default:	return NULL;
	}
}

/* The members that make the thumbprint, in the order that it wants. */
static bool add_members(struct text *out, const EVP_PKEY *key)
{
	if (jose_alg_of(key) == NULL)
		return false;
	if (EVP_PKEY_is_a(key, "ED25519"))
		return add_ed25519(out, key);
	return EVP_PKEY_is_a(key, "EC") ? add_ec(out, key) : add_rsa(out, key);
}

static void add_thumbprint(struct text *out, struct slice members)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t len = sizeof(digest);
	struct text object;

	text_init(&object);
	text_printf(&object, "{%.*s}", SLICE_ARG(members));
	if (EVP_Q_digest(NULL, "SHA256", NULL, object.at, object.len, digest, &len) == 1)
		add_base64url(out, digest, len);
	text_fini(&object);
}

bool jose_add_jwk(struct text *out, const EVP_PKEY *key, const char *kid, const char *alg, const char **why)
{
	struct text members, name;
	bool ok;

	text_init(&members);
	text_init(&name);
	ok = add_members(&members, key);
	if (ok) {
		if (kid != NULL)
			text_add(&name, slice_of(kid));
		else
			add_thumbprint(&name, text_slice(&members));
		text_printf(out, "{%.*s,\"kid\":", (int)members.len, members.at);
		text_add_json(out, text_slice(&name));
		if (alg != NULL)
			text_printf(out, ",\"alg\":\"%s\"", alg);
		text_add(out, SLICE(",\"use\":\"sig\"}"));
	}
	*why = "is no key that tokens are signed with: RSA, EC on P-256, P-384 or P-521, or Ed25519";
	text_fini(&members);
	text_fini(&name);
	return ok;
}

/* ---- signing ---- */

static bool read_whole(const char *path, char out[PEM_BYTES_MAX], size_t *len, const char **why)
{
	FILE *f = fopen(path, "re");

	if (f == NULL) {
		*why = strerror(errno);
		return false;
	}
	*len = fread(out, 1, PEM_BYTES_MAX - 1, f);
	out[*len] = '\0';
	fclose(f);
	return true;
}

static bool sign_by_libjwt(const char *path, const char *alg, const char *kid, const char *claims,
			   struct text *token, const char **why)
{
	char pem[PEM_BYTES_MAX], *text = NULL;
	jwt_t *jwt = NULL;
	size_t len;

	if (!read_whole(path, pem, &len, why))
		return false;
	*why = "the key does not suit the algorithm";
	if (jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, claims) == 0 &&
	    (kid == NULL || jwt_add_header(jwt, "kid", kid) == 0) &&
	    jwt_set_alg(jwt, jwt_str_alg(alg), (const unsigned char *)pem, (int)len) == 0)
		text = jwt_encode_str(jwt);
	if (text != NULL)
		text_add(token, slice_of(text));
	free(text);
	jwt_free(jwt);
	OPENSSL_cleanse(pem, sizeof(pem));
	return token->len > 0;
}

/* PS* with the salt that RFC 7518 wants, or EdDSA, which digests by itself. */
static bool make_signature(EVP_PKEY *key, const char *alg, struct slice text, unsigned char *out, size_t *len)
{
	const char *digest = strcmp(alg, "EdDSA") == 0 ? NULL : strcmp(alg, "PS256") == 0 ? "SHA256" :
			     strcmp(alg, "PS384") == 0 ? "SHA384" : "SHA512";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pss;
	bool ok = ctx != NULL && EVP_DigestSignInit_ex(ctx, &pss, digest, NULL, NULL, key, NULL) == 1 &&
		  (digest == NULL || (EVP_PKEY_CTX_set_rsa_padding(pss, RSA_PKCS1_PSS_PADDING) == 1 &&
				      EVP_PKEY_CTX_set_rsa_pss_saltlen(pss, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
		  EVP_DigestSign(ctx, out, len, (const unsigned char *)text.at, text.len) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool sign_by_openssl(const char *path, const char *alg, const char *kid, const char *claims,
			    struct text *token, const char **why)
{
	EVP_PKEY *key = jose_read_key(path, why);
	unsigned char signature[SIGNATURE_BYTES_MAX];
	size_t len = sizeof(signature);
	struct text header;
	bool ok;

	if (key == NULL)
		return false;
	text_init(&header);
	text_printf(&header, "{\"alg\":\"%s\",\"typ\":\"JWT\"", alg);
	if (kid != NULL) {
		text_add(&header, SLICE(",\"kid\":"));
		text_add_json(&header, slice_of(kid));
	}
	text_add_char(&header, '}');
	ok = EVP_PKEY_is_a(key, strcmp(alg, "EdDSA") == 0 ? "ED25519" : "RSA") && header.len < NUMBER_BYTES_MAX &&
	     strlen(claims) < PEM_BYTES_MAX;
	if (ok) {
		char *encoded = malloc(BASE64_ENCODED_MAX(strlen(claims)));

		add_base64url(token, header.at, header.len);
		text_add_char(token, '.');
		text_add(token, slice_make(encoded, base64url_encode(slice_of(claims), encoded)));
		free(encoded);
		ok = make_signature(key, alg, text_slice(token), signature, &len);
		text_add_char(token, '.');
		add_base64url(token, signature, len);
	}
	*why = "the key does not suit the algorithm";
	text_fini(&header);
	EVP_PKEY_free(key);
	return ok;
}

bool jose_sign(const char *path, const char *alg, const char *kid, const char *claims, struct text *token,
	       const char **why)
{
	bool by_openssl = strcmp(alg, "EdDSA") == 0 || alg[0] == 'P';

	return (by_openssl ? sign_by_openssl : sign_by_libjwt)(path, alg, kid, claims, token, why);
}
