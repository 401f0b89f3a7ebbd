/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.c - frames in, ACKs out.
 *
 * A connection that waits holds no input buffer: the thread's is filled with the rest of the last
 * frame and what came since, and what is not whole again is kept. Answers of a loop turn collect
 * in the output buffer and leave in one write. */
#include "spoa/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/log.h"

#define PEER_BYTES		80
#define OUT_FIRST_BYTES		4096
#define OUT_KEPT_BYTES		(160 << 10)	/* a larger buffer is freed when it is empty */

#define CONNECTION_STATES(X) \
	X(GREETING)		/* waits for HAPROXY-HELLO */ \
	X(SERVING) \
	X(LEAVING)		/* the last frame is queued; waits for the peer's close */ \
	X(DEAD)			/* no socket; to be buried */
#define CONNECTION_ENUM(name)	name,
enum state { CONNECTION_STATES(CONNECTION_ENUM) STATE_COUNT };
#define CONNECTION_TEXT(name)	#name,
static const char *const state_names[] = { CONNECTION_STATES(CONNECTION_TEXT) };

#define TO(name)	(1u << name)
static const uint8_t may_follow[STATE_COUNT] = {
	[GREETING] = TO(SERVING) | TO(LEAVING) | TO(DEAD),
	[SERVING]  = TO(LEAVING) | TO(DEAD),
	[LEAVING]  = TO(DEAD),
};

struct spoa_connection {
	TAILQ_ENTRY(spoa_connection) link;	/* of the thread's, or of its dead */
	TAILQ_ENTRY(spoa_connection) flush;
	struct spoa_thread *thread;
	enum state state;
	int fd;					/* -1 when dead */
	char peer[PEER_BYTES];
	struct event readable, writable, timer;	/* timer: for HELLO, then for the end */
	uint32_t frame_size;			/* agreed on */
	char *rest;				/* owned; bytes of a frame that is not whole */
	size_t rest_bytes, rest_capacity;
	unsigned char *out;			/* owned */
	size_t out_sent, out_bytes, out_capacity;
	struct inquiry_list outstanding;
	unsigned outstanding_count;
	bool to_be_flushed, paused, draining;

	bool fragment_open;
	uint64_t fragment_stream, fragment_frame;
	char *fragment;				/* owned */
	size_t fragment_bytes, fragment_capacity;
};

static void enter(struct spoa_connection *c, enum state next)
{
	if (!(may_follow[c->state] & 1u << next))
		fatal("connection of %s: %s cannot lead to %s", c->peer, state_names[c->state],
		      state_names[next]);
	c->state = next;
}

static void arm(struct event *timer, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (event_add(timer, &tv) != 0)
		fatal("spoa: cannot arm a timer");
}

/* Makes room for `needed` bytes in all, doubling. */
static void *grow(void *bytes, size_t *capacity, size_t needed)
{
	size_t size = *capacity > 0 ? *capacity : OUT_FIRST_BYTES;

	while (size < needed)
		size *= 2;
	if (size == *capacity)
		return bytes;
	bytes = realloc(bytes, size);
	if (bytes == NULL)
		fatal("out of memory: %zu bytes for a connection", size);
	*capacity = size;
	return bytes;
}

void spoa_connection_list_add(struct spoa_connection_list *to_flush, struct spoa_connection *c)
{
	TAILQ_INSERT_TAIL(to_flush, c, flush);
}

struct spoa_connection *spoa_connection_list_take(struct spoa_connection_list *to_flush)
{
	struct spoa_connection *c = TAILQ_FIRST(to_flush);

	if (c != NULL)
		TAILQ_REMOVE(to_flush, c, flush);
	return c;
}

struct spoa_connection *spoa_connection_next(const struct spoa_connection *c)
{
	return TAILQ_NEXT(c, link);
}

/* ---- closing ---- */

static void cancel_outstanding(struct spoa_connection *c)
{
	struct inquiry *q;

	while ((q = TAILQ_FIRST(&c->outstanding)) != NULL) {
		TAILQ_REMOVE(&c->outstanding, q, link);
		inquiry_cancel(q);
	}
	c->outstanding_count = 0;
}

void spoa_connection_close(struct spoa_connection *c)
{
	struct spoa_thread *t = c->thread;

	if (c->state == DEAD)
		return;
	enter(c, DEAD);
	cancel_outstanding(c);
	event_del(&c->readable);
	event_del(&c->writable);
	event_del(&c->timer);
	close(c->fd);
	c->fd = -1;
	if (c->to_be_flushed)
		TAILQ_REMOVE(&t->to_flush, c, flush);
	TAILQ_REMOVE(&t->connections, c, link);
	TAILQ_INSERT_TAIL(&t->dead, c, link);
	spoa_count(&t->counters.connections_now, -1);
	log_debug("agent", "%s: closed", c->peer);
}

