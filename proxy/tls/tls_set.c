/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/tls_set.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "proxy/net/worker.h"
#include "proxy/tls/context.h"
#include "proxy/tls/material.h"
#include "sallyport/hash.h"

#define SETTLE_MS	150	/* writers finish before their files are read */

/* What tells that files of a folder changed, and that something appeared in one further up. */
#define WATCHED		(IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM)
#define WATCHED_ABOVE	(IN_MOVED_TO | IN_CREATE | IN_MASK_ADD)
#define WATCH_TRIES	8	/* while somebody makes and removes folders */

#define KIND_TLS_SET	KIND('T', 'L', 'S', 'S')

/* One terminating chain. */
struct tls_slot {
	_Atomic(SSL_CTX *) context;	/* owned; read by workers */
	uint64_t digest;		/* of the material in `context` */
	uint64_t told;			/* digest of the problem that was logged last; 0: none since it healed */
	char source[512];
};

struct tls_set {
	struct object obj;
	struct tls_store *store;	/* borrowed */
	const struct snapshot *snapshot;	/* borrowed: who holds the set holds the snapshot */
	uint32_t count;
	struct tls_slot slots[];
};

struct tls_store {
	struct event_base *base;	/* borrowed */
	struct worker **workers;	/* borrowed */
	unsigned worker_count;
	struct tls_set *current;	/* one reference */
	int inotify_fd;
	struct event *readable, *settle;	/* owned */
};

static bool watch(struct tls_store *store, const char *folder, uint32_t events)
{
	return inotify_add_watch(store->inotify_fd, folder, events | IN_ONLYDIR) >= 0;
}

/* The nearest folder above that exists, where `path` has to appear. False: `path` is there by now. */
static bool watch_above(struct tls_store *store, const char *path)
{
	char above[PATH_MAX], below[PATH_MAX];
	char *slash;

	snprintf(above, sizeof(above), "%s", path);
	do {
		memcpy(below, above, sizeof(below));
		slash = strrchr(above, '/');
		if (slash == NULL)
			return true;
		slash[slash == above ? 1 : 0] = '\0';
	} while (!watch(store, above, WATCHED_ABOVE) && (errno == ENOENT || errno == ENOTDIR) &&
		 slash != above);
	return access(below, F_OK) != 0;
}

static void watch_folder(void *arg, const char *folder)
{
	struct tls_store *store = arg;

	if (store->inotify_fd < 0)
		return;
	for (int tries = 0; tries < WATCH_TRIES; tries++) {
		if (watch(store, folder, WATCHED))
			return;
		if (errno != ENOENT && errno != ENOTDIR) {
			log_warn("tls", "%s: changes there will not be seen without a reload: %s", folder,
				 strerror(errno));
			return;
		}
		if (watch_above(store, folder))
			return;
	}
}

static void free_context(void *arg)
{
	SSL_CTX_free(arg);
}

/* New handshakes use `ctx` from here on; the one before is freed when nobody can be looking at it. */
static void publish(struct tls_store *store, struct tls_slot *slot, SSL_CTX *ctx)
{
	SSL_CTX *before = atomic_exchange_explicit(&slot->context, ctx, memory_order_acq_rel);

	if (before != NULL)
		workers_quiesce(store->workers, store->worker_count, store->base, free_context, before);
}

static void warn_of_dates(SSL_CTX *ctx, const char *name)
{
	for (int ok = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST); ok == 1;
	     ok = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_NEXT)) {
		const X509 *leaf = SSL_CTX_get0_certificate(ctx);

		if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
			log_warn("tls", "%s: the certificate has expired; it is served all the same", name);
		else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
			log_warn("tls", "%s: the certificate is not valid yet; it is served all the same",
				 name);
	}
	SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST);
}

static void say_missing(struct tls_set *set, struct tls_slot *slot, const struct chain *chain,
			const char *name, const char *why)
{
	uint64_t problem = hash_slice(slice_of(why)) | 1;

	if (slot->told == problem)
		return;
	slot->told = problem;
	log_warn("tls", "%s:%u: server %.*s: secret %s: %s; %s", chain->where.file, chain->where.line,
		 SLICE_ARG(chain->name), name, why,
		 atomic_load(&slot->context) != NULL ? "the former certificate is served on" :
		 "its handshakes are refused until it appears");
	(void)set;
}

