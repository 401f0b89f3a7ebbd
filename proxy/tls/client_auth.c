/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/client_auth.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>

#include "sallyport/base64.h"
#include "sallyport/log.h"

#define DIGEST_BYTES	32u	/* SHA-256 */

struct digest {
	unsigned char bytes[DIGEST_BYTES];
};

struct client_auth {
	struct text *names;		/* subjectAltNames; none: any */
	size_t name_count;
	struct digest *spki_pins, *hash_pins;
	size_t spki_pin_count, hash_pin_count;
	bool skip_verify;
};

/* ---- names and pins ---- */

static bool text_is(const ASN1_STRING *s, struct slice name)
{
	return slice_eq(slice_make(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)), name);
}

static bool address_is(const ASN1_OCTET_STRING *s, struct slice name)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(s);
	char text[INET6_ADDRSTRLEN];
	unsigned char wanted[16];
	int len = ASN1_STRING_length(s);

	if (name.len >= sizeof(text) || (len != 4 && len != 16))
		return false;
	memcpy(text, name.at, name.len);
	text[name.len] = '\0';
	return inet_pton(len == 4 ? AF_INET : AF_INET6, text, wanted) == 1 &&
	       memcmp(bytes, wanted, (size_t)len) == 0;
}

bool client_auth_name_fits(const GENERAL_NAMES *names, struct slice name)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		switch (g->type) {
		case GEN_DNS:
		case GEN_URI:
		case GEN_EMAIL:
			if (text_is(g->d.ia5, name))
				return true;
			break;
		case GEN_IPADD:
			if (address_is(g->d.iPAddress, name))
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

static bool names_fit(const struct client_auth *auth, X509 *cert)
{
	GENERAL_NAMES *names;
	bool fits = false;

	if (auth->name_count == 0)
		return true;
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (size_t i = 0; names != NULL && !fits && i < auth->name_count; i++)
		fits = client_auth_name_fits(names, text_slice(&auth->names[i]));
	GENERAL_NAMES_free(names);
	return fits;
}

static bool is_pinned(const struct digest *pins, size_t count, const unsigned char *digest)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(pins[i].bytes, digest, DIGEST_BYTES) == 0)
			return true;
	return false;
}

static bool key_digest(X509 *cert, unsigned char *digest)
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}

static bool pins_fit(const struct client_auth *auth, X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (auth->spki_pin_count == 0 && auth->hash_pin_count == 0)
		return true;
	if (key_digest(cert, digest) && is_pinned(auth->spki_pins, auth->spki_pin_count, digest))
		return true;
	return X509_digest(cert, EVP_sha256(), digest, NULL) == 1 &&
	       is_pinned(auth->hash_pins, auth->hash_pin_count, digest);
}

bool client_auth_hash_pin_read(struct slice pin, unsigned char *digest)
{
	size_t nibbles = 0;

	for (size_t i = 0; i < pin.len; i++) {
		char c = ascii_lower(pin.at[i]);
		unsigned value;

		if (c == ':')
			continue;
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) || nibbles == 2 * DIGEST_BYTES)
			return false;
		value = c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
		digest[nibbles / 2] = (unsigned char)(nibbles % 2 == 0 ? value << 4 : digest[nibbles / 2] | value);
		nibbles++;
	}
	return nibbles == 2 * DIGEST_BYTES;
}

/* ---- verification ---- */

/* In place of X509_verify_cert(). The error stays with the session: a connection that was let in all the
 * same never counts as verified. */
static int verify(X509_STORE_CTX *store, void *arg)
{
	const struct client_auth *auth = arg;
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	int ok = X509_verify_cert(store);

	if (ok == 1 && (!names_fit(auth, cert) || !pins_fit(auth, cert))) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
		ok = 0;
	}
	if (ok != 1 && X509_STORE_CTX_get_error(store) == X509_V_OK)
		X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
	return auth->skip_verify ? 1 : ok;
}

/* ---- setting up ---- */

static void client_auth_free(struct client_auth *auth)
{
	for (size_t i = 0; i < auth->name_count; i++)
		text_fini(&auth->names[i]);
	free(auth->names);
	free(auth->spki_pins);
	free(auth->hash_pins);
	free(auth);
}

static void free_with_context(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (ptr != NULL)
		client_auth_free(ptr);
}

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int context_index;

