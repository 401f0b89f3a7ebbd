/* SPDX-License-Identifier: Apache-2.0
 * Writes HTTP/1.1: heads in one pass straight into the transport's output, bodies by their framing
 * (spec/http.md 12, 15, 20). Framing and connection fields are written here and nowhere else, and
 * nothing that could end a line leaves, whoever put it there (spec/hardening.md T-4, T-14). */
#include <assert.h>
#include <stdio.h>

#include "proxy/http/chars_priv.h"
#include "proxy/http/http1_priv.h"
#include "proxy/net/worker.h"

#define LINE_BYTES	256u	/* start line but for its slices, framing and connection fields */
#define FIELD(id)	(1ull << HEADER_##id)

static_assert(HEADER_ID_COUNT <= 64, "a set of known fields is one word");

/* Written from the message, never copied. */
#define OWN_FIELDS	(FIELD(CONNECTION) | FIELD(KEEP_ALIVE) | FIELD(PROXY_CONNECTION) | \
			 FIELD(TRANSFER_ENCODING) | FIELD(CONTENT_LENGTH))

/* Copies by words, the last ones overlapping; *seen gathers the marks of control bytes. */
static inline char *copy_checked(char *to, const char *from, size_t len, uint64_t *seen)
{
	uint32_t first, last;
	uint64_t head, tail;

	if (len >= 16) {
		bytes16 bytes = load_bytes16(from + len - 16);
		words2 controls = bytes16_controls(bytes);

		memcpy(to + len - 16, &bytes, 16);
		for (size_t i = 0; i + 16 < len; i += 16) {
			bytes = load_bytes16(from + i);
			memcpy(to + i, &bytes, 16);
			controls |= bytes16_controls(bytes);
		}
		*seen |= controls[0] | controls[1];
	} else if (len >= 8) {
		head = load_word(from);
		tail = load_word(from + len - 8);
		memcpy(to, &head, 8);
		memcpy(to + len - 8, &tail, 8);
		*seen |= word_controls(head) | word_controls(tail);
	} else if (len >= 4) {
		memcpy(&first, from, 4);
		memcpy(&last, from + len - 4, 4);
		memcpy(to, &first, 4);
		memcpy(to + len - 4, &last, 4);
		*seen |= word_controls((uint64_t)first << 32 | last);
	} else {
		for (size_t i = 0; i < len; i++) {
			to[i] = from[i];
			*seen |= !char_is(from[i], CHAR_VALUE);
		}
	}
	return to + len;
}

static inline char *copy(char *to, struct slice s)
{
	uint64_t ignored = 0;

	return copy_checked(to, s.at, s.len, &ignored);
}

/* A token. Most names are letters and `-`, which are seen eight at a time. */
static inline bool name_is_safe(struct slice name)
{
	size_t plain = 0;

	while (plain + 8 <= name.len && word_is_plain(load_word(name.at + plain)))
		plain += 8;
	return name.len > 0 && chars_are(slice_from(name, plain), CHAR_TOKEN);
}

/* `name: value CRLF`, or nothing where that would not be one field line. */
static inline char *write_field(struct http1 *h, char *p, const struct header *f)
{
	uint64_t controls = 0;
	char *start = p;

	if (f->id == HEADER_OTHER && !name_is_safe(f->name)) {
		h->codec.unsafe_fields++;
		return start;
	}
	p = copy(p, f->name);
	*p++ = ':';
	*p++ = ' ';
	p = copy_checked(p, f->value.at, f->value.len, &controls);
	*p++ = '\r';
	*p++ = '\n';
	if (controls != 0 && !chars_are(f->value, CHAR_VALUE)) {
		h->codec.unsafe_fields++;
		return start;
	}
	return p;
}

static char *write_fields(struct http1 *h, char *p, const struct headers *headers, uint64_t without)
{
	const struct header *f = headers->items, *end = f + headers->count;

	for (; f < end; f++)
		if (f->name.at != NULL && !(1ull << f->id & without))
			p = write_field(h, p, f);
	return p;
}

static size_t fields_bytes(const struct headers *headers)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < headers->count; i++)
		bytes += headers->items[i].name.len + headers->items[i].value.len + 4;
	return bytes;
}

