/* SPDX-License-Identifier: Apache-2.0
 *
 * libyaml's events into node trees (node.h).
 *
 * A syntax error ends the file: libyaml cannot find its way back. Everything else that is refused
 * (duplicate keys, merge keys, tags, ...) is noted and reading goes on, so that all is seen at once.
 * An alias shares the nodes of its anchor; what it would cost written out is counted all the same,
 * because every decoder walks it again. */
#include <stdlib.h>
#include <uthash.h>
#include <yaml.h>

#include "common/yaml/scalar.h"
#include "sallyport/hash.h"
#include "sallyport/log.h"
#include "sallyport/node.h"

#define NODE_COST_BYTES		16u	/* what a node counts for beside its text */
#define LINEAR_KEYS_MAX		16u	/* mappings up to here look for duplicates one by one */

/* What a subtree amounts to with its aliases written out. */
struct extent {
	size_t nodes, bytes;
	unsigned height;
};

struct anchor {
	char *name;			/* owned */
	struct node *node;		/* NULL while the anchored node is still being read */
	struct extent extent;
	UT_hash_handle hh;
};

struct reader {
	struct arena *arena;		/* of nodes */
	struct arena *text;		/* of what scalars and keys say */
	const char *file;
	struct problems *problems;
	yaml_parser_t parser;
	struct anchor *anchors;		/* of the current document, by name */
	size_t nodes;			/* of the file so far, aliases written out */
	size_t alias_bytes;		/* brought in by aliases alone */
	size_t errors;
	bool stop;
};

