/* SPDX-License-Identifier: Apache-2.0
 *
 * put_json.h - JSON written piece by piece: members and items, with the commas between them.
 *
 *     struct put_json j = { .out = &text };
 *     put_open_item(&j, '{'); put_text(&j, "name", "x"); put_close(&j, '}');
 *
 * Owner    the caller's text. Thread: one at a time. Strings may hold any bytes (text_add_json()). */
#ifndef SALLYPORT_PROXY_ADMIN_PUT_JSON_H
#define SALLYPORT_PROXY_ADMIN_PUT_JSON_H

#include "sallyport/text.h"

struct put_json {
	struct text *out;
	bool begun;			/* something stands in the innermost list or object */
};

/* Before what is written by hand: the comma, and the name of a member. */
void put_next(struct put_json *j);
void put_key(struct put_json *j, const char *name);

/* `bracket`: that which opens, or closes. */
void put_open(struct put_json *j, const char *name, char bracket);
void put_open_item(struct put_json *j, char bracket);
void put_close(struct put_json *j, char bracket);

/* null where it is absent. */
void put_slice(struct put_json *j, const char *name, struct slice value);
void put_text(struct put_json *j, const char *name, const char *value);
void put_number(struct put_json *j, const char *name, uint64_t value);
void put_bool(struct put_json *j, const char *name, bool value);
void put_null(struct put_json *j, const char *name);

#endif
