/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c - checks: from the question to the one answer.
 *
 * Questions of a loop turn are encoded into buffers of their own and queued; the pump runs behind
 * all events of the turn, gives them to connections and writes each connection once. A check keeps
 * its encoded question until it is answered, so that it can be asked again elsewhere. */
#include "proxy/authz/client_priv.h"

#include <stdlib.h>
#include <sys/random.h>

#include "sallyport/clock.h"

#define CAUSE_TEXT(name, text)	text,
static const char *const cause_texts[] = { AUTHZ_CAUSES(CAUSE_TEXT) };

const char *authz_cause_text(enum authz_cause cause)
{
	return cause < AUTHZ_CAUSE_COUNT ? cause_texts[cause] : "unknown";
}

const struct authz_counters *authz_client_counters(const struct authz_client *c)
{
	object_must(c, KIND_AUTHZ_CLIENT);
	return &c->counters;
}

void client_arm(struct event *timer, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (event_add(timer, &tv) != 0)
		fatal("authz: cannot arm a timer");
}

int64_t client_jitter(struct authz_client *c, int64_t ms)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return ms * 3 / 4 + (int64_t)(c->random % (uint64_t)(ms / 2 + 1));
}

void client_wake(struct authz_client *c)
{
	if (c->pump_active)
		return;
	c->pump_active = true;
	event_active(&c->pump, 0, 0);
}

/* ---- checks: made, queued, finished ---- */

/* What was in the payload is lost. */
static void make_room(struct authz_check *k, uint32_t bytes)
{
	free(k->payload);
	k->payload = malloc(bytes);
	if (k->payload == NULL)
		fatal("out of memory: %u bytes for a question", bytes);
	k->capacity = bytes;
}

static struct authz_check *take_check(struct authz_client *c)
{
	struct authz_check *k = TAILQ_FIRST(&c->spare);

	if (k != NULL) {
		TAILQ_REMOVE(&c->spare, k, queue);
		c->spare_count--;
	} else {
		k = calloc(1, sizeof(*k));
		if (k == NULL)
			fatal("out of memory: authz check");
		make_room(k, AUTHZ_PAYLOAD_FIRST);
		k->client = c;
	}
	k->obj.kind = KIND_AUTHZ_CHECK;
	return k;
}

static void free_check(struct authz_check *k)
{
	free(k->payload);
	free(k);
}

static void give_back_check(struct authz_check *k)
{
	struct authz_client *c = k->client;

	object_wipe(k);
	k->state = CHECK_SPARE;
	if (c->spare_count >= AUTHZ_SPARE_CHECKS) {
		free_check(k);
		return;
	}
	if (k->capacity > AUTHZ_PAYLOAD_KEPT)	/* one burst of large heads must not be held for ever */
		make_room(k, AUTHZ_PAYLOAD_FIRST);
	TAILQ_INSERT_HEAD(&c->spare, k, queue);
	c->spare_count++;
}

static void publish_counts(struct authz_client *c)
{
	atomic_store_explicit(&c->counters.waiting, c->waiting_count, memory_order_relaxed);
	atomic_store_explicit(&c->counters.in_flight, c->open_count - c->waiting_count,
			      memory_order_relaxed);
}

/* Takes the check off every list and table it stands on. */
static void unlink_check(struct authz_check *k)
{
	struct authz_client *c = k->client;

	switch (k->state) {
	case CHECK_WAITING:
		TAILQ_REMOVE(&c->waiting, k, queue);
		c->waiting_count--;
		break;
	case CHECK_SENT:
		authz_connection_forget(k->connection, k);
		k->connection = NULL;
		break;
	case CHECK_DOOMED:
		TAILQ_REMOVE(&c->doomed, k, queue);
		return;
	case CHECK_SPARE:
		return;
	}
	TAILQ_REMOVE(&c->open, k, open);
	c->open_count--;
	publish_counts(c);
}

/* The one door out: the check is gone when its owner hears of it. */
static void finish(struct authz_check *k, const struct authz_verdict *verdict)
{
	authz_on_verdict *on_verdict = k->on_verdict;
	void *owner = k->owner;

	unlink_check(k);
	give_back_check(k);
	on_verdict(owner, verdict);
}

