/* SPDX-License-Identifier: Apache-2.0
 *
 * check_request.c - the question that the proxy asks the agent (spec/spop.md 13.1 and 13.2). */
#include "sallyport/check_request.h"

#include <assert.h>
#include <stddef.h>

#include "sallyport/cidr.h"
#include "sallyport/object.h"

/* How an argument stands in struct check_request. */
enum arg_kind { ARG_TEXT, ARG_BINARY, ARG_FLAG, ARG_ADDRESS, ARG_PORT, ARG_NUMBER };

enum arg_use {
	USE_HTTP = 1,		/* sent in check-request */
	USE_CONN = 2,		/* sent in check-conn */
	NEED_HTTP = 4,		/* refused without it */
	NEED_CONN = 8,
};
#define USE_BOTH	(USE_HTTP | USE_CONN)
#define NEED_BOTH	(NEED_HTTP | NEED_CONN)

struct arg {
	struct slice name;
	enum arg_kind kind;
	unsigned use;
	size_t offset;
};

#define ARG(text, member, kind, use) \
	{ { text, sizeof(text) - 1 }, kind, use, offsetof(struct check_request, member) }

/* In the order of sending. `v`, `proto` and `headers` are written and read by hand; the rows of
 * the two latter serve to find what is missing. A row's index is its bit in what was seen. */
static const struct arg args[] = {
	ARG("method",         method,           ARG_TEXT,    USE_HTTP | NEED_HTTP),
	ARG("scheme",         scheme,           ARG_TEXT,    USE_HTTP | NEED_HTTP),
	ARG("authority",      authority,        ARG_TEXT,    USE_HTTP | NEED_HTTP),
	ARG("path",           path,             ARG_TEXT,    USE_HTTP | NEED_HTTP),
	ARG("normalized",     normalized,       ARG_FLAG,    USE_HTTP),
	ARG("http-version",   http_version,     ARG_TEXT,    USE_HTTP),
	ARG("remote-ip",      remote,           ARG_ADDRESS, USE_BOTH | NEED_BOTH),
	ARG("remote-port",    remote.port,      ARG_PORT,    USE_BOTH),
	ARG("src",            source,           ARG_ADDRESS, USE_BOTH | NEED_BOTH),
	ARG("src-port",       source.port,      ARG_PORT,    USE_BOTH),
	ARG("dst",            destination,      ARG_ADDRESS, USE_BOTH | NEED_BOTH),
	ARG("dst-port",       destination.port, ARG_PORT,    USE_BOTH | NEED_BOTH),
	ARG("tls",            tls,              ARG_FLAG,    USE_BOTH | NEED_BOTH),
	ARG("sni",            sni,              ARG_TEXT,    USE_BOTH),
	ARG("peer-verified",  peer_verified,    ARG_FLAG,    USE_BOTH),
	ARG("peer-cert",      peer_cert,        ARG_BINARY,  USE_BOTH),
	ARG("peer-id",        peer_id,          ARG_TEXT,    USE_BOTH),
	ARG("headers",        headers,          ARG_BINARY,  USE_HTTP | NEED_HTTP),
	ARG("workload",       workload,         ARG_TEXT,    USE_BOTH | NEED_BOTH),
	ARG("labels",         labels,           ARG_TEXT,    USE_BOTH),
	ARG("gateway",        gateway,          ARG_TEXT,    USE_BOTH),
	ARG("request-id",     request_id,       ARG_TEXT,    USE_BOTH),
	ARG("deadline-ms",    deadline_ms,      ARG_NUMBER,  USE_BOTH),
	ARG("brief",          brief,            ARG_FLAG,    USE_BOTH),
	ARG("claims-of",      claims_of,        ARG_BINARY,  USE_HTTP),
	ARG("has-body",       has_body,         ARG_FLAG,    USE_HTTP),
	ARG("body",           body,             ARG_BINARY,  USE_HTTP),
	ARG("body-partial",   body_partial,     ARG_FLAG,    USE_HTTP),
	ARG("rev",            rev,              ARG_TEXT,    USE_BOTH),
	ARG("dest-workload",  dest_workload,    ARG_TEXT,    USE_BOTH),
	ARG("dest-labels",    dest_labels,      ARG_TEXT,    USE_BOTH),
	ARG("dest-authority", dest_authority,   ARG_TEXT,    USE_HTTP),
	ARG("dest-path",      dest_path,        ARG_TEXT,    USE_HTTP),
	ARG("dest-port",      dest_port,        ARG_PORT,    USE_BOTH),
};
static_assert(COUNT_OF(args) <= 64, "what was seen is kept as one bit an argument");

