/* SPDX-License-Identifier: Apache-2.0
 * The memory of HTTP/2 sessions: large blocks keep their contents and are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/http/http2_priv.h"
#include "proxy/net/worker.h"
#include "sallyport/object.h"

#define FRAME	16394u	/* what a session asks for */
#define BLOCKS	300u

static void blocks_are_apart_and_used_again(void **state)
{
	struct worker *w = worker_create(0);
	nghttp2_mem m = http2_memory(w);
	char *blocks[BLOCKS];
	size_t used = 0;

	(void)state;
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			/* as libnghttp2 does: both ways */
			blocks[i] = i % 2 ? m.malloc(FRAME, m.mem_user_data) : m.realloc(NULL, FRAME, m.mem_user_data);
			assert_non_null(blocks[i]);
			memset(blocks[i], (int)i, FRAME);
		}
		for (unsigned i = 0; i < BLOCKS; i++)
			for (unsigned at = 0; at < FRAME; at += 97)
				assert_int_equal(blocks[i][at], (char)i);
		if (turn == 0)
			used = w->frame_pages.used;
		assert_int_equal(w->frame_pages.used, used);
		for (unsigned i = 0; i < BLOCKS; i++)
			m.free(blocks[i], m.mem_user_data);
	}
	worker_free(&w);
}

static void a_block_that_grows_keeps_what_it_holds(void **state)
{
	static const size_t sizes[] = { 100, 20000, FRAME, 20u * 1024, 20u * 1024 + 1, 200000, 10 };
	struct worker *w = worker_create(0);
	nghttp2_mem m = http2_memory(w);
	char *p = NULL;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
		p = m.realloc(p, sizes[i], m.mem_user_data);
		assert_non_null(p);
		if (i > 0)
			assert_memory_equal(p, "0123456789", 10);
		memcpy(p, "0123456789", 10);
	}
	m.free(p, m.mem_user_data);
	m.free(NULL, m.mem_user_data);
	p = m.calloc(FRAME, 2, m.mem_user_data);
	for (unsigned i = 0; i < 2 * FRAME; i++)
		assert_int_equal(p[i], 0);
	m.free(p, m.mem_user_data);
	worker_free(&w);
}

/* A FRAME that starts in the range and outgrows its pages is copied out of them. */
static void a_frame_outgrows_its_pages(void **state)
{
	struct worker *w = worker_create(0);
	nghttp2_mem m = http2_memory(w);
	char *p = m.malloc(FRAME, m.mem_user_data), *again;

	(void)state;
	memset(p, 7, FRAME);
	again = m.realloc(p, 100000, m.mem_user_data);
	for (unsigned i = 0; i < FRAME; i++)
		assert_int_equal(again[i], 7);
	m.free(again, m.mem_user_data);
	worker_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_apart_and_used_again),
		cmocka_unit_test(a_block_that_grows_keeps_what_it_holds),
		cmocka_unit_test(a_frame_outgrows_its_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
