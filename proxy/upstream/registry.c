/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.c - the living half of clusters: kept by name across reloads, endpoints published to the
 * workers as whole sets. */
#include <event2/event.h>
#include <stdlib.h>

#include "proxy/upstream/state_priv.h"

#define SWEEP_S		2	/* how often states that wait for their last reference are looked at */

struct cluster_registry {
	struct event_base *base;	/* borrowed */
	struct worker **workers;	/* borrowed */
	unsigned worker_count;
	endpoint_left_fn *left;
	struct resolver *resolver;	/* owned */
	struct cluster_state *states;	/* owned; by name */
	struct event *sweep;		/* owned */
	uint64_t next_serial;
	TAILQ_HEAD(, endpoint_set) retired;	/* owned; until the workers have let go of them */
};

/* --- sets --------------------------------------------------------------------------------------- */

static void on_set_unused(void *arg)
{
	struct endpoint_set *set = arg;

	TAILQ_REMOVE(&set->registry->retired, set, retired_link);
	endpoint_set_free(set);
}

/* Workers may be looking at it in this very turn. */
static void set_retire(struct cluster_registry *r, struct endpoint_set *set)
{
	TAILQ_INSERT_TAIL(&r->retired, set, retired_link);
	workers_quiesce(r->workers, r->worker_count, r->base, on_set_unused, set);
}

/* --- telling the workers that an endpoint left ------------------------------------------------ */

struct farewell {
	struct endpoint *endpoint;	/* one reference */
	endpoint_left_fn *left;
};

static void on_farewell(struct worker *w, void *arg)
{
	struct farewell *f = arg;

	f->left(w, f->endpoint);
	endpoint_unref(&f->endpoint);
	free(f);
}

static void say_farewell(struct cluster_registry *r, struct endpoint *e)
{
	for (unsigned i = 0; r->left != NULL && i < r->worker_count; i++) {
		struct farewell *f = malloc(sizeof(*f));

		must(f != NULL);
		*f = (struct farewell){ endpoint_ref(e), r->left };
		worker_post(r->workers[i], on_farewell, f);
	}
}

static void tell_left(struct cluster_registry *r, const struct endpoint_set *old,
		      const struct endpoint_set *set)
{
	for (uint32_t i = 0; old != NULL && i < old->count; i++) {
		struct endpoint *e = old->entries[i].endpoint;

		if (endpoint_set_find(set, &e->sockaddr, e->sockaddr_len) == NULL)
			say_farewell(r, e);
	}
}

/* --- what a cluster's targets stand for now ----------------------------------------------------- */

static void add_candidate(struct candidates *all, const struct target *t,
			  const struct sockaddr_storage *address, socklen_t len)
{
	struct candidate *c;

	if (all->count == all->room) {
		all->room = all->room > 0 ? all->room * 2 : 8;
		all->items = realloc(all->items, all->room * sizeof(*all->items));
		must(all->items != NULL);
	}
	c = &all->items[all->count];
	*c = (struct candidate){ .sockaddr = *address, .sockaddr_len = len, .weight = t->weight,
				 .healthy = t->healthy, .order = all->count };
	all->count++;
}

static socklen_t with_port(struct sockaddr_storage *a, uint16_t port)
{
	if (a->ss_family == AF_INET6) {
		((struct sockaddr_in6 *)a)->sin6_port = htons(port);
		return sizeof(struct sockaddr_in6);
	}
	((struct sockaddr_in *)a)->sin_port = htons(port);
	return sizeof(struct sockaddr_in);
}

static int candidate_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->sockaddr_len != y->sockaddr_len)
		return x->sockaddr_len < y->sockaddr_len ? -1 : 1;
	return memcmp(&x->sockaddr, &y->sockaddr, x->sockaddr_len);
}

/* Every address of the name. Name servers rotate them, which must not look like a change. */
static void add_resolved(struct candidates *all, const struct target *t)
{
	struct resolver_answer answer = resolver_watch_answer(t->watch);
	uint32_t first = all->count;

	for (size_t i = 0; i < answer.count; i++) {
		struct sockaddr_storage a = answer.addresses[i];
		socklen_t len = with_port(&a, t->port);

		add_candidate(all, t, &a, len);
	}
	if (all->count > first)
		qsort(all->items + first, all->count - first, sizeof(*all->items), candidate_order);
}

