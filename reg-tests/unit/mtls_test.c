/* SPDX-License-Identifier: Apache-2.0
 *
 * Client certificates: which names and pins fit, what a CRL does, and what is told of them upstream
 * (spec/gateway.md 10.4, spec/http.md 22.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "proxy/tls/client_auth.h"
#include "proxy/tls/context.h"
#include "proxy/tls/peer_identity.h"
#include "sallyport/object.h"

#define DAY	86400

static EVP_PKEY *ca_key;
static X509 *ca;
static long serial = 0x0a;

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v3, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(cert, e, -1), 1);
	X509_EXTENSION_free(e);
}

static X509 *certify(const char *name, const char *names, EVP_PKEY *key, bool authority)
{
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	ASN1_TIME_set(X509_getm_notBefore(cert), 1767225600);	/* 2026-01-01 */
	X509_gmtime_adj(X509_getm_notAfter(cert), 400L * DAY);
	X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, (const unsigned char *)"a \"b\", c;d", -1, -1, 0);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, authority ? subject : X509_get_subject_name(ca));
	X509_set_pubkey(cert, key);
	if (authority)
		extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
	if (names != NULL)
		extend(cert, ca, NID_subject_alt_name, names);
	assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
	return cert;
}

static int make_authority(void **state)
{
	(void)state;
	ca_key = EVP_EC_gen("P-256");
	ca = certify("root", NULL, ca_key, true);
	return 0;
}

static int free_authority(void **state)
{
	(void)state;
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	return 0;
}

static void add_pem(struct text *out, void *what, int (*write)(BIO *, const void *))
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *at;
	long len;

	assert_int_equal(write(bio, what), 1);
	len = BIO_get_mem_data(bio, &at);
	text_add(out, slice_make(at, (size_t)len));
	BIO_free(bio);
}

static int write_cert(BIO *bio, const void *cert)
{
	return PEM_write_bio_X509(bio, (X509 *)cert);
}

static int write_crl(BIO *bio, const void *crl)
{
	return PEM_write_bio_X509_CRL(bio, (X509_CRL *)crl);
}

static int write_key(BIO *bio, const void *key)
{
	return PEM_write_bio_PrivateKey(bio, (EVP_PKEY *)key, NULL, NULL, 0, NULL, NULL);
}

/* ---- names and pins ---- */

static void names_fit_exactly(void **state)
{
	static const struct { const char *name; bool fits; } rows[] = {
		{ "a.example", true }, { "A.example", false }, { ".example", false }, { "b.a.example", false },
		{ "a.example.", false }, { "*.w.example", true }, { "x.w.example", false }, { "", false },
		{ "spiffe://t/ns/n/sa/s", true }, { "spiffe://t/ns/n/sa/", false }, { "spiffe://T/ns/n/sa/s", false },
		{ "a@b.example", true }, { "b.example", false }, { "10.0.0.1", true }, { "10.0.0.10", false },
		{ "10.0.0.1 ", false }, { "2001:db8::1", true }, { "2001:0db8:0::1", true }, { "2001:db8::2", false },
		{ "::ffff:10.0.0.1", false }, { "leaf", false },
	};
	X509 *cert = certify("leaf", "DNS:a.example,DNS:*.w.example,URI:spiffe://t/ns/n/sa/s,email:a@b.example,"
			     "IP:10.0.0.1,IP:2001:db8::1", ca_key, false);
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (client_auth_name_fits(names, slice_of(rows[i].name)) != rows[i].fits)
			fail_msg("%s", rows[i].name);
	GENERAL_NAMES_free(names);
	X509_free(cert);
}

