/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/ledger.h"

#include <stdio.h>

#include "sallyport/clock.h"
#include "sallyport/log.h"
#include "spoa/policy_priv.h"
#include "spoa/token.h"

struct ledger *ledger_create(struct arena *a, size_t rule_count, bool on_trial)
{
	struct ledger *l = arena_new(a, struct ledger);

	l->decided = arena_array(a, atomic_ulong, rule_count);
	l->rule_count = rule_count;
	if (on_trial)
		l->requests = arena_array(a, struct ledger_request, LEDGER_REQUESTS);
	must(pthread_mutex_init(&l->lock, NULL) == 0);
	return l;
}

void ledger_free(struct ledger *l)
{
	pthread_mutex_destroy(&l->lock);
}

static void up(atomic_ulong *n, unsigned long by)
{
	atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

void ledger_count(struct ledger *l, size_t rule)
{
	must(rule < l->rule_count);
	up(&l->decided[rule], 1);
}

void ledger_count_unmatched(struct ledger *l)
{
	up(&l->unmatched, 1);
}

/* Cut to fit. What a stranger sent is going to be shown on somebody's terminal. */
static void put(char *out, size_t bytes, struct slice s)
{
	size_t len = s.len < bytes - 1 ? s.len : bytes - 1;

	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)s.at[i] < ' ' || s.at[i] == 0x7f ? '?' : s.at[i];
	out[len] = '\0';
}

static void describe(const struct request *r, struct ledger_request *q)
{
	const struct check *c = r->check;
	char ip[IP_TEXT_BYTES], principal[sizeof(q->principal)];

	q->wall_us = clock_wall_us();
	put(q->source, sizeof(q->source), c->remote_ip.known ? slice_of(ip_format(&c->remote_ip.ip, ip)) :
	    SLICE("-"));
	put(q->method, sizeof(q->method), c->method);
	put(q->authority, sizeof(q->authority), r->authority);
	put(q->path, sizeof(q->path), r->path);
	put(q->request_id, sizeof(q->request_id), c->request_id);
	q->principal[0] = '\0';
	if (r->token != NULL) {
		snprintf(principal, sizeof(principal), "%.*s/%.*s", SLICE_ARG(r->token->iss),
			 SLICE_ARG(r->token->sub));
		put(q->principal, sizeof(q->principal), slice_of(principal));
	}
}

void ledger_note(struct ledger *l, const struct request *r)
{
	must(l->requests != NULL && pthread_mutex_lock(&l->lock) == 0);
	describe(r, &l->requests[l->request_count++ % LEDGER_REQUESTS]);
	must(pthread_mutex_unlock(&l->lock) == 0);
}

void ledger_carry(struct ledger *l, struct ledger *last)
{
	must(l->rule_count == last->rule_count && (l->requests == NULL) == (last->requests == NULL));
	for (size_t i = 0; i < l->rule_count; i++)
		up(&l->decided[i], atomic_load_explicit(&last->decided[i], memory_order_relaxed));
	up(&l->unmatched, atomic_load_explicit(&last->unmatched, memory_order_relaxed));
	if (l->requests == NULL)
		return;
	must(pthread_mutex_lock(&last->lock) == 0);
	memcpy(l->requests, last->requests, LEDGER_REQUESTS * sizeof(*l->requests));
	l->request_count = last->request_count;
	must(pthread_mutex_unlock(&last->lock) == 0);
}

unsigned ledger_requests(struct ledger *l, struct ledger_request out[LEDGER_REQUESTS])
{
	unsigned count;

	if (l->requests == NULL)
		return 0;
	must(pthread_mutex_lock(&l->lock) == 0);
	count = l->request_count < LEDGER_REQUESTS ? (unsigned)l->request_count : LEDGER_REQUESTS;
	for (unsigned i = 0; i < count; i++)
		out[i] = l->requests[(l->request_count - 1 - i) % LEDGER_REQUESTS];
	must(pthread_mutex_unlock(&l->lock) == 0);
	return count;
}
