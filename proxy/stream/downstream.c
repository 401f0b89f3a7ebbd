/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/downstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/http/forwarded.h"
#include "proxy/http/pump.h"
#include "proxy/net/client_hello.h"
#include "proxy/net/proxy_protocol.h"
#include "proxy/net/socket.h"
#include "proxy/stream/stream.h"
#include "proxy/stream/tcp_session.h"
#include "proxy/tls/peer_identity.h"

#define LINGER_STALL_MS	30000	/* without a byte of the last response written */

/* What the connection is doing, and what its timer waits for. */
enum phase {
	PHASE_PROXY,		/* the header of the PROXY protocol is not complete */
	PHASE_HELLO,		/* the ClientHello is not complete */
	PHASE_HANDSHAKE,
	PHASE_PREFACE,		/* the first bytes will tell HTTP/2 from HTTP/1; timer: head of a request */
	PHASE_HTTP,		/* timer: head of a request, or idle */
	PHASE_TCP,		/* bytes are relayed; the session has timers of its own */
	PHASE_LINGER,		/* our FIN is out or on its way; input is discarded */
	PHASE_CLOSED,
};

/* As much as is asked of an address later: of a unix socket its family alone. */
union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Who opened the connection on behalf of the peer. */
struct balancer {
	union address address;
	struct slice text;			/* into `chars` */
	char chars[ADDRESS_TEXT_MAX];
};

struct downstream {
	struct grave grave;
	struct transport transport;
	struct server *server;			/* borrowed */
	struct listener *listener;		/* one count */
	struct snapshot_use *use;		/* one count */
	const struct chain *chain;		/* of `use` */
	struct codec *codec;			/* owned; HTTP */
	struct tcp_session *session;		/* ends with this; TCP */
	struct timer timer;
	struct timer stall;			/* the client does not take what is sent */
	struct timer grace;			/* its listener or chain is gone; until it is cut off */
	TAILQ_ENTRY(downstream) link;
	enum phase phase;
	unsigned streams;			/* in progress */
	bool draining;
	bool begun;				/* bytes came that may be a preface */
	int64_t handshake_until_ms;		/* TLS: the deadline */
	uint64_t id;
	int64_t accepted_us;
	size_t discarded;			/* while lingering */
	uint64_t lingered_out;			/* bytes written when its timer was set */
	uint64_t stalled_at;			/* bytes acknowledged when `stall` was set */
	union address peer, local;		/* as the PROXY protocol says, where it is spoken */
	struct balancer *balancer;		/* owned; NULL: nobody spoke for the peer */
	struct {			/* what is kept of the ClientHello, past its reading */
		char *name;		/* owned; NULL: none */
		uint8_t name_len;
		bool offers_mesh;
	} hello;
	struct peer_identity *identity;		/* owned; NULL: it showed no certificate */
	struct slice peer_text, local_text, peer_ip;	/* into `texts` */
	char *texts;				/* owned */
};

static const struct proxy_limits *limits_of(const struct downstream *d)
{
	return &d->use->snapshot->settings->limits;
}

static void on_timer(struct timer *t);

