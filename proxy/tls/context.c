/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/tls/client_auth.h"

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

/* One certificate of a server, parsed. */
struct identity {
	X509 *leaf;
	STACK_OF(X509) *links;	/* what links it to the root */
	EVP_PKEY *key;
};

static void identity_free(struct identity *id)
{
	X509_free(id->leaf);
	sk_X509_pop_free(id->links, X509_free);
	EVP_PKEY_free(id->key);
	*id = (struct identity){ 0 };
}

/* Leaf first, then its links. */
static bool read_chain(const struct text *pem, struct identity *id)
{
	BIO *bio = BIO_new_mem_buf(pem->at, (int)pem->len);
	X509 *link;
	bool ok;

	id->leaf = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, no_pass_phrase, NULL) : NULL;
	id->links = sk_X509_new_null();
	ok = id->leaf != NULL && id->links != NULL;
	while (ok && (link = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL)) != NULL) {
		ok = sk_X509_push(id->links, link) > 0;
		if (!ok)
			X509_free(link);
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

/* What is offered, the best first. */
struct protocols {
	const unsigned char *list;
	unsigned len;
};

static const struct protocols *protocols_of(const struct tls_settings *t)
{
	static const unsigned char all[] = "\x13istio-peer-exchange\x02h2\x08http/1.1";
	static const struct protocols mesh = { all, sizeof(all) - 1 }, http = { all + 20, sizeof(all) - 21 },
				      http1 = { all + 23, sizeof(all) - 24 };

	return t->peer_exchange ? &mesh : t->http2 ? &http : &http1;
}

/* A client that offers nothing we know goes on without ALPN (spec/http.md 1, spec/gateway.md 10.6). */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		       unsigned in_len, void *arg)
{
	const struct protocols *ours = arg;

	(void)ssl;
	if (SSL_select_next_proto((unsigned char **)out, out_len, ours->list, ours->len, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

/* Sessions resume by ticket; a ticket is good for the context that gave it alone, because each has its
 * own ticket keys and session id context: whoever resumes has passed what is asked for here, and another
 * server, CA or CRL means a full handshake. */
static void set_up_sessions(SSL_CTX *ctx)
{
	unsigned char id[SSL_MAX_SID_CTX_LENGTH];

	must(RAND_bytes(id, sizeof(id)) == 1);
	SSL_CTX_set_session_id_context(ctx, id, sizeof(id));
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
	       SSL_CTX_set1_groups_list(ctx, t->groups.len > 0 ? t->groups.at : TLS_DEFAULT_GROUPS) == 1;
}

/* ---- two certificates ---- */

/* The second of two with keys of one type, for the names that only it covers (11.5). OpenSSL itself chooses
 * between types by the client's signature algorithms. */
static void free_with_context(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (ptr != NULL)
		identity_free(ptr);
	free(ptr);
}

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int second_index;

static void make_index(void)
{
	second_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_with_context);
	must(second_index >= 0);
}

static bool covers(X509 *cert, const char *name)
{
	return X509_check_host(cert, name, 0, 0, NULL) == 1;
}

static int choose_certificate(SSL *ssl, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct identity *second = arg;

	if (name == NULL || covers(SSL_get_certificate(ssl), name) || !covers(second->leaf, name))
		return 1;
	return SSL_use_cert_and_key(ssl, second->leaf, second->key, second->links, 1);
}

static void keep_second(SSL_CTX *ctx, struct identity *id)
{
	struct identity *second = malloc(sizeof(*second));

	pthread_once(&index_once, make_index);
	must(second != NULL && SSL_CTX_set_ex_data(ctx, second_index, second) == 1);
	*second = *id;
	*id = (struct identity){ 0 };
	SSL_CTX_set_cert_cb(ctx, choose_certificate, second);
}

/* NULL, or what is wrong with it. `first`: the one before it, NULL for the first. */
static const char *use_pair(SSL_CTX *ctx, const struct material_pair *pair, const struct identity *first,
			    struct identity *id)
{
	if (!read_chain(&pair->certificate, id))
		return "the certificate cannot be read";
	id->key = read_key(&pair->key);
	if (id->key == NULL)
		return "the private key cannot be read";
	if (!is_strong(id->key))
		return "the key is too small: RSA 2048 or EC P-256 is the least";
	if (X509_check_private_key(id->leaf, id->key) != 1)
		return "the private key does not belong to the certificate";
	if (first != NULL && EVP_PKEY_get_base_id(first->key) == EVP_PKEY_get_base_id(id->key))
		keep_second(ctx, id);
	else if (SSL_CTX_use_cert_and_key(ctx, id->leaf, id->key, id->links, 0) != 1)
		return "the certificate cannot be used";
	return NULL;
}

static const char *use_pairs(SSL_CTX *ctx, const struct tls_settings *t, const struct material *m)
{
	struct identity ids[TLS_CERTIFICATES_MAX] = { 0 };
	const char *problem = NULL;

	for (unsigned i = 0; problem == NULL && i < t->certificate_count; i++)
		problem = use_pair(ctx, &m->pairs[i], i > 0 ? &ids[0] : NULL, &ids[i]);
	for (unsigned i = 0; i < TLS_CERTIFICATES_MAX; i++)
		identity_free(&ids[i]);
	return problem;
}

SSL_CTX *tls_context_create(const struct tls_settings *t, const struct material *m, char *why,
			    size_t why_bytes)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const char *problem;

	must(ctx != NULL);
	ERR_clear_error();
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, (void *)protocols_of(t));
	set_up_sessions(ctx);
	if (!set_up_versions(ctx, t))
		return refuse(ctx, why, why_bytes, "TLS versions or ciphers");
	problem = use_pairs(ctx, t, m);
	if (problem != NULL)
		return refuse(ctx, why, why_bytes, problem);
	if (!client_auth_set_up(ctx, &t->client, m, &problem))
		return refuse(ctx, why, why_bytes, problem);
	SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST);
	ERR_clear_error();
	return ctx;
}
