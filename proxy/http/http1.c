/* SPDX-License-Identifier: Apache-2.0
 * The HTTP/1.1 codec, both roles: which part of a message the input is in, what the owner hears of
 * it, and whether the connection lives on (spec/http.md 6, 10-13). */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http1_priv.h"
#include "proxy/net/worker.h"
#include "sallyport/log.h"

/* Why a request was cut off; in the access log. */
static const char downstream_gone[] = "downstream_remote_disconnect";

static struct http1 *http1_from(struct codec *c)
{
	return (struct http1 *)c;
}

static struct buffer *input_of(struct http1 *h)
{
	return &h->codec.transport->in;
}

static void consume(struct http1 *h, size_t bytes)
{
	struct buffer *in = input_of(h);

	if (bytes > buffer_len(in))	/* an event closed the transport, which dropped its buffers */
		bytes = buffer_len(in);
	if (bytes > 0)
		buffer_consume(h->codec.transport->worker, in, bytes);
}

/* ---- how streams and connections end ---- */

static void close_connection(struct http1 *h, bool lingering)
{
	h->input = INPUT_DISCARD;
	h->withheld = h->backlogged = false;
	if (h->closing)
		return;
	h->closing = true;
	h->codec.events->on_close(h->codec.connection, lingering);
}

void http1_fail(struct http1 *h, enum reset_reason why, const char *detail)
{
	bool was_live = h->live;

	h->live = false;
	h->input = INPUT_DISCARD;
	if (was_live)
		h->stream.events->on_reset(h->stream.owner, why, detail);
	close_connection(h, false);
}

static void become_idle(struct http1 *h)
{
	h->scan = (struct head_scan){ 0 };
	h->skipped_line = false;
	h->interim_count = 0;
	h->message = NULL;
	h->stream.started_us = 0;
	h->input = INPUT_HEAD;
	h->output = OUTPUT_HEAD;
	h->codec.events->on_idle(h->codec.connection);
}

/* Client: the last event was told; may another request follow on this connection? Bytes behind
 * the response are nobody's: the peer does not keep to the protocol. */
static void after_response(struct http1 *h)
{
	if (h->output == OUTPUT_DONE && !h->must_close && !h->draining && !h->peer_eof &&
	    !h->codec.transport->dead && buffer_len(input_of(h)) == 0)
		become_idle(h);
	else
		close_connection(h, false);
}

/* What the request, or the response, is wrong in. A server that has not begun its response still
 * owes one. */
static void refuse(struct http1 *h, enum fault fault)
{
	const struct refusal *why = fault_refusal(fault);

	if (!h->codec.is_server || h->output != OUTPUT_HEAD) {
		http1_fail(h, RESET_PROTOCOL_ERROR, why->details);
		return;
	}
	h->must_close = true;
	h->input = INPUT_DISCARD;
	h->withheld = false;
	h->stream.events->on_refused(h->stream.owner, why, h->message);
}

/* ---- bodies ---- */

void http1_tunnel_ended(struct http1 *h)
{
	if (!h->live || h->input != INPUT_DONE || h->output != OUTPUT_DONE)
		return;
	h->live = false;
	close_connection(h, true);
}

static void input_complete(struct http1 *h, struct headers *trailers)
{
	h->input = INPUT_DONE;
	if (h->tunnel) {
		h->stream.events->on_end(h->stream.owner, NULL);
		http1_tunnel_ended(h);
		return;
	}
	if (h->codec.is_server) {
		h->stream.events->on_end(h->stream.owner, trailers);
		return;
	}
	h->live = false;
	h->stream.events->on_end(h->stream.owner, trailers);
	after_response(h);
}

/* Offers the first `most` bytes of the input; how many were taken. */
static size_t offer(struct http1 *h, uint64_t most)
{
	struct slice bytes = buffer_slice(input_of(h));
	size_t taken;

	if (bytes.len > most)
		bytes.len = (size_t)most;
	h->withheld = true;	/* resume() inside the event takes it back */
	taken = h->stream.events->on_data(h->stream.owner, bytes);
	must(taken <= bytes.len);
	if (taken == bytes.len || !h->live)
		h->withheld = false;
	h->stream.bytes_in += taken;
	consume(h, taken);
	return taken;
}

