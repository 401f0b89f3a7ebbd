/* SPDX-License-Identifier: Apache-2.0
 *
 * Mappings by table, lists, and the words in which their problems are told (decode.h). The leaf
 * decoders are in decode_leaf.c. */
#include "sallyport/decode.h"

#include <stdarg.h>
#include <stdio.h>

#include "sallyport/log.h"

#define PROBLEM_BYTES	1024
#define KNOWN_NAMES_MAX	12	/* fields of a table that a message may list */
#define NEAREST_BYTES	64	/* longer names are not compared */

/* --- problems ------------------------------------------------------------------------------ */

static void add_problem(struct decoder *d, enum severity severity, const struct node *n,
			const char *fmt, va_list args)
{
	char text[PROBLEM_BYTES], head[256] = "";
	struct where where = n != NULL ? n->where : d->where;

	vsnprintf(text, sizeof(text), fmt, args);
	if (d->kind != NULL && d->name != NULL)
		snprintf(head, sizeof(head), "%s %s%s%s: ", d->kind, d->ns != NULL ? d->ns : "",
			 d->ns != NULL ? "/" : "", d->name);
	else if (d->kind != NULL)
		snprintf(head, sizeof(head), "%s: ", d->kind);
	(void)problem_add(d->problems, severity, where, "%s%.*s%s%s", head, (int)d->path_len,
			  d->path, d->path_len > 0 ? ": " : "", text);
}

bool decode_error(struct decoder *d, const struct node *n, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_problem(d, SEVERITY_ERROR, n, fmt, args);
	va_end(args);
	return false;
}

void decode_warning(struct decoder *d, const struct node *n, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_problem(d, SEVERITY_WARNING, n, fmt, args);
	va_end(args);
}

void decode_note(struct decoder *d, const struct node *n, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_problem(d, SEVERITY_NOTE, n, fmt, args);
	va_end(args);
}

bool decode_problem(struct decoder *d, enum severity severity, struct where where,
		    const char *fmt, ...)
{
	struct node at = { .where = where };
	va_list args;

	va_start(args, fmt);
	add_problem(d, severity, &at, fmt, args);
	va_end(args);
	return severity != SEVERITY_ERROR;
}

bool decode_problem_item(struct decoder *d, enum severity severity, struct where where,
			 const char *key, size_t index, const char *fmt, ...)
{
	size_t mark = decode_push(d, key);
	struct node at = { .where = where };
	va_list args;

	decode_push_index(d, index);
	va_start(args, fmt);
	add_problem(d, severity, &at, fmt, args);
	va_end(args);
	decode_pop(d, mark);
	return severity != SEVERITY_ERROR;
}

/* --- path ---------------------------------------------------------------------------------- */

static size_t push_text(struct decoder *d, const char *before, struct slice text,
			const char *after)
{
	size_t mark = d->path_len;
	int n = snprintf(d->path + mark, sizeof(d->path) - mark, "%s%.*s%s", before,
			 SLICE_ARG(text), after);

	if (n > 0)
		d->path_len += (size_t)n;
	if (d->path_len >= sizeof(d->path))
		d->path_len = sizeof(d->path) - 1;
	return mark;
}

size_t decode_push_slice(struct decoder *d, struct slice key)
{
	return push_text(d, d->path_len > 0 ? "." : "", key, "");
}

size_t decode_push(struct decoder *d, const char *key)
{
	return decode_push_slice(d, slice_of(key));
}

size_t decode_push_index(struct decoder *d, size_t index)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%zu", index);
	return push_text(d, "[", slice_of(digits), "]");
}

void decode_pop(struct decoder *d, size_t mark)
{
	d->path_len = mark;
	d->path[mark] = '\0';
}

