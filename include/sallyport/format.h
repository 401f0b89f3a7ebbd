/* SPDX-License-Identifier: Apache-2.0
 *
 * format.h - text with %OPERATORS%, compiled once: values of header operations and access logs.
 *
 * A format is a list of pieces, in order; whoever runs it switches over `op` and knows how to
 * fill each one in (proxy/route for headers, proxy/admin for logs).
 *
 * Owner    pieces and their slices live in the arena given to format_parse(). Thread: immutable.
 * Spec     spec/virtual-service.md 7.6, spec/observability.md 2, 4. */
#ifndef SALLYPORT_FORMAT_H
#define SALLYPORT_FORMAT_H

#include "sallyport/arena.h"

/* How an operator is written: NAME alone; NAME(header?other); NAME or NAME(text); NAME(text). */
enum format_args { FORMAT_BARE, FORMAT_HEADER, FORMAT_OPTIONAL, FORMAT_TEXT };

#define FORMAT_OPERATORS(X) \
	X(REQ, HEADER) X(REQ_WITHOUT_QUERY, HEADER) X(RESP, HEADER) X(TRAILER, HEADER) \
	X(START_TIME, OPTIONAL) X(EMIT_TIME, OPTIONAL) \
	X(PROTOCOL, BARE) X(RESPONSE_CODE, BARE) X(RESPONSE_CODE_DETAILS, BARE) \
	X(RESPONSE_FLAGS, BARE) X(RESPONSE_FLAGS_LONG, BARE) \
	X(CONNECTION_TERMINATION_DETAILS, BARE) \
	X(BYTES_RECEIVED, BARE) X(BYTES_SENT, BARE) \
	X(DURATION, BARE) X(REQUEST_DURATION, BARE) X(REQUEST_TX_DURATION, BARE) \
	X(RESPONSE_DURATION, BARE) X(RESPONSE_TX_DURATION, BARE) X(COMMON_DURATION, TEXT) \
	X(REQUEST_HEADERS_BYTES, BARE) X(RESPONSE_HEADERS_BYTES, BARE) \
	X(DOWNSTREAM_WIRE_BYTES_SENT, BARE) X(DOWNSTREAM_WIRE_BYTES_RECEIVED, BARE) \
	X(UPSTREAM_WIRE_BYTES_SENT, BARE) X(UPSTREAM_WIRE_BYTES_RECEIVED, BARE) \
	X(UPSTREAM_HOST, BARE) X(UPSTREAM_CLUSTER, BARE) X(UPSTREAM_CLUSTER_RAW, BARE) \
	X(UPSTREAM_LOCAL_ADDRESS, BARE) X(UPSTREAM_REMOTE_ADDRESS, BARE) \
	X(UPSTREAM_REQUEST_ATTEMPT_COUNT, BARE) X(UPSTREAM_PROTOCOL, BARE) \
	X(UPSTREAM_TRANSPORT_FAILURE_REASON, BARE) \
	X(UPSTREAM_TLS_VERSION, BARE) X(UPSTREAM_TLS_CIPHER, BARE) \
	X(DOWNSTREAM_REMOTE_ADDRESS, BARE) X(DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT, BARE) \
	X(DOWNSTREAM_REMOTE_PORT, BARE) \
	X(DOWNSTREAM_DIRECT_REMOTE_ADDRESS, BARE) \
	X(DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT, BARE) \
	X(DOWNSTREAM_LOCAL_ADDRESS, BARE) X(DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT, BARE) \
	X(DOWNSTREAM_LOCAL_PORT, BARE) \
	X(DOWNSTREAM_TLS_VERSION, BARE) X(DOWNSTREAM_TLS_CIPHER, BARE) \
	X(DOWNSTREAM_TLS_SESSION_ID, BARE) \
	X(DOWNSTREAM_PEER_SUBJECT, BARE) X(DOWNSTREAM_PEER_ISSUER, BARE) \
	X(DOWNSTREAM_PEER_SERIAL, BARE) \
	X(DOWNSTREAM_PEER_URI_SAN, BARE) X(DOWNSTREAM_PEER_DNS_SAN, BARE) \
	X(DOWNSTREAM_PEER_FINGERPRINT_256, BARE) X(DOWNSTREAM_PEER_CERT, BARE) \
	X(DOWNSTREAM_PEER_CERT_V_START, OPTIONAL) X(DOWNSTREAM_PEER_CERT_V_END, OPTIONAL) \
	X(DOWNSTREAM_TRANSPORT_FAILURE_REASON, BARE) \
	X(REQUESTED_SERVER_NAME, BARE) X(ROUTE_NAME, BARE) X(VIRTUAL_CLUSTER_NAME, BARE) \
	X(CONNECTION_ID, BARE) X(STREAM_ID, BARE) X(UNIQUE_ID, BARE) X(TRACE_ID, BARE) \
	X(GRPC_STATUS, OPTIONAL) X(GRPC_STATUS_NUMBER, BARE) X(LOCAL_REPLY_BODY, BARE) \
	X(HOSTNAME, BARE) X(ENVIRONMENT, TEXT) X(DYNAMIC_METADATA, TEXT) X(METADATA, TEXT) \
	X(FILTER_STATE, TEXT)

#define FORMAT_AS_ENUM(name, args)	FORMAT_##name,
enum format_op { FORMAT_LITERAL, FORMAT_OPERATORS(FORMAT_AS_ENUM) FORMAT_OP_COUNT };

struct format_piece {
	enum format_op op;
	struct slice text;	/* LITERAL: the bytes; header operators: the name in lower case,
				 * `host` as `:authority`; others: what stands in parentheses,
				 * absent without them */
	struct slice other;	/* header operators: what follows `?`, else absent */
	size_t max_bytes;	/* of `:N`; 0: no limit */
};

struct format {
	struct format_piece *items;
	size_t count;		/* 0: the empty text */
};

#define FORMAT_BYTES_MAX	65536u	/* of a format as written */

struct format_error {
	size_t offset;		/* in the text */
	char text[200];
};

/* False: `why` says what to change. "%%" is a percent sign. */
bool format_parse(struct arena *a, struct slice text, struct format *out, struct format_error *why);

/* The whole format is one literal (or empty): *out gets it. */
bool format_is_literal(const struct format *f, struct slice *out);

/* "REQ", "START_TIME", …; NULL for FORMAT_LITERAL. */
const char *format_op_name(enum format_op op);

#endif