static bool step_length(struct http1 *h)
{
	size_t taken;

	if (buffer_len(input_of(h)) == 0)
		return false;
	taken = offer(h, h->input_left);
	if (h->input != INPUT_LENGTH)
		return true;
	h->input_left -= taken;
	if (h->input_left == 0)
		input_complete(h, NULL);
	return true;
}

static bool step_raw(struct http1 *h)
{
	if (buffer_len(input_of(h)) == 0)
		return false;
	offer(h, UINT64_MAX);
	return true;
}

static bool step_chunked(struct http1 *h)
{
	enum chunk_result result;
	size_t used = 0, taken;

	if (buffer_len(input_of(h)) == 0)
		return false;
	result = chunk_scan_run(&h->chunk, buffer_slice(input_of(h)), &used);
	consume(h, used);
	switch (result) {
	case CHUNK_MORE:
		return false;
	case CHUNK_BAD:
		refuse(h, FAULT_SYNTAX);
		return true;
	case CHUNK_LAST:
		h->scan = (struct head_scan){ 0 };
		h->input = INPUT_TRAILERS;
		return true;
	case CHUNK_DATA:
		break;
	}
	if (buffer_len(input_of(h)) == 0)
		return false;
	taken = offer(h, h->chunk.left);
	if (h->input == INPUT_CHUNKED)
		chunk_took(&h->chunk, taken);
	return true;
}

static bool step_trailers(struct http1 *h)
{
	const struct codec_settings *settings = h->codec.settings;
	struct headers *trailers = NULL;
	struct slice in;
	uint32_t len;
	char *copy;

	if (buffer_len(input_of(h)) == 0)
		return false;
	in = buffer_slice(input_of(h));
	switch (head_scan_run(&h->scan, SCAN_TRAILERS, settings, in.at, in.len)) {
	case SCAN_MORE:
		return false;
	case SCAN_BAD:
		refuse(h, h->scan.fault);
		return true;
	case SCAN_DONE:
		break;
	}
	len = h->scan.pos;
	if (settings->keep_trailers && h->scan.field_count > 0) {
		copy = arena_alloc(h->stream.arena, len);
		memcpy(copy, in.at, len);
		trailers = fields_trailers(copy, copy + len - 2, h->scan.field_count, h->stream.arena);
	}
	consume(h, len);
	input_complete(h, trailers);
	return true;
}

/* Sets the input by the framing of `m`; true: nothing follows. */
static bool begin_body(struct http1 *h, const struct message *m)
{
	h->input = INPUT_DONE;
	switch (m->framing) {
	case FRAMING_NONE:
		return true;
	case FRAMING_LENGTH:
		if (m->content_length == 0)
			return true;
		h->input_left = m->content_length;
		h->input = INPUT_LENGTH;
		return false;
	case FRAMING_CHUNKED:
		h->chunk = (struct chunk_scan){ 0 };
		h->input = INPUT_CHUNKED;
		return false;
	case FRAMING_UNTIL_CLOSE:
		h->input = INPUT_RAW;
		h->must_close = true;
		return false;
	}
	return true;
}

/* The head, copied into the stream's arena and taken off the input. */
static char *take_head(struct http1 *h)
{
	uint32_t len = h->scan.pos;
	char *head = arena_alloc(h->stream.arena, len);

	memcpy(head, input_of(h)->base + input_of(h)->start, len);
	consume(h, len);
	return head;
}

/* ---- server: requests ---- */

static void open_stream(struct http1 *h)
{
	h->live = true;
	h->must_close = h->draining;
	h->stream.bytes_in = h->stream.bytes_out = 0;
	h->stream.owner = h->codec.events->on_open(h->codec.connection, &h->stream,
						   &h->stream.arena, &h->stream.events);
	h->message = arena_new(h->stream.arena, struct message);
	h->message->version = HTTP_1_1;
}

/* The head is wrong before its end: what was read of it goes to the log. */
static void refuse_partial(struct http1 *h)
{
	enum fault fault = h->scan.fault;

	open_stream(h);
	request_partial(h->message, &h->scan, take_head(h), h->codec.settings, h->stream.arena);
	refuse(h, fault);
}