static void set_timer(struct downstream *d, int64_t after_ms)
{
	struct worker *w = d->server->worker;

	if (after_ms > 0)
		timer_set(w, &d->timer, worker_now_ms(w) + after_ms, on_timer);
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

static void count_tls_failure(struct downstream *d, enum tls_failure which)
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

static void on_timer(struct timer *t)
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
		count_tls_failure(d, TLS_FAILURE_tls_timeouts);
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

static void start_chain(struct downstream *d)
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

/* TLS */

/* A line in the access log for who named a server that is not there. */
static void log_refused(struct downstream *d, bool no_chain)
{
	struct exchange x = { 0 };

	if (!no_chain || d->server->on_stream_end == NULL)
		return;
	downstream_describe(d, &x);
	x.response_flags = RESPONSE_FLAG_NR;
	x.response_code_details = SLICE("filter_chain_not_found");
	x.end_us = worker_now_us(d->server->worker);
	d->server->on_stream_end(d->server, &x);
}

static void refuse(struct downstream *d, atomic_ulong *counter, const char *why)
{
	count_up(counter, 1);
	log_debug("tls", "%.*s: %s: %s", SLICE_ARG(d->peer_text), why,
		  d->hello.name != NULL ? d->hello.name : "");
	log_refused(d, counter == &d->server->counters.tls_no_chain);
	/* The hello is still unread in the kernel: closing makes an RST of it (gateway.md 10.3). */
	downstream_close(d);
}

static void start_tls(struct downstream *d)
{
	SSL_CTX *ctx = tls_set_context(d->use->tls, d->chain->tls_slot);

	if (ctx == NULL) {
		refuse(d, &d->server->counters.tls_no_secret, "the server's secret is missing or unusable");
		return;
	}
	d->phase = PHASE_HANDSHAKE;
	timer_set(d->server->worker, &d->timer, d->handshake_until_ms, on_timer);
	transport_accept_tls(&d->transport, ctx);
}

static void choose_chain(struct downstream *d)
{
	struct slice name = d->hello.name_len > 0 ? slice_make(d->hello.name, d->hello.name_len) : NO_SLICE;

	/* A listener that was closed meanwhile has no plan. */
	d->chain = d->listener->plan != NULL ? listener_find_chain(d->listener->plan, name) : NULL;
	if (d->chain == NULL)
		refuse(d, &d->server->counters.tls_no_chain, "no server for this name");
	else if (d->chain->needs_mesh_alpn && !d->hello.offers_mesh)
		refuse(d, &d->server->counters.tls_no_chain, "no mesh protocol is offered");
	else if (d->chain->tls)
		start_tls(d);
	else
		start_chain(d);
}

/* An idle connection shall not carry room for the longest name. */
static void keep_hello(struct downstream *d, const struct client_hello *hello)
{
	d->hello.offers_mesh = hello->offers_mesh;
	d->hello.name_len = hello->name_len;
	if (hello->name_len > 0) {
		d->hello.name = strndup(hello->name, hello->name_len);
		must(d->hello.name != NULL);
	}
}

static void peek_hello(struct downstream *d)
{
	struct client_hello hello;
	struct worker *w = d->server->worker;
	ssize_t n = recv(d->transport.fd, w->scratch, CLIENT_HELLO_MAX, MSG_PEEK);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		downstream_close(d);
		return;
	}
	switch (client_hello_parse(slice_make(w->scratch, (size_t)n), &hello)) {
	case CLIENT_HELLO_MORE:
		if (!d->transport.rdhup)
			return;
		downstream_close(d);
		return;
	case CLIENT_HELLO_BAD:
		count_tls_failure(d, TLS_FAILURE_tls_protocol_errors);
		downstream_close(d);
		return;
	case CLIENT_HELLO_NOT_TLS:
	case CLIENT_HELLO_OK:
		keep_hello(d, &hello);
		choose_chain(d);
		return;
	}
}

/* PROXY protocol */

static union address keep_address(const struct sockaddr_storage *from)
{
	union address a = { .any.sa_family = from->ss_family };

	if (from->ss_family == AF_INET || from->ss_family == AF_INET6)
		memcpy(&a, from, sizeof(a));
	return a;
}

/* Their texts are written down once, in the room that they need: they are part of every request's
 * description. */
static void name_addresses(struct downstream *d, const struct sockaddr_storage *peer,
			   const struct sockaddr_storage *local)
{
	char texts[3 * ADDRESS_TEXT_MAX];
	size_t peer_len, local_len, ip_len;

	d->peer = keep_address(peer);
	d->local = keep_address(local);
	peer_len = address_text((const struct sockaddr *)peer, texts);
	local_len = address_text((const struct sockaddr *)local, texts + peer_len);
	ip_len = address_ip_text((const struct sockaddr *)peer, texts + peer_len + local_len);
	free(d->texts);
	d->texts = malloc(peer_len + local_len + ip_len + 1);
	must(d->texts != NULL);
	memcpy(d->texts, texts, peer_len + local_len + ip_len);
	d->peer_text = slice_make(d->texts, peer_len);
	d->local_text = slice_make(d->texts + peer_len, local_len);
	/* Whoever connects to a unix socket is on this host. */
	d->peer_ip = peer->ss_family == AF_UNIX ? SLICE("127.0.0.1") :
		     slice_make(d->texts + peer_len + local_len, ip_len);
}

static void take_proxy_header(struct downstream *d, const struct proxy_header *h)
{
	struct balancer *b;

	if (h->local)
		return;
	b = malloc(sizeof(*b));
	must(b != NULL);
	b->address = d->peer;
	memcpy(b->chars, d->peer_text.at, d->peer_text.len);
	b->text = slice_make(b->chars, d->peer_text.len);
	d->balancer = b;
	name_addresses(d, &h->source, &h->destination);
}

