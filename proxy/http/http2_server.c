/* SPDX-License-Identifier: Apache-2.0
 * What only a server does on HTTP/2: its SETTINGS, the streams that its peer opens, and the two words
 * of its drain (spec/http.md 17, 32). */
#include "proxy/http/http2_priv.h"

#include "proxy/net/worker.h"
#include "sallyport/log.h"
#include "sallyport/object.h"

#define SETTINGS_COUNT	5
#define SETTING_BYTES	6

static const char preface[HTTP2_PREFACE_BYTES + 1] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum preface http2_preface(struct slice bytes)
{
	size_t len = bytes.len < HTTP2_PREFACE_BYTES ? bytes.len : HTTP2_PREFACE_BYTES;

	if (memcmp(bytes.at, preface, len) != 0)
		return PREFACE_OTHER;
	return len == HTTP2_PREFACE_BYTES ? PREFACE_HTTP2 : PREFACE_MORE;
}

/* One too many, or after our last word. */
static struct http2_stream *refuse(struct http2 *h, int32_t id)
{
	nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
	if (h->codec.events->on_limit != NULL)
		h->codec.events->on_limit(h->codec.connection, HTTP2_LIMIT_http2_refused_streams);
	return NULL;
}

static struct http2_stream *begin(struct http2 *h, struct http2_stream *known, int32_t id)
{
	struct http2_stream *s;

	(void)known;
	if (h->drained || h->stream_count >= h->codec.settings->concurrent_streams)
		return refuse(h, id);
	s = http2_stream_create(h);
	s->id = id;
	s->stream.started_us = worker_now_us(h->codec.transport->worker);
	s->stream.owner = h->codec.events->on_open(h->codec.connection, &s->stream, &s->stream.arena,
						   &s->stream.events);
	nghttp2_session_set_stream_user_data(h->session, id, s);
	return s;
}

/* ---- the end ---- */

/* The last word: nothing above the streams that were seen is served. */
static void finish_drain(struct http2 *h)
{
	h->drain_due_ms = 0;
	if (h->drained)
		return;
	h->drained = true;
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0);
}

static void drain(struct http2 *h)
{
	int64_t grace_ms = h->codec.settings->drain_grace_ms;

	nghttp2_submit_shutdown_notice(h->session);
	nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
	if (grace_ms > 0)
		h->drain_due_ms = worker_now_ms(h->codec.transport->worker) + grace_ms;
	else
		finish_drain(h);
}

static void on_frame(struct http2 *h, const nghttp2_frame *frame)
{
	if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
		return;
	if (frame->hd.type == NGHTTP2_SETTINGS)
		h->ack_due_ms = 0;
	/* Our own PING: the client has seen the notice, a round trip is over. */
	else if (frame->hd.type == NGHTTP2_PING && h->draining)
		finish_drain(h);
}

/* ---- the session ---- */

static const struct http2_role server_role = {
	.begin = begin,
	.begin_head = http2_begin_request,
	.add_pseudo = http2_add_request_pseudo,
	.add_regular = http2_add_request_field,
	.end_head = http2_end_request,
	.on_frame = on_frame,
	.drain = drain,
	.finish_drain = finish_drain,
};

/* The library would end the connection of a client that opens one stream too many, where refusing that
 * stream is enough. It is told of no bound, the client of ours: what it packed first is written anew. */
static void write_settings(struct http2 *h)
{
	uint8_t frame[HTTP2_FRAME_HEAD_BYTES + SETTINGS_COUNT * SETTING_BYTES];
	uint32_t streams = h->codec.settings->concurrent_streams;
	const uint8_t *bytes;
	ssize_t n = nghttp2_session_mem_send(h->session, &bytes);

	must(n == (ssize_t)sizeof(frame) && bytes[3] == NGHTTP2_SETTINGS &&
	     bytes[10] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	memcpy(frame, bytes, sizeof(frame));
	for (unsigned i = 0; i < 4; i++)
		frame[11 + i] = (uint8_t)(streams >> (24 - 8 * i));
	transport_queue(h->codec.transport, slice_make(frame, sizeof(frame)));
}

static void send_settings(struct http2 *h)
{
	const struct codec_settings *settings = h->codec.settings;
	const nghttp2_settings_entry entries[SETTINGS_COUNT] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, NGHTTP2_MAX_WINDOW_SIZE },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings->head_bytes_max },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
	};

	must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, entries, COUNT_OF(entries)) == 0);
	write_settings(h);
	must(nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
						   HTTP2_CONNECTION_WINDOW) == 0);
	h->ack_due_ms = worker_now_ms(h->codec.transport->worker) + HTTP2_SETTINGS_ACK_MS;
}

struct codec *http2_server(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection)
{
	struct http2 *h = http2_create(t, settings, events, connection, &server_role);
	nghttp2_mem memory = http2_memory(t->worker);

	h->codec.is_server = true;
	must(nghttp2_session_server_new3(&h->session, http2_callbacks, h, http2_options, &memory) == 0);
	send_settings(h);
	http2_run_output(h);
	return &h->codec;
}