/* --- near names ---------------------------------------------------------------------------- */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits between two names, neighbours swapped counting one; case does not count. */
static unsigned edit_distance(struct slice a, struct slice b)
{
	unsigned rows[3][NEAREST_BYTES + 1], *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b.len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned *spare = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			char x = ascii_lower(a.at[i - 1]), y = ascii_lower(b.at[j - 1]);

			now[j] = least(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == ascii_lower(b.at[j - 2]) &&
			    ascii_lower(a.at[i - 2]) == y && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

const char *nearest_name(struct slice written, const char *const *names)
{
	const char *best = NULL;
	unsigned best_distance = (unsigned)written.len / 3 + 1;

	if (written.len == 0 || written.len > NEAREST_BYTES)
		return NULL;
	for (; *names != NULL; names++) {
		struct slice name = slice_of(*names);
		unsigned distance;

		if (name.len > NEAREST_BYTES)
			continue;
		distance = edit_distance(written, name);
		if (distance < name.len && (distance < best_distance ||
					    (best == NULL && distance == best_distance))) {
			best = *names;
			best_distance = distance;
		}
	}
	return best;
}

/* --- mappings ------------------------------------------------------------------------------ */

const char *node_found(const struct node *n)
{
	switch (n->kind) {
	case NODE_NULL:		return "nothing";
	case NODE_SCALAR:	return "a single value";
	case NODE_SEQUENCE:	return "a list";
	case NODE_MAPPING:	return "a mapping";
	}
	return "?";
}

static const struct field *find_field(const struct field *fields, struct slice name)
{
	for (; fields->name != NULL; fields++)
		if (slice_eq(name, slice_of(fields->name)))
			return fields;
	return NULL;
}

void decode_join_names(char *out, size_t bytes, const char *const *names)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; names[i] != NULL && len < bytes; i++)
		len += (size_t)snprintf(out + len, bytes - len, "%s%s", i > 0 ? ", " : "", names[i]);
}

static void unknown_field(struct decoder *d, const struct node_pair *pair,
			  const struct field *fields)
{
	const char *names[256], *near;
	char list[512];
	size_t count = 0;

	for (; fields->name != NULL && count + 1 < sizeof(names) / sizeof(names[0]); fields++)
		names[count++] = fields->name;
	names[count] = NULL;
	near = nearest_name(pair->key, names);
	if (near != NULL) {
		decode_problem(d, SEVERITY_ERROR, pair->where,
			       "unknown field \"%.*s\", did you mean \"%s\"?",
			       SLICE_ARG(pair->key), near);
	} else if (count > 0 && count <= KNOWN_NAMES_MAX) {
		decode_join_names(list, sizeof(list), names);
		decode_problem(d, SEVERITY_ERROR, pair->where,
			       "unknown field \"%.*s\"; there are: %s", SLICE_ARG(pair->key), list);
	} else {
		decode_problem(d, SEVERITY_ERROR, pair->where, "unknown field \"%.*s\"",
			       SLICE_ARG(pair->key));
	}
}

static bool decode_field(struct decoder *d, const struct node_pair *pair, const struct field *f,
			 void *out)
{
	size_t mark = decode_push(d, f->name);
	bool ok = true;

	if (f->decode != NULL)
		ok = f->decode(d, pair->value, (char *)out + f->offset, f->arg);
	if (ok && (f->flags & FIELD_LATER))
		decode_problem(d, SEVERITY_WARNING, pair->where, DECODE_NOT_OBEYED);
	if (ok && (f->flags & FIELD_NO_EFFECT))
		decode_problem(d, SEVERITY_NOTE, pair->where, "has no effect here");
	decode_pop(d, mark);
	return ok;
}

static bool check_required(struct decoder *d, const struct node *n, const struct field *fields)
{
	bool ok = true;

	for (; fields->name != NULL; fields++) {
		const struct node *value;

		if (!(fields->flags & FIELD_REQUIRED))
			continue;
		value = node_get(n, fields->name);
		if (value == NULL || value->kind == NODE_NULL)
			ok = decode_error(d, n, "missing required field \"%s\"", fields->name);
	}
	return ok;
}

