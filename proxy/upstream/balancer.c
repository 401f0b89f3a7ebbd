/* SPDX-License-Identifier: Apache-2.0
 *
 * balancer.c - which endpoint gets the next request (spec/destination-rule.md 8). */
#include <stdlib.h>

#include "proxy/upstream/state_priv.h"

#define AVOID_PICKS_MAX		5	/* more picks for one that was not tried yet (15.4) */

/* Uniform below `n` without the bias of a remainder worth speaking of. */
static uint32_t draw(struct worker *w, uint32_t n)
{
	return (uint32_t)(((worker_random(w) >> 32) * n) >> 32);
}

/* --- earliest deadline first ------------------------------------------------------------------ */

static bool is_earlier(const struct edf_item *a, const struct edf_item *b)
{
	return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void swap(struct edf_item *a, struct edf_item *b)
{
	struct edf_item t = *a;

	*a = *b;
	*b = t;
}

static void sift_down(struct balancer *b, uint32_t at)
{
	for (;;) {
		uint32_t least = at, left = 2 * at + 1, right = 2 * at + 2;

		if (left < b->count && is_earlier(&b->heap[left], &b->heap[least]))
			least = left;
		if (right < b->count && is_earlier(&b->heap[right], &b->heap[least]))
			least = right;
		if (least == at)
			return;
		swap(&b->heap[at], &b->heap[least]);
		at = least;
	}
}

static double weight_of(const struct balancer *b, const struct set_entry *e)
{
	unsigned active;

	if (!b->by_load)
		return e->weight;
	active = atomic_load_explicit(&e->endpoint->active, memory_order_relaxed);
	return (double)e->weight / (active + 1.0);
}

/* Takes the earliest and files it again with the weight it has now. */
static uint32_t edf_pick(struct balancer *b, const struct endpoint_set *set)
{
	struct edf_item *first = &b->heap[0];
	uint32_t index = first->index;

	b->now = first->deadline;
	first->deadline = b->now + 1.0 / weight_of(b, &set->entries[index]);
	first->order = b->next_order++;
	sift_down(b, 0);
	return index;
}

static void edf_build(struct balancer *b, const struct endpoint_set *set, struct worker *w, bool by_load)
{
	if (b->room < set->healthy_count) {
		b->room = set->healthy_count;
		b->heap = realloc(b->heap, b->room * sizeof(*b->heap));
		must(b->heap != NULL);
	}
	b->count = set->healthy_count;
	b->by_load = by_load;
	b->scheduled = true;
	b->now = 0;
	b->next_order = 0;
	for (uint32_t i = 0; i < b->count; i++)
		b->heap[i] = (struct edf_item){ 1.0 / weight_of(b, &set->entries[i]), b->next_order++, i };
	for (uint32_t i = b->count / 2; i-- > 0; )
		sift_down(b, i);
	/* A random start: workers that were told at once must not all begin with the same. */
	for (uint32_t skip = draw(w, b->count); skip > 0; skip--)
		edf_pick(b, set);
}

/* --- policies ----------------------------------------------------------------------------------- */

/* Two at random, with replacement; the second only where it has strictly less to do. */
static uint32_t pick_least_request(const struct endpoint_set *set, struct worker *w)
{
	uint32_t a = draw(w, set->healthy_count), b = draw(w, set->healthy_count);
	unsigned a_active, b_active;

	a_active = atomic_load_explicit(&set->entries[a].endpoint->active, memory_order_relaxed);
	b_active = atomic_load_explicit(&set->entries[b].endpoint->active, memory_order_relaxed);
	return b_active < a_active ? b : a;
}

static uint32_t pick_scheduled(struct balancer *b, const struct endpoint_set *set, struct worker *w,
			       bool by_load)
{
	if (!b->scheduled || b->by_load != by_load)
		edf_build(b, set, w, by_load);
	return edf_pick(b, set);
}

static uint32_t pick_index(enum balance policy, struct balancer *b, const struct endpoint_set *set,
			   struct worker *w)
{
	switch (policy) {
	case BALANCE_RANDOM:
		return draw(w, set->healthy_count);
	case BALANCE_ROUND_ROBIN:
		if (set->weighted)
			return pick_scheduled(b, set, w, false);
		b->position = b->position + 1 < set->healthy_count ? b->position + 1 : 0;
		return b->position;
	case BALANCE_LEAST_REQUEST:
	case BALANCE_PASSTHROUGH:
		break;
	}
	return set->weighted ? pick_scheduled(b, set, w, true) : pick_least_request(set, w);
}

/* This worker's place in the cluster, begun anew where the set is not the one it was made for. */
static struct balancer *balancer_of(struct cluster_state *s, const struct endpoint_set *set,
				    struct worker *w)
{
	struct balancer *b = s->balancers[w->id];

	if (b == NULL) {
		b = calloc(1, sizeof(*b));
		must(b != NULL);
		s->balancers[w->id] = b;
	}
	if (b->serial != set->serial) {
		b->serial = set->serial;
		b->scheduled = false;
		b->position = draw(w, set->healthy_count);
	}
	return b;
}

void balancer_free(struct balancer **bp)
{
	struct balancer *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	free(b->heap);
	free(b);
}

static bool was_tried(const struct endpoint *e, struct endpoint *const *avoid, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (avoid[i] == e)
			return true;
	return false;
}

struct endpoint *cluster_pick(const struct cluster *c, struct worker *w, struct endpoint *const *avoid,
			      unsigned avoid_count)
{
	struct endpoint_set *set = atomic_load_explicit(&c->state->set, memory_order_acquire);
	struct balancer *b;
	struct endpoint *e;

	if (set == NULL || set->healthy_count == 0 || c->balance == BALANCE_PASSTHROUGH) {
		atomic_fetch_add_explicit(&c->state->counters.none_healthy, 1, memory_order_relaxed);
		return NULL;
	}
	if (set->healthy_count == 1)
		return endpoint_ref(set->entries[0].endpoint);
	b = balancer_of(c->state, set, w);
	e = set->entries[pick_index(c->balance, b, set, w)].endpoint;
	for (unsigned i = 0; i < AVOID_PICKS_MAX && was_tried(e, avoid, avoid_count); i++)
		e = set->entries[pick_index(c->balance, b, set, w)].endpoint;
	return endpoint_ref(e);
}
