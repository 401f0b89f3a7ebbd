/* SPDX-License-Identifier: Apache-2.0
 *
 * One open hash table holds exact names and the suffixes of wildcards (without their `*`). */
#include "proxy/route/host_map.h"

#include <assert.h>

#include "sallyport/hash.h"

#define HOST_KEY_MAX	255u	/* bytes of a name that can be in a map (spec/gateway.md G09) */
#define LABELS_MAX	128u	/* dots that fit into HOST_KEY_MAX with their labels */
#define SLOTS_MIN	16u
#define NEAR_KEY	40u	/* bytes of a key that its slot holds itself */
#define CACHE_LINE	64u

enum key_kind { KEY_EXACT, KEY_SUFFIX };

/* One cache line: a lookup that hits at once fetches nothing else. */
struct slot {
	uint64_t hash;
	void *value;			/* NULL: free */
	unsigned char kind, len;
	union {
		char near[NEAR_KEY];
		const char *far;
	} key;
};
static_assert(sizeof(void *) > 8 || sizeof(struct slot) <= CACHE_LINE, "a slot is a cache line");

struct host_map {
	struct arena *arena;
	struct slot *slots;
	size_t slot_count, used, names;
	void *any;			/* of `*` */
	unsigned label_depth;		/* most dots in a suffix that begins with one */
	bool has_labels;
	unsigned char partial[HOST_KEY_MAX + 1];	/* lengths of other suffixes, longest first */
	size_t partial_count;
};

static uint64_t key_hash(struct slice key, enum key_kind kind)
{
	return hash_slice(key) ^ (kind == KEY_SUFFIX ? UINT64_C(0x9e3779b97f4a7c15) : 0);
}

static struct slice key_of(const struct slot *s)
{
	return slice_make(s->len > NEAR_KEY ? s->key.far : s->key.near, s->len);
}

static struct slot *make_slots(struct arena *a, size_t count)
{
	uintptr_t at = (uintptr_t)arena_zalloc_array(a, count + 1, sizeof(struct slot));

