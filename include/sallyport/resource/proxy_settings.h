/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/proxy_settings.h - the Proxy document (sallyport.io/v1): what a proxy and its agent need
 * to know beyond Istio's API. Every field is optional and has its default here.
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Units    _ms milliseconds, _bytes bytes; a limit of 0 is off where its row says so.
 * Spec     DESIGN.md "Configuration"; limits: spec/http.md 9, 19, 25, spec/hardening.md 5-7. */
#ifndef SALLYPORT_RESOURCE_PROXY_SETTINGS_H
#define SALLYPORT_RESOURCE_PROXY_SETTINGS_H

#include "sallyport/cidr.h"
#include "sallyport/decode.h"
#include "sallyport/path.h"
#include "sallyport/resource/extension_provider.h"

#define PROXY_NAMESPACE_DEFAULT		"istio-system"
#define PROXY_SECRETS_DEFAULT		"/etc/sallyport/secrets"
#define PROXY_ADMIN_SOCKET_DEFAULT	"/run/sallyport/admin.sock"
#define PROXY_SERVER_NAME_DEFAULT	"istio-envoy"
#define PROXY_WORKERS_MAX		256
#define PROXY_AGENTS_MAX		16	/* addresses of agents */

struct retry_policy;

/* Every limit: name in the document, member, kind, default, least, most, flags of the field.
 * COUNT and BYTES are plain numbers, KB is written in KiB and kept in bytes, SPAN is a duration and
 * kept in milliseconds. FIELD_LATER: nothing obeys it yet, which a warning says when it is set. */
#define PROXY_LIMITS(X) \
	/* connections */ \
	X("maxConnections",		max_connections,	COUNT, 0, 0, 10000000, 0)	/* 0: by open files (T-37) */ \
	X("listenerMaxConnections",	listener_max_connections, COUNT, 0, 0, 10000000, FIELD_LATER)	/* 0: off */ \
	X("acceptsPerTurn",		accepts_per_turn,	COUNT, 1, 1, 64, 0)		/* T-40 */ \
	X("listenBacklog",		listen_backlog,		COUNT, 4096, 1, 65535, 0)	/* T-39 */ \
	X("connectionBufferKb",		connection_buffer_bytes, KB, 32, 4, 16384, FIELD_LATER)		/* each way; hard cap twice */ \
	X("lingerKb",			linger_bytes,		KB, 256, 0, 16384, 0)		/* read and dropped at a close */ \
	/* requests */ \
	X("maxRequestHeadersKb",	request_head_bytes,	KB, 60, 1, 8192, 0) \
	X("maxRequestHeaders",		request_headers,	COUNT, 100, 1, 10000, 0) \
	X("maxUriBytes",		uri_bytes,		BYTES, 0, 0, 8388608, 0)	/* 0: off */ \
	X("maxConnectionTokens",	connection_tokens,	COUNT, 9, 1, 100, 0) \
	X("maxForwardedFor",		forwarded_for,		COUNT, 100, 1, 1000, 0)		/* x-forwarded-for entries */ \
	X("replayBufferKb",		replay_bytes,		KB, 1024, 0, 65536, 0)		/* a retry's copy of the body */ \
	X("replayMemoryKb",		replay_memory_bytes,	KB, 65536, 0, 16777216, 0)	/* of all of them together */ \
	X("minBodyRate",		body_rate_bytes,	BYTES, 500, 0, 1073741824, FIELD_LATER)	/* a second; 0: off */ \
	/* responses */ \
	X("maxResponseHeadersKb",	response_head_bytes,	KB, 80, 1, 8192, 0) \
	X("maxResponseHeaders",		response_headers,	COUNT, 100, 1, 10000, 0) \
	X("maxInterimResponses",	interim_responses,	COUNT, 16, 0, 1000, 0) \
	/* HTTP/2 */ \
	X("maxConcurrentStreams",	concurrent_streams,	COUNT, 100, 1, 2147483647, 0) \
	X("maxStreamsPerConnection",	connection_streams,	COUNT, 10000, 1, 1000000000, 0) \
	X("http2DrainGrace",		http2_drain_grace_ms,	SPAN, 5000, 0, 3600000, 0) \
	/* times */ \
	X("clientHelloTimeout",		client_hello_ms,	SPAN, 15000, 100, 3600000, 0) \
	X("tlsHandshakeTimeout",	tls_handshake_ms,	SPAN, 15000, 100, 3600000, 0) \
	X("ticketKeyRotation",		ticket_key_rotation_ms,	SPAN, 43200000, 1000, 302400000, 0)	/* T-80; twice: RFC 8446's 7 days */ \
	X("requestHeaderTimeout",	request_header_ms,	SPAN, 60000, 0, 3600000, 0)	/* 0: off */ \
	X("requestTimeout",		request_ms,		SPAN, 0, 0, 86400000, FIELD_LATER)	/* whole request; 0: off */ \
	X("streamIdleTimeout",		stream_idle_ms,		SPAN, 300000, 0, 86400000, 0)	/* 0: off */ \
	X("writeStallTimeout",		write_stall_ms,		SPAN, 30000, 0, 3600000, 0)	/* T-33; 0: off */ \
	X("idleTimeout",		idle_ms,		SPAN, 3600000, 0, 604800000, 0)	/* 0: off */ \
	X("delayedCloseTimeout",	delayed_close_ms,	SPAN, 1000, 0, 3600000, 0) \
	X("maxConnectionDuration",	connection_duration_ms,	SPAN, 0, 0, 604800000, FIELD_LATER)	/* 0: off */ \
	X("maxStreamDuration",		stream_duration_ms,	SPAN, 0, 0, 604800000, FIELD_LATER)	/* 0: off */ \
	X("connectTimeout",		connect_ms,		SPAN, 10000, 1, 3600000, 0) \
	X("upstreamIdleTimeout",	upstream_idle_ms,	SPAN, 3600000, 1, 604800000, 0) \
	X("tcpIdleTimeout",		tcp_idle_ms,		SPAN, 3600000, 0, 604800000, 0)	/* 0: off */ \
	X("drainTimeout",		drain_ms,		SPAN, 5000, 0, 86400000, 0)	/* at SIGTERM */ \
	X("listenerDrainTimeout",	listener_drain_ms,	SPAN, 45000, 0, 86400000, 0)	/* of what a reload removed */ \
	/* mirrors */ \
	X("maxMirrors",			mirrors,		COUNT, 1000, 0, 1000000, 0)	/* a worker's */ \
	X("mirrorBufferKb",		mirror_buffer_bytes,	KB, 1024, 16, 65536, 0)		/* a copy's */ \
	X("mirrorMemoryKb",		mirror_memory_bytes,	KB, 65536, 16, 16777216, 0)	/* of all */ \
	X("mirrorTimeout",		mirror_ms,		SPAN, 30000, 10, 3600000, 0) \
	/* agent */ \
	X("maxPendingChecks",		pending_checks,		COUNT, 10000, 1, 10000000, 0)	/* a worker's */ \
	X("tokenCacheEntries",		token_cache_entries,	COUNT, 10000, 0, 10000000, 0) \
	X("maxTokenKb",			token_bytes,		KB, 16, 1, 1024, FIELD_LATER)

