/* SPDX-License-Identifier: Apache-2.0
 *
 * extauthz_grpc.c - the check as a call of envoy.service.auth.v3.Authorization/Check over HTTP/2 with
 * prior knowledge, and what its response means (spec/authorization-policy.md 10.4). */
#include "spoa/extauthz_priv.h"

#include <ext_authz.pb-c.h>
#include <stdio.h>

#include "sallyport/clock.h"
#include "sallyport/log.h"

#define CHECK_METHOD		"/envoy.service.auth.v3.Authorization/Check"
#define GRPC_PREFIX_BYTES	5u	/* compressed or not, length */

/* ---- the question ---- */

/* A request to be described, and the arena for it. */
struct description {
	struct arena *arena;
	const struct request *request;
	struct slice body;		/* what the provider is to see of it; absent: nothing */
	bool partial, as_bytes;
};

static char *text_of(const struct description *d, struct slice s)
{
	return arena_text(d->arena, s.at != NULL ? s : SLICE(""));
}

static Authz__Peer *describe_peer(const struct description *d, const struct check_ip *ip, uint32_t port,
				  struct slice principal)
{
	Authz__Peer *peer = arena_new(d->arena, Authz__Peer);
	char text[IP_TEXT_BYTES];

	authz__peer__init(peer);
	peer->address = arena_new(d->arena, Authz__Address);
	authz__address__init(peer->address);
	peer->address->socket_address = arena_new(d->arena, Authz__SocketAddress);
	authz__socket_address__init(peer->address->socket_address);
	if (ip->known)
		peer->address->socket_address->address = text_of(d, slice_of(ip_format(&ip->ip, text)));
	peer->address->socket_address->port_value = port;
	peer->principal = text_of(d, principal);
	return peer;
}

static bool came_before(const struct request *r, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (slice_eq_nocase(r->headers[i].name, r->headers[index].name))
			return true;
	return false;
}

static Authz__Pair *new_pair(const struct description *d, struct slice key, struct slice value)
{
	Authz__Pair *pair = arena_new(d->arena, Authz__Pair);

	authz__pair__init(pair);
	pair->key = text_of(d, key);
	pair->value = text_of(d, value);
	return pair;
}

/* Names in lower case, lines of one name joined, pseudo headers among them. */
static void describe_headers(const struct description *d, Authz__HttpRequest *h)
{
	const struct request *r = d->request;
	const struct check_header pseudo[] = {
		{ SLICE(":authority"), r->authority }, { SLICE(":method"), r->check->method },
		{ SLICE(":path"), r->target }, { SLICE(":scheme"), r->check->scheme },
	};

	h->headers = arena_array(d->arena, Authz__Pair *, r->header_count + COUNT_OF(pseudo) + 1);
	if (d->body.at != NULL)
		h->headers[h->n_headers++] = new_pair(d, PARTIAL_BODY_HEADER,
						      d->partial ? SLICE("true") : SLICE("false"));
	for (size_t i = 0; i < COUNT_OF(pseudo); i++)
		h->headers[h->n_headers++] = new_pair(d, pseudo[i].name, pseudo[i].value);
	for (size_t i = 0; i < r->header_count; i++)
		if (!came_before(r, i) && !slice_eq_nocase(r->headers[i].name, PARTIAL_BODY_HEADER))
			h->headers[h->n_headers++] = new_pair(d, arena_lower(d->arena, r->headers[i].name),
							      request_header(r, r->headers[i].name));
}

/* A string of protobuf is UTF-8, and ends with its first NUL here: other bytes become '!', as Envoy has it. */
static char *body_text(const struct description *d)
{
	char *text = arena_text(d->arena, d->body);

	for (struct slice rest = slice_make(text, d->body.len); rest.len > 0;) {
		size_t n = rest.at[0] == '\0' ? 0 : text_utf8_length(rest);

		if (n == 0)
			text[rest.at - text] = '!';
		rest = slice_from(rest, n > 0 ? n : 1);
	}
	return text;
}

static void describe_body(const struct description *d, Authz__HttpRequest *h)
{
	if (d->body.at == NULL)
		return;
	h->size = (int64_t)d->body.len;
	if (d->as_bytes)
		h->raw_body = (ProtobufCBinaryData){ d->body.len, (uint8_t *)arena_text(d->arena, d->body) };
	else
		h->body = body_text(d);
}

