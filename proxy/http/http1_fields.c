/* SPDX-License-Identifier: Apache-2.0
 * Field lines of HTTP/1: from a scanned block to struct headers, and the hop-by-hop rules of
 * spec/http.md 4, 8 and 16. The block is the arena's, so names and tokens are lower-cased in it. */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http1_priv.h"

/* Lower-cases up to the colon; returns it. The scanner has seen that there is one, and only tchars
 * before it, so that no carry of the sums below reaches a byte that counts. */
static inline char *lower_name(char *p, const char *end)
{
	while (end - p >= 8) {
		uint64_t word = load_word(p);
		uint64_t colon = word_zeros(word ^ BYTES_OF(':'));
		uint64_t capital = ((word + BYTES_OF(0x80 - 'A')) ^ (word + BYTES_OF(0x7f - 'Z'))) &
				   BYTES_OF(0x80);

		if (colon != 0)
			capital &= (colon & -colon) - 1;
		word |= capital >> 2;
		memcpy(p, &word, 8);
		if (colon != 0)
			return p + __builtin_ctzll(colon) / 8;
		p += 8;
	}
	for (; *p != ':'; p++)
		*p = ascii_lower(*p);
	return p;
}

static void lower_in_place(struct slice s)
{
	char *p = (char *)s.at;	/* points into the arena's copy of the head */

	for (size_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(p[i]);
}

/* One line at `at`; its end, behind the CRLF. */
static char *split_line(char *at, char *end, struct slice *name, struct slice *value)
{
	char *colon = lower_name(at, end);
	char *from = colon + 1;
	char *cr = memchr(from, '\r', (size_t)(end - from));
	char *to = cr;

	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	*name = slice_make(at, (size_t)(colon - at));
	*value = slice_make(from, (size_t)(to - from));
	return cr + 2;
}

static enum fault keep_once(struct slice *kept, struct slice value)
{
	if (kept->at != NULL)
		return FAULT_SYNTAX;
	*kept = value;
	return FAULT_NONE;
}

/* Fields that decide where a message ends or who is meant: single, or the message is refused. */
static enum fault take_field(struct message *m, struct slice name, struct slice value,
			     bool is_request, struct field_facts *facts)
{
	enum header_id id = header_id_of(name);

	switch (id) {
	case HEADER_HOST:
		if (is_request)
			return keep_once(&facts->host, value);
		break;
	case HEADER_TRANSFER_ENCODING:
		return keep_once(&facts->transfer_encoding, value);
	case HEADER_CONTENT_LENGTH:
		if (facts->content_length.at != NULL)
			return FAULT_SYNTAX;
		facts->content_length = value;
		break;
	case HEADER_AUTHORIZATION:
		if (is_request && headers_get(&m->headers, id) != NULL)
			return FAULT_SYNTAX;
		break;
	default:
		break;
	}
	headers_append(&m->headers, id, name, value);
	return FAULT_NONE;
}

enum fault fields_split(char *at, char *end, bool is_request, const struct codec_settings *settings,
			struct message *m, struct field_facts *facts)
{
	struct slice name, value;
	enum fault fault;

	while (at < end) {
		at = split_line(at, end, &name, &value);
		if (settings->underscores != UNDERSCORES_ALLOW && is_request &&
		    slice_find(name, '_') >= 0) {
			if (settings->underscores == UNDERSCORES_REJECT)
				return FAULT_UNDERSCORE;
			continue;
		}
		fault = take_field(m, name, value, is_request, facts);
		if (fault != FAULT_NONE)
			return fault;
	}
	return FAULT_NONE;
}

enum fault fields_length(struct message *m, struct slice value)
{
	uint64_t length;

	if (!slice_to_u64(value, &length) || length > INT64_MAX)
		return FAULT_SYNTAX;
	m->framing = FRAMING_LENGTH;
	m->content_length = length;
	return FAULT_NONE;
}

/* Fields that connection may not name: their removal would change who asks for what. */
static bool is_protected(enum header_id id)
{
	switch (id) {
	case HEADER_X_FORWARDED_FOR:
	case HEADER_X_FORWARDED_HOST:
	case HEADER_X_FORWARDED_PROTO:
	case HEADER_HOST:
	case HEADER_CONTENT_LENGTH:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_AUTHORIZATION:
	case HEADER_COOKIE:
	case HEADER_X_REQUEST_ID:
	case HEADER_X_FORWARDED_CLIENT_CERT:
	case HEADER_FORWARDED:
		return true;
	default:
		return false;
	}
}

#define TE_BYTES_MAX	255	/* of a te field that connection names */

static enum fault take_token(struct message *m, struct slice token, bool is_request,
			     struct field_facts *facts)
{
	enum header_id id = header_id_of(token);

	if (slice_eq(token, SLICE("close"))) {
		facts->close_token = true;
	} else if (slice_eq(token, SLICE("keep-alive"))) {
		facts->keep_alive_token = true;
	} else if (id == HEADER_UPGRADE) {
		facts->has_upgrade_token = true;
	} else if (id == HEADER_HTTP2_SETTINGS || id == HEADER_CONNECTION) {
		return FAULT_NONE;	/* they go in any case */
	} else if (is_request && (token.at[0] == ':' || is_protected(id))) {
		return FAULT_CONNECTION;
	} else if (is_request && id == HEADER_TE) {	/* reduced, see reduce_te() */
		if (headers_value(&m->headers, HEADER_TE).len > TE_BYTES_MAX)
			return FAULT_CONNECTION;
	} else if (id != HEADER_CONTENT_LENGTH) {
		headers_remove(&m->headers, token);
	}
	return FAULT_NONE;
}

/* All tokens of all connection lines. */
static enum fault read_connection(struct message *m, bool is_request, uint32_t tokens_max,
				  struct field_facts *facts)
{
	uint32_t count = 0;

	for (struct header *f = headers_get(&m->headers, HEADER_CONNECTION); f != NULL;
	     f = headers_next(&m->headers, f)) {
		struct slice list = f->value, token;
		enum fault fault;

		if (f->id != HEADER_CONNECTION)
			continue;
		lower_in_place(list);
		while (list.at != NULL) {
			token = slice_trim(slice_cut(&list, ','));
			if (token.len == 0)
				continue;
			if (++count > tokens_max)
				return FAULT_CONNECTION;
			fault = take_token(m, token, is_request, facts);
			if (fault != FAULT_NONE)
				return fault;
		}
	}
	headers_remove_id(&m->headers, HEADER_CONNECTION);
	return FAULT_NONE;
}

/* `trailers` is all that means something beyond one hop. */
static void reduce_te(struct message *m)
{
	struct slice list = headers_joined(&m->headers, SLICE("te"), m->headers.arena);

	while (list.at != NULL)
		if (slice_eq_nocase(slice_trim(slice_cut(&list, ',')), SLICE("trailers"))) {
			headers_set_id(&m->headers, HEADER_TE, SLICE("trailers"));
			return;
		}
	headers_remove_id(&m->headers, HEADER_TE);
}

enum fault fields_strip_hop_by_hop(struct message *m, bool is_request,
				   const struct codec_settings *settings, struct field_facts *facts)
{
	struct headers *h = &m->headers;
	enum fault fault = FAULT_NONE;
	struct slice proxy;

	if (headers_get(h, HEADER_CONNECTION) != NULL)
		fault = read_connection(m, is_request, settings->connection_tokens_max, facts);
	if (fault != FAULT_NONE)
		return fault;
	if (headers_get(h, HEADER_PROXY_CONNECTION) != NULL) {
		proxy = headers_value(h, HEADER_PROXY_CONNECTION);
		facts->close_token |= slice_eq_nocase(proxy, SLICE("close"));
		headers_remove_id(h, HEADER_PROXY_CONNECTION);
	}
	if (headers_get(h, HEADER_KEEP_ALIVE) != NULL)
		headers_remove_id(h, HEADER_KEEP_ALIVE);
	if (!is_request)
		return FAULT_NONE;
	if (headers_get(h, HEADER_HTTP2_SETTINGS) != NULL)
		headers_remove_id(h, HEADER_HTTP2_SETTINGS);
	if (headers_get(h, HEADER_TE) != NULL)
		reduce_te(m);
	return FAULT_NONE;
}

/* What would change a message that was judged already, or its framing. */
bool fields_forbidden_trailer(struct slice name)
{
	static const struct slice others[] = {
		{ "content-encoding", 16 }, { "content-range", 13 }, { "set-cookie", 10 },
	};

	switch (header_id_of(name)) {
	case HEADER_TRANSFER_ENCODING:
	case HEADER_CONTENT_LENGTH:
	case HEADER_HOST:
	case HEADER_CONTENT_TYPE:
	case HEADER_TE:
	case HEADER_TRAILER:
	case HEADER_AUTHORIZATION:
	case HEADER_CONNECTION:
		return true;
	default:
		break;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (slice_eq(name, others[i]))
			return true;
	return false;
}

struct headers *fields_trailers(char *at, char *end, uint32_t count, struct arena *a)
{
	struct headers *h = arena_new(a, struct headers);
	struct slice name, value;

	headers_init(h, a, count);
	while (at < end) {
		at = split_line(at, end, &name, &value);
		if (!fields_forbidden_trailer(name))
			headers_add(h, name, value);
	}
	return h->count > 0 ? h : NULL;
}
