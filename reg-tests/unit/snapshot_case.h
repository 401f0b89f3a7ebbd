/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot_case.h - whole documents in short, and what a snapshot makes of them: for the tests of
 * snapshots. */
#ifndef SALLYPORT_TESTS_SNAPSHOT_CASE_H
#define SALLYPORT_TESTS_SNAPSHOT_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/snapshot/build_priv.h"

#define PROXY(spec) \
	"apiVersion: sallyport.io/v1\nkind: Proxy\nmetadata: {name: edge, namespace: istio-system}\nspec: {" spec "}\n---\n"
#define GW_IN(ns, name, servers) \
	"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: " name ", namespace: " ns "}\n" \
	"spec:\n  selector: {istio: ingressgateway}\n  servers:\n" servers "---\n"
#define GW(name, servers)	GW_IN("default", name, servers)
#define SERVER(number, protocol, hosts) \
	"  - port: {number: " #number ", name: p" #number ", protocol: " protocol "}\n    hosts: " hosts "\n"
#define NAMED(port_name, number, protocol, hosts) \
	"  - port: {number: " #number ", name: " port_name ", protocol: " protocol "}\n    hosts: " hosts "\n"
#define SIMPLE(cred)	"    tls: {mode: SIMPLE, credentialName: " cred "}\n"
#define TO_HTTPS	"    tls: {httpsRedirect: true}\n"
#define VS_IN(ns, name, hosts, gateways, http) \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name ", namespace: " ns "}\n" \
	"spec:\n  hosts: " hosts "\n  gateways: " gateways "\n  http:\n" http "---\n"
#define VS(name, hosts, http)	VS_IN("default", name, hosts, "[gw]", http)
#define TO(host)	"  - route: [{destination: {host: " host ".local}}]\n"
#define MATCH_TO(match, host) \
	"  - match: [{" match "}]\n    route: [{destination: {host: " host ".local}}]\n"
#define ENTRY(host, port) \
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " host ", namespace: default}\n" \
	"spec: {hosts: [" host ".local], resolution: STATIC, ports: [{number: " #port ", name: http, protocol: HTTP}], " \
	"endpoints: [{address: 127.0.0.1}]}\n---\n"

struct loaded {
	struct problems problems;
	struct snapshot *s;
	struct arena *arena;
};

static inline void load(struct loaded *l, const char *yaml)
{
	struct resource_set *set;

	problems_init(&l->problems);
	l->arena = arena_create(0);
	set = resource_set_parse("t", slice_of(yaml), &l->problems);
	if (l->problems.errors != 0) {
		problems_print(&l->problems, SEVERITY_ERROR, stderr);
		fail_msg("%s", yaml);
	}
	l->s = snapshot_build(set, 1, &l->problems);
	if (l->s == NULL)
		resource_set_free(&set);
}

static inline void unload(struct loaded *l)
{
	snapshot_unref(&l->s);
	problems_fini(&l->problems);
	arena_free(&l->arena);
}

/* Is there a problem at this line that says so? */
static inline bool told(const struct loaded *l, enum severity severity, const char *what)
{
	for (size_t i = 0; i < l->problems.count; i++)
		if (l->problems.items[i].severity == severity && strstr(l->problems.items[i].text, what) != NULL)
			return l->problems.items[i].where.line != 0;
	return false;
}

static inline void assert_told(const struct loaded *l, const char *what)
{
	if (!told(l, SEVERITY_WARNING, what)) {
		problems_print(&l->problems, SEVERITY_NOTE, stderr);
		fail_msg("no warning \"%s\"", what);
	}
}

static inline const struct listener_plan *listener(const struct loaded *l, uint32_t bound)
{
	for (size_t i = 0; i < l->s->listeners.count; i++)
		if (l->s->listeners.items[i]->bound_port == bound)
			return l->s->listeners.items[i];
	return NULL;
}

static inline const struct chain *chain_for(const struct loaded *l, uint32_t port, const char *sni)
{
	const struct listener_plan *p = listener(l, port);

	return p != NULL ? listener_find_chain(p, slice_of(sni)) : NULL;
}

#endif
