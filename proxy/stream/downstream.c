/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/downstream_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "proxy/http/pump.h"
#include "proxy/stream/stream.h"

#define LINGER_STALL_MS	30000	/* without a byte of the last response written */

static void set_timer(struct downstream *d, int64_t after_ms)
{
	struct worker *w = d->server->worker;

	if (after_ms > 0)
		timer_set(w, &d->timer, worker_now_ms(w) + after_ms, downstream_on_timer);
	else
		timer_cancel(w, &d->timer);
}

static void bury(struct worker *w, struct grave *g)
{
	struct downstream *d = container_of(g, struct downstream, grave);

	if (d->codec != NULL)
		d->codec->ops->destroy(d->codec);
	peer_identity_free(&d->identity);
	free(d->balancer);
	free(d->hello.name);
	free(d->texts);
	listener_drop(d->listener);
	snapshot_use_drop(&d->use);
	worker_recycle(w, WORKER_DOWNSTREAM, d);
}

static void end(struct downstream *d, bool abort)
{
	struct server *s = d->server;

	if (d->phase == PHASE_CLOSED)
		return;
	d->phase = PHASE_CLOSED;
	if (d->transport.tls_flooded)
		count_up(&s->counters.tls_message_floods, 1);
	if (d->codec != NULL)
		d->codec->ops->failed(d->codec, RESET_CONNECTION_TERMINATION);
	if (d->session != NULL)
		tcp_session_end(d->session);
	timer_cancel(s->worker, &d->timer);
	timer_cancel(s->worker, &d->stall);
	timer_cancel(s->worker, &d->grace);
	if (abort)
		transport_abort(&d->transport);
	else
		transport_close(&d->transport);
	TAILQ_REMOVE(&s->downstreams, d, link);
	atomic_store_explicit(&s->counters.connections_active,
		atomic_load_explicit(&s->counters.connections_active, memory_order_relaxed) - 1,
		memory_order_relaxed);
	server_connection_closed(s);
	worker_bury(s->worker, &d->grave, bury);
}

void downstream_close(struct downstream *d)
{
	end(d, false);
}

void downstream_abort(struct downstream *d)
{
	end(d, true);
}

void downstream_end(struct downstream *d, const char *why)
{
	if (!d->transport.dead)
		d->end_reason = why;
	end(d, false);
}

const char *downstream_end_reason(const struct downstream *d)
{
	return d->end_reason;
}

/* Time for our FIN to arrive; a peer that has said its last word is not waited for. */
static void wait_for_peer(struct downstream *d)
{
	int64_t close_ms = limits_of(d)->delayed_close_ms;

	set_timer(d, d->transport.eof || close_ms == 0 ? 1 : close_ms);
}

/* What is queued may take its time as long as it moves; on_writable() tells when all of it went. */
static bool is_still_writing(struct downstream *d)
{
	struct transport *t = &d->transport;

	if (t->dead || transport_pending(t) == 0 || t->bytes_out == d->lingered_out)
		return false;
	d->lingered_out = t->bytes_out;
	t->want_writable = true;
	set_timer(d, LINGER_STALL_MS);
	return true;
}

/* Our FIN after what is queued, then the peer's words are discarded for a while, so that it sees the
 * reply and not a reset (spec/http.md 24.5). */
static void linger(struct downstream *d)
{
	struct transport *t = &d->transport;

	if (d->phase >= PHASE_LINGER)
		return;
	d->phase = PHASE_LINGER;
	transport_shutdown(t);
	wait_for_peer(d);
	buffer_release(d->server->worker, &t->in);
	if (t->readable)	/* no edge tells of what is there already */
		worker_resume_later(d->server->worker, t);
}

/* HTTP/2 says so first, and closes by itself. */
static void end_idle(struct downstream *d)
{
	if (d->codec->ops->multiplexed)
		downstream_drain(d);
	else
		linger(d);
}

static void start_codec(struct downstream *d, bool http2);

/* Bytes that may still become either are the beginning of an HTTP/1 head that came too slowly. */
static void expire_preface(struct downstream *d)
{
	if (buffer_len(&d->transport.in) == 0) {
		count_up(&d->server->counters.idle_timeouts, 1);
		linger(d);
		return;
	}
	count_up(&d->server->counters.header_timeouts, 1);
	start_codec(d, false);
	codec_feed(d->codec);
	d->codec->ops->expire(d->codec);
}