static char *write_length(char *p, uint64_t length)
{
	char digits[20];
	unsigned count = 0;

	p = copy(p, SLICE("content-length: "));
	do {
		digits[count++] = (char)('0' + length % 10);
		length /= 10;
	} while (length > 0);
	while (count > 0)
		*p++ = digits[--count];
	return copy(p, SLICE("\r\n"));
}

/* Where to write a head of that many bytes; finish_head() takes the end. */
static char *begin_head(struct http1 *h, const struct message *m, size_t more)
{
	struct transport *t = h->codec.transport;

	buffer_reserve(t->worker, &t->out, fields_bytes(&m->headers) + more + LINE_BYTES);
	return t->out.base + t->out.end;
}

static void finish_head(struct http1 *h, char *p)
{
	struct transport *t = h->codec.transport;

	p = copy(p, SLICE("\r\n"));
	t->out.end = (uint32_t)(p - t->out.base);
	worker_flush_later(t->worker, t);
}

/* The framing field that `h->output` stands for. */
static char *write_framing(struct http1 *h, char *p)
{
	if (h->output == OUTPUT_CHUNKED)
		return copy(p, SLICE("transfer-encoding: chunked\r\n"));
	if (h->output == OUTPUT_LENGTH)
		return write_length(p, h->output_left);
	return p;
}

/* ---- responses ---- */

static char *write_status(char *p, unsigned status)
{
	p = copy(p, SLICE("HTTP/1.1 "));
	p[0] = (char)('0' + status / 100 % 10);
	p[1] = (char)('0' + status / 10 % 10);
	p[2] = (char)('0' + status % 10);
	p[3] = ' ';
	p = copy(p + 4, status_reason(status));
	return copy(p, SLICE("\r\n"));
}

/* Only what the client can have asked for. */
static void send_interim(struct http1 *h, const struct message *m)
{
	bool known = m->status == 100 ? h->message->expect_continue :
		     m->status >= 102 && m->status <= 104;

	if (!known || h->message->version == HTTP_1_0 || h->output != OUTPUT_HEAD)
		return;
	finish_head(h, write_fields(h, write_status(begin_head(h, m, 0), m->status), &m->headers,
				    OWN_FIELDS | FIELD(UPGRADE)));
}

static bool is_head_request(const struct http1 *h)
{
	return slice_eq(h->message->method, SLICE("HEAD"));
}

/* How the body of a response goes out, and what is said of it; *p is at the framing field. */
static char *frame_response(struct http1 *h, char *p, const struct message *m, bool end)
{
	bool bodyless = is_head_request(h) || m->status == 304;

	h->output = OUTPUT_SWALLOW;
	if (m->status == 204)
		return p;
	if (bodyless) {		/* as it would be: a length for information */
		if (m->framing == FRAMING_LENGTH)
			return write_length(p, m->content_length);
		return m->framing == FRAMING_CHUNKED && m->status != 304 ?
		       copy(p, SLICE("transfer-encoding: chunked\r\n")) : p;
	}
	if (m->status == 205 || end)
		return write_length(p, 0);
	if (m->framing == FRAMING_LENGTH) {
		h->output = OUTPUT_LENGTH;
		h->output_left = m->content_length;
	} else if (h->message->version == HTTP_1_0) {
		h->output = OUTPUT_RAW;
		h->must_close = true;
	} else {
		h->output = OUTPUT_CHUNKED;
		h->output_left = 0;
	}
	return write_framing(h, p);
}

/* An upgrade that was not granted: bytes that came for the new protocol are never HTTP. */
static void settle_upgrade(struct http1 *h)
{
	if (h->message->framing == FRAMING_NONE && buffer_len(&h->codec.transport->in) == 0) {
		h->input = INPUT_DONE;
		return;
	}
	h->input = INPUT_DISCARD;
	h->must_close = true;
}

