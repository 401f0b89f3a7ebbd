/* SPDX-License-Identifier: Apache-2.0
 * Messages to frames (spec/http.md 12, 20, 27). Framing and connection fields are written from the
 * message alone, and nothing that is no field leaves, whoever put it there. */
#include <stdio.h>

#include "proxy/http/chars_priv.h"
#include "proxy/http/http2_priv.h"
#include "proxy/net/worker.h"
#include "sallyport/log.h"

#define LENGTH_DIGITS_MAX	20
#define REQUEST_FIELDS_SPARE	6u	/* pseudo-header fields and the length */

static nghttp2_nv nv_of(struct slice name, struct slice value)
{
	return (nghttp2_nv){ .name = (uint8_t *)name.at, .namelen = name.len,
			     .value = (uint8_t *)value.at, .valuelen = value.len };
}

/* Written from the message, or not at all on this version. */
static bool is_own(enum header_id id)
{
	switch (id) {
	case HEADER_CONNECTION:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
	case HEADER_CONTENT_LENGTH:
	case HEADER_HTTP2_SETTINGS:
		return true;
	default:
		return false;
	}
}

static bool is_left_out(const struct http2_stream *s, const struct header *f)
{
	if (s->stream.codec->is_server)
		return is_own(f->id);
	return is_own(f->id) || f->id == HEADER_HOST || (s->upgrade && f->id == HEADER_SEC_WEBSOCKET_KEY) ||
	       (f->id == HEADER_TE && !slice_eq_nocase(f->value, SLICE("trailers")));
}

static size_t add_fields(struct http2_stream *s, nghttp2_nv *to, const struct headers *headers)
{
	size_t count = 0;

	for (struct header *f = headers_begin(headers); f != NULL; f = headers_next(headers, f)) {
		if (is_left_out(s, f))
			continue;
		if (header_is_safe(f->name, f->value))
			to[count++] = nv_of(f->name, f->value);
		else
			s->stream.codec->unsafe_fields++;
	}
	return count;
}

static size_t add_length(nghttp2_nv *to, uint64_t length, char digits[LENGTH_DIGITS_MAX + 1])
{
	int count = snprintf(digits, LENGTH_DIGITS_MAX + 1, "%llu", (unsigned long long)length);

	*to = nv_of(SLICE("content-length"), slice_make(digits, (size_t)count));
	return 1;
}

/* Then the end is not known with the last byte. gRPC does not announce what it always sends. */
static bool may_have_trailers(const struct message *m)
{
	return headers_get(&m->headers, HEADER_TRAILER) != NULL ||
	       slice_starts(headers_value(&m->headers, HEADER_CONTENT_TYPE), SLICE("application/grpc"));
}

static void count_body(struct http2_stream *s, const struct message *m)
{
	s->counted = m->framing == FRAMING_LENGTH && m->content_length > 0;
	s->early_end = s->counted && !may_have_trailers(m);
	s->output_left = m->content_length;
}

/* Is a length said? That of a body, also of one that is not sent, or a zero that came from upstream. */
static bool says_length(const struct message *m)
{
	return m->framing == FRAMING_LENGTH && m->status >= 200 && m->status != 204 &&
	       (m->content_length > 0 || headers_get(&m->headers, HEADER_CONTENT_LENGTH) != NULL);
}

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t most, uint32_t *flags,
			 nghttp2_data_source *source, void *arg);

static void submit_trailers(struct http2_stream *s, const struct headers *trailers);

static bool body_is_allowed(const struct http2_stream *s, const struct message *m)
{
	return !slice_eq(s->message->method, SLICE("HEAD")) && m->status != 204 && m->status != 205 &&
	       m->status != 304;
}

static void submit(struct http2_stream *s, const struct message *m, const nghttp2_nv *fields, size_t count)
{
	const nghttp2_data_provider provider = { .source.ptr = s, .read_callback = read_data };
	nghttp2_session *session = http2_of(s)->session;

	if (m->status < 200) {
		nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, s->id, NULL, fields, count, NULL);
		return;
	}
	s->head_sent = true;
	s->error_sent = m->status >= 400;
	nghttp2_submit_response(session, s->id, fields, count, s->swallow ? NULL : &provider);
}

/* Of interim ones what the client asked for, or 102-104. */
static bool may_be_sent(const struct http2_stream *s, const struct message *m)
{
	if (!s->owned || s->head_sent)
		return false;
	return m->status >= 200 || (m->status == 100 ? s->message->expect_continue :
				    m->status >= 102 && m->status <= 104);
}

/* ---- requests ---- */

/* Nothing that would be another request on the other side. */
static bool line_is_safe(const struct message *m)
{
	return is_token(m->method) && m->path.len > 0 && chars_are(m->path, CHAR_TARGET) &&
	       m->authority.len > 0 && chars_are(m->authority, CHAR_AUTHORITY);
}

