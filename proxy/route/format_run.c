/* SPDX-License-Identifier: Apache-2.0
 *
 * format_run.c - fills compiled formats in from what is known of an exchange
 * (spec/virtual-service.md 7.6, spec/observability.md 2 and 4). */
#include "proxy/route/route.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "proxy/route/format_time_priv.h"
#include "proxy/tls/peer_identity.h"
#include "sallyport/clock.h"

#define TRACE_ID_BYTES		32u	/* hex digits, after "00-" in traceparent */
#define TRACE_ID_AT		3u
#define GRPC_STATUS_MAX		16u

static struct slice number(uint64_t n, struct arena *a)
{
	char digits[24], *at = digits + sizeof(digits);

	do {
		*--at = (char)('0' + n % 10);
	} while ((n /= 10) != 0);
	return arena_slice(a, slice_make(at, (size_t)(digits + sizeof(digits) - at)));
}

static struct slice text_or_absent(const char *text)
{
	return text != NULL ? slice_of(text) : NO_SLICE;
}

/* An empty value says as little as an absent one. */
static struct slice unless_empty(struct slice s)
{
	return s.len != 0 ? s : NO_SLICE;
}

/* ---- headers ---- */

static struct slice first_line(const struct headers *h, struct slice name)
{
	const struct header *f = headers_find(h, name);

	return f != NULL ? f->value : NO_SLICE;
}

static struct slice request_value(const struct exchange *x, struct slice name)
{
	const struct message *m = x->request;

	if (m == NULL)
		return NO_SLICE;
	if (name.len == 0 || name.at[0] != ':')
		return first_line(&m->headers, name);
	if (slice_eq(name, SLICE(":path")))
		return m->path;
	if (slice_eq(name, SLICE(":authority")))
		return m->authority;
	if (slice_eq(name, SLICE(":method")))
		return m->method;
	return slice_eq(name, SLICE(":scheme")) ? m->scheme : NO_SLICE;
}

static struct slice response_value(const struct exchange *x, struct slice name, struct arena *a)
{
	if (x->response == NULL)
		return NO_SLICE;
	if (slice_eq(name, SLICE(":status")))
		return number(x->response->status, a);
	return first_line(&x->response->headers, name);
}

static struct slice trailer_value(const struct exchange *x, struct slice name)
{
	return x->response_trailers != NULL ? first_line(x->response_trailers, name) : NO_SLICE;
}

static struct slice header_value(const struct format_piece *p, const struct exchange *x, struct slice name,
				 struct arena *a)
{
	struct slice value;

	switch (p->op) {
	case FORMAT_RESP:	return response_value(x, name, a);
	case FORMAT_TRAILER:	return trailer_value(x, name);
	case FORMAT_REQ:	return request_value(x, name);
	default:
		value = request_value(x, name);
		return value.at != NULL ? slice_cut(&value, '?') : value;
	}
}

static struct slice header_or_other(const struct format_piece *p, const struct exchange *x, struct arena *a)
{
	struct slice value = header_value(p, x, p->text, a);

	if (value.at == NULL && p->other.at != NULL)
		value = header_value(p, x, p->other, a);
	return unless_empty(value);
}

/* ---- addresses ---- */

static struct slice address_ip(struct slice address)
{
	return unless_empty(authority_host(address));
}

static struct slice address_port(struct slice address)
{
	return unless_empty(authority_port(address));
}

/* ---- times ---- */

static struct slice span_ms(int64_t from_us, int64_t to_us, struct arena *a)
{
	if (from_us == 0 || to_us == 0 || to_us < from_us)
		return NO_SLICE;
	return number((uint64_t)(to_us - from_us) / 1000, a);
}

static int64_t time_point(const struct exchange *x, struct slice name)
{
	const struct { struct slice name; int64_t at; } points[] = {
		{ SLICE("DS_RX_BEG"), x->start_us }, { SLICE("DS_RX_END"), x->request_end_us },
		{ SLICE("US_TX_END"), x->request_sent_us }, { SLICE("US_RX_BEG"), x->response_head_us },
		{ SLICE("DS_TX_BEG"), x->first_byte_sent_us }, { SLICE("DS_TX_END"), x->end_us },
	};

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		if (slice_eq(name, points[i].name))
			return points[i].at;
	return 0;
}

/* "DS_RX_BEG:DS_TX_END:us" */
static struct slice common_duration(const struct exchange *x, struct slice args, struct arena *a)
{
	int64_t from = time_point(x, slice_cut(&args, ':')), to;
	uint64_t us;