/* What the connection is for: at once where the listener has no choice, else its ClientHello tells. */
static void start_listener(struct downstream *d)
{
	const struct listener_plan *plan = d->listener->plan;
	int64_t hello_until_ms = worker_now_ms(d->server->worker) + limits_of(d)->client_hello_ms;

	if (plan == NULL) {		/* it was closed meanwhile */
		downstream_close(d);
	} else if (plan->sni == NULL && plan->plain != NULL) {
		d->chain = plan->plain;
		start_chain(d);
	} else {
		d->phase = PHASE_HELLO;
		timer_set(d->server->worker, &d->timer, hello_until_ms < d->handshake_until_ms ?
			  hello_until_ms : d->handshake_until_ms, on_timer);
	}
}

static void refuse_header(struct downstream *d)
{
	count_up(&d->server->counters.proxy_malformed, 1);
	log_debug("proxy", "%.*s: no header of the PROXY protocol", SLICE_ARG(d->peer_text));
	downstream_close(d);
}

/* Takes the header alone off the socket: what follows belongs to TLS or HTTP. True: it is there. */
static bool read_proxy_header(struct downstream *d)
{
	struct worker *w = d->server->worker;
	ssize_t n = recv(d->transport.fd, w->scratch, PROXY_PROTOCOL_MAX, MSG_PEEK);
	struct proxy_header header;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		downstream_close(d);
		return false;
	}
	switch (proxy_protocol_parse(slice_make(w->scratch, (size_t)n), &header)) {
	case PROXY_PROTOCOL_MORE:
		if (d->transport.rdhup)
			refuse_header(d);
		return false;
	case PROXY_PROTOCOL_NONE:
	case PROXY_PROTOCOL_BAD:
		refuse_header(d);
		return false;
	case PROXY_PROTOCOL_OK:
		break;
	}
	if (recv(d->transport.fd, w->scratch, header.len, 0) != (ssize_t)header.len) {
		downstream_close(d);
		return false;
	}
	count_up(&d->server->counters.proxy_headers, 1);
	take_proxy_header(d, &header);
	return true;
}

static bool is_trusted_source(const struct downstream *d)
{
	const struct proxy_settings *settings = d->use->snapshot->settings;
	struct ip ip;

	/* Whoever connects to a unix socket is on this host. */
	if (!ip_from_sockaddr(&d->peer.any, &ip))
		ip = (struct ip){ .v4 = true, .bytes = { 127, 0, 0, 1 } };
	for (size_t i = 0; i < settings->proxy_protocol.trusted_sources.count; i++)
		if (cidr_contains(&settings->proxy_protocol.trusted_sources.items[i], &ip))
			return true;
	return false;
}

/* From anybody else the header could say anything, and without one the connection would be its
 * balancer's (spec/http.md 31). */
static void await_proxy_header(struct downstream *d)
{
	if (is_trusted_source(d)) {
		d->phase = PHASE_PROXY;
		timer_set(d->server->worker, &d->timer, d->handshake_until_ms, on_timer);
		return;
	}
	count_up(&d->server->counters.proxy_untrusted, 1);
	log_debug("proxy", "%.*s: no trusted source of the PROXY protocol", SLICE_ARG(d->peer_text));
	downstream_close(d);
}

/* transport events */

