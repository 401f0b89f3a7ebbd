/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/commands.h"

#include <stdlib.h>

#include "proxy/admin/agents.h"
#include "proxy/admin/ask_agent.h"
#include "proxy/admin/explain.h"
#include "proxy/admin/show.h"

/* The answers that are made of what is there now. */
#define SHOW(what) \
	static enum outcome run_show_##what(const struct admin_request *r) \
	{ \
		show_##what(r->program, r->out, r->json); \
		return OK; \
	}
SHOW(info)
SHOW(counters)
SHOW(listeners)
SHOW(routes)
SHOW(clusters)
SHOW(retries)
SHOW(secrets)
SHOW(tls)
#undef SHOW

/* Who waits until every worker has said how it sees its agents. */
struct agents_answer {
	struct proxy *proxy;		/* borrowed */
	struct admin_session *session;
	bool json;
	struct agents_seen seen;
};

static void on_agents_seen(void *arg)
{
	struct agents_answer *a = arg;
	struct text out;

	text_init(&out);
	show_agents(a->proxy, &a->seen, &out, a->json);
	admin_answer(a->session, text_slice(&out));
	text_fini(&out);
	free(a);
}

static enum outcome run_show_agents(const struct admin_request *r)
{
	struct agents_answer *a = calloc(1, sizeof(*a));
	struct proxy *p = r->program;

	if (a == NULL)
		fatal("out of memory for an answer");
	*a = (struct agents_answer){ .proxy = p, .session = r->session, .json = r->json };
	agents_see(p, &a->seen);
	workers_quiesce(p->workers, p->worker_count, p->base, on_agents_seen, a);
	return AGAIN;
}

static enum outcome run_show_version(const struct admin_request *r)
{
	text_printf(r->out, r->json ? "{\"version\":\"%s\"}\n" : "sallyport %s\n", SALLYPORT_VERSION);
	return OK;
}

/* Who waits until every worker has the new configuration. */
struct reload {
	struct proxy *proxy;		/* borrowed */
	struct admin_session *session;
	struct problems problems;
	bool json;
};

static void free_reload(struct reload *r)
{
	problems_fini(&r->problems);
	free(r);
}

static void on_reloaded(void *arg)
{
	struct reload *reload = arg;
	struct text out;

	text_init(&out);
	admin_describe_reload(&reload->problems, true, reload->proxy->snapshot->rev, reload->json, &out);
	admin_answer(reload->session, text_slice(&out));
	text_fini(&out);
	free_reload(reload);
}

static enum outcome run_reload(const struct admin_request *r)
{
	struct reload *reload = calloc(1, sizeof(*reload));
	struct proxy *p = r->program;

	if (reload == NULL)
		fatal("out of memory for a reload");
	*reload = (struct reload){ .proxy = p, .session = r->session, .json = r->json };
	problems_init(&reload->problems);
	if (proxy_reload(p, &reload->problems, on_reloaded, reload) == OK)
		return AGAIN;
	admin_describe_reload(&reload->problems, false, p->snapshot->rev, r->json, r->out);
	free_reload(reload);
	return OK;
}

static const struct admin_command commands[] = {
	{ "show info", NULL, "what runs: version, uptime, connections, requests", false, run_show_info },
	{ "show counters", NULL, "every counter of the workers, summed", false, run_show_counters },
	{ "show listeners", NULL, "what is bound, and the servers behind it", false, run_show_listeners },
	{ "show routes", NULL, "virtual hosts and their routes in order", false, run_show_routes },
	{ "show clusters", NULL, "upstream clusters and their endpoints", false, run_show_clusters },
	{ "show retries", NULL, "what clusters were asked again: how often, how it ended, why not", false,
	  run_show_retries },
	{ "show agents", NULL, "who decides about requests: state, and what became of the questions", false,
	  run_show_agents },
	{ "show secrets", NULL, "certificates: status and validity, never a key", false, run_show_secrets },
	{ "show tls", NULL, "session ticket keys: age and rotation, never a key", false, run_show_tls },
	{ "policies", "[NAMESPACE/NAME]", "how often each rule decided; what dry runs would have refused", false,
	  ask_agent },
	{ "jwks show", NULL, "issuers and their keys: where from, how old, what went wrong", false, ask_agent },
	{ "jwks refresh", "[ISSUER]", "fetches keys now, whatever the timers say", true, ask_agent },
	{ "explain", "[OPTIONS] URL", "what would become of a request, and why: see sallyctl explain --help", false,
	  run_explain },
	{ "show version", NULL, "the version", false, run_show_version },
	{ "reload", NULL, "reads the documents again; nothing changes if they have errors", true, run_reload },
};

struct admin_socket *commands_open(struct proxy *p, const char *path, char *why, size_t why_bytes)
{
	return admin_socket_open(p->base, path, commands, COUNT_OF(commands), p, why, why_bytes);
}
