/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/peer_identity.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "sallyport/log.h"

/* `bytes` moves while it grows: until it is complete, slices are kept as offsets into it. */
struct builder {
	struct peer_identity *id;
	bool odd_uri;		/* one that is left out or would not survive a comma list */
};

struct span {
	size_t start, len;
};

static struct span span_from(const struct builder *b, size_t start)
{
	return (struct span){ start, b->id->bytes.len - start };
}

static struct slice slice_at(const struct builder *b, struct span s)
{
	return slice_make(b->id->bytes.at + s.start, s.len);
}

static void add_hex(struct text *t, const unsigned char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		text_printf(t, "%02x", bytes[i]);
}

static bool is_unreserved(char c)
{
	char l = ascii_lower(c);

	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

static void add_url_encoded(struct text *t, struct slice s)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (is_unreserved(s.at[i])) {
			text_add_char(t, s.at[i]);
			continue;
		}
		text_add_char(t, '%');
		text_add_char(t, digits[c >> 4]);
		text_add_char(t, digits[c & 15]);
	}
}

/* Visible ASCII only: anything else cannot stand in a header's list of pairs. */
static bool is_presentable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] <= ' ' || (unsigned char)s.at[i] >= 0x7f)
			return false;
	return s.len > 0;
}

static struct slice name_text(const GENERAL_NAME *g)
{
	return slice_make(ASN1_STRING_get0_data(g->d.ia5), (size_t)ASN1_STRING_length(g->d.ia5));
}

/* In quotes where it would end its pair or element. */
static void add_value(struct text *t, struct slice value)
{
	bool quoted = false;

	for (size_t i = 0; i < value.len; i++)
		quoted = quoted || strchr(",;=\"\\", value.at[i]) != NULL;
	if (quoted)
		text_add_char(t, '"');
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] == '"' || value.at[i] == '\\')
			text_add_char(t, '\\');
		text_add_char(t, value.at[i]);
	}
	if (quoted)
		text_add_char(t, '"');
}

/* `;KEY=value` for each name of this type; how many. */
static size_t add_pairs(struct text *t, const char *key, const GENERAL_NAMES *names, int type)
{
	size_t count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type != type || !is_presentable(name_text(g)))
			continue;
		text_printf(t, "%s%s=", t->len > 0 ? ";" : "", key);
		add_value(t, name_text(g));
		count++;
	}
	return count;
}

static struct span add_list(struct builder *b, const GENERAL_NAMES *names, int type)
{
	struct text *t = &b->id->bytes;
	size_t start = t->len;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		struct slice name;

		if (g->type != type)
			continue;
		name = name_text(g);
		if (type == GEN_URI && (!is_presentable(name) || memchr(name.at, ',', name.len) != NULL))
			b->odd_uri = true;
		if (!is_presentable(name))
			continue;
		if (t->len > start)
			text_add_char(t, ',');
		text_add(t, name);
	}
	return span_from(b, start);
}

/* RFC 2253: what could end a quoted value is escaped, controls are hex. */
static struct span add_name(struct builder *b, const X509_NAME *name)
{
	size_t start = b->id->bytes.len;
	BIO *out = BIO_new(BIO_s_mem());
	char *at;
	long len;

	must(out != NULL);
	if (X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0 && (len = BIO_get_mem_data(out, &at)) > 0)
		text_add(&b->id->bytes, slice_make(at, (size_t)len));
	BIO_free(out);
	return span_from(b, start);
}

static struct span add_serial(struct builder *b, const X509 *cert)
{
	size_t start = b->id->bytes.len;
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = serial != NULL ? BN_bn2hex(serial) : NULL;

	for (size_t i = 0; hex != NULL && hex[i] != '\0'; i++)
		text_add_char(&b->id->bytes, ascii_lower(hex[i]));
	OPENSSL_free(hex);
	BN_free(serial);
	return span_from(b, start);
}

static struct span add_fingerprint(struct builder *b, const X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t start = b->id->bytes.len;
	unsigned len = 0;

	if (X509_digest(cert, EVP_sha256(), digest, &len) == 1)
		add_hex(&b->id->bytes, digest, len);
	return span_from(b, start);
}

