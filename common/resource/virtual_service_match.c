/* SPDX-License-Identifier: Apache-2.0
 *
 * http[].match[]: the conditions of a route (spec 2.3, V30-V42), and the static ones that tls and
 * tcp routes share: port, gateways, source labels and namespace. */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/claims.h"
#include "sallyport/hostname.h"
#include "sallyport/names.h"

#define CLAIM_PREFIX	"@request.auth.claims"

static const struct string_match_rule uri_rule = { .empty_prefix = true };
static const struct string_match_rule without_rule = { .star_is_present = true };

bool vs_decode_match_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_range range = { 0, 65535 };
	int64_t value;

	(void)arg;
	if (!decode_range(d, n, &value, &range))
		return false;
	*(uint32_t *)out = (uint32_t)value;
	return true;
}

bool vs_decode_namespace(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	if (!decode_string(d, n, out, arg))
		return false;
	if (!hostname_is_label(*(struct slice *)out))
		return decode_error(d, n, "\"%.*s\" is no namespace",
				    SLICE_ARG(*(struct slice *)out));
	return true;
}

/* --- gateways ------------------------------------------------------------------------------ */

/* Nothing more is said of it. */
static bool bad_gateway(struct decoder *d, const struct node *n, struct gateway_ref *g)
{
	g->ns = g->name = NO_SLICE;
	return decode_error(
		d, n, "invalid gateway reference \"%.*s\", write name, namespace/name or mesh",
		SLICE_ARG(n->text));
}

/* The old form name.namespace, or name.namespace.svc.… (V11). */
static bool take_dotted_gateway(struct decoder *d, const struct node *n, struct gateway_ref *g)
{
	struct slice rest = g->name;

	g->name = slice_cut(&rest, '.');
	g->ns = slice_cut(&rest, '.');
	decode_warning(d, n, "\"%.*s\" is an old form of a gateway reference, write %.*s/%.*s",
		       SLICE_ARG(n->text), SLICE_ARG(g->ns), SLICE_ARG(g->name));
	return true;
}

static bool decode_gateway(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct gateway_ref *g = out;
	struct slice text, rest;

	g->where = n->where;
	if (!decode_string(d, n, &text, arg))
		return false;
	g->mesh = slice_eq(text, SLICE("mesh"));
	if (g->mesh)
		return true;
	rest = text;
	g->ns = slice_cut(&rest, '/');
	g->name = rest;
	if (rest.at != NULL)
		return (hostname_is_label(g->ns) && hostname_is_label(g->name)) ||
		       bad_gateway(d, n, g);
	g->name = text;
	g->ns = slice_of(d->ns);
	if (!hostname_is_domain(text))
		return bad_gateway(d, n, g);
	return slice_find(text, '.') < 0 || take_dotted_gateway(d, n, g);
}

static bool same_gateway(const struct gateway_ref *a, const struct gateway_ref *b)
{
	if (a->mesh || b->mesh || a->name.at == NULL)
		return a->mesh && b->mesh;
	return slice_eq(a->ns, b->ns) && slice_eq(a->name, b->name);
}

bool vs_decode_gateways(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct gateway_ref), decode_gateway, NULL,
						0 };
	LIST(struct gateway_ref) *list = out;
	bool ok = decode_list(d, n, out, &row);

	for (size_t i = 0; i < list->count; i++) {
		size_t mark = decode_push_index(d, i), j = 0;

		/* Alone in `spec` it is told of as a document without effect (V17). */
		if (list->items[i].mesh && (arg == NULL || list->count > 1))
			decode_problem(d, SEVERITY_NOTE, list->items[i].where,
				       "mesh is ignored: there are no sidecars at the edge");
		while (j < i && !same_gateway(&list->items[j], &list->items[i]))
			j++;
		if (j < i)
			decode_problem(d, SEVERITY_WARNING, list->items[i].where,
				       "duplicate gateway");
		decode_pop(d, mark);
	}
	return ok;
}

bool gateway_refs_name(const struct gateway_ref *refs, size_t count, struct slice ns,
		       struct slice name)
{
	for (size_t i = 0; i < count; i++)
		if (!refs[i].mesh && slice_eq(refs[i].ns, ns) && slice_eq(refs[i].name, name))
			return true;
	return false;
}

/* --- headers, query parameters, claims ----------------------------------------------------- */

static bool add_claim_name(struct slice name, struct slice *names, size_t *count)
{
	if (name.len == 0 || *count == CLAIM_DEPTH_MAX)
		return false;
	names[(*count)++] = name;
	return true;
}

/* What stands between the first `[` and the last `]`, cut at each `][`. */
static bool bracketed_names(struct slice rest, struct slice *names, size_t *count)
{
	while (rest.at != NULL) {
		size_t end = 0;

		while (end < rest.len && !slice_starts(slice_from(rest, end), SLICE("][")))
			end++;
		if (!add_claim_name(slice_first(rest, end), names, count))
			return false;
		rest = end < rest.len ? slice_from(rest, end + 2) : NO_SLICE;
	}
	return true;
}

