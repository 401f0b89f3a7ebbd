/* SPDX-License-Identifier: Apache-2.0
 *
 * strict_json.c - see strict_json.h. */
#include "sallyport/strict_json.h"

/* Counts brackets outside of strings. What is no JSON at all is left to the parser. */
static bool is_shallow(struct slice text, unsigned depth_max)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			if (++depth > depth_max)
				return false;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

json_t *strict_json_object(struct slice text, unsigned depth_max)
{
	json_error_t error;
	json_t *value;

	if (text.len == 0 || !is_shallow(text, depth_max))
		return NULL;
	value = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &error);
	if (value == NULL && json_error_code(&error) == json_error_numeric_overflow)
		value = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
				   &error);
	if (value != NULL && !json_is_object(value)) {
		json_decref(value);
		return NULL;
	}
	return value;
}

enum json_field json_string_field(const json_t *object, const char *name, struct slice *out)
{
	const json_t *value = json_object_get(object, name);

	*out = NO_SLICE;
	if (value == NULL)
		return JSON_FIELD_MISSING;
	if (!json_is_string(value))
		return JSON_FIELD_WRONG;
	*out = slice_make(json_string_value(value), json_string_length(value));
	return JSON_FIELD_FOUND;
}
