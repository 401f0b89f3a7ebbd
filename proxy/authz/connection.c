/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.c - one connection to an agent: opening, HELLO, questions out, answers in.
 *
 * Stream ids count up from 1 and are never used twice on a connection. An id's low bits are its
 * place in the table of open questions; the place remembers the whole id, so that an old answer
 * never meets a new question. Places still taken by a slow question are skipped. */
#include "proxy/authz/client_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "sallyport/clock.h"

#define FRAME_ID	1

#define CONNECTION_TEXT(name)	#name,
static const char *const state_names[] = { CONNECTION_STATES(CONNECTION_TEXT) };

#define TO(name)	(1u << CONNECTION_##name)
static const uint8_t may_follow[CONNECTION_STATE_COUNT] = {
	[CONNECTION_IDLE]       = TO(CONNECTING) | TO(HELLO) | TO(BACKOFF),
	[CONNECTION_BACKOFF]    = TO(CONNECTING) | TO(HELLO) | TO(BACKOFF),
	[CONNECTION_CONNECTING] = TO(HELLO) | TO(BACKOFF) | TO(IDLE),
	[CONNECTION_HELLO]      = TO(READY) | TO(BACKOFF) | TO(IDLE),
	[CONNECTION_READY]      = TO(BACKOFF) | TO(IDLE) | TO(LEAVING),
	[CONNECTION_LEAVING]    = TO(IDLE),
};

static struct authz_client *client_of(const struct authz_connection *x)
{
	return x->agent->client;
}

static void enter(struct authz_connection *x, enum connection_state next)
{
	if (!(may_follow[x->state] & 1u << next))
		fatal("authz connection: %s cannot lead to %s", state_names[x->state],
		      state_names[next]);
	if (x->state == CONNECTION_READY || next == CONNECTION_READY)
		count_add(&client_of(x)->counters.connections_ready, next == CONNECTION_READY ? 1 : -1);
	x->state = next;
}

/* ---- closing ---- */

static int64_t backoff_ms(const struct authz_connection *x)
{
	unsigned doublings = x->failures < 8 ? x->failures : 8;
	int64_t ms = (int64_t)AUTHZ_BACKOFF_MIN_MS << doublings;

	return ms < AUTHZ_BACKOFF_MAX_MS ? ms : AUTHZ_BACKOFF_MAX_MS;
}

static void drop_socket(struct authz_connection *x)
{
	event_del(&x->timer);
	if (x->fd < 0)
		return;
	event_del(&x->readable);
	event_del(&x->writable);
	close(x->fd);
	x->fd = -1;
}

/* Each sent check finds another connection, or fails. */
static void lose_checks(struct authz_connection *x)
{
	if (x->in_flight > 0)
		authz_agent_missed(x->agent);
	for (size_t i = 0; i <= x->by_id_mask && x->in_flight > 0; i++)
		if (x->by_id[i] != NULL)
			client_lost(x->by_id[i]);
	must(x->in_flight == 0);
}

/* The socket is gone or not to be trusted. A probe tells its agent; others come back later. */
static void fail_connection(struct authz_connection *x)
{
	bool settled = x->state == CONNECTION_READY &&
		       clock_monotonic_ms() - x->ready_ms >= AUTHZ_SETTLED_MS;

	drop_socket(x);
	if (x->probe) {
		if (x->state != CONNECTION_IDLE)
			enter(x, CONNECTION_IDLE);
		authz_agent_probed(x->agent, false);
		return;
	}
	if (settled)
		x->failures = 0;
	authz_agent_failed(x->agent);
	if (x->agent->leaving) {
		enter(x, CONNECTION_IDLE);
	} else {
		enter(x, CONNECTION_BACKOFF);
		client_arm(&x->timer, client_jitter(client_of(x), backoff_ms(x)));
		x->failures++;
	}
	lose_checks(x);
	client_wake(client_of(x));
}