static Authz__Request *describe_request(const struct description *d)
{
	Authz__Request *q = arena_new(d->arena, Authz__Request);
	const struct check *c = d->request->check;
	int64_t now_us = clock_wall_us();

	authz__request__init(q);
	q->time = arena_new(d->arena, Authz__Timestamp);
	authz__timestamp__init(q->time);
	q->time->seconds = now_us / 1000000;
	q->time->nanos = (int32_t)(now_us % 1000000 * 1000);
	if (c->proto == CHECK_TCP)
		return q;
	q->http = arena_new(d->arena, Authz__HttpRequest);
	authz__http_request__init(q->http);
	q->http->id = text_of(d, c->request_id);
	q->http->method = text_of(d, c->method);
	q->http->path = text_of(d, d->request->target);
	q->http->host = text_of(d, d->request->authority);
	q->http->scheme = text_of(d, c->scheme);
	q->http->protocol = text_of(d, c->http_version);
	describe_headers(d, q->http);
	describe_body(d, q->http);
	return q;
}

static void describe(const struct description *d, Authz__Attributes *a)
{
	const struct check *c = d->request->check;

	authz__attributes__init(a);
	a->source = describe_peer(d, &c->src, c->src_port, c->peer_id_count > 0 ? c->peer_ids[0] : NO_SLICE);
	a->destination = describe_peer(d, &c->dst, c->dst_port, NO_SLICE);
	a->request = describe_request(d);
	if (c->sni.at == NULL)
		return;
	a->tls_session = arena_new(d->arena, Authz__TlsSession);
	authz__tls_session__init(a->tls_session);
	a->tls_session->sni = text_of(d, c->sni);
}

/* One message behind its prefix. */
static void pack(struct extauthz_call *c, const Authz__CheckRequest *q)
{
	size_t len = authz__check_request__get_packed_size(q);
	unsigned char *bytes = arena_alloc(c->arena, GRPC_PREFIX_BYTES + len);

	bytes[0] = 0;
	for (unsigned i = 0; i < 4; i++)
		bytes[1 + i] = (unsigned char)(len >> (24 - 8 * i));
	must(authz__check_request__pack(q, bytes + GRPC_PREFIX_BYTES) == len);
	curl_easy_setopt(c->transfer.easy, CURLOPT_POSTFIELDSIZE, (long)(GRPC_PREFIX_BYTES + len));
	curl_easy_setopt(c->transfer.easy, CURLOPT_POSTFIELDS, bytes);
}

/* libcurl before 8.0 cannot use a connection with prior knowledge again: it lays HTTP/2 over HTTP/2. */
#define REUSE_VERSION	0x080000u

static void set_reuse(CURL *easy)
{
	bool sound = curl_version_info(CURLVERSION_NOW)->version_num >= REUSE_VERSION;

	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, sound ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, sound ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, sound ? 1L : 0L);
}