void downstream_count_tls_failure(struct downstream *d, enum tls_failure which)
{
	struct server_counters *c = &d->server->counters;

	count_up(&c->tls_failures, 1);
	switch (which) {
#define X(id, text) case TLS_FAILURE_##id: count_up(&c->id, 1); break;
	TLS_FAILURES(X)
#undef X
	case TLS_FAILURE_COUNT:
		break;
	}
}

void downstream_on_timer(struct timer *t)
{
	struct downstream *d = container_of(t, struct downstream, timer);

	if (d->phase == PHASE_LINGER && is_still_writing(d))
		return;
	if (d->phase == PHASE_HTTP && d->streams > 0)
		return;		/* the stream has its own */
	if (d->phase == PHASE_HTTP && buffer_len(&d->transport.in) > 0) {
		count_up(&d->server->counters.header_timeouts, 1);
		if (d->codec->ops->expire != NULL) {
			d->codec->ops->expire(d->codec);
			return;
		}
	} else if (d->phase == PHASE_HTTP) {
		count_up(&d->server->counters.idle_timeouts, 1);
		end_idle(d);
		return;
	} else if (d->phase == PHASE_PREFACE) {
		expire_preface(d);
		return;
	}
	if (d->phase == PHASE_PROXY)
		count_up(&d->server->counters.proxy_malformed, 1);
	if (d->phase == PHASE_HANDSHAKE || d->phase == PHASE_HELLO)
		downstream_count_tls_failure(d, TLS_FAILURE_tls_timeouts);
	downstream_close(d);
}

static void discard_input(struct downstream *d)
{
	struct transport *t = &d->transport;
	enum outcome got;

	while ((got = transport_fill(t, 0)) == OK) {
		d->discarded += buffer_len(&t->in);
		buffer_release(d->server->worker, &t->in);
		if (d->discarded > (size_t)limits_of(d)->linger_bytes)
			break;
	}
	/* Closing now would cut off what is on its way; the write that ends it sets the timer anew. */
	if (got != AGAIN && (t->dead || transport_pending(t) == 0))
		downstream_close(d);
}

/* The request head has a time limit from its first byte, the wait for one another. */
static void watch_head(struct downstream *d)
{
	if (d->phase != PHASE_HTTP || d->streams > 0)
		return;
	if (buffer_len(&d->transport.in) == 0)
		return;
	if (!timer_is_set(&d->timer) || d->timer.at_ms > worker_now_ms(d->server->worker) +
						       limits_of(d)->request_header_ms)
		set_timer(d, limits_of(d)->request_header_ms);
}

static void pump(struct downstream *d)
{
	/* What the codec left for this turn. */
	if (d->codec->ops->multiplexed && buffer_len(&d->transport.in) > 0)
		codec_feed(d->codec);
	codec_pump(d->codec);
	/* A reset found by reading is told to the codec alone; the connection is ours to end. */
	if (d->transport.dead)
		downstream_close(d);
	else
		watch_head(d);
}

/* Reads until it is known what is spoken; the codec then goes on with the same bytes. */
static void read_preface(struct downstream *d)
{
	struct transport *t = &d->transport;
	enum preface how = PREFACE_MORE;
	enum outcome got = OK;

	while (how == PREFACE_MORE && (got = transport_fill(t, 0)) == OK) {
		how = http2_preface(buffer_slice(&t->in));
		/* A reset that came along with these bytes makes no edge of its own. */
		transport_look_again(t);
	}
	if (got == FAILED) {
		downstream_close(d);
		return;
	}
	if (got == AGAIN) {
		if (buffer_len(&d->transport.in) > 0 && limits_of(d)->request_header_ms > 0 && !d->begun) {
			d->begun = true;
			set_timer(d, limits_of(d)->request_header_ms);
		}
		return;
	}
	start_codec(d, how == PREFACE_HTTP2);
	codec_feed(d->codec);
	if (got == CLOSED && d->phase == PHASE_HTTP)
		d->codec->ops->eof(d->codec);
	if (d->phase == PHASE_HTTP)
		pump(d);
}

