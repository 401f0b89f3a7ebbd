/* SPDX-License-Identifier: Apache-2.0
 *
 * http2_memory.c - what libnghttp2 takes its memory from. A session holds one buffer for life, for the
 * frame being written: 16 KiB, of which a connection with small responses touches the first page. From
 * malloc() it would be memory that somebody has dirtied before; here it is pages of its own, and those
 * that nobody touches cost nothing. */
#include <stdlib.h>
#include <sys/mman.h>

#include "proxy/http/http2_priv.h"
#include "proxy/net/worker.h"

#define FRAME_BYTES_MIN	(16u * 1024)	/* larger than all else that a session asks for */
#define FRAME_PAGES	(20u * 1024)	/* what is set aside for one: whole pages */

/* Address space only, one range for each worker: whose a block is follows from where it is. */
static bool reserve(struct page_range *r)
{
#ifdef __SANITIZE_ADDRESS__
	return false;	/* malloc() sees more */
#endif
	if (r->base == NULL) {
		void *p = mmap(NULL, (size_t)HTTP2_FRAME_BUFFERS * FRAME_PAGES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return false;
		madvise(p, (size_t)HTTP2_FRAME_BUFFERS * FRAME_PAGES, MADV_NOHUGEPAGE);
		r->base = p;
		r->bytes = (size_t)HTTP2_FRAME_BUFFERS * FRAME_PAGES;
	}
	return true;
}

static bool is_ours(const struct page_range *r, const void *p)
{
	return (uintptr_t)p - (uintptr_t)r->base < r->bytes;
}

static void *take(size_t bytes, void *range)
{
	struct page_range *r = range;
	char *block = r->free;

	if (bytes < FRAME_BYTES_MIN || bytes > FRAME_PAGES || !reserve(r))
		return malloc(bytes);
	if (block != NULL) {
		memcpy(&r->free, block, sizeof(r->free));
		return block;
	}
	if (r->used + FRAME_PAGES > r->bytes)
		return malloc(bytes);
	block = r->base + r->used;
	r->used += FRAME_PAGES;
	return block;
}

static void give(void *p, void *range)
{
	struct page_range *r = range;

	if (p == NULL || !is_ours(r, p)) {
		free(p);
		return;
	}
	memcpy(p, &r->free, sizeof(r->free));
	r->free = p;
}

static void *take_zeroed(size_t count, size_t bytes, void *range)
{
	(void)range;
	return calloc(count, bytes);
}

static void *resize(void *p, size_t bytes, void *range)
{
	char *larger;

	if (p == NULL)
		return take(bytes, range);	/* how libnghttp2 begins its buffers */
	if (!is_ours(range, p))
		return realloc(p, bytes);
	if (bytes <= FRAME_PAGES)
		return p;
	larger = malloc(bytes);
	if (larger == NULL)
		return NULL;
	memcpy(larger, p, FRAME_PAGES);
	give(p, range);
	return larger;
}

nghttp2_mem http2_memory(struct worker *w)
{
	return (nghttp2_mem){ &w->frame_pages, take, give, take_zeroed, resize };
}
