/* SPDX-License-Identifier: Apache-2.0
 *
 * downstream_arrival.c - from an accepted descriptor to the chain that serves it: PROXY protocol,
 * ClientHello, TLS handshake. */
#include "proxy/stream/downstream_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "proxy/net/proxy_protocol.h"
#include "sallyport/cidr.h"

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
	timer_set(d->server->worker, &d->timer, d->handshake_until_ms, downstream_on_timer);
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
		downstream_start_chain(d);
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

void downstream_peek_hello(struct downstream *d)
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
		downstream_count_tls_failure(d, TLS_FAILURE_tls_protocol_errors);
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
void downstream_name_addresses(struct downstream *d, const struct sockaddr_storage *peer,
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
	downstream_name_addresses(d, &h->source, &h->destination);
}

/* What the connection is for: at once where the listener has no choice, else its ClientHello tells. */
void downstream_start_listener(struct downstream *d)
{
	const struct listener_plan *plan = d->listener->plan;
	int64_t hello_until_ms = worker_now_ms(d->server->worker) + limits_of(d)->client_hello_ms;

	if (plan == NULL) {		/* it was closed meanwhile */
		downstream_close(d);
	} else if (plan->sni == NULL && plan->plain != NULL) {
		d->chain = plan->plain;
		downstream_start_chain(d);
	} else {
		d->phase = PHASE_HELLO;
		timer_set(d->server->worker, &d->timer, hello_until_ms < d->handshake_until_ms ?
			  hello_until_ms : d->handshake_until_ms, downstream_on_timer);
	}
}

static void refuse_header(struct downstream *d)
{
	count_up(&d->server->counters.proxy_malformed, 1);
	log_debug("proxy", "%.*s: no header of the PROXY protocol", SLICE_ARG(d->peer_text));
	downstream_close(d);
}

/* Takes the header alone off the socket: what follows belongs to TLS or HTTP. True: it is there. */
bool downstream_read_proxy_header(struct downstream *d)
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
void downstream_await_proxy_header(struct downstream *d)
{
	if (is_trusted_source(d)) {
		d->phase = PHASE_PROXY;
		timer_set(d->server->worker, &d->timer, d->handshake_until_ms, downstream_on_timer);
		return;
	}
	count_up(&d->server->counters.proxy_untrusted, 1);
	log_debug("proxy", "%.*s: no trusted source of the PROXY protocol", SLICE_ARG(d->peer_text));
	downstream_close(d);
}
