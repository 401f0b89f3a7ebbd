/* SPDX-License-Identifier: Apache-2.0
 * Header blocks of HTTP/2 become requests, in the arena of the stream's owner: pseudo-header fields,
 * connection-specific fields, authority, cookies, framing (spec/http.md 5, 9, 18). */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http2_priv.h"

enum pseudo { PSEUDO_METHOD = 1, PSEUDO_SCHEME = 2, PSEUDO_PATH = 4, PSEUDO_AUTHORITY = 8, PSEUDO_PROTOCOL = 16 };

static const struct refusal uri_too_long = { 414, "URI Too Long", "http2.uri_too_long" };
static const struct refusal invalid_scheme = { 400, "Bad Request", "http2.invalid_scheme" };
static const struct refusal authority_mismatch = { 400, "Bad Request", "http2.host_differs_from_authority" };

static const struct codec_settings *settings_of(const struct http2_stream *s)
{
	return s->stream.codec->settings;
}

void http2_begin_request(struct http2_stream *s)
{
	s->message = arena_new(s->stream.arena, struct message);
	s->message->version = HTTP_2;
	s->message->scheme = settings_of(s)->tls ? SLICE("https") : SLICE("http");
	headers_init(&s->message->headers, s->stream.arena, FIELDS_SPARE);
}

/* ---- fields ---- */

/* The field that a pseudo-header fills, or NULL. */
static struct slice *pseudo_place(struct http2_stream *s, struct slice name, enum pseudo *which)
{
	struct message *m = s->message;

	if (slice_eq(name, SLICE(":method"))) {
		*which = PSEUDO_METHOD;
		return &m->method;
	}
	if (slice_eq(name, SLICE(":path"))) {
		*which = PSEUDO_PATH;
		return &m->path;
	}
	if (slice_eq(name, SLICE(":authority"))) {
		*which = PSEUDO_AUTHORITY;
		return &m->authority;
	}
	if (slice_eq(name, SLICE(":protocol"))) {
		*which = PSEUDO_PROTOCOL;
		return &s->protocol;
	}
	return NULL;
}

/* The scheme is the transport's, whatever the client says, as long as it says it legally. */
static void take_scheme(struct http2_stream *s, struct slice value)
{
	bool valid = value.len > 0 && value.at[0] >= 'A' && char_is(value.at[0], CHAR_TOKEN);

	for (size_t i = 0; i < value.len; i++)
		valid &= (char_is(value.at[i], CHAR_TOKEN) && char_is(value.at[i], CHAR_UNRESERVED)) ||
			 value.at[i] == '+';
	if (!valid)
		http2_refuse(s, &invalid_scheme);
}

void http2_add_request_pseudo(struct http2_stream *s, struct slice name, struct slice value)
{
	enum pseudo which = PSEUDO_SCHEME;
	bool scheme = slice_eq(name, SLICE(":scheme"));
	struct slice *place = scheme ? NULL : pseudo_place(s, name, &which);

	if ((place == NULL && !scheme) || s->regular_seen || (s->pseudo_seen & which)) {
		http2_found(s, HTTP2_SESSION_FAULT);
		return;
	}
	s->pseudo_seen |= which;
	if (scheme)
		take_scheme(s, value);
	else
		*place = arena_slice(s->stream.arena, value);
}

/* Crumbs make one line again (RFC 9113 8.2.3). */
static void add_cookie(struct http2_stream *s, struct slice value)
{
	char *joined;
	size_t len = s->cookies.len;

	if (s->cookies.at == NULL) {
		s->cookies = arena_slice(s->stream.arena, value);
		return;
	}
	joined = arena_alloc(s->stream.arena, len + 2 + value.len);
	memcpy(joined, s->cookies.at, len);
	memcpy(joined + len, "; ", 2);
	memcpy(joined + len + 2, value.at, value.len);
	s->cookies = slice_make(joined, len + 2 + value.len);
}

void http2_add_request_field(struct http2_stream *s, struct slice name, struct slice value)
{
	enum header_id id = header_id_of(name);
	struct headers *h = &s->message->headers;

	switch (id) {
	case HEADER_CONNECTION:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		http2_found(s, HTTP2_SESSION_FAULT);
		return;
	case HEADER_HTTP2_SETTINGS:
		return;
	case HEADER_TE:
		if (!slice_eq_nocase(value, SLICE("trailers")))
			http2_found(s, HTTP2_SESSION_FAULT);
		else if (headers_get(h, id) == NULL)
			headers_add_id(h, id, SLICE("trailers"));
		return;
	case HEADER_HOST:
		if (s->host.at != NULL)
			http2_refuse(s, &authority_mismatch);
		s->host = arena_slice(s->stream.arena, value);
		return;
	case HEADER_COOKIE:
		add_cookie(s, value);
		return;
	case HEADER_CONTENT_LENGTH:
		http2_take_length(s, value);
		return;
	case HEADER_AUTHORIZATION:
		if (headers_get(h, id) != NULL)
			http2_refuse(s, fault_refusal(FAULT_SYNTAX));
		break;
	default:
		break;
	}
	if (settings_of(s)->underscores != UNDERSCORES_ALLOW && slice_find(name, '_') >= 0) {
		if (settings_of(s)->underscores == UNDERSCORES_REJECT)
			http2_found(s, HTTP2_STREAM_FAULT);
		return;
	}
	headers_append(h, id, id != HEADER_OTHER ? header_name(id) : arena_slice(s->stream.arena, name),
		       arena_slice(s->stream.arena, value));
}

