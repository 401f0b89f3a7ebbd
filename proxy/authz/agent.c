/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.c - one agent as the proxy sees it: its address, its connections, whether it is well.
 *
 * An agent is down after three failed health checks in a row and up after two good ones, or as
 * soon as a HELLO or an answer comes. Checks are not given to agents that are down, and when no
 * agent is worth waiting for they fail at once instead of at their deadline. */
#include "proxy/authz/client_priv.h"

#include <stdlib.h>

#include "sallyport/clock.h"

static void set_up(struct authz_agent *a, bool up)
{
	if (a->up == up)
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

void authz_agent_failed(struct authz_agent *a)
{
	if (a->failing_since_ms == 0)
		a->failing_since_ms = clock_monotonic_ms();
}

bool authz_agent_is_hopeful(const struct authz_agent *a, int64_t now_ms)
{
	return a->up && (a->failing_since_ms == 0 || now_ms - a->failing_since_ms < AUTHZ_GRACE_MS);
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

	if (!a->up)
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

bool authz_agent_init(struct authz_agent *a, struct authz_client *c, const char *address)
{
	const char *why;

	*a = (struct authz_agent){ .client = c, .up = true, .count = c->config.connections };
	if (!spop_address_parse(address, &a->address, &why)) {
		log_error("authz", "agent address %s: %s", address, why);
		return false;
	}
	a->name = strdup(address);
	a->connections = calloc(a->count, sizeof(*a->connections));
	if (a->name == NULL || a->connections == NULL)
		fatal("out of memory: authz agent");
	if (event_assign(&a->probe_timer, c->base, -1, 0, on_probe_time, a) != 0)
		fatal("authz: cannot make events");
	for (unsigned i = 0; i < a->count; i++)
		authz_connection_init(&a->connections[i], a, false);
	authz_connection_init(&a->probe, a, true);
	count_add(&c->counters.agents_up, 1);
	return true;
}

void authz_agent_fini(struct authz_agent *a)
{
	event_del(&a->probe_timer);
	for (unsigned i = 0; i < a->count; i++)
		authz_connection_fini(&a->connections[i]);
	authz_connection_fini(&a->probe);
	free(a->connections);
	free(a->name);
}

void authz_agent_start(struct authz_agent *a)
{
	for (unsigned i = 0; i < a->count; i++)
		authz_connection_open(&a->connections[i]);
	client_arm(&a->probe_timer, client_jitter(a->client, a->client->config.health_ms));
}