/* The first failure is news, its repetition while nobody answers is not. */
static void complain(const struct authz_connection *x, const char *what, const char *why)
{
	bool news = x->agent->failing_since_ms == 0 && !x->probe;

	log_line(news ? LOG_WARN : LOG_DEBUG, "authz", "agent %s: %s%s%s", x->agent->name, what,
		 *why != '\0' ? ": " : "", why);
}

/* Best effort: one try, and only if nothing else stands in the way. */
static void send_disconnect(struct authz_connection *x, enum spop_status status)
{
	unsigned char bytes[SPOP_FRAME_SIZE_MIN + SPOP_LENGTH_BYTES];
	struct spop_writer w = spop_writer_of(bytes, sizeof(bytes));

	if (x->fd < 0 || x->out_bytes > x->out_sent)
		return;
	spop_write_disconnect(&w, SPOP_HAPROXY_DISCONNECT, status, NULL);
	if (!w.full && send(x->fd, bytes, spop_writer_used(&w), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("authz", "agent %s: DISCONNECT not sent: %s", x->agent->name,
			  strerror(errno));
}

static void authz_connection_close(struct authz_connection *x, enum spop_status status)
{
	log_warn("authz", "agent %s: DISCONNECT %d sent: %s", x->agent->name, (int)status,
		 spop_status_text(status));
	send_disconnect(x, status);
	fail_connection(x);
}

/* ---- writing ---- */

void authz_connection_flush(struct authz_connection *x)
{
	ssize_t n;

	if (x->fd < 0 || x->out_bytes == x->out_sent || x->state < CONNECTION_HELLO)
		return;
	count_add(&client_of(x)->counters.writes, 1);
	n = send(x->fd, x->out + x->out_sent, x->out_bytes - x->out_sent,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		complain(x, "send", strerror(errno));
		fail_connection(x);
		return;
	}
	x->out_sent += n > 0 ? (size_t)n : 0;
	if (x->out_sent == x->out_bytes)
		x->out_sent = x->out_bytes = 0;
	else if (event_add(&x->writable, NULL) != 0)
		fatal("authz: cannot watch a socket");
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct authz_connection *x = arg;

	(void)fd;
	(void)what;
	authz_connection_flush(x);
	client_wake(client_of(x));
}

static void *reserve(unsigned char **bytes, size_t *capacity, size_t needed)
{
	size_t size = *capacity > 0 ? *capacity : 4096;

	while (size < needed)
		size *= 2;
	if (size != *capacity) {
		*bytes = realloc(*bytes, size);
		if (*bytes == NULL)
			fatal("out of memory: %zu bytes for an authz connection", size);
		*capacity = size;
	}
	return *bytes;
}

/* Room behind what is queued; written bytes make way first. */
static unsigned char *out_room(struct authz_connection *x, size_t bytes)
{
	if (x->out_sent > 0) {
		memmove(x->out, x->out + x->out_sent, x->out_bytes - x->out_sent);
		x->out_bytes -= x->out_sent;
		x->out_sent = 0;
	}
	reserve(&x->out, &x->out_capacity, x->out_bytes + bytes);
	return x->out + x->out_bytes;
}

bool authz_connection_takes(const struct authz_connection *x)
{
	unsigned limit = x->pipelining ? client_of(x)->config.in_flight_max : 1;

	return x->state == CONNECTION_READY && x->in_flight < limit &&
	       x->out_bytes - x->out_sent + SPOP_HEADER_MAX + x->frame_size <= AUTHZ_OUTPUT_BYTES;
}

static void take_id(struct authz_connection *x, struct authz_check *k)
{
	while (x->by_id[x->next_id & x->by_id_mask] != NULL)
		x->next_id++;
	k->stream_id = x->next_id++;
	x->by_id[k->stream_id & x->by_id_mask] = k;
	x->in_flight++;
}

void authz_connection_send(struct authz_connection *x, struct authz_check *k)
{
	unsigned char *out = out_room(x, SPOP_HEADER_MAX + k->payload_bytes);
	size_t head;

	take_id(x, k);
	head = spop_put_head(out, SPOP_NOTIFY, SPOP_FIN, k->stream_id, FRAME_ID, k->payload_bytes);
	memcpy(out + head, k->payload, k->payload_bytes);
	x->out_bytes += head + k->payload_bytes;
	x->agent->counters.asked++;
}

void authz_connection_forget(struct authz_connection *x, struct authz_check *k)
{
	struct authz_check **place = &x->by_id[k->stream_id & x->by_id_mask];

	must(*place == k);
	*place = NULL;
	x->in_flight--;
	if (x->agent->leaving || x->in_flight + 1 >= (x->pipelining ? client_of(x)->config.in_flight_max : 1))
		client_wake(client_of(x));	/* somebody may wait for the place, or for the end */
}

/* ---- reading ---- */

static bool on_hello(struct authz_connection *x, const struct spop_frame *f)
{
	struct spop_hello hello;
	enum spop_status status;

	status = spop_decode_agent_hello(f->payload, client_of(x)->config.max_frame_size, &hello);
	if (f->flags != SPOP_FIN || f->stream_id != 0 || f->frame_id != 0)
		status = SPOP_INVALID;
	if (status != SPOP_NORMAL) {
		authz_connection_close(x, status);
		return false;
	}
	if (x->probe) {
		drop_socket(x);
		enter(x, CONNECTION_IDLE);
		authz_agent_probed(x->agent, true);
		return false;
	}
	x->frame_size = hello.max_frame_size;
	x->pipelining = spop_list_has(hello.capabilities, SLICE("pipelining"));
	x->ready_ms = clock_monotonic_ms();
	enter(x, CONNECTION_READY);
	client_arm(&x->timer, client_of(x)->config.idle_ms);
	if (!x->opened_before)
		log_info("authz", "agent %s answers", x->agent->name);
	else
		count_add(&client_of(x)->counters.reconnects, 1);
	x->opened_before = true;
	authz_agent_greeted(x->agent);
	client_wake(client_of(x));
	return true;
}

static bool on_ack(struct authz_connection *x, const struct spop_frame *f)
{
	struct authz_check *k = x->by_id[f->stream_id & x->by_id_mask];
	struct authz_counters *counters = &client_of(x)->counters;

	if (!(f->flags & SPOP_FIN)) {
		authz_connection_close(x, SPOP_NO_FRAGMENTATION);
		return false;
	}
	x->failures = 0;
	authz_agent_is_well(x->agent);
	if (k != NULL && k->stream_id == f->stream_id && f->frame_id == FRAME_ID) {
		client_answered(k, f->payload);
	} else if (f->stream_id > 0 && f->stream_id < x->next_id && f->frame_id == FRAME_ID) {
		count_add(&counters->late, 1);
		x->agent->counters.late++;
	} else {
		count_add(&counters->unknown, 1);
	}
	return true;
}

static bool on_disconnect(struct authz_connection *x, const struct spop_frame *f)
{
	enum spop_status status;
	struct slice text;

	spop_decode_disconnect(f->payload, &status, &text);
	if (status == SPOP_NORMAL)
		log_info("authz", "agent %s: DISCONNECT 0 received: %.*s", x->agent->name,
			 SLICE_ARG(text));
	else
		log_warn("authz", "agent %s: DISCONNECT %d received: %.*s", x->agent->name,
			 (int)status, SLICE_ARG(text));
	fail_connection(x);
	return false;
}

/* False: the connection was closed. */
static bool on_frame(struct authz_connection *x, const struct spop_frame *f)
{
	switch (f->type) {
	case SPOP_AGENT_DISCONNECT:
		return on_disconnect(x, f);
	case SPOP_AGENT_HELLO:
		if (x->state == CONNECTION_HELLO)
			return on_hello(x, f);
		authz_connection_close(x, SPOP_INVALID);
		return false;
	case SPOP_ACK:
		if (x->state == CONNECTION_READY)
			return on_ack(x, f);
		authz_connection_close(x, SPOP_INVALID);
		return false;
	default:
		return true;	/* skipped */
	}
}

/* Handles what is whole, keeps the rest. False: the connection was closed. */
static bool handle_frames(struct authz_connection *x)
{
	struct slice rest = slice_make(x->in, x->in_bytes);
	enum outcome o = AGAIN;
	enum spop_status why;
	struct spop_frame f;
	size_t limit;

	while (rest.len > 0) {
		limit = x->state == CONNECTION_READY ? x->frame_size
						     : client_of(x)->config.max_frame_size;
		o = spop_cut_frame(&rest, limit, &f, &why);
		if (o != OK)
			break;
		if (!on_frame(x, &f))
			return false;
	}
	if (o == FAILED) {
		authz_connection_close(x, why);
		return false;
	}
	memmove(x->in, rest.at, rest.len);
	x->in_bytes = rest.len;
	return true;
}

/* Whatever comes is of no interest any more; the end is. */
static bool is_over(const struct authz_connection *x)
{
	ssize_t n;

	do
		n = recv(x->fd, x->in, x->in_capacity, MSG_DONTWAIT);
	while (n > 0);
	return n == 0 || (errno != EAGAIN && errno != EINTR);
}

/* The last of it: the agent is freed by the pump. */
static void end_leaving(struct authz_connection *x)
{
	drop_socket(x);
	enter(x, CONNECTION_IDLE);
	client_wake(client_of(x));
}

static void hear_goodbye(struct authz_connection *x)
{
	if (is_over(x))
		end_leaving(x);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct authz_connection *x = arg;
	size_t room;
	ssize_t n;

	(void)what;
	if (x->state == CONNECTION_LEAVING) {
		hear_goodbye(x);
		return;
	}
	do {
		room = x->in_capacity - x->in_bytes;
		n = recv(fd, x->in + x->in_bytes, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR) {
			n = (ssize_t)room;
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			complain(x, "connection lost", n < 0 ? strerror(errno) : "closed by the agent");
			fail_connection(x);
			return;
		}
		x->in_bytes += (size_t)n;
		if (!handle_frames(x))
			return;
	} while ((size_t)n == room);	/* a short read: nothing more for now */
}

/* ---- opening ---- */

static void say_hello(struct authz_connection *x)
{
	struct authz_client *c = client_of(x);
	struct spop_hello hello = {
		.max_frame_size = c->config.max_frame_size,
		.capabilities = SLICE("pipelining"),
		.healthcheck = x->probe,
		.engine_id = slice_of(c->engine_id),
	};
	struct spop_writer w = spop_writer_of(out_room(x, SPOP_FRAME_SIZE_MIN), SPOP_FRAME_SIZE_MIN);

	spop_write_client_hello(&w, &hello);
	must(!w.full);
	x->out_bytes += spop_writer_used(&w);
	enter(x, CONNECTION_HELLO);
	if (event_add(&x->readable, NULL) != 0)
		fatal("authz: cannot watch a socket");
	client_arm(&x->timer, c->config.hello_ms);
	authz_connection_flush(x);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct authz_connection *x = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
		complain(x, "connect", strerror(error));
		fail_connection(x);
		return;
	}
	event_assign(&x->writable, client_of(x)->base, fd, EV_WRITE, on_writable, x);
	say_hello(x);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct authz_connection *x = arg;

	(void)fd;
	(void)what;
	switch (x->state) {
	case CONNECTION_IDLE:
	case CONNECTION_STATE_COUNT:
		break;
	case CONNECTION_BACKOFF:
		if (!x->agent->leaving)	/* since this very turn */
			authz_connection_open(x);
		break;
	case CONNECTION_CONNECTING:
	case CONNECTION_HELLO:
		complain(x, x->state == CONNECTION_HELLO ? "no HELLO in time" : "connect timed out", "");
		authz_connection_close(x, SPOP_TIMED_OUT);
		break;
	case CONNECTION_LEAVING:
		end_leaving(x);
		break;
	case CONNECTION_READY:
		if (x->in_flight > 0 || x->next_id != x->id_at_timer) {
			x->id_at_timer = x->next_id;
			client_arm(&x->timer, client_of(x)->config.idle_ms);
			break;
		}
		send_disconnect(x, SPOP_NORMAL);
		drop_socket(x);
		enter(x, CONNECTION_IDLE);
		break;
	}
}

static void start_connect(struct authz_connection *x)
{
	const struct spop_address *to = &x->agent->address;
	int one = 1;

	if (to->at.ss_family != AF_UNIX)
		setsockopt(x->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(x->fd, (const struct sockaddr *)&to->at, to->len) == 0) {
		enter(x, CONNECTION_CONNECTING);
		say_hello(x);
		return;
	}
	if (errno != EINPROGRESS) {
		complain(x, "connect", strerror(errno));
		fail_connection(x);
		return;
	}
	enter(x, CONNECTION_CONNECTING);
	event_assign(&x->writable, client_of(x)->base, x->fd, EV_WRITE, on_connected, x);
	event_add(&x->writable, NULL);
	client_arm(&x->timer, client_of(x)->config.connect_ms);
}

void authz_connection_open(struct authz_connection *x)
{
	struct authz_client *c = client_of(x);

	must(x->fd < 0);
	x->tried_ms = clock_monotonic_ms();
	x->in_bytes = x->out_bytes = x->out_sent = 0;
	x->next_id = x->id_at_timer = 1;
	x->pipelining = false;
	reserve(&x->in, &x->in_capacity,
		x->probe ? SPOP_LENGTH_BYTES + c->config.max_frame_size
			 : c->config.max_frame_size + AUTHZ_INPUT_BYTES);
	x->fd = socket(x->agent->address.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (x->fd < 0) {
		complain(x, "socket", strerror(errno));
		fail_connection(x);
		return;
	}
	event_assign(&x->readable, c->base, x->fd, EV_READ | EV_PERSIST, on_readable, x);
	event_assign(&x->writable, c->base, x->fd, EV_WRITE, on_writable, x);
	start_connect(x);
}

void authz_connection_open_needed(struct authz_connection *x)
{
	if (x->state == CONNECTION_IDLE ||
	    (x->state == CONNECTION_BACKOFF &&
	     clock_monotonic_ms() - x->tried_ms >= AUTHZ_DEMAND_MS)) {
		event_del(&x->timer);
		authz_connection_open(x);
	}
}

void authz_connection_init(struct authz_connection *x, struct authz_agent *a, bool probe)
{
	size_t places = 2;

	*x = (struct authz_connection){ .agent = a, .probe = probe, .fd = -1 };
	while (places < 2 * (size_t)a->client->config.in_flight_max)
		places *= 2;
	if (!probe) {
		x->by_id = calloc(places, sizeof(*x->by_id));
		if (x->by_id == NULL)
			fatal("out of memory: authz connection");
		x->by_id_mask = places - 1;
	}
	if (event_assign(&x->timer, a->client->base, -1, 0, on_timer, x) != 0)
		fatal("authz: cannot make events");
}

void authz_connection_fini(struct authz_connection *x)
{
	drop_socket(x);
	free(x->by_id);
	free(x->in);
	free(x->out);
}

bool authz_connection_say_goodbye(struct authz_connection *x)
{
	if (x->fd < 0 || (x->state != CONNECTION_READY && x->state != CONNECTION_LEAVING))
		return false;
	if (!x->said_goodbye) {
		x->said_goodbye = true;
		send_disconnect(x, SPOP_NORMAL);
	}
	return !is_over(x);
}

bool authz_connection_has_left(struct authz_connection *x)
{
	switch (x->state) {
	case CONNECTION_READY:
		if (x->in_flight > 0 || x->out_bytes > x->out_sent)
			return false;
		send_disconnect(x, SPOP_NORMAL);
		x->said_goodbye = true;
		enter(x, CONNECTION_LEAVING);
		client_arm(&x->timer, AUTHZ_GOODBYE_MS);
		return false;
	case CONNECTION_LEAVING:
		return false;
	default:
		drop_socket(x);
		return true;
	}
}