static void pins_are_read_with_and_without_colons(void **state)
{
	unsigned char digest[32];
	char text[96] = "";

	(void)state;
	for (int i = 0; i < 32; i++)
		snprintf(text + 3 * i, sizeof(text) - 3 * (size_t)i, "%02X%s", i, i < 31 ? ":" : "");
	assert_true(client_auth_hash_pin_read(slice_of(text), digest));
	for (int i = 0; i < 32; i++)
		assert_int_equal(digest[i], i);
	assert_true(client_auth_hash_pin_read(SLICE("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
					      digest));
	assert_int_equal(digest[31], 31);
	assert_false(client_auth_hash_pin_read(SLICE("0001"), digest));
	assert_false(client_auth_hash_pin_read(SLICE("00010203040506070809ga0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
					       digest));
	assert_false(client_auth_hash_pin_read(SLICE("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00"),
					       digest));
}

/* ---- handshakes, in memory ---- */

struct demand {
	struct tls_settings settings;
	struct material material;
};

static void demand_init(struct demand *d, EVP_PKEY *key)
{
	X509 *own = certify("server", "DNS:s.example,URI:spiffe://t/ns/n/sa/edge", key, false);

	*d = (struct demand){ 0 };
	d->settings = (struct tls_settings){ .certificate_count = 1, .min_version = TLS1_2_VERSION,
		.max_version = TLS1_3_VERSION, .client = { .certificate = TLS_CLIENT_REQUIRED } };
	add_pem(&d->material.pairs[0].certificate, own, write_cert);
	add_pem(&d->material.pairs[0].key, key, write_key);
	add_pem(&d->material.ca, ca, write_cert);
	X509_free(own);
}

/* What the server makes of it: "ok", or its reason. `identity` gets the client as the server sees it. */
static const char *shake(SSL_CTX *server, X509 *cert, EVP_PKEY *key, struct peer_identity **identity)
{
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());
	SSL *s = SSL_new(server), *c = SSL_new(client);
	BIO *to_server, *to_client;
	const char *said = "ok";

	assert_int_equal(BIO_new_bio_pair(&to_server, 65536, &to_client, 65536), 1);
	SSL_set_bio(s, to_server, to_server);
	SSL_set_bio(c, to_client, to_client);
	if (cert != NULL) {
		SSL_use_certificate(c, cert);
		SSL_use_PrivateKey(c, key);
	}
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	for (int i = 0; i < 10 && !SSL_is_init_finished(s); i++) {
		ERR_clear_error();
		SSL_do_handshake(c);
		ERR_clear_error();
		if (SSL_do_handshake(s) != 1 && ERR_peek_error() != 0) {
			said = SSL_get_verify_result(s) != X509_V_OK ?
			       X509_verify_cert_error_string(SSL_get_verify_result(s)) :
			       ERR_reason_error_string(ERR_peek_error());
			break;
		}
	}
	if (identity != NULL)
		*identity = peer_identity_of(s);
	ERR_clear_error();
	SSL_free(s);
	SSL_free(c);
	SSL_CTX_free(client);
	return said;
}

static SSL_CTX *serve(const struct demand *d)
{
	char why[300] = "";
	SSL_CTX *ctx = tls_context_create(&d->settings, &d->material, SLICE("test"), NULL, why, sizeof(why));

	if (ctx == NULL)
		fail_msg("%s", why);
	return ctx;
}

static void demands_are_made(void **state)
{
	struct slice names[] = { SLICE("spiffe://t/x"), SLICE("c.example") }, wrong[] = { SLICE("d.example") };
	struct slice none[] = { SLICE("0000000000000000000000000000000000000000000000000000000000000000") };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = certify("client", "DNS:c.example", key, false);
	struct peer_identity *id;
	struct demand d;
	SSL_CTX *ctx;

	(void)state;
	demand_init(&d, key);
	ctx = serve(&d);
	assert_string_equal(shake(ctx, cert, key, &id), "ok");
	assert_true(id->verified);
	peer_identity_free(&id);
	assert_string_equal(shake(ctx, NULL, NULL, &id), "peer did not return a certificate");
	assert_null(id);
	SSL_CTX_free(ctx);

	d.settings.client.certificate = TLS_CLIENT_OPTIONAL;
	d.settings.client.names.items = names;
	d.settings.client.names.count = COUNT_OF(names);
	ctx = serve(&d);
	assert_string_equal(shake(ctx, NULL, NULL, &id), "ok");
	assert_null(id);
	assert_string_equal(shake(ctx, cert, key, NULL), "ok");
	SSL_CTX_free(ctx);

	d.settings.client.names.items = wrong;
	d.settings.client.names.count = COUNT_OF(wrong);
	ctx = serve(&d);
	assert_string_equal(shake(ctx, cert, key, NULL), "certificate rejected");
	SSL_CTX_free(ctx);
	/* Let in all the same, but as nobody. */
	d.settings.client.skip_verify = true;
	ctx = serve(&d);
	assert_string_equal(shake(ctx, cert, key, &id), "ok");
	assert_false(id->verified);
	peer_identity_free(&id);
	SSL_CTX_free(ctx);

	d.settings.client.skip_verify = false;
	d.settings.client.names.count = 0;
	d.settings.client.hash_pins.items = none;
	d.settings.client.hash_pins.count = 1;
	ctx = serve(&d);
	assert_string_equal(shake(ctx, cert, key, NULL), "certificate rejected");
	SSL_CTX_free(ctx);
	material_fini(&d.material);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void revoke(struct text *out, const X509 *cert)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *r = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -DAY), *next = X509_gmtime_adj(NULL, DAY);

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, next);
	X509_REVOKED_set_serialNumber(r, (ASN1_INTEGER *)X509_get0_serialNumber(cert));
	X509_REVOKED_set_revocationDate(r, now);
	X509_CRL_add0_revoked(crl, r);
	assert_true(X509_CRL_sign(crl, ca_key, EVP_sha256()) > 0);
	add_pem(out, crl, write_crl);
	X509_CRL_free(crl);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
}

