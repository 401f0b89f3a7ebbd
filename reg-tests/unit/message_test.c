/* SPDX-License-Identifier: Apache-2.0
 * The list of fields of a message: order, lookup, replacement, removal; tokens and reasons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy/http/codec.h"

/* All live fields as `name=value;`. */
static const char *printed(const struct headers *h)
{
	static char out[4096];
	size_t at = 0;

	out[0] = '\0';
	for (struct header *f = headers_begin(h); f != NULL; f = headers_next(h, f))
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%.*s=%.*s;", SLICE_ARG(f->name),
				       SLICE_ARG(f->value));
	return out;
}

static void every_known_name_has_its_id(void **state)
{
	(void)state;
	for (int id = 1; id < HEADER_ID_COUNT; id++) {
		struct slice name = header_name(id);
		char other[64];

		assert_int_equal(header_id_of(name), id);
		/* one byte changed, anywhere, is another name */
		for (size_t i = 0; i < name.len; i++) {
			memcpy(other, name.at, name.len);
			other[i] = other[i] == '0' ? '1' : '0';
			assert_int_equal(header_id_of(slice_make(other, name.len)), HEADER_OTHER);
		}
		assert_int_not_equal(header_id_of(slice_first(name, name.len - 1)), id);
	}
	assert_int_equal(header_id_of(SLICE("")), HEADER_OTHER);
	assert_int_equal(header_id_of(SLICE("Host")), HEADER_OTHER);
	assert_int_equal(header_id_of(SLICE("x-custom")), HEADER_OTHER);
}

static void fields_keep_their_order(void **state)
{
	struct arena *a = arena_create(0);
	struct headers h;

	(void)state;
	headers_init(&h, a, 0);
	headers_add(&h, SLICE("cookie"), SLICE("a"));
	headers_add(&h, SLICE("x-one"), SLICE("1"));
	headers_add_id(&h, HEADER_COOKIE, SLICE("b"));
	headers_add(&h, SLICE("x-one"), SLICE("2"));
	assert_string_equal(printed(&h), "cookie=a;x-one=1;cookie=b;x-one=2;");
	assert_true(slice_eq(headers_value(&h, HEADER_COOKIE), SLICE("a")));
	assert_true(slice_eq(headers_find(&h, SLICE("x-one"))->value, SLICE("1")));
	assert_null(headers_find(&h, SLICE("x-two")));
	assert_null(headers_value(&h, HEADER_EXPECT).at);
	assert_null(headers_get(&h, HEADER_OTHER));
	assert_true(slice_eq(headers_joined(&h, SLICE("cookie"), a), SLICE("a,b")));
	assert_true(slice_eq(headers_joined(&h, SLICE("x-one"), a), SLICE("1,2")));
	assert_null(headers_joined(&h, SLICE("x-two"), a).at);
	arena_free(&a);
}

static void removing_leaves_the_others_where_they_are(void **state)
{
	struct arena *a = arena_create(0);
	struct header *kept;
	struct headers h;

	(void)state;
	headers_init(&h, a, 0);
	headers_add(&h, SLICE("cookie"), SLICE("a"));
	kept = headers_add(&h, SLICE("x-one"), SLICE("1"));
	headers_add(&h, SLICE("cookie"), SLICE("b"));
	headers_add(&h, SLICE("x-one"), SLICE("2"));
	headers_remove_at(&h, headers_get(&h, HEADER_COOKIE));
	assert_true(slice_eq(headers_value(&h, HEADER_COOKIE), SLICE("b")));
	assert_int_equal(headers_remove_id(&h, HEADER_COOKIE), 1);
	assert_int_equal(headers_remove_id(&h, HEADER_COOKIE), 0);
	assert_string_equal(printed(&h), "x-one=1;x-one=2;");
	assert_true(slice_eq(kept->value, SLICE("1")));
	assert_int_equal(headers_remove(&h, SLICE("x-one")), 2);
	assert_string_equal(printed(&h), "");
	headers_add_id(&h, HEADER_COOKIE, SLICE("c"));
	assert_true(slice_eq(headers_value(&h, HEADER_COOKIE), SLICE("c")));
	arena_free(&a);
}

static void setting_replaces_all_at_the_place_of_the_first(void **state)
{
	struct arena *a = arena_create(0);
	struct headers h;

	(void)state;
	headers_init(&h, a, 0);
	headers_add(&h, SLICE("x-one"), SLICE("1"));
	headers_add(&h, SLICE("server"), SLICE("a"));
	headers_add(&h, SLICE("x-one"), SLICE("2"));
	headers_add(&h, SLICE("server"), SLICE("b"));
	headers_set(&h, SLICE("x-one"), SLICE("3"));
	headers_set_id(&h, HEADER_SERVER, SLICE("c"));
	headers_set(&h, SLICE("x-new"), SLICE("n"));
	headers_set_id(&h, HEADER_DATE, SLICE("d"));
	assert_string_equal(printed(&h), "x-one=3;server=c;x-new=n;date=d;");
	arena_free(&a);
}

static void a_list_grows(void **state)
{
	struct arena *a = arena_create(0);
	struct headers h;

	(void)state;
	headers_init(&h, a, 1);
	for (int i = 0; i < 1000; i++)
		headers_add(&h, slice_of(arena_printf(a, "x-%d", i)), SLICE("v"));
	headers_add_id(&h, HEADER_TE, SLICE("trailers"));
	assert_true(slice_eq(headers_find(&h, SLICE("x-777"))->value, SLICE("v")));
	assert_true(slice_eq(headers_value(&h, HEADER_TE), SLICE("trailers")));
	arena_free(&a);
}

static void what_may_stand_in_names_and_values(void **state)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	(void)state;
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		bool tchar = c != 0 && strchr(token, c) != NULL;
		bool value = c == '\t' || (c >= 0x20 && c != 0x7f);

		assert_int_equal(is_token(slice_make(&byte, 1)), tchar);
		assert_int_equal(header_is_safe(slice_make(&byte, 1), SLICE("v")), tchar);
		assert_int_equal(header_is_safe(SLICE("n"), slice_make(&byte, 1)), value);
	}
	assert_false(is_token(SLICE("")));
	assert_true(header_is_safe(SLICE("n"), SLICE("")));
}

static void reasons_are_the_standard_ones(void **state)
{
	(void)state;
	assert_true(slice_eq(status_reason(200), SLICE("OK")));
	assert_true(slice_eq(status_reason(431), SLICE("Request Header Fields Too Large")));
	assert_true(slice_eq(status_reason(299), SLICE("Unknown")));
	assert_string_equal(reset_reason_text(RESET_CONNECTION_TERMINATION),
			    "connection termination");
	assert_string_equal(reset_reason_flag(RESET_PROTOCOL_ERROR), "UPE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_known_name_has_its_id),
		cmocka_unit_test(fields_keep_their_order),
		cmocka_unit_test(removing_leaves_the_others_where_they_are),
		cmocka_unit_test(setting_replaces_all_at_the_place_of_the_first),
		cmocka_unit_test(a_list_grows),
		cmocka_unit_test(what_may_stand_in_names_and_values),
		cmocka_unit_test(reasons_are_the_standard_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
