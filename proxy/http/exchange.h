/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange.h - what is known of one request and its response: for header values with %OPERATORS%,
 * the access log and explain. The stream fills it in as it learns; absent means not known (yet).
 *
 * Owner    embedded in the stream; slices point into its arena or into its connection. */
#ifndef SALLYPORT_PROXY_EXCHANGE_H
#define SALLYPORT_PROXY_EXCHANGE_H

#include "proxy/http/message.h"

/* spec/observability.md 4, in print order. X(identifier, long name) */
#define RESPONSE_FLAGS(X) \
	X(UH, "NoHealthyUpstream") X(UT, "UpstreamRequestTimeout") X(LR, "LocalReset") \
	X(UR, "UpstreamRemoteReset") X(UF, "UpstreamConnectionFailure") \
	X(UC, "UpstreamConnectionTermination") X(UO, "UpstreamOverflow") X(NR, "NoRouteFound") \
	X(DI, "DelayInjected") X(FI, "FaultInjected") X(RL, "RateLimited") \
	X(UAEX, "UnauthorizedExternalService") X(DC, "DownstreamConnectionTermination") \
	X(URX, "UpstreamRetryLimitExceeded") X(SI, "StreamIdleTimeout") \
	X(IH, "InvalidEnvoyRequestHeaders") X(DPE, "DownstreamProtocolError") \
	X(UMSDR, "UpstreamMaxStreamDurationReached") X(DT, "DurationTimeout") \
	X(UPE, "UpstreamProtocolError") X(NC, "NoClusterFound") X(OM, "OverloadManagerTerminated") \
	X(DF, "DnsResolutionFailed") X(DR, "DownstreamRemoteReset")

#define RESPONSE_FLAG_AS_INDEX(id, text)	RESPONSE_FLAG_INDEX_##id,
enum { RESPONSE_FLAGS(RESPONSE_FLAG_AS_INDEX) RESPONSE_FLAG_COUNT };
#define RESPONSE_FLAG_AS_BIT(id, text)	RESPONSE_FLAG_##id = 1u << RESPONSE_FLAG_INDEX_##id,
enum response_flag { RESPONSE_FLAGS(RESPONSE_FLAG_AS_BIT) };

struct peer_identity;

struct exchange {
	const struct message *request;		/* as it is now (after rewriting: as sent upstream) */
	const struct message *response;		/* as sent downstream, or as received until then */
	const struct headers *response_trailers;	/* NULL: none (yet) */

	/* of the connection */
	struct slice remote_address;		/* trusted client, "ip:port"; port 0 when from XFF */
	struct slice direct_remote_address;	/* socket peer, "ip:port" */
	struct slice local_address;		/* "ip:port" the client reached */
	struct slice requested_server_name;	/* SNI */
	struct slice tls_version, tls_cipher;	/* "TLSv1.3", "TLS_AES_128_GCM_SHA256" */
	const struct peer_identity *peer;	/* by its certificate; NULL: it showed none */
	uint64_t connection_id;
	const char *protocol;			/* "HTTP/1.1" */

	/* of the decision */
	struct slice route_name;
	struct slice cluster_name;		/* outbound|port|subset|host */
	struct slice authz_reason;		/* policy, rule and reason of the verdict */
	struct slice authz_dry_run;		/* what policies on trial would have said */

	/* of the attempt */
	struct slice upstream_host;		/* "ip:port" of the endpoint */
	struct slice upstream_local_address;
	struct slice transport_failure_reason;
	const char *upstream_protocol;		/* "HTTP/1.1"; NULL: nothing was sent upstream */
	unsigned attempts;

	/* of the outcome */
	unsigned response_code;			/* 0: nothing was sent */
	struct slice response_code_details;
	struct slice termination_details;	/* why we closed the connection; mostly absent */
	struct slice local_reply_body;		/* absent: the response came from upstream */
	uint32_t response_flags;		/* enum response_flag */
	uint64_t bytes_received, bytes_sent;	/* bodies */
	int64_t start_wall_us;			/* since 1970, first byte of the request */
	/* monotonic; 0: not yet. First and last byte of the request read; its last byte sent upstream;
	 * response head read; first and last byte sent downstream. */
	int64_t start_us, request_end_us, request_sent_us;
	int64_t response_head_us, first_byte_sent_us, end_us;
};

/* "UF,URX" or "-" into `out` (at least RESPONSE_FLAGS_TEXT_MAX); returns the length. */
#define RESPONSE_FLAGS_TEXT_MAX	128
size_t response_flags_text(uint32_t flags, char *out);
/* The bit of a short name, e.g. "UF"; 0 for NULL or an unknown one. */
uint32_t response_flag_of(const char *name);
/* "UpstreamConnectionFailure,…" or "-"; at least RESPONSE_FLAGS_LONG_TEXT_MAX. */
#define RESPONSE_FLAGS_LONG_TEXT_MAX	768
size_t response_flags_long_text(uint32_t flags, char *out);

#endif
