/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot.h - what the resources ask for, resolved, ready to serve, immutable.
 *
 * Owner    whoever holds a reference; the last one frees it. Each worker holds one reference to the
 *          snapshot it serves and counts its own streams on it (stream/), so that no atomic is
 *          touched per request.
 * Thread   built on the main thread, read by every worker without locks; the count is atomic.
 * Blocks   snapshot_build() may read files; nothing else here does.
 * Fails    a failed build leaves nothing behind but its problems; lookups answer NULL.
 * Spec     spec/gateway.md 5-9, 12; spec/virtual-service.md 4-6; spec/README.md D1-D12. */
#ifndef SALLYPORT_PROXY_SNAPSHOT_H
#define SALLYPORT_PROXY_SNAPSHOT_H

#include <sys/socket.h>

#include "proxy/route/route.h"
#include "proxy/route/tcp_route.h"
#include "proxy/upstream/cluster.h"
#include "sallyport/resource.h"

/* Where a listener binds. */
struct bind_point {
	struct sockaddr_storage address;
	socklen_t address_len;
	char key[128];			/* "0.0.0.0:8443", "[::]:80", "unix:/path": identity across reloads */
};

/* Where one certificate comes from. */
struct tls_certificate {
	struct slice ns, credential_name;	/* Secret, as named; absent: files */
	struct slice certificate_path, key_path;
};

#define TLS_CERTIFICATES_MAX	2

