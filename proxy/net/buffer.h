/* SPDX-License-Identifier: Apache-2.0
 *
 * buffer.h - contiguous bytes in transit, in memory borrowed from the worker.
 *
 * An empty buffer holds no memory: an idle connection costs none. The usual block is
 * BUFFER_BYTES and comes from the worker's free list; bodies may use BUFFER_BYTES_LARGE; only a
 * head that does not fit may grow further, up to what its limit allows.
 *
 * Owner    the connection. Thread: its worker. */
#ifndef SALLYPORT_PROXY_BUFFER_H
#define SALLYPORT_PROXY_BUFFER_H

#include "sallyport/slice.h"

#define BUFFER_BYTES		(16u * 1024)	/* one TLS record, one socket read */
#define BUFFER_BYTES_LARGE	(64u * 1024)	/* a body in full flow */

struct worker;

struct buffer {
	char *base;		/* owned; NULL: empty, no memory held */
	uint32_t start, end;	/* the bytes held */
	uint32_t capacity;
};

static inline size_t buffer_len(const struct buffer *b)
{
	return b->end - b->start;
}

static inline struct slice buffer_slice(const struct buffer *b)
{
	return (struct slice){ b->base != NULL ? b->base + b->start : "", b->end - b->start };
}

static inline size_t buffer_room(const struct buffer *b)
{
	return b->capacity - b->end;
}

/* Room for `bytes` more behind the end: moves what is held to the front, or takes a larger block. */
void buffer_reserve(struct worker *w, struct buffer *b, size_t bytes);
/* Copies in; grows as needed. For heads and other small things that are never refused. */
void buffer_append(struct worker *w, struct buffer *b, struct slice s);
/* Takes bytes off the front; gives the memory back when nothing is left. */
void buffer_consume(struct worker *w, struct buffer *b, size_t bytes);
void buffer_release(struct worker *w, struct buffer *b);

#endif
