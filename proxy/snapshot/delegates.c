/* SPDX-License-Identifier: Apache-2.0
 *
 * delegates.c - the http routes of a VirtualService as they are served: those of delegates stand in the
 * place of the route that refers to them, merged with it (spec/virtual-service.md 13). What cannot be
 * resolved drops that one route, and is told. */
#include "proxy/snapshot/build_priv.h"

#include "proxy/snapshot/services_priv.h"

#define DELEGATE_MATCHES_MAX	65536u	/* of one merged route: matches of the root's times the delegate's */

static struct slice document_id(struct snapshot_builder *b, const struct virtual_service *vs)
{
	return namespaced_name(b->arena, vs->meta->ns, vs->meta->name);
}

static void index_documents(struct snapshot_builder *b)
{
	name_map_init(&b->service_by_id, b->arena);
	for (size_t i = 0; i < b->set->virtual_services.count; i++) {
		const struct virtual_service *vs = b->set->virtual_services.items[i];

		name_map_put(&b->service_by_id, document_id(b, vs), (void *)vs);
	}
}

/* The delegate, or NULL, which was told. */
static const struct virtual_service *find_delegate(struct snapshot_builder *b, const struct virtual_service *root,
						   const struct delegate_ref *ref)
{
	struct slice id = namespaced_name(b->arena, ref->ns, ref->name);
	const struct virtual_service *child = name_map_get(&b->service_by_id, id);

	if (child == NULL)
		build_warning(b, root->meta, ref->where, "there is no VirtualService %.*s: this route is dropped",
			      SLICE_ARG(id));
	else if (child->hosts.count != 0)
		build_warning(b, root->meta, ref->where, "VirtualService %.*s has hosts and so is no delegate: this "
			      "route is dropped", SLICE_ARG(id));
	else if (!export_to_visible(&child->export_to, child->meta->ns, root->meta->ns))
		build_warning(b, root->meta, ref->where, "exportTo of VirtualService %.*s hides it from namespace "
			      "%.*s: this route is dropped", SLICE_ARG(id), SLICE_ARG(root->meta->ns));
	else
		return child;
	return NULL;
}

static void tell_excluded(struct snapshot_builder *b, const struct virtual_service *root,
			  const struct http_route *source, const struct virtual_service *child,
			  const struct http_route *route)
{
	build_warning(b, child->meta, route->where, "never used below the route of VirtualService %.*s/%.*s at %s:%u: "
		      "its matches and those there exclude each other", SLICE_ARG(root->meta->ns),
		      SLICE_ARG(root->meta->name), source->where.file, source->where.line);
}

static void tell_direct_response(struct snapshot_builder *b, const struct virtual_service *child,
				 const struct http_route *source, const struct http_route *route)
{
	if (route->direct_response == NULL && source->direct_response != NULL && route->route.count != 0)
		build_warning(b, child->meta, route->where, "its destinations are never asked: the directResponse of "
			      "the route at %s:%u answers", source->where.file, source->where.line);
}

static void add_child_route(struct snapshot_builder *b, struct bound_service *s, const struct http_route *source,
			    const struct virtual_service *child, const struct http_route *route)
{
	struct http_route *merged = arena_new(b->arena, struct http_route);
	const struct meta *root = s->service->meta;

	if (source->match.count * route->match.count > DELEGATE_MATCHES_MAX) {
		build_problem(b, SEVERITY_ERROR, root, source->delegate->where, "its %zu matches and the %zu of the "
			      "route at %s:%u are more than %u together", source->match.count, route->match.count,
			      route->where.file, route->where.line, DELEGATE_MATCHES_MAX);
		return;
	}
	if (!http_route_merge(b->arena, source, route, merged)) {
		tell_excluded(b, s->service, source, child, route);
		return;
	}
	tell_direct_response(b, child, source, route);
	LIST_GROW(b->arena, s->http, s->http_room);
	s->http.items[s->http.count++] = (struct served_route){
		.route = merged, .of = child,
		.mirror_of = route->mirror != NULL ? child->meta : root,
		.mirrors_of = route->mirrors.count != 0 ? child->meta : root,
	};
}

static void add_own_route(struct snapshot_builder *b, struct bound_service *s, const struct http_route *route)
{
	const struct meta *own = s->service->meta;

	LIST_GROW(b->arena, s->http, s->http_room);
	s->http.items[s->http.count++] = (struct served_route){ .route = route, .of = s->service, .mirror_of = own,
								.mirrors_of = own };
}

static void add_routes(struct snapshot_builder *b, struct bound_service *s)
{
	for (size_t i = 0; i < s->service->http.count; i++) {
		const struct http_route *source = &s->service->http.items[i];
		const struct virtual_service *child;

		if (source->delegate == NULL) {
			add_own_route(b, s, source);
			continue;
		}
		child = find_delegate(b, s->service, source->delegate);
		for (size_t k = 0; child != NULL && k < child->http.count; k++)
			add_child_route(b, s, source, child, &child->http.items[k]);
	}
}

/* At every server? Items with static filters act at some only. */
static bool takes_everything(const struct http_route *r)
{
	for (size_t i = 0; i < r->match.count; i++) {
		const struct http_match *m = &r->match.items[i];

		if (http_match_is_catch_all(m) && m->port == 0 && m->gateways.count == 0 &&
		    m->source_labels.count == 0 && m->source_namespace.len == 0)
			return true;
	}
	return r->match.count == 0;
}

/* Of routes that stand in one document decoding has told. */
static void tell_unreached(struct snapshot_builder *b, const struct bound_service *s)
{
	for (size_t i = 0; i + 1 < s->http.count; i++) {
		const struct served_route *open = &s->http.items[i], *next = &s->http.items[i + 1];

		if (!takes_everything(open->route))
			continue;
		if (open->of != next->of)
			build_warning(b, next->of->meta, next->route->where, "never reached below VirtualService "
				      "%.*s/%.*s, nor is what follows: the route at %s:%u takes everything",
				      SLICE_ARG(s->service->meta->ns), SLICE_ARG(s->service->meta->name),
				      open->route->where.file, open->route->where.line);
		return;
	}
}

/* Also by roots that this proxy does not see: somebody else may. */
static void tell_orphans(struct snapshot_builder *b)
{
	struct name_map used;

	name_map_init(&used, b->arena);
	for (size_t i = 0; i < b->set->virtual_services.count; i++) {
		const struct virtual_service *vs = b->set->virtual_services.items[i];

		for (size_t k = 0; k < vs->http.count; k++) {
			const struct delegate_ref *ref = vs->http.items[k].delegate;

			if (ref != NULL)
				name_map_put(&used, namespaced_name(b->arena, ref->ns, ref->name), b);
		}
	}
	for (size_t i = 0; i < b->set->virtual_services.count; i++) {
		const struct virtual_service *vs = b->set->virtual_services.items[i];

		if (vs->hosts.count == 0 && name_map_get(&used, document_id(b, vs)) == NULL)
			build_warning(b, vs->meta, vs->where, "it has no hosts, and no route of another "
				      "VirtualService delegates to it: it has no effect");
	}
}

void resolve_delegates(struct snapshot_builder *b)
{
	index_documents(b);
	for (size_t i = 0; i < b->services.count; i++) {
		add_routes(b, b->services.items[i]);
		tell_unreached(b, b->services.items[i]);
	}
	tell_orphans(b);
}