static struct span add_der(struct builder *b, X509 *cert)
{
	size_t start = b->id->bytes.len;
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);

	if (len > 0)
		text_add(&b->id->bytes, slice_make(der, (size_t)len));
	OPENSSL_free(der);
	return span_from(b, start);
}

static struct span add_pem(struct builder *b, X509 *cert)
{
	size_t start = b->id->bytes.len;
	BIO *out = BIO_new(BIO_s_mem());
	char *at;
	long len;

	must(out != NULL);
	if (PEM_write_bio_X509(out, cert) == 1 && (len = BIO_get_mem_data(out, &at)) > 0)
		add_url_encoded(&b->id->bytes, slice_make(at, (size_t)len));
	BIO_free(out);
	return span_from(b, start);
}

static int64_t micros_of(const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000000 : 0;
}

static GENERAL_NAMES *names_of(const X509 *cert)
{
	return cert != NULL ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
}

/* By;Hash;Cert;Subject;URI;DNS. A quote in the subject has its backslash already. */
static void write_element(struct text *t, const struct peer_identity *id, const GENERAL_NAMES *names,
			  const X509 *own)
{
	GENERAL_NAMES *own_names = names_of(own);

	add_pairs(t, "By", own_names, GEN_URI);
	GENERAL_NAMES_free(own_names);
	text_printf(t, "%sHash=%.*s;Cert=\"%.*s\";Subject=\"%.*s\"", t->len > 0 ? ";" : "",
		    SLICE_ARG(id->fingerprint), SLICE_ARG(id->certificate), SLICE_ARG(id->subject));
	if (add_pairs(t, "URI", names, GEN_URI) == 0)
		text_add(t, SLICE(";URI="));
	add_pairs(t, "DNS", names, GEN_DNS);
}

struct peer_identity *peer_identity_create(X509 *peer, X509 *own, bool verified)
{
	struct peer_identity *id = calloc(1, sizeof(*id));
	struct builder b = { .id = id };
	GENERAL_NAMES *names = names_of(peer);
	struct text element;

	must(id != NULL);
	text_init(&id->bytes);
	text_init(&element);
	const struct span der = add_der(&b, peer), subject = add_name(&b, X509_get_subject_name(peer)),
		issuer = add_name(&b, X509_get_issuer_name(peer)), serial = add_serial(&b, peer),
		fingerprint = add_fingerprint(&b, peer), certificate = add_pem(&b, peer),
		uri = add_list(&b, names, GEN_URI), dns = add_list(&b, names, GEN_DNS);

	id->fingerprint = slice_at(&b, fingerprint);
	id->certificate = slice_at(&b, certificate);
	id->subject = slice_at(&b, subject);
	write_element(&element, id, names, own);
	const size_t start = id->bytes.len;

	text_add(&id->bytes, text_slice(&element));
	id->forwarded = slice_at(&b, span_from(&b, start));
	id->der = slice_at(&b, der);
	id->subject = slice_at(&b, subject);
	id->issuer = slice_at(&b, issuer);
	id->serial = slice_at(&b, serial);
	id->fingerprint = slice_at(&b, fingerprint);
	id->certificate = slice_at(&b, certificate);
	id->uri_names = slice_at(&b, uri);
	id->dns_names = slice_at(&b, dns);
	id->agent_id = uri.len > 0 && !b.odd_uri ? id->uri_names : NO_SLICE;
	id->valid_from_us = micros_of(X509_get0_notBefore(peer));
	id->valid_until_us = micros_of(X509_get0_notAfter(peer));
	id->verified = verified;
	text_fini(&element);
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return id;
}

struct peer_identity *peer_identity_of(SSL *ssl)
{
	X509 *peer = SSL_get0_peer_certificate(ssl);

	return peer != NULL ? peer_identity_create(peer, SSL_get_certificate(ssl),
						   SSL_get_verify_result(ssl) == X509_V_OK) : NULL;
}

void peer_identity_free(struct peer_identity **pp)
{
	struct peer_identity *id = *pp;

	*pp = NULL;
	if (id == NULL)
		return;
	text_fini(&id->bytes);
	free(id);
}
