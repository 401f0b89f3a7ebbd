/* SPDX-License-Identifier: Apache-2.0
 *
 * query.c - query parameters: found, cut out, added, hidden from what is echoed. */
#include "spoa/request_priv.h"

/* Invalid escapes stay as they are; '+' is no blank here. */
static struct slice percent_decode(struct arena *arena, struct slice s)
{
	char *out;
	size_t len = 0;

	if (s.at == NULL || slice_find(s, '%') < 0)
		return s;
	out = arena_alloc(arena, s.len);
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '%' && i + 2 < s.len && ascii_hex_value(s.at[i + 1]) >= 0 &&
		    ascii_hex_value(s.at[i + 2]) >= 0) {
			out[len++] = (char)(ascii_hex_value(s.at[i + 1]) * 16 + ascii_hex_value(s.at[i + 2]));
			i += 2;
		} else {
			out[len++] = s.at[i];
		}
	}
	return slice_make(out, len);
}

/* One `name=value`; `value` is absent where there is no '='. */
static bool is_param(struct arena *arena, struct slice piece, struct slice name, struct slice *value)
{
	struct slice rest = piece, key = slice_cut(&rest, '=');

	*value = rest;
	return slice_eq(percent_decode(arena, key), name);
}

struct slice query_find(struct arena *arena, struct slice target, struct slice name)
{
	struct slice query, value;

	path_split(target, &query);
	while (query.at != NULL)
		if (is_param(arena, slice_cut(&query, '&'), name, &value))
			return value.at != NULL ? percent_decode(arena, value) : SLICE("");
	return NO_SLICE;
}

static char *put(char *at, struct slice s)
{
	if (s.len > 0)
		memcpy(at, s.at, s.len);
	return at + s.len;
}

/* Copies the target; pieces of that name are left out, or kept with their value hidden. */
static struct slice rewrite(struct arena *arena, struct slice target, struct slice name, bool mask)
{
	struct slice query, path = path_split(target, &query), piece, value;
	char *begin, *at, between = '?';

	if (query.at == NULL)
		return target;
	/* A hidden value is at most three bytes longer; there are at most query.len + 1 pieces. */
	begin = arena_alloc(arena, target.len + (mask ? 3 * (query.len + 1) : 0) + 1);
	at = put(begin, path);
	while (query.at != NULL) {
		piece = slice_cut(&query, '&');
		if (is_param(arena, piece, name, &value)) {
			if (!mask)
				continue;
			piece.len -= value.len;
		} else {
			value = NO_SLICE;
		}
		*at++ = between;
		at = put(at, piece);
		if (value.at != NULL)
			at = put(at, SLICE("***"));
		between = '&';
	}
	return slice_make(begin, (size_t)(at - begin));
}

struct slice query_cut(struct arena *arena, struct slice target, struct slice name)
{
	return query_find(arena, target, name).at != NULL ? rewrite(arena, target, name, false) : target;
}

static char *put_escaped(char *at, struct slice s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (ascii_is_alnum((char)c) || (c != '\0' && strchr("-._~", c) != NULL)) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = hex[c >> 4];
			*at++ = hex[c & 15];
		}
	}
	return at;
}

struct slice query_add(struct arena *arena, struct slice target, struct slice name, struct slice value)
{
	char *begin = arena_alloc(arena, target.len + 3 * (name.len + value.len) + 2), *at;
	struct slice query;

	path_split(target, &query);
	at = put(begin, target);
	if (query.at == NULL)
		*at++ = '?';
	else if (query.len > 0)
		*at++ = '&';
	at = put_escaped(at, name);
	*at++ = '=';
	at = put_escaped(at, value);
	return slice_make(begin, (size_t)(at - begin));
}

struct slice query_mask(struct arena *arena, struct slice target, struct slice name)
{
	return query_find(arena, target, name).at != NULL ? rewrite(arena, target, name, true) : target;
}
