/* SPDX-License-Identifier: Apache-2.0
 *
 * pipe.h - a worker's pipes, through which bytes pass from socket to socket without being copied
 * (splice(2)).
 *
 * A pipe is held only while bytes are in it. Few are ever out at once; when PIPES_MAX are, or the
 * process has no descriptors left, bytes go through buffers instead.
 *
 * Owner    the worker owns them all; who took one gives it back. Thread: the worker's. Blocks never. */
#ifndef SALLYPORT_PROXY_PIPE_H
#define SALLYPORT_PROXY_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#define PIPES_MAX	128u			/* of a worker, two descriptors each */
#define PIPES_KEPT	16u			/* of them, empty ones kept for reuse */
#define PIPE_BYTES	(256u * 1024)		/* asked for; the kernel may give less */

struct worker;

struct pipe {
	int in, out;		/* written to, read from */
	struct pipe *next;	/* free ones */
};

struct pipe_pool {
	struct pipe *free;	/* empty */
	uint32_t open, kept;	/* all of them; those that are free */
};

/* NULL: none to be had now. */
struct pipe *pipe_take(struct worker *w);
/* One with bytes left in it is closed. Clears the caller's pointer; *pp may be NULL already. */
void pipe_give(struct worker *w, struct pipe **pp, bool empty);
void pipe_pool_free(struct worker *w);

#endif
