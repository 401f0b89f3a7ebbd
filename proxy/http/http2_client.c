/* SPDX-License-Identifier: Apache-2.0
 * What only a client does on HTTP/2: its SETTINGS, the streams that it opens itself and how many of
 * them the server bears, GOAWAY from the other side (spec/http.md 20, spec/destination-rule.md 9). */
#include "proxy/http/http2_priv.h"

#include "proxy/net/worker.h"
#include "sallyport/log.h"
#include "sallyport/object.h"

/* The first request leaves together with our preface. Further ones wait for the server's SETTINGS,
 * so that none is refused for a limit that we could have known. */
#define STREAMS_BEFORE_SETTINGS	1u

bool http2_can_open(const struct codec *c)
{
	const struct http2 *h = (const struct http2 *)c;
	uint32_t most = h->streams_max, theirs;

	if (h->closing || h->ending || h->draining || h->tripped >= 0 || c->transport->dead ||
	    !nghttp2_session_check_request_allowed(h->session))
		return false;
	theirs = h->settled ? nghttp2_session_get_remote_settings(h->session,
								  NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) :
			      STREAMS_BEFORE_SETTINGS;
	return h->streams_open < (theirs < most ? theirs : most);
}

uint32_t http2_streams_of_peer(const struct codec *c)
{
	const struct http2 *h = (const struct http2 *)c;

	return h->settled ? nghttp2_session_get_remote_settings(h->session,
								NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) : 0;
}

struct codec_stream *http2_open(struct codec *c, void *owner, const struct stream_events *events,
				struct arena *arena)
{
	struct http2 *h = (struct http2 *)c;
	struct http2_stream *s;

	if (!http2_can_open(c))
		return NULL;
	s = http2_stream_create(h);
	s->closed = true;	/* the library hears of it with its head */
	s->is_open = true;
	s->stream.owner = owner;
	s->stream.events = events;
	s->stream.arena = arena;
	s->stream.started_us = worker_now_us(c->transport->worker);
	h->streams_open++;
	h->limits.streams_opened++;
	return &s->stream;
}

/* A response belongs to the stream of its request, or to nobody. */
static struct http2_stream *begin(struct http2 *h, struct http2_stream *known, int32_t id)
{
	(void)h, (void)id;
	return known;
}

static void ask_late(struct http2 *h)
{
	struct http2_stream *s;

	LIST_FOREACH(s, &h->streams, link)
		if (s->unasked != NULL) {	/* the only one: STREAMS_BEFORE_SETTINGS */
			http2_ask_upgrade(s);
			return;
		}
}

static void on_frame(struct http2 *h, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_PUSH_PROMISE) {	/* we said that we want none */
		http2_trip(h, HTTP2_LIMIT_http2_protocol_errors);
	} else if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
		h->settled = h->heard = true;
		h->room_due = true;
		ask_late(h);
	}
}

/* No further requests; the last response ends it. */
static void drain(struct http2 *h)
{
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
}

static void finish_drain(struct http2 *h)
{
	h->drain_due_ms = 0;
}

/* ---- the session ---- */

static const struct http2_role client_role = {
	.begin = begin,
	.begin_head = http2_begin_response,
	.add_pseudo = http2_add_response_pseudo,
	.add_regular = http2_add_response_field,
	.end_head = http2_end_response,
	.on_frame = on_frame,
	.drain = drain,
	.finish_drain = finish_drain,
};

static void send_settings(struct http2 *h)
{
	const nghttp2_settings_entry entries[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_RESPONSE_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->codec.settings->head_bytes_max },
	};

	must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, entries, COUNT_OF(entries)) == 0);
	must(nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
						   HTTP2_CONNECTION_WINDOW) == 0);
}

struct codec *http2_client(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection, uint32_t streams_max)
{
	struct http2 *h = http2_create(t, settings, events, connection, &client_role);
	nghttp2_mem memory = http2_memory(t->worker);

	h->streams_max = streams_max;
	h->limits.preface_have = HTTP2_PREFACE_BYTES;	/* servers have none */
	must(nghttp2_session_client_new3(&h->session, http2_callbacks, h, http2_options, &memory) == 0);
	send_settings(h);
	http2_run_output(h);
	return &h->codec;
}
