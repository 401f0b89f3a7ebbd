/* SPDX-License-Identifier: Apache-2.0
 * The HTTP/2 server codec against frames written by hand: what a request may be, what a peer may do
 * how often, flow control both ways, and how streams and connections end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/codec.h"
#include "proxy/net/worker.h"
#include "sallyport/text.h"

#define STREAMS_MAX	2000

struct request {
	struct rig *rig;
	struct codec_stream *cs;	/* NULL: over */
	struct arena *arena;
	struct message *message;
	unsigned number;
};

struct rig {
	struct worker *worker;
	struct transport transport;
	struct codec *codec;
	struct codec_settings settings;
	struct text events;
	struct text out;		/* what the codec sent */
	struct request requests[STREAMS_MAX];
	unsigned count;
	nghttp2_hd_deflater *deflater;
	int fd;
	bool quiet, take_nothing, closed;
	int limit;			/* enum http2_limit, -1: none was passed */
	struct slice body;		/* of answers */
	unsigned idle;
};

static struct worker *worker;

static void send_rest(struct request *q)
{
	struct codec_stream *cs = q->cs;
	size_t taken = codec_send_data(cs, q->rig->body);

	q->rig->body = slice_from(q->rig->body, taken);
	if (q->rig->body.len > 0)
		return;
	q->cs = NULL;
	codec_send_end(cs, NULL);
}

static void answer(struct request *q, unsigned status)
{
	struct codec_stream *cs = q->cs;
	struct message m = { .status = status, .version = HTTP_1_1 };

	if (cs == NULL)
		return;
	headers_init(&m.headers, q->arena, 0);
	if (q->rig->body.len > 0) {
		codec_send_head(cs, &m, false);
		send_rest(q);
		return;
	}
	q->cs = NULL;
	codec_send_head(cs, &m, true);
}

static void on_request_head(void *owner, struct message *m, bool end)
{
	struct request *q = owner;
	struct text *t = &q->rig->events;

	q->message = m;
	text_printf(t, "%u %.*s %.*s %.*s %.*s", q->number, SLICE_ARG(m->method), SLICE_ARG(m->scheme),
		    SLICE_ARG(m->authority), SLICE_ARG(m->path));
	if (m->framing == FRAMING_LENGTH)
		text_printf(t, " length=%llu", (unsigned long long)m->content_length);
	if (m->framing == FRAMING_CHUNKED)
		text_add(t, SLICE(" chunked"));
	for (struct header *f = headers_begin(&m->headers); f != NULL; f = headers_next(&m->headers, f)) {
		assert_int_equal(header_id_of(f->name), f->id);
		text_printf(t, " | %.*s: %.*s", SLICE_ARG(f->name), SLICE_ARG(f->value));
	}
	text_add(t, SLICE("\n"));
	if (end && !q->rig->quiet)
		answer(q, 200);
}

static void on_request_refused(void *owner, const struct refusal *why, struct message *partial)
{
	struct request *q = owner;

	q->message = partial;
	text_printf(&q->rig->events, "%u refused %u %s\n", q->number, why->status, why->details);
	answer(q, why->status);
}

static size_t on_request_data(void *owner, struct slice bytes)
{
	struct request *q = owner;

	if (q->rig->take_nothing)
		return 0;
	text_printf(&q->rig->events, "%u data %zu\n", q->number, bytes.len);
	return bytes.len;
}

static void on_request_end(void *owner, struct headers *trailers)
{
	struct request *q = owner;

	text_printf(&q->rig->events, "%u end%s\n", q->number, trailers != NULL ? " trailers" : "");
	if (!q->rig->quiet)
		answer(q, 200);
}

static void on_request_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct request *q = owner;

	q->cs = NULL;
	text_printf(&q->rig->events, "%u reset %s %s\n", q->number, reset_reason_text(why), detail);
}

static void on_response_writable(void *owner)
{
	struct request *q = owner;

	if (q->cs != NULL)
		send_rest(q);
}

static const struct stream_events stream_events = {
	.on_head = on_request_head,
	.on_refused = on_request_refused,
	.on_data = on_request_data,
	.on_end = on_request_end,
	.on_reset = on_request_reset,
	.on_writable = on_response_writable,
};

static void *on_open(void *connection, struct codec_stream *cs, struct arena **arena,
		     const struct stream_events **events)
{
	struct rig *r = connection;
	struct request *q = &r->requests[r->count];

	assert_true(r->count < STREAMS_MAX);
	*q = (struct request){ .rig = r, .cs = cs, .arena = arena_create(0), .number = r->count };
	r->count++;
	*arena = q->arena;
	*events = &stream_events;
	return q;
}

static void on_idle(void *connection)
{
	((struct rig *)connection)->idle++;
}

