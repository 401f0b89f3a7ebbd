/* SPDX-License-Identifier: Apache-2.0
 * What the edge does to requests and responses beyond framing (spec/http.md 4, 21-23). Requests are
 * walked once for what no client may send; what is added afterwards is known by id. */
#include "proxy/http/forwarded.h"

#include "proxy/http/chars_priv.h"
#include "sallyport/hostname.h"
#include "sallyport/object.h"

#define ENVOY_PREFIX	"x-envoy-"
#define PEER_METADATA	"peer-metadata"	/* after the prefix; `-id` may follow */

/* Taken from every request that comes from outside, behind the prefix; known ids are told apart by
 * is_untrusted_id(). */
static const struct slice untrusted[] = {
#define NAME(s) { s, sizeof(s) - 1 }
	NAME("retry-on"), NAME("retry-grpc-on"), NAME("max-retries"), NAME("retriable-status-codes"),
	NAME("retriable-header-names"), NAME("upstream-alt-stat-name"), NAME("upstream-rq-timeout-ms"),
	NAME("upstream-rq-per-try-timeout-ms"), NAME("upstream-rq-timeout-alt-response"),
	NAME("force-trace"), NAME("ip-tags"), NAME("original-url"), NAME("hedge-on-per-try-timeout"),
	NAME("decorator-operation"), NAME("downstream-service-cluster"),
	NAME("downstream-service-node"), NAME("original-dst-host"),
	NAME("upstream-stream-duration-ms"),
};

static bool is_untrusted_id(enum header_id id)
{
	switch (id) {
	case HEADER_X_ENVOY_ATTEMPT_COUNT:
	case HEADER_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS:
	case HEADER_X_ENVOY_EXTERNAL_ADDRESS:
	case HEADER_X_ENVOY_INTERNAL:
	case HEADER_X_ENVOY_ORIGINAL_HOST:
	case HEADER_X_ENVOY_ORIGINAL_PATH:
	case HEADER_PROXY_AUTHORIZATION:
		return true;
	default:
		return false;
	}
}

static bool is_untrusted_name(struct slice name)
{
	struct slice rest;

	if (!slice_starts(name, SLICE(ENVOY_PREFIX)))
		return false;
	rest = slice_from(name, sizeof(ENVOY_PREFIX) - 1);
	if (slice_starts(rest, SLICE(PEER_METADATA)))
		return true;
	for (size_t i = 0; i < COUNT_OF(untrusted); i++)
		if (slice_eq(rest, untrusted[i]))
			return true;
	return false;
}

static bool is_claim_header(struct slice name, const struct edge_rules *rules)
{
	for (uint32_t i = 0; i < rules->claim_header_count; i++)
		if (slice_eq(name, rules->claim_headers[i]))
			return true;
	return false;
}

static void remove_untrusted(struct headers *h, const struct edge_rules *rules)
{
	for (uint32_t i = 0; i < h->count; i++) {
		struct header *f = &h->items[i];

		if (f->name.at == NULL)
			continue;
		if (f->id != HEADER_OTHER ? is_untrusted_id(f->id) : is_untrusted_name(f->name))
			headers_remove_at(h, f);
		else if (rules->claim_header_count > 0 && is_claim_header(f->name, rules))
			headers_remove_at(h, f);
	}
}

/* Is there a second line of that id? */
static bool is_repeated(const struct headers *h, enum header_id id)
{
	for (uint32_t i = h->first[id]; i < h->count; i++)
		if (h->items[i].id == id && h->items[i].name.at != NULL)
			return true;
	return false;
}

/* An absolute http(s) URL, or a reference to a path, of the bytes that may stand in one. */
static bool referer_is_valid(struct slice value)
{
	if (!chars_are(value, CHAR_TARGET))
		return false;
	if (value.len > 0 && value.at[0] == '/')
		return true;
	if (slice_starts_nocase(value, SLICE("https://")))
		value = slice_from(value, 8);
	else if (slice_starts_nocase(value, SLICE("http://")))
		value = slice_from(value, 7);
	else
		return false;
	return value.len > 0 && value.at[0] != '/' && value.at[0] != '?' && value.at[0] != '#';
}

