/* SPDX-License-Identifier: Apache-2.0
 *
 * http1_peer.h - for the tests of the HTTP/1.1 codec: a codec on a real transport whose other end
 * the test holds, and an owner of streams that writes down what it hears, one event a line:
 *
 *     head GET http example.com /path length=5 | name: value | …
 *     data hello
 *     end
 *
 * Pieces of data are joined, so that the same bytes give the same text however they were cut. */
#ifndef SALLYPORT_TEST_HTTP1_PEER_H
#define SALLYPORT_TEST_HTTP1_PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/codec.h"
#include "proxy/net/worker.h"
#include "sallyport/log.h"
#include "sallyport/text.h"

struct peer {
	struct worker *worker;
	struct transport transport;
	int fd;				/* the other end */
	struct codec *codec;
	struct codec_settings settings;
	struct arena *arena;
	struct codec_stream *stream;	/* NULL: none in progress */
	struct message *message;	/* last head */
	struct text events, out;
	bool in_data;			/* the last line is data and may go on */
	bool closed;
	unsigned wants_input_calls;

	/* what the owner does */
	bool quiet;			/* server: does not answer by itself */
	size_t take_most;		/* of each piece of data; 0: all */
	bool take_nothing;
	void (*on_message)(struct peer *p);	/* server: in place of the usual answer */
};

static inline void peer_line(struct peer *p)
{
	if (p->in_data)
		text_add_char(&p->events, '\n');
	p->in_data = false;
}

static inline void peer_print_head(struct peer *p, const struct message *m)
{
	static const char *const framings[] = { "none", "length", "chunked", "until-close" };

	if (p->codec->is_server)
		text_printf(&p->events, "%.*s %.*s %.*s %.*s", SLICE_ARG(m->method), SLICE_ARG(m->scheme),
			    SLICE_ARG(m->authority), SLICE_ARG(m->path));
	else
		text_printf(&p->events, "%u", m->status);
	text_printf(&p->events, " %s", framings[m->framing]);
	if (m->framing == FRAMING_LENGTH)
		text_printf(&p->events, "=%llu", (unsigned long long)m->content_length);
	if (m->version == HTTP_1_0)
		text_add(&p->events, SLICE(" 1.0"));
	if (m->expect_continue)
		text_add(&p->events, SLICE(" expect"));
	if (m->upgrade)
		text_add(&p->events, SLICE(" upgrade"));
	for (struct header *f = headers_begin(&m->headers); f != NULL; f = headers_next(&m->headers, f)) {
		must(header_id_of(f->name) == f->id);
		text_printf(&p->events, " | %.*s: %.*s", SLICE_ARG(f->name), SLICE_ARG(f->value));
	}
}

/* The usual answer: that status, no body. */
static inline void peer_answer(struct peer *p, unsigned status)
{
	struct codec_stream *cs = p->stream;
	struct message m = { .status = status, .version = HTTP_1_1 };

	headers_init(&m.headers, p->arena, 0);
	p->stream = NULL;
	codec_send_head(cs, &m, true);
}

static inline void peer_message(struct peer *p)
{
	if (p->on_message != NULL)
		p->on_message(p);
	else if (p->codec->is_server && !p->quiet)
		peer_answer(p, 200);
	else if (!p->codec->is_server)
		p->stream = NULL;
}

static inline void on_peer_head(void *owner, struct message *m, bool end)
{
	struct peer *p = owner;

	peer_line(p);
	p->message = m;
	text_add(&p->events, SLICE("head "));
	peer_print_head(p, m);
	text_add(&p->events, end ? SLICE(" end\n") : SLICE("\n"));
	if (end)
		peer_message(p);
}

static inline void on_peer_refused(void *owner, const struct refusal *why, struct message *partial)
{
	struct peer *p = owner;

	peer_line(p);
	p->message = partial;
	must(partial != NULL);
	text_printf(&p->events, "refused %u [%s] %s\n", why->status, why->body, why->details);
	if (!p->quiet)
		peer_answer(p, why->status);
}

static inline size_t on_peer_data(void *owner, struct slice bytes)
{
	struct peer *p = owner;

	if (p->take_nothing)
		return 0;
	if (p->take_most > 0 && bytes.len > p->take_most)
		bytes.len = p->take_most;
	if (!p->in_data)
		text_add(&p->events, SLICE("data "));
	p->in_data = true;
	text_add(&p->events, bytes);
	return bytes.len;
}

static inline void on_peer_end(void *owner, struct headers *trailers)
{
	struct peer *p = owner;

	peer_line(p);
	text_add(&p->events, SLICE("end"));
	for (struct header *f = trailers != NULL ? headers_begin(trailers) : NULL; f != NULL;
	     f = headers_next(trailers, f))
		text_printf(&p->events, " | %.*s: %.*s", SLICE_ARG(f->name), SLICE_ARG(f->value));
	text_add_char(&p->events, '\n');
	peer_message(p);
}