/* Reads what the chain names now and serves it if it is new and sound. */
static void refresh(struct tls_set *set, uint32_t index)
{
	const struct chain *chain = set->snapshot->tls_chains.items[index];
	struct tls_slot *slot = &set->slots[index];
	struct material m;
	char name[300], why[300];
	uint64_t digest;
	SSL_CTX *ctx;

	credential_text(&chain->tls_settings.certificates[0], name, sizeof(name));
	if (!material_read(set->snapshot, &chain->tls_settings, &m, watch_folder, set->store)) {
		say_missing(set, slot, chain, name, m.problem);
		material_fini(&m);
		return;
	}
	digest = material_digest(&m);
	if (digest != slot->digest || atomic_load(&slot->context) == NULL) {
		ctx = tls_context_create(&chain->tls_settings, &m, why, sizeof(why));
		if (ctx == NULL) {
			say_missing(set, slot, chain, name, why);
		} else {
			if (slot->told != 0 || atomic_load(&slot->context) != NULL)
				log_info("tls", "server %.*s: secret %s: a new certificate is served, from %s",
					 SLICE_ARG(chain->name), name, m.source);
			warn_of_dates(ctx, name);
			slot->digest = digest;
			slot->told = 0;
			snprintf(slot->source, sizeof(slot->source), "%s", m.source);
			publish(set->store, slot, ctx);
		}
	} else {
		slot->told = 0;
	}
	material_fini(&m);
}

/* The same server with the same settings goes on with what it serves: its sessions still resume, and
 * material that broke meanwhile takes nothing away. */
static void inherit(struct tls_set *set, uint32_t index, const struct tls_set *before)
{
	const struct chain *chain = set->snapshot->tls_chains.items[index];
	struct tls_slot *slot = &set->slots[index];

	/* Most often it stands where it stood. */
	for (uint32_t n = 0; n < before->count; n++) {
		uint32_t i = (index + n) % before->count;
		const struct chain *former = before->snapshot->tls_chains.items[i];
		SSL_CTX *ctx = atomic_load(&before->slots[i].context);

		if (ctx == NULL || !slice_eq(former->name, chain->name) ||
		    !tls_settings_same(&former->tls_settings, &chain->tls_settings))
			continue;
		SSL_CTX_up_ref(ctx);
		atomic_init(&slot->context, ctx);
		slot->digest = before->slots[i].digest;
		memcpy(slot->source, before->slots[i].source, sizeof(slot->source));
		return;
	}
}

static void refresh_all(struct tls_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		refresh(set, i);
}

struct tls_set *tls_set_create(struct tls_store *store, const struct snapshot *s)
{
	struct tls_set *set = calloc(1, sizeof(*set) + s->tls_chains.count * sizeof(set->slots[0]));

	must(set != NULL);
	set->obj.kind = KIND_TLS_SET;
	atomic_init(&set->obj.refs, 1);
	set->store = store;
	set->snapshot = s;
	set->count = (uint32_t)s->tls_chains.count;
	for (uint32_t i = 0; store->current != NULL && i < set->count; i++)
		inherit(set, i, store->current);
	refresh_all(set);
	return set;
}

struct tls_set *tls_set_ref(struct tls_set *t)
{
	object_must(t, KIND_TLS_SET);
	atomic_fetch_add(&t->obj.refs, 1);
	return t;
}

void tls_set_unref(struct tls_set **tp)
{
	struct tls_set *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	object_must(t, KIND_TLS_SET);
	if (atomic_fetch_sub(&t->obj.refs, 1) > 1)
		return;
	for (uint32_t i = 0; i < t->count; i++)
		SSL_CTX_free(atomic_load(&t->slots[i].context));
	object_wipe(t);
	free(t);
}

SSL_CTX *tls_set_context(const struct tls_set *t, uint32_t slot)
{
	return atomic_load_explicit(&t->slots[slot].context, memory_order_acquire);
}

void tls_store_activate(struct tls_store *store, struct tls_set *t)
{
	struct tls_set *before = store->current;

	store->current = tls_set_ref(t);
	tls_set_unref(&before);
}

static void on_store_settled(evutil_socket_t fd, short what, void *arg)
{
	struct tls_store *store = arg;

	(void)fd, (void)what;
	if (store->current != NULL)
		refresh_all(store->current);
}

/* Something changed in a watched folder; what exactly is found by looking. */
static void on_store_readable(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval settle = { .tv_usec = SETTLE_MS * 1000 };
	struct tls_store *store = arg;
	char events[4096];

	(void)what;
	while (read(fd, events, sizeof(events)) > 0)
		continue;
	if (!event_pending(store->settle, EV_TIMEOUT, NULL))
		event_add(store->settle, &settle);
}

