/* SPDX-License-Identifier: Apache-2.0
 *
 * headers.c - header operations of a route and of its destination (spec/virtual-service.md 7.6). */
#include "proxy/route/rewrite_priv.h"

/* A level is what is evaluated at once: one set of operations, or two that are fused. */
#define LEVEL_OPS_MAX	2u

struct level {
	const struct header_ops *ops[LEVEL_OPS_MAX];	/* route first */
	unsigned rank[LEVEL_OPS_MAX];			/* see host_choice */
	size_t count;
};

/* Who says what the Host is: `set` of the route, its `add`, `set` of the destination, its `add` (7.5). */
enum { RANK_ROUTE = 0, RANK_DESTINATION = 2, RANK_NONE = 4 };
#define RANK_ADD	1u

struct host_choice {
	unsigned rank;
	struct slice host;
};

struct editing {
	struct headers *headers;
	const struct exchange *exchange;
	struct arena *arena;
	struct host_choice host;
};

static void level_push(struct level *l, const struct header_ops *ops, unsigned rank)
{
	if (ops == NULL || (ops->set.count == 0 && ops->add.count == 0 && ops->remove.count == 0))
		return;
	l->ops[l->count] = ops;
	l->rank[l->count++] = rank;
}

static bool is_authority(struct slice name)
{
	return slice_eq(name, SLICE(":authority"));
}

/* Absent: the operation is skipped. */
static struct slice value_of(const struct header_value *v, const struct editing *e)
{
	struct slice name = is_authority(v->name) ? SLICE("host") : v->name, value;

	if (format_is_literal(&v->format, &value))
		return value.len != 0 ? value : NO_SLICE;
	value = slice_trim(format_run(&v->format, e->exchange, NO_SLICE, e->arena));
	return value.len != 0 && header_is_safe(name, value) ? value : NO_SLICE;
}

static void choose_host(struct editing *e, struct slice value, unsigned rank)
{
	if (value.len != 0 && rank < e->host.rank)
		e->host = (struct host_choice){ rank, value };
}

static size_t compute(const struct header_value *items, size_t count, struct editing *e, struct slice *values)
{
	for (size_t i = 0; i < count; i++)
		values[i] = value_of(&items[i], e);
	return count;
}

static size_t apply_values(const struct header_value *items, size_t count, const struct slice *values,
			   struct editing *e, unsigned rank, bool add)
{
	for (size_t i = 0; i < count; i++) {
		if (values[i].at == NULL)
			continue;
		if (is_authority(items[i].name))
			choose_host(e, values[i], rank + (add ? RANK_ADD : 0));
		else if (add)
			headers_add(e->headers, items[i].name, values[i]);
		else
			headers_set(e->headers, items[i].name, values[i]);
	}
	return count;
}

/* All removals, then all values are computed, then all sets and all adds. */
static void apply_level(const struct level *l, struct editing *e)
{
	struct slice *values;
	size_t count = 0, at = 0;

	for (size_t i = 0; i < l->count; i++) {
		for (size_t k = 0; k < l->ops[i]->remove.count; k++)
			headers_remove(e->headers, l->ops[i]->remove.items[k]);
		count += l->ops[i]->set.count + l->ops[i]->add.count;
	}
	if (count == 0)
		return;
	values = arena_array(e->arena, struct slice, count);
	for (size_t i = 0; i < l->count; i++)
		at += compute(l->ops[i]->set.items, l->ops[i]->set.count, e, values + at);
	for (size_t i = 0; i < l->count; i++)
		at += compute(l->ops[i]->add.items, l->ops[i]->add.count, e, values + at);
	at = 0;
	for (size_t i = 0; i < l->count; i++)
		at += apply_values(l->ops[i]->set.items, l->ops[i]->set.count, values + at, e, l->rank[i],
				   false);
	for (size_t i = 0; i < l->count; i++)
		at += apply_values(l->ops[i]->add.items, l->ops[i]->add.count, values + at, e, l->rank[i],
				   true);
}

/* One destination written: both are one level and the destination's values come last, so they win.
 * Several: the destination's level is evaluated before the route's, which wins. */
static void apply_levels(const struct header_ops *of_route, const struct header_ops *of_destination,
			 bool fused, struct editing *e)
{
	struct level first = { .count = 0 }, second = { .count = 0 };

	if (fused) {
		level_push(&first, of_route, RANK_ROUTE);
		level_push(&first, of_destination, RANK_DESTINATION);
	} else {
		level_push(&first, of_destination, RANK_DESTINATION);
		level_push(&second, of_route, RANK_ROUTE);
	}
	apply_level(&first, e);
	apply_level(&second, e);
}

static const struct headers_policy *destination_policy(const struct route_target *target)
{
	return target != NULL ? target->headers : NULL;
}

void route_apply_request(const struct route *r, const struct route_target *target,
			 struct message *request, const struct exchange *x, struct arena *a)
{
	const struct headers_policy *route, *to;
	const struct http_rewrite *w;
	struct editing e = { &request->headers, x, a, { RANK_NONE, NO_SLICE } };
	struct slice path;

	if (!r->edits_request)
		return;
	route = r->source->headers;
	to = destination_policy(target);
	w = r->source->rewrite;
	apply_levels(route != NULL ? &route->request : NULL, to != NULL ? &to->request : NULL,
		     r->fused_headers, &e);
	if (w != NULL && w->authority.len != 0)
		e.host.host = w->authority;
	if (e.host.host.len != 0) {
		headers_set_id(&request->headers, HEADER_X_ENVOY_ORIGINAL_HOST, request->authority);
		request->authority = e.host.host;
	}
	if (route_rewrite_path(r, request->path, a, &path)) {
		headers_set_id(&request->headers, HEADER_X_ENVOY_ORIGINAL_PATH, request->path);
		request->path = path;
	}
}

void route_apply_response(const struct route *r, const struct route_target *target,
			  struct message *response, const struct exchange *x, struct arena *a)
{
	const struct headers_policy *route, *to;
	struct editing e = { &response->headers, x, a, { RANK_NONE, NO_SLICE } };

	if (!r->edits_response)
		return;
	route = r->source->headers;
	to = destination_policy(target);
	apply_levels(route != NULL ? &route->response : NULL, to != NULL ? &to->response : NULL,
		     r->fused_headers, &e);
}
