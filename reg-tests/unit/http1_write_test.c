/* SPDX-License-Identifier: Apache-2.0
 * What the HTTP/1.1 codec writes: framing of responses and requests (spec/http.md 10, 12, 15),
 * bodies in pieces, and that nothing leaves that could end a line (spec/hardening.md T-4, T-14). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_peer.h"

static struct worker *worker;

#define HOST	"Host: a\r\n"
#define GET	"GET / HTTP/1.1\r\n" HOST "\r\n"
#define HEAD	"HEAD / HTTP/1.1\r\n" HOST "\r\n"
#define GET10	"GET / HTTP/1.0\r\n" HOST "\r\n"
#define GET10K	"GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n"
#define DROPS	"content-length: 99\nconnection: x\nkeep-alive: y\ntransfer-encoding: gzip\n" \
		"proxy-connection: z\nupgrade: h2c\n"

static void add_lines(struct headers *h, const char *lines)
{
	struct slice rest = slice_of(lines);

	while (rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');
		struct slice name = slice_cut(&line, ':');

		headers_add(h, name, slice_trim(line));
	}
}

struct response_case {
	const char *request;
	unsigned status;
	enum framing framing;
	uint64_t length;
	const char *body;		/* NULL: ends with its head */
	const char *written;
	bool closes;
};

static void check_response(const struct response_case *c)
{
	struct message m = { .status = c->status, .framing = c->framing, .content_length = c->length };
	struct codec_stream *cs;
	struct peer p;

	peer_open(&p, worker, true);
	p.quiet = true;
	p.settings.accept_http10 = true;
	peer_feed(&p, slice_of(c->request));
	cs = p.stream;
	p.stream = NULL;
	headers_init(&m.headers, p.arena, 0);
	add_lines(&m.headers, DROPS "x: y\n");
	codec_send_head(cs, &m, c->body == NULL);
	if (c->body != NULL) {
		assert_int_equal(codec_send_data(cs, slice_of(c->body)), strlen(c->body));
		codec_send_end(cs, NULL);
	}
	assert_string_equal(peer_written(&p), c->written);
	assert_int_equal(p.closed, c->closes);
	peer_close(&p);
}

#define OK200	"HTTP/1.1 200 OK\r\n"
#define XY	"x: y\r\n\r\n"

