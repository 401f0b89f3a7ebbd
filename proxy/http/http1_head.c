/* SPDX-License-Identifier: Apache-2.0
 * A complete head becomes a struct message: target forms, Host, framing, upgrades and Expect for
 * requests (spec/http.md 3, 5, 6, 11), framing and upgrades for responses (12, 13). */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http1_priv.h"
#include "sallyport/cidr.h"

static const struct refusal refusals[] = {
	[FAULT_NONE] = { 0, "", "" },
#define X(id, status, body, details) [FAULT_##id] = { status, body, details },
	FAULTS(X)
#undef X
};

const struct refusal *fault_refusal(enum fault fault)
{
	return &refusals[fault];
}

/* ---- authority ---- */

#define PORT_DIGITS_MAX	5
#define PORT_MAX	65535

static bool port_is_valid(struct slice digits)
{
	uint64_t port;

	return digits.len <= PORT_DIGITS_MAX && slice_to_u64(digits, &port) && port <= PORT_MAX;
}

static bool bracketed_is_valid(struct slice s, bool needs_port)
{
	ptrdiff_t close = slice_find(s, ']');
	unsigned char ip[16];
	struct slice rest;

	if (close < 0 || ip_literal(slice_make(s.at + 1, (size_t)close - 1), ip) != AF_INET6)
		return false;
	rest = slice_from(s, (size_t)close + 1);
	if (rest.len == 0)
		return !needs_port;
	return rest.at[0] == ':' && port_is_valid(slice_from(rest, 1));
}

bool authority_is_valid(struct slice s, bool needs_port)
{
	size_t host = 0;

	if (s.len > 0 && s.at[0] == '[')
		return bracketed_is_valid(s, needs_port);
	while (host < s.len && s.at[host] != ':') {
		char c = s.at[host++];

		if (!char_is(c, CHAR_AUTHORITY) || c == '[' || c == ']')
			return false;
	}
	if (host == 0 || host > HOST_BYTES_MAX)
		return false;
	if (host == s.len)
		return !needs_port;
	return port_is_valid(slice_from(s, host + 1));
}

/* Without the port that the scheme implies. */
static struct slice without_default_port(struct slice authority, struct slice scheme)
{
	struct slice port = scheme.len == 5 ? SLICE(":443") : SLICE(":80");

	return slice_ends(authority, port) ? slice_first(authority, authority.len - port.len)
					   : authority;
}

/* ---- request target ---- */

/* `http://authority/path`; the scheme as the client wrote it has no say on a plain connection. */
static enum fault take_absolute(struct message *m, struct slice target, bool tls, struct arena *a)
{
	struct slice rest;
	size_t end = 0;
	char *path;

	if (slice_starts_nocase(target, SLICE("http://"))) {
		m->scheme = SLICE("http");
		rest = slice_from(target, 7);
	} else if (slice_starts_nocase(target, SLICE("https://"))) {
		if (!tls)
			return FAULT_HTTPS_IN_CLEAR;
		m->scheme = SLICE("https");
		rest = slice_from(target, 8);
	} else {
		return memmem(target.at, target.len, "://", 3) != NULL ? FAULT_SCHEME : FAULT_SYNTAX;
	}
	while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?')
		end++;
	m->authority = slice_first(rest, end);
	m->path = slice_from(rest, end);
	if (!authority_is_valid(m->authority, false))
		return FAULT_AUTHORITY;
	if (m->path.len > 0 && m->path.at[0] == '/')
		return FAULT_NONE;
	path = arena_alloc(a, m->path.len + 1);	/* empty, or a query alone */
	path[0] = '/';
	memcpy(path + 1, m->path.at, m->path.len);
	m->path = slice_make(path, m->path.len + 1);
	return FAULT_NONE;
}

/* *absolute: the target names the authority, a Host must agree with it. */
static enum fault take_target(struct message *m, struct slice target, bool tls, struct arena *a,
			      bool *absolute)
{
	const char *fragment = memchr(target.at, '#', target.len);

	*absolute = true;
	if (slice_eq(m->method, SLICE("CONNECT"))) {
		if (!authority_is_valid(target, true))
			return FAULT_SYNTAX;
		m->authority = target;
		m->path = SLICE("");
		return FAULT_NONE;
	}
	*absolute = false;
	if (slice_eq(target, SLICE("*"))) {
		m->path = target;
		return slice_eq(m->method, SLICE("OPTIONS")) ? FAULT_NONE : FAULT_SYNTAX;
	}
	if (fragment != NULL)
		target.len = (size_t)(fragment - target.at);
	if (target.len > 0 && target.at[0] == '/') {
		m->path = target;
		return FAULT_NONE;
	}
	*absolute = true;
	return take_absolute(m, target, tls, a);
}

