/* SPDX-License-Identifier: Apache-2.0
 *
 * Secret and ConfigMap: values decoded, stringData laid over data (spec/gateway.md 11.2, 11.3). */
#include "sallyport/resource/secret.h"

#include "common/yaml/scalar.h"
#include "sallyport/base64.h"

#define KEY_BYTES_MAX	253u

/* LIST(struct string_entry) of either kind. */
struct entries {
	struct string_entry *items;
	size_t count;
};

static bool check_key(struct decoder *d, const struct node_pair *pair)
{
	struct slice key = pair->key;
	bool ok = key.len > 0 && key.len <= KEY_BYTES_MAX && !slice_eq(key, SLICE(".")) &&
		  !slice_eq(key, SLICE(".."));

	for (size_t i = 0; ok && i < key.len; i++) {
		char c = key.at[i];

		ok = ascii_is_alnum(c) || c == '-' || c == '_' || c == '.';
	}
	if (ok)
		return true;
	return decode_problem(d, SEVERITY_ERROR, pair->where, "bad key \"%.*s\": letters, digits, -, _ and . "
			      "up to %u characters", SLICE_ARG(key), KEY_BYTES_MAX);
}

/* Block scalars and wrapped lines are common; white space is no part of base64. */
static struct slice without_space(struct arena *a, struct slice s)
{
	char *copy = arena_text(a, s);
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] != '\n' && s.at[i] != '\r' && s.at[i] != ' ' && s.at[i] != '\t')
			copy[len++] = s.at[i];
	return slice_make(copy, len);
}

static bool decode_base64(struct decoder *d, const struct node *n, struct slice *out)
{
	struct slice text;
	unsigned char *bytes;
	ptrdiff_t len;

	/* Plain digits are base64 too: the text counts, whatever YAML reads in it. */
	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be base64 text, found %s", node_found(n));
	text = without_space(d->arena, n->text);
	bytes = arena_alloc(d->arena, BASE64_DECODED_MAX(text.len) + 1);
	len = base64_decode(text, bytes);
	if (len < 0)
		return decode_error(d, n, "is no base64: encode the value, or write it as it is below "
				    "stringData (a Secret) or data (a ConfigMap)");
	bytes[len] = '\0';
	*out = slice_make(bytes, (size_t)len);
	return true;
}

/* As decode_string(), whose messages would show the value. */
static bool decode_secret_text(struct decoder *d, const struct node *n, struct slice *out)
{
	bool ignored;

	if (n->kind != NODE_SCALAR)
		return decode_error(d, n, "must be a string, found %s", node_found(n));
	if (!n->quoted && (scalar_is_number(n->text) || scalar_is_bool(n->text, &ignored)))
		return decode_error(d, n, "must be a string, found a number or boolean: put it in quotes");
	*out = n->text;
	return true;
}

static void set_entry(struct decoder *d, struct entries *e, struct string_entry entry)
{
	struct string_entry *items;

	for (size_t i = 0; i < e->count; i++) {
		if (!slice_eq(e->items[i].key, entry.key))
			continue;
		e->items[i] = entry;
		return;
	}
	/* A handful of keys: growing by one is cheap enough. */
	items = arena_array(d->arena, struct string_entry, e->count + 1);
	if (e->count > 0)
		memcpy(items, e->items, e->count * sizeof(*items));
	items[e->count++] = entry;
	e->items = items;
}

#define KEYS_MAX	1000u	/* of one document */

static bool decode_values(struct decoder *d, const struct node *n, struct entries *out, bool base64)
{
	bool ok = true;

	if (n->kind != NODE_MAPPING)
		return decode_error(d, n, "must be a mapping of keys to values, found %s", node_found(n));
	if (n->count > KEYS_MAX)
		return decode_error(d, n, "has %zu keys, %u are allowed", n->count, KEYS_MAX);
	for (size_t i = 0; i < n->count; i++) {
		const struct node_pair *pair = &n->pairs[i];
		struct string_entry entry = { .key = pair->key, .value = SLICE(""), .where = pair->where };
		size_t mark = decode_push_slice(d, pair->key);
		bool fine = check_key(d, pair);

		if (pair->value->kind != NODE_NULL)
			fine = (base64 ? decode_base64(d, pair->value, &entry.value) :
				decode_secret_text(d, pair->value, &entry.value)) && fine;
		if (fine)
			set_entry(d, out, entry);
		ok = fine && ok;
		decode_pop(d, mark);
	}
	return ok;
}

static bool decode_encoded(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)arg;
	return decode_values(d, n, out, true);
}

static bool decode_literal(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)arg;
	return decode_values(d, n, out, false);
}

static bool check_size(struct decoder *d, const struct node *root, const struct string_entry *items,
		       size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += items[i].value.len;
	if (bytes <= SECRET_BYTES_MAX)
		return true;
	return decode_error(d, root, "its values have %zu bytes, %u are allowed", bytes, SECRET_BYTES_MAX);
}

#define ENVELOPE_FIELDS \
	{ "apiVersion", decode_ignored, 0, FIELD_OPTIONAL, NULL }, \
	{ "kind", decode_ignored, 0, FIELD_OPTIONAL, NULL }, \
	{ "metadata", decode_ignored, 0, FIELD_OPTIONAL, NULL }, \
	{ "immutable", decode_ignored, 0, FIELD_OPTIONAL, NULL }

struct secret *secret_decode(struct decoder *d, const struct node *root, const struct meta *meta)
{
	/* stringData wins over data whatever the order they are written in. */
	static const struct field first[] = {
		ENVELOPE_FIELDS,
		{ "type", decode_ignored, 0, FIELD_OPTIONAL, NULL },
		FIELD(struct secret, "data", data, decode_encoded, FIELD_OPTIONAL),
		{ "stringData", decode_ignored, 0, FIELD_OPTIONAL, NULL },
		FIELDS_END
	};
	struct secret *s = arena_new(d->arena, struct secret);
	const struct node *literal = node_get(root, "stringData");
	size_t mark;

	s->meta = meta;
	decode_mapping(d, root, first, s);
	if (literal != NULL && literal->kind != NODE_NULL) {
		mark = decode_push(d, "stringData");
		decode_literal(d, literal, &s->data, NULL);
		decode_pop(d, mark);
	}
	check_size(d, root, s->data.items, s->data.count);
	return s;
}

struct config_map *config_map_decode(struct decoder *d, const struct node *root,
				     const struct meta *meta)
{
	static const struct field fields[] = {
		ENVELOPE_FIELDS,
		FIELD(struct config_map, "data", data, decode_literal, FIELD_OPTIONAL),
		FIELD(struct config_map, "binaryData", data, decode_encoded, FIELD_OPTIONAL),
		FIELDS_END
	};
	struct config_map *m = arena_new(d->arena, struct config_map);

	m->meta = meta;
	decode_mapping(d, root, fields, m);
	check_size(d, root, m->data.items, m->data.count);
	return m;
}

struct slice secret_value(const struct secret *s, const char *key)
{
	return string_entries_find(s->data.items, s->data.count, key);
}

struct slice config_map_value(const struct config_map *m, const char *key)
{
	return string_entries_find(m->data.items, m->data.count, key);
}
