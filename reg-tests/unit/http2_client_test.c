/* SPDX-License-Identifier: Apache-2.0
 * The HTTP/2 client codec against a server written by hand: what leaves, what a response may be, flow
 * control both ways, how many streams at a time, and how streams and connections end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/codec.h"
#include "proxy/net/worker.h"
#include "sallyport/text.h"

#define REQUESTS_MAX	1200

struct request {
	struct rig *rig;
	struct codec_stream *cs;	/* NULL: over */
	struct arena *arena;
	size_t unsent;			/* of the upload */
	bool ends_with_trailers;
	enum reset_reason why;
	unsigned number;
};

struct rig {
	struct transport transport;
	struct codec *codec;
	struct codec_settings settings;
	struct text events, out;
	struct request requests[REQUESTS_MAX];
	unsigned count, idle, rooms;
	nghttp2_hd_deflater *deflater;
	nghttp2_hd_inflater *inflater;
	int fd;
	int limit;
	bool take_nothing, closed, quiet;
};

static struct worker *worker;
static char upload[1024 * 1024];

/* ---- the owner of requests ---- */

static void on_head(void *owner, struct message *m, bool end)
{
	struct request *q = owner;
	struct text *t = &q->rig->events;

	if (end)
		q->cs = NULL;
	if (q->rig->quiet)
		return;
	text_printf(t, "%u %u", q->number, m->status);
	if (m->framing == FRAMING_LENGTH)
		text_printf(t, " length=%llu", (unsigned long long)m->content_length);
	if (m->framing == FRAMING_CHUNKED)
		text_add(t, SLICE(" chunked"));
	for (struct header *f = headers_begin(&m->headers); f != NULL; f = headers_next(&m->headers, f))
		text_printf(t, " | %.*s: %.*s", SLICE_ARG(f->name), SLICE_ARG(f->value));
	text_add(t, end ? SLICE(" end\n") : SLICE("\n"));
}

static size_t on_data(void *owner, struct slice bytes)
{
	struct request *q = owner;

	if (q->rig->take_nothing)
		return 0;
	text_printf(&q->rig->events, "%u data %zu\n", q->number, bytes.len);
	return bytes.len;
}

static void on_end(void *owner, struct headers *trailers)
{
	struct request *q = owner;

	q->cs = NULL;
	text_printf(&q->rig->events, "%u end", q->number);
	if (trailers != NULL)
		for (struct header *f = headers_begin(trailers); f != NULL; f = headers_next(trailers, f))
			text_printf(&q->rig->events, " | %.*s: %.*s", SLICE_ARG(f->name), SLICE_ARG(f->value));
	text_add(&q->rig->events, SLICE("\n"));
}

static void on_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct request *q = owner;

	assert_non_null(q->cs);
	q->cs = NULL;
	q->why = why;
	text_printf(&q->rig->events, "%u reset %s %s\n", q->number, reset_reason_text(why),
		    detail != NULL ? detail : "-");
}

static void upload_rest(struct request *q)
{
	struct headers trailers;

	if (q->unsent == 0 || q->cs == NULL)
		return;
	q->unsent -= codec_send_data(q->cs, slice_make(upload, q->unsent));
	if (q->unsent > 0 || q->cs == NULL)
		return;
	headers_init(&trailers, q->arena, 1);
	headers_add(&trailers, SLICE("x-sum"), SLICE("1"));
	codec_send_end(q->cs, q->ends_with_trailers ? &trailers : NULL);
}

static void on_writable(void *owner)
{
	upload_rest(owner);
}

static const struct stream_events stream_events = {
	.on_head = on_head, .on_data = on_data, .on_end = on_end, .on_reset = on_reset, .on_writable = on_writable,
};

static struct request *request_with(struct rig *r, const char *method, size_t body, const char *const *fields)
{
	struct request *q = &r->requests[r->count];
	struct message m = { .method = slice_of(method), .scheme = SLICE("http"), .authority = SLICE("a.test"),
			     .path = SLICE("/x"), .version = HTTP_1_1,
			     .framing = body > 0 ? FRAMING_CHUNKED : FRAMING_NONE };

	assert_true(r->count < REQUESTS_MAX);
	*q = (struct request){ .rig = r, .number = r->count++, .arena = arena_create(0), .unsent = body };
	headers_init(&m.headers, q->arena, 4);
	for (; fields != NULL && fields[0] != NULL; fields += 2)
		headers_add(&m.headers, slice_of(fields[0]), slice_of(fields[1]));
	q->cs = r->codec->ops->open(r->codec, q, &stream_events, q->arena);
	assert_non_null(q->cs);
	codec_send_head(q->cs, &m, body == 0);
	upload_rest(q);
	return q;
}

/* Asks for a WebSocket. */
static struct request *request_upgrade(struct rig *r)
{
	struct request *q = &r->requests[r->count];
	struct message m = { .method = SLICE("GET"), .scheme = SLICE("http"), .authority = SLICE("a.test"),
			     .path = SLICE("/x"), .version = HTTP_1_1, .upgrade = true };

	*q = (struct request){ .rig = r, .number = r->count++, .arena = arena_create(0) };
	headers_init(&m.headers, q->arena, 4);
	headers_add(&m.headers, SLICE("connection"), SLICE("Upgrade"));
	headers_add(&m.headers, SLICE("upgrade"), SLICE("websocket"));
	headers_add(&m.headers, SLICE("sec-websocket-key"), SLICE("AAAAAAAAAAAAAAAAAAAAAA=="));
	headers_add(&m.headers, SLICE("sec-websocket-version"), SLICE("13"));
	q->cs = r->codec->ops->open(r->codec, q, &stream_events, q->arena);
	assert_non_null(q->cs);
	codec_send_head(q->cs, &m, false);
	return q;
}

