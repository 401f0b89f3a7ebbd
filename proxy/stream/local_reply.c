/* SPDX-License-Identifier: Apache-2.0
 *
 * local_reply.c - responses of our own, byte for byte as spec/http.md 27 and 28 say. */
#include <stdio.h>

#include "proxy/stream/stream_priv.h"

static bool is_grpc(const struct message *request)
{
	struct slice type = request != NULL ? headers_value(&request->headers, HEADER_CONTENT_TYPE) : NO_SLICE;

	return slice_eq(type, SLICE("application/grpc")) || slice_starts(type, SLICE("application/grpc+"));
}

/* spec/http.md 28 */
static unsigned grpc_status(unsigned http_status)
{
	switch (http_status) {
	case 400:	return 13;
	case 401:	return 16;
	case 403:	return 7;
	case 404:	return 12;
	case 429:
	case 502:
	case 503:
	case 504:	return 14;
	default:	return 2;
	}
}

/* Bytes outside 0x20-0x7d and `%` as %XX. */
static struct slice grpc_message(struct slice text, struct arena *a)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, 3 * text.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c >= 0x20 && c <= 0x7d && c != '%') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return slice_make(out, n);
}

static void add_fields(struct stream *s, struct message *m, const struct local_reply *r)
{
	struct slice server = s->use->snapshot->settings->http.server_name;

	if (r->www_authenticate.at != NULL)
		headers_add_id(&m->headers, HEADER_WWW_AUTHENTICATE, r->www_authenticate);
	if (r->location.at != NULL)
		headers_add_id(&m->headers, HEADER_LOCATION, r->location);
	if (r->overloaded)
		headers_add(&m->headers, SLICE("x-envoy-overloaded"), SLICE("true"));
	headers_add_id(&m->headers, HEADER_DATE, worker_date(s->server->worker));
	headers_add_id(&m->headers, HEADER_SERVER, server);
}

/* Trailers-only: 200, grpc-status, grpc-message, no body. */
static void make_grpc(struct stream *s, struct message *m, const struct local_reply *r)
{
	m->status = 200;
	headers_add_id(&m->headers, HEADER_CONTENT_TYPE, SLICE("application/grpc"));
	headers_add_id(&m->headers, HEADER_GRPC_STATUS,
		       slice_of(arena_printf(s->arena, "%u", grpc_status(r->status))));
	if (r->body.len > 0)
		headers_add_id(&m->headers, HEADER_GRPC_MESSAGE, grpc_message(r->body, s->arena));
	m->framing = FRAMING_NONE;
}

static void make_plain(struct message *m, const struct local_reply *r)
{
	bool bodiless = r->status < 200 || r->status == 204 || r->status == 304;

	m->status = r->status;
	m->framing = bodiless ? FRAMING_NONE : FRAMING_LENGTH;
	m->content_length = bodiless ? 0 : r->body.len;
	if (r->body.len > 0 && !bodiless)
		headers_add_id(&m->headers, HEADER_CONTENT_TYPE,
			       r->content_type.at != NULL ? r->content_type : SLICE("text/plain"));
}

void stream_answer_on(struct stream *s)
{
	size_t taken;

	if (s->down == NULL)
		return;
	if (s->answer_rest.len > 0) {
		taken = codec_send_data(s->down, s->answer_rest);
		s->answer_rest = slice_from(s->answer_rest, taken);
		s->x.bytes_sent += taken;
	}
	if (s->answer_rest.len == 0) {
		struct codec_stream *down = s->down;

		s->down = NULL;
		codec_send_end(down, NULL);
		stream_done(s);
	}
}

/* HEAD, 204, 304 and gRPC: the head says everything. */
static bool has_body(const struct stream *s, const struct message *m)
{
	return m->framing == FRAMING_LENGTH && m->content_length > 0 &&
	       (s->request == NULL || !slice_eq(s->request->method, SLICE("HEAD")));
}

void stream_answer(struct stream *s, const struct local_reply *r)
{
	struct message *m = &s->answer;
	struct codec_stream *down = s->down;

	attempt_cancel(s);
	authz_check_cancel(&s->check);
	timer_cancel(s->server->worker, &s->timeout);
	stream_enter(s, STREAM_ANSWER);
	s->x.response_flags |= r->flags;
	stream_details(s, r->details);
	if (down == NULL) {
		stream_done(s);
		return;
	}
	/* What follows a refused upgrade may be the other protocol's: nothing more is read as HTTP. */
	*m = (struct message){ .version = HTTP_1_1, .close = s->request != NULL && s->request->upgrade };
	headers_init(&m->headers, s->arena, 16);
	if (is_grpc(s->request))
		make_grpc(s, m, r);
	else
		make_plain(m, r);
	add_fields(s, m, r);
	stream_set_verdict_headers(s, m);
	if (!r->plain && s->route != NULL)
		route_apply_response(s->route, s->target, m, &s->x, s->arena);
	s->x.response_code = m->status;
	s->x.local_reply_body = r->body;
	s->x.response = m;
	s->response_started = true;
	s->x.first_byte_sent_us = worker_now_us(s->server->worker);
	if (!has_body(s, m)) {
		s->down = NULL;
		codec_send_head(down, m, true);
		stream_done(s);
		return;
	}
	codec_send_head(down, m, false);
	s->answer_rest = r->body;
	stream_answer_on(s);
}

void stream_answer_reset(struct stream *s, enum reset_reason why, const char *detail)
{
	static const char before[] = "upstream connect error or disconnect/reset before headers. ";
	const char *reason = reset_reason_text(why);
	char *body, *details;

	count_up(&s->server->counters.upstream_failures, 1);
	body = arena_printf(s->arena, "%s%s: %s%s%s", before,
			    s->attempts > 1 ? "retried and the latest reset reason" : "reset reason", reason,
			    detail != NULL ? ", transport failure reason: " : "", detail != NULL ? detail : "");
	details = arena_printf(s->arena, "upstream_reset_before_response_started{%s%s%s}", reason,
			       detail != NULL ? "|" : "", detail != NULL ? detail : "");
	for (char *c = details; *c != '\0'; c++)
		if (*c == ' ')
			*c = '_';
	if (detail != NULL)
		s->x.transport_failure_reason = slice_of(arena_printf(s->arena, "%s", detail));
	stream_answer(s, &(struct local_reply){
		.status = why == RESET_PROTOCOL_ERROR ? 502 : 503, .body = slice_of(body), .details = details,
		.flags = response_flag_of(reset_reason_flag(why)) | (s->attempts > 1 ? RESPONSE_FLAG_URX : 0),
		.overloaded = why == RESET_OVERFLOW });
}
