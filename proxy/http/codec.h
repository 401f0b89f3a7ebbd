/* SPDX-License-Identifier: Apache-2.0
 *
 * codec.h - one table of functions for HTTP/1 and HTTP/2, either role.
 *
 * A codec turns the bytes of a transport into the events of streams, and heads, data and ends
 * into bytes. It knows no routes and no other connection. One codec a connection, one
 * codec_stream a request and its response, on HTTP/1.1 too.
 *
 * Flow control is one rule on both versions: on_data() says how much the owner took. What it did
 * not take stays with the codec, the sender stops (HTTP/1: stop reading; HTTP/2: no window
 * update), and it is offered again after resume(). The other way round send_data() says how much
 * the connection took; on_writable() asks for the rest.
 *
 * Owner    connections own codecs; codec_streams belong to the codec. A server stream is gone for
 *          its owner after send_head() with `end`, send_end() or reset() (which it calls) or
 *          on_reset() (which it gets); a client stream after on_end() or on_reset() (which it gets),
 *          after on_head() with `end`, or after reset() (which it calls). No event follows. Of
 *          tunnels see send_head(). A server
 *          stream may end before its request did: the codec then closes the connection, lingering.
 * Calls    a server's send_head() with `end`, send_end() and resume() may open the next pipelined
 *          stream before they return, except inside an event: then it opens when the event is over.
 * Thread   the worker's. Blocks never.
 * Fails    errors of the peer arrive as on_refused() (server, before the head), on_reset() and
 *          on_close(). No callback may free the connection or codec inside an event: connections are
 *          marked closed and buried by the worker after the loop turn (transport.h). */
#ifndef SALLYPORT_PROXY_CODEC_H
#define SALLYPORT_PROXY_CODEC_H

#include "proxy/http/message.h"
#include "proxy/net/transport.h"

/* Why a stream ended early. X(identifier, text of spec/http.md 27, response flag) */
#define RESET_REASONS(X) \
	X(LOCAL_CONNECTION_FAILURE, "local connection failure", "UF") \
	X(REMOTE_CONNECTION_FAILURE, "remote connection failure", "UF") \
	X(CONNECTION_TIMEOUT, "connection timeout", "UF") \
	X(CONNECTION_TERMINATION, "connection termination", "UC") \
	X(LOCAL_RESET, "local reset", "LR") \
	X(LOCAL_REFUSED, "local refused stream reset", "LR") \
	X(OVERFLOW, "overflow", "UO") \
	X(REMOTE_RESET, "remote reset", "UR") \
	X(REMOTE_REFUSED, "remote refused stream reset", "UR") \
	X(PROTOCOL_ERROR, "protocol error", "UPE") \
	X(PREMATURE_HALF_CLOSE, "HTTP/1 premature upstream half close", "LR")

enum reset_reason {
#define X(id, text, flag) RESET_##id,
	RESET_REASONS(X)
#undef X
	RESET_REASON_COUNT
};
const char *reset_reason_text(enum reset_reason why);
const char *reset_reason_flag(enum reset_reason why);

struct codec;
struct codec_stream;

/* A head that was refused before it became a request: the reply to send and what the log says
 * (spec/http.md 2-9, 27). */
struct refusal {
	unsigned status;
	const char *body;	/* static; "" for none */
	const char *details;	/* response code details, e.g. "http1.codec_error" */
};

/* What a stream's owner hears. */
struct stream_events {
	/* Server: the request head; client: the response head, or an interim one (100, 102-104: then
	 * another head follows). `m` lives in the arena given by on_open() or open(). `end`:
	 * no body follows and on_end() is not called. */
	void (*on_head)(void *owner, struct message *m, bool end);
	/* Server only, in place of on_head(): the owner sends a local reply; the codec closes after it.
	 * `partial` holds what could be read of the request, for the log; its slices may be absent.
	 * Also after on_head(), with the same message, when the body or its trailers are malformed and no
	 * response head was sent yet: the owner gives up what it began for the request and replies. */
	void (*on_refused)(void *owner, const struct refusal *why, struct message *partial);
	/* Returns how many of the bytes were taken; fewer means: wait for resume(). */
	size_t (*on_data)(void *owner, struct slice bytes);
	/* The message is complete. `trailers` NULL where there are none (or they are dropped). */
	void (*on_end)(void *owner, struct headers *trailers);
	/* The message will never be complete; `detail` is static text or NULL. */
	void (*on_reset)(void *owner, enum reset_reason why, const char *detail);
	/* send_data() may take more again. */
	void (*on_writable)(void *owner);
};

