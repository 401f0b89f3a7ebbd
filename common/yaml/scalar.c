/* SPDX-License-Identifier: Apache-2.0
 *
 * What a plain scalar means: the core schema of YAML 1.2, sections 10.3.2 and 10.2. */
#include "common/yaml/scalar.h"

bool scalar_is_null(struct slice s)
{
	static const char *const names[] = { "", "~", "null", "Null", "NULL", NULL };

	return slice_is_among(s, names);
}

bool scalar_is_bool(struct slice s, bool *out)
{
	static const char *const yes[] = { "true", "True", "TRUE", NULL };
	static const char *const no[] = { "false", "False", "FALSE", NULL };
	bool is_true = slice_is_among(s, yes);

	*out = is_true;
	return is_true || slice_is_among(s, no);
}

static bool is_digit_of(char c, unsigned base)
{
	c = ascii_lower(c);
	if (c >= 'a' && c <= 'f')
		return base == 16;
	return c >= '0' && c < (char)('0' + (base < 10 ? base : 10));
}

static bool all_digits(struct slice s, unsigned base)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_digit_of(s.at[i], base))
			return false;
	return s.len > 0;
}

static bool is_sign(char c)
{
	return c == '-' || c == '+';
}

bool scalar_is_integer(struct slice s)
{
	if (slice_starts(s, SLICE("0x")))
		return all_digits(slice_from(s, 2), 16);
	if (slice_starts(s, SLICE("0o")))
		return all_digits(slice_from(s, 2), 8);
	if (s.len > 0 && is_sign(s.at[0]))
		s = slice_from(s, 1);
	return all_digits(s, 10);
}

static size_t skip_digits(struct slice s, size_t i)
{
	while (i < s.len && is_digit_of(s.at[i], 10))
		i++;
	return i;
}

bool scalar_is_number(struct slice s)
{
	static const char *const special[] = { ".inf", ".Inf", ".INF", "+.inf", "-.inf", "-.Inf",
					       "-.INF", ".nan", ".NaN", ".NAN", NULL };
	size_t i, start, digits;

	if (scalar_is_integer(s) || slice_is_among(s, special))
		return true;
	start = s.len > 0 && is_sign(s.at[0]) ? 1 : 0;
	i = skip_digits(s, start);
	digits = i - start;
	if (i < s.len && s.at[i] == '.') {
		start = i + 1;
		i = skip_digits(s, start);
		digits += i - start;
	}
	if (digits == 0)
		return false;
	if (i < s.len && ascii_lower(s.at[i]) == 'e') {
		i++;
		if (i < s.len && is_sign(s.at[i]))
			i++;
		start = i;
		i = skip_digits(s, start);
		if (i == start)
			return false;
	}
	return i == s.len;
}

/* Values beyond 2^63 are no use to any field; they saturate and fail the field's range check. */
bool scalar_to_i64(struct slice s, int64_t *out)
{
	unsigned base = 10;
	bool negative = false;
	int64_t value = 0;

	if (!scalar_is_integer(s))
		return false;
	if (slice_starts(s, SLICE("0x")) || slice_starts(s, SLICE("0o"))) {
		base = s.at[1] == 'x' ? 16 : 8;
		s = slice_from(s, 2);
	} else if (is_sign(s.at[0])) {
		negative = s.at[0] == '-';
		s = slice_from(s, 1);
	}
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.at[i]);
		int digit = c >= 'a' ? c - 'a' + 10 : c - '0';

		if (__builtin_mul_overflow(value, (int64_t)base, &value) ||
		    __builtin_add_overflow(value, (int64_t)digit, &value)) {
			value = INT64_MAX;
			break;
		}
	}
	*out = negative ? -value : value;
	return true;
}
