/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/path_index_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "sallyport/hash.h"
#include "sallyport/log.h"

/* Mostly one: it stands here, and nothing else need be fetched. */
struct numbers {
	uint32_t count;
	uint32_t one;
	const uint32_t *many;			/* when count > 1 */
};

/* All routes with the same text: those that want the whole path and those that want its beginning. */
struct group {
	struct slice text;
	struct numbers exact, prefix;
};

#define CACHE_LINE	64u
#define NEAR_LABEL	16u	/* bytes of a label that the node holds itself */

/* One cache line: what a lookup costs is how many of those it fetches. */
struct trie_node {
	union {
		char near[NEAR_LABEL];
		const char *far;
	} label;				/* bytes between the parent and this node */
	uint32_t label_len;
	uint32_t child_count;
	/* Ascending by their first bytes, which stand in whole lines just before them. */
	struct trie_node *children;
	struct numbers exact, prefix;
};
static_assert(sizeof(void *) > 8 || sizeof(struct trie_node) <= CACHE_LINE, "a node is a cache line");

struct exact_slot {
	uint64_t hash;
	struct slice text;			/* absent: free */
	struct numbers numbers;
};

struct path_index {
	struct trie_node *prefixes;		/* NULL: none */
	struct exact_slot *exacts;		/* NULL: no exact paths */
	size_t exact_mask;
	size_t exact_longest;
	struct trie_node *folded;		/* both kinds, texts in lower case; NULL: none */
	struct trie_node *beginnings;		/* of those that have to be asked; NULL: none */
	struct numbers others;
};

/* ---- building ---- */

struct entry {
	struct slice text;
	enum path_kind kind;
	uint32_t number;
};

