/* SPDX-License-Identifier: Apache-2.0
 *
 * Kubernetes' Service: ports, selector and aliases (spec/service-entry.md 5.1, 6.5; README.md D2). */
#include "sallyport/resource/service.h"

#include "sallyport/hostname.h"
#include "sallyport/object.h"

#define PORTS_MAX		1000u
#define TARGET_NAME_MAX		15u

/* --- ports --------------------------------------------------------------------------------- */

/* What a port says before its protocol is guessed. */
struct written_port {
	struct kube_port port;
	struct slice protocol, app_protocol;
};

static bool decode_name(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *name = out;

	if (!decode_string(d, n, name, arg))
		return false;
	if (name->len > 0 && !hostname_is_dns1123_label(*name))
		return decode_error(d, n, "bad port name \"%.*s\": lower-case letters, digits and - up to 63 "
				    "characters", SLICE_ARG(*name));
	return true;
}

static bool decode_target(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct written_port *w = out;
	struct slice text;
	uint64_t number;
	bool is_number;

	if (!decode_int_or_string(d, n, &text, arg))
		return false;
	is_number = slice_to_u64(text, &number);
	if (is_number && (number == 0 || number > 65535))
		return decode_error(d, n, "targetPort %.*s is out of range 1..65535", SLICE_ARG(text));
	if (is_number) {
		w->port.target_port = (uint32_t)number;
		return true;
	}
	if (text.len > TARGET_NAME_MAX || !hostname_is_dns1123_label(text))
		return decode_error(d, n, "targetPort \"%.*s\" is neither a number nor a port name of up to %u "
				    "characters", SLICE_ARG(text), TARGET_NAME_MAX);
	w->port.target_name = text;
	return true;
}

static bool decode_transport(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const char *const names[] = { "TCP", "UDP", "SCTP", NULL };
	int ignored;

	(void)arg;
	*(struct slice *)out = n->text;
	return decode_enum(d, n, &ignored, names);
}

