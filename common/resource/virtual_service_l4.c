/* SPDX-License-Identifier: Apache-2.0
 *
 * tls[] and tcp[]: routes of connections (spec 2.11, 10, 11, V120-V128). */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/cidr.h"
#include "sallyport/hostname.h"

/* Istio's gateways never look at these. */
static void warn_not_evaluated(struct decoder *d, const struct node *n)
{
	decode_warning(d, n,
		       "is not evaluated at a gateway; for rules on the source write an "
		       "AuthorizationPolicy");
}

static bool decode_subnet(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct located_slice *l = out;
	struct cidr cidr;

	l->where = n->where;
	if (!decode_string(d, n, &l->text, arg))
		return false;
	return cidr_parse(l->text, &cidr) ||
	       decode_error(d, n, "\"%.*s\" is neither an address nor a block such as 10.0.0.0/8",
			    SLICE_ARG(l->text));
}

static bool decode_subnets(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct located_slice), decode_subnet, NULL,
					       0 };

	(void)arg;
	warn_not_evaluated(d, n);
	return decode_list(d, n, out, &row);
}

static bool decode_source_subnet(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	struct located_slice subnet;

	warn_not_evaluated(d, n);
	if (!decode_subnet(d, n, &subnet, arg))
		return false;
	*(struct slice *)out = subnet.text;
	return true;
}

static bool decode_source_labels(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	warn_not_evaluated(d, n);
	return decode_labels(d, n, out, arg);
}

static bool decode_source_namespace(struct decoder *d, const struct node *n, void *out,
				    const void *arg)
{
	warn_not_evaluated(d, n);
	return vs_decode_namespace(d, n, out, arg);
}

static bool check_sni_host(struct decoder *d, const struct node *n, struct slice host)
{
	const char *problem = NULL;

	if (host.len == 0)
		return decode_error(d, n, "an empty SNI host");
	if (hostname_is_ip(host)) {
		decode_warning(d, n, "\"%.*s\" is an address: clients never send one as SNI",
			       SLICE_ARG(host));
		return true;
	}
	/* outbound_.80_._.host addresses a mesh gateway. */
	if (!slice_starts(host, SLICE("outbound_")))
		problem = hostname_wildcard_problem(host);
	if (problem != NULL)
		return decode_error(d, n, "SNI host \"%.*s\" %s", SLICE_ARG(host), problem);
	if (hostname_is_wild(host) && host.len > 1 && host.at[1] != '.')
		return decode_error(
			d, n, "\"%.*s\": a wildcard stands for whole labels, write *.example.com",
			SLICE_ARG(host));
	return true;
}

/* Stays absent where it is wrong: nothing more is said of it. */
static bool decode_sni_host(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct located_slice *l = out;
	struct slice host;

	l->where = n->where;
	if (!decode_string(d, n, &host, arg) || !check_sni_host(d, n, host))
		return false;
	l->text = hostname_normalise(d->arena, host);
	return true;
}

static bool decode_sni_hosts(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct located_slice), decode_sni_host, NULL,
					       0 };

	(void)arg;
	if (!decode_list(d, n, out, &row))
		return false;
	return n->count > 0 || decode_error(d, n, "no SNI hosts");
}

#define L4_MATCH_ROWS \
	FIELD(struct l4_match, "port", port, vs_decode_match_port, FIELD_OPTIONAL), \
	FIELD(struct l4_match, "gateways", gateways, vs_decode_gateways, FIELD_OPTIONAL), \
	FIELD(struct l4_match, "destinationSubnets", destination_subnets, decode_subnets, \
	      FIELD_OPTIONAL), \
	FIELD(struct l4_match, "sourceLabels", source_labels, decode_source_labels, \
	      FIELD_OPTIONAL), \
	FIELD(struct l4_match, "sourceNamespace", source_namespace, decode_source_namespace, \
	      FIELD_OPTIONAL)

static const struct field tls_match_fields[] = {
	FIELD(struct l4_match, "sniHosts", sni_hosts, decode_sni_hosts, FIELD_REQUIRED),
	L4_MATCH_ROWS,
	FIELDS_END
};

static const struct field tcp_match_fields[] = {
	L4_MATCH_ROWS,
	FIELD(struct l4_match, "sourceSubnet", source_subnet, decode_source_subnet, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_l4_match(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct l4_match *m = out;

	m->where = n->where;
	return decode_mapping(d, n, arg, m);
}

static bool decode_tls_matches(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct l4_match), decode_l4_match,
					       tls_match_fields, 0 };

	(void)arg;
	if (!decode_list(d, n, out, &row))
		return false;
	return n->count > 0 || decode_error(d, n, "no match: a tls route needs sniHosts");
}

static bool decode_tcp_matches(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct l4_match), decode_l4_match,
					       tcp_match_fields, 0 };

	(void)arg;
	return decode_list(d, n, out, &row);
}

static bool decode_l4_destinations(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	if (!vs_decode_route_destinations(d, n, out, arg))
		return false;
	return n->count > 0 || decode_error(d, n, "no destination");
}

static const struct field tls_route_fields[] = {
	FIELD(struct l4_route, "match",	match,	decode_tls_matches,	FIELD_REQUIRED),
	FIELD(struct l4_route, "route",	route,	decode_l4_destinations,	FIELD_REQUIRED),
	FIELDS_END
};

static const struct field tcp_route_fields[] = {
	FIELD(struct l4_route, "match",	match,	decode_tcp_matches,	FIELD_OPTIONAL),
	FIELD(struct l4_route, "route",	route,	decode_l4_destinations,	FIELD_REQUIRED),
	FIELDS_END
};

bool vs_decode_l4_route(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct l4_route *r = out;

	r->where = n->where;
	return decode_mapping(d, n, arg != NULL ? tls_route_fields : tcp_route_fields, r);
}

static bool is_covered(const struct virtual_service *vs, struct slice sni)
{
	for (size_t i = 0; i < vs->hosts.count; i++)
		if (hostname_subset(sni, vs->hosts.items[i].text))
			return true;
	return false;
}

static bool check_sni_hosts(struct decoder *d, const struct virtual_service *vs,
			    const struct l4_match *m)
{
	bool ok = true;

	for (size_t i = 0; i < m->sni_hosts.count; i++) {
		const struct located_slice *sni = &m->sni_hosts.items[i];

		if (sni->text.at != NULL && !is_covered(vs, sni->text))
			ok = decode_problem(d, SEVERITY_ERROR, sni->where,
					    "sniHosts: \"%.*s\" is not within the hosts "
					    "of this VirtualService",
					    SLICE_ARG(sni->text));
	}
	return ok;
}

bool vs_l4_routes_check(struct decoder *d, const struct virtual_service *vs)
{
	bool ok = true;

	for (size_t i = 0; i < vs->tls.count; i++)
		for (size_t j = 0; j < vs->tls.items[i].match.count; j++) {
			size_t mark = decode_push(d, "tls");

			decode_push_index(d, i);
			decode_push(d, "match");
			decode_push_index(d, j);
			ok = check_sni_hosts(d, vs, &vs->tls.items[i].match.items[j]) && ok;
			decode_pop(d, mark);
		}
	return ok;
}
