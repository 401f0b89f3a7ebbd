/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "proxy/net/timer_priv.h"
#include "sallyport/clock.h"
#include "sallyport/log.h"

/* Structs of one kind, and small buffers (of large ones as many bytes), kept for reuse. None under
 * ASan: what touches memory that was given back must be seen. */
#ifdef __SANITIZE_ADDRESS__
static const uint32_t recycled_max = 0, blocks_max = 0;
#else
static const uint32_t recycled_max = 4096, blocks_max = 4096;
#endif

/* The messages that other threads left, in order. */
static void on_worker_wake(evutil_socket_t fd, short what, void *arg)
{
	STAILQ_HEAD(, worker_message) taken = STAILQ_HEAD_INITIALIZER(taken);
	struct worker *w = arg;
	struct worker_message *m;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		fatal("eventfd of worker %u: %s", w->id, strerror(errno));
	pthread_mutex_lock(&w->inbox_lock);
	STAILQ_CONCAT(&taken, &w->inbox);
	pthread_mutex_unlock(&w->inbox_lock);
	while ((m = STAILQ_FIRST(&taken)) != NULL) {
		STAILQ_REMOVE_HEAD(&taken, link);
		m->run(w, m->arg);
		free(m);
	}
}

static void on_worker_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd, (void)what;
	timers_run(w, worker_now_ms(w));
}

static struct event_base *create_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	must(config != NULL);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
	base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL)
		fatal("libevent offers no edge-triggered method here");
	return base;
}

struct worker *worker_create(unsigned id)
{
	struct worker *w = calloc(1, sizeof(*w));

	must(w != NULL);
	w->id = id;
	w->base = create_base();
	TAILQ_INIT(&w->to_flush);
	LIST_INIT(&w->to_resume);
	STAILQ_INIT(&w->errands);
	STAILQ_INIT(&w->graves);
	STAILQ_INIT(&w->inbox);
	pthread_mutex_init(&w->inbox_lock, NULL);
	w->scratch = malloc(BUFFER_BYTES_LARGE);
	must(w->scratch != NULL);
	if (getrandom(w->random, sizeof(w->random), 0) != (ssize_t)sizeof(w->random))
		fatal("getrandom: no seed for worker %u", id);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0)
		fatal("eventfd: %s", strerror(errno));
	event_assign(&w->wake, w->base, w->wake_fd, EV_READ | EV_PERSIST, on_worker_wake, w);
	event_add(&w->wake, NULL);
	event_assign(&w->tick, w->base, -1, 0, on_worker_tick, w);
	return w;
}

void worker_bury_all(struct worker *w)
{
	struct grave *g;

	while ((g = STAILQ_FIRST(&w->graves)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->graves, link);
		g->bury(w, g);
	}
}

static void flush_all(struct worker *w)
{
	struct transport *t;

	while ((t = TAILQ_FIRST(&w->to_flush)) != NULL) {
		TAILQ_REMOVE(&w->to_flush, t, flush_link);
		t->flush_asked = false;
		transport_flush(t);
	}
}

/* What a turn leaves to do: write what was gathered, then what could wait for that, free what was closed,
 * forget the time. */
static void end_turn(struct worker *w)
{
	const struct timeval tick = { .tv_usec = TIMER_TICK_MS * 1000 };
	struct errand *e;

	flush_all(w);
	while ((e = STAILQ_FIRST(&w->errands)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->errands, link);
		e->run(e);
		if (STAILQ_EMPTY(&w->errands))
			flush_all(w);
	}
	worker_bury_all(w);
	if (w->timers.filed > 0 && !event_pending(&w->tick, EV_TIMEOUT, NULL))
		event_add(&w->tick, &tick);
	w->now_us = 0;
	w->wall_us = 0;
}

/* Those that gave way in the turn before; who gives way again waits for the next one. */
static void resume_all(struct worker *w)
{
	LIST_HEAD(, transport) due = { LIST_FIRST(&w->to_resume) };
	struct transport *t = LIST_FIRST(&due);

	LIST_INIT(&w->to_resume);
	if (t != NULL)
		t->resume_link.le_prev = &LIST_FIRST(&due);
	while ((t = LIST_FIRST(&due)) != NULL) {
		LIST_REMOVE(t, resume_link);
		t->resume_asked = false;
		t->events->on_readable(t->owner);
	}
}

void worker_turn(struct worker *w)
{
	bool more = !LIST_EMPTY(&w->to_resume);

	event_base_loop(w->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0));
	resume_all(w);
	end_turn(w);
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker %u", w->id);
	pthread_setname_np(pthread_self(), name);
	end_turn(w);
	while (!atomic_load_explicit(&w->stopping, memory_order_relaxed))
		worker_turn(w);
	return NULL;
}

void worker_start(struct worker *w)
{
	sigset_t all, before;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&w->thread, NULL, run_worker, w) != 0)
		fatal("cannot start worker %u", w->id);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_here(struct worker *w, void *arg)
{
	(void)arg;
	atomic_store_explicit(&w->stopping, true, memory_order_relaxed);
}

void worker_stop(struct worker *w)
{
	worker_post(w, stop_here, NULL);
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}

static void free_blocks(char *block)
{
	while (block != NULL) {
		char *next;

		memcpy(&next, block, sizeof(next));
		free(block);
		block = next;
	}
}

void worker_free(struct worker **wp)
{
	struct worker *w = *wp;
	struct worker_message *m;

	*wp = NULL;
	if (w == NULL)
		return;
	worker_bury_all(w);
	while ((m = STAILQ_FIRST(&w->inbox)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->inbox, link);
		free(m);
	}
	event_del(&w->wake);
	event_del(&w->tick);
	event_base_free(w->base);
	close(w->wake_fd);
	free_blocks(w->small_blocks);
	free_blocks(w->large_blocks);
	for (unsigned i = 0; i < WORKER_KIND_COUNT; i++)
		free_blocks(w->recycled[i].head);
	pipe_pool_free(w);
	if (w->frame_pages.base != NULL)
		munmap(w->frame_pages.base, w->frame_pages.bytes);
	free(w->scratch);
	pthread_mutex_destroy(&w->inbox_lock);
	free(w);
}