static void open_request(struct http1 *h)
{
	struct message *m;
	bool persists, end;
	enum fault fault;

	open_stream(h);
	m = h->message;
	fault = request_build(m, &h->scan, take_head(h), h->codec.settings, h->stream.arena,
			      &persists);
	h->must_close |= !persists;
	if (fault != FAULT_NONE) {
		refuse(h, fault);
		return;
	}
	end = begin_body(h, m);
	if (m->upgrade) {
		h->input = INPUT_HOLD;
		end = false;
	} else if (slice_eq(m->method, SLICE("CONNECT"))) {	/* what follows is no HTTP */
		h->input = INPUT_DISCARD;
		h->must_close = true;
	}
	h->stream.events->on_head(h->stream.owner, m, end);
}

/* Responses that the client does not read hold up its further requests. */
static bool is_backlogged(struct http1 *h)
{
	struct transport *t = h->codec.transport;

	if (buffer_len(&t->out) > BACKLOG_BYTES_MAX)
		transport_flush(t);
	h->backlogged = buffer_len(&t->out) > BACKLOG_BYTES_MAX;
	if (h->backlogged)
		t->want_writable = true;
	return h->backlogged;
}

/* One empty line is tolerated before a request; true: it was there, or may still become one. */
static bool skips_empty_line(struct http1 *h, struct slice in, bool *more)
{
	if (h->scan.pos > 0 || h->skipped_line || in.at[0] != '\r')
		return false;
	*more = in.len < 2;
	if (*more)
		return true;
	if (in.at[1] != '\n')
		return false;
	consume(h, 2);
	h->skipped_line = true;
	return true;
}

static bool step_request(struct http1 *h)
{
	struct slice in;
	bool more;

	if (buffer_len(input_of(h)) == 0 || is_backlogged(h))
		return false;
	in = buffer_slice(input_of(h));
	if (h->stream.started_us == 0)
		h->stream.started_us = worker_now_us(h->codec.transport->worker);
	if (skips_empty_line(h, in, &more))
		return !more;
	switch (head_scan_run(&h->scan, SCAN_REQUEST, h->codec.settings, in.at, in.len)) {
	case SCAN_MORE:
		return false;
	case SCAN_BAD:
		refuse_partial(h);
		return true;
	case SCAN_DONE:
		open_request(h);
		return true;
	}
	return false;
}

/* ---- client: responses ---- */

/* 100, 102-104 are for the owner; others say nothing that anyone knows. */
static void take_interim(struct http1 *h, struct message *m)
{
	h->scan = (struct head_scan){ 0 };
	if (++h->interim_count > h->codec.settings->interim_max)
		refuse(h, FAULT_INTERIM);
	else if (m->status == 100 || (m->status >= 102 && m->status <= 104))
		h->stream.events->on_head(h->stream.owner, m, false);
}

static void take_response(struct http1 *h)
{
	struct message *m = arena_new(h->stream.arena, struct message);
	struct response_end how;
	enum fault fault;

	fault = response_build(m, &h->scan, take_head(h), h->codec.settings, h->stream.arena,
			       &h->asked, &how);
	if (fault != FAULT_NONE) {
		refuse(h, fault);
		return;
	}
	if (m->status < 200 && m->status != 101) {
		take_interim(h, m);
		return;
	}
	h->must_close |= !how.persists;
	if (m->status == 101) {
		h->input = INPUT_RAW;
		h->output = OUTPUT_RAW;
		h->must_close = h->tunnel = true;
		h->stream.events->on_head(h->stream.owner, m, false);
		return;
	}
	if (m->status == 205 && (m->framing != FRAMING_LENGTH || m->content_length > 0))
		h->must_close = true;	/* its body is not waited for */
	if (!how.no_body && !begin_body(h, m)) {
		h->stream.events->on_head(h->stream.owner, m, false);
		return;
	}
	h->input = INPUT_DONE;
	h->live = false;
	h->stream.events->on_head(h->stream.owner, m, true);
	after_response(h);
}

