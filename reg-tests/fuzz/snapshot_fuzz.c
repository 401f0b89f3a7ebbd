/* SPDX-License-Identifier: Apache-2.0
 * Whatever documents say together, if each of them is sound: the snapshot builds or says why not, and what it
 * has can be asked for any name. */
#include <stddef.h>
#include <stdint.h>

#include "proxy/snapshot/snapshot.h"
#include "sallyport/log.h"
#include "sallyport/resource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct listener_plan *l, struct slice name)
{
	const struct chain *c = listener_find_chain(l, name), *same;

	if (c == NULL)
		return;
	must((c->kind == CHAIN_TCP) == (c->tcp != NULL) && (c->kind == CHAIN_HTTP) == (c->routes != NULL));
	must(!c->tls || c->tls_settings.certificate_count > 0);
	if (c->kind == CHAIN_TCP)
		for (uint64_t random = 0; random < 8; random++)
			must(tcp_route_draw(c->tcp, random * UINT64_C(0x9e3779b97f4a7c15))->cluster_name.len > 0);
	else
		must(!listener_is_misdirected(l, c, name, &same) || same == NULL || same->kind == CHAIN_HTTP);
}

static void visit(const struct snapshot *s)
{
	for (size_t i = 0; i < s->listeners.count; i++) {
		const struct listener_plan *l = s->listeners.items[i];

		must(l->chains.count > 0 && (l->sni != NULL || l->plain != NULL));
		ask(l, NO_SLICE);
		ask(l, SLICE("a.example.com"));
		for (size_t k = 0; k < l->chains.count; k++)
			for (size_t n = 0; n < l->chains.items[k]->domains.count; n++) {
				ask(l, l->chains.items[k]->domains.items[n]);
				snapshot_https_port(s, l->chains.items[k]->domains.items[n]);
			}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resource_set *set;
	struct snapshot *s = NULL;
	struct problems ps;

	problems_init(&ps);
	set = resource_set_parse("fuzz.yaml", slice_make(data, size), &ps);
	if (set != NULL && ps.errors == 0)
		s = snapshot_build(set, 1, &ps);
	if (s != NULL)
		visit(s);
	else
		resource_set_free(&set);
	snapshot_unref(&s);
	problems_fini(&ps);
	return 0;
}
