/* SPDX-License-Identifier: Apache-2.0
 *
 * http2_priv.h - what the files of the HTTP/2 codec share. Framing, HPACK and windows are
 * libnghttp2's; what a request may be, who waits for whom and what is abuse is decided here.
 *
 *     http2.c          the codec's table, the session, input and output, ends: either role
 *     http2_server.c   what only a server does
 *     http2_client.c   what only a client does
 *     http2_head.c     header blocks, field by field
 *     http2_request.c  header blocks to requests (spec/http.md 18)
 *     http2_response.c header blocks to responses
 *     http2_write.c    messages to frames
 *     http2_limits.c   what a peer may do how often (spec/http.md 19)
 *     http2_past.c     frames for streams that are over
 *     http2_memory.c   what libnghttp2 takes its memory from
 *
 * No byte that goes out is kept: send_data() hands its bytes to the frames that leave inside the call,
 * and what windows or the transport do not take stays with the owner, who is called when they do. Bytes
 * that the owner did not take wait in the stream's own buffer, never more than its window. A server
 * gives the connection's window back with the stream's, so that all that clients send stays within it;
 * a client gives it back at once, since its streams belong to strangers who must not stall each other. */
#ifndef SALLYPORT_PROXY_HTTP2_PRIV_H
#define SALLYPORT_PROXY_HTTP2_PRIV_H

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "proxy/http/http1_priv.h"
#include "proxy/net/timer.h"

#define HTTP2_STREAM_WINDOW	65536		/* spec 17 */
#define HTTP2_CONNECTION_WINDOW	(1024 * 1024)
#define HTTP2_RESPONSE_WINDOW	(256 * 1024)	/* of a stream to a server */
#define HTTP2_OUT_BYTES_MAX	(32u * 1024)	/* written, not yet sent: no further frames */
#define HTTP2_SETTINGS_ACK_MS	10000
#define HTTP2_FIELD_OVERHEAD	32u		/* of a field in the size of a list (RFC 9113 6.5.2) */
#define HTTP2_PREFACE_BYTES	24u
#define HTTP2_FRAME_HEAD_BYTES	9u
#define HTTP2_FRAME_BUFFERS	65536u		/* of a worker, in pages of their own; more come from malloc() */
#define HTTP2_PAST_STREAMS	128u		/* of a client, remembered */

/* What a header block is wrong in. */
enum http2_fault {
	HTTP2_FINE,
	HTTP2_STREAM_FAULT,	/* RST_STREAM(PROTOCOL_ERROR) */
	HTTP2_SESSION_FAULT	/* and the end of the connection: rows marked C of spec 18 */
};

struct http2;

struct http2_stream {
	struct codec_stream stream;
	LIST_ENTRY(http2_stream) link;
	TAILQ_ENTRY(http2_stream) hungry_link;
	int32_t id;
	struct message *message;	/* in the owner's arena, as long as it is `owned` */
	struct headers *trailers;	/* being received */

	/* the head or trailers being received */
	enum http2_fault fault;
	const struct refusal *refusal;	/* well-formed, but not served; or NULL */
	struct slice host, cookies;
	uint32_t block_bytes, field_count;	/* decoded, with the overhead */
	uint32_t pseudo_seen;
	bool regular_seen;

	/* input */
	struct buffer in;		/* not taken by the owner yet */
	uint64_t received;		/* bytes of DATA */
	bool head_told, input_ended, end_told;

	bool tunnel;			/* of an extended CONNECT (RFC 8441): each direction ends by itself */
	/* server: one of those */
	struct slice protocol;		/* of :protocol; absent: it is none */
	bool held_back;			/* its bytes are nobody's before the head of status 101 */
	bool deaf;			/* or ever: another status was the answer */
	/* client */
	bool upgrade;			/* another one: 2xx grants it */
	const struct message *unasked;	/* whose head waits for the server's SETTINGS; or NULL */
	bool head_request;		/* the response has no body, */
	bool bodyless;			/* or for another reason */
	uint32_t interim_count;
	const struct headers *late_trailers;	/* of the owner; they wait for the head to leave */

	/* output */
	struct slice offered;		/* during send_data() */
	uint64_t output_left;		/* of a body whose length was announced */
	int64_t stalled_ms;		/* since when the owner waits; 0: it does not */
	int64_t linger_due_ms;		/* until then the rest of the request is dropped; 0: it is not */
	bool counted;			/* its length was announced, */
	bool early_end;			/* and no trailers: its last byte is its end */
	bool head_sent;			/* the final one was submitted */
	bool head_left;			/* client: and has left */
	bool error_sent;		/* its status was 400 or more */
	bool lingers;			/* the rest of its request may come when the response is over */
	bool swallow;			/* no body may be sent */
	bool ended;			/* the owner sent the end */
	bool end_sent;			/* END_STREAM left */
	bool wants_writable, hungry;

