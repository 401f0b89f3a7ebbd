/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/ask_agent.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <sys/un.h>

#include "proxy/admin/proxy.h"
#include "proxy/authz/supervisor.h"
#include "sallyport/log.h"

struct question {
	struct bufferevent *bev;	/* owned */
	struct admin_session *session;	/* who waits */
};

static enum outcome fail(struct text *out, bool json, const char *why)
{
	if (json) {
		text_add(out, SLICE("{\"ok\":false,\"error\":"));
		text_add_json(out, slice_of(why));
		text_add(out, SLICE("}\n"));
	} else {
		text_printf(out, "FAILED: %s\n", why);
	}
	return OK;
}

/* The agent closes behind its answer, which ends with an empty line of its own. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct question *q = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct text out;

	if (what & BEV_EVENT_CONNECTED)
		return;
	text_init(&out);
	text_add(&out, slice_make((char *)evbuffer_pullup(in, -1), evbuffer_get_length(in)));
	if (slice_ends(text_slice(&out), SLICE("\n\n"))) {
		out.len--;
	} else {
		text_clear(&out);
		fail(&out, false, "the agent does not answer");
	}
	admin_answer(q->session, text_slice(&out));
	text_fini(&out);
	bufferevent_free(q->bev);
	free(q);
}

static bool ask(const struct admin_request *r, struct event_base *base, const char *path)
{
	const struct timeval wait = { .tv_sec = ASK_AGENT_WAIT_S };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct question *q = calloc(1, sizeof(*q));

	if (q == NULL || (q->bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("out of memory for a question to the agent");
	q->session = r->session;
	must(strlen(path) < sizeof(un.sun_path));
	strcpy(un.sun_path, path);
	bufferevent_set_timeouts(q->bev, &wait, &wait);
	if (bufferevent_socket_connect(q->bev, (struct sockaddr *)&un, sizeof(un)) != 0) {
		bufferevent_free(q->bev);
		free(q);
		return false;
	}
	bufferevent_setcb(q->bev, NULL, NULL, on_event, q);
	evbuffer_add_printf(bufferevent_get_output(q->bev), "%.*s\n", SLICE_ARG(r->command));
	bufferevent_enable(q->bev, EV_READ | EV_WRITE);
	return true;
}

/* Each has keys and counts of its own, and only its admin socket tells them. */
static enum outcome name_others(const struct proxy *p, const struct admin_request *r)
{
	const struct proxy_settings *settings = p->snapshot->settings;
	size_t count = settings->authz.addresses.count;
	struct text why;
	enum outcome o;

	text_init(&why);
	text_printf(&why, count == 1 ? "the agent is a service of its own" :
		    "the %zu agents are services of their own, each with its own keys and counts", count);
	text_add(&why, SLICE(": sallyctl -s with the --admin socket of "));
	for (size_t i = 0; i < count; i++)
		text_printf(&why, "%s%.*s", i > 0 ? ", " : "",
			    SLICE_ARG(settings->authz.addresses.items[i]));
	text_add_char(&why, '\0');
	o = fail(r->out, r->json, text_slice(&why).at);
	text_fini(&why);
	return o;
}

enum outcome ask_agent(const struct admin_request *r)
{
	const struct proxy *p = r->program;

	if (p->snapshot->settings->authz.addresses.count > 0)
		return name_others(p, r);
	if (p->agent == NULL)
		return fail(r->out, r->json, "no document needs the agent: none runs");
	if (!ask(r, p->base, supervisor_admin(p->agent)))
		return fail(r->out, r->json, "the agent does not answer");
	return AGAIN;
}