/* ".a.b" or "[a][b.c]" after the prefix; false: no claim key at all. */
static bool claim_path(struct slice key, struct slice *names, size_t *count)
{
	struct slice rest = slice_from(key, strlen(CLAIM_PREFIX));

	*count = 0;
	if (!slice_starts_nocase(key, SLICE(CLAIM_PREFIX)) || rest.len < 2)
		return false;
	if (rest.at[0] == '[')
		return rest.at[rest.len - 1] == ']' &&
		       bracketed_names(slice_make(rest.at + 1, rest.len - 2), names, count);
	if (rest.at[0] != '.')
		return false;
	for (rest = slice_from(rest, 1); rest.at != NULL;)
		if (!add_claim_name(slice_cut(&rest, '.'), names, count))
			return false;
	return true;
}

static bool is_pseudo_header(struct slice key)
{
	static const char *const names[] = { ":method", ":scheme", ":authority",
					    ":path",   ":status", NULL };

	return slice_is_among(key, names);
}

static struct slice lower_name(struct decoder *d, struct slice key)
{
	char *text = arena_text(d->arena, key);

	for (size_t i = 0; i < key.len; i++)
		text[i] = ascii_lower(text[i]);
	return slice_eq(slice_make(text, key.len), SLICE("host")) ? SLICE(":authority") :
	       slice_make(text, key.len);
}

static bool check_header_key(struct decoder *d, const struct node_pair *pair)
{
	static const char *const mistaken[] = { "uri", "scheme", "method", "authority", NULL };

	if (pair->key.len == 0)
		return decode_problem(d, SEVERITY_ERROR, pair->where, "an empty header name");
	if (!name_is_token(pair->key) && !is_pseudo_header(pair->key))
		return decode_problem(d, SEVERITY_ERROR, pair->where,
				      "\"%.*s\" is no header name, pseudo header or claim "
				      "(" CLAIM_PREFIX ".name)", SLICE_ARG(pair->key));
	for (size_t i = 0; mistaken[i] != NULL; i++)
		if (slice_eq_nocase(pair->key, slice_of(mistaken[i])))
			decode_problem(d, SEVERITY_WARNING, pair->where,
				       "asks for a header field named "
				       "\"%.*s\"; for the %s of the request write match[].%s",
				       SLICE_ARG(pair->key), mistaken[i], mistaken[i]);
	return true;
}

/* The value of one entry; null is presence only where `rule` allows regex "*", too. */
static bool decode_condition(struct decoder *d, const struct node_pair *pair,
			     const struct string_match_rule *rule, struct string_match *out)
{
	if (pair->value->kind == NODE_NULL && rule->star_is_present) {
		*out = (struct string_match){ .kind = MATCH_PRESENT, .where = pair->where };
		return true;
	}
	if (pair->value->kind == NODE_NULL)
		return decode_problem(
			d, SEVERITY_ERROR, pair->where,
			"has no condition, write {} for \"present, whatever its value\"");
	return vs_decode_string_match(d, pair->value, out, rule);
}

typedef LIST(struct named_match) named_list;
typedef LIST(struct claim_match) claim_list;

static bool decode_header_entry(struct decoder *d, const struct node_pair *pair,
				const struct string_match_rule *rule, named_list *headers,
				claim_list *claims)
{
	struct slice names[CLAIM_DEPTH_MAX];
	size_t count;

	if (claim_path(pair->key, names, &count)) {
		struct claim_match *c = &claims->items[claims->count++];

		c->where = pair->where;
		c->path.items = arena_array(d->arena, struct slice, count);
		c->path.count = count;
		memcpy(c->path.items, names, count * sizeof(names[0]));
		return decode_condition(d, pair, rule, &c->value);
	}
	if (!check_header_key(d, pair))
		return false;
	headers->items[headers->count] =
		(struct named_match){ .name = lower_name(d, pair->key), .where = pair->where };
	return decode_condition(d, pair, rule, &headers->items[headers->count++].value);
}

static bool decode_header_map(struct decoder *d, const struct node *n,
			      const struct string_match_rule *rule, named_list *headers,
			      claim_list *claims)
{
	bool ok = true;

	if (n->kind != NODE_MAPPING)
		return decode_error(d, n,
				    "must be a mapping of header names to conditions, found %s",
				    node_found(n));
	headers->items = arena_array(d->arena, struct named_match, n->count + 1);
	claims->items = arena_array(d->arena, struct claim_match, n->count + 1);
	for (size_t i = 0; i < n->count; i++) {
		size_t mark = decode_push_slice(d, n->pairs[i].key);

		ok = decode_header_entry(d, &n->pairs[i], rule, headers, claims) && ok;
		decode_pop(d, mark);
	}
	return ok;
}

