/* SPDX-License-Identifier: Apache-2.0
 *
 * cors.c - what a route's corsPolicy makes of a request (spec/virtual-service.md 7.11, README D10).
 *
 * The origin is judged with the choice of the route, before operations of the route can touch the
 * field. A preflight that the policy answers is answered before anybody is asked: browsers send it
 * without credentials. Responses, our own among them, get their fields last: without them a page could
 * not read why it was refused. */
#include "proxy/route/cors.h"
#include "proxy/stream/stream_priv.h"

bool decide_preflight(const struct choice *c, const struct proxy_settings *settings, const struct message *m,
		      struct arena *a, struct local_reply *answer)
{
	struct headers *fields;

	if (c->route == NULL || !c->route->has_cors || !cors_is_preflight(m) ||
	    !cors_answers_preflight(c->route->cors, c->cors_origin))
		return false;
	fields = arena_new(a, struct headers);
	headers_init(fields, a, 8);
	cors_preflight_fields(c->route->cors, m, c->cors_origin, fields);
	if (settings->http.vary_origin)
		cors_vary(fields);
	*answer = (struct local_reply){ .status = 200, .details = "cors_response", .plain = true,
					.fields = fields };
	return true;
}

/* An injected fault is made readable where another reply of its status would be; else it lacks what a
 * page needs, as in Envoy. */
static bool is_readable(const struct local_reply *r)
{
	return r == NULL || !(r->flags & RESPONSE_FLAG_FI) || r->status == 401 || r->status == 403 ||
	       r->status == 404 || r->status == 429 || r->status >= 500;
}

void cors_apply(const struct choice *c, const struct proxy_settings *settings, struct message *m,
		const struct local_reply *r)
{
	if (!c->route->has_cors || !is_readable(r))
		return;
	if (c->cors_origin.at != NULL)
		cors_response_fields(c->route->cors, c->cors_origin, &m->headers);
	if (settings->http.vary_origin)
		cors_vary(&m->headers);
}

void stream_cors_apply(const struct stream *s, struct message *m, const struct local_reply *r)
{
	const struct choice c = { .route = s->route, .cors_origin = s->cors_origin };

	cors_apply(&c, s->use->snapshot->settings, m, r);
}
