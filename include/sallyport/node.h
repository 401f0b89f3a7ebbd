/* SPDX-License-Identifier: Apache-2.0
 *
 * node.h - a YAML document as a tree that remembers where each piece was written.
 *
 * Owner    nodes live in the arena they were read into. Thread: one at a time.
 * Limits   spec/hardening.md T-111: file size, nesting depth, bytes and nodes after alias
 *          expansion; duplicate keys, merge keys and tags other than core ones are problems. */
#ifndef SALLYPORT_NODE_H
#define SALLYPORT_NODE_H

#include "sallyport/arena.h"
#include "sallyport/problem.h"

#define YAML_FILE_BYTES_MAX	(16u << 20)
#define YAML_DEPTH_MAX		64u
#define YAML_ALIAS_BYTES_MAX	(10u << 20)	/* that all aliases of a file stand for */
#define YAML_NODES_MAX		4000000u	/* per file, aliases counted as often as used */

enum node_kind { NODE_NULL, NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };

struct node {
	enum node_kind kind;
	bool quoted;			/* scalar in quotes or a block: always a string */
	struct where where;
	struct slice text;		/* scalar; NUL-terminated behind its length */
	struct node **items;		/* sequence */
	struct node_pair *pairs;	/* mapping, in the order written */
	size_t count;			/* of items or pairs */
};

struct node_pair {
	struct slice key;
	struct where where;		/* of the key */
	struct node *value;		/* never NULL: an empty value is a NODE_NULL */
};

/* The documents of one file. `file` is kept (borrowed by every struct where). FAILED: at least one
 * error was added to `ps`. Bad syntax and a limit end the file: *docs then holds the documents
 * before it. After any other error reading goes on, so that the decoders can add theirs. */
enum outcome yaml_read(struct arena *a, const char *file, struct slice bytes, struct problems *ps,
		       struct node ***docs, size_t *count);

/* The same with texts in an arena of their own, so that nodes may go as soon as they are decoded
 * and slices of their texts and keys stay. */
enum outcome yaml_read_apart(struct arena *nodes, struct arena *text, const char *file,
			     struct slice bytes, struct problems *ps, struct node ***docs, size_t *count);

/* NULL: no such key, or not a mapping. */
struct node *node_get(const struct node *n, const char *key);

/* Was the member written, and not as null? */
static inline bool node_has(const struct node *n, const char *key)
{
	const struct node *value = node_get(n, key);

	return value != NULL && value->kind != NODE_NULL;
}

#endif
