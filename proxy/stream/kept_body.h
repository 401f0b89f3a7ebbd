/* SPDX-License-Identifier: Apache-2.0
 *
 * kept_body.h - bytes of a request's body that were sent on and are kept: for another attempt to send them
 * again (replay.c), or for a copy of the request that goes elsewhere at its own pace.
 *
 * A tee belongs into stream_pass_data() of stream.c, behind attempt_send(): the bytes that this says were
 * taken are the body, in order, each exactly once, whatever attempts follow; a retry reads what it sends
 * again from here, and none of that comes by there a second time. The end, with the trailers, is
 * stream_pass_end(). Who is slower than the request keeps what it has not sent yet in a kept_body of its own,
 * bounded by kept_memory(), and drops from its front what has gone.
 *
 * Owner    embedded, all zero: empty, no memory held. The memory is the worker's blocks of BUFFER_BYTES, no
 *          malloc once they have been used before. kept_free() before the owner goes.
 * Thread   the worker's. Blocks never, fails never: bounds are the owner's to ask for first. */
#ifndef SALLYPORT_PROXY_KEPT_BODY_H
#define SALLYPORT_PROXY_KEPT_BODY_H

#include "proxy/net/buffer.h"

struct kept_block;

struct kept_body {
	struct kept_block *first, *last;	/* owned */
	uint32_t dropped;			/* of the first block */
	uint32_t blocks;
	uint64_t bytes;				/* held */
};

/* How far somebody has read. All zero: at the front. Good until bytes are dropped. */
struct kept_reader {
	const struct kept_block *block;
	uint32_t at;
};

/* Bytes of memory after so many more were added; kept_memory(k, 0) is what it holds now. */
size_t kept_memory(const struct kept_body *k, size_t more);
/* Copies them behind what is there. */
void kept_add(struct worker *w, struct kept_body *k, struct slice bytes);
/* What comes next, as much as stands together; empty: all was read. Borrowed until bytes are dropped. */
struct slice kept_next(const struct kept_body *k, struct kept_reader *r);
/* So many of what kept_next() gave were used. */
void kept_pass(struct kept_reader *r, size_t bytes);
/* The front is of no more use; readers begin anew there. */
void kept_drop(struct worker *w, struct kept_body *k, size_t bytes);
/* Gives everything back; it is empty then. */
void kept_free(struct worker *w, struct kept_body *k);

#endif