static size_t add_request_fields(struct http2_stream *s, nghttp2_nv *to, const struct message *m, char *length)
{
	size_t count = 0;

	to[count++] = nv_of(SLICE(":method"), m->upgrade ? SLICE("CONNECT") : m->method);
	if (m->upgrade)
		to[count++] = nv_of(SLICE(":protocol"), headers_value(&m->headers, HEADER_UPGRADE));
	to[count++] = nv_of(SLICE(":scheme"), m->scheme);
	to[count++] = nv_of(SLICE(":authority"), m->authority);
	to[count++] = nv_of(SLICE(":path"), m->path);
	if (m->framing == FRAMING_LENGTH &&
	    (m->content_length > 0 || headers_get(&m->headers, HEADER_CONTENT_LENGTH) != NULL))
		count += add_length(to + count, m->content_length, length);
	return count + add_fields(s, to + count, &m->headers);
}

/* The library never hears of it. */
static void give_up_request(struct http2_stream *s, enum reset_reason why, const char *detail)
{
	http2_forget(s);
	http2_reset(s, NGHTTP2_CANCEL, why, detail);
}

static void submit_request(struct http2_stream *s, const struct message *m, bool end)
{
	const nghttp2_data_provider provider = { .source.ptr = s, .read_callback = read_data };
	char length[LENGTH_DIGITS_MAX + 1];
	nghttp2_nv *fields;
	size_t count;

	s->head_sent = true;
	s->swallow = s->ended = end;
	s->head_request = slice_eq(m->method, SLICE("HEAD"));
	count_body(s, m);
	fields = arena_alloc(s->stream.arena, (m->headers.count + REQUEST_FIELDS_SPARE) * sizeof(*fields));
	count = add_request_fields(s, fields, m, length);
	s->id = nghttp2_submit_request(http2_of(s)->session, NULL, fields, count, end ? NULL : &provider, s);
	if (s->id > 0)
		s->closed = false;
	else
		give_up_request(s, RESET_LOCAL_REFUSED, NULL);
}

/* Of a server that does not say that it knows how, nobody asks it (RFC 8441 3). */
void http2_ask_upgrade(struct http2_stream *s)
{
	const struct message *m = s->unasked;

	s->unasked = NULL;
	if (nghttp2_session_get_remote_settings(http2_of(s)->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1)
		submit_request(s, m, false);
	else
		give_up_request(s, RESET_LOCAL_RESET, "http2.extended_connect_not_offered");
}

static void send_request(struct http2_stream *s, const struct message *m, bool end)
{
	if (!s->owned || s->head_sent || s->unasked != NULL)
		return;
	if (!line_is_safe(m)) {
		s->stream.codec->unsafe_fields++;
		give_up_request(s, RESET_PROTOCOL_ERROR, "http2.unsafe_request_line");
		return;
	}
	s->upgrade = m->upgrade;
	if (!m->upgrade) {
		submit_request(s, m, end);
		return;
	}
	s->unasked = message_copy(m, s->stream.arena);
	if (http2_of(s)->settled)
		http2_ask_upgrade(s);
}

void http2_head_left(struct http2_stream *s)
{
	const struct headers *trailers = s->late_trailers;

	s->head_left = true;
	s->late_trailers = NULL;
	if (trailers != NULL)
		submit_trailers(s, trailers);
}

/* RFC 8441 5: status 200, and bytes both ways from here on. */
static void grant_upgrade(struct http2_stream *s, const struct message *m)
{
	nghttp2_nv *fields = arena_alloc(s->stream.arena, (m->headers.count + 1) * sizeof(*fields));
	const struct message granted = { .status = 200 };
	size_t count = 1;

	fields[0] = nv_of(SLICE(":status"), SLICE("200"));
	count += add_fields(s, fields + count, &m->headers);
	if (!s->closed)
		submit(s, &granted, fields, count);
	s->held++;
	http2_open_tunnel(s);
	s->held--;
	http2_release(s);
}

void http2_send_head(struct codec_stream *cs, const struct message *m, bool end)
{
	struct http2_stream *s = http2_stream_of(cs);
	struct http2 *h = http2_of(s);
	char status[4], length[LENGTH_DIGITS_MAX + 1];
	nghttp2_nv *fields;
	size_t count = 0;

	if (!cs->codec->is_server) {
		send_request(s, m, end);
		http2_run_output(h);
		return;
	}
	if (m->status == 101 && s->held_back) {
		grant_upgrade(s, m);
		http2_run_output(h);
		return;
	}
	if (m->status >= 200 && s->held_back) {
		s->held_back = false;
		s->deaf = true;
	}
	if (may_be_sent(s, m) && !s->closed) {
		fields = arena_alloc(cs->arena, (m->headers.count + 2) * sizeof(*fields));
		snprintf(status, sizeof(status), "%03u", m->status % 1000);
		fields[count++] = nv_of(SLICE(":status"), slice_make(status, 3));
		if (says_length(m))
			count += add_length(fields + count, m->content_length, length);
		count += add_fields(s, fields + count, &m->headers);
		if (m->status >= 200) {
			s->swallow = end || !body_is_allowed(s, m);
			count_body(s, m);
		}
		submit(s, m, fields, count);	/* copies the fields */
	}
	if (end && m->status >= 200) {
		s->ended = true;
		http2_let_go(s);
	}
	http2_run_output(h);
}

/* ---- bodies ---- */

/* The library has room for `most` bytes: takes what the owner offers, or has it called. */
static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t most, uint32_t *flags,
			 nghttp2_data_source *source, void *arg)
{
	struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct http2 *h = arg;
	size_t take;

	(void)to, (void)source;
	if (s == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (s->offered.len > 0 && http2_has_room(h)) {
		take = s->offered.len < most ? s->offered.len : most;
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
		if (s->early_end && take == s->output_left)
			*flags |= NGHTTP2_DATA_FLAG_EOF;
		return (ssize_t)take;
	}
	if (s->ended && s->offered.len == 0) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		return 0;
	}
	if ((s->wants_writable || s->offered.len > 0) && !s->hungry && s->owned) {
		s->wants_writable = false;
		s->hungry = true;
		TAILQ_INSERT_TAIL(&h->hungry, s, hungry_link);
	}
	return NGHTTP2_ERR_DEFERRED;
}

