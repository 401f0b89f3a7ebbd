/* SPDX-License-Identifier: Apache-2.0
 *
 * service_endpoints.c - the endpoints of a service's port, gathered from every document that adds
 * some: inline ones, WorkloadEntries by selector, EndpointSlices and Endpoints. */
#include <stdlib.h>
#include <sys/un.h>

#include "proxy/snapshot/services_priv.h"
#include "sallyport/cidr.h"
#include "sallyport/policy_reach.h"
#include "sallyport/resource/proxy_settings.h"

/* What is gathered for one port of one service. */
struct gather {
	const struct service_directory *dir;
	const struct declared_service *service;
	const struct declared_port *port;
	const struct definition *from;		/* the definition that is looked at */
	struct label_set fallback;		/* workload labels of endpoints that have none */
	struct known_endpoints found;
};

/* A path, or a name in the abstract space, which begins with a NUL there. 0: too long. */
static socklen_t unix_address(struct slice path, bool abstract, struct sockaddr_storage *out)
{
	struct sockaddr_un *u = (struct sockaddr_un *)out;
	size_t lead = abstract ? 1 : 0;

	if (path.len == 0 || path.len + 1 > sizeof(u->sun_path))
		return 0;
	*out = (struct sockaddr_storage){ 0 };
	u->sun_family = AF_UNIX;
	memcpy(u->sun_path + lead, path.at, path.len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
}

static struct slice label_value(struct label_set l, const char *key)
{
	for (size_t i = 0; i < l.count; i++)
		if (slice_eq(l.items[i].key, slice_of(key)))
			return l.items[i].value;
	return NO_SLICE;
}

/* The field, else a label, in which dots stand for slashes (spec 10.4). */
static struct slice locality_of(struct arena *a, const struct workload *w, struct label_set labels)
{
	struct slice text = w->locality;
	char *copy;

	if (text.len > 0)
		return text;
	text = label_value(labels, "topology.istio.io/locality");
	if (text.len == 0)
		text = label_value(labels, "istio-locality");
	if (text.len == 0 || slice_find(text, '/') >= 0)
		return text;
	copy = arena_text(a, text);
	for (char *c = copy; *c != '\0'; c++)
		if (*c == '.')
			*c = '/';
	return slice_make(copy, text.len);
}

/* The endpoint's labels and those that its place implies. */
static struct label_set with_topology(struct arena *a, struct label_set own, struct slice locality,
				      struct slice network)
{
	static const char *const keys[] = { "topology.kubernetes.io/region",
					    "topology.kubernetes.io/zone",
					    "topology.istio.io/subzone" };
	struct string_entry *all;
	size_t count = own.count;

	if (locality.len == 0 && network.len == 0)
		return own;
	all = arena_array(a, struct string_entry, own.count + COUNT_OF(keys) + 1);
	for (size_t i = 0; i < own.count; i++)
		all[i] = own.items[i];
	for (size_t i = 0; i < COUNT_OF(keys) && locality.len > 0; i++) {
		struct slice part = slice_cut(&locality, '/');

		if (part.len > 0 && label_value(own, keys[i]).at == NULL)
			all[count++] = (struct string_entry){ .key = slice_of(keys[i]), .value = part };
	}
	if (network.len > 0 && label_value(own, "topology.istio.io/network").at == NULL)
		all[count++] = (struct string_entry){ .key = SLICE("topology.istio.io/network"),
						      .value = network };
	return (struct label_set){ all, count };
}

static void tell(struct gather *g, enum severity severity, struct where where, struct slice address,
		 const char *what)
{
	problem_add(g->dir->problems, severity, where, "%s %.*s/%.*s: endpoint %.*s of %.*s %s",
		    g->from->meta->kind, SLICE_ARG(g->from->meta->ns), SLICE_ARG(g->from->meta->name),
		    SLICE_ARG(address), SLICE_ARG(g->service->host), what);
}

static struct known_endpoint *add_endpoint(struct gather *g)
{
	struct known_endpoint *e;

	LIST_GROW(g->dir->arena, g->found, g->found.room);
	e = &g->found.items[g->found.count];
	*e = (struct known_endpoint){ .order = (uint32_t)g->found.count };
	g->found.count++;
	return e;
}

/* The address of a workload; false: it cannot be used here, which was told of. */
static bool fill_address(struct gather *g, const struct workload *w, uint32_t port,
			 struct endpoint_spec *out)
{
	out->address = w->address;
	switch (w->address_kind) {
	case ADDRESS_IP:
		out->port = (uint16_t)port;
		out->sockaddr_len = ip_sockaddr(w->address, (uint16_t)port, &out->sockaddr);
		return out->sockaddr_len > 0;
	case ADDRESS_UNIX:
	case ADDRESS_ABSTRACT:
		out->sockaddr_len = unix_address(w->address, w->address_kind == ADDRESS_ABSTRACT,
						 &out->sockaddr);
		if (out->sockaddr_len == 0)
			tell(g, SEVERITY_WARNING, w->where, w->address,
			     "is dropped: a socket path has at most 107 bytes");
		return out->sockaddr_len > 0;
	case ADDRESS_NAME:
		out->port = (uint16_t)port;
		if (!resolution_is_dns(g->service->resolution))
			tell(g, SEVERITY_WARNING, w->where, w->address,
			     "is dropped: a name is resolved with resolution: DNS only, write its IP");
		return resolution_is_dns(g->service->resolution);
	case ADDRESS_NONE:
		break;
	}
	tell(g, SEVERITY_WARNING, w->where, SLICE("without an address"), "is dropped: write `address`");
	return false;
}

static void add_workload(struct gather *g, const struct workload *w, uint32_t port, bool healthy)
{
	struct arena *a = g->dir->arena;
	struct label_set own = { w->labels.items, w->labels.count };
	struct endpoint_spec spec = { .weight = w->weight > 0 ? w->weight : 1, .healthy = healthy,
				      .where = w->where };
	struct known_endpoint *e;

	if (w->draining || !fill_address(g, w, port, &spec))
		return;
	e = add_endpoint(g);
	e->spec = spec;
	e->locality = locality_of(a, w, own);
	e->labels = with_topology(a, own, e->locality, w->network);
	e->workload_labels = own.count > 0 ? e->labels : g->fallback;
}

/* --- ServiceEntry ----------------------------------------------------------------------------- */

/* Static lists match by port name, names to resolve by port number (spec 8.2). */
static const struct service_port *entry_port(const struct gather *g, const struct service_entry *e)
{
	for (size_t i = 0; i < e->ports.count; i++) {
		const struct service_port *p = &e->ports.items[i];

		if (resolution_is_dns(g->service->resolution) ? p->number == g->port->number : slice_eq(p->name, g->port->name))
			return p;
	}
	return NULL;
}

/* Spec 10.1. */
static uint32_t entry_endpoint_port(const struct service_port *p, const struct workload *w)
{
	uint32_t own = workload_port(w, p->name);

	return own > 0 ? own : p->target_port > 0 ? p->target_port : p->number;
}

static void gather_selected(struct gather *g, const struct service_entry *e, const struct service_port *p)
{
	struct document_list *all = name_map_get(&g->dir->workloads, e->meta->ns);

	for (size_t i = 0; all != NULL && i < all->count; i++) {
		const struct workload_entry *w = all->items[i];

		if (labels_include(w->workload.labels.items, w->workload.labels.count,
				   e->selector.items, e->selector.count))
			add_workload(g, &w->workload, entry_endpoint_port(p, &w->workload), w->healthy);
	}
}

/* Without endpoints the host itself is the name to resolve. */
static void gather_host(struct gather *g, const struct service_entry *e, const struct service_port *p)
{
	struct endpoint_spec spec = { .address = g->service->host, .weight = 1, .healthy = true,
				      .where = e->meta->where };
	struct known_endpoint *k;

	spec.port = (uint16_t)(p->target_port > 0 ? p->target_port : p->number);
	spec.sockaddr_len = ip_sockaddr(spec.address, spec.port, &spec.sockaddr);
	k = add_endpoint(g);
	k->spec = spec;
	k->workload_labels = g->fallback;
}

static void gather_entry(struct gather *g, const struct service_entry *e)
{
	const struct service_port *p = entry_port(g, e);

	if (p == NULL || g->service->resolution == RESOLUTION_DYNAMIC_DNS)
		return;
	g->fallback = (struct label_set){ e->meta->labels.items, e->meta->labels.count };
	for (size_t i = 0; i < e->endpoints.count; i++) {
		const struct workload *w = &e->endpoints.items[i];

		add_workload(g, w, entry_endpoint_port(p, w), true);
	}
	if (e->has_selector)
		gather_selected(g, e, p);
	else if (e->endpoints.count == 0 && resolution_is_dns(g->service->resolution))
		gather_host(g, e, p);
}

/* --- Service ------------------------------------------------------------------------------------ */

static void add_kube_endpoint(struct gather *g, const struct kube_endpoint *k, uint32_t port)
{
	struct endpoint_spec spec = { .address = k->address, .port = (uint16_t)port, .weight = 1,
				      .healthy = k->health == ENDPOINT_HEALTHY, .where = k->where };
	struct known_endpoint *e;

	spec.sockaddr_len = ip_sockaddr(k->address, (uint16_t)port, &spec.sockaddr);
	if (spec.sockaddr_len == 0 || port == 0)
		return;
	e = add_endpoint(g);
	e->spec = spec;
	/* Pods are not known: no label selects it for a subset; policies go by the Service. */
	e->workload_labels = g->fallback;
	if (k->zone.len > 0)
		e->locality = slice_of(arena_printf(g->dir->arena, "/%.*s", SLICE_ARG(k->zone)));
}

static void gather_slices(struct gather *g, struct slice key)
{
	struct document_list *all = name_map_get(&g->dir->slices, key);

	for (size_t i = 0; all != NULL && i < all->count; i++) {
		const struct endpoint_slice *s = all->items[i];

		for (size_t p = 0; p < s->ports.count; p++)
			for (size_t k = 0; slice_eq(s->ports.items[p].name, g->port->name) &&
					   k < s->endpoints.count; k++)
				add_kube_endpoint(g, &s->endpoints.items[k], s->ports.items[p].number);
	}
}

/* Is it the port by name; or both sides have one port, and this one no name (spec 5.3)? */
static bool is_subset_port(const struct gather *g, const struct endpoint_subset *s, size_t p)
{
	struct slice name = s->ports.items[p].name;

	return slice_eq(name, g->port->name) ||
	       (name.len == 0 && s->ports.count == 1 && g->service->ports.count == 1);
}

static void gather_endpoints(struct gather *g, struct slice key)
{
	struct document_list *all = name_map_get(&g->dir->endpoints, key);

	for (size_t i = 0; all != NULL && i < all->count; i++) {
		const struct endpoints *e = all->items[i];

		for (size_t s = 0; s < e->subsets.count; s++) {
			const struct endpoint_subset *sub = &e->subsets.items[s];

			for (size_t p = 0; p < sub->ports.count; p++)
				for (size_t k = 0; is_subset_port(g, sub, p) && k < sub->endpoints.count; k++)
					add_kube_endpoint(g, &sub->endpoints.items[k],
							  sub->ports.items[p].number);
		}
	}
}

/* Spec 10.2; 0: this workload has no such port. */
static uint32_t kube_workload_port(const struct kube_port *p, const struct workload *w)
{
	uint32_t own;

	if (p->target_name.at != NULL)
		return workload_port(w, p->target_name);
	own = workload_port(w, p->name);
	return own > 0 ? own : p->target_port > 0 ? p->target_port : p->number;
}

static void gather_kube_workloads(struct gather *g, const struct service *k, const struct kube_port *p)
{
	struct document_list *all = name_map_get(&g->dir->workloads, k->meta->ns);

	if (k->selector.count == 0 || k->headless)
		return;
	for (size_t i = 0; all != NULL && i < all->count; i++) {
		const struct workload_entry *w = all->items[i];
		uint32_t port = kube_workload_port(p, &w->workload);

		if (port > 0 && labels_include(w->workload.labels.items, w->workload.labels.count,
					       k->selector.items, k->selector.count))
			add_workload(g, &w->workload, port, w->healthy);
	}
}

static void gather_service(struct gather *g, const struct service *k)
{
	struct slice key = namespaced_name(g->dir->arena, k->meta->ns, k->meta->name);

	g->fallback = k->selector.count > 0 ?
		(struct label_set){ k->selector.items, k->selector.count } :
		(struct label_set){ k->meta->labels.items, k->meta->labels.count };
	gather_slices(g, key);
	gather_endpoints(g, key);
	for (size_t i = 0; i < k->ports.count; i++)
		if (k->ports.items[i].number == g->port->number)
			gather_kube_workloads(g, k, &k->ports.items[i]);
}

static int by_locality(const void *a, const void *b)
{
	const struct known_endpoint *x = a, *y = b;
	int order = slice_cmp(x->locality, y->locality);

	return order != 0 ? order : x->order < y->order ? -1 : 1;
}

const struct known_endpoints *declared_service_endpoints(const struct service_directory *dir,
							 const struct declared_service *s,
							 struct declared_port *port)
{
	struct gather g = { .dir = dir, .service = s, .port = port };

	if (port->endpoints != NULL)
		return port->endpoints;
	for (size_t i = 0; i < s->definitions.count; i++) {
		g.from = &s->definitions.items[i];
		if (g.from->entry != NULL)
			gather_entry(&g, g.from->entry);
		else
			gather_service(&g, g.from->service);
	}
	if (g.found.count > 1)
		qsort(g.found.items, g.found.count, sizeof(*g.found.items), by_locality);
	if (s->resolution == RESOLUTION_DNS_ROUND_ROBIN && g.found.count > 1)
		g.found.count = 1;
	port->endpoints = arena_new(dir->arena, struct known_endpoints);
	*port->endpoints = g.found;
	return port->endpoints;
}
