/* SPDX-License-Identifier: Apache-2.0
 *
 * resolver.h - names to addresses, kept up to date: one query in flight for each name, however many
 * clusters watch it.
 *
 * Timing   the next query follows the answer's TTL, or `refresh_ms` after a failure, an empty
 *          answer or TTL 0 (spec/service-entry.md 13.3).
 * Families A, or AAAA where this host has no IPv4 address but loopback.
 * Owner    watches belong to who made them. Answers are borrowed until the next event.
 * Thread   the main thread's base. Blocks never, but for reading the hosts file. */
#ifndef SALLYPORT_PROXY_RESOLVER_H
#define SALLYPORT_PROXY_RESOLVER_H

#include <sys/socket.h>

#include "sallyport/slice.h"

#define RESOLVER_TRIES		4	/* a query */
#define RESOLVER_TIMEOUT_MS	5000	/* a try */
#define RESOLVER_TTL_MIN_MS	1000
#define RESOLVER_JITTER_MS	100	/* added to a TTL, so that names do not march in step */
#define RESOLVER_NAME_MAX	255u
#define RESOLVER_ADDRESSES_MAX	1024u	/* of one name */

struct event_base;
struct resolver;
struct resolver_watch;

/* Set members differ from the system's only in tests. */
struct resolver_options {
	const char *resolv_conf;	/* NULL: /etc/resolv.conf */
	const char *hosts;		/* NULL: /etc/hosts */
	const char *nameserver;		/* "ip:port" in place of those of resolv_conf */
	int timeout_ms, tries;		/* 0: as above */
	bool ipv6;			/* AAAA, whatever addresses this host has */
};

enum resolved { RESOLVED_NOTHING_YET, RESOLVED_OK, RESOLVED_NO_SUCH_NAME, RESOLVED_FAILED };

/* The last answer. A failure leaves the addresses of the answer before it. */
struct resolver_answer {
	enum resolved outcome;
	const struct sockaddr_storage *addresses;	/* port 0, each once, in the order received */
	size_t count;
};

/* `options` NULL: the system's. Never NULL: without a name server every query fails and is asked
 * again later. */
struct resolver *resolver_create(struct event_base *base, const struct resolver_options *options);
void resolver_free(struct resolver **rp);

/* Asks at once where nobody watches the name yet. `on_answer` follows each answer or
 * failure; never from inside this call. It may watch and unwatch other names. */
struct resolver_watch *resolver_watch(struct resolver *r, struct slice name, int64_t refresh_ms,
				      void (*on_answer)(void *arg), void *arg);
/* Clears the caller's pointer; *wp may be NULL already. Not from inside its own on_answer(). */
void resolver_unwatch(struct resolver_watch **wp);
struct resolver_answer resolver_watch_answer(const struct resolver_watch *w);

#endif