/* codec events */

static void *on_stream_open(void *connection, struct codec_stream *cs, struct arena **arena,
			    const struct stream_events **events)
{
	struct downstream *d = connection;
	struct stream *s;

	d->streams++;
	s = stream_create(d, cs);
	*arena = stream_arena(s);
	*events = &stream_events;
	return s;
}

static void on_codec_idle(void *connection)
{
	struct downstream *d = connection;

	if (d->phase != PHASE_HTTP)
		return;
	/* What was read ahead may be the beginning of a head. */
	set_timer(d, !d->codec->ops->multiplexed && buffer_len(&d->transport.in) > 0 ?
		  limits_of(d)->request_header_ms : limits_of(d)->idle_ms);
}

static void on_codec_close(void *connection, bool lingering)
{
	(void)lingering;
	linger(connection);
}

static void on_codec_wants_input(void *connection)
{
	struct downstream *d = connection;

	if (d->phase == PHASE_HTTP)
		pump(d);
}

static void on_codec_limit(void *connection, enum http2_limit which)
{
	server_count_limit(&((struct downstream *)connection)->server->counters, which);
}

static const struct codec_events codec_events = {
	.on_open = on_stream_open,
	.on_idle = on_codec_idle,
	.on_close = on_codec_close,
	.on_wants_input = on_codec_wants_input,
	.on_limit = on_codec_limit,
};

static void start_codec(struct downstream *d, bool http2)
{
	const struct codec_settings *settings = d->chain->tls ? &d->server->codec_tls : &d->server->codec_plain;

	d->phase = PHASE_HTTP;
	d->codec = (http2 ? http2_server : http1_server)(&d->transport, settings, &codec_events, d);
	if (d->server->draining)
		downstream_drain(d);
}

/* Where HTTP/2 is offered, ALPN decides; without it the first bytes do (spec/http.md 1). */
static void start_http(struct downstream *d)
{
	const unsigned char *name = NULL;
	unsigned len = 0;

	set_timer(d, limits_of(d)->request_header_ms > 0 ? limits_of(d)->request_header_ms :
							   limits_of(d)->idle_ms);
	if (d->transport.ssl != NULL)
		SSL_get0_alpn_selected(d->transport.ssl, &name, &len);
	if (len > 0 || !d->use->snapshot->settings->http.http2)
		start_codec(d, len == 2 && memcmp(name, "h2", 2) == 0);
	else
		d->phase = PHASE_PREFACE;
}

static const struct chain *current_chain(const struct downstream *d);

/* The session has timers and the transport's bytes from here on. A handshake may have outlived the
 * snapshot that it began with: policies are asked by what serves now. */
static void start_tcp(struct downstream *d)
{
	if (!d->use->current) {
		d->chain = current_chain(d);
		if (d->chain == NULL) {
			downstream_close(d);
			return;
		}
		snapshot_use_drop(&d->use);
		d->use = snapshot_use_take(d->server->use);
	}
	set_timer(d, 0);
	d->phase = PHASE_TCP;
	d->session = tcp_session_create(d, d->use, d->chain, &d->transport);
	tcp_session_start(d->session);
}

void downstream_start_chain(struct downstream *d)
{
	if (d->chain->kind == CHAIN_TCP)
		start_tcp(d);
	else
		start_http(d);
}

static void read_http(struct downstream *d)
{
	if (d->phase == PHASE_PREFACE)
		read_preface(d);
	else if (d->phase == PHASE_HTTP)
		pump(d);
}

/* transport events */

static void on_downstream_readable(void *owner)
{
	struct downstream *d = owner;

	if (d->phase == PHASE_PROXY && downstream_read_proxy_header(d))
		downstream_start_listener(d);
	switch (d->phase) {
	case PHASE_PROXY:
		break;
	case PHASE_HELLO:
		downstream_peek_hello(d);
		read_http(d);
		break;
	case PHASE_PREFACE:
	case PHASE_HTTP:
		read_http(d);
		break;
	case PHASE_LINGER:
		discard_input(d);
		break;
	case PHASE_TCP:
		tcp_session_downstream_event(d->session);
		break;
	case PHASE_HANDSHAKE:
	case PHASE_CLOSED:
		break;
	}
}

