/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks.c - the store of key sources as its readers see it: opening, reading, waiting. What the
 * fetch thread does stands in jwks_refresh.c. */
#include "spoa/jwks_priv.h"

#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "sallyport/clock.h"
#include "sallyport/text.h"

static void lock(struct jwks_store *s)
{
	must(pthread_mutex_lock(&s->lock) == 0);
}

static void unlock(struct jwks_store *s)
{
	must(pthread_mutex_unlock(&s->lock) == 0);
}

/* ---- the fetch thread's inbox ---- */

/* The lock is held. */
static void enqueue(struct jwks_source *s)
{
	if (s->queued)
		return;
	s->queued = true;
	s->next_queued = s->store->queue;
	s->store->queue = s;
	event_active(s->store->wake, EV_READ, 0);
}

static struct jwks_source *dequeue(struct jwks_store *store, bool *closed)
{
	struct jwks_source *s;

	lock(store);
	s = store->queue;
	if (s != NULL) {
		store->queue = s->next_queued;
		s->queued = false;
		*closed = s->closed;
	}
	unlock(store);
	return s;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct jwks_store *store = arg;
	struct jwks_source *s;
	bool stopping, closed;

	(void)fd;
	(void)what;
	while ((s = dequeue(store, &closed)) != NULL) {
		/* Once closed it is in no table: nobody can open it again. */
		if (closed)
			jwks_source_destroy(s);
		else
			jwks_fetch_now(s);
	}
	lock(store);
	stopping = store->stopping;
	unlock(store);
	if (stopping)
		event_base_loopbreak(store->base);
}

