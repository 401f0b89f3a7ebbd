/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts with operators: what compiles to which pieces, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/format.h"
#include "sallyport/object.h"
#include "sallyport/text.h"

/* Pieces in one line: literals in quotes, operators as NAME(text?other):N. */
static void describe(const struct format *f, struct text *t)
{
	text_clear(t);
	for (size_t i = 0; i < f->count; i++) {
		const struct format_piece *p = &f->items[i];

		if (p->op == FORMAT_LITERAL) {
			text_printf(t, "'%.*s'", SLICE_ARG(p->text));
			continue;
		}
		text_printf(t, "<%s", format_op_name(p->op));
		if (p->text.at != NULL)
			text_printf(t, "(%.*s)", SLICE_ARG(p->text));
		if (p->other.at != NULL)
			text_printf(t, "?%.*s", SLICE_ARG(p->other));
		if (p->max_bytes > 0)
			text_printf(t, ":%zu", p->max_bytes);
		text_printf(t, ">");
	}
}

static void formats_become_pieces(void **state)
{
	static const struct {
		const char *format, *pieces;
	} rows[] = {
		{ "", "" },
		{ "plain", "'plain'" },
		{ "100%%", "'100%'" },
		{ "%%%%", "'%%'" },
		{ "%PROTOCOL%", "<PROTOCOL>" },
		{ "a%PROTOCOL%b%HOSTNAME%%ROUTE_NAME%", "'a'<PROTOCOL>'b'<HOSTNAME><ROUTE_NAME>" },
		{ "%REQ(X-Request-ID)%", "<REQ(x-request-id)>" },
		{ "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):20%", "<REQ(x-envoy-original-path)?:path:20>" },
		{ "%REQ(Host)%", "<REQ(:authority)>" },
		{ "%RESP(server)%%%", "<RESP(server)>'%'" },
		{ "%START_TIME%", "<START_TIME>" },
		{ "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)% x", "<START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)>' x'" },
		{ "%START_TIME(%s(a) %H)%", "<START_TIME(%s(a) %H)>" },
		{ "%UPSTREAM_HOST:7%", "<UPSTREAM_HOST:7>" },
		{ "%DYNAMIC_METADATA(ns:key)%", "<DYNAMIC_METADATA(ns:key)>" },
		{ "%DOWNSTREAM_PEER_CERT_V_START(%b %d)%", "<DOWNSTREAM_PEER_CERT_V_START(%b %d)>" },
		{ "%DOWNSTREAM_PEER_FINGERPRINT_256%", "<DOWNSTREAM_PEER_FINGERPRINT_256>" },
	};
	struct arena *a = arena_create(0);
	struct text t;

	(void)state;
	text_init(&t);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct format_error why = { 0 };
		struct format f;

		if (!format_parse(a, slice_of(rows[i].format), &f, &why))
			fail_msg("%s: %s", rows[i].format, why.text);
		describe(&f, &t);
		assert_string_equal(text_slice(&t).at, rows[i].pieces);
	}
	text_fini(&t);
	arena_free(&a);
}

static void bad_formats_are_refused(void **state)
{
	static const struct {
		const char *format, *says;
		size_t offset;
	} rows[] = {
		{ "abc%123", "begins no operator", 3 },
		{ "%", "begins no operator", 0 },
		{ "50% off", "begins no operator", 2 },
		{ "%START_TIME%%", "begins no operator", 12 },
		{ "%protocol%", "begins no operator", 0 },
		{ "%REQ(x)", "without \")%\"", 0 },
		{ "%REQ(x%", "without \")%\"", 0 },
		{ "%REQ%", "needs a header name", 0 },
		{ "%REQ()%", "is no header name", 5 },
		{ "%REQ(a b)%", "\"a b\" is no header name", 5 },
		{ "%REQ(a?)%", "is no header name", 7 },
		{ "%REQ(a?b?c)%", "\"b?c\" is no header name", 7 },
		{ "%PROTOCOL(x)%", "takes nothing in parentheses", 0 },
		{ "%ENVIRONMENT%", "needs a value in parentheses", 0 },
		{ "%ROUTE_NAMES%", "unknown operator %ROUTE_NAMES%, did you mean %ROUTE_NAME%?", 0 },
		{ "x%XYZZY%", "unknown operator %XYZZY%", 1 },
		{ "%REQ(a):0%", "a length is a number from 1", 8 },
		{ "%REQ(a):99999999999999999999%", "a length is a number from 1", 8 },
		{ "%REQ(a):x%", "without \")%\"", 0 },
	};
	struct arena *a = arena_create(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct format_error why = { 0 };
		struct format f;

		assert_false(format_parse(a, slice_of(rows[i].format), &f, &why));
		if (strstr(why.text, rows[i].says) == NULL || why.offset != rows[i].offset)
			fail_msg("%s: %s at %zu", rows[i].format, why.text, why.offset);
	}
	arena_free(&a);
}

static void the_default_access_log_compiles(void **state)
{
	static const char line[] =
		"[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "
		"%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
		"\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
		"%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
		"\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
		"%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
		"%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";
	struct arena *a = arena_create(0);
	struct format_error why;
	struct format f;
	size_t operators = 0;

	(void)state;
	assert_true(format_parse(a, slice_of(line), &f, &why));
	for (size_t i = 0; i < f.count; i++)
		operators += f.items[i].op != FORMAT_LITERAL;
	assert_int_equal(operators, 24);
	arena_free(&a);
}

static void literals_are_known(void **state)
{
	struct arena *a = arena_create(0);
	struct format_error why;
	struct format f;
	struct slice text;

	(void)state;
	assert_true(format_parse(a, SLICE("50%%"), &f, &why));
	assert_true(format_is_literal(&f, &text));
	assert_true(slice_eq(text, SLICE("50%")));
	assert_true(format_parse(a, SLICE(""), &f, &why));
	assert_true(format_is_literal(&f, &text));
	assert_int_equal(text.len, 0);
	assert_true(format_parse(a, SLICE("a%PROTOCOL%"), &f, &why));
	assert_false(format_is_literal(&f, &text));
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_become_pieces),
		cmocka_unit_test(bad_formats_are_refused),
		cmocka_unit_test(the_default_access_log_compiles),
		cmocka_unit_test(literals_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
