/* SPDX-License-Identifier: Apache-2.0
 *
 * http1_priv.h - what the files of the HTTP/1.1 codec share: the scanner of heads, the reader of
 * chunks, the builder of messages, the writer.
 *
 *     http1.c          the codec's table, states and events
 *     http1_scan.c     heads and trailers, byte by byte resumable, grammar only
 *     http1_head.c     a complete head to a struct message: targets, hosts, framing
 *     http1_fields.c   field lines, hop-by-hop rules
 *     http1_chunked.c  chunk framing
 *     http1_write.c    heads, data and ends to bytes */
#ifndef SALLYPORT_PROXY_HTTP1_PRIV_H
#define SALLYPORT_PROXY_HTTP1_PRIV_H

#include "proxy/http/codec.h"
#include "proxy/http/websocket.h"

#define METHOD_BYTES_MAX	64
#define HOST_BYTES_MAX		255
#define CHUNK_DIGITS_MAX	16
#define CHUNK_LINE_BYTES_MAX	4096u
#define CHUNK_OVERHEAD_BYTES	(16u * 1024)	/* plus a tenth of the body (spec 7) */
#define PIPELINE_BYTES_MAX	BUFFER_BYTES	/* read ahead while a request is in progress */
#define BACKLOG_BYTES_MAX	BUFFER_BYTES	/* unwritten responses: no further request is parsed */
#define FIELD_COUNT_MAX		32768u		/* whatever the settings say: struct headers has 16 bits */
#define FIELDS_SPARE		16u		/* room for what the proxy adds */

/* What can be wrong with a message. X(identifier, status, body, details): the reply of the
 * server role (spec/http.md 2-9, 27); the client role reports the details with its reset. */
#define FAULTS(X) \
	X(SYNTAX, 400, "Bad Request", "http1.codec_error") \
	X(CHARACTERS, 400, "Bad Request", "http1.invalid_characters") \
	X(SCHEME, 400, "Bad Request", "http1.invalid_scheme") \
	X(HTTPS_IN_CLEAR, 403, "Forbidden", "http1.https_url_on_plaintext_connection") \
	X(NO_HOST, 400, "", "missing_host_header") \
	X(AUTHORITY, 400, "Bad Request", "http.invalid_authority") \
	X(LENGTH_AND_CHUNKED, 400, "Bad Request", "http1.content_length_and_chunked_not_allowed") \
	X(TRANSFER_ENCODING, 501, "Not Implemented", "http1.invalid_transfer_encoding") \
	X(BODY_DISALLOWED, 400, "Bad Request", "http1.body_disallowed") \
	X(LENGTH_DISALLOWED, 400, "Bad Request", "http1.content_length_not_allowed") \
	X(CODING_DISALLOWED, 400, "Bad Request", "http1.transfer_encoding_not_allowed") \
	X(TOO_LARGE, 431, "Request Header Fields Too Large", "http1.headers_too_large") \
	X(TOO_MANY, 431, "Request Header Fields Too Large", "http1.too_many_headers") \
	X(URI_TOO_LONG, 414, "URI Too Long", "http1.uri_too_long") \
	X(CONNECTION, 400, "Bad Request", "http1.connection_header_rejected") \
	X(UNDERSCORE, 400, "Bad Request", "http1.unexpected_underscore") \
	X(LOW_VERSION, 426, "Upgrade Required", "low_version") \
	X(HIGH_VERSION, 505, "", "http1.unsupported_version") \
	X(TIMEOUT, 408, "request header timeout", "request_header_timeout") \
	X(EXPECTATION, 417, "", "http1.expectation_failed") \
	X(WEBSOCKET, 400, "Bad Request", "http1.invalid_websocket_handshake") \
	X(UPGRADE, 502, "", "http1.unexpected_upgrade") \
	X(INTERIM, 502, "", "http1.too_many_interim_responses") \
	X(EARLY_RESPONSE, 502, "", "http1.response_before_request")

enum fault {
	FAULT_NONE,
#define X(id, status, body, details) FAULT_##id,
	FAULTS(X)
#undef X
};
const struct refusal *fault_refusal(enum fault fault);

/* ---- scanning (http1_scan.c) ---- */

enum scan_result { SCAN_MORE, SCAN_DONE, SCAN_BAD };

/* Offsets count from the first byte of the head. All zero: at its start. */
struct head_scan {
	uint8_t state;
	uint8_t matched;		/* bytes of the version or digits of the status seen */
	uint8_t major, minor;
	uint16_t status;
	enum fault fault;
	uint32_t pos;			/* everything before it was looked at, once */
	uint32_t method_end, target_end;	/* 0: not reached */
	uint32_t fields_at;
	uint32_t field_count;
};

enum scan_kind { SCAN_REQUEST, SCAN_RESPONSE, SCAN_TRAILERS };

/* Goes on where it stopped; `at` is the start of the head, `len` what is there of it. */
enum scan_result head_scan_run(struct head_scan *s, enum scan_kind kind,
			       const struct codec_settings *settings, const char *at, size_t len);

/* ---- chunks (http1_chunked.c) ---- */

struct chunk_scan {
	uint8_t state;
	uint8_t digits;
	uint32_t line_bytes;		/* of the size line so far */
	uint64_t left;			/* of the chunk: size while it is read, then data to come */
	uint64_t overhead_bytes, body_bytes;	/* of the message, for the limit */
};

enum chunk_result { CHUNK_MORE, CHUNK_DATA, CHUNK_LAST, CHUNK_BAD };

/* Reads framing off the front of `in`, *used bytes. CHUNK_DATA: up to s->left bytes of data follow;
 * tell with chunk_took() how many were taken. CHUNK_LAST: the trailers follow. */
