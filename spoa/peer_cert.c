/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/peer_cert.h"

#include <openssl/x509v3.h>

#define SUBJECT_BYTES_MAX	1024

static struct slice name_text(struct arena *a, const ASN1_STRING *s)
{
	struct slice text = slice_make(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));

	return text.len == 0 || memchr(text.at, '\0', text.len) != NULL ? NO_SLICE
									 : arena_slice(a, text);
}

static size_t names_of_type(const GENERAL_NAMES *names, int type, struct arena *a,
			    struct slice *ids, size_t max)
{
	size_t n = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && n < max; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type == type)
			ids[n] = name_text(a, g->d.ia5);
		if (g->type == type && ids[n].at != NULL)
			n++;
	}
	return n;
}

static size_t subject_of(X509 *cert, struct arena *a, struct slice *ids)
{
	BIO *out = BIO_new(BIO_s_mem());
	size_t n = 0;
	char *at;
	long len;

	if (out == NULL)
		return 0;
	if (X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) > 0) {
		len = BIO_get_mem_data(out, &at);
		if (len > 0 && len <= SUBJECT_BYTES_MAX) {
			ids[0] = arena_slice(a, slice_make(at, (size_t)len));
			n = 1;
		}
	}
	BIO_free(out);
	return n;
}

size_t peer_cert_ids(struct slice der, struct arena *a, struct slice *ids, size_t max)
{
	const unsigned char *at = (const unsigned char *)der.at;
	X509 *cert = d2i_X509(NULL, &at, (long)der.len);
	GENERAL_NAMES *names;
	size_t n = 0;

	if (cert == NULL || max == 0) {
		X509_free(cert);
		return 0;
	}
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	if (names != NULL) {
		n = names_of_type(names, GEN_URI, a, ids, max);
		if (n == 0)
			n = names_of_type(names, GEN_DNS, a, ids, max);
		GENERAL_NAMES_free(names);
	}
	if (n == 0)
		n = subject_of(cert, a, ids);
	X509_free(cert);
	return n;
}