static const struct field port_fields[] = {
	FIELD(struct written_port, "name", port.name, decode_name, FIELD_OPTIONAL),
	FIELD(struct written_port, "port", port.number, decode_port, FIELD_REQUIRED),
	FIELD(struct written_port, "protocol", protocol, decode_transport, FIELD_OPTIONAL),
	FIELD(struct written_port, "appProtocol", app_protocol, decode_string, FIELD_OPTIONAL),
	{ "targetPort", decode_target, 0, FIELD_OPTIONAL, NULL },
	{ "nodePort", decode_ignored, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

static bool decode_kube_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct written_port w = { .port = { .where = n->where, .name = SLICE("") } };
	struct kube_port *p = out;
	bool ok = decode_mapping(d, n, arg, &w);

	*p = w.port;
	p->protocol = service_protocol_guess(w.protocol, w.app_protocol, p->name, p->number);
	return ok;
}

/* --- document ------------------------------------------------------------------------------ */

struct written_service {
	struct service *service;
	LIST(struct kube_port) ports;
	LIST(struct string_entry) selector;
	struct slice cluster_ip, external_name, traffic_distribution;
	int type, internal_policy;
};

enum service_type { TYPE_CLUSTER_IP, TYPE_NODE_PORT, TYPE_LOAD_BALANCER, TYPE_EXTERNAL_NAME };

static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", NULL };
static const char *const policies[] = { "Cluster", "Local", NULL };
static const struct decode_list port_list = { sizeof(struct kube_port), decode_kube_port, port_fields, PORTS_MAX };

/* The rest of Kubernetes' fields: they steer clusters, not this edge. */
#define IGNORED(name) { name, decode_ignored, 0, FIELD_OPTIONAL, NULL }

static const struct field service_fields[] = {
	FIELD_ARG(struct written_service, "ports", ports, decode_list, FIELD_OPTIONAL, &port_list),
	FIELD(struct written_service, "selector", selector, decode_labels, FIELD_OPTIONAL),
	FIELD(struct written_service, "clusterIP", cluster_ip, decode_string, FIELD_OPTIONAL),
	FIELD_ARG(struct written_service, "type", type, decode_enum, FIELD_OPTIONAL, types),
	FIELD(struct written_service, "externalName", external_name, decode_string, FIELD_OPTIONAL),
	FIELD_ARG(struct written_service, "internalTrafficPolicy", internal_policy, decode_enum, FIELD_OPTIONAL,
		  policies),
	FIELD(struct written_service, "trafficDistribution", traffic_distribution, decode_string, FIELD_LATER),
	IGNORED("clusterIPs"), IGNORED("externalIPs"), IGNORED("sessionAffinity"),
	IGNORED("sessionAffinityConfig"), IGNORED("loadBalancerIP"), IGNORED("loadBalancerSourceRanges"),
	IGNORED("loadBalancerClass"), IGNORED("externalTrafficPolicy"), IGNORED("healthCheckNodePort"),
	IGNORED("publishNotReadyAddresses"), IGNORED("ipFamilies"), IGNORED("ipFamilyPolicy"),
	IGNORED("allocateLoadBalancerNodePorts"),
	FIELDS_END
};

static void check_ports(struct decoder *d, const struct service *s)
{
	for (size_t i = 0; i < s->ports.count; i++) {
		const struct kube_port *p = &s->ports.items[i];

		if (p->name.len == 0 && s->ports.count > 1)
			decode_problem_item(d, SEVERITY_ERROR, p->where, "ports", i, "name is required where there "
				       "are several ports");
		for (size_t j = 0; j < i; j++) {
			if (p->name.len > 0 && slice_eq(p->name, s->ports.items[j].name))
				decode_problem_item(d, SEVERITY_ERROR, p->where, "ports", i, "port name \"%.*s\" used "
					       "twice", SLICE_ARG(p->name));
			if (p->number == s->ports.items[j].number && p->number != 0 &&
			    (p->protocol == SERVICE_UDP) == (s->ports.items[j].protocol == SERVICE_UDP))
				decode_problem_item(d, SEVERITY_ERROR, p->where, "ports", i, "port %u used twice",
					       p->number);
		}
	}
}

static void read_alias(struct decoder *d, const struct node *spec, const struct written_service *w,
		       struct service *s)
{
	if (w->type != TYPE_EXTERNAL_NAME) {
		if (w->external_name.len > 0)
			decode_warning(d, node_get(spec, "externalName"), "externalName has no effect without "
				       "type: ExternalName");
		return;
	}
	if (w->external_name.len == 0)
		decode_error(d, spec, "type ExternalName needs externalName");
	else if (!hostname_is_domain(w->external_name) || hostname_is_ip(w->external_name))
		decode_error(d, node_get(spec, "externalName"), "externalName \"%.*s\" must be a host name",
			     SLICE_ARG(w->external_name));
	s->external_name = hostname_normalise(d->arena, w->external_name);
}

/* The annotation networking.istio.io/exportTo: a comma list of `.`, `*`, `~` and namespaces. */
static void read_visibility(struct decoder *d, const struct meta *m, struct service *s)
{
	struct slice rest = meta_annotation(m, "networking.istio.io/exportTo"), piece;
	size_t most = 1, path_len = d->path_len;

	for (size_t i = 0; i < rest.len; i++)
		most += rest.at[i] == ',';
	if (rest.at == NULL)
		return;
	s->export_to.items = arena_array(d->arena, struct located_slice, most);
	d->path_len = 0;	/* it is not of the spec */
	while (rest.at != NULL) {
		piece = slice_trim(slice_cut(&rest, ','));
		if (!slice_eq(piece, SLICE("*")) && !slice_eq(piece, SLICE(".")) &&
		    !slice_eq(piece, SLICE("~")) && !hostname_is_label(piece))
			decode_error(d, NULL, "annotation networking.istio.io/exportTo: bad value \"%.*s\", use "
				     "., *, ~ or a namespace", SLICE_ARG(piece));
		else
			s->export_to.items[s->export_to.count++] = (struct located_slice){ piece, m->where };
	}
	d->path_len = path_len;
}

static void check_meta(struct decoder *d, const struct meta *m)
{
	size_t path_len = d->path_len;

	d->path_len = 0;
	if (m->name.len > 0 && (!hostname_is_dns1123_label(m->name) ||
				ascii_is_digit(m->name.at[0])))
		decode_error(d, NULL, "service name \"%.*s\" must be a DNS label: lower-case letters, digits and -, "
			     "a letter first", SLICE_ARG(m->name));
	if (meta_annotation(m, "networking.istio.io/traffic-distribution").at != NULL)
		decode_warning(d, NULL, "annotation networking.istio.io/traffic-distribution " DECODE_NOT_OBEYED);
	d->path_len = path_len;
}

struct service *service_decode(struct decoder *d, const struct node *spec, const struct meta *meta)
{
	struct written_service w = { .type = TYPE_CLUSTER_IP };
	struct service *s = arena_new(d->arena, struct service);

	s->meta = meta;
	check_meta(d, meta);
	read_visibility(d, meta, s);
	if (spec == NULL) {
		decode_warning(d, NULL, "no ports: no route can reach this Service");
		return s;
	}
	if (!decode_mapping(d, spec, service_fields, &w) && spec->kind != NODE_MAPPING)
		return s;
	s->ports.items = w.ports.items;
	s->ports.count = w.ports.count;
	s->selector.items = w.selector.items;
	s->selector.count = w.selector.count;
	s->headless = slice_eq(w.cluster_ip, SLICE("None"));
	s->local_only = w.internal_policy == 1;
	if (s->local_only)
		decode_warning(d, node_get(spec, "internalTrafficPolicy"), "internalTrafficPolicy Local "
			       DECODE_NOT_OBEYED ": all endpoints are used");
	read_alias(d, spec, &w, s);
	check_ports(d, s);
	if (s->ports.count == 0 && !s->headless && w.type != TYPE_EXTERNAL_NAME)
		decode_warning(d, spec, "no ports: no route can reach this Service");
	return s;
}
