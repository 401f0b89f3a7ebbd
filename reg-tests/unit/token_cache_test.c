/* SPDX-License-Identifier: Apache-2.0
 *
 * token_cache_test.c - what is remembered of tokens, how long, and what a hit costs
 * (spec/hardening.md T-62). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reg-tests/tools/jwt_make.h"
#include "reg-tests/unit/issuer.h"
#include "spoa/token_cache.h"

#define NOW	1700000000

static EVP_PKEY *key, *other;
static struct issuer *issuer;
static struct jwks_store *store;
static struct token_cache *cache;

static char *set_with(EVP_PKEY *k, const char *kid)
{
	char *jwk = make_jwk(k, kid, NULL);
	struct text t;

	text_init(&t);
	text_printf(&t, "{\"keys\":[%s]}", jwk);
	free(jwk);
	return t.at;
}

static int make_keys(void **state)
{
	(void)state;
	key = make_key("ES256");
	other = make_key("ES256");
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	return 0;
}

static int setup(void **state)
{
	struct jwks_config config = JWKS_CONFIG_DEFAULT;
	char *set = set_with(key, "k");

	(void)state;
	issuer = issuer_start(set);
	free(set);
	store = jwks_store_create(&config);
	cache = token_cache_create(0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	token_cache_free(&cache);
	jwks_store_free(&store);
	issuer_stop(issuer);
	return 0;
}

static struct jwks_source *open_inline(EVP_PKEY *k, const char *kid)
{
	char *set = set_with(k, kid);
	struct jwks_source *s = jwks_source_open(store, &(struct jwks_spec){
		.issuer = SLICE("i"), .inline_set = slice_of(set) });

	free(set);
	return s;
}

static struct jwks_source *open_remote(void)
{
	struct jwks_source *s;
	struct jwks_stats stats;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", issuer->port);
	s = jwks_source_open(store, &(struct jwks_spec){ .issuer = SLICE("i"), .uri = slice_of(url) });
	EVENTUALLY((jwks_stats(s, &stats), stats.status == JWT_OK));
	return s;
}

static void publish(struct jwks_source *s, char *set)
{
	struct jwks_stats before, after;

	jwks_stats(s, &before);
	issuer_set(issuer, 200, set);
	free(set);
	jwks_refresh(store, s);
	EVENTUALLY((jwks_stats(s, &after), after.changes > before.changes));
}

/* The token's status by way of the cache. */
static enum jwt_status ask(const char *text, struct jwks_source *s, int64_t now_s)
{
	struct token *t;
	enum jwt_status status = token_cache_parse(cache, slice_of(text), now_s, &t);

	return status == JWT_OK ? token_cache_verify(cache, t, s, now_s) : status;
}

static struct token_cache_stats stats(void)
{
	struct token_cache_stats out;

	token_cache_stats(cache, &out);
	return out;
}

static void test_second_time_is_a_hit(void **state)
{
	struct jwks_source *s = open_inline(key, "k");
	char *text = make_token(key, "ES256", "k", "{\"exp\":1700000300}");
	struct token *first, *second;

	(void)state;
	assert_int_equal(token_cache_parse(cache, slice_of(text), NOW, &first), JWT_OK);
	assert_int_equal(token_cache_verify(cache, first, s, NOW), JWT_OK);
	assert_int_equal(token_cache_parse(cache, slice_of(text), NOW, &second), JWT_OK);
	assert_ptr_equal(first, second);
	assert_int_equal(token_cache_verify(cache, second, s, NOW), JWT_OK);
	assert_true(stats().parse_hits == 1 && stats().parse_misses == 1);
	assert_true(stats().verify_hits == 1 && stats().verify_misses == 1);
	assert_true(stats().entries == 1 && stats().bytes >= strlen(text));
	/* Still a hit in the last second of the leeway; never after it. */
	assert_int_equal(ask(text, s, NOW + 360), JWT_OK);
	assert_int_equal(stats().verify_hits, 2);
	assert_int_equal(ask(text, s, NOW + 361), JWT_EXPIRED);
	free(text);
	jwks_source_close(&s);
}

static void test_every_byte_counts(void **state)
{
	struct jwks_source *s = open_inline(key, "k");
	char *text = make_token(key, "ES256", "k", "{\"exp\":1700000300}");
	size_t len = strlen(text);

	(void)state;
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_not_equal(ask(text, s, NOW), JWT_OK);
		text[i] = was;
	}
	text[len - 1] = '\0';
	assert_int_not_equal(ask(text, s, NOW), JWT_OK);
	free(text);
	jwks_source_close(&s);
}

