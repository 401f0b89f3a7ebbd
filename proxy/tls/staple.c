/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/staple.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "proxy/snapshot/snapshot.h"
#include "sallyport/log.h"

#define TLS_FEATURE_STATUS_REQUEST	5	/* RFC 7633: the number of that extension */

struct staple {
	const X509 *leaf;		/* borrowed from the context */
	unsigned char *der;		/* owned */
	size_t len;
	int64_t until_s;
};

/* Of one context. */
struct staples {
	struct staple items[TLS_CERTIFICATES_MAX];
	size_t count;
};

static void free_with_context(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	struct staples *s = ptr;

	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	for (size_t i = 0; s != NULL && i < s->count; i++)
		free(s->items[i].der);
	free(s);
}

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int context_index;

static void make_index(void)
{
	context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_with_context);
	must(context_index >= 0);
}

/* ---- sending ---- */

static const struct staple *staple_of(const struct staples *s, const X509 *leaf)
{
	for (size_t i = 0; s != NULL && i < s->count; i++)
		if (s->items[i].leaf == leaf)
			return &s->items[i];
	return NULL;
}

/* OpenSSL calls it when a client asks, with the certificate chosen; it takes over the copy. */
static int on_status_asked(SSL *ssl, void *arg)
{
	const struct staple *s = staple_of(arg, SSL_get_certificate(ssl));
	unsigned char *copy;

	if (s == NULL || time(NULL) >= s->until_s)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(s->der, s->len);
	if (copy == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)s->len);
	return SSL_TLSEXT_ERR_OK;
}

/* ---- checking ---- */

/* In the links, or the leaf itself; NULL: unknown. */
static X509 *issuer_of(X509 *leaf, STACK_OF(X509) *links)
{
	for (int i = 0; i < sk_X509_num(links); i++)
		if (X509_check_issued(sk_X509_value(links, i), leaf) == X509_V_OK)
			return sk_X509_value(links, i);
	return X509_check_issued(leaf, leaf) == X509_V_OK ? leaf : NULL;
}

/* Without the issuer its name and the serial number have to do. */
static bool is_about(OCSP_CERTID *id, X509 *leaf, X509 *issuer)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	ASN1_INTEGER *serial;
	ASN1_OCTET_STRING *name;
	ASN1_OBJECT *how;
	const EVP_MD *md;

	if (OCSP_id_get0_info(&name, &how, NULL, &serial, id) != 1)
		return false;
	md = EVP_get_digestbyobj(how);
	if (md == NULL || ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
		return false;
	if (issuer != NULL) {
		OCSP_CERTID *expected = OCSP_cert_to_id(md, leaf, issuer);
		bool same = expected != NULL && OCSP_id_cmp(expected, id) == 0;

		OCSP_CERTID_free(expected);
		return same;
	}
	return X509_NAME_digest(X509_get_issuer_name(leaf), md, digest, &digest_len) == 1 &&
	       digest_len == (unsigned)ASN1_STRING_length(name) &&
	       memcmp(ASN1_STRING_get0_data(name), digest, digest_len) == 0;
}

static OCSP_SINGLERESP *answer_about(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);

		if (is_about((OCSP_CERTID *)OCSP_SINGLERESP_get0_id(one), leaf, issuer))
			return one;
	}
	return NULL;
}

/* By the issuer, or by a responder that it signed. */
static bool is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *certs = sk_X509_new_null();
	bool ok;

	must(store != NULL && certs != NULL && sk_X509_push(certs, issuer) > 0 &&
	     X509_STORE_add_cert(store, issuer) == 1);
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	ok = OCSP_basic_verify(basic, certs, store, 0) == 1;
	sk_X509_free(certs);
	X509_STORE_free(store);
	return ok;
}

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static const char *check(OCSP_BASICRESP *basic, X509 *leaf, STACK_OF(X509) *links, int64_t *until_s)
{
	ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
	X509 *issuer = issuer_of(leaf, links);
	OCSP_SINGLERESP *one = answer_about(basic, leaf, issuer);

	if (one == NULL)
		return "it is about another certificate";
	if (issuer != NULL && !is_signed(basic, issuer))
		return "its signature is not that of the issuer";
	switch (OCSP_single_get0_status(one, NULL, NULL, &this_update, &next_update)) {
	case V_OCSP_CERTSTATUS_GOOD:	break;
	case V_OCSP_CERTSTATUS_REVOKED:	return "it says that the certificate was revoked";
	default:			return "it says that the certificate is unknown";
	}
	*until_s = next_update != NULL ? seconds_of(next_update) : INT64_MAX;
	if (*until_s <= time(NULL))
		return "it has expired";
	return OCSP_check_validity(this_update, next_update, STAPLE_LEEWAY_S, -1) == 1 ? NULL :
	       "its times cannot be";
}

static const char *read_and_check(struct slice der, X509 *leaf, STACK_OF(X509) *links, int64_t *until_s)
{
	const unsigned char *at = (const unsigned char *)der.at;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
	OCSP_BASICRESP *basic = NULL;
	const char *problem;

	if (response == NULL || at != (const unsigned char *)der.at + der.len)
		problem = "it is no OCSP response in DER";
	else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL ||
		 (basic = OCSP_response_get1_basic(response)) == NULL)
		problem = "the responder failed";
	else
		problem = check(basic, leaf, links, until_s);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	return problem;
}

/* ---- setting up ---- */

static struct staples *staples_of(SSL_CTX *ctx)
{
	pthread_once(&index_once, make_index);
	return SSL_CTX_get_ex_data(ctx, context_index);
}

static struct staples *staples_for(SSL_CTX *ctx)
{
	struct staples *s = staples_of(ctx);

	if (s != NULL)
		return s;
	s = calloc(1, sizeof(*s));
	must(s != NULL && SSL_CTX_set_ex_data(ctx, context_index, s) == 1);
	SSL_CTX_set_tlsext_status_cb(ctx, on_status_asked);
	SSL_CTX_set_tlsext_status_arg(ctx, s);
	return s;
}

const char *staple_use(SSL_CTX *ctx, X509 *leaf, STACK_OF(X509) *links, struct slice der)
{
	struct staple made = { .leaf = leaf, .len = der.len };
	const char *problem = read_and_check(der, leaf, links, &made.until_s);
	struct staples *s;

	if (problem != NULL)
		return problem;
	s = staples_for(ctx);
	must(s->count < COUNT_OF(s->items));
	made.der = malloc(der.len);
	must(made.der != NULL);
	memcpy(made.der, der.at, der.len);
	s->items[s->count++] = made;
	return NULL;
}

bool staple_is_due(X509 *leaf)
{
	TLS_FEATURE *features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
	bool due = false;

	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
		due |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLS_FEATURE_STATUS_REQUEST;
	TLS_FEATURE_free(features);
	return due;
}

int64_t staple_until(SSL_CTX *ctx, const X509 *leaf)
{
	const struct staple *s = staple_of(staples_of(ctx), leaf);

	return s == NULL ? 0 : s->until_s;
}
