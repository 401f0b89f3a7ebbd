/* SPDX-License-Identifier: Apache-2.0
 *
 * decode.h - YAML nodes into plain structs, by table: a row per field, one leaf decoder per type.
 *
 * Every problem is added to the decoder's collection with the node's file, line and column, the
 * document's kind and name, and the path of the field; decoding goes on so that a user sees all
 * of them at once. Unknown fields are errors that name the nearest known one.
 *
 * Owner    decoded structs and their lists live in the decoder's arena; strings are copies there
 *          or point at the texts of nodes, which live as long. Nodes themselves are gone after
 *          decoding: no struct keeps a pointer to one. Thread: one at a time. */
#ifndef SALLYPORT_DECODE_H
#define SALLYPORT_DECODE_H

#include "sallyport/node.h"

/* A list of structs or pointers, contiguous, in the arena: LIST(struct server) servers;
 * All have this layout, so that decode_list() can fill any of them. */
#define LIST(type)	struct { type *items; size_t count; }

struct decoder {
	struct arena *arena;
	struct problems *problems;
	const char *kind, *ns, *name;	/* of the document: "Gateway", "istio-system", "web" */
	struct where where;		/* of the document, for problems without a node */
	char path[512];			/* of the field being decoded: "spec.servers[0].port" */
	size_t path_len;
};

/* Decodes `n` to `out`. `arg` is the row's. False: a problem was added. */
typedef bool decode_fn(struct decoder *d, const struct node *n, void *out, const void *arg);

enum field_flags {
	FIELD_OPTIONAL = 0,
	FIELD_REQUIRED = 1,	/* absent: "missing required field" */
	FIELD_LATER = 2,	/* decoded and checked, but not obeyed yet: a loud warning when set */
	FIELD_NO_EFFECT = 4,	/* has no meaning at this edge (as in Istio): a note when set */
};

struct field {
	const char *name;
	decode_fn *decode;
	size_t offset;
	unsigned flags;
	const void *arg;
};

#define FIELD(type, name, member, decode, flags) \
							{ name, decode, offsetof(type, member), flags, NULL }
#define FIELD_ARG(type, name, member, decode, flags, arg) \
							{ name, decode, offsetof(type, member), flags, arg }
#define FIELDS_END					{ NULL, NULL, 0, 0, NULL }

