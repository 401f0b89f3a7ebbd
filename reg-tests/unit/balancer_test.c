/* SPDX-License-Identifier: Apache-2.0
 *
 * balancer_test.c - which endpoint gets how much, and what of it survives a reload. */
#include "upstream_rig.h"

#define PICKS	20000

/* How often each of the first endpoints was picked, by the last digit of its address. */
static void pick_many(struct rig *r, struct cluster *c, unsigned picks, unsigned *counts, unsigned n)
{
	memset(counts, 0, n * sizeof(*counts));
	for (unsigned i = 0; i < picks; i++) {
		struct endpoint *e = cluster_pick(c, r->worker, NULL, 0);
		unsigned last;

		assert_non_null(e);
		last = ntohl(((struct sockaddr_in *)&e->sockaddr)->sin_addr.s_addr) & 0xff;
		assert_true(last < n);
		counts[last]++;
		endpoint_unref(&e);
	}
}

static struct cluster *three(struct rig *r, const char *name, enum balance balance)
{
	struct cluster *c = rig_cluster(r, name);

	c->balance = balance;
	rig_endpoint(c, "10.0.0.0", 80);
	rig_endpoint(c, "10.0.0.1", 80);
	rig_endpoint(c, "10.0.0.2", 80);
	return c;
}

static void assert_share(unsigned count, double share)
{
	double wanted = PICKS * share;

	/* Six standard deviations of a binomial: not once in a hundred million runs. */
	assert_true(count > wanted - 6 * 71 && count < wanted + 6 * 71);
}

static void test_round_robin_takes_turns(void **state)
{
	unsigned counts[3];
	struct endpoint *e[6];
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = three(&r, "rr", BALANCE_ROUND_ROBIN);
	rig_serve(&r, c);
	for (int i = 0; i < 6; i++)
		e[i] = cluster_pick(c, r.worker, NULL, 0);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(e[i], e[i + 3]);
		assert_ptr_not_equal(e[i], e[(i + 1) % 3]);
	}
	for (int i = 0; i < 6; i++)
		endpoint_unref(&e[i]);
	pick_many(&r, c, 3000, counts, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(counts[i], 1000);
	clusters_release(&c, 1);
	rig_fini(&r);
}

/* Workers must not all begin with the same endpoint. */
static void test_round_robin_starts_anywhere(void **state)
{
	unsigned seen = 0;

	(void)state;
	for (int i = 0; i < 64 && seen != 7; i++) {
		unsigned counts[3];
		struct cluster *c;
		struct rig r;

		rig_init(&r, NULL, NULL);
		c = three(&r, "rr", BALANCE_ROUND_ROBIN);
		rig_serve(&r, c);
		pick_many(&r, c, 1, counts, 3);
		for (unsigned k = 0; k < 3; k++)
			seen |= counts[k] << k;
		clusters_release(&c, 1);
		rig_fini(&r);
	}
	assert_int_equal(seen, 7);
}

static void test_weighted_round_robin_is_exact(void **state)
{
	unsigned counts[3];
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = three(&r, "weighted", BALANCE_ROUND_ROBIN);
	c->endpoints.items[0].weight = 5;
	c->endpoints.items[2].weight = 4;
	rig_serve(&r, c);
	pick_many(&r, c, 1, counts, 3);
	/* Ten picks are a whole round of 5 + 1 + 4, wherever it began. */
	for (int i = 0; i < 20; i++) {
		pick_many(&r, c, 10, counts, 3);
		assert_in_range(counts[0], 4, 6);
		assert_in_range(counts[1], 0, 2);
		assert_in_range(counts[2], 3, 5);
	}
	pick_many(&r, c, 10000, counts, 3);
	assert_in_range(counts[0], 4999, 5001);
	assert_in_range(counts[1], 999, 1001);
	assert_in_range(counts[2], 3999, 4001);
	clusters_release(&c, 1);
	rig_fini(&r);
}

static void test_random_ignores_weights(void **state)
{
	unsigned counts[3];
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = three(&r, "random", BALANCE_RANDOM);
	c->endpoints.items[0].weight = 100;
	rig_serve(&r, c);
	pick_many(&r, c, PICKS, counts, 3);
	for (int i = 0; i < 3; i++)
		assert_share(counts[i], 1.0 / 3);
	clusters_release(&c, 1);
	rig_fini(&r);
}

/* Two draws with replacement: the busiest of three wins only where both draws hit it (1/9), the
 * least busy wherever one of them does (5/9). */