	if (args.at == NULL)
		return NO_SLICE;
	to = time_point(x, slice_cut(&args, ':'));
	if (from == 0 || to < from)
		return NO_SLICE;
	us = (uint64_t)(to - from);
	if (slice_eq(args, SLICE("us")))
		return number(us, a);
	return number(slice_eq(args, SLICE("ns")) ? us * 1000 : us / 1000, a);
}

static struct slice wall_time(int64_t wall_us, struct slice layout, struct arena *a)
{
	char text[FORMAT_TIME_MAX];

	if (wall_us == 0)
		return NO_SLICE;
	return unless_empty(arena_slice(a, slice_make(text, format_time(wall_us, layout, text))));
}

/* ---- the client's certificate ---- */

static struct slice peer_value(const struct format_piece *p, const struct peer_identity *peer, struct arena *a)
{
	switch (p->op) {
	case FORMAT_DOWNSTREAM_PEER_SUBJECT:		return unless_empty(peer->subject);
	case FORMAT_DOWNSTREAM_PEER_ISSUER:		return unless_empty(peer->issuer);
	case FORMAT_DOWNSTREAM_PEER_SERIAL:		return unless_empty(peer->serial);
	case FORMAT_DOWNSTREAM_PEER_URI_SAN:		return unless_empty(peer->uri_names);
	case FORMAT_DOWNSTREAM_PEER_DNS_SAN:		return unless_empty(peer->dns_names);
	case FORMAT_DOWNSTREAM_PEER_FINGERPRINT_256:	return unless_empty(peer->fingerprint);
	case FORMAT_DOWNSTREAM_PEER_CERT:		return unless_empty(peer->certificate);
	case FORMAT_DOWNSTREAM_PEER_CERT_V_START:	return wall_time(peer->valid_from_us, p->text, a);
	case FORMAT_DOWNSTREAM_PEER_CERT_V_END:		return wall_time(peer->valid_until_us, p->text, a);
	default:					return NO_SLICE;
	}
}

/* ---- gRPC ---- */

static const struct { const char *camel, *snake; } grpc_names[GRPC_STATUS_MAX + 1] = {
	{ "OK", "OK" }, { "Canceled", "CANCELLED" }, { "Unknown", "UNKNOWN" },
	{ "InvalidArgument", "INVALID_ARGUMENT" }, { "DeadlineExceeded", "DEADLINE_EXCEEDED" },
	{ "NotFound", "NOT_FOUND" }, { "AlreadyExists", "ALREADY_EXISTS" },
	{ "PermissionDenied", "PERMISSION_DENIED" }, { "ResourceExhausted", "RESOURCE_EXHAUSTED" },
	{ "FailedPrecondition", "FAILED_PRECONDITION" }, { "Aborted", "ABORTED" },
	{ "OutOfRange", "OUT_OF_RANGE" }, { "Unimplemented", "UNIMPLEMENTED" }, { "Internal", "INTERNAL" },
	{ "Unavailable", "UNAVAILABLE" }, { "DataLoss", "DATA_LOSS" },
	{ "Unauthenticated", "UNAUTHENTICATED" },
};

static struct slice grpc_status(const struct exchange *x, struct slice form)
{
	struct slice status = trailer_value(x, SLICE("grpc-status"));
	uint64_t n;

	if (status.at == NULL && x->response != NULL)
		status = headers_value(&x->response->headers, HEADER_GRPC_STATUS);
	if (!slice_to_u64(status, &n))
		return NO_SLICE;
	if (slice_eq(form, SLICE("NUMBER")) || n > GRPC_STATUS_MAX)
		return status;
	return slice_of(slice_eq(form, SLICE("SNAKE_STRING")) ? grpc_names[n].snake : grpc_names[n].camel);
}

/* ---- the rest ---- */

static char host_name[HOST_NAME_MAX + 1];

static void read_host_name(void)
{
	if (gethostname(host_name, sizeof(host_name) - 1) != 0)
		host_name[0] = '\0';
}

static struct slice hostname_value(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_host_name);
	return unless_empty(slice_of(host_name));
}

static struct slice environment_value(struct slice name, struct arena *a)
{
	return unless_empty(text_or_absent(getenv(arena_text(a, name))));
}

/* A random UUID, new for each use. */
static struct slice unique_id(struct arena *a)
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return NO_SLICE;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	return slice_of(arena_printf(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
				     b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
				     b[12], b[13], b[14], b[15]));
}

static struct slice trace_id(const struct exchange *x)
{
	struct slice parent = request_value(x, SLICE("traceparent"));

	if (parent.len < TRACE_ID_AT + TRACE_ID_BYTES)
		return NO_SLICE;
	return slice_make(parent.at + TRACE_ID_AT, TRACE_ID_BYTES);
}

