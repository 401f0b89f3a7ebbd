/* SPDX-License-Identifier: Apache-2.0
 * The HTTP/2 codec: one library session a connection, many streams, each with its own owner. What
 * only one role does is in http2_server.c and http2_client.c (spec/http.md 10, 17, 18). */
#include "proxy/http/http2_priv.h"

#include "proxy/net/worker.h"
#include "sallyport/log.h"

#define OUTBOUND_QUEUE_MAX	1000	/* frames the library holds for a peer that does not read */
#define SETTINGS_ENTRIES_MAX	32
#define ACK_LOOK_AGAIN_MS	1000
#define SEND_HEAD_BYTES_MAX	(1024u * 1024)	/* responses are bounded where they are read */

static const char downstream_gone[] = "downstream_remote_disconnect";
static const char protocol_error[] = "http2.protocol_error";

static struct http2 *http2_from(const struct codec *c)
{
	return (struct http2 *)c;
}

static struct worker *worker_of(const struct http2 *h)
{
	return h->codec.transport->worker;
}

/* ---- streams ---- */

struct http2_stream *http2_stream_create(struct http2 *h)
{
	struct http2_stream *s = worker_alloc(worker_of(h), WORKER_HTTP2_STREAM, sizeof(*s));

	*s = (struct http2_stream){ .owned = true };
	s->stream.codec = &h->codec;
	LIST_INSERT_HEAD(&h->streams, s, link);
	h->stream_count++;
	h->idle_due = false;
	return s;
}

static void close_connection(struct http2 *h, bool lingering);

/* Not while the library reads: a connection that closes takes the input along. */
static void tell_idle(struct http2 *h)
{
	if (!h->idle_due || h->stream_count > 0 || h->closing)
		return;
	h->idle_due = false;
	if (h->ending)
		close_connection(h, false);
	else
		h->codec.events->on_idle(h->codec.connection);
}

/* Freed when neither the owner nor the library knows it any more. */
void http2_release(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);

	if (s->owned || !s->closed || s->held > 0)
		return;
	if (s->hungry)
		TAILQ_REMOVE(&h->hungry, s, hungry_link);
	buffer_release(worker_of(h), &s->in);
	LIST_REMOVE(s, link);
	worker_recycle(worker_of(h), WORKER_HTTP2_STREAM, s);
	if (--h->stream_count > 0)
		return;
	h->idle_due = true;
	if (!h->busy)
		tell_idle(h);
}

void http2_forget(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);

	s->closed = true;
	if (!s->is_open)
		return;
	s->is_open = false;
	h->streams_open--;
	h->room_due = true;
}

/* The owner took so much of the stream's window; a client has given back the connection's before. */
static void give_back(struct http2_stream *s, size_t bytes)
{
	nghttp2_session *session = http2_of(s)->session;

	if (s->stream.codec->is_server)
		nghttp2_session_consume(session, s->id, bytes);
	else
		nghttp2_session_consume_stream(session, s->id, bytes);
}

/* What was read and is not wanted any more gives its window back. */
static void drop_input(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);
	size_t held = buffer_len(&s->in);

	if (held == 0)
		return;
	give_back(s, held);
	buffer_release(worker_of(h), &s->in);
}

static void arm(struct http2 *h);

void http2_wait_for_room(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);

	/* A server may let an upload wait: that is for the timeouts of the request to judge. */
	if (s->stalled_ms != 0 || !h->codec.is_server)
		return;
	s->stalled_ms = worker_now_ms(worker_of(h));
	if (h->stall_due_ms != 0 || h->codec.settings->stall_ms == 0)
		return;
	h->stall_due_ms = s->stalled_ms + h->codec.settings->stall_ms;
	arm(h);
}

static void cut_off(struct http2_stream *s, uint32_t code)
{
	if (s->closed || s->cut)
		return;
	s->cut = true;
	nghttp2_submit_rst_stream(http2_of(s)->session, NGHTTP2_FLAG_NONE, s->id, code);
}

/* The response is over before the request is: no more of it, please (RFC 9113 8.1). */
static void end_request(struct http2_stream *s)
{
	s->linger_due_ms = INT64_MAX;
	cut_off(s, NGHTTP2_NO_ERROR);
}

