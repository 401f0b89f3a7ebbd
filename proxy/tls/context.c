/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "sallyport/hash.h"

#define MIN_RSA_BITS	2048
#define MIN_EC_BITS	256

/* Says why, with OpenSSL's reason, and empties its queue. Always NULL. */
static SSL_CTX *refuse(SSL_CTX *ctx, char *why, size_t bytes, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	snprintf(why, bytes, "%s%s%s", what, reason != NULL ? ": " : "", reason != NULL ? reason : "");
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

/* A key without a pass phrase is the only one that starts unattended. */
static int no_pass_phrase(char *out, int size, int writing, void *arg)
{
	(void)out, (void)size, (void)writing, (void)arg;
	return 0;
}

/* Leaf first, then what links it to the root. */
static bool use_chain(SSL_CTX *ctx, const struct text *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->at, (int)pem->len);
	X509 *cert = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, no_pass_phrase, NULL) : NULL;
	bool ok = cert != NULL && SSL_CTX_use_certificate(ctx, cert) == 1;

	X509_free(cert);
	while (ok && (cert = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL)) != NULL) {
		ok = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
		if (!ok)
			X509_free(cert);
	}
	if (ok && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		ERR_clear_error();	/* the end of the list */
	BIO_free(bio);
	return ok && ERR_peek_error() == 0;
}

static EVP_PKEY *read_key(const struct text *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->at, (int)pem->len);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;

	BIO_free(bio);
	return key;
}

static bool is_strong(const EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key);

	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:	return bits >= MIN_RSA_BITS;
	case EVP_PKEY_EC:	return bits >= MIN_EC_BITS;
	default:		return true;
	}
}

/* HTTP/1.1 is what is served behind TLS; a client that offers nothing we know goes on without ALPN
 * (spec/gateway.md 10.6). */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		       unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void)ssl, (void)arg;
	if (SSL_select_next_proto((unsigned char **)out, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

/* Sessions resume by ticket; a ticket is good for the server that gave it alone, because each context
 * has its own ticket keys and session id context. */
static void set_up_sessions(SSL_CTX *ctx, const struct tls_settings *t)
{
	uint64_t id = hash_bytes(t, sizeof(*t));

	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)&id, sizeof(id));
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
}

static bool set_up_versions(SSL_CTX *ctx, const struct tls_settings *t)
{
	const char *ciphers = t->cipher_list.len > 0 ? t->cipher_list.at : TLS_DEFAULT_CIPHERS;

	if (t->min_version < TLS1_2_VERSION)
		SSL_CTX_set_security_level(ctx, 0);	/* asked for by name: their signatures use SHA-1 */
	return SSL_CTX_set_min_proto_version(ctx, t->min_version) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, t->max_version) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
	       SSL_CTX_set1_groups_list(ctx, TLS_DEFAULT_GROUPS) == 1;
}

SSL_CTX *tls_context_create(const struct tls_settings *t, const struct material *m, char *why,
			    size_t why_bytes)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key;
	bool ok;

	must(ctx != NULL);
	ERR_clear_error();
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	set_up_sessions(ctx, t);
	if (!set_up_versions(ctx, t))
		return refuse(ctx, why, why_bytes, "TLS versions or ciphers");
	if (!use_chain(ctx, &m->certificate))
		return refuse(ctx, why, why_bytes, "the certificate cannot be read");
	key = read_key(&m->key);
	if (key == NULL)
		return refuse(ctx, why, why_bytes, "the private key cannot be read");
	if (!is_strong(key)) {
		EVP_PKEY_free(key);
		return refuse(ctx, why, why_bytes, "the key is too small: RSA 2048 or EC P-256 is the least");
	}
	ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
	EVP_PKEY_free(key);
	return ok ? ctx : refuse(ctx, why, why_bytes, "the private key does not belong to the certificate");
}
