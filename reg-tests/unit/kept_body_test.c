/* SPDX-License-Identifier: Apache-2.0
 * Bytes of a body that are kept: whatever the pieces they come and go in, they stay the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proxy/net/worker.h"
#include "proxy/stream/kept_body.h"
#include "sallyport/object.h"

#define BODY_BYTES	(300u * 1024)

static char body[BODY_BYTES];

static int set_up(void **state)
{
	for (size_t i = 0; i < BODY_BYTES; i++)
		body[i] = (char)(i * 31 + i / 251);
	*state = worker_create(0);
	return 0;
}

static int tear_down(void **state)
{
	struct worker *w = *state;

	worker_free(&w);
	return 0;
}

static void add_in_pieces(struct worker *w, struct kept_body *k, size_t piece)
{
	for (size_t at = 0; at < BODY_BYTES; at += piece) {
		struct slice s = slice_first(slice_make(body + at, BODY_BYTES - at), piece);
		size_t foreseen = kept_memory(k, s.len);

		kept_add(w, k, s);
		assert_int_equal(kept_memory(k, 0), foreseen);
		assert_int_equal(k->bytes, at + s.len);
	}
}

/* Reads at most `piece` at a time, all of it. */
static void expect_body(const struct kept_body *k, size_t piece)
{
	struct kept_reader r = { 0 };
	size_t at = 0;

	for (struct slice s = kept_next(k, &r); s.len > 0; s = kept_next(k, &r)) {
		s = slice_first(s, piece);
		assert_true(at + s.len <= BODY_BYTES);
		assert_memory_equal(s.at, body + at, s.len);
		kept_pass(&r, s.len);
		at += s.len;
	}
	assert_int_equal(at, BODY_BYTES);
}

static void pieces_make_no_difference(void **state)
{
	static const size_t pieces[] = { 1, 7, 1000, 16 * 1024 - 16, 16 * 1024, 16 * 1024 + 1, BODY_BYTES };
	struct kept_body k = { 0 };

	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		add_in_pieces(*state, &k, pieces[i]);
		for (size_t j = 1; j < COUNT_OF(pieces); j++)
			expect_body(&k, pieces[j]);
		expect_body(&k, 16 * 1024);	/* as often as one likes */
		kept_free(*state, &k);
		assert_int_equal(kept_memory(&k, 0), 0);
	}
}

static void who_has_read_all_gets_what_comes(void **state)
{
	struct kept_body k = { 0 };
	struct kept_reader r = { 0 };
	size_t at = 0;

	assert_int_equal(kept_next(&k, &r).len, 0);
	for (size_t piece = 1; at + piece <= BODY_BYTES; at += piece, piece = piece * 3 / 2 + 1) {
		size_t read = 0;

		kept_add(*state, &k, slice_make(body + at, piece));
		for (struct slice s = kept_next(&k, &r); s.len > 0; s = kept_next(&k, &r)) {
			assert_memory_equal(s.at, body + at + read, s.len);
			kept_pass(&r, s.len);
			read += s.len;
		}
		assert_int_equal(read, piece);
	}
	kept_free(*state, &k);
}

static void the_front_is_dropped(void **state)
{
	struct kept_body k = { 0 };
	size_t at = 0;

	add_in_pieces(*state, &k, 5000);
	for (size_t n = 1; k.bytes > 0; n = n * 2 + 1) {
		struct kept_reader r = { 0 };
		struct slice s = slice_first(kept_next(&k, &r), n);

		assert_memory_equal(s.at, body + at, s.len);
		kept_drop(*state, &k, s.len);
		at += s.len;
		assert_int_equal(k.bytes, BODY_BYTES - at);
		assert_true(kept_memory(&k, 0) <= k.bytes + 2 * BUFFER_BYTES + BODY_BYTES / 100);
	}
	assert_int_equal(at, BODY_BYTES);
	assert_int_equal(kept_memory(&k, 0), 0);

	/* A queue goes on after it was empty. */
	kept_add(*state, &k, slice_make(body, 100));
	kept_drop(*state, &k, 60);
	kept_add(*state, &k, slice_make(body + 100, 20));
	assert_memory_equal(kept_next(&k, &(struct kept_reader){ 0 }).at, body + 60, 60);
	kept_free(*state, &k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_make_no_difference),
		cmocka_unit_test(who_has_read_all_gets_what_comes),
		cmocka_unit_test(the_front_is_dropped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