static struct request *request(struct rig *r)
{
	return request_with(r, "GET", 0, NULL);
}

/* ---- the connection ---- */

static void on_idle(void *connection)
{
	((struct rig *)connection)->idle++;
}

static void on_room(void *connection)
{
	((struct rig *)connection)->rooms++;
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
	.on_idle = on_idle, .on_room = on_room, .on_close = on_close, .on_limit = on_limit,
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

/* ---- the server ---- */

static void feed(struct rig *r, const void *bytes, size_t len)
{
	buffer_append(worker, &r->transport.in, slice_make(bytes, len));
	codec_feed(r->codec);
	assert_true(r->closed || buffer_len(&r->transport.in) == 0);
}

static void frame_head(uint8_t head[9], unsigned type, unsigned flags, uint32_t id, size_t len)
{
	const uint8_t bytes[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)type,
				   (uint8_t)flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8),
				   (uint8_t)id };

	memcpy(head, bytes, 9);
}

static void frame(struct rig *r, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t len)
{
	struct text all = { 0 };
	uint8_t head[9];

	frame_head(head, type, flags, id, len);
	text_add(&all, slice_make(head, 9));
	text_add(&all, slice_make(payload, len));
	feed(r, text_slice(&all).at, 9 + len);
	text_fini(&all);
}

static void frame_u32(struct rig *r, unsigned type, uint32_t id, uint32_t value)
{
	const uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value };

	frame(r, type, 0, id, bytes, 4);
}

static void setting(struct rig *r, unsigned id, uint32_t value)
{
	const uint8_t bytes[6] = { 0, (uint8_t)id, (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
				   (uint8_t)value };

	frame(r, NGHTTP2_SETTINGS, 0, 0, bytes, 6);
}

static void settle(struct rig *r)
{
	frame(r, NGHTTP2_SETTINGS, 0, 0, "", 0);
	frame(r, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
}

static void goaway(struct rig *r, uint32_t last, uint32_t code)
{
	const uint8_t bytes[8] = { 0, 0, (uint8_t)(last >> 8), (uint8_t)last, 0, 0, 0, (uint8_t)code };

	frame(r, NGHTTP2_GOAWAY, 0, 0, bytes, 8);
}

/* "name: value" pairs; the last NULL. */
static void headers(struct rig *r, uint32_t id, bool end, const char *const *fields)
{
	uint8_t block[16384];
	nghttp2_nv nv[200];
	size_t count = 0;
	ssize_t n;

	for (; fields[count] != NULL; count++) {
		const char *colon = strstr(fields[count] + 1, ": ");

		nv[count] = (nghttp2_nv){ (uint8_t *)fields[count], (uint8_t *)colon + 2,
					  (size_t)(colon - fields[count]), strlen(colon + 2), 0 };
	}
	n = nghttp2_hd_deflate_hd(r->deflater, block, sizeof(block), nv, count);
	assert_true(n >= 0);
	frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0), id, block, (size_t)n);
}

static void data(struct rig *r, uint32_t id, bool end, size_t len)
{
	static char zeros[16384];

	frame(r, NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, id, zeros, len);
}

#define FIELDS(...)	(const char *const []){ __VA_ARGS__, NULL }

static void *open_with(struct rig *r, uint32_t streams_max)
{
	int fds[2], large = 4 * 1024 * 1024;

	memset(r, 0, sizeof(*r));
	r->limit = -1;
	r->settings = (struct codec_settings){
		.head_bytes_max = 61440, .header_count_max = 100, .connection_tokens_max = 9, .interim_max = 16,
		.head_ms = 60000,
	};
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	r->fd = fds[1];
	transport_init(&r->transport, worker, fds[0], &transport_events, r);
	must(nghttp2_hd_deflate_new(&r->deflater, 4096) == 0 && nghttp2_hd_inflate_new(&r->inflater) == 0);
	r->codec = http2_client(&r->transport, &r->settings, &codec_events, r, streams_max);
	return r;
}

static void open_rig(struct rig *r)
{
	open_with(r, UINT32_MAX);
	settle(r);
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
	nghttp2_hd_inflate_del(r->inflater);
	close(r->fd);
	text_fini(&r->events);
	text_fini(&r->out);
}

static const char *events(struct rig *r)
{
	return r->events.len > 0 ? text_slice(&r->events).at : "";
}

static uint32_t number(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void tell_fields(struct rig *r, struct text *t, const uint8_t *at, size_t len)
{
	int flags = 0;
	nghttp2_nv nv;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		ssize_t n = nghttp2_hd_inflate_hd2(r->inflater, &nv, &flags, at, len, 1);

		assert_true(n >= 0);
		at += n;
		len -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			text_printf(t, " | %s: %s", (char *)nv.name, (char *)nv.value);
	}
	nghttp2_hd_inflate_end_headers(r->inflater);
}

