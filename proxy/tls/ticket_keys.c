/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/ticket_keys.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "proxy/net/worker.h"
#include "sallyport/clock.h"

#define NAME_BYTES		16u	/* what OpenSSL reserves for it in a ticket */
#define IV_BYTES		16u
#define ROTATION_PRESET_MS	(12 * 3600 * 1000)	/* until the settings are known */

struct ticket_key {
	unsigned char name[NAME_BYTES], cipher[32], mac[32];
};

/* In pages of its own, that a core file, the swap and a forked child never see. Immutable once published;
 * the newest key comes first. */
struct key_ring {
	unsigned count;
	struct ticket_key keys[TICKET_KEY_GENERATIONS];
};

struct ticket_keys {
	struct event_base *base;	/* borrowed */
	struct worker **workers;	/* borrowed */
	unsigned worker_count;
	_Atomic(struct key_ring *) ring;	/* owned; read by workers */
	EVP_CIPHER *cipher;		/* owned */
	struct event *due;		/* owned */
	int64_t made_ms, rotation_ms;
	unsigned long rotations;
};

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int context_index;

static void make_index(void)
{
	context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	must(context_index >= 0);
}

/* ---- rings ---- */

static struct key_ring *new_ring(void)
{
	static bool told;
	struct key_ring *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(r != MAP_FAILED);
	if (mlock(r, sizeof(*r)) != 0 && !told) {
		told = true;
		log_warn("tls", "session ticket keys may be swapped out: mlock: %s", strerror(errno));
	}
	(void)madvise(r, sizeof(*r), MADV_DONTDUMP);
	(void)madvise(r, sizeof(*r), MADV_WIPEONFORK);
	return r;
}

static void free_ring(void *arg)
{
	OPENSSL_cleanse(arg, sizeof(struct key_ring));
	munmap(arg, sizeof(struct key_ring));
}

/* A new key, and those before it that are young enough. */
static void rotate(struct ticket_keys *k)
{
	struct key_ring *before = atomic_load(&k->ring), *ring = new_ring();
	bool keep = before != NULL && clock_monotonic_us() / 1000 - k->made_ms < 2 * k->rotation_ms;

	must(RAND_bytes(ring->keys[0].name, sizeof(ring->keys[0].name)) == 1);
	must(RAND_priv_bytes(ring->keys[0].cipher, sizeof(ring->keys[0].cipher)) == 1);
	must(RAND_priv_bytes(ring->keys[0].mac, sizeof(ring->keys[0].mac)) == 1);
	ring->count = 1;
	if (keep)
		ring->keys[ring->count++] = before->keys[0];
	k->made_ms = clock_monotonic_us() / 1000;
	atomic_store_explicit(&k->ring, ring, memory_order_release);
	if (before != NULL) {
		k->rotations++;
		workers_quiesce(k->workers, k->worker_count, k->base, free_ring, before);
	}
}

static void await_next(struct ticket_keys *k)
{
	int64_t left_ms = k->made_ms + k->rotation_ms - clock_monotonic_us() / 1000;
	const struct timeval wait = { .tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000 };

	event_add(k->due, &wait);
}

static void on_rotation_due(evutil_socket_t fd, short what, void *arg)
{
	struct ticket_keys *k = arg;

	(void)fd, (void)what;
	rotate(k);
	await_next(k);
}

/* ---- sealing and opening ---- */

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	const OSSL_PARAM how[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_init(mac, key->mac, sizeof(key->mac), how) == 1;
}

/* OpenSSL's answers: -1 error, 0 no such key: a full handshake, 1 done, 2 opened and due for another ticket,
 * as all are with TLS 1.3, where nobody shall recognise a client by using one twice (RFC 8446 C.4). */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		     int sealing)
{
	const struct ticket_keys *k = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index);
	const struct key_ring *ring = atomic_load_explicit(&k->ring, memory_order_acquire);
	const struct ticket_key *key = &ring->keys[0];

	if (sealing) {
		memcpy(name, key->name, sizeof(key->name));
		return RAND_bytes(iv, IV_BYTES) == 1 &&
		       EVP_EncryptInit_ex2(cipher, k->cipher, key->cipher, iv, NULL) == 1 &&
		       set_mac(mac, key) ? 1 : -1;
	}
	for (unsigned i = 0; i < ring->count; i++) {
		key = &ring->keys[i];
		if (memcmp(name, key->name, sizeof(key->name)) != 0)
			continue;
		if (EVP_DecryptInit_ex2(cipher, k->cipher, key->cipher, iv, NULL) != 1 || !set_mac(mac, key))
			return -1;
		return i == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
	}
	return 0;
}

/* Who resumes shows no certificate again: the one shown must be valid still. */
static SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
					  size_t name_bytes, SSL_TICKET_STATUS status, void *arg)
{
	X509 *peer;

	(void)ssl, (void)name, (void)name_bytes, (void)arg;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	peer = SSL_SESSION_get0_peer(session);
	if (peer != NULL && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

void ticket_keys_use(struct ticket_keys *k, SSL_CTX *ctx)
{
	must(SSL_CTX_set_ex_data(ctx, context_index, k) == 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_session_ticket_cb(ctx, NULL, on_ticket_opened, NULL);
	SSL_CTX_set_timeout(ctx, k->rotation_ms >= 1000 ? k->rotation_ms / 1000 : 1);
}

/* ---- life ---- */

struct ticket_keys *ticket_keys_create(struct event_base *base, struct worker **workers, unsigned worker_count)
{
	struct ticket_keys *k = calloc(1, sizeof(*k));

	pthread_once(&index_once, make_index);
	must(k != NULL);
	*k = (struct ticket_keys){ .base = base, .workers = workers, .worker_count = worker_count,
				   .rotation_ms = ROTATION_PRESET_MS };
	k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	k->due = event_new(base, -1, 0, on_rotation_due, k);
	must(k->cipher != NULL && k->due != NULL);
	rotate(k);
	await_next(k);
	return k;
}

void ticket_keys_free(struct ticket_keys **kp)
{
	struct ticket_keys *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	event_free(k->due);
	EVP_CIPHER_free(k->cipher);
	free_ring(atomic_load(&k->ring));
	free(k);
}

void ticket_keys_set_rotation(struct ticket_keys *k, int64_t rotation_ms)
{
	if (k->rotation_ms == rotation_ms)
		return;
	k->rotation_ms = rotation_ms;
	if (clock_monotonic_us() / 1000 - k->made_ms >= rotation_ms)
		rotate(k);
	await_next(k);
}

struct ticket_keys_state ticket_keys_state(const struct ticket_keys *k)
{
	return (struct ticket_keys_state){
		.age_ms = clock_monotonic_us() / 1000 - k->made_ms,
		.rotation_ms = k->rotation_ms,
		.generations = atomic_load(&k->ring)->count,
		.rotations = k->rotations,
	};
}
