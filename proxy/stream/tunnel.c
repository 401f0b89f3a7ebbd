/* SPDX-License-Identifier: Apache-2.0
 *
 * tunnel.c - requests to upgrade: which are forwarded, how the fields of the handshake are ours on
 * either side, and the bytes that flow once the upstream has granted it (spec/http.md 11).
 *
 * WebSocket is the one protocol, as in Istio. A client on HTTP/2 sends no key, one on HTTP/1 does
 * (RFC 8441 5): where both sides differ, the key is made, or the answer to it, here. */
#include "proxy/http/websocket.h"
#include "proxy/stream/stream_priv.h"

static const struct slice websocket = { "websocket", 9 };

bool tunnel_may_ask(struct stream *s)
{
	struct local_reply refusal;

	if (decide_upgrade(s->request, &refusal))
		return true;
	count_up(&s->server->counters.upgrades_refused, 1);
	stream_answer(s, &refusal);
	return false;
}

static struct slice make_key(struct stream *s)
{
	uint64_t nonce[2] = { worker_random(s->server->worker), worker_random(s->server->worker) };
	char *key = arena_alloc(s->arena, WEBSOCKET_KEY_BYTES);

	websocket_key((const unsigned char *)nonce, key);
	return slice_make(key, WEBSOCKET_KEY_BYTES);
}

void upgrade_prepare(struct message *m, struct slice key)
{
	headers_set_id(&m->headers, HEADER_UPGRADE, websocket);
	headers_set_id(&m->headers, HEADER_SEC_WEBSOCKET_KEY, key);
}

/* What header operations and verdicts made of these fields does not count. */
void tunnel_prepare(struct stream *s)
{
	struct headers *h = &s->request->headers;

	if (!s->request->upgrade)
		return;
	if (s->websocket_key.at == NULL)
		s->websocket_key = s->request->version == HTTP_2 ? make_key(s) :
				   headers_value(h, HEADER_SEC_WEBSOCKET_KEY);
	upgrade_prepare(s->request, s->websocket_key);
}

/* As the client's protocol wants it: HTTP/2 knows no key, and HTTP/1 gets the answer to its own. */
static void translate_answer(struct stream *s, struct message *m)
{
	char *accept;

	headers_set_id(&m->headers, HEADER_UPGRADE, websocket);
	headers_remove(&m->headers, SLICE("sec-websocket-accept"));
	if (s->request->version == HTTP_2)
		return;
	accept = arena_alloc(s->arena, WEBSOCKET_ACCEPT_BYTES);
	websocket_accept(s->websocket_key, accept);
	headers_add(&m->headers, SLICE("sec-websocket-accept"), slice_make(accept, WEBSOCKET_ACCEPT_BYTES));
}

void tunnel_open(struct stream *s, struct message *m)
{
	struct server_counters *c = &s->server->counters;
	struct codec_stream *down = s->down;
	bool ended_already = s->request_ended;	/* on HTTP/2 */

	translate_answer(s, m);
	s->tunnel = true;
	stream_stop_deadlines(s);
	count_up(&c->upgrades, 1);
	count_up(&c->upgrades_active, 1);
	/* Bytes that came early are offered before this returns. */
	codec_send_head(down, m, false);
	s->x.bytes_sent += down->bytes_out;
	if (ended_already)
		codec_send_end(s->up, NULL);
}

/* Both directions have ended, and with them both halves (codec.h). */
static void finish(struct stream *s)
{
	s->up = NULL;
	s->down = NULL;
	attempt_finish(s);
}

void tunnel_response_ended(struct stream *s)
{
	struct codec_stream *down = s->down;
	bool over = s->request_ended;

	s->response_ended = true;
	if (over)
		s->up = s->down = NULL;
	codec_send_end(down, NULL);
	if (over)
		finish(s);
}

void tunnel_request_ended(struct stream *s)
{
	struct codec_stream *up = s->up;
	bool over = s->response_ended;

	if (over)
		s->up = s->down = NULL;
	codec_send_end(up, NULL);
	if (over)
		finish(s);
}

void tunnel_closed(struct stream *s)
{
	atomic_ulong *active = &s->server->counters.upgrades_active;

	if (!s->tunnel)
		return;
	s->tunnel = false;
	atomic_store_explicit(active, atomic_load_explicit(active, memory_order_relaxed) - 1,
			      memory_order_relaxed);
}
