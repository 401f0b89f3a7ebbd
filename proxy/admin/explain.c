/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/explain.h"

#include <stdio.h>

#include "proxy/admin/proxy.h"
#include "proxy/tls/tls_set.h"
#include "sallyport/clock.h"

struct slice explain_endpoint(const struct endpoint_spec *e, char *out)
{
	if (e->sockaddr_len > 0)
		return slice_make(out, address_text((const struct sockaddr *)&e->sockaddr, out));
	snprintf(out, EXPLAIN_ADDRESS_MAX, "%.*s:%u", SLICE_ARG(e->address), e->port);
	return slice_of(out);
}

const char *chain_mode(const struct chain *c)
{
	static const char *const modes[] = { "SIMPLE", "OPTIONAL_MUTUAL", "MUTUAL" };	/* enum tls_client */

	if (c->tls)
		return modes[c->tls_settings.client.certificate];
	if (c == c->listener->plain)
		return "-";
	return c->needs_mesh_alpn ? "AUTO_PASSTHROUGH" : "PASSTHROUGH";
}

const char *explain_retry_on(const struct retry_policy *p, char *out)
{
	static const char *const tokens[RETRY_ON_COUNT] = {
#define X(name, text) text,
		RETRY_ON_TOKENS(X)
#undef X
	};
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < RETRY_ON_COUNT; i++)
		if (p->on & 1u << i)
			n += (size_t)snprintf(out + n, EXPLAIN_RETRY_ON_MAX - n, "%s%s",
					      n > 0 ? "," : "", tokens[i]);
	for (size_t i = 0; i < p->statuses.count && n < EXPLAIN_RETRY_ON_MAX - 8; i++)
		n += (size_t)snprintf(out + n, EXPLAIN_RETRY_ON_MAX - n, "%s%u", n > 0 ? "," : "",
				      p->statuses.items[i]);
	return out;
}

static enum outcome misused(const struct admin_request *r, const char *why)
{
	if (r->json) {
		text_add(r->out, SLICE("{\"ok\":false,\"error\":"));
		text_add_json(r->out, slice_of(why));
		text_add(r->out, SLICE("}\n"));
	} else {
		text_printf(r->out, "FAILED: %s\n", why);
	}
	return OK;
}

/* An explanation that waits for a verdict. */
struct pending {
	struct proxy *proxy;		/* borrowed */
	struct admin_session *session;
	struct arena *arena;		/* owned; this, too, lives in it */
	struct snapshot *snapshot;	/* one reference */
	struct tls_set *tls;		/* likewise */
	struct explain_question question;
	struct explaining *explaining;
	bool json;
};

static void free_pending(struct pending *p)
{
	struct arena *a = p->arena;

	tls_set_unref(&p->tls);
	snapshot_unref(&p->snapshot);
	arena_free(&a);
}

/* As one client more of the agents, which count the question as any other. */
static struct authz_client *asker(struct proxy *p)
{
	const char *addresses[PROXY_AGENTS_MAX];
	const struct authz_client_config config = {
		.addresses = addresses,
		.address_count = server_agents(p->snapshot->settings, p->agent_address, addresses),
		.max_frame_size = SPOP_FRAME_SIZE_OURS };

	if (p->asker == NULL)
		p->asker = authz_client_create(p->base, &config);
	else
		authz_client_use(p->asker, addresses, config.address_count);
	return p->asker;
}

static void on_verdict(void *owner, const struct authz_verdict *v);

static void ask(struct pending *p)
{
	struct authz_client *client = asker(p->proxy);

	if (client == NULL)
		fatal("no client for the agent");
	authz_check_start(client, explain_asks(p->explaining), clock_monotonic_ms() + p->snapshot->check_ms,
			  on_verdict, p);
}

static void add_result(const struct pending *p, struct text *out)
{
	(p->json ? explain_add_json : explain_add_text)(explain_result(p->explaining), true, NULL, out);
}

static void on_verdict(void *owner, const struct authz_verdict *v)
{
	struct pending *p = owner;
	struct text out;

	explain_answer(p->explaining, v);
	if (explain_asks(p->explaining) != NULL) {
		ask(p);
		return;
	}
	text_init(&out);
	add_result(p, &out);
	admin_answer(p->session, text_slice(&out));
	text_fini(&out);
	free_pending(p);
}

enum outcome run_explain(const struct admin_request *r)
{
	struct proxy *proxy = r->program;
	struct arena *a = arena_create(0);
	struct pending *p = arena_new(a, struct pending);
	struct explain_ground ground = { .live = true, .own_address = slice_of(proxy->servers[0]->local_ip),
					 .follows = true, .judged = true };
	struct slice *words;
	size_t count = explain_split(arena_slice(a, r->arguments), a, &words);
	char why[256];

	if (explain_parse(words, count, a, &p->question, NULL, why, sizeof(why)) != OK) {
		arena_free(&a);
		return misused(r, why);
	}
	if (explain_is_for_desk(&p->question)) {
		arena_free(&a);
		return misused(r, EXPLAIN_AT_DESK_ONLY);
	}
	p->proxy = proxy;
	p->session = r->session;
	p->arena = a;
	p->json = r->json;
	p->snapshot = snapshot_ref(proxy->snapshot);
	p->tls = tls_set_ref(tls_store_active(proxy->secrets));
	ground.tls = p->tls;
	p->explaining = explain_begin(p->snapshot, &p->question, &ground, a);
	if (explain_asks(p->explaining) != NULL) {
		ask(p);
		return AGAIN;
	}
	add_result(p, r->out);
	free_pending(p);
	return OK;
}