static struct slice flags_value(uint32_t flags, bool in_long, struct arena *a)
{
	char text[RESPONSE_FLAGS_LONG_TEXT_MAX];
	size_t len = in_long ? response_flags_long_text(flags, text) : response_flags_text(flags, text);

	return arena_slice(a, slice_make(text, len));
}

/* Reasons are sentences; in a log of fields they are words. */
static struct slice underscored(struct slice s, struct arena *a)
{
	char *copy;

	if (s.len == 0)
		return NO_SLICE;
	copy = arena_text(a, s);
	for (size_t i = 0; i < s.len; i++)
		if (copy[i] == ' ' || (copy[i] >= '\t' && copy[i] <= '\r'))
			copy[i] = '_';
	return slice_make(copy, s.len);
}

/* 0 once it is over and nothing was sent; before that nobody knows. */
static struct slice response_code(const struct exchange *x, struct arena *a)
{
	if (x->response_code != 0)
		return number(x->response_code, a);
	if (x->response != NULL && x->response->status != 0)
		return number(x->response->status, a);
	return x->end_us != 0 ? SLICE("0") : NO_SLICE;
}

static struct slice head_bytes(const struct message *m, struct arena *a)
{
	return m != NULL ? number(m->head_bytes, a) : NO_SLICE;
}

static struct slice piece_value(const struct format_piece *p, const struct exchange *x, struct arena *a)
{
	switch (p->op) {
	case FORMAT_LITERAL:			return p->text;
	case FORMAT_REQ:
	case FORMAT_REQ_WITHOUT_QUERY:
	case FORMAT_RESP:
	case FORMAT_TRAILER:			return header_or_other(p, x, a);
	case FORMAT_START_TIME:			return wall_time(x->start_wall_us, p->text, a);
	case FORMAT_EMIT_TIME:			return wall_time(clock_wall_us(), p->text, a);
	case FORMAT_PROTOCOL:			return text_or_absent(x->protocol);
	case FORMAT_RESPONSE_CODE:		return response_code(x, a);
	case FORMAT_RESPONSE_CODE_DETAILS:	return underscored(x->response_code_details, a);
	case FORMAT_RESPONSE_FLAGS:		return flags_value(x->response_flags, false, a);
	case FORMAT_RESPONSE_FLAGS_LONG:	return flags_value(x->response_flags, true, a);
	case FORMAT_CONNECTION_TERMINATION_DETAILS: return underscored(x->termination_details, a);
	case FORMAT_BYTES_RECEIVED:		return number(x->bytes_received, a);
	case FORMAT_BYTES_SENT:			return number(x->bytes_sent, a);
	case FORMAT_DURATION:			return span_ms(x->start_us, x->end_us, a);
	case FORMAT_REQUEST_DURATION:		return span_ms(x->start_us, x->request_end_us, a);
	case FORMAT_REQUEST_TX_DURATION:	return span_ms(x->start_us, x->request_sent_us, a);
	case FORMAT_RESPONSE_DURATION:		return span_ms(x->start_us, x->response_head_us, a);
	case FORMAT_RESPONSE_TX_DURATION:	return span_ms(x->response_head_us, x->end_us, a);
	case FORMAT_COMMON_DURATION:		return common_duration(x, p->text, a);
	case FORMAT_REQUEST_HEADERS_BYTES:	return head_bytes(x->request, a);
	case FORMAT_RESPONSE_HEADERS_BYTES:	return head_bytes(x->response, a);
	case FORMAT_UPSTREAM_HOST:
	case FORMAT_UPSTREAM_REMOTE_ADDRESS:	return unless_empty(x->upstream_host);
	case FORMAT_UPSTREAM_CLUSTER:
	case FORMAT_UPSTREAM_CLUSTER_RAW:	return unless_empty(x->cluster_name);
	case FORMAT_UPSTREAM_LOCAL_ADDRESS:	return unless_empty(x->upstream_local_address);
	case FORMAT_UPSTREAM_REQUEST_ATTEMPT_COUNT: return number(x->attempts, a);
	case FORMAT_UPSTREAM_PROTOCOL:		return text_or_absent(x->upstream_protocol);
	case FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON: return underscored(x->transport_failure_reason, a);
	case FORMAT_DOWNSTREAM_REMOTE_ADDRESS:	return unless_empty(x->remote_address);
	case FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: return address_ip(x->remote_address);
	case FORMAT_DOWNSTREAM_REMOTE_PORT:	return address_port(x->remote_address);
	case FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS: return unless_empty(x->direct_remote_address);
	case FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: return address_ip(x->direct_remote_address);
	case FORMAT_DOWNSTREAM_LOCAL_ADDRESS:	return unless_empty(x->local_address);
	case FORMAT_DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: return address_ip(x->local_address);
	case FORMAT_DOWNSTREAM_LOCAL_PORT:	return address_port(x->local_address);
	case FORMAT_DOWNSTREAM_TLS_VERSION:	return unless_empty(x->tls_version);
	case FORMAT_DOWNSTREAM_TLS_CIPHER:	return unless_empty(x->tls_cipher);
	case FORMAT_DOWNSTREAM_PEER_SUBJECT:
	case FORMAT_DOWNSTREAM_PEER_ISSUER:
	case FORMAT_DOWNSTREAM_PEER_SERIAL:
	case FORMAT_DOWNSTREAM_PEER_URI_SAN:
	case FORMAT_DOWNSTREAM_PEER_DNS_SAN:
	case FORMAT_DOWNSTREAM_PEER_FINGERPRINT_256:
	case FORMAT_DOWNSTREAM_PEER_CERT:
	case FORMAT_DOWNSTREAM_PEER_CERT_V_START:
	case FORMAT_DOWNSTREAM_PEER_CERT_V_END:
		return x->peer != NULL ? peer_value(p, x->peer, a) : NO_SLICE;
	case FORMAT_REQUESTED_SERVER_NAME:	return unless_empty(x->requested_server_name);
	case FORMAT_ROUTE_NAME:			return unless_empty(x->route_name);
	case FORMAT_CONNECTION_ID:		return number(x->connection_id, a);
	case FORMAT_STREAM_ID:			return unless_empty(request_value(x, SLICE("x-request-id")));
	case FORMAT_UNIQUE_ID:			return unique_id(a);
	case FORMAT_TRACE_ID:			return trace_id(x);
	case FORMAT_GRPC_STATUS:		return grpc_status(x, p->text);
	case FORMAT_GRPC_STATUS_NUMBER:		return grpc_status(x, SLICE("NUMBER"));
	case FORMAT_LOCAL_REPLY_BODY:		return unless_empty(x->local_reply_body);
	case FORMAT_HOSTNAME:			return hostname_value();
	case FORMAT_ENVIRONMENT:		return environment_value(p->text, a);
	default:				return NO_SLICE;	/* format_op_is_known() */
	}
}

