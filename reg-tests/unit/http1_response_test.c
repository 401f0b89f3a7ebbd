/* SPDX-License-Identifier: Apache-2.0
 * Responses of HTTP/1.1 as the client role hears them: every row of spec/http.md 12 and 13, whole
 * and one byte at a time with the same events, and what becomes of the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_peer.h"

static struct worker *worker;

struct response_case {
	const char *name;
	const char *bytes;
	const char *events;
	const char *method;		/* of the request; NULL: GET */
	bool eof;			/* the upstream closes behind the bytes */
};

#define BAD(details)	"reset protocol error, " details "\nclose\n"
#define BAD_SYNTAX	BAD("http1.codec_error")

static void run_case(struct peer *p, const struct response_case *c, bool bytewise)
{
	peer_open(p, worker, false);
	peer_request(p, c->method != NULL ? c->method : "GET");
	if (bytewise)
		peer_feed_bytewise(p, slice_of(c->bytes));
	else
		peer_feed(p, slice_of(c->bytes));
	if (c->eof)
		peer_eof(p);
}

static void check(const struct response_case *c)
{
	struct peer whole, cut;

	run_case(&whole, c, false);
	run_case(&cut, c, true);
	if (strcmp(peer_events(&whole), c->events) != 0)
		fail_msg("%s\nexpected:\n%s\ngot:\n%s", c->name, c->events, peer_events(&whole));
	if (strcmp(peer_events(&whole), peer_events(&cut)) != 0)
		fail_msg("%s\nwhole:\n%s\none byte at a time:\n%s", c->name, peer_events(&whole),
			 peer_events(&cut));
	peer_close(&whole);
	peer_close(&cut);
}

#define CHECK_ALL(cases) \
	for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++) \
		check(&(cases)[i])
#define OK_WITH(fields)	"HTTP/1.1 200 OK\r\n" fields "\r\n"
#define EMPTY		OK_WITH("Content-Length: 0\r\n")
#define HEARD_EMPTY	"head 200 length=0 | content-length: 0 end\nidle\n"

