/* SPDX-License-Identifier: Apache-2.0
 * Which ends of an attempt a policy follows with another one, as documents write it (spec/virtual-service.md
 * 7.8, spec/destination-rule.md 15). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/stream/retry.h"
#include "reg-tests/unit/document_check.h"

static void *decode(struct decoder *d, const struct node *spec, const struct meta *meta)
{
	return virtual_service_decode(d, spec, meta);
}

/* `written`: the members of retries, or NULL for a route without. */
static struct retry_policy policy_of(struct document *doc, const char *written)
{
	char yaml[512];

	if (written == NULL)
		return retry_policy_default;
	snprintf(yaml, sizeof(yaml),
		 "hosts: [a.b]\ngateways: [g]\nhttp: [{route: [{destination: {host: c.d}}], retries: {%s}}]\n",
		 written);
	document_open(doc, decode, "VirtualService", yaml);
	assert_int_equal(doc->problems.errors, 0);
	return *((struct virtual_service *)doc->object)->http.items[0].retries;
}

/* How an attempt ends, in words. */
enum end {
	REFUSED,	/* the connection: nobody listens */
	CONNECT_LATE,
	OVERFLOWED,	/* a limit of ours */
	CLOSED_FIRST,	/* before a byte of the request had left */
	CLOSED_AFTER,	/* after it was sent */
	RST,		/* RST_STREAM */
	REFUSED_STREAM,
	BAD_RESPONSE,	/* breaks the protocol */
	LATE,		/* perTryTimeout */
	END_COUNT
};

static struct attempt_outcome outcome_of(enum end end)
{
	static const struct attempt_outcome outcomes[END_COUNT] = {
		[REFUSED] = { .how = ATTEMPT_RESET, .why = RESET_REMOTE_CONNECTION_FAILURE },
		[CONNECT_LATE] = { .how = ATTEMPT_RESET, .why = RESET_CONNECTION_TIMEOUT },
		[OVERFLOWED] = { .how = ATTEMPT_RESET, .why = RESET_OVERFLOW },
		[CLOSED_FIRST] = { .how = ATTEMPT_RESET, .why = RESET_CONNECTION_TERMINATION },
		[CLOSED_AFTER] = { .how = ATTEMPT_RESET, .why = RESET_CONNECTION_TERMINATION, .sent = true },
		[RST] = { .how = ATTEMPT_RESET, .why = RESET_REMOTE_RESET, .sent = true },
		[REFUSED_STREAM] = { .how = ATTEMPT_RESET, .why = RESET_REMOTE_REFUSED, .sent = true },
		[BAD_RESPONSE] = { .how = ATTEMPT_RESET, .why = RESET_PROTOCOL_ERROR, .sent = true },
		[LATE] = { .how = ATTEMPT_TIMED_OUT, .sent = true },
	};

	return outcomes[end];
}

#define IN(end)	(1u << (end))
#define CONNECTS	(IN(REFUSED) | IN(CONNECT_LATE))
#define RESETS	(CONNECTS | IN(CLOSED_FIRST) | IN(CLOSED_AFTER) | IN(RST) | IN(REFUSED_STREAM) | \
		 IN(BAD_RESPONSE) | IN(LATE))

static const struct {
	const char *written;
	unsigned ends;		/* those that are retried */
} ends[] = {
	{ NULL, CONNECTS | IN(REFUSED_STREAM) },
	{ "attempts: 2", CONNECTS | IN(REFUSED_STREAM) },
	{ "attempts: 1, retryOn: connect-failure", CONNECTS },
	{ "attempts: 1, retryOn: refused-stream", IN(REFUSED_STREAM) },
	{ "attempts: 1, retryOn: reset", RESETS },
	{ "attempts: 1, retryOn: 5xx", RESETS },
	{ "attempts: 1, retryOn: gateway-error", RESETS },
	{ "attempts: 1, retryOn: reset-before-request", CONNECTS | IN(CLOSED_FIRST) },
	{ "attempts: 1, retryOn: \"connect-failure,reset-before-request\"", CONNECTS | IN(CLOSED_FIRST) },
	{ "attempts: 1, retryOn: retriable-4xx", 0 },
	{ "attempts: 1, retryOn: \"503\"", 0 },
	{ "attempts: 1, retryOn: retriable-status-codes", 0 },
	{ "attempts: 1, retryOn: retriable-headers", 0 },
	{ "attempts: 1, retryOn: http3-post-connect-failure", 0 },
	{ "attempts: 1, retryOn: envoy-ratelimited", 0 },
	{ "attempts: 1, retryOn: \"unavailable,resource-exhausted\"", 0 },
};

