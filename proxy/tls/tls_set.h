/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_set.h - the TLS contexts of one snapshot's terminating chains, swapped one by one as their
 * secrets appear, change or break.
 *
 * A chain whose secret is missing or unusable has no context: its handshakes are refused, all else
 * serves on, and it heals when the secret appears (spec/gateway.md 11.6). New material that does
 * not parse or match leaves the old in place.
 *
 * Owner    counted: each worker's snapshot_use holds one reference, the store one for the newest.
 * Thread   tls_set_context(): any worker, no lock. Everything else: main thread. An SSL_CTX that was
 *          replaced is freed after workers_quiesce().
 * Blocks   reads files on the main thread. */
#ifndef SALLYPORT_PROXY_TLS_SET_H
#define SALLYPORT_PROXY_TLS_SET_H

#include <openssl/ssl.h>

#include "proxy/snapshot/snapshot.h"
#include "sallyport/text.h"

struct event_base;
struct tls_set;
struct tls_store;
struct worker;

/* The store watches Proxy.spec.secrets.directory and the file paths of the current snapshot (inotify);
 * a change is served to new handshakes within a second. */
struct tls_store *tls_store_create(struct event_base *base, struct worker **workers,
				   unsigned worker_count);
void tls_store_free(struct tls_store **sp);

/* Contexts for the chains of a snapshot: material from its Secret documents, the secrets directory,
 * or files. Unusable ones are warned about in the log; they stay empty, or keep what the
 * active set serves at the same server. The reference is the caller's. The set must be freed before its snapshot: it borrows settings from there. */
struct tls_set *tls_set_create(struct tls_store *store, const struct snapshot *s);
struct tls_set *tls_set_ref(struct tls_set *t);
void tls_set_unref(struct tls_set **tp);
/* From now on changes of secrets are applied to this set; the former one stays as it is. */
void tls_store_activate(struct tls_store *store, struct tls_set *t);

/* What changes are applied to; borrowed. */
struct tls_set *tls_store_active(const struct tls_store *store);

/* NULL: no usable certificate: refuse the handshake. Valid for this loop turn (SSL_new refs it). */
SSL_CTX *tls_set_context(const struct tls_set *t, uint32_t slot);

/* `show secrets`: a table of observability.md 10 (secret) as text, or JSON. Never a key. */
void tls_store_show(const struct tls_store *store, struct text *out, bool json);
/* `show tls`: the keys of session tickets, of which only the age is told. */
void tls_store_show_tickets(const struct tls_store *store, struct text *out, bool json);

#endif