struct tls_store *tls_store_create(struct event_base *base, struct worker **workers, unsigned worker_count)
{
	struct tls_store *store = calloc(1, sizeof(*store));

	must(store != NULL);
	store->base = base;
	store->workers = workers;
	store->worker_count = worker_count;
	store->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	store->settle = event_new(base, -1, 0, on_store_settled, store);
	if (store->inotify_fd < 0) {
		log_warn("tls", "inotify: %s; changed secrets need a reload", strerror(errno));
		return store;
	}
	store->readable = event_new(base, store->inotify_fd, EV_READ | EV_PERSIST, on_store_readable, store);
	event_add(store->readable, NULL);
	return store;
}

void tls_store_free(struct tls_store **sp)
{
	struct tls_store *store = *sp;

	*sp = NULL;
	if (store == NULL)
		return;
	tls_set_unref(&store->current);
	if (store->readable != NULL)
		event_free(store->readable);
	event_free(store->settle);
	if (store->inotify_fd >= 0)
		close(store->inotify_fd);
	free(store);
}

/* A row of `show secrets`. */
struct secret_row {
	char name[300], status[16], serial[80], not_after[32], not_before[32];
	bool valid;
};

static void time_text(const ASN1_TIME *t, char *out, size_t bytes)
{
	struct tm tm = { 0 };

	ASN1_TIME_to_tm(t, &tm);
	strftime(out, bytes, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void fill_row(const struct tls_set *set, uint32_t i, struct secret_row *row)
{
	const SSL_CTX *ctx = atomic_load(&set->slots[i].context);
	const X509 *leaf = ctx != NULL ? SSL_CTX_get0_certificate(ctx) : NULL;

	*row = (struct secret_row){ 0 };
	credential_text(&set->snapshot->tls_chains.items[i]->tls_settings.certificates[0], row->name, sizeof(row->name));
	snprintf(row->status, sizeof(row->status), "%s", leaf != NULL ? "ACTIVE" : "WARMING");
	if (leaf == NULL)
		return;
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
	char *hex = BN_bn2hex(serial);

	for (size_t n = 0; hex[n] != '\0' && n + 1 < sizeof(row->serial); n++)
		row->serial[n] = ascii_lower(hex[n]);
	OPENSSL_free(hex);
	BN_free(serial);
	time_text(X509_get0_notAfter(leaf), row->not_after, sizeof(row->not_after));
	time_text(X509_get0_notBefore(leaf), row->not_before, sizeof(row->not_before));
	row->valid = X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0 &&
		     X509_cmp_current_time(X509_get0_notBefore(leaf)) < 0;
}

static void show_json(const struct secret_row *row, struct text *out, bool first)
{
	text_printf(out, "%s{\"name\":", first ? "" : ",");
	text_add_json(out, slice_of(row->name));
	text_printf(out, ",\"type\":\"Cert Chain\",\"status\":\"%s\",\"valid\":%s,\"serial\":\"%s\","
		    "\"notAfter\":\"%s\",\"notBefore\":\"%s\"}", row->status, row->valid ? "true" : "false",
		    row->serial, row->not_after, row->not_before);
}

void tls_store_show(const struct tls_store *store, struct text *out, bool json)
{
	const struct tls_set *set = store->current;
	uint32_t count = set != NULL ? set->count : 0;
	struct secret_row row;
	int width = (int)strlen("RESOURCE NAME"), serial = (int)strlen("SERIAL NUMBER");

	if (json)
		text_add_char(out, '[');
	else if (count == 0)
		text_add(out, SLICE("No secret items to show.\n"));
	for (uint32_t i = 0; i < count; i++) {
		fill_row(set, i, &row);
		width = (int)strlen(row.name) > width ? (int)strlen(row.name) : width;
		serial = (int)strlen(row.serial) > serial ? (int)strlen(row.serial) : serial;
		if (json)
			show_json(&row, out, i == 0);
	}
	if (json)
		text_add(out, SLICE("]\n"));
	if (json || count == 0)
		return;
	text_printf(out, "%-*s     TYPE           STATUS      VALID CERT     %-*s     %-20s     NOT BEFORE\n",
		    width, "RESOURCE NAME", serial, "SERIAL NUMBER", "NOT AFTER");
	for (uint32_t i = 0; i < count; i++) {
		fill_row(set, i, &row);
		text_printf(out, "%-*s     Cert Chain     %-7s     %-10s     %-*s     %-20s     %s\n", width,
			    row.name, row.status, row.valid ? "true" : "false", serial, row.serial,
			    row.not_after, row.not_before);
	}
}
