/* SPDX-License-Identifier: Apache-2.0
 * Slices, arenas, base64, text and the problem list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sallyport/arena.h"
#include "sallyport/base64.h"
#include "sallyport/problem.h"
#include "sallyport/text.h"

static void slices_are_cut_trimmed_and_compared(void **state)
{
	struct slice list = SLICE("a,,b"), piece;
	uint64_t n;

	(void)state;
	piece = slice_cut(&list, ',');
	assert_true(slice_eq(piece, SLICE("a")));
	piece = slice_cut(&list, ',');
	assert_true(piece.at != NULL && piece.len == 0);
	piece = slice_cut(&list, ',');
	assert_true(slice_eq(piece, SLICE("b")));
	assert_null(list.at);
	assert_true(slice_eq(slice_trim(SLICE(" \tx ")), SLICE("x")));
	assert_true(slice_eq_nocase(SLICE("HoSt"), SLICE("host")));
	assert_false(slice_eq_nocase(SLICE("host"), SLICE("hos")));
	assert_int_equal(slice_rfind(SLICE("a:b:c"), ':'), 3);
	assert_true(slice_to_u64(SLICE("18446744073709551615"), &n) && n == UINT64_MAX);
	assert_false(slice_to_u64(SLICE("18446744073709551616"), &n));
	assert_false(slice_to_u64(SLICE("+1"), &n));
	assert_false(slice_to_u64(SLICE(""), &n));
}

static void an_arena_keeps_what_it_gave_until_reset(void **state)
{
	struct arena *a = arena_create(64);
	char *first = arena_text(a, SLICE("first"));

	(void)state;
	for (int i = 0; i < 1000; i++)
		memset(arena_alloc(a, 100), i, 100);
	assert_string_equal(first, "first");
	assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
	assert_true(slice_eq(arena_lower(a, SLICE("X-Ab_9")), SLICE("x-ab_9")));
	assert_null(arena_lower(a, NO_SLICE).at);
	assert_true(arena_bytes(a) > 100000);
	arena_reset(a);
	assert_int_equal(arena_bytes(a), 64);
	arena_free(&a);
	assert_null(a);
}

static void base64_is_strict(void **state)
{
	unsigned char out[16];
	char text[16];

	(void)state;
	assert_int_equal(base64_decode(SLICE("aGk="), out), 2);
	assert_memory_equal(out, "hi", 2);
	assert_int_equal(base64_decode(SLICE("aGk"), out), -1);
	assert_int_equal(base64_decode(SLICE("aGl="), out), -1);	/* stray bits */
	assert_int_equal(base64url_decode(SLICE("aGk"), out), 2);
	assert_int_equal(base64url_decode(SLICE("aGk="), out), 2);
	assert_int_equal(base64url_decode(SLICE("aGk=="), out), -1);
	assert_int_equal(base64url_decode(SLICE("-_-_"), out), 3);
	assert_int_equal(base64url_decode(SLICE("+/+/"), out), -1);
	assert_int_equal(base64url_decode(SLICE("a"), out), -1);
	assert_int_equal(base64url_decode(SLICE("a b"), out), -1);
	assert_int_equal(base64_decode(SLICE(""), out), 0);
	assert_int_equal(base64_encode(SLICE("hi"), text), 4);
	assert_memory_equal(text, "aGk=", 4);
	assert_int_equal(base64url_encode(SLICE("hi"), text), 3);
}

static void json_text_escapes_what_would_break_it(void **state)
{
	struct text t;

	(void)state;
	text_init(&t);
	text_add_json(&t, SLICE("a\"\\\n\x01\xc3\xa4\xff"));
	assert_string_equal(t.at, "\"a\\\"\\\\\\n\\u0001\xc3\xa4\\u00ff\"");
	text_fini(&t);
}

static void problems_come_out_in_the_order_of_the_file(void **state)
{
	struct problems ps;
	char line[200];

	(void)state;
	problems_init(&ps);
	assert_int_equal(problem_add(&ps, SEVERITY_ERROR, (struct where){ "b", 9, 1 }, "%s", "nine"), FAILED);
	problem_add(&ps, SEVERITY_WARNING, (struct where){ "a", 1, 1 }, "other file");
	problem_add(&ps, SEVERITY_ERROR, (struct where){ "b", 2, 7 }, "two");
	problems_sort(&ps);
	problem_format(&ps.items[0], line, sizeof(line));
	assert_int_equal(ps.errors, 2);
	assert_int_equal(ps.warnings, 1);
	assert_string_equal(ps.items[0].where.file, "b");
	assert_string_equal(line, "b:2:7: two");
	problem_format(&ps.items[2], line, sizeof(line));
	assert_string_equal(line, "a:1:1: warning: other file");
	problems_fini(&ps);
}

static void problems_that_repeat_are_told_of_once(void **state)
{
	const struct where here = { "a", 1, 1 };
	struct problems ps;

	(void)state;
	problems_init(&ps);
	problem_add(&ps, SEVERITY_WARNING, here, "x");
	problem_add(&ps, SEVERITY_ERROR, here, "x");
	problem_add(&ps, SEVERITY_WARNING, here, "y");
	problem_add(&ps, SEVERITY_WARNING, here, "x");
	problem_add(&ps, SEVERITY_ERROR, here, "x");
	problem_add(&ps, SEVERITY_WARNING, (struct where){ "a", 1, 2 }, "x");
	problems_sort(&ps);
	assert_int_equal(ps.count, 4);
	assert_int_equal(ps.errors, 1);
	assert_int_equal(ps.warnings, 3);
	assert_int_equal(ps.items[3].where.column, 2);
	problems_fini(&ps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_are_cut_trimmed_and_compared),
		cmocka_unit_test(an_arena_keeps_what_it_gave_until_reset),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(json_text_escapes_what_would_break_it),
		cmocka_unit_test(problems_come_out_in_the_order_of_the_file),
		cmocka_unit_test(problems_that_repeat_are_told_of_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
