/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/context.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/tls/client_auth.h"
#include "proxy/tls/staple.h"
#include "proxy/tls/ticket_keys.h"

#define MIN_RSA_BITS	2048
#define MIN_EC_BITS	256
#define TLS_TICKETS	1	/* of a full handshake with TLS 1.3 */

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

static bool set_up_versions(SSL_CTX *ctx, const struct tls_settings *t)
{
	const char *ciphers = t->cipher_list.len > 0 ? t->cipher_list.at : TLS_DEFAULT_CIPHERS;

	if (t->min_version < TLS1_2_VERSION)
		SSL_CTX_set_security_level(ctx, 0);	/* asked for by name: their signatures use SHA-1 */
	return SSL_CTX_set_min_proto_version(ctx, t->min_version) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, t->max_version) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, TLS13_CIPHERSUITES) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
	       SSL_CTX_set1_groups_list(ctx, t->groups.len > 0 ? t->groups.at : TLS_DEFAULT_GROUPS) == 1;
}

/* ---- two certificates ---- */

/* What a context serves; owned by it. */
struct identities {
	struct identity items[TLS_CERTIFICATES_MAX];
	unsigned count;
};

static void identities_free(struct identities *ids)
{
	for (unsigned i = 0; i < ids->count; i++)
		identity_free(&ids->items[i]);
	free(ids);
}

static void free_with_context(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (ptr != NULL)
		identities_free(ptr);
}

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int identities_index;

static void make_index(void)
{
	identities_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_with_context);
	must(identities_index >= 0);
}

bool tls_leaf_covers(const X509 *leaf, const char *host)
{
	return X509_check_host((X509 *)leaf, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1 ||
	       X509_check_ip_asc((X509 *)leaf, host, 0) == 1;
}

static bool covers(X509 *cert, const char *name)
{
	return X509_check_host(cert, name, 0, 0, NULL) == 1;
}

/* The second of two with keys of one type, for the names that only it covers (11.5). OpenSSL itself chooses
 * between types by the client's signature algorithms. */
static int choose_certificate(SSL *ssl, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct identity *second = arg;

	if (name == NULL || covers(SSL_get_certificate(ssl), name) || !covers(second->leaf, name))
		return 1;
	return SSL_use_cert_and_key(ssl, second->leaf, second->key, second->links, 1);
}

/* ---- sessions ---- */

static void add_bytes(EVP_MD_CTX *md, const void *at, size_t len)
{
	const uint64_t bytes = len;

	must(EVP_DigestUpdate(md, &bytes, sizeof(bytes)) == 1 && EVP_DigestUpdate(md, at, len) == 1);
}

static void add_slice(EVP_MD_CTX *md, struct slice s)
{
	add_bytes(md, s.at != NULL ? s.at : "", s.len);
}

static void add_slices(EVP_MD_CTX *md, const struct slice *items, size_t count)
{
	add_bytes(md, &count, sizeof(count));
	for (size_t i = 0; i < count; i++)
		add_slice(md, items[i]);
}

/* The names that clients took it for. */
static void add_names(EVP_MD_CTX *md, X509 *leaf)
{
	const int at = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1);
	const ASN1_OCTET_STRING *alt = at >= 0 ? X509_EXTENSION_get_data(X509_get_ext(leaf, at)) : NULL;
	unsigned char *der = NULL;
	int len = i2d_X509_NAME(X509_get_subject_name(leaf), &der);

	must(len >= 0);
	add_bytes(md, der, (size_t)len);
	OPENSSL_free(der);
	add_slice(md, alt != NULL ? slice_make(ASN1_STRING_get0_data(alt), (size_t)ASN1_STRING_length(alt)) :
				    NO_SLICE);
}

static void add_client_settings(EVP_MD_CTX *md, const struct tls_client_settings *c, const struct material *m)
{
	const uint32_t plain[] = { c->certificate, c->skip_verify };

	add_bytes(md, plain, sizeof(plain));
	if (c->certificate == TLS_CLIENT_NONE)
		return;
	add_slices(md, c->names.items, c->names.count);
	add_slices(md, c->spki_pins.items, c->spki_pins.count);
	add_slices(md, c->hash_pins.items, c->hash_pins.count);
	add_slice(md, text_slice(&m->ca));
	add_slice(md, text_slice(&m->crl));
}

/* Tickets of all servers have the same keys; that one is good for its own server alone, and only while
 * that asks for the same, is this id, which OpenSSL keeps in the ticket and compares. */
