/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror.c - the head that a mirror gets (spec/virtual-service.md 7.10): the request as it goes to its
 * destination, after operations and rewrites, and marked as a copy. */
#include "proxy/route/route.h"

#define SHADOW		"-shadow"
#define FIELDS_SPARE	4u

/* A suffix would make no name of an IPv6 address, whose end is a bracket. */
static struct slice shadow_authority(struct slice authority, struct arena *a)
{
	struct slice port = authority_port(authority);
	struct slice host = port.at == NULL ? authority : slice_first(authority, authority.len - port.len - 1);

	if (host.len == 0 || host.at[0] == '[')
		return arena_slice(a, authority);
	return slice_of(arena_printf(a, "%.*s" SHADOW "%s%.*s", SLICE_ARG(host), port.at != NULL ? ":" : "",
				     SLICE_ARG(port.at != NULL ? port : SLICE(""))));
}

static void copy_fields(struct headers *to, const struct headers *from)
{
	struct arena *a = to->arena;

	for (struct header *f = headers_begin(from); f != NULL; f = headers_next(from, f))
		headers_append(to, f->id, f->id != HEADER_OTHER ? header_name(f->id) : arena_slice(a, f->name),
			       arena_slice(a, f->value));
}

/* We are the client of the mirror. */
static void add_own_address(struct headers *h, struct slice address)
{
	struct slice list = headers_joined(h, SLICE("x-forwarded-for"), h->arena);

	if (address.len == 0)
		return;
	headers_set_id(h, HEADER_X_FORWARDED_FOR, list.len == 0 ? arena_slice(h->arena, address) :
		       slice_of(arena_printf(h->arena, "%.*s,%.*s", SLICE_ARG(list), SLICE_ARG(address))));
}

struct message *route_mirror_request(const struct message *request, bool suffix, struct slice own_address,
				     struct arena *a)
{
	struct message *m = arena_new(a, struct message);

	*m = *request;
	m->method = arena_slice(a, request->method);
	m->scheme = arena_slice(a, request->scheme);
	m->path = arena_slice(a, request->path);
	m->authority = suffix ? shadow_authority(request->authority, a) : arena_slice(a, request->authority);
	headers_init(&m->headers, a, request->headers.count + FIELDS_SPARE);
	copy_fields(&m->headers, &request->headers);
	headers_set_id(&m->headers, HEADER_X_ENVOY_INTERNAL, SLICE("true"));
	add_own_address(&m->headers, own_address);
	return m;
}

struct headers *route_mirror_trailers(const struct headers *trailers, struct arena *a)
{
	struct headers *copy = arena_new(a, struct headers);

	headers_init(copy, a, trailers->count + 1);
	copy_fields(copy, trailers);
	return copy;
}
