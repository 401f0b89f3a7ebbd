/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/resource/extension_provider.h"

#include "sallyport/hostname.h"
#include "sallyport/object.h"

#define NAME_BYTES_MAX	63

typedef struct extension_provider provider;	/* keeps the rows below short */

/* --- leaves -------------------------------------------------------------------------------- */

static bool decode_provider_name(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;
	bool ok;

	if (!decode_string(d, n, s, arg))
		return false;
	ok = s->len > 0 && s->len <= NAME_BYTES_MAX && s->at[0] != '-' && s->at[s->len - 1] != '-';
	for (size_t i = 0; ok && i < s->len; i++)
		ok = (s->at[i] >= 'a' && s->at[i] <= 'z') || (s->at[i] >= '0' && s->at[i] <= '9') ||
		     s->at[i] == '-';
	if (!ok)
		return decode_error(d, n, "\"%.*s\" is no name of a provider: up to %d lower-case letters, digits "
				    "and hyphens", SLICE_ARG(*s), NAME_BYTES_MAX);
	return true;
}

/* [namespace/]host */
static bool decode_service(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct extension_provider *p = out;
	struct slice text;
	ptrdiff_t slash;

	if (!decode_string(d, n, &text, arg))
		return false;
	slash = slice_find(text, '/');
	p->service = slash >= 0 ? slice_from(text, (size_t)slash + 1) : text;
	if (slash >= 0)
		p->service_ns = slice_first(text, (size_t)slash);
	if ((slash >= 0 && !hostname_is_label(p->service_ns)) ||
	    (!hostname_is_ip(p->service) && !hostname_is_domain(p->service)))
		return decode_error(d, n, "\"%.*s\" is no service: write host or namespace/host", SLICE_ARG(text));
	p->service = arena_lower(d->arena, p->service);
	return true;
}

static bool decode_path_prefix(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;

	if (!decode_string(d, n, s, arg))
		return false;
	if (s->len > 0 && s->at[0] != '/')
		return decode_error(d, n, "\"%.*s\" must begin with a slash", SLICE_ARG(*s));
	for (size_t i = 0; i < s->len; i++)
		if (s->at[i] <= ' ' || s->at[i] > '~' || s->at[i] == '#')
			return decode_error(d, n, "must be printable ASCII without blanks and '#'");
	return true;
}

/* A string, as Istio has it: "403". */
static bool decode_status_on_error(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct { unsigned from, to; } known[] = {
		{ 100, 100 }, { 200, 208 }, { 226, 226 }, { 300, 305 }, { 307, 308 }, { 400, 417 },
		{ 421, 424 }, { 426, 426 }, { 428, 429 }, { 431, 431 }, { 500, 508 }, { 510, 511 },
	};
	uint32_t *status = out;
	struct slice text;
	uint64_t value;

	if (!decode_string(d, n, &text, arg))
		return false;
	for (size_t i = 0; slice_to_u64(text, &value) && i < COUNT_OF(known); i++) {
		if (value >= known[i].from && value <= known[i].to) {
			*status = (uint32_t)value;
			return true;
		}
	}
	return decode_error(d, n, "\"%.*s\" is no HTTP status that can be answered; write one such as \"403\"",
			    SLICE_ARG(text));
}

static bool decode_name_pattern(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct name_pattern *p = out;
	struct slice text;
	bool first, last;

	if (!decode_string(d, n, &text, arg))
		return false;
	first = slice_starts(text, SLICE("*"));
	last = text.len > 1 && slice_ends(text, SLICE("*"));
	p->kind = first ? NAME_SUFFIX : last ? NAME_PREFIX : NAME_EXACT;
	p->text = arena_lower(d->arena, first ? slice_from(text, 1) : last ? slice_first(text, text.len - 1) : text);
	if (p->text.len == 0 || slice_find(p->text, '*') >= 0)
		return decode_error(d, n, "\"%.*s\" is no pattern of header names: name, name* or *name",
				    SLICE_ARG(text));
	return true;
}

static bool decode_body_bytes(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	uint32_t *bytes = out;

	if (!decode_u32(d, n, bytes, arg))
		return false;
	if (*bytes == 0)
		return decode_error(d, n, "must be greater than 0");
	if (*bytes > PROVIDER_BODY_BYTES_MAX)
		return decode_error(d, n, "%u is more than the %u bytes that one check can carry here; write that, "
				    "with allowPartialMessage: true if the provider can decide by the beginning",
				    *bytes, PROVIDER_BODY_BYTES_MAX);
	return true;
}

/* --- tables -------------------------------------------------------------------------------- */

static const struct decode_list patterns = { sizeof(struct name_pattern), decode_name_pattern, NULL, 0 };

static const struct field body_fields[] = {
	FIELD(provider, "maxRequestBytes", body_bytes, decode_body_bytes, FIELD_REQUIRED),
	FIELD(provider, "allowPartialMessage", body_partial, decode_bool, FIELD_OPTIONAL),
	FIELD(provider, "packAsBytes", body_as_bytes, decode_bool, FIELD_OPTIONAL),
	FIELDS_END
};