	bool cut;			/* RST_STREAM was submitted */
	bool is_open;			/* client: counted as such */
	uint8_t held;			/* calls under way that still look at it */
	bool owned;			/* its owner hears of it */
	bool closed;			/* the library has forgotten it, or never knew it */
	bool remote_reset;
};

/* Fills up by `rate` a second, holds at most `burst`. */
struct http2_bucket {
	int64_t filled_us;		/* 0: never used, full */
	uint32_t tokens;
};
/* Events since the start of a window of time. */
struct http2_window {
	int64_t began_ms;
	uint32_t count;
};

/* Bit n: the stream whose id is 2n below the newest. */
typedef unsigned __int128 http2_past_bits;
struct http2_past {
	http2_past_bits used, ended;
	uint32_t newest;		/* 0: none */
};

struct http2_limits {
	/* the frame that is being received */
	uint8_t head[HTTP2_FRAME_HEAD_BYTES];
	uint8_t head_have;
	uint8_t type, flags;
	uint32_t stream_id, block_stream;
	uint8_t begin[4];		/* of its payload, where a check needs it */
	uint8_t begin_have, begin_want;
	uint32_t payload_left;
	uint32_t prefix_left;		/* pad length and priority of HEADERS, before the block */
	uint8_t preface_have;
	bool block_open;		/* a header block has not ended */
	bool at_block_start, in_size_update;
	uint8_t size_updates;
	uint8_t continuations, empty_frames;

	/* of the connection */
	uint64_t total_bytes, payload_bytes;	/* received and sent; of bodies and header blocks */
	uint32_t priorities, window_updates, data_frames_sent, pings_received, resets_received;
	uint32_t streams_opened, streams_closed, streams_premature;
	struct http2_bucket resets, glitches;
	struct http2_window pings, settings, violations;
	int64_t turn_us;		/* of `started` */
	uint32_t started;		/* requests in this loop turn */
};

/* What a role does in its own way. */
struct http2_role {
	/* A head begins; `known` is the stream of that id where there is one. NULL: nobody's. */
	struct http2_stream *(*begin)(struct http2 *h, struct http2_stream *known, int32_t id);
	void (*begin_head)(struct http2_stream *s);
	void (*add_pseudo)(struct http2_stream *s, struct slice name, struct slice value);
	void (*add_regular)(struct http2_stream *s, struct slice name, struct slice value);
	void (*end_head)(struct http2_stream *s, bool end);
	/* A frame that is none of HEADERS, DATA and RST_STREAM. */
	void (*on_frame)(struct http2 *h, const nghttp2_frame *frame);
	void (*drain)(struct http2 *h);
	void (*finish_drain)(struct http2 *h);	/* when drain_due_ms has come */
};

struct http2 {
	struct codec codec;
	const struct http2_role *role;
	nghttp2_session *session;	/* owned */
	LIST_HEAD(, http2_stream) streams;
	TAILQ_HEAD(, http2_stream) hungry;	/* owners to call when the transport has room */
	unsigned stream_count;
	struct http2_limits limits;
	struct http2_past past;		/* server */
	int tripped;			/* enum http2_limit of what was exceeded, or -1 */
	uint32_t error;			/* code of a protocol error that we found */
	const char *fault;		/* details for the streams of a connection that ends in error */
	struct timer timer;		/* the nearest of these times; 0: off */
	int64_t ack_due_ms, head_due_ms, drain_due_ms, stall_due_ms, linger_due_ms;
	bool busy;			/* inside the library: it must not be entered again */
	bool waking;
	bool idle_due;			/* on_idle() is due */
	bool draining, drained;		/* the notice, the last word were sent */
	bool closing;			/* on_close() was called */
	/* client */
	uint32_t streams_max, streams_open;	/* ours to allow; that the server counts */
	bool settled;			/* the server's SETTINGS have come, */
	bool heard;			/* and nobody was told yet */
	bool room_due;			/* on_room() is due, if there is room */
	bool ending;			/* nothing more comes: closes when what came was taken */
};

static inline struct http2_stream *http2_stream_of(struct codec_stream *cs)
{
	return (struct http2_stream *)cs;
}

static inline struct http2 *http2_of(const struct http2_stream *s)
{
	return (struct http2 *)s->stream.codec;
}

