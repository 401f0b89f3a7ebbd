/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/buffer.h"

#include "proxy/net/worker.h"

/* The block size that holds `bytes`: one of the two pooled ones, or the next power of two. */
static uint32_t block_size(size_t bytes)
{
	uint32_t size = BUFFER_BYTES_LARGE;

	if (bytes <= BUFFER_BYTES)
		return BUFFER_BYTES;
	while (size < bytes) {
		must(size < 1u << 30);
		size *= 2;
	}
	return size;
}

void buffer_reserve(struct worker *w, struct buffer *b, size_t bytes)
{
	size_t len = buffer_len(b);
	uint32_t size;
	char *larger;

	if (buffer_room(b) >= bytes && b->base != NULL)
		return;
	if (b->base != NULL && b->capacity - len >= bytes) {
		memmove(b->base, b->base + b->start, len);
		b->start = 0;
		b->end = (uint32_t)len;
		return;
	}
	size = block_size(len + bytes);
	larger = worker_block(w, size);
	if (len > 0)
		memcpy(larger, b->base + b->start, len);
	if (b->base != NULL)
		worker_give_block(w, b->base, b->capacity);
	*b = (struct buffer){ .base = larger, .end = (uint32_t)len, .capacity = size };
}

void buffer_append(struct worker *w, struct buffer *b, struct slice s)
{
	if (s.len == 0)
		return;
	buffer_reserve(w, b, s.len);
	memcpy(b->base + b->end, s.at, s.len);
	b->end += (uint32_t)s.len;
}

void buffer_consume(struct worker *w, struct buffer *b, size_t bytes)
{
	must(bytes <= buffer_len(b));
	b->start += (uint32_t)bytes;
	if (b->start == b->end)
		buffer_release(w, b);
}

void buffer_release(struct worker *w, struct buffer *b)
{
	if (b->base != NULL)
		worker_give_block(w, b->base, b->capacity);
	*b = (struct buffer){ 0 };
}