static void on_close(void *connection, bool lingering)
{
	struct rig *r = connection;

	(void)lingering;
	assert_false(r->closed);
	r->closed = true;
}

static void on_limit(void *connection, enum http2_limit which)
{
	((struct rig *)connection)->limit = (int)which;
}

static const struct codec_events codec_events = {
	.on_open = on_open, .on_idle = on_idle, .on_close = on_close, .on_limit = on_limit,
};

static void ignore(void *owner)
{
	(void)owner;
}

static void ignore_connected(void *owner, enum outcome how)
{
	(void)owner, (void)how;
}

static const struct transport_events transport_events = {
	.on_readable = ignore, .on_writable = ignore, .on_connected = ignore_connected, .on_closed = ignore,
};

static void feed(struct rig *r, const void *bytes, size_t len)
{
	buffer_append(r->worker, &r->transport.in, slice_make(bytes, len));
	codec_feed(r->codec);
	for (unsigned turn = 0; buffer_len(&r->transport.in) > 0 && turn < 1000; turn++) {
		worker_turn(r->worker);		/* requests beyond those of one turn */
		codec_feed(r->codec);
	}
}

/* For the next time that the codec is fed. */
static void append(struct rig *r, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t len)
{
	uint8_t head[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)type, (uint8_t)flags,
			    (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };

	buffer_append(r->worker, &r->transport.in, slice_make((char *)head, 9));
	buffer_append(r->worker, &r->transport.in, slice_make(payload, len));
}

static void frame(struct rig *r, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t len)
{
	append(r, type, flags, id, payload, len);
	feed(r, "", 0);
}

static void settings_of_peer(struct rig *r)
{
	feed(r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	frame(r, NGHTTP2_SETTINGS, 0, 0, "", 0);
	frame(r, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);	/* ours are in force from here on */
}

static void *open_rig(struct rig *r)
{
	int fds[2], large = 4 * 1024 * 1024;

	memset(r, 0, sizeof(*r));
	r->worker = worker;
	r->limit = -1;
	r->settings = (struct codec_settings){
		.head_bytes_max = 61440, .header_count_max = 100, .connection_tokens_max = 9,
		.concurrent_streams = 100, .connection_streams = 10000, .head_ms = 60000,
		.drain_grace_ms = 5000, .keep_trailers = true,
	};
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	r->fd = fds[1];
	transport_init(&r->transport, worker, fds[0], &transport_events, r);
	must(nghttp2_hd_deflate_new(&r->deflater, 4096) == 0);
	r->codec = http2_server(&r->transport, &r->settings, &codec_events, r);
	settings_of_peer(r);
	return r;
}

static void close_rig(struct rig *r)
{
	r->codec->ops->failed(r->codec, RESET_CONNECTION_TERMINATION);
	for (unsigned i = 0; i < r->count; i++) {
		assert_null(r->requests[i].cs);
		arena_free(&r->requests[i].arena);
	}
	r->codec->ops->destroy(r->codec);
	transport_close(&r->transport);
	nghttp2_hd_deflate_del(r->deflater);
	close(r->fd);
	text_fini(&r->events);
	text_fini(&r->out);
}

/* "name: value" pairs; the last NULL. */
static size_t block_of(struct rig *r, const char *const *fields, uint8_t *out, size_t room)
{
	nghttp2_nv nv[1200];
	size_t count = 0;
	ssize_t n;

	for (; fields[count] != NULL; count++) {
		const char *colon = strstr(fields[count], ": ");

		nv[count] = (nghttp2_nv){ (uint8_t *)fields[count], (uint8_t *)colon + 2,
					  (size_t)(colon - fields[count]), strlen(colon + 2), 0 };
	}
	n = nghttp2_hd_deflate_hd(r->deflater, out, room, nv, count);
	must(n >= 0);
	return (size_t)n;
}

static void headers(struct rig *r, uint32_t id, bool end, const char *const *fields)
{
	uint8_t block[16384];
	size_t len = block_of(r, fields, block, sizeof(block));

	frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0), id, block, len);
}

#define GET	":method: GET", ":scheme: http", ":path: /x", ":authority: a.example"
#define POST	":method: POST", ":scheme: http", ":path: /x", ":authority: a.example"
#define FIELDS(...)	(const char *const []){ __VA_ARGS__, NULL }

static const char *events(struct rig *r)
{
	return r->events.len > 0 ? text_slice(&r->events).at : "";
}

/* Reads all that was sent. */
static struct slice written(struct rig *r)
{
	char bytes[65536];
	ssize_t n;

	do {
		if (!r->transport.dead)
			transport_flush(&r->transport);
		n = read(r->fd, bytes, sizeof(bytes));
		if (n > 0)
			text_add(&r->out, slice_make(bytes, (size_t)n));
		if (n > 0 && !r->transport.dead) {
			r->transport.writable = true;
			r->codec->ops->writable(r->codec);
		}
	} while (n > 0);
	return text_slice(&r->out);
}

