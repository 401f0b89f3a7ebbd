/* SPDX-License-Identifier: Apache-2.0
 *
 * name_map.c - open addressing with linear probing over an array in an arena. */
#include "proxy/snapshot/name_map.h"

#include "sallyport/hash.h"

#define FIRST_CAPACITY	16u

void name_map_init(struct name_map *m, struct arena *a)
{
	*m = (struct name_map){ .arena = a, .capacity = FIRST_CAPACITY };
	m->entries = arena_array(a, struct name_map_entry, m->capacity);
}

/* Where the key is, or the free place where it belongs. */
static struct name_map_entry *place_of(const struct name_map *m, struct slice key)
{
	size_t at = hash_slice(key) & (m->capacity - 1);

	while (m->entries[at].value != NULL && !slice_eq(m->entries[at].key, key))
		at = (at + 1) & (m->capacity - 1);
	return &m->entries[at];
}

void *name_map_get(const struct name_map *m, struct slice key)
{
	return place_of(m, key)->value;
}

static void grow(struct name_map *m)
{
	struct name_map_entry *old = m->entries;
	size_t count = m->capacity;

	m->capacity *= 2;
	m->entries = arena_array(m->arena, struct name_map_entry, m->capacity);
	for (size_t i = 0; i < count; i++)
		if (old[i].value != NULL)
			*place_of(m, old[i].key) = old[i];
}

void name_map_put(struct name_map *m, struct slice key, void *value)
{
	struct name_map_entry *e = place_of(m, key);

	if (e->value == NULL) {
		if ((m->count + 1) * 2 > m->capacity) {
			grow(m);
			e = place_of(m, key);
		}
		m->count++;
	}
	*e = (struct name_map_entry){ key, value };
}