static struct where where_of(const struct reader *r, yaml_mark_t mark)
{
	return (struct where){ r->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

#define refuse(r, where, ...) \
	((r)->errors++, (void)problem_add((r)->problems, SEVERITY_ERROR, (where), __VA_ARGS__))

static bool next_event(struct reader *r, yaml_event_t *e)
{
	const yaml_parser_t *p = &r->parser;
	yaml_mark_t mark;

	if (yaml_parser_parse(&r->parser, e))
		return true;
	r->stop = true;
	if (p->error == YAML_MEMORY_ERROR)
		fatal("out of memory: reading %s", r->file);
	mark = p->problem_mark;
	if (p->error == YAML_READER_ERROR) {
		mark = p->mark;
		refuse(r, where_of(r, mark), "not YAML: %s (byte offset %zu)",
		       p->problem != NULL ? p->problem : "unreadable", p->problem_offset);
		return false;
	}
	refuse(r, where_of(r, mark), "not YAML: %s%s%s", p->problem != NULL ? p->problem : "?",
	       p->context != NULL ? ", " : "", p->context != NULL ? p->context : "");
	return false;
}

static struct node *new_node(struct reader *r, enum node_kind kind, yaml_mark_t mark)
{
	struct node *n = arena_new(r->arena, struct node);

	n->kind = kind;
	n->where = where_of(r, mark);
	return n;
}

/* --- anchors ------------------------------------------------------------------------------- */

static void forget_anchors(struct reader *r)
{
	struct anchor *a, *next;

	HASH_ITER(hh, r->anchors, a, next) {
		HASH_DEL(r->anchors, a);
		free(a->name);
		free(a);
	}
}

static struct anchor *open_anchor(struct reader *r, const yaml_char_t *name)
{
	struct anchor *a;

	if (name == NULL)
		return NULL;
	HASH_FIND_STR(r->anchors, (const char *)name, a);
	if (a == NULL) {
		a = calloc(1, sizeof(*a));
		if (a == NULL || (a->name = strdup((const char *)name)) == NULL)
			fatal("out of memory: YAML anchor");
		HASH_ADD_KEYPTR(hh, r->anchors, a->name, strlen(a->name), a);
	}
	a->node = NULL;
	return a;
}

static void close_anchor(struct anchor *a, struct node *n, struct extent extent)
{
	if (a == NULL)
		return;
	a->node = n;
	a->extent = extent;
}

/* --- limits -------------------------------------------------------------------------------- */

static bool count_nodes(struct reader *r, size_t nodes, struct where where)
{
	r->nodes += nodes;
	if (r->nodes <= YAML_NODES_MAX)
		return true;
	refuse(r, where, "more than %u values in one file: split it", YAML_NODES_MAX);
	r->stop = true;
	return false;
}

static void grow(struct extent *whole, struct extent part)
{
	whole->nodes += part.nodes;
	whole->bytes += part.bytes;
	if (part.height + 1 > whole->height)
		whole->height = part.height + 1;
}

/* --- nodes --------------------------------------------------------------------------------- */

static struct node *read_node(struct reader *r, yaml_event_t *e, unsigned depth,
			      struct extent *extent);

static struct node *read_alias(struct reader *r, const yaml_event_t *e, unsigned depth,
			       struct extent *extent)
{
	const char *name = (const char *)e->data.alias.anchor;
	struct where where = where_of(r, e->start_mark);
	struct anchor *a;

	HASH_FIND_STR(r->anchors, name, a);
	if (a == NULL || a->node == NULL) {
		refuse(r, where, a == NULL ? "alias *%s: no such anchor before it in this document" :
			 "alias *%s stands inside its own anchor", name);
		return new_node(r, NODE_NULL, e->start_mark);
	}
	r->alias_bytes += a->extent.bytes;
	if (r->alias_bytes > YAML_ALIAS_BYTES_MAX) {
		refuse(r, where, "aliases expand to more than %u bytes: write the values out",
			 YAML_ALIAS_BYTES_MAX);
		r->stop = true;
		return NULL;
	}
	if (depth + a->extent.height > YAML_DEPTH_MAX) {
		refuse(r, where, "nested more than %u levels deep through alias *%s",
			 YAML_DEPTH_MAX, name);
		return new_node(r, NODE_NULL, e->start_mark);
	}
	if (!count_nodes(r, a->extent.nodes, where))
		return NULL;
	*extent = a->extent;
	return a->node;
}

#define CORE_TAG "tag:yaml.org,2002:"

/* A tag may only repeat what the value is, or make a string of it. */
static void apply_tag(struct reader *r, struct node *n, const yaml_char_t *tag)
{
	static const struct { const char *name; enum node_kind kind; } core[] = {
		{ CORE_TAG "str", NODE_SCALAR }, { CORE_TAG "int", NODE_SCALAR },
		{ CORE_TAG "float", NODE_SCALAR }, { CORE_TAG "bool", NODE_SCALAR },
		{ CORE_TAG "null", NODE_NULL }, { CORE_TAG "seq", NODE_SEQUENCE },
		{ CORE_TAG "map", NODE_MAPPING }, { "!", NODE_SCALAR },
	};
	struct slice name = slice_of((const char *)tag), short_name;
	bool ignored, fits;

	if (tag == NULL)
		return;
	for (size_t i = 0; i < sizeof(core) / sizeof(core[0]); i++) {
		if (!slice_eq(name, slice_of(core[i].name)))
			continue;
		short_name = slice_from(name, i == 7 ? 0 : strlen(CORE_TAG));
		fits = n->kind == core[i].kind || i == 7 || (i == 0 && n->kind == NODE_NULL);
		if (i == 1)
			fits = fits && scalar_is_integer(n->text);
		else if (i == 2)
			fits = fits && scalar_is_number(n->text);
		else if (i == 3)
			fits = fits && scalar_is_bool(n->text, &ignored);
		if (!fits)
			refuse(r, n->where, "the value is no %.*s, as its tag claims",
				 SLICE_ARG(short_name));
		if ((i == 0 || i == 7) && n->kind <= NODE_SCALAR) {
			n->kind = NODE_SCALAR;
			n->quoted = true;
		} else {
			n->quoted = false;
		}
		return;
	}
	refuse(r, n->where, "tag %s is not supported: only those of the core schema are", (char *)tag);
}

static struct node *read_scalar(struct reader *r, const yaml_event_t *e, struct extent *extent)
{
	struct slice text = slice_make(e->data.scalar.value, e->data.scalar.length);
	struct node *n = new_node(r, NODE_SCALAR, e->start_mark);

	if (memchr(text.at, '\0', text.len) != NULL) {
		refuse(r, n->where, "a string cannot hold a NUL character");
		text.len = 0;
	}
	n->text = arena_slice(r->text, text);
	n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!n->quoted && scalar_is_null(text))
		n->kind = NODE_NULL;
	apply_tag(r, n, e->data.scalar.tag);
	extent->bytes += text.len;
	return n;
}

static struct node *read_sequence(struct reader *r, const yaml_event_t *start, unsigned depth,
				  struct extent *extent)
{
	struct node *n = new_node(r, NODE_SEQUENCE, start->start_mark), **items = NULL;
	size_t capacity = 0;
	yaml_event_t e;

