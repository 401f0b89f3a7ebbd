/* SPDX-License-Identifier: Apache-2.0
 *
 * claims.c - see claims.h. */
#include "sallyport/claims.h"

#include "sallyport/log.h"
#include "sallyport/spop.h"
#include "sallyport/strict_json.h"

/* ---- keys ---- */

struct slice claim_key(struct arena *a, const struct slice *names, size_t count)
{
	struct spop_writer w;
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < count; i++)
		bytes += spop_varint_size(names[i].len) + names[i].len;
	at = arena_alloc(a, bytes);
	w = spop_writer_of(at, bytes);
	for (size_t i = 0; i < count; i++)
		spop_write_bytes(&w, names[i]);
	must(!w.full);
	return slice_make(at, bytes);
}

/* False: malformed, or deeper than documents can ask. */
static bool key_names(struct slice key, struct slice *names, size_t *count)
{
	struct spop_reader r = spop_reader_of(key);

	for (*count = 0; spop_reader_has_more(&r) && *count < CLAIM_DEPTH_MAX; (*count)++)
		names[*count] = spop_read_bytes(&r);
	return !r.broken && r.at == r.end && *count > 0;
}

struct slice claim_key_text(struct arena *a, struct slice key)
{
	struct slice names[CLAIM_DEPTH_MAX];
	const char *text = "", *form = "%s%s%.*s";
	size_t count;

	if (!key_names(key, names, &count))
		return NO_SLICE;
	for (size_t i = 0; i < count; i++)
		if (slice_find(names[i], '.') >= 0)
			form = "%s%.0s[%.*s]";
	for (size_t i = 0; i < count; i++)
		text = arena_printf(a, form, text, i > 0 ? "." : "", SLICE_ARG(names[i]));
	return slice_of(text);
}

/* ---- questions ---- */

static bool is_asked(const struct claims_asked *q, struct slice key)
{
	for (size_t i = 0; i < q->keys.count; i++)
		if (slice_eq(q->keys.items[i], key))
			return true;
	return false;
}

const struct claims_asked *claims_asked_create(struct arena *a, const struct slice *keys, size_t count)
{
	struct claims_asked *q = arena_new(a, struct claims_asked);
	struct spop_writer w;
	size_t bytes = 0;
	char *at;

	q->keys.items = arena_array(a, struct slice, count);
	for (size_t i = 0; i < count; i++)
		if (!is_asked(q, keys[i])) {
			q->keys.items[q->keys.count++] = keys[i];
			bytes += spop_varint_size(keys[i].len) + keys[i].len;
		}
	at = arena_alloc(a, bytes);
	w = spop_writer_of(at, bytes);
	for (size_t i = 0; i < q->keys.count; i++)
		spop_write_bytes(&w, q->keys.items[i]);
	must(!w.full);
	q->wire = slice_make(at, bytes);
	return q;
}

/* ---- answers ---- */

const struct claim_value *claim_set_find(const struct claim_set *set, struct slice key)
{
	if (set == NULL)
		return NULL;
	for (size_t i = 0; i < set->asked->keys.count; i++)
		if (slice_eq(set->asked->keys.items[i], key))
			return &set->values[i];
	return NULL;
}

static bool is_always_split(struct slice name)
{
	return slice_eq(name, SLICE("scope")) || slice_eq(name, SLICE("permission"));
}

static struct slice json_slice(const json_t *s)
{
	return slice_make(json_string_value(s), json_string_length(s));
}

static void take_words(struct arena *a, struct slice text, struct claim_value *out)
{
	struct slice word;
	size_t most = 1;

	for (size_t i = 0; i < text.len; i++)
		most += text.at[i] == ' ';
	out->texts.items = arena_array(a, struct slice, most);
	while (text.at != NULL) {
		word = slice_cut(&text, ' ');
		if (word.len > 0)
			out->texts.items[out->texts.count++] = word;
	}
}

static void take_strings(struct arena *a, const json_t *list, struct claim_value *out)
{
	out->texts.items = arena_array(a, struct slice, json_array_size(list));
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_is_string(json_array_get(list, i)))
			out->texts.items[out->texts.count++] = json_slice(json_array_get(list, i));
}

/* Whose claims they are, and how they are read. */
struct source {
	const json_t *claims;
	bool (*is_split)(const void *arg, struct slice name);
	const void *arg;
};

