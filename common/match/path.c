/* SPDX-License-Identifier: Apache-2.0
 *
 * path.c - http.md 24 in two passes: most paths are clean and end after a look at each byte; the
 * others are decoded into the arena, then their segments are resolved in place. */
#include "sallyport/path.h"

enum {
	ENCODED = 1,	/* is written as %XX by BASE */
	UNRESERVED = 2,	/* its %XX is undone by BASE */
	HEX = 4,
	LOOK = 8,	/* needs a closer look: / % \ and what is encoded, NUL */
};

static uint8_t class_of(unsigned c)
{
	uint8_t bits = 0;

	if (c < 0x21 || c >= 0x7f || (c != 0 && strchr("\"<>`{}", (int)c) != NULL))
		bits |= ENCODED | LOOK;
	if (ascii_is_alnum((char)c) || (c != 0 && strchr("-._~", (int)c) != NULL))
		bits |= UNRESERVED;
	if (ascii_hex_value((char)c) >= 0)
		bits |= HEX;
	if (c == '/' || c == '%' || c == '\\')
		bits |= LOOK;
	return bits;
}

static uint8_t classes[256];

/* Before main(), so that requests never ask whether it was done. */
__attribute__((constructor)) static void classes_fill(void)
{
	for (unsigned c = 0; c < 256; c++)
		classes[c] = class_of(c);
}

static bool is(char c, uint8_t bits)
{
	return (classes[(unsigned char)c] & bits) != 0;
}

/* The octet of "%XX" at the start of `s`, -1 if it is none. */
static int escape_at(struct slice s)
{
	if (s.len < 3 || !is(s.at[1], HEX) || !is(s.at[2], HEX))
		return -1;
	return ascii_hex_value(s.at[1]) << 4 | ascii_hex_value(s.at[2]);
}

/* Is "/" at the start of `s` followed by a segment `.` or `..`? */
static bool before_dots(struct slice s)
{
	size_t dots = 1;

	while (dots < s.len && dots < 3 && s.at[dots] == '.')
		dots++;
	return dots > 1 && (dots == s.len || s.at[dots] == '/' || s.at[dots] == '\\');
}

/* What `path` needs; PATH_CHANGED may turn out to change nothing. */
static enum path_result inspect(enum path_normalization mode, struct slice path)
{
	bool merge = mode >= PATH_MERGE_SLASHES, decode = mode == PATH_DECODE_AND_MERGE_SLASHES;
	enum path_result found = PATH_SAME;

	for (size_t i = 0; i < path.len; i++) {
		struct slice rest;
		int octet;

		if (!is(path.at[i], LOOK))
			continue;
		rest = slice_from(path, i);
		if (path.at[i] == '/') {
			if (before_dots(rest) || (merge && rest.len > 1 && rest.at[1] == '/'))
				found = PATH_CHANGED;
			continue;
		}
		octet = path.at[i] == '%' ? escape_at(rest) : -1;
		if (path.at[i] == '\0' || octet == 0)
			return PATH_REFUSED;
		/* A stray % stays, and so does what would complete it. */
		if (path.at[i] != '%' || (octet >= 0 && is((char)octet, UNRESERVED)) ||
		    (decode && (octet == '/' || octet == '\\')))
			found = PATH_CHANGED;
	}
	return mode == PATH_NONE ? PATH_SAME : found;
}

/* Percent-escapes, backslashes and unsafe characters; `out` holds three bytes for each of `path`.
 *
 * A hex digit right behind a stray % is not decoded: "%%32F" would become "%2F", an escape that
 * nobody sent, and a second look at the path would see something else than the first. */
static size_t rewrite(enum path_normalization mode, struct slice path, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	bool decode = mode == PATH_DECODE_AND_MERGE_SLASHES;
	size_t len = 0, stray_end = 0;

	for (size_t i = 0; i < path.len; i++) {
		char c = path.at[i];
		int octet = c == '%' ? escape_at(slice_from(path, i)) : -1;

		if (octet >= 0) {
			bool completes = len < stray_end && is((char)octet, HEX);

			i += 2;
			if (is((char)octet, UNRESERVED) && !completes) {
				out[len++] = (char)octet;
			} else if (decode && (octet == '/' || octet == '\\')) {
				out[len++] = '/';
			} else {
				memcpy(out + len, path.at + i - 2, 3);
				len += 3;
			}
		} else if (c == '\\') {
			out[len++] = '/';
		} else if (is(c, ENCODED)) {
			out[len++] = '%';
			out[len++] = digits[(unsigned char)c >> 4];
			out[len++] = digits[(unsigned char)c & 15];
		} else {
			out[len++] = c;
			if (c == '%')
				stray_end = len + 2;
		}
	}
	return len;
}

/* Removes the last segment of out[0..len), which ends with "/"; "/" itself stays. */
static size_t drop_segment(const char *out, size_t len)
{
	if (len <= 1)
		return len;
	len--;
	while (out[len - 1] != '/')
		len--;
	return len;
}

/* Resolves `.` and `..` in place; `at` begins with "/". Empty segments count as segments. */
static size_t resolve(char *at, size_t len)
{
	size_t out = 1, in = 1;

	while (in < len) {
		char *slash = memchr(at + in, '/', len - in);
		size_t end = slash != NULL ? (size_t)(slash - at) : len;
		size_t bytes = end - in;

		if (bytes == 2 && at[in] == '.' && at[in + 1] == '.') {
			out = drop_segment(at, out);
		} else if (bytes != 1 || at[in] != '.') {
			memmove(at + out, at + in, bytes);
			out += bytes;
			if (slash != NULL)
				at[out++] = '/';
		}
		in = end + 1;
	}
	return out;
}

static size_t merge_slashes(char *at, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++)
		if (at[i] != '/' || out == 0 || at[out - 1] != '/')
			at[out++] = at[i];
	return out;
}

struct slice path_split(struct slice target, struct slice *query)
{
	ptrdiff_t at = slice_find(target, '?');

	*query = at < 0 ? NO_SLICE : slice_from(target, (size_t)at + 1);
	return at < 0 ? target : slice_first(target, (size_t)at);
}

enum path_result path_normalize(enum path_normalization mode, struct slice target, struct arena *a,
				struct slice *out)
{
	ptrdiff_t fragment = slice_find(target, '#');
	struct slice whole = fragment < 0 ? target : slice_first(target, (size_t)fragment);
	struct slice query, path = path_split(whole, &query);
	enum path_result found = inspect(mode, path);
	char *buffer;
	size_t len;

	*out = whole;
	if (found == PATH_REFUSED)
		return PATH_REFUSED;
	if (slice_eq(whole, SLICE("*")))
		return PATH_SAME;
	if (path.len == 0 || path.at[0] != '/')
		return PATH_REFUSED;
	if (found == PATH_SAME)
		return PATH_SAME;
	buffer = arena_alloc(a, 3 * path.len + 1 + query.len);
	len = resolve(buffer, rewrite(mode, path, buffer));
	if (mode >= PATH_MERGE_SLASHES)
		len = merge_slashes(buffer, len);
	if (query.at != NULL) {
		buffer[len] = '?';
		if (query.len > 0)
			memcpy(buffer + len + 1, query.at, query.len);
		len += 1 + query.len;
	}
	/* What stands behind a stray % looked worth decoding and was not. */
	if (slice_eq(slice_make(buffer, len), whole))
		return PATH_SAME;
	*out = slice_make(buffer, len);
	return PATH_CHANGED;
}
