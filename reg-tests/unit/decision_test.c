/* SPDX-License-Identifier: Apache-2.0
 *
 * decision_test.c - decisions that have to wait for keys: exactly one verdict, in time, by the
 * policies they began with, and none after a cancellation. */
#include "reg-tests/unit/policy_case.h"

#include "reg-tests/unit/issuer.h"
#include "spoa/extauthz.h"

static EVP_PKEY *keys[2];
static char *sets[2];
static struct issuer *issuer;
static struct event_base *base;
static struct arena *arena;

static int setup(void **state)
{
	static const char *const kids[] = { "old", "new" };
	struct text t;
	char *jwk;

	(void)state;
	evthread_use_pthreads();
	for (int i = 0; i < 2; i++) {
		keys[i] = make_key("ES256");
		jwk = make_jwk(keys[i], kids[i], "ES256");
		text_init(&t);
		text_printf(&t, "{\"keys\":[%s]}", jwk);
		sets[i] = t.at;
		free(jwk);
	}
	base = event_base_new();
	issuer = issuer_start(sets[0]);
	arena = arena_create(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	issuer_stop(issuer);
	event_base_free(base);
	arena_free(&arena);
	for (int i = 0; i < 2; i++) {
		EVP_PKEY_free(keys[i]);
		free(sets[i]);
	}
	return 0;
}

static void world_with_issuer(struct world *w, const char *more)
{
	world_open(w, NULL, arena_printf(arena, TOKENS("foo", "t", "{issuer: i, jwksUri: "
		   "'http://127.0.0.1:%d/keys'}") "%s", issuer->port, more));
	judge_free(&w->judge);
	w->judge = judge_create(w->index, base, w->tokens);
}

struct answer {
	unsigned calls;
	bool allow;
	unsigned status;
	char body[100];
};

static void on_decided(void *arg, const struct verdict *v)
{
	struct answer *a = arg;

	a->calls++;
	a->allow = v->allow;
	a->status = v->status;
	snprintf(a->body, sizeof(a->body), "%.*s", SLICE_ARG(v->body));
}

/* A check with a token of key `key`. */
static struct check *check_with_token(int key, const char *kid, int64_t budget_ms)
{
	char *token = make_token(keys[key], "ES256", kid, "{\"iss\":\"i\",\"sub\":\"s\"}");
	struct check_header *header = arena_new(arena, struct check_header);
	struct check_workload *workload = arena_new(arena, struct check_workload);
	struct check *c = arena_new(arena, struct check);

	header->name = SLICE("authorization");
	header->value = slice_of(arena_printf(arena, "Bearer %s", token));
	free(token);
	workload->ns = SLICE("foo");
	*c = (struct check){
		.arena = arena, .method = SLICE("GET"), .scheme = SLICE("http"),
		.authority = SLICE("h"), .path = SLICE("/"), .normalized = true,
		.headers = header, .header_count = 1, .workloads = workload, .workload_count = 1,
		.deadline_ms = clock_monotonic_ms() + budget_ms,
	};
	return c;
}

static struct decision *start(struct world *w, const struct check *c, struct answer *a)
{
	struct decision *d;

	*a = (struct answer){ 0 };
	if (decision_start(w->judge, c, on_decided, a, &d) == OK)
		on_decided(a, decision_verdict(d));
	return d;
}

static void run_until_answered(const struct answer *a)
{
	int64_t until = clock_monotonic_ms() + 10000;

	while (a->calls == 0 && clock_monotonic_ms() < until) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	}
	assert_int_equal(a->calls, 1);
}

/* The first request comes before the first keys: it waits for them and passes. */
static void first_request_waits_for_the_keys(struct world *w)
{
	struct answer a;

	start(w, check_with_token(0, "old", 5000), &a);
	run_until_answered(&a);
	assert_true(a.allow);
}