/* What its agent is to blame for. */
static void blame_agent(struct authz_check *k, enum authz_cause cause)
{
	struct authz_agent *a;

	if (k->state != CHECK_SENT)
		return;
	a = k->connection->agent;
	if (cause == AUTHZ_CAUSE_TIMEOUT) {
		a->counters.timeouts++;
		authz_agent_missed(a);
	} else if (cause == AUTHZ_CAUSE_MALFORMED || cause == AUTHZ_CAUSE_AGENT_ERROR) {
		a->counters.errors++;
		authz_agent_missed(a);
	}
}

static void fail(struct authz_check *k, enum authz_cause cause)
{
	const struct authz_verdict v = authz_verdict_failed(cause);

	count_add(&k->client->counters.failed[cause], 1);
	blame_agent(k, cause);
	finish(k, &v);
}

/* Fails it from the loop, later in this turn. */
static void doom(struct authz_check *k, enum authz_cause cause)
{
	unlink_check(k);
	k->state = CHECK_DOOMED;
	k->cause = cause;
	TAILQ_INSERT_TAIL(&k->client->doomed, k, queue);
	client_wake(k->client);
}

/* Once more, rather not by the agent that has failed it. */
static void ask_again(struct authz_check *k)
{
	struct authz_client *c = k->client;

	k->avoid = k->connection->agent->serial;
	authz_connection_forget(k->connection, k);
	k->connection = NULL;
	k->retried = true;
	k->state = CHECK_WAITING;
	TAILQ_INSERT_TAIL(&c->waiting, k, queue);
	c->waiting_count++;
	publish_counts(c);
	count_add(&c->counters.retried, 1);
	client_wake(c);
}

void client_lost(struct authz_check *k)
{
	struct authz_client *c = k->client;

	k->connection->agent->counters.lost++;
	if (k->retried || c->stopping) {
		doom(k, c->stopping ? AUTHZ_CAUSE_STOPPED : AUTHZ_CAUSE_LOST);
		return;
	}
	ask_again(k);
}

/* ---- answers ---- */

static bool is_other_ready(const struct authz_check *k)
{
	struct authz_agent *a;

	TAILQ_FOREACH(a, &k->client->agents, link)
		if (a != k->connection->agent && !authz_agent_is_stalled(a) &&
		    authz_agent_pick(a) != NULL)
			return true;
	return false;
}

/* The agent could not decide, such as for documents that have not reached it. Another one may. */
static void undecided(struct authz_check *k)
{
	if (k->retried || !is_other_ready(k)) {
		fail(k, AUTHZ_CAUSE_AGENT_ERROR);
		return;
	}
	blame_agent(k, AUTHZ_CAUSE_AGENT_ERROR);
	ask_again(k);
}

void client_answered(struct authz_check *k, struct slice payload)
{
	const struct authz_verdict v = authz_verdict_read(payload);
	struct authz_counters *counters = &k->client->counters;

	if (v.outcome != AUTHZ_FAILED) {
		authz_agent_answered(k->connection->agent);
		count_add(v.outcome == AUTHZ_ALLOWED ? &counters->allowed : &counters->denied, 1);
		finish(k, &v);
	} else if (v.cause == AUTHZ_CAUSE_AGENT_ERROR) {
		undecided(k);
	} else {
		fail(k, v.cause);
	}
}

/* ---- questions ---- */

/* False: it exceeds the frame size, however large the buffer. */
static bool encode(struct authz_check *k, const struct check_request *q)
{
	size_t limit = k->client->config.max_frame_size - (SPOP_HEADER_MAX - SPOP_LENGTH_BYTES);
	struct spop_writer w;

	for (;;) {
		w = spop_writer_of(k->payload, k->capacity < limit ? k->capacity : limit);
		check_request_write(&w, q);
		if (!w.full)
			break;
		if (k->capacity >= limit)
			return false;
		make_room(k, k->capacity * 2);
	}
	k->payload_bytes = (uint32_t)spop_writer_used(&w);
	return true;
}

static void watch_deadline(struct authz_client *c, int64_t deadline_ms)
{
	if (deadline_ms < c->earliest_ms)
		c->earliest_ms = deadline_ms;
	if (!c->tick_armed) {
		c->tick_armed = true;
		client_arm(&c->tick, AUTHZ_TICK_MS);
	}
}

