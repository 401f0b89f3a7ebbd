/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.c - one agent as the proxy sees it: its address, its connections, whether it is well.
 *
 * An agent is down after three failed health checks in a row and up after two good ones, or as
 * soon as a HELLO or an answer comes. Checks are not given to agents that are down, and when no
 * agent is worth waiting for they fail at once instead of at their deadline.
 *
 * Health checks take a while to find one that hangs, and never find one that is slow: it is stalled when
 * questions in a row run out, or are answered by what is no verdict, or by the end of the connection. Then
 * one question in a while tries it. */
#include "proxy/authz/client_priv.h"

#include <stdlib.h>

#include "sallyport/clock.h"

static void set_up(struct authz_agent *a, bool up)
{
	if (a->up == up || a->leaving)
		return;
	a->up = up;
	count_add(&a->client->counters.agents_up, up ? 1 : -1);
	if (up)
		log_info("authz", "agent %s is up", a->name);
	else
		log_warn("authz", "agent %s is down: %u health checks failed", a->name,
			 a->probe_failures);
}

void authz_agent_is_well(struct authz_agent *a)
{
	a->failing_since_ms = 0;
	a->probe_failures = 0;
	set_up(a, true);
}

void authz_agent_answered(struct authz_agent *a)
{
	a->counters.answered++;
	a->misses = 0;
	if (a->stalled_until_ms == 0)
		return;
	a->stalled_until_ms = 0;
	log_info("authz", "agent %s answers in time again", a->name);
}

/* Perhaps another process: it is tried at once. */
void authz_agent_greeted(struct authz_agent *a)
{
	a->counters.connects++;
	authz_agent_is_well(a);
	if (a->stalled_until_ms != 0)
		a->stalled_until_ms = clock_monotonic_ms();
}

/* The clock is looked at in bad times only. */
bool authz_agent_is_stalled(const struct authz_agent *a)
{
	return a->stalled_until_ms != 0 && a->stalled_until_ms > clock_monotonic_ms();
}

void authz_agent_missed(struct authz_agent *a)
{
	unsigned doublings;
	int64_t ms;

	if (authz_agent_is_stalled(a) || ++a->misses < AUTHZ_STALLED_MISSES)
		return;	/* what was asked before, or for want of a better one, says nothing new */
	if (a->stalled_until_ms == 0)
		log_warn("authz", "agent %s is stalled: %u times in a row it gave no verdict in time", a->name,
			 a->misses);
	doublings = a->misses - AUTHZ_STALLED_MISSES < 8 ? a->misses - AUTHZ_STALLED_MISSES : 8;
	ms = (int64_t)AUTHZ_STALLED_MIN_MS << doublings;
	a->stalled_until_ms = clock_monotonic_ms() +
			      client_jitter(a->client, ms < AUTHZ_STALLED_MAX_MS ? ms : AUTHZ_STALLED_MAX_MS);
}

enum authz_agent_state authz_agent_state(const struct authz_agent *a)
{
	if (!a->up)
		return AUTHZ_AGENT_DOWN;
	if (authz_agent_is_stalled(a))
		return AUTHZ_AGENT_STALLED;
	for (unsigned i = 0; i < a->count; i++)
		if (a->connections[i].state == CONNECTION_READY)
			return AUTHZ_AGENT_UP;
	return AUTHZ_AGENT_CONNECTING;
}

void authz_agent_failed(struct authz_agent *a)
{
	if (a->failing_since_ms == 0)
		a->failing_since_ms = clock_monotonic_ms();
}

bool authz_agent_is_hopeful(const struct authz_agent *a, int64_t now_ms)
{
	return a->up && !a->leaving && (a->failing_since_ms == 0 || now_ms - a->failing_since_ms < AUTHZ_GRACE_MS);
}

void authz_agent_probed(struct authz_agent *a, bool well)
{
	if (well) {
		a->probe_failures = 0;
		if (++a->probe_successes >= AUTHZ_PROBES_UP)
			set_up(a, true);
		return;
	}
	a->probe_successes = 0;
	if (++a->probe_failures >= AUTHZ_PROBES_DOWN)
		set_up(a, false);
}

struct authz_connection *authz_agent_pick(struct authz_agent *a)
{
	struct authz_connection *best = NULL;

	if (!a->up || a->leaving)
		return NULL;
	for (unsigned i = 0; i < a->count; i++) {
		struct authz_connection *x = &a->connections[i];

		if (authz_connection_takes(x) && (best == NULL || x->in_flight < best->in_flight))
			best = x;
	}
	return best;
}

void authz_agent_open_needed(struct authz_agent *a)
{
	if (a->leaving)
		return;
	for (unsigned i = 0; i < a->count; i++)
		authz_connection_open_needed(&a->connections[i]);
}

static void on_probe_time(evutil_socket_t fd, short what, void *arg)
{
	struct authz_agent *a = arg;

	(void)fd;
	(void)what;
	client_arm(&a->probe_timer, client_jitter(a->client, a->client->config.health_ms));
	if (a->probe.state == CONNECTION_IDLE)
		authz_connection_open(&a->probe);
}

struct authz_agent *authz_agent_create(struct authz_client *c, const char *address)
{
	struct authz_agent *a = calloc(1, sizeof(*a));
	const char *why;

	if (a == NULL)
		fatal("out of memory: authz agent");
	if (!spop_address_parse(address, &a->address, &why)) {
		log_error("authz", "agent address %s: %s", address, why);
		free(a);
		return NULL;
	}
	a->client = c;
	a->serial = ++c->next_serial;
	a->up = true;
	a->count = c->config.connections;
	a->name = strdup(address);
	a->connections = calloc(a->count, sizeof(*a->connections));
	if (a->name == NULL || a->connections == NULL)
		fatal("out of memory: authz agent");
	if (event_assign(&a->probe_timer, c->base, -1, 0, on_probe_time, a) != 0)
		fatal("authz: cannot make events");
	for (unsigned i = 0; i < a->count; i++)
		authz_connection_init(&a->connections[i], a, false);
	authz_connection_init(&a->probe, a, true);
	TAILQ_INSERT_TAIL(&c->agents, a, link);
	count_add(&c->counters.agents_up, 1);
	return a;
}

void authz_agent_free(struct authz_agent *a)
{
	TAILQ_REMOVE(&a->client->agents, a, link);
	if (a->up && !a->leaving)
		count_add(&a->client->counters.agents_up, -1);
	event_del(&a->probe_timer);
	for (unsigned i = 0; i < a->count; i++)
		authz_connection_fini(&a->connections[i]);
	authz_connection_fini(&a->probe);
	free(a->connections);
	free(a->name);
	free(a);
}

void authz_agent_start(struct authz_agent *a)
{
	for (unsigned i = 0; i < a->count; i++)
		authz_connection_open(&a->connections[i]);
	client_arm(&a->probe_timer, client_jitter(a->client, a->client->config.health_ms));
}

void authz_agent_leave(struct authz_agent *a)
{
	log_info("authz", "agent %s is no longer asked", a->name);
	if (a->up)
		count_add(&a->client->counters.agents_up, -1);
	a->leaving = true;
	event_del(&a->probe_timer);
	client_wake(a->client);
}

bool authz_agent_has_left(struct authz_agent *a)
{
	bool gone = authz_connection_has_left(&a->probe);

	for (unsigned i = 0; i < a->count; i++)
		gone = authz_connection_has_left(&a->connections[i]) && gone;
	return gone;
}