static void status_lines(void **state)
{
	static const struct response_case cases[] = {
		{ .name = "plain", .bytes = EMPTY, .events = HEARD_EMPTY },
		{ .name = "no reason", .bytes = "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
		  .events = HEARD_EMPTY },
		{ .name = "empty reason", .bytes = "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
		  .events = HEARD_EMPTY },
		{ .name = "long reason", .bytes = "HTTP/1.1 200 All is w\xe4ll\there\r\nContent-Length: 0\r\n\r\n",
		  .events = HEARD_EMPTY },
		{ .name = "control in the reason", .bytes = "HTTP/1.1 200 O\x01K\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "version 2", .bytes = "HTTP/2.0 200 OK\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "version 1.2", .bytes = "HTTP/1.2 200 OK\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "no HTTP", .bytes = "220 mail.example ESMTP\r\n", .events = BAD_SYNTAX },
		{ .name = "two digits", .bytes = "HTTP/1.1 20 OK\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "four digits", .bytes = "HTTP/1.1 2000 OK\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "letters", .bytes = "HTTP/1.1 2x0 OK\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "below 100", .bytes = "HTTP/1.1 099 OK\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "999", .bytes = "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
		  .events = "head 999 length=0 | content-length: 0 end\nidle\n" },
		{ .name = "two spaces", .bytes = "HTTP/1.1  200 OK\r\n\r\n", .events = BAD_SYNTAX },
		{ .name = "empty line before", .bytes = "\r\n" EMPTY, .events = BAD_SYNTAX },
		{ .name = "bare LF", .bytes = "HTTP/1.1 200 OK\nContent-Length: 0\n\n", .events = BAD_SYNTAX },
		{ .name = "obs-fold", .bytes = OK_WITH("X: a\r\n b\r\n"), .events = BAD_SYNTAX },
		{ .name = "bad name", .bytes = OK_WITH("X y: a\r\n"), .events = BAD_SYNTAX },
		{ .name = "control in a value", .bytes = OK_WITH("X: \x02\r\n"),
		  .events = BAD("http1.invalid_characters") },
	};

	(void)state;
	CHECK_ALL(cases);
}

static void framing(void **state)
{
	static const struct response_case cases[] = {
		{ .name = "length", .bytes = OK_WITH("Content-Length: 5\r\n") "hello",
		  .events = "head 200 length=5 | content-length: 5\ndata hello\nend\nidle\n" },
		{ .name = "chunked", .bytes = OK_WITH("Transfer-Encoding: Chunked\r\n") "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
		  .events = "head 200 chunked\ndata hello\nend\nidle\n" },
		{ .name = "until close", .bytes = OK_WITH("") "hello", .eof = true,
		  .events = "head 200 until-close\ndata hello\nend\nclose\n" },
		{ .name = "both", .bytes = OK_WITH("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
		  .events = BAD("http1.content_length_and_chunked_not_allowed") },
		{ .name = "length twice", .bytes = OK_WITH("Content-Length: 5\r\nContent-Length: 5\r\n"),
		  .events = BAD_SYNTAX },
		{ .name = "bad length", .bytes = OK_WITH("Content-Length: 5x\r\n"), .events = BAD_SYNTAX },
		{ .name = "other coding", .bytes = OK_WITH("Transfer-Encoding: gzip\r\n"),
		  .events = BAD("http1.invalid_transfer_encoding") },
		{ .name = "coding in 1.0", .bytes = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		  .events = BAD("http1.invalid_transfer_encoding") },
		{ .name = "bad chunk", .bytes = OK_WITH("Transfer-Encoding: chunked\r\n") "x\r\n",
		  .events = "head 200 chunked\n" BAD_SYNTAX },
		{ .name = "cut length", .bytes = OK_WITH("Content-Length: 5\r\n") "hel", .eof = true,
		  .events = "head 200 length=5 | content-length: 5\ndata hel\n"
			    "reset connection termination, -\nclose\n" },
		{ .name = "cut chunk", .bytes = OK_WITH("Transfer-Encoding: chunked\r\n") "5\r\nhel", .eof = true,
		  .events = "head 200 chunked\ndata hel\nreset connection termination, -\nclose\n" },
		{ .name = "cut before the last chunk", .eof = true,
		  .bytes = OK_WITH("Transfer-Encoding: chunked\r\n") "3\r\nhel\r\n",
		  .events = "head 200 chunked\ndata hel\nreset connection termination, -\nclose\n" },
		{ .name = "cut head", .bytes = "HTTP/1.1 200 OK\r\nX", .eof = true,
		  .events = "reset connection termination, -\nclose\n" },
		{ .name = "closed before a head", .bytes = "", .eof = true,
		  .events = "reset connection termination, -\nclose\n" },
	};

	(void)state;
	CHECK_ALL(cases);
}

static void statuses_without_a_body(void **state)
{
	static const struct response_case cases[] = {
		{ .name = "HEAD with length", .method = "HEAD", .bytes = OK_WITH("Content-Length: 5\r\n"),
		  .events = "head 200 length=5 | content-length: 5 end\nidle\n" },
		{ .name = "HEAD chunked", .method = "HEAD", .bytes = OK_WITH("Transfer-Encoding: chunked\r\n"),
		  .events = "head 200 chunked end\nidle\n" },
		{ .name = "HEAD without either", .method = "HEAD", .bytes = OK_WITH(""),
		  .events = "head 200 none end\nidle\n" },
		{ .name = "204", .bytes = "HTTP/1.1 204 No Content\r\n\r\n", .events = "head 204 none end\nidle\n" },
		{ .name = "204 with length 0", .bytes = "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n",
		  .events = "head 204 none end\nidle\n" },
		{ .name = "204 with length", .bytes = "HTTP/1.1 204 X\r\nContent-Length: 1\r\n\r\nx",
		  .events = BAD("http1.content_length_not_allowed") },
		{ .name = "204 chunked", .bytes = "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
		  .events = BAD("http1.transfer_encoding_not_allowed") },
		{ .name = "304 with length", .bytes = "HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n",
		  .events = "head 304 length=9 | content-length: 9 end\nidle\n" },
		{ .name = "205 with a body", .bytes = "HTTP/1.1 205 X\r\nContent-Length: 1\r\n\r\n",
		  .events = "head 205 length=1 | content-length: 1 end\nclose\n" },
		{ .name = "100 with length", .bytes = "HTTP/1.1 100 X\r\nContent-Length: 1\r\n\r\n",
		  .events = BAD("http1.content_length_not_allowed") },
		{ .name = "103 chunked", .bytes = "HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n",
		  .events = BAD("http1.transfer_encoding_not_allowed") },
	};

	(void)state;
	CHECK_ALL(cases);
}

#define INTERIM(status)	"HTTP/1.1 " status " X\r\n\r\n"

static void interim_responses(void **state)
{
	static const struct response_case cases[] = {
		{ .name = "those that go on",
		  .bytes = INTERIM("100") INTERIM("102") "HTTP/1.1 103 X\r\nLink: a\r\n\r\n" INTERIM("104") EMPTY,
		  .events = "head 100 none\nhead 102 none\nhead 103 none | link: a\nhead 104 none\n" HEARD_EMPTY },
		{ .name = "others are swallowed", .bytes = INTERIM("110") INTERIM("199") EMPTY,
		  .events = HEARD_EMPTY },
		{ .name = "101 that nobody asked for",
		  .bytes = "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		  .events = BAD("http1.unexpected_upgrade") },
	};
	struct peer p;

	(void)state;
	CHECK_ALL(cases);
	for (int count = 16; count <= 17; count++) {
		peer_open(&p, worker, false);
		peer_request(&p, "GET");
		for (int i = 0; i < count; i++)
			peer_feed(&p, SLICE(INTERIM("110")));
		peer_feed(&p, SLICE(EMPTY));
		assert_string_equal(peer_events(&p), count == 16 ? HEARD_EMPTY :
				    BAD("http1.too_many_interim_responses"));
		peer_close(&p);
	}
}

static void persistence(void **state)
{
	static const struct response_case cases[] = {
		{ .name = "close", .bytes = OK_WITH("Content-Length: 0\r\nConnection: Close\r\n"),
		  .events = "head 200 length=0 | content-length: 0 end\nclose\n" },
		{ .name = "1.0", .bytes = "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
		  .events = "head 200 length=1 1.0 | content-length: 1\ndata x\nend\nclose\n" },
		{ .name = "1.0 keep-alive",
		  .bytes = "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx",
		  .events = "head 200 length=1 1.0 | content-length: 1\ndata x\nend\nidle\n" },
		{ .name = "bytes behind are nobody's", .bytes = EMPTY EMPTY,
		  .events = "head 200 length=0 | content-length: 0 end\nclose\n" },
		{ .name = "bytes behind a body", .bytes = OK_WITH("Content-Length: 1\r\n") "xy",
		  .events = "head 200 length=1 | content-length: 1\ndata x\nend\nclose\n" },
		{ .name = "hop-by-hop goes",
		  .bytes = OK_WITH("Connection: X-A, keep-alive\r\nX-A: 1\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\n"
				   "Proxy-Connection: x\r\nTrailer: z\r\nContent-Length: 0\r\n"),
		  .events = "head 200 length=0 | trailer: z | content-length: 0 end\nidle\n" },
	};
	struct peer p;

	(void)state;
	/* a byte at a time the connection is idle before the strange byte comes, so only whole */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run_case(&p, &cases[i], false);
		assert_string_equal(peer_events(&p), cases[i].events);
		peer_close(&p);
	}
	run_case(&p, &cases[3], true);
	assert_string_equal(peer_events(&p), HEARD_EMPTY "close\n");
	assert_false(p.codec->ops->can_open(p.codec));
	peer_close(&p);
}

static void a_connection_serves_again(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, false);
	for (int i = 0; i < 3; i++) {
		assert_true(p.codec->ops->can_open(p.codec));
		peer_request(&p, "GET");
		assert_false(p.codec->ops->can_open(p.codec));
		assert_null(p.codec->ops->open(p.codec, &p, &peer_stream_events, p.arena));
		peer_feed(&p, SLICE(EMPTY));
	}
	assert_string_equal(peer_events(&p), HEARD_EMPTY HEARD_EMPTY HEARD_EMPTY);
	peer_eof(&p);	/* idle connections end silently */
	assert_string_equal(peer_events(&p), HEARD_EMPTY HEARD_EMPTY HEARD_EMPTY "close\n");
	assert_false(p.codec->ops->can_open(p.codec));
	peer_close(&p);
}

static struct message *post(struct peer *p, const char *length)
{
	struct message *m = arena_new(p->arena, struct message);

	m->method = SLICE("POST");
	m->authority = SLICE("a");
	m->path = SLICE("/");
	m->framing = length != NULL ? FRAMING_LENGTH : FRAMING_CHUNKED;
	m->content_length = length != NULL ? strtoull(length, NULL, 10) : 0;
	headers_init(&m->headers, p->arena, 0);
	p->stream = p->codec->ops->open(p->codec, p, &peer_stream_events, p->arena);
	return m;
}

static void an_answer_before_the_whole_request_ends_the_connection(void **state)
{
	struct message *m;
	struct peer p;

	(void)state;
	peer_open(&p, worker, false);
	m = post(&p, "10");
	codec_send_head(p.stream, m, false);
	assert_int_equal(codec_send_data(p.stream, SLICE("01234")), 5);
	peer_feed(&p, SLICE(EMPTY));
	assert_string_equal(peer_events(&p), "head 200 length=0 | content-length: 0 end\nclose\n");
	peer_close(&p);
}

static void given_up_requests_end_the_connection(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, false);
	peer_request(&p, "GET");
	codec_reset(p.stream, RESET_LOCAL_RESET);
	peer_feed(&p, SLICE(EMPTY));
	assert_string_equal(peer_events(&p), "close\n");
	peer_close(&p);
	/* draining: what is in progress ends, nothing follows */
	peer_open(&p, worker, false);
	peer_request(&p, "GET");
	p.codec->ops->drain(p.codec);
	assert_false(p.codec->ops->can_open(p.codec));
	peer_feed(&p, SLICE(EMPTY));
	assert_string_equal(peer_events(&p), "head 200 length=0 | content-length: 0 end\nclose\n");
	peer_close(&p);
	/* a response to nothing */
	peer_open(&p, worker, false);
	peer_feed(&p, SLICE(EMPTY));
	assert_string_equal(peer_events(&p), "close\n");
	peer_close(&p);
}

