/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/kept_body.h"

#include <string.h>

#include "proxy/net/worker.h"

struct kept_block {
	struct kept_block *next;
	uint32_t end;			/* of what it holds */
	char bytes[];
};

#define BLOCK_ROOM	((uint32_t)(BUFFER_BYTES - sizeof(struct kept_block)))

static size_t room_of_last(const struct kept_body *k)
{
	return k->last != NULL ? BLOCK_ROOM - k->last->end : 0;
}

size_t kept_memory(const struct kept_body *k, size_t more)
{
	size_t room = room_of_last(k);
	size_t blocks = more > room ? (more - room + BLOCK_ROOM - 1) / BLOCK_ROOM : 0;

	return (k->blocks + blocks) * (size_t)BUFFER_BYTES;
}

static void add_block(struct worker *w, struct kept_body *k)
{
	struct kept_block *b = (struct kept_block *)worker_block(w, BUFFER_BYTES);

	b->next = NULL;
	b->end = 0;
	if (k->last != NULL)
		k->last->next = b;
	else
		k->first = b;
	k->last = b;
	k->blocks++;
}

void kept_add(struct worker *w, struct kept_body *k, struct slice bytes)
{
	k->bytes += bytes.len;
	while (bytes.len > 0) {
		struct slice piece;

		if (room_of_last(k) == 0)
			add_block(w, k);
		piece = slice_first(bytes, room_of_last(k));
		memcpy(k->last->bytes + k->last->end, piece.at, piece.len);
		k->last->end += (uint32_t)piece.len;
		bytes = slice_from(bytes, piece.len);
	}
}

struct slice kept_next(const struct kept_body *k, struct kept_reader *r)
{
	if (r->block == NULL) {
		if (k->first == NULL)
			return NO_SLICE;
		*r = (struct kept_reader){ k->first, k->dropped };
	}
	/* Behind a full block another one may have come. */
	if (r->at == r->block->end && r->block->next != NULL)
		*r = (struct kept_reader){ r->block->next, 0 };
	return slice_make(r->block->bytes + r->at, r->block->end - r->at);
}

void kept_pass(struct kept_reader *r, size_t bytes)
{
	must(bytes == 0 || (r->block != NULL && bytes <= r->block->end - r->at));
	r->at += (uint32_t)bytes;
}

static void drop_block(struct worker *w, struct kept_body *k)
{
	struct kept_block *b = k->first;

	k->first = b->next;
	if (k->first == NULL)
		k->last = NULL;
	k->dropped = 0;
	k->blocks--;
	worker_give_block(w, (char *)b, BUFFER_BYTES);
}

void kept_drop(struct worker *w, struct kept_body *k, size_t bytes)
{
	must(bytes <= k->bytes);
	k->bytes -= bytes;
	while (k->first != NULL && bytes >= k->first->end - k->dropped) {
		bytes -= k->first->end - k->dropped;
		drop_block(w, k);
	}
	k->dropped += (uint32_t)bytes;
}

void kept_free(struct worker *w, struct kept_body *k)
{
	while (k->first != NULL)
		drop_block(w, k);
	k->bytes = 0;
}
