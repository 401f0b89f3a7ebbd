/* SPDX-License-Identifier: Apache-2.0
 *
 * rule_filter.c - see rule_filter.h. */
#include "spoa/rule_filter.h"

#include <stdlib.h>

#include "sallyport/log.h"

#define KEY_BYTES_MAX	63u	/* of a beginning: one bit each in `lengths` */

/* What a rule is filed by. */
enum subject { BY_PATH, BY_HOST, BY_HOST_END, SUBJECT_COUNT };

struct entry {
	uint64_t hash;
	uint32_t rule;
};

/* All entries of one hash. */
struct slot {
	uint64_t hash;
	uint32_t first, count;		/* count 0: free */
};

struct rule_filter {
	struct rule_ref *rules;		/* in the order of the list */
	uint32_t rule_count;
	uint32_t *always;		/* the rules that no subject says anything about */
	uint32_t always_count;
	uint64_t lengths[SUBJECT_COUNT];	/* bit n: there are keys of n bytes */
	struct slot *slots;
	uint64_t slot_mask;
	uint32_t *filed;		/* rules, by slot */
};

/* ---- keys ---- */

/* The bytes of a key, one after the other, as they are compared: of hosts in any case. */
static unsigned char byte_at(enum subject by, struct slice s, size_t i)
{
	if (by == BY_PATH)
		return (unsigned char)s.at[i];
	return (unsigned char)ascii_lower(by == BY_HOST ? s.at[i] : s.at[s.len - 1 - i]);
}

/* FNV-1a, so that all beginnings of a text cost one pass. What collides is asked in vain. */
static uint64_t hash_begin(enum subject by)
{
	return 0xcbf29ce484222325u + by;
}

static uint64_t hash_step(uint64_t hash, unsigned char byte)
{
	return (hash ^ byte) * 0x100000001b3u;
}

static uint64_t key_hash(enum subject by, struct slice key)
{
	uint64_t hash = hash_begin(by);

	for (size_t i = 0; i < key.len; i++)
		hash = hash_step(hash, byte_at(by, key, i));
	return hash;
}

struct key {
	enum subject by;
	struct slice text;		/* never empty */
};

/* What everything that `v` matches begins with, or ends; false: nothing is known of it. */
static bool key_of(const struct text_value *v, bool host, struct key *out)
{
	ptrdiff_t brace;

	*out = (struct key){ host ? BY_HOST : BY_PATH, v->text };
	switch (v->kind) {
	case TEXT_EXACT:
	case TEXT_PREFIX:
		break;
	case TEXT_SUFFIX:
		out->by = BY_HOST_END;
		if (!host)
			return false;
		break;
	case TEXT_TEMPLATE:
		brace = slice_find(v->text, '{');
		out->text = slice_first(v->text, brace >= 0 ? (size_t)brace : v->text.len);
		break;
	case TEXT_PRESENT:
		return false;
	}
	if (out->text.len > KEY_BYTES_MAX && out->by == BY_HOST_END)
		out->text = slice_from(out->text, out->text.len - KEY_BYTES_MAX);
	out->text = slice_first(out->text, KEY_BYTES_MAX);
	return out->text.len > 0;
}

/* How many bytes the shortest key has that this test is filed by; 0: it cannot be. */
static size_t least_key(const struct test *t)
{
	size_t least = SIZE_MAX;
	struct key key;

	if ((t->attribute != ATTR_HOST && t->attribute != ATTR_PATH) || t->is.count == 0)
		return 0;
	for (size_t i = 0; i < t->is.count; i++) {
		if (!key_of(&t->is.items[i].text, t->attribute == ATTR_HOST, &key))
			return 0;
		if (key.text.len < least)
			least = key.text.len;
	}
	return least;
}

/* The test that tells most; NULL: none does. */
static const struct test *filing_test(const struct clause *c)
{
	const struct test *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < c->count; i++) {
		size_t least = least_key(&c->tests[i]);

		if (least > most) {
			most = least;
			best = &c->tests[i];
		}
	}
	return best;
}

static bool can_be_filed(const struct rule *r)
{
	for (size_t i = 0; i < r->to.count; i++)
		if (filing_test(&r->to.items[i]) == NULL)
			return false;
	return r->to.count > 0;
}

/* ---- making ---- */

static size_t entries_of(const struct rule *r)
{
	size_t count = 0;

	for (size_t i = 0; i < r->to.count; i++)
		count += filing_test(&r->to.items[i])->is.count;
	return count;
}

static size_t file_rule(struct rule_filter *x, uint32_t number, struct entry *out)
{
	const struct rule *r = &x->rules[number].policy->rules[x->rules[number].rule];
	size_t count = 0;
	struct key key;

	for (size_t i = 0; i < r->to.count; i++) {
		const struct test *t = filing_test(&r->to.items[i]);

		for (size_t k = 0; k < t->is.count; k++) {
			must(key_of(&t->is.items[k].text, t->attribute == ATTR_HOST, &key));
			x->lengths[key.by] |= 1ull << key.text.len;
			out[count++] = (struct entry){ key_hash(key.by, key.text), number };
		}
	}
	return count;
}

