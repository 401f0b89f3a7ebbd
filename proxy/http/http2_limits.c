/* SPDX-License-Identifier: Apache-2.0
 * What a peer may do how often on an HTTP/2 connection (spec/http.md 19). Frames are looked at before
 * the library sees them, so that every limit holds whatever the library does with a frame. */
#include "proxy/http/http2_priv.h"
#include "proxy/net/worker.h"

#define REQUESTS_PER_TURN	32u
#define PREMATURE_MS		1000		/* a stream that the peer resets sooner, unanswered */
#define PREMATURE_SAMPLE	500u
#define RESET_BURST		1000u
#define RESET_RATE		33u		/* a second */
#define VIOLATIONS_MAX		100u
#define VIOLATION_WINDOW_MS	60000
#define CONTINUATIONS_MAX	8u
#define SIZE_UPDATES_MAX	2u
#define EMPTY_FRAMES_MAX	1u		/* in a row */
#define PINGS_MAX		100u
#define SETTINGS_MAX		20u
#define RATE_WINDOW_MS		10000
#define PRIORITIES_PER_STREAM	100u
#define WINDOW_UPDATES_SPARE	5u
#define GLITCH_BURST		10000u
#define GLITCH_RATE		330u		/* a second */
#define OVERHEAD_BYTES_SPARE	(1024u * 1024)
#define OVERHEAD_FACTOR		8u

uint32_t http2_limit_code(enum http2_limit which)
{
	switch (which) {
	case HTTP2_LIMIT_http2_protocol_errors:
		return NGHTTP2_PROTOCOL_ERROR;
	case HTTP2_LIMIT_http2_table_churns:
		return NGHTTP2_COMPRESSION_ERROR;
	case HTTP2_LIMIT_http2_settings_timeouts:
		return NGHTTP2_SETTINGS_TIMEOUT;
	default:
		return NGHTTP2_ENHANCE_YOUR_CALM;
	}
}

static struct worker *worker_of(const struct http2 *h)
{
	return h->codec.transport->worker;
}

