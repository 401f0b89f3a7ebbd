/* SPDX-License-Identifier: Apache-2.0
 *
 * registry_rig.h - documents as text, and what a destination means under them. */
#ifndef REGISTRY_RIG_H
#define REGISTRY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/net/socket.h"
#include "proxy/snapshot/clusters.h"
#include "sallyport/text.h"

struct documents {
	struct resource_set *set;
	struct problems problems;
	struct arena *arena;
	struct service_registry *registry;
	struct text out;
};

static inline void documents_print(const struct documents *d)
{
	problems_print(&d->problems, SEVERITY_NOTE, stderr);
}

static inline void documents_open(struct documents *d, const char *yaml)
{
	*d = (struct documents){ .arena = arena_create(0) };
	problems_init(&d->problems);
	text_init(&d->out);
	d->set = resource_set_parse("t.yaml", slice_of(yaml), &d->problems);
	if (d->problems.errors > 0)
		documents_print(d);
	assert_int_equal(d->problems.errors, 0);
	/* Warnings of the decoders are told of elsewhere: what is left is the registry's. */
	problems_fini(&d->problems);
	problems_init(&d->problems);
	d->registry = service_registry_build(d->set, d->arena, &d->problems);
}

static inline void documents_close(struct documents *d)
{
	text_fini(&d->out);
	problems_fini(&d->problems);
	resource_set_free(&d->set);
	arena_free(&d->arena);
}

/* A destination of a VirtualService `from`/route, line 7; port 0: not written, on a server of 8000. */
static inline struct cluster *ask(struct documents *d, const char *from, const char *host, uint32_t port,
				  const char *subset, struct slice *name)
{
	struct meta document = { .kind = "VirtualService", .ns = slice_of(from), .name = SLICE("route") };
	struct destination to = { .host = slice_of(host), .port = port,
				  .where = { .file = "t.yaml", .line = 7, .column = 3 } };

	if (subset != NULL)
		to.subset = slice_of(subset);
	return service_registry_cluster(d->registry, &to, &document, 8000, name);
}

/* "10.0.0.1:80 10.0.0.2:81*3 name:90 10.0.0.3:80!": weight 3, to be resolved, unhealthy. "NC": none. */
static inline const char *endpoints_of(struct documents *d, const struct cluster *c)
{
	char text[ADDRESS_TEXT_MAX];

	text_clear(&d->out);
	if (c == NULL)
		text_add(&d->out, SLICE("NC"));
	for (size_t i = 0; c != NULL && i < c->endpoints.count; i++) {
		const struct endpoint_spec *e = &c->endpoints.items[i];

		if (i > 0)
			text_add_char(&d->out, ' ');
		if (e->sockaddr_len == 0)
			text_printf(&d->out, "%.*s:%u", SLICE_ARG(e->address), e->port);
		else if (e->sockaddr.ss_family == AF_UNIX)
			text_printf(&d->out, "unix:%.*s", SLICE_ARG(e->address));
		else
			text_add(&d->out, slice_make(text, address_text((const struct sockaddr *)&e->sockaddr,
									text)));
		if (e->weight != 1)
			text_printf(&d->out, "*%u", e->weight);
		if (!e->healthy)
			text_add_char(&d->out, '!');
	}
	text_add_char(&d->out, '\0');
	return d->out.at;
}

#define ASSERT_MEANS(d, from, host, port, wanted) \
	do { \
		struct slice name_; \
		assert_string_equal(endpoints_of((d), ask((d), (from), (host), (port), NULL, &name_)), wanted); \
	} while (0)

#define ASSERT_SUBSET(d, host, port, subset, wanted) \
	do { \
		struct slice name_; \
		assert_string_equal(endpoints_of((d), ask((d), "default", (host), (port), (subset), &name_)), \
				    wanted); \
	} while (0)

/* Is there a warning that contains the text? */
static inline bool warned(const struct documents *d, const char *text)
{
	for (size_t i = 0; i < d->problems.count; i++)
		if (d->problems.items[i].severity == SEVERITY_WARNING &&
		    strstr(d->problems.items[i].text, text) != NULL)
			return true;
	return false;
}

#define ASSERT_WARNED(d, text) \
	do { \
		if (!warned((d), (text))) { \
			documents_print(d); \
			fail_msg("no warning says: %s", text); \
		} \
	} while (0)

#endif