/* ---- writing ---- */

static void write_text(struct spop_writer *w, const struct arg *a, const struct slice *s)
{
	if (s->at == NULL)
		return;
	spop_write_bytes(w, a->name);
	if (a->kind == ARG_TEXT)
		spop_write_string(w, *s);
	else
		spop_write_binary(w, *s);
}

/* 0 is "not told": left out where the argument may be. */
static void write_number(struct spop_writer *w, const struct arg *a, uint32_t v)
{
	if (v == 0 && !(a->use & NEED_BOTH))
		return;
	spop_write_bytes(w, a->name);
	spop_write_uint32(w, v);
}

static void write_address(struct spop_writer *w, const struct arg *a,
			  const struct check_address *address)
{
	spop_write_bytes(w, a->name);
	if (address->family == 0)
		spop_write_null(w);
	else
		spop_write_ip(w, address->bytes, address->family == 6);
}

static void write_flag(struct spop_writer *w, const struct arg *a, bool v)
{
	if (!v && !(a->use & NEED_BOTH))
		return;
	spop_write_bytes(w, a->name);
	spop_write_bool(w, v);
}

static void write_arg(struct spop_writer *w, const struct arg *a, const void *field)
{
	switch (a->kind) {
	case ARG_TEXT:
	case ARG_BINARY:
		write_text(w, a, field);
		break;
	case ARG_FLAG:
		write_flag(w, a, *(const bool *)field);
		break;
	case ARG_ADDRESS:
		write_address(w, a, field);
		break;
	case ARG_PORT:
		write_number(w, a, *(const uint16_t *)field);
		break;
	case ARG_NUMBER:
		write_number(w, a, *(const uint32_t *)field);
		break;
	}
}

static size_t header_bytes(const struct check_header *h)
{
	return spop_varint_size(h->name.len) + h->name.len + spop_varint_size(h->value.len) +
	       h->value.len;
}

/* The list of headers as one BINARY; its length has to be known before its bytes. */
static void write_header_list(struct spop_writer *w, const struct check_request *q)
{
	size_t bytes = 2;	/* the end mark */

	for (size_t i = 0; i < q->header_count; i++)
		bytes += header_bytes(&q->header_list[i]);
	spop_write_bytes(w, SLICE("headers"));
	spop_write_byte(w, SPOP_BINARY);
	spop_write_varint(w, bytes);
	for (size_t i = 0; i < q->header_count; i++)
		spop_write_header(w, q->header_list[i].name, q->header_list[i].value);
	spop_write_headers_end(w);
}

void check_request_write(struct spop_writer *w, const struct check_request *q)
{
	unsigned use = q->tcp ? USE_CONN : USE_HTTP;
	unsigned char *count;
	uint8_t sent = 2;

	spop_write_message(w, slice_of(q->tcp ? CHECK_CONN_MESSAGE : CHECK_REQUEST_MESSAGE), 0);
	count = w->full ? NULL : w->at - 1;
	spop_write_bytes(w, SLICE("v"));
	spop_write_uint32(w, CHECK_LAYOUT_VERSION);
	spop_write_bytes(w, SLICE("proto"));
	spop_write_string(w, q->tcp ? SLICE("tcp") : SLICE("http"));
	for (size_t i = 0; i < COUNT_OF(args); i++) {
		const struct arg *a = &args[i];
		const unsigned char *before = w->at;

		if (!(a->use & use))
			continue;
		if (a->offset == offsetof(struct check_request, headers) && q->headers.at == NULL)
			write_header_list(w, q);
		else
			write_arg(w, a, (const char *)q + a->offset);
		sent = (uint8_t)(sent + (w->at != before));
	}
	if (!w->full)
		*count = sent;
}

/* ---- reading ---- */

bool check_address_parse(struct slice text, struct check_address *out)
{
	int family = ip_literal(text, out->bytes);

	out->family = family == AF_INET ? 4 : family == AF_INET6 ? 6 : 0;
	return out->family != 0;
}

