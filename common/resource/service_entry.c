/* SPDX-License-Identifier: Apache-2.0
 *
 * ServiceEntry: hosts, ports and endpoints that documents declare (spec/service-entry.md 2, 6.1, 6.2). */
#include "sallyport/resource/service_entry.h"

#include "common/resource/workload_priv.h"
#include "sallyport/cidr.h"
#include "sallyport/hostname.h"
#include "sallyport/object.h"

#define HOSTS_MAX	256u
#define ADDRESSES_MAX	256u
#define ADDRESS_MAX	64u
#define PORTS_MAX	256u
#define ENDPOINTS_MAX	4096u

static const char *const resolutions[] = { "NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS", NULL };

/* --- protocols (9) ------------------------------------------------------------------------- */

static const struct { const char *name; enum service_protocol protocol; } protocols[] = {
	{ "", SERVICE_AUTO }, { "HTTP", SERVICE_HTTP }, { "HTTP_PROXY", SERVICE_HTTP_PROXY },
	{ "HTTP2", SERVICE_HTTP2 }, { "GRPC", SERVICE_GRPC }, { "GRPC-Web", SERVICE_GRPC_WEB },
	{ "HTTPS", SERVICE_HTTPS }, { "TLS", SERVICE_TLS }, { "TCP", SERVICE_TCP }, { "UDP", SERVICE_UDP },
	{ "MONGO", SERVICE_MONGO }, { "REDIS", SERVICE_REDIS }, { "MYSQL", SERVICE_MYSQL },
};

/* By its name (9.1, any case); false: unknown. "" is SERVICE_AUTO. */
static bool protocol_parse(struct slice s, enum service_protocol *out)
{
	for (size_t i = 0; i < COUNT_OF(protocols); i++) {
		if (!slice_eq_nocase(s, slice_of(protocols[i].name)))
			continue;
		*out = protocols[i].protocol;
		return true;
	}
	return false;
}

/* A port name, or an appProtocol that is none of Kubernetes' own. */
static enum service_protocol by_name(struct slice name, uint32_t number)
{
	enum service_protocol p;
	struct slice prefix = name;

	if (slice_starts_nocase(name, SLICE("grpc-web")))
		return SERVICE_GRPC_WEB;
	if (name.at != NULL && protocol_parse(slice_cut(&prefix, '-'), &p) && p != SERVICE_AUTO)
		return p;
	return number == 25 || number == 53 || number == 3306 || number == 27017 ? SERVICE_TCP : SERVICE_AUTO;
}

enum service_protocol service_protocol_guess(struct slice protocol, struct slice app_protocol,
					     struct slice name, uint32_t number)
{
	if (slice_eq(protocol, SLICE("UDP")))
		return SERVICE_UDP;
	if (app_protocol.len == 0)
		return by_name(name, number);
	if (slice_eq(app_protocol, SLICE("kubernetes.io/h2c")))
		return SERVICE_HTTP2;
	if (slice_eq(app_protocol, SLICE("kubernetes.io/ws")))
		return SERVICE_HTTP;
	if (slice_eq(app_protocol, SLICE("kubernetes.io/wss")))
		return SERVICE_HTTPS;
	return by_name(app_protocol, number);
}

bool service_protocol_is_http2(enum service_protocol p)
{
	return p == SERVICE_HTTP2 || p == SERVICE_GRPC || p == SERVICE_GRPC_WEB;
}

static bool is_http(enum service_protocol p)
{
	return p >= SERVICE_HTTP && p <= SERVICE_GRPC_WEB;
}

static bool is_tls(enum service_protocol p)
{
	return p == SERVICE_HTTPS || p == SERVICE_TLS;
}

/* --- fields -------------------------------------------------------------------------------- */

static bool decode_host(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct located_slice *h = out;
	const char *problem;

	h->where = n->where;
	if (!decode_string(d, n, &h->text, arg))
		return false;
	problem = slice_eq(h->text, SLICE("*")) ? "is not allowed here: name the host or *.domain" :
		  hostname_wildcard_problem(h->text);
	if (problem != NULL) {
		decode_error(d, n, "\"%.*s\" %s", SLICE_ARG(h->text), problem);
		h->text = NO_SLICE;
		return false;
	}
	if (slice_find(h->text, '.') < 0)
		decode_warning(d, n, "\"%.*s\" is not expanded: a route to %.*s means %.*s.<namespace>.svc."
			       "cluster.local; write that name here", SLICE_ARG(h->text), SLICE_ARG(h->text),
			       SLICE_ARG(h->text));
	h->text = hostname_normalise(d->arena, h->text);
	return true;
}

