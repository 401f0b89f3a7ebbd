/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_ask.c - what the agent is asked about a request or connection that is only explained: the peer
 * is the question's, all else is judging.h's. */
#include "proxy/stream/explain_priv.h"

#include "proxy/net/socket.h"
#include "sallyport/cidr.h"

static struct check_address address_of(struct slice text, uint32_t port)
{
	struct check_address a = { .port = (uint16_t)port };

	if (!check_address_parse(text, &a)) {	/* a unix socket: the peer is this host */
		a.family = 4;
		memcpy(a.bytes, "\x7f\0\0\1", 4);
	}
	return a;
}

/* As downstream_describe_peer() says it of a connection. */
static void describe_peer(const struct explaining *e, struct check_request *q)
{
	const struct explain_question *asked = e->out->question;
	struct slice client = asked->client.at != NULL ? asked->client : SLICE(EXPLAIN_CLIENT_DEFAULT);

	q->source = q->remote = address_of(client, 0);
	q->destination = address_of(authority_host(explain_local_address(e)), e->out->listener->bound_port);
	q->tls = e->out->chain->tls;
	q->sni = e->out->sni;
	q->peer_id = q->tls ? asked->peer_id : NO_SLICE;
	q->peer_verified = q->peer_id.at != NULL;
}

void explain_ask_again(struct explaining *e)
{
	bool http2 = e->out->question->http2;

	e->question = (struct check_request){ .http_version = http2 ? SLICE("2.0") : SLICE("1.1") };
	describe_peer(e, &e->question);
	judging_describe(&e->judging, &e->question);
	e->asks = true;
}

bool explain_ask(struct explaining *e)
{
	const struct explained *out = e->out;

	if (!e->ground.judged || !judging_is_due(out->snapshot, out->choice.target))
		return false;
	e->judging = (struct judging){ .snapshot = out->snapshot, .arena = e->arena, .x = &e->x,
				       .request = e->request, .choice = out->choice };
	explain_ask_again(e);
	return true;
}

bool explain_ask_relayed(struct explaining *e)
{
	const struct snapshot *s = e->out->snapshot;
	const struct tcp_target *t = tcp_route_draw(e->out->chain->tcp, 0);

	if (!e->ground.judged || t->cluster == NULL ||
	    (!s->gateway_has_policies && !t->cluster->has_policies))
		return false;
	e->question = (struct check_request){ .tcp = true };
	describe_peer(e, &e->question);
	connection_describe(s, e->out->chain, t->cluster, &e->question);
	e->asks = true;
	return true;
}