void worker_post(struct worker *w, void (*run)(struct worker *w, void *arg), void *arg)
{
	struct worker_message *m = malloc(sizeof(*m));
	const uint64_t one = 1;

	must(m != NULL);
	m->run = run;
	m->arg = arg;
	pthread_mutex_lock(&w->inbox_lock);
	STAILQ_INSERT_TAIL(&w->inbox, m, link);
	pthread_mutex_unlock(&w->inbox_lock);
	if (write(w->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		fatal("eventfd of worker %u: %s", w->id, strerror(errno));
}

/* A round of messages through all workers, back to the main thread. */
struct quiesce {
	atomic_uint missing;
	struct event_base *base;
	void (*done)(void *arg);
	void *arg;
};

static void on_all_quiet(evutil_socket_t fd, short what, void *arg)
{
	struct quiesce *q = arg;

	(void)fd, (void)what;
	q->done(q->arg);
	free(q);
}

static void pass_quietly(struct worker *w, void *arg)
{
	static const struct timeval now = { 0 };
	struct quiesce *q = arg;

	(void)w;
	if (atomic_fetch_sub(&q->missing, 1) == 1 &&
	    event_base_once(q->base, -1, EV_TIMEOUT, on_all_quiet, q, &now) != 0)
		fatal("event_base_once: out of memory");
}

void workers_quiesce(struct worker **workers, unsigned count, struct event_base *base,
		     void (*done)(void *arg), void *arg)
{
	struct quiesce *q = malloc(sizeof(*q));

	must(q != NULL);
	*q = (struct quiesce){ .missing = count, .base = base, .done = done, .arg = arg };
	if (count == 0)
		on_all_quiet(-1, 0, q);
	for (unsigned i = 0; i < count; i++)
		worker_post(workers[i], pass_quietly, q);
}

int64_t worker_now_us(struct worker *w)
{
	if (w->now_us == 0)
		w->now_us = clock_monotonic_us();
	return w->now_us;
}

int64_t worker_wall_us(struct worker *w)
{
	if (w->wall_us == 0)
		w->wall_us = clock_wall_us();
	return w->wall_us;
}

struct slice worker_date(struct worker *w)
{
	time_t now = (time_t)(worker_wall_us(w) / 1000000);
	struct tm tm;

	if (now != w->date_s) {
		gmtime_r(&now, &tm);
		strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		w->date_s = now;
	}
	return (struct slice){ w->date, 29 };
}

static uint64_t rotate_left(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** (Blackman, Vigna): fast, and unpredictable enough for ids once seeded at random. */
uint64_t worker_random(struct worker *w)
{
	uint64_t *s = w->random;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

/* Free lists are linked through the first bytes of what hangs in them. */
void *worker_alloc(struct worker *w, enum worker_kind kind, size_t bytes)
{
	struct free_list *l = &w->recycled[kind];
	void *p = l->head;

	if (p == NULL) {
		p = malloc(bytes);
		must(p != NULL);
		return p;
	}
	memcpy(&l->head, p, sizeof(l->head));
	l->count--;
	return p;
}

void worker_recycle(struct worker *w, enum worker_kind kind, void *p)
{
	struct free_list *l = &w->recycled[kind];

	if (l->count >= recycled_max) {
		free(p);
		return;
	}
	memcpy(p, &l->head, sizeof(l->head));
	l->head = p;
	l->count++;
}

char *worker_block(struct worker *w, uint32_t bytes)
{
	char **list = bytes == BUFFER_BYTES ? &w->small_blocks :
		      bytes == BUFFER_BYTES_LARGE ? &w->large_blocks : NULL;
	char *block;

	if (list == NULL || *list == NULL) {
		block = malloc(bytes);
		must(block != NULL);
		return block;
	}
	block = *list;
	memcpy(list, block, sizeof(*list));
	if (bytes == BUFFER_BYTES)
		w->small_count--;
	else
		w->large_count--;
	return block;
}

void worker_give_block(struct worker *w, char *block, uint32_t bytes)
{
	char **list = bytes == BUFFER_BYTES ? &w->small_blocks :
		      bytes == BUFFER_BYTES_LARGE ? &w->large_blocks : NULL;
	uint32_t *count = bytes == BUFFER_BYTES ? &w->small_count : &w->large_count;

	if (list == NULL || *count >= blocks_max * BUFFER_BYTES / bytes) {
		free(block);
		return;
	}
	memcpy(block, list, sizeof(*list));
	*list = block;
	(*count)++;
}

void worker_bury(struct worker *w, struct grave *g, void (*bury)(struct worker *w, struct grave *g))
{
	g->bury = bury;
	STAILQ_INSERT_TAIL(&w->graves, g, link);
}

void worker_run_last(struct worker *w, struct errand *e, void (*run)(struct errand *e))
{
	e->run = run;
	STAILQ_INSERT_TAIL(&w->errands, e, link);
}

void worker_flush_later(struct worker *w, struct transport *t)
{
	if (t->flush_asked)
		return;
	t->flush_asked = true;
	TAILQ_INSERT_TAIL(&w->to_flush, t, flush_link);
}

void worker_resume_later(struct worker *w, struct transport *t)
{
	if (t->resume_asked || t->fd < 0)
		return;
	t->resume_asked = true;
	LIST_INSERT_HEAD(&w->to_resume, t, resume_link);
}
