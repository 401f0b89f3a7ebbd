/* SPDX-License-Identifier: Apache-2.0
 *
 * headers.request and headers.response: set, add, remove (spec 7.6, V50-V58). */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/names.h"

/* Framing stays under the proxy's control. */
static bool is_framing(struct slice name)
{
	static const char *const names[] = { "content-length", "transfer-encoding", "connection",
					    NULL };

	for (size_t i = 0; names[i] != NULL; i++)
		if (slice_eq_nocase(name, slice_of(names[i])))
			return true;
	return false;
}

static bool is_host(struct slice name)
{
	return slice_eq_nocase(name, SLICE("host")) || slice_eq_nocase(name, SLICE(":authority"));
}

static bool check_name(struct decoder *d, struct where where, struct slice name)
{
	struct slice token = slice_starts(name, SLICE(":")) ? slice_from(name, 1) : name;

	if (name.len == 0)
		return decode_problem(d, SEVERITY_ERROR, where, "an empty header name");
	return name_is_token(token) ||
	       decode_problem(d, SEVERITY_ERROR, where, "\"%.*s\" is no header name",
			      SLICE_ARG(name));
}

static bool check_written_name(struct decoder *d, struct where where, struct slice name,
			       bool response)
{
	if (!check_name(d, where, name))
		return false;
	if (response && (is_host(name) || name.at[0] == ':'))
		return decode_problem(d, SEVERITY_ERROR, where,
				      "\"%.*s\" cannot be changed in a response", SLICE_ARG(name));
	if (name.at[0] == ':' && !is_host(name))
		return decode_problem(d, SEVERITY_ERROR, where,
				      "\"%.*s\" cannot be changed here, of the pseudo "
				      "headers only :authority",
				      SLICE_ARG(name));
	return !is_framing(name) ||
	       decode_problem(d, SEVERITY_ERROR, where,
			      "\"%.*s\" belongs to the message's framing, which is the proxy's",
			      SLICE_ARG(name));
}

static bool check_removed_name(struct decoder *d, struct where where, struct slice name,
			       bool response)
{
	if (!check_name(d, where, name))
		return false;
	return (!is_host(name) && name.at[0] != ':') ||
	       decode_problem(d, SEVERITY_ERROR, where, "\"%.*s\" cannot be removed from a %s",
			      SLICE_ARG(name), response ? "response" : "request");
}

static struct slice lower_name(struct decoder *d, struct slice name, bool response)
{
	char *text = arena_text(d->arena, name);

	for (size_t i = 0; i < name.len; i++)
		text[i] = ascii_lower(text[i]);
	return !response && is_host(name) ? SLICE(":authority") : slice_make(text, name.len);
}

static bool check_value(struct decoder *d, const struct node *n, struct header_value *h)
{
	struct format_error why;

	if (h->value.len == 0)
		decode_warning(d, n, "an empty value does nothing; to delete a header use remove");
	for (size_t i = 0; i < h->value.len; i++)
		if (((unsigned char)h->value.at[i] < 0x20 && h->value.at[i] != '\t') ||
		    h->value.at[i] == 0x7f)
			return decode_error(d, n, "control character 0x%02x in a header value",
					    (unsigned)h->value.at[i]);
	if (!format_parse(d->arena, h->value, &h->format, &why))
		return decode_error(d, n, "at offset %zu: %s", why.offset, why.text);
	return true;
}

static bool decode_entry(struct decoder *d, const struct node_pair *pair, bool response,
			 struct header_value *h)
{
	struct node empty = {
		.kind = NODE_SCALAR, .quoted = true, .where = pair->where, .text = SLICE("")};
	const struct node *value = pair->value->kind != NODE_NULL ? pair->value : &empty;
	bool ok = check_written_name(d, pair->where, pair->key, response);

	h->where = pair->where;
	h->name = lower_name(d, pair->key, response);
	return decode_string(d, value, &h->value, NULL) && check_value(d, value, h) && ok;
}

typedef LIST(struct header_value) value_list;

/* By name; equal names (that differ in case) keep the order written. */
static void sort_values(value_list *list)
{
	for (size_t i = 1; i < list->count; i++) {
		struct header_value moved = list->items[i];
		size_t j = i;

		for (; j > 0 && slice_cmp(list->items[j - 1].name, moved.name) > 0; j--)
			list->items[j] = list->items[j - 1];
		list->items[j] = moved;
	}
}

static bool decode_values(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	value_list *list = out;
	bool ok = true;

	if (n->kind != NODE_MAPPING)
		return decode_error(d, n, "must be a mapping of header names to values, found %s",
				    node_found(n));
	list->items = arena_array(d->arena, struct header_value, n->count + 1);
	for (size_t i = 0; i < n->count; i++) {
		size_t mark = decode_push_slice(d, n->pairs[i].key);

		ok = decode_entry(d, &n->pairs[i], arg != NULL, &list->items[list->count++]) && ok;
		decode_pop(d, mark);
	}
	sort_values(list);
	return ok;
}

static bool decode_remove(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	LIST(struct slice) *names = out;
	LIST(struct located_slice) written = { 0 };
	bool ok = decode_string_list(d, n, &written, NULL);

	names->items = arena_array(d->arena, struct slice, written.count + 1);
	for (size_t i = 0; i < written.count; i++) {
		size_t mark = decode_push_index(d, i);

		if (written.items[i].text.at == NULL)
			ok = false;
		else if (check_removed_name(d, written.items[i].where, written.items[i].text,
					    arg != NULL))
			names->items[names->count++] =
				lower_name(d, written.items[i].text, arg != NULL);
		else
			ok = false;
		decode_pop(d, mark);
	}
	return ok;
}

#define OPS_FIELDS(response) { \
	FIELD_ARG(struct header_ops, "set",	set,	decode_values,	FIELD_OPTIONAL, response), \
	FIELD_ARG(struct header_ops, "add",	add,	decode_values,	FIELD_OPTIONAL, response), \
	FIELD_ARG(struct header_ops, "remove",	remove,	decode_remove,	FIELD_OPTIONAL, response), \
	FIELDS_END \
}
static const struct field request_ops_fields[] = OPS_FIELDS(NULL);
static const struct field response_ops_fields[] = OPS_FIELDS("response");

static const struct field headers_fields[] = {
	FIELD_ARG(struct headers_policy, "request", request, decode_struct, FIELD_OPTIONAL,
		  request_ops_fields),
	FIELD_ARG(struct headers_policy, "response", response, decode_struct, FIELD_OPTIONAL,
		  response_ops_fields),
	FIELDS_END
};

bool vs_decode_headers_policy(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)arg;
	return decode_mapping(d, n, headers_fields, out);
}