static void a_close_waits_for_data_that_was_not_taken(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, false);
	peer_request(&p, "GET");
	p.take_most = 2;
	peer_feed(&p, SLICE(OK_WITH("") "hello"));
	peer_eof(&p);
	assert_false(p.codec->ops->wants_input(p.codec));
	codec_resume(p.stream);
	codec_resume(p.stream);
	assert_string_equal(peer_events(&p), "head 200 until-close\ndata hello\nend\nclose\n");
	peer_close(&p);
}

static void limits(void **state)
{
	static char bytes[100000];
	size_t fixed = strlen(OK_WITH("X: \r\nContent-Length: 0\r\n"));
	struct response_case c = { .name = "size of the head", .bytes = bytes };

	(void)state;
	sprintf(bytes, OK_WITH("X: %0*d\r\nContent-Length: 0\r\n"), (int)(81921 - fixed), 1);
	c.events = BAD("http1.headers_too_large");
	check(&c);
	for (int count = 100; count <= 101; count++) {
		size_t at = (size_t)sprintf(bytes, "HTTP/1.1 204 X\r\n");

		for (int i = 0; i < count; i++)
			at += (size_t)sprintf(bytes + at, "Connection:\r\n");
		sprintf(bytes + at, "\r\n");
		c.name = "number of fields";
		c.events = count == 100 ? "head 204 none end\nidle\n" : BAD("http1.too_many_headers");
		check(&c);
	}
}