static void resets_and_timeouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		struct document doc;
		struct retry_policy p = policy_of(&doc, ends[i].written);

		for (unsigned end = 0; end < END_COUNT; end++) {
			struct attempt_outcome o = outcome_of(end);

			if (retry_covers(&p, &o) != !!(ends[i].ends & IN(end)))
				fail_msg("%s: end %u", ends[i].written, end);
		}
		if (ends[i].written != NULL)
			document_close(&doc);
	}
}

static const struct {
	const char *written;
	unsigned status;
	const char *grpc, *limited;	/* of the fields grpc-status and x-envoy-ratelimited; NULL: absent */
	bool retried;
} responses[] = {
	{ NULL, 200, NULL, NULL, false },
	{ NULL, 503, NULL, NULL, false },
	{ NULL, 200, "14", NULL, true },
	{ NULL, 200, "1", NULL, true },
	{ NULL, 200, "4", NULL, false },
	{ NULL, 200, "8", NULL, false },
	{ NULL, 200, "13", NULL, false },
	{ NULL, 200, "0", NULL, false },
	{ "attempts: 1, retryOn: 5xx", 500, NULL, NULL, true },
	{ "attempts: 1, retryOn: 5xx", 599, NULL, NULL, true },
	{ "attempts: 1, retryOn: 5xx", 600, NULL, NULL, false },
	{ "attempts: 1, retryOn: 5xx", 499, NULL, NULL, false },
	{ "attempts: 1, retryOn: 5xx", 200, "14", NULL, false },
	{ "attempts: 1, retryOn: gateway-error", 500, NULL, NULL, false },
	{ "attempts: 1, retryOn: gateway-error", 501, NULL, NULL, false },
	{ "attempts: 1, retryOn: gateway-error", 502, NULL, NULL, true },
	{ "attempts: 1, retryOn: gateway-error", 503, NULL, NULL, true },
	{ "attempts: 1, retryOn: gateway-error", 504, NULL, NULL, true },
	{ "attempts: 1, retryOn: gateway-error", 505, NULL, NULL, false },
	{ "attempts: 1, retryOn: reset", 503, NULL, NULL, false },
	{ "attempts: 1, retryOn: connect-failure", 503, NULL, NULL, false },
	{ "attempts: 1, retryOn: retriable-4xx", 409, NULL, NULL, true },
	{ "attempts: 1, retryOn: retriable-4xx", 408, NULL, NULL, false },
	{ "attempts: 1, retryOn: retriable-4xx", 429, NULL, NULL, false },
	{ "attempts: 1, retryOn: \"503\"", 503, NULL, NULL, true },
	{ "attempts: 1, retryOn: \"503\"", 500, NULL, NULL, false },
	{ "attempts: 1, retryOn: 503", 503, NULL, NULL, true },
	{ "attempts: 1, retryOn: \"429,503,reset\"", 429, NULL, NULL, true },
	{ "attempts: 1, retryOn: \"retriable-status-codes,404\"", 404, NULL, NULL, true },
	{ "attempts: 1, retryOn: retriable-status-codes", 503, NULL, NULL, false },
	{ "attempts: 1, retryOn: retriable-headers", 503, NULL, NULL, false },
	/* gRPC: of the head, whatever the status of HTTP */
	{ "attempts: 1, retryOn: cancelled", 200, "1", NULL, true },
	{ "attempts: 1, retryOn: cancelled", 200, "14", NULL, false },
	{ "attempts: 1, retryOn: deadline-exceeded", 200, "4", NULL, true },
	{ "attempts: 1, retryOn: resource-exhausted", 200, "8", NULL, true },
	{ "attempts: 1, retryOn: internal", 200, "13", NULL, true },
	{ "attempts: 1, retryOn: unavailable", 200, "14", NULL, true },
	{ "attempts: 1, retryOn: unavailable", 503, NULL, NULL, false },
	{ "attempts: 1, retryOn: unavailable", 200, NULL, NULL, false },
	{ "attempts: 1, retryOn: unavailable", 200, "", NULL, false },
	{ "attempts: 1, retryOn: unavailable", 200, "14x", NULL, false },
	{ "attempts: 1, retryOn: unavailable", 200, "18446744073709551630", NULL, false },
	{ "attempts: 4, retryOn: \"unavailable,resource-exhausted\"", 200, "8", NULL, true },
	{ "attempts: 4, retryOn: \"unavailable,resource-exhausted\"", 200, "14", NULL, true },
	{ "attempts: 4, retryOn: \"unavailable,resource-exhausted\"", 200, "13", NULL, false },
	/* a limit that the service keeps: only who asks for it tries again */
	{ "attempts: 1, retryOn: 5xx", 503, NULL, "true", false },
	{ "attempts: 1, retryOn: \"429\"", 429, NULL, "true", false },
	{ "attempts: 1, retryOn: unavailable", 200, "14", "true", false },
	{ "attempts: 1, retryOn: envoy-ratelimited", 429, NULL, "true", true },
	{ "attempts: 1, retryOn: envoy-ratelimited", 200, NULL, "", true },
	{ "attempts: 1, retryOn: envoy-ratelimited", 429, NULL, NULL, false },
	{ "attempts: 1, retryOn: \"envoy-ratelimited,5xx\"", 503, NULL, NULL, true },
};

