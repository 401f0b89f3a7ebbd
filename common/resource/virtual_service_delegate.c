/* SPDX-License-Identifier: Apache-2.0
 *
 * A route of a delegate below the route of its root (spec 13). */
#include "common/resource/virtual_service_priv.h"

/* May both hold for one request, as far as documents tell? Expressions are not compared. */
static bool strings_agree(const struct string_match *root, const struct string_match *child)
{
	if (root->kind == MATCH_UNSET || child->kind == MATCH_UNSET)
		return true;
	if (root->kind == MATCH_EXACT && child->kind == MATCH_EXACT)
		return slice_eq(root->text, child->text);
	return root->kind == MATCH_PREFIX && (child->kind == MATCH_PREFIX || child->kind == MATCH_EXACT) &&
	       slice_starts(child->text, root->text);
}

typedef LIST(struct named_match) named_list;

static const struct named_match *find_named(const named_list *list, struct slice name)
{
	for (size_t i = 0; i < list->count; i++)
		if (slice_eq(list->items[i].name, name))
			return &list->items[i];
	return NULL;
}

static bool named_agree(const void *root_list, const void *child_list)
{
	const named_list *root = root_list, *child = child_list;

	for (size_t i = 0; i < child->count; i++) {
		const struct named_match *same = find_named(root, child->items[i].name);

		if (same != NULL && !strings_agree(&same->value, &child->items[i].value))
			return false;
	}
	return true;
}

typedef LIST(struct string_entry) label_list;

static const struct string_entry *find_label(const label_list *list, struct slice key)
{
	for (size_t i = 0; i < list->count; i++)
		if (slice_eq(list->items[i].key, key))
			return &list->items[i];
	return NULL;
}

static bool labels_agree(const void *root_list, const void *child_list)
{
	const label_list *root = root_list, *child = child_list;

	for (size_t i = 0; i < child->count; i++) {
		const struct string_entry *same = find_label(root, child->items[i].key);

		if (same != NULL && !slice_eq(same->value, child->items[i].value))
			return false;
	}
	return true;
}

static bool names_gateway(const struct http_match *m, const struct gateway_ref *g)
{
	for (size_t i = 0; i < m->gateways.count; i++)
		if (m->gateways.items[i].mesh == g->mesh && slice_eq(m->gateways.items[i].ns, g->ns) &&
		    slice_eq(m->gateways.items[i].name, g->name))
			return true;
	return false;
}

static bool gateways_agree(const struct http_match *root, const struct http_match *child)
{
	if (root->gateways.count == 0)
		return true;
	for (size_t i = 0; i < child->gateways.count; i++)
		if (!names_gateway(root, &child->gateways.items[i]))
			return false;
	return true;
}

static bool items_agree(const struct http_match *root, const struct http_match *child)
{
	return strings_agree(&root->uri, &child->uri) && strings_agree(&root->scheme, &child->scheme) &&
	       strings_agree(&root->method, &child->method) &&
	       strings_agree(&root->authority, &child->authority) &&
	       named_agree(&root->headers, &child->headers) &&
	       named_agree(&root->without_headers, &child->without_headers) &&
	       named_agree(&root->query_params, &child->query_params) &&
	       root->ignore_uri_case == child->ignore_uri_case &&
	       (root->port == 0 || child->port == 0 || root->port == child->port) &&
	       (root->source_namespace.len == 0 || slice_eq(root->source_namespace, child->source_namespace)) &&
	       labels_agree(&root->source_labels, &child->source_labels) && gateways_agree(root, child);
}

/* ---- merging ---- */

/* Both, and the child's where both name it. */
static void join_named(struct arena *a, const void *root_list, void *merged)
{
	const named_list *root = root_list;
	named_list *out = merged, child = *out;

	if (root->count == 0)
		return;
	out->items = arena_array(a, struct named_match, root->count + child.count);
	out->count = 0;
	for (size_t i = 0; i < root->count; i++)
		if (find_named(&child, root->items[i].name) == NULL)
			out->items[out->count++] = root->items[i];
	for (size_t i = 0; i < child.count; i++)
		out->items[out->count++] = child.items[i];
}

