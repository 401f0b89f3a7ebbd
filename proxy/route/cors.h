/* SPDX-License-Identifier: Apache-2.0
 *
 * cors.h - a corsPolicy, compiled: which origins it allows, which preflights are answered in place of
 * the upstream, and what is put on responses (spec/virtual-service.md 7.11, README D10).
 *
 * Owner    lives in the arena of its route table; its expressions are given back by cors_fini().
 * Thread   made on the main thread, read by all. What a request gets lives in the caller's arena.
 * Cost     one comparison an origin, in the order of the document; nothing for other routes. */
#ifndef SALLYPORT_PROXY_ROUTE_CORS_H
#define SALLYPORT_PROXY_ROUTE_CORS_H

#include "proxy/http/message.h"
#include "sallyport/resource/virtual_service.h"

struct cors;

/* `p` was validated and outlives the result. */
struct cors *cors_create(struct arena *a, const struct cors_policy *p);
void cors_fini(struct cors *c);

/* OPTIONS with `origin` and `access-control-request-method` filled in: a browser asks whether it may. */
bool cors_is_preflight(const struct message *request);
/* The request's origin where the policy allows it, as it will be echoed; absent: it does not, or none
 * was sent. Lines of a repeated field are judged joined, so that they are no origin at all. */
struct slice cors_allowed_origin(const struct cors *c, const struct message *request, struct arena *a);
/* Is this preflight answered here? `origin` as above; one that is not allowed may be the upstream's. */
bool cors_answers_preflight(const struct cors *c, struct slice origin);

/* The fields of our answer to a preflight; `origin` absent: what is said to an unmatched one. */
void cors_preflight_fields(const struct cors *c, const struct message *request, struct slice origin,
			   struct headers *h);
/* Onto any other response to an allowed origin, over what the upstream says of the same. */
void cors_response_fields(const struct cors *c, struct slice origin, struct headers *h);
/* `vary: Origin`, unless it is there already: for caches between browser and proxy (optional, 7.11). */
void cors_vary(struct headers *h);

#endif
