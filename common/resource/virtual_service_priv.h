/* SPDX-License-Identifier: Apache-2.0
 *
 * virtual_service_priv.h - the parts of a VirtualService, one file each; for common/resource alone.
 *
 * Each decoder fills the struct its name says and reports every problem it sees (decode.h). Numbers
 * like V34 are the rules of spec/virtual-service.md 3. */
#ifndef SALLYPORT_VIRTUAL_SERVICE_PRIV_H
#define SALLYPORT_VIRTUAL_SERVICE_PRIV_H

#include "sallyport/resource/virtual_service.h"

/* virtual_service_string_match.c */
struct string_match_rule {
	bool empty_prefix;	/* uri: an empty prefix is allowed */
	bool star_is_present;	/* withoutHeaders: regex "*" */
	bool text_required;	/* CORS: neither {} nor an empty text */
};
bool vs_decode_string_match(struct decoder *d, const struct node *n, void *out, const void *arg);
/* Compiles and throws away; `n` is where the expression stands. */
bool vs_check_regex(struct decoder *d, const struct node *n, struct slice pattern);

/* virtual_service_match.c: LIST(struct http_match), null items are {}. */
bool vs_decode_http_matches(struct decoder *d, const struct node *n, void *out, const void *arg);
/* Shared with tls and tcp matches; `arg`: non-NULL: of the document itself. */
bool vs_decode_gateways(struct decoder *d, const struct node *n, void *out, const void *arg);
bool vs_decode_match_port(struct decoder *d, const struct node *n, void *out, const void *arg);
bool vs_decode_namespace(struct decoder *d, const struct node *n, void *out, const void *arg);

/* virtual_service_headers.c: struct headers_policy. */
bool vs_decode_headers_policy(struct decoder *d, const struct node *n, void *out, const void *arg);

/* virtual_service_destination.c; `arg` of the routes: non-NULL: with headers (HTTP). */
bool vs_decode_destination(struct decoder *d, const struct node *n, void *out, const void *arg);
bool vs_decode_route_destinations(struct decoder *d, const struct node *n, void *out,
				  const void *arg);
bool vs_decode_mirrors(struct decoder *d, const struct node *n, void *out, const void *arg);
bool vs_decode_mirror_percent(struct decoder *d, const struct node *n, void *out, const void *arg);
/* struct optional_share of {value: 12.5}; `arg`: non-NULL: nothing between 0 and 0.0001 (fault). */
bool vs_decode_percentage(struct decoder *d, const struct node *n, void *out, const void *arg);

/* virtual_service_actions.c */
bool vs_decode_redirect(struct decoder *d, const struct node *n, void *out, const void *arg);
bool vs_decode_direct_response(struct decoder *d, const struct node *n, void *out, const void *arg);
bool vs_decode_rewrite(struct decoder *d, const struct node *n, void *out, const void *arg);

/* virtual_service_fault.c, _cors.c */
bool vs_decode_fault(struct decoder *d, const struct node *n, void *out, const void *arg);
bool vs_decode_cors(struct decoder *d, const struct node *n, void *out, const void *arg);

/* virtual_service_l4.c: struct l4_route; `arg`: non-NULL: tls. */
bool vs_decode_l4_route(struct decoder *d, const struct node *n, void *out, const void *arg);
/* V123: SNI hosts within the hosts of the document. */
bool vs_l4_routes_check(struct decoder *d, const struct virtual_service *vs);

/* virtual_service_http.c: struct http_route. */
bool vs_decode_http_route(struct decoder *d, const struct node *n, void *out, const void *arg);
/* What depends on the document: delegates (V20, V21), claims (V32). */
bool vs_http_routes_check(struct decoder *d, const struct virtual_service *vs,
		       bool is_delegate, bool gateway_only);

/* virtual_service_reach.c: V130-V135. */
void virtual_service_check_reach(struct decoder *d, const struct virtual_service *vs);

#endif