static bool step_response(struct http1 *h)
{
	struct slice in;

	if (buffer_len(input_of(h)) == 0)
		return false;
	in = buffer_slice(input_of(h));
	if (!h->live) {
		close_connection(h, false);
		return true;
	}
	if (h->output == OUTPUT_HEAD) {
		refuse(h, FAULT_EARLY_RESPONSE);
		return true;
	}
	switch (head_scan_run(&h->scan, SCAN_RESPONSE, h->codec.settings, in.at, in.len)) {
	case SCAN_MORE:
		return false;
	case SCAN_BAD:
		refuse(h, h->scan.fault);
		return true;
	case SCAN_DONE:
		take_response(h);
		return true;
	}
	return false;
}

/* ---- the loop ---- */

/* True: go on, there may be more to do. */
static bool step(struct http1 *h)
{
	switch (h->input) {
	case INPUT_HEAD:
		return h->codec.is_server ? step_request(h) : step_response(h);
	case INPUT_LENGTH:
		return step_length(h);
	case INPUT_CHUNKED:
		return step_chunked(h);
	case INPUT_TRAILERS:
		return step_trailers(h);
	case INPUT_RAW:
		return step_raw(h);
	case INPUT_DISCARD:
		consume(h, buffer_len(input_of(h)));
		return false;
	case INPUT_HOLD:
	case INPUT_DONE:
		return false;
	}
	return false;
}

/* Nothing more comes, and what came was dealt with. */
static void end_of_input(struct http1 *h)
{
	switch (h->input) {
	case INPUT_HEAD:
	case INPUT_LENGTH:
	case INPUT_CHUNKED:
	case INPUT_TRAILERS:
		http1_fail(h, RESET_CONNECTION_TERMINATION,
			   h->codec.is_server ? downstream_gone : NULL);
		break;
	case INPUT_RAW:
		input_complete(h, NULL);
		break;
	case INPUT_HOLD:	/* the answer is still delivered */
	case INPUT_DONE:
	case INPUT_DISCARD:
		break;
	}
}

static void run(struct http1 *h)
{
	if (h->running)
		return;
	h->running = true;
	while (!h->withheld && !h->codec.transport->dead && step(h))
		continue;
	if (h->peer_eof && !h->withheld && !h->backlogged)
		end_of_input(h);
	h->running = false;
}

static bool wants_input(const struct codec *c)
{
	const struct http1 *h = (const struct http1 *)c;

	if (h->withheld || h->backlogged)
		return false;
	if (h->input == INPUT_DONE || h->input == INPUT_HOLD)
		return buffer_len(&c->transport->in) < PIPELINE_BYTES_MAX;
	return true;
}

static bool is_within(const struct codec *c)
{
	const struct http1 *h = (const struct http1 *)c;

	switch (h->input) {
	case INPUT_HEAD:
		return c->is_server ? buffer_len(&c->transport->in) > 0 : h->live;
	case INPUT_LENGTH:
	case INPUT_CHUNKED:
	case INPUT_TRAILERS:
	case INPUT_RAW:
		return h->live;
	case INPUT_HOLD:
	case INPUT_DONE:
	case INPUT_DISCARD:
		return false;
	}
	return false;
}

/* Goes on outside feed(): the connection may have to be told to read again. */
static void run_and_tell(struct http1 *h, bool wanted)
{
	const struct codec_events *events = h->codec.events;

	if (h->running)
		return;
	run(h);
	if (!wanted && !h->closing && wants_input(&h->codec) && events->on_wants_input != NULL)
		events->on_wants_input(h->codec.connection);
}

void http1_run_on(struct http1 *h)
{
	run_and_tell(h, false);
}

bool http1_request_is_here(const struct http1 *h)
{
	return h->input == INPUT_DONE || (h->input == INPUT_LENGTH &&
	       h->input_left <= buffer_len(&h->codec.transport->in));
}

void http1_response_sent(struct http1 *h)
{
	bool wanted = wants_input(&h->codec);

	h->live = false;
	if (h->input == INPUT_LENGTH && http1_request_is_here(h)) {
		consume(h, (size_t)h->input_left);
		h->input = INPUT_DONE;
		h->withheld = false;
	}
	if (h->must_close || h->input != INPUT_DONE ||
	    (h->draining && buffer_len(input_of(h)) == 0)) {
		close_connection(h, !h->peer_eof);
		return;
	}
	become_idle(h);
	run_and_tell(h, wanted);
}

/* ---- the table ---- */

static void feed(struct codec *c)
{
	run(http1_from(c));
}

