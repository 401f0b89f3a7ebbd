/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/cors.h"

#include "sallyport/string_match.h"

struct cors {
	const struct cors_policy *policy;	/* borrowed */
	bool any_origin;			/* a matcher accepts the literal "*" */
	LIST(struct string_matcher) origins;	/* expressions owned */
	struct slice max_age;			/* absent: no field */
};

struct cors *cors_create(struct arena *a, const struct cors_policy *p)
{
	struct cors *c = arena_new(a, struct cors);

	c->policy = p;
	c->origins.items = arena_array(a, struct string_matcher, p->allow_origins.count);
	for (size_t i = 0; i < p->allow_origins.count; i++) {
		struct string_matcher *m = &c->origins.items[c->origins.count++];

		string_matcher_init(m, &p->allow_origins.items[i], false);
		c->any_origin |= string_matcher_test(m, SLICE("*")) == REGEX_YES;
	}
	if (p->max_age_s >= 0)
		c->max_age = slice_of(arena_printf(a, "%lld", (long long)p->max_age_s));
	return c;
}

void cors_fini(struct cors *c)
{
	for (size_t i = 0; i < c->origins.count; i++)
		string_matcher_fini(&c->origins.items[i]);
}

bool cors_is_preflight(const struct message *request)
{
	const struct headers *h = &request->headers;

	return slice_eq(request->method, SLICE("OPTIONS")) && headers_value(h, HEADER_ORIGIN).len > 0 &&
	       headers_value(h, HEADER_ACCESS_CONTROL_REQUEST_METHOD).len > 0;
}

struct slice cors_allowed_origin(const struct cors *c, const struct message *request, struct arena *a)
{
	struct slice origin;

	if (headers_get(&request->headers, HEADER_ORIGIN) == NULL)
		return NO_SLICE;
	origin = headers_joined(&request->headers, SLICE("origin"), a);
	if (origin.len == 0)
		return NO_SLICE;
	if (c->any_origin)
		return origin;
	for (size_t i = 0; i < c->origins.count; i++)
		if (string_matcher_test(&c->origins.items[i], origin) == REGEX_YES)
			return origin;
	return NO_SLICE;
}

bool cors_answers_preflight(const struct cors *c, struct slice origin)
{
	return origin.at != NULL || c->policy->unmatched_preflights == PREFLIGHTS_IGNORE;
}

static void set_unless_empty(struct headers *h, struct slice name, struct slice value)
{
	if (value.len > 0)
		headers_set(h, name, value);
}

/* A list that is "*" alone grants what is asked for: with credentials browsers take no "*". */
static struct slice granted(struct slice list, const struct message *request, struct slice asked)
{
	return slice_eq(list, SLICE("*")) ? headers_joined(&request->headers, asked, request->headers.arena) :
					    list;
}

static void set_credentials(const struct cors *c, struct headers *h)
{
	if (c->policy->allow_credentials)
		headers_set(h, SLICE("access-control-allow-credentials"), SLICE("true"));
}

void cors_preflight_fields(const struct cors *c, const struct message *request, struct slice origin,
			   struct headers *h)
{
	const struct cors_policy *p = c->policy;

	set_unless_empty(h, SLICE("access-control-allow-origin"), origin);
	set_credentials(c, h);
	set_unless_empty(h, SLICE("access-control-allow-methods"),
			 granted(p->allow_methods, request, SLICE("access-control-request-method")));
	set_unless_empty(h, SLICE("access-control-allow-headers"),
			 granted(p->allow_headers, request, SLICE("access-control-request-headers")));
	if (c->max_age.at != NULL)
		headers_set(h, SLICE("access-control-max-age"), c->max_age);
	if (origin.at != NULL)
		set_unless_empty(h, SLICE("access-control-expose-headers"), p->expose_headers);
}

void cors_response_fields(const struct cors *c, struct slice origin, struct headers *h)
{
	headers_set(h, SLICE("access-control-allow-origin"), origin);
	set_credentials(c, h);
	set_unless_empty(h, SLICE("access-control-expose-headers"), c->policy->expose_headers);
}

static bool varies_by_origin(struct slice list)
{
	while (list.at != NULL) {
		struct slice name = slice_trim(slice_cut(&list, ','));

		if (slice_eq(name, SLICE("*")) || slice_eq_nocase(name, SLICE("origin")))
			return true;
	}
	return false;
}

void cors_vary(struct headers *h)
{
	for (const struct header *f = headers_begin(h); f != NULL; f = headers_next(h, f))
		if (slice_eq(f->name, SLICE("vary")) && varies_by_origin(f->value))
			return;
	headers_add(h, SLICE("vary"), SLICE("Origin"));
}