static int entry_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static struct slot *slot_for(const struct rule_filter *x, uint64_t hash)
{
	uint64_t at = hash ^ hash >> 32;

	for (;; at++) {
		struct slot *s = &x->slots[at & x->slot_mask];

		if (s->count == 0 || s->hash == hash)
			return s;
	}
}

static void make_slots(struct rule_filter *x, struct arena *arena, struct entry *entries, size_t count)
{
	size_t slots = 16;
	struct slot *s;

	while (slots < count * 2)
		slots *= 2;
	x->slots = arena_array(arena, struct slot, slots);
	x->slot_mask = slots - 1;
	x->filed = arena_array(arena, uint32_t, count);
	qsort(entries, count, sizeof(*entries), entry_order);
	for (size_t i = 0; i < count; i++) {
		s = slot_for(x, entries[i].hash);
		if (s->count++ == 0) {
			s->hash = entries[i].hash;
			s->first = (uint32_t)i;
		}
		x->filed[i] = entries[i].rule;
	}
}

static size_t rules_in(const struct policy_list *list)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		count += list->items[i]->rule_count;
	return count;
}

/* Sorts out what is always asked; how many entries the others need. */
static size_t number_rules(struct rule_filter *x, const struct policy_list *list)
{
	size_t entries = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct policy *p = list->items[i];

		for (size_t k = 0; k < p->rule_count; k++) {
			if (can_be_filed(&p->rules[k]))
				entries += entries_of(&p->rules[k]);
			else
				x->always[x->always_count++] = x->rule_count;
			x->rules[x->rule_count++] = (struct rule_ref){ p, k };
		}
	}
	return entries;
}

const struct rule_filter *rule_filter_create(struct arena *arena, const struct policy_list *list)
{
	size_t rules = rules_in(list), count, filed = 0;
	struct rule_filter *x;
	struct entry *entries;

	if (rules < RULE_FILTER_LEAST || rules > UINT32_MAX)
		return NULL;
	x = arena_new(arena, struct rule_filter);
	x->rules = arena_array(arena, struct rule_ref, rules);
	x->always = arena_array(arena, uint32_t, rules);
	count = number_rules(x, list);
	if (count == 0 || count > UINT32_MAX)
		return NULL;
	entries = calloc(count, sizeof(*entries));
	if (entries == NULL)
		fatal("out of memory for the filter of %zu rules", rules);
	for (uint32_t i = 0, always = 0; i < x->rule_count; i++) {
		if (always < x->always_count && x->always[always] == i)
			always++;
		else
			filed += file_rule(x, i, entries + filed);
	}
	must(filed == count);
	make_slots(x, arena, entries, count);
	free(entries);
	return x;
}

/* ---- asking ---- */

struct search {
	const struct rule_filter *filter;
	uint32_t *found;
	size_t count;
	bool too_many;
};

static void take_slot(struct search *q, uint64_t hash)
{
	const struct slot *s = slot_for(q->filter, hash);

	if (s->count > RULE_FILTER_FOUND_MAX - q->count) {
		q->too_many = true;
		return;
	}
	for (uint32_t i = 0; i < s->count; i++)
		q->found[q->count++] = q->filter->filed[s->first + i];
}

static void search_by(struct search *q, enum subject by, struct slice text)
{
	uint64_t hash = hash_begin(by), lengths = q->filter->lengths[by];

	for (size_t i = 0; i < text.len && lengths >> i > 1 && !q->too_many; i++) {
		hash = hash_step(hash, byte_at(by, text, i));
		if (lengths >> (i + 1) & 1)
			take_slot(q, hash);
	}
}

/* There are few. */
static void sort_numbers(uint32_t *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint32_t it = items[i];
		size_t at = i;

		for (; at > 0 && items[at - 1] > it; at--)
			items[at] = items[at - 1];
		items[at] = it;
	}
}

size_t rule_filter_find(const struct rule_filter *x, struct slice host, struct slice path, uint32_t *found)
{
	struct search q = { .filter = x, .found = found };

	search_by(&q, BY_PATH, path);
	search_by(&q, BY_HOST, host);
	search_by(&q, BY_HOST_END, host);
	if (q.too_many)
		return SIZE_MAX;
	sort_numbers(found, q.count);
	return q.count;
}

size_t rule_filter_always(const struct rule_filter *x, const uint32_t **always)
{
	*always = x->always;
	return x->always_count;
}

struct rule_ref rule_filter_at(const struct rule_filter *x, uint32_t number)
{
	return x->rules[number];
}
