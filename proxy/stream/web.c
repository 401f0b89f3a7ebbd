/* SPDX-License-Identifier: Apache-2.0
 *
 * web.c - a stream of gRPC-Web (spec/http.md 29). It puts a face between the stream and its client: what
 * the stream sends there is gRPC and leaves as gRPC-Web, and a body in base64 comes in as bytes. The rest
 * of the stream sees a codec like any other.
 *
 * In base64 a piece is converted into a buffer of its own and counts as taken when all that was made of it
 * is; until then the same bytes are offered again, as everywhere (proxy/http/codec.h). */
#include "proxy/http/grpc.h"
#include "proxy/http/grpc_web.h"
#include "proxy/stream/stream.h"
#include "proxy/stream/stream_priv.h"

#define FLOW_BYTES	4096u

/* One direction in base64. */
struct flow {
	char *bytes;			/* in the stream's arena; NULL: not in base64 */
	size_t from, to;		/* made, and not taken yet */
	size_t source;			/* how many of the bytes that are offered it was made of */
};

struct stream_web {
	struct codec codec;		/* whose table is the face's */
	struct codec_stream face;	/* the stream's in place of the client's */
	struct codec_stream *client;	/* borrowed, as the stream borrows its `down` */
	struct stream *stream;
	struct grpc_web how;
	struct grpc_web_decoder decoder;
	struct grpc_web_encoder encoder;
	struct flow in, out;
	struct message *failure;	/* no gRPC: the head is kept back until its body is known; or NULL */
	char *text;			/* of that body, the beginning */
	size_t text_len;
};

static struct stream_web *web_of(struct codec_stream *face)
{
	return container_of(face, struct stream_web, face);
}

/* Hands over what was made before more is made. Returns how much of `offered` is done with. */
static size_t run_flow(struct stream_web *w, struct flow *f, struct slice offered,
		       size_t (*make)(struct stream_web *w, struct slice from, char *to, size_t *used),
		       size_t (*give)(struct stream_web *w, struct slice made))
{
	size_t done = 0;

	for (;;) {
		size_t rest = offered.len - done;

		if (f->from < f->to)
			f->from += give(w, slice_make(f->bytes + f->from, f->to - f->from));
		if (f->from < f->to)
			break;
		done += f->source < rest ? f->source : rest;
		f->source = f->from = f->to = 0;
		if (done == offered.len)
			break;
		f->to = make(w, slice_from(offered, done), f->bytes, &f->source);
		if (f->to == 0 && f->source == 0)
			break;
	}
	return done;
}

/* ---- the response ---- */

static void send_failure(struct stream_web *w)
{
	struct stream *s = w->stream;
	struct codec_stream *client = w->client;

	grpc_web_translate_failure(w->failure, &w->how, slice_make(w->text, w->text_len));
	w->client = NULL;
	s->x.bytes_sent = 0;
	codec_send_head(client, w->failure, true);
}

static void face_send_head(struct codec_stream *face, const struct message *m, bool end)
{
	struct stream_web *w = web_of(face);
	struct codec_stream *client = w->client;
	struct message *head;

	if (m->status < 200) {
		codec_send_head(client, m, false);
		return;
	}
	head = message_copy(m, face->arena);
	w->stream->x.response = head;
	if (!grpc_web_is_grpc(head, end)) {
		w->failure = head;
		if (end)
			send_failure(w);
		return;
	}
	grpc_web_translate_response(head, &w->how, end);
	if (end)
		w->client = NULL;
	codec_send_head(client, head, end);
}

static size_t make_text(struct stream_web *w, struct slice from, char *to, size_t *used)
{
	return grpc_web_encode(&w->encoder, from, to, FLOW_BYTES, used);
}

static size_t give_text(struct stream_web *w, struct slice made)
{
	size_t taken = codec_send_data(w->client, made);

	w->stream->x.bytes_sent += taken;
	return taken;
}

static void keep_text(struct stream_web *w, struct slice bytes)
{
	if (w->text == NULL)
		w->text = arena_alloc(w->face.arena, GRPC_MESSAGE_TEXT_MAX);
	bytes = slice_first(bytes, GRPC_MESSAGE_TEXT_MAX - w->text_len);
	memcpy(w->text + w->text_len, bytes.at, bytes.len);
	w->text_len += bytes.len;
}

static size_t face_send_data(struct codec_stream *face, struct slice bytes)
{
	struct stream_web *w = web_of(face);
	size_t done;

	if (w->failure != NULL) {
		keep_text(w, bytes);
		return bytes.len;
	}
	if (!w->how.text_out)
		return codec_send_data(w->client, bytes);
	done = run_flow(w, &w->out, bytes, make_text, give_text);
	w->stream->x.bytes_sent -= done;	/* the stream will add it; what counts is what was made */
	return done;
}

/* Trailers went before, as a frame (stream_web_end). */
static void face_send_end(struct codec_stream *face, const struct headers *trailers)
{
	struct stream_web *w = web_of(face);
	struct codec_stream *client = w->client;

	(void)trailers;
	if (w->failure != NULL) {
		send_failure(w);
		return;
	}
	w->client = NULL;
	codec_send_end(client, NULL);
}