static bool take_address(const struct spop_value *v, struct check_address *out)
{
	if (v->type == SPOP_STRING)
		return check_address_parse(v->bytes, out);
	if (v->type != SPOP_IPV4 && v->type != SPOP_IPV6)
		return false;
	out->family = v->type == SPOP_IPV4 ? 4 : 6;
	memcpy(out->bytes, v->bytes.at, v->bytes.len);
	return true;
}

/* A UNIX socket has neither address nor port: said so with NULL, which is an answer, unlike an
 * argument that was forgotten. */
static bool may_be_null(const struct arg *a)
{
	return a->kind == ARG_ADDRESS || a->kind == ARG_PORT;
}

/* False: of a type that this argument cannot have. */
static bool take_arg(const struct arg *a, const struct spop_value *v, void *field)
{
	switch (a->kind) {
	case ARG_TEXT:
	case ARG_BINARY:
		if (v->type != (a->kind == ARG_TEXT ? SPOP_STRING : SPOP_BINARY))
			return false;
		*(struct slice *)field = v->bytes;
		return true;
	case ARG_FLAG:
		*(bool *)field = v->boolean;
		return v->type == SPOP_BOOL;
	case ARG_ADDRESS:
		return take_address(v, field);
	case ARG_PORT:
		if (!spop_value_is_number(v) || v->number > UINT16_MAX)
			return false;
		*(uint16_t *)field = (uint16_t)v->number;
		return true;
	case ARG_NUMBER:
		if (!spop_value_is_number(v))
			return false;
		*(uint32_t *)field = v->number < UINT32_MAX ? (uint32_t)v->number : UINT32_MAX;
		return true;
	}
	return false;
}

/* Arguments come in the order of the table more often than not: the search begins at `*next`. */
static const struct arg *find_arg(struct slice name, size_t *next)
{
	for (size_t tried = 0; tried < COUNT_OF(args); tried++) {
		size_t i = (*next + tried) % COUNT_OF(args);

		if (slice_eq(args[i].name, name)) {
			*next = (i + 1) % COUNT_OF(args);
			return &args[i];
		}
	}
	return NULL;
}

static const char *first_missing(const struct check_request *q, uint64_t seen)
{
	unsigned need = q->tcp ? NEED_CONN : NEED_HTTP;

	for (size_t i = 0; i < COUNT_OF(args); i++)
		if (args[i].use & need && !(seen >> i & 1))
			return args[i].name.at;
	return NULL;
}

static bool is_told(uint64_t seen, size_t offset)
{
	for (size_t i = 0; i < COUNT_OF(args); i++)
		if (args[i].offset == offset)
			return seen >> i & 1;
	return false;
}

enum outcome check_request_read(struct spop_reader *r, const struct spop_message *m,
				struct check_request *out, const char **missing)
{
	const char *unusable = NULL;
	bool has_version = false;
	struct spop_value v;
	struct slice name;
	size_t next = 0;
	uint64_t seen = 0;

	*out = (struct check_request){ .tcp = slice_eq(m->name, SLICE(CHECK_CONN_MESSAGE)) };
	*missing = NULL;
	for (unsigned i = 0; i < m->args; i++) {
		const struct arg *a;

		name = spop_read_bytes(r);
		v = spop_read_value(r);
		if (r->broken)
			return FAILED;
		if (slice_eq(name, SLICE("v"))) {
			has_version = spop_value_is_number(&v) && v.number == CHECK_LAYOUT_VERSION;
			continue;
		}
		a = find_arg(name, &next);
		if (a == NULL || (v.type == SPOP_NULL && !may_be_null(a)))
			continue;
		if (v.type == SPOP_NULL || take_arg(a, &v, (char *)out + a->offset))
			seen |= 1ull << (a - args);
		else if (unusable == NULL)
			unusable = a->name.at;
	}
	/* Another asker than ours may know nothing of it: then there may be a body. */
	if (!out->tcp && !out->brief && !is_told(seen, offsetof(struct check_request, has_body)))
		out->has_body = true;
	*missing = !has_version ? "v" : unusable != NULL ? unusable : first_missing(out, seen);
	return *missing == NULL ? OK : FAILED;
}
