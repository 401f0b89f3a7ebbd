/* SPDX-License-Identifier: Apache-2.0
 *
 * The document as a whole: hosts, gateways and which kinds of routes go together (spec 2.1,
 * V01-V17). */
#include "common/resource/virtual_service_priv.h"

#include <stdlib.h>

#include "sallyport/hostname.h"

typedef LIST(struct located_slice) host_list;

static bool decode_host_list(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	host_list *hosts = out;
	bool ok = decode_string_list(d, n, hosts, arg);

	for (size_t i = 0; i < hosts->count; i++) {
		struct slice *host = &hosts->items[i].text;

		if (host->at != NULL)
			*host = hostname_normalise(d->arena, *host);
	}
	return ok;
}

static bool decode_http(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct http_route), vs_decode_http_route,
					       NULL, 0 };

	(void)arg;
	return decode_list(d, n, out, &row);
}

static bool decode_l4(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct decode_list row = { sizeof(struct l4_route), vs_decode_l4_route, arg, 0 };

	return decode_list(d, n, out, &row);
}

static const struct field spec_fields[] = {
	FIELD(struct virtual_service, "hosts", hosts, decode_host_list, FIELD_OPTIONAL),
	FIELD_ARG(struct virtual_service, "gateways", gateways, vs_decode_gateways, FIELD_OPTIONAL, "spec"),
	FIELD(struct virtual_service, "http", http, decode_http, FIELD_OPTIONAL),
	FIELD_ARG(struct virtual_service, "tls", tls, decode_l4, FIELD_OPTIONAL, "tls"),
	FIELD(struct virtual_service, "tcp", tcp, decode_l4, FIELD_OPTIONAL),
	FIELD(struct virtual_service, "exportTo", export_to, decode_export_to, FIELD_OPTIONAL),
	FIELDS_END
};

/* --- hosts --------------------------------------------------------------------------------- */

/* outbound_.80_._.reviews.default.svc: parts between underscores, a numeric port, a host with
 * letters. */
static bool is_mesh_gateway_host(struct slice host)
{
	struct slice rest = host, parts[4];
	uint64_t port;

	for (size_t i = 0; i < 3; i++) {
		parts[i] = slice_cut(&rest, '_');
		if (rest.at == NULL)
			return false;
	}
	parts[3] = rest;
	if (!slice_eq(parts[0], SLICE("outbound")))
		return false;
	/* Each of the middle parts stands between dots: ".80." and ".subset.". */
	while (parts[1].len > 0 && parts[1].at[0] == '.')
		parts[1] = slice_from(parts[1], 1);
	while (parts[1].len > 0 && parts[1].at[parts[1].len - 1] == '.')
		parts[1].len--;
	if (!slice_to_u64(parts[1], &port) || port == 0 || port > 65535)
		return false;
	for (size_t i = 0; i < parts[3].len; i++)
		if (ascii_is_letter(parts[3].at[i]))
			return true;
	return false;
}

static bool check_host(struct decoder *d, const struct located_slice *host, bool mesh,
		       bool outbound_allowed)
{
	const char *problem;

	if (host->text.len == 0)
		return decode_problem(d, SEVERITY_ERROR, host->where, "an empty host");
	if (slice_eq(host->text, SLICE("*")) && mesh)
		return decode_problem(d, SEVERITY_ERROR, host->where,
				      "\"*\" needs a gateway-only VirtualService: "
				      "name the Gateway in gateways, without mesh");
	if (hostname_is_ip(host->text))
		return true;
	if (outbound_allowed && slice_starts(host->text, SLICE("outbound_")))
		return is_mesh_gateway_host(host->text) ||
		       decode_problem(d, SEVERITY_ERROR, host->where,
				      "invalid host \"%.*s\", write "
				      "outbound_.PORT_.SUBSET_.HOST",
				      SLICE_ARG(host->text));
	problem = hostname_wildcard_problem(host->text);
	return problem == NULL || decode_problem(d, SEVERITY_ERROR, host->where, "host \"%.*s\" %s",
						 SLICE_ARG(host->text), problem);
}

static int compare_hosts(const void *left, const void *right)
{
	const struct located_slice *a = left, *b = right;

	return slice_cmp(a->text, b->text);
}

static bool overlap(struct decoder *d, const struct located_slice *a, const struct located_slice *b)
{
	const struct located_slice *later = a->where.line > b->where.line ||
		(a->where.line == b->where.line && a->where.column > b->where.column) ? a : b;
	const struct located_slice *earlier = later == a ? b : a;

	return decode_problem(d, SEVERITY_ERROR, later->where,
			      "overlapping hosts: \"%.*s\" and \"%.*s\" of line %u",
			      SLICE_ARG(later->text), SLICE_ARG(earlier->text),
			      earlier->where.line);
}

/* V08, with all hosts valid. Only equal names and wildcards can overlap, so the names are sorted
 * and each wildcard looks at all of them. */
static bool check_overlaps(struct decoder *d, const struct virtual_service *vs)
{
	size_t count = vs->hosts.count;
	struct located_slice *sorted = arena_array(d->arena, struct located_slice, count + 1);
	bool ok = true;

	if (count > 0)
		memcpy(sorted, vs->hosts.items, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_hosts);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && slice_eq(sorted[i - 1].text, sorted[i].text))
			ok = overlap(d, &sorted[i - 1], &sorted[i]);
		if (!hostname_is_wild(sorted[i].text))
			continue;
		for (size_t j = 0; j < count; j++)
			if (!slice_eq(sorted[i].text, sorted[j].text) &&
			    hostname_subset(sorted[j].text, sorted[i].text))
				ok = overlap(d, &sorted[i], &sorted[j]);
	}
	return ok;
}