static void framing_of_responses(void **state)
{
	static const struct response_case cases[] = {
		{ GET, 200, FRAMING_NONE, 0, NULL, OK200 "content-length: 0\r\n" XY, false },
		{ GET, 200, FRAMING_LENGTH, 5, "hello", OK200 "content-length: 5\r\n" XY "hello", false },
		{ GET, 200, FRAMING_CHUNKED, 0, "hello",
		  OK200 "transfer-encoding: chunked\r\n" XY "5\r\nhello\r\n0\r\n\r\n", false },
		{ GET, 200, FRAMING_CHUNKED, 0, "", OK200 "transfer-encoding: chunked\r\n" XY "0\r\n\r\n", false },
		{ GET, 200, FRAMING_UNTIL_CLOSE, 0, "0123456789abcdefg",
		  OK200 "transfer-encoding: chunked\r\n" XY "11\r\n0123456789abcdefg\r\n0\r\n\r\n", false },
		{ GET, 200, FRAMING_NONE, 0, "x", OK200 "transfer-encoding: chunked\r\n" XY "1\r\nx\r\n0\r\n\r\n",
		  false },
		{ GET, 200, FRAMING_LENGTH, 7, NULL, OK200 "content-length: 0\r\n" XY, false },
		{ HEAD, 200, FRAMING_LENGTH, 5, NULL, OK200 "content-length: 5\r\n" XY, false },
		{ HEAD, 200, FRAMING_LENGTH, 5, "hello", OK200 "content-length: 5\r\n" XY, false },
		{ HEAD, 200, FRAMING_CHUNKED, 0, NULL, OK200 "transfer-encoding: chunked\r\n" XY, false },
		{ HEAD, 200, FRAMING_NONE, 0, NULL, OK200 XY, false },
		{ GET, 204, FRAMING_NONE, 0, NULL, "HTTP/1.1 204 No Content\r\n" XY, false },
		{ GET, 204, FRAMING_CHUNKED, 0, "x", "HTTP/1.1 204 No Content\r\n" XY, false },
		{ GET, 304, FRAMING_LENGTH, 9, NULL, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n" XY,
		  false },
		{ GET, 304, FRAMING_CHUNKED, 0, NULL, "HTTP/1.1 304 Not Modified\r\n" XY, false },
		{ GET, 205, FRAMING_LENGTH, 1, "x", "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n" XY,
		  false },
		{ GET, 299, FRAMING_NONE, 0, NULL, "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n" XY, false },
		{ GET10, 200, FRAMING_LENGTH, 1, "x",
		  OK200 "content-length: 1\r\nconnection: close\r\n" XY "x", true },
		{ GET10K, 200, FRAMING_LENGTH, 1, "x",
		  OK200 "content-length: 1\r\nconnection: keep-alive\r\n" XY "x", false },
		{ GET10K, 200, FRAMING_CHUNKED, 0, "x", OK200 "connection: close\r\n" XY "x", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_response(&cases[i]);
}

static void the_owner_may_ask_to_close(void **state)
{
	struct message m = { .status = 200, .close = true };
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE(GET));
	headers_init(&m.headers, p.arena, 0);
	codec_send_head(p.stream, &m, true);
	assert_string_equal(peer_written(&p), OK200 "content-length: 0\r\nconnection: close\r\n\r\n");
	assert_true(p.closed);
	peer_close(&p);
}

static void interim_responses(void **state)
{
	static const struct { const char *request; unsigned status; const char *written; } cases[] = {
		{ GET, 103, "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" },
		{ GET, 102, "HTTP/1.1 102 Processing\r\nlink: a\r\n\r\n" },
		{ GET, 100, "" }, { GET, 110, "" }, { GET10, 103, "" },
		{ "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", 100,
		  "HTTP/1.1 100 Continue\r\nlink: a\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message m = { .status = cases[i].status };
		struct peer p;

		peer_open(&p, worker, true);
		p.quiet = true;
		p.settings.accept_http10 = true;
		peer_feed(&p, slice_of(cases[i].request));
		headers_init(&m.headers, p.arena, 0);
		add_lines(&m.headers, "link: a\n");
		codec_send_head(p.stream, &m, false);
		peer_written(&p);
		assert_true(slice_eq(text_slice(&p.out), slice_of(cases[i].written)));
		peer_close(&p);
	}
}

struct request_case {
	const char *method;
	enum framing framing;
	uint64_t length;
	const char *body;
	const char *written;
};

static void framing_of_requests(void **state)
{
#define TO_A	" /p?q HTTP/1.1\r\nhost: a:8080\r\n"
	static const struct request_case cases[] = {
		{ "GET", FRAMING_NONE, 0, NULL, "GET" TO_A XY },
		{ "GET", FRAMING_LENGTH, 0, NULL, "GET" TO_A "content-length: 0\r\n" XY },
		{ "DELETE", FRAMING_NONE, 0, NULL, "DELETE" TO_A XY },
		{ "POST", FRAMING_NONE, 0, NULL, "POST" TO_A "content-length: 0\r\n" XY },
		{ "PUT", FRAMING_NONE, 0, NULL, "PUT" TO_A "content-length: 0\r\n" XY },
		{ "PATCH", FRAMING_CHUNKED, 0, NULL, "PATCH" TO_A "content-length: 0\r\n" XY },
		{ "POST", FRAMING_LENGTH, 5, "hello", "POST" TO_A "content-length: 5\r\n" XY "hello" },
		{ "GET", FRAMING_LENGTH, 5, "hello", "GET" TO_A "content-length: 5\r\n" XY "hello" },
		{ "POST", FRAMING_CHUNKED, 0, "hello",
		  "POST" TO_A "transfer-encoding: chunked\r\n" XY "5\r\nhello\r\n0\r\n\r\n" },
		{ "POST", FRAMING_NONE, 0, "x",
		  "POST" TO_A "transfer-encoding: chunked\r\n" XY "1\r\nx\r\n0\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct request_case *c = &cases[i];
		struct message m = { .method = slice_of(c->method), .authority = SLICE("a:8080"),
				     .path = SLICE("/p?q"), .framing = c->framing,
				     .content_length = c->length };
		struct peer p;

		peer_open(&p, worker, false);
		headers_init(&m.headers, p.arena, 0);
		add_lines(&m.headers, DROPS "host: other\nx: y\n");
		p.stream = p.codec->ops->open(p.codec, &p, &peer_stream_events, p.arena);
		codec_send_head(p.stream, &m, c->body == NULL);
		if (c->body != NULL) {
			assert_int_equal(codec_send_data(p.stream, slice_of(c->body)), strlen(c->body));
			codec_send_end(p.stream, NULL);
		}
		assert_string_equal(peer_written(&p), c->written);
		/* all of it was sent: the connection is good for more */
		peer_feed(&p, SLICE("HTTP/1.1 204 X\r\n\r\n"));
		assert_true(p.codec->ops->can_open(p.codec));
		peer_close(&p);
	}
}

static void what_could_end_a_line_does_not_leave(void **state)
{
	static const struct slice unsafe[][2] = {
		{ { "x-a", 3 }, { "a\rb", 3 } }, { { "x-a", 3 }, { "a\nb", 3 } }, { { "x-a", 3 }, { "a\0b", 3 } },
		{ { "x-a", 3 }, { "0123456789abcdef\r\nx: y", 22 } }, { { "x-a", 3 }, { "0123456789\x01", 11 } },
		{ { "x-a", 3 }, { "\x7f", 1 } }, { { "x a", 3 }, { "v", 1 } }, { { "x:a", 3 }, { "v", 1 } },
		{ { "x\r\n", 3 }, { "v", 1 } }, { { "", 0 }, { "v", 1 } },
	};
	struct message m = { .status = 200 };
	struct codec_stream *cs;
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE(GET));
	headers_init(&m.headers, p.arena, 0);
	for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++) {
		headers_add(&m.headers, unsafe[i][0], unsafe[i][1]);
		headers_add(&m.headers, SLICE("x-tab"), SLICE("01234567\t89\xff"));
	}
	cs = p.stream;
	p.stream = NULL;
	codec_send_head(cs, &m, true);
	assert_int_equal(p.codec->unsafe_fields, 10);
	peer_written(&p);
	for (size_t i = 0; i < 10; i++) {
		struct slice line = SLICE("x-tab: 01234567\t89\xff\r\n");

		assert_memory_equal(p.out.at + strlen(OK200 "content-length: 0\r\n") + i * line.len, line.at,
				    line.len);
	}
	assert_int_equal(p.out.len, strlen(OK200 "content-length: 0\r\n\r\n") + 10 * 21);
	peer_close(&p);
}

static void every_byte_at_every_place_of_a_field(void **state)
{
	static const char text[] = "abc-efghijklmnopqrstuvw";
	char name[sizeof(text)], value[sizeof(text)];

	(void)state;
	for (size_t at = 0; at < sizeof(text) - 1; at++) {
		struct message m = { .status = 200 };
		struct codec_stream *cs;
		unsigned unsafe = 0;
		struct peer p;

		peer_open(&p, worker, true);
		p.quiet = true;
		peer_feed(&p, SLICE(GET));
		headers_init(&m.headers, p.arena, 0);
		for (int c = 0; c < 256; c++) {
			memcpy(name, text, sizeof(text));
			memcpy(value, text, sizeof(text));
			name[at] = value[at] = (char)c;
			headers_add(&m.headers, arena_slice(p.arena, slice_make(name, sizeof(name) - 1)), SLICE("v"));
			headers_add(&m.headers, SLICE("n"), arena_slice(p.arena, slice_make(value, sizeof(value) - 1)));
			unsafe += !header_is_safe(slice_make(name, sizeof(name) - 1), SLICE("v"));
			unsafe += !header_is_safe(SLICE("n"), slice_make(value, sizeof(value) - 1));
		}
		cs = p.stream;
		p.stream = NULL;
		codec_send_head(cs, &m, true);
		assert_int_equal(p.codec->unsafe_fields, unsafe);
		peer_close(&p);
	}
}

static void an_unsafe_request_line_is_never_sent(void **state)
{
	static const struct slice parts[][3] = {
		{ { "GE T", 4 }, { "/", 1 }, { "a", 1 } }, { { "GET", 3 }, { "/ HTTP/1.1\r\nx: y", 16 }, { "a", 1 } },
		{ { "GET", 3 }, { "/\xe4", 2 }, { "a", 1 } }, { { "GET", 3 }, { "/", 1 }, { "a\r\nx: y", 7 } },
		{ { "GET", 3 }, { "/", 1 }, { "", 0 } }, { { "", 0 }, { "/", 1 }, { "a", 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct message m = { .method = parts[i][0], .path = parts[i][1], .authority = parts[i][2] };
		struct peer p;

		peer_open(&p, worker, false);
		headers_init(&m.headers, p.arena, 0);
		p.stream = p.codec->ops->open(p.codec, &p, &peer_stream_events, p.arena);
		codec_send_head(p.stream, &m, true);
		peer_written(&p);
		assert_int_equal(p.out.len, 0);
		assert_string_equal(peer_events(&p), "reset protocol error, http1.unsafe_request_line\nclose\n");
		peer_close(&p);
	}
}

/* A body that stops early never looks complete. */
static void too_little_and_too_much(void **state)
{
	struct message m = { .status = 200, .framing = FRAMING_LENGTH, .content_length = 5 };
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE(GET));
	headers_init(&m.headers, p.arena, 0);
	codec_send_head(p.stream, &m, false);
	assert_int_equal(codec_send_data(p.stream, SLICE("hel")), 3);
	codec_send_end(p.stream, NULL);
	assert_non_null(strstr(peer_events(&p), "reset local reset, http1.body_shorter_than_announced\nclose\n"));
	peer_close(&p);

	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE(GET));
	headers_init(&m.headers, p.arena, 0);
	codec_send_head(p.stream, &m, false);
	assert_int_equal(codec_send_data(p.stream, SLICE("hello, world")), 12);
	{
		struct codec_stream *cs = p.stream;

		p.stream = NULL;
		codec_send_end(cs, NULL);
	}
	assert_string_equal(peer_written(&p), OK200 "content-length: 5\r\n\r\nhello");
	peer_close(&p);

	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE(GET));
	m.framing = FRAMING_CHUNKED;
	headers_init(&m.headers, p.arena, 0);
	codec_send_head(p.stream, &m, false);
	codec_send_data(p.stream, SLICE("hel"));
	codec_reset(p.stream, RESET_LOCAL_RESET);
	assert_string_equal(peer_written(&p), OK200 "transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n");
	peer_close(&p);
}

