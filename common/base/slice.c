/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/slice.h"

bool slice_eq_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && slice_starts_nocase(a, b);
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
	if (s.len < prefix.len)
		return false;
	for (size_t i = 0; i < prefix.len; i++)
		if (ascii_lower(s.at[i]) != ascii_lower(prefix.at[i]))
			return false;
	return true;
}

int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.at, b.at, n) : 0;

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool slice_is_among(struct slice s, const char *const *names)
{
	for (; *names != NULL; names++)
		if (slice_eq(s, slice_of(*names)))
			return true;
	return false;
}

ptrdiff_t slice_find(struct slice s, char c)
{
	const char *hit = s.len > 0 ? memchr(s.at, c, s.len) : NULL;

	return hit != NULL ? hit - s.at : -1;
}

ptrdiff_t slice_rfind(struct slice s, char c)
{
	const char *hit = s.len > 0 ? memrchr(s.at, c, s.len) : NULL;

	return hit != NULL ? hit - s.at : -1;
}

struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

struct slice slice_cut(struct slice *rest, char sep)
{
	struct slice piece = *rest;
	ptrdiff_t at = slice_find(*rest, sep);

	if (at < 0) {
		*rest = NO_SLICE;
		return piece;
	}
	piece.len = (size_t)at;
	*rest = slice_from(*rest, (size_t)at + 1);
	return piece;
}

bool slice_to_u64(struct slice s, uint64_t *out)
{
	uint64_t value = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(s.at[i] - '0'), &value))
			return false;
	}
	*out = value;
	return true;
}
