/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/text.h"

#include <stdio.h>
#include <stdlib.h>

#include "sallyport/log.h"

void text_init(struct text *t)
{
	*t = (struct text){ 0 };
}

void text_fini(struct text *t)
{
	free(t->at);
	text_init(t);
}

void text_clear(struct text *t)
{
	t->len = 0;
	if (t->at != NULL)
		t->at[0] = '\0';
}

/* Makes room for `more` bytes and the terminator. */
static void reserve(struct text *t, size_t more)
{
	size_t need = t->len + more + 1;

	if (need <= t->capacity)
		return;
	t->capacity = need < 2 * t->capacity ? 2 * t->capacity : need < 64 ? 64 : need;
	t->at = realloc(t->at, t->capacity);
	if (t->at == NULL)
		fatal("out of memory: %zu bytes of text", t->capacity);
}

void text_add(struct text *t, struct slice s)
{
	reserve(t, s.len);
	if (s.len > 0)
		memcpy(t->at + t->len, s.at, s.len);
	t->len += s.len;
	t->at[t->len] = '\0';
}

void text_add_char(struct text *t, char c)
{
	text_add(t, (struct slice){ &c, 1 });
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list args, again;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	reserve(t, (size_t)len);
	vsnprintf(t->at + t->len, (size_t)len + 1, fmt, again);
	va_end(again);
	t->len += (size_t)len;
}

size_t text_utf8_length(struct slice s)
{
	const unsigned char *b = (const unsigned char *)s.at;
	size_t n = b[0] < 0x80 ? 1 : b[0] >= 0xc2 && b[0] <= 0xdf ? 2 : (b[0] & 0xf0) == 0xe0 ? 3 :
		   b[0] >= 0xf0 && b[0] <= 0xf4 ? 4 : 0;

	if (n == 0 || n > s.len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
	    (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
		return 0;
	return n;
}

void text_add_json(struct text *t, struct slice s)
{
	text_add_char(t, '"');
	while (s.len > 0) {
		unsigned char c = (unsigned char)s.at[0];
		size_t n = text_utf8_length(s);

		if (c == '"' || c == '\\')
			text_printf(t, "\\%c", c);
		else if (c == '\n')
			text_add(t, SLICE("\\n"));
		else if (c < 0x20 || c == 0x7f || n == 0)
			text_printf(t, "\\u%04x", c);
		else
			text_add(t, slice_first(s, n));
		s = slice_from(s, n > 0 ? n : 1);
	}
	text_add_char(t, '"');
}