/* More than the connection takes: the chunk that was begun goes on, and its size stays true. */
static void a_chunk_goes_on_where_it_was_cut(void **state)
{
	static char body[1 << 20];
	struct message m = { .status = 200, .framing = FRAMING_CHUNKED };
	struct codec_stream *cs;
	struct peer reader, p;
	size_t sent = 0;
	unsigned cuts = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)('a' + i % 26);
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE(GET));
	headers_init(&m.headers, p.arena, 0);
	cs = p.stream;
	codec_send_head(cs, &m, false);
	while (sent < sizeof(body)) {
		size_t left = sizeof(body) - sent, most = 300000;
		struct slice piece = slice_make(body + sent, left < most ? left : most);
		size_t taken = codec_send_data(cs, piece);

		cuts += taken < piece.len;
		sent += taken;
		if (taken < piece.len)
			peer_written(&p);
	}
	assert_true(cuts > 0);
	p.stream = NULL;
	codec_send_end(cs, NULL);
	peer_written(&p);
	/* read back by the other role */
	peer_open(&reader, worker, false);
	peer_request(&reader, "GET");
	peer_feed(&reader, text_slice(&p.out));
	peer_events(&reader);
	assert_int_equal(reader.events.len, strlen("head 200 chunked\ndata \nend\nidle\n") + sizeof(body));
	assert_memory_equal(reader.events.at + strlen("head 200 chunked\ndata "), body, sizeof(body));
	peer_close(&reader);
	peer_close(&p);
}

