/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.c - the loop: events, then the answers of this turn written, then the dead buried. */
#include "spoa/thread.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "spoa/connection.h"

#define PARKED_TICK_MS	20

struct spoa_message {
	STAILQ_ENTRY(spoa_message) link;
	enum { MESSAGE_ADOPT, MESSAGE_USE, MESSAGE_DRAIN } kind;
	int fd;
	char peer[80];
	struct rules *rules;		/* a reference, given to the thread */
	unsigned long load;
};

/* ---- from the main thread ---- */

static void post(struct spoa_thread *t, const struct spoa_message *content)
{
	struct spoa_message *m = malloc(sizeof(*m));
	uint64_t one = 1;

	if (m == NULL)
		fatal("out of memory: message to a thread");
	*m = *content;
	pthread_mutex_lock(&t->inbox_lock);
	STAILQ_INSERT_TAIL(&t->inbox, m, link);
	pthread_mutex_unlock(&t->inbox_lock);
	if (write(t->wake_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		fatal("cannot wake a thread");
}

void spoa_thread_adopt(struct spoa_thread *t, int fd, const char *peer)
{
	struct spoa_message m = { .kind = MESSAGE_ADOPT, .fd = fd };

	snprintf(m.peer, sizeof(m.peer), "%s", peer);
	post(t, &m);
}

void spoa_thread_use(struct spoa_thread *t, struct rules *rules, unsigned long load)
{
	post(t, &(struct spoa_message){ .kind = MESSAGE_USE, .rules = rules_ref(rules), .load = load });
}

void spoa_thread_drain(struct spoa_thread *t)
{
	post(t, &(struct spoa_message){ .kind = MESSAGE_DRAIN });
}

/* ---- on the thread ---- */

void spoa_thread_flush_later(struct spoa_thread *t, struct spoa_connection *c)
{
	spoa_connection_list_add(&t->to_flush, c);
}

void spoa_thread_watch_parked(struct spoa_thread *t)
{
	struct timeval tv = { .tv_usec = PARKED_TICK_MS * 1000 };

	if (t->tick_armed)
		return;
	t->tick_armed = true;
	if (event_add(&t->tick, &tv) != 0)
		fatal("spoa: cannot arm a timer");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct spoa_thread *t = arg;

	(void)fd;
	(void)what;
	t->tick_armed = false;
	inquiry_retry_parked(t);
	if (t->draining || !TAILQ_EMPTY(&t->parked))
		spoa_thread_watch_parked(t);
}

static void forget_last_rules(struct spoa_thread *t)
{
	judge_use(t->last_judge, t->rules->index);
	rules_unref(&t->last_rules);
}

static void on_last_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	forget_last_rules(arg);
}

/* Askers change over a moment before or after us: what still comes with the revision before is judged
 * by its own rules, since the routes it takes may have lost their policies together. */
static void replace_rules(struct spoa_thread *t, struct rules *rules)
{
	const struct timeval tv = { .tv_sec = SPOA_LAST_RULES_MS / 1000,
				    .tv_usec = SPOA_LAST_RULES_MS % 1000 * 1000 };

	rules_unref(&t->last_rules);
	t->last_rules = t->rules;
	t->rules = rules;
	for (unsigned i = 0; i < SPOA_NOTED_MAX; i++)
		if (t->noted[i][0] != '\0')
			rules_note_asker(rules, slice_of(t->noted[i]));
	judge_use(t->last_judge, t->last_rules->index);
	judge_use(t->judge, t->rules->index);
	if (event_add(&t->last_timer, &tv) != 0)
		fatal("spoa: cannot arm a timer");
}

static void use_rules(struct spoa_thread *t, struct rules *rules, unsigned long load)
{
	if (load > 0)
		t->load = load;
	if (rules == t->rules)
		rules_unref(&rules);
	else
		replace_rules(t, rules);
	inquiry_retry_parked(t);
}

static void start_draining(struct spoa_thread *t)
{
	struct spoa_connection *c, *next;

	t->draining = true;
	t->drain_until_ms = spoa_thread_now_ms(t) + SPOA_DRAIN_MS;
	for (c = TAILQ_FIRST(&t->connections); c != NULL; c = next) {
		next = spoa_connection_next(c);
		spoa_connection_drain(c);
	}
	spoa_thread_watch_parked(t);
}

static void receive(struct spoa_thread *t, struct spoa_message *m)
{
	switch (m->kind) {
	case MESSAGE_ADOPT:
		spoa_connection_open(t, m->fd, m->peer);
		if (t->draining)
			start_draining(t);
		break;
	case MESSAGE_USE:
		use_rules(t, m->rules, m->load);
		break;
	case MESSAGE_DRAIN:
		start_draining(t);
		break;
	}
	free(m);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct spoa_thread *t = arg;
	struct spoa_message *m;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	for (;;) {
		pthread_mutex_lock(&t->inbox_lock);
		m = STAILQ_FIRST(&t->inbox);
		if (m != NULL)
			STAILQ_REMOVE_HEAD(&t->inbox, link);
		pthread_mutex_unlock(&t->inbox_lock);
		if (m == NULL)
			return;
		receive(t, m);
	}
}

static void end_turn(struct spoa_thread *t)
{
	struct spoa_connection *c;

	while ((c = spoa_connection_list_take(&t->to_flush)) != NULL)
		spoa_connection_flush(c);
	while ((c = TAILQ_FIRST(&t->dead)) != NULL)
		spoa_connection_bury(c);
	t->now_ms = 0;
}

static void *run(void *arg)
{
	struct spoa_thread *t = arg;

	while (!t->draining || !TAILQ_EMPTY(&t->connections)) {
		if (event_base_loop(t->base, EVLOOP_ONCE) < 0)
			fatal("spoa: the event loop failed");
		if (t->draining && spoa_thread_now_ms(t) >= t->drain_until_ms)
			while (!TAILQ_EMPTY(&t->connections))
				spoa_connection_close(TAILQ_FIRST(&t->connections));
		end_turn(t);
	}
	return NULL;
}

/* ---- life ---- */

struct spoa_thread *spoa_thread_start(unsigned id, const struct spoa_options *options,
				      struct rules *rules)
{
	struct spoa_thread *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->input = malloc(SPOA_INPUT_BYTES)) == NULL)
		fatal("out of memory: thread");
	t->id = id;
	t->options = options;
	t->rules = rules_ref(rules);
	TAILQ_INIT(&t->connections);
	TAILQ_INIT(&t->to_flush);
	TAILQ_INIT(&t->dead);
	TAILQ_INIT(&t->spare);
	TAILQ_INIT(&t->parked);
	STAILQ_INIT(&t->inbox);
	pthread_mutex_init(&t->inbox_lock, NULL);
	t->base = event_base_new();
	t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->base == NULL || t->wake_fd < 0)
		fatal("cannot make an event loop");
	if (event_assign(&t->wake, t->base, t->wake_fd, EV_READ | EV_PERSIST, on_wake, t) != 0 ||
	    event_assign(&t->tick, t->base, -1, 0, on_tick, t) != 0 ||
	    event_assign(&t->last_timer, t->base, -1, 0, on_last_timer, t) != 0 ||
	    event_add(&t->wake, NULL) != 0)
		fatal("spoa: cannot make events");
	t->tokens = token_cache_create(options->token_cache_entries, options->token_cache_bytes);
	t->judge = judge_create(rules->index, t->base, t->tokens);
	t->last_judge = judge_create(rules->index, t->base, t->tokens);
	if (pthread_create(&t->handle, NULL, run, t) != 0)
		fatal("cannot start a thread");
	return t;
}

void spoa_thread_join(struct spoa_thread **tp)
{
	struct spoa_thread *t = *tp;
	struct spoa_message *m;

	*tp = NULL;
	pthread_join(t->handle, NULL);
	while ((m = STAILQ_FIRST(&t->inbox)) != NULL) {
		STAILQ_REMOVE_HEAD(&t->inbox, link);
		if (m->kind == MESSAGE_ADOPT)
			close(m->fd);
		rules_unref(&m->rules);
		free(m);
	}
	inquiry_free_spare(t);
	judge_free(&t->judge);
	judge_free(&t->last_judge);
	token_cache_free(&t->tokens);
	rules_unref(&t->last_rules);
	rules_unref(&t->rules);
	event_del(&t->wake);
	event_del(&t->tick);
	event_del(&t->last_timer);
	close(t->wake_fd);
	event_base_free(t->base);
	pthread_mutex_destroy(&t->inbox_lock);
	free(t->input);
	free(t);
}
