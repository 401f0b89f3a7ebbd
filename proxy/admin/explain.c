/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/explain.h"

#include <stdio.h>

#include "proxy/admin/proxy.h"
#include "proxy/tls/tls_set.h"

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
			n += (size_t)snprintf(out + n, EXPLAIN_RETRY_ON_MAX - n, "%s%s", n > 0 ? "," : "", tokens[i]);
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

enum outcome run_explain(const struct admin_request *r)
{
	const struct proxy *p = r->program;
	struct arena *a = arena_create(0);
	struct explain_question q;
	struct slice *words;
	size_t count = explain_split(r->arguments, a, &words);
	char why[256];

	if (explain_parse(words, count, a, &q, NULL, why, sizeof(why)) == OK) {
		const struct explain_ground ground = {
			.live = true, .own_address = slice_of(p->servers[0]->local_ip),
			.tls = tls_store_active(p->secrets) };
		const struct explained *e = explain(p->snapshot, &q, &ground, a);

		(r->json ? explain_add_json : explain_add_text)(e, true, r->out);
	} else {
		misused(r, why);
	}
	arena_free(&a);
	return OK;
}
