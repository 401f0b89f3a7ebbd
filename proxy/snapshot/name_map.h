/* SPDX-License-Identifier: Apache-2.0
 *
 * name_map.h - names to pointers while a snapshot is built.
 *
 * Owner    everything is in the arena; keys are borrowed. Nothing is ever removed.
 * Thread   one at a time. */
#ifndef SALLYPORT_PROXY_NAME_MAP_H
#define SALLYPORT_PROXY_NAME_MAP_H

#include "sallyport/arena.h"

struct name_map_entry {
	struct slice key;
	void *value;		/* NULL: free */
};

struct name_map {
	struct arena *arena;
	struct name_map_entry *entries;
	size_t count, capacity;		/* capacity: a power of two, at least twice the count */
};

void name_map_init(struct name_map *m, struct arena *a);
/* NULL: not there. */
void *name_map_get(const struct name_map *m, struct slice key);
/* Adds or replaces; `value` is not NULL. */
void name_map_put(struct name_map *m, struct slice key, void *value);

#endif
