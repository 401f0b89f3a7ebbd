/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/agents.h"

#include <assert.h>

#include "sallyport/table.h"

#define NUMBER_BYTES	24

static void see(struct worker *w, void *arg)
{
	struct server *s = w->proxy;
	struct agents_view *view = arg;

	if (s->authz != NULL)
		view->count = authz_client_describe(s->authz, view->agents, PROXY_AGENTS_MAX);
}

void agents_see(struct proxy *p, struct agents_seen *seen)
{
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_post(p->workers[i], see, &seen->by_worker[i]);
}

/* One agent, over all workers: the best state that any of them sees. */
struct sum {
	unsigned workers[AUTHZ_AGENT_DOWN + 1];	/* that see it so */
	unsigned long outstanding;
	struct authz_agent_counters counters;
};

static void add(struct sum *sum, const struct authz_agent_status *a)
{
	sum->workers[a->state]++;
	sum->outstanding += a->outstanding;
#define X(member, text) sum->counters.member += a->counters.member;
	AUTHZ_AGENT_COUNTERS(X)
#undef X
}

static struct sum sum_of(const struct proxy *p, const struct agents_seen *seen, const char *address)
{
	struct sum sum = { .outstanding = 0 };

	for (unsigned i = 0; i < p->worker_count; i++)
		for (size_t j = 0; j < seen->by_worker[i].count; j++)
			if (strcmp(seen->by_worker[i].agents[j].address, address) == 0)
				add(&sum, &seen->by_worker[i].agents[j]);
	return sum;
}

/* `UP`, or where workers differ `UP 1/2`: so many of them see it so. */
static void state_text(const struct sum *sum, char *out, size_t bytes)
{
	static const char *const names[] = { "UP", "CONNECTING", "STALLED", "DOWN" };	/* enum authz_agent_state */
	unsigned all = 0, best = COUNT_OF(names);

	static_assert(COUNT_OF(names) == AUTHZ_AGENT_DOWN + 1, "every state can be printed");
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		all += sum->workers[i];
		if (best == COUNT_OF(names) && sum->workers[i] > 0)
			best = i;
	}
	if (all == 0)
		snprintf(out, bytes, "-");	/* no document needs it */
	else if (sum->workers[best] == all)
		snprintf(out, bytes, "%s", names[best]);
	else
		snprintf(out, bytes, "%s %u/%u", names[best], sum->workers[best], all);
}

static void add_agent(struct table *t, const char *address, const struct sum *sum)
{
	char cells[16][NUMBER_BYTES];
	const char *row[16] = { address };
	size_t n = 1;

	state_text(sum, cells[n], sizeof(cells[n]));
	row[n] = cells[n];
	n++;
	snprintf(cells[n], sizeof(cells[n]), "%lu", sum->outstanding);
	row[n] = cells[n];
	n++;
#define X(member, text) \
	snprintf(cells[n], sizeof(cells[n]), "%lu", sum->counters.member); \
	row[n] = cells[n]; \
	n++;
	AUTHZ_AGENT_COUNTERS(X)
#undef X
	must(n == t->columns);
	table_add_row(t, row);
}

void show_agents(const struct proxy *p, const struct agents_seen *seen, struct text *out, bool json)
{
	static const char *const heads[] = { "AGENT", "STATE", "OUTSTANDING", "ASKED", "ANSWERED", "LATE",
					     "TIMEOUTS", "LOST", "ERRORS", "CONNECTS", NULL };
	const struct proxy_settings *settings = p->snapshot->settings;
	struct table t;
	struct sum sum;

	table_begin(&t, out, heads, json);
	for (size_t i = 0; i < settings->authz.addresses.count; i++) {
		sum = sum_of(p, seen, settings->authz.addresses.items[i].at);
		add_agent(&t, settings->authz.addresses.items[i].at, &sum);
	}
	if (settings->authz.addresses.count == 0 && p->agent_address[0] != '\0') {
		sum = sum_of(p, seen, p->agent_address);
		add_agent(&t, p->agent_address, &sum);
	}
	table_end(&t);
}