static void eof(struct codec *c)
{
	http1_from(c)->peer_eof = true;
	run(http1_from(c));
}

static void failed(struct codec *c, enum reset_reason why)
{
	struct http1 *h = http1_from(c);

	h->closing = true;	/* the connection knows */
	http1_fail(h, why, h->codec.is_server ? downstream_gone : NULL);
}

static void writable(struct codec *c)
{
	struct http1 *h = http1_from(c);

	if (h->live && h->output != OUTPUT_HEAD && h->output != OUTPUT_DONE)
		h->stream.events->on_writable(h->stream.owner);
	if (h->backlogged) {
		h->backlogged = false;
		run_and_tell(h, false);
	}
}

static void expire(struct codec *c)
{
	struct http1 *h = http1_from(c);

	if (h->live || h->closing || h->input != INPUT_HEAD || !c->is_server)
		return;
	h->scan.fault = FAULT_TIMEOUT;
	h->running = true;
	refuse_partial(h);
	h->running = false;
	run(h);
}

static void drain(struct codec *c)
{
	struct http1 *h = http1_from(c);

	h->draining = true;
	if (!h->live && h->input == INPUT_HEAD && buffer_len(input_of(h)) == 0)
		close_connection(h, c->is_server);
}

static bool is_idle(const struct codec *c)
{
	return !((const struct http1 *)c)->live;
}

static bool can_open(const struct codec *c)
{
	const struct http1 *h = (const struct http1 *)c;

	return !c->is_server && !h->live && h->input == INPUT_HEAD && !h->draining &&
	       !h->peer_eof && !h->closing && !c->transport->dead && buffer_len(&c->transport->in) == 0;
}

static struct codec_stream *open_attempt(struct codec *c, void *owner,
					 const struct stream_events *events, struct arena *arena)
{
	struct http1 *h = http1_from(c);

	if (!can_open(c))
		return NULL;
	h->live = true;
	h->must_close = false;
	h->asked = (struct response_context){ 0 };
	h->stream.owner = owner;
	h->stream.events = events;
	h->stream.arena = arena;
	h->stream.bytes_in = h->stream.bytes_out = 0;
	h->stream.started_us = worker_now_us(c->transport->worker);
	return &h->stream;
}

static void resume(struct codec_stream *cs)
{
	struct http1 *h = http1_of(cs);

	if (!h->live || !h->withheld)
		return;
	h->withheld = false;
	run_and_tell(h, false);
}

static void reset(struct codec_stream *cs, enum reset_reason why)
{
	struct http1 *h = http1_of(cs);

	if (!h->live)
		return;
	h->live = false;
	/* The end of the connection would pass for the end of such a body. HTTP/1 has no word for it. */
	if (h->tunnel ? why != RESET_LOCAL_RESET : h->codec.is_server && h->output == OUTPUT_RAW)
		transport_abort(h->codec.transport);
	close_connection(h, false);
}

static void destroy(struct codec *c)
{
	worker_recycle(c->transport->worker, WORKER_HTTP1, http1_from(c));
}

static const struct codec_ops http1_ops = {
	.name = "HTTP/1.1",
	.feed = feed,
	.eof = eof,
	.failed = failed,
	.writable = writable,
	.expire = expire,
	.drain = drain,
	.wants_input = wants_input,
	.is_within = is_within,
	.open = open_attempt,
	.can_open = can_open,
	.is_idle = is_idle,
	.send_head = http1_send_head,
	.send_data = http1_send_data,
	.send_end = http1_send_end,
	.resume = resume,
	.reset = reset,
	.destroy = destroy,
};

static struct codec *create(struct transport *t, const struct codec_settings *settings,
			    const struct codec_events *events, void *connection, bool is_server)
{
	struct http1 *h = worker_alloc(t->worker, WORKER_HTTP1, sizeof(*h));

	*h = (struct http1){
		.codec = {
			.ops = &http1_ops,
			.transport = t,
			.settings = settings,
			.events = events,
			.connection = connection,
			.is_server = is_server,
		},
	};
	h->stream.codec = &h->codec;
	return &h->codec;
}

struct codec *http1_server(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection)
{
	return create(t, settings, events, connection, true);
}

struct codec *http1_client(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection)
{
	return create(t, settings, events, connection, false);
}