static void *run(void *arg)
{
	struct jwks_store *store = arg;

	pthread_setname_np(pthread_self(), "jwks");
	event_base_loop(store->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

/* Signals are other threads' business: a peer that closes early shall not end us by SIGPIPE. */
static void start_thread(struct jwks_store *store)
{
	sigset_t all, before;

	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&store->thread, NULL, run, store) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

struct jwks_store *jwks_store_create(const struct jwks_config *config)
{
	struct jwks_store *store = calloc(1, sizeof(*store));
	const struct fetch_rules rules = {
		.body_bytes_max = config->body_bytes_max,
		.ca_file = config->ca_file,
		.refuse_loopback = config->refuse_loopback,
		.blocks = config->blocks,
		.block_count = config->block_count,
	};

	must(evthread_use_pthreads() == 0);
	if (store == NULL || (store->base = event_base_new()) == NULL ||
	    (store->wake = event_new(store->base, -1, EV_READ | EV_PERSIST, on_wake, store)) == NULL)
		fatal("out of memory for the store of keys");
	store->obj.kind = KIND_JWKS_STORE;
	store->config = *config;
	store->config.ca_file = NULL;	/* copied where they are used */
	store->config.folder = NULL;
	store->config.blocks = NULL;
	must(pthread_mutex_init(&store->lock, NULL) == 0);
	event_add(store->wake, NULL);
	store->fetcher = fetcher_create(store->base, &rules);
	if (config->folder != NULL)
		store->disk = jwks_disk_open(config->folder, config->stale_max_ms);
	start_thread(store);
	return store;
}

void jwks_store_free(struct jwks_store **sp)
{
	struct jwks_store *store = *sp;

	*sp = NULL;
	if (store == NULL)
		return;
	object_must(store, KIND_JWKS_STORE);
	lock(store);
	must(store->sources == NULL);
	store->stopping = true;
	event_active(store->wake, EV_READ, 0);
	unlock(store);
	must(pthread_join(store->thread, NULL) == 0);
	fetcher_free(&store->fetcher);
	jwks_disk_close(&store->disk);
	event_free(store->wake);
	event_base_free(store->base);
	pthread_mutex_destroy(&store->lock);
	object_wipe(store);
	free(store);
}

/* ---- sources ---- */

static char *copy(struct slice s)
{
	char *text = strndup(s.at != NULL ? s.at : "", s.len);

	if (text == NULL)
		fatal("out of memory for a source of keys");
	return text;
}

/* What makes two sources the same, in one piece. */
static void make_key(const struct jwks_spec *spec, int64_t timeout_ms, struct text *key)
{
	text_init(key);
	text_printf(key, "%zu %zu %lld ", spec->issuer.len, spec->uri.len, (long long)timeout_ms);
	text_add(key, spec->issuer);
	text_add(key, spec->uri);
	text_add(key, spec->inline_set);
}

/* What an operator should know of the keys that they wrote into the document. */
static void on_inline_note(void *arg, size_t index, struct slice kid, enum jwt_status status,
			   const char *text)
{
	const struct jwks_source *s = arg;

	log_warn("jwks", "issuer %s: inline jwks: key at index %zu (kid \"%.*s\")%s %s", s->issuer, index,
		 SLICE_ARG(kid), status == JWT_OK ? "" : " is not used:", text);
}

static struct jwks_source *source_create(struct jwks_store *store, const struct jwks_spec *spec)
{
	static atomic_uint_fast64_t last_id;
	struct jwks_source *s = calloc(1, sizeof(*s));
	struct text key;

	if (s == NULL)
		fatal("out of memory for a source of keys");
	s->obj.kind = KIND_JWKS_SOURCE;
	s->obj.refs = 1;
	s->store = store;
	s->id = atomic_fetch_add(&last_id, 1) + 1;
	s->issuer = copy(spec->issuer);
	s->uri = copy(spec->uri);
	s->timeout_ms = spec->timeout_ms > 0 ? spec->timeout_ms : JWKS_TIMEOUT_MS;
	make_key(spec, s->timeout_ms, &key);
	s->key = key.at;
	s->key_len = key.len;
	s->is_inline = spec->inline_set.len > 0;
	TAILQ_INIT(&s->waiters);
	if (s->is_inline)
		atomic_store(&s->set, jwk_set_parse(spec->inline_set, on_inline_note, s));
	else if (slice_starts(spec->uri, SLICE("http:")))
		log_warn("jwks", "issuer %s: keys come from %s without TLS: whoever sits on that way "
			 "can forge tokens", s->issuer, s->uri);
	return s;
}

struct jwks_source *jwks_source_open(struct jwks_store *store, const struct jwks_spec *spec)
{
	struct jwks_source *fresh, *known;

	object_must(store, KIND_JWKS_STORE);
	/* Made before the lock is taken, although it may be there already: parsing takes a while. */
	fresh = source_create(store, spec);
	lock(store);
	HASH_FIND(hh, store->sources, fresh->key, fresh->key_len, known);
	if (known != NULL) {
		known->obj.refs++;
		unlock(store);
		jwks_source_destroy(fresh);
		return known;
	}
	HASH_ADD_KEYPTR(hh, store->sources, fresh->key, fresh->key_len, fresh);
	if (!fresh->is_inline) {
		fresh->fetching = true;
		enqueue(fresh);
	}
	unlock(store);
	return fresh;
}

/* Takes one reference away; the lock is held. */
static void source_drop(struct jwks_source *s)
{
	if (--s->obj.refs > 0)
		return;
	HASH_DELETE(hh, s->store->sources, s);
	s->closed = true;
	enqueue(s);
}

void jwks_source_close(struct jwks_source **sp)
{
	struct jwks_source *s = *sp;
	struct jwks_store *store;

	*sp = NULL;
	if (s == NULL)
		return;
	object_must(s, KIND_JWKS_SOURCE);
	store = s->store;
	lock(store);
	source_drop(s);
	unlock(store);
}

uint64_t jwks_source_id(const struct jwks_source *s)
{
	return s->id;
}

/* ---- reading ---- */

struct jwk_set *jwks_get(struct jwks_source *s, enum jwt_status *status)
{
	struct jwk_set *set;

	object_must(s, KIND_JWKS_SOURCE);
	lock(s->store);
	set = atomic_load_explicit(&s->set, memory_order_relaxed);
	if (set != NULL) {
		set = jwk_set_ref(set);
		*status = jwk_set_status(set);
	} else {
		*status = s->tried ? JWKS_FETCH_FAIL : JWT_PENDING;
	}
	unlock(s->store);
	return set;
}

/* The caller's reference keeps the address from being used again, so equal means the same set. */
bool jwks_is_current(const struct jwks_source *s, const struct jwk_set *set)
{
	return atomic_load_explicit(&s->set, memory_order_acquire) == set;
}

/* ---- waiting ---- */

/* Out of the list and out of the loop. The waiter's own thread, without the lock. */
static void waiter_free(struct jwks_waiter *w)
{
	struct jwks_store *store = w->source->store;

	lock(store);
	if (w->listed) {
		TAILQ_REMOVE(&w->source->waiters, w, entry);
		w->source->stats.waiters--;
	}
	w->listed = false;
	source_drop(w->source);
	unlock(store);
	event_free(w->event);
	*w->handle = NULL;
	free(w);
}

static void on_waiter(evutil_socket_t fd, short what, void *arg)
{
	struct jwks_waiter *w = arg;
	jwks_wait_fn *fn = w->fn;
	void *fn_arg = w->arg;

	(void)fd;
	(void)what;
	waiter_free(w);
	fn(fn_arg);
}

void jwks_wait_cancel(struct jwks_waiter **wp)
{
	struct jwks_waiter *w = *wp;

	*wp = NULL;
	if (w != NULL) {
		w->handle = &w;
		waiter_free(w);
	}
}

static struct jwks_waiter *waiter_create(struct jwks_source *s, struct event_base *base,
					 int64_t wait_ms)
{
	struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };
	struct jwks_waiter *w = calloc(1, sizeof(*w));

	if (w == NULL || (w->event = evtimer_new(base, on_waiter, w)) == NULL ||
	    evtimer_add(w->event, &wait) != 0)
		fatal("out of memory for a request that waits for keys");
	w->source = s;
	w->listed = true;
	s->obj.refs++;
	s->stats.waiters++;
	TAILQ_INSERT_TAIL(&s->waiters, w, entry);
	return w;
}

/* True: a fetch is under way now, an old one or one that this request may cause. Lock held. */
static bool demand(struct jwks_source *s, bool has_keys)
{
	const struct jwks_config *config = &s->store->config;
	int64_t now_ms = clock_monotonic_ms();

	if (s->fetching)
		return true;
	if (s->demanded_ms != 0 &&
	    now_ms - s->demanded_ms < (has_keys ? config->unknown_kid_ms : config->no_keys_ms)) {
		s->stats.rate_limited++;
		return false;
	}
	s->demanded_ms = now_ms;
	s->stats.demanded++;
	s->fetching = true;
	enqueue(s);
	return true;
}

enum jwks_answer jwks_wait(struct jwks_source *s, struct slice kid, struct event_base *base,
			   int64_t wait_ms, jwks_wait_fn *fn, void *arg, struct jwks_waiter **out)
{
	enum jwks_answer answer = JWKS_NO_HELP;
	struct jwk_set *set;

	object_must(s, KIND_JWKS_SOURCE);
	lock(s->store);
	set = atomic_load_explicit(&s->set, memory_order_relaxed);
	if (set != NULL && (kid.len == 0 || jwk_set_find(set, kid) != NULL)) {
		answer = JWKS_READY;
	} else if (!s->is_inline && s->stats.waiters < JWKS_WAITERS_MAX && demand(s, set != NULL)) {
		*out = waiter_create(s, base, wait_ms > 0 ? wait_ms : 0);
		(*out)->handle = out;
		(*out)->fn = fn;
		(*out)->arg = arg;
		answer = JWKS_WAITING;
	}
	unlock(s->store);
	return answer;
}

/* ---- operators ---- */

void jwks_refresh(struct jwks_store *store, struct jwks_source *source)
{
	struct jwks_source *s, *next;

	object_must(store, KIND_JWKS_STORE);
	lock(store);
	HASH_ITER(hh, store->sources, s, next) {
		if ((source != NULL && s != source) || s->is_inline)
			continue;
		s->fetching = true;
		enqueue(s);
	}
	unlock(store);
}

/* The lock is held. */
static void fill_stats(const struct jwks_source *s, struct jwks_stats *out)
{
	const struct jwk_set *set = atomic_load_explicit(&s->set, memory_order_relaxed);
	int64_t now_ms = clock_monotonic_ms();

	*out = s->stats;
	out->keys = set != NULL ? jwk_set_count(set) : 0;
	out->status = set != NULL ? jwk_set_status(set) : s->tried ? JWKS_FETCH_FAIL : JWT_PENDING;
	out->age_ms = s->fetched_ms != 0 ? now_ms - s->fetched_ms : -1;
	out->next_ms = s->is_inline ? -1 : s->due_ms > now_ms ? s->due_ms - now_ms : 0;
}

size_t jwks_refresh_issuer(struct jwks_store *store, struct slice issuer)
{
	struct jwks_source *s, *next;
	size_t count = 0;

	object_must(store, KIND_JWKS_STORE);
	lock(store);
	HASH_ITER(hh, store->sources, s, next) {
		if (s->is_inline || !slice_eq(slice_of(s->issuer), issuer))
			continue;
		s->fetching = true;
		enqueue(s);
		count++;
	}
	unlock(store);
	return count;
}

static int by_issuer(const void *a, const void *b)
{
	const struct jwks_source *x = *(struct jwks_source *const *)a, *y = *(struct jwks_source *const *)b;
	int order = strcmp(x->issuer, y->issuer);

	return order != 0 ? order : strcmp(x->uri, y->uri);
}

/* All of them, each with a reference, so that nobody waits while they are described. */
static struct jwks_source **take_sources(struct jwks_store *store, size_t *count)
{
	struct jwks_source **all, *s, *next;

	lock(store);
	all = calloc(HASH_COUNT(store->sources) + 1, sizeof(*all));
	if (all == NULL)
		fatal("out of memory for a list of key sources");
	*count = 0;
	HASH_ITER(hh, store->sources, s, next) {
		s->obj.refs++;
		all[(*count)++] = s;
	}
	unlock(store);
	qsort(all, *count, sizeof(*all), by_issuer);
	return all;
}

void jwks_visit(struct jwks_store *store, void (*visit)(void *arg, const struct jwks_report *r), void *arg)
{
	struct jwks_source **all;
	struct jwks_report report;
	enum jwt_status status;
	struct jwk_set *set;
	size_t count;

	object_must(store, KIND_JWKS_STORE);
	all = take_sources(store, &count);
	for (size_t i = 0; i < count; i++) {
		set = jwks_get(all[i], &status);
		report = (struct jwks_report){ .issuer = all[i]->issuer, .uri = all[i]->uri,
					       .is_inline = all[i]->is_inline, .set = set };
		jwks_stats(all[i], &report.stats);
		visit(arg, &report);
		jwk_set_unref(&set);
		jwks_source_close(&all[i]);
	}
	free(all);
}

void jwks_stats(const struct jwks_source *s, struct jwks_stats *out)
{
	object_must(s, KIND_JWKS_SOURCE);
	lock(s->store);
	fill_stats(s, out);
	unlock(s->store);
}
