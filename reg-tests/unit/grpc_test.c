/* SPDX-License-Identifier: Apache-2.0
 *
 * Words of gRPC: spec/http.md 28, spec/virtual-service.md 7.7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/http/grpc.h"
#include "sallyport/object.h"

static const struct { const char *type; bool is; } types[] = {
	{ "application/grpc", true }, { "application/grpc+proto", true }, { "application/grpc+json", true },
	{ "application/grpc+", true }, { "application/grpc-web", false }, { "application/grpc-web+proto", false },
	{ "application/grpc-web-text", false }, { "application/grpcx", false }, { "application/grp", false },
	{ "application/grpc;charset=utf-8", false }, { "Application/grpc", false }, { "", false },
};

static void types_are_told_apart(void **state)
{
	struct arena *a = arena_create(0);
	struct message m = { .status = 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		headers_init(&m.headers, a, 4);
		headers_add_id(&m.headers, HEADER_CONTENT_TYPE, slice_of(types[i].type));
		if (grpc_is_request(&m) != types[i].is)
			fail_msg("%s", types[i].type);
	}
	headers_init(&m.headers, a, 4);
	assert_false(grpc_is_request(&m));
	assert_false(grpc_is_request(NULL));
	arena_free(&a);
}

static const struct { const char *value; int64_t ms; } timeouts[] = {
	{ "1H", 3600000 }, { "2M", 120000 }, { "3S", 3000 }, { "4m", 4 }, { "5000u", 5 }, { "6000000n", 6 },
	/* A part of a millisecond is one. */
	{ "1u", 1 }, { "1n", 1 }, { "1001u", 2 }, { "1000001n", 2 },
	{ "99999999H", 99999999ll * 3600000 }, { "99999999n", 100 }, { "00000001S", 1000 },
	/* No time at all is none that was set. */
	{ "0S", 0 }, { "0n", 0 },
	{ "100000000S", 0 }, { "000000001S", 0 }, { "", 0 }, { "S", 0 }, { "1", 0 }, { "12", 0 }, { "1s", 0 },
	{ "1h", 0 }, { "1 S", 0 }, { " 1S", 0 }, { "-1S", 0 }, { "+1S", 0 }, { "1.5S", 0 }, { "1SS", 0 },
	{ "0x1S", 0 }, { "1ms", 0 }, { "1U", 0 }, { "1N", 0 },
};

static void timeouts_are_read_strictly(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(timeouts); i++)
		if (grpc_timeout_ms(slice_of(timeouts[i].value)) != timeouts[i].ms)
			fail_msg("%s: %lld", timeouts[i].value,
				 (long long)grpc_timeout_ms(slice_of(timeouts[i].value)));
	assert_int_equal(grpc_timeout_ms(NO_SLICE), 0);
}

static const struct { int64_t ms; const char *text; } texts[] = {
	{ 1, "1m" }, { 99999999, "99999999m" }, { 100000000, "100000S" }, { 100000999, "100000S" },
	{ 99999999999, "99999999S" }, { 100000000000, "1666666M" }, { 6000000000000, "1666666H" },
	{ INT64_MAX, "99999999H" },
};

/* What is told to the endpoint is never more than what is left. */
static void timeouts_are_written(void **state)
{
	struct arena *a = arena_create(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct slice found = grpc_timeout_text(texts[i].ms, a);

		if (!slice_eq(found, slice_of(texts[i].text)))
			fail_msg("%lld: %.*s", (long long)texts[i].ms, SLICE_ARG(found));
		assert_true(grpc_timeout_ms(found) <= texts[i].ms);
	}
	arena_free(&a);
}

static const struct { unsigned http, grpc; } statuses[] = {
	{ 400, 13 }, { 401, 16 }, { 403, 7 }, { 404, 12 }, { 429, 14 }, { 502, 14 }, { 503, 14 }, { 504, 14 },
	{ 200, 2 }, { 301, 2 }, { 408, 2 }, { 413, 2 }, { 418, 2 }, { 500, 2 }, { 501, 2 }, { 505, 2 },
};

static void statuses_are_translated(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(statuses); i++)
		assert_int_equal(grpc_status_of(statuses[i].http), statuses[i].grpc);
}

static void messages_are_encoded(void **state)
{
	struct arena *a = arena_create(0);
	char *large = arena_alloc(a, 2 * GRPC_MESSAGE_TEXT_MAX);
	struct message m = { .status = 200 };
	struct slice found;

	(void)state;
	found = grpc_message(SLICE("RBAC: access denied"), a);
	assert_true(slice_eq(found, SLICE("RBAC: access denied")));
	found = grpc_message(SLICE("50% ~\r\n\x7f\xc3\xa4}"), a);
	assert_true(slice_eq(found, SLICE("50%25 %7E%0D%0A%7F%C3%A4}")));

	headers_init(&m.headers, a, 4);
	grpc_set_status(&m, 14, SLICE(""));
	assert_true(slice_eq(headers_value(&m.headers, HEADER_GRPC_STATUS), SLICE("14")));
	assert_null(headers_get(&m.headers, HEADER_GRPC_MESSAGE));
	memset(large, 'x', 2 * GRPC_MESSAGE_TEXT_MAX);
	grpc_set_status(&m, 2, slice_make(large, 2 * GRPC_MESSAGE_TEXT_MAX));
	assert_int_equal(headers_value(&m.headers, HEADER_GRPC_MESSAGE).len, GRPC_MESSAGE_TEXT_MAX);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_told_apart),
		cmocka_unit_test(timeouts_are_read_strictly),
		cmocka_unit_test(timeouts_are_written),
		cmocka_unit_test(statuses_are_translated),
		cmocka_unit_test(messages_are_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
