/* SPDX-License-Identifier: Apache-2.0
 *
 * regex_beginning.c - the text that an expression begins with, as far as that can be read off it. */
#include "sallyport/regex.h"

/* Length of `[:alpha:]`; of what only begins like it, 1. */
static size_t posix_class(struct slice p)
{
	size_t i = 2;

	if (!slice_starts(p, SLICE("[:")))
		return 1;
	while (i < p.len && (ascii_is_letter(p.at[i]) || p.at[i] == '^'))
		i++;
	return slice_starts(slice_from(p, i), SLICE(":]")) ? i + 2 : 1;
}

/* Behind the class that begins with the first byte: a `]` right at its beginning is one of its characters,
 * and one of `[:alpha:]` does not end it. */
static struct slice skip_class(struct slice p)
{
	size_t i = 1;

	i += i < p.len && p.at[i] == '^';
	i += i < p.len && p.at[i] == ']';
	while (i < p.len && p.at[i] != ']')
		i += p.at[i] == '\\' ? 2 : p.at[i] == '[' ? posix_class(slice_from(p, i)) : 1;
	return slice_from(p, i + 1 < p.len ? i + 1 : p.len);
}

/* Where it says one thing or another outside of all groups, it has no beginning of its own. Quotations are
 * not looked into. */
static bool has_alternatives(struct slice p)
{
	unsigned depth = 0;

	if (p.len > 0 && memmem(p.at, p.len, "\\Q", 2) != NULL)
		return true;
	while (p.len > 0) {
		char c = p.at[0];

		if (c == '|' && depth == 0)
			return true;
		if (c == '[') {
			p = skip_class(p);
			continue;
		}
		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		p = slice_from(p, c == '\\' && p.len > 1 ? 2 : 1);
	}
	return false;
}

/* The character that the pattern begins with, when it stands for itself; 0: it does not. */
static size_t take_literal(struct slice pattern, char *out)
{
	unsigned char c = (unsigned char)pattern.at[0];
	bool escaped = c == '\\';

	if (escaped) {
		if (pattern.len < 2)
			return 0;
		c = (unsigned char)pattern.at[1];
	}
	/* An escaped letter is a class, an anchor or a quotation; bytes beyond ASCII are parts of characters. */
	if (c <= ' ' || c >= 0x7f || (escaped ? ascii_is_alnum((char)c) : strchr("^$.[]|()?*+{}", c) != NULL))
		return 0;
	*out = (char)c;
	return escaped ? 2 : 1;
}

static bool makes_optional(char c)
{
	return c == '?' || c == '*' || c == '{';
}

struct slice regex_beginning(struct slice pattern, struct arena *a)
{
	char *text = arena_alloc(a, pattern.len + 1);
	size_t len = 0, used;

	if (has_alternatives(pattern))
		return SLICE("");
	if (pattern.len > 0 && pattern.at[0] == '^')
		pattern = slice_from(pattern, 1);
	while (pattern.len > 0 && (used = take_literal(pattern, text + len)) > 0) {
		pattern = slice_from(pattern, used);
		len++;
	}
	if (pattern.len > 0 && len > 0 && makes_optional(pattern.at[0]))
		len--;
	return slice_make(text, len);
}