static bool decode_virtual_ip(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct located_slice *a = out;
	struct cidr block;

	a->where = n->where;
	if (!decode_string(d, n, &a->text, arg))
		return false;
	if (a->text.len <= ADDRESS_MAX && cidr_parse(a->text, &block))
		return true;
	return decode_error(d, n, slice_find(a->text, '/') >= 0 ? "\"%.*s\" is not a valid CIDR block" :
			    "\"%.*s\" is not a valid IP", SLICE_ARG(a->text));
}

static bool decode_port_name(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *name = out;

	if (!decode_string(d, n, name, arg))
		return false;
	if (!hostname_is_dns1123_label(*name))
		return decode_error(d, n, "invalid port name \"%.*s\": lower-case letters, digits and - up to "
				    "63 characters", SLICE_ARG(*name));
	return true;
}

static bool decode_protocol(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	enum service_protocol *p = out;
	const char *names[COUNT_OF(protocols)], *near;
	struct slice text;

	if (!decode_string(d, n, &text, arg))
		return false;
	if (protocol_parse(text, p))
		return true;
	for (size_t i = 1; i < COUNT_OF(protocols); i++)
		names[i - 1] = protocols[i].name;
	names[COUNT_OF(protocols) - 1] = NULL;
	near = nearest_name(text, names);
	return decode_error(d, n, "unsupported protocol \"%.*s\"%s%s%s", SLICE_ARG(text),
			    near != NULL ? ", did you mean \"" : "", near != NULL ? near : "",
			    near != NULL ? "\"?" : "");
}

