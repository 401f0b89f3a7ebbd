/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks_test.c - where keys come from, and what happens when they do not come
 * (spec/request-authentication.md 10, spec/hardening.md 15). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>

#include "reg-tests/tools/jwt_make.h"
#include "reg-tests/unit/issuer.h"
#include "spoa/jwks.h"
#include "spoa/token_cache.h"

#define OLD_KEY	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"old\"," \
		"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define NEW_KEY	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"new\"," \
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define OLD_SET	"{\"keys\":[" OLD_KEY "]}"
#define NEW_SET	"{\"keys\":[" NEW_KEY "]}"
#define BOTH	"{\"keys\":[" OLD_KEY "," NEW_KEY "]}"

/* One of each, per test. */
static struct issuer *issuer;
static struct jwks_store *store;
static struct event_base *base;
static struct jwks_config config;

static int setup(void **state)
{
	(void)state;
	evthread_use_pthreads();
	base = event_base_new();
	issuer = issuer_start(OLD_SET);
	config = (struct jwks_config)JWKS_CONFIG_DEFAULT;
	config.retry_ms = 20;
	config.backoff_min_ms = 40;
	config.backoff_max_ms = 100;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	jwks_store_free(&store);
	issuer_stop(issuer);
	event_base_free(base);
	return 0;
}

static struct jwks_source *open_path(const char *path, int64_t timeout_ms)
{
	char url[256];

	if (store == NULL)
		store = jwks_store_create(&config);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", issuer->port, path);
	return jwks_source_open(store, &(struct jwks_spec){
		.issuer = SLICE("https://iss"), .uri = slice_of(url), .timeout_ms = timeout_ms });
}

static struct jwks_stats stats_of(struct jwks_source *s)
{
	struct jwks_stats stats;

	jwks_stats(s, &stats);
	return stats;
}

static bool has_kid(struct jwks_source *s, const char *kid)
{
	enum jwt_status status;
	struct jwk_set *set = jwks_get(s, &status);
	bool found = set != NULL && jwk_set_find(set, slice_of(kid)) != NULL;

	jwk_set_unref(&set);
	return found;
}

static enum jwt_status status_of(struct jwks_source *s)
{
	enum jwt_status status;
	struct jwk_set *set = jwks_get(s, &status);

	jwk_set_unref(&set);
	return status;
}

static void count_call(void *arg)
{
	++*(unsigned *)arg;
}

/* Runs the waiters' loop until `calls` came. */
static void run_until(const unsigned *calls, unsigned want)
{
	int64_t until = clock_monotonic_ms() + 10000;

	while (*calls < want && clock_monotonic_ms() < until) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	}
	assert_int_equal(*calls, want);
}

/* ---- inline ---- */

static void test_inline(void **state)
{
	struct jwks_waiter *w = NULL;
	struct jwks_source *s, *bad, *same;
	struct jwks_stats stats;

	(void)state;
	store = jwks_store_create(&config);
	s = jwks_source_open(store, &(struct jwks_spec){ .inline_set = SLICE(OLD_SET),
							 .issuer = SLICE("i") });
	same = jwks_source_open(store, &(struct jwks_spec){ .inline_set = SLICE(OLD_SET),
							    .issuer = SLICE("i") });
	bad = jwks_source_open(store, &(struct jwks_spec){ .inline_set = SLICE("{\"keys\":[]}"),
							   .issuer = SLICE("i") });
	assert_ptr_equal(s, same);
	assert_true(jwks_source_id(s) != jwks_source_id(bad));
	assert_int_equal(status_of(s), JWT_OK);
	assert_int_equal(status_of(bad), JWKS_NO_VALID_KEYS);
	assert_int_equal(jwks_wait(s, SLICE("zz"), base, 100, count_call, NULL, &w), JWKS_NO_HELP);
	assert_null(w);
	jwks_refresh(store, NULL);
	stats = stats_of(s);
	assert_true(stats.fetches == 0 && stats.keys == 1 && stats.next_ms == -1);
	jwks_source_close(&s);
	jwks_source_close(&same);
	jwks_source_close(&bad);
	assert_null(s);
}

/* ---- the first fetch ---- */

