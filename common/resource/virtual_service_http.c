/* SPDX-License-Identifier: Apache-2.0
 *
 * http[]: one route, and what its parts may not do together (spec 2.2, V20-V27). */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/hostname.h"

static bool decode_delegate_name(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	struct slice *name = out;

	if (!decode_string(d, n, name, arg))
		return false;
	return hostname_is_label(*name) ||
	       decode_error(d, n, "\"%.*s\" is no name of a VirtualService", SLICE_ARG(*name));
}

static const struct field delegate_fields[] = {
	FIELD(struct delegate_ref, "name",	name,	decode_delegate_name,	FIELD_REQUIRED),
	FIELD(struct delegate_ref, "namespace",	ns,	vs_decode_namespace,	FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_delegate(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct delegate_ref *ref = out;

	(void)arg;
	ref->where = n->where;
	ref->ns = slice_of(d->ns);
	return decode_mapping(d, n, delegate_fields, ref);
}

#define POINTER(type, decode)	(&(const struct decode_pointer){ sizeof(type), decode, NULL })
#define ROUTE(name, member, decode, flags) \
	FIELD(struct http_route, name, member, decode, flags)
#define ROUTE_POINTER(name, member, type, decode, flags) \
	FIELD_ARG(struct http_route, name, member, decode_pointer, flags, POINTER(type, decode))

static const struct field route_fields[] = {
	ROUTE("name", name, decode_string, FIELD_OPTIONAL),
	ROUTE("match", match, vs_decode_http_matches, FIELD_OPTIONAL),
	FIELD_ARG(struct http_route, "route", route, vs_decode_route_destinations,
		  FIELD_OPTIONAL, "http"),
	ROUTE_POINTER("redirect", redirect, struct http_redirect, vs_decode_redirect,
		      FIELD_OPTIONAL),
	ROUTE_POINTER("directResponse", direct_response, struct direct_response,
		      vs_decode_direct_response, FIELD_OPTIONAL),
	ROUTE_POINTER("delegate", delegate, struct delegate_ref, decode_delegate,
		      FIELD_OPTIONAL),
	ROUTE_POINTER("rewrite", rewrite, struct http_rewrite, vs_decode_rewrite, FIELD_OPTIONAL),
	ROUTE("timeout", timeout_ms, decode_duration, FIELD_OPTIONAL),
	ROUTE_POINTER("retries", retries, struct retry_policy, retry_policy_decode, FIELD_OPTIONAL),
	ROUTE_POINTER("fault", fault, struct http_fault, vs_decode_fault, FIELD_OPTIONAL),
	ROUTE_POINTER("mirror", mirror, struct destination, vs_decode_destination, FIELD_OPTIONAL),
	ROUTE("mirrorPercent", mirror_percent, vs_decode_mirror_percent, FIELD_OPTIONAL),
	ROUTE("mirror_percent", mirror_percent, vs_decode_mirror_percent, FIELD_OPTIONAL),
	ROUTE("mirrorPercentage", mirror_percentage, vs_decode_percentage, FIELD_OPTIONAL),
	ROUTE("mirrors", mirrors, vs_decode_mirrors, FIELD_OPTIONAL),
	ROUTE_POINTER("corsPolicy", cors, struct cors_policy, vs_decode_cors,
		      FIELD_OPTIONAL),
	ROUTE_POINTER("headers", headers, struct headers_policy, vs_decode_headers_policy,
		      FIELD_OPTIONAL),
	FIELDS_END
};

/* --- combinations of fields ---------------------------------------------------------------- */

/* Which of `others` stand beside `field`? One error for each. */
static bool check_excludes(struct decoder *d, const struct node *n, const char *field,
			   const char *const *others)
{
	bool ok = true;

	if (!node_has(n, field))
		return true;
	for (; *others != NULL; others++)
		if (node_has(n, *others))
			ok = decode_error(d, n, "%s excludes %s", field, *others);
	return ok;
}

/* A route without destinations is none. */
static bool has_action(const struct node *n)
{
	const struct node *route = node_get(n, "route");

	return (route != NULL && route->count > 0) || node_has(n, "redirect") ||
	       node_has(n, "directResponse");
}

static void warn_without_effect(struct decoder *d, const struct node *n)
{
	static const char *const forwarding[] = { "timeout", "retries",	  "mirror",
						 "mirrors", "corsPolicy", NULL };
	const char *action = node_has(n, "redirect") ? "redirect" : "directResponse";

	if (!node_has(n, action))
		return;
	for (size_t i = 0; forwarding[i] != NULL; i++)
		if (node_has(n, forwarding[i]))
			decode_warning(d, node_get(n, forwarding[i]), "%s has no effect with %s",
				       forwarding[i], action);
}

static bool check_actions(struct decoder *d, const struct node *n)
{
	static const char *const delegate_excludes[] = { "route", "redirect", NULL };
	static const char *const redirect_excludes[] = { "route", "fault", "rewrite",
							"directResponse", NULL };
	static const char *const direct_excludes[] = { "route", "fault", "rewrite", NULL };
	static const char *const mirror_excludes[] = { "mirrors", NULL };
	bool ok = check_excludes(d, n, "delegate", delegate_excludes);

	ok = check_excludes(d, n, "redirect", redirect_excludes) && ok;
	ok = check_excludes(d, n, "directResponse", direct_excludes) && ok;
	ok = check_excludes(d, n, "mirror", mirror_excludes) && ok;
	if (!has_action(n) && !node_has(n, "delegate"))
		ok = decode_error(d, n, "needs an action: route, redirect or directResponse");
	warn_without_effect(d, n);
	return ok;
}

/* --- combinations of values ---------------------------------------------------------------- */

static size_t count_host(const struct header_value *items, size_t count)
{
	size_t hosts = 0;

	for (size_t i = 0; i < count; i++)
		hosts += slice_eq(items[i].name, SLICE(":authority"));
	return hosts;
}

/* V57. */
static bool check_authority(struct decoder *d, const struct node *n, const struct http_route *r)
{
	size_t places = r->rewrite != NULL && r->rewrite->authority.at != NULL;

	if (r->headers != NULL)
		places += count_host(r->headers->request.set.items, r->headers->request.set.count) +
			  count_host(r->headers->request.add.items, r->headers->request.add.count);
	return places < 2 ||
	       decode_error(d, n,
			    "the authority is given %zu times: keep one of rewrite.authority, "
			    "headers.request.set and headers.request.add",
			    places);
}

/* V71. */
static bool check_prefix_rewrite(struct decoder *d, const struct http_route *r)
{
	if (r->redirect == NULL || r->redirect->prefix_rewrite.at == NULL)
		return true;
	for (size_t i = 0; i < r->match.count; i++) {
		const struct string_match *uri = &r->match.items[i].uri;

		if (uri->kind != MATCH_UNSET && uri->kind != MATCH_PREFIX)
			return decode_problem(d, SEVERITY_ERROR, uri->where,
					      "redirect.prefixRewrite needs a uri.prefix "
					      "to rewrite, in every match");
	}
	return true;
}

/* "/api" replaced by "/" leaves "//v1" of "/api/v1". */
static void warn_double_slash(struct decoder *d, const struct http_route *r)
{
	struct slice uri = r->rewrite != NULL ? r->rewrite->uri : NO_SLICE;

	for (size_t i = 0; uri.at != NULL && slice_ends(uri, SLICE("/")) && i < r->match.count;
	     i++) {
		const struct string_match *m = &r->match.items[i].uri;

		if (m->kind != MATCH_PREFIX || m->text.len == 0 || slice_ends(m->text, SLICE("/")))
			continue;
		decode_problem(d, SEVERITY_WARNING, m->where,
			       "rewrite.uri \"%.*s\" makes \"%.*s/x\" start with "
			       "\"%.*s/x\": match \"%.*s/\" and \"%.*s\" in two items",
			       SLICE_ARG(uri), SLICE_ARG(m->text), SLICE_ARG(uri),
			       SLICE_ARG(m->text), SLICE_ARG(m->text));
	}
}

static void warn_per_try_timeout(struct decoder *d, const struct node *n,
				 const struct http_route *r)
{
	if (r->retries != NULL && r->timeout_ms > 0 &&
	    r->retries->per_try_timeout_ms >= r->timeout_ms)
		decode_warning(d, node_get(n, "retries"),
			       "retries.perTryTimeout is not shorter than timeout: ignored");
}

bool vs_decode_http_route(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct http_route *r = out;
	bool ok;

	(void)arg;
	r->where = n->where;
	ok = decode_mapping(d, n, route_fields, r);
	if (n->kind != NODE_MAPPING)
		return false;
	ok = check_actions(d, n) && ok;
	ok = check_authority(d, n, r) && ok;
	ok = check_prefix_rewrite(d, r) && ok;
	warn_double_slash(d, r);
	warn_per_try_timeout(d, n, r);
	return ok;
}

/* --- the document -------------------------------------------------------------------------- */

/* V32: at a sidecar there is no verified token to ask. */
static bool check_claims(struct decoder *d, const struct claim_match *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		decode_problem(d, SEVERITY_ERROR, items[i].where,
			       "claims can be matched at gateways only: "
			       "name them in gateways, without mesh");
	return count == 0;
}

bool vs_http_routes_check(struct decoder *d, const struct virtual_service *vs,
		       bool is_delegate, bool gateway_only)
{
	bool ok = true;

	for (size_t i = 0; i < vs->http.count; i++) {
		const struct http_route *r = &vs->http.items[i];
		size_t mark = decode_push_index(d, i);

		if (is_delegate && r->delegate != NULL)
			ok = decode_problem(d, SEVERITY_ERROR, r->delegate->where,
					    "delegates cannot be chained: this "
					    "VirtualService has no hosts, so it is one itself");
		for (size_t j = 0; !gateway_only && j < r->match.count; j++) {
			const struct http_match *m = &r->match.items[j];
			size_t inner = decode_push(d, "match");

			decode_push_index(d, j);
			ok = check_claims(d, m->claims.items, m->claims.count) && ok;
			ok = check_claims(d, m->without_claims.items, m->without_claims.count) &&
			     ok;
			decode_pop(d, inner);
		}
		decode_pop(d, mark);
	}
	return ok;
}