#define PATTERNS(name, member)	FIELD_ARG(provider, name, member, decode_list, FIELD_OPTIONAL, &patterns)
#define COMMON_ROWS \
	{ "service", decode_service, 0, FIELD_REQUIRED, NULL }, \
	FIELD(provider, "port", port, decode_port, FIELD_REQUIRED), \
	FIELD(provider, "timeout", timeout_ms, decode_duration, FIELD_OPTIONAL), \
	FIELD(provider, "failOpen", fail_open, decode_bool, FIELD_OPTIONAL), \
	FIELD(provider, "statusOnError", status_on_error, decode_status_on_error, FIELD_OPTIONAL), \
	FIELD(provider, "clearRouteCache", clear_route_cache, decode_bool, FIELD_OPTIONAL), \
	{ "includeRequestBodyInCheck", decode_struct, 0, FIELD_OPTIONAL, body_fields }

static const struct field http_fields[] = {
	COMMON_ROWS,
	FIELD(provider, "pathPrefix", path_prefix, decode_path_prefix, FIELD_OPTIONAL),
	PATTERNS("includeRequestHeadersInCheck", headers_in_check),
	PATTERNS("includeHeadersInCheck", headers_in_check_deprecated),
	FIELD(provider, "includeAdditionalHeadersInCheck", additional_headers, decode_string_map, FIELD_OPTIONAL),
	PATTERNS("headersToUpstreamOnAllow", upstream_on_allow),
	PATTERNS("headersToDownstreamOnDeny", downstream_on_deny),
	PATTERNS("headersToDownstreamOnAllow", downstream_on_allow),
	FIELDS_END
};
static const struct field grpc_fields[] = {
	COMMON_ROWS,
	FIELDS_END
};

/* Of one entry: exactly one kind. */
struct entry_nodes {
	const struct node *http, *grpc;
	struct slice name;
};

static bool decode_node(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)d;
	(void)arg;
	*(const struct node **)out = n;
	return true;
}

static const struct field entry_fields[] = {
	FIELD(struct entry_nodes, "name", name, decode_provider_name, FIELD_REQUIRED),
	FIELD(struct entry_nodes, "envoyExtAuthzHttp", http, decode_node, FIELD_OPTIONAL),
	FIELD(struct entry_nodes, "envoyExtAuthzGrpc", grpc, decode_node, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_kind(struct decoder *d, const struct entry_nodes *nodes, struct extension_provider *p)
{
	const char *key = nodes->http != NULL ? "envoyExtAuthzHttp" : "envoyExtAuthzGrpc";
	size_t mark = decode_push(d, key);
	bool ok;

	p->kind = nodes->http != NULL ? PROVIDER_HTTP : PROVIDER_GRPC;
	p->timeout_ms = PROVIDER_TIMEOUT_MS;
	p->status_on_error = PROVIDER_STATUS_ON_ERROR;
	ok = decode_mapping(d, nodes->http != NULL ? nodes->http : nodes->grpc,
			    nodes->http != NULL ? http_fields : grpc_fields, p);
	if (p->headers_in_check.count == 0)
		p->headers_in_check = p->headers_in_check_deprecated;
	if (ok && p->timeout_ms > PROVIDER_TIMEOUT_WARN_MS)
		decode_problem(d, SEVERITY_WARNING, p->where, "a request may wait %lld s for this provider; set a "
			       "timeout of some seconds", (long long)p->timeout_ms / 1000);
	decode_pop(d, mark);
	return ok;
}

static bool decode_entry(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct extension_provider *p = out;
	struct entry_nodes nodes = { 0 };

	(void)arg;
	p->where = n->where;
	if (!decode_mapping(d, n, entry_fields, &nodes))
		return false;
	p->name = nodes.name;
	if ((nodes.http == NULL) == (nodes.grpc == NULL))
		return decode_error(d, n, "provider %.*s must have exactly one of envoyExtAuthzHttp and "
				    "envoyExtAuthzGrpc", SLICE_ARG(p->name));
	return decode_kind(d, &nodes, p);
}

bool decode_extension_providers(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list entries = { sizeof(struct extension_provider), decode_entry, NULL, 0 };
	LIST(struct extension_provider) *list = out;
	bool ok = decode_list(d, n, out, &entries);

	(void)arg;
	for (size_t i = 0; i < list->count; i++)
		for (size_t j = 0; j < i && list->items[i].name.len > 0; j++)
			if (slice_eq(list->items[i].name, list->items[j].name))
				ok = decode_problem(d, SEVERITY_ERROR, list->items[i].where,
						    "the provider %.*s is there already: names must differ",
						    SLICE_ARG(list->items[i].name));
	return ok;
}

bool name_patterns_match(const name_patterns *l, struct slice name)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct name_pattern *p = &l->items[i];

		if (p->kind == NAME_EXACT ? slice_eq_nocase(name, p->text) :
		    p->kind == NAME_PREFIX ? slice_starts_nocase(name, p->text) :
		    name.len >= p->text.len &&
		    slice_eq_nocase(slice_from(name, name.len - p->text.len), p->text))
			return true;
	}
	return false;
}
