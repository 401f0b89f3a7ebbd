/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_set_priv.h - what tls_set.c and tls_show.c share. */
#ifndef SALLYPORT_PROXY_TLS_SET_PRIV_H
#define SALLYPORT_PROXY_TLS_SET_PRIV_H

#include <stdatomic.h>

#include "proxy/tls/secret_watch.h"
#include "proxy/tls/ticket_keys.h"
#include "proxy/tls/tls_set.h"

#define KIND_TLS_SET	KIND('T', 'L', 'S', 'S')

/* One terminating chain. */
struct tls_slot {
	_Atomic(SSL_CTX *) context;	/* owned; read by workers */
	uint64_t digest;		/* of the material in `context` */
	uint64_t told;			/* digest of the problem that was logged last; 0: none since it healed */
	uint64_t suspected;		/* of one that is looked at once more; 0: none */
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
	struct secret_watch *watch;	/* owned */
	struct ticket_keys *ticket_keys;	/* owned; outlives every context */
};

#endif