/* ---- the head as a whole ---- */

static void check_path(struct http2_stream *s)
{
	struct message *m = s->message;
	ptrdiff_t fragment = slice_find(m->path, '#');
	uint32_t bytes_max = settings_of(s)->uri_bytes_max;

	if (fragment >= 0)
		m->path = slice_first(m->path, (size_t)fragment);
	if (m->path.len == 0 || !chars_are(m->path, CHAR_TARGET) ||
	    (m->path.at[0] != '/' && !(slice_eq(m->path, SLICE("*")) && slice_eq(m->method, SLICE("OPTIONS")))))
		http2_found(s, HTTP2_STREAM_FAULT);
	else if (bytes_max > 0 && m->path.len > bytes_max)
		http2_refuse(s, &uri_too_long);
}

/* Shown as the upgrade that it would be on HTTP/1.1 (codec.h). */
static void take_protocol(struct http2_stream *s)
{
	const uint32_t needed = PSEUDO_METHOD | PSEUDO_SCHEME | PSEUDO_PATH | PSEUDO_AUTHORITY;
	struct message *m = s->message;

	if ((s->pseudo_seen & needed) != needed || !slice_eq(m->method, SLICE("CONNECT")) ||
	    !is_token(s->protocol) || m->framing == FRAMING_LENGTH) {
		http2_found(s, HTTP2_STREAM_FAULT);
		return;
	}
	m->method = SLICE("GET");
	m->upgrade = s->held_back = true;
	headers_add_id(&m->headers, HEADER_UPGRADE, s->protocol);
	check_path(s);
}

static void check_pseudo(struct http2_stream *s)
{
	const uint32_t needed = PSEUDO_METHOD | PSEUDO_SCHEME | PSEUDO_PATH;
	struct message *m = s->message;

	if (s->pseudo_seen & PSEUDO_PROTOCOL) {
		take_protocol(s);
		return;
	}
	if ((s->pseudo_seen & PSEUDO_METHOD) && slice_eq(m->method, SLICE("CONNECT"))) {
		if (s->pseudo_seen & (PSEUDO_SCHEME | PSEUDO_PATH))
			http2_found(s, HTTP2_SESSION_FAULT);
		m->path = SLICE("");
		return;
	}
	if ((s->pseudo_seen & needed) != needed || !is_token(m->method) || m->method.len > METHOD_BYTES_MAX) {
		http2_found(s, HTTP2_SESSION_FAULT);
		return;
	}
	check_path(s);
}

static void check_authority(struct http2_stream *s)
{
	struct message *m = s->message;

	if (m->authority.at == NULL) {
		m->authority = s->host;
		if (s->host.at == NULL)
			http2_refuse(s, fault_refusal(FAULT_NO_HOST));
	} else if (s->host.at != NULL && !slice_eq_nocase(s->host, m->authority)) {
		http2_refuse(s, &authority_mismatch);
	}
	if (m->authority.at != NULL &&
	    !authority_is_valid(m->authority, slice_eq(m->method, SLICE("CONNECT"))))
		http2_refuse(s, fault_refusal(FAULT_AUTHORITY));
}

/* What no length was announced for ends with its stream: towards HTTP/1 that is chunked. */
static void check_framing(struct http2_stream *s, bool end)
{
	struct message *m = s->message;
	bool body = !end && !(m->framing == FRAMING_LENGTH && m->content_length == 0);
	enum fault fault;

	if (m->framing == FRAMING_NONE && !end && !m->upgrade)
		m->framing = FRAMING_CHUNKED;
	if ((end && m->framing == FRAMING_LENGTH && m->content_length > 0) ||
	    (body && slice_eq(m->method, SLICE("TRACE"))))
		http2_found(s, HTTP2_STREAM_FAULT);
	fault = request_expect(m);
	if (fault != FAULT_NONE)
		http2_refuse(s, fault_refusal(fault));
}

static void check_request(struct http2_stream *s, bool end)
{
	struct message *m = s->message;

	if (s->cookies.at != NULL)
		headers_add_id(&m->headers, HEADER_COOKIE, s->cookies);
	m->head_bytes = s->block_bytes;
	if (s->refusal == NULL) {
		check_pseudo(s);
		check_authority(s);
		check_framing(s, end);
	}
}

void http2_end_request(struct http2_stream *s, bool end)
{
	const struct refusal *why;
	struct message *m = s->message;

	check_request(s, end);
	if (s->fault != HTTP2_FINE) {
		http2_break_off(s);
		return;
	}
	if (end)
		s->input_ended = s->end_told = true;
	if (m->upgrade)		/* its end is that of what would follow */
		end = s->end_told = false;
	s->head_told = true;
	if (s->refusal == NULL) {
		s->stream.events->on_head(s->stream.owner, m, end);
		return;
	}
	why = s->refusal;
	s->refusal = NULL;
	m->framing = FRAMING_NONE;
	s->stream.events->on_refused(s->stream.owner, why, m);
}