static enum fault take_host(struct message *m, struct slice host, bool absolute)
{
	if (host.at == NULL)
		return FAULT_NO_HOST;
	if (absolute)
		return slice_eq_nocase(without_default_port(host, m->scheme),
				       without_default_port(m->authority, m->scheme)) ?
		       FAULT_NONE : FAULT_SYNTAX;
	m->authority = host;
	return authority_is_valid(host, false) ? FAULT_NONE : FAULT_AUTHORITY;
}

/* ---- framing and what hangs on it ---- */

static enum fault take_request_framing(struct message *m, const struct field_facts *facts)
{
	bool connect = slice_eq(m->method, SLICE("CONNECT"));
	enum fault fault;

	m->framing = FRAMING_NONE;
	if (facts->transfer_encoding.at != NULL) {
		if (facts->content_length.at != NULL)
			return FAULT_LENGTH_AND_CHUNKED;
		if (m->version == HTTP_1_0)
			return FAULT_SYNTAX;
		if (connect || !slice_eq_nocase(facts->transfer_encoding, SLICE("chunked")))
			return FAULT_TRANSFER_ENCODING;
		m->framing = FRAMING_CHUNKED;
	} else if (facts->content_length.at != NULL) {
		fault = fields_length(m, facts->content_length);
		if (fault != FAULT_NONE)
			return fault;
		if (connect && m->content_length != 0)
			return FAULT_BODY_DISALLOWED;
	}
	if (slice_eq(m->method, SLICE("TRACE")) &&
	    (m->framing == FRAMING_CHUNKED || m->content_length > 0))
		return FAULT_SYNTAX;
	return FAULT_NONE;
}

static bool has_body(const struct message *m)
{
	return m->framing == FRAMING_CHUNKED ||
	       (m->framing == FRAMING_LENGTH && m->content_length > 0);
}

enum fault request_expect(struct message *m)
{
	struct slice value = headers_joined(&m->headers, SLICE("expect"), m->headers.arena);

	if (value.at == NULL)
		return FAULT_NONE;
	if (m->version == HTTP_1_0) {
		headers_remove_id(&m->headers, HEADER_EXPECT);
		return FAULT_NONE;
	}
	if (!slice_eq_nocase(value, SLICE("100-continue")))
		return FAULT_EXPECTATION;
	m->expect_continue = has_body(m);
	if (!m->expect_continue)
		headers_remove_id(&m->headers, HEADER_EXPECT);
	return FAULT_NONE;
}

static enum fault take_upgrade(struct message *m, const struct field_facts *facts)
{
	struct slice value;

	if (headers_get(&m->headers, HEADER_UPGRADE) == NULL)
		return FAULT_NONE;
	value = headers_joined(&m->headers, SLICE("upgrade"), m->headers.arena);
	if (!facts->has_upgrade_token || slice_eq_nocase(value, SLICE("h2c"))) {
		headers_remove_id(&m->headers, HEADER_UPGRADE);
		return FAULT_NONE;
	}
	headers_set_id(&m->headers, HEADER_UPGRADE, value);
	m->upgrade = true;
	if (slice_eq_nocase(value, SLICE("websocket")) &&
	    (!slice_eq(m->method, SLICE("GET")) || m->version != HTTP_1_1 || has_body(m) ||
	     !websocket_key_is_valid(headers_joined(&m->headers, SLICE("sec-websocket-key"),
						     m->headers.arena))))
		return FAULT_WEBSOCKET;
	return FAULT_NONE;
}

enum fault request_build(struct message *m, const struct head_scan *scan, char *head,
			 const struct codec_settings *settings, struct arena *a, bool *persists)
{
	struct slice target = slice_make(head + scan->method_end + 1,
					 scan->target_end - scan->method_end - 1);
	struct field_facts facts = { 0 };
	enum fault fault;
	bool absolute;

	m->method = slice_make(head, scan->method_end);
	m->scheme = settings->tls ? SLICE("https") : SLICE("http");
	m->version = scan->minor == 0 ? HTTP_1_0 : HTTP_1_1;
	m->head_bytes = scan->pos;
	headers_init(&m->headers, a, scan->field_count + FIELDS_SPARE);
	fault = take_target(m, target, settings->tls, a, &absolute);
	if (fault == FAULT_NONE)
		fault = fields_split(head + scan->fields_at, head + scan->pos - 2, true, settings, m,
				     &facts);
	if (fault == FAULT_NONE)
		fault = take_host(m, facts.host, absolute);
	if (fault == FAULT_NONE)
		fault = take_request_framing(m, &facts);
	if (fault == FAULT_NONE)
		fault = fields_strip_hop_by_hop(m, true, settings, &facts);
	if (fault == FAULT_NONE)
		fault = request_expect(m);
	if (fault == FAULT_NONE)
		fault = take_upgrade(m, &facts);
	*persists = facts_persist(&facts, m->version);
	return fault;
}