void spoa_connection_bury(struct spoa_connection *c)
{
	TAILQ_REMOVE(&c->thread->dead, c, link);
	free(c->rest);
	free(c->out);
	free(c->fragment);
	free(c);
}

/* ---- writing ---- */

static void flush_later(struct spoa_connection *c)
{
	if (c->to_be_flushed)
		return;
	c->to_be_flushed = true;
	spoa_thread_flush_later(c->thread, c);
}

static struct spop_writer out_writer(struct spoa_connection *c, size_t bytes)
{
	if (c->out_sent > 0) {
		memmove(c->out, c->out + c->out_sent, c->out_bytes - c->out_sent);
		c->out_bytes -= c->out_sent;
		c->out_sent = 0;
	}
	c->out = grow(c->out, &c->out_capacity, c->out_bytes + bytes);
	return spop_writer_of(c->out + c->out_bytes, bytes);
}

static void out_commit(struct spoa_connection *c, const struct spop_writer *w)
{
	must(!w->full);
	c->out_bytes += spop_writer_used(w);
	flush_later(c);
}

/* Nothing more is answered; the peer gets what is queued and has a while to close. */
static void leave(struct spoa_connection *c)
{
	cancel_outstanding(c);
	enter(c, LEAVING);
	arm(&c->timer, SPOA_GOODBYE_MS);
	if (c->paused && event_add(&c->readable, NULL) != 0)
		fatal("spoa: cannot watch a socket");
	c->paused = false;
	flush_later(c);
}

static void disconnect(struct spoa_connection *c, enum spop_status status)
{
	struct spop_writer w = out_writer(c, SPOP_FRAME_SIZE_MIN);

	spop_write_disconnect(&w, SPOP_AGENT_DISCONNECT, status, NULL);
	out_commit(c, &w);
	spoa_count(&c->thread->counters.disconnects_sent, 1);
	log_line(status == SPOP_NORMAL ? LOG_INFO : LOG_WARN, "agent", "%s: DISCONNECT %d sent: %s",
		 c->peer, (int)status, spop_status_text(status));
	leave(c);
}

/* Output headers under names of their own, for a HAProxy without the bin actions. */
static void write_header_variables(struct spop_writer *w, struct slice headers_set)
{
	struct spop_reader r = spop_reader_of(headers_set);
	struct slice name, value;

	while (headers_set.at != NULL && spop_read_header(&r, &name, &value) == OK)
		check_reply_write_header_variable(w, name, value);
}

static bool write_ack(struct spop_writer *w, const struct inquiry *q,
		      const struct check_reply *reply)
{
	size_t begun = spop_begin_frame(w, SPOP_ACK, SPOP_FIN, q->stream_id, q->frame_id);

	if (reply != NULL) {
		if (!q->question.brief)
			write_header_variables(w, reply->headers_set);
		check_reply_write(w, reply);
	}
	spop_end_frame(w, begun);
	return !w->full;
}

void spoa_connection_answer(struct spoa_connection *c, struct inquiry *q,
			    const struct check_reply *reply)
{
	static const struct check_reply too_large = {
		.allow = false, .status = 500, .reason = { "error", 5 },
	};
	struct spop_writer w = out_writer(c, SPOP_LENGTH_BYTES + c->frame_size);

	if (!write_ack(&w, q, reply)) {
		log_warn("agent", "%s: an answer exceeds the frame size of %u", c->peer,
			 c->frame_size);
		w = out_writer(c, SPOP_LENGTH_BYTES + c->frame_size);
		write_ack(&w, q, &too_large);
	}
	out_commit(c, &w);
	TAILQ_REMOVE(&c->outstanding, q, link);
	c->outstanding_count--;
	spoa_count(&c->thread->counters.acks, 1);
	inquiry_give_back(q);
	if (c->draining && c->outstanding_count == 0 && c->state == SERVING)
		disconnect(c, SPOP_NORMAL);
}

static size_t unsent(const struct spoa_connection *c)
{
	return c->out_bytes - c->out_sent;
}

/* False: the socket is dead, and so is the connection. */
static bool write_out(struct spoa_connection *c)
{
	ssize_t n;

	if (unsent(c) == 0)
		return true;
	spoa_count(&c->thread->counters.writes, 1);
	n = send(c->fd, c->out + c->out_sent, unsent(c), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		log_info("agent", "%s: %s", c->peer, strerror(errno));
		spoa_connection_close(c);
		return false;
	}
	c->out_sent += n > 0 ? (size_t)n : 0;
	if (unsent(c) > 0) {
		if (event_add(&c->writable, NULL) != 0)
			fatal("spoa: cannot watch a socket");
		return true;
	}
	c->out_sent = c->out_bytes = 0;
	if (c->out_capacity > OUT_KEPT_BYTES) {
		free(c->out);
		c->out = NULL;
		c->out_capacity = 0;
	}
	return true;
}

