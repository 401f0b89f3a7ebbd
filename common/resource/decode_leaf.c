/* SPDX-License-Identifier: Apache-2.0
 *
 * Leaves of a document: strings, numbers, enums, durations (decode.h). */
#include <errno.h>
#include <stdlib.h>

#include "common/yaml/scalar.h"
#include "sallyport/decode.h"

#define NS_PER_MS	1000000

static bool is_plain(const struct node *n)
{
	return n->kind == NODE_SCALAR && !n->quoted;
}

bool decode_string(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	bool ignored;

	(void)arg;
	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be a string, found %s", node_found(n));
	if (is_plain(n) && scalar_is_number(n->text))
		return decode_error(d, n, "must be a string, found the number %.*s: write \"%.*s\"",
				    SLICE_ARG(n->text), SLICE_ARG(n->text));
	if (is_plain(n) && scalar_is_bool(n->text, &ignored))
		return decode_error(d, n, "must be a string, found the boolean %.*s: write \"%.*s\"",
				    SLICE_ARG(n->text), SLICE_ARG(n->text));
	*(struct slice *)out = n->text;
	return true;
}

bool decode_bool(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)arg;
	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be true or false, found %s", node_found(n));
	if (is_plain(n) && scalar_is_bool(n->text, out))
		return true;
	return decode_error(d, n, "must be true or false, found %s%.*s%s", n->quoted ? "\"" : "",
			    SLICE_ARG(n->text), n->quoted ? "\" (a string: remove the quotes)" : "");
}

static bool decode_integer(struct decoder *d, const struct node *n, int64_t min, int64_t max,
			   int64_t *out)
{
	struct slice digits;

	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be a whole number, found %s", node_found(n));
	if (!scalar_to_i64(n->text, out))
		return decode_error(d, n, "must be a whole number, found \"%.*s\"",
				    SLICE_ARG(n->text));
	if (n->quoted)
		return decode_error(d, n, "must be a whole number, found the string \"%.*s\": "
				    "remove the quotes", SLICE_ARG(n->text));
	digits = n->text.at[0] == '-' || n->text.at[0] == '+' ? slice_from(n->text, 1) : n->text;
	if (digits.len > 1 && digits.at[0] == '0' && ascii_is_digit(digits.at[1]))
		return decode_error(d, n, "%.*s is octal to some and decimal to others: write it "
				    "without the leading zero", SLICE_ARG(n->text));
	if (*out < min || *out > max)
		return decode_error(d, n, "%.*s is out of range %lld..%lld", SLICE_ARG(n->text),
				    (long long)min, (long long)max);
	return true;
}

bool decode_u32(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int64_t value;

	(void)arg;
	if (!decode_integer(d, n, 0, UINT32_MAX, &value))
		return false;
	*(uint32_t *)out = (uint32_t)value;
	return true;
}

bool decode_i32(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int64_t value;

	(void)arg;
	if (!decode_integer(d, n, INT32_MIN, INT32_MAX, &value))
		return false;
	*(int32_t *)out = (int32_t)value;
	return true;
}

bool decode_range(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct decode_range *range = arg;
	int64_t value;

	if (!decode_integer(d, n, range->min, range->max, &value))
		return false;
	*(int64_t *)out = value;
	return true;
}

bool decode_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int64_t value;

	(void)arg;
	if (!decode_integer(d, n, 1, 65535, &value))
		return false;
	*(uint32_t *)out = (uint32_t)value;
	return true;
}

bool decode_double(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	double value;

	(void)arg;
	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be a number, found %s", node_found(n));
	if (n->quoted || !scalar_is_number(n->text))
		return decode_error(d, n, "must be a number, found \"%.*s\"%s", SLICE_ARG(n->text),
				    scalar_is_number(n->text) ? ": remove the quotes" : "");
	/* strtod() knows inf and nan without the dot; nothing here may be either. */
	errno = 0;
	value = strtod(n->text.at, NULL);
	if (errno == ERANGE || memchr(n->text.at, 'n', n->text.len) != NULL ||
	    memchr(n->text.at, 'N', n->text.len) != NULL)
		return decode_error(d, n, "%.*s is no usable number", SLICE_ARG(n->text));
	*(double *)out = value;
	return true;
}

bool decode_percent(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	double *percent = out;

	if (!decode_double(d, n, percent, arg))
		return false;
	return (*percent >= 0 && *percent <= 100) ||
	       decode_error(d, n, "%g percent, write 0 to 100", *percent);
}

bool decode_int_or_string(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	bool ignored;

	(void)arg;
	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be a number or a string, found %s", node_found(n));
	if (is_plain(n) && scalar_is_bool(n->text, &ignored))
		return decode_error(d, n, "must be a number or a string, found %.*s",
				    SLICE_ARG(n->text));
	*(struct slice *)out = n->text;
	return true;
}