struct authz_check *authz_check_start(struct authz_client *c, const struct check_request *q,
				      int64_t deadline_ms, authz_on_verdict *on_verdict,
				      void *owner)
{
	struct check_request question = *q;
	int64_t left_ms = deadline_ms - clock_monotonic_ms();
	struct authz_check *k;

	object_must(c, KIND_AUTHZ_CLIENT);
	k = take_check(c);
	k->on_verdict = on_verdict;
	k->owner = owner;
	k->deadline_ms = deadline_ms;
	k->retried = false;
	k->avoid = 0;
	k->state = CHECK_WAITING;
	TAILQ_INSERT_TAIL(&c->waiting, k, queue);
	TAILQ_INSERT_TAIL(&c->open, k, open);
	c->waiting_count++;
	c->open_count++;
	count_add(&c->counters.asked, 1);
	question.deadline_ms = left_ms < 1 ? 1 : left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
	if (c->stopping)
		doom(k, AUTHZ_CAUSE_STOPPED);
	else if (c->waiting_count > c->config.waiting_max)
		doom(k, AUTHZ_CAUSE_OVERLOAD);
	else if (!encode(k, &question))
		doom(k, AUTHZ_CAUSE_TOO_LARGE);
	watch_deadline(c, deadline_ms);
	client_wake(c);
	return k;
}

void authz_check_cancel(struct authz_check **checkp)
{
	struct authz_check *k = *checkp;

	*checkp = NULL;
	if (k == NULL)
		return;
	object_must(k, KIND_AUTHZ_CHECK);
	count_add(&k->client->counters.cancelled, 1);
	unlink_check(k);
	give_back_check(k);
}

/* ---- the pump ---- */

static bool fits(const struct authz_check *k, const struct authz_connection *x)
{
	return k->payload_bytes + SPOP_HEADER_MAX - SPOP_LENGTH_BYTES <= x->frame_size;
}

/* Agents that have let the last questions run out, or failed this one, come last. */
static unsigned rank(const struct authz_check *k, const struct authz_agent *a)
{
	return (authz_agent_is_stalled(a) ? 2 : 0) + (k->avoid == a->serial ? 1 : 0);
}

/* Is anyone but those that are stalled worth waiting for? */
static bool is_hopeful(const struct authz_client *c, bool stalled_too)
{
	int64_t now_ms = clock_monotonic_ms();
	struct authz_agent *a;

	TAILQ_FOREACH(a, &c->agents, link)
		if (authz_agent_is_hopeful(a, now_ms) && (stalled_too || !authz_agent_is_stalled(a)))
			return true;
	return false;
}

/* Where the check goes now, or NULL. `too_large`: it would, if it were smaller. */
static struct authz_connection *pick_connection(struct authz_client *c, const struct authz_check *k,
						bool *too_large)
{
	struct authz_connection *x, *best = NULL;
	unsigned best_rank = 0, r;
	struct authz_agent *a;

	*too_large = false;
	TAILQ_FOREACH(a, &c->agents, link) {
		x = authz_agent_pick(a);
		if (x != NULL && !fits(k, x))
			*too_large = true;
		if (x == NULL || !fits(k, x))
			continue;
		r = rank(k, a);
		if (best == NULL || r < best_rank || (r == best_rank && x->in_flight < best->in_flight)) {
			best = x;
			best_rank = r;
		}
	}
	if (best == NULL || (best_rank >= 2 && is_hopeful(c, false)))
		return NULL;
	TAILQ_REMOVE(&c->agents, best->agent, link);
	TAILQ_INSERT_TAIL(&c->agents, best->agent, link);
	return best;
}

static void give_to_connections(struct authz_client *c)
{
	struct authz_connection *x;
	struct authz_check *k;
	bool too_large;

	while ((k = TAILQ_FIRST(&c->waiting)) != NULL) {
		x = pick_connection(c, k, &too_large);
		if (x == NULL && !too_large)
			break;
		if (x == NULL) {
			doom(k, AUTHZ_CAUSE_TOO_LARGE);
			continue;
		}
		TAILQ_REMOVE(&c->waiting, k, queue);
		c->waiting_count--;
		k->state = CHECK_SENT;
		k->connection = x;
		authz_connection_send(x, k);
	}
	publish_counts(c);
}

