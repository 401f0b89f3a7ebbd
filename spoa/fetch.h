/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.h - GET of a small document from a configured URL, asynchronously: libcurl's multi
 * interface on libevent, within the rules for outbound calls (spec/hardening.md 15).
 *
 * Owner    the creator owns fetcher and base; a fetch belongs to the fetcher and is gone after its
 *          callback or fetch_cancel().
 * Thread   the one that runs `base`.
 * Blocks   never: names are resolved in threads of libcurl's.
 * Fails    into the callback: not 2xx, too large, too slow, too many redirects, an https page that
 *          sends to http, an address that is refused. Proxies of the environment are not used: the
 *          address that is checked is the one that is connected to. */
#ifndef SALLYPORT_SPOA_FETCH_H
#define SALLYPORT_SPOA_FETCH_H

#include "sallyport/cidr.h"

struct event_base;
struct fetcher;
struct fetch;

#define FETCH_REDIRECTS_MAX	5u
#define FETCH_HEADER_BYTES_MAX	(64u << 10)	/* of all responses of one fetch */
#define FETCH_BLOCKS_MAX	64u
#define FETCH_CONNECTIONS_MAX	16u		/* kept for the next fetch */

struct fetch_rules {
	size_t body_bytes_max;
	const char *ca_file;		/* PEM, trusted beside the system's; NULL: none */
	bool refuse_loopback;
	const struct cidr *blocks;	/* no fetch connects to any address in these */
	size_t block_count;		/* FETCH_BLOCKS_MAX at the most */
};

/* NULL or why no connection may go there. Link-local, metadata, multicast and unspecified
 * addresses always, also where IPv6 wraps an IPv4 address; loopback and blocks by the rules. */
const char *fetch_refusal(const struct sockaddr *address, const struct fetch_rules *rules);

/* `rules` are copied. */
struct fetcher *fetcher_create(struct event_base *base, const struct fetch_rules *rules);
/* Cancels what is under way; clears the caller's pointer. */
void fetcher_free(struct fetcher **fp);

/* Borrowed for the call. */
struct fetch_reply {
	const char *error;		/* NULL: a 2xx with all of its body */
	struct slice body;
	/* For so long the response may be kept, by its Cache-Control (RFC 9111 5.2.2); 0 also for no-store and
	 * no-cache; -1: it does not say. */
	int64_t max_age_s;
};
typedef void fetch_done_fn(void *arg, const struct fetch_reply *reply);

/* `timeout_ms` bounds everything, redirects included. Never NULL; `done` is called later, once. */
struct fetch *fetch_start(struct fetcher *f, const char *url, int64_t timeout_ms,
			  fetch_done_fn *done, void *arg);
/* Nobody is called after this. *xp may be NULL already; cleared. */
void fetch_cancel(struct fetch **xp);

#endif
