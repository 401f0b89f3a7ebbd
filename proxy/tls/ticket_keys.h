/* SPDX-License-Identifier: Apache-2.0
 *
 * ticket_keys.h - the keys of session tickets: made in memory, shared by every server and worker, never
 * on disk.
 *
 * The newest key seals tickets. After one period (limits.ticketKeyRotation) another takes its place; the
 * one before still opens tickets for one more period, which is also how long a session lives, and is
 * wiped then. Reloads and new certificates leave the keys alone: whether a session may resume at a server
 * is for its session id context to say (context.c).
 *
 * Spec     spec/hardening.md T-80, T-83; spec/http.md 30.
 * Owner    the keys outlive every connection whose context uses them.
 * Thread   ticket_keys_use(), and OpenSSL's callbacks, on any thread, no lock. Everything else: main.
 * Fails    without random numbers or memory at the start: fatal. */
#ifndef SALLYPORT_PROXY_TICKET_KEYS_H
#define SALLYPORT_PROXY_TICKET_KEYS_H

#include <openssl/ssl.h>

#define TICKET_KEY_GENERATIONS	2u

struct event_base;
struct ticket_keys;
struct worker;

struct ticket_keys *ticket_keys_create(struct event_base *base, struct worker **workers, unsigned worker_count);
void ticket_keys_free(struct ticket_keys **kp);
/* Keys older than that give way at once, younger ones in time. */
void ticket_keys_set_rotation(struct ticket_keys *k, int64_t rotation_ms);

/* Tickets of this context are sealed and opened with these keys from now on. */
void ticket_keys_use(struct ticket_keys *k, SSL_CTX *ctx);

struct ticket_keys_state {
	int64_t age_ms, rotation_ms;	/* of the newest key */
	unsigned generations;		/* keys that open tickets */
	unsigned long rotations;
};
struct ticket_keys_state ticket_keys_state(const struct ticket_keys *k);

#endif
