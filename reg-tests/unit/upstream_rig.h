/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream_rig.h - a main base, one worker and a cluster registry, driven by the test's own thread. */
#ifndef UPSTREAM_RIG_H
#define UPSTREAM_RIG_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <event2/thread.h>

#include "proxy/net/worker.h"
#include "proxy/upstream/state_priv.h"
#include "sallyport/clock.h"

#define RIG_PATIENCE_MS	5000	/* for what must happen; far more than it takes */

struct rig {
	struct event_base *main;
	struct worker *worker;
	struct cluster_registry *registry;
	struct arena *arena;
};

static inline void rig_turn_main(struct rig *r)
{
	event_base_loop(r->main, EVLOOP_NONBLOCK);
}

/* Lets the worker run what was posted to it, and the main base what follows. */
static inline void rig_settle(struct rig *r)
{
	for (int i = 0; i < 3; i++) {
		event_base_loop(r->worker->base, EVLOOP_NONBLOCK);
		rig_turn_main(r);
	}
}

static inline void rig_init(struct rig *r, endpoint_left_fn *left, const struct resolver_options *dns)
{
	evthread_use_pthreads();
	r->main = event_base_new();
	assert_non_null(r->main);
	r->worker = worker_create(0);
	r->registry = cluster_registry_create_with(r->main, &r->worker, 1, left, dns);
	r->arena = arena_create(0);
}

static inline void rig_fini(struct rig *r)
{
	rig_settle(r);
	cluster_registry_free(&r->registry);
	rig_turn_main(r);
	worker_free(&r->worker);
	event_base_free(r->main);
	arena_free(&r->arena);
}

static inline struct cluster *rig_cluster(struct rig *r, const char *name)
{
	struct cluster *c = arena_new(r->arena, struct cluster);

	c->name = slice_of(name);
	c->connect_timeout_ms = 1000;
	c->idle_timeout_ms = 60000;
	c->dns_refresh_ms = 60000;
	c->endpoints.items = arena_array(r->arena, struct endpoint_spec, 64);
	return c;
}

static inline struct endpoint_spec *rig_endpoint(struct cluster *c, const char *ip, uint16_t port)
{
	struct endpoint_spec *e = &c->endpoints.items[c->endpoints.count++];
	struct sockaddr_in *in = (struct sockaddr_in *)&e->sockaddr;

	assert_true(c->endpoints.count <= 64);
	*e = (struct endpoint_spec){ .address = slice_of(ip), .port = port, .weight = 1,
				     .healthy = true };
	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		e->sockaddr_len = sizeof(*in);
	}
	return e;
}

static inline void rig_serve(struct rig *r, struct cluster *c)
{
	cluster_registry_prepare(r->registry, &c, 1);
	cluster_registry_activate(r->registry, &c, 1);
}

static inline void rig_list_one(void *arg, const struct endpoint *e)
{
	char *out = arg;

	if (out[0] != '\0')
		strcat(out, " ");
	strncat(out, e->text.at, e->text.len);
}

/* "ip:port ip:port" as published. */
static inline const char *rig_endpoints(struct rig *r, const struct cluster *c)
{
	char *out = arena_zalloc(r->arena, 4096);

	cluster_visit_endpoints(c, rig_list_one, out);
	return out;
}

#endif
