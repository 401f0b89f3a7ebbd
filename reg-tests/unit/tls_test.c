/* SPDX-License-Identifier: Apache-2.0
 *
 * OCSP responses that are served and those that are not, the generations of ticket keys, and what a failed
 * handshake is counted as (spec/gateway.md 11.2, spec/hardening.md T-80). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "proxy/tls/failure.h"
#include "proxy/tls/staple.h"
#include "proxy/tls/ticket_keys.h"
#include "sallyport/object.h"

#define HOUR	3600L

static EVP_PKEY *key, *other_key;
static X509 *ca, *forger, *leaf, *must_staple;

/* ---- certificates ---- */

static X509 *certify(const char *name, EVP_PKEY *with, X509 *issuer, int extension, const char *value)
{
	static long serial = 1000;
	X509 *cert = X509_new();
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, extension, value);

	assert_non_null(e);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), -HOUR);
	X509_gmtime_adj(X509_getm_notAfter(cert), 24 * HOUR);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
				   -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer != NULL ? issuer : cert));
	X509_set_pubkey(cert, with);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	assert_true(X509_sign(cert, issuer != NULL ? key : with, EVP_sha256()) > 0);
	return cert;
}

static int make_certificates(void **state)
{
	(void)state;
	key = EVP_EC_gen("P-256");
	other_key = EVP_EC_gen("P-256");
	forger = certify("ca", other_key, NULL, NID_basic_constraints, "critical,CA:TRUE");
	ca = certify("ca", key, NULL, NID_basic_constraints, "critical,CA:TRUE");
	leaf = certify("leaf", key, ca, NID_basic_constraints, "CA:FALSE");
	must_staple = certify("must", key, ca, NID_tlsfeature, "status_request");
	return 0;
}

static int free_certificates(void **state)
{
	(void)state;
	X509_free(ca);
	X509_free(forger);
	X509_free(leaf);
	X509_free(must_staple);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other_key);
	return 0;
}

/* ---- responses ---- */

struct wanted {
	X509 *about;
	int status;
	long from_s, until_s;		/* from now; until 0: no nextUpdate */
	X509 *signer;
	const EVP_MD *id_digest;
};

/* DER, to be freed with OPENSSL_free(). */
static struct slice respond(const struct wanted *w)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(w->id_digest, w->about, ca);
	ASN1_TIME *from = X509_gmtime_adj(NULL, w->from_s);
	ASN1_TIME *until = w->until_s != 0 ? X509_gmtime_adj(NULL, w->until_s) : NULL;
	ASN1_TIME *revoked = w->status == V_OCSP_CERTSTATUS_REVOKED ? X509_gmtime_adj(NULL, -HOUR) : NULL;
	OCSP_RESPONSE *response;
	unsigned char *der = NULL;
	int len;

	assert_non_null(OCSP_basic_add1_status(basic, id, w->status, OCSP_REVOKED_STATUS_NOSTATUS, revoked,
					       from, until));
	assert_int_equal(OCSP_basic_sign(basic, w->signer, w->signer == ca ? key : other_key, EVP_sha256(),
					 NULL, 0), 1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	len = i2d_OCSP_RESPONSE(response, &der);
	assert_true(len > 0);
	OCSP_RESPONSE_free(response);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	ASN1_TIME_free(revoked);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	return slice_make(der, (size_t)len);
}

static void expect(const struct wanted *w, bool with_issuer, const char *problem)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	STACK_OF(X509) *links = sk_X509_new_null();
	struct slice der = respond(w);
	const char *found;

	if (with_issuer)
		sk_X509_push(links, ca);
	found = staple_use(ctx, leaf, links, der);
	if (problem == NULL)
		assert_null(found);
	else
		assert_string_equal(found, problem);
	assert_int_equal(staple_until(ctx, leaf) != 0, problem == NULL);
	assert_int_equal(staple_until(ctx, ca), 0);
	assert_int_equal(ERR_peek_error(), 0);
	OPENSSL_free((void *)der.at);
	sk_X509_free(links);
	SSL_CTX_free(ctx);
}