/* Clients lose a response that a reset comes along with. The rest may go on for a while where they stop by
 * themselves, or where it ends without more window: some never read again, once they have the response. */
static bool may_linger(const struct http2_stream *s)
{
	const struct message *m = s->message;

	return s->error_sent || (m != NULL && m->framing == FRAMING_LENGTH &&
				 m->content_length - s->received <= HTTP2_STREAM_WINDOW / 2);
}

static void linger(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);

	if (s->linger_due_ms != 0)
		return;
	s->stalled_ms = 0;
	s->received = 0;
	if (h->codec.settings->linger_ms == 0 || !s->lingers) {
		end_request(s);
		return;
	}
	s->linger_due_ms = worker_now_ms(worker_of(h)) + h->codec.settings->linger_ms;
	if (h->linger_due_ms == 0)
		h->linger_due_ms = s->linger_due_ms;
}

/* More of a request that nobody wants. */
static void drop(struct http2_stream *s, size_t len)
{
	s->received += len;
	if (s->linger_due_ms != INT64_MAX && s->received > http2_of(s)->codec.settings->linger_bytes)
		end_request(s);
}

void http2_let_go(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);

	s->lingers = may_linger(s);
	s->owned = false;
	s->message = NULL;
	s->trailers = NULL;
	s->offered = NO_SLICE;
	drop_input(s);
	s->stalled_ms = 0;
	s->late_trailers = NULL;
	s->unasked = NULL;
	if (s->ended && !s->end_sent && !s->closed)
		http2_wait_for_room(s);	/* its last frames are still to leave */
	if (h->codec.is_server && s->end_sent && !s->input_ended)
		linger(s);
	else if (!h->codec.is_server && !(s->ended && s->input_ended))	/* no more of it will come */
		cut_off(s, NGHTTP2_CANCEL);
	http2_release(s);
}

static void tell_reset(struct http2_stream *s, enum reset_reason why, const char *detail)
{
	if (!s->owned)
		return;
	s->stream.events->on_reset(s->stream.owner, why, detail);
	http2_let_go(s);
}

void http2_reset(struct http2_stream *s, uint32_t code, enum reset_reason why, const char *detail)
{
	cut_off(s, code);
	tell_reset(s, why, detail);
}

/* ---- how connections end ---- */

/* Client: has all come that the owner waits for? In a tunnel, has all left as well? */
static bool is_complete(const struct http2_stream *s)
{
	return s->input_ended && (!s->tunnel || s->end_sent);
}

static void fail_streams(struct http2 *h, enum reset_reason why, const char *detail)
{
	struct http2_stream *s, *next;

	for (s = LIST_FIRST(&h->streams); s != NULL; s = next) {
		s->held++;
		http2_forget(s);
		/* A response that came whole is still for its owner to take, if only the bytes end. */
		if (!h->ending || !is_complete(s))
			tell_reset(s, why, detail);
		next = LIST_NEXT(s, link);
		s->held--;
		http2_release(s);
	}
}

static void close_connection(struct http2 *h, bool lingering)
{
	if (h->closing)
		return;
	h->closing = true;
	timer_cancel(worker_of(h), &h->timer);
	h->codec.events->on_close(h->codec.connection, lingering);
}

/* Client: no further byte will come. What is complete is still delivered. */
static void end_of_input(struct http2 *h, enum reset_reason why, const char *detail)
{
	h->ending = true;
	fail_streams(h, why, detail);
	if (h->stream_count == 0)
		close_connection(h, false);
}

/* GOAWAY written by hand: the library may be past writing one, and frames are only ever queued whole. */
static void end_in_error(struct http2 *h, uint32_t code)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
	uint8_t frame[17] = { 0, 0, 8, NGHTTP2_GOAWAY };

	if (h->closing)
		return;
	for (unsigned i = 0; i < 4; i++) {
		frame[9 + i] = (uint8_t)((uint32_t)last >> (24 - 8 * i));
		frame[13 + i] = (uint8_t)(code >> (24 - 8 * i));
	}
	transport_queue(h->codec.transport, slice_make(frame, sizeof(frame)));
	close_connection(h, true);
	fail_streams(h, RESET_PROTOCOL_ERROR, h->fault != NULL ? h->fault : protocol_error);
}

