/* SPDX-License-Identifier: Apache-2.0
 *
 * Label maps: what Kubernetes accepts as keys and values. */
#include "sallyport/decode.h"
#include "sallyport/hostname.h"

#define LABEL_PREFIX_MAX	253u

/* Letters, digits, `-`, `_` and `.`, a letter or digit at both ends, at most 63. */
static bool is_label_name(struct slice s)
{
	if (s.len == 0 || s.len > LABEL_BYTES_MAX || !ascii_is_alnum(s.at[0]) || !ascii_is_alnum(s.at[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-' && s.at[i] != '_' && s.at[i] != '.')
			return false;
	return true;
}

static bool is_label_key(struct slice key)
{
	ptrdiff_t slash = slice_find(key, '/');
	struct slice prefix;

	if (slash < 0)
		return is_label_name(key);
	prefix = slice_first(key, (size_t)slash);
	return prefix.len <= LABEL_PREFIX_MAX && hostname_is_domain(prefix) &&
	       is_label_name(slice_from(key, (size_t)slash + 1));
}

bool decode_labels(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	LIST(struct string_entry) *labels = out;
	bool ok = decode_string_map(d, n, out, arg);

	for (size_t i = 0; i < labels->count; i++) {
		const struct string_entry *e = &labels->items[i];

		if (!is_label_key(e->key))
			ok = decode_problem(d, SEVERITY_ERROR, e->where, "bad label key \"%.*s\": "
					    "letters, digits, -, _ and . up to 63 characters, with or "
					    "without a domain and / before them", SLICE_ARG(e->key));
		if (e->value.len > 0 && !is_label_name(e->value))
			ok = decode_problem(d, SEVERITY_ERROR, e->where, "bad value \"%.*s\" of label "
					    "%.*s: letters, digits, -, _ and . up to 63 characters",
					    SLICE_ARG(e->value), SLICE_ARG(e->key));
	}
	return ok;
}
