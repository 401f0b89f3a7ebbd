/* SPDX-License-Identifier: Apache-2.0
 *
 * The head that a mirror gets: spec/virtual-service.md 7.10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/route/route.h"

static struct message *request_of(struct arena *a, const char *authority)
{
	struct message *m = arena_new(a, struct message);

	m->method = SLICE("POST");
	m->scheme = SLICE("https");
	m->path = SLICE("/a?b");
	m->authority = slice_of(authority);
	m->framing = FRAMING_LENGTH;
	m->content_length = 3;
	headers_init(&m->headers, a, 1);
	return m;
}

static void assert_field(const struct message *m, const char *name, const char *expected)
{
	const struct header *f = headers_find(&m->headers, slice_of(name));

	assert_non_null(f);
	if (!slice_eq(f->value, slice_of(expected)))
		fail_msg("%s: %.*s, expected %s", name, SLICE_ARG(f->value), expected);
}

static void authorities_say_that_it_is_a_copy(void **state)
{
	static const struct { const char *from, *to; } rows[] = {
		{ "a.com", "a.com-shadow" },
		{ "a.com:8080", "a.com-shadow:8080" },
		{ "A.com", "A.com-shadow" },
		{ "10.0.0.1:80", "10.0.0.1-shadow:80" },
		{ "[::1]", "[::1]" },
		{ "[::1]:80", "[::1]:80" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_create(0);
		const struct message *m = request_of(a, rows[i].from);
		struct slice with = route_mirror_request(m, true, NO_SLICE, a)->authority;
		struct slice without = route_mirror_request(m, false, NO_SLICE, a)->authority;

		if (!slice_eq(with, slice_of(rows[i].to)) || !slice_eq(without, slice_of(rows[i].from)))
			fail_msg("%s: %.*s, %.*s", rows[i].from, SLICE_ARG(with), SLICE_ARG(without));
		arena_free(&a);
	}
}

/* Everything of it lives in the arena of the copy: the request is gone before it. */
static void a_copy_outlives_its_request(void **state)
{
	struct arena *a = arena_create(0), *b = arena_create(0);
	struct message *m = request_of(a, "a.com"), *copy;
	struct headers trailers, *kept;

	(void)state;
	m->path = arena_slice(a, SLICE("/of/the/arena"));
	headers_add(&m->headers, SLICE("x-gone"), SLICE("1"));
	headers_add(&m->headers, arena_slice(a, SLICE("x-name")), arena_slice(a, SLICE("value")));
	headers_add(&m->headers, SLICE("x-name"), SLICE("again"));
	headers_add_id(&m->headers, HEADER_COOKIE, arena_slice(a, SLICE("c=d")));
	headers_remove(&m->headers, SLICE("x-gone"));
	headers_init(&trailers, a, 1);
	headers_add(&trailers, arena_slice(a, SLICE("x-end")), arena_slice(a, SLICE("now")));
	copy = route_mirror_request(m, true, SLICE("10.0.0.9"), b);
	kept = route_mirror_trailers(&trailers, b);
	arena_free(&a);

	assert_true(slice_eq(copy->path, SLICE("/of/the/arena")));
	assert_true(slice_eq(copy->method, SLICE("POST")));
	assert_int_equal(copy->content_length, 3);
	assert_field(copy, "cookie", "c=d");
	assert_true(slice_eq(headers_joined(&copy->headers, SLICE("x-name"), b), SLICE("value,again")));
	assert_null(headers_find(&copy->headers, SLICE("x-gone")));
	assert_true(slice_eq(headers_find(kept, SLICE("x-end"))->value, SLICE("now")));
	arena_free(&b);
}

static void a_copy_says_whose_it_is(void **state)
{
	struct arena *a = arena_create(0);
	struct message *m = request_of(a, "a.com");

	(void)state;
	headers_add_id(&m->headers, HEADER_X_ENVOY_INTERNAL, SLICE("false"));
	assert_field(route_mirror_request(m, true, NO_SLICE, a), "x-envoy-internal", "true");
	assert_null(headers_get(&route_mirror_request(m, true, NO_SLICE, a)->headers, HEADER_X_FORWARDED_FOR));
	assert_field(route_mirror_request(m, true, SLICE("10.0.0.9"), a), "x-forwarded-for", "10.0.0.9");
	headers_add_id(&m->headers, HEADER_X_FORWARDED_FOR, SLICE("1.1.1.1"));
	headers_add_id(&m->headers, HEADER_X_FORWARDED_FOR, SLICE("2.2.2.2"));
	assert_field(route_mirror_request(m, true, SLICE("10.0.0.9"), a), "x-forwarded-for",
		     "1.1.1.1,2.2.2.2,10.0.0.9");
	assert_int_equal(m->headers.count, 3);		/* the request is as it was */
	arena_free(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(authorities_say_that_it_is_a_copy),
		cmocka_unit_test(a_copy_outlives_its_request),
		cmocka_unit_test(a_copy_says_whose_it_is),
	};

	return cmocka_run_group_tests_name("mirror", tests, NULL, NULL);
}