/* Takes a token; false: none is left. */
static bool bucket_take(struct http2_bucket *b, uint32_t burst, uint32_t rate, int64_t now_us)
{
	int64_t gained;

	if (b->filled_us == 0) {
		b->filled_us = now_us;
		b->tokens = burst;
	}
	gained = (now_us - b->filled_us) * rate / 1000000;
	if (gained > 0) {
		b->filled_us = now_us;
		b->tokens = gained < burst - b->tokens ? b->tokens + (uint32_t)gained : burst;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

/* Counts one more; false: more than `most` in that time. */
static bool window_take(struct http2_window *w, uint32_t most, int64_t length_ms, int64_t now_ms)
{
	if (w->began_ms == 0 || now_ms - w->began_ms >= length_ms)
		*w = (struct http2_window){ .began_ms = now_ms };
	return ++w->count <= most;
}

static void take_reset(struct http2 *h)
{
	struct http2_limits *l = &h->limits;

	/* A server may end each of our streams so, for instance when it needs no more of the request. */
	if (!h->codec.is_server && l->resets_received++ < l->streams_opened)
		return;
	if (!bucket_take(&h->limits.resets, RESET_BURST, RESET_RATE, worker_now_us(worker_of(h))))
		http2_trip(h, HTTP2_LIMIT_http2_reset_floods);
}

static void take_glitch(struct http2 *h)
{
	if (!bucket_take(&h->limits.glitches, GLITCH_BURST, GLITCH_RATE, worker_now_us(worker_of(h))))
		http2_trip(h, HTTP2_LIMIT_http2_glitches);
}

/* ---- frames ---- */

static void watch_empty(struct http2 *h, bool empty)
{
	if (!empty)
		h->limits.empty_frames = 0;
	else if (++h->limits.empty_frames > EMPTY_FRAMES_MAX)
		http2_trip(h, HTTP2_LIMIT_http2_empty_frames);
}

static void begin_block(struct http2_limits *l, uint32_t length)
{
	l->prefix_left = (l->flags & NGHTTP2_FLAG_PADDED ? 1 : 0) + (l->flags & NGHTTP2_FLAG_PRIORITY ? 5 : 0);
	if (l->prefix_left > length)
		l->prefix_left = length;
	l->at_block_start = true;
	l->in_size_update = false;
	l->size_updates = l->continuations = 0;
}

static void watch_headers(struct http2 *h, uint32_t length)
{
	struct http2_limits *l = &h->limits;

	if (l->type == NGHTTP2_HEADERS) {
		begin_block(l, length);
		l->started++;
		watch_empty(h, length == 0 && !(l->flags & NGHTTP2_FLAG_END_STREAM));
	} else {
		watch_empty(h, length == 0);
		if (++l->continuations > CONTINUATIONS_MAX)
			http2_trip(h, HTTP2_LIMIT_http2_continuation_floods);
	}
	l->block_stream = l->stream_id;
	l->block_open = !(l->flags & NGHTTP2_FLAG_END_HEADERS);
	l->payload_bytes += length;
}

static void watch_settings(struct http2 *h)
{
	if (!window_take(&h->limits.settings, SETTINGS_MAX, RATE_WINDOW_MS, worker_now_ms(worker_of(h))))
		http2_trip(h, HTTP2_LIMIT_http2_settings_floods);
}

static void watch_ping(struct http2 *h)
{
	if (h->limits.flags & NGHTTP2_FLAG_ACK)
		take_glitch(h);
	else if (h->limits.pings_received++ < h->limits.data_frames_sent)
		return;		/* gRPC measures the path so, with every DATA that it gets */
	else if (!window_take(&h->limits.pings, PINGS_MAX, RATE_WINDOW_MS, worker_now_ms(worker_of(h))))
		http2_trip(h, HTTP2_LIMIT_http2_ping_floods);
}

static void watch_counts(struct http2 *h)
{
	const struct http2_limits *l = &h->limits;
	uint64_t streams = l->streams_opened;

	if (l->priorities > PRIORITIES_PER_STREAM * (1 + streams))
		http2_trip(h, HTTP2_LIMIT_http2_priority_floods);
	if (l->window_updates > WINDOW_UPDATES_SPARE + 2 * (streams + 10 * (uint64_t)l->data_frames_sent))
		http2_trip(h, HTTP2_LIMIT_http2_window_floods);
	if (l->total_bytes > OVERHEAD_BYTES_SPARE + OVERHEAD_FACTOR * l->payload_bytes)
		http2_trip(h, HTTP2_LIMIT_http2_frame_overheads);
}

static void watch_stream(struct http2 *h)
{
	struct http2_limits *l = &h->limits;
	uint32_t newest = h->past.newest, error;

	if (!h->codec.is_server)
		return;
	error = http2_past_take(&h->past, l->type, l->stream_id, l->flags & NGHTTP2_FLAG_END_STREAM);
	/* Now, and not when the library has come to it: frames that follow are measured by it. */
	if (h->past.newest != newest)
		l->streams_opened++;
	if (error != NGHTTP2_NO_ERROR)
		http2_break(h, error);
}

/* The head of a frame is complete. */
static void watch_frame(struct http2 *h, uint32_t length)
{
	struct http2_limits *l = &h->limits;

	if (l->block_open && (l->type != NGHTTP2_CONTINUATION || l->stream_id != l->block_stream))
		http2_break(h, NGHTTP2_PROTOCOL_ERROR);	/* before what else may be wrong with it */
	l->total_bytes += HTTP2_FRAME_HEAD_BYTES + length;
	l->begin_have = l->begin_want = 0;
	switch (l->type) {
	case NGHTTP2_DATA:
		watch_stream(h);
		watch_empty(h, length == 0 && !(l->flags & NGHTTP2_FLAG_END_STREAM));
		/* padding is no content: watch_begin() */
		l->payload_bytes += l->flags & NGHTTP2_FLAG_PADDED ? 0 : length;
		l->begin_want = l->flags & NGHTTP2_FLAG_PADDED ? 1 : 0;
		if (l->begin_want > length)
			http2_break(h, NGHTTP2_FRAME_SIZE_ERROR);
		break;
	case NGHTTP2_HEADERS:
		watch_stream(h);
		watch_headers(h, length);
		break;
	case NGHTTP2_CONTINUATION:
		watch_headers(h, length);
		break;
	case NGHTTP2_RST_STREAM:
		watch_stream(h);
		take_reset(h);
		break;
	case NGHTTP2_SETTINGS:
		watch_settings(h);
		break;
	case NGHTTP2_PING:
		watch_ping(h);
		break;
	case NGHTTP2_PRIORITY:
		l->priorities++;
		l->begin_want = sizeof(l->begin);
		if (l->stream_id == 0)
			http2_break(h, NGHTTP2_PROTOCOL_ERROR);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		l->window_updates++;
		break;
	default:
		take_glitch(h);
		break;
	}
	watch_counts(h);
}

/* Bytes of a header block: size updates of the dynamic table stand before its first field. */
static void watch_block(struct http2 *h, const uint8_t *at, size_t len)
{
	struct http2_limits *l = &h->limits;

	for (size_t i = 0; i < len && l->at_block_start; i++) {
		if (l->prefix_left > 0) {
			l->prefix_left--;
		} else if (l->in_size_update) {
			l->in_size_update = at[i] & 0x80;
		} else if ((at[i] & 0xe0) == 0x20) {
			l->in_size_update = (at[i] & 0x1f) == 0x1f;
			if (++l->size_updates > SIZE_UPDATES_MAX)
				http2_trip(h, HTTP2_LIMIT_http2_table_churns);
		} else {
			l->at_block_start = false;
		}
	}
}

static uint32_t number_at(const uint8_t *at)
{
	return ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) & 0x7fffffff;
}

/* What the library does not look at in frames that it ignores. */
static void watch_begin(struct http2 *h, uint32_t length)
{
	struct http2_limits *l = &h->limits;

	if (l->type == NGHTTP2_DATA && l->begin[0] >= length)
		http2_break(h, NGHTTP2_PROTOCOL_ERROR);
	else if (l->type == NGHTTP2_DATA)
		l->payload_bytes += length - l->begin[0] - 1;
	else if (number_at(l->begin) == l->stream_id)	/* a priority that depends on itself */
		http2_break(h, NGHTTP2_PROTOCOL_ERROR);
}

/* Collects the nine bytes of a frame's head; how many were used. */
static size_t take_frame_head(struct http2 *h, const uint8_t *at, size_t len)
{
	struct http2_limits *l = &h->limits;
	size_t used = 0;

	while (used < len && l->head_have < HTTP2_FRAME_HEAD_BYTES)
		l->head[l->head_have++] = at[used++];
	if (l->head_have < HTTP2_FRAME_HEAD_BYTES)
		return used;
	l->head_have = 0;
	l->payload_left = (uint32_t)l->head[0] << 16 | (uint32_t)l->head[1] << 8 | l->head[2];
	l->type = l->head[3];
	l->flags = l->head[4];
	l->stream_id = number_at(l->head + 5);
	watch_frame(h, l->payload_left);
	return used;
}

static size_t take_payload(struct http2 *h, const uint8_t *at, size_t len)
{
	struct http2_limits *l = &h->limits;

	if (len > l->payload_left)
		len = l->payload_left;
	if ((l->type == NGHTTP2_HEADERS || l->type == NGHTTP2_CONTINUATION) && l->at_block_start)
		watch_block(h, at, len);
	for (size_t i = 0; i < len && l->begin_have < l->begin_want; i++) {
		l->begin[l->begin_have++] = at[i];
		if (l->begin_have == l->begin_want)
			watch_begin(h, (uint32_t)l->head[0] << 16 | (uint32_t)l->head[1] << 8 | l->head[2]);
	}
	l->payload_left -= (uint32_t)len;
	return len;
}

/* So many requests in one turn of the loop are enough; the others of the worker want theirs. */
static bool turn_is_over(struct http2 *h)
{
	struct http2_limits *l = &h->limits;
	int64_t now_us = worker_now_us(worker_of(h));

	if (l->turn_us != now_us) {
		l->turn_us = now_us;
		l->started = 0;
	}
	return h->codec.is_server && l->started >= REQUESTS_PER_TURN && !l->block_open;
}

size_t http2_watch_input(struct http2 *h, struct slice in)
{
	struct http2_limits *l = &h->limits;
	const uint8_t *at = (const uint8_t *)in.at;
	size_t used = 0;

	while (l->preface_have < HTTP2_PREFACE_BYTES && used < in.len) {
		l->preface_have++;
		used++;
	}
	while (used < in.len && h->tripped < 0) {
		if (l->payload_left > 0)
			used += take_payload(h, at + used, in.len - used);
		else if (l->head_have == 0 && turn_is_over(h))
			break;
		else
			used += take_frame_head(h, at + used, in.len - used);
	}
	return used;
}

/* ---- what we send, and how streams end ---- */

/* Codes that blame the peer: it can make us send those at will. */
static bool is_violation(uint32_t code)
{
	return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
	       code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR;
}

void http2_watch_frame_sent(struct http2 *h, const nghttp2_frame *frame)
{
	struct http2_limits *l = &h->limits;

	l->total_bytes += HTTP2_FRAME_HEAD_BYTES + frame->hd.length;
	if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
		l->payload_bytes += frame->hd.length;
	if (frame->hd.type == NGHTTP2_DATA)
		l->data_frames_sent++;
	if (frame->hd.type != NGHTTP2_RST_STREAM)
		return;
	if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM)
		take_glitch(h);
	if (!is_violation(frame->rst_stream.error_code))
		return;
	take_reset(h);
	if (!window_take(&l->violations, VIOLATIONS_MAX, VIOLATION_WINDOW_MS, worker_now_ms(worker_of(h))))
		http2_trip(h, HTTP2_LIMIT_http2_violation_floods);
}

void http2_watch_close(struct http2 *h, const struct http2_stream *s)
{
	struct http2_limits *l = &h->limits;
	int64_t lived_us = worker_now_us(worker_of(h)) - s->stream.started_us;

	if (!h->codec.is_server)	/* what it resets was asked for by us */
		return;
	l->streams_closed++;
	if (s->remote_reset && !s->head_sent && lived_us < PREMATURE_MS * 1000)
		l->streams_premature++;
	if (2 * l->streams_premature >= (l->streams_closed >= PREMATURE_SAMPLE ? l->streams_closed : PREMATURE_SAMPLE))
		http2_trip(h, HTTP2_LIMIT_http2_premature_resets);
}