static void responses_by_their_heads(void **state)
{
	struct arena *a = arena_create(4096);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(responses); i++) {
		struct message m = { .status = responses[i].status };
		struct attempt_outcome o = { .how = ATTEMPT_ANSWERED, .sent = true, .heard = true,
					     .response = &m };
		struct document doc;
		struct retry_policy p = policy_of(&doc, responses[i].written);

		headers_init(&m.headers, a, 4);
		headers_add(&m.headers, SLICE("content-type"), SLICE("text/plain"));
		if (responses[i].grpc != NULL)
			headers_add(&m.headers, SLICE("grpc-status"), slice_of(responses[i].grpc));
		if (responses[i].limited != NULL)
			headers_add(&m.headers, SLICE("x-envoy-ratelimited"), slice_of(responses[i].limited));
		if (retry_covers(&p, &o) != responses[i].retried)
			fail_msg("response %zu: %s %u", i, responses[i].written, responses[i].status);
		if (responses[i].written != NULL)
			document_close(&doc);
	}
	arena_free(&a);
}

static void waits_double_up_to_ten_times(void **state)
{
	static const int64_t of_default[] = { 25, 50, 100, 200, 250, 250, 250 };
	struct retry_policy slow = { .backoff_ms = 1000 };

	(void)state;
	for (unsigned n = 1; n <= COUNT_OF(of_default); n++)
		assert_int_equal(retry_backoff_below_ms(&retry_policy_default, n), of_default[n - 1]);
	assert_int_equal(retry_backoff_below_ms(&slow, 1), 1000);
	assert_int_equal(retry_backoff_below_ms(&slow, 4), 8000);
	assert_int_equal(retry_backoff_below_ms(&slow, UINT32_MAX), 10000);
}

/* Bodies are kept only where something could ask for them. */
static const struct {
	const char *written;
	bool http1, http2, grpc;	/* upstream; gRPC over HTTP/2 */
} bodies[] = {
	{ NULL, false, true, true },
	{ "attempts: 0", false, false, false },
	{ "attempts: 1, retryOn: connect-failure", false, false, false },
	{ "attempts: 1, retryOn: \"connect-failure,unavailable\"", false, false, true },
	{ "attempts: 1, retryOn: refused-stream", false, true, true },
	{ "attempts: 1, retryOn: retriable-status-codes", false, false, false },
	{ "attempts: 1, retryOn: \"503\"", true, true, true },
	{ "attempts: 1, retryOn: 5xx", true, true, true },
	{ "attempts: 1, retryOn: reset", true, true, true },
	{ "attempts: 1, retryOn: gateway-error", true, true, true },
	{ "attempts: 1, retryOn: retriable-4xx", true, true, true },
	{ "attempts: 1, retryOn: envoy-ratelimited", true, true, true },
	{ "attempts: 1, retryOn: reset-before-request", true, true, true },
	{ "attempts: 1, retryOn: \"retriable-headers,http3-post-connect-failure\"", false, false, false },
};

static void bodies_are_kept_for_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		struct document doc;
		struct retry_policy p = policy_of(&doc, bodies[i].written);

		if (retry_needs_body(&p, false, false) != bodies[i].http1 ||
		    retry_needs_body(&p, true, false) != bodies[i].http2 ||
		    retry_needs_body(&p, true, true) != bodies[i].grpc)
			fail_msg("%s", bodies[i].written);
		if (bodies[i].written != NULL)
			document_close(&doc);
	}
}

static void methods_that_may_be_sent_twice(void **state)
{
	(void)state;
	assert_true(method_is_idempotent(SLICE("GET")));
	assert_true(method_is_idempotent(SLICE("HEAD")));
	assert_true(method_is_idempotent(SLICE("PUT")));
	assert_true(method_is_idempotent(SLICE("DELETE")));
	assert_true(method_is_idempotent(SLICE("OPTIONS")));
	assert_true(method_is_idempotent(SLICE("TRACE")));
	assert_false(method_is_idempotent(SLICE("POST")));
	assert_false(method_is_idempotent(SLICE("PATCH")));
	assert_false(method_is_idempotent(SLICE("CONNECT")));
	assert_false(method_is_idempotent(SLICE("get")));
	assert_false(method_is_idempotent(NO_SLICE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resets_and_timeouts),
		cmocka_unit_test(responses_by_their_heads),
		cmocka_unit_test(waits_double_up_to_ten_times),
		cmocka_unit_test(bodies_are_kept_for_a_reason),
		cmocka_unit_test(methods_that_may_be_sent_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
