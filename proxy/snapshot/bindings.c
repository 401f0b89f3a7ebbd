/* SPDX-License-Identifier: Apache-2.0
 *
 * bindings.c - which Gateways pick this proxy, and which VirtualServices belong to each, in which
 * order (spec/gateway.md 5, 6; spec/virtual-service.md 4.1, 4.3-4.5). */
#include "proxy/snapshot/build_priv.h"

#include <stdarg.h>
#include <stdio.h>

#include "proxy/snapshot/services_priv.h"
#include "sallyport/hostname.h"

#define PROBLEM_TEXT_MAX	1024

void build_problem(struct snapshot_builder *b, enum severity severity, const struct meta *m,
		   struct where where, const char *fmt, ...)
{
	char text[PROBLEM_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	problem_add(b->ps, severity, where.file != NULL ? where : m->where, "%s %.*s/%.*s: %s", m->kind,
		    SLICE_ARG(m->ns), SLICE_ARG(m->name), text);
}

/* ---- gateways ---- */

static struct bound_gateway *gateway_by_name(struct snapshot_builder *b, struct slice ns, struct slice name)
{
	struct slice id = namespaced_name(b->arena, ns, name);
	struct bound_gateway *g = name_map_get(&b->gateway_by_id, id);

	if (g == NULL) {
		g = arena_new(b->arena, struct bound_gateway);
		g->id = id;
		name_map_put(&b->gateway_by_id, id, g);
	}
	return g;
}

static void note_not_selected(struct snapshot_builder *b, const struct gateway *g)
{
	struct slice labels = labels_text(b->arena, g->selector.items, g->selector.count);

	build_note(b, g->meta, NOWHERE, "selector %.*s does not match this proxy, whose labels are %.*s",
		   SLICE_ARG(labels), SLICE_ARG(b->s->gateway_labels));
}

static void bind_gateways(struct snapshot_builder *b)
{
	const struct proxy_settings *proxy = b->set->proxy;

	b->gateways.items = arena_array(b->arena, struct bound_gateway *, b->set->gateways.count);
	for (size_t i = 0; i < b->set->gateways.count; i++) {
		const struct gateway *g = b->set->gateways.items[i];
		struct bound_gateway *bound = gateway_by_name(b, g->meta->ns, g->meta->name);

		bound->exists = true;
		if (!gateway_selects(g, proxy->labels.items, proxy->labels.count)) {
			note_not_selected(b, g);
			continue;
		}
		bound->gateway = g;
		b->gateways.items[b->gateways.count++] = bound;
	}
	if (b->set->gateways.count != 0 && b->gateways.count == 0)
		build_warning(b, b->set->gateways.items[0]->meta, NOWHERE,
			      "no Gateway's selector matches this proxy, nothing is served: write labels that "
			      "match into Proxy.spec.labels, now %.*s", SLICE_ARG(b->s->gateway_labels));
}

/* ---- virtual services ---- */

enum visibility { VISIBLE_PRIVATE, VISIBLE_BY_NAME, VISIBLE_TO_ALL, VISIBILITY_COUNT };

static bool exports_to(const struct export_to *e, struct slice ns)
{
	for (size_t i = 0; i < e->count; i++)
		if (slice_eq(e->items[i].text, ns))
			return true;
	return false;
}

/* False: the proxy does not see it. */
static bool visibility_of(const struct virtual_service *vs, struct slice proxy_ns, enum visibility *out)
{
	if (!export_to_visible(&vs->export_to, vs->meta->ns, proxy_ns))
		return false;
	if (vs->export_to.count == 0 || exports_to(&vs->export_to, SLICE("*")))
		*out = VISIBLE_TO_ALL;
	else if (slice_eq(vs->meta->ns, proxy_ns))
		*out = VISIBLE_PRIVATE;
	else
		*out = VISIBLE_BY_NAME;
	return true;
}

static void take_hosts(struct snapshot_builder *b, struct bound_service *s)
{
	const struct virtual_service *vs = s->service;

	s->hosts.items = arena_array(b->arena, struct slice, vs->hosts.count * 2);
	for (size_t i = 0; i < vs->hosts.count; i++) {
		struct slice host = vs->hosts.items[i].text;
		struct slice whole = hostname_expand(b->arena, host, vs->meta->ns,
						     b->set->proxy->mesh.cluster_domain);

		s->hosts.items[s->hosts.count++] = host;
		if (!slice_eq(host, whole))
			s->hosts.items[s->hosts.count++] = whole;
	}
}

static void attach(struct snapshot_builder *b, struct bound_gateway *g, struct bound_service *s)
{
	/* A list that names a Gateway twice names it once. */
	if (g->services.count != 0 && g->services.items[g->services.count - 1] == s)
		return;
	LIST_GROW(b->arena, g->services, g->services_room);
	g->services.items[g->services.count++] = s;
}

static void attach_to_gateways(struct snapshot_builder *b, struct bound_service *s)
{
	const struct virtual_service *vs = s->service;

	for (size_t i = 0; i < vs->gateways.count; i++) {
		const struct gateway_ref *ref = &vs->gateways.items[i];
		struct bound_gateway *g;

		if (ref->mesh)
			continue;
		g = gateway_by_name(b, ref->ns, ref->name);
		if (!g->exists)
			build_warning(b, vs->meta, ref->where, "Gateway %.*s does not exist: write "
				      "namespace/name of one that does", SLICE_ARG(g->id));
		s->has_gateway = s->has_gateway || g->gateway != NULL;
		attach(b, g, s);
	}
}

static void bind_services(struct snapshot_builder *b)
{
	struct slice proxy_ns = b->set->proxy->meta->ns;
	size_t count = b->set->virtual_services.count;

	b->services.items = arena_array(b->arena, struct bound_service *, count);
	for (enum visibility group = 0; group < VISIBILITY_COUNT; group++)
		for (size_t i = 0; i < count; i++) {
			const struct virtual_service *vs = b->set->virtual_services.items[i];
			struct bound_service *s;
			enum visibility v;

			if (vs->hosts.count == 0 || !visibility_of(vs, proxy_ns, &v) || v != group)
				continue;
			s = arena_new(b->arena, struct bound_service);
			s->service = vs;
			take_hosts(b, s);
			attach_to_gateways(b, s);
			b->services.items[b->services.count++] = s;
		}
}

static void tell_hidden(struct snapshot_builder *b)
{
	struct slice proxy_ns = b->set->proxy->meta->ns;
	enum visibility v;

	for (size_t i = 0; i < b->set->virtual_services.count; i++) {
		const struct virtual_service *vs = b->set->virtual_services.items[i];

		/* A delegate is for roots to see. */
		if (vs->hosts.count == 0 || visibility_of(vs, proxy_ns, &v))
			continue;
		build_warning(b, vs->meta, vs->export_to.items[0].where,
			      "exportTo hides it from this proxy, which is in namespace %.*s: add \"%.*s\", or "
			      "set the namespace of the Proxy document", SLICE_ARG(proxy_ns),
			      SLICE_ARG(proxy_ns));
	}
}

void bind_documents(struct snapshot_builder *b)
{
	name_map_init(&b->gateway_by_id, b->arena);
	bind_gateways(b);
	bind_services(b);
	resolve_delegates(b);
	tell_hidden(b);
}
