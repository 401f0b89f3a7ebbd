/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/tls_set.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/net/worker.h"
#include "proxy/tls/context.h"
#include "proxy/tls/material.h"
#include "proxy/tls/tls_set_priv.h"
#include "sallyport/hash.h"
#include "sallyport/resource/proxy_settings.h"

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

static void warn_of_dates(const SSL_CTX *ctx, const char *name)
{
	const X509 *leaf;

	for (unsigned i = 0; (leaf = tls_context_leaf(ctx, i)) != NULL; i++) {
		if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
			log_warn("tls", "%s: the certificate has expired; it is served all the same", name);
		else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
			log_warn("tls", "%s: the certificate is not valid yet; it is served all the same",
				 name);
	}
}

/* Clients refuse a certificate that lacks the name they asked for. A wildcard is asked for by some name that
 * it stands for. */
static void warn_of_hosts(const SSL_CTX *ctx, const struct chain *chain, const char *name)
{
	for (size_t i = 0; !chain->tls_settings.workload && i < chain->domains.count; i++) {
		struct slice host = chain->domains.items[i];
		bool covered = slice_eq(host, SLICE("*"));
		char asked[300];
		const X509 *leaf;

		snprintf(asked, sizeof(asked), "%s%.*s", host.at[0] == '*' ? "any" : "",
			 SLICE_ARG(host.at[0] == '*' ? slice_from(host, 1) : host));
		for (unsigned c = 0; !covered && (leaf = tls_context_leaf(ctx, c)) != NULL; c++)
			covered = tls_leaf_covers(leaf, asked);
		if (!covered)
			log_warn("tls", "server %.*s: secret %s: no certificate of it covers host %.*s",
				 SLICE_ARG(chain->name), name, SLICE_ARG(host));
	}
}

/* What broke while it is served is looked at once more before a word is said: writers replace one file
 * after the other. */
static void say_missing(struct tls_set *set, struct tls_slot *slot, const struct chain *chain,
			const char *name, const char *why)
{
	uint64_t problem = hash_slice(slice_of(why)) | 1;
	bool serves = atomic_load(&slot->context) != NULL;

	if (slot->told == problem)
		return;
	if (serves && slot->suspected != problem) {
		slot->suspected = problem;
		secret_watch_again(set->store->watch);
		return;
	}
	slot->told = problem;
	log_warn("tls", "%s:%u: server %.*s: secret %s: %s; %s", chain->where.file, chain->where.line,
		 SLICE_ARG(chain->name), name, why, serves ? "the former certificate is served on" :
		 "its handshakes are refused until it appears");
}

/* What tells this server from all others, also after a reload. */
static void server_text(const struct chain *chain, struct text *out)
{
	text_printf(out, "%s %.*s %.*s", chain->listener->bind.key, SLICE_ARG(chain->gateway),
		    SLICE_ARG(chain->name));
	for (size_t i = 0; i < chain->domains.count; i++)
		text_printf(out, " %.*s", SLICE_ARG(chain->domains.items[i]));
}

static void serve(struct tls_set *set, struct tls_slot *slot, const struct chain *chain, const char *name,
		  const struct material *m)
{
	char why[300];
	struct text server;
	bool renewed;
	SSL_CTX *ctx;

	text_init(&server);
	server_text(chain, &server);
	ctx = tls_context_create(&chain->tls_settings, m, text_slice(&server), set->store->ticket_keys, why,
				 sizeof(why));
	text_fini(&server);
	if (ctx == NULL) {
		say_missing(set, slot, chain, name, why);
		return;
	}
	renewed = slot->told != 0 || atomic_load(&slot->context) != NULL;
	slot->digest = material_digest(m);
	slot->told = slot->suspected = 0;
	publish(set->store, slot, ctx);
	if (renewed)
		log_info("tls", "server %.*s: secret %s: a new certificate is served, from %s",
			 SLICE_ARG(chain->name), name, m->source);
	if (why[0] != '\0')
		log_warn("tls", "server %.*s: secret %s: %s", SLICE_ARG(chain->name), name, why);
	warn_of_dates(ctx, name);
	warn_of_hosts(ctx, chain, name);
}

/* Reads what the chain names now and serves it if it is new and sound. */
static void refresh(struct tls_set *set, uint32_t index)
{
	const struct chain *chain = set->snapshot->tls_chains.items[index];
	struct secret_watch *watch = set->store->watch;
	struct tls_slot *slot = &set->slots[index];
	struct material m;
	char name[300];
	bool found;

	credential_text(&chain->tls_settings.certificates[0], name, sizeof(name));
	found = material_read(set->snapshot, &chain->tls_settings, &m, secret_watch_begin(watch));
	if (!secret_watch_was_whole(watch))
		log_debug("tls", "secret %s: is being written", name);
	else if (!found)
		say_missing(set, slot, chain, name, m.problem);
	else if (atomic_load(&slot->context) == NULL || material_digest(&m) != slot->digest)
		serve(set, slot, chain, name, &m);
	else
		slot->told = slot->suspected = 0;
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
	ticket_keys_set_rotation(store->ticket_keys, s->settings->limits.ticket_key_rotation_ms);
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

struct tls_set *tls_store_active(const struct tls_store *store)
{
	return store->current;
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

/* Something changed in a watched folder; what exactly is found by looking. */
static void refresh_current(void *arg)
{
	struct tls_store *store = arg;

	if (store->current != NULL)
		refresh_all(store->current);
}

struct tls_store *tls_store_create(struct event_base *base, struct worker **workers, unsigned worker_count)
{
	struct tls_store *store = calloc(1, sizeof(*store));

	must(store != NULL);
	store->base = base;
	store->workers = workers;
	store->worker_count = worker_count;
	store->watch = secret_watch_create(base, refresh_current, store);
	store->ticket_keys = ticket_keys_create(base, workers, worker_count);
	return store;
}

void tls_store_free(struct tls_store **sp)
{
	struct tls_store *store = *sp;

	*sp = NULL;
	if (store == NULL)
		return;
	tls_set_unref(&store->current);
	secret_watch_free(&store->watch);
	ticket_keys_free(&store->ticket_keys);
	free(store);
}