static void test_least_request_is_the_better_of_two(void **state)
{
	struct endpoint *by_digit[3] = { NULL };
	unsigned counts[3];
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = three(&r, "least", BALANCE_LEAST_REQUEST);
	rig_serve(&r, c);
	pick_many(&r, c, PICKS, counts, 3);
	for (int i = 0; i < 3; i++)
		assert_share(counts[i], 1.0 / 3);
	while (by_digit[0] == NULL || by_digit[1] == NULL || by_digit[2] == NULL) {
		struct endpoint *e = cluster_pick(c, r.worker, NULL, 0);
		unsigned last = (unsigned)(e->text.at[7] - '0');

		by_digit[last] = e;	/* the set keeps it alive */
		endpoint_unref(&e);
	}
	for (unsigned i = 0; i < 3; i++)
		atomic_store(&by_digit[i]->active, i);
	pick_many(&r, c, PICKS, counts, 3);
	assert_share(counts[0], 5.0 / 9);
	assert_share(counts[1], 3.0 / 9);
	assert_share(counts[2], 1.0 / 9);
	clusters_release(&c, 1);
	rig_fini(&r);
}

/* Weights differ: w / (active + 1), so that load evens a threefold weight out. */
static void test_weighted_least_request_minds_the_load(void **state)
{
	unsigned counts[2];
	struct endpoint *heavy = NULL;
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = rig_cluster(&r, "weighted least");
	rig_endpoint(c, "10.0.0.0", 80)->weight = 3;
	rig_endpoint(c, "10.0.0.1", 80);
	rig_serve(&r, c);
	pick_many(&r, c, 4000, counts, 2);
	assert_in_range(counts[0], 2998, 3002);
	while (heavy == NULL) {
		struct endpoint *e = cluster_pick(c, r.worker, NULL, 0);

		if (e->weight == 3)
			heavy = e;
		endpoint_unref(&e);
	}
	atomic_store(&heavy->active, 2);
	pick_many(&r, c, 4000, counts, 2);
	assert_in_range(counts[0], 1990, 2010);
	clusters_release(&c, 1);
	rig_fini(&r);
}

static void test_unhealthy_ones_get_nothing(void **state)
{
	unsigned counts[3];
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = three(&r, "unhealthy", BALANCE_LEAST_REQUEST);
	c->endpoints.items[1].healthy = false;
	rig_serve(&r, c);
	pick_many(&r, c, 1000, counts, 3);
	assert_int_equal(counts[1], 0);
	assert_true(counts[0] > 0 && counts[2] > 0);
	assert_string_equal(rig_endpoints(&r, c), "10.0.0.0:80 10.0.0.2:80 10.0.0.1:80");
	clusters_release(&c, 1);
	rig_fini(&r);
}

static void test_nothing_to_pick(void **state)
{
	struct cluster *empty, *passthrough, *all[2];
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	empty = rig_cluster(&r, "empty");
	passthrough = three(&r, "passthrough", BALANCE_PASSTHROUGH);
	all[0] = empty;
	all[1] = passthrough;
	cluster_registry_prepare(r.registry, all, 2);
	assert_null(cluster_pick(empty, r.worker, NULL, 0));	/* nothing published yet */
	cluster_registry_activate(r.registry, all, 2);
	assert_null(cluster_pick(empty, r.worker, NULL, 0));
	assert_null(cluster_pick(passthrough, r.worker, NULL, 0));
	assert_int_equal(atomic_load(&cluster_counters(empty)->none_healthy), 2);
	clusters_release(all, 2);
	rig_fini(&r);
}

/* At most five more picks; with every endpoint tried the last pick counts. */
static void test_a_retry_avoids_what_was_tried(void **state)
{
	struct endpoint *tried[3];
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = three(&r, "retry", BALANCE_ROUND_ROBIN);
	rig_serve(&r, c);
	tried[0] = cluster_pick(c, r.worker, NULL, 0);
	tried[1] = cluster_pick(c, r.worker, tried, 1);
	tried[2] = cluster_pick(c, r.worker, tried, 2);
	assert_ptr_not_equal(tried[0], tried[1]);
	assert_ptr_not_equal(tried[0], tried[2]);
	assert_ptr_not_equal(tried[1], tried[2]);
	for (int i = 0; i < 10; i++) {
		struct endpoint *e = cluster_pick(c, r.worker, tried, 2);

		assert_ptr_equal(e, tried[2]);
		endpoint_unref(&e);
		e = cluster_pick(c, r.worker, tried, 3);
		assert_non_null(e);
		endpoint_unref(&e);
	}
	for (int i = 0; i < 3; i++)
		endpoint_unref(&tried[i]);
	clusters_release(&c, 1);
	rig_fini(&r);
}

