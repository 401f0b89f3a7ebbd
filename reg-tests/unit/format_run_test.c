/* SPDX-License-Identifier: Apache-2.0
 *
 * Formats filled in: every operator that an exchange knows, and what becomes of the others
 * (spec/virtual-service.md 7.6, spec/observability.md 2, 4). */
#include "route_case.h"

#include <unistd.h>

#include "proxy/tls/peer_identity.h"
#include "sallyport/format.h"

static struct arena *arena;
static struct message request, response;
static struct exchange full;
static const struct peer_identity peer = { .subject = SLICE("CN=c"), .serial = SLICE("0a"),
	.valid_from_us = INT64_C(1767225600000000) };

static int fill_in(void **state)
{
	(void)state;
	arena = arena_create(0);
	request = (struct message){ .method = SLICE("GET"), .scheme = SLICE("https"), .authority = SLICE("a.com:443"),
				    .path = SLICE("/new?x=1"), .head_bytes = 123 };
	headers_init(&request.headers, arena, 8);
	headers_add(&request.headers, SLICE("x-envoy-original-path"), SLICE("/old?x=1"));
	headers_add(&request.headers, SLICE("user-agent"), SLICE("curl/8"));
	headers_add(&request.headers, SLICE("x"), SLICE("one"));
	headers_add(&request.headers, SLICE("x"), SLICE("two"));
	headers_add(&request.headers, SLICE("empty"), SLICE(""));
	headers_add(&request.headers, SLICE("x-request-id"), SLICE("id-1"));
	headers_add(&request.headers, SLICE("traceparent"), SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
	response = (struct message){ .status = 200, .head_bytes = 77 };
	headers_init(&response.headers, arena, 8);
	headers_add(&response.headers, SLICE("grpc-status"), SLICE("7"));
	full = (struct exchange){
		.request = &request, .response = &response, .protocol = "HTTP/1.1", .upstream_protocol = "HTTP/1.1",
		.remote_address = SLICE("203.0.113.9:53822"), .direct_remote_address = SLICE("[2001:db8::1]:9"),
		.local_address = SLICE("10.1.0.9:443"), .requested_server_name = SLICE("a.com"),
		.tls_version = SLICE("TLSv1.3"), .tls_cipher = SLICE("TLS_AES_128_GCM_SHA256"), .connection_id = 42, .peer = &peer,
		.route_name = SLICE("r.m"), .cluster_name = SLICE("outbound|80||b.local"),
		.upstream_host = SLICE("10.1.2.3:9080"), .upstream_local_address = SLICE("10.1.0.9:40112"),
		.transport_failure_reason = SLICE("delayed connect error: Connection refused"), .attempts = 2,
		.response_code = 503, .response_code_details = SLICE("via upstream"),
		.response_flags = RESPONSE_FLAG_URX | RESPONSE_FLAG_UF, .bytes_received = 5, .bytes_sent = 5290,
		.start_wall_us = INT64_C(1772366400004567), .start_us = 1000000, .request_end_us = 1002000,
		.request_sent_us = 1003500, .response_head_us = 1020999, .first_byte_sent_us = 1021000,
		.end_us = 1030000, .local_reply_body = SLICE("no healthy upstream"),
		.termination_details = SLICE("rbac denied"),
	};
	return 0;
}

static int let_go(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static const char *run(const char *format, const struct exchange *x, struct slice absent)
{
	struct format_error why;
	struct format f;

	if (!format_parse(arena, slice_of(format), &f, &why))
		fail_msg("%s: %s", format, why.text);
	return arena_text(arena, format_run(&f, x, absent, arena));
}

struct format_row {
	const char *format, *full, *empty;	/* of an exchange that knows nothing */
};

static const struct format_row rows[] = {
	{ "", "", "" }, { "plain 100%%", "plain 100%", "plain 100%" },
	{ "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%", "GET /old?x=1 HTTP/1.1", "- - -" },
	{ "%REQ(:path)%|%REQ(:authority)%|%REQ(:scheme)%", "/new?x=1|a.com:443|https", "-|-|-" },
	{ "%REQ(none?user-agent)%", "curl/8", "-" }, { "%REQ(x)%", "one", "-" }, { "%REQ(empty)%", "-", "-" },
	{ "%REQ(user-agent):4%", "curl", "-" }, { "%REQ_WITHOUT_QUERY(:path)%", "/new", "-" },
	{ "%RESP(grpc-status)% %RESP(:status)%", "7 200", "- -" }, { "%TRAILER(x)%", "-", "-" },
	{ "%START_TIME%", "2026-03-01T12:00:00.004Z", "-" },
	{ "%START_TIME(%Y/%m/%d %H:%M:%S)%", "2026/03/01 12:00:00", "-" },
	{ "%START_TIME(%s.%3f)%", "1772366400.004", "-" }, { "%START_TIME(%f|%1f|%6f|%9f)%", "004567000|0|004567|004567000", "-" },
	{ "%RESPONSE_CODE%", "503", "-" }, { "%RESPONSE_CODE_DETAILS%", "via_upstream", "-" },
	{ "%RESPONSE_FLAGS%", "UF,URX", "-" },
	{ "%RESPONSE_FLAGS_LONG%", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded", "-" },
	{ "%BYTES_RECEIVED% %BYTES_SENT%", "5 5290", "0 0" }, { "%DURATION%", "30", "-" },
	{ "%REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "2 3 20 9", "- - - -" },
	{ "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%", "30000", "-" },
	{ "%COMMON_DURATION(US_TX_END:US_RX_BEG:ms)%", "17", "-" }, { "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:ns)%", "2000000", "-" },
	{ "%REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES%", "123 77", "- -" },
	{ "%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS%", "10.1.2.3:9080 10.1.2.3:9080", "- -" },
	{ "%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%", "outbound|80||b.local outbound|80||b.local", "- -" },
	{ "%UPSTREAM_LOCAL_ADDRESS%", "10.1.0.9:40112", "-" }, { "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2", "0" },
	{ "%UPSTREAM_PROTOCOL%", "HTTP/1.1", "-" },
	{ "%UPSTREAM_TRANSPORT_FAILURE_REASON%", "delayed_connect_error:_Connection_refused", "-" },
	{ "%DOWNSTREAM_REMOTE_ADDRESS%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_REMOTE_PORT%",
	  "203.0.113.9:53822|203.0.113.9|53822", "-|-|-" },
	{ "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "[2001:db8::1]:9|2001:db8::1", "-|-" },
	{ "%DOWNSTREAM_LOCAL_ADDRESS%|%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_PORT%",
	  "10.1.0.9:443|10.1.0.9|443", "-|-|-" },
	{ "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%", "TLSv1.3 TLS_AES_128_GCM_SHA256", "- -" },
	{ "%REQUESTED_SERVER_NAME% %ROUTE_NAME% %CONNECTION_ID%", "a.com r.m 42", "- - 0" },
	{ "%STREAM_ID%", "id-1", "-" }, { "%TRACE_ID%", "0af7651916cd43dd8448eb211c80319c", "-" },
	{ "%GRPC_STATUS%|%GRPC_STATUS(NUMBER)%|%GRPC_STATUS(SNAKE_STRING)%|%GRPC_STATUS_NUMBER%",
	  "PermissionDenied|7|PERMISSION_DENIED|7", "-|-|-|-" },
	{ "%LOCAL_REPLY_BODY%", "no healthy upstream", "-" }, { "%CONNECTION_TERMINATION_DETAILS%", "rbac_denied", "-" },
	{ "%ENVIRONMENT(SALLYPORT_TEST_ONE)%%ENVIRONMENT(SALLYPORT_TEST_TWO)%", "here-", "here-" },
	{ "%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_SERIAL%|%DOWNSTREAM_PEER_URI_SAN%", "CN=c|0a|-", "-|-|-" },
	{ "%DOWNSTREAM_PEER_CERT_V_START%|%DOWNSTREAM_PEER_CERT_V_END(%Y)%", "2026-01-01T00:00:00.000Z|-", "-|-" },
	{ "%UPSTREAM_TLS_VERSION%%VIRTUAL_CLUSTER_NAME%%DYNAMIC_METADATA(a:b)%", "---", "---" },
};

static void operators_have_their_values(void **state)
{
	const struct exchange nothing = { 0 };

	(void)state;
	setenv("SALLYPORT_TEST_ONE", "here", 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_string_equal(run(rows[i].format, &full, SLICE("-")), rows[i].full);
		assert_string_equal(run(rows[i].format, &nothing, SLICE("-")), rows[i].empty);
	}
	assert_string_equal(run("[%REQ(x)%%ROUTE_NAME%]", &nothing, NO_SLICE), "[]");
	assert_string_equal(run("%ROUTE_NAME%", &nothing, NO_SLICE), "");
}

static void values_that_change_from_run_to_run(void **state)
{
	char host[256] = "";

	(void)state;
	gethostname(host, sizeof(host) - 1);
	assert_string_equal(run("%HOSTNAME%", &full, SLICE("-")), host[0] != '\0' ? host : "-");
	assert_int_equal(strlen(run("%UNIQUE_ID%", &full, NO_SLICE)), 36);
	assert_string_not_equal(run("%UNIQUE_ID%", &full, NO_SLICE), run("%UNIQUE_ID%", &full, NO_SLICE));
	assert_int_equal(strlen(run("%EMIT_TIME%", &full, NO_SLICE)), strlen("2026-03-01T12:00:00.004Z"));
}

/* 0 is a code once it is over; before that there is none. */
static void a_response_code_is_what_was_sent(void **state)
{
	struct exchange x = { 0 };

	(void)state;
	assert_string_equal(run("%RESPONSE_CODE%", &x, SLICE("-")), "-");
	x.end_us = 5;
	assert_string_equal(run("%RESPONSE_CODE%", &x, SLICE("-")), "0");
	x.response = &response;
	assert_string_equal(run("%RESPONSE_CODE%", &x, SLICE("-")), "200");
}

static void trailers_are_read(void **state)
{
	struct exchange x = full;
	struct headers trailers;

	(void)state;
	headers_init(&trailers, arena, 2);
	headers_add(&trailers, SLICE("grpc-status"), SLICE("14"));
	x.response_trailers = &trailers;
	assert_string_equal(run("%TRAILER(grpc-status)% %GRPC_STATUS%", &x, NO_SLICE), "14 Unavailable");
	headers_set(&trailers, SLICE("grpc-status"), SLICE("99"));
	assert_string_equal(run("%GRPC_STATUS%", &x, NO_SLICE), "99");
}

static void flags_print_in_their_order(void **state)
{
	char text[RESPONSE_FLAGS_TEXT_MAX], in_long[RESPONSE_FLAGS_LONG_TEXT_MAX];
	uint32_t all = (1u << RESPONSE_FLAG_COUNT) - 1;
	size_t len;

	(void)state;
	assert_int_equal(response_flags_text(0, text), 1);
	assert_string_equal(text, "-");
	response_flags_text(all, text);
	assert_string_equal(text, "UH,UT,LR,UR,UF,UC,UO,NR,DI,FI,RL,UAEX,DC,URX,SI,IH,DPE,UMSDR,DT,UPE,NC,OM,DF,DR");
	len = response_flags_long_text(all, in_long);
	assert_int_equal(len, strlen(in_long));
	assert_non_null(strstr(in_long, "DnsResolutionFailed,DownstreamRemoteReset"));
	for (unsigned i = 0; i < RESPONSE_FLAG_COUNT; i++) {
		response_flags_text(1u << i, text);
		assert_int_equal(response_flag_of(text), 1u << i);
	}
	assert_int_equal(response_flag_of("XX"), 0);
	assert_int_equal(response_flag_of(NULL), 0);
}

static void operators_without_a_value_are_told_apart(void **state)
{
	(void)state;
	assert_true(format_op_is_known(FORMAT_LITERAL));
	assert_true(format_op_is_known(FORMAT_REQ));
	assert_true(format_op_is_known(FORMAT_VIRTUAL_CLUSTER_NAME));
	assert_true(format_op_is_known(FORMAT_DOWNSTREAM_PEER_CERT));
	assert_false(format_op_is_known(FORMAT_DYNAMIC_METADATA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operators_have_their_values),
		cmocka_unit_test(values_that_change_from_run_to_run),
		cmocka_unit_test(a_response_code_is_what_was_sent),
		cmocka_unit_test(trailers_are_read),
		cmocka_unit_test(flags_print_in_their_order),
		cmocka_unit_test(operators_without_a_value_are_told_apart),
	};

	return cmocka_run_group_tests(tests, fill_in, let_go);
}
