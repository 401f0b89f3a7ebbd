/* SPDX-License-Identifier: Apache-2.0
 * Header blocks of HTTP/2, field by field: bounds, legal names and values, trailers. What a head means
 * is its role's to say (spec/http.md 4, 8, 9, 18). */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http2_priv.h"
#include "sallyport/log.h"

static const struct refusal headers_too_large = {
	431, "Request Header Fields Too Large", "http2.headers_too_large" };
static const struct refusal too_many_headers = {
	431, "Request Header Fields Too Large", "http2.too_many_headers" };
static const char violation[] = "http2.violation.of.messaging.rule";

void http2_found(struct http2_stream *s, enum http2_fault fault)
{
	/* Requests of strangers share a client's connection: none ends because of another's response. */
	if (fault == HTTP2_SESSION_FAULT && !s->stream.codec->is_server)
		fault = HTTP2_STREAM_FAULT;
	if (s->fault < fault)
		s->fault = fault;
}

void http2_refuse(struct http2_stream *s, const struct refusal *why)
{
	if (s->refusal == NULL)
		s->refusal = why;
}

static const struct codec_settings *settings_of(const struct http2_stream *s)
{
	return s->stream.codec->settings;
}

static const struct http2_role *role_of(struct http2_stream *s)
{
	return http2_of(s)->role;
}

void http2_begin_trailers(struct http2_stream *s)
{
	s->block_bytes = s->field_count = 0;
	s->trailers = arena_new(s->stream.arena, struct headers);
	headers_init(s->trailers, s->stream.arena, 0);
}

/* ---- fields ---- */

static bool name_is_valid(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!char_is(name.at[i], CHAR_TOKEN) || char_is(name.at[i], CHAR_UPPER))
			return false;
	return name.len > 0;
}

void http2_take_length(struct http2_stream *s, struct slice value)
{
	struct message *m = s->message;
	uint64_t before = m->content_length;
	bool repeated = m->framing == FRAMING_LENGTH;

	if (fields_length(m, value) != FAULT_NONE || (repeated && before != m->content_length))
		http2_found(s, HTTP2_STREAM_FAULT);
	else if (!repeated)
		headers_add_id(&m->headers, HEADER_CONTENT_LENGTH, arena_slice(s->stream.arena, value));
}

static void add_trailer(struct http2_stream *s, struct slice name, struct slice value)
{
	if (name.len > 0 && name.at[0] == ':') {
		http2_found(s, HTTP2_STREAM_FAULT);
		return;
	}
	if (fields_forbidden_trailer(name))
		return;
	headers_add(s->trailers, arena_slice(s->stream.arena, name), arena_slice(s->stream.arena, value));
}

/* Counted as it is decoded: a small block may stand for a large list. */
static bool within_limits(struct http2_stream *s, struct slice name, struct slice value)
{
	const struct codec_settings *settings = settings_of(s);

	s->block_bytes += (uint32_t)(name.len + value.len) + HTTP2_FIELD_OVERHEAD;
	if (s->block_bytes > settings->head_bytes_max)
		http2_refuse(s, &headers_too_large);
	if (!slice_eq(name, SLICE("cookie")) && ++s->field_count > settings->header_count_max)
		http2_refuse(s, &too_many_headers);
	return s->refusal == NULL;
}

bool http2_add_field(struct http2_stream *s, struct slice name, struct slice value)
{
	bool pseudo = name.len > 0 && name.at[0] == ':';

	value = slice_trim(value);
	if (!within_limits(s, name, value)) {	/* read on only for what the log says of it */
		if (pseudo && !s->head_told)
			role_of(s)->add_pseudo(s, name, value);
		return s->block_bytes <= 2 * settings_of(s)->head_bytes_max;
	}
	if (s->fault != HTTP2_FINE)
		return true;
	if ((!pseudo && !name_is_valid(name)) || !chars_are(value, CHAR_VALUE))
		http2_found(s, HTTP2_SESSION_FAULT);
	else if (s->head_told)
		add_trailer(s, name, value);
	else if (pseudo)
		role_of(s)->add_pseudo(s, name, value);
	else {
		s->regular_seen = true;
		role_of(s)->add_regular(s, name, value);
	}
	return true;
}

/* h->fault is what the other streams are told. */
void http2_break_off(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);

	if (s->fault == HTTP2_SESSION_FAULT) {
		h->fault = violation;
		http2_trip(h, HTTP2_LIMIT_http2_protocol_errors);
	}
	s->input_ended = true;
	http2_reset(s, NGHTTP2_PROTOCOL_ERROR, RESET_PROTOCOL_ERROR,
		    s->fault == HTTP2_FINE && s->refusal != NULL ? s->refusal->details : violation);
}

void http2_end_head(struct http2_stream *s, bool end)
{
	if (!s->head_told)
		role_of(s)->end_head(s, end);
	else if (!end || s->fault != HTTP2_FINE || s->refusal != NULL)
		http2_break_off(s);
	else if (s->trailers->count == 0)
		s->trailers = NULL;
}
