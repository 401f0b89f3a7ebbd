/* SPDX-License-Identifier: Apache-2.0
 *
 * transfers.h - libcurl's multi interface on a libevent loop: what runs there is told when it ended.
 *
 * Owner    a struct transfer is embedded in what it is for; its easy handle is the owner's, who sets it
 *          up before transfer_start() and reads it in `done`. Thread: the one that runs `base`.
 * Blocks   never: names are resolved in threads of libcurl's. */
#ifndef SALLYPORT_SPOA_TRANSFERS_H
#define SALLYPORT_SPOA_TRANSFERS_H

#include <curl/curl.h>

#include "sallyport/slice.h"

struct event_base;
struct transfers;

struct transfer {
	CURL *easy;			/* the owner's */
	/* It is under way no more; may free the transfer. */
	void (*done)(void *owner, CURLcode code);
	void *owner;
	struct transfers *transfers;	/* NULL: not under way */
};

/* `connections_max`: kept open for the next transfers. */
struct transfers *transfers_create(struct event_base *base, long connections_max);
/* Nothing is under way. Clears the caller's pointer; *tp may be NULL already. */
void transfers_free(struct transfers **tp);

/* A handle with what every transfer of ours has in common: http and https alone, TLS 1.2 or later, no
 * proxies of the environment, no signals. Never NULL. */
CURL *transfers_easy(void);

/* What CURLOPT_HEADERFUNCTION is given: a line of a head without its end, or empty. */
struct slice transfer_header_line(const char *at, size_t len);

/* `done` follows, never from inside this call. */
void transfer_start(struct transfers *ts, struct transfer *t);
/* `done` is not called. Harmless when it is not under way. */
void transfer_stop(struct transfer *t);

#endif
