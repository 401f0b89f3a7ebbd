/* SPDX-License-Identifier: Apache-2.0
 *
 * tcp_route.c - the weighted draw among the destinations of a connection. */
#include "proxy/route/tcp_route.h"

const struct tcp_target *tcp_route_draw(const struct tcp_route *r, uint64_t random)
{
	uint64_t at;

	if (r->targets.count == 1)
		return &r->targets.items[0];
	at = random % r->total_weight;
	for (size_t i = 0; i + 1 < r->targets.count; i++) {
		if (at < r->targets.items[i].weight)
			return &r->targets.items[i];
		at -= r->targets.items[i].weight;
	}
	return &r->targets.items[r->targets.count - 1];
}