	apply_tag(r, n, start->data.sequence_start.tag);
	while (!r->stop && next_event(r, &e)) {
		struct extent part = { 0 };
		struct node *item;

		if (e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		item = read_node(r, &e, depth + 1, &part);
		yaml_event_delete(&e);
		if (item == NULL)
			break;
		if (n->count == capacity) {
			capacity = capacity > 0 ? 2 * capacity : 8;
			items = realloc(items, capacity * sizeof(*items));
			if (items == NULL)
				fatal("out of memory: YAML list");
		}
		items[n->count++] = item;
		grow(extent, part);
	}
	n->items = arena_array(r->arena, struct node *, n->count + 1);
	if (n->count > 0)
		memcpy(n->items, items, n->count * sizeof(*items));
	free(items);
	return n;
}

/* --- mappings ------------------------------------------------------------------------------ */

/* Keys seen so far; a table once there are too many to compare one by one. */
struct key_table {
	struct node_pair *pairs;	/* owned until copied to the arena */
	size_t count, capacity;
	size_t *slots;			/* index + 1 of the pair; 0 free */
	size_t mask;
};

static size_t *key_slot(const struct key_table *t, struct slice key)
{
	size_t i = hash_slice(key) & t->mask;

	while (t->slots[i] != 0 && !slice_eq(t->pairs[t->slots[i] - 1].key, key))
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

static const struct node_pair *find_key(const struct key_table *t, struct slice key)
{
	size_t slot;

	if (t->slots != NULL) {
		slot = *key_slot(t, key);
		return slot > 0 ? &t->pairs[slot - 1] : NULL;
	}
	for (size_t i = 0; i < t->count; i++)
		if (slice_eq(t->pairs[i].key, key))
			return &t->pairs[i];
	return NULL;
}

static void grow_slots(struct key_table *t)
{
	free(t->slots);
	t->mask = 4 * t->capacity - 1;
	t->slots = calloc(t->mask + 1, sizeof(*t->slots));
	if (t->slots == NULL)
		fatal("out of memory: YAML mapping");
	for (size_t i = 0; i < t->count; i++)
		*key_slot(t, t->pairs[i].key) = i + 1;
}

static void add_key(struct key_table *t, struct node_pair pair)
{
	if (t->count == t->capacity) {
		t->capacity = t->capacity > 0 ? 2 * t->capacity : 8;
		t->pairs = realloc(t->pairs, t->capacity * sizeof(*t->pairs));
		if (t->pairs == NULL)
			fatal("out of memory: YAML mapping");
		if (t->capacity > LINEAR_KEYS_MAX)
			grow_slots(t);
	}
	t->pairs[t->count++] = pair;
	if (t->slots != NULL)
		*key_slot(t, pair.key) = t->count;
}

/* False: the key was refused; its value is read but not kept. */
static bool check_key(struct reader *r, const struct key_table *t, const struct node *key)
{
	const struct node_pair *first;

	if (key->kind != NODE_SCALAR) {
		refuse(r, key->where, "a key must be a string, found %s", key->kind == NODE_NULL ?
			 "nothing" : key->kind == NODE_MAPPING ? "a mapping" : "a list");
		return false;
	}
	if (!key->quoted && slice_eq(key->text, SLICE("<<"))) {
		refuse(r, key->where, "merge key << is not supported: write the fields out");
		return false;
	}
	first = find_key(t, key->text);
	if (first == NULL)
		return true;
	refuse(r, key->where, "duplicate key \"%.*s\": first written in line %u; keep one of them",
		 SLICE_ARG(key->text), first->where.line);
	return false;
}

static bool read_pair(struct reader *r, yaml_event_t *key_event, unsigned depth,
		      struct key_table *t, struct extent *extent)
{
	struct extent part = { 0 };
	struct node *key, *value;
	struct where where = where_of(r, key_event->start_mark);
	yaml_event_t e;
	bool kept;

	key = read_node(r, key_event, depth + 1, &part);
	if (key == NULL || r->stop)
		return false;
	grow(extent, part);
	kept = check_key(r, t, key);
	if (!next_event(r, &e))
		return false;
	part = (struct extent){ 0 };
	value = read_node(r, &e, depth + 1, &part);
	yaml_event_delete(&e);
	if (value == NULL)
		return false;
	grow(extent, part);
	if (kept)
		add_key(t, (struct node_pair){ key->text, where, value });
	return true;
}

static struct node *read_mapping(struct reader *r, const yaml_event_t *start, unsigned depth,
				 struct extent *extent)
{
	struct node *n = new_node(r, NODE_MAPPING, start->start_mark);
	struct key_table t = { 0 };
	yaml_event_t e;
	bool more = true;

	apply_tag(r, n, start->data.mapping_start.tag);
	while (more && !r->stop && next_event(r, &e)) {
		more = e.type != YAML_MAPPING_END_EVENT && read_pair(r, &e, depth, &t, extent);
		yaml_event_delete(&e);
	}
	n->count = t.count;
	n->pairs = arena_array(r->arena, struct node_pair, t.count + 1);
	if (t.count > 0)
		memcpy(n->pairs, t.pairs, t.count * sizeof(*t.pairs));
	free(t.pairs);
	free(t.slots);
	return n;
}

/* NULL: a limit was reached and the file cannot be read on. The event stays the caller's. */
static struct node *read_node(struct reader *r, yaml_event_t *e, unsigned depth,
			      struct extent *extent)
{
	struct anchor *anchor = NULL;
	struct node *n = NULL;

	if (depth > YAML_DEPTH_MAX) {
		refuse(r, where_of(r, e->start_mark), "nested more than %u levels deep",
			 YAML_DEPTH_MAX);
		r->stop = true;
		return NULL;
	}
	if (e->type == YAML_ALIAS_EVENT)
		return read_alias(r, e, depth, extent);
	if (!count_nodes(r, 1, where_of(r, e->start_mark)))
		return NULL;
	*extent = (struct extent){ .nodes = 1, .bytes = NODE_COST_BYTES };
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		anchor = open_anchor(r, e->data.scalar.anchor);
		n = read_scalar(r, e, extent);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = open_anchor(r, e->data.sequence_start.anchor);
		n = read_sequence(r, e, depth, extent);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = open_anchor(r, e->data.mapping_start.anchor);
		n = read_mapping(r, e, depth, extent);
		break;
	default:
		fatal("%s: a YAML event of type %d where a value belongs", r->file, (int)e->type);
	}
	close_anchor(anchor, n, *extent);
	return n;
}

/* --- files --------------------------------------------------------------------------------- */

struct document_list {
	struct node **items;
	size_t count, capacity;
};

static void keep_document(struct document_list *l, struct node *root)
{
	if (l->count == l->capacity) {
		l->capacity = l->capacity > 0 ? 2 * l->capacity : 8;
		l->items = realloc(l->items, l->capacity * sizeof(*l->items));
		if (l->items == NULL)
			fatal("out of memory: YAML documents");
	}
	l->items[l->count++] = root;
}

/* One document after its start event. */
static void read_document(struct reader *r, struct document_list *l)
{
	struct extent extent = { 0 };
	struct node *root;
	yaml_event_t e;

	if (!next_event(r, &e))
		return;
	root = read_node(r, &e, 1, &extent);
	yaml_event_delete(&e);
	if (root != NULL && !r->stop)
		keep_document(l, root);
	forget_anchors(r);
}

enum outcome yaml_read(struct arena *a, const char *file, struct slice bytes, struct problems *ps,
		       struct node ***docs, size_t *count)
{
	return yaml_read_apart(a, a, file, bytes, ps, docs, count);
}

enum outcome yaml_read_apart(struct arena *a, struct arena *text, const char *file, struct slice bytes,
			     struct problems *ps, struct node ***docs, size_t *count)
{
	struct reader r = { .arena = a, .text = text, .file = file, .problems = ps };
	struct document_list l = { 0 };
	yaml_event_t e;