/* Nobody takes what still waits: connections are opened, or there is no hope. */
static void help_the_waiting(struct authz_client *c)
{
	struct authz_agent *a;
	struct authz_check *k;

	if (TAILQ_EMPTY(&c->waiting))
		return;
	TAILQ_FOREACH(a, &c->agents, link)
		authz_agent_open_needed(a);
	if (is_hopeful(c, true))
		return;
	while ((k = TAILQ_FIRST(&c->waiting)) != NULL)
		doom(k, AUTHZ_CAUSE_UNREACHABLE);
}

static void flush_all(struct authz_client *c)
{
	struct authz_agent *a;

	TAILQ_FOREACH(a, &c->agents, link)
		for (unsigned i = 0; i < a->count; i++)
			authz_connection_flush(&a->connections[i]);
}

static void bury_those_that_left(struct authz_client *c)
{
	struct authz_agent *a, *next;

	for (a = TAILQ_FIRST(&c->agents); a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->leaving && authz_agent_has_left(a))
			authz_agent_free(a);
	}
}

static void on_pump(evutil_socket_t fd, short what, void *arg)
{
	struct authz_client *c = arg;
	struct authz_check *k;

	(void)fd;
	(void)what;
	c->pump_active = false;
	give_to_connections(c);
	flush_all(c);
	help_the_waiting(c);
	while ((k = TAILQ_FIRST(&c->doomed)) != NULL)
		fail(k, k->cause);
	bury_those_that_left(c);
}

/* ---- deadlines ---- */

/* An owner that is told may cancel any other check, so that the walk begins anew each time. */
static struct authz_check *find_overdue(struct authz_client *c, int64_t now_ms)
{
	int64_t earliest_ms = INT64_MAX;
	struct authz_check *k;

	TAILQ_FOREACH(k, &c->open, open) {
		if (k->deadline_ms <= now_ms)
			return k;
		if (k->deadline_ms < earliest_ms)
			earliest_ms = k->deadline_ms;
	}
	c->earliest_ms = earliest_ms;
	return NULL;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct authz_client *c = arg;
	int64_t now_ms = clock_monotonic_ms();
	struct authz_check *k;

	(void)fd;
	(void)what;
	c->tick_armed = false;
	if (now_ms >= c->earliest_ms)
		while ((k = find_overdue(c, now_ms)) != NULL)
			fail(k, AUTHZ_CAUSE_TIMEOUT);
	if (!TAILQ_EMPTY(&c->waiting))
		client_wake(c);
	if (!TAILQ_EMPTY(&c->open) && !c->tick_armed) {
		c->tick_armed = true;
		client_arm(&c->tick, AUTHZ_TICK_MS);
	}
}

/* ---- the client ---- */

static void fill_defaults(struct authz_client_config *config)
{
	static const struct authz_client_config defaults = {
		.connections = AUTHZ_CONNECTIONS, .in_flight_max = AUTHZ_IN_FLIGHT_MAX,
		.waiting_max = AUTHZ_WAITING_MAX, .connect_ms = AUTHZ_CONNECT_MS,
		.hello_ms = AUTHZ_HELLO_MS, .health_ms = AUTHZ_HEALTH_MS, .idle_ms = AUTHZ_IDLE_MS,
		.max_frame_size = SPOP_FRAME_SIZE_DEFAULT,
	};

#define FILL(member)	if (config->member == 0) config->member = defaults.member
	FILL(connections);
	FILL(in_flight_max);
	FILL(waiting_max);
	FILL(connect_ms);
	FILL(hello_ms);
	FILL(health_ms);
	FILL(idle_ms);
	FILL(max_frame_size);
#undef FILL
	if (config->max_frame_size < SPOP_FRAME_SIZE_MIN)
		config->max_frame_size = SPOP_FRAME_SIZE_MIN;
	if (config->max_frame_size > AUTHZ_OUTPUT_BYTES - SPOP_HEADER_MAX)
		config->max_frame_size = AUTHZ_OUTPUT_BYTES - SPOP_HEADER_MAX;
}

/* A random UUID: agents tell engines apart by it. */
static void make_engine_id(struct authz_client *c)
{
	unsigned char b[16 + sizeof(c->random)];
	char *out = c->engine_id;

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		fatal("getrandom: no randomness for an engine id");
	memcpy(&c->random, b + 16, sizeof(c->random));
	c->random |= 1;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++) {
		static const char hex[] = "0123456789abcdef";

		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = hex[b[i] >> 4];
		*out++ = hex[b[i] & 15];
	}
	*out = '\0';
}

