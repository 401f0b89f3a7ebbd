/* SPDX-License-Identifier: Apache-2.0
 *
 * loadBalancer of a traffic policy: algorithm, consistent hashing, warm-up
 * (spec/destination-rule.md 2.3, 3.2). Localities are in locality_lb.c. */
#include "common/resource/destination_rule_priv.h"
#include "sallyport/names.h"

#define WARMUP_PERCENT		10
#define WARMUP_AGGRESSION	1.0

/* --- consistent hash ----------------------------------------------------------------------- */

static const struct decode_duration_rule cookie_ttl_rule = { .zero_allowed = true,
							    .any_precision = true };

static bool decode_cookie_ttl(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct consistent_hash *h = out;

	h->cookie_ttl_set = decode_duration(d, n, &h->cookie_ttl_ms, arg);
	return h->cookie_ttl_set;
}

static const struct field attribute_fields[] = {
	FIELD(struct cookie_attribute, "name",	name,	decode_string,	FIELD_REQUIRED),
	FIELD(struct cookie_attribute, "value",	value,	decode_string,	FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_attribute(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct cookie_attribute *a = out;
	bool ok;

	(void)arg;
	a->where = n->where;
	ok = decode_mapping(d, n, attribute_fields, a);
	if (a->name.at != NULL && a->name.len == 0)
		ok = decode_error(d, n, "cookie attribute name cannot be empty");
	return ok;
}

static bool decode_attributes(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct cookie_attribute), decode_attribute,
					       NULL, 64 };
	LIST(struct cookie_attribute) *list = out;
	bool ok = decode_list(d, n, out, &row);

	(void)arg;
	for (size_t i = 0; i < list->count; i++)
		for (size_t j = 0; j < i; j++)
			if (list->items[i].name.len > 0 &&
			    slice_eq(list->items[i].name, list->items[j].name))
				ok = decode_problem(d, SEVERITY_ERROR, list->items[i].where,
						    "duplicate cookie attribute "
						    "name \"%.*s\"",
						    SLICE_ARG(list->items[i].name));
	return ok;
}