/* ---- http2.c ---- */

/* The same for all connections. */
extern nghttp2_session_callbacks *http2_callbacks;
extern nghttp2_option *http2_options;

/* Copied by the session that is made with it; `w` has to outlive that. */
nghttp2_mem http2_memory(struct worker *w);

/* Without its session. */
struct http2 *http2_create(struct transport *t, const struct codec_settings *settings,
			   const struct codec_events *events, void *connection, const struct http2_role *role);
/* Owned, and nobody's yet. */
struct http2_stream *http2_stream_create(struct http2 *h);
/* Writes what can be written, and calls those who wait for room. */
void http2_run_output(struct http2 *h);
/* Can the transport take more now? Else on_writable() follows. */
bool http2_has_room(struct http2 *h);
/* Frees the stream when neither owner nor library nor a call under way knows it any more. */
void http2_release(struct http2_stream *s);
/* The owner has let go; the stream is freed when the library has forgotten it too. */
void http2_let_go(struct http2_stream *s);
/* The response cannot go on before the client reads: it may not take for ever. */
void http2_wait_for_room(struct http2_stream *s);
/* Of this stream the library will say no more. */
void http2_forget(struct http2_stream *s);
/* The head of status 101 was sent: what came early is offered. */
void http2_open_tunnel(struct http2_stream *s);
/* RST_STREAM, and on_reset() where somebody listens. */
void http2_reset(struct http2_stream *s, uint32_t code, enum reset_reason why, const char *detail);

/* ---- http2_head.c ---- */

void http2_found(struct http2_stream *s, enum http2_fault fault);
void http2_refuse(struct http2_stream *s, const struct refusal *why);
/* The peer breaks the rules of messages. */
void http2_break_off(struct http2_stream *s);
void http2_begin_trailers(struct http2_stream *s);
void http2_take_length(struct http2_stream *s, struct slice value);
/* One field of the block in progress; false: the block is beyond all bounds. */
bool http2_add_field(struct http2_stream *s, struct slice name, struct slice value);
/* The block is complete: checks it as a whole, and sets what follows from it. */
void http2_end_head(struct http2_stream *s, bool end);

/* ---- http2_request.c: of struct http2_role ---- */

void http2_begin_request(struct http2_stream *s);
void http2_add_request_pseudo(struct http2_stream *s, struct slice name, struct slice value);
void http2_add_request_field(struct http2_stream *s, struct slice name, struct slice value);
void http2_end_request(struct http2_stream *s, bool end);

/* ---- http2_client.c ---- */

bool http2_can_open(const struct codec *c);
struct codec_stream *http2_open(struct codec *c, void *owner, const struct stream_events *events,
				struct arena *arena);

/* ---- http2_response.c: of struct http2_role ---- */

void http2_begin_response(struct http2_stream *s);
void http2_add_response_pseudo(struct http2_stream *s, struct slice name, struct slice value);
void http2_add_response_field(struct http2_stream *s, struct slice name, struct slice value);
void http2_end_response(struct http2_stream *s, bool end);

/* ---- http2_write.c ---- */

void http2_send_head(struct codec_stream *cs, const struct message *m, bool end);
size_t http2_send_data(struct codec_stream *cs, struct slice bytes);
void http2_send_end(struct codec_stream *cs, const struct headers *trailers);
/* The head of the request has left. */
void http2_head_left(struct http2_stream *s);
/* The server's SETTINGS have come, for which a request to upgrade waited. */
void http2_ask_upgrade(struct http2_stream *s);
/* The library's callback for the payload of a DATA frame. */
int http2_write_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
		     nghttp2_data_source *source, void *arg);

/* ---- http2_limits.c ---- */

/* Looks at the frames in `in` before the library does: how many bytes it may have in this turn. Sets
 * h->tripped. */
size_t http2_watch_input(struct http2 *h, struct slice in);
void http2_watch_frame_sent(struct http2 *h, const nghttp2_frame *frame);
void http2_watch_close(struct http2 *h, const struct http2_stream *s);
/* The connection is to end: when the library has been left. */
void http2_trip(struct http2 *h, enum http2_limit which);
void http2_break(struct http2 *h, uint32_t code);
/* The error code that goes with a limit. */
uint32_t http2_limit_code(enum http2_limit which);

/* ---- http2_past.c ---- */

/* HEADERS, DATA or RST_STREAM came for `id`: the error of the connection, or NGHTTP2_NO_ERROR. */
uint32_t http2_past_take(struct http2_past *p, uint8_t type, uint32_t id, bool end);

#endif