static void trailers_where_wanted(void **state)
{
	struct message m = { .status = 200, .framing = FRAMING_CHUNKED };
	struct headers trailers;
	struct codec_stream *cs;
	struct peer p;

	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		peer_open(&p, worker, true);
		p.quiet = true;
		p.settings.keep_trailers = keep;
		peer_feed(&p, SLICE(GET));
		headers_init(&m.headers, p.arena, 0);
		headers_init(&trailers, p.arena, 0);
		add_lines(&trailers, "x-sum: 1\ncontent-length: 5\n");
		cs = p.stream;
		p.stream = NULL;
		codec_send_head(cs, &m, false);
		codec_send_end(cs, &trailers);
		assert_string_equal(peer_written(&p), keep ?
			OK200 "transfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n" :
			OK200 "transfer-encoding: chunked\r\n\r\n0\r\n\r\n");
		peer_close(&p);
	}
}

static int set_up(void **state)
{
	(void)state;
	worker = worker_create(0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	worker_free(&worker);
	return 0;
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(framing_of_responses),
		TEST(the_owner_may_ask_to_close),
		TEST(interim_responses),
		TEST(framing_of_requests),
		TEST(what_could_end_a_line_does_not_leave),
		TEST(every_byte_at_every_place_of_a_field),
		TEST(an_unsafe_request_line_is_never_sent),
		TEST(too_little_and_too_much),
		TEST(a_chunk_goes_on_where_it_was_cut),
		TEST(trailers_where_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