static void count_limit(struct http2 *h, enum http2_limit which)
{
	if (h->codec.events->on_limit != NULL)
		h->codec.events->on_limit(h->codec.connection, which);
}

void http2_trip(struct http2 *h, enum http2_limit which)
{
	if (h->tripped < 0 && !h->closing)
		h->tripped = (int)which;
}

void http2_break(struct http2 *h, uint32_t code)
{
	if (h->tripped < 0)
		h->error = code;
	http2_trip(h, HTTP2_LIMIT_http2_protocol_errors);
}

/* True: the connection ended because of a limit. */
static bool settle_limit(struct http2 *h)
{
	enum http2_limit which;

	if (h->tripped < 0)
		return false;
	which = (enum http2_limit)h->tripped;
	h->tripped = -1;
	count_limit(h, which);
	h->fault = which == HTTP2_LIMIT_http2_protocol_errors ? h->fault : "http2.flood";
	end_in_error(h, h->error != NGHTTP2_NO_ERROR ? h->error : http2_limit_code(which));
	return true;
}

/* ---- timers ---- */

static void on_time(struct timer *t);

static void arm(struct http2 *h)
{
	const int64_t times[] = { h->ack_due_ms, h->head_due_ms, h->drain_due_ms, h->stall_due_ms,
				  h->linger_due_ms };
	int64_t nearest = 0;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] > 0 && (nearest == 0 || times[i] < nearest))
			nearest = times[i];
	if (h->closing || nearest == 0)
		timer_cancel(worker_of(h), &h->timer);
	else if (!timer_is_set(&h->timer) || h->timer.at_ms != nearest)
		timer_set(worker_of(h), &h->timer, nearest, on_time);
}

/* Responses that wait for room longer than they may; when the next one is due. */
static void reset_stalled(struct http2 *h, int64_t now_ms)
{
	int64_t stall_ms = h->codec.settings->stall_ms, oldest = 0;
	struct http2_stream *s, *next;

	if (!http2_has_room(h)) {	/* it is the connection that stalls, which its owner watches */
		h->stall_due_ms = now_ms + stall_ms;
		return;
	}
	for (s = LIST_FIRST(&h->streams); s != NULL; s = next) {
		next = LIST_NEXT(s, link);
		if (s->stalled_ms == 0)
			continue;
		if (now_ms - s->stalled_ms >= stall_ms) {
			count_limit(h, HTTP2_LIMIT_http2_stalled_streams);
			s->stalled_ms = 0;
			http2_reset(s, NGHTTP2_CANCEL, RESET_LOCAL_RESET, "http2.flush_timeout");
		} else if (oldest == 0 || s->stalled_ms < oldest) {
			oldest = s->stalled_ms;
		}
	}
	h->stall_due_ms = oldest > 0 ? oldest + stall_ms : 0;
}

/* Enough of requests whose response is over. */
static void end_lingering(struct http2 *h, int64_t now_ms)
{
	struct http2_stream *s;
	int64_t next = 0;

	LIST_FOREACH(s, &h->streams, link) {
		if (s->linger_due_ms == 0 || s->linger_due_ms == INT64_MAX)
			continue;
		if (now_ms >= s->linger_due_ms)
			end_request(s);
		else if (next == 0 || s->linger_due_ms < next)
			next = s->linger_due_ms;
	}
	h->linger_due_ms = next;
}

/* Under load it may be we who are late. */
static bool may_have_come(const struct http2 *h)
{
	return h->codec.transport->readable || buffer_len(&h->codec.transport->in) > 0;
}

