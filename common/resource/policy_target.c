/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_target.c - `selector`, `targetRef` and `targetRefs` of the security documents. */
#include "sallyport/resource/policy_target.h"

#include "sallyport/object.h"

#define GROUP_CHARS_MAX	253u
#define KIND_CHARS_MAX	63u
#define NAME_CHARS_MAX	253u

static bool label_check(struct decoder *d, const struct string_entry *e)
{
	struct node at = { .where = e->where };

	if (e->key.len == 0)
		return decode_error(d, &at, "empty key is not supported in selector: \"\"=\"%.*s\"",
				    SLICE_ARG(e->value));
	if (slice_find(e->key, '*') >= 0 || slice_find(e->value, '*') >= 0)
		return decode_error(d, &at,
				    "wildcard is not supported in selector: \"%.*s\"=\"%.*s\"; "
				    "labels are compared whole",
				    SLICE_ARG(e->key), SLICE_ARG(e->value));
	if (e->value.len > SELECTOR_VALUE_MAX)
		return decode_error(d, &at, "value of label %.*s has %zu characters, at most %u fit",
				    SLICE_ARG(e->key), e->value.len, SELECTOR_VALUE_MAX);
	return true;
}

static bool decode_match_labels(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct policy_target *t = out;
	bool ok = decode_string_map(d, n, &t->match_labels, arg);

	if (!ok)
		return false;
	if (t->match_labels.count > SELECTOR_LABELS_MAX)
		ok = decode_error(d, n, "%zu labels, at most %u are allowed", t->match_labels.count,
				  SELECTOR_LABELS_MAX);
	for (size_t i = 0; i < t->match_labels.count; i++)
		ok &= label_check(d, &t->match_labels.items[i]);
	return ok;
}

static const struct field selector_fields[] = {
	{ "matchLabels", decode_match_labels, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

bool decode_selector(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct policy_target *t = out;

	(void)arg;
	if (!decode_mapping(d, n, selector_fields, t))
		return false;
	if (t->match_labels.count == 0)
		decode_warning(d, n, "workload selector specified without labels");
	return true;
}

/* What Istio's validation lets a policy attach to. */
static const struct { const char *group, *kind; } attachable[] = {
	{ "", "Service" }, { "core", "Service" }, { "networking.istio.io", "ServiceEntry" },
	{ "gateway.networking.k8s.io", "Gateway" }, { "gateway.networking.k8s.io", "GatewayClass" },
};

static bool is_attachable(struct slice group, struct slice kind)
{
	for (size_t i = 0; i < COUNT_OF(attachable); i++)
		if (slice_eq(group, slice_of(attachable[i].group)) &&
		    slice_eq(kind, slice_of(attachable[i].kind)))
			return true;
	return false;
}

/* A DNS subdomain in lower case; empty is the core group. */
static bool is_group(struct slice s)
{
	struct slice rest = s, part;

	if (s.len == 0)
		return true;
	while (rest.at != NULL) {
		part = slice_cut(&rest, '.');
		if (part.len == 0 || !ascii_is_alnum(part.at[0]) || !ascii_is_alnum(part.at[part.len - 1]))
			return false;
		for (size_t i = 0; i < part.len; i++)
			if (!(ascii_is_alnum(part.at[i]) || part.at[i] == '-') ||
			    part.at[i] != ascii_lower(part.at[i]))
				return false;
	}
	return s.len <= GROUP_CHARS_MAX;
}

static bool is_kind(struct slice s)
{
	if (s.len == 0 || s.len > KIND_CHARS_MAX || !ascii_is_letter(s.at[0]) || !ascii_is_alnum(s.at[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

static bool ref_check(struct decoder *d, const struct node *n, const struct target_ref *r)
{
	bool ok = true;

	if (r->name.len == 0)
		ok = decode_error(d, n, "targetRef name must be set");
	if (r->name.len > NAME_CHARS_MAX)
		ok = decode_error(d, n, "name has %zu characters, at most %u fit", r->name.len,
				  NAME_CHARS_MAX);
	if (r->ns.len > 0)
		ok = decode_error(d, n, "namespace %.*s: cross namespace referencing is not supported; "
				  "leave `namespace` out", SLICE_ARG(r->ns));
	if (!is_group(r->group))
		return decode_error(d, n, "group \"%.*s\" is no lower-case DNS name of at most %u "
				    "characters", SLICE_ARG(r->group), GROUP_CHARS_MAX);
	if (!is_kind(r->kind))
		return decode_error(d, n, "kind \"%.*s\": write 1 to %u letters, digits or '-', a letter "
				    "first", SLICE_ARG(r->kind), KIND_CHARS_MAX);
	if (!is_attachable(r->group, r->kind))
		return decode_error(d, n, "kind %.*s of group \"%.*s\" is not supported; one of Service, "
				    "ServiceEntry (networking.istio.io), Gateway or GatewayClass "
				    "(gateway.networking.k8s.io) is", SLICE_ARG(r->kind),
				    SLICE_ARG(r->group));
	return ok;
}

bool target_ref_is_gateway(const struct target_ref *r)
{
	return slice_eq(r->kind, SLICE("Gateway"));	/* of no other group: ref_check() */
}

static const struct field ref_fields[] = {
	FIELD(struct target_ref, "group", group, decode_string, FIELD_OPTIONAL),
	FIELD(struct target_ref, "kind", kind, decode_string, FIELD_OPTIONAL),
	FIELD(struct target_ref, "name", name, decode_string, FIELD_OPTIONAL),
	FIELD(struct target_ref, "namespace", ns, decode_string, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_ref(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct target_ref *r = out;

	(void)arg;
	r->where = n->where;
	if (!decode_mapping(d, n, ref_fields, r) || !ref_check(d, n, r))
		return false;
	if (!target_ref_is_gateway(r))
		decode_warning(d, n, "the policy attaches to a %.*s, not to labels: it is not applied at this "
		       "edge; use `selector`", SLICE_ARG(r->kind));
	return true;
}

bool decode_target_ref(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct policy_target *t = out;

	t->refs.items = arena_new(d->arena, struct target_ref);
	t->refs.count = 1;
	return decode_ref(d, n, t->refs.items, arg);
}

bool decode_target_refs(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list refs = {
		sizeof(struct target_ref), decode_ref, NULL, TARGET_REFS_MAX
	};
	struct policy_target *t = out;

	(void)arg;
	return decode_list(d, n, &t->refs, &refs);
}

static bool is_written(const struct node *spec, const char *key)
{
	const struct node *n = node_get(spec, key);

	return n != NULL && n->kind != NODE_NULL && !(n->kind == NODE_SEQUENCE && n->count == 0);
}

bool policy_target_check(struct decoder *d, const struct node *spec)
{
	if (is_written(spec, "selector") + is_written(spec, "targetRef") +
	    is_written(spec, "targetRefs") > 1)
		return decode_error(d, spec, "only one of targetRefs or workloadSelector can be set");
	return true;
}

bool annotation_error(struct decoder *d, const struct meta *m, const char *key, const char *text)
{
	size_t spec = d->path_len;
	struct node at = { .where = m->where };
	char path[sizeof(d->path)];

	for (size_t i = 0; i < m->annotations.count; i++)
		if (slice_eq(m->annotations.items[i].key, slice_of(key)))
			at.where = m->annotations.items[i].where;
	memcpy(path, d->path, sizeof(path));
	decode_pop(d, 0);
	decode_push(d, "metadata");
	decode_push(d, "annotations");
	decode_error(d, &at, "%s", text);
	memcpy(d->path, path, sizeof(path));
	d->path_len = spec;
	return false;
}