/* Texts point into the JSON. False: the key is malformed. */
static bool find_value(struct arena *a, const struct source *from, struct slice key, struct claim_value *out)
{
	struct slice names[CLAIM_DEPTH_MAX];
	const json_t *at = from->claims;
	size_t count;

	if (!key_names(key, names, &count))
		return false;
	for (size_t i = 0; at != NULL && i < count; i++)
		at = json_is_object(at) ? json_object_getn(at, names[i].at, names[i].len) : NULL;
	out->present = at != NULL && !json_is_null(at);
	if (json_is_array(at)) {
		take_strings(a, at, out);
	} else if (json_is_string(at) && count == 1 &&
		   (is_always_split(names[0]) ||
		    (from->is_split != NULL && from->is_split(from->arg, names[0])))) {
		take_words(a, json_slice(at), out);
	} else if (json_is_string(at)) {
		out->texts.items = arena_new(a, struct slice);
		out->texts.items[out->texts.count++] = json_slice(at);
	}
	return true;
}

static size_t value_bytes(const struct claim_value *v)
{
	size_t bytes = spop_varint_size(v->texts.count + 1);

	for (size_t i = 0; i < v->texts.count; i++)
		bytes += spop_varint_size(v->texts.items[i].len) + v->texts.items[i].len;
	return bytes;
}

static void write_value(struct spop_writer *w, const struct claim_value *v)
{
	spop_write_varint(w, v->present ? v->texts.count + 1 : 0);
	for (size_t i = 0; v->present && i < v->texts.count; i++)
		spop_write_bytes(w, v->texts.items[i]);
}

struct slice claim_values_write(struct arena *a, struct slice asked, const json_t *claims,
				bool (*is_split)(const void *arg, struct slice name), const void *arg)
{
	const struct source from = { claims, is_split, arg };
	/* A key has a byte for its own length and one for that of its first name at least. */
	struct claim_value *values = arena_array(a, struct claim_value, asked.len / 2 + 1);
	struct spop_reader r = spop_reader_of(asked);
	struct spop_writer w;
	size_t count = 0, bytes = 0;
	char *at;

	for (; spop_reader_has_more(&r); count++) {
		struct slice key = spop_read_bytes(&r);

		if (r.broken || !find_value(a, &from, key, &values[count]))
			return NO_SLICE;
		bytes += value_bytes(&values[count]);
	}
	at = arena_alloc(a, bytes);
	w = spop_writer_of(at, bytes);
	for (size_t i = 0; i < count; i++)
		write_value(&w, &values[i]);
	must(!w.full);
	return slice_make(at, spop_writer_used(&w));
}

/* Lengths come from the network: no more texts than there are bytes. */
static bool read_value(struct arena *a, struct spop_reader *r, struct claim_value *out)
{
	uint64_t n = spop_read_varint(r);

	if (r->broken || n > (uint64_t)(r->end - r->at) + 1)
		return false;
	out->present = n > 0;
	if (n < 2)
		return true;
	out->texts.items = arena_array(a, struct slice, (size_t)n - 1);
	while (out->texts.count < n - 1)
		out->texts.items[out->texts.count++] = spop_read_bytes(r);
	return !r->broken;
}

static struct claim_set *set_create(struct arena *a, const struct claims_asked *asked)
{
	struct claim_set *set = arena_new(a, struct claim_set);

	set->asked = asked;
	set->values = arena_array(a, struct claim_value, asked->keys.count);
	return set;
}

const struct claim_set *claim_values_read(struct arena *a, const struct claims_asked *asked, struct slice wire)
{
	struct claim_set *set = set_create(a, asked);
	struct spop_reader r = spop_reader_of(wire);

	for (size_t i = 0; i < asked->keys.count; i++)
		if (!read_value(a, &r, &set->values[i]))
			return NULL;
	return r.at == r.end ? set : NULL;
}

const struct claim_set *claims_of_json(struct arena *a, const struct claims_asked *asked, struct slice json)
{
	struct claim_set *set = set_create(a, asked);
	struct source from = { .is_split = NULL };
	json_t *claims = strict_json_object(json, CLAIMS_JSON_DEPTH_MAX);

	if (claims == NULL)
		return NULL;
	from.claims = claims;
	for (size_t i = 0; i < asked->keys.count; i++) {
		struct claim_value *v = &set->values[i];

		must(find_value(a, &from, asked->keys.items[i], v));
		for (size_t k = 0; k < v->texts.count; k++)
			v->texts.items[k] = arena_slice(a, v->texts.items[k]);
	}
	json_decref(claims);
	return set;
}
