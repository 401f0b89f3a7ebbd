/* SPDX-License-Identifier: Apache-2.0
 *
 * forwarded.h - who the client is, and the fields an edge adds, replaces and removes on both sides
 * of a request: x-forwarded-*, x-request-id, x-envoy-*, x-forwarded-client-cert, server, date.
 *
 * Framing and hop-by-hop fields are the codec's; what a route orders is the route's. Runs once a
 * request, after the codec and before any filter or route reads a field (spec/http.md 14).
 *
 * Owner    values are borrowed from the rules, the peer and the message's arena; nothing is freed.
 * Thread   any. Blocks never. Allocates from the arena of the message's headers only.
 * Spec     spec/http.md 4 (repeated fields), 21-23; spec/hardening.md T-11. */
#ifndef SALLYPORT_PROXY_FORWARDED_H
#define SALLYPORT_PROXY_FORWARDED_H

#include "proxy/http/message.h"
#include "sallyport/problem.h"

#define FORWARDED_FOR_ENTRIES_MAX	100		/* default of forwarded_for_max */
#define FORWARDED_FOR_BYTES_MAX		(8u * 1024)

/* gatewayTopology.forwardClientCertDetails */
enum client_cert_mode {
	CLIENT_CERT_SANITIZE_SET, CLIENT_CERT_SANITIZE, CLIENT_CERT_FORWARD_ONLY,
	CLIENT_CERT_APPEND_FORWARD, CLIENT_CERT_ALWAYS_FORWARD_ONLY
};

/* The proxy's part, the same for all requests. All zero is Istio's default, but for server_name. */
struct edge_rules {
	uint32_t trusted_proxies;	/* numTrustedProxies */
	uint32_t forwarded_for_max;	/* entries; 0: FORWARDED_FOR_ENTRIES_MAX */
	struct slice own_address;	/* appended in place of a loopback peer; absent: the peer */
	bool request_id_off;		/* requestId.disabled */
	bool forwarded_port;		/* xForwardedPort.enabled */
	bool service_time_off;		/* envoyDebugHeaders.disabled */
	enum client_cert_mode client_cert;
	struct slice server_name;	/* of `server` in responses; absent: passed through */
	const struct slice *claim_headers;	/* lower case; carry JWT claims, never taken from clients */
	uint32_t claim_header_count;
};

/* The downstream connection's part. */
struct edge_peer {
	struct slice address;		/* of the socket or PROXY header: no port, no brackets */
	struct slice client_cert;	/* element of x-forwarded-client-cert; absent: no certificate */
	uint16_t local_port;
	bool loopback;			/* `address` is 127.0.0.0/8, ::1 or a UNIX socket */
	bool tls;
};

/* Who sent it (spec 22.1). */
struct edge_client {
	struct slice address;		/* no port */
	bool from_header;		/* taken from x-forwarded-for: printed with port 0 */
};

/* Prepares a request; `random` is 128 fresh random bits (worker_random() twice) for x-request-id.
 * FAILED: answer 400, empty body (x-forwarded-for beyond its bounds). The client is told in any
 * case. */
enum outcome edge_request(struct message *m, const struct edge_rules *rules,
			  const struct edge_peer *peer, const uint64_t random[2],
			  struct edge_client *client);

/* Prepares a response that goes downstream, local replies as well. `date` is IMF-fixdate;
 * `service_ms` the milliseconds from the request's start upstream to the response head, < 0: it
 * never reached an upstream. */
void edge_response(struct message *m, const struct edge_rules *rules, struct slice date,
		   int64_t service_ms);

/* 36 bytes at `out`: UUID version 4, lower case; character 15 is `4`: not traced (spec 23). */
#define REQUEST_ID_BYTES	36
void request_id_format(const uint64_t random[2], char *out);

/* The trusted client for a list as received (joined over its lines) behind `trusted` proxies. */
struct edge_client edge_client_of(struct slice forwarded_for, uint32_t trusted, struct slice peer);

#endif
