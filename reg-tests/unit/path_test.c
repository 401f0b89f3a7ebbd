/* SPDX-License-Identifier: Apache-2.0
 *
 * Path normalisation: the tables of spec/http.md 24 and spec/authorization-policy.md 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/object.h"
#include "sallyport/path.h"

static const struct {
	const char *target;
	const char *expected[PATH_NORMALIZATION_COUNT];	/* NULL: the same */
} rows[] = {
	{ "/a/../b", { NULL, "/b", "/b", "/b" } },
	{ "/a/./b/", { NULL, "/a/b/", "/a/b/", "/a/b/" } },
	{ "/..", { NULL, "/", "/", "/" } },
	{ "/a//b", { NULL, NULL, "/a/b", "/a/b" } },
	{ "/a%2Fb", { NULL, NULL, NULL, "/a/b" } },
	{ "/a%5c../b", { NULL, NULL, NULL, "/b" } },
	{ "/a%5Cb", { NULL, NULL, NULL, "/a/b" } },
	{ "/a\\b", { NULL, "/a/b", "/a/b", "/a/b" } },
	{ "/%61dmin", { NULL, "/admin", "/admin", "/admin" } },
	{ "/a/%2e%2e/b", { NULL, "/b", "/b", "/b" } },
	{ "/public/%2E./private", { NULL, "/private", "/private", "/private" } },
	{ "/a/..%2Fb", { NULL, NULL, NULL, "/b" } },
	{ "/%2525", { NULL, NULL, NULL, NULL } },
	{ "/%252e%252e/", { NULL, NULL, NULL, NULL } },
	{ "/a?x=/../y//z", { NULL, NULL, NULL, NULL } },
	{ "/a/..?x=%2e%00", { NULL, "/?x=%2e%00", "/?x=%2e%00", "/?x=%2e%00" } },
	{ "//a", { NULL, NULL, "/a", "/a" } },
	{ "/a;x=1/../b", { NULL, "/b", "/b", "/b" } },
	{ "/", { NULL, NULL, NULL, NULL } },
	{ "*", { NULL, NULL, NULL, NULL } },
	{ "/a/.", { NULL, "/a/", "/a/", "/a/" } },
	{ "/a/..", { NULL, "/", "/", "/" } },
	{ "/a/b/..", { NULL, "/a/", "/a/", "/a/" } },
	{ "/../../a", { NULL, "/a", "/a", "/a" } },
	{ "/.../a", { NULL, NULL, NULL, NULL } },
	{ "/.a/..b/c..", { NULL, NULL, NULL, NULL } },
	{ "/a//../b", { NULL, "/a/b", "/a/b", "/a/b" } },
	{ "/a/\\../b", { NULL, "/a/b", "/a/b", "/a/b" } },
	{ "/a///", { NULL, NULL, "/a/", "/a/" } },
	{ "/a%", { NULL, NULL, NULL, NULL } },
	{ "/a%4", { NULL, NULL, NULL, NULL } },
	{ "/a%zz/../b", { NULL, "/b", "/b", "/b" } },
	{ "/%%32F/..", { NULL, "/", "/", "/" } },
	{ "/%%32%46%41", { NULL, "/%%32FA", "/%%32FA", "/%%32FA" } },
	{ "/%4%31x", { NULL, NULL, NULL, NULL } },
	{ "/%c3%A9%41", { NULL, "/%c3%A9A", "/%c3%A9A", "/%c3%A9A" } },
	{ "/a\"<>`{}|^", { NULL, "/a%22%3C%3E%60%7B%7D|^", "/a%22%3C%3E%60%7B%7D|^", "/a%22%3C%3E%60%7B%7D|^" } },
	{ "/a \x7f\xc3\xa9", { NULL, "/a%20%7F%C3%A9", "/a%20%7F%C3%A9", "/a%20%7F%C3%A9" } },
	{ "/%7Euser/%2D%2e%5f", { NULL, "/~user/-._", "/~user/-._", "/~user/-._" } },
	{ "/Path/CASE", { NULL, NULL, NULL, NULL } },
};

static void paths_come_out_as_in_the_table(void **state)
{
	struct arena *a = arena_create(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (unsigned mode = 0; mode < PATH_NORMALIZATION_COUNT; mode++) {
			struct slice target = slice_of(rows[i].target), out, again;
			const char *expected = rows[i].expected[mode] != NULL ? rows[i].expected[mode] : rows[i].target;

			assert_int_not_equal(path_normalize(mode, target, a, &out), PATH_REFUSED);
			if (!slice_eq(out, slice_of(expected)))
				fail_msg("mode %u: %s became %.*s", mode, rows[i].target, SLICE_ARG(out));
			assert_int_not_equal(path_normalize(mode, out, a, &again), PATH_REFUSED);
			assert_true(slice_eq(out, again));
		}
	}
	arena_free(&a);
}

static void clean_paths_are_not_copied(void **state)
{
	static const char *const clean[] = { "/", "/productpage?u=1", "/a/b.c/~d_e-f", "/a%2Fb%20c", "//a/" };
	struct slice out;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(clean); i++) {
		/* No arena: any attempt to copy would be seen. */
		assert_int_equal(path_normalize(PATH_BASE, slice_of(clean[i]), NULL, &out), PATH_SAME);
		assert_ptr_equal(out.at, clean[i]);
		assert_int_equal(out.len, strlen(clean[i]));
	}
}

static void a_fragment_is_cut_off(void **state)
{
	struct slice out;

	(void)state;
	for (unsigned mode = 0; mode < PATH_NORMALIZATION_COUNT; mode++) {
		assert_int_equal(path_normalize(mode, SLICE("/a#b?c"), NULL, &out), PATH_SAME);
		assert_true(slice_eq(out, SLICE("/a")));
		assert_int_equal(path_normalize(mode, SLICE("/a?q#%00"), NULL, &out), PATH_SAME);
		assert_true(slice_eq(out, SLICE("/a?q")));
	}
}

static void bad_paths_are_refused_in_every_mode(void **state)
{
	static const struct slice bad[] = { { "/a%00", 5 }, { "/a\0b", 4 }, { "", 0 }, { "a/b", 3 },
					    { "**", 2 }, { "?x", 2 }, { "#", 1 }, { "/%00/..", 7 },
					    { "\\a", 2 }, { "%2Fa", 4 }, { NULL, 0 } };
	struct slice out;

	(void)state;
	for (unsigned mode = 0; mode < PATH_NORMALIZATION_COUNT; mode++)
		for (size_t i = 0; i < COUNT_OF(bad); i++)
			assert_int_equal(path_normalize(mode, bad[i], NULL, &out), PATH_REFUSED);
}

static void queries_are_split_off(void **state)
{
	struct slice query;

	(void)state;
	assert_true(slice_eq(path_split(SLICE("/a?b?c"), &query), SLICE("/a")));
	assert_true(slice_eq(query, SLICE("b?c")));
	assert_true(slice_eq(path_split(SLICE("/a?"), &query), SLICE("/a")));
	assert_non_null(query.at);
	assert_int_equal(query.len, 0);
	path_split(SLICE("/a"), &query);
	assert_null(query.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_come_out_as_in_the_table),
		cmocka_unit_test(clean_paths_are_not_copied),
		cmocka_unit_test(a_fragment_is_cut_off),
		cmocka_unit_test(bad_paths_are_refused_in_every_mode),
		cmocka_unit_test(queries_are_split_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