static void on_time(struct timer *t)
{
	struct http2 *h = container_of(t, struct http2, timer);
	int64_t now_ms = worker_now_ms(worker_of(h));

	if (h->ack_due_ms > 0 && now_ms >= h->ack_due_ms && may_have_come(h))
		h->ack_due_ms = now_ms + ACK_LOOK_AGAIN_MS;
	else if (h->ack_due_ms > 0 && now_ms >= h->ack_due_ms)
		http2_trip(h, HTTP2_LIMIT_http2_settings_timeouts);
	else if (h->head_due_ms > 0 && now_ms >= h->head_due_ms)
		http2_trip(h, HTTP2_LIMIT_http2_header_timeouts);
	if (settle_limit(h))
		return;
	if (h->drain_due_ms > 0 && now_ms >= h->drain_due_ms)
		h->role->finish_drain(h);
	if (h->stall_due_ms > 0 && now_ms >= h->stall_due_ms)
		reset_stalled(h, now_ms);
	if (h->linger_due_ms > 0 && now_ms >= h->linger_due_ms)
		end_lingering(h, now_ms);
	http2_run_output(h);
}

/* ---- output ---- */

static size_t unsent(const struct transport *t)
{
	return buffer_len(&t->out) + buffer_len(&t->raw_out);
}

bool http2_has_room(struct http2 *h)
{
	struct transport *t = h->codec.transport;

	if (unsent(t) < HTTP2_OUT_BYTES_MAX)
		return true;
	transport_flush(t);
	if (unsent(t) < HTTP2_OUT_BYTES_MAX)
		return true;
	t->want_writable = true;
	return false;
}

static void write_frames(struct http2 *h)
{
	const uint8_t *bytes;
	ssize_t n = 0;

	h->busy = true;
	while (!h->codec.transport->dead && http2_has_room(h) &&
	       (n = nghttp2_session_mem_send(h->session, &bytes)) > 0)
		transport_queue(h->codec.transport, slice_make(bytes, (size_t)n));
	h->busy = false;
	if (n < 0)
		http2_trip(h, HTTP2_LIMIT_http2_protocol_errors);
	if (nghttp2_session_get_outbound_queue_size(h->session) > OUTBOUND_QUEUE_MAX)
		http2_trip(h, HTTP2_LIMIT_http2_queue_floods);
}

static void wake_hungry(struct http2 *h)
{
	struct http2_stream *s;

	h->waking = true;
	while (!h->closing && (s = TAILQ_FIRST(&h->hungry)) != NULL && http2_has_room(h)) {
		TAILQ_REMOVE(&h->hungry, s, hungry_link);
		s->hungry = false;
		s->stalled_ms = 0;
		if (s->owned)
			s->stream.events->on_writable(s->stream.owner);
	}
	h->waking = false;
}

/* Is the conversation over? */
static void settle(struct http2 *h)
{
	if (h->closing || settle_limit(h))
		return;
	if (nghttp2_session_want_read(h->session) || nghttp2_session_want_write(h->session))
		return;
	if (!h->codec.is_server) {
		end_of_input(h, RESET_PROTOCOL_ERROR, protocol_error);
		return;
	}
	close_connection(h, true);
	fail_streams(h, RESET_PROTOCOL_ERROR, protocol_error);
}

/* Client: requests may wait for the streams that have ended. */
static void tell_room(struct http2 *h)
{
	if (!h->room_due || h->closing || !(h->heard || http2_can_open(&h->codec)))
		return;
	h->room_due = h->heard = false;
	h->codec.events->on_room(h->codec.connection);
}

void http2_run_output(struct http2 *h)
{
	if (h->busy || h->closing)
		return;
	write_frames(h);
	if (h->waking)
		return;
	wake_hungry(h);
	settle(h);
	arm(h);
	tell_idle(h);
	tell_room(h);
}

/* ---- input ---- */

/* Offers what waits in the stream's buffer; the end follows when nothing does. */
static void offer(struct http2_stream *s)
{
	struct http2 *h = http2_of(s);
	size_t taken;

	if (s->held_back)
		return;
	if (buffer_len(&s->in) > 0) {
		s->held++;
		taken = s->stream.events->on_data(s->stream.owner, buffer_slice(&s->in));
		s->held--;
		if (!s->owned) {
			http2_release(s);
			return;
		}
		s->stream.bytes_in += taken;
		buffer_consume(worker_of(h), &s->in, taken);
		give_back(s, taken);
	}
	if (buffer_len(&s->in) > 0 || !s->input_ended || s->end_told)
		return;
	s->end_told = true;
	s->held++;
	s->stream.events->on_end(s->stream.owner, s->trailers);
	s->held--;
	if (s->tunnel ? s->ended && s->owned : !h->codec.is_server)
		http2_let_go(s);
}