/* What left since, a frame a line. */
static const char *sent(struct rig *r)
{
	static struct text t;
	uint8_t bytes[300000];
	size_t have = 0;
	ssize_t n;

	t.len = 0;
	do {
		if (!r->transport.dead)
			transport_flush(&r->transport);
		n = read(r->fd, bytes + have, sizeof(bytes) - have);
		have += n > 0 ? (size_t)n : 0;
	} while (n > 0 && have < sizeof(bytes));
	for (const uint8_t *p = bytes; p < bytes + have;) {
		size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
		uint32_t id;

		if (memcmp(p, "PRI ", 4) == 0) {
			text_add(&t, SLICE("preface\n"));
			p += 24;
			continue;
		}
		id = number(p + 5);
		if (p[3] == NGHTTP2_SETTINGS) {
			text_printf(&t, "settings%s", p[4] & NGHTTP2_FLAG_ACK ? " ack" : "");
			for (size_t i = 0; i < len; i += 6)
				text_printf(&t, " %u=%u", p[10 + i], number(p + 11 + i));
		} else if (p[3] == NGHTTP2_HEADERS) {
			text_printf(&t, "headers %u", id);
			tell_fields(r, &t, p + 9, len);
		} else if (p[3] == NGHTTP2_DATA) {
			text_printf(&t, "data %u %zu", id, len);
		} else if (p[3] == NGHTTP2_RST_STREAM || p[3] == NGHTTP2_WINDOW_UPDATE) {
			text_printf(&t, "%s %u %u", p[3] == NGHTTP2_RST_STREAM ? "reset" : "window", id, number(p + 9));
		} else if (p[3] == NGHTTP2_GOAWAY) {
			text_printf(&t, "goaway %u", number(p + 13));
		} else {
			text_printf(&t, "frame %u", p[3]);
		}
		text_add(&t, (p[3] == NGHTTP2_HEADERS || p[3] == NGHTTP2_DATA) && (p[4] & NGHTTP2_FLAG_END_STREAM) ?
			     SLICE(" end\n") : SLICE("\n"));
		p += 9 + len;
	}
	return t.len > 0 ? text_slice(&t).at : "";
}

static struct rig rig;

/* ---- what leaves ---- */

static void test_preface(void **state)
{
	(void)state;
	open_with(&rig, UINT32_MAX);
	assert_string_equal(sent(&rig), "preface\nsettings 2=0 4=262144 6=61440\nwindow 0 983041\n");
	settle(&rig);
	assert_string_equal(sent(&rig), "settings ack\n");
	close_rig(&rig);
}

static void test_request(void **state)
{
	(void)state;
	open_rig(&rig);
	sent(&rig);
	request_with(&rig, "GET", 0, FIELDS("host", "other", "te", "trailers", "connection", "x", "upgrade", "h2c",
					    "keep-alive", "1", "transfer-encoding", "chunked", "x-a", "b\r\nc: d",
					    "cookie", "a=1; b=2", "x-b", "c"));
	assert_string_equal(sent(&rig), "headers 1 | :method: GET | :scheme: http | :authority: a.test | :path: /x | "
			    "te: trailers | cookie: a=1; b=2 | x-b: c end\n");
	assert_int_equal(rig.codec->unsafe_fields, 1);
	request_with(&rig, "POST", 20000, FIELDS("te", "gzip"));
	assert_string_equal(sent(&rig), "headers 3 | :method: POST | :scheme: http | :authority: a.test | :path: /x\n"
			    "data 3 16384\ndata 3 3616\ndata 3 0 end\n");
	close_rig(&rig);
}

static void test_unsafe_line(void **state)
{
	struct request *q = &rig.requests[0];
	struct message m = { .method = SLICE("GET"), .scheme = SLICE("http"), .authority = SLICE("a.test"),
			     .path = SLICE("/a b"), .version = HTTP_1_1 };

	(void)state;
	open_rig(&rig);
	sent(&rig);
	*q = (struct request){ .rig = &rig, .arena = arena_create(0) };
	rig.count = 1;
	headers_init(&m.headers, q->arena, 0);
	q->cs = rig.codec->ops->open(rig.codec, q, &stream_events, q->arena);
	codec_send_head(q->cs, &m, true);
	assert_string_equal(events(&rig), "0 reset protocol error http2.unsafe_request_line\n");
	assert_string_equal(sent(&rig), "");
	assert_int_equal(rig.idle, 1);
	close_rig(&rig);
}

/* ---- responses ---- */

