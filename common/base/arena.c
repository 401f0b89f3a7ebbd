/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sallyport/log.h"

#define ARENA_FIRST_BYTES	4096
#define ARENA_ALIGN		_Alignof(max_align_t)
#define HUGE_BYTES		(2u << 20)	/* blocks grow up to here */

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(max_align_t) char bytes[];
};

struct arena {
	struct block *current;		/* owned; newest first */
	struct block *first;		/* the one that a reset keeps; last of the list */
	size_t total_bytes;
};

/* Large blocks lie on huge pages where the kernel has some: tables of a large configuration are read
 * at random, and each small page would cost a walk through the page tables. */
static void *take_memory(size_t bytes)
{
	void *at;

	if (bytes < HUGE_BYTES)
		return malloc(bytes);
	at = aligned_alloc(HUGE_BYTES, (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES);
	if (at != NULL)
		madvise(at, bytes, MADV_HUGEPAGE);	/* advice: it may be declined */
	return at;
}

static struct block *block_create(size_t size)
{
	struct block *b = take_memory(sizeof(*b) + size);

	if (b == NULL)
		fatal("out of memory: %zu bytes for an arena", size);
	b->next = NULL;
	b->size = size;
	b->used = 0;
	return b;
}

struct arena *arena_create(size_t first_bytes)
{
	struct arena *a = malloc(sizeof(*a));

	if (a == NULL)
		fatal("out of memory: arena");
	if (first_bytes == 0)
		first_bytes = ARENA_FIRST_BYTES;
	a->first = a->current = block_create(first_bytes);
	a->total_bytes = first_bytes;
	return a;
}

static void free_all_but(struct arena *a, struct block *kept)
{
	struct block *b = a->current, *next;

	for (; b != kept; b = next) {
		next = b->next;
		free(b);
	}
}

void arena_free(struct arena **ap)
{
	struct arena *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	free_all_but(a, NULL);
	free(a);
}

void arena_reset(struct arena *a)
{
	free_all_but(a, a->first);
	a->current = a->first;
	a->first->used = 0;
	a->total_bytes = a->first->size;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	struct block *b = a->current;
	size_t size;
	void *at;

	if (bytes > SIZE_MAX / 4)
		fatal("out of memory: %zu bytes asked of an arena", bytes);
	bytes = (bytes + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
	if (b->size - b->used < bytes) {
		size = b->size * 2 < HUGE_BYTES - sizeof(*b) ? b->size * 2 : HUGE_BYTES - sizeof(*b);
		b = block_create(bytes > size ? bytes : size);
		b->next = a->current;
		a->current = b;
		a->total_bytes += b->size;
	}
	at = b->bytes + b->used;
	b->used += bytes;
	return at;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
	return memset(arena_alloc(a, bytes), 0, bytes);
}

void *arena_zalloc_array(struct arena *a, size_t count, size_t each)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, each, &bytes))
		fatal("out of memory: %zu times %zu bytes asked of an arena", count, each);
	return arena_zalloc(a, bytes);
}

struct slice arena_slice(struct arena *a, struct slice s)
{
	return s.at != NULL ? (struct slice){ arena_text(a, s), s.len } : s;
}

struct slice arena_lower(struct arena *a, struct slice s)
{
	char *copy;

	if (s.at == NULL)
		return s;
	copy = arena_text(a, s);
	for (size_t i = 0; i < s.len; i++)
		copy[i] = ascii_lower(copy[i]);
	return (struct slice){ copy, s.len };
}

char *arena_text(struct arena *a, struct slice s)
{
	char *copy = arena_alloc(a, s.len + 1);

	if (s.len > 0)
		memcpy(copy, s.at, s.len);
	copy[s.len] = '\0';
	return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args, again;
	char *text;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = arena_alloc(a, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, fmt, again);
	va_end(again);
	return text;
}

size_t arena_bytes(const struct arena *a)
{
	return a->total_bytes;
}
