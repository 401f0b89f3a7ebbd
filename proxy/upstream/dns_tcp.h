/* SPDX-License-Identifier: Apache-2.0
 *
 * dns_tcp.h - one DNS query by the C library on a thread of its own: for answers that do not fit into
 * a datagram, which libevent's client cannot ask for again over TCP.
 *
 * Rare: a name with more than about 28 addresses. One thread a query, gone with it.
 * Owner    the job belongs to who asked until `done` is called or dns_tcp_cancel().
 * Thread   asked, answered and cancelled on the base's thread. Blocks never. */
#ifndef SALLYPORT_PROXY_DNS_TCP_H
#define SALLYPORT_PROXY_DNS_TCP_H

#include <sys/socket.h>

#include "proxy/upstream/resolver.h"

#define DNS_TCP_JOBS_MAX	64u	/* threads at a time; beyond, a query fails */

struct dns_tcp_job;

typedef void dns_tcp_done(void *arg, enum resolved outcome, const struct sockaddr_storage *addresses,
			  size_t count, unsigned ttl_s);

/* `server` NULL: those of the system's resolv.conf. `family` AF_INET or AF_INET6. `done` comes from the
 * loop. NULL: too many are on their way, or no thread can be had. */
struct dns_tcp_job *dns_tcp_ask(struct event_base *base, const char *name, int family,
				const struct sockaddr_in *server, int timeout_ms, dns_tcp_done *done,
				void *arg);
/* `done` is not called any more. Clears the caller's pointer; *jp may be NULL already. */
void dns_tcp_cancel(struct dns_tcp_job **jp);

/* The addresses of a DNS answer of that family, each once, and the least TTL on the way to them.
 * False: it is malformed. Exposed for tests and fuzzing. */
bool dns_answer_parse(const unsigned char *answer, size_t len, int family,
		      struct sockaddr_storage *out, size_t max, size_t *count, unsigned *ttl_s);

#endif
