/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/hostname.h"

#include "sallyport/cidr.h"

static struct slice without_dot(struct slice h)
{
	return h.len > 1 && h.at[h.len - 1] == '.' ? slice_first(h, h.len - 1) : h;
}

static bool ends_nocase(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len && slice_eq_nocase(slice_from(s, s.len - suffix.len), suffix);
}

bool hostname_matches(struct slice a, struct slice b)
{
	struct slice swap;

	a = without_dot(a);
	b = without_dot(b);
	if (!hostname_is_wild(a) && !hostname_is_wild(b))
		return slice_eq_nocase(a, b);
	if (hostname_is_wild(a) && hostname_is_wild(b)) {
		if (a.len < b.len) {
			swap = a;
			a = b;
			b = swap;
		}
		return ends_nocase(slice_from(a, 1), slice_from(b, 1));
	}
	if (hostname_is_wild(a)) {
		swap = a;
		a = b;
		b = swap;
	}
	return ends_nocase(a, slice_from(b, 1));
}

bool hostname_subset(struct slice a, struct slice b)
{
	a = without_dot(a);
	b = without_dot(b);
	if (!hostname_is_wild(b))
		return !hostname_is_wild(a) && slice_eq_nocase(a, b);
	if (!hostname_is_wild(a))
		return ends_nocase(a, slice_from(b, 1));
	return a.len >= b.len && ends_nocase(slice_from(a, 1), slice_from(b, 1));
}

bool hostname_is_label(struct slice s)
{
	if (s.len == 0 || s.len > LABEL_BYTES_MAX || !ascii_is_alnum(s.at[0]) || !ascii_is_alnum(s.at[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

bool hostname_is_dns1123_label(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] >= 'A' && s.at[i] <= 'Z')
			return false;
	return hostname_is_label(s);
}

static bool all_digits(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_digit(s.at[i]))
			return false;
	return s.len > 0;
}

/* The labels of `rest`; the first one may have been looked at already. */
static bool labels_are_fine(struct slice rest)
{
	struct slice label = NO_SLICE;

	rest = without_dot(rest);
	while (rest.at != NULL) {
		label = slice_cut(&rest, '.');
		if (!hostname_is_label(label))
			return false;
	}
	return !all_digits(label);
}

bool hostname_is_domain(struct slice s)
{
	return s.len > 0 && s.len <= HOSTNAME_BYTES_MAX && labels_are_fine(s);
}

const char *hostname_wildcard_problem(struct slice s)
{
	struct slice rest = s, first;

	if (s.len == 0)
		return "is empty";
	if (s.len > HOSTNAME_BYTES_MAX)
		return "is longer than 255 characters";
	if (slice_eq(s, SLICE("*")))
		return NULL;
	if (!hostname_is_wild(s))
		return labels_are_fine(s) ? NULL : "is not a valid host";
	first = slice_cut(&rest, '.');
	first = slice_from(first, 1);
	if (first.len > 0 && first.at[0] == '-')
		first = slice_from(first, 1);
	if (first.len > 0 && !hostname_is_label(first))
		return "is not a valid host";
	if (rest.at == NULL)
		return first.len > 0 && !all_digits(first) ? NULL : "is not a valid host";
	return labels_are_fine(rest) ? NULL : "is not a valid host";
}

const char *hostname_gateway_problem(struct slice s)
{
	const char *problem;

	if (s.len > 0 && s.len <= HOSTNAME_BYTES_MAX && hostname_is_ip(s))
		return NULL;
	if (s.len > 0 && !slice_eq(s, SLICE("*")) && slice_find(s, '.') < 0)
		return "is a short name, which is not allowed: write the whole domain";
	problem = hostname_wildcard_problem(s);
	if (problem != NULL)
		return problem;
	if (slice_find(s, '*') >= 0 && !slice_eq(s, SLICE("*")) && !slice_starts(s, SLICE("*.")))
		return "is a partial wildcard, which is not allowed: * or *.domain are";
	return NULL;
}

bool hostname_is_ip(struct slice s)
{
	struct ip ip;

	return ip_parse(s, &ip);
}

struct slice hostname_normalise(struct arena *a, struct slice h)
{
	char *copy;

	if (h.at == NULL)
		return h;
	h = without_dot(h);
	copy = arena_text(a, h);
	for (size_t i = 0; i < h.len; i++)
		copy[i] = ascii_lower(copy[i]);
	return slice_make(copy, h.len);
}

struct slice hostname_expand(struct arena *a, struct slice host, struct slice ns,
			     struct slice cluster_domain)
{
	struct slice whole;

	if (host.len == 0 || slice_find(host, '.') >= 0 || slice_eq(host, SLICE("*")) ||
	    hostname_is_ip(host))
		return hostname_normalise(a, host);
	whole = slice_of(arena_printf(a, "%.*s.%.*s.svc%s%.*s", SLICE_ARG(host), SLICE_ARG(ns),
				      cluster_domain.len > 0 ? "." : "", SLICE_ARG(cluster_domain)));
	return hostname_normalise(a, whole);
}