/* What a peer may not do too often on HTTP/2 (spec/http.md 19). X(identifier, what is counted) */
#define HTTP2_LIMITS(X) \
	X(http2_protocol_errors, "HTTP/2 connections ended: protocol error") \
	X(http2_premature_resets, "HTTP/2 connections ended: most streams reset before a response") \
	X(http2_reset_floods, "HTTP/2 connections ended: RST_STREAM received too often") \
	X(http2_violation_floods, "HTTP/2 connections ended: too many malformed streams") \
	X(http2_continuation_floods, "HTTP/2 connections ended: too many CONTINUATION frames") \
	X(http2_header_bombs, "HTTP/2 connections ended: header block beyond twice its limit") \
	X(http2_table_churns, "HTTP/2 connections ended: too many HPACK table size updates") \
	X(http2_empty_frames, "HTTP/2 connections ended: frames without content") \
	X(http2_ping_floods, "HTTP/2 connections ended: PING received too often") \
	X(http2_settings_floods, "HTTP/2 connections ended: SETTINGS received too often") \
	X(http2_priority_floods, "HTTP/2 connections ended: PRIORITY received too often") \
	X(http2_window_floods, "HTTP/2 connections ended: WINDOW_UPDATE received too often") \
	X(http2_glitches, "HTTP/2 connections ended: too many frames of no meaning") \
	X(http2_frame_overheads, "HTTP/2 connections ended: too little content in too many frames") \
	X(http2_queue_floods, "HTTP/2 connections ended: too many frames wait to be sent") \
	X(http2_settings_timeouts, "HTTP/2 connections ended: SETTINGS not acknowledged") \
	X(http2_header_timeouts, "HTTP/2 connections ended: header block not complete in time") \
	X(http2_refused_streams, "HTTP/2 streams refused: too many at once") \
	X(http2_stalled_streams, "HTTP/2 streams reset: no room for the response in time")

enum http2_limit {
#define X(id, text) HTTP2_LIMIT_##id,
	HTTP2_LIMITS(X)
#undef X
	HTTP2_LIMIT_COUNT
};

/* What a connection hears of its codec. */
struct codec_events {
	/* Server: a request begins (its head is complete, or refused). Gives the owner and the arena
	 * for its message; sets *events. */
	void *(*on_open)(void *connection, struct codec_stream *cs, struct arena **arena,
			 const struct stream_events **events);
	/* No stream is in progress: a client connection may return to its pool, a server
	 * connection starts its idle timer. Called after the owner's last event. A pipelined request
	 * may open right after it. */
	void (*on_idle)(void *connection);
	/* wants_input() is true again, by a call from outside feed(): go on filling and feeding. May be
	 * NULL for a connection that looks after resume(), send_end() and writable() itself. */
	void (*on_wants_input)(void *connection);
	/* The connection is of no more use: to be closed once what is queued was written. `lingering`:
	 * shut down the write side, then discard input for the delayed-close time (spec 24.5). */
	void (*on_close)(void *connection, bool lingering);
	/* HTTP/2 client: can_open() is true after it was not, or the server has said how many streams
	 * it bears. Not from inside another event. */
	void (*on_room)(void *connection);
	/* HTTP/2: the peer went beyond it; to be counted. May be NULL. */
	void (*on_limit)(void *connection, enum http2_limit which);
};

struct codec_settings {
	/* spec/http.md 9; from Proxy.spec.limits and .http */
	uint32_t head_bytes_max, header_count_max;	/* requests 61440, 100; responses 81920, 100 */
	uint32_t interim_max;				/* 1xx responses per request: 16 */
	uint32_t connection_tokens_max;			/* 9 */
	uint32_t uri_bytes_max;				/* 0: off */
	bool accept_http10;
	bool keep_trailers;				/* HTTP/1: enable_trailers; false: parsed, dropped */
	enum { UNDERSCORES_ALLOW, UNDERSCORES_REJECT, UNDERSCORES_DROP } underscores;
	bool tls;					/* server: scheme of requests is https */
	const struct slice *extra_methods;		/* accepted beside those of spec/http.md 2 */
	uint32_t extra_method_count;
	/* HTTP/2 alone (spec/http.md 17, 19, 25, 32) */
	uint32_t concurrent_streams;			/* announced: 100 */
	uint32_t connection_streams;			/* then the connection drains: 10000 */
	int64_t head_ms;				/* a header block that has begun; 0: off */
	int64_t drain_grace_ms;				/* between both words of a drain */
	int64_t stall_ms;				/* a stream that the peer gives no room; 0: off */
	/* Server: of a request whose response is over, so much is read and dropped before RST_STREAM;
	 * linger_ms 0: nothing. */
	int64_t linger_ms;
	uint64_t linger_bytes;
};