static int entry_order(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;
	int order = slice_cmp(a->text, b->text);

	if (order == 0)
		order = (int)a->kind - (int)b->kind;
	return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

static void *scratch(size_t count, size_t each)
{
	void *p = calloc(count + 1, each);

	if (p == NULL)
		fatal("out of memory for the index of %zu routes", count);
	return p;
}

static void *aligned(struct arena *a, size_t bytes)
{
	uintptr_t at = (uintptr_t)arena_zalloc(a, bytes + CACHE_LINE - 1);

	return (void *)((at + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

/* `entries` sorted: the run from `at` on with this text and kind. */
static struct numbers take_run(struct arena *a, const struct entry *entries, size_t count, size_t *at,
			       struct slice text, enum path_kind kind)
{
	struct numbers n = { 0 };
	size_t from = *at;
	uint32_t *many;

	while (*at < count && entries[*at].kind == kind && slice_eq(entries[*at].text, text))
		++*at;
	n.count = (uint32_t)(*at - from);
	if (n.count == 1)
		n.one = entries[from].number;
	if (n.count <= 1)
		return n;
	n.many = many = arena_array(a, uint32_t, n.count);
	for (uint32_t i = 0; i < n.count; i++)
		many[i] = entries[from + i].number;
	return n;
}

/* The caller frees them. */
static struct group *make_groups(struct arena *a, struct entry *entries, size_t count, size_t *group_count)
{
	struct group *groups = scratch(count, sizeof(*groups));
	size_t at = 0;

	qsort(entries, count, sizeof(*entries), entry_order);
	for (*group_count = 0; at < count; ++*group_count) {
		struct group *g = &groups[*group_count];

		g->text = entries[at].text;
		g->exact = take_run(a, entries, count, &at, g->text, PATH_EXACT);
		g->prefix = take_run(a, entries, count, &at, g->text, PATH_PREFIX);
	}
	return groups;
}

static size_t common_length(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.len && n < b.len && a.at[n] == b.at[n])
		n++;
	return n;
}

static size_t end_of_branch(const struct group *groups, size_t at, size_t count, size_t depth)
{
	char byte = groups[at].text.at[depth];

	while (at < count && groups[at].text.at[depth] == byte)
		at++;
	return at;
}

static size_t first_bytes_room(uint32_t children)
{
	return (children + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static unsigned char *first_bytes(const struct trie_node *n)
{
	return (unsigned char *)n->children - first_bytes_room(n->child_count);
}

static void set_label(struct trie_node *n, struct slice label)
{
	n->label_len = (uint32_t)label.len;
	if (label.len > NEAR_LABEL)
		n->label.far = label.at;
	else if (label.len != 0)
		memcpy(n->label.near, label.at, label.len);
}

static struct slice label_of(const struct trie_node *n)
{
	return slice_make(n->label_len > NEAR_LABEL ? n->label.far : n->label.near, n->label_len);
}

static void make_children(struct arena *a, struct trie_node *n, const struct group *groups, size_t count,
			  size_t depth);

/* The node of groups[0..count), sorted, which agree in their first `depth` bytes. Deeper by at least
 * one byte a call: the sum of all texts, a part of the document, bounds the recursion. */
static void make_node(struct arena *a, struct trie_node *n, const struct group *groups, size_t count,
		      size_t depth)
{
	size_t end = common_length(groups[0].text, groups[count - 1].text);

	set_label(n, slice_make(groups[0].text.at + depth, end - depth));
	if (groups[0].text.len == end) {
		n->exact = groups[0].exact;
		n->prefix = groups[0].prefix;
		groups++;
		count--;
	}
	if (count != 0)
		make_children(a, n, groups, count, end);
}

static void make_children(struct arena *a, struct trie_node *n, const struct group *groups, size_t count,
			  size_t depth)
{
	size_t room;
	uint32_t made = 0;

	for (size_t at = 0; at < count; at = end_of_branch(groups, at, count, depth))
		n->child_count++;
	room = first_bytes_room(n->child_count);
	n->children = (struct trie_node *)((char *)aligned(a, room + n->child_count * sizeof(*n)) + room);
	for (size_t at = 0, next; at < count; at = next) {
		next = end_of_branch(groups, at, count, depth);
		first_bytes(n)[made] = (unsigned char)groups[at].text.at[depth];
		make_node(a, &n->children[made++], groups + at, next - at, depth);
	}
}

static struct trie_node *make_trie(struct arena *a, struct entry *entries, size_t count)
{
	struct trie_node *root;
	struct group *groups;
	size_t group_count;

	if (count == 0)
		return NULL;
	groups = make_groups(a, entries, count, &group_count);
	root = aligned(a, sizeof(*root));
	make_node(a, root, groups, group_count, 0);
	free(groups);
	return root;
}

static void make_exacts(struct arena *a, struct path_index *x, struct entry *entries, size_t count)
{
	struct group *groups;
	size_t group_count, slots = 4;

	if (count == 0)
		return;
	groups = make_groups(a, entries, count, &group_count);
	while (slots < group_count * 2)
		slots *= 2;
	x->exacts = arena_array(a, struct exact_slot, slots);
	x->exact_mask = slots - 1;
	for (size_t g = 0; g < group_count; g++) {
		uint64_t hash = hash_slice(groups[g].text);
		size_t i = hash & x->exact_mask;

		while (x->exacts[i].text.at != NULL)
			i = (i + 1) & x->exact_mask;
		x->exacts[i] = (struct exact_slot){ hash, groups[g].text, groups[g].exact };
		if (groups[g].text.len > x->exact_longest)
			x->exact_longest = groups[g].text.len;
	}
	free(groups);
}

static struct slice lower(struct arena *a, struct slice s)
{
	char *copy = arena_alloc(a, s.len);

	for (size_t i = 0; i < s.len; i++)
		copy[i] = ascii_lower(s.at[i]);
	return slice_make(copy, s.len);
}

struct path_index *path_index_create(struct arena *a, const struct path_key *keys, uint32_t count)
{
	struct path_index *x = arena_new(a, struct path_index);
	struct entry *exact = scratch(count, sizeof(*exact));
	struct entry *prefix = scratch(count, sizeof(*prefix));
	struct entry *folded = scratch(count, sizeof(*folded));
	struct entry *beginning = scratch(count, sizeof(*beginning));
	struct entry *other = scratch(count, sizeof(*other));
	size_t exact_count = 0, prefix_count = 0, folded_count = 0, beginning_count = 0, other_count = 0, at = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct entry e = { keys[i].text, keys[i].kind, i };

		if (keys[i].kind == PATH_OTHER) {
			other[other_count++] = (struct entry){ SLICE(""), PATH_OTHER, i };
		} else if (keys[i].kind == PATH_BEGINNING) {
			beginning[beginning_count++] = (struct entry){ e.text, PATH_PREFIX, i };
		} else if (keys[i].ignore_case) {
			e.text = lower(a, e.text);
			folded[folded_count++] = e;
		} else if (keys[i].kind == PATH_EXACT) {
			exact[exact_count++] = e;
		} else {
			prefix[prefix_count++] = e;
		}
	}
	x->others = take_run(a, other, other_count, &at, SLICE(""), PATH_OTHER);
	make_exacts(a, x, exact, exact_count);
	x->prefixes = make_trie(a, prefix, prefix_count);
	x->folded = make_trie(a, folded, folded_count);
	x->beginnings = make_trie(a, beginning, beginning_count);
	free(exact);
	free(prefix);
	free(folded);
	free(beginning);
	free(other);
	return x;
}

/* ---- looking up ---- */

static void offer(const struct numbers *n, bool answered, path_take *take, void *arg)
{
	if (n->count != 0)
		take(arg, (struct path_candidates){ n->count == 1 ? &n->one : n->many, n->count, answered });
}

static void find_exact(const struct path_index *x, struct slice path, path_take *take, void *arg)
{
	uint64_t hash;

	if (x->exacts == NULL || path.len > x->exact_longest)
		return;
	hash = hash_slice(path);
	for (size_t i = hash & x->exact_mask; x->exacts[i].text.at != NULL; i = (i + 1) & x->exact_mask)
		if (x->exacts[i].hash == hash && slice_eq(x->exacts[i].text, path)) {
			offer(&x->exacts[i].numbers, true, take, arg);
			return;
		}
}

static bool label_fits(struct slice label, struct slice rest, bool fold)
{
	return fold ? slice_starts_nocase(rest, label) : slice_starts(rest, label);
}

static const struct trie_node *child_of(const struct trie_node *n, unsigned char byte)
{
	const unsigned char *bytes = first_bytes(n);
	uint32_t from = 0, to = n->child_count;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (bytes[middle] < byte)
			from = middle + 1;
		else
			to = middle;
	}
	return from < n->child_count && bytes[from] == byte ? &n->children[from] : NULL;
}

static void walk(const struct trie_node *n, struct slice rest, bool fold, bool answered, path_take *take,
		 void *arg)
{
	while (n != NULL && label_fits(label_of(n), rest, fold)) {
		rest = slice_from(rest, n->label_len);
		offer(&n->prefix, answered, take, arg);
		if (rest.len == 0) {
			offer(&n->exact, answered, take, arg);
			return;
		}
		n = child_of(n, (unsigned char)(fold ? ascii_lower(rest.at[0]) : rest.at[0]));
	}
}

void path_index_find(const struct path_index *x, struct slice path, path_take *take, void *arg)
{
	find_exact(x, path, take, arg);
	walk(x->prefixes, path, false, true, take, arg);
	walk(x->folded, path, true, true, take, arg);
	walk(x->beginnings, path, false, false, take, arg);
	offer(&x->others, false, take, arg);
}