/* The first address of the latest answer that had any. */
static void add_logical(struct candidates *all, struct target *t)
{
	struct resolver_answer answer = resolver_watch_answer(t->watch);

	if (answer.count > 0) {
		t->sockaddr = answer.addresses[0];
		t->sockaddr_len = with_port(&t->sockaddr, t->port);
	}
	if (t->sockaddr_len > 0)
		add_candidate(all, t, &t->sockaddr, t->sockaddr_len);
}

static int by_address_then_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = candidate_order(a, b);

	return order != 0 ? order : x->order < y->order ? -1 : 1;
}

static int by_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* The same address from two names stands once, at its first place. */
static void drop_repeats(struct candidates *all)
{
	uint32_t kept = 0;

	if (all->count < 2)
		return;
	for (uint32_t i = 0; i < all->count; i++)
		all->items[i].order = i;
	qsort(all->items, all->count, sizeof(*all->items), by_address_then_order);
	for (uint32_t i = 0; i < all->count; i++)
		if (kept == 0 || candidate_order(&all->items[i], &all->items[kept - 1]) != 0)
			all->items[kept++] = all->items[i];
	all->count = kept;
	qsort(all->items, all->count, sizeof(*all->items), by_order);
}

static void publish(struct cluster_state *s)
{
	struct endpoint_set *old = atomic_load_explicit(&s->set, memory_order_relaxed), *set;
	struct candidates all = { 0 };

	for (size_t i = 0; i < s->target_count; i++) {
		struct target *t = &s->targets[i];

		if (t->watch == NULL)
			add_candidate(&all, t, &t->sockaddr, t->sockaddr_len);
		else if (s->logical)
			add_logical(&all, t);
		else
			add_resolved(&all, t);
	}
	drop_repeats(&all);
	if (!endpoint_set_says(old, &all)) {
		set = endpoint_set_create(++s->registry->next_serial, &all, old);
		set->registry = s->registry;
		atomic_store_explicit(&s->set, set, memory_order_release);
		tell_left(s->registry, old, set);
		if (old != NULL)
			set_retire(s->registry, old);
	}
	free(all.items);
}

static void on_answer(void *arg)
{
	publish(arg);
}

/* --- states ------------------------------------------------------------------------------------- */

static void free_targets(struct target *targets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		resolver_unwatch(&targets[i].watch);
	free(targets);
}

/* Takes over what the new snapshot's documents say. New names are watched before old ones are let
 * go of: a name in both keeps its answer. */
static void configure(struct cluster_state *s, const struct cluster *c)
{
	struct target *old = s->targets;
	size_t old_count = s->target_count;

	s->logical = c->resolution == RESOLVE_LOGICAL;
	s->target_count = c->endpoints.count;
	s->targets = calloc(c->endpoints.count + 1, sizeof(*s->targets));
	must(s->targets != NULL);
	for (size_t i = 0; i < c->endpoints.count; i++) {
		const struct endpoint_spec *e = &c->endpoints.items[i];

		s->targets[i] = (struct target){ .sockaddr = e->sockaddr, .sockaddr_len = e->sockaddr_len,
						 .port = e->port, .weight = e->weight,
						 .healthy = e->healthy };
		if (e->sockaddr_len == 0)
			s->targets[i].watch = resolver_watch(s->registry->resolver, e->address,
							     c->dns_refresh_ms, on_answer, s);
	}
	free_targets(old, old_count);
	publish(s);
}

/* Its endpoints stay published: streams of an older snapshot may still pick one. */
static void deactivate(struct cluster_state *s)
{
	s->active = false;
	free_targets(s->targets, s->target_count);
	s->targets = NULL;
	s->target_count = 0;
}

static struct cluster_state *state_create(struct cluster_registry *r, struct slice name)
{
	struct cluster_state *s = calloc(1, sizeof(*s));

	must(s != NULL);
	s->name = strndup(name.at, name.len);
	must(s->name != NULL);
	s->registry = r;
	HASH_ADD_KEYPTR(hh, r->states, s->name, name.len, s);
	return s;
}

