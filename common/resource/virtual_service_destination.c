/* SPDX-License-Identifier: Apache-2.0
 *
 * Destinations, their weights, and mirrors (spec 2.4, V60-V69). */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/hostname.h"

static bool decode_host(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	if (n->kind == NODE_SCALAR && slice_eq(n->text, SLICE("*")))
		return decode_error(d, n, "\"*\" is no destination, name the host of a service");
	return decode_service_host(d, n, out, arg);
}

static bool decode_subset(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *subset = out;

	if (!decode_string(d, n, subset, arg))
		return false;
	if (subset->len == 0) {
		*subset = NO_SLICE;
		return true;
	}
	return hostname_is_label(*subset) ||
	       decode_error(
		       d, n,
		       "\"%.*s\" is no subset name: letters, digits and inner hyphens, at most 63",
		       SLICE_ARG(*subset));
}

static const struct field destination_fields[] = {
	FIELD(struct destination, "host",	host,	decode_host,		FIELD_REQUIRED),
	FIELD(struct destination, "subset",	subset,	decode_subset,		FIELD_OPTIONAL),
	FIELD(struct destination, "port",	port,	decode_port_selector,	FIELD_OPTIONAL),
	FIELDS_END
};

bool vs_decode_destination(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct destination *dest = out;

	(void)arg;
	dest->where = n->where;
	return decode_mapping(d, n, destination_fields, dest);
}

static bool decode_weight(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int32_t weight;

	if (!decode_i32(d, n, &weight, arg))
		return false;
	if (weight < 0)
		return decode_error(d, n, "a weight of %d, write 0 or more", weight);
	*(uint32_t *)out = (uint32_t)weight;
	return true;
}

#define DESTINATION_ROWS \
	FIELD(struct route_destination, "destination", destination, vs_decode_destination, \
	      FIELD_REQUIRED), \
	FIELD(struct route_destination, "weight", weight, decode_weight, FIELD_OPTIONAL)

static const struct field l4_destination_fields[] = { DESTINATION_ROWS, FIELDS_END };
static const struct field http_destination_fields[] = {
	DESTINATION_ROWS,
	FIELD(struct route_destination, "headers", headers, vs_decode_headers_policy,
	      FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_route_destination(struct decoder *d, const struct node *n, void *out,
				     const void *arg)
{
	struct route_destination *r = out;

	r->where = n->where;
	return decode_mapping(d, n, arg, r);
}

typedef LIST(struct route_destination) destination_list;

static bool check_weights(struct decoder *d, const struct node *n, const destination_list *list)
{
	uint64_t sum = 0;

	if (list->count < 2)
		return true;
	for (size_t i = 0; i < list->count; i++)
		sum += list->items[i].weight;
	if (sum == 0)
		return decode_error(d, n, "several destinations and no weight: every share is 0");
	if (sum > UINT32_MAX)
		return decode_error(d, n, "the weights add up to %llu, at most %u are allowed",
				    (unsigned long long)sum, UINT32_MAX);
	for (size_t i = 0; i < list->count; i++) {
		size_t mark = decode_push_index(d, i);

		if (list->items[i].weight == 0)
			decode_problem(d, SEVERITY_WARNING, list->items[i].where,
				       "gets no requests: its weight is 0");
		decode_pop(d, mark);
	}
	return true;
}

bool vs_decode_route_destinations(struct decoder *d, const struct node *n, void *out,
				  const void *arg)
{
	const struct decode_list row = {
		sizeof(struct route_destination), decode_route_destination,
		arg != NULL ? http_destination_fields : l4_destination_fields, 0};

	return decode_list(d, n, out, &row) && check_weights(d, n, out);
}

/* --- shares and mirrors -------------------------------------------------------------------- */

struct percentage {
	double value;
};

static const struct field percentage_fields[] = {
	FIELD(struct percentage, "value", value, decode_double, FIELD_OPTIONAL),
	FIELDS_END
};

/* Rounded down, but 0.29 is 2900 although its double is a little less. */
static uint32_t per_million(double percent)
{
	return (uint32_t)(percent * (PER_MILLION / 100) + 1e-6);
}

bool vs_decode_percentage(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct percentage p = { 0 };
	struct optional_share *share = out;

	if (!decode_mapping(d, n, percentage_fields, &p))
		return false;
	if (!(p.value >= 0 && p.value <= 100) || (arg != NULL && p.value > 0 && p.value < 0.0001))
		return decode_error(d, n, "%g percent, write 0%s to 100", p.value,
				    arg != NULL ? " or 0.0001" : "");
	*share = (struct optional_share){ .set = true, .per_million = per_million(p.value) };
	return true;
}

bool vs_decode_mirror_percent(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct optional_share *share = out;
	uint32_t percent;

	if (!decode_u32(d, n, &percent, arg))
		return false;
	if (percent > 100)
		return decode_error(d, n, "%u percent, write 0 to 100", percent);
	decode_warning(d, n, "is deprecated, write mirrorPercentage: {value: %u}", percent);
	*share = (struct optional_share){ .set = true,
					  .per_million = percent * (PER_MILLION / 100) };
	return true;
}

static const struct field mirror_fields[] = {
	FIELD(struct mirror, "destination", destination, vs_decode_destination, FIELD_REQUIRED),
	FIELD(struct mirror, "percentage", percentage, vs_decode_percentage, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_mirror(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct mirror *m = out;

	(void)arg;
	m->where = n->where;
	return decode_mapping(d, n, mirror_fields, m);
}

bool vs_decode_mirrors(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct mirror), decode_mirror, NULL, 0 };

	(void)arg;
	return decode_list(d, n, out, &row);
}

uint32_t http_route_mirror_share(const struct http_route *r)
{
	if (r->mirror_percentage.set)
		return r->mirror_percentage.per_million;
	return r->mirror_percent.set ? r->mirror_percent.per_million : PER_MILLION;
}
