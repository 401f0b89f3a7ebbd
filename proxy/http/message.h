/* SPDX-License-Identifier: Apache-2.0
 *
 * message.h - a request or response without its body, in the terms of no HTTP version.
 *
 * The one noun of http/ that route/, stream/ and authz/ see too. Names are lower case. All bytes
 * are borrowed from the stream's arena, or static; nothing here frees.
 *
 * Lookup of a known field is an index (header_id), not a search. Removing marks, so that the
 * order of the others and pointers to them stay. */
#ifndef SALLYPORT_PROXY_MESSAGE_H
#define SALLYPORT_PROXY_MESSAGE_H

#include "sallyport/arena.h"

/* Fields that the proxy itself reads or writes. X(identifier, "name") */
#define KNOWN_HEADERS(X) \
	X(ACCEPT, "accept") \
	X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method") \
	X(AUTHORIZATION, "authorization") \
	X(CONNECTION, "connection") \
	X(CONTENT_LENGTH, "content-length") \
	X(CONTENT_TYPE, "content-type") \
	X(COOKIE, "cookie") \
	X(DATE, "date") \
	X(EXPECT, "expect") \
	X(FORWARDED, "forwarded") \
	X(GRPC_MESSAGE, "grpc-message") \
	X(GRPC_STATUS, "grpc-status") \
	X(GRPC_TIMEOUT, "grpc-timeout") \
	X(HOST, "host") \
	X(HTTP2_SETTINGS, "http2-settings") \
	X(KEEP_ALIVE, "keep-alive") \
	X(LOCATION, "location") \
	X(ORIGIN, "origin") \
	X(PROXY_AUTHORIZATION, "proxy-authorization") \
	X(PROXY_CONNECTION, "proxy-connection") \
	X(REFERER, "referer") \
	X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept") \
	X(SEC_WEBSOCKET_KEY, "sec-websocket-key") \
	X(SERVER, "server") \
	X(TE, "te") \
	X(TRACEPARENT, "traceparent") \
	X(TRAILER, "trailer") \
	X(TRANSFER_ENCODING, "transfer-encoding") \
	X(UPGRADE, "upgrade") \
	X(USER_AGENT, "user-agent") \
	X(WWW_AUTHENTICATE, "www-authenticate") \
	X(X_ENVOY_ATTEMPT_COUNT, "x-envoy-attempt-count") \
	X(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "x-envoy-expected-rq-timeout-ms") \
	X(X_ENVOY_EXTERNAL_ADDRESS, "x-envoy-external-address") \
	X(X_ENVOY_INTERNAL, "x-envoy-internal") \
	X(X_ENVOY_ORIGINAL_HOST, "x-envoy-original-host") \
	X(X_ENVOY_ORIGINAL_PATH, "x-envoy-original-path") \
	X(X_ENVOY_UPSTREAM_SERVICE_TIME, "x-envoy-upstream-service-time") \
	X(X_FORWARDED_CLIENT_CERT, "x-forwarded-client-cert") \
	X(X_FORWARDED_FOR, "x-forwarded-for") \
	X(X_FORWARDED_HOST, "x-forwarded-host") \
	X(X_FORWARDED_PORT, "x-forwarded-port") \
	X(X_FORWARDED_PROTO, "x-forwarded-proto") \
	X(X_REQUEST_ID, "x-request-id")

enum header_id {
	HEADER_OTHER,
#define X(id, name) HEADER_##id,
	KNOWN_HEADERS(X)
#undef X
	HEADER_ID_COUNT
};

struct header {
	struct slice name;	/* lower case; absent: this field was removed */
	struct slice value;	/* trimmed */
	enum header_id id;
};

struct headers {
	struct arena *arena;	/* borrowed: where more fields go */
	struct header *items;
	uint32_t count, capacity;
	uint16_t first[HEADER_ID_COUNT];	/* index + 1 of the first live field of that id, 0: none */
};

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

/* How the end of a body is known on the wire it came from. */
enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_UNTIL_CLOSE };

struct message {
	/* requests */
	struct slice method;
	struct slice scheme;		/* "http" or "https": what the proxy decided */
	struct slice authority;		/* Host or :authority as received, port included */
	struct slice path;		/* with query; normalised before routing */
	/* responses */
	unsigned status;
	/* both */
	enum http_version version;
	enum framing framing;
	uint64_t content_length;	/* when framing is FRAMING_LENGTH */
	bool expect_continue;		/* request: valid `expect: 100-continue` with a body */
	bool upgrade;			/* request: `connection: upgrade` with upgrade (the field holds all
					 * that was asked for, lines joined); response: 101 */
	bool close;			/* set by who sends: say so (HTTP/1), and end the connection after
					 * this message; codecs keep to themselves what they received */
	uint32_t head_bytes;		/* as received, for statistics */
	struct headers headers;		/* without host (requests: authority), pseudo and hop-by-hop
					 * fields; content-length stays to be read, codecs write it from
					 * `framing` */
};

/* Its list of fields is the copy's own. */
struct message *message_copy(const struct message *m, struct arena *a);

void headers_init(struct headers *h, struct arena *a, uint32_t capacity);

/* The id of a lower-case name; HEADER_OTHER when unknown. */
enum header_id header_id_of(struct slice name);
struct slice header_name(enum header_id id);

/* First live field of that id or name, or NULL. `name` in lower case. */
static inline struct header *headers_get(const struct headers *h, enum header_id id)
{
	return h->first[id] != 0 ? &h->items[h->first[id] - 1] : NULL;
}
struct header *headers_find(const struct headers *h, struct slice name);
/* The value, or an absent slice. */
static inline struct slice headers_value(const struct headers *h, enum header_id id)
{
	const struct header *f = headers_get(h, id);

	return f != NULL ? f->value : NO_SLICE;
}
/* All lines of that name joined with `,` (no blank); absent: none. Copies only when repeated. */
struct slice headers_joined(const struct headers *h, struct slice name, struct arena *a);

/* Appends a line; the slices are borrowed. `name` in lower case. Pointers to fields that were got
 * before may be stale after it: the list can move. */
struct header *headers_add(struct headers *h, struct slice name, struct slice value);
struct header *headers_add_id(struct headers *h, enum header_id id, struct slice value);
/* headers_add() for who knows already what header_id_of() says of the name. */
struct header *headers_append(struct headers *h, enum header_id id, struct slice name,
			      struct slice value);
/* Replaces all lines of that name by one, at the place of the first; appends where there is none. */
void headers_set(struct headers *h, struct slice name, struct slice value);
void headers_set_id(struct headers *h, enum header_id id, struct slice value);
/* Number of lines removed. */
unsigned headers_remove(struct headers *h, struct slice name);
unsigned headers_remove_id(struct headers *h, enum header_id id);
void headers_remove_at(struct headers *h, struct header *f);

/* for (struct header *f = headers_begin(h); f != NULL; f = headers_next(h, f)) … live fields in order */
struct header *headers_next(const struct headers *h, const struct header *f);
static inline struct header *headers_begin(const struct headers *h)
{
	return headers_next(h, NULL);
}

/* A field that may be forwarded: token name, no CR, LF, NUL or other control but HTAB in the value. */
bool header_is_safe(struct slice name, struct slice value);
bool is_token(struct slice s);

/* The standard reason phrase; "Unknown" for numbers without one. */
struct slice status_reason(unsigned status);

#endif