void http2_open_tunnel(struct http2_stream *s)
{
	s->held_back = false;
	s->tunnel = true;
	if (buffer_len(&s->in) > 0 || s->input_ended)
		offer(s);
}

static void input_end(struct http2_stream *s)
{
	if (!s->head_told && !s->stream.codec->is_server) {	/* no response at all */
		http2_reset(s, NGHTTP2_PROTOCOL_ERROR, RESET_PROTOCOL_ERROR, protocol_error);
		return;
	}
	s->input_ended = true;
	if (!s->owned || !s->head_told || s->deaf)
		return;
	if (!s->bodyless && s->message->framing == FRAMING_LENGTH &&
	    s->received != s->message->content_length) {
		http2_reset(s, NGHTTP2_PROTOCOL_ERROR, RESET_PROTOCOL_ERROR, "http2.content_length_mismatch");
		return;
	}
	offer(s);
}

/* More than was announced, or anything where nothing may come. */
static bool exceeds_length(const struct http2_stream *s)
{
	return (s->bodyless && s->received > 0) ||
	       (s->message->framing == FRAMING_LENGTH && s->received > s->message->content_length);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
		   void *arg)
{
	struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct http2 *h = arg;

	(void)flags;
	if (s == NULL || !s->owned || !s->head_told || s->deaf) {
		nghttp2_session_consume(session, id, len);
		if (s != NULL && !h->codec.is_server)
			http2_reset(s, NGHTTP2_PROTOCOL_ERROR, RESET_PROTOCOL_ERROR, protocol_error);
		else if (s != NULL && s->linger_due_ms != 0)
			drop(s, len);
		return 0;
	}
	s->received += len;
	if (exceeds_length(s)) {
		nghttp2_session_consume(session, id, len);
		http2_reset(s, NGHTTP2_PROTOCOL_ERROR, RESET_PROTOCOL_ERROR, "http2.content_length_mismatch");
		return 0;
	}
	if (!h->codec.is_server)
		nghttp2_session_consume_connection(session, len);
	if (buffer_len(&s->in) == 0 && !s->held_back) {	/* straight from the frame */
		size_t taken = s->stream.events->on_data(s->stream.owner, slice_make((const char *)data, len));

		must(taken <= len);
		give_back(s, s->owned ? taken : len);
		if (!s->owned)
			return 0;
		s->stream.bytes_in += taken;
		data += taken;
		len -= taken;
	}
	buffer_append(worker_of(h), &s->in, slice_make((const char *)data, len));
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2 *h = arg;
	struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (frame->headers.cat != NGHTTP2_HCAT_HEADERS)
		s = h->role->begin(h, s, frame->hd.stream_id);
	if (s == NULL || !s->owned)
		return 0;
	if (s->head_told)
		http2_begin_trailers(s);
	else
		h->role->begin_head(s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct http2 *h = arg;

	(void)flags;
	if (s == NULL || !s->owned)
		return 0;
	if (http2_add_field(s, slice_make((const char *)name, name_len), slice_make((const char *)value, value_len)))
		return 0;
	http2_trip(h, HTTP2_LIMIT_http2_header_bombs);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	struct http2 *h = arg;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (s == NULL || !s->owned)
			break;
		http2_end_head(s, end);
		if (end && s->owned && !s->input_ended)
			input_end(s);
		break;
	case NGHTTP2_DATA:
		if (s != NULL && end)
			input_end(s);
		break;
	case NGHTTP2_RST_STREAM:
		if (s != NULL)
			s->remote_reset = true;
		break;
	default:
		h->role->on_frame(h, frame);
		break;
	}
	return 0;
}