static bool has_sni_hosts(const struct virtual_service *vs)
{
	for (size_t i = 0; i < vs->tls.count; i++)
		for (size_t j = 0; j < vs->tls.items[i].match.count; j++)
			if (vs->tls.items[i].match.items[j].sni_hosts.count > 0)
				return true;
	return false;
}

static bool check_hosts(struct decoder *d, const struct virtual_service *vs, bool mesh)
{
	bool outbound_allowed = !mesh && has_sni_hosts(vs), ok = true;
	size_t mark = decode_push(d, "hosts");

	for (size_t i = 0; i < vs->hosts.count; i++) {
		size_t inner = decode_push_index(d, i);

		ok = check_host(d, &vs->hosts.items[i], mesh, outbound_allowed) && ok;
		decode_pop(d, inner);
	}
	ok = ok && check_overlaps(d, vs);
	decode_pop(d, mark);
	return ok;
}

/* --- the document -------------------------------------------------------------------------- */

static bool names_mesh(const struct virtual_service *vs)
{
	for (size_t i = 0; i < vs->gateways.count; i++)
		if (vs->gateways.items[i].mesh)
			return true;
	return vs->gateways.count == 0;
}

/* Omitted is [mesh]; so nothing at an edge would ever use the document. */
static void default_gateways(struct decoder *d, struct virtual_service *vs)
{
	if (vs->gateways.count > 0)
		return;
	vs->gateways.items = arena_new(d->arena, struct gateway_ref);
	vs->gateways.items[0] = (struct gateway_ref){ .mesh = true, .where = vs->where };
	vs->gateways.count = 1;
}

static bool list_written(const struct node *spec, const char *key)
{
	const struct node *list = node_get(spec, key);

	return list != NULL && list->count > 0;
}

static bool check_delegate(struct decoder *d, const struct node *spec)
{
	bool ok = true;

	if (list_written(spec, "gateways"))
		ok = decode_error(d, node_get(spec, "gateways"),
				  "without hosts this is a delegate, which must not "
				  "name gateways");
	if (list_written(spec, "tls"))
		ok = decode_error(d, node_get(spec, "tls"),
				  "without hosts this is a delegate, which must not have "
				  "tls routes");
	if (list_written(spec, "tcp"))
		ok = decode_error(d, node_get(spec, "tcp"),
				  "without hosts this is a delegate, which must not have "
				  "tcp routes");
	return ok;
}

/* gateways of a match only narrow those of the document (4.1). */
static void check_narrowing(struct decoder *d, const struct virtual_service *vs,
			    const struct gateway_ref *items, size_t count, const char *kind, size_t route,
			    size_t match)
{
	size_t mark;

	for (size_t i = 0; i < count; i++)
		if ((items[i].name.at == NULL && !items[i].mesh) ||
		    gateway_refs_name(vs->gateways.items, vs->gateways.count, items[i].ns, items[i].name))
			return;
	if (count == 0)
		return;
	mark = decode_push(d, kind);
	decode_push_index(d, route);
	decode_push(d, "match");
	decode_push_index(d, match);
	decode_problem(d, SEVERITY_WARNING, items[0].where, "never used: none of these gateways is among those "
		       "of the VirtualService, which they can only narrow");
	decode_pop(d, mark);
}

#define CHECK_NARROWING(d, vs, kind) \
	for (size_t i = 0; i < (vs)->kind.count; i++) \
		for (size_t j = 0; j < (vs)->kind.items[i].match.count; j++) \
			check_narrowing(d, vs, (vs)->kind.items[i].match.items[j].gateways.items, \
					(vs)->kind.items[i].match.items[j].gateways.count, #kind, i, j)

static void check_match_gateways(struct decoder *d, const struct virtual_service *vs)
{
	CHECK_NARROWING(d, vs, http);
	CHECK_NARROWING(d, vs, tls);
	CHECK_NARROWING(d, vs, tcp);
}

static void check_document(struct decoder *d, const struct node *spec, struct virtual_service *vs)
{
	bool is_delegate = !list_written(spec, "hosts"), mesh = names_mesh(vs);
	size_t mark;

	if (!list_written(spec, "http") && !list_written(spec, "tls") && !list_written(spec, "tcp"))
		decode_error(d, spec, "no routes: give http, tls or tcp");
	if (is_delegate) {
		check_delegate(d, spec);
	} else if (!check_hosts(d, vs, mesh)) {
		/* What is compared with the hosts would only repeat their problems. */
	} else {
		vs_l4_routes_check(d, vs);
	}
	mark = decode_push(d, "http");
	vs_http_routes_check(d, vs, is_delegate, !mesh);
	decode_pop(d, mark);
	if (!is_delegate && mesh &&
	    (vs->gateways.count == 0 || (vs->gateways.count == 1 && vs->gateways.items[0].mesh)))
		decode_warning(d, node_has(spec, "gateways") ? node_get(spec, "gateways") : spec,
			       "has no effect at the edge: no Gateway is named in gateways");
	if (is_delegate)
		return;
	if (vs->gateways.count > 0)
		check_match_gateways(d, vs);
	default_gateways(d, vs);
}

struct virtual_service *virtual_service_decode(struct decoder *d, const struct node *spec,
					       const struct meta *meta)
{
	struct virtual_service *vs = arena_new(d->arena, struct virtual_service);

	vs->meta = meta;
	vs->where = meta->where;
	meta_check_annotations(d, meta);
	if (spec == NULL || spec->kind == NODE_NULL) {
		decode_error(d, spec,
			     "is missing: a VirtualService needs hosts, gateways and http");
		return vs;
	}
	decode_mapping(d, spec, spec_fields, vs);
	if (spec->kind != NODE_MAPPING)
		return vs;
	check_document(d, spec, vs);
	virtual_service_check_reach(d, vs);
	return vs;
}
