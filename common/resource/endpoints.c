/* SPDX-License-Identifier: Apache-2.0
 *
 * Kubernetes' Endpoints and EndpointSlice: where a Service's endpoints are (spec/service-entry.md
 * 5.2, 5.3). */
#include "sallyport/hostname.h"
#include "sallyport/resource/service.h"

#define ENDPOINTS_MAX	100000u	/* of one document */
#define PORTS_MAX	1000u

#define IGNORED(name) { name, decode_ignored, 0, FIELD_OPTIONAL, NULL }
#define ENVELOPE IGNORED("apiVersion"), IGNORED("kind"), IGNORED("metadata")

/* The list of either kind, filled one address at a time. */
struct endpoint_list {
	struct kube_endpoint *items;
	size_t count;
};

static bool decode_ip(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;

	if (!decode_string(d, n, s, arg))
		return false;
	if (!hostname_is_ip(*s))
		return decode_error(d, n, "\"%.*s\" is no IP address", SLICE_ARG(*s));
	return true;
}

static const struct field port_fields[] = {
	FIELD(struct endpoint_port, "name", name, decode_string, FIELD_OPTIONAL),
	FIELD(struct endpoint_port, "port", number, decode_port, FIELD_OPTIONAL),
	IGNORED("protocol"), IGNORED("appProtocol"),
	FIELDS_END
};

static bool decode_endpoint_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	((struct endpoint_port *)out)->name = SLICE("");
	return decode_mapping(d, n, arg, out);
}

static const struct decode_list port_list = { sizeof(struct endpoint_port), decode_endpoint_port, port_fields,
					      PORTS_MAX };

/* --- EndpointSlice ------------------------------------------------------------------------- */

struct condition {
	bool set, value;
};

struct written_endpoint {
	LIST(struct located_slice) addresses;
	struct condition ready, serving, terminating;
	struct slice zone, node_name;
};

static const struct decode_nullable nullable_bool = { decode_bool, 1, NULL };
_Static_assert(offsetof(struct condition, value) == 1, "nullable_bool writes behind the flag");

static const struct field condition_fields[] = {
	FIELD_ARG(struct written_endpoint, "ready", ready, decode_nullable, FIELD_OPTIONAL, &nullable_bool),
	FIELD_ARG(struct written_endpoint, "serving", serving, decode_nullable, FIELD_OPTIONAL, &nullable_bool),
	FIELD_ARG(struct written_endpoint, "terminating", terminating, decode_nullable, FIELD_OPTIONAL,
		  &nullable_bool),
	FIELDS_END
};

static const struct field endpoint_fields[] = {
	FIELD(struct written_endpoint, "addresses", addresses, decode_string_list, FIELD_REQUIRED),
	{ "conditions", decode_struct, 0, FIELD_OPTIONAL, condition_fields },
	FIELD(struct written_endpoint, "zone", zone, decode_string, FIELD_OPTIONAL),
	FIELD(struct written_endpoint, "nodeName", node_name, decode_string, FIELD_OPTIONAL),
	IGNORED("hostname"), IGNORED("targetRef"), IGNORED("hints"), IGNORED("deprecatedTopology"),
	FIELDS_END
};

static bool decode_written(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	return decode_mapping(d, n, arg, out);
}

static const struct decode_list endpoint_list = { sizeof(struct written_endpoint), decode_written,
						  endpoint_fields, ENDPOINTS_MAX };

static const char *const address_types[] = { "IPv4", "IPv6", "FQDN", NULL };

struct written_slice {
	int address_type;
	LIST(struct endpoint_port) ports;
	LIST(struct written_endpoint) endpoints;
};

static const struct field slice_fields[] = {
	ENVELOPE,
	FIELD_ARG(struct written_slice, "addressType", address_type, decode_enum, FIELD_REQUIRED, address_types),
	FIELD_ARG(struct written_slice, "ports", ports, decode_list, FIELD_OPTIONAL, &port_list),
	FIELD_ARG(struct written_slice, "endpoints", endpoints, decode_list, FIELD_OPTIONAL, &endpoint_list),
	FIELDS_END
};

/* Not ready and (nil or true) terminating: gone. Not ready and not terminating: there, unhealthy. */
static bool is_terminating(const struct written_endpoint *w)
{
	return w->ready.set && !w->ready.value && (!w->terminating.set || w->terminating.value);
}