static void join_labels(struct arena *a, const void *root_list, void *merged)
{
	const label_list *root = root_list;
	label_list *out = merged, child = *out;

	if (root->count == 0)
		return;
	out->items = arena_array(a, struct string_entry, root->count + child.count);
	out->count = 0;
	for (size_t i = 0; i < root->count; i++)
		if (find_label(&child, root->items[i].key) == NULL)
			out->items[out->count++] = root->items[i];
	for (size_t i = 0; i < child.count; i++)
		out->items[out->count++] = child.items[i];
}

static struct slice join_names(struct arena *a, struct slice root, struct slice child)
{
	if (root.len == 0 || child.len == 0)
		return child.len != 0 ? child : root;
	return slice_of(arena_printf(a, "%.*s-%.*s", SLICE_ARG(root), SLICE_ARG(child)));
}

static void inherit_string(struct string_match *m, const struct string_match *root)
{
	if (m->kind == MATCH_UNSET)
		*m = *root;
}

static void merge_items(struct arena *a, const struct http_match *root, const struct http_match *child,
			struct http_match *out)
{
	*out = *child;
	out->name = join_names(a, root->name, child->name);
	inherit_string(&out->uri, &root->uri);
	inherit_string(&out->scheme, &root->scheme);
	inherit_string(&out->method, &root->method);
	inherit_string(&out->authority, &root->authority);
	join_named(a, &root->headers, &out->headers);
	join_named(a, &root->without_headers, &out->without_headers);
	join_named(a, &root->query_params, &out->query_params);
	/* A delegate has none of its own (V32). */
	out->claims.items = root->claims.items;
	out->claims.count = root->claims.count;
	out->without_claims.items = root->without_claims.items;
	out->without_claims.count = root->without_claims.count;
	if (out->port == 0)
		out->port = root->port;
	join_labels(a, &root->source_labels, &out->source_labels);
	if (out->source_namespace.len == 0)
		out->source_namespace = root->source_namespace;
	if (out->gateways.count == 0) {
		out->gateways.items = root->gateways.items;
		out->gateways.count = root->gateways.count;
	}
	if (out->stat_prefix.len == 0)
		out->stat_prefix = root->stat_prefix;
}

/* Each item of the child below each of the root that it does not exclude. False: one is excluded by all
 * of them, and with it the route. */
static bool merge_matches(struct arena *a, const struct http_route *root, const struct http_route *child,
			  struct http_route *out)
{
	size_t count;

	if (root->match.count == 0)
		return true;
	if (child->match.count == 0) {
		out->match.items = root->match.items;
		out->match.count = root->match.count;
		return true;
	}
	out->match.items = arena_array(a, struct http_match, root->match.count * child->match.count);
	out->match.count = 0;
	for (size_t i = 0; i < child->match.count; i++) {
		count = out->match.count;
		for (size_t k = 0; k < root->match.count; k++)
			if (items_agree(&root->match.items[k], &child->match.items[i]))
				merge_items(a, &root->match.items[k], &child->match.items[i],
					    &out->match.items[out->match.count++]);
		if (out->match.count == count)
			return false;
	}
	return true;
}

static void inherit_share(struct optional_share *share, const struct optional_share *root)
{
	if (!share->set)
		*share = *root;
}

#define INHERIT_POINTER(member)	if (out->member == NULL) out->member = root->member

bool http_route_merge(struct arena *a, const struct http_route *root, const struct http_route *child,
		      struct http_route *out)
{
	*out = *child;
	if (!merge_matches(a, root, child, out))
		return false;
	out->name = join_names(a, root->name, child->name);
	INHERIT_POINTER(rewrite);
	INHERIT_POINTER(direct_response);
	INHERIT_POINTER(retries);
	INHERIT_POINTER(fault);
	INHERIT_POINTER(mirror);
	INHERIT_POINTER(cors);
	INHERIT_POINTER(headers);
	inherit_share(&out->mirror_percent, &root->mirror_percent);
	inherit_share(&out->mirror_percentage, &root->mirror_percentage);
	if (out->mirrors.count == 0) {
		out->mirrors.items = root->mirrors.items;
		out->mirrors.count = root->mirrors.count;
	}
	if (out->timeout_ms == 0)
		out->timeout_ms = root->timeout_ms;
	return true;
}