static void make_index(void)
{
	context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_with_context);
	must(context_index >= 0);
}

static void *new_array(size_t count, size_t size)
{
	void *at = calloc(count > 0 ? count : 1, size);

	must(at != NULL);
	return at;
}

/* The document was checked (G53): what cannot be read fits nothing. */
static struct client_auth *client_auth_create(const struct tls_client_settings *c)
{
	struct client_auth *auth = new_array(1, sizeof(*auth));

	auth->skip_verify = c->skip_verify;
	auth->names = new_array(c->names.count, sizeof(auth->names[0]));
	auth->spki_pins = new_array(c->spki_pins.count, sizeof(auth->spki_pins[0]));
	auth->hash_pins = new_array(c->hash_pins.count, sizeof(auth->hash_pins[0]));
	for (; auth->name_count < c->names.count; auth->name_count++)
		text_add(&auth->names[auth->name_count], c->names.items[auth->name_count]);
	for (; auth->spki_pin_count < c->spki_pins.count; auth->spki_pin_count++) {
		unsigned char bytes[BASE64_DECODED_MAX(64)];
		struct slice pin = c->spki_pins.items[auth->spki_pin_count];

		if (pin.len > 64 || base64_decode(pin, bytes) != (ptrdiff_t)DIGEST_BYTES)
			memset(bytes, 0, DIGEST_BYTES);
		memcpy(auth->spki_pins[auth->spki_pin_count].bytes, bytes, DIGEST_BYTES);
	}
	for (; auth->hash_pin_count < c->hash_pins.count; auth->hash_pin_count++) {
		unsigned char *bytes = auth->hash_pins[auth->hash_pin_count].bytes;

		if (!client_auth_hash_pin_read(c->hash_pins.items[auth->hash_pin_count], bytes))
			memset(bytes, 0, DIGEST_BYTES);
	}
	return auth;
}

static BIO *reader_of(const struct text *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->at, (int)pem->len);

	must(bio != NULL);
	return bio;
}

/* After the last block there is only "no start line"; anything else is a block that cannot be read. */
static bool ended_well(size_t count)
{
	bool ok = count > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

	if (ok)
		ERR_clear_error();
	return ok;
}

/* Anchors of the store, and the names that clients are told. */
static bool add_authorities(X509_STORE *store, STACK_OF(X509_NAME) *told, const struct text *pem)
{
	BIO *bio = reader_of(pem);
	size_t count = 0;
	bool ok = true;
	X509 *cert;

	while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));

		must(name != NULL && sk_X509_NAME_push(told, name) > 0);
		ok = X509_STORE_add_cert(store, cert) == 1;
		X509_free(cert);
		count++;
	}
	BIO_free(bio);
	return ok && ended_well(count);
}

static bool add_revocations(X509_STORE *store, const struct text *pem)
{
	BIO *bio = reader_of(pem);
	size_t count = 0;
	bool ok = true;
	X509_CRL *crl;

	while (ok && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
		ok = X509_STORE_add_crl(store, crl) == 1;
		X509_CRL_free(crl);
		count++;
	}
	BIO_free(bio);
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return ok && ended_well(count);
}

bool client_auth_set_up(SSL_CTX *ctx, const struct tls_client_settings *c, const struct material *m,
			const char **what)
{
	X509_STORE *store;
	STACK_OF(X509_NAME) *told;
	struct client_auth *auth;

	if (c->certificate == TLS_CLIENT_NONE)
		return true;
	pthread_once(&index_once, make_index);
	store = X509_STORE_new();
	told = sk_X509_NAME_new_null();
	auth = client_auth_create(c);
	must(store != NULL && told != NULL && SSL_CTX_set_ex_data(ctx, context_index, auth) == 1);
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set0_verify_cert_store(ctx, store);
	SSL_CTX_set_client_CA_list(ctx, told);
	SSL_CTX_set_cert_verify_callback(ctx, verify, auth);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (c->certificate == TLS_CLIENT_REQUIRED ?
						   SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	*what = "the client CA cannot be read";
	if (!add_authorities(store, told, &m->ca))
		return false;
	*what = "the CRL of the client CA cannot be read";
	return m->crl.len == 0 || add_revocations(store, &m->crl);
}