/* Adds a problem at `n` (NULL: at `where` of the document) with the current path. Always false. */
bool decode_error(struct decoder *d, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void decode_warning(struct decoder *d, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void decode_note(struct decoder *d, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same at a place that was kept: of a key, a located_slice, an entry. False for an error. */
bool decode_problem(struct decoder *d, enum severity severity, struct where where,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same for item `index` of the list `key` below the current path. */
bool decode_problem_item(struct decoder *d, enum severity severity, struct where where,
			 const char *key, size_t index, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* How a value that is checked but not obeyed is told of; the path stands before it. */
#define DECODE_NOT_OBEYED	"is accepted but not obeyed yet"
/* "a list", "a mapping", ...: what was found, for messages. */
const char *node_found(const struct node *n);

/* Path bookkeeping: size_t mark = decode_push(d, "servers"); … decode_pop(d, mark); */
size_t decode_push(struct decoder *d, const char *key);
size_t decode_push_slice(struct decoder *d, struct slice key);
size_t decode_push_index(struct decoder *d, size_t index);
void decode_pop(struct decoder *d, size_t mark);

/* A mapping by its table. A member named in the table that is a NODE_NULL counts as absent. */
bool decode_mapping(struct decoder *d, const struct node *n, const struct field *fields, void *out);
/* Takes anything and keeps nothing (`status` of every document). */
bool decode_ignored(struct decoder *d, const struct node *n, void *out, const void *arg);
/* As a field's decoder: `arg` is the table; the struct is embedded at `out`. */
bool decode_struct(struct decoder *d, const struct node *n, void *out, const void *arg);

/* Allocates the struct and stores its pointer: absent fields stay NULL. */
struct decode_pointer {
	size_t size;
	decode_fn *decode;
	const void *arg;
};
bool decode_pointer(struct decoder *d, const struct node *n, void *out, const void *arg);

/* A sequence into LIST(): each element by `decode`. Null elements are errors and left out; an
 * element that failed stays, zero where nothing could be decoded. */
struct decode_list {
	size_t size;
	decode_fn *decode;
	const void *arg;
	size_t max;		/* 0: no limit */
};
/* Is it a sequence of at most `max` elements (0: no limit)? Else an error was added. */
bool decode_is_list(struct decoder *d, const struct node *n, size_t max);
bool decode_list(struct decoder *d, const struct node *n, void *out, const void *arg);
/* The same, but null elements are for `decode` to judge. */
bool decode_list_and_nulls(struct decoder *d, const struct node *n, void *out, const void *arg);

/* One pair of a mapping with free keys. */
struct string_entry {
	struct slice key, value;
	struct where where;
};
struct located_slice {
	struct slice text;
	struct where where;
};
/* LIST(struct string_entry), LIST(struct located_slice). */
bool decode_string_map(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_string_list(struct decoder *d, const struct node *n, void *out, const void *arg);
/* The value of `key`; absent slice: none. */
struct slice string_entries_find(const struct string_entry *items, size_t count, const char *key);

/* LIST(struct string_entry) of labels as Kubernetes allows them: keys `[prefix/]name`, values up to
 * 63 characters. */
bool decode_labels(struct decoder *d, const struct node *n, void *out, const void *arg);
/* struct slice: the host of a service in lower case; wildcards count, addresses don't. */
bool decode_service_host(struct decoder *d, const struct node *n, void *out, const void *arg);
/* {number: 8080}: uint32_t. `arg`: non-NULL: numbers that are no port count too, as in Istio. */
bool decode_port_selector(struct decoder *d, const struct node *n, void *out, const void *arg);

/* Leaves. A plain scalar that YAML reads as a number or bool is no string (spec/gateway.md 1). */
/* struct slice, bool, uint32_t, int32_t, double; uint32_t of 1 to 65535. */
bool decode_string(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_bool(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_u32(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_i32(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_double(struct decoder *d, const struct node *n, void *out, const void *arg);
bool decode_port(struct decoder *d, const struct node *n, void *out, const void *arg);
/* int64_t within `arg`, a struct decode_range. */
struct decode_range {
	int64_t min, max;
};
bool decode_range(struct decoder *d, const struct node *n, void *out, const void *arg);
/* Go duration text (spec/virtual-service.md 1) to milliseconds; int64_t. `arg`: a
 * decode_duration_rule, or NULL: at least 1ms, whole milliseconds. */
struct decode_duration_rule {
	bool zero_allowed, any_precision;
};
/* The text alone, in nanoseconds and with its sign; false: no duration. */
bool duration_parse_ns(struct slice s, int64_t *out);
bool decode_duration(struct decoder *d, const struct node *n, void *out, const void *arg);
/* 0 to 100: double. */
bool decode_percent(struct decoder *d, const struct node *n, void *out, const void *arg);
/* The texts as "a, b, c", cut at `bytes`. */
void decode_join_names(char *out, size_t bytes, const char *const *names);
/* int-or-string: struct slice holding the text as written. */
bool decode_int_or_string(struct decoder *d, const struct node *n, void *out, const void *arg);
/* `arg`: NULL-terminated array of names; stores the index as int. */
bool decode_enum(struct decoder *d, const struct node *n, void *out, const void *arg);
/* An optional (nullable) value: struct { bool set; T value; } with `arg` the row of T. */
struct decode_nullable {
	decode_fn *decode;
	size_t value_offset;
	const void *arg;
};
bool decode_nullable(struct decoder *d, const struct node *n, void *out, const void *arg);

/* The nearest of the NULL-terminated `names` to what was written, or NULL when none is near. */
const char *nearest_name(struct slice written, const char *const *names);

/* metadata of every document. */
struct meta {
	const char *kind;		/* static */
	struct slice ns, name;		/* ns is `default` where not written */
	struct where where;		/* of the document's first line */
	LIST(struct string_entry) labels, annotations;
	int64_t created;		/* creationTimestamp in seconds since 1970, 0 absent */
};

/* The value of a label or annotation; absent slice: none. */
struct slice meta_label(const struct meta *m, const char *key);
struct slice meta_annotation(const struct meta *m, const char *key);
/* Annotations that only other kinds or the mesh itself may carry; false: an error was added. */
bool meta_check_annotations(struct decoder *d, const struct meta *m);

#endif
