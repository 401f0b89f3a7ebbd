/* SPDX-License-Identifier: Apache-2.0
 *
 * redirect.c - where a redirected client is sent (spec/virtual-service.md 7.2, spec/gateway.md 12.5).
 *
 * A location always has scheme and host, and the host is never taken from the path: `//evil.example`
 * stays a path of this host (spec/hardening.md T-134). */
#include "proxy/route/route.h"

#include "sallyport/path.h"

#define PORT_HTTP	80u
#define PORT_HTTPS	443u

static uint32_t default_port(struct slice scheme)
{
	return slice_eq(scheme, SLICE("https")) ? PORT_HTTPS : PORT_HTTP;
}

static bool port_is(struct slice text, uint32_t port)
{
	uint64_t number;

	return slice_to_u64(text, &number) && number == port;
}

/* The brackets of an IPv6 address stay. */
static struct slice without_port(struct slice authority)
{
	struct slice port = authority_port(authority);

	return port.at == NULL ? authority : slice_first(authority, authority.len - port.len - 1);
}

static struct slice glue(struct arena *a, const struct slice *pieces, size_t count)
{
	size_t len = 0;
	char *text, *at;

	for (size_t i = 0; i < count; i++)
		len += pieces[i].len;
	text = at = arena_alloc(a, len + 1);
	for (size_t i = 0; i < count; i++)
		if (pieces[i].len != 0)
			at = mempcpy(at, pieces[i].at, pieces[i].len);
	*at = '\0';
	return slice_make(text, len);
}

#define GLUE(a, ...)	glue((a), (const struct slice[]){ __VA_ARGS__ }, \
			     sizeof((const struct slice[]){ __VA_ARGS__ }) / sizeof(struct slice))

static struct slice with_port(struct arena *a, struct slice host, uint32_t port)
{
	return GLUE(a, host, slice_of(arena_printf(a, ":%u", port)));
}

/* 0: none was asked for, or it goes without saying. */
static uint32_t wanted_port(const struct http_redirect *to, uint32_t server_port, bool server_tls)
{
	uint32_t port = to->port;
	struct slice scheme = to->scheme;

	if (port == 0 && to->derive_port == DERIVE_PORT_REQUEST)
		port = server_port;
	if (scheme.len == 0)
		scheme = server_tls ? SLICE("https") : SLICE("http");
	return port == default_port(scheme) ? 0 : port;
}

static struct slice redirect_host(const struct http_redirect *to, const struct message *request,
				  struct slice scheme, uint32_t port, struct arena *a)
{
	struct slice received = request->authority;

	if (to->authority.len != 0)
		return port == 0 ? to->authority : with_port(a, to->authority, port);
	if (port != 0)
		return with_port(a, without_port(received), port);
	/* `http://a.com:80` must not become `https://a.com:80`. */
	if (!slice_eq(scheme, request->scheme) &&
	    port_is(authority_port(received), default_port(request->scheme)))
		return without_port(received);
	return received;
}

static size_t matched_prefix(const struct route *r)
{
	if (r->match != NULL && r->match->uri.kind == MATCH_PREFIX)
		return r->match->uri.text.len;
	return 1;
}

static struct slice query_with_mark(struct slice target, struct slice path)
{
	return slice_from(target, path.len);
}

static struct slice redirect_path(const struct route *r, const struct message *request, struct arena *a)
{
	const struct http_redirect *to = r->source->redirect;
	struct slice query, path = path_split(request->path, &query);

	if (to->uri.len != 0) {
		struct slice slash = to->uri.at[0] == '/' ? SLICE("") : SLICE("/");

		query = slice_find(to->uri, '?') >= 0 ? NO_SLICE : query_with_mark(request->path, path);
		return GLUE(a, slash, to->uri, query);
	}
	if (to->prefix_rewrite.len != 0) {
		struct slice slash = to->prefix_rewrite.at[0] == '/' ? SLICE("") : SLICE("/");

		return GLUE(a, slash, to->prefix_rewrite, slice_from(path, matched_prefix(r)),
			    query_with_mark(request->path, path));
	}
	return request->path;
}

struct slice route_redirect_location(const struct route *r, const struct message *request,
				     uint32_t server_port, bool server_tls, struct arena *a)
{
	const struct http_redirect *to = r->source->redirect;
	struct slice scheme = to->scheme.len != 0 ? to->scheme : request->scheme;
	uint32_t port = wanted_port(to, server_port, server_tls);

	return GLUE(a, scheme, SLICE("://"), redirect_host(to, request, scheme, port, a),
		    redirect_path(r, request, a));
}

struct slice https_redirect_location(const struct message *request, uint32_t bound_port,
				     uint32_t https_port, bool mapped, struct arena *a)
{
	struct slice host = request->authority, port = authority_port(host);
	bool here = port.at != NULL ? port_is(port, bound_port) : bound_port == PORT_HTTP;

	if (mapped && here && https_port != 0) {
		host = without_port(host);
		if (https_port != PORT_HTTPS)
			host = with_port(a, host, https_port);
	}
	return GLUE(a, SLICE("https://"), host, request->path);
}