static void send_response(struct http1 *h, const struct message *m, bool end)
{
	bool upgraded = m->status == 101;
	size_t queued;
	char *p;

	if (upgraded && h->input != INPUT_HOLD) {	/* nobody asked for it */
		http1_fail(h, RESET_PROTOCOL_ERROR, "http1.unexpected_upgrade");
		return;
	}
	queued = buffer_len(&h->codec.transport->out);
	p = write_status(begin_head(h, m, 0), m->status);

	h->must_close |= m->close || h->draining;
	if (upgraded) {
		h->input = INPUT_RAW;
		h->output = OUTPUT_RAW;
		h->must_close = h->tunnel = true;
		p = copy(p, SLICE("connection: Upgrade\r\n"));
	} else {
		if (h->input == INPUT_HOLD)
			settle_upgrade(h);
		h->must_close |= !http1_request_is_here(h);
		p = frame_response(h, p, m, end);
		if (h->must_close)
			p = copy(p, SLICE("connection: close\r\n"));
		else if (h->message->version == HTTP_1_0)
			p = copy(p, SLICE("connection: keep-alive\r\n"));
	}
	p = write_fields(h, p, &m->headers, OWN_FIELDS | (upgraded ? 0 : FIELD(UPGRADE)));
	finish_head(h, p);
	if (upgraded) {
		h->stream.bytes_out = buffer_len(&h->codec.transport->out) - queued;
		http1_run_on(h);
	} else if (end) {
		h->output = OUTPUT_DONE;
		http1_response_sent(h);
	}
}

/* ---- requests ---- */

static bool usually_has_body(struct slice method)
{
	return slice_eq(method, SLICE("POST")) || slice_eq(method, SLICE("PUT")) ||
	       slice_eq(method, SLICE("PATCH"));
}

static void frame_request(struct http1 *h, const struct message *m, bool end)
{
	h->output_left = 0;
	if (m->upgrade) {
		h->output = OUTPUT_DONE;
	} else if (end) {
		h->output = m->framing == FRAMING_LENGTH || usually_has_body(m->method) ?
			    OUTPUT_LENGTH : OUTPUT_DONE;
	} else if (m->framing == FRAMING_LENGTH) {
		h->output = OUTPUT_LENGTH;
		h->output_left = m->content_length;
	} else {
		h->output = OUTPUT_CHUNKED;
	}
}

/* What the response will be judged by. */
static void remember_request(struct http1 *h, const struct message *m)
{
	struct slice key = headers_value(&m->headers, HEADER_SEC_WEBSOCKET_KEY);

	h->asked.head_request = slice_eq(m->method, SLICE("HEAD"));
	if (!m->upgrade)
		return;
	h->asked.upgrade = headers_value(&m->headers, HEADER_UPGRADE);
	if (!slice_eq_nocase(h->asked.upgrade, SLICE("websocket")) || key.at == NULL)
		return;
	websocket_accept(key, h->accept);
	h->asked.websocket_accept = slice_make(h->accept, sizeof(h->accept));
}

/* Nothing that could end the request line or the Host line early. */
static bool line_is_safe(const struct message *m)
{
	return is_token(m->method) && chars_are(m->path, CHAR_TARGET) &&
	       m->authority.len > 0 && chars_are(m->authority, CHAR_AUTHORITY);
}

static void send_request(struct http1 *h, const struct message *m, bool end)
{
	char *p;

	if (!line_is_safe(m)) {
		h->codec.unsafe_fields++;
		http1_fail(h, RESET_PROTOCOL_ERROR, "http1.unsafe_request_line");
		return;
	}
	remember_request(h, m);
	frame_request(h, m, end);
	h->must_close |= m->close;
	p = begin_head(h, m, m->method.len + m->path.len + m->authority.len);
	p = copy(p, m->method);
	*p++ = ' ';
	p = copy(p, m->path.len > 0 ? m->path : SLICE("/"));
	p = copy(p, SLICE(" HTTP/1.1\r\nhost: "));
	p = copy(p, m->authority);
	p = copy(p, SLICE("\r\n"));
	p = write_framing(h, p);
	if (m->upgrade)
		p = copy(p, SLICE("connection: Upgrade\r\n"));
	else if (h->must_close)
		p = copy(p, SLICE("connection: close\r\n"));
	p = write_fields(h, p, &m->headers,
			 OWN_FIELDS | FIELD(HOST) | (m->upgrade ? 0 : FIELD(UPGRADE)));
	finish_head(h, p);
	if (end)
		h->output = OUTPUT_DONE;
}

