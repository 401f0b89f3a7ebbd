/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/virtual_service.h - a VirtualService, decoded and checked, with defaults applied.
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Absent   what was not written: slices have at == NULL, pointers are NULL, lists have count 0.
 * Units    _ms milliseconds, _s seconds, per_million parts of 1 000 000.
 * Spec     spec/virtual-service.md; section numbers below are its. */
#ifndef SALLYPORT_RESOURCE_VIRTUAL_SERVICE_H
#define SALLYPORT_RESOURCE_VIRTUAL_SERVICE_H

#include "sallyport/decode.h"
#include "sallyport/export_to.h"
#include "sallyport/format.h"
#include "sallyport/string_match.h"

#define PER_MILLION	1000000u	/* 100 % */

/* One entry of a `gateways` list, resolved (4.1). */
struct gateway_ref {
	struct slice ns, name;		/* absent when `mesh` */
	bool mesh;
	struct where where;
};

/* A named condition: header (name in lower case; `host` is `:authority`) or query parameter. */
struct named_match {
	struct slice name;
	struct string_match value;	/* never MATCH_UNSET; withoutHeaders: null, {} and regex "*"
					 * are MATCH_PRESENT */
	struct where where;
};

/* A condition on a claim of the verified token (6.7). */
struct claim_match {
	LIST(struct slice) path;	/* claim names from the outside in; at least one */
	struct string_match value;
	struct where where;
};

struct http_match {			/* conditions of one item hold together (2.3) */
	struct where where;
	struct slice name;
	struct string_match uri, scheme, method, authority;
	bool ignore_uri_case;
	LIST(struct named_match) headers;
	LIST(struct named_match) without_headers;	/* inverted (6.5): string_matcher_holds() */
	LIST(struct named_match) query_params;
	LIST(struct claim_match) claims;
	LIST(struct claim_match) without_claims;
	uint32_t port;			/* server port; 0: any */
	LIST(struct string_entry) source_labels;
	struct slice source_namespace;
	LIST(struct gateway_ref) gateways;	/* empty: every Gateway of the VirtualService */
	struct slice stat_prefix;
};

struct destination {
	struct slice host;		/* as written, lower case; expand by spec 5 */
	struct slice subset;
	uint32_t port;			/* 0: not written */
	struct where where;
};

struct header_value {
	struct slice name;		/* lower case; `host` is `:authority` in requests */
	struct slice value;		/* as written */
	struct format format;		/* compiled; an empty result skips the operation */
	struct where where;
};

/* Applied as remove, then set, then add (7.6). */
struct header_ops {
	LIST(struct header_value) set;	/* in byte order of the names */
	LIST(struct header_value) add;
	LIST(struct slice) remove;	/* lower case */
};

struct headers_policy {
	struct header_ops request, response;
};

struct route_destination {
	struct destination destination;
	uint32_t weight;		/* as written; a single destination takes everything */
	struct headers_policy headers;	/* HTTP only */
	struct where where;
};

enum derive_port { DERIVE_PORT_UNSET, DERIVE_PORT_PROTOCOL_DEFAULT, DERIVE_PORT_REQUEST };

struct http_redirect {			/* 7.2 */
	struct slice uri, prefix_rewrite, authority, scheme;	/* empty counts as not written */
	uint32_t port;			/* 0: not written */
	enum derive_port derive_port;
	unsigned code;			/* 301, 302, 303, 307, 308 */
};

struct direct_response {		/* 7.3 */
	unsigned status;		/* 200-599 */
	struct slice body;		/* bytes, base64 undone; may be absent */
};

struct http_rewrite {			/* 7.5 */
	struct slice uri, authority;
	struct slice regex_match, regex_rewrite;	/* both or none; regex_replace_all() */
};

/* The tokens of retryOn (7.8); numbers are in `statuses`. */
#define RETRY_ON_TOKENS(X) \
	X(5XX, "5xx") X(GATEWAY_ERROR, "gateway-error") X(RESET, "reset") \
	X(RESET_BEFORE_REQUEST, "reset-before-request") X(CONNECT_FAILURE, "connect-failure") \
	X(RETRIABLE_4XX, "retriable-4xx") X(REFUSED_STREAM, "refused-stream") \
	X(RETRIABLE_STATUS_CODES, "retriable-status-codes") \
	X(RETRIABLE_HEADERS, "retriable-headers") \
	X(ENVOY_RATELIMITED, "envoy-ratelimited") \
	X(HTTP3_POST_CONNECT_FAILURE, "http3-post-connect-failure") X(CANCELLED, "cancelled") \
	X(DEADLINE_EXCEEDED, "deadline-exceeded") X(INTERNAL, "internal") \
	X(RESOURCE_EXHAUSTED, "resource-exhausted") X(UNAVAILABLE, "unavailable")
#define RETRY_ON_AS_INDEX(name, text)	RETRY_ON_INDEX_##name,
enum { RETRY_ON_TOKENS(RETRY_ON_AS_INDEX) RETRY_ON_COUNT };
#define RETRY_ON_AS_FLAG(name, text)	RETRY_ON_##name = 1u << RETRY_ON_INDEX_##name,
enum retry_on { RETRY_ON_TOKENS(RETRY_ON_AS_FLAG) };

