/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/pipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/net/worker.h"

static struct pipe *open_pipe(struct pipe_pool *pool)
{
	struct pipe *p;
	int fds[2];

	if (pool->open >= PIPES_MAX || pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0)
		return NULL;
	/* A smaller pipe works too, in smaller steps: users have a quota. */
	(void)fcntl(fds[1], F_SETPIPE_SZ, (int)PIPE_BYTES);
	p = malloc(sizeof(*p));
	must(p != NULL);
	*p = (struct pipe){ .in = fds[1], .out = fds[0] };
	pool->open++;
	return p;
}

static void close_pipe(struct pipe_pool *pool, struct pipe *p)
{
	close(p->in);
	close(p->out);
	free(p);
	pool->open--;
}

struct pipe *pipe_take(struct worker *w)
{
	struct pipe_pool *pool = &w->pipes;
	struct pipe *p = pool->free;

	if (p == NULL)
		return open_pipe(pool);
	pool->free = p->next;
	pool->kept--;
	return p;
}

void pipe_give(struct worker *w, struct pipe **pp, bool empty)
{
	struct pipe_pool *pool = &w->pipes;
	struct pipe *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	if (!empty || pool->kept >= PIPES_KEPT) {
		close_pipe(pool, p);
		return;
	}
	p->next = pool->free;
	pool->free = p;
	pool->kept++;
}

void pipe_pool_free(struct worker *w)
{
	struct pipe *p;

	while ((p = w->pipes.free) != NULL) {
		w->pipes.free = p->next;
		close_pipe(&w->pipes, p);
	}
	w->pipes.kept = 0;
}