static const struct field port_fields[] = {
	FIELD(struct service_port, "number", number, decode_port, FIELD_REQUIRED),
	FIELD(struct service_port, "name", name, decode_port_name, FIELD_REQUIRED),
	FIELD(struct service_port, "protocol", protocol, decode_protocol, FIELD_OPTIONAL),
	FIELD(struct service_port, "targetPort", target_port, decode_port, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_service_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	((struct service_port *)out)->where = n->where;
	return decode_mapping(d, n, arg, out);
}

static bool decode_endpoint(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct workload *w = out;
	bool ok = decode_workload(d, n, w, arg);

	if (n->kind != NODE_MAPPING)
		return false;
	return workload_check_address(d, n, w) && ok;
}

static bool decode_location(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const char *const names[] = { "MESH_EXTERNAL", "MESH_INTERNAL", NULL };
	int value = 0;

	(void)arg;
	if (!decode_enum(d, n, &value, names))
		return false;
	*(bool *)out = value == 1;
	return true;
}

static const struct field selector_fields[] = {
	FIELD(struct service_entry, "labels", selector, decode_labels, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_selector(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct service_entry *e = out;

	e->has_selector = true;
	if (!decode_mapping(d, n, arg, e))
		return false;
	if (e->selector.count == 0)
		decode_warning(d, n, "no labels: every WorkloadEntry of the namespace is selected");
	return true;
}

/* "~" alone hides the entry from everybody; all else is as in other kinds. */
static bool decode_visibility(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	bool nobody = false;

	for (size_t i = 0; n->kind == NODE_SEQUENCE && i < n->count; i++)
		nobody = nobody || (n->items[i]->kind == NODE_SCALAR && slice_eq(n->items[i]->text, SLICE("~")));
	if (!nobody)
		return decode_export_to(d, n, out, arg);
	if (n->count > 1)
		return decode_error(d, n, "cannot export service entry to no one (~) and someone");
	return decode_string_list(d, n, out, arg);
}

static const struct decode_list host_list = { sizeof(struct located_slice), decode_host, NULL, HOSTS_MAX };
static const struct decode_list address_list = { sizeof(struct located_slice), decode_virtual_ip, NULL,
						 ADDRESSES_MAX };
static const struct decode_list port_list = { sizeof(struct service_port), decode_service_port, port_fields,
					      PORTS_MAX };
static const struct decode_list endpoint_list = { sizeof(struct workload), decode_endpoint, NULL,
						  ENDPOINTS_MAX };

static const struct field entry_fields[] = {
	FIELD_ARG(struct service_entry, "hosts", hosts, decode_list, FIELD_REQUIRED, &host_list),
	FIELD_ARG(struct service_entry, "addresses", addresses, decode_list, FIELD_OPTIONAL, &address_list),
	FIELD_ARG(struct service_entry, "ports", ports, decode_list, FIELD_OPTIONAL, &port_list),
	FIELD(struct service_entry, "location", internal, decode_location, FIELD_OPTIONAL),
	FIELD_ARG(struct service_entry, "resolution", resolution, decode_enum, FIELD_OPTIONAL, resolutions),
	FIELD_ARG(struct service_entry, "endpoints", endpoints, decode_list, FIELD_OPTIONAL, &endpoint_list),
	{ "workloadSelector", decode_selector, 0, FIELD_OPTIONAL, selector_fields },
	FIELD(struct service_entry, "exportTo", export_to, decode_visibility, FIELD_OPTIONAL),
	FIELD(struct service_entry, "subjectAltNames", subject_alt_names, decode_string_list, FIELD_LATER),
	FIELDS_END
};

/* --- rules (6.1, 6.2) ---------------------------------------------------------------------- */

static bool is_dynamic(const struct service_entry *e)
{
	return e->resolution == RESOLUTION_DYNAMIC_DNS;
}

#define error_at(d, where, ...)	decode_problem((d), SEVERITY_ERROR, (where), __VA_ARGS__)
#define item_error(d, where, key, i, ...) \
	decode_problem_item((d), SEVERITY_ERROR, (where), (key), (i), __VA_ARGS__)
#define item_warning(d, where, key, i, ...) \
	decode_problem_item((d), SEVERITY_WARNING, (where), (key), (i), __VA_ARGS__)

static void check_hosts(struct decoder *d, const struct service_entry *e, const struct node *spec)
{
	for (size_t i = 0; i < e->hosts.count; i++) {
		struct slice host = e->hosts.items[i].text;
		struct where where = e->hosts.items[i].where;

		if (host.at == NULL)
			continue;
		if (is_dynamic(e) && !hostname_is_wild(host))
			item_error(d, where, "hosts", i, "host must be wildcarded for resolution mode DYNAMIC_DNS");
		if (hostname_is_wild(host) && !slice_starts(host, SLICE("*.")) && !is_dynamic(e))
			item_warning(d, where, "hosts", i, "partial wildcard \"%.*s\" not allowed: write *.domain", SLICE_ARG(host));
		if (resolution_is_dns(e->resolution) && e->endpoints.count == 0 && !e->has_selector && hostname_is_wild(host))
			item_error(d, where, "hosts", i, "wildcard \"%.*s\" cannot be resolved: name the host, or "
				 "give endpoints", SLICE_ARG(host));
	}
	if (e->hosts.count == 0 && node_get(spec, "hosts") != NULL &&
	    node_get(spec, "hosts")->kind == NODE_SEQUENCE && node_get(spec, "hosts")->count == 0)
		decode_error(d, node_get(spec, "hosts"), "service entry must have at least one host");
}

static void check_addresses(struct decoder *d, const struct service_entry *e)
{
	if (is_dynamic(e) && e->addresses.count > 0)
		error_at(d, e->addresses.items[0].where, "addresses cannot be set for resolution type "
			 "DYNAMIC_DNS");
	for (size_t i = 0; i < e->addresses.count && resolution_is_dns(e->resolution); i++)
		if (slice_find(e->addresses.items[i].text, '/') >= 0)
			item_error(d, e->addresses.items[i].where, "addresses", i, "CIDR addresses are allowed "
				 "only for NONE/STATIC resolution types");
}

static void check_port_twice(struct decoder *d, const struct service_entry *e, size_t i)
{
	const struct service_port *p = &e->ports.items[i];

	for (size_t j = 0; j < i; j++) {
		const struct service_port *before = &e->ports.items[j];

		if (p->number != 0 && p->number == before->number)
			item_error(d, p->where, "ports", i, "service entry port %u already defined in line %u",
				 p->number, before->where.line);
		if (p->name.len > 0 && slice_eq(p->name, before->name))
			item_error(d, p->where, "ports", i, "service entry port name \"%.*s\" already defined in "
				 "line %u", SLICE_ARG(p->name), before->where.line);
	}
}

static void check_ports(struct decoder *d, const struct service_entry *e)
{
	for (size_t i = 0; i < e->ports.count; i++) {
		const struct service_port *p = &e->ports.items[i];

		check_port_twice(d, e, i);
		if (is_dynamic(e) && p->protocol != SERVICE_HTTP && !service_protocol_is_http2(p->protocol) &&
		    p->protocol != SERVICE_TLS)
			item_error(d, p->where, "ports", i, "only HTTP, TLS, GRPC, and HTTP2 protocols are "
				 "supported for resolution type DYNAMIC_DNS");
		if (e->resolution != RESOLUTION_NONE && e->hosts.count > 1 && !is_http(p->protocol) &&
		    !is_tls(p->protocol))
			item_error(d, p->where, "ports", i, "multiple hosts provided with non-HTTP, non-TLS ports: "
				 "set protocol, or write one ServiceEntry a host");
		if (resolution_is_dns(e->resolution) && e->addresses.count > 0 && e->hosts.count > 1 && !is_http(p->protocol) &&
		    p->protocol != SERVICE_AUTO && p->protocol != SERVICE_UDP)
			item_warning(d, p->where, "ports", i, "service entry can not have more than one host "
				   "specified simultaneously with address and tcp port");
	}
}

static bool has_port_name(const struct service_entry *e, struct slice name)
{
	for (size_t i = 0; i < e->ports.count; i++)
		if (slice_eq(e->ports.items[i].name, name))
			return true;
	return false;
}

static void check_endpoint(struct decoder *d, const struct service_entry *e, const struct workload *w)
{
	bool is_socket = w->address_kind == ADDRESS_UNIX || w->address_kind == ADDRESS_ABSTRACT;

	if (e->resolution == RESOLUTION_STATIC && w->address_kind == ADDRESS_NAME)
		error_at(d, w->address_where, "address: endpoint address \"%.*s\" is not a valid IP address: with "
			 "a host name use resolution DNS", SLICE_ARG(w->address));
	if (e->resolution == RESOLUTION_STATIC && is_socket && e->ports.count != 1)
		error_at(d, w->address_where, "address: exactly 1 service port required for unix endpoints");
	if (resolution_is_dns(e->resolution) && is_socket)
		error_at(d, w->address_where, "address: endpoint address \"unix://%s%.*s\" is not a valid FQDN or "
			 "an IP address: with a socket use resolution STATIC",
			 w->address_kind == ADDRESS_ABSTRACT ? "@" : "", SLICE_ARG(w->address));
	for (size_t i = 0; i < w->ports.count; i++)
		if (!has_port_name(e, w->ports.items[i].name))
			error_at(d, w->ports.items[i].where, "ports: endpoint port \"%.*s\" is not defined by the "
				 "service entry", SLICE_ARG(w->ports.items[i].name));
}

static void check_endpoints(struct decoder *d, const struct service_entry *e, const struct node *spec)
{
	const struct node *list = node_get(spec, "endpoints");
	size_t mark, inner;

	if (e->endpoints.count == 0)
		return;
	if (e->has_selector)
		decode_error(d, list, "only one of workloadSelector or endpoints can be set");
	if (e->resolution == RESOLUTION_NONE)
		decode_error(d, list, "no endpoints should be provided for resolution type NONE: set "
			     "resolution STATIC or DNS");
	if (e->resolution == RESOLUTION_DNS_ROUND_ROBIN && e->endpoints.count > 1)
		decode_error(d, list, "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN");
	if (is_dynamic(e))
		decode_error(d, list, "endpoints cannot be set for resolution type DYNAMIC_DNS");
	mark = decode_push(d, "endpoints");
	for (size_t i = 0; i < e->endpoints.count; i++) {
		inner = decode_push_index(d, i);
		check_endpoint(d, e, &e->endpoints.items[i]);
		decode_pop(d, inner);
	}
	decode_pop(d, mark);
}

static void check_use(struct decoder *d, struct service_entry *e, const struct node *spec)
{
	const struct node *resolution = node_get(spec, "resolution");

	e->served = e->resolution != RESOLUTION_DYNAMIC_DNS;
	if (!e->served)
		decode_warning(d, resolution, "resolution %s " DECODE_NOT_OBEYED ": these hosts have no endpoints",
			       resolutions[e->resolution]);
	if (e->resolution == RESOLUTION_NONE && e->has_selector)
		decode_warning(d, node_get(spec, "workloadSelector"), "workloadSelector should not be set when "
			       "resolution mode is NONE");
	if (e->resolution == RESOLUTION_NONE && !e->has_selector && e->endpoints.count == 0)
		decode_warning(d, resolution != NULL ? resolution : spec, "resolution NONE has no endpoints at a "
			       "gateway: requests to these hosts get 503; set resolution DNS or STATIC");
}

static void check_annotations(struct decoder *d, const struct meta *m)
{
	static const char *const later[] = { "networking.istio.io/traffic-distribution",
					     "istio.io/connect-strategy" };
	size_t path_len = d->path_len;

	d->path_len = 0;
	for (size_t i = 0; i < COUNT_OF(later); i++)
		if (meta_annotation(m, later[i]).at != NULL)
			decode_warning(d, NULL, "annotation %s " DECODE_NOT_OBEYED, later[i]);
	d->path_len = path_len;
}

struct service_entry *service_entry_decode(struct decoder *d, const struct node *spec,
					   const struct meta *meta)
{
	struct service_entry *e = arena_new(d->arena, struct service_entry);
	size_t errors = d->problems->errors;

	e->meta = meta;
	check_annotations(d, meta);
	if (spec == NULL) {
		decode_error(d, NULL, "service entry must have at least one host");
		return e;
	}
	if (!decode_mapping(d, spec, entry_fields, e) && spec->kind != NODE_MAPPING)
		return e;
	check_hosts(d, e, spec);
	check_addresses(d, e);
	check_ports(d, e);
	check_endpoints(d, e, spec);
	if (d->problems->errors == errors)
		check_use(d, e, spec);
	return e;
}