#define RETRY_ON_DEFAULT	(RETRY_ON_CONNECT_FAILURE | RETRY_ON_REFUSED_STREAM | \
				 RETRY_ON_UNAVAILABLE | RETRY_ON_CANCELLED | \
				 RETRY_ON_RETRIABLE_STATUS_CODES)
#define RETRY_ATTEMPTS_DEFAULT	2u	/* of a route without a policy */
#define RETRY_BACKOFF_MS	25

struct retry_policy {
	unsigned attempts;		/* retries after the first attempt; 0: none */
	int64_t per_try_timeout_ms;	/* 0: none */
	uint32_t on;			/* enum retry_on flags */
	LIST(uint16_t) statuses;
	bool remote_localities;
	bool ignore_previous_hosts_set, ignore_previous_hosts;	/* unset: no consistent hash */
	int64_t backoff_ms;
};

/* Of a route without a policy, in a mesh without one: Istio's. */
extern const struct retry_policy retry_policy_default;
/* One that stands in another document: `out` is a struct retry_policy. */
bool retry_policy_decode(struct decoder *d, const struct node *n, void *out, const void *arg);

enum abort_kind { ABORT_NONE, ABORT_HTTP, ABORT_GRPC };

struct http_fault {			/* 7.9 */
	int64_t delay_ms;		/* 0: none */
	uint32_t delay_per_million;
	enum abort_kind abort;
	unsigned abort_status;		/* HTTP status or gRPC number */
	uint32_t abort_per_million;
};

/* What stood there decides, also for delegates, which inherit each field alone. */
struct optional_share {
	bool set;
	uint32_t per_million;
};

struct mirror {
	struct destination destination;
	struct optional_share percentage;	/* not set: all */
	struct where where;
};

enum unmatched_preflights { PREFLIGHTS_UNSPECIFIED, PREFLIGHTS_FORWARD, PREFLIGHTS_IGNORE };

struct cors_policy {			/* 7.11 */
	LIST(struct string_match) allow_origins;	/* allowOrigin is folded in as exact ones */
	struct slice allow_methods, allow_headers, expose_headers;	/* joined by "," */
	int64_t max_age_s;		/* -1: no header */
	bool allow_credentials;
	enum unmatched_preflights unmatched_preflights;
};

struct delegate_ref {
	struct slice ns, name;		/* ns: that of the root where not written */
	struct where where;
};

struct http_route {
	struct where where;
	struct slice name;
	LIST(struct http_match) match;		/* alternatives; empty: everything */
	LIST(struct route_destination) route;
	struct http_redirect *redirect;
	struct direct_response *direct_response;
	struct delegate_ref *delegate;
	struct http_rewrite *rewrite;
	int64_t timeout_ms;			/* 0: none */
	struct retry_policy *retries;		/* NULL: the default policy */
	struct http_fault *fault;
	struct destination *mirror;
	struct optional_share mirror_percent, mirror_percentage;
	LIST(struct mirror) mirrors;
	struct cors_policy *cors;
	struct headers_policy *headers;
};

/* One match item of a tls or tcp route; a gateway evaluates only the first three members. */
struct l4_match {
	struct where where;
	LIST(struct located_slice) sni_hosts;	/* lower case; tls only */
	uint32_t port;				/* 0: any */
	LIST(struct gateway_ref) gateways;
	LIST(struct located_slice) destination_subnets;
	LIST(struct string_entry) source_labels;
	struct slice source_namespace, source_subnet;
};

struct l4_route {
	struct where where;
	LIST(struct l4_match) match;		/* tcp: empty is everything */
	LIST(struct route_destination) route;
};

struct virtual_service {
	const struct meta *meta;
	struct where where;
	LIST(struct located_slice) hosts;	/* lower case, no trailing dot; empty: a delegate */
	LIST(struct gateway_ref) gateways;	/* omitted is [mesh]; empty for delegates only */
	LIST(struct http_route) http;
	LIST(struct l4_route) tls, tcp;
	struct export_to export_to;
};

/* Decodes and checks the spec; every problem goes to the decoder's collection. Never NULL: what
 * could not be decoded is absent; whoever serves it looks at problems->errors first. */
struct virtual_service *virtual_service_decode(struct decoder *d, const struct node *spec,
					       const struct meta *meta);

/* Does this item hold for every request that passes its static filters (6.9)? */
bool http_match_is_catch_all(const struct http_match *m);

/* Does the list name this Gateway? (4.1) `refs` is the LIST's items. */
bool gateway_refs_name(const struct gateway_ref *refs, size_t count, struct slice ns,
		       struct slice name);

/* A delegate's route below the root's route that refers to it (13): what is true of one request for both,
 * and of the root's other fields those that the child leaves out. Parts are shared with both. False:
 * their matches exclude each other, and there is no such route. */
bool http_route_merge(struct arena *a, const struct http_route *root, const struct http_route *child,
		      struct http_route *out);

/* The share of requests that `mirror` gets: percentage, else percent, else all (7.10). */
uint32_t http_route_mirror_share(const struct http_route *r);

#endif