static void add_addresses(struct decoder *d, const struct written_endpoint *w, struct endpoint_list *out)
{
	for (size_t i = 0; i < w->addresses.count; i++) {
		struct located_slice a = w->addresses.items[i];

		if (a.text.at == NULL)
			continue;
		if (!hostname_is_ip(a.text)) {
			decode_problem(d, SEVERITY_ERROR, a.where, "endpoints: \"%.*s\" is no IP address",
				       SLICE_ARG(a.text));
			continue;
		}
		if (is_terminating(w))
			continue;
		out->items[out->count++] = (struct kube_endpoint){
			.where = a.where, .address = a.text, .zone = w->zone, .node_name = w->node_name,
			.health = w->ready.set && !w->ready.value ? ENDPOINT_UNHEALTHY : ENDPOINT_HEALTHY,
		};
	}
}

struct endpoint_slice *endpoint_slice_decode(struct decoder *d, const struct node *root,
					     const struct meta *meta)
{
	struct endpoint_slice *s = arena_new(d->arena, struct endpoint_slice);
	struct written_slice w = { 0 };
	struct endpoint_list list = { 0 };
	size_t most = 0;

	s->meta = meta;
	s->service = meta_label(meta, "kubernetes.io/service-name");
	decode_mapping(d, root, slice_fields, &w);
	s->ports.items = w.ports.items;
	s->ports.count = w.ports.count;
	if (s->service.len == 0)
		decode_warning(d, root, "no label kubernetes.io/service-name: it belongs to no Service and is "
			       "ignored");
	if (w.address_type == 2) {
		decode_warning(d, node_get(root, "addressType"), "addressType FQDN is ignored: write a "
			       "ServiceEntry with resolution DNS");
		return s;
	}
	for (size_t i = 0; i < w.endpoints.count; i++)
		most += w.endpoints.items[i].addresses.count;
	list.items = arena_array(d->arena, struct kube_endpoint, most + 1);
	for (size_t i = 0; i < w.endpoints.count; i++)
		add_addresses(d, &w.endpoints.items[i], &list);
	s->endpoints.items = list.items;
	s->endpoints.count = list.count;
	return s;
}

/* --- Endpoints ----------------------------------------------------------------------------- */

static const struct field address_fields[] = {
	FIELD(struct kube_endpoint, "ip", address, decode_ip, FIELD_REQUIRED),
	FIELD(struct kube_endpoint, "nodeName", node_name, decode_string, FIELD_OPTIONAL),
	IGNORED("hostname"), IGNORED("targetRef"),
	FIELDS_END
};

static bool decode_address(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	((struct kube_endpoint *)out)->where = n->where;
	return decode_mapping(d, n, arg, out);
}

static const struct decode_list address_list = { sizeof(struct kube_endpoint), decode_address, address_fields,
						 ENDPOINTS_MAX };

struct written_subset {
	LIST(struct kube_endpoint) addresses, not_ready;
	LIST(struct endpoint_port) ports;
};

static const struct field subset_fields[] = {
	FIELD_ARG(struct written_subset, "addresses", addresses, decode_list, FIELD_OPTIONAL, &address_list),
	FIELD_ARG(struct written_subset, "notReadyAddresses", not_ready, decode_list, FIELD_OPTIONAL,
		  &address_list),
	FIELD_ARG(struct written_subset, "ports", ports, decode_list, FIELD_OPTIONAL, &port_list),
	FIELDS_END
};

static bool decode_subset(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct endpoint_subset *s = out;
	struct written_subset w = { 0 };
	bool ok = decode_mapping(d, n, arg, &w);
	size_t ready = w.addresses.count, rest = w.not_ready.count;

	s->ports.items = w.ports.items;
	s->ports.count = w.ports.count;
	s->endpoints.items = arena_array(d->arena, struct kube_endpoint, ready + rest + 1);
	s->endpoints.count = ready + rest;
	for (size_t i = 0; i < ready + rest; i++) {
		s->endpoints.items[i] = i < ready ? w.addresses.items[i] : w.not_ready.items[i - ready];
		s->endpoints.items[i].health = i < ready ? ENDPOINT_HEALTHY : ENDPOINT_UNHEALTHY;
	}
	return ok;
}

static const struct decode_list subset_list = { sizeof(struct endpoint_subset), decode_subset, subset_fields,
						ENDPOINTS_MAX };
static const struct field endpoints_fields[] = {
	ENVELOPE,
	FIELD_ARG(struct endpoints, "subsets", subsets, decode_list, FIELD_OPTIONAL, &subset_list),
	FIELDS_END
};

struct endpoints *endpoints_decode(struct decoder *d, const struct node *root, const struct meta *meta)
{
	struct endpoints *e = arena_new(d->arena, struct endpoints);

	e->meta = meta;
	decode_mapping(d, root, endpoints_fields, e);
	return e;
}