static void free_memory(struct authz_client *c)
{
	struct authz_check *k;

	while (!TAILQ_EMPTY(&c->agents))
		authz_agent_free(TAILQ_FIRST(&c->agents));
	while ((k = TAILQ_FIRST(&c->spare)) != NULL) {
		TAILQ_REMOVE(&c->spare, k, queue);
		free_check(k);
	}
	event_del(&c->pump);
	event_del(&c->tick);
	object_wipe(c);
	free(c);
}

struct authz_client *authz_client_create(struct event_base *base,
					 const struct authz_client_config *config)
{
	struct authz_client *c = calloc(1, sizeof(*c));
	struct authz_agent *a;

	if (c == NULL)
		fatal("out of memory: authz client");
	c->obj.kind = KIND_AUTHZ_CLIENT;
	c->base = base;
	c->config = *config;
	c->earliest_ms = INT64_MAX;
	fill_defaults(&c->config);
	make_engine_id(c);
	TAILQ_INIT(&c->agents);
	TAILQ_INIT(&c->open);
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->doomed);
	TAILQ_INIT(&c->spare);
	if (event_assign(&c->pump, base, -1, 0, on_pump, c) != 0 ||
	    event_assign(&c->tick, base, -1, 0, on_tick, c) != 0)
		fatal("authz: cannot make events");
	for (size_t i = 0; i < config->address_count; i++) {
		if (authz_agent_create(c, config->addresses[i]) == NULL) {
			free_memory(c);
			return NULL;
		}
	}
	c->config.addresses = NULL;
	TAILQ_FOREACH(a, &c->agents, link)
		authz_agent_start(a);
	return c;
}

static bool is_named(const struct authz_agent *a, const char *const *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(a->name, addresses[i]) == 0)
			return true;
	return false;
}

static bool is_in_use(const struct authz_client *c, const char *address)
{
	const struct authz_agent *a;

	TAILQ_FOREACH(a, &c->agents, link)
		if (!a->leaving && strcmp(a->name, address) == 0)
			return true;
	return false;
}

void authz_client_use(struct authz_client *c, const char *const *addresses, size_t count)
{
	struct authz_agent *a;

	object_must(c, KIND_AUTHZ_CLIENT);
	TAILQ_FOREACH(a, &c->agents, link)
		if (!a->leaving && !is_named(a, addresses, count))
			authz_agent_leave(a);
	for (size_t i = 0; i < count; i++) {
		a = is_in_use(c, addresses[i]) ? NULL : authz_agent_create(c, addresses[i]);
		if (a != NULL)
			authz_agent_start(a);
	}
}

size_t authz_client_describe(const struct authz_client *c, struct authz_agent_status *out, size_t max)
{
	const struct authz_agent *a;
	size_t n = 0;

	TAILQ_FOREACH(a, &c->agents, link) {
		if (a->leaving || n == max)
			continue;
		out[n] = (struct authz_agent_status){
			.state = authz_agent_state(a), .counters = a->counters,
		};
		for (unsigned i = 0; i < a->count; i++)
			out[n].outstanding += a->connections[i].in_flight;
		snprintf(out[n++].address, sizeof(out->address), "%s", a->name);
	}
	return n;
}

/* DISCONNECT to every agent at once, then a short while for their answers. */
static void say_goodbye(struct authz_client *c)
{
	int64_t until_ms = clock_monotonic_ms() + AUTHZ_GOODBYE_MS;
	struct timespec pause = { .tv_nsec = 2000000 };
	struct authz_agent *a;
	bool pending;

	do {
		pending = false;
		TAILQ_FOREACH(a, &c->agents, link)
			for (unsigned i = 0; i < a->count; i++)
				pending |= authz_connection_say_goodbye(&a->connections[i]);
	} while (pending && clock_monotonic_ms() < until_ms && nanosleep(&pause, NULL) == 0);
}

void authz_client_free(struct authz_client **cp)
{
	struct authz_client *c = *cp;
	struct authz_check *k;

	*cp = NULL;
	if (c == NULL)
		return;
	object_must(c, KIND_AUTHZ_CLIENT);
	c->stopping = true;
	while ((k = TAILQ_FIRST(&c->open)) != NULL)
		fail(k, AUTHZ_CAUSE_STOPPED);
	while ((k = TAILQ_FIRST(&c->doomed)) != NULL)
		fail(k, k->cause);
	say_goodbye(c);
	free_memory(c);
}