static const struct response_case {
	const char *name;
	const char *fields[8];
	bool end;
	const char *events;		/* of a GET; "" ends in a reset for a violation */
} response_cases[] = {
	{ "plain", { ":status: 200", "x: y" }, true, "0 200 | x: y end\n" },
	{ "with a length", { ":status: 200", "content-length: 5" }, false, "0 200 length=5 | content-length: 5\n" },
	{ "no length", { ":status: 404" }, false, "0 404 chunked\n" },
	{ "empty", { ":status: 200", "content-length: 0" }, true, "0 200 length=0 | content-length: 0 end\n" },
	{ "blanks around a value", { ":status: 200", "x:   y " }, true, "0 200 | x: y end\n" },
	{ "equal lengths", { ":status: 200", "content-length: 5", "content-length: 5" }, false,
	  "0 200 length=5 | content-length: 5\n" },
	{ "not modified", { ":status: 304", "content-length: 5" }, true, "0 304 length=5 | content-length: 5 end\n" },
	{ "no content", { ":status: 204", "content-length: 0" }, true, "0 204 end\n" },
	{ "reset content", { ":status: 205" }, false, "0 205 chunked end\n" },
	{ "the highest status", { ":status: 999" }, true, "0 999 end\n" },
	{ "interim alone", { ":status: 103", "link: x" }, false, "0 103 | link: x\n" },
	{ "an interim that nobody knows", { ":status: 199" }, false, "" },
	{ "no status", { "x: y" }, true, NULL },
	{ "status twice", { ":status: 200", ":status: 200" }, true, NULL },
	{ "status of two digits", { ":status: 20" }, true, NULL },
	{ "status of letters", { ":status: 2x0" }, true, NULL },
	{ "status below 100", { ":status: 099" }, true, NULL },
	{ "switching protocols", { ":status: 101" }, false, NULL },
	{ "interim that ends", { ":status: 100" }, true, NULL },
	{ "interim with a length", { ":status: 100", "content-length: 3" }, false, NULL },
	{ "no content with a length", { ":status: 204", "content-length: 3" }, true, NULL },
	{ "a length and no body", { ":status: 200", "content-length: 3" }, true, NULL },
	{ "lengths that differ", { ":status: 200", "content-length: 3", "content-length: 4" }, false, NULL },
	{ "length of letters", { ":status: 200", "content-length: x" }, false, NULL },
	{ "pseudo of requests", { ":status: 200", ":path: /" }, true, NULL },
	{ "pseudo after regular", { "x: y", ":status: 200" }, true, NULL },
	{ "capital", { ":status: 200", "X-a: b" }, true, NULL },
	{ "blank in a name", { ":status: 200", "x a: b" }, true, NULL },
	{ "line end in a value", { ":status: 200", "x: a\r\nb: c" }, true, NULL },
	{ "connection", { ":status: 200", "connection: close" }, true, NULL },
	{ "transfer-encoding", { ":status: 200", "transfer-encoding: chunked" }, false, NULL },
	{ "upgrade", { ":status: 200", "upgrade: h2c" }, true, NULL },
};

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(response_cases) / sizeof(response_cases[0]); i++) {
		const struct response_case *c = &response_cases[i];
		struct request *other;

		print_message("case: %s\n", c->name);
		open_rig(&rig);
		request(&rig);
		other = request(&rig);
		sent(&rig);
		headers(&rig, 1, c->end, c->fields);
		if (c->events != NULL) {
			assert_string_equal(events(&rig), c->events);
			assert_null(strstr(sent(&rig), "goaway"));
		} else {
			assert_string_equal(events(&rig), "0 reset protocol error http2.violation.of.messaging.rule\n");
			/* It costs its own stream alone. */
			assert_string_equal(sent(&rig), "reset 1 1\n");
		}
		assert_non_null(other->cs);
		close_rig(&rig);
	}
}

static void test_interim(void **state)
{
	(void)state;
	open_rig(&rig);
	request(&rig);
	headers(&rig, 1, false, FIELDS(":status: 100"));
	headers(&rig, 1, false, FIELDS(":status: 103", "link: x"));
	headers(&rig, 1, true, FIELDS(":status: 200", "x: y"));
	assert_string_equal(events(&rig), "0 100\n0 103 | link: x\n0 200 | x: y end\n");
	request(&rig);
	for (unsigned i = 0; i < 17; i++)
		headers(&rig, 3, false, FIELDS(":status: 102"));
	assert_non_null(strstr(events(&rig), "1 reset protocol error http2.too_many_interim_responses\n"));
	close_rig(&rig);
}

static void test_body_and_trailers(void **state)
{
	(void)state;
	open_rig(&rig);
	request(&rig);
	sent(&rig);
	headers(&rig, 1, false, FIELDS(":status: 200"));
	data(&rig, 1, false, 10);
	data(&rig, 1, false, 7);
	headers(&rig, 1, true, FIELDS("grpc-status: 0", "content-length: 4", "x: y"));
	assert_string_equal(events(&rig), "0 200 chunked\n0 data 10\n0 data 7\n0 end | grpc-status: 0 | x: y\n");
	assert_string_equal(sent(&rig), "");
	assert_int_equal(rig.idle, 1);
	close_rig(&rig);
}