struct sent {
	unsigned resets, goaways, data_frames;
	uint32_t reset_code, goaway_code, last_stream;
	size_t data_bytes;
	bool end;
};

static uint32_t number(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static struct sent sent(struct rig *r)
{
	struct slice all = written(r);
	struct sent s = { 0 };

	while (all.len >= 9) {
		const uint8_t *p = (const uint8_t *)all.at;
		size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		assert_true(len <= 16384 && all.len >= 9 + len);
		if (p[3] == NGHTTP2_RST_STREAM) {
			s.resets++;
			s.reset_code = number(p + 9);
		} else if (p[3] == NGHTTP2_GOAWAY) {
			s.goaways++;
			s.last_stream = number(p + 9);
			s.goaway_code = number(p + 13);
		} else if (p[3] == NGHTTP2_DATA) {
			s.data_frames++;
			s.data_bytes += len;
		}
		if ((p[3] == NGHTTP2_DATA || p[3] == NGHTTP2_HEADERS) && (p[4] & NGHTTP2_FLAG_END_STREAM))
			s.end = true;
		all = slice_from(all, 9 + len);
	}
	return s;
}

/* ---- heads ---- */

enum result { ACCEPTED, REFUSED, RESET, ENDED };

static const struct head_case {
	const char *name;
	const char *fields[8];
	bool body;
	enum result result;
	const char *event;
} head_cases[] = {
	{ "plain", { GET }, false, ACCEPTED, "0 GET http a.example /x\n" },
	{ "host alone", { ":method: GET", ":scheme: http", ":path: /", "host: h" }, false, ACCEPTED, "0 GET http h /\n" },
	{ "host agrees", { GET, "host: A.example" }, false, ACCEPTED, "0 GET http a.example /x\n" },
	{ "cookies", { GET, "cookie: a=1", "x: y", "cookie: b=2" }, false, ACCEPTED,
	  "0 GET http a.example /x | x: y | cookie: a=1; b=2\n" },
	{ "te", { GET, "te: trailers" }, false, ACCEPTED, "0 GET http a.example /x | te: trailers\n" },
	{ "fragment", { ":method: GET", ":scheme: http", ":path: /p#f", ":authority: a" }, false, ACCEPTED, "0 GET http a /p\n" },
	{ "scheme of another transport", { ":method: GET", ":scheme: https", ":path: /", ":authority: a" }, false, ACCEPTED,
	  "0 GET http a /\n" },
	{ "blanks around a value", { GET, "x:  y " }, false, ACCEPTED, "0 GET http a.example /x | x: y\n" },
	{ "body", { POST }, true, ACCEPTED, "0 POST http a.example /x chunked\n" },
	{ "asterisk", { ":method: OPTIONS", ":scheme: http", ":path: *", ":authority: a" }, false, ACCEPTED, "0 OPTIONS http a *\n" },
	{ "no authority", { ":method: GET", ":scheme: http", ":path: /" }, false, REFUSED, "0 refused 400 missing_host_header\n" },
	{ "host differs", { GET, "host: b" }, false, REFUSED, "0 refused 400 http2.host_differs_from_authority\n" },
	{ "userinfo", { ":method: GET", ":scheme: http", ":path: /", ":authority: u@h" }, false, REFUSED,
	  "0 refused 400 http.invalid_authority\n" },
	{ "bad scheme", { ":method: GET", ":scheme: ht tp", ":path: /", ":authority: a" }, false, REFUSED,
	  "0 refused 400 http2.invalid_scheme\n" },
	{ "two authorizations", { GET, "authorization: a", "authorization: b" }, false, REFUSED, "0 refused 400 http1.codec_error\n" },
	{ "expectation", { POST, "expect: 101-nothing" }, true, REFUSED, "0 refused 417 http1.expectation_failed\n" },
	{ "empty path", { ":method: GET", ":scheme: http", ":path: ", ":authority: a" }, false, RESET, NULL },
	{ "relative path", { ":method: GET", ":scheme: http", ":path: x", ":authority: a" }, false, RESET, NULL },
	{ "blank in the path", { ":method: GET", ":scheme: http", ":path: /a b", ":authority: a" }, false, RESET, NULL },
	{ "length of letters", { POST, "content-length: x" }, true, RESET, NULL },
	{ "lengths that differ", { POST, "content-length: 1", "content-length: 2" }, true, RESET, NULL },
	{ "length without a body", { POST, "content-length: 1" }, false, RESET, NULL },
	{ "capital", { GET, "X-a: b" }, false, ENDED, NULL },
	{ "blank in a name", { GET, "x a: b" }, false, ENDED, NULL },
	{ "control in a value", { GET, "x: a\x01" }, false, ENDED, NULL },
	{ "line end in a value", { GET, "x: a\r\ny: z" }, false, ENDED, NULL },
	{ "unknown pseudo", { ":other: a", GET }, false, ENDED, NULL },
	{ "response pseudo", { ":status: 200", GET }, false, ENDED, NULL },
	{ "pseudo after regular", { ":method: GET", "x: y", ":scheme: http", ":path: /", ":authority: a" }, false, ENDED, NULL },
	{ "pseudo twice", { GET, ":path: /y" }, false, ENDED, NULL },
	{ "no method", { ":scheme: http", ":path: /", ":authority: a" }, false, ENDED, NULL },
	{ "no scheme", { ":method: GET", ":path: /", ":authority: a" }, false, ENDED, NULL },
	{ "no path", { ":method: GET", ":scheme: http", ":authority: a" }, false, ENDED, NULL },
	{ "method of no token", { ":method: G(T", ":scheme: http", ":path: /", ":authority: a" }, false, ENDED, NULL },
	{ "connection", { GET, "connection: close" }, false, ENDED, NULL },
	{ "keep-alive", { GET, "keep-alive: 1" }, false, ENDED, NULL },
	{ "transfer-encoding", { POST, "transfer-encoding: chunked" }, true, ENDED, NULL },
	{ "upgrade", { GET, "upgrade: h2c" }, false, ENDED, NULL },
	{ "te gzip", { GET, "te: gzip" }, false, ENDED, NULL },
	{ "connect with a path", { ":method: CONNECT", ":scheme: http", ":path: /", ":authority: a:1" }, false, ENDED, NULL },
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(head_cases) / sizeof(head_cases[0]); i++) {
		const struct head_case *c = &head_cases[i];
		static struct rig rig;
		struct rig *r = open_rig(&rig);
		struct sent s;

		headers(r, 1, !c->body, c->fields);
		s = sent(r);
		if (c->event != NULL && strcmp(events(r), c->event) != 0)
			fail_msg("%s: %s", c->name, events(r));
		if (c->result == RESET || c->result == ENDED)
			assert_string_equal(events(r), "0 reset protocol error http2.violation.of.messaging.rule\n");
		if (r->closed != (c->result == ENDED) || s.goaways != (c->result == ENDED))
			fail_msg("%s: closed %d", c->name, r->closed);
		if (c->result == RESET)
			assert_int_equal(s.reset_code, NGHTTP2_PROTOCOL_ERROR);
		if (c->result == ENDED)
			assert_int_equal(s.goaway_code, NGHTTP2_PROTOCOL_ERROR);
		if (c->result == RESET)		/* the others of the connection go on */
			headers(r, 3, true, FIELDS(GET)), assert_non_null(strstr(events(r), "1 GET"));
		close_rig(r);
	}
}