struct proxy_limits {
#define X(name, member, kind, preset, least, most, flags) int64_t member;
	PROXY_LIMITS(X)
#undef X
};

struct proxy_port {
	uint32_t number, bound;		/* what a Gateway writes, what is bound */
	struct where where;
};

struct proxy_protocol_port {
	uint32_t number;		/* what a Gateway writes */
	struct where where;
};

enum access_log_format { ACCESS_LOG_TEXT, ACCESS_LOG_JSON };
enum header_underscores { UNDERSCORES_IN_NAMES_ALLOW, UNDERSCORES_IN_NAMES_REJECT, UNDERSCORES_IN_NAMES_DROP };

struct proxy_settings {
	const struct meta *meta;	/* never NULL; its namespace is the proxy's */
	LIST(struct string_entry) labels;	/* default istio=ingressgateway, app=istio-ingressgateway */
	int64_t workers;		/* 0: one a core */
	LIST(struct proxy_port) ports;
	struct slice user, group;	/* absent: stay who we are; the user's own group */
	struct {
		struct slice directory;
	} secrets;
	struct {
		struct slice directory;	/* cert-chain.pem, key.pem, root-cert.pem; absent: no ISTIO_MUTUAL */
	} workload_credentials;
	struct {
		struct slice socket;	/* "" turns it off */
		bool socket_set;	/* false: a default that need not be possible to open */
	} admin;
	struct {
		LIST(struct slice) addresses;	/* unix:/path or host:port, NUL behind; none: the proxy runs the agent */
		int64_t timeout_ms;
		struct slice agent;	/* program; absent: sallyport-authz beside the proxy, then in PATH */
		struct slice state_directory;	/* where that keeps keys; absent: $STATE_DIRECTORY, else nowhere */
	} authz;
	struct {
		struct slice path;	/* absent: no access log */
		int format;		/* enum access_log_format */
	} access_log;
	struct {
		struct slice root_namespace, trust_domain, cluster_domain;
		LIST(struct located_slice) trust_domain_aliases;
		LIST(struct extension_provider) extension_providers;	/* for CUSTOM policies */
		struct retry_policy *default_retries;	/* of routes without a policy; NULL: Istio's */
		int64_t trusted_proxies;
		enum path_normalization path_normalization;	/* DEFAULT is PATH_BASE */
		int64_t dns_refresh_ms;
	} mesh;
	struct {
		bool accept_http10;
		bool keep_trailers;
		bool http2;		/* offered to clients */
		struct slice server_name;	/* of the `server` header */
		int underscores;	/* enum header_underscores */
		bool vary_origin;	/* `vary: Origin` on responses of routes with a corsPolicy */
	} http;
	struct {
		bool shadow_host_suffix;	/* copies say so in their authority: a.com-shadow:8080 */
	} mirror;
	struct {			/* of connections to us (spec/http.md 31) */
		bool on;
		LIST(struct proxy_protocol_port) ports;	/* empty: all */
		LIST(struct cidr) trusted_sources;	/* never empty where `on` */
	} proxy_protocol;
	struct proxy_limits limits;
};

struct proxy_settings *proxy_settings_decode(struct decoder *d, const struct node *spec,
					     const struct meta *meta);
/* NULL: there is none of that name. */
const struct extension_provider *extension_provider_find(const struct proxy_settings *s, struct slice name);
/* What no document at all means. */
struct proxy_settings *proxy_settings_default(struct arena *a);

#endif
