/* SPDX-License-Identifier: Apache-2.0
 *
 * local_reply.c - responses of our own, byte for byte as spec/http.md 27 and 28 say. */
#include <stdio.h>

#include "proxy/http/grpc.h"
#include "proxy/stream/judging.h"
#include "proxy/stream/stream_priv.h"

void stream_answer_on(struct stream *s)
{
	size_t taken;

	if (s->down == NULL)
		return;
	if (s->answer_rest.len > 0) {
		taken = codec_send_data(s->down, s->answer_rest);
		if (s->state == STREAM_DONE)	/* what could be written ended the connection */
			return;
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
	stream_stop_deadlines(s);
	stream_enter(s, STREAM_ANSWER);
	s->x.response_flags |= r->flags;
	stream_details(s, r->details);
	if (down == NULL) {
		stream_done(s);
		return;
	}
	local_reply_head(r, s->web == NULL && grpc_is_request(s->request), s->use->snapshot->settings,
			 worker_date(s->server->worker), m, s->arena);
	/* What follows a refused upgrade may be the other protocol's: nothing more is read as HTTP. */
	m->close = s->request != NULL && s->request->upgrade && s->request->version != HTTP_2;
	if (s->web != NULL && r->grpc_status != 0)
		grpc_set_status(m, r->grpc_status, NO_SLICE);
	judging_set_headers(s->answer_headers_set, m, s->arena);
	/* The route's formats may ask for them. */
	s->x.response_code = m->status;
	s->x.local_reply_body = r->body;
	s->x.response = m;
	if (!r->plain && s->route != NULL) {
		route_apply_response(s->route, s->target, m, &s->x, s->arena);
		stream_cors_apply(s, m, r);
	}
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
		.flags = response_flag_of(reset_reason_flag(why)),
		.overloaded = why == RESET_OVERFLOW });
}