static void test_first_fetch_is_shared(void **state)
{
	struct jwks_waiter *waiters[50] = { 0 };
	struct jwks_source *s, *same;
	unsigned calls = 0, waiting = 0;

	(void)state;
	issuer_set(issuer, 0, "");	/* hold it back until all wait */
	s = open_path("/keys", 5000);
	same = open_path("/keys", 5000);
	assert_ptr_equal(s, same);
	assert_int_equal(status_of(s), JWT_PENDING);
	for (size_t i = 0; i < COUNT_OF(waiters); i++)
		waiting += jwks_wait(s, SLICE("old"), base, 5000, count_call, &calls, &waiters[i]) ==
			   JWKS_WAITING;
	assert_int_equal(waiting, COUNT_OF(waiters));
	EVENTUALLY(atomic_load(&issuer->hits) == 1);
	assert_int_equal(stats_of(s).waiters, COUNT_OF(waiters));
	jwks_source_close(&s);
	jwks_source_close(&same);
	for (size_t i = 0; i < COUNT_OF(waiters) / 2; i++)
		jwks_wait_cancel(&waiters[i]);

	/* The other half still holds the source; one of them is enough. */
	for (size_t i = COUNT_OF(waiters) / 2; i < COUNT_OF(waiters); i++)
		jwks_wait_cancel(&waiters[i]);
	assert_int_equal(calls, 0);

	issuer_set(issuer, 200, OLD_SET);
	s = open_path("/keys", 5000);
	for (size_t i = 0; i < COUNT_OF(waiters); i++)
		if (jwks_wait(s, SLICE("old"), base, 5000, count_call, &calls, &waiters[i]) == JWKS_READY)
			calls++;
	run_until(&calls, COUNT_OF(waiters));
	assert_int_equal(status_of(s), JWT_OK);
	assert_true(has_kid(s, "old"));
	assert_int_equal(stats_of(s).fetches, 1);
	assert_int_equal(stats_of(s).waiters, 0);
	for (size_t i = 0; i < COUNT_OF(waiters); i++)
		assert_null(waiters[i]);
	assert_int_equal(jwks_wait(s, SLICE("old"), base, 1, count_call, &calls, &waiters[0]),
			 JWKS_READY);
	jwks_source_close(&s);
}

static void test_issuer_that_comes_late(void **state)
{
	struct jwks_source *s;
	struct jwks_waiter *w = NULL;
	unsigned calls = 0;

	(void)state;
	config.backoff_min_ms = 50;
	issuer_set(issuer, 503, "soon");
	s = open_path("/keys", 1000);
	EVENTUALLY(stats_of(s).failures > 0);
	assert_int_equal(status_of(s), JWKS_FETCH_FAIL);
	assert_string_equal(stats_of(s).error, "status 503");
	assert_int_equal(stats_of(s).age_ms, -1);
	issuer_set(issuer, 200, OLD_SET);
	/* By a request that needs keys, or by the timer, whatever is first. */
	if (jwks_wait(s, SLICE("old"), base, 5000, count_call, &calls, &w) == JWKS_WAITING)
		run_until(&calls, 1);
	EVENTUALLY(status_of(s) == JWT_OK);
	assert_string_equal(stats_of(s).error, "");
	assert_true(stats_of(s).age_ms >= 0);
	jwks_source_close(&s);
}