void request_partial(struct message *m, const struct head_scan *scan, char *head,
		     const struct codec_settings *settings, struct arena *a)
{
	m->scheme = settings->tls ? SLICE("https") : SLICE("http");
	m->head_bytes = scan->pos;
	headers_init(&m->headers, a, 0);
	if (scan->method_end > 0)
		m->method = slice_make(head, scan->method_end);
	if (scan->target_end > 0)
		m->path = slice_make(head + scan->method_end + 1, scan->target_end - scan->method_end - 1);
}

const struct refusal *http1_read_request(struct slice bytes, const struct codec_settings *settings,
					 struct arena *a, struct message *out)
{
	struct head_scan scan = { 0 };
	enum scan_result how = head_scan_run(&scan, SCAN_REQUEST, settings, bytes.at, bytes.len);
	char *head = arena_text(a, bytes);
	enum fault fault;
	bool persists;

	*out = (struct message){ .version = HTTP_1_1 };
	if (how == SCAN_DONE && scan.pos == bytes.len) {
		fault = request_build(out, &scan, head, settings, a, &persists);
	} else {
		fault = how == SCAN_BAD ? scan.fault : FAULT_SYNTAX;
		request_partial(out, &scan, head, settings, a);
	}
	return fault != FAULT_NONE ? fault_refusal(fault) : NULL;
}

/* ---- responses ---- */

static enum fault take_response_framing(struct message *m, const struct field_facts *facts)
{
	bool bodyless = m->status < 200 || m->status == 204;
	bool coded = facts->transfer_encoding.at != NULL;
	enum fault fault;

	m->framing = FRAMING_NONE;
	if (coded && facts->content_length.at != NULL)
		return FAULT_LENGTH_AND_CHUNKED;
	if (coded && bodyless)
		return FAULT_CODING_DISALLOWED;
	if (coded) {
		m->framing = FRAMING_CHUNKED;
		return m->version == HTTP_1_1 &&
		       slice_eq_nocase(facts->transfer_encoding, SLICE("chunked")) ?
		       FAULT_NONE : FAULT_TRANSFER_ENCODING;
	}
	if (facts->content_length.at == NULL)
		return FAULT_NONE;
	fault = fields_length(m, facts->content_length);
	if (fault != FAULT_NONE || !bodyless)
		return fault;
	if (m->status != 204 || m->content_length != 0)
		return FAULT_LENGTH_DISALLOWED;
	headers_remove_id(&m->headers, HEADER_CONTENT_LENGTH);
	m->framing = FRAMING_NONE;
	return FAULT_NONE;
}

/* 101 must be the answer to what was asked (spec 11). */
static enum fault take_switch(struct message *m, const struct field_facts *facts,
			      const struct response_context *context)
{
	struct slice value = headers_joined(&m->headers, SLICE("upgrade"), m->headers.arena);

	if (m->status != 101) {
		headers_remove_id(&m->headers, HEADER_UPGRADE);
		return FAULT_NONE;
	}
	if (context->upgrade.at == NULL || value.at == NULL || !facts->has_upgrade_token ||
	    !slice_eq_nocase(value, context->upgrade))
		return FAULT_UPGRADE;
	if (context->websocket_accept.at != NULL &&
	    !slice_eq(headers_joined(&m->headers, SLICE("sec-websocket-accept"), m->headers.arena),
		      context->websocket_accept))
		return FAULT_UPGRADE;
	m->upgrade = true;
	return FAULT_NONE;
}

enum fault response_build(struct message *m, const struct head_scan *scan, char *head,
			  const struct codec_settings *settings, struct arena *a,
			  const struct response_context *context, struct response_end *end)
{
	struct field_facts facts = { 0 };
	enum fault fault;

	m->status = scan->status;
	m->version = scan->minor == 0 ? HTTP_1_0 : HTTP_1_1;
	m->head_bytes = scan->pos;
	headers_init(&m->headers, a, scan->field_count + FIELDS_SPARE);
	fault = fields_split(head + scan->fields_at, head + scan->pos - 2, false, settings, m, &facts);
	if (fault == FAULT_NONE)
		fault = take_response_framing(m, &facts);
	if (fault == FAULT_NONE)
		fault = fields_strip_hop_by_hop(m, false, settings, &facts);
	if (fault == FAULT_NONE)
		fault = take_switch(m, &facts, context);
	end->persists = facts_persist(&facts, m->version);
	end->no_body = context->head_request || m->status < 200 || m->status == 204 ||
		       m->status == 205 || m->status == 304;
	if (!end->no_body && m->framing == FRAMING_NONE)
		m->framing = FRAMING_UNTIL_CLOSE;
	return fault;
}