bool decode_mapping(struct decoder *d, const struct node *n, const struct field *fields, void *out)
{
	bool ok = true;

	if (n->kind != NODE_MAPPING)
		return decode_error(d, n, "must be a mapping of fields, found %s", node_found(n));
	for (size_t i = 0; i < n->count; i++) {
		const struct node_pair *pair = &n->pairs[i];
		const struct field *f = find_field(fields, pair->key);

		if (f == NULL) {
			unknown_field(d, pair, fields);
			ok = false;
		} else if (pair->value->kind != NODE_NULL) {
			ok = decode_field(d, pair, f, out) && ok;
		}
	}
	return check_required(d, n, fields) && ok;
}

bool decode_struct(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	return decode_mapping(d, n, arg, out);
}

bool decode_pointer(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct decode_pointer *p = arg;
	void *object = arena_zalloc(d->arena, p->size);

	*(void **)out = object;
	return p->decode(d, n, object, p->arg);
}

bool decode_nullable(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct decode_nullable *row = arg;

	*(bool *)out = true;
	return row->decode(d, n, (char *)out + row->value_offset, row->arg);
}

bool decode_ignored(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)d;
	(void)n;
	(void)out;
	(void)arg;
	return true;
}

/* --- lists --------------------------------------------------------------------------------- */

/* What every LIST(type) looks like in memory. */
struct any_list {
	void *items;
	size_t count;
};

bool decode_is_list(struct decoder *d, const struct node *n, size_t max)
{
	if (n->kind != NODE_SEQUENCE)
		return decode_error(d, n, "must be a list, found %s; begin each entry with \"- \"",
				    node_found(n));
	if (max > 0 && n->count > max)
		return decode_error(d, n, "has %zu items, %zu are allowed", n->count, max);
	return true;
}

static bool decode_items(struct decoder *d, const struct node *n, struct any_list *list,
			 const struct decode_list *row, bool nulls)
{
	bool ok = true;

	if (!decode_is_list(d, n, row->max))
		return false;
	list->items = arena_zalloc_array(d->arena, n->count, row->size);
	list->count = 0;
	for (size_t i = 0; i < n->count; i++) {
		size_t mark = decode_push_index(d, i);

		if (n->items[i]->kind == NODE_NULL && !nulls)
			ok = decode_error(d, n->items[i], "is null: write a value or remove the item");
		else
			ok = row->decode(d, n->items[i],
					 (char *)list->items + row->size * list->count++,
					 row->arg) && ok;
		decode_pop(d, mark);
	}
	return ok;
}

bool decode_list(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	return decode_items(d, n, out, arg, false);
}

bool decode_list_and_nulls(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	return decode_items(d, n, out, arg, true);
}

static bool decode_located(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct located_slice *l = out;

	l->where = n->where;
	return decode_string(d, n, &l->text, arg);
}

bool decode_string_list(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct located_slice), decode_located, NULL, 0 };

	(void)arg;
	return decode_list(d, n, out, &row);
}

bool decode_string_map(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	LIST(struct string_entry) *map = out;
	bool ok = true;

	(void)arg;
	if (n->kind != NODE_MAPPING)
		return decode_error(d, n, "must be a mapping of names to strings, found %s",
				    node_found(n));
	map->items = arena_array(d->arena, struct string_entry, n->count);
	map->count = n->count;
	for (size_t i = 0; i < n->count; i++) {
		struct string_entry *e = &map->items[i];
		size_t mark = decode_push_slice(d, n->pairs[i].key);

		e->key = n->pairs[i].key;
		e->where = n->pairs[i].where;
		e->value = SLICE("");
		if (n->pairs[i].value->kind != NODE_NULL)
			ok = decode_string(d, n->pairs[i].value, &e->value, NULL) && ok;
		decode_pop(d, mark);
	}
	return ok;
}

/* --- metadata ------------------------------------------------------------------------------ */

struct slice string_entries_find(const struct string_entry *items, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(items[i].key, slice_of(key)))
			return items[i].value;
	return NO_SLICE;
}

struct slice meta_label(const struct meta *m, const char *key)
{
	return string_entries_find(m->labels.items, m->labels.count, key);
}

struct slice meta_annotation(const struct meta *m, const char *key)
{
	return string_entries_find(m->annotations.items, m->annotations.count, key);
}
