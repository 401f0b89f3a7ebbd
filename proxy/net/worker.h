/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.h - a thread with its event_base and everything that only it touches.
 *
 * A worker takes no lock on the request path. Other threads reach it by worker_post(): a message
 * runs on the worker between two loop turns. What other threads must not free while a worker may
 * still look at it goes through workers_quiesce().
 *
 * Thread   functions of this header run on the worker itself unless they say otherwise. */
#ifndef SALLYPORT_PROXY_WORKER_H
#define SALLYPORT_PROXY_WORKER_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "proxy/net/pipe.h"
#include "proxy/net/timer.h"
#include "proxy/net/transport.h"
#include "sallyport/log.h"

#define WORKERS_MAX	64

struct worker_message {
	STAILQ_ENTRY(worker_message) link;
	void (*run)(struct worker *w, void *arg);
	void *arg;
};

/* Recycled memory of one size. */
struct free_list {
	void *head;
	uint32_t count;
};

enum worker_kind {
	WORKER_STREAM, WORKER_DOWNSTREAM, WORKER_UPSTREAM, WORKER_HTTP1, WORKER_HTTP2, WORKER_HTTP2_STREAM,
	WORKER_TCP_SESSION,
	WORKER_KIND_COUNT
};

/* Blocks of one size in a range of addresses of their own, so that pages which nobody touches cost nothing. */
struct page_range {
	char *base;			/* mapped; NULL: not yet, or it cannot be */
	size_t bytes, used;
	char *free;			/* linked through their first bytes */
};

/* Something to free once the loop turn is over. */
struct grave {
	STAILQ_ENTRY(grave) link;
	void (*bury)(struct worker *w, struct grave *g);
};

/* Something that can wait until the bytes of a loop turn were written. */
struct errand {
	STAILQ_ENTRY(errand) link;
	void (*run)(struct errand *e);
};

struct worker {
	unsigned id;			/* 0 … count - 1 */
	pthread_t thread;
	struct event_base *base;
	struct timer_wheel timers;
	struct event tick;

	int64_t now_us;			/* monotonic, of this turn; 0: not read yet */
	int64_t wall_us;
	char date[32];			/* IMF-fixdate of `date_s`, for the date field */
	int64_t date_s;

	TAILQ_HEAD(, transport) to_flush;
	LIST_HEAD(, transport) to_resume;
	STAILQ_HEAD(, errand) errands;
	STAILQ_HEAD(, grave) graves;

	char *small_blocks, *large_blocks;	/* free buffers, linked through their first bytes */
	uint32_t small_count, large_count;
	struct free_list recycled[WORKER_KIND_COUNT];
	struct page_range frame_pages;	/* of HTTP/2 sessions */
	struct pipe_pool pipes;
	char *scratch;			/* BUFFER_BYTES_LARGE, for one call */
	char error_text[120];		/* transport_error() */
	uint64_t random[4];		/* xoshiro256**, seeded by getrandom */

	/* reached by other threads */
	pthread_mutex_t inbox_lock;
	STAILQ_HEAD(, worker_message) inbox;
	int wake_fd;			/* eventfd */
	struct event wake;
	atomic_bool stopping;

	void *proxy;			/* the worker's part of the proxy (stream/) */
};

/* Main thread. `id` counts from 0. The thread starts with worker_start(). */
struct worker *worker_create(unsigned id);
void worker_start(struct worker *w);
/* Any thread: leaves its loop after this turn; worker_join() waits for it, worker_free() frees. */
void worker_stop(struct worker *w);
void worker_join(struct worker *w);
void worker_free(struct worker **wp);
/* One turn of the loop, for tests that drive a worker on their own thread. */
void worker_turn(struct worker *w);

/* Any thread. Messages of one sender arrive in order. */
void worker_post(struct worker *w, void (*run)(struct worker *w, void *arg), void *arg);
/* Main thread: runs `done` on the main thread's `base` after every worker has finished the turn it
 * is in, so that nothing read before is still in use. */
void workers_quiesce(struct worker **workers, unsigned count, struct event_base *base,
		     void (*done)(void *arg), void *arg);

/* Time of this loop turn, read once. */
int64_t worker_now_us(struct worker *w);
static inline int64_t worker_now_ms(struct worker *w)
{
	return worker_now_us(w) / 1000;
}
int64_t worker_wall_us(struct worker *w);
struct slice worker_date(struct worker *w);	/* 29 bytes, borrowed for this turn */

uint64_t worker_random(struct worker *w);

/* Not zeroed. */
void *worker_alloc(struct worker *w, enum worker_kind kind, size_t bytes);
void worker_recycle(struct worker *w, enum worker_kind kind, void *p);
char *worker_block(struct worker *w, uint32_t bytes);
void worker_give_block(struct worker *w, char *block, uint32_t bytes);

void worker_bury(struct worker *w, struct grave *g, void (*bury)(struct worker *w, struct grave *g));
/* Buries what is due now; for the end, when no turn follows. */
void worker_bury_all(struct worker *w);
/* Runs it in this turn, behind transport_flush() of what is to be written and before anything is buried. */
void worker_run_last(struct worker *w, struct errand *e, void (*run)(struct errand *e));
/* Has transport_flush() called before the worker sleeps. */
void worker_flush_later(struct worker *w, struct transport *t);
/* Has on_readable() called in the next turn, after what came in meanwhile: for who stops reading
 * although there is more, to give others their turn. */
void worker_resume_later(struct worker *w, struct transport *t);

#endif