/* Client. What the server did not look at, also by its GOAWAY, may be sent again elsewhere. */
static enum reset_reason close_reason(const struct http2_stream *s, uint32_t code)
{
	if (code == NGHTTP2_REFUSED_STREAM || !s->head_left)
		return RESET_REMOTE_REFUSED;
	return s->remote_reset ? RESET_REMOTE_RESET : RESET_PROTOCOL_ERROR;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct http2 *h = arg;

	if (s == NULL)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	http2_watch_close(h, s);
	http2_forget(s);
	if (!h->codec.is_server) {
		if (s->owned && !is_complete(s))
			tell_reset(s, close_reason(s, code), NULL);
		else
			http2_release(s);
		return 0;
	}
	if (s->owned && !(s->end_sent && !s->remote_reset)) {
		if (s->remote_reset)
			tell_reset(s, code == NGHTTP2_REFUSED_STREAM ? RESET_REMOTE_REFUSED : RESET_REMOTE_RESET,
				   code == NGHTTP2_REFUSED_STREAM ? "http2.remote_refuse" : "http2.remote_reset");
		else
			tell_reset(s, RESET_PROTOCOL_ERROR, protocol_error);
		return 0;
	}
	http2_release(s);
	return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct http2 *h = arg;

	http2_watch_frame_sent(h, frame);
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
		count_limit(h, HTTP2_LIMIT_http2_protocol_errors);	/* the library's finding */
	if (s != NULL && !h->codec.is_server && frame->hd.type == NGHTTP2_HEADERS && !s->head_left)
		http2_head_left(s);
	if (s == NULL || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
		return 0;
	s->end_sent = true;
	if (h->codec.is_server && !s->owned && !s->input_ended)
		linger(s);
	return 0;
}

/* Takes what the library used off the input, which an event may have dropped with its transport. */
static void consume(struct http2 *h, size_t bytes)
{
	struct buffer *in = &h->codec.transport->in;

	if (bytes > buffer_len(in))
		bytes = buffer_len(in);
	if (bytes > 0)
		buffer_consume(worker_of(h), in, bytes);
}

/* A header block that has begun has a time limit of its own. */
static void watch_head(struct http2 *h)
{
	if (!h->limits.block_open)
		h->head_due_ms = 0;
	else if (h->head_due_ms == 0 && h->codec.settings->head_ms > 0)
		h->head_due_ms = worker_now_ms(worker_of(h)) + h->codec.settings->head_ms;
}

static void drain(struct codec *c);

static void feed(struct codec *c)
{
	struct http2 *h = http2_from(c);
	struct slice in = buffer_slice(&c->transport->in);
	ssize_t used = 0;
	size_t may;

	if (h->busy)
		return;
	if (h->closing) {
		consume(h, in.len);
		return;
	}
	may = http2_watch_input(h, in);
	if (may > 0) {
		h->busy = true;
		used = nghttp2_session_mem_recv(h->session, (const uint8_t *)in.at, may);
		h->busy = false;
		consume(h, may);
	}
	if (used < 0)
		http2_trip(h, HTTP2_LIMIT_http2_protocol_errors);
	if (c->is_server && h->limits.streams_opened >= c->settings->connection_streams && !h->draining)
		drain(c);
	watch_head(h);
	if (settle_limit(h))
		return;
	http2_run_output(h);
	if (!h->closing && buffer_len(&c->transport->in) > 0)
		worker_resume_later(worker_of(h), c->transport);
}

/* ---- the table ---- */

static void failed(struct codec *c, enum reset_reason why)
{
	struct http2 *h = http2_from(c);

	h->closing = true;	/* the connection knows */
	h->ending = false;
	timer_cancel(worker_of(h), &h->timer);
	fail_streams(h, why, c->is_server ? downstream_gone : NULL);
}

static void eof(struct codec *c)
{
	struct http2 *h = http2_from(c);

	if (!c->is_server) {
		end_of_input(h, RESET_CONNECTION_TERMINATION, NULL);
		return;
	}
	close_connection(h, false);
	fail_streams(h, RESET_CONNECTION_TERMINATION, downstream_gone);
}

static void writable(struct codec *c)
{
	http2_run_output(http2_from(c));
}

static void drain(struct codec *c)
{
	struct http2 *h = http2_from(c);

	if (h->draining || h->closing)
		return;
	h->draining = true;
	h->role->drain(h);
	http2_run_output(h);
}

static bool wants_input(const struct codec *c)
{
	return buffer_len(&c->transport->in) == 0;
}

static bool is_within(const struct codec *c)
{
	const struct http2 *h = http2_from(c);
	struct http2_stream *s;

	if (h->limits.payload_left > 0 || h->limits.head_have > 0 || h->limits.block_open)
		return true;
	LIST_FOREACH(s, &h->streams, link)
		if (!s->input_ended)
			return true;
	return false;
}

static bool is_idle(const struct codec *c)
{
	return http2_from(c)->stream_count == 0;
}

static void resume(struct codec_stream *cs)
{
	struct http2_stream *s = http2_stream_of(cs);
	struct http2 *h = http2_of(s);

	if (!s->owned || !s->head_told || s->end_told || s->deaf || (buffer_len(&s->in) == 0 && !s->input_ended))
		return;
	offer(s);
	http2_run_output(h);	/* the window that came free */
}

/* The owner cuts the response short, or wants none any more. */
static void reset(struct codec_stream *cs, enum reset_reason why)
{
	struct http2_stream *s = http2_stream_of(cs);
	struct http2 *h = http2_of(s);

	(void)why;
	if (!s->owned)
		return;
	cut_off(s, h->codec.is_server ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL);
	s->end_sent = false;
	s->input_ended = true;
	if (s->is_open && s->closed)	/* the library never heard of it */
		http2_forget(s);
	http2_let_go(s);
	http2_run_output(h);
}

static void destroy(struct codec *c)
{
	struct http2 *h = http2_from(c);
	struct http2_stream *s;

	timer_cancel(worker_of(h), &h->timer);
	h->closing = true;
	while ((s = LIST_FIRST(&h->streams)) != NULL) {
		s->owned = false;
		s->closed = true;
		http2_release(s);
	}
	nghttp2_session_del(h->session);
	worker_recycle(worker_of(h), WORKER_HTTP2, h);
}

static const struct codec_ops http2_ops = {
	.name = "HTTP/2",
	.multiplexed = true,
	.feed = feed,
	.eof = eof,
	.failed = failed,
	.writable = writable,
	.drain = drain,
	.wants_input = wants_input,
	.is_within = is_within,
	.open = http2_open,
	.can_open = http2_can_open,
	.is_idle = is_idle,
	.send_head = http2_send_head,
	.send_data = http2_send_data,
	.send_end = http2_send_end,
	.resume = resume,
	.reset = reset,
	.destroy = destroy,
};

/* ---- the session ---- */

nghttp2_session_callbacks *http2_callbacks;
nghttp2_option *http2_options;

/* The same for all connections; made before main(), only read after. */
__attribute__((constructor)) static void make_callbacks(void)
{
	must(nghttp2_session_callbacks_new(&http2_callbacks) == 0 && nghttp2_option_new(&http2_options) == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(http2_callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(http2_callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(http2_callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(http2_callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(http2_callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(http2_callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_send_data_callback(http2_callbacks, http2_write_data);
	nghttp2_option_set_no_auto_window_update(http2_options, 1);
	nghttp2_option_set_no_http_messaging(http2_options, 1);	/* http2_head.c */
	nghttp2_option_set_no_closed_streams(http2_options, 1);
	nghttp2_option_set_max_settings(http2_options, SETTINGS_ENTRIES_MAX);
	nghttp2_option_set_max_outbound_ack(http2_options, OUTBOUND_QUEUE_MAX);
	nghttp2_option_set_max_send_header_block_length(http2_options, SEND_HEAD_BYTES_MAX);
}

struct http2 *http2_create(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection, const struct http2_role *role)
{
	struct http2 *h = worker_alloc(t->worker, WORKER_HTTP2, sizeof(*h));

	*h = (struct http2){
		.codec = {
			.ops = &http2_ops,
			.transport = t,
			.settings = settings,
			.events = events,
			.connection = connection,
		},
		.role = role,
		.tripped = -1,
	};
	LIST_INIT(&h->streams);
	TAILQ_INIT(&h->hungry);
	return h;
}