bool decode_enum(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const char *const *names = arg;
	const char *near;
	char list[512];

	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be one word, found %s", node_found(n));
	for (int i = 0; names[i] != NULL; i++) {
		if (!slice_eq(n->text, slice_of(names[i])))
			continue;
		*(int *)out = i;
		return true;
	}
	near = nearest_name(n->text, names);
	if (near != NULL)
		return decode_error(d, n, "bad value \"%.*s\", did you mean \"%s\"?",
				    SLICE_ARG(n->text), near);
	decode_join_names(list, sizeof(list), names);
	return decode_error(d, n, "bad value \"%.*s\", use one of %s", SLICE_ARG(n->text), list);
}

/* --- durations ----------------------------------------------------------------------------- */

static const struct unit { const char *name; int64_t ns; } units[] = {
	{ "ns", 1 }, { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 },
	{ "ms", NS_PER_MS }, { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 },
};

/* The longest unit that `s` begins with: "ms" before "m". */
static const struct unit *find_unit(struct slice s)
{
	const struct unit *best = NULL;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_starts(s, slice_of(units[i].name)) &&
		    (best == NULL || strlen(units[i].name) > strlen(best->name)))
			best = &units[i];
	return best;
}

static bool starts_with_digit(struct slice s)
{
	return s.len > 0 && ascii_is_digit(s.at[0]);
}

/* One "1.5h" of a duration, taken from the front of `s` and added to `total`. */
static bool take_part(struct slice *s, int64_t *total)
{
	int64_t whole = 0, fraction = 0, scale = 1, ns, part;
	const struct unit *unit;
	bool digits = false;

	for (; starts_with_digit(*s); *s = slice_from(*s, 1), digits = true)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, s->at[0] - '0', &whole))
			return false;
	if (s->len > 0 && s->at[0] == '.') {
		for (*s = slice_from(*s, 1); starts_with_digit(*s); *s = slice_from(*s, 1), digits = true) {
			if (scale > 100000000)
				continue;	/* below a nanosecond of any unit up to a second */
			fraction = fraction * 10 + (s->at[0] - '0');
			scale *= 10;
		}
	}
	unit = find_unit(*s);
	if (!digits || unit == NULL)
		return false;
	*s = slice_from(*s, strlen(unit->name));
	part = (int64_t)((__int128)fraction * unit->ns / scale);
	return !__builtin_mul_overflow(whole, unit->ns, &ns) &&
	       !__builtin_add_overflow(ns, part, &ns) && !__builtin_add_overflow(*total, ns, total);
}

bool duration_parse_ns(struct slice s, int64_t *out)
{
	int64_t total = 0;
	bool negative = false;

	if (s.len > 0 && (s.at[0] == '-' || s.at[0] == '+')) {
		negative = s.at[0] == '-';
		s = slice_from(s, 1);
	}
	if (s.len == 0)
		return false;
	while (s.len > 0)
		if (!take_part(&s, &total))
			return false;
	*out = negative ? -total : total;
	return true;
}

bool decode_duration(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_duration_rule strict = { false, false };
	const struct decode_duration_rule *rule = arg != NULL ? arg : &strict;
	int64_t ns;

	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be a duration such as 5s, found %s", node_found(n));
	if (!duration_parse_ns(n->text, &ns) && scalar_is_integer(n->text) && starts_with_digit(n->text))
		return decode_error(d, n, "\"%.*s\" is no duration: it needs a unit, such as %.*ss",
				    SLICE_ARG(n->text), SLICE_ARG(n->text));
	if (!duration_parse_ns(n->text, &ns))
		return decode_error(d, n, "\"%.*s\" is no duration: write numbers with units, "
				    "such as 5s, 1h30m or 250ms", SLICE_ARG(n->text));
	if (ns < 0)
		return decode_error(d, n, "\"%.*s\" is negative: a duration must be %s",
				    SLICE_ARG(n->text), rule->zero_allowed ? "0s or more" :
				    "1ms or more");
	if (ns == 0 && rule->zero_allowed) {
		*(int64_t *)out = 0;
		return true;
	}
	if (ns == 0 || (ns < NS_PER_MS && !rule->any_precision))
		return decode_error(d, n, "\"%.*s\" is too short: at least 1ms%s",
				    SLICE_ARG(n->text), ns == 0 ? "; for no limit omit the field" : "");
	if (ns % NS_PER_MS != 0 && !rule->any_precision)
		return decode_error(d, n, "\"%.*s\" is no whole number of milliseconds",
				    SLICE_ARG(n->text));
	/* Rounded up: what is not zero stays so. */
	*(int64_t *)out = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
	return true;
}