struct codec_ops {
	const char *name;	/* "HTTP/1.1", "HTTP/2" */
	bool multiplexed;	/* many streams at once; after drain() on_close() follows by itself */
	/* Parses what the transport's input buffer holds, as far as it can now, and consumes it.
	 * After on_close() everything is discarded. */
	void (*feed)(struct codec *c);
	/* The peer closed its side (after feed() of all before it). */
	void (*eof)(struct codec *c);
	/* The transport failed or was closed under it: every live stream gets on_reset(). */
	void (*failed)(struct codec *c, enum reset_reason why);
	/* The transport's output buffer has room again. */
	void (*writable)(struct codec *c);
	/* Server: the head that has begun did not arrive in time: refused with 408, then closed. */
	void (*expire)(struct codec *c);
	/* Announces the end: no further request after those in progress. */
	void (*drain)(struct codec *c);
	/* Whether reading more input now is of use (HTTP/1: false while data was not taken, and while
	 * a request is in progress that another buffer's worth already waits behind). */
	bool (*wants_input)(const struct codec *c);
	/* The peer has begun a message, or owes one, and the rest has to come. */
	bool (*is_within)(const struct codec *c);
	/* Client: a new request; NULL when none can be opened now. */
	struct codec_stream *(*open)(struct codec *c, void *owner, const struct stream_events *events,
				     struct arena *arena);
	bool (*can_open)(const struct codec *c);	/* client: reusable for another request */
	bool (*is_idle)(const struct codec *c);	/* client: no stream is in progress */

	/* Queues the head; never refused (the output buffer grows for heads). A server's status 1xx is
	 * an interim one, but for 101. `end`: nothing follows. The codec writes framing fields itself (from
	 * m->framing and content_length, whatever the fields say), and `connection: close` where it will
	 * not persist. A body that is not allowed (HEAD, 204, 304) is swallowed.
	 *
	 * A request with m->upgrade comes with `end` false and brings no data before the owner sent a
	 * head of status 101; any other status ends it, and the connection where bytes came early.
	 *
	 * After 101 the stream is a tunnel: raw bytes both ways, each direction with its own end, on_end()
	 * and send_end(), which on HTTP/1 is a FIN. It is gone for its owner, on either role, when both have
	 * ended, or after a reset; a reset for any other reason than RESET_LOCAL_RESET cuts the connection off.
	 * On HTTP/2 it is an extended CONNECT (RFC 8441): shown to the owner with method GET and the field
	 * `upgrade` holding :protocol; a head of status 101 stands for :status 200. */
	void (*send_head)(struct codec_stream *cs, const struct message *m, bool end);
	size_t (*send_data)(struct codec_stream *cs, struct slice bytes);
	/* All data was taken; ends the message. */
	void (*send_end)(struct codec_stream *cs, const struct headers *trailers);
	void (*resume)(struct codec_stream *cs);
	/* Server: cuts the response short; client: gives up the request. */
	void (*reset)(struct codec_stream *cs, enum reset_reason why);
	void (*destroy)(struct codec *c);
};

struct codec {
	const struct codec_ops *ops;
	struct transport *transport;	/* borrowed: the connection's */
	const struct codec_settings *settings;	/* borrowed */
	const struct codec_events *events;
	void *connection;		/* first argument of the events */
	bool is_server;
	uint64_t unsafe_fields;		/* dropped by the writer: control bytes in name or value */
};

/* First member of each version's own stream struct. */
struct codec_stream {
	struct codec *codec;
	void *owner;
	const struct stream_events *events;
	struct arena *arena;
	int64_t started_us;		/* server: when its first byte was read (worker_now_us) */
	uint64_t bytes_in, bytes_out;	/* body bytes, without framing; of a tunnel with the head of 101 */
};

/* HTTP/1.1 (http1.c). Taken from the worker's free list where there is one. */
struct codec *http1_server(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection);
struct codec *http1_client(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection);

/* A request's whole head (with its empty line) as the server role reads it, without a connection: NULL: *out
 * is the request; else why it is refused, and *out what could be read of it. */
const struct refusal *http1_read_request(struct slice head, const struct codec_settings *settings,
					 struct arena *a, struct message *out);

/* HTTP/2 (http2.c). Server: the preface and all that follows is still to be fed. */
struct codec *http2_server(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection);

/* The preface is queued at once. `streams_max`: so many at a time, or what the server allows. */
struct codec *http2_client(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection, uint32_t streams_max);
/* How many the server allows at a time; 0: it did not say yet. */
uint32_t http2_streams_of_peer(const struct codec *c);

/* How far `bytes` agree with the 24 bytes that HTTP/2 begins with. */
enum preface { PREFACE_OTHER, PREFACE_MORE, PREFACE_HTTP2 };
enum preface http2_preface(struct slice bytes);

static inline void codec_feed(struct codec *c)
{
	c->ops->feed(c);
}

static inline void codec_send_head(struct codec_stream *cs, const struct message *m, bool end)
{
	cs->codec->ops->send_head(cs, m, end);
}

static inline size_t codec_send_data(struct codec_stream *cs, struct slice bytes)
{
	return cs->codec->ops->send_data(cs, bytes);
}

static inline void codec_send_end(struct codec_stream *cs, const struct headers *trailers)
{
	cs->codec->ops->send_end(cs, trailers);
}

static inline void codec_resume(struct codec_stream *cs)
{
	cs->codec->ops->resume(cs);
}

static inline void codec_reset(struct codec_stream *cs, enum reset_reason why)
{
	cs->codec->ops->reset(cs, why);
}

#endif
