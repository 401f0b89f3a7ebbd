/* SPDX-License-Identifier: Apache-2.0
 *
 * retry_budget.c - how many retries a cluster bears at a time (spec/destination-rule.md 9). The budget is
 * worked out when a retry asks for its place, from what the endpoints count anyway: requests that are not
 * retried pay nothing. */
#include "proxy/upstream/state_priv.h"

static uint64_t in_progress(const struct cluster *c)
{
	const struct endpoint_set *set = atomic_load_explicit(&c->state->set, memory_order_acquire);
	uint64_t active = 0;

	for (uint32_t i = 0; set != NULL && i < set->count; i++)
		active += atomic_load_explicit(&set->entries[i].endpoint->active, memory_order_relaxed);
	return active;
}

static uint64_t places(const struct cluster *c)
{
	uint64_t share;

	if (c->retry_budget_least == 0)
		return c->max_retries > 0 ? c->max_retries : UINT64_MAX;
	share = (uint64_t)(c->retry_budget_percent / 100 * (double)in_progress(c));
	return share > c->retry_budget_least ? share : c->retry_budget_least;
}

bool cluster_retry_begin(const struct cluster *c)
{
	struct cluster_counters *k = &c->state->counters;

	if (atomic_fetch_add_explicit(&k->retrying, 1, memory_order_relaxed) < places(c)) {
		atomic_fetch_add_explicit(&k->retries, 1, memory_order_relaxed);
		return true;
	}
	atomic_fetch_sub_explicit(&k->retrying, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&k->retry_overflows, 1, memory_order_relaxed);
	return false;
}

void cluster_retry_end(const struct cluster *c)
{
	atomic_fetch_sub_explicit(&c->state->counters.retrying, 1, memory_order_relaxed);
}