/* Those with a meaning that nothing here can have yet: TLS to upstreams, byte counts
 * of the wire, metadata. VIRTUAL_CLUSTER_NAME is always empty in Istio too. */
bool format_op_is_known(enum format_op op)
{
	switch (op) {
	case FORMAT_DOWNSTREAM_WIRE_BYTES_SENT:
	case FORMAT_DOWNSTREAM_WIRE_BYTES_RECEIVED:
	case FORMAT_UPSTREAM_WIRE_BYTES_SENT:
	case FORMAT_UPSTREAM_WIRE_BYTES_RECEIVED:
	case FORMAT_UPSTREAM_TLS_VERSION:
	case FORMAT_UPSTREAM_TLS_CIPHER:
	case FORMAT_DOWNSTREAM_TLS_SESSION_ID:
	case FORMAT_DOWNSTREAM_TRANSPORT_FAILURE_REASON:
	case FORMAT_DYNAMIC_METADATA:
	case FORMAT_METADATA:
	case FORMAT_FILTER_STATE:
		return false;
	default:
		return true;
	}
}

/* Absent: `x` does not know it. */
static struct slice format_value(const struct format_piece *p, const struct exchange *x, struct arena *a)
{
	struct slice value = piece_value(p, x, a);

	if (p->max_bytes != 0 && value.len > p->max_bytes)
		value.len = p->max_bytes;
	return value;
}

struct slice format_run(const struct format *f, const struct exchange *x, struct slice absent,
			struct arena *a)
{
	struct slice *values;
	size_t len = 0;
	char *text, *at;

	if (f->count == 1) {
		struct slice value = format_value(&f->items[0], x, a);

		return value.at != NULL ? value : absent.at != NULL ? absent : SLICE("");
	}
	values = arena_array(a, struct slice, f->count);
	for (size_t i = 0; i < f->count; i++) {
		values[i] = format_value(&f->items[i], x, a);
		if (values[i].at == NULL)
			values[i] = absent;
		len += values[i].len;
	}
	text = at = arena_alloc(a, len + 1);
	for (size_t i = 0; i < f->count; i++)
		if (values[i].len != 0)
			at = mempcpy(at, values[i].at, values[i].len);
	*at = '\0';
	return slice_make(text, len);
}