static void test_bytewise(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	uint8_t block[256], bytes[300] = { 0, 0, 0, NGHTTP2_HEADERS, 5, 0, 0, 0, 1 };
	size_t len = block_of(r, FIELDS(GET, "x: y"), block, sizeof(block));

	(void)state;
	bytes[2] = (uint8_t)len;
	memcpy(bytes + 9, block, len);
	for (size_t i = 0; i < 9 + len; i++)
		feed(r, bytes + i, 1);
	assert_string_equal(events(r), "0 GET http a.example /x | x: y\n");
	assert_true(sent(r).end);
	assert_int_equal(r->idle, 1);
	close_rig(r);
}

static void test_preface(void **state)
{
	(void)state;
	assert_int_equal(http2_preface(SLICE("P")), PREFACE_MORE);
	assert_int_equal(http2_preface(SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r")), PREFACE_MORE);
	assert_int_equal(http2_preface(SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore")), PREFACE_HTTP2);
	assert_int_equal(http2_preface(SLICE("PUT / HTTP/1.1\r\n")), PREFACE_OTHER);
}

/* ---- bodies ---- */

static void test_body_and_trailers(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);

	(void)state;
	headers(r, 1, false, FIELDS(POST, "content-length: 5"));
	frame(r, NGHTTP2_DATA, 0, 1, "hel", 3);
	frame(r, NGHTTP2_DATA, 0, 1, "lo", 2);
	headers(r, 1, true, FIELDS("x-sum: 1"));
	assert_string_equal(events(r), "0 POST http a.example /x length=5 | content-length: 5\n0 data 3\n0 data 2\n"
			    "0 end trailers\n");
	assert_true(sent(r).end);
	close_rig(r);
}

static void check_mismatch(const char *length, const char *body)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);

	headers(r, 1, false, FIELDS(POST, length));
	frame(r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, body, strlen(body));
	assert_non_null(strstr(events(r), "0 reset protocol error http2.content_length_mismatch\n"));
	assert_null(strstr(events(r), "0 end"));
	assert_int_equal(sent(r).reset_code, NGHTTP2_PROTOCOL_ERROR);
	assert_false(r->closed);
	close_rig(r);
}

static void test_length_mismatch(void **state)
{
	(void)state;
	check_mismatch("content-length: 5", "four");
	check_mismatch("content-length: 3", "four");
}

static void test_trailers_must_end(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);

	(void)state;
	headers(r, 1, false, FIELDS(POST));
	headers(r, 1, false, FIELDS("x: y"));
	assert_int_equal(sent(r).reset_code, NGHTTP2_PROTOCOL_ERROR);
	close_rig(r);
}