static void upgrades(void **state)
{
#define SWITCH(upgrade, accept) "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: " upgrade \
	"\r\nSec-WebSocket-Accept: " accept "\r\n\r\nraw"
	static const struct { const char *bytes, *events; } cases[] = {
		{ SWITCH("WebSocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
		  "head 101 none upgrade | upgrade: WebSocket | sec-websocket-accept: "
		  "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\ndata raw\nend\nclose lingering\n" },
		{ SWITCH("websocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="), BAD("http1.unexpected_upgrade") },
		{ SWITCH("other", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), BAD("http1.unexpected_upgrade") },
		{ EMPTY, "head 200 length=0 | content-length: 0 end\nidle\nclose\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct codec_stream *cs;
		struct message *m;
		struct peer p;

		peer_open(&p, worker, false);
		m = post(&p, NULL);
		m->method = SLICE("GET");
		m->framing = FRAMING_NONE;
		m->upgrade = true;
		headers_add_id(&m->headers, HEADER_UPGRADE, SLICE("websocket"));
		headers_add_id(&m->headers, HEADER_SEC_WEBSOCKET_KEY, SLICE("dGhlIHNhbXBsZSBub25jZQ=="));
		cs = p.stream;
		codec_send_head(cs, m, false);
		assert_string_equal(peer_written(&p), "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\n"
				    "upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
		peer_feed(&p, slice_of(cases[i].bytes));
		peer_eof(&p);
		/* The way up is still open, and ends by itself. */
		if (strstr(peer_events(&p), "\nend\n") != NULL) {
			assert_null(strstr(peer_events(&p), "close"));
			assert_int_equal(codec_send_data(cs, SLICE("up")), 2);
			codec_send_end(cs, NULL);
			assert_true(p.transport.shut);
		}
		assert_string_equal(peer_events(&p), cases[i].events);
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
		TEST(status_lines),
		TEST(framing),
		TEST(statuses_without_a_body),
		TEST(interim_responses),
		TEST(persistence),
		TEST(a_connection_serves_again),
		TEST(an_answer_before_the_whole_request_ends_the_connection),
		TEST(given_up_requests_end_the_connection),
		TEST(a_close_waits_for_data_that_was_not_taken),
		TEST(limits),
		TEST(upgrades),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