static void test_first_keys_then_a_new_one(void **state)
{
	struct answer a;
	struct world w;

	(void)state;
	world_with_issuer(&w, "");
	first_request_waits_for_the_keys(&w);

	issuer_set(issuer, 200, sets[1]);
	start(&w, check_with_token(1, "new", 5000), &a);
	assert_int_equal(a.calls, 0);
	run_until_answered(&a);
	assert_true(a.allow);

	/* Refetching for unknown kids is rated: this one is told at once. */
	start(&w, check_with_token(1, "other", 5000), &a);
	assert_int_equal(a.calls, 1);
	assert_string_equal(a.body, "Jwks doesn't have key to match kid or alg from Jwt");
	world_close(&w);
}

static void test_hanging_issuer(void **state)
{
	struct answer a;
	struct world w;
	int64_t begin;

	(void)state;
	issuer_set(issuer, 0, "");
	world_with_issuer(&w, "");
	begin = clock_monotonic_ms();
	start(&w, check_with_token(0, "old", 200), &a);
	assert_int_equal(a.calls, 0);
	run_until_answered(&a);
	assert_false(a.allow);
	assert_int_equal(a.status, 401);
	assert_string_equal(a.body, "Jwks remote fetch is failed");
	assert_true(clock_monotonic_ms() - begin < 1000);

	/* A deadline that is over is not waited for. */
	start(&w, check_with_token(0, "old", 0), &a);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.status, 401);
	world_close(&w);
}

static void test_cancel(void **state)
{
	struct decision *d;
	struct answer a;
	struct world w;

	(void)state;
	issuer_set(issuer, 0, "");
	world_with_issuer(&w, "");
	d = start(&w, check_with_token(0, "old", 100), &a);
	assert_int_equal(a.calls, 0);
	decision_cancel(&d);
	assert_null(d);
	decision_cancel(&d);
	for (int i = 0; i < 150; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	assert_int_equal(a.calls, 0);
	world_close(&w);
}

/* It began when all was allowed; that all is denied now does not concern it, nor does the end of
 * the policies' own world before it. */
static void test_reload_while_waiting(void **state)
{
	struct answer a;
	struct world w, next;

	(void)state;
	issuer_set(issuer, 0, "");
	world_with_issuer(&w, DENY(TO("paths: [/other]")));
	world_open(&next, NULL, DENY("{}"));
	start(&w, check_with_token(0, "old", 150), &a);
	assert_int_equal(a.calls, 0);
	judge_use(w.judge, next.index);
	run_until_answered(&a);
	assert_int_equal(a.status, 401);
	start(&w, check_with_token(0, "old", 150), &a);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.status, 403);
	world_close(&next);
	world_close(&w);
}

/* A provider may fail open; a request that cannot be put to it has not made it fail. */
static void test_what_cannot_be_asked_is_refused(void **state)
{
	const struct extension_provider p = {
		.name = SLICE("p"), .kind = PROVIDER_HTTP, .service = SLICE("127.0.0.1"), .port = 1,
		.timeout_ms = 1000, .fail_open = true, .status_on_error = 403,
	};
	const struct extauthz_target target = { .provider = &p };
	const struct policy_mesh mesh = { .normalization = PATH_BASE, .providers = &target,
					  .provider_count = 1 };
	struct check *c = check_with_token(0, "old", 5000);
	struct answer a;
	struct world w;

	(void)state;
	world_open(&w, &mesh, POLICY("foo", "c", "{action: CUSTOM, provider: {name: p}, rules: [{}]}"));
	judge_free(&w.judge);
	w.judge = judge_create(w.index, base, w.tokens);
	start(&w, c, &a);
	run_until_answered(&a);
	assert_true(a.allow);		/* nobody listens there */
	c->authority = SLICE("h h");
	start(&w, c, &a);
	run_until_answered(&a);
	assert_false(a.allow);
	assert_int_equal(a.status, 403);
	/* Bytes are nothing that it could be asked about: the policy is not theirs. */
	c->proto = CHECK_TCP;
	start(&w, c, &a);
	assert_int_equal(a.calls, 1);
	assert_true(a.allow);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_keys_then_a_new_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hanging_issuer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_while_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_asked_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