static void state_free(struct cluster_registry *r, struct cluster_state *s)
{
	struct endpoint_set *set = atomic_load(&s->set);

	HASH_DEL(r->states, s);
	deactivate(s);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		balancer_free(&s->balancers[i]);
	tell_left(r, set, NULL);
	endpoint_set_free(set);
	free(s->name);
	free(s);
}

/* Frees states that no snapshot names any more; looks again later where one waits for that. */
static void sweep(struct cluster_registry *r)
{
	const struct timeval later = { .tv_sec = SWEEP_S };
	struct cluster_state *s, *next;
	bool waiting = false;

	HASH_ITER(hh, r->states, s, next) {
		if (s->active)
			continue;
		if (atomic_load_explicit(&s->refs, memory_order_acquire) == 0)
			state_free(r, s);
		else
			waiting = true;
	}
	if (waiting)
		event_add(r->sweep, &later);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	sweep(arg);
}

struct cluster_registry *cluster_registry_create(struct event_base *base, struct worker **workers,
						 unsigned worker_count, endpoint_left_fn *left)
{
	return cluster_registry_create_with(base, workers, worker_count, left, NULL);
}

struct cluster_registry *cluster_registry_create_with(struct event_base *base, struct worker **workers,
						      unsigned worker_count, endpoint_left_fn *left,
						      const struct resolver_options *options)
{
	struct cluster_registry *r = calloc(1, sizeof(*r));

	must(r != NULL);
	r->base = base;
	r->workers = workers;
	r->worker_count = worker_count;
	r->left = left;
	TAILQ_INIT(&r->retired);
	r->resolver = resolver_create(base, options);
	r->sweep = event_new(base, -1, 0, on_sweep, r);
	must(r->sweep != NULL);
	return r;
}

void cluster_registry_free(struct cluster_registry **rp)
{
	struct cluster_registry *r = *rp;
	struct cluster_state *s, *next;
	struct endpoint_set *set;

	*rp = NULL;
	if (r == NULL)
		return;
	r->left = NULL;		/* nobody is there to hear it */
	HASH_ITER(hh, r->states, s, next)
		state_free(r, s);
	while ((set = TAILQ_FIRST(&r->retired)) != NULL) {
		TAILQ_REMOVE(&r->retired, set, retired_link);
		endpoint_set_free(set);
	}
	resolver_free(&r->resolver);
	event_free(r->sweep);
	free(r);
}

void cluster_registry_prepare(struct cluster_registry *r, struct cluster *const *clusters, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct cluster *c = clusters[i];
		struct cluster_state *s;

		HASH_FIND(hh, r->states, c->name.at, c->name.len, s);
		if (s == NULL)
			s = state_create(r, c->name);
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
		c->state = s;
	}
}

void cluster_registry_activate(struct cluster_registry *r, struct cluster *const *clusters, size_t count)
{
	struct cluster_state *s, *next;

	for (size_t i = 0; i < count; i++) {
		s = clusters[i]->state;
		s->wanted = s->active = true;
		configure(s, clusters[i]);
	}
	HASH_ITER(hh, r->states, s, next) {
		if (s->active && !s->wanted)
			deactivate(s);
		s->wanted = false;
	}
	sweep(r);
}

void clusters_release(struct cluster *const *clusters, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct cluster_state *s = clusters[i]->state;

		clusters[i]->state = NULL;
		if (s != NULL)
			atomic_fetch_sub_explicit(&s->refs, 1, memory_order_release);
	}
}

bool cluster_registry_resolved(const struct cluster_registry *r)
{
	for (const struct cluster_state *s = r->states; s != NULL; s = s->hh.next)
		for (size_t i = 0; i < s->target_count; i++)
			if (s->targets[i].watch != NULL &&
			    resolver_watch_answer(s->targets[i].watch).outcome == RESOLVED_NOTHING_YET)
				return false;
	return true;
}

struct cluster_counters *cluster_counters(const struct cluster *c)
{
	return &c->state->counters;
}

void cluster_visit_endpoints(const struct cluster *c, void (*visit)(void *arg, const struct endpoint *e),
			     void *arg)
{
	const struct endpoint_set *set = atomic_load_explicit(&c->state->set, memory_order_acquire);

	for (uint32_t i = 0; set != NULL && i < set->count; i++)
		visit(arg, set->entries[i].endpoint);
}
