/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_make.h - keys, JWKs and signed tokens for tests and tools: the other side of spoa/token.h.
 *
 * Test code: what fails ends the program. Results are malloc()ed and the caller's. */
#ifndef SALLYPORT_TOOLS_JWT_MAKE_H
#define SALLYPORT_TOOLS_JWT_MAKE_H

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "sallyport/base64.h"
#include "sallyport/log.h"
#include "sallyport/text.h"

static inline char *make_base64url(const void *at, size_t len)
{
	char *out = malloc(BASE64_ENCODED_MAX(len) + 1);

	must(out != NULL);
	out[base64url_encode(slice_make(at, len), out)] = '\0';
	return out;
}

static inline const char *make_digest(const char *alg)
{
	return strstr(alg, "256") ? "SHA256" : strstr(alg, "384") ? "SHA384" : "SHA512";
}

/* Bytes of R and of S; 0: no ECDSA. */
static inline size_t make_ec_bytes(const char *alg)
{
	if (strncmp(alg, "ES", 2) != 0)
		return 0;
	return strcmp(alg, "ES256") == 0 ? 32 : strcmp(alg, "ES384") == 0 ? 48 : 66;
}

/* A new key that suits `alg`. */
static inline EVP_PKEY *make_key(const char *alg)
{
	EVP_PKEY *key;

	if (strcmp(alg, "EdDSA") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else if (strncmp(alg, "ES", 2) == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", strcmp(alg, "ES256") == 0 ? "P-256" :
					strcmp(alg, "ES384") == 0 ? "P-384" : "P-521");
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	must(key != NULL);
	return key;
}

static inline void make_add_number(struct text *t, EVP_PKEY *key, const char *param,
				   const char *name, int bytes)
{
	unsigned char raw[1024];
	BIGNUM *n = NULL;
	char *b64;
	int len;

	must(EVP_PKEY_get_bn_param(key, param, &n) == 1);
	len = bytes > 0 ? BN_bn2binpad(n, raw, bytes) : BN_bn2bin(n, raw);
	must(len > 0);
	b64 = make_base64url(raw, (size_t)len);
	text_printf(t, ",\"%s\":\"%s\"", name, b64);
	free(b64);
	BN_free(n);
}

/* One public JWK. `kid` and `alg` may be NULL: left out. */
static inline char *make_jwk(EVP_PKEY *key, const char *kid, const char *alg)
{
	struct text t;

	text_init(&t);
	if (EVP_PKEY_is_a(key, "RSA")) {
		text_printf(&t, "{\"kty\":\"RSA\"");
		make_add_number(&t, key, OSSL_PKEY_PARAM_RSA_N, "n", 0);
		make_add_number(&t, key, OSSL_PKEY_PARAM_RSA_E, "e", 0);
	} else if (EVP_PKEY_is_a(key, "EC")) {
		int bits = EVP_PKEY_get_bits(key);

		text_printf(&t, "{\"kty\":\"EC\",\"crv\":\"P-%d\"", bits);
		make_add_number(&t, key, OSSL_PKEY_PARAM_EC_PUB_X, "x", (bits + 7) / 8);
		make_add_number(&t, key, OSSL_PKEY_PARAM_EC_PUB_Y, "y", (bits + 7) / 8);
	} else {
		unsigned char raw[32];
		size_t len = sizeof(raw);
		char *b64;

		must(EVP_PKEY_get_raw_public_key(key, raw, &len) == 1);
		b64 = make_base64url(raw, len);
		text_printf(&t, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"", b64);
		free(b64);
	}
	if (kid != NULL)
		text_printf(&t, ",\"kid\":\"%s\"", kid);
	if (alg != NULL)
		text_printf(&t, ",\"alg\":\"%s\"", alg);
	text_printf(&t, "}");
	return t.at;
}

/* DER to R and S side by side. */
static inline size_t make_raw_ecdsa(unsigned char *sig, size_t len, size_t each)
{
	const unsigned char *at = sig;
	ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &at, (long)len);

	must(parts != NULL);
	must(BN_bn2binpad(ECDSA_SIG_get0_r(parts), sig, (int)each) == (int)each);
	must(BN_bn2binpad(ECDSA_SIG_get0_s(parts), sig + each, (int)each) == (int)each);
	ECDSA_SIG_free(parts);
	return 2 * each;
}

/* Signs as `alg` says; returns the length written to `sig`, which holds 1024 bytes. */
static inline size_t make_signature(EVP_PKEY *key, const char *alg, const char *text,
				    unsigned char *sig)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const char *md = strcmp(alg, "EdDSA") == 0 ? NULL : make_digest(alg);
	EVP_PKEY_CTX *pctx;
	size_t len = 1024;

	must(EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, key, NULL) == 1);
	if (strncmp(alg, "PS", 2) == 0) {
		must(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1);
		must(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1);
	}
	must(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text, strlen(text)) == 1);
	EVP_MD_CTX_free(ctx);
	return make_ec_bytes(alg) > 0 ? make_raw_ecdsa(sig, len, make_ec_bytes(alg)) : len;
}

/* header "." payload "." signature; `sig` NULL: an empty third part. */
static inline char *make_compact(const char *header, const char *payload, const void *sig,
				 size_t sig_len)
{
	char *h = make_base64url(header, strlen(header));
	char *p = make_base64url(payload, strlen(payload));
	char *s = make_base64url(sig != NULL ? sig : "", sig_len);
	struct text t;

	text_init(&t);
	text_printf(&t, "%s.%s.%s", h, p, s);
	free(h);
	free(p);
	free(s);
	return t.at;
}

/* A token with any header, signed as `alg` says whatever the header claims. */
static inline char *make_token_with_header(EVP_PKEY *key, const char *alg, const char *header,
					   const char *claims)
{
	char *unsigned_text = make_compact(header, claims, NULL, 0);
	unsigned char sig[1024];
	size_t len;

	unsigned_text[strlen(unsigned_text) - 1] = '\0';
	len = make_signature(key, alg, unsigned_text, sig);
	free(unsigned_text);
	return make_compact(header, claims, sig, len);
}

static inline char *make_token(EVP_PKEY *key, const char *alg, const char *kid, const char *claims)
{
	char header[512];

	if (kid != NULL)
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
			 alg, kid);
	else
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg);
	return make_token_with_header(key, alg, header, claims);
}

#endif