static void check_single_fields(struct headers *h)
{
	if (headers_get(h, HEADER_TRACEPARENT) != NULL && is_repeated(h, HEADER_TRACEPARENT))
		headers_remove_id(h, HEADER_TRACEPARENT);
	if (headers_get(h, HEADER_REFERER) != NULL &&
	    (is_repeated(h, HEADER_REFERER) ||
	     !referer_is_valid(headers_value(h, HEADER_REFERER))))
		headers_remove_id(h, HEADER_REFERER);
}

/* ---- who the client is ---- */

struct edge_client edge_client_of(struct slice list, uint32_t trusted, struct slice peer)
{
	struct edge_client client = { .address = peer };
	struct slice entry = NO_SLICE;

	if (trusted == 0 || list.at == NULL)
		return client;
	for (uint32_t i = 0; i < trusted; i++) {
		ptrdiff_t comma;

		if (list.at == NULL)	/* fewer entries than proxies */
			return client;
		comma = slice_rfind(list, ',');
		entry = slice_from(list, (size_t)(comma + 1));
		list = comma >= 0 ? slice_first(list, (size_t)comma) : NO_SLICE;
	}
	entry = slice_trim(entry);
	if (hostname_is_ip(entry)) {
		client.address = entry;
		client.from_header = true;
	}
	return client;
}

static uint32_t count_entries(struct slice list)
{
	uint32_t count = 1;

	for (size_t i = 0; i < list.len; i++)
		count += list.at[i] == ',';
	return count;
}

static bool forwarded_for_is_bounded(struct slice list, const struct edge_rules *rules)
{
	uint32_t most = rules->forwarded_for_max > 0 ? rules->forwarded_for_max
						     : FORWARDED_FOR_ENTRIES_MAX;

	return list.at == NULL ||
	       (list.len <= FORWARDED_FOR_BYTES_MAX && count_entries(list) <= most);
}

/* `list,address`: a comma without blank, as Envoy writes it. */
static struct slice append_entry(struct slice list, struct slice entry, struct arena *a)
{
	char *text;

	if (list.at == NULL || list.len == 0)
		return entry;
	text = arena_alloc(a, list.len + 1 + entry.len);
	memcpy(text, list.at, list.len);
	text[list.len] = ',';
	memcpy(text + list.len + 1, entry.at, entry.len);
	return slice_make(text, list.len + 1 + entry.len);
}

static struct slice decimal(uint64_t number, struct arena *a)
{
	char digits[20], *copy;
	size_t count = 0;