	return (struct slot *)((at + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

static struct slot *slot_of(const struct host_map *m, struct slice key, enum key_kind kind, uint64_t hash)
{
	size_t mask = m->slot_count - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct slot *s = &m->slots[i];

		if (s->value == NULL)
			return s;
		if (s->hash == hash && s->kind == (unsigned char)kind && slice_eq(key_of(s), key))
			return s;
	}
}

static void *lookup(const struct host_map *m, struct slice key, enum key_kind kind)
{
	return slot_of(m, key, kind, key_hash(key, kind))->value;
}

/* At most half full, so that a miss is short. */
static void grow(struct host_map *m)
{
	struct slot *old = m->slots;
	size_t old_count = m->slot_count;

	m->slot_count = old_count * 2;
	m->slots = make_slots(m->arena, m->slot_count);
	for (size_t i = 0; i < old_count; i++)
		if (old[i].value != NULL)
			*slot_of(m, key_of(&old[i]), old[i].kind, old[i].hash) = old[i];
}

struct host_map *host_map_create(struct arena *a, size_t expected)
{
	struct host_map *m = arena_new(a, struct host_map);

	m->arena = a;
	m->slot_count = SLOTS_MIN;
	while (m->slot_count < expected * 2)
		m->slot_count *= 2;
	m->slots = make_slots(a, m->slot_count);
	return m;
}

static void note_partial_length(struct host_map *m, size_t len)
{
	size_t at = 0;

	while (at < m->partial_count && m->partial[at] > len)
		at++;
	if (at < m->partial_count && m->partial[at] == len)
		return;
	memmove(&m->partial[at + 1], &m->partial[at], m->partial_count - at);
	m->partial[at] = (unsigned char)len;
	m->partial_count++;
}

static void note_suffix(struct host_map *m, struct slice suffix)
{
	unsigned dots = 0;

	if (suffix.at[0] != '.') {
		note_partial_length(m, suffix.len);
		return;
	}
	for (size_t i = 0; i < suffix.len; i++)
		dots += suffix.at[i] == '.';
	m->has_labels = true;
	if (dots > m->label_depth)
		m->label_depth = dots;
}

static bool is_any(struct slice pattern)
{
	return slice_eq(pattern, SLICE("*"));
}

static enum key_kind split(struct slice pattern, struct slice *key)
{
	if (pattern.len > 0 && pattern.at[0] == '*') {
		*key = slice_from(pattern, 1);
		return KEY_SUFFIX;
	}
	*key = pattern;
	return KEY_EXACT;
}

void *host_map_add(struct host_map *m, struct slice pattern, void *value)
{
	enum key_kind kind;
	struct slice key;
	struct slot *s;
	uint64_t hash;

	if (is_any(pattern)) {
		void *before = m->any;

		if (before == NULL) {
			m->any = value;
			m->names++;
		}
		return before;
	}
	kind = split(pattern, &key);
	if (key.len > HOST_KEY_MAX)
		return NULL;		/* no valid document writes it, no request can have it */
	if ((m->used + 1) * 2 > m->slot_count)
		grow(m);
	hash = key_hash(key, kind);
	s = slot_of(m, key, kind, hash);
	if (s->value != NULL)
		return s->value;
	*s = (struct slot){ .hash = hash, .value = value, .kind = (unsigned char)kind,
			    .len = (unsigned char)key.len };
	if (key.len > NEAR_KEY)
		s->key.far = key.at;
	else
		memcpy(s->key.near, key.at, key.len);
	m->used++;
	m->names++;
	if (kind == KEY_SUFFIX)
		note_suffix(m, key);
	return NULL;
}

void *host_map_get(const struct host_map *m, struct slice pattern)
{
	enum key_kind kind;
	struct slice key;

	if (is_any(pattern))
		return m->any;
	kind = split(pattern, &key);
	return lookup(m, key, kind);
}

/* `.example.com` before `.com`: dots are looked for from the right, down to the deepest wildcard. */
static void *find_labels(const struct host_map *m, struct slice host, size_t least, size_t *len)
{
	size_t starts[LABELS_MAX];
	unsigned count = 0;

	for (size_t i = host.len; i-- > least && count < m->label_depth && count < LABELS_MAX;)
		if (host.at[i] == '.')
			starts[count++] = i;
	while (count-- > 0) {
		struct slice suffix = slice_from(host, starts[count]);
		void *value = lookup(m, suffix, KEY_SUFFIX);

		if (value != NULL) {
			*len = suffix.len;
			return value;
		}
	}
	return NULL;
}

static void *find_partial(const struct host_map *m, struct slice host, size_t longest, size_t longer_than)
{
	for (size_t i = 0; i < m->partial_count && m->partial[i] > longer_than; i++) {
		void *value;

		if (m->partial[i] > longest)
			continue;
		value = lookup(m, slice_from(host, host.len - m->partial[i]), KEY_SUFFIX);
		if (value != NULL)
			return value;
	}
	return NULL;
}

void *host_map_find(const struct host_map *m, struct slice host)
{
	char lower[HOST_KEY_MAX];
	struct slice tail = { lower, host.len < HOST_KEY_MAX ? host.len : HOST_KEY_MAX };
	const char *from = host.at + (host.len - tail.len);
	size_t least, matched = 0;
	void *value, *partial;

	if (host.len == 0)
		return NULL;
	for (size_t i = 0; i < tail.len; i++)
		lower[i] = ascii_lower(from[i]);
	if (host.len <= HOST_KEY_MAX && (value = lookup(m, tail, KEY_EXACT)) != NULL)
		return value;
	/* The `*` stands for at least one character. */
	least = host.len > tail.len ? 0 : 1;
	value = m->has_labels ? find_labels(m, tail, least, &matched) : NULL;
	partial = m->partial_count != 0 ? find_partial(m, tail, tail.len - least, matched) : NULL;
	if (partial != NULL)
		return partial;
	return value != NULL ? value : m->any;
}
