/* SPDX-License-Identifier: Apache-2.0
 *
 * host_map.h - from host names and wildcards to whatever belongs to them: exact name, else longest
 * `*suffix`, else `*` (spec/gateway.md 10.3, 12.3).
 *
 * Cost     of a lookup: one hash, one more for each label up to the deepest wildcard, one for each
 *          distinct length of partial wildcards (`*-eu.example.com`); never the number of names.
 * Owner    the arena given to host_map_create(). Thread: one builds, all read. */
#ifndef SALLYPORT_PROXY_ROUTE_HOST_MAP_H
#define SALLYPORT_PROXY_ROUTE_HOST_MAP_H

#include "sallyport/arena.h"

struct host_map;

/* `expected`: about how many names will come. */
struct host_map *host_map_create(struct arena *a, size_t expected);
/* `pattern` in lower case, kept. Returns what the pattern has already, which stays, or NULL. `value`
 * is never NULL. */
void *host_map_add(struct host_map *m, struct slice pattern, void *value);
/* What was added for exactly this pattern, or NULL. */
void *host_map_get(const struct host_map *m, struct slice pattern);
/* The most specific pattern that covers `host` (any case, no port, no brackets), or NULL. A `*` stands
 * for at least one character. */
void *host_map_find(const struct host_map *m, struct slice host);

#endif
