/* SPDX-License-Identifier: Apache-2.0
 *
 * strict_json.h - JSON from strangers: tokens, key sets, discovery documents.
 *
 * One value and nothing behind it; a member named twice, NUL characters, bytes that are no UTF-8
 * and nesting beyond `depth_max` are refused (spec/request-authentication.md 5.2, hardening.md
 * T-144). Integers beyond 63 bits are read as reals. */
#ifndef SALLYPORT_STRICT_JSON_H
#define SALLYPORT_STRICT_JSON_H

#include <jansson.h>

#include "sallyport/slice.h"

/* An object, owned by the caller, or NULL. */
json_t *strict_json_object(struct slice text, unsigned depth_max);

enum json_field { JSON_FIELD_MISSING, JSON_FIELD_WRONG, JSON_FIELD_FOUND };

/* A member that ought to be a string; null is WRONG. *out is borrowed from the object and absent
 * unless FOUND. */
enum json_field json_string_field(const json_t *object, const char *name, struct slice *out);

#endif
