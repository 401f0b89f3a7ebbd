/* SPDX-License-Identifier: Apache-2.0
 *
 * check_body.c - the beginning of a request's body, for a provider that decides by it
 * (spec/authorization-policy.md 10.5). An agent that needs it says how much; so much is taken from the
 * client and told with the next question. To the rest of the stream the body begins when it is passed on
 * from here: attempts, mirrors and retries know nothing of it. */
#include "proxy/stream/judging.h"
#include "proxy/stream/stream_priv.h"

bool check_body_holds(const struct stream *s)
{
	return s->check_body.waits || s->check_body.passed < s->check_body.have;
}

static void collected(struct stream *s, bool partial)
{
	s->check_body.waits = false;
	s->check_body.partial = partial;
	stream_authorize(s);
}

/* The client waits to be told that it may go on; the upstream's own word comes too late for it. */
static void send_continue(struct stream *s)
{
	struct message m = { .version = HTTP_1_1, .status = 100 };

	if (!s->expects_continue || s->down == NULL)
		return;
	s->expects_continue = false;
	headers_init(&m.headers, s->arena, 0);
	count_up(&s->server->counters.responses_1xx, 1);
	codec_send_head(s->down, &m, false);
}

void check_body_await(struct stream *s, uint32_t bytes)
{
	struct check_body *b = &s->check_body;
	char *all = arena_alloc(s->arena, bytes);

	if (b->have > 0)
		memcpy(all, b->bytes, b->have);
	b->bytes = all;
	b->wanted = bytes;
	b->waits = true;
	send_continue(s);
	if (s->down != NULL && s->state == STREAM_AUTHORIZE)
		codec_resume(s->down);
}

size_t check_body_take(struct stream *s, struct slice bytes)
{
	struct check_body *b = &s->check_body;
	struct slice piece = slice_first(bytes, b->wanted - b->have);

	memcpy(b->bytes + b->have, piece.at, piece.len);
	b->have += (uint32_t)piece.len;
	stream_touch(s);
	if (piece.len < bytes.len ||
	    (b->have == b->wanted && s->request->framing == FRAMING_LENGTH && s->request->content_length > b->wanted))
		collected(s, true);
	return piece.len;
}

void check_body_end(struct stream *s, struct headers *trailers)
{
	s->check_body.ended = true;
	s->check_body.trailers = trailers;
	if (s->check_body.waits)
		collected(s, false);
}

void check_body_describe(const struct stream *s, struct judging *j)
{
	const struct check_body *b = &s->check_body;

	j->has_body = !s->request_ended && !s->request->upgrade;
	if (b->bytes == NULL)
		return;
	j->body = slice_make(b->bytes, b->have);
	j->body_partial = b->partial;
}

void check_body_resume(struct stream *s)
{
	struct check_body *b = &s->check_body;

	while (b->passed < b->have) {
		size_t taken = stream_pass_data(s, slice_make(b->bytes + b->passed, b->have - b->passed));

		if (s->state == STREAM_ANSWER || s->state == STREAM_DONE || taken == 0)
			return;
		b->passed += (uint32_t)taken;
	}
	if (b->ended && !s->request_ended)
		stream_pass_end(s, b->trailers);
	else if (!b->ended && s->down != NULL)
		codec_resume(s->down);
}