enum chunk_result chunk_scan_run(struct chunk_scan *s, struct slice in, size_t *used);
void chunk_took(struct chunk_scan *s, size_t bytes);

/* ---- heads to messages (http1_head.c, http1_fields.c) ---- */

/* Field lines as they go into a message. */
struct field_facts {
	struct slice host, transfer_encoding, content_length;	/* absent: not there */
	bool has_upgrade_token, close_token, keep_alive_token;	/* of connection fields */
};

/* Will the peer go on with the connection after a message of that version? */
static inline bool facts_persist(const struct field_facts *facts, enum http_version version)
{
	return !facts->close_token && (version != HTTP_1_0 || facts->keep_alive_token);
}

/* Splits `at` … `end` (field lines, each with its CRLF) into m->headers, names lower-cased in place,
 * host and transfer-encoding into the facts alone. Fields that must be single are checked. */
enum fault fields_split(char *at, char *end, bool is_request, const struct codec_settings *settings,
			struct message *m, struct field_facts *facts);
/* Reads and removes connection with all that it names, keep-alive, proxy-connection, http2-settings;
 * reduces te (spec 16). */
enum fault fields_strip_hop_by_hop(struct message *m, bool is_request,
				   const struct codec_settings *settings, struct field_facts *facts);
/* Content-Length as written to m->framing and m->content_length. */
enum fault fields_length(struct message *m, struct slice value);
/* Trailers: those that may be there, or NULL for none; in `a`. */
bool fields_forbidden_trailer(struct slice name);
struct headers *fields_trailers(char *at, char *end, uint32_t count, struct arena *a);

/* `head` is the arena's own copy, writable; the message's slices point into it. *persists: the
 * client goes on with the connection afterwards. */
enum fault request_build(struct message *m, const struct head_scan *scan, char *head,
			 const struct codec_settings *settings, struct arena *a, bool *persists);
/* The same of a head that is wrong before its end: method and target, as far as they were read. */
void request_partial(struct message *m, const struct head_scan *scan, char *head,
		     const struct codec_settings *settings, struct arena *a);
/* What the request had, which the response depends on. */
struct response_context {
	bool head_request;
	struct slice upgrade;		/* asked for; absent: none */
	struct slice websocket_accept;	/* what must come back; absent: not a WebSocket */
};
/* What the head of a response says beside the message itself. */
struct response_end {
	bool no_body;			/* nothing follows, whatever the framing fields say */
	bool persists;			/* the connection, as far as the peer is concerned */
};
enum fault response_build(struct message *m, const struct head_scan *scan, char *head,
			  const struct codec_settings *settings, struct arena *a,
			  const struct response_context *context, struct response_end *end);
/* Expect: only its one legal form means anything, and only with a body. */
enum fault request_expect(struct message *m);
bool authority_is_valid(struct slice authority, bool needs_port);

/* ---- the codec (http1.c) ---- */

enum http1_input {
	INPUT_HEAD,		/* a head, or nothing yet */
	INPUT_LENGTH, INPUT_CHUNKED, INPUT_TRAILERS,
	INPUT_RAW,		/* until the peer closes: close-delimited, or a tunnel */
	INPUT_HOLD,		/* server: an upgrade was asked, nothing is parsed before its answer */
	INPUT_DONE,		/* the message is complete, the stream goes on */
	INPUT_DISCARD		/* closing: whatever comes is dropped */
};

enum http1_output {
	OUTPUT_HEAD,		/* not begun */
	OUTPUT_LENGTH, OUTPUT_CHUNKED, OUTPUT_RAW,
	OUTPUT_SWALLOW,		/* a body that may not be sent */
	OUTPUT_DONE
};

struct http1 {
	struct codec codec;
	struct codec_stream stream;	/* the one in progress, when `live` */
	struct message *message;	/* server: the request; in the stream's arena */

	struct head_scan scan;
	struct chunk_scan chunk;
	uint64_t input_left;		/* INPUT_LENGTH */
	uint64_t output_left;		/* OUTPUT_LENGTH: of the body; OUTPUT_CHUNKED: of the open chunk */
	uint32_t interim_count;
	struct response_context asked;
	char accept[WEBSOCKET_ACCEPT_BYTES];

	enum http1_input input;
	enum http1_output output;
	bool live;			/* a stream has an owner */
	bool running;			/* inside feed() or what is like it: no recursion */
	bool withheld;			/* on_data() took less than all */
	bool backlogged;		/* unwritten responses hold up the next request */
	bool skipped_line;		/* the one empty line before a request was there */
	bool peer_eof;
	bool must_close;		/* the connection ends with this stream */
	bool tunnel;			/* the upgrade was granted: raw bytes, each direction ends by itself */
	bool draining;
	bool closing;			/* on_close() was called */
};

static inline struct http1 *http1_of(struct codec_stream *cs)
{
	return (struct http1 *)cs->codec;
}

/* The response (server) was queued whole: the stream is over. */
void http1_response_sent(struct http1 *h);
/* One direction of a tunnel has ended: when both have, so have stream and connection. */
void http1_tunnel_ended(struct http1 *h);
/* Goes on with the input after a call from the owner has made that possible. */
void http1_run_on(struct http1 *h);
/* The stream's owner hears on_reset(); the connection closes. */
void http1_fail(struct http1 *h, enum reset_reason why, const char *detail);
/* Is all that belongs to the request read, or at least in the input buffer? */
bool http1_request_is_here(const struct http1 *h);

/* ---- writing (http1_write.c) ---- */

void http1_send_head(struct codec_stream *cs, const struct message *m, bool end);
size_t http1_send_data(struct codec_stream *cs, struct slice bytes);
void http1_send_end(struct codec_stream *cs, const struct headers *trailers);

#endif