static void face_resume(struct codec_stream *face)
{
	codec_resume(web_of(face)->client);
}

static void face_reset(struct codec_stream *face, enum reset_reason why)
{
	struct stream_web *w = web_of(face);
	struct codec_stream *client = w->client;

	w->client = NULL;
	codec_reset(client, why);
}

/* What is asked of a stream; the connection's own codec answers for the rest. */
static const struct codec_ops face_ops = {
	.name = "gRPC-Web",
	.send_head = face_send_head,
	.send_data = face_send_data,
	.send_end = face_send_end,
	.resume = face_resume,
	.reset = face_reset,
};

void stream_web_end(struct stream *s, const struct headers *trailers)
{
	struct stream_web *w = s->web;
	struct codec_stream *down = s->down;

	if (w->failure == NULL && w->how.text_out && !grpc_web_is_between_frames(&w->encoder)) {
		/* Trailers behind half a frame would be read as its other half. */
		s->x.response_flags |= RESPONSE_FLAG_UPE;
		stream_details(s, "grpc_frame_incomplete");
		s->down = NULL;
		if (down != NULL)
			codec_reset(down, RESET_PROTOCOL_ERROR);
		stream_done(s);
		return;
	}
	stream_enter(s, STREAM_ANSWER);
	if (w->failure == NULL)
		s->answer_rest = grpc_web_trailers(trailers, s->arena);
	if (down == NULL)
		stream_done(s);
	else
		stream_answer_on(s);
}

/* ---- the request ---- */

static size_t make_bytes(struct stream_web *w, struct slice from, char *to, size_t *used)
{
	return grpc_web_decode(&w->decoder, from, to, FLOW_BYTES, used);
}

static size_t give_bytes(struct stream_web *w, struct slice made)
{
	size_t taken = stream_events.on_data(w->stream, made);

	w->stream->x.bytes_received -= taken;
	return taken;
}

static void refuse_base64(struct stream *s)
{
	struct codec_stream *down = s->down;

	count_up(&s->server->counters.protocol_errors, 1);
	if (!s->response_started) {
		stream_answer(s, &(struct local_reply){
			.status = 400, .body = SLICE("Bad gRPC-web request, invalid base64 data."),
			.details = "grpc_base_64_decode_failed" });
		return;
	}
	s->x.response_flags |= RESPONSE_FLAG_DPE;
	stream_details(s, "grpc_base_64_decode_failed");
	s->down = NULL;
	if (down != NULL)
		codec_reset(down, RESET_PROTOCOL_ERROR);
	stream_done(s);
}

static size_t on_text_data(void *owner, struct slice bytes)
{
	struct stream_web *w = owner;
	size_t done;

	if (w->decoder.failed)
		return bytes.len;
	done = run_flow(w, &w->in, bytes, make_bytes, give_bytes);
	w->stream->x.bytes_received += done;
	if (!w->decoder.failed || w->in.from < w->in.to)
		return done;
	if (w->stream->state != STREAM_ANSWER && w->stream->state != STREAM_DONE)
		refuse_base64(w->stream);
	return bytes.len;
}

static void on_text_end(void *owner, struct headers *trailers)
{
	struct stream_web *w = owner;
	struct stream *s = w->stream;

	if (grpc_web_is_complete(&w->decoder) || s->state == STREAM_ANSWER || s->state == STREAM_DONE)
		stream_events.on_end(s, trailers);
	else
		refuse_base64(s);
}

static void on_text_refused(void *owner, const struct refusal *why, struct message *partial)
{
	stream_events.on_refused(((struct stream_web *)owner)->stream, why, partial);
}

static void on_text_reset(void *owner, enum reset_reason why, const char *detail)
{
	stream_events.on_reset(((struct stream_web *)owner)->stream, why, detail);
}

static void on_text_writable(void *owner)
{
	stream_events.on_writable(((struct stream_web *)owner)->stream);
}

/* Of a client that sends base64. */
static const struct stream_events text_events = {
	.on_data = on_text_data,
	.on_end = on_text_end,
	.on_refused = on_text_refused,
	.on_reset = on_text_reset,
	.on_writable = on_text_writable,
};

void stream_web_begin(struct stream *s)
{
	struct grpc_web how;
	struct stream_web *w;

	if (!grpc_web_of(s->request, &how))
		return;
	w = arena_new(s->arena, struct stream_web);
	w->codec = (struct codec){ .ops = &face_ops, .is_server = true };
	w->face = (struct codec_stream){ .codec = &w->codec, .arena = s->arena,
					 .started_us = s->down->started_us };
	w->client = s->down;
	w->stream = s;
	w->how = how;
	if (how.text_in) {
		w->in.bytes = arena_alloc(s->arena, FLOW_BYTES);
		s->down->owner = w;
		s->down->events = &text_events;
	}
	if (how.text_out)
		w->out.bytes = arena_alloc(s->arena, FLOW_BYTES);
	s->down = &w->face;
	s->web = w;
	count_up(&s->server->counters.grpc_web, 1);
}

void stream_web_translate(struct stream *s)
{
	grpc_web_translate_request(s->request, !s->request_ended);
}