static void on_downstream_writable(void *owner)
{
	struct downstream *d = owner;

	if (d->codec != NULL && d->phase == PHASE_HTTP)
		d->codec->ops->writable(d->codec);
	else if (d->phase == PHASE_LINGER)
		wait_for_peer(d);
}

static void on_stall(struct timer *t);

static void watch_stall(struct downstream *d)
{
	struct worker *w = d->server->worker;
	int64_t stall_ms = limits_of(d)->write_stall_ms;

	if (stall_ms == 0)
		return;
	d->stalled_at = transport_acknowledged(&d->transport);
	timer_set(w, &d->stall, worker_now_ms(w) + stall_ms, on_stall);
}

/* Slow is fine, as long as it reads at all (T-33); the kernel's memory goes with it. */
static void on_stall(struct timer *t)
{
	struct downstream *d = container_of(t, struct downstream, stall);

	if (d->transport.writable || d->transport.dead)
		return;
	if (transport_acknowledged(&d->transport) != d->stalled_at) {
		watch_stall(d);
		return;
	}
	count_up(&d->server->counters.write_stalls, 1);
	d->end_reason = "downstream_local_disconnect(write_stall)";
	downstream_abort(d);
}

static void on_downstream_blocked(void *owner)
{
	struct downstream *d = owner;

	if (d->codec != NULL && !timer_is_set(&d->stall))
		watch_stall(d);
}

static void on_downstream_connected(void *owner, enum outcome how)
{
	struct downstream *d = owner;

	if (how != OK) {
		downstream_count_tls_failure(d, tls_failure_of(d->transport.tls_code));
		log_debug("tls", "%.*s: %s", SLICE_ARG(d->peer_text), transport_error(&d->transport));
		downstream_close(d);
		return;
	}
	count_up(&d->server->counters.tls_handshakes, 1);
	if (SSL_session_reused(d->transport.ssl))
		count_up(&d->server->counters.tls_resumed, 1);
	d->identity = peer_identity_of(d->transport.ssl);
	downstream_start_chain(d);
	read_http(d);
}

static void on_downstream_closed(void *owner)
{
	struct downstream *d = owner;

	if (d->phase == PHASE_TCP)
		tcp_session_downstream_event(d->session);
	else
		downstream_close(d);
}

static const struct transport_events transport_events = {
	.on_readable = on_downstream_readable,
	.on_writable = on_downstream_writable,
	.on_blocked = on_downstream_blocked,
	.on_connected = on_downstream_connected,
	.on_closed = on_downstream_closed,
};

static bool over_limit(struct server *s)
{
	return atomic_load_explicit(&s->counters.connections_active, memory_order_relaxed) >=
	       s->connections_max;
}

void downstream_accept(struct acceptor *a, int fd, const struct sockaddr_storage *peer)
{
	struct listener *l = container_of(a, struct listener, acceptor);
	struct server *s = l->server;
	struct downstream *d;
	struct sockaddr_storage local = { .ss_family = AF_UNSPEC };
	socklen_t local_len = sizeof(local);

	count_up(&s->counters.connections, 1);
	if (over_limit(s) || l->plan == NULL) {
		count_up(&s->counters.connections_refused, 1);
		close(fd);
		return;
	}
	d = worker_alloc(s->worker, WORKER_DOWNSTREAM, sizeof(*d));
	memset(d, 0, sizeof(*d));
	d->server = s;
	d->listener = listener_take(l);
	d->use = snapshot_use_take(s->use);
	d->id = s->next_connection_id++ * WORKERS_MAX + s->worker->id;
	count_up(&s->counters.connections_active, 1);
	TAILQ_INSERT_TAIL(&s->downstreams, d, link);
	d->accepted_us = worker_now_us(s->worker);
	transport_tune(fd, peer->ss_family);
	transport_init(&d->transport, s->worker, fd, &transport_events, d);
	if (getsockname(fd, (struct sockaddr *)&local, &local_len) != 0)
		local = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
	downstream_name_addresses(d, peer, &local);
	d->handshake_until_ms = worker_now_ms(s->worker) + limits_of(d)->tls_handshake_ms;
	if (l->plan->proxy_protocol)
		downstream_await_proxy_header(d);
	else
		downstream_start_listener(d);
}

