/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h - a string that grows, for output off the request path: admin answers, JSON, logs.
 *
 * Owner    who called text_init(); text_fini() frees. Thread: one at a time.
 * Fails    out of memory is fatal(). Always NUL-terminated once anything was added. */
#ifndef SALLYPORT_TEXT_H
#define SALLYPORT_TEXT_H

#include <stdarg.h>

#include "sallyport/slice.h"

struct text {
	char *at;		/* owned; NULL while empty */
	size_t len, capacity;
};

void text_init(struct text *t);
void text_fini(struct text *t);
void text_clear(struct text *t);
void text_add(struct text *t, struct slice s);
void text_add_char(struct text *t, char c);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As a JSON string with its quotes; invalid UTF-8 becomes \u00HH of the byte. */
void text_add_json(struct text *t, struct slice s);
/* Length of the valid UTF-8 sequence (RFC 3629) that `s` begins with; 0: it begins with none. */
size_t text_utf8_length(struct slice s);

static inline struct slice text_slice(const struct text *t)
{
	return (struct slice){ t->at != NULL ? t->at : "", t->len };
}

#endif