	*docs = NULL;
	*count = 0;
	if (bytes.len > YAML_FILE_BYTES_MAX)
		return problem_add(ps, SEVERITY_ERROR, (struct where){ file, 0, 0 },
				   "the file has %zu bytes, %u are allowed: split it", bytes.len,
				   YAML_FILE_BYTES_MAX);
	if (!yaml_parser_initialize(&r.parser))
		fatal("out of memory: YAML parser");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes.at, bytes.len);
	while (!r.stop && next_event(&r, &e)) {
		yaml_event_type_t type = e.type;

		yaml_event_delete(&e);
		if (type == YAML_STREAM_END_EVENT)
			break;
		if (type == YAML_DOCUMENT_START_EVENT)
			read_document(&r, &l);
	}
	forget_anchors(&r);
	yaml_parser_delete(&r.parser);
	*docs = arena_array(a, struct node *, l.count + 1);
	if (l.count > 0)
		memcpy(*docs, l.items, l.count * sizeof(*l.items));
	*count = l.count;
	free(l.items);
	return r.errors > 0 ? FAILED : OK;
}

struct node *node_get(const struct node *n, const char *key)
{
	struct slice wanted = slice_of(key);

	if (n == NULL || n->kind != NODE_MAPPING)
		return NULL;
	for (size_t i = 0; i < n->count; i++)
		if (slice_eq(n->pairs[i].key, wanted))
			return n->pairs[i].value;
	return NULL;
}
