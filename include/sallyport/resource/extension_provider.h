/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/extension_provider.h - who decides what a CUSTOM AuthorizationPolicy matches: an entry of
 * Istio's meshConfig.extensionProviders, which stands in Proxy.spec.mesh here
 * (spec/authorization-policy.md 10.2).
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Units    _ms milliseconds. */
#ifndef SALLYPORT_RESOURCE_EXTENSION_PROVIDER_H
#define SALLYPORT_RESOURCE_EXTENSION_PROVIDER_H

#include "sallyport/decode.h"

#define PROVIDER_TIMEOUT_MS		600000	/* Istio's */
#define PROVIDER_TIMEOUT_WARN_MS	10000	/* longer ones hold requests up for long (T-116) */
#define PROVIDER_STATUS_ON_ERROR	403
#define PROVIDER_BODY_BYTES_MAX		32768	/* maxRequestBytes at the most: a question is one SPOP frame */

enum provider_kind { PROVIDER_NONE, PROVIDER_HTTP, PROVIDER_GRPC };

/* Of header names, in lower case: exact, `abc*` or `*abc`. */
struct name_pattern {
	enum { NAME_EXACT, NAME_PREFIX, NAME_SUFFIX } kind;
	struct slice text;		/* without the star */
};
typedef LIST(struct name_pattern) name_patterns;

struct extension_provider {
	struct slice name;
	enum provider_kind kind;
	struct slice service_ns;	/* of `namespace/host`; absent: any */
	struct slice service;		/* host, lower case */
	uint32_t port;
	int64_t timeout_ms;
	bool fail_open, clear_route_cache;
	uint32_t status_on_error;
	uint32_t body_bytes;		/* maxRequestBytes; 0: no bodies are sent */
	bool body_partial;		/* allowPartialMessage */
	bool body_as_bytes;		/* packAsBytes; gRPC alone */
	/* HTTP alone */
	struct slice path_prefix;	/* absent: none */
	name_patterns headers_in_check, headers_in_check_deprecated;
	LIST(struct string_entry) additional_headers;
	name_patterns upstream_on_allow, downstream_on_deny, downstream_on_allow;
	struct where where;
};

/* LIST(struct extension_provider) out of a sequence. */
bool decode_extension_providers(struct decoder *d, const struct node *n, void *out, const void *arg);
bool name_patterns_match(const name_patterns *l, struct slice name);

#endif
