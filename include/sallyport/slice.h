/* SPDX-License-Identifier: Apache-2.0
 *
 * slice.h - bytes that belong to somebody else.
 *
 * A slice never owns and has no terminator. What must outlive the buffer behind it is copied
 * into an arena (arena_slice()). at == NULL: absent, which is not the same as empty. */
#ifndef SALLYPORT_SLICE_H
#define SALLYPORT_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *at;
	size_t len;
};

#define SLICE(lit)	((struct slice){ "" lit, sizeof(lit) - 1 })
#define SLICE_ARG(s)	(int)(s).len, (s).at	/* feeds "%.*s" */
#define NO_SLICE	((struct slice){ NULL, 0 })

static inline struct slice slice_of(const char *text)
{
	return (struct slice){ text, text != NULL ? strlen(text) : 0 };
}

static inline struct slice slice_make(const void *at, size_t len)
{
	return (struct slice){ at, len };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.at, prefix.at, prefix.len) == 0);
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len &&
	       (suffix.len == 0 || memcmp(s.at + s.len - suffix.len, suffix.at, suffix.len) == 0);
}

/* `n` may exceed the length: the result is then empty. */
static inline struct slice slice_from(struct slice s, size_t n)
{
	if (s.at == NULL)
		return s;
	return n <= s.len ? (struct slice){ s.at + n, s.len - n } : (struct slice){ s.at + s.len, 0 };
}

static inline struct slice slice_first(struct slice s, size_t n)
{
	return (struct slice){ s.at, n < s.len ? n : s.len };
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_letter(char c)
{
	return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

static inline bool ascii_is_alnum(char c)
{
	return ascii_is_digit(c) || ascii_is_letter(c);
}

/* -1: no hexadecimal digit. */
static inline int ascii_hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ASCII only, as everywhere in HTTP. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts_nocase(struct slice s, struct slice prefix);
int slice_cmp(struct slice a, struct slice b);	/* byte order, shorter first on a tie */

/* `names` ends with NULL. */
bool slice_is_among(struct slice s, const char *const *names);

/* Index of the first `c`, or -1. */
ptrdiff_t slice_find(struct slice s, char c);
ptrdiff_t slice_rfind(struct slice s, char c);

/* Without SP and HTAB at both ends. */
struct slice slice_trim(struct slice s);

/* Returns what stands before the first `sep`, keeps the remainder in `rest`; after the last piece
 * `rest` is absent:   while (list.at != NULL) visit(slice_cut(&list, ',')); */
struct slice slice_cut(struct slice *rest, char sep);

/* Only digits, no sign, at least one, and it fits. */
bool slice_to_u64(struct slice s, uint64_t *out);

#endif