static void revoked_ones_stay_out(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *good = certify("good", NULL, key, false), *bad = certify("bad", NULL, key, false);
	struct demand d;
	SSL_CTX *ctx;

	(void)state;
	demand_init(&d, key);
	revoke(&d.material.crl, bad);
	ctx = serve(&d);
	assert_string_equal(shake(ctx, good, key, NULL), "ok");
	assert_string_equal(shake(ctx, bad, key, NULL), "certificate revoked");
	SSL_CTX_free(ctx);
	material_fini(&d.material);
	X509_free(good);
	X509_free(bad);
	EVP_PKEY_free(key);
}

/* Each of them: no context at all, never one that asks for less. */
static void broken_material_serves_nobody(void **state)
{
	static const struct { const char *ca, *crl, *why; } rows[] = {
		{ "", "", "the client CA cannot be read" }, { "nonsense", "", "the client CA cannot be read" },
		{ "+-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", "the client CA cannot be read" },
		{ "+", "nonsense", "the CRL of the client CA cannot be read" },
		{ "+", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "the CRL of the client CA cannot be read" },
	};
	EVP_PKEY *key = EVP_EC_gen("P-256");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct slice pem = slice_of(rows[i].ca);
		struct demand d;
		char why[300];

		demand_init(&d, key);
		if (pem.len == 0 || pem.at[0] != '+')	/* '+': beside the sound one */
			text_clear(&d.material.ca);
		text_add(&d.material.ca, pem.len > 0 && pem.at[0] == '+' ? slice_from(pem, 1) : pem);
		text_add(&d.material.crl, slice_of(rows[i].crl));
		assert_null(tls_context_create(&d.settings, &d.material, SLICE("test"), NULL, why, sizeof(why)));
		if (strstr(why, rows[i].why) != why)
			fail_msg("row %zu: %s", i, why);
		material_fini(&d.material);
	}
	EVP_PKEY_free(key);
}

/* ---- what is told ---- */