static bool decode_headers(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct string_match_rule rule = { 0 };
	struct http_match *m = out;

	(void)arg;
	return decode_header_map(d, n, &rule, (named_list *)&m->headers, (claim_list *)&m->claims);
}

static bool decode_without_headers(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	struct http_match *m = out;

	(void)arg;
	return decode_header_map(d, n, &without_rule, (named_list *)&m->without_headers,
				 (claim_list *)&m->without_claims);
}

static bool decode_query_params(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct string_match_rule rule = { 0 };
	named_list *list = out;
	bool ok = true;

	(void)arg;
	if (n->kind != NODE_MAPPING)
		return decode_error(d, n,
				    "must be a mapping of parameter names to conditions, found %s",
				    node_found(n));
	list->items = arena_array(d->arena, struct named_match, n->count + 1);
	for (size_t i = 0; i < n->count; i++) {
		struct named_match *m = &list->items[list->count++];
		size_t mark = decode_push_slice(d, n->pairs[i].key);

		*m = (struct named_match){ .name = n->pairs[i].key, .where = n->pairs[i].where };
		ok = decode_condition(d, &n->pairs[i], &rule, &m->value) && ok;
		decode_pop(d, mark);
	}
	return ok;
}

/* --- the item ------------------------------------------------------------------------------ */

/* A regex without metacharacters is most likely meant as something else (V42). */
static bool decode_uri(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct string_match *m = out;

	if (!vs_decode_string_match(d, n, out, arg))
		return false;
	if (m->kind != MATCH_REGEX)
		return true;
	for (size_t i = 0; i < m->text.len; i++)
		if (strchr(".*+?()[]{}|^$\\", m->text.at[i]) != NULL)
			return true;
	decode_warning(d, n,
		       "regex \"%.*s\" has to match the whole path, so it equals exact; "
		       "write %.*s.* for everything that begins with it",
		       SLICE_ARG(m->text), SLICE_ARG(m->text));
	return true;
}

static const struct field match_fields[] = {
	FIELD(struct http_match, "name", name, decode_string, FIELD_OPTIONAL),
	FIELD_ARG(struct http_match, "uri", uri, decode_uri, FIELD_OPTIONAL, &uri_rule),
	FIELD(struct http_match, "ignoreUriCase", ignore_uri_case, decode_bool, FIELD_OPTIONAL),
	FIELD(struct http_match, "scheme", scheme, vs_decode_string_match, FIELD_OPTIONAL),
	FIELD(struct http_match, "method", method, vs_decode_string_match, FIELD_OPTIONAL),
	FIELD(struct http_match, "authority", authority, vs_decode_string_match, FIELD_OPTIONAL),
	{ "headers",		decode_headers,		0, FIELD_OPTIONAL, NULL },
	{ "withoutHeaders",	decode_without_headers,	0, FIELD_OPTIONAL, NULL },
	FIELD(struct http_match, "queryParams", query_params, decode_query_params, FIELD_OPTIONAL),
	FIELD(struct http_match, "port", port, vs_decode_match_port, FIELD_OPTIONAL),
	FIELD(struct http_match, "sourceLabels", source_labels, decode_labels, FIELD_OPTIONAL),
	FIELD(struct http_match, "sourceNamespace", source_namespace, vs_decode_namespace,
	      FIELD_OPTIONAL),
	FIELD(struct http_match, "gateways", gateways, vs_decode_gateways, FIELD_OPTIONAL),
	FIELD(struct http_match, "statPrefix", stat_prefix, decode_string, FIELD_OPTIONAL),
	FIELDS_END
};

bool vs_decode_http_matches(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	LIST(struct http_match) *list = out;
	bool ok = true;

	(void)arg;
	if (!decode_is_list(d, n, 0))
		return false;
	list->items = arena_array(d->arena, struct http_match, n->count + 1);
	list->count = n->count;
	for (size_t i = 0; i < n->count; i++) {
		size_t mark = decode_push_index(d, i);

		list->items[i].where = n->items[i]->where;
		if (n->items[i]->kind != NODE_NULL)
			ok = decode_mapping(d, n->items[i], match_fields, &list->items[i]) && ok;
		decode_pop(d, mark);
	}
	return ok;
}

bool http_match_is_catch_all(const struct http_match *m)
{
	const struct string_match *u = &m->uri;
	bool any_path = u->kind == MATCH_UNSET || u->kind == MATCH_PRESENT ||
			(u->kind == MATCH_PREFIX && slice_eq(u->text, SLICE("/"))) ||
			(u->kind == MATCH_REGEX && slice_eq(u->text, SLICE(".*")));

	return any_path && m->headers.count == 0 && m->without_headers.count == 0 &&
	       m->query_params.count == 0 && m->method.kind == MATCH_UNSET &&
	       m->scheme.kind == MATCH_UNSET && m->authority.kind == MATCH_UNSET &&
	       m->claims.count == 0 && m->without_claims.count == 0;
}
