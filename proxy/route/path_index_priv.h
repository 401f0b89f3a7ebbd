/* SPDX-License-Identifier: Apache-2.0
 *
 * path_index_priv.h - which routes of a virtual host a path comes into question for, without trying
 * them all: exact paths by hash, prefixes by a compressed trie, expressions by a trie of what they begin
 * with, the rest in order.
 *
 * The order of the document still decides: every way to a route leads to a list of route numbers,
 * smallest first, and the smallest number that holds wins, whichever list it came from. */
#ifndef SALLYPORT_PROXY_ROUTE_PATH_INDEX_PRIV_H
#define SALLYPORT_PROXY_ROUTE_PATH_INDEX_PRIV_H

#include "sallyport/arena.h"

struct path_index;

/* PATH_BEGINNING: it holds for none but paths that begin so; whether it does is still to be asked. */
enum path_kind { PATH_EXACT, PATH_PREFIX, PATH_BEGINNING, PATH_OTHER };

/* Of route number i, in the i-th place. */
struct path_key {
	enum path_kind kind;
	bool ignore_case;
	struct slice text;
};

struct path_index *path_index_create(struct arena *a, const struct path_key *keys, uint32_t count);

/* Numbers of candidates, ascending. `answered`: the path condition holds already. */
struct path_candidates {
	const uint32_t *at;
	uint32_t count;
	bool answered;
};

/* Calls `take` for each list of candidates of this path; those that need no more look at the path come
 * first. */
typedef void path_take(void *arg, struct path_candidates c);
void path_index_find(const struct path_index *x, struct slice path, path_take *take, void *arg);

#endif
