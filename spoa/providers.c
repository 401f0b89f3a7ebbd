/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/providers.h"

#include <stdio.h>

#include "sallyport/log.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/service_entry.h"
#include "sallyport/resource/workload.h"

static bool has_host(const struct service_entry *e, const struct extension_provider *p)
{
	if (p->service_ns.at != NULL && !slice_eq(e->meta->ns, p->service_ns))
		return false;
	for (size_t i = 0; i < e->hosts.count; i++)
		if (slice_eq(e->hosts.items[i].text, p->service))
			return true;
	return false;
}

static const struct service_entry *entry_of(const struct resource_set *set, const struct extension_provider *p)
{
	for (size_t i = 0; i < set->service_entries.count; i++)
		if (has_host(set->service_entries.items[i], p))
			return set->service_entries.items[i];
	return NULL;
}

static const struct service_port *port_of(const struct service_entry *e, uint32_t number)
{
	for (size_t i = 0; i < e->ports.count; i++)
		if (e->ports.items[i].number == number)
			return &e->ports.items[i];
	return NULL;
}

/* What the endpoint says of the port, else its targetPort, else its number. */
static uint32_t endpoint_port(const struct workload *w, const struct service_port *port)
{
	for (size_t i = 0; i < w->ports.count; i++)
		if (slice_eq(w->ports.items[i].name, port->name))
			return w->ports.items[i].number;
	return port->target_port != 0 ? port->target_port : port->number;
}

static const char *connect_to(struct arena *a, const struct extension_provider *p, struct slice address,
			      uint32_t port)
{
	const char *from = slice_find(p->service, ':') >= 0 ? "[%.*s]" : "%.*s";
	const char *to = slice_find(address, ':') >= 0 ? "[%.*s]" : "%.*s";
	char format[40];

	snprintf(format, sizeof(format), "%s:%%u:%s:%%u", from, to);
	return arena_printf(a, format, SLICE_ARG(p->service), p->port, SLICE_ARG(address), port);
}

static void find_endpoints(struct arena *a, const struct service_entry *e, const struct service_port *port,
			   struct extauthz_target *t)
{
	const struct extension_provider *p = t->provider;

	t->connect_to = arena_array(a, const char *, e->endpoints.count + 1);
	for (size_t i = 0; i < e->endpoints.count; i++) {
		const struct workload *w = &e->endpoints.items[i];

		if (w->address_kind == ADDRESS_IP || w->address_kind == ADDRESS_NAME)
			t->connect_to[t->connect_to_count++] = connect_to(a, p, w->address,
									  endpoint_port(w, port));
	}
	if (e->endpoints.count == 0 && port->target_port != 0 && port->target_port != port->number)
		t->connect_to[t->connect_to_count++] = connect_to(a, p, p->service, port->target_port);
}

static void find(struct arena *a, const struct resource_set *set, struct extauthz_target *t)
{
	const struct service_entry *e = entry_of(set, t->provider);
	const struct service_port *port;

	if (e == NULL)
		return;
	port = port_of(e, t->provider->port);
	if (port == NULL)
		log_warn("custom", "provider %.*s: the ServiceEntry of %.*s has no port %u",
			 SLICE_ARG(t->provider->name), SLICE_ARG(t->provider->service), t->provider->port);
	else
		find_endpoints(a, e, port, t);
}

const struct extauthz_target *providers_find(const struct resource_set *set, size_t *count)
{
	size_t n = set->proxy->mesh.extension_providers.count;
	struct extauthz_target *targets = arena_array(set->arena, struct extauthz_target, n);

	for (size_t i = 0; i < n; i++) {
		targets[i].provider = &set->proxy->mesh.extension_providers.items[i];
		find(set->arena, set, &targets[i]);
	}
	*count = n;
	return targets;
}
