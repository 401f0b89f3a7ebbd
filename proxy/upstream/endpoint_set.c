/* SPDX-License-Identifier: Apache-2.0
 *
 * endpoint_set.c - what a cluster publishes at once: its endpoints, healthy ones first. */
#include <stdlib.h>

#include "proxy/upstream/state_priv.h"

void endpoint_set_free(struct endpoint_set *set)
{
	if (set == NULL)
		return;
	for (uint32_t i = 0; i < set->count; i++)
		endpoint_unref(&set->entries[i].endpoint);
	free(set->by_address);
	free(set);
}

struct endpoint *endpoint_set_find(const struct endpoint_set *set, const struct sockaddr_storage *address,
				   socklen_t len)
{
	uint32_t low = 0, high = set != NULL ? set->count : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct endpoint *e = set->entries[set->by_address[middle]].endpoint;
		int order = endpoint_compare(e, address, len);

		if (order == 0)
			return e;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int by_address(const void *a, const void *b, void *arg)
{
	const struct endpoint_set *set = arg;
	const struct endpoint *y = set->entries[*(const uint32_t *)b].endpoint;

	return endpoint_compare(set->entries[*(const uint32_t *)a].endpoint, &y->sockaddr,
				y->sockaddr_len);
}

/* The endpoint of this address goes on living, with its counters and connections. */
static void set_add(struct endpoint_set *set, const struct endpoint_set *old, const struct candidate *c)
{
	struct endpoint *e = endpoint_set_find(old, &c->sockaddr, c->sockaddr_len);

	e = e != NULL ? endpoint_ref(e) : endpoint_create(&c->sockaddr, c->sockaddr_len);
	e->weight = c->weight;
	e->healthy = c->healthy;
	set->entries[set->count++] = (struct set_entry){ e, c->weight, c->healthy };
}

struct endpoint_set *endpoint_set_create(uint64_t serial, const struct candidates *all,
					 const struct endpoint_set *old)
{
	struct endpoint_set *set = calloc(1, sizeof(*set) + all->count * sizeof(set->entries[0]));

	must(set != NULL);
	set->serial = serial;
	for (uint32_t i = 0; i < all->count; i++)
		if (all->items[i].healthy)
			set_add(set, old, &all->items[i]);
	set->healthy_count = set->count;
	for (uint32_t i = 0; i < all->count; i++)
		if (!all->items[i].healthy)
			set_add(set, old, &all->items[i]);
	for (uint32_t i = 1; i < set->healthy_count; i++)
		set->weighted |= set->entries[i].weight != set->entries[0].weight;
	set->by_address = calloc(set->count + 1, sizeof(*set->by_address));
	must(set->by_address != NULL);
	for (uint32_t i = 0; i < set->count; i++)
		set->by_address[i] = i;
	qsort_r(set->by_address, set->count, sizeof(*set->by_address), by_address, set);
	return set;
}

bool endpoint_set_says(const struct endpoint_set *set, const struct candidates *all)
{
	uint32_t healthy = 0, unhealthy = 0;

	if (set == NULL || set->count != all->count)
		return false;
	for (uint32_t i = 0; i < all->count; i++) {
		const struct candidate *c = &all->items[i];
		uint32_t at = c->healthy ? healthy++ : set->healthy_count + unhealthy++;
		const struct set_entry *e;

		if (at >= (c->healthy ? set->healthy_count : set->count))
			return false;
		e = &set->entries[at];
		if (e->weight != c->weight || e->healthy != c->healthy ||
		    endpoint_compare(e->endpoint, &c->sockaddr, c->sockaddr_len) != 0)
			return false;
	}
	return true;
}