static void handle_frames(struct spoa_connection *c, struct slice bytes);

/* What was read before the pause is handled, then more is read. */
static void resume(struct spoa_connection *c)
{
	char *input = c->thread->input;
	size_t n = c->rest_bytes;

	c->paused = false;
	if (event_add(&c->readable, NULL) != 0)
		fatal("spoa: cannot watch a socket");
	if (n > 0)
		memcpy(input, c->rest, n);
	c->rest_bytes = 0;
	handle_frames(c, slice_make(input, n));
}

void spoa_connection_flush(struct spoa_connection *c)
{
	c->to_be_flushed = false;
	if (!write_out(c))
		return;
	if (c->state == LEAVING && unsent(c) == 0)
		shutdown(c->fd, SHUT_WR);
	else if (c->paused && !c->draining && c->state == SERVING &&
		 unsent(c) <= SPOA_OUTPUT_BYTES / 2)
		resume(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush_later(arg);
}

/* ---- frames ---- */

static bool on_hello(struct spoa_connection *c, const struct spop_frame *f)
{
	const struct spoa_options *options = c->thread->options;
	struct spop_hello hello;
	enum spop_status status = spop_decode_client_hello(f->payload, &hello);
	struct spop_writer w;

	if (!(f->flags & SPOP_FIN) || f->stream_id != 0 || f->frame_id != 0)
		status = SPOP_INVALID;
	if (status != SPOP_NORMAL) {
		disconnect(c, status);
		return false;
	}
	c->frame_size = hello.max_frame_size < options->frame_size ? hello.max_frame_size
								   : options->frame_size;
	w = out_writer(c, SPOP_FRAME_SIZE_MIN);
	spop_write_agent_hello(&w, c->frame_size, options->fragmentation
			       ? SLICE("pipelining,fragmentation") : SLICE("pipelining"));
	out_commit(c, &w);
	log_debug("agent", "%s: HELLO%s, engine %.*s, frames of %u bytes", c->peer,
		  hello.healthcheck ? " of a health check" : "", SLICE_ARG(hello.engine_id),
		  c->frame_size);
	if (hello.healthcheck) {
		leave(c);
		return false;
	}
	event_del(&c->timer);
	enter(c, SERVING);
	return true;
}

static bool on_disconnect(struct spoa_connection *c, const struct spop_frame *f)
{
	enum spop_status status;
	struct slice text;

	spop_decode_disconnect(f->payload, &status, &text);
	spoa_count(&c->thread->counters.disconnects_received, 1);
	log_line(status == SPOP_NORMAL ? LOG_INFO : LOG_WARN, "agent",
		 "%s: DISCONNECT %d received: %.*s", c->peer, (int)status, SLICE_ARG(text));
	disconnect(c, SPOP_NORMAL);
	return false;
}

/* A whole question, in one frame or many. False: no more is read from this connection. */
static bool ask(struct spoa_connection *c, uint64_t stream_id, uint64_t frame_id,
		struct slice payload)
{
	struct inquiry *q;

	if (c->outstanding_count >= c->thread->options->outstanding_max) {
		disconnect(c, SPOP_RESOURCES);
		return false;
	}
	q = inquiry_take(c->thread, c, stream_id, frame_id);
	TAILQ_INSERT_TAIL(&c->outstanding, q, link);
	c->outstanding_count++;
	spoa_count(&c->thread->counters.notifies, 1);
	if (inquiry_start(q, payload) == INQUIRY_MALFORMED) {
		disconnect(c, SPOP_INVALID);
		return false;
	}
	return c->state == SERVING;
}

static bool add_fragment(struct spoa_connection *c, struct slice part)
{
	if (part.len > SPOA_FRAGMENTS_BYTES - c->fragment_bytes) {
		disconnect(c, SPOP_TOO_BIG);
		return false;
	}
	c->fragment = grow(c->fragment, &c->fragment_capacity, c->fragment_bytes + part.len);
	memcpy(c->fragment + c->fragment_bytes, part.at, part.len);
	c->fragment_bytes += part.len;
	return true;
}

static void drop_fragment(struct spoa_connection *c)
{
	free(c->fragment);
	c->fragment = NULL;
	c->fragment_bytes = c->fragment_capacity = 0;
	c->fragment_open = false;
}

static bool on_notify(struct spoa_connection *c, const struct spop_frame *f)
{
	enum spop_status status = SPOP_NORMAL;

	if (c->fragment_open)
		status = SPOP_INTERLACED;
	else if (!(f->flags & SPOP_FIN) && !c->thread->options->fragmentation)
		status = SPOP_NO_FRAGMENTATION;
	if (status != SPOP_NORMAL) {
		disconnect(c, status);
		return false;
	}
	if (f->flags & SPOP_FIN)
		return ask(c, f->stream_id, f->frame_id, f->payload);
	c->fragment_open = true;
	c->fragment_stream = f->stream_id;
	c->fragment_frame = f->frame_id;
	return add_fragment(c, f->payload);
}

static bool on_continuation(struct spoa_connection *c, const struct spop_frame *f)
{
	bool served;

	if (!c->fragment_open || f->stream_id != c->fragment_stream ||
	    f->frame_id != c->fragment_frame) {
		disconnect(c, SPOP_INTERLACED);
		return false;
	}
	if (f->flags & SPOP_ABORT) {
		drop_fragment(c);
		return true;
	}
	if (!add_fragment(c, f->payload))
		return false;
	if (!(f->flags & SPOP_FIN))
		return true;
	served = ask(c, f->stream_id, f->frame_id, slice_make(c->fragment, c->fragment_bytes));
	drop_fragment(c);
	return served;
}

/* False: no more is read from this connection. */
static bool on_frame(struct spoa_connection *c, const struct spop_frame *f)
{
	if (f->type == SPOP_HAPROXY_DISCONNECT)
		return on_disconnect(c, f);
	if (c->state == GREETING && f->type == SPOP_HAPROXY_HELLO)
		return on_hello(c, f);
	if (c->state == GREETING || f->type == SPOP_HAPROXY_HELLO) {
		disconnect(c, SPOP_INVALID);
		return false;
	}
	if (f->type == SPOP_NOTIFY)
		return on_notify(c, f);
	if (f->type == SPOP_UNSET)
		return on_continuation(c, f);
	return true;	/* unknown types are skipped */
}

static void keep_rest(struct spoa_connection *c, struct slice bytes)
{
	if (bytes.len > 0) {
		c->rest = grow(c->rest, &c->rest_capacity, bytes.len);
		memcpy(c->rest, bytes.at, bytes.len);
	}
	c->rest_bytes = bytes.len;
}

static void handle_frames(struct spoa_connection *c, struct slice bytes)
{
	enum spop_status why;
	struct spop_frame f;
	enum outcome o;

	for (;;) {
		if (unsent(c) > SPOA_OUTPUT_BYTES) {
			c->paused = true;
			event_del(&c->readable);
			break;
		}
		o = spop_cut_frame(&bytes, c->frame_size, &f, &why);
		if (o == AGAIN)
			break;
		if (o == FAILED) {
			disconnect(c, why);
			return;
		}
		if (!on_frame(c, &f))
			return;
	}
	keep_rest(c, bytes);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct spoa_connection *c = arg;
	char *input = c->thread->input;
	size_t kept = c->state == LEAVING ? 0 : c->rest_bytes;
	ssize_t n = recv(fd, input + kept, SPOA_INPUT_BYTES - kept, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (n < 0)
			log_info("agent", "%s: %s", c->peer, strerror(errno));
		spoa_connection_close(c);
		return;
	}
	if (c->state == LEAVING)
		return;		/* of no interest any more */
	if (kept > 0)
		memcpy(input, c->rest, kept);
	c->rest_bytes = 0;
	handle_frames(c, slice_make(input, kept + (size_t)n));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct spoa_connection *c = arg;

	(void)fd;
	(void)what;
	if (c->state == GREETING)
		disconnect(c, SPOP_TIMED_OUT);
	else
		spoa_connection_close(c);
}

void spoa_connection_drain(struct spoa_connection *c)
{
	c->draining = true;
	if (c->state == GREETING || (c->state == SERVING && c->outstanding_count == 0)) {
		disconnect(c, SPOP_NORMAL);
	} else if (c->state == SERVING && !c->paused) {
		c->paused = true;
		event_del(&c->readable);
	}
}

void spoa_connection_open(struct spoa_thread *t, int fd, const char *peer)
{
	struct spoa_connection *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("out of memory: connection");
	c->thread = t;
	c->fd = fd;
	c->state = GREETING;
	c->frame_size = SPOP_HELLO_SIZE_MAX;
	snprintf(c->peer, sizeof(c->peer), "%s", peer);
	TAILQ_INIT(&c->outstanding);
	TAILQ_INSERT_TAIL(&t->connections, c, link);
	spoa_count(&t->counters.connections, 1);
	spoa_count(&t->counters.connections_now, 1);
	if (event_assign(&c->readable, t->base, fd, EV_READ | EV_PERSIST, on_readable, c) != 0 ||
	    event_assign(&c->writable, t->base, fd, EV_WRITE, on_writable, c) != 0 ||
	    event_assign(&c->timer, t->base, -1, 0, on_timer, c) != 0 ||
	    event_add(&c->readable, NULL) != 0)
		fatal("spoa: cannot watch a socket");
	arm(&c->timer, SPOA_HELLO_MS);
}