/* What the owner does not take is kept up to the window, and offered again. */
static void test_backpressure(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static const char zeros[16384];
	struct slice out;
	unsigned updates = 0;

	(void)state;
	r->take_nothing = r->quiet = true;
	headers(r, 1, false, FIELDS(POST));
	for (unsigned i = 0; i < 4; i++)
		frame(r, NGHTTP2_DATA, 0, 1, zeros, sizeof(zeros));
	out = written(r);
	for (size_t at = 0; at + 9 <= out.len;) {
		const uint8_t *p = (const uint8_t *)out.at + at;

		updates += p[3] == NGHTTP2_WINDOW_UPDATE && p[8] == 1;
		at += 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
	}
	assert_int_equal(updates, 0);
	assert_null(strstr(events(r), "data"));
	r->take_nothing = false;
	codec_resume(r->requests[0].cs);
	assert_non_null(strstr(events(r), "0 data 65536\n"));
	frame(r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, zeros, 100);
	assert_non_null(strstr(events(r), "0 data 100\n0 end\n"));
	r->body = NO_SLICE;
	answer(&r->requests[0], 200);
	close_rig(r);
}

/* A response is cut to the client's window; the others go on. */
static void test_response_window(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static char large[200000];
	static const uint8_t more[4] = { 0, 2, 0, 0 };
	struct sent s;

	(void)state;
	r->body = slice_make(large, sizeof(large));
	headers(r, 1, true, FIELDS(GET));
	s = sent(r);
	assert_int_equal(s.data_bytes, 65535);
	assert_false(s.end);
	frame(r, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
	frame(r, NGHTTP2_WINDOW_UPDATE, 0, 1, more, 4);
	s = sent(r);
	assert_int_equal(s.data_bytes, 65535 + 0x20000);
	frame(r, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
	frame(r, NGHTTP2_WINDOW_UPDATE, 0, 1, more, 4);
	s = sent(r);
	assert_int_equal(s.data_bytes, sizeof(large));
	assert_true(s.end);
	close_rig(r);
}

static void test_early_response(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	struct sent s;

	(void)state;
	r->quiet = true;
	headers(r, 1, false, FIELDS(POST));
	answer(&r->requests[0], 403);
	s = sent(r);
	assert_true(s.end);
	assert_int_equal(s.resets, 1);
	assert_int_equal(s.reset_code, NGHTTP2_NO_ERROR);
	assert_false(r->closed);
	close_rig(r);
}

static void on_waited(struct timer *t)
{
	(void)t;
}

/* Turns of the loop for so long. */
static void wait_ms(struct rig *r, int64_t ms)
{
	struct timer until = { 0 };

	timer_set(r->worker, &until, worker_now_ms(r->worker) + ms + 2 * TIMER_TICK_MS, on_waited);
	while (timer_is_set(&until)) {
		worker_resume_later(r->worker, &r->transport);	/* a turn that does not wait */
		usleep(2000);
		worker_turn(r->worker);
	}
}

/* An error is answered while the request still comes: what is on its way is dropped, up to a bound. */
static void test_lingering(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static const char zeros[16384];

	(void)state;
	r->quiet = true;
	r->settings.linger_ms = 30;
	r->settings.linger_bytes = 100000;
	headers(r, 1, false, FIELDS(POST));
	answer(&r->requests[0], 403);
	for (unsigned i = 0; i < 6; i++)
		frame(r, NGHTTP2_DATA, 0, 1, zeros, sizeof(zeros));
	assert_int_equal(sent(r).resets, 0);
	frame(r, NGHTTP2_DATA, 0, 1, zeros, sizeof(zeros));
	assert_int_equal(sent(r).resets, 1);	/* more than may be dropped */
	headers(r, 3, false, FIELDS(POST));
	answer(&r->requests[1], 403);
	frame(r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, zeros, 100);
	headers(r, 5, false, FIELDS(POST, "content-length: 100"));
	answer(&r->requests[2], 200);		/* little: it is on its way */
	frame(r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 5, zeros, 100);
	assert_int_equal(sent(r).resets, 1);
	headers(r, 7, false, FIELDS(POST));
	answer(&r->requests[3], 200);
	assert_int_equal(sent(r).resets, 2);	/* no error, and no end in sight */
	headers(r, 9, false, FIELDS(POST));
	answer(&r->requests[4], 403);
	assert_int_equal(sent(r).resets, 2);
	assert_int_equal(r->idle, 4);
	wait_ms(r, 30);
	assert_int_equal(sent(r).resets, 3);
	assert_int_equal(sent(r).reset_code, NGHTTP2_NO_ERROR);
	assert_int_equal(r->idle, 5);
	close_rig(r);
}

/* No window for a stream: it is cut off, the others go on. */
static void test_stalled(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static const uint8_t no_window[6] = { 0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0, 0, 0, 0 };
	static const uint8_t more[4] = { 0, 0, 0, 3 };

	(void)state;
	r->settings.stall_ms = 500;
	frame(r, NGHTTP2_SETTINGS, 0, 0, no_window, 6);
	r->body = SLICE("hello");
	headers(r, 1, true, FIELDS(GET));
	wait_ms(r, 50);
	frame(r, NGHTTP2_WINDOW_UPDATE, 0, 1, more, 4);	/* it moves */
	wait_ms(r, 50);
	assert_int_equal(sent(r).resets, 0);
	wait_ms(r, 500);
	assert_int_equal(sent(r).data_bytes, 3);
	assert_int_equal(sent(r).reset_code, NGHTTP2_CANCEL);
	assert_int_equal(r->limit, HTTP2_LIMIT_http2_stalled_streams);
	assert_non_null(strstr(events(r), "0 reset local reset http2.flush_timeout\n"));
	assert_false(r->closed);
	r->body = NO_SLICE;
	headers(r, 3, true, FIELDS(GET));
	assert_int_equal(r->idle, 2);
	close_rig(r);
}

/* A header block that does not end. */
static void test_slow_head(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	struct sent s;

	(void)state;
	r->settings.head_ms = 30;
	frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82", 1);
	assert_false(r->closed);
	wait_ms(r, 30);
	s = sent(r);
	assert_true(r->closed);
	assert_int_equal(s.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(r->limit, HTTP2_LIMIT_http2_header_timeouts);
	close_rig(r);
}

/* ---- ends ---- */

static void test_remote_reset(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static const uint8_t cancel[4] = { 0, 0, 0, 8 }, refused[4] = { 0, 0, 0, 7 };

	(void)state;
	r->quiet = true;
	headers(r, 1, true, FIELDS(GET));
	frame(r, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
	headers(r, 3, true, FIELDS(GET));
	frame(r, NGHTTP2_RST_STREAM, 0, 3, refused, 4);
	assert_string_equal(events(r), "0 GET http a.example /x\n0 reset remote reset http2.remote_reset\n"
				       "1 GET http a.example /x\n"
				       "1 reset remote refused stream reset http2.remote_refuse\n");
	assert_int_equal(r->idle, 2);
	assert_false(r->closed);
	close_rig(r);
}

/* Notice, then the last word when a round trip is over, then the end with the last stream. */
static void test_drain(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static const uint8_t nothing[8];
	struct sent s;

	(void)state;
	r->quiet = true;
	headers(r, 1, true, FIELDS(GET));
	r->codec->ops->drain(r->codec);
	s = sent(r);
	assert_int_equal(s.goaways, 1);
	assert_int_equal(s.last_stream, INT32_MAX);
	headers(r, 3, true, FIELDS(GET));	/* was on its way */
	assert_int_equal(r->count, 2);
	frame(r, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, nothing, 8);
	s = sent(r);
	assert_int_equal(s.goaways, 2);
	assert_int_equal(s.last_stream, 3);
	assert_int_equal(s.goaway_code, NGHTTP2_NO_ERROR);
	headers(r, 5, true, FIELDS(GET));
	assert_int_equal(r->count, 2);
	answer(&r->requests[0], 200);
	assert_false(r->closed);
	answer(&r->requests[1], 200);
	assert_true(r->closed);
	close_rig(r);
}

/* What comes for a stream that the client has ended, or never opened, is its error; what may be on its way
 * while we end it is none. */
static const struct over_case {
	const char *name;
	bool end_of_first;	/* the request of stream 1 is complete */
	const char *then;	/* R: the client resets it; L: a long time passes; H, D: frames for `id` */
	uint32_t id, code;
} over_cases[] = {
	{ "data after the end", true, "D", 1, NGHTTP2_STREAM_CLOSED },
	{ "head after the end", true, "H", 1, NGHTTP2_STREAM_CLOSED },
	{ "data after a reset", false, "RD", 1, NGHTTP2_STREAM_CLOSED },
	{ "head after a reset", false, "RH", 1, NGHTTP2_STREAM_CLOSED },
	{ "a stream that was left out", true, "H", 5, NGHTTP2_PROTOCOL_ERROR },
	{ "data for it", true, "D", 5, NGHTTP2_PROTOCOL_ERROR },
	{ "data beyond an early answer", false, "DD", 1, NGHTTP2_NO_ERROR },
	{ "trailers beyond an early answer", false, "DH", 1, NGHTTP2_NO_ERROR },
	{ "longer ago than we remember", true, "LD", 1, NGHTTP2_NO_ERROR },
};

static void test_over(void **state)
{
	static const uint8_t cancel[4] = { 0, 0, 0, 8 };

	(void)state;
	for (size_t i = 0; i < sizeof(over_cases) / sizeof(over_cases[0]); i++) {
		const struct over_case *c = &over_cases[i];
		static struct rig rig;
		struct rig *r = open_rig(&rig);

		r->quiet = true;
		headers(r, 1, c->end_of_first, FIELDS(POST));
		if (*c->then != 'R')
			answer(&r->requests[0], 200);
		headers(r, 9, true, FIELDS(GET));
		for (const char *step = c->then; *step != '\0'; step++) {
			if (*step == 'R')
				frame(r, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
			else if (*step == 'L')
				headers(r, 1001, true, FIELDS(GET));
			else if (*step == 'D')
				frame(r, NGHTTP2_DATA, 0, c->id, "x", 1);
			else
				headers(r, c->id, true, FIELDS("x: y"));
		}
		if (r->closed != (c->code != NGHTTP2_NO_ERROR) || sent(r).goaway_code != c->code)
			fail_msg("%s: closed %d, code %u", c->name, r->closed, sent(r).goaway_code);
		assert_int_equal(r->limit, r->closed ? (int)HTTP2_LIMIT_http2_protocol_errors : -1);
		close_rig(r);
	}
}

/* One too many is refused, before and after our SETTINGS are in force; the others go on. */
static void test_too_many(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	uint32_t id = 1;

	(void)state;
	r->quiet = true;
	while (r->count < 100) {
		headers(r, id, false, FIELDS(POST));
		id += 2;
	}
	headers(r, id, false, FIELDS(POST));
	frame(r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "x", 1);	/* was on its way */
	assert_int_equal(r->count, 100);
	assert_int_equal(r->limit, HTTP2_LIMIT_http2_refused_streams);
	assert_int_equal(sent(r).reset_code, NGHTTP2_REFUSED_STREAM);
	assert_false(r->closed);
	answer(&r->requests[7], 200);
	headers(r, id + 2, true, FIELDS(GET));
	assert_int_equal(r->count, 101);
	close_rig(r);
}

/* ---- floods ---- */

static void must_end(struct rig *r, enum http2_limit which, uint32_t code)
{
	struct sent s = sent(r);

	if (!r->closed || r->limit != (int)which)
		fail_msg("closed %d, limit %d in place of %d", r->closed, r->limit, (int)which);
	assert_int_equal(s.goaways, 1);
	assert_int_equal(s.goaway_code, code);
	close_rig(r);
}

static void flood(unsigned times, unsigned most, unsigned type, unsigned flags, uint32_t id, const void *payload,
		  size_t len, enum http2_limit which)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	unsigned i;

	for (i = 0; i < times && !r->closed; i++) {
		frame(r, type, flags, id, payload, len);
		written(r);
	}
	if (i > most)
		fail_msg("type %u: ended after %u frames", type, i);
	must_end(r, which, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_floods(void **state)
{
	static const uint8_t zeros[8], one[4] = { 0, 0, 0, 1 };

	(void)state;
	flood(200, 101, NGHTTP2_PING, 0, 0, zeros, 8, HTTP2_LIMIT_http2_ping_floods);
	flood(200, 21, NGHTTP2_SETTINGS, 0, 0, "", 0, HTTP2_LIMIT_http2_settings_floods);
	flood(200, 101, NGHTTP2_PRIORITY, 0, 101, "\0\0\0\0\1", 5, HTTP2_LIMIT_http2_priority_floods);
	flood(200, 6, NGHTTP2_WINDOW_UPDATE, 0, 0, one, 4, HTTP2_LIMIT_http2_window_floods);
	flood(20000, 10100, 0xbb, 0, 0, "", 0, HTTP2_LIMIT_http2_glitches);
	flood(20000, 10100, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, zeros, 8, HTTP2_LIMIT_http2_glitches);
}

/* gRPC gives every stream more room as it opens it, and opens many before the first answer. */
static void test_room_for_many(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	uint8_t block[256];
	size_t len;

	(void)state;
	for (uint32_t id = 1; id < 161; id += 2) {
		len = block_of(r, FIELDS(POST), block, sizeof(block));
		append(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, block, len);
		append(r, NGHTTP2_WINDOW_UPDATE, 0, id, "\0\0\0\5", 4);
		append(r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "\0\0\0\0\0", 5);
	}
	feed(r, "", 0);
	assert_false(r->closed);
	assert_int_equal(r->count, 80);
	close_rig(r);
}

static void test_empty_frames(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);

	(void)state;
	headers(r, 1, false, FIELDS(POST));
	frame(r, NGHTTP2_DATA, 0, 1, "", 0);
	assert_false(r->closed);
	frame(r, NGHTTP2_DATA, 0, 1, "", 0);
	must_end(r, HTTP2_LIMIT_http2_empty_frames, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_continuations(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	uint8_t block[256];
	size_t len = block_of(r, FIELDS(GET), block, sizeof(block));

	(void)state;
	frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, len);
	for (unsigned i = 0; i < 8; i++)
		frame(r, NGHTTP2_CONTINUATION, 0, 1, "\x40\x01x\x01y", 5);
	assert_false(r->closed);
	frame(r, NGHTTP2_CONTINUATION, 0, 1, "\x40\x01x\x01y", 5);
	must_end(r, HTTP2_LIMIT_http2_continuation_floods, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* One entry of the table, named again and again. */
static void test_header_bomb(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static char field[3010] = "x: ";
	uint8_t block[16384];
	size_t len;

	(void)state;
	memset(field + 3, 'a', 3000);
	len = block_of(r, FIELDS(GET, field), block, sizeof(block));
	frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block, len);
	assert_non_null(strstr(events(r), "0 GET"));
	len = block_of(r, FIELDS(GET), block, sizeof(block));
	memset(block + len, 0x80 | 62, 8000);
	frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3, block, len + 8000);
	must_end(r, HTTP2_LIMIT_http2_header_bombs, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_large_head(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static char many[130][8];
	const char *fields[140] = { GET };

	(void)state;
	for (unsigned i = 0; i < 130; i++) {
		snprintf(many[i], sizeof(many[i]), "x%u: y", i);
		fields[4 + i] = many[i];
	}
	headers(r, 1, true, fields);
	assert_string_equal(events(r), "0 refused 431 http2.too_many_headers\n");
	assert_false(r->closed);
	close_rig(r);
}

static void test_table_churn(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);

	(void)state;
	frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, "\x20\x20\x20\x82", 4);
	must_end(r, HTTP2_LIMIT_http2_table_churns, NGHTTP2_COMPRESSION_ERROR);
}

static void test_rapid_reset(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	static const uint8_t cancel[4] = { 0, 0, 0, 8 };
	uint32_t id;

	(void)state;
	r->quiet = true;
	for (id = 1; id < 4000 && !r->closed; id += 2) {
		headers(r, id, true, FIELDS(GET));
		frame(r, NGHTTP2_RST_STREAM, 0, id, cancel, 4);
	}
	assert_in_range(r->count, 200, 260);
	must_end(r, HTTP2_LIMIT_http2_premature_resets, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_provoked_resets(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	uint32_t id;

	(void)state;
	for (id = 1; id < 1000 && !r->closed; id += 2)
		headers(r, id, true, FIELDS(POST, "content-length: 1"));
	assert_in_range(r->count, 100, 110);
	must_end(r, HTTP2_LIMIT_http2_violation_floods, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Not more than its share of one turn of the loop. */
static void test_turn(void **state)
{
	static struct rig rig;
	struct rig *r = open_rig(&rig);
	uint8_t block[256];
	size_t len;

	(void)state;
	worker_turn(worker);
	for (uint32_t id = 1; id < 140; id += 2) {
		len = block_of(r, FIELDS(GET), block, sizeof(block));
		append(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, block, len);
	}
	codec_feed(r->codec);
	assert_int_equal(r->count, 32);
	codec_feed(r->codec);
	assert_int_equal(r->count, 32);
	feed(r, "", 0);
	assert_int_equal(r->count, 70);
	close_rig(r);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_preface),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_bytewise),
		cmocka_unit_test(test_body_and_trailers),
		cmocka_unit_test(test_length_mismatch),
		cmocka_unit_test(test_trailers_must_end),
		cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_response_window),
		cmocka_unit_test(test_early_response),
		cmocka_unit_test(test_lingering),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_slow_head),
		cmocka_unit_test(test_remote_reset),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_over),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_room_for_many),
		cmocka_unit_test(test_empty_frames),
		cmocka_unit_test(test_continuations),
		cmocka_unit_test(test_header_bomb),
		cmocka_unit_test(test_large_head),
		cmocka_unit_test(test_table_churn),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_provoked_resets),
		cmocka_unit_test(test_turn),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