static void test_requests_do_not_hammer_a_dead_issuer(void **state)
{
	struct jwks_waiter *w = NULL;
	struct jwks_source *s;
	unsigned calls = 0;

	(void)state;
	config.retry_ms = config.backoff_min_ms = config.backoff_max_ms = 60000;
	issuer_set(issuer, 500, "");
	s = open_path("/keys", 1000);
	EVENTUALLY(stats_of(s).failures == 1);
	assert_int_equal(jwks_wait(s, SLICE("a"), base, 5000, count_call, &calls, &w), JWKS_WAITING);
	run_until(&calls, 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(jwks_wait(s, SLICE("a"), base, 5000, count_call, &calls, &w), JWKS_NO_HELP);
	assert_int_equal(stats_of(s).rate_limited, 100);
	assert_int_equal(stats_of(s).demanded, 1);
	assert_int_equal(atomic_load(&issuer->hits), 2);
	jwks_source_close(&s);
}

/* ---- rotation ---- */

static void test_unknown_kid_fetches_once(void **state)
{
	struct jwks_waiter *w[20] = { 0 };
	struct jwks_source *s;
	unsigned calls = 0;

	(void)state;
	config.unknown_kid_ms = 60000;
	s = open_path("/keys", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	issuer_set(issuer, 200, BOTH);
	for (size_t i = 0; i < COUNT_OF(w); i++)
		if (jwks_wait(s, SLICE("new"), base, 5000, count_call, &calls, &w[i]) == JWKS_READY)
			calls++;
	run_until(&calls, COUNT_OF(w));
	assert_true(has_kid(s, "new") && has_kid(s, "old"));
	assert_int_equal(atomic_load(&issuer->hits), 2);
	/* A token with any other kid cannot cause another one for a while. */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(jwks_wait(s, SLICE("junk"), base, 5000, count_call, &calls, &w[0]),
				 JWKS_NO_HELP);
	assert_int_equal(atomic_load(&issuer->hits), 2);
	assert_int_equal(stats_of(s).rate_limited, 1000);
	assert_int_equal(stats_of(s).changes, 2);
	jwks_source_close(&s);
}

static void test_unknown_kid_again_after_the_interval(void **state)
{
	struct jwks_waiter *w = NULL;
	struct jwks_source *s;
	unsigned calls = 0;

	(void)state;
	config.unknown_kid_ms = 30;
	s = open_path("/keys", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	assert_int_equal(jwks_wait(s, SLICE("new"), base, 5000, count_call, &calls, &w), JWKS_WAITING);
	run_until(&calls, 1);
	assert_false(has_kid(s, "new"));
	assert_int_equal(stats_of(s).changes, 1);	/* the same keys came again */
	usleep(40000);
	issuer_set(issuer, 200, NEW_SET);
	assert_int_equal(jwks_wait(s, SLICE("new"), base, 5000, count_call, &calls, &w), JWKS_WAITING);
	run_until(&calls, 2);
	assert_true(has_kid(s, "new") && !has_kid(s, "old"));
	jwks_source_close(&s);
}

static void test_background_refresh(void **state)
{
	struct jwks_source *s;
	struct jwk_set *first, *second;
	enum jwt_status status;

	(void)state;
	config.refresh_ms = 20;
	s = open_path("/keys", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	first = jwks_get(s, &status);
	EVENTUALLY(stats_of(s).fetches >= 4);
	assert_true(jwks_is_current(s, first));
	assert_int_equal(stats_of(s).changes, 1);
	issuer_set(issuer, 200, NEW_SET);
	EVENTUALLY(has_kid(s, "new"));
	assert_false(jwks_is_current(s, first));
	second = jwks_get(s, &status);
	assert_true(jwks_is_current(s, second));
	jwk_set_unref(&first);
	jwk_set_unref(&second);
	/* An issuer that takes all its keys back is obeyed. */
	issuer_set(issuer, 200, "{\"keys\":[]}");
	EVENTUALLY(status_of(s) == JWKS_NO_VALID_KEYS);
	jwks_source_close(&s);
}

static void test_refresh_on_command(void **state)
{
	struct jwks_source *s = open_path("/keys", 5000);

	(void)state;
	EVENTUALLY(status_of(s) == JWT_OK);
	assert_true(stats_of(s).next_ms > 19 * 60 * 1000);
	issuer_set(issuer, 200, NEW_SET);
	jwks_refresh(store, s);
	EVENTUALLY(has_kid(s, "new"));
	issuer_set(issuer, 200, OLD_SET);
	jwks_refresh(store, NULL);
	EVENTUALLY(has_kid(s, "old"));
	jwks_source_close(&s);
}

/* ---- across a restart ---- */

static char folder[] = "/tmp/sallyport-keys-XXXXXX";

static void restart(struct jwks_source **sp)
{
	jwks_source_close(sp);
	jwks_store_free(&store);
}

/* The one file in the folder. */
static const char *kept_file(void)
{
	static char path[300];
	const struct dirent *entry;
	DIR *d = opendir(folder);

	path[0] = '\0';
	while ((entry = readdir(d)) != NULL)
		if (strncmp(entry->d_name, "jwks-", 5) == 0)
			snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
	closedir(d);
	return path;
}

static void rewrite(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_keys_outlive_a_restart(void **state)
{
	struct jwks_source *s;

	(void)state;
	assert_non_null(mkdtemp(folder));
	config.folder = folder;
	s = open_path("/keys", 1000);
	EVENTUALLY(status_of(s) == JWT_OK);
	assert_false(stats_of(s).kept);
	restart(&s);
	issuer_set(issuer, 500, "");
	s = open_path("/keys", 1000);
	EVENTUALLY(stats_of(s).failures > 0);
	assert_true(has_kid(s, "old") && stats_of(s).kept && stats_of(s).age_ms < 60000);
	/* What the issuer says now replaces it, here and for the next time. */
	issuer_set(issuer, 200, NEW_SET);
	jwks_refresh(store, s);
	EVENTUALLY(has_kid(s, "new"));
	assert_false(has_kid(s, "old") || stats_of(s).kept);
	restart(&s);
	issuer_set(issuer, 500, "");
	s = open_path("/keys", 1000);
	EVENTUALLY(has_kid(s, "new"));
	jwks_source_close(&s);
	s = open_path("/other", 1000);	/* a source of its own: knows nothing */
	EVENTUALLY(stats_of(s).failures > 0);
	assert_int_equal(status_of(s), JWKS_FETCH_FAIL);
	restart(&s);
	unlink(kept_file());
}

/* Each row alone makes the file one that is not believed. */
static void test_kept_keys_that_are_not_believed(void **state)
{
	char good[1024], uri[128], text[2048];
	struct jwks_source *s;
	long long now_ms = clock_wall_us() / 1000;
	const char *document = OLD_SET;
	const struct { const char *issuer, *uri, *document; long long at_ms; mode_t mode; bool used; } rows[] = {
		{ "https://iss", uri, document, now_ms, 0600, true },
		{ "https://iss", uri, document, now_ms - 3600000, 0600, true },
		{ "https://iss", uri, document, now_ms + 60000, 0600, true },
		{ "https://iss", uri, document, now_ms, 0620, false },
		{ "https://iss", uri, document, now_ms, 0602, false },
		{ "https://iss", uri, document, now_ms - 8ll * 24 * 3600000, 0600, false },
		{ "https://iss", uri, document, now_ms + 3600000, 0600, false },
		{ "https://else", uri, document, now_ms, 0600, false },
		{ "https://iss", "http://else/", document, now_ms, 0600, false },
		{ "https://iss", uri, "[]", now_ms, 0600, false },
		{ "https://iss", uri, "{\"keys\":[", now_ms, 0600, false },
	};

	(void)state;
	config.folder = folder;
	snprintf(uri, sizeof(uri), "http://127.0.0.1:%d/keys", issuer->port);
	s = open_path("/keys", 1000);
	EVENTUALLY(status_of(s) == JWT_OK);
	restart(&s);
	snprintf(good, sizeof(good), "%s", kept_file());
	issuer_set(issuer, 500, "");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		snprintf(text, sizeof(text), "{\"issuer\":\"%s\",\"jwksUri\":\"%s\",\"fetchedAtMs\":%lld,"
			 "\"document\":%s}", rows[i].issuer, rows[i].uri, rows[i].at_ms, rows[i].document);
		rewrite(good, text);
		assert_int_equal(chmod(good, rows[i].mode), 0);
		s = open_path("/keys", 1000);
		EVENTUALLY(stats_of(s).failures > 0);
		assert_int_equal(has_kid(s, "old"), rows[i].used);
		restart(&s);
	}
	unlink(good);
	assert_int_equal(symlink("/dev/zero", good), 0);
	s = open_path("/keys", 1000);
	EVENTUALLY(stats_of(s).failures > 0);
	assert_int_equal(status_of(s), JWKS_FETCH_FAIL);
	restart(&s);
	unlink(good);
	assert_int_equal(rmdir(folder), 0);
}

/* ---- bad issuers ---- */

static void test_bad_answers_keep_the_keys(void **state)
{
	static const struct { int status; const char *body, *error; } rows[] = {
		{ 500, "oops", "status 500" },
		{ 404, OLD_SET, "status 404" },
		{ 304, "", "status 304" },
		{ 302, "", "status 302" },
		{ 200, "", "Jwks is an invalid JSON" },
		{ 200, "<html>", "Jwks is an invalid JSON" },
		{ 200, "[]", "Jwks is an invalid JSON" },
		{ 200, "{\"keys\":[],\"keys\":[]}", "Jwks is an invalid JSON" },
		{ 200, "{\"error\":\"no\"}", "Jwks does not have [keys] field" },
		{ 200, "{}", "Jwks does not have [keys] field" },
		{ 200, "{\"keys\":{}}", "[keys] in Jwks is not an array" },
	};
	struct jwks_source *s;

	(void)state;
	config.refresh_ms = config.retry_ms = config.backoff_min_ms = config.backoff_max_ms = 60000;
	s = open_path("/keys", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		issuer_set(issuer, rows[i].status, rows[i].body);
		jwks_refresh(store, s);
		EVENTUALLY(stats_of(s).failures == i + 1);
		assert_string_equal(stats_of(s).error, rows[i].error);
		assert_int_equal(status_of(s), JWT_OK);
		assert_true(has_kid(s, "old"));
	}
	issuer_set(issuer, 201, NEW_SET);
	jwks_refresh(store, s);
	EVENTUALLY(has_kid(s, "new"));
	assert_string_equal(stats_of(s).error, "");
	jwks_source_close(&s);
}

static void test_size(void **state)
{
	struct jwks_source *s;

	(void)state;
	config.retry_ms = 60000;
	issuer_pad(issuer, 10 << 20);
	s = open_path("/big", 5000);
	EVENTUALLY(stats_of(s).failures == 1);
	assert_string_equal(stats_of(s).error, "the document is too large");
	assert_int_equal(status_of(s), JWKS_FETCH_FAIL);
	issuer_pad(issuer, (1 << 20) - 2048);
	jwks_refresh(store, s);
	EVENTUALLY(status_of(s) == JWT_OK);
	jwks_source_close(&s);
}

static void test_nobody_listens(void **state)
{
	struct jwks_source *s;

	(void)state;
	store = jwks_store_create(&config);
	s = jwks_source_open(store, &(struct jwks_spec){ .issuer = SLICE("https://iss"),
							 .uri = SLICE("http://127.0.0.1:1/keys") });
	EVENTUALLY(stats_of(s).failures >= 3);
	assert_int_equal(status_of(s), JWKS_FETCH_FAIL);
	jwks_source_close(&s);
}

static void test_slow_issuer_delays_nobody(void **state)
{
	struct issuer *quick = issuer_start(NEW_SET);
	struct jwks_source *slow, *fast;
	struct jwks_waiter *w = NULL;
	int64_t began = clock_monotonic_ms();
	unsigned calls = 0;
	char url[128];

	(void)state;
	issuer_set(issuer, 0, "");
	slow = open_path("/hang", 400);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/keys", quick->port);
	fast = jwks_source_open(store, &(struct jwks_spec){ .issuer = SLICE("f"), .uri = slice_of(url) });
	EVENTUALLY(status_of(fast) == JWT_OK);
	assert_int_equal(status_of(slow), JWT_PENDING);
	/* A request waits no longer than it may … */
	assert_int_equal(jwks_wait(slow, SLICE("x"), base, 30, count_call, &calls, &w), JWKS_WAITING);
	run_until(&calls, 1);
	assert_true(clock_monotonic_ms() - began < 400);
	assert_int_equal(status_of(slow), JWT_PENDING);
	/* … and the fetch no longer than the rule says. */
	EVENTUALLY(status_of(slow) == JWKS_FETCH_FAIL);
	assert_true(clock_monotonic_ms() - began >= 400);
	assert_non_null(strstr(stats_of(slow).error, "timed out"));
	jwks_source_close(&slow);
	jwks_source_close(&fast);
	/* The store goes before the server: sources are freed in its thread. */
	jwks_store_free(&store);
	issuer_stop(quick);
}

static void test_retries_and_backoff(void **state)
{
	struct jwks_source *s;

	(void)state;
	config.refresh_ms = 30;
	config.refresh_retries = 3;
	config.retry_ms = 5;
	config.backoff_min_ms = 100000;
	config.backoff_max_ms = 200000;
	s = open_path("/keys", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	issuer_set(issuer, 500, "");
	/* One refresh: the attempt and its three retries, then a minute (here: 100 s) of peace. */
	EVENTUALLY(stats_of(s).failures == 4 && stats_of(s).next_ms > 90000);
	usleep(50000);
	assert_int_equal(stats_of(s).failures, 4);
	assert_true(stats_of(s).next_ms <= 100000);
	assert_true(has_kid(s, "old"));
	/* The next cycle that fails doubles it, up to the limit. */
	for (unsigned cycle = 2; cycle <= 3; cycle++) {
		jwks_refresh(store, s);
		EVENTUALLY(stats_of(s).failures == 4 * cycle && stats_of(s).next_ms > 190000);
		assert_true(stats_of(s).next_ms <= 200000);
	}
	issuer_set(issuer, 200, OLD_SET);
	jwks_refresh(store, s);
	EVENTUALLY(stats_of(s).error[0] == '\0' && stats_of(s).next_ms <= 30);
	jwks_source_close(&s);
}

/* The issuer's word counts between a minute and the time without it. */
static void test_max_age(void **state)
{
	static const struct {
		const char *cache_control;
		int64_t seconds;
	} rows[] = {
		{ NULL, 1200 }, { "public, max-age=300", 300 }, { "MAX-AGE=\"300\"", 300 }, { "max-age=3600", 1200 },
		{ "max-age=5", 60 }, { "max-age=0", 60 }, { "no-store", 60 }, { "max-age=600, no-cache", 60 },
		{ "no-cache, max-age=600", 60 }, { "max-age=99999999999999999999", 1200 }, { "max-age=-5", 1200 },
		{ "max-age", 1200 }, { "s-maxage=5, private", 1200 }, { "max-age=x, max-age=90", 90 },
	};
	uint64_t fetches = 0;
	struct jwks_source *s;

	(void)state;
	s = open_path("/keys", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		issuer_cache(issuer, rows[i].cache_control);
		fetches = stats_of(s).fetches;
		jwks_refresh(store, s);
		EVENTUALLY(stats_of(s).fetches > fetches && stats_of(s).next_ms > 0);
		if (stats_of(s).next_ms > rows[i].seconds * 1000 || stats_of(s).next_ms < rows[i].seconds * 1000 - 20000)
			fail_msg("%s: %lld ms", rows[i].cache_control, (long long)stats_of(s).next_ms);
	}
	issuer_cache(issuer, NULL);
	jwks_source_close(&s);
}

static void test_keys_nobody_confirms_are_dropped(void **state)
{
	struct jwks_source *s;

	(void)state;
	config.refresh_ms = 10;
	config.refresh_retries = 0;
	config.backoff_min_ms = config.backoff_max_ms = 10;
	config.stale_max_ms = 300;
	s = open_path("/keys", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	issuer_set(issuer, 500, "");
	EVENTUALLY(stats_of(s).failures > 2);
	assert_int_equal(status_of(s), JWT_OK);
	EVENTUALLY(status_of(s) == JWKS_FETCH_FAIL);
	issuer_set(issuer, 200, OLD_SET);
	EVENTUALLY(status_of(s) == JWT_OK);
	jwks_source_close(&s);
}

/* ---- redirects and addresses ---- */

static void test_redirects(void **state)
{
	struct jwks_source *s;

	(void)state;
	config.retry_ms = 60000;
	s = open_path("/hop/5", 5000);
	EVENTUALLY(status_of(s) == JWT_OK);
	jwks_source_close(&s);
	s = open_path("/hop/6", 5000);
	EVENTUALLY(stats_of(s).failures == 1);
	assert_string_equal(stats_of(s).error, "too many redirects");
	jwks_source_close(&s);
	issuer_redirect(issuer, "http://169.254.169.254/latest/meta-data");
	s = open_path("/metadata", 5000);
	EVENTUALLY(stats_of(s).failures == 1);
	assert_string_equal(stats_of(s).error, "connections to its address are refused: "
			    "link-local or metadata address");
	jwks_source_close(&s);
	issuer_redirect(issuer, "file:///etc/passwd");
	s = open_path("/file", 5000);
	EVENTUALLY(stats_of(s).failures == 1);
	assert_non_null(strstr(stats_of(s).error, "rotocol"));
	jwks_source_close(&s);
}

static void test_refused_addresses(void **state)
{
	static const struct { const char *address; bool refused, refused_strictly; } rows[] = {
		{ "127.0.0.1", false, true }, { "127.9.9.9", false, true }, { "::1", false, true },
		{ "::ffff:127.0.0.1", false, true }, { "10.0.0.1", false, false },
		{ "192.168.1.1", false, true }, { "192.169.1.1", false, false },
		{ "8.8.8.8", false, false }, { "2001:db8::1", false, true }, { "2001:db9::1", false, false },
		{ "169.254.169.254", true, true }, { "169.254.0.1", true, true },
		{ "169.253.0.1", false, false }, { "0.0.0.0", true, true }, { "0.1.2.3", true, true },
		{ "100.100.100.200", true, true }, { "192.0.0.192", true, true },
		{ "224.0.0.1", true, true }, { "255.255.255.255", true, true }, { "::", true, true },
		{ "fe80::1", true, true }, { "febf::1", true, true }, { "fec0::1", false, false },
		{ "ff02::1", true, true }, { "fd00:ec2::254", true, true }, { "fd00:ec2::253", false, false },
		{ "::ffff:169.254.169.254", true, true }, { "64:ff9b::a9fe:a9fe", true, true },
		{ "2002:a9fe:a9fe::1", true, true }, { "64:ff9b::808:808", false, false },
	};
	struct cidr blocks[2];
	const struct fetch_rules lax = { 0 }, strict = { .refuse_loopback = true, .blocks = blocks,
							 .block_count = COUNT_OF(blocks) };

	(void)state;
	assert_true(cidr_parse(SLICE("192.168.0.0/16"), &blocks[0]));
	assert_true(cidr_parse(SLICE("2001:db8::/32"), &blocks[1]));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sockaddr_storage ss = { 0 };
		struct sockaddr_in *v4 = (struct sockaddr_in *)&ss;
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ss;

		if (inet_pton(AF_INET, rows[i].address, &v4->sin_addr) == 1) {
			ss.ss_family = AF_INET;
		} else {
			assert_int_equal(inet_pton(AF_INET6, rows[i].address, &v6->sin6_addr), 1);
			ss.ss_family = AF_INET6;
		}
		if ((fetch_refusal((struct sockaddr *)&ss, &lax) != NULL) != rows[i].refused ||
		    (fetch_refusal((struct sockaddr *)&ss, &strict) != NULL) != rows[i].refused_strictly)
			fail_msg("%s", rows[i].address);
	}
	assert_non_null(fetch_refusal(&(struct sockaddr){ .sa_family = AF_UNIX }, &lax));
}

static void test_loopback_can_be_refused(void **state)
{
	struct jwks_source *s;

	(void)state;
	config.refuse_loopback = true;
	s = open_path("/keys", 5000);
	EVENTUALLY(stats_of(s).failures >= 1);
	assert_string_equal(stats_of(s).error,
			    "connections to its address are refused: loopback address");
	assert_int_equal(atomic_load(&issuer->hits), 0);
	jwks_source_close(&s);
}

/* ---- discovery ---- */

static struct jwks_source *open_discovery(void)
{
	char name[64];

	if (store == NULL)
		store = jwks_store_create(&config);
	snprintf(name, sizeof(name), "http://127.0.0.1:%d/realm/", issuer->port);
	return jwks_source_open(store, &(struct jwks_spec){ .issuer = slice_of(name) });
}

static void test_discovery(void **state)
{
	struct issuer *keys = issuer_start(NEW_SET);
	struct jwks_source *s;
	char document[256];

	(void)state;
	config.retry_ms = 60000;
	snprintf(document, sizeof(document), "{\"issuer\":\"http://127.0.0.1:%d/realm/\","
		 "\"jwks_uri\":\"http://127.0.0.1:%d/certs\"}", issuer->port, keys->port);
	issuer_set(issuer, 200, document);
	s = open_discovery();
	EVENTUALLY(status_of(s) == JWT_OK);
	assert_string_equal(issuer->last_path, "/realm/.well-known/openid-configuration");
	assert_string_equal(keys->last_path, "/certs");
	assert_true(has_kid(s, "new"));
	assert_true(stats_of(s).fetches == 1 && stats_of(s).discoveries == 1);
	jwks_source_close(&s);
	jwks_store_free(&store);
	issuer_stop(keys);
}

static void test_bad_discovery(void **state)
{
	static const struct { const char *body, *error; } rows[] = {
		{ "{}", "discovery document has no jwks_uri" },
		{ "{\"jwks_uri\":\"\"}", "discovery document has no jwks_uri" },
		{ "{\"jwks_uri\":5}", "discovery document has no jwks_uri" },
		{ "[]", "discovery document is an invalid JSON" },
		{ "{\"jwks_uri\":\"file:///etc/passwd\"}",
		  "jwks_uri of the discovery document is not https" },
		{ "{\"jwks_uri\":\"/keys\"}", "jwks_uri of the discovery document is not https" },
		{ "{\"jwks_uri\":\"http://169.254.169.254/\"}",
		  "connections to its address are refused: link-local or metadata address" },
	};
	struct jwks_source *s;

	(void)state;
	config.retry_ms = 60000;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		issuer_set(issuer, 200, rows[i].body);
		s = open_discovery();
		EVENTUALLY(stats_of(s).failures == 1);
		assert_string_equal(stats_of(s).error, rows[i].error);
		assert_int_equal(status_of(s), JWKS_FETCH_FAIL);
		jwks_source_close(&s);
	}
	s = jwks_source_open(store, &(struct jwks_spec){ .issuer = SLICE("accounts") });
	EVENTUALLY(stats_of(s).failures == 1);
	assert_non_null(strstr(stats_of(s).error, "set jwksUri"));
	jwks_source_close(&s);
}

/* ---- several threads ---- */

struct reader {
	pthread_t thread;
	struct jwks_source *source;
	atomic_bool *stop;
	unsigned sets;
};

static void *read_keys(void *arg)
{
	struct reader *r = arg;
	struct jwk_set *mine = NULL;
	enum jwt_status status;

	while (!atomic_load(r->stop)) {
		if (mine != NULL && jwks_is_current(r->source, mine))
			continue;
		jwk_set_unref(&mine);
		mine = jwks_get(r->source, &status);
		if (mine != NULL && jwk_set_count(mine) != 1)
			abort();
		r->sets++;
	}
	jwk_set_unref(&mine);
	return NULL;
}

static void test_readers_while_keys_rotate(void **state)
{
	struct reader readers[3] = { 0 };
	atomic_bool stop = false;
	struct jwks_source *s;

	(void)state;
	config.refresh_ms = 1;
	s = open_path("/keys", 5000);
	for (size_t i = 0; i < COUNT_OF(readers); i++) {
		readers[i].source = s;
		readers[i].stop = &stop;
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_keys, &readers[i]), 0);
	}
	for (uint64_t i = 1; i < 20; i++) {
		EVENTUALLY(stats_of(s).changes >= i);
		issuer_set(issuer, 200, i % 2 ? NEW_SET : OLD_SET);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT_OF(readers); i++)
		pthread_join(readers[i].thread, NULL);
	assert_true(stats_of(s).changes >= 19);
	jwks_source_close(&s);
}

int main(void)
{
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_inline),
		TEST(test_first_fetch_is_shared),
		TEST(test_issuer_that_comes_late),
		TEST(test_requests_do_not_hammer_a_dead_issuer),
		TEST(test_unknown_kid_fetches_once),
		TEST(test_unknown_kid_again_after_the_interval),
		TEST(test_background_refresh),
		TEST(test_refresh_on_command),
		TEST(test_keys_outlive_a_restart),
		TEST(test_kept_keys_that_are_not_believed),
		TEST(test_bad_answers_keep_the_keys),
		TEST(test_size),
		TEST(test_nobody_listens),
		TEST(test_slow_issuer_delays_nobody),
		TEST(test_retries_and_backoff),
		TEST(test_max_age),
		TEST(test_keys_nobody_confirms_are_dropped),
		TEST(test_redirects),
		TEST(test_refused_addresses),
		TEST(test_loopback_can_be_refused),
		TEST(test_discovery),
		TEST(test_bad_discovery),
		TEST(test_readers_while_keys_rotate),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