void grpc_prepare(struct extauthz_call *c, const struct request *r)
{
	const struct extension_provider *p = c->target->provider;
	struct description d = { .arena = c->arena, .request = r, .as_bytes = p->body_as_bytes };
	Authz__Attributes attributes;
	Authz__CheckRequest q;
	bool ipv6 = slice_find(p->service, ':') >= 0;

	curl_easy_setopt(c->transfer.easy, CURLOPT_URL,
			 arena_printf(c->arena, ipv6 ? "http://[%.*s]:%u" CHECK_METHOD : "http://%.*s:%u" CHECK_METHOD,
				      SLICE_ARG(p->service), p->port));
	curl_easy_setopt(c->transfer.easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	set_reuse(c->transfer.easy);
	d.body = call_request_body(c, r, &d.partial);
	authz__check_request__init(&q);
	q.attributes = &attributes;
	describe(&d, &attributes);
	pack(c, &q);
	call_add_header(c, SLICE("Content-Type"), SLICE("application/grpc"));
	call_add_header(c, SLICE("TE"), SLICE("trailers"));
	call_omit_header(c, "Accept");
}

/* ---- the answer ---- */

static struct slice value_of(const Authz__HeaderOption *o)
{
	return o->header->raw_value.len > 0 ?
	       slice_make((const char *)o->header->raw_value.data, o->header->raw_value.len) :
	       slice_of(o->header->value);
}

/* What is written there, in our terms; `append`, where it is said, wins over the newer action. */
static int how_of(const Authz__HeaderOption *o)
{
	static const int actions[] = { HEADER_SET, HEADER_ADD_IF_ABSENT, HEADER_SET, HEADER_SET_IF_PRESENT };

	if (o->append != NULL)
		return o->append->value ? HEADER_APPEND : HEADER_SET;
	return o->append_action >= 0 && o->append_action < (int)COUNT_OF(actions) ? actions[o->append_action] :
										    HEADER_SET;
}

/* The message is gone before the answer is: everything is copied. */
static bool take_header(struct extauthz_call *c, const Authz__HeaderOption *o, struct check_header *out)
{
	if (o->header == NULL || !call_may_set(slice_of(o->header->key), value_of(o)) ||
	    (value_of(o).len == 0 && !o->keep_empty_value))
		return false;
	out->name = arena_lower(c->arena, slice_of(o->header->key));
	out->value = arena_slice(c->arena, value_of(o));
	return true;
}

static void take_downstream(struct extauthz_call *c, Authz__HeaderOption **options, size_t count,
			    struct extauthz_answer *a)
{
	a->downstream.items = arena_array(c->arena, struct check_header, count);
	for (size_t i = 0; i < count; i++)
		a->downstream.count += take_header(c, options[i], &a->downstream.items[a->downstream.count]);
}

static void push_query(struct extauthz_call *c, struct extauthz_answer *a, int how, const char *name, const char *value)
{
	if (name[0] != '\0')
		a->upstream.items[a->upstream.count++] = (struct extauthz_header){ how,
			arena_slice(c->arena, slice_of(name)), arena_slice(c->arena, slice_of(value)) };
}

static void take_query(struct extauthz_call *c, const Authz__Allowed *ok, struct extauthz_answer *a)
{
	for (size_t i = 0; i < ok->n_query_parameters_to_set; i++)
		push_query(c, a, QUERY_SET, ok->query_parameters_to_set[i]->key,
			   ok->query_parameters_to_set[i]->value);
	for (size_t i = 0; i < ok->n_query_parameters_to_remove; i++)
		push_query(c, a, QUERY_REMOVE, ok->query_parameters_to_remove[i], "");
}

static void allow(struct extauthz_call *c, const Authz__Allowed *ok, struct extauthz_answer *a)
{
	struct check_header h;

	a->result = EXTAUTHZ_ALLOW;
	if (ok == NULL)
		return;
	if (ok->n_headers + ok->n_headers_to_remove > 2 * EXTAUTHZ_HEADERS_MAX ||
	    ok->n_query_parameters_to_set + ok->n_query_parameters_to_remove > EXTAUTHZ_HEADERS_MAX) {
		a->result = EXTAUTHZ_ERROR;
		a->error = "it edits too many headers or query parameters";
		return;
	}
	a->upstream.items = arena_array(c->arena, struct extauthz_header, ok->n_headers + ok->n_headers_to_remove +
					ok->n_query_parameters_to_set + ok->n_query_parameters_to_remove);
	take_query(c, ok, a);
	for (size_t i = 0; i < ok->n_headers; i++)
		if (take_header(c, ok->headers[i], &h))
			a->upstream.items[a->upstream.count++] =
				(struct extauthz_header){ how_of(ok->headers[i]), h.name, h.value };
	for (size_t i = 0; i < ok->n_headers_to_remove; i++)
		if (call_may_set(slice_of(ok->headers_to_remove[i]), NO_SLICE))
			a->upstream.items[a->upstream.count++] = (struct extauthz_header){ HEADER_REMOVE,
				arena_lower(c->arena, slice_of(ok->headers_to_remove[i])), NO_SLICE };
	take_downstream(c, ok->response_headers_to_add, ok->n_response_headers_to_add, a);
}

static void deny(struct extauthz_call *c, const Authz__Denied *denied, struct extauthz_answer *a)
{
	a->result = EXTAUTHZ_DENY;
	a->status = PROVIDER_STATUS_ON_ERROR;
	if (denied == NULL)
		return;
	if (denied->status != NULL && denied->status->code >= 200 && denied->status->code <= 599)
		a->status = (unsigned)denied->status->code;
	a->body = arena_slice(c->arena, slice_of(denied->body));
	take_downstream(c, denied->headers, denied->n_headers, a);
}

/* The one message, NULL: it is not there, or no such message. */
static Authz__CheckResponse *unpack(const struct extauthz_call *c)
{
	const unsigned char *bytes = (const unsigned char *)c->body.at;
	uint32_t len;

	if (c->body.len < GRPC_PREFIX_BYTES || bytes[0] != 0)
		return NULL;
	len = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
	if (len != c->body.len - GRPC_PREFIX_BYTES)
		return NULL;
	return authz__check_response__unpack(NULL, len, bytes + GRPC_PREFIX_BYTES);
}

void grpc_judge(struct extauthz_call *c, long status, struct extauthz_answer *a)
{
	struct slice code = call_response_header(c, "grpc-status");
	Authz__CheckResponse *m;

	if (status != 200 || !slice_eq(code, SLICE("0"))) {
		a->error = arena_printf(c->arena, "status %ld, grpc-status %.*s", status, SLICE_ARG(code));
		return;
	}
	m = unpack(c);
	if (m == NULL) {
		a->error = "its answer is no CheckResponse";
		return;
	}
	if (m->status == NULL || m->status->code == 0)
		allow(c, m->ok_response, a);
	else
		deny(c, m->denied_response, a);
	authz__check_response__free_unpacked(m, NULL);
}