static void identities_are_told(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *own = certify("own", "URI:spiffe://t/ns/n/sa/edge,DNS:own.example", key, false);
	X509 *peer = certify("peer", "URI:spiffe://t/ns/n/sa/a,DNS:p.example,URI:urn:x,DNS:q.example,IP:10.0.0.1", key,
			     false);
	struct peer_identity *id = peer_identity_create(peer, own, true);
	char start[200], end[400];

	(void)state;
	snprintf(start, sizeof(start), "By=spiffe://t/ns/n/sa/edge;Hash=%.*s;Cert=\"-----BEGIN%%20CERTIFICATE-----%%0AMI",
		 SLICE_ARG(id->fingerprint));
	snprintf(end, sizeof(end), "%%0A-----END%%20CERTIFICATE-----%%0A\";Subject=\"%.*s\";URI=spiffe://t/ns/n/sa/a;URI=urn:x;"
		 "DNS=p.example;DNS=q.example", SLICE_ARG(id->subject));
	assert_int_equal(id->fingerprint.len, 64);
	assert_true(slice_starts(id->forwarded, slice_of(start)));
	assert_true(slice_eq(slice_from(id->forwarded, id->forwarded.len - strlen(end)), slice_of(end)));
	assert_true(slice_eq(id->subject, SLICE("CN=peer,O=a \\\"b\\\"\\, c\\;d")));
	assert_true(slice_eq(id->agent_id, SLICE("spiffe://t/ns/n/sa/a,urn:x")));
	assert_true(slice_eq(id->dns_names, SLICE("p.example,q.example")));
	assert_true(id->valid_from_us == INT64_C(1767225600000000) && id->valid_until_us > id->valid_from_us);
	assert_int_equal(id->der.len, i2d_X509(peer, NULL));
	peer_identity_free(&id);

	/* Without URIs: an empty pair, no By, and the agent reads the certificate. */
	X509_free(peer);
	peer = certify("plain", "DNS:p.example", key, false);
	id = peer_identity_create(peer, NULL, false);
	assert_true(slice_starts(id->forwarded, SLICE("Hash=")));
	assert_true(slice_find(id->forwarded, '\n') < 0);
	assert_true(slice_eq(slice_from(id->forwarded, id->forwarded.len - strlen(";URI=;DNS=p.example")),
			     SLICE(";URI=;DNS=p.example")));
	assert_null(id->agent_id.at);
	peer_identity_free(&id);
	X509_free(peer);
	X509_free(own);
	EVP_PKEY_free(key);
}

static X509 *odd_certificate(EVP_PKEY *key, const char *uri, size_t len)
{
	X509 *cert = certify("odd", NULL, key, false);
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	ASN1_STRING_set(text, uri, (int)len);
	GENERAL_NAME_set0_value(name, GEN_URI, text);
	sk_GENERAL_NAME_push(names, name);
	X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0);
	X509_sign(cert, ca_key, EVP_sha256());
	GENERAL_NAMES_free(names);
	return cert;
}

/* Names that a CA signed and that would break out of their pair, element or header line. */
static void odd_names_break_nothing(void **state)
{
#define ODD(text, told, agent)	{ text, sizeof(text) - 1, told, agent }
	static const struct { const char *uri; size_t len; const char *told, *agent; } rows[] = {
		ODD("spiffe://t/a;By=x", ";URI=\"spiffe://t/a;By=x\"", "spiffe://t/a;By=x"),
		ODD("spiffe://t/a,URI=b", ";URI=\"spiffe://t/a,URI=b\"", NULL),
		ODD("a\"b\\c", ";URI=\"a\\\"b\\\\c\"", "a\"b\\c"),
		ODD("a\r\nx: y", ";URI=", NULL), ODD("a\0b", ";URI=", NULL), ODD("a b", ";URI=", NULL),
		ODD("\xc3\xa4", ";URI=", NULL), ODD("", ";URI=", NULL),
	};
	EVP_PKEY *key = EVP_EC_gen("P-256");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		X509 *cert = odd_certificate(key, rows[i].uri, rows[i].len);
		struct peer_identity *id = peer_identity_create(cert, NULL, true);
		struct slice told = slice_of(rows[i].told);

		if (!slice_eq(slice_from(id->forwarded, id->forwarded.len - told.len), told) ||
		    memchr(id->forwarded.at, '\n', id->forwarded.len) != NULL)
			fail_msg("row %zu: %.*s", i, SLICE_ARG(id->forwarded));
		if ((id->agent_id.at == NULL) != (rows[i].agent == NULL) ||
		    (rows[i].agent != NULL && !slice_eq(id->agent_id, slice_of(rows[i].agent))))
			fail_msg("row %zu: agent gets %.*s", i, SLICE_ARG(id->agent_id));
		peer_identity_free(&id);
		X509_free(cert);
	}
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_fit_exactly),
		cmocka_unit_test(pins_are_read_with_and_without_colons),
		cmocka_unit_test(demands_are_made),
		cmocka_unit_test(revoked_ones_stay_out),
		cmocka_unit_test(broken_material_serves_nobody),
		cmocka_unit_test(identities_are_told),
		cmocka_unit_test(odd_names_break_nothing),
	};

	return cmocka_run_group_tests(tests, make_authority, free_authority);
}