	do {
		digits[sizeof(digits) - ++count] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	copy = arena_alloc(a, count);
	memcpy(copy, digits + sizeof(digits) - count, count);
	return slice_make(copy, count);
}

/* What a trusted proxy says of the client's scheme is the scheme (spec/virtual-service.md 6.3). */
static void set_scheme(struct message *m, const struct edge_rules *rules, const struct edge_peer *peer)
{
	static const struct slice schemes[] = { { "https", 5 }, { "http", 4 } };
	const struct header *told = headers_get(&m->headers, HEADER_X_FORWARDED_PROTO);

	if (rules->trusted_proxies == 0 || told == NULL) {
		headers_set_id(&m->headers, HEADER_X_FORWARDED_PROTO, schemes[peer->tls ? 0 : 1]);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (slice_eq_nocase(told->value, schemes[i]))
			m->scheme = schemes[i];
}

static void set_forwarded(struct message *m, struct slice list, const struct edge_rules *rules,
			  const struct edge_peer *peer)
{
	struct headers *h = &m->headers;
	struct slice own = peer->loopback && rules->own_address.at != NULL ? rules->own_address
									   : peer->address;

	headers_set_id(h, HEADER_X_FORWARDED_FOR, append_entry(list, own, h->arena));
	set_scheme(m, rules, peer);
	if (rules->forwarded_port &&
	    (rules->trusted_proxies == 0 || headers_get(h, HEADER_X_FORWARDED_PORT) == NULL))
		headers_set_id(h, HEADER_X_FORWARDED_PORT, decimal(peer->local_port, h->arena));
}

/* Who had no certificate never gets to say that it had one. */
static void set_client_cert(struct headers *h, const struct edge_rules *rules,
			    const struct edge_peer *peer)
{
	bool has = peer->client_cert.at != NULL;
	enum client_cert_mode mode = rules->client_cert;

	if (mode == CLIENT_CERT_ALWAYS_FORWARD_ONLY || (mode == CLIENT_CERT_FORWARD_ONLY && has))
		return;
	if (!has || mode == CLIENT_CERT_SANITIZE || mode == CLIENT_CERT_FORWARD_ONLY) {
		if (headers_get(h, HEADER_X_FORWARDED_CLIENT_CERT) != NULL)
			headers_remove_id(h, HEADER_X_FORWARDED_CLIENT_CERT);
		return;
	}
	if (mode == CLIENT_CERT_APPEND_FORWARD)
		headers_set_id(h, HEADER_X_FORWARDED_CLIENT_CERT,
			       append_entry(headers_joined(h, SLICE("x-forwarded-client-cert"), h->arena),
					    peer->client_cert, h->arena));
	else
		headers_set_id(h, HEADER_X_FORWARDED_CLIENT_CERT, peer->client_cert);
}

void request_id_format(const uint64_t random[2], char *out)
{
	static const char digits[] = "0123456789abcdef";
	/* RFC 9562 5.4: version 4 in the high half, variant 10 in the low one */
	uint64_t high = (random[0] & ~0xf000ull) | 0x4000ull;
	uint64_t low = (random[1] & ~(3ull << 62)) | 2ull << 62;

	for (int i = 15; i >= 0; i--, high >>= 4)
		out[i + (i >= 8) + (i >= 12)] = digits[high & 15];
	for (int i = 15; i >= 0; i--, low >>= 4)
		out[19 + i + (i >= 4)] = digits[low & 15];
	out[8] = out[13] = out[18] = out[23] = '-';
}

enum outcome edge_request(struct message *m, const struct edge_rules *rules,
			  const struct edge_peer *peer, const uint64_t random[2],
			  struct edge_client *client)
{
	struct headers *h = &m->headers;
	struct slice list = NO_SLICE;
	char *id;

	if (headers_get(h, HEADER_X_FORWARDED_FOR) != NULL)
		list = headers_joined(h, SLICE("x-forwarded-for"), h->arena);
	*client = (struct edge_client){ .address = peer->address };
	if (!forwarded_for_is_bounded(list, rules))
		return FAILED;
	*client = edge_client_of(list, rules->trusted_proxies, peer->address);
	remove_untrusted(h, rules);
	check_single_fields(h);
	set_forwarded(m, list, rules, peer);
	headers_set_id(h, HEADER_X_ENVOY_EXTERNAL_ADDRESS, client->address);
	set_client_cert(h, rules, peer);
	if (!rules->request_id_off) {
		id = arena_alloc(h->arena, REQUEST_ID_BYTES);
		request_id_format(random, id);
		headers_set_id(h, HEADER_X_REQUEST_ID, slice_make(id, REQUEST_ID_BYTES));
	}
	return OK;
}

/* ---- responses ---- */

static void remove_peer_metadata(struct headers *h)
{
	for (uint32_t i = 0; i < h->count; i++) {
		struct header *f = &h->items[i];

		if (f->id == HEADER_OTHER && f->name.at != NULL &&
		    slice_starts(f->name, SLICE(ENVOY_PREFIX PEER_METADATA)))
			headers_remove_at(h, f);
	}
}

void edge_response(struct message *m, const struct edge_rules *rules, struct slice date,
		   int64_t service_ms)
{
	struct headers *h = &m->headers;

	remove_peer_metadata(h);
	if (rules->server_name.at != NULL)
		headers_set_id(h, HEADER_SERVER, rules->server_name);
	if (headers_get(h, HEADER_DATE) == NULL)
		headers_add_id(h, HEADER_DATE, date);
	if (service_ms >= 0 && !rules->service_time_off)
		headers_set_id(h, HEADER_X_ENVOY_UPSTREAM_SERVICE_TIME,
			       decimal((uint64_t)service_ms, h->arena));
}
