/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.h - memory that is freed all at once, with the stream or snapshot it belongs to.
 *
 * Owner    whoever created it; what is inside dies with it and is never freed alone.
 * Thread   one at a time.
 * Fails    never returns NULL: out of memory ends the process (fatal()), which the supervisor
 *          of the service restarts; callers have no such branch. */
#ifndef SALLYPORT_ARENA_H
#define SALLYPORT_ARENA_H

#include "sallyport/slice.h"

struct arena;

/* `first_bytes`: size of the first block, also kept by arena_reset(); 0: a default. */
struct arena *arena_create(size_t first_bytes);
/* Frees everything and clears the caller's pointer. */
void arena_free(struct arena **ap);
/* Forgets all contents but keeps the first block: the next request allocates nothing. */
void arena_reset(struct arena *a);

/* Aligned for any type; arena_zalloc() gives zeroed bytes. */
void *arena_alloc(struct arena *a, size_t bytes);
void *arena_zalloc(struct arena *a, size_t bytes);
#define arena_new(a, type)		((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, count)	((type *)arena_zalloc_array((a), (count), sizeof(type)))
void *arena_zalloc_array(struct arena *a, size_t count, size_t each);

/* Copies are NUL-terminated behind their length. An absent slice stays absent. */
struct slice arena_slice(struct arena *a, struct slice s);
struct slice arena_lower(struct arena *a, struct slice s);	/* letters of ASCII */
char *arena_text(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Bytes taken from the system, for statistics. */
size_t arena_bytes(const struct arena *a);

#endif
