/* SPDX-License-Identifier: Apache-2.0
 * Responses to frames (spec/http.md 12, 20, 27). Framing and connection fields are written from the
 * message alone, and nothing that is no field leaves, whoever put it there. */
#include <stdio.h>

#include "proxy/http/http2_priv.h"
#include "proxy/net/worker.h"
#include "sallyport/log.h"

#define LENGTH_DIGITS_MAX	20

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

static size_t add_fields(struct http2_stream *s, nghttp2_nv *to, const struct headers *headers)
{
	size_t count = 0;

	for (struct header *f = headers_begin(headers); f != NULL; f = headers_next(headers, f)) {
		if (is_own(f->id))
			continue;
		if (header_is_safe(f->name, f->value))
			to[count++] = nv_of(f->name, f->value);
		else
			s->stream.codec->unsafe_fields++;
	}
	return count;
}

/* Is a length said? That of a body, also of one that is not sent, or a zero that came from upstream. */
static bool says_length(const struct message *m)
{
	return m->framing == FRAMING_LENGTH && m->status >= 200 && m->status != 204 &&
	       (m->content_length > 0 || headers_get(&m->headers, HEADER_CONTENT_LENGTH) != NULL);
}

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t most, uint32_t *flags,
			 nghttp2_data_source *source, void *arg);

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
	nghttp2_submit_response(session, s->id, fields, count, s->swallow ? NULL : &provider);
}

/* 101 is unknown here; of the others what the client asked for, or 102-104. */
static bool may_be_sent(const struct http2_stream *s, const struct message *m)
{
	if (!s->owned || s->head_sent)
		return false;
	return m->status >= 200 || (m->status == 100 ? s->message->expect_continue :
				    m->status >= 102 && m->status <= 104);
}

void http2_send_head(struct codec_stream *cs, const struct message *m, bool end)
{
	struct http2_stream *s = http2_stream_of(cs);
	struct http2 *h = http2_of(s);
	char status[4], length[LENGTH_DIGITS_MAX + 1];
	nghttp2_nv *fields;
	size_t count = 0;

	if (may_be_sent(s, m) && !s->closed) {
		fields = arena_alloc(cs->arena, (m->headers.count + 2) * sizeof(*fields));
		snprintf(status, sizeof(status), "%03u", m->status % 1000);
		fields[count++] = nv_of(SLICE(":status"), slice_make(status, 3));
		if (says_length(m)) {
			int digits = snprintf(length, sizeof(length), "%llu",
					      (unsigned long long)m->content_length);

			fields[count++] = nv_of(SLICE("content-length"), slice_make(length, (size_t)digits));
		}
		count += add_fields(s, fields + count, &m->headers);
		if (m->status >= 200) {
			s->swallow = end || !body_is_allowed(s, m);
			s->counted = m->framing == FRAMING_LENGTH && m->content_length > 0;
			s->output_left = m->content_length;
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
		if (s->counted && take == s->output_left)
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

/* All data has left: the end can overtake none. */
void http2_send_end(struct codec_stream *cs, const struct headers *trailers)
{
	struct http2_stream *s = http2_stream_of(cs);
	struct http2 *h = http2_of(s);

	if (!s->owned || !s->head_sent)
		return;
	if (s->counted && !s->swallow && s->output_left > 0 && !s->closed) {
		/* Less than announced: it must not pass for a complete message. */
		cs->codec->ops->reset(cs, RESET_LOCAL_RESET);
		return;
	}
	if (!s->swallow && !s->closed && !(s->counted && s->output_left == 0)) {
		if (trailers != NULL && trailers->count > 0) {
			submit_trailers(s, trailers);
		} else {
			s->ended = true;
			nghttp2_session_resume_data(h->session, s->id);
		}
	}
	http2_let_go(s);
	http2_run_output(h);
}