void http1_send_head(struct codec_stream *cs, const struct message *m, bool end)
{
	struct http1 *h = http1_of(cs);

	if (!h->live || h->output != OUTPUT_HEAD)
		return;
	if (!h->codec.is_server)
		send_request(h, m, end);
	else if (m->status < 200 && m->status != 101)
		send_interim(h, m);
	else
		send_response(h, m, end);
}

/* ---- bodies ---- */

#define CHUNK_LINE_MAX	(CHUNK_DIGITS_MAX + 2)

static void open_chunk(struct http1 *h, size_t bytes)
{
	static const char digits[] = "0123456789abcdef";
	char line[CHUNK_LINE_MAX], *p = line + sizeof(line);

	h->output_left = bytes;
	*--p = '\n';
	*--p = '\r';
	for (; bytes > 0; bytes >>= 4)
		*--p = digits[bytes & 15];
	transport_queue(h->codec.transport, slice_make(p, (size_t)(line + sizeof(line) - p)));
}

/* A chunk that was taken in part goes on with what comes next. */
static size_t send_chunked(struct http1 *h, struct slice bytes)
{
	size_t sent = 0;

	while (bytes.len > 0) {
		struct slice piece;
		size_t taken;

		if (h->output_left == 0)
			open_chunk(h, bytes.len);
		piece = slice_first(bytes, h->output_left < bytes.len ? h->output_left : bytes.len);
		taken = transport_send(h->codec.transport, piece);
		sent += taken;
		h->output_left -= taken;
		if (h->output_left == 0)
			transport_queue(h->codec.transport, SLICE("\r\n"));
		if (taken < piece.len)
			break;
		bytes = slice_from(bytes, taken);
	}
	return sent;
}

/* More than was announced is dropped: the peer would take it for the next message. */
static size_t send_counted(struct http1 *h, struct slice bytes)
{
	struct slice piece = slice_first(bytes, h->output_left < bytes.len ? h->output_left : bytes.len);
	size_t taken = transport_send(h->codec.transport, piece);

	h->output_left -= taken;
	return taken == piece.len ? bytes.len : taken;
}

size_t http1_send_data(struct codec_stream *cs, struct slice bytes)
{
	struct http1 *h = http1_of(cs);
	size_t taken = bytes.len;

	if (!h->live || bytes.len == 0)
		return bytes.len;
	if (h->output == OUTPUT_CHUNKED)
		taken = send_chunked(h, bytes);
	else if (h->output == OUTPUT_LENGTH)
		taken = send_counted(h, bytes);
	else if (h->output == OUTPUT_RAW)
		taken = transport_send(h->codec.transport, bytes);
	if (h->output != OUTPUT_SWALLOW)
		cs->bytes_out += taken;
	return taken;
}

static void send_last_chunk(struct http1 *h, const struct headers *trailers)
{
	struct transport *t = h->codec.transport;
	char *p;

	if (trailers == NULL || !h->codec.settings->keep_trailers) {
		transport_queue(t, SLICE("0\r\n\r\n"));
		return;
	}
	buffer_reserve(t->worker, &t->out, fields_bytes(trailers) + LINE_BYTES);
	p = copy(t->out.base + t->out.end, SLICE("0\r\n"));
	finish_head(h, write_fields(h, p, trailers, OWN_FIELDS | FIELD(HOST) | FIELD(UPGRADE)));
}

void http1_send_end(struct codec_stream *cs, const struct headers *trailers)
{
	struct http1 *h = http1_of(cs);

	if (!h->live || h->output == OUTPUT_HEAD || h->output == OUTPUT_DONE)
		return;
	if (h->tunnel) {
		h->output = OUTPUT_DONE;
		transport_shutdown(h->codec.transport);
		http1_tunnel_ended(h);
		return;
	}
	if (h->output_left > 0 && (h->output == OUTPUT_LENGTH || h->output == OUTPUT_CHUNKED)) {
		/* Less than announced: it must not pass for a complete message. */
		http1_fail(h, RESET_LOCAL_RESET, "http1.body_shorter_than_announced");
		return;
	}
	if (h->output == OUTPUT_CHUNKED)
		send_last_chunk(h, trailers);
	h->output = OUTPUT_DONE;
	if (h->codec.is_server)
		http1_response_sent(h);
}
