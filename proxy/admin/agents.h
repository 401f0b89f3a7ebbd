/* SPDX-License-Identifier: Apache-2.0
 *
 * agents.h - `show agents`: the agents in use, as all workers together see them.
 *
 * Owner    the caller, of what was seen. Thread: main; each worker writes its own part of it, between
 *          agents_see() and the end of the workers_quiesce() behind it. Blocks never. */
#ifndef SALLYPORT_PROXY_AGENTS_H
#define SALLYPORT_PROXY_AGENTS_H

#include "proxy/admin/proxy.h"
#include "sallyport/text.h"

struct agents_seen {
	struct agents_view {
		size_t count;
		struct authz_agent_status agents[PROXY_AGENTS_MAX];
	} by_worker[WORKERS_MAX];
};

/* Asks every worker. To be followed by workers_quiesce(), whose `done` may read it. */
void agents_see(struct proxy *p, struct agents_seen *seen);
void show_agents(const struct proxy *p, const struct agents_seen *seen, struct text *out, bool json);

#endif