struct server *downstream_server(const struct downstream *d)
{
	return d->server;
}

/* The chain of this connection in the snapshot that serves now; NULL: it is not there any more, or asks
 * something else of its clients than this one was asked. */
static const struct chain *current_chain(const struct downstream *d)
{
	const struct listener_plan *plan = d->listener->plan;
	const struct chain *chain;

	if (plan == NULL)
		return NULL;
	if (d->transport.ssl == NULL)
		return plan->plain != NULL && plan->plain->kind == CHAIN_HTTP ? plan->plain : NULL;
	chain = listener_find_chain(plan, d->hello.name_len > 0 ?
				    slice_make(d->hello.name, d->hello.name_len) : NO_SLICE);
	if (chain == NULL || !chain->tls || (d->chain != NULL && d->chain->kind != chain->kind))
		return NULL;
	return d->chain == NULL || tls_clients_same(&d->chain->tls_settings, &chain->tls_settings) ? chain : NULL;
}

struct snapshot_use *downstream_use(struct downstream *d, const struct chain **chain)
{
	if (!d->use->current) {
		const struct chain *now = current_chain(d);

		if (now != NULL) {
			snapshot_use_drop(&d->use);
			d->use = snapshot_use_take(d->server->use);
			d->chain = now;
		} else {
			downstream_drain(d);
		}
	}
	*chain = d->chain;
	return d->use;
}

void downstream_stream_ended(struct downstream *d, struct stream *s)
{
	(void)s;
	must(d->streams > 0);
	d->streams--;
}

void downstream_drain(struct downstream *d)
{
	/* Bytes that are relayed have no end of ours: they go on until both sides end, or the grace does. */
	if (d->draining || d->phase >= PHASE_LINGER || d->phase == PHASE_TCP)
		return;
	d->draining = true;
	if (d->codec != NULL)
		d->codec->ops->drain(d->codec);
	if (d->codec == NULL)
		downstream_close(d);
	else if (!d->codec->ops->multiplexed && d->streams == 0 && buffer_len(&d->transport.in) == 0)
		linger(d);
}

static void on_grace_over(struct timer *t)
{
	downstream_end(container_of(t, struct downstream, grace),
		       "downstream_local_disconnect(listener_drain_timeout)");
}

/* What is in progress may end, within the time that the documents of now give it, and whatever later
 * ones say. */
static void start_grace(struct downstream *d)
{
	struct worker *w = d->server->worker;

	if (d->phase != PHASE_CLOSED && !timer_is_set(&d->grace))
		timer_set(w, &d->grace, worker_now_ms(w) +
			  d->server->use->snapshot->settings->limits.listener_drain_ms, on_grace_over);
}

/* Would a connection like this one be relayed by what serves now? */
static bool is_still_relayed(const struct downstream *d)
{
	const struct listener_plan *plan = d->listener->plan;
	const struct chain *chain;

	if (plan == NULL)
		return false;
	chain = plan->sni == NULL ? plan->plain :
		listener_find_chain(plan, d->hello.name_len > 0 ?
				    slice_make(d->hello.name, d->hello.name_len) : NO_SLICE);
	return chain != NULL && chain->kind == CHAIN_TCP && chain->tls == (d->transport.ssl != NULL);
}

void downstream_after_switch(struct downstream *d)
{
	if (d->phase == PHASE_TCP) {
		if (!is_still_relayed(d))
			start_grace(d);
		return;
	}
	if (d->phase <= PHASE_HELLO && d->listener->plan != NULL) {
		/* Nothing was chosen yet: its hello is answered by what serves now, from one snapshot. */
		snapshot_use_drop(&d->use);
		d->use = snapshot_use_take(d->server->use);
	} else if (current_chain(d) == NULL) {
		downstream_drain(d);
		start_grace(d);
	}
}

struct downstream *downstream_next(struct downstream *d)
{
	return TAILQ_NEXT(d, link);
}