int http2_write_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
		     nghttp2_data_source *source, void *arg)
{
	struct http2_stream *s = source->ptr;
	struct http2 *h = arg;

	(void)session;
	must(length <= s->offered.len && frame->data.padlen == 0);
	transport_queue(h->codec.transport, slice_make((const char *)head, HTTP2_FRAME_HEAD_BYTES));
	transport_queue(h->codec.transport, slice_first(s->offered, length));
	s->offered = slice_from(s->offered, length);
	if (s->counted)
		s->output_left -= length;
	return 0;
}

size_t http2_send_data(struct codec_stream *cs, struct slice bytes)
{
	struct http2_stream *s = http2_stream_of(cs);
	struct http2 *h = http2_of(s);
	struct slice piece = bytes;
	size_t taken;

	if (!s->owned || s->swallow || !s->head_sent || s->closed || h->closing || bytes.len == 0)
		return bytes.len;
	if (s->counted && piece.len > s->output_left)	/* more than was announced is dropped */
		piece.len = s->output_left;
	if (piece.len == 0)
		return bytes.len;
	if (h->busy) {		/* the library cannot be entered now: asked again when it can */
		s->wants_writable = true;
		nghttp2_session_resume_data(h->session, s->id);
		http2_wait_for_room(s);
		return 0;
	}
	s->held++;
	s->offered = piece;
	nghttp2_session_resume_data(h->session, s->id);
	http2_run_output(h);
	taken = piece.len - s->offered.len;
	s->offered = NO_SLICE;
	if (taken < piece.len && s->owned && !s->closed) {
		s->wants_writable = !s->hungry;
		if (taken > 0)
			s->stalled_ms = 0;
		http2_wait_for_room(s);
	} else {
		s->stalled_ms = 0;
	}
	cs->bytes_out += taken;
	s->held--;
	if (!s->owned || s->closed) {
		http2_release(s);
		return bytes.len;
	}
	return taken == piece.len ? bytes.len : taken;
}

static void submit_trailers(struct http2_stream *s, const struct headers *trailers)
{
	nghttp2_nv *fields = arena_alloc(s->stream.arena, (trailers->count + 1) * sizeof(*fields));
	size_t count = add_fields(s, fields, trailers);

	s->ended = true;
	nghttp2_submit_trailer(http2_of(s)->session, s->id, fields, count);
}

/* All data has left: the end can overtake none. But a request's head may still wait for its turn. */
static void submit_end(struct http2_stream *s, const struct headers *trailers)
{
	if (trailers == NULL || trailers->count == 0) {
		s->ended = true;
		nghttp2_session_resume_data(http2_of(s)->session, s->id);
	} else if (s->stream.codec->is_server || s->head_left) {
		submit_trailers(s, trailers);
	} else {
		s->late_trailers = trailers;
	}
}

void http2_send_end(struct codec_stream *cs, const struct headers *trailers)
{
	struct http2_stream *s = http2_stream_of(cs);
	struct http2 *h = http2_of(s);

	if (!s->owned || !s->head_sent)
		return;
	if (s->counted && !s->swallow && s->output_left > 0 && !s->closed) {
		/* Less than announced: it must not pass for a complete message. */
		if (cs->codec->is_server)
			cs->codec->ops->reset(cs, RESET_LOCAL_RESET);
		else
			http2_reset(s, NGHTTP2_CANCEL, RESET_LOCAL_RESET, "http2.body_shorter_than_announced");
		http2_run_output(h);
		return;
	}
	if (!s->swallow && !s->closed && !(s->early_end && s->output_left == 0))
		submit_end(s, trailers);
	s->ended |= s->late_trailers == NULL;
	if (s->tunnel ? s->end_told : cs->codec->is_server)
		http2_let_go(s);
	http2_run_output(h);
}