static char left[256];

static void on_left(struct worker *w, struct endpoint *e)
{
	if (w->id == 0 && strlen(left) < sizeof(left) / 2)
		rig_list_one(left, e);
}

/* An address that both snapshots name goes on with its counters; one that left is told of. */
static void test_a_reload_keeps_what_stays(void **state)
{
	struct endpoint *before, *after;
	struct cluster *old, *new, *again;
	uint64_t serial;
	struct rig r;

	(void)state;
	left[0] = '\0';
	rig_init(&r, on_left, NULL);
	old = rig_cluster(&r, "outbound|80||a.test");
	rig_endpoint(old, "10.0.0.1", 80);
	rig_serve(&r, old);
	before = cluster_pick(old, r.worker, NULL, 0);
	atomic_store(&before->requests, 42);
	atomic_store(&cluster_counters(old)->requests, 7);

	/* The same documents again: nothing is published anew. */
	serial = atomic_load(&old->state->set)->serial;
	again = rig_cluster(&r, "outbound|80||a.test");
	rig_endpoint(again, "10.0.0.1", 80);
	rig_serve(&r, again);
	assert_ptr_equal(again->state, old->state);
	assert_int_equal(atomic_load(&again->state->set)->serial, serial);

	new = rig_cluster(&r, "outbound|80||a.test");
	rig_endpoint(new, "10.0.0.1", 80)->weight = 9;
	rig_endpoint(new, "10.0.0.2", 80);
	rig_serve(&r, new);
	assert_ptr_equal(new->state, old->state);
	assert_true(atomic_load(&new->state->set)->weighted);
	assert_string_equal(rig_endpoints(&r, old), "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(atomic_load(&before->requests), 42);
	assert_int_equal(before->weight, 9);
	clusters_release(&old, 1);
	clusters_release(&again, 1);
	assert_null(old->state);
	rig_settle(&r);
	assert_string_equal(left, "");

	old = new;
	new = rig_cluster(&r, "outbound|80||a.test");
	rig_endpoint(new, "10.0.0.2", 80);
	rig_serve(&r, new);
	rig_settle(&r);
	assert_string_equal(left, "10.0.0.1:80");
	after = cluster_pick(new, r.worker, NULL, 0);
	assert_ptr_not_equal(after, before);
	assert_int_equal(atomic_load(&cluster_counters(new)->requests), 7);
	endpoint_unref(&before);
	endpoint_unref(&after);
	clusters_release(&old, 1);
	clusters_release(&new, 1);
	rig_fini(&r);
}

/* A cluster that only the old snapshot names answers its streams until that is gone. */
static void test_a_dropped_cluster_lives_as_long_as_its_snapshot(void **state)
{
	struct cluster *old, *new;
	struct endpoint *e;
	struct rig r;

	(void)state;
	left[0] = '\0';
	rig_init(&r, on_left, NULL);
	old = rig_cluster(&r, "old");
	rig_endpoint(old, "10.0.0.1", 80);
	rig_serve(&r, old);
	new = rig_cluster(&r, "new");
	rig_endpoint(new, "10.0.0.2", 80);
	rig_serve(&r, new);
	rig_settle(&r);
	e = cluster_pick(old, r.worker, NULL, 0);
	assert_non_null(e);
	endpoint_unref(&e);
	assert_string_equal(left, "");
	clusters_release(&old, 1);
	cluster_registry_prepare(r.registry, &new, 1);
	clusters_release(&new, 1);
	new->state = NULL;
	cluster_registry_prepare(r.registry, &new, 1);
	cluster_registry_activate(r.registry, &new, 1);
	rig_settle(&r);
	assert_string_equal(left, "10.0.0.1:80");
	clusters_release(&new, 1);
	rig_fini(&r);
}

/* Numbers of endpoints that are gone are used again: tables do not grow with reloads. */
static void test_slots_are_reused(void **state)
{
	uint32_t highest = 0;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	for (unsigned i = 0; i < 200; i++) {
		struct cluster *c = rig_cluster(&r, "slots");
		struct endpoint *e;

		rig_endpoint(c, i % 2 == 0 ? "10.0.0.1" : "10.0.0.2", 80);
		rig_serve(&r, c);
		rig_settle(&r);
		e = cluster_pick(c, r.worker, NULL, 0);
		highest = e->slot > highest ? e->slot : highest;
		endpoint_unref(&e);
		clusters_release(&c, 1);
	}
	assert_in_range(highest, 0, 8);
	rig_fini(&r);
}

static void test_the_same_address_stands_once(void **state)
{
	struct cluster *c;
	struct rig r;

	(void)state;
	rig_init(&r, NULL, NULL);
	c = rig_cluster(&r, "twice");
	rig_endpoint(c, "10.0.0.2", 80);
	rig_endpoint(c, "10.0.0.1", 80);
	rig_endpoint(c, "10.0.0.2", 80);
	rig_endpoint(c, "10.0.0.2", 81);
	rig_serve(&r, c);
	assert_string_equal(rig_endpoints(&r, c), "10.0.0.2:80 10.0.0.1:80 10.0.0.2:81");
	clusters_release(&c, 1);
	rig_fini(&r);
}

/* --- with threads ------------------------------------------------------------------------------- */

struct picker {
	const struct cluster *cluster;
	atomic_bool stop;
	atomic_uint running, picks;
};

static void pick_for_a_turn(struct worker *w, void *arg)
{
	struct picker *p = arg;

	for (int i = 0; i < 50; i++) {
		struct endpoint *e = cluster_pick(p->cluster, w, NULL, 0);

		if (e == NULL)
			continue;
		atomic_fetch_add(&e->active, 1);
		atomic_fetch_add(&p->picks, 1);
		atomic_fetch_sub(&e->active, 1);
		endpoint_unref(&e);
	}
	if (atomic_load(&p->stop))
		atomic_fetch_sub(&p->running, 1);
	else
		worker_post(w, pick_for_a_turn, p);
}

/* Sets come and go under workers that pick from them all the time. */
static void test_publishing_while_workers_pick(void **state)
{
	struct worker *workers[2] = { worker_create(0), worker_create(1) };
	struct event_base *base;
	struct cluster_registry *registry;
	struct cluster *serving = NULL;
	struct picker p = { 0 };
	struct rig r = { .arena = arena_create(0) };

	(void)state;
	evthread_use_pthreads();
	base = event_base_new();
	registry = cluster_registry_create(base, workers, 2, on_left);
	for (unsigned i = 0; i < 300; i++) {
		struct cluster *c = rig_cluster(&r, "busy");

		for (unsigned k = 0; k < 1 + i % 4; k++)
			rig_endpoint(c, k % 2 == 0 ? "10.0.0.1" : "10.0.0.2", (uint16_t)(80 + i % 7 + k))
				->weight = 1 + (i + k) % 3;
		cluster_registry_prepare(registry, &c, 1);
		cluster_registry_activate(registry, &c, 1);
		if (serving == NULL) {
			p.cluster = serving = c;
			atomic_store(&p.running, 2);
			for (int w = 0; w < 2; w++) {
				worker_start(workers[w]);
				worker_post(workers[w], pick_for_a_turn, &p);
			}
		} else {
			clusters_release(&c, 1);
		}
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(200);
	}
	atomic_store(&p.stop, true);
	while (atomic_load(&p.running) > 0)
		usleep(1000);
	assert_true(atomic_load(&p.picks) > 1000);
	for (int w = 0; w < 2; w++)
		worker_stop(workers[w]);
	for (int w = 0; w < 2; w++)
		worker_join(workers[w]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	clusters_release(&serving, 1);
	cluster_registry_free(&registry);
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_free(base);
	for (int w = 0; w < 2; w++)
		worker_free(&workers[w]);
	arena_free(&r.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_takes_turns),
		cmocka_unit_test(test_round_robin_starts_anywhere),
		cmocka_unit_test(test_weighted_round_robin_is_exact),
		cmocka_unit_test(test_random_ignores_weights),
		cmocka_unit_test(test_least_request_is_the_better_of_two),
		cmocka_unit_test(test_weighted_least_request_minds_the_load),
		cmocka_unit_test(test_unhealthy_ones_get_nothing),
		cmocka_unit_test(test_nothing_to_pick),
		cmocka_unit_test(test_a_retry_avoids_what_was_tried),
		cmocka_unit_test(test_a_reload_keeps_what_stays),
		cmocka_unit_test(test_a_dropped_cluster_lives_as_long_as_its_snapshot),
		cmocka_unit_test(test_slots_are_reused),
		cmocka_unit_test(test_the_same_address_stands_once),
		cmocka_unit_test(test_publishing_while_workers_pick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