/* What one source's keys said is no answer for another source. */
static void test_sources_are_apart(void **state)
{
	struct jwks_source *good = open_inline(key, "k"), *bad = open_inline(other, "k");
	struct jwks_source *strange = open_inline(key, "z"), *more[TOKEN_CACHE_VERDICTS];
	char *text = make_token(key, "ES256", "k", "{}");
	char kid[8];

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_int_equal(ask(text, good, NOW), JWT_OK);
		assert_int_equal(ask(text, bad, NOW), JWT_VERIFICATION_FAIL);
		assert_int_equal(ask(text, strange, NOW), JWKS_KID_ALG_MISMATCH);
	}
	assert_true(stats().verify_hits == 6 && stats().verify_misses == 3);
	for (size_t i = 0; i < COUNT_OF(more); i++) {
		snprintf(kid, sizeof(kid), "m%zu", i);
		more[i] = open_inline(other, kid);
		assert_int_equal(ask(text, more[i], NOW), JWKS_KID_ALG_MISMATCH);
	}
	assert_int_equal(ask(text, good, NOW), JWT_OK);
	assert_int_equal(ask(text, bad, NOW), JWT_VERIFICATION_FAIL);
	for (size_t i = 0; i < COUNT_OF(more); i++)
		jwks_source_close(&more[i]);
	jwks_source_close(&good);
	jwks_source_close(&bad);
	jwks_source_close(&strange);
	free(text);
}

static void test_failures_are_remembered_for_seconds(void **state)
{
	struct jwks_source *s = open_inline(other, "k");
	char *text = make_token(key, "ES256", "k", "{}");

	(void)state;
	assert_int_equal(ask(text, s, NOW), JWT_VERIFICATION_FAIL);
	assert_int_equal(ask(text, s, NOW + TOKEN_CACHE_NEGATIVE_S), JWT_VERIFICATION_FAIL);
	assert_int_equal(stats().verify_hits, 1);
	assert_int_equal(ask(text, s, NOW + TOKEN_CACHE_NEGATIVE_S + 1), JWT_VERIFICATION_FAIL);
	assert_int_equal(stats().verify_misses, 2);
	free(text);
	jwks_source_close(&s);
}

static void test_no_exp_is_verified_again_now_and_then(void **state)
{
	struct jwks_source *s = open_inline(key, "k");
	char *text = make_token(key, "ES256", "k", "{}");

	(void)state;
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	assert_int_equal(ask(text, s, NOW + TOKEN_CACHE_NO_EXP_S), JWT_OK);
	assert_int_equal(stats().verify_misses, 1);
	assert_int_equal(ask(text, s, NOW + TOKEN_CACHE_NO_EXP_S + 1), JWT_OK);
	assert_int_equal(stats().verify_misses, 2);
	free(text);
	jwks_source_close(&s);
}

static void test_a_verdict_dies_with_its_key(void **state)
{
	struct jwks_source *s = open_remote();
	char *text = make_token(key, "ES256", "k", "{\"exp\":1700000300}");
	char *a = make_jwk(key, "k", NULL), *b = make_jwk(other, "new", NULL);
	struct text both;

	(void)state;
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	/* Another key beside it: the verdict stands, nothing is verified again. */
	text_init(&both);
	text_printf(&both, "{\"keys\":[%s,%s]}", b, a);
	publish(s, both.at);
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	assert_true(stats().verify_misses == 1 && stats().key_changes == 0);
	/* The key is gone. */
	publish(s, set_with(other, "new"));
	assert_int_equal(ask(text, s, NOW), JWKS_KID_ALG_MISMATCH);
	assert_int_equal(stats().key_changes, 1);
	/* Another key of the same name. */
	publish(s, set_with(key, "k"));
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	publish(s, set_with(other, "k"));
	assert_int_equal(ask(text, s, NOW), JWT_VERIFICATION_FAIL);
	/* A failure is not kept beyond its set, however young. */
	publish(s, set_with(key, "k"));
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	free(a);
	free(b);
	free(text);
	jwks_source_close(&s);
}

static void test_a_new_source_is_asked_anew(void **state)
{
	struct jwks_source *s = open_inline(key, "k");
	char *text = make_token(key, "ES256", "k", "{}");

	(void)state;
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	jwks_source_close(&s);
	s = open_inline(key, "k");
	assert_int_equal(ask(text, s, NOW), JWT_OK);
	assert_int_equal(stats().verify_misses, 2);
	free(text);
	jwks_source_close(&s);
}

static char *numbered(unsigned n)
{
	char claims[64];

	snprintf(claims, sizeof(claims), "{\"jti\":\"%u\",\"exp\":1700000300}", n);
	return make_compact("{\"alg\":\"ES256\"}", claims, "sig", 3);
}

