/* SPDX-License-Identifier: Apache-2.0
 * Header blocks of HTTP/2 become responses, interim and final, in the arena of the stream's owner.
 * What is malformed costs its own stream alone (spec/http.md 9, 12, 13, 18). */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http2_priv.h"

static const struct refusal too_many_interim = { 502, "", "http2.too_many_interim_responses" };

void http2_begin_response(struct http2_stream *s)
{
	s->message = arena_new(s->stream.arena, struct message);
	s->message->version = HTTP_2;
	s->block_bytes = s->field_count = 0;
	s->pseudo_seen = 0;
	s->regular_seen = false;
	headers_init(&s->message->headers, s->stream.arena, FIELDS_SPARE);
}

/* ---- fields ---- */

/* Three digits, 100 to 999; anything else: 0. */
static unsigned read_status(struct slice value)
{
	unsigned status = 0;

	if (value.len != 3)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return 0;
		status = status * 10 + (unsigned)(value.at[i] - '0');
	}
	return status >= 100 ? status : 0;
}

void http2_add_response_pseudo(struct http2_stream *s, struct slice name, struct slice value)
{
	if (!slice_eq(name, SLICE(":status")) || s->regular_seen || s->pseudo_seen != 0) {
		http2_found(s, HTTP2_STREAM_FAULT);
		return;
	}
	s->pseudo_seen = 1;
	s->message->status = read_status(value);
}

void http2_add_response_field(struct http2_stream *s, struct slice name, struct slice value)
{
	struct headers *h = &s->message->headers;
	enum header_id id = header_id_of(name);

	switch (id) {
	case HEADER_CONNECTION:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		http2_found(s, HTTP2_STREAM_FAULT);
		return;
	case HEADER_CONTENT_LENGTH:
		http2_take_length(s, value);
		return;
	default:
		break;
	}
	headers_append(h, id, id != HEADER_OTHER ? header_name(id) : arena_slice(s->stream.arena, name),
		       arena_slice(s->stream.arena, value));
}

/* ---- the head as a whole ---- */

/* Those that have no body at all may not announce one; a zero is as good as nothing. */
static void check_bodyless(struct http2_stream *s)
{
	struct message *m = s->message;

	if (m->framing != FRAMING_LENGTH)
		return;
	if (m->content_length > 0)
		http2_found(s, HTTP2_STREAM_FAULT);
	m->framing = FRAMING_NONE;
	headers_remove_id(&m->headers, HEADER_CONTENT_LENGTH);
}

static void check_response(struct http2_stream *s, bool end)
{
	struct message *m = s->message;

	/* 101 does not exist here, and an interim response ends nothing. */
	if (m->status == 0 || m->status == 101 || (m->status < 200 && end))
		http2_found(s, HTTP2_STREAM_FAULT);
	if (m->status < 200 || m->status == 204)
		check_bodyless(s);
	s->bodyless = s->head_request || m->status == 204 || m->status == 304;
	if (end && !s->bodyless && !(s->upgrade && m->status / 100 == 2) && m->framing == FRAMING_LENGTH && m->content_length > 0)
		http2_found(s, HTTP2_STREAM_FAULT);
	if (!end && !s->bodyless && m->status >= 200 && m->framing == FRAMING_NONE)
		m->framing = FRAMING_CHUNKED;
	m->head_bytes = s->block_bytes;
}

/* Shown as the upgrade that it would be on HTTP/1.1 (codec.h). From here on each direction ends by itself. */
static void grant(struct http2_stream *s)
{
	struct message *m = s->message;

	m->status = 101;
	m->upgrade = true;
	m->framing = FRAMING_NONE;
	headers_remove_id(&m->headers, HEADER_CONTENT_LENGTH);
	s->bodyless = false;
	s->tunnel = s->head_told = true;
	s->stream.events->on_head(s->stream.owner, m, false);
}

/* 100, 102-104 are for the owner; others say nothing that anyone knows. */
static void take_interim(struct http2_stream *s)
{
	struct message *m = s->message;

	if (++s->interim_count > s->stream.codec->settings->interim_max) {
		http2_refuse(s, &too_many_interim);
		http2_break_off(s);
	} else if (m->status == 100 || (m->status >= 102 && m->status <= 104)) {
		s->stream.events->on_head(s->stream.owner, m, false);
	}
}

void http2_end_response(struct http2_stream *s, bool end)
{
	struct message *m = s->message;

	if (s->fault == HTTP2_FINE && s->refusal == NULL)
		check_response(s, end);
	if (s->fault != HTTP2_FINE || s->refusal != NULL) {
		http2_break_off(s);
		return;
	}
	if (m->status < 200) {
		take_interim(s);
		return;
	}
	if (s->upgrade && m->status / 100 == 2) {
		grant(s);
		return;
	}
	s->head_told = true;
	s->input_ended = end;
	if (!end && m->status != 205) {		/* whose body nobody wants */
		s->stream.events->on_head(s->stream.owner, m, false);
		return;
	}
	s->end_told = true;
	s->held++;
	s->stream.events->on_head(s->stream.owner, m, true);
	s->held--;
	http2_let_go(s);
}