static void set_up_sessions(SSL_CTX *ctx, const struct tls_settings *t, const struct material *m,
			    struct slice server, struct ticket_keys *keys, const struct identities *ids)
{
	const int plain[] = { t->min_version, t->max_version, t->http2, t->peer_exchange };
	unsigned char id[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned len = 0;

	must(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
	add_slice(md, server);
	add_bytes(md, plain, sizeof(plain));
	add_slice(md, t->cipher_list);
	add_slice(md, t->groups);
	add_client_settings(md, &t->client, m);
	for (unsigned i = 0; i < ids->count; i++)
		add_names(md, ids->items[i].leaf);
	must(EVP_DigestFinal_ex(md, id, &len) == 1);
	EVP_MD_CTX_free(md);
	static_assert(SSL_MAX_SID_CTX_LENGTH == 32, "the id is a SHA-256");
	SSL_CTX_set_session_id_context(ctx, id, len);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, TLS_TICKETS);
	SSL_CTX_set_max_early_data(ctx, 0);
	if (keys != NULL)
		ticket_keys_use(keys, ctx);
	else
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}

/* ---- certificates ---- */

static bool same_type(const struct identity *a, const struct identity *b)
{
	return EVP_PKEY_get_base_id(a->key) == EVP_PKEY_get_base_id(b->key);
}

/* NULL, or what is wrong with it. */
static const char *read_pair(const struct material_pair *pair, struct identity *id)
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
	return NULL;
}

static const char *use_pairs(SSL_CTX *ctx, const struct tls_settings *t, const struct material *m,
			     struct identities *ids)
{
	const char *problem = NULL;

	while (ids->count < t->certificate_count) {
		struct identity *id = &ids->items[ids->count++];

		problem = read_pair(&m->pairs[ids->count - 1], id);
		if (problem != NULL)
			return problem;
		if (ids->count > 1 && same_type(&ids->items[0], id))
			SSL_CTX_set_cert_cb(ctx, choose_certificate, id);
		else if (SSL_CTX_use_cert_and_key(ctx, id->leaf, id->key, id->links, 0) != 1)
			return "the certificate cannot be used";
	}
	return NULL;
}

/* What is missing or of no use is said, and nothing else comes of it. */
static void use_staples(SSL_CTX *ctx, const struct material *m, const struct identities *ids, char *why,
			size_t bytes)
{
	for (unsigned i = 0; i < ids->count; i++) {
		const struct identity *id = &ids->items[i];
		struct slice der = text_slice(&m->pairs[i].staple);
		const char *problem = der.len > 0 ? staple_use(ctx, id->leaf, id->links, der) : NULL;

		if (problem != NULL)
			snprintf(why, bytes, "tls.ocsp-staple is not served: %s", problem);
		else if (der.len == 0 && staple_is_due(id->leaf))
			snprintf(why, bytes, "the certificate demands an OCSP response (must-staple), and "
				 "there is no tls.ocsp-staple");
	}
}

/* NULL, or why it cannot be served. */
static const char *set_up(SSL_CTX *ctx, const struct tls_settings *t, const struct material *m,
			  struct slice server, struct ticket_keys *keys, struct identities *ids)
{
	const char *problem;

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, (void *)protocols_of(t));
	if (!set_up_versions(ctx, t))
		return "TLS versions or ciphers";
	problem = use_pairs(ctx, t, m, ids);
	if (problem != NULL)
		return problem;
	set_up_sessions(ctx, t, m, server, keys, ids);
	return client_auth_set_up(ctx, &t->client, m, &problem) ? NULL : problem;
}

SSL_CTX *tls_context_create(const struct tls_settings *t, const struct material *m, struct slice server,
			    struct ticket_keys *keys, char *why, size_t why_bytes)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct identities *ids = calloc(1, sizeof(*ids));
	const char *problem;

	pthread_once(&index_once, make_index);
	must(ctx != NULL && ids != NULL && SSL_CTX_set_ex_data(ctx, identities_index, ids) == 1);
	ERR_clear_error();
	why[0] = '\0';
	problem = set_up(ctx, t, m, server, keys, ids);
	if (problem != NULL)
		return refuse(ctx, why, why_bytes, problem);
	use_staples(ctx, m, ids, why, why_bytes);
	SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST);
	ERR_clear_error();
	return ctx;
}

const X509 *tls_context_leaf(const SSL_CTX *ctx, unsigned index)
{
	const struct identities *ids = SSL_CTX_get_ex_data(ctx, identities_index);

	return index < ids->count ? ids->items[index].leaf : NULL;
}