static void responses_are_used_while_they_hold(void **state)
{
	const struct wanted good = { leaf, V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR, ca, EVP_sha1() };
	struct wanted w;

	(void)state;
	for (int with_issuer = 0; with_issuer < 2; with_issuer++) {
		expect(&good, with_issuer, NULL);
		w = good;
		w.id_digest = EVP_sha256();
		expect(&w, with_issuer, NULL);
		w = good;
		w.until_s = 0;
		expect(&w, with_issuer, NULL);
		w.from_s = STAPLE_LEEWAY_S / 2;		/* the responder's clock is a little ahead */
		expect(&w, with_issuer, NULL);
		w.from_s = 2 * STAPLE_LEEWAY_S;
		expect(&w, with_issuer, "its times cannot be");
		w = good;
		w.until_s = -1;
		expect(&w, with_issuer, "it has expired");
		w.from_s = -2 * HOUR;
		w.until_s = -HOUR;
		expect(&w, with_issuer, "it has expired");
		w = good;
		w.status = V_OCSP_CERTSTATUS_REVOKED;
		expect(&w, with_issuer, "it says that the certificate was revoked");
		w.status = V_OCSP_CERTSTATUS_UNKNOWN;
		expect(&w, with_issuer, "it says that the certificate is unknown");
		w = good;
		w.about = must_staple;
		expect(&w, with_issuer, "it is about another certificate");
	}
	w = good;
	w.signer = forger;
	expect(&w, true, "its signature is not that of the issuer");
}

/* Cut off, or with more behind it. */
static void broken_responses_are_not_used(void **state)
{
	const struct wanted good = { leaf, V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR, ca, EVP_sha1() };
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct slice der = respond(&good);
	char longer[4096];

	(void)state;
	for (size_t len = 0; len < der.len; len++)
		assert_non_null(staple_use(ctx, leaf, NULL, slice_first(der, len)));
	assert_true(der.len < sizeof(longer));
	memcpy(longer, der.at, der.len);
	longer[der.len] = 0;
	assert_non_null(staple_use(ctx, leaf, NULL, slice_make(longer, der.len + 1)));
	assert_int_equal(staple_until(ctx, leaf), 0);
	OPENSSL_free((void *)der.at);
	SSL_CTX_free(ctx);
}

static void certificates_tell_whether_one_is_due(void **state)
{
	(void)state;
	assert_true(staple_is_due(must_staple));
	assert_false(staple_is_due(leaf));
}

/* ---- ticket keys ---- */

static void turn_for(struct event_base *base, long ms)
{
	const struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_base_loopexit(base, &wait);
	event_base_dispatch(base);
}

static void keys_give_way_in_time(void **state)
{
	struct event_base *base = event_base_new();
	struct ticket_keys *k = ticket_keys_create(base, NULL, 0);
	struct ticket_keys_state s = ticket_keys_state(k);

	(void)state;
	assert_int_equal(s.generations, 1);
	assert_int_equal(s.rotation_ms, 12 * HOUR * 1000);
	assert_int_equal(s.rotations, 0);

	/* Young enough for the new period: nothing happens before it is over; then the one before still opens. */
	ticket_keys_set_rotation(k, 300);
	assert_int_equal(ticket_keys_state(k).rotations, 0);
	turn_for(base, 450);
	s = ticket_keys_state(k);
	assert_int_equal(s.rotations, 1);
	assert_int_equal(s.generations, TICKET_KEY_GENERATIONS);

	/* Far too old for it: gone at once, without another generation. */
	turn_for(base, 40);
	ticket_keys_set_rotation(k, 5);
	s = ticket_keys_state(k);
	assert_int_equal(s.rotations, 2);
	assert_int_equal(s.generations, 1);
	ticket_keys_free(&k);
	assert_null(k);
	event_base_free(base);
}

/* ---- failures ---- */

static void failures_have_reasons(void **state)
{
	static const struct { int lib, reason; enum tls_failure is; } rows[] = {
		{ ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL, TLS_FAILURE_tls_no_version },
		{ ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, TLS_FAILURE_tls_no_cipher },
		{ ERR_LIB_SSL, SSL_R_NO_SUITABLE_KEY_SHARE, TLS_FAILURE_tls_no_cipher },
		{ ERR_LIB_SSL, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TLS_FAILURE_tls_no_certificate },
		{ ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, TLS_FAILURE_tls_fail_verify },
		{ ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_CA, TLS_FAILURE_tls_alerts },
		{ ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING, TLS_FAILURE_tls_aborted },
		{ ERR_LIB_SSL, SSL_R_UNEXPECTED_MESSAGE, TLS_FAILURE_tls_protocol_errors },
		{ ERR_LIB_EVP, SSL_R_NO_SHARED_CIPHER, TLS_FAILURE_tls_protocol_errors },
	};

	(void)state;
	assert_int_equal(tls_failure_of(0), TLS_FAILURE_tls_aborted);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(tls_failure_of(ERR_PACK(rows[i].lib, 0, rows[i].reason)), rows[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_are_used_while_they_hold),
		cmocka_unit_test(broken_responses_are_not_used),
		cmocka_unit_test(certificates_tell_whether_one_is_due),
		cmocka_unit_test(keys_give_way_in_time),
		cmocka_unit_test(failures_have_reasons),
	};

	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