static void on_downstream_readable(void *owner)
{
	struct downstream *d = owner;

	if (d->phase == PHASE_PROXY && read_proxy_header(d))
		start_listener(d);
	switch (d->phase) {
	case PHASE_PROXY:
		break;
	case PHASE_HELLO:
		peek_hello(d);
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
		count_tls_failure(d, tls_failure_of(d->transport.tls_code));
		log_debug("tls", "%.*s: %s", SLICE_ARG(d->peer_text), transport_error(&d->transport));
		downstream_close(d);
		return;
	}
	count_up(&d->server->counters.tls_handshakes, 1);
	if (SSL_session_reused(d->transport.ssl))
		count_up(&d->server->counters.tls_resumed, 1);
	d->identity = peer_identity_of(d->transport.ssl);
	start_chain(d);
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
	name_addresses(d, peer, &local);
	d->handshake_until_ms = worker_now_ms(s->worker) + limits_of(d)->tls_handshake_ms;
	if (l->plan->proxy_protocol)
		await_proxy_header(d);
	else
		start_listener(d);
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

void downstream_addresses(const struct downstream *d, const struct sockaddr **client,
			  const struct sockaddr **edge)
{
	*client = &d->peer.any;
	*edge = &d->local.any;
}

void downstream_describe(const struct downstream *d, struct exchange *x)
{
	const struct transport *t = &d->transport;

	x->remote_address = d->peer_text;
	x->direct_remote_address = d->balancer != NULL ? d->balancer->text : d->peer_text;
	x->local_address = d->local_text;
	if (x->start_us == 0)
		x->start_us = d->accepted_us;
	x->start_wall_us = worker_wall_us(d->server->worker) -
			   (worker_now_us(d->server->worker) - x->start_us);
	x->connection_id = d->id;
	if (d->codec != NULL)
		x->protocol = d->codec->ops->name;
	if (d->hello.name_len > 0)
		x->requested_server_name = slice_make(d->hello.name, d->hello.name_len);
	if (t->ssl != NULL) {
		x->tls_version = slice_of(SSL_get_version(t->ssl));
		x->tls_cipher = slice_of(SSL_get_cipher_name(t->ssl));
		x->peer = d->identity;
	}
}

bool downstream_forwarded(struct downstream *d, struct message *request, struct arena *a,
			  struct exchange *x)
{
	const struct proxy_settings *settings = d->use->snapshot->settings;
	const struct edge_rules rules = {
		.trusted_proxies = (uint32_t)settings->mesh.trusted_proxies,
		.forwarded_for_max = (uint32_t)settings->limits.forwarded_for,
		.own_address = slice_of(d->server->local_ip),
		.server_name = settings->http.server_name,
	};
	const struct edge_peer peer = {
		.address = d->peer_ip,
		.local_port = (uint16_t)address_port(&d->local.any),
		.loopback = d->peer.any.sa_family == AF_UNIX || address_is_loopback(&d->peer.any),
		.tls = d->transport.ssl != NULL,
		.client_cert = d->identity != NULL ? d->identity->forwarded : NO_SLICE,
	};
	const uint64_t random[2] = { worker_random(d->server->worker), worker_random(d->server->worker) };
	struct edge_client client;
	enum outcome how = edge_request(request, &rules, &peer, random, &client);

	if (client.from_header)
		x->remote_address = slice_of(arena_printf(a, slice_find(client.address, ':') >= 0 ?
			"[%.*s]:0" : "%.*s:0", SLICE_ARG(client.address)));
	return how == OK;
}

static void describe_address(const union address *a, struct check_address *out)
{
	*out = (struct check_address){ .port = (uint16_t)address_port(&a->any) };
	if (a->any.sa_family == AF_INET) {
		out->family = 4;
		memcpy(out->bytes, &a->v4.sin_addr, 4);
	} else if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
		out->family = 4;
		memcpy(out->bytes, a->v6.sin6_addr.s6_addr + 12, 4);
	} else if (a->any.sa_family == AF_INET6) {
		out->family = 6;
		memcpy(out->bytes, &a->v6.sin6_addr, 16);
	} else {			/* a unix socket: the peer is this host */
		out->family = 4;
		memcpy(out->bytes, "\x7f\0\0\1", 4);
	}
}

void downstream_describe_peer(const struct downstream *d, struct check_request *q)
{
	/* source.ip is who opened the socket, remote.ip who is behind it (authorization-policy.md 5.6). */
	describe_address(d->balancer != NULL ? &d->balancer->address : &d->peer, &q->source);
	describe_address(&d->local, &q->destination);
	describe_address(&d->peer, &q->remote);
	q->tls = d->transport.ssl != NULL;
	if (d->identity != NULL) {
		q->peer_verified = d->identity->verified;
		q->peer_id = d->identity->agent_id;
		if (q->peer_id.at == NULL)
			q->peer_cert = d->identity->der;
	}
	if (d->codec != NULL)
		q->http_version = d->codec->ops->multiplexed ? SLICE("2.0") : SLICE("1.1");
	if (d->hello.name_len > 0)
		q->sni = slice_make(d->hello.name, d->hello.name_len);
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
	downstream_close(container_of(t, struct downstream, grace));
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