static bool is_cached(const char *text)
{
	uint64_t hits = stats().parse_hits;
	struct token *t;

	assert_int_equal(token_cache_parse(cache, slice_of(text), NOW, &t), JWT_OK);
	return stats().parse_hits > hits;
}

static void test_entries_are_bounded(void **state)
{
	char *used = numbered(1000000);

	(void)state;
	token_cache_free(&cache);
	cache = token_cache_create(100, 0);
	is_cached(used);
	for (unsigned i = 0; i < 5000; i++) {
		char *text = numbered(i);

		assert_false(is_cached(text));
		assert_true(stats().entries <= 100);
		/* A flood of tokens seen once does not push out one that is asked for. */
		if (i % 20 == 0)
			assert_true(is_cached(used));
		free(text);
	}
	assert_int_equal(stats().entries, 100);
	assert_int_equal(stats().evictions, 5001 - 100);
	free(used);
}

static void test_bytes_are_bounded(void **state)
{
	struct token *t, *kept;
	char *text;

	(void)state;
	token_cache_free(&cache);
	cache = token_cache_create(100, 4000);
	for (unsigned i = 0; i < 200; i++) {
		text = numbered(i);
		is_cached(text);
		assert_true(stats().bytes <= 4000 && stats().entries >= 1);
		free(text);
	}
	/* One that is larger than the whole cache passes through it, usable until the next call. */
	struct text claims;

	text_init(&claims);
	text_printf(&claims, "{\"a\":[0");
	for (int i = 0; i < 100; i++)
		text_printf(&claims, ",0");
	text_printf(&claims, "]}");
	text = make_token(key, "ES256", "k", claims.at);
	struct jwks_source *s = open_inline(key, "k");

	for (int i = 0; i < 3; i++) {
		assert_int_equal(token_cache_parse(cache, slice_of(text), NOW, &t), JWT_OK);
		assert_int_equal(token_cache_verify(cache, t, s, NOW), JWT_OK);
		assert_true(stats().bytes <= 4000);
	}
	assert_int_equal(stats().verify_hits, 0);
	kept = token_ref(t);
	token_cache_free(&cache);
	assert_int_equal(json_array_size(json_object_get(kept->claims, "a")), 101);
	token_unref(&kept);
	text_fini(&claims);
	free(text);
	jwks_source_close(&s);
}

/* A token held elsewhere is verified rightly also after the cache forgot it. */
static void test_evicted_while_held(void **state)
{
	struct jwks_source *s = open_inline(key, "k"), *bad = open_inline(other, "k");
	char *text = make_token(key, "ES256", "k", "{}");
	struct token *t, *held;

	(void)state;
	token_cache_free(&cache);
	cache = token_cache_create(2, 0);
	assert_int_equal(token_cache_parse(cache, slice_of(text), NOW, &t), JWT_OK);
	held = token_ref(t);
	for (unsigned i = 0; i < 50; i++) {
		char *more = numbered(i);

		is_cached(more);
		free(more);
	}
	assert_int_equal(token_cache_verify(cache, held, s, NOW), JWT_OK);
	assert_int_equal(token_cache_verify(cache, held, bad, NOW), JWT_VERIFICATION_FAIL);
	token_unref(&held);
	free(text);
	jwks_source_close(&s);
	jwks_source_close(&bad);
}

static void test_what_cannot_be_parsed_takes_no_room(void **state)
{
	struct jwks_source *s = open_inline(key, "k");
	struct text t;

	(void)state;
	assert_int_equal(ask("", s, NOW), JWT_BAD_FORMAT);
	assert_int_equal(ask("a.b", s, NOW), JWT_BAD_FORMAT);
	assert_int_equal(ask("a.b.c", s, NOW), JWT_HEADER_BAD_BASE64);
	text_init(&t);
	for (size_t i = 0; i <= TOKEN_BYTES_MAX; i++)
		text_add_char(&t, 'a');
	assert_int_equal(ask(t.at, s, NOW), JWT_BAD_FORMAT);
	text_fini(&t);
	assert_int_equal(stats().entries, 0);
	jwks_source_close(&s);
}

int main(void)
{
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_second_time_is_a_hit),
		TEST(test_every_byte_counts),
		TEST(test_sources_are_apart),
		TEST(test_failures_are_remembered_for_seconds),
		TEST(test_no_exp_is_verified_again_now_and_then),
		TEST(test_a_verdict_dies_with_its_key),
		TEST(test_a_new_source_is_asked_anew),
		TEST(test_entries_are_bounded),
		TEST(test_bytes_are_bounded),
		TEST(test_evicted_while_held),
		TEST(test_what_cannot_be_parsed_takes_no_room),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