static const struct field cookie_fields[] = {
	FIELD(struct consistent_hash, "name", name, decode_string, FIELD_REQUIRED),
	FIELD(struct consistent_hash, "path", cookie_path, decode_string, FIELD_OPTIONAL),
	{ "ttl", decode_cookie_ttl, 0, FIELD_OPTIONAL, &cookie_ttl_rule },
	FIELD(struct consistent_hash, "attributes", cookie_attributes, decode_attributes,
	      FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_cookie(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct consistent_hash *h = out;
	bool ok;

	(void)arg;
	h->key = HASH_COOKIE;
	ok = decode_mapping(d, n, cookie_fields, h);
	if (h->name.at != NULL && h->name.len == 0)
		ok = decode_error(d, node_get(n, "name"), "name required for httpCookie");
	return ok;
}

static bool decode_hash_header(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct consistent_hash *h = out;
	struct slice name;
	char *text;

	if (!decode_string(d, n, &name, arg))
		return false;
	if (!name_is_token(name))
		return decode_error(d, n, "\"%.*s\" is no header name", SLICE_ARG(name));
	text = arena_text(d->arena, name);
	for (size_t i = 0; i < name.len; i++)
		text[i] = ascii_lower(text[i]);
	h->key = HASH_HEADER;
	h->name = slice_make(text, name.len);
	return true;
}

static bool decode_source_ip(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct consistent_hash *h = out;
	bool wanted;

	if (!decode_bool(d, n, &wanted, arg))
		return false;
	h->key = wanted ? HASH_SOURCE_IP : HASH_NONE;
	return true;
}

static bool decode_query_parameter(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	struct consistent_hash *h = out;

	h->key = HASH_QUERY_PARAMETER;
	return decode_string(d, n, &h->name, arg);
}

static const struct decode_range any_size = { 0, INT64_MAX };

static bool decode_ring_size(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct consistent_hash *h = out;
	int64_t size;

	(void)arg;
	if (!decode_range(d, n, &size, &any_size))
		return false;
	h->algorithm = HASH_RING;
	h->table_size = size > 0 ? (uint64_t)size : RING_SIZE_MIN_DEFAULT;
	if (h->table_size > RING_SIZE_MAX) {
		decode_warning(d, n, "a ring of more than %u places: %u is used", RING_SIZE_MAX,
			       RING_SIZE_MAX);
		h->table_size = RING_SIZE_MAX;
	}
	return true;
}

static const struct field ring_fields[] = {
	{ "minimumRingSize", decode_ring_size, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

static bool is_prime(uint64_t n)
{
	if (n <= 3)
		return n > 0;
	if (n % 2 == 0)
		return false;
	for (uint64_t i = 3; i * i <= n; i += 2)
		if (n % i == 0)
			return false;
	return true;
}

static bool decode_table_size(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct consistent_hash *h = out;
	int64_t size;

	(void)arg;
	if (!decode_range(d, n, &size, &any_size))
		return false;
	if (size >= MAGLEV_TABLE_SIZE_LIMIT)
		return decode_error(d, n, "tableSize must be less than %u for maglev",
				    MAGLEV_TABLE_SIZE_LIMIT);
	if (size > 0 && !is_prime((uint64_t)size))
		return decode_error(d, n, "tableSize must be a prime number for maglev, such as %u",
				    MAGLEV_TABLE_SIZE_DEFAULT);
	h->table_size = (uint64_t)size;
	return true;
}

static const struct field maglev_fields[] = {
	{ "tableSize", decode_table_size, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

static bool decode_maglev(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct consistent_hash *h = out;

	(void)arg;
	h->algorithm = HASH_MAGLEV;
	h->table_size = 0;
	if (!decode_mapping(d, n, maglev_fields, h))
		return false;
	return h->table_size > 0 ||
	       decode_error(d, n, "tableSize must be set for maglev, such as %u",
			    MAGLEV_TABLE_SIZE_DEFAULT);
}

static const struct field hash_fields[] = {
	{ "httpHeaderName",		decode_hash_header,	0, FIELD_OPTIONAL, NULL },
	{ "httpCookie",			decode_cookie,		0, FIELD_OPTIONAL, NULL },
	{ "useSourceIp",		decode_source_ip,	0, FIELD_OPTIONAL, NULL },
	{ "httpQueryParameterName",	decode_query_parameter,	0, FIELD_OPTIONAL, NULL },
	{ "ringHash",			decode_struct,		0, FIELD_OPTIONAL, ring_fields },
	{ "maglev",			decode_maglev,		0, FIELD_OPTIONAL, NULL },
	{ "minimumRingSize",		decode_ring_size,	0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

static int count_written(const struct node *n, const char *const *keys)
{
	int count = 0;

	for (; *keys != NULL; keys++)
		count += node_has(n, *keys);
	return count;
}

static bool decode_consistent_hash(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	static const char *const keys[] = { "httpHeaderName", "httpCookie", "useSourceIp",
					   "httpQueryParameterName", NULL };
	static const char *const algorithms[] = { "ringHash", "maglev", NULL };
	struct consistent_hash *h = out;
	bool ok;

	(void)arg;
	h->table_size = RING_SIZE_MIN_DEFAULT;
	ok = decode_mapping(d, n, hash_fields, h);
	if (count_written(n, keys) > 1)
		ok = decode_error(d, n,
				  "more than one of httpHeaderName, httpCookie, useSourceIp and "
				  "httpQueryParameterName: choose one");
	if (count_written(n, algorithms) > 1)
		ok = decode_error(d, n, "ringHash and maglev both: choose one");
	if (node_has(n, "minimumRingSize")) {
		decode_warning(d, node_get(n, "minimumRingSize"),
			       "minimumRingSize is deprecated, use ringHash: "
			       "{minimumRingSize: …} instead");
		if (count_written(n, algorithms) > 0)
			ok = decode_error(
				d, n,
				"only one of minimumRingSize or maglev/ringHash can be specified");
	}
	return ok;
}

/* --- warm-up ------------------------------------------------------------------------------- */

static bool decode_aggression(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	double *aggression = out;

	if (!decode_double(d, n, aggression, arg))
		return false;
	return *aggression > 0 || decode_error(d, n, "aggression should be greater than 0");
}

static const struct field warmup_fields[] = {
	FIELD(struct warmup, "duration", duration_ms, decode_duration, FIELD_REQUIRED),
	FIELD(struct warmup, "minimumPercent", minimum_percent, decode_percent,
	      FIELD_OPTIONAL),
	FIELD(struct warmup, "aggression", aggression, decode_aggression, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_warmup(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct warmup *w = out;

	(void)arg;
	*w = (struct warmup){ .minimum_percent = WARMUP_PERCENT, .aggression = WARMUP_AGGRESSION };
	return decode_mapping(d, n, warmup_fields, w);
}

/* warmupDurationSecs, the deprecated form; warmup wins whichever comes first. */
static bool decode_warmup_duration(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	static const struct decode_duration_rule rule = { .any_precision = true };
	struct load_balancer *lb = out;
	int64_t ms;

	(void)arg;
	decode_warning(d, n, "is deprecated, write warmup: {duration: …}");
	if (!decode_duration(d, n, &ms, &rule))
		return false;
	if (lb->warmup != NULL)
		return true;
	lb->warmup = arena_new(d->arena, struct warmup);
	*lb->warmup = (struct warmup){ ms, WARMUP_PERCENT, WARMUP_AGGRESSION };
	return true;
}

/* --- the block ----------------------------------------------------------------------------- */

static const char *const simple_names[] = { [LB_UNSPECIFIED] = "UNSPECIFIED",
					   [LB_LEAST_REQUEST] = "LEAST_REQUEST",
					   [LB_LEAST_CONN] = "LEAST_CONN",
					   [LB_ROUND_ROBIN] = "ROUND_ROBIN",
					   [LB_RANDOM] = "RANDOM",
					   [LB_PASSTHROUGH] = "PASSTHROUGH",
					   NULL };

static bool decode_simple(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	if (!decode_enum(d, n, out, arg))
		return false;
	if (*(enum lb_simple *)out == LB_PASSTHROUGH)
		decode_warning(d, n, "PASSTHROUGH " DECODE_NOT_OBEYED);
	return true;
}

#define BLOCK(type, decode, arg) \
	(&(const struct decode_pointer){ sizeof(type), decode, arg })

static const struct field lb_fields[] = {
	FIELD_ARG(struct load_balancer, "simple", simple, decode_simple, FIELD_OPTIONAL,
		  simple_names),
	FIELD_ARG(struct load_balancer, "consistentHash", consistent_hash, decode_pointer,
		  FIELD_LATER,
		  BLOCK(struct consistent_hash, decode_consistent_hash, NULL)),
	FIELD_ARG(struct load_balancer, "localityLbSetting", locality, decode_pointer, FIELD_LATER,
		  BLOCK(struct locality_lb, dr_decode_locality_lb, NULL)),
	FIELD_ARG(struct load_balancer, "zoneAwareLbSetting", zone_aware, decode_pointer,
		  FIELD_LATER,
		  BLOCK(struct locality_lb, dr_decode_locality_lb, "zone")),
	FIELD_ARG(struct load_balancer, "warmup", warmup, decode_pointer, FIELD_LATER,
		  BLOCK(struct warmup, decode_warmup, NULL)),
	{ "warmupDurationSecs", decode_warmup_duration, 0, FIELD_LATER, NULL },
	FIELDS_END
};

bool dr_decode_load_balancer(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	bool ok = decode_mapping(d, n, lb_fields, out);

	(void)arg;
	if (node_has(n, "simple") && node_has(n, "consistentHash"))
		ok = decode_error(d, n, "simple and consistentHash both: choose one");
	if (node_has(n, "localityLbSetting") && node_has(n, "zoneAwareLbSetting"))
		ok = decode_error(
			d, n, "only one of localityLbSetting and zoneAwareLbSetting can be set");
	return ok;
}