/* None of these may pass for a complete message. */
static void test_broken_bodies(void **state)
{
	static const struct {
		const char *name, *method, *head[3];
		size_t bytes;
		bool end, trailers, no_head;
		const char *last;
	} rows[] = {
		{ "short", "GET", { ":status: 200", "content-length: 9" }, 8, true, false, false, "content_length_mismatch" },
		{ "short before trailers", "GET", { ":status: 200", "content-length: 9" }, 8, false, true, false,
		  "content_length_mismatch" },
		{ "long", "GET", { ":status: 200", "content-length: 9" }, 10, false, false, false, "content_length_mismatch" },
		{ "to HEAD", "HEAD", { ":status: 200" }, 1, true, false, false, "content_length_mismatch" },
		{ "of 204", "GET", { ":status: 204" }, 1, true, false, false, "content_length_mismatch" },
		{ "of 304", "GET", { ":status: 304" }, 1, true, false, false, "content_length_mismatch" },
		{ "after an interim head", "GET", { ":status: 100" }, 5, false, false, false, "http2.protocol_error" },
		{ "nothing after an interim head", "GET", { ":status: 100" }, 0, true, false, false, "http2.protocol_error" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("case: %s\n", rows[i].name);
		open_rig(&rig);
		request_with(&rig, rows[i].method, 0, NULL);
		headers(&rig, 1, false, rows[i].head);
		data(&rig, 1, rows[i].end, rows[i].bytes);
		if (rows[i].trailers)
			headers(&rig, 1, true, FIELDS("x: y"));
		assert_non_null(strstr(events(&rig), "0 reset protocol error http2."));
		assert_non_null(strstr(events(&rig), rows[i].last));
		assert_null(strstr(events(&rig), "0 end"));
		assert_non_null(strstr(sent(&rig), "reset 1 1\n"));
		assert_int_equal(rig.idle, 1);
		close_rig(&rig);
	}
}

static void test_bodyless(void **state)
{
	(void)state;
	open_rig(&rig);
	request_with(&rig, "HEAD", 0, NULL);
	headers(&rig, 1, false, FIELDS(":status: 200", "content-length: 9"));
	data(&rig, 1, true, 0);
	assert_string_equal(events(&rig), "0 200 length=9 | content-length: 9\n0 end\n");
	close_rig(&rig);
}

static void test_trailers_must_end(void **state)
{
	(void)state;
	open_rig(&rig);
	request(&rig);
	headers(&rig, 1, false, FIELDS(":status: 200"));
	headers(&rig, 1, false, FIELDS("x: y"));
	assert_string_equal(events(&rig), "0 200 chunked\n0 reset protocol error http2.violation.of.messaging.rule\n");
	close_rig(&rig);
}

static void test_bytewise(void **state)
{
	static const uint8_t bytes[] = {
		0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88,		/* HEADERS: status 200 */
		0, 0, 3, 0, 0, 0, 0, 0, 1, 'a', 'b', 'c',
		0, 0, 1, 0, 1, 0, 0, 0, 1, 'd',
	};

	(void)state;
	open_rig(&rig);
	request(&rig);
	for (size_t i = 0; i < sizeof(bytes); i++)
		feed(&rig, bytes + i, 1);
	assert_string_equal(events(&rig), "0 200 chunked\n0 data 1\n0 data 1\n0 data 1\n0 data 1\n0 end\n");
	close_rig(&rig);
}

/* ---- limits ---- */

static void test_head_limits(void **state)
{
	static char value[2901];
	const char *fields[120] = { ":status: 200" };

	(void)state;
	open_rig(&rig);
	for (unsigned i = 1; i <= 101; i++)
		fields[i] = "x: y";
	request(&rig);
	request(&rig);
	headers(&rig, 1, true, fields);
	assert_string_equal(events(&rig), "0 reset protocol error http2.too_many_headers\n");
	assert_false(rig.closed);
	/* Small on the wire, large when decoded: first a reset, beyond twice the limit the end. */
	memset(value, 'a', sizeof(value) - 1);
	memcpy(value, "x: ", 3);
	for (unsigned i = 1; i <= 45; i++)
		fields[i] = value;
	fields[23] = NULL;
	headers(&rig, 3, true, fields);
	assert_non_null(strstr(events(&rig), "1 reset protocol error http2.headers_too_large\n"));
	assert_false(rig.closed);
	request(&rig);
	fields[23] = value;
	fields[46] = NULL;
	headers(&rig, 5, true, fields);
	assert_int_equal(rig.limit, HTTP2_LIMIT_http2_header_bombs);
	assert_true(rig.closed);
	close_rig(&rig);
}

enum flood { PINGS, SETTINGS, EMPTY_DATA, PRIORITIES, WINDOWS, UNKNOWN, RESETS, FLOOD_COUNT };

static void test_floods(void **state)
{
	static const struct { unsigned frames; int limit; } rows[FLOOD_COUNT] = {
		[PINGS] = { 101, HTTP2_LIMIT_http2_ping_floods },
		[SETTINGS] = { 19, HTTP2_LIMIT_http2_settings_floods },
		[EMPTY_DATA] = { 2, HTTP2_LIMIT_http2_empty_frames },
		[PRIORITIES] = { 201, HTTP2_LIMIT_http2_priority_floods },
		[WINDOWS] = { 8, HTTP2_LIMIT_http2_window_floods },
		[UNKNOWN] = { 10001, HTTP2_LIMIT_http2_glitches },
		[RESETS] = { 1002, HTTP2_LIMIT_http2_reset_floods },
	};

	(void)state;
	for (unsigned i = 0; i < FLOOD_COUNT; i++) {
		print_message("flood %u\n", i);
		open_rig(&rig);
		request(&rig);
		headers(&rig, 1, false, FIELDS(":status: 200"));
		for (unsigned n = 0; n < rows[i].frames; n++) {
			assert_false(rig.closed);
			switch ((enum flood)i) {
			case PINGS:		frame(&rig, NGHTTP2_PING, 0, 0, "12345678", 8);		break;
			case SETTINGS:		frame(&rig, NGHTTP2_SETTINGS, 0, 0, "", 0);		break;
			case EMPTY_DATA:	frame(&rig, NGHTTP2_DATA, 0, 1, "", 0);			break;
			case PRIORITIES:	frame(&rig, NGHTTP2_PRIORITY, 0, 9, "\0\0\0\0\1", 5);	break;
			case WINDOWS:		frame_u32(&rig, NGHTTP2_WINDOW_UPDATE, 0, 1);		break;
			case UNKNOWN:		frame(&rig, 0x42, 0, 0, "", 0);				break;
			case RESETS:		frame_u32(&rig, NGHTTP2_RST_STREAM, 1, 8);		break;
			case FLOOD_COUNT:	break;
			}
		}
		assert_int_equal(rig.limit, rows[i].limit);
		assert_true(rig.closed);
		assert_null(rig.requests[0].cs);
		close_rig(&rig);
	}
}

/* gRPC servers end streams early with a reset, and answer each DATA with a PING. */
static void test_no_floods(void **state)
{
	(void)state;
	open_rig(&rig);
	rig.quiet = true;
	for (unsigned i = 0; i < REQUESTS_MAX; i++) {
		request(&rig);
		headers(&rig, 2 * i + 1, false, FIELDS(":status: 200"));
		frame_u32(&rig, NGHTTP2_RST_STREAM, 2 * i + 1, NGHTTP2_CANCEL);
		if (i % 100 == 99)
			sent(&rig);
	}
	assert_int_equal(rig.limit, -1);
	close_rig(&rig);
	open_rig(&rig);
	setting(&rig, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100);
	request_with(&rig, "POST", 50000, NULL);
	for (unsigned i = 0; i < 400; i++) {
		frame_u32(&rig, NGHTTP2_WINDOW_UPDATE, 1, 100);
		frame(&rig, NGHTTP2_PING, 0, 0, "12345678", 8);
	}
	assert_int_equal(rig.limit, -1);
	close_rig(&rig);
}

static void test_push(void **state)
{
	(void)state;
	open_rig(&rig);
	request(&rig);
	sent(&rig);
	frame(&rig, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82\x86\x84\x41\x01""a", 10);
	assert_string_equal(events(&rig), "0 reset protocol error http2.protocol_error\n");
	assert_true(rig.closed);
	assert_non_null(strstr(sent(&rig), "goaway 1\n"));
	close_rig(&rig);
}

/* ---- flow control ---- */

/* What nobody takes stops its own stream; the connection's window comes back at once. */
static void test_download_window(void **state)
{
	(void)state;
	open_rig(&rig);
	request(&rig);
	request(&rig);
	sent(&rig);
	rig.take_nothing = true;
	headers(&rig, 1, false, FIELDS(":status: 200"));
	for (unsigned i = 0; i < 16; i++)
		data(&rig, 1, false, 16384);
	assert_string_equal(sent(&rig), "");
	for (unsigned i = 0; i < 16; i++)
		data(&rig, 3, false, 0);	/* nothing: no head yet */
	close_rig(&rig);

	open_rig(&rig);
	for (unsigned i = 0; i < 5; i++)
		request(&rig);
	sent(&rig);
	rig.take_nothing = true;
	for (unsigned s = 0; s < 4; s++) {	/* as much as the connection's window all in all */
		headers(&rig, 2 * s + 1, false, FIELDS(":status: 200"));
		for (unsigned i = 0; i < 16; i++)
			data(&rig, 2 * s + 1, false, 16384);
	}
	assert_non_null(strstr(sent(&rig), "window 0 "));
	rig.take_nothing = false;
	headers(&rig, 9, false, FIELDS(":status: 200"));
	data(&rig, 9, true, 10000);
	assert_non_null(strstr(events(&rig), "4 data 10000\n4 end\n"));
	codec_resume(rig.requests[0].cs);
	assert_non_null(strstr(events(&rig), "0 data 262144\n"));
	assert_non_null(strstr(sent(&rig), "window 1 262144\n"));
	/* More than the window is the server's error. */
	data(&rig, 3, false, 16384);
	assert_non_null(strstr(sent(&rig), "3"));
	assert_true(rig.closed || rig.requests[1].cs == NULL);
	close_rig(&rig);
}

static void test_upload_window(void **state)
{
	struct request *q;

	(void)state;
	open_rig(&rig);
	setting(&rig, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10);
	sent(&rig);
	q = request_with(&rig, "POST", 100, NULL);
	assert_non_null(strstr(sent(&rig), "data 1 10\n"));
	assert_int_equal(q->unsent, 90);
	frame_u32(&rig, NGHTTP2_WINDOW_UPDATE, 1, 5);
	assert_string_equal(sent(&rig), "data 1 5\n");
	setting(&rig, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 30);	/* 20 more */
	assert_string_equal(sent(&rig), "settings ack\ndata 1 20\n");
	setting(&rig, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1);		/* 29 below nothing */
	frame_u32(&rig, NGHTTP2_WINDOW_UPDATE, 1, 29);
	assert_string_equal(sent(&rig), "settings ack\n");
	frame_u32(&rig, NGHTTP2_WINDOW_UPDATE, 1, 1000);
	assert_string_equal(sent(&rig), "data 1 65\ndata 1 0 end\n");
	close_rig(&rig);
}

/* Where the socket is full, a head waits, and what follows it with it. */
static void test_late_head(void **state)
{
	struct request *q;
	const char *order;

	(void)state;
	open_rig(&rig);
	sent(&rig);
	rig.transport.writable = false;
	transport_queue(&rig.transport, slice_make("\0\0\0\x42\0\0\0\0\0", 9));
	for (unsigned i = 0; i < 4000; i++)
		transport_queue(&rig.transport, slice_make("\0\0\0\x42\0\0\0\0\0", 9));
	q = request_with(&rig, "POST", 1, NULL);
	assert_int_equal(q->unsent, 1);
	q->unsent = 0;
	q->ends_with_trailers = true;
	struct headers *trailers = arena_new(q->arena, struct headers);
	headers_init(trailers, q->arena, 1);
	headers_add(trailers, SLICE("x-sum"), SLICE("1"));
	codec_send_end(q->cs, trailers);
	rig.transport.writable = true;
	transport_flush(&rig.transport);
	rig.codec->ops->writable(rig.codec);
	order = sent(&rig);
	assert_non_null(strstr(order, "headers 1 | :method: POST"));
	assert_non_null(strstr(order, "/x\nheaders 1 | x-sum: 1 end\n"));
	headers(&rig, 1, true, FIELDS(":status: 200"));
	assert_string_equal(events(&rig), "0 200 end\n");
	assert_int_equal(rig.idle, 1);
	close_rig(&rig);
}

/* ---- how many ---- */

static void test_streams(void **state)
{
	(void)state;
	open_with(&rig, UINT32_MAX);
	request(&rig);
	assert_false(rig.codec->ops->can_open(rig.codec));	/* before SETTINGS */
	assert_int_equal(http2_streams_of_peer(rig.codec), 0);
	setting(&rig, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2);
	assert_int_equal(rig.rooms, 1);
	assert_int_equal(http2_streams_of_peer(rig.codec), 2);
	request(&rig);
	assert_null(rig.codec->ops->open(rig.codec, NULL, &stream_events, NULL));
	headers(&rig, 1, true, FIELDS(":status: 200"));
	assert_int_equal(rig.rooms, 2);
	request(&rig);
	setting(&rig, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
	headers(&rig, 3, true, FIELDS(":status: 200"));
	assert_false(rig.codec->ops->can_open(rig.codec));
	setting(&rig, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 9);
	assert_true(rig.codec->ops->can_open(rig.codec));
	close_rig(&rig);
	open_with(&rig, 1);					/* our own limit */
	settle(&rig);
	request(&rig);
	assert_false(rig.codec->ops->can_open(rig.codec));
	close_rig(&rig);
}

/* ---- ends ---- */

static void test_goaway(void **state)
{
	(void)state;
	open_rig(&rig);
	for (unsigned i = 0; i < 3; i++)
		request(&rig);
	goaway(&rig, 1, NGHTTP2_NO_ERROR);
	assert_string_equal(events(&rig), "1 reset remote refused stream reset -\n2 reset remote refused stream reset -\n" + 0);
	assert_false(rig.codec->ops->can_open(rig.codec));
	assert_false(rig.closed);
	headers(&rig, 1, true, FIELDS(":status: 200"));
	assert_non_null(strstr(events(&rig), "0 200 end\n"));
	assert_true(rig.closed);
	close_rig(&rig);
}

/* What came whole is delivered, though the connection is gone. */
static void test_withheld_at_the_end(void **state)
{
	(void)state;
	open_rig(&rig);
	request(&rig);
	request(&rig);
	rig.take_nothing = true;
	headers(&rig, 1, false, FIELDS(":status: 200"));
	data(&rig, 1, true, 5000);
	headers(&rig, 3, false, FIELDS(":status: 200"));
	data(&rig, 3, false, 5000);
	rig.codec->ops->eof(rig.codec);
	assert_string_equal(events(&rig), "0 200 chunked\n1 200 chunked\n1 reset connection termination -\n");
	assert_false(rig.closed);
	rig.take_nothing = false;
	codec_resume(rig.requests[0].cs);
	assert_non_null(strstr(events(&rig), "0 data 5000\n0 end\n"));
	assert_true(rig.closed);
	close_rig(&rig);
}

static void test_remote_resets(void **state)
{
	static const struct { uint32_t code; enum reset_reason why; } rows[] = {
		{ NGHTTP2_REFUSED_STREAM, RESET_REMOTE_REFUSED }, { NGHTTP2_CANCEL, RESET_REMOTE_RESET },
		{ NGHTTP2_NO_ERROR, RESET_REMOTE_RESET }, { NGHTTP2_INTERNAL_ERROR, RESET_REMOTE_RESET },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_rig(&rig);
		request(&rig);
		frame_u32(&rig, NGHTTP2_RST_STREAM, 1, rows[i].code);
		assert_null(rig.requests[0].cs);
		assert_int_equal(rig.requests[0].why, rows[i].why);
		assert_int_equal(rig.idle, 1);
		close_rig(&rig);
	}
}

/* The response is complete while we still upload. */
static void test_early_response(void **state)
{
	(void)state;
	open_rig(&rig);
	setting(&rig, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10);
	request_with(&rig, "POST", 100, NULL);
	sent(&rig);
	headers(&rig, 1, false, FIELDS(":status: 413"));
	data(&rig, 1, true, 3);
	assert_string_equal(events(&rig), "0 413 chunked\n0 data 3\n0 end\n");
	assert_string_equal(sent(&rig), "reset 1 8\n");
	frame_u32(&rig, NGHTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR);	/* crosses ours */
	assert_int_equal(rig.idle, 1);
	assert_false(rig.closed);
	/* The same with data that nobody has taken yet. */
	request_with(&rig, "POST", 100, NULL);
	sent(&rig);
	rig.take_nothing = true;
	headers(&rig, 3, false, FIELDS(":status: 413"));
	data(&rig, 3, true, 3);
	frame_u32(&rig, NGHTTP2_RST_STREAM, 3, NGHTTP2_NO_ERROR);
	assert_non_null(rig.requests[1].cs);
	rig.take_nothing = false;
	codec_resume(rig.requests[1].cs);
	assert_non_null(strstr(events(&rig), "1 data 3\n1 end\n"));
	assert_string_equal(sent(&rig), "");
	close_rig(&rig);
}

static void test_local_reset(void **state)
{
	struct codec_stream *cs;

	(void)state;
	open_rig(&rig);
	request(&rig);
	sent(&rig);
	cs = rig.requests[0].cs;
	rig.requests[0].cs = NULL;
	codec_reset(cs, RESET_LOCAL_RESET);
	assert_string_equal(sent(&rig), "reset 1 8\n");
	headers(&rig, 1, false, FIELDS(":status: 200"));	/* was on its way */
	data(&rig, 1, true, 100);
	assert_string_equal(events(&rig), "");
	assert_int_equal(rig.idle, 1);
	assert_false(rig.closed);
	/* Given up before anything was said of it. */
	cs = rig.codec->ops->open(rig.codec, &rig.requests[0], &stream_events, rig.requests[0].arena);
	codec_reset(cs, RESET_LOCAL_RESET);
	assert_string_equal(sent(&rig), "");
	assert_int_equal(rig.idle, 2);
	close_rig(&rig);
}

static void test_first_frame(void **state)
{
	(void)state;
	open_with(&rig, UINT32_MAX);
	request(&rig);
	feed(&rig, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", 47);
	assert_int_equal(rig.requests[0].why, RESET_PROTOCOL_ERROR);
	assert_null(rig.requests[0].cs);
	assert_true(rig.closed);
	close_rig(&rig);
}

/* ---- extended CONNECT (RFC 8441) ---- */

#define ASKED(id)	"headers " id " | :method: CONNECT | :protocol: websocket | :scheme: http | " \
			":authority: a.test | :path: /x | sec-websocket-version: 13\n"

static void test_upgrade(void **state)
{
	struct codec_stream *cs;

	(void)state;
	open_rig(&rig);
	setting(&rig, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
	sent(&rig);
	cs = request_upgrade(&rig)->cs;
	assert_string_equal(sent(&rig), ASKED("1"));
	headers(&rig, 1, false, FIELDS(":status: 200", "content-length: 3"));
	data(&rig, 1, false, 5);
	assert_string_equal(events(&rig), "0 101\n0 data 5\n");
	assert_int_equal(codec_send_data(cs, slice_make(upload, 7)), 7);
	assert_string_equal(sent(&rig), "data 1 7\n");
	/* Its end is not ours. */
	data(&rig, 1, true, 2);
	assert_string_equal(events(&rig), "0 101\n0 data 5\n0 data 2\n0 end\n");
	assert_int_equal(codec_send_data(cs, slice_make(upload, 3)), 3);
	assert_int_equal(rig.idle, 0);
	codec_send_end(cs, NULL);
	assert_string_equal(sent(&rig), "data 1 3\ndata 1 0 end\n");
	assert_int_equal(rig.idle, 1);
	close_rig(&rig);
}

/* Before the server's SETTINGS nobody knows whether it may be asked. */
static void test_upgrade_waits_for_settings(void **state)
{
	(void)state;
	open_with(&rig, UINT32_MAX);
	request_upgrade(&rig);
	assert_null(strstr(sent(&rig), "headers"));
	setting(&rig, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
	assert_non_null(strstr(sent(&rig), ASKED("1")));
	headers(&rig, 1, false, FIELDS(":status: 403", "content-length: 2"));
	data(&rig, 1, true, 2);
	assert_string_equal(events(&rig), "0 403 length=2 | content-length: 2\n0 data 2\n0 end\n");
	assert_string_equal(sent(&rig), "reset 1 8\n");
	close_rig(&rig);
}

static void test_upgrade_is_not_offered(void **state)
{
	(void)state;
	open_with(&rig, UINT32_MAX);
	request_upgrade(&rig);
	settle(&rig);
	assert_null(strstr(sent(&rig), "headers"));
	request_upgrade(&rig);
	assert_string_equal(sent(&rig), "");
	assert_string_equal(events(&rig), "0 reset local reset http2.extended_connect_not_offered\n"
			    "1 reset local reset http2.extended_connect_not_offered\n");
	assert_int_equal(rig.idle, 2);
	/* One that is given up while it waits was never sent. */
	close_rig(&rig);
	open_with(&rig, UINT32_MAX);
	codec_reset(request_upgrade(&rig)->cs, RESET_LOCAL_RESET);
	rig.requests[0].cs = NULL;
	setting(&rig, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
	assert_null(strstr(sent(&rig), "headers"));
	assert_int_equal(rig.idle, 1);
	close_rig(&rig);
}

static int make_worker(void **state)
{
	(void)state;
	worker = worker_create(0);
	return 0;
}

static int free_worker(void **state)
{
	(void)state;
	worker_free(&worker);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_preface),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_unsafe_line),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_interim),
		cmocka_unit_test(test_body_and_trailers),
		cmocka_unit_test(test_broken_bodies),
		cmocka_unit_test(test_bodyless),
		cmocka_unit_test(test_trailers_must_end),
		cmocka_unit_test(test_bytewise),
		cmocka_unit_test(test_head_limits),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_no_floods),
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_download_window),
		cmocka_unit_test(test_upload_window),
		cmocka_unit_test(test_late_head),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_goaway),
		cmocka_unit_test(test_withheld_at_the_end),
		cmocka_unit_test(test_remote_resets),
		cmocka_unit_test(test_early_response),
		cmocka_unit_test(test_local_reset),
		cmocka_unit_test(test_first_frame),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_upgrade_waits_for_settings),
		cmocka_unit_test(test_upgrade_is_not_offered),
	};

	return cmocka_run_group_tests_name("http2_client", tests, make_worker, free_worker);
}
