/* SPDX-License-Identifier: Apache-2.0
 *
 * downstream_describe.c - what a connection says of itself: to the log, to the next hop, to the agent. */
#include "proxy/stream/downstream_priv.h"

#include "proxy/stream/decide.h"

void downstream_addresses(const struct downstream *d, const struct sockaddr **client,
			  const struct sockaddr **edge)
{
	*client = &d->peer.any;
	*edge = &d->local.any;
}

void downstream_copy_addresses(const struct downstream *d, struct arena *a, const struct sockaddr **client,
			       const struct sockaddr **edge)
{
	union address *copies = arena_alloc(a, 2 * sizeof(*copies));

	copies[0] = d->peer;
	copies[1] = d->local;
	*client = &copies[0].any;
	*edge = &copies[1].any;
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
			  struct exchange *x, struct local_reply *refusal)
{
	const struct edge_peer peer = {
		.address = d->peer_ip,
		.local_port = (uint16_t)address_port(&d->local.any),
		.loopback = d->peer.any.sa_family == AF_UNIX || address_is_loopback(&d->peer.any),
		.tls = d->transport.ssl != NULL,
		.client_cert = d->identity != NULL ? d->identity->forwarded : NO_SLICE,
	};
	const uint64_t random[2] = { worker_random(d->server->worker), worker_random(d->server->worker) };

	return decide_client(request, d->use->snapshot->settings, slice_of(d->server->local_ip), &peer,
			     random, a, x, refusal);
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