static inline void on_peer_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct peer *p = owner;

	peer_line(p);
	text_printf(&p->events, "reset %s, %s\n", reset_reason_text(why), detail != NULL ? detail : "-");
	p->stream = NULL;
}

static inline void on_peer_writable(void *owner)
{
	struct peer *p = owner;

	peer_line(p);
	text_add(&p->events, SLICE("writable\n"));
}

static const struct stream_events peer_stream_events = {
	.on_head = on_peer_head,
	.on_refused = on_peer_refused,
	.on_data = on_peer_data,
	.on_end = on_peer_end,
	.on_reset = on_peer_reset,
	.on_writable = on_peer_writable,
};

static inline void *on_peer_open(void *connection, struct codec_stream *cs, struct arena **arena,
				 const struct stream_events **events)
{
	struct peer *p = connection;

	must(p->stream == NULL);
	p->stream = cs;
	*arena = p->arena;
	*events = &peer_stream_events;
	return p;
}

static inline void on_peer_idle(void *connection)
{
	struct peer *p = connection;

	peer_line(p);
	must(p->stream == NULL);
	text_add(&p->events, SLICE("idle\n"));
}

static inline void on_peer_wants_input(void *connection)
{
	struct peer *p = connection;

	p->wants_input_calls++;
}

static inline void on_peer_close(void *connection, bool lingering)
{
	struct peer *p = connection;

	peer_line(p);
	must(!p->closed);
	p->closed = true;
	text_add(&p->events, lingering ? SLICE("close lingering\n") : SLICE("close\n"));
}

static const struct codec_events peer_codec_events = {
	.on_open = on_peer_open,
	.on_idle = on_peer_idle,
	.on_wants_input = on_peer_wants_input,
	.on_close = on_peer_close,
};

static inline void on_peer_transport(void *owner)
{
	(void)owner;
}

static inline void on_peer_transport_connected(void *owner, enum outcome how)
{
	(void)owner, (void)how;
}

static const struct transport_events peer_transport_events = {
	.on_readable = on_peer_transport,
	.on_writable = on_peer_transport,
	.on_connected = on_peer_transport_connected,
	.on_closed = on_peer_transport,
};

static inline struct codec_settings peer_settings(bool is_server)
{
	return (struct codec_settings){
		.head_bytes_max = is_server ? 61440 : 81920,
		.header_count_max = 100,
		.interim_max = 16,
		.connection_tokens_max = 9,
	};
}

/* The worker stays the caller's: it is made once and used by many. */
static inline void peer_open(struct peer *p, struct worker *w, bool is_server)
{
	int fds[2];

	*p = (struct peer){ .worker = w, .settings = peer_settings(is_server) };
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	p->fd = fds[1];
	p->arena = arena_create(0);
	transport_init(&p->transport, w, fds[0], &peer_transport_events, p);
	p->codec = (is_server ? http1_server : http1_client)(&p->transport, &p->settings,
							     &peer_codec_events, p);
}

static inline void peer_close(struct peer *p)
{
	p->quiet = true;
	p->on_message = NULL;
	p->codec->ops->failed(p->codec, RESET_CONNECTION_TERMINATION);
	p->codec->ops->destroy(p->codec);
	transport_close(&p->transport);
	close(p->fd);
	arena_free(&p->arena);
	text_fini(&p->events);
	text_fini(&p->out);
}

static inline void peer_feed(struct peer *p, struct slice bytes)
{
	buffer_append(p->worker, &p->transport.in, bytes);
	p->codec->ops->feed(p->codec);
}

static inline void peer_feed_bytewise(struct peer *p, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		peer_feed(p, slice_make(bytes.at + i, 1));
}

static inline void peer_eof(struct peer *p)
{
	p->codec->ops->eof(p->codec);
}

/* The events so far. */
static inline const char *peer_events(struct peer *p)
{
	peer_line(p);
	return text_slice(&p->events).at;
}

/* All that was written so far. */
static inline const char *peer_written(struct peer *p)
{
	char bytes[65536];
	ssize_t n;

	do {
		if (!p->transport.dead)
			transport_flush(&p->transport);
		n = read(p->fd, bytes, sizeof(bytes));
		if (n > 0)
			text_add(&p->out, slice_make(bytes, (size_t)n));
		if (n > 0)
			p->transport.writable = true;
	} while (n > 0);
	return text_slice(&p->out).at;
}

/* Client: opens a stream and sends a request without a body. */
static inline void peer_request(struct peer *p, const char *method)
{
	struct message *m = arena_new(p->arena, struct message);

	m->method = slice_of(method);
	m->authority = SLICE("a");
	m->path = SLICE("/");
	headers_init(&m->headers, p->arena, 0);
	p->stream = p->codec->ops->open(p->codec, p, &peer_stream_events, p->arena);
	must(p->stream != NULL);
	codec_send_head(p->stream, m, true);
}

#endif
