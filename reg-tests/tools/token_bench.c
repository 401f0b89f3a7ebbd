/* SPDX-License-Identifier: Apache-2.0
 *
 * token_bench.c - what a token costs: parsed, verified, found again. Nanoseconds of one thread.
 *
 *   token_bench [MILLISECONDS per figure, default 300] */
#include <stdio.h>
#include <time.h>

#include "reg-tests/tools/jwt_make.h"
#include "spoa/token_cache.h"

#define NOW	1700000000
#define CLAIMS	"{\"iss\":\"https://issuer.example\",\"sub\":\"ann@example.com\",\"aud\":[\"shop\",\"api\"]," \
		"\"exp\":1700003600,\"iat\":1700000000,\"jti\":\"0a1b2c3d4e5f\",\"scope\":\"read write\"," \
		"\"groups\":[\"admin\",\"staff\"],\"name\":\"Ann Example\",\"tenant\":\"%u\"}"

static int64_t budget_ms = 300;

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Nanoseconds of one execution of `what`, repeated for as long as the budget says. */
#define MEASURE(name, what) \
	do { \
		int64_t began = cpu_ns(), until = began + budget_ms * 1000000, now = began; \
		uint64_t runs = 0; \
		while (now < until) { \
			for (int round = 0; round < 16; round++) { what; } \
			runs += 16; \
			now = cpu_ns(); \
		} \
		printf("%-34s %10.0f ns\n", name, (double)(now - began) / (double)runs); \
	} while (0)

static char *mint(EVP_PKEY *key, const char *alg, unsigned n)
{
	char claims[512];

	snprintf(claims, sizeof(claims), CLAIMS, n);
	return make_token(key, alg, "k1", claims);
}

static struct jwks_source *open_source(struct jwks_store *store, EVP_PKEY *key)
{
	char *jwk = make_jwk(key, "k1", NULL), json[4096];

	snprintf(json, sizeof(json), "{\"keys\":[%s]}", jwk);
	free(jwk);
	return jwks_source_open(store, &(struct jwks_spec){ .inline_set = slice_of(json) });
}

static void bench_algorithm(struct jwks_store *store, const char *alg)
{
	EVP_PKEY *key = make_key(alg);
	struct jwks_source *source = open_source(store, key);
	char *text = mint(key, alg, 1), name[64];
	enum jwt_status status;
	struct jwk_set *set = jwks_get(source, &status);
	struct token *t;

	must(token_parse(slice_of(text), &t) == JWT_OK);
	must(token_verify(t, set, NULL) == JWT_OK);
	snprintf(name, sizeof(name), "verify %s", alg);
	MEASURE(name, token_verify(t, set, NULL));
	token_unref(&t);
	jwk_set_unref(&set);
	jwks_source_close(&source);
	free(text);
	EVP_PKEY_free(key);
}

static void bench_cache(struct jwks_store *store, unsigned count)
{
	EVP_PKEY *key = make_key("ES256");
	struct jwks_source *source = open_source(store, key);
	struct token_cache *cache = token_cache_create(0, 0);
	char **texts = calloc(count, sizeof(*texts)), name[64];
	struct slice *tokens = calloc(count, sizeof(*tokens));
	struct token_cache_stats stats;
	const struct slice audience = SLICE("api");
	struct token *t;
	unsigned i = 0;

	for (unsigned n = 0; n < count; n++) {
		texts[n] = mint(key, "ES256", n);
		tokens[n] = slice_of(texts[n]);
		must(token_cache_parse(cache, tokens[n], NOW, &t) == JWT_OK);
		must(token_cache_verify(cache, t, source, NOW) == JWT_OK);
	}
	snprintf(name, sizeof(name), "cache hit, %u tokens of %zu bytes", count, tokens[0].len);
	MEASURE(name, {
		if (token_cache_parse(cache, tokens[i], NOW, &t) != JWT_OK ||
		    token_check_issuer(t, SLICE("https://issuer.example")) != JWT_OK ||
		    token_check_audience(t, &audience, 1) != JWT_OK ||
		    token_cache_verify(cache, t, source, NOW) != JWT_OK)
			fatal("a token that was good is no longer");
		i = i + 1 < count ? i + 1 : 0;
	});
	token_cache_stats(cache, &stats);
	must(stats.verify_misses == count);
	for (unsigned n = 0; n < count; n++)
		free(texts[n]);
	free(texts);
	free(tokens);
	token_cache_free(&cache);
	jwks_source_close(&source);
	EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
	static const char *const algs[] = { "RS256", "RS512", "PS256", "ES256", "ES384", "ES512",
					    "EdDSA" };
	const struct jwks_config config = JWKS_CONFIG_DEFAULT;
	struct jwks_store *store = jwks_store_create(&config);
	EVP_PKEY *key = make_key("RS256");
	char *text = mint(key, "RS256", 1);
	struct token *t;

	if (argc > 1 && atoi(argv[1]) > 0)
		budget_ms = atoi(argv[1]);
	MEASURE("parse (RS256, 13 claims)", token_parse(slice_of(text), &t); token_unref(&t));
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
		bench_algorithm(store, algs[i]);
	bench_cache(store, 1);
	bench_cache(store, 1000);
	bench_cache(store, 9000);
	free(text);
	EVP_PKEY_free(key);
	jwks_store_free(&store);
	return 0;
}
