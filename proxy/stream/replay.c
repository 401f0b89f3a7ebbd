/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c - the body of a request that another attempt may have to send again. It is copied as the attempt
 * in progress takes it, so that nothing waits for it; a body that grows beyond its limits is let go, and the
 * attempt goes on as the last one. Between attempts the client's bytes wait where they are: nothing is
 * taken from it that no attempt has taken (spec/virtual-service.md 7.8, spec/destination-rule.md 15.5). */
#include "proxy/stream/stream_priv.h"

static const struct proxy_limits *limits_of(const struct stream *s)
{
	return &s->use->snapshot->settings->limits;
}

/* The worker's share of what all may hold. */
static uint64_t memory_max(const struct stream *s)
{
	return (uint64_t)limits_of(s)->replay_memory_bytes / s->server->worker_count;
}

static void account(struct stream *s, size_t before)
{
	count_up(&s->server->counters.replay_bytes, kept_memory(&s->replay.body, 0) - before);
}

void replay_free(struct stream *s)
{
	size_t before;

	s->replay.keeps = s->replay.running = false;
	if (s->replay.body.blocks == 0)
		return;
	before = kept_memory(&s->replay.body, 0);
	kept_free(s->server->worker, &s->replay.body);
	s->replay.lost = true;
	account(s, before);
}

void replay_no_more(struct stream *s)
{
	s->replay.keeps = false;
	s->replay.last = true;
	if (!s->replay.running)		/* else the attempt in progress still sends it: then it goes */
		replay_free(s);
}

static void lose(struct stream *s, atomic_ulong *counter)
{
	count_up(counter, 1);
	replay_free(s);
	s->replay.lost = true;
}

void replay_begin(struct stream *s, bool wanted)
{
	const struct message *m = s->request;

	if (s->replay.begun || s->replay.keeps || s->request_ended || m->upgrade || !wanted)
		return;
	/* It will not fit: not one byte of it is copied. */
	if (m->framing == FRAMING_LENGTH && m->content_length > (uint64_t)limits_of(s)->replay_bytes)
		count_up(&s->server->counters.replay_too_large, 1);
	else
		s->replay.keeps = true;
}

void replay_keep(struct stream *s, struct slice bytes)
{
	struct replay *r = &s->replay;
	size_t before, after;

	if (bytes.len == 0)
		return;
	r->begun = true;
	r->lost = r->lost || !r->keeps;
	if (r->lost)
		return;
	before = kept_memory(&r->body, 0);
	after = kept_memory(&r->body, bytes.len);
	if (r->body.bytes + bytes.len > (uint64_t)limits_of(s)->replay_bytes) {
		lose(s, &s->server->counters.replay_too_large);
	} else if (atomic_load_explicit(&s->server->counters.replay_bytes, memory_order_relaxed) +
		   (after - before) > memory_max(s)) {
		lose(s, &s->server->counters.replay_no_memory);
	} else {
		kept_add(s->server->worker, &r->body, bytes);
		account(s, before);
	}
}

bool replay_is_possible(const struct stream *s)
{
	return !s->replay.lost;
}

bool replay_has_more(const struct stream *s)
{
	return s->replay.body.bytes > 0 || s->replay.trailers != NULL;
}

void replay_start(struct stream *s)
{
	s->replay.reader = (struct kept_reader){ 0 };
	s->replay.running = s->replay.body.bytes > 0;
}

bool replay_run(struct stream *s)
{
	struct slice piece;
	size_t taken;

	while ((piece = kept_next(&s->replay.body, &s->replay.reader)).len > 0) {
		taken = codec_send_data(s->up, piece);
		if (s->up == NULL)	/* sending has ended the attempt */
			return false;
		kept_pass(&s->replay.reader, taken);
		if (taken < piece.len)
			return false;
	}
	s->replay.running = false;
	if (!s->replay.keeps && s->replay.last)
		replay_free(s);
	return true;
}