enum tls_client { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

/* What a server asks of its clients (gateway.md 10.4, 11.3, 11.4). */
struct tls_client_settings {
	enum tls_client certificate;		/* NONE: nothing below counts */
	struct slice ns, credential_name;	/* Secret or ConfigMap with the CA; absent: files */
	bool is_config_map;
	struct slice ca_path, crl_path;
	LIST(struct slice) names;		/* subjectAltNames: one of them; empty: any */
	LIST(struct slice) spki_pins, hash_pins;	/* one of both; empty: any */
	bool skip_verify;
};

/* How a TLS-terminating chain is set up: what tls/ needs, resolved from the Gateway server. */
struct tls_settings {
	struct tls_certificate certificates[TLS_CERTIFICATES_MAX];
	unsigned certificate_count;		/* at least 1 */
	struct slice gateway_ns;		/* second place where a bare name is looked up */
	struct tls_client_settings client;
	int min_version, max_version;		/* TLS1_2_VERSION … */
	bool http2;				/* h2 is offered by ALPN, before http/1.1 */
	bool peer_exchange;			/* istio-peer-exchange before both */
	bool workload;				/* ISTIO_MUTUAL: clients look for a SPIFFE id, not a host */
	struct slice cipher_list;		/* OpenSSL form; absent: default list */
	struct slice groups;			/* likewise */
	struct where where;
};

struct host_map;
struct listener_plan;
struct route_compiler;
struct service_registry;

/* What a chain carries once TLS, where it ends here, has been taken off. */
enum chain_kind { CHAIN_HTTP, CHAIN_TCP };

/* One personality of a listener, chosen once per connection. */
struct chain {
	struct slice name;			/* statistics: server name, or outbound_<listener> */
	const struct listener_plan *listener;
	enum chain_kind kind;
	bool tls;				/* terminates TLS. Otherwise plain HTTP, or bytes that are
						 * forwarded untouched: a ClientHello that chose it too */
	struct tls_settings tls_settings;
	uint32_t tls_slot;			/* index into the snapshot's TLS chains: 0 … tls_count - 1 */
	const struct route_table *routes;	/* CHAIN_HTTP */
	const struct tcp_route *tcp;		/* CHAIN_TCP */
	bool grpc_web;				/* gRPC-Web is translated: the first server's protocol (8) */
	bool needs_mesh_alpn;			/* the ClientHello has to offer a mesh protocol, or the
						 * connection is refused (14.2) */
	struct slice gateway;			/* "namespace/name" of the (first) Gateway document */
	uint32_t server_port;			/* port.number of the server */
	LIST(struct slice) domains;		/* host patterns of the server(s), lower case */
	struct where where;
};

struct listener_plan {
	struct slice name;			/* <bind>_<port>, e.g. 0.0.0.0_443 */
	struct bind_point bind;
	uint32_t number;			/* port.number */
	uint32_t bound_port;			/* what is bound (README.md D2); 0 for unix sockets */
	bool mapped;				/* some listener's bound_port differs from its number (D4) */
	bool proxy_protocol;			/* every connection begins with its header (http.md 31) */
	LIST(struct chain *) chains;
	const struct chain *plain;		/* without TLS, HTTP or TCP; NULL: TLS is required */
	const struct host_map *sni;		/* for listener_find_chain(); NULL: no TLS on this port */
	struct where where;
};

struct snapshot {
	struct object obj;
	uint64_t serial;			/* counts loads, shown by the admin socket */
	char rev[17];				/* configuration revision, same as the agent's */
	char rev_of_load[40];			/* "rev.process-serial": what the agent is asked by */
	struct resource_set *resources;		/* owned */
	struct arena *arena;			/* owned */
	const struct proxy_settings *settings;	/* the Proxy document's, or defaults; in resources */
	LIST(struct listener_plan *) listeners;
	LIST(struct cluster *) clusters;	/* sorted by name */
	LIST(const struct chain *) tls_chains;	/* by tls_slot */
	/* Policies that select the gateway itself (its namespace or the root one, its labels). */
	bool gateway_has_policies;
	bool gateway_verifies_tokens;		/* a RequestAuthentication is among them */
	bool has_policies;			/* any document of theirs at all: the agent is needed */
	int64_t check_ms;			/* a question to the agent, a provider's time included */
	struct slice gateway_workload;		/* "namespace/name" of the proxy */
	struct slice gateway_labels;		/* "k=v,k=v" */
	const struct service_registry *services;	/* for snapshot_why_no_cluster() */
	const struct host_map *https_hosts;	/* for snapshot_https_port() */
	struct route_compiler *compiler;	/* owned: compiled expressions of the routes */
};

/* `set` becomes the snapshot's on success and stays the caller's on failure (NULL). Warnings and
 * notes about what the documents say together are added to `ps` too. */
struct snapshot *snapshot_build(struct resource_set *set, uint64_t serial, struct problems *ps);
struct snapshot *snapshot_ref(struct snapshot *s);
/* Drops one reference and clears the caller's pointer; *sp may be NULL already. */
void snapshot_unref(struct snapshot **sp);

/* The chain for a server name (lower case; absent: none sent, or no TLS at all): exact, longest
 * wildcard, default; NULL: refuse the connection (gateway.md 10.3). It alone decides: a connection
 * that does not meet its needs_mesh_alpn is refused, too. */
const struct chain *listener_find_chain(const struct listener_plan *l, struct slice sni);
/* Same certificate, and the same demands on clients (README.md D5)? */
bool tls_settings_same(const struct tls_settings *a, const struct tls_settings *b);
/* The demands on clients alone. */
bool tls_clients_same(const struct tls_settings *a, const struct tls_settings *b);
/* Another TLS server of this listener than `chain` covers this authority: answer 421 (gateway.md
 * 12.7); but where that server's certificate and client policy are the same, *same gets it, and its
 * routes serve the request (README.md D5). */
bool listener_is_misdirected(const struct listener_plan *l, const struct chain *chain,
			     struct slice authority, const struct chain **same);
/* Bound port of the HTTPS server that serves this host, for httpsRedirect (D4); 0: none. */
uint32_t snapshot_https_port(const struct snapshot *s, struct slice authority);
/* Why a destination has no cluster; NULL: it has one. */
const char *snapshot_why_no_cluster(const struct snapshot *s, struct slice name);
const struct cluster *snapshot_find_cluster(const struct snapshot *s, struct slice name);

#endif
