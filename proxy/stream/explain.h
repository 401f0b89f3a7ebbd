/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.h - what would become of a request, and why: from the listener to the endpoint, without a
 * connection and without doing it.
 *
 *     struct explaining *x = explain_begin(snapshot, &question, &ground, arena);
 *
 *     while ((q = explain_asks(x)) != NULL)		of the agent, where policies reach the request
 *             explain_answer(x, … its verdict on q …);
 *     … explain_result(x) …
 *
 * Every step is the function that serves (decide.h, route.h, snapshot.h, codec.h): what is told here is what
 * happens. What is drawn at random when it happens (weights, faults, mirrors, x-request-id) is told with its
 * chances; `choice.target` is the first of several.
 *
 * Owner    everything is in the arena given or borrowed from snapshot and question, which stay as long.
 * Thread   main, where endpoints are published (cluster_visit_endpoints()); at the desk any.
 * Blocks   at the desk reads the secrets of the server. Never fails: what cannot be served is an end, too. */
#ifndef SALLYPORT_PROXY_EXPLAIN_H
#define SALLYPORT_PROXY_EXPLAIN_H

#include "proxy/stream/judging.h"

#define EXPLAIN_ROUTES_MAX	512u	/* tried ones that are told; the others are counted */
#define EXPLAIN_HINTS_MAX	8u	/* nearest misses */
#define EXPLAIN_POLICIES_MAX	512u	/* that are told */
#define EXPLAIN_WHY_MAX		400u	/* bytes of a reason */
#define EXPLAIN_CLIENT_DEFAULT	"192.0.2.1"	/* of TEST-NET-1: nobody's */

struct tls_set;

struct explain_header {
	struct slice name, value;
};

/* What is asked, and how it gets here. Absent and 0: as curl would do it. */
struct explain_question {
	struct slice url;			/* as written, http:// or https:// */
	struct slice method;			/* absent: GET, or POST with a body */
	bool tls;				/* https */
	struct slice host;			/* of the URL, brackets of IPv6 and port taken off */
	struct slice authority;			/* host[:port] of the URL */
	struct slice target;			/* path and query, at least "/" */
	uint32_t port;				/* to connect to: the URL's, or its scheme's */
	LIST(struct explain_header) headers;	/* in order; `host` replaces the URL's */
	bool has_body;
	uint64_t body_bytes;
	bool http2;				/* spoken by the client */
	struct slice listener;			/* by name or bound address; absent: by port */
	struct slice address;			/* of the edge: ADDRESS:PORT as connected to; absent: any */
	bool sni_set;				/* else: the host of an https URL, unless it is an address */
	struct slice sni;			/* lower case; empty: none sent */
	struct slice client;			/* address; absent: EXPLAIN_CLIENT_DEFAULT */
	struct slice peer_id;			/* URI of the certificate it shows; absent: none */
	struct slice claims;			/* JSON of a token that was verified; absent: none */
	int64_t at_s;				/* when: since 1970; 0: now */
};

/* What is known beside the documents. */
struct explain_ground {
	bool live;				/* endpoints have a state */
	struct slice own_address;		/* for x-forwarded-for of loopback clients; may be empty */
	const struct tls_set *tls;		/* NULL: at the desk, where secrets may be missing */
	bool follows;				/* redirects, to tell where they lead */
	bool judged;				/* there is an agent, or what stands for it: it is asked */
};

/* X(identifier, name in JSON) */
#define EXPLAINED_ENDS(X) \
	X(NO_LISTENER, "no_listener")		/* connection refused */ \
	X(NO_CHAIN, "no_chain")			/* closed: no server for the name */ \
	X(TLS_MISMATCH, "tls_mismatch")		/* TLS to a port without it, or the other way round */ \
	X(NO_SECRET, "no_secret")		/* closed: the server has no usable certificate */ \
	X(RELAYED, "relayed")			/* TCP: bytes go to target */ \
	X(DENIED, "denied")			/* by the verdict, or because there is none: `reply` */ \
	X(REFUSED, "refused")			/* no request that is served: `reply` */ \
	X(PREFLIGHT, "cors_preflight")		/* answered for the route */ \
	X(NOT_FOUND, "not_found")		/* 404 */ \
	X(MISDIRECTED, "misdirected")		/* 421 */ \
	X(TO_HTTPS, "https_redirect")		/* httpsRedirect of the Gateway */ \
	X(REDIRECT, "redirect") \
	X(DIRECT_RESPONSE, "direct_response") \
	X(ABORTED, "fault_abort")		/* of http[].fault, where it meets every request */ \
	X(NO_CLUSTER, "no_cluster")		/* 503: no such service, port or subset */ \
	X(NO_ENDPOINT, "no_healthy_endpoint")	/* 503: none is healthy */ \
	X(FORWARDED, "forwarded")
enum explained_end {
#define X(id, name) EXPLAINED_##id,
	EXPLAINED_ENDS(X)
#undef X
	EXPLAINED_END_COUNT
};
const char *explained_end_name(enum explained_end end);

struct explained_route {
	const struct route *route;
	bool held;
	const char *why;			/* the first reason it did not hold; "" */
};

/* Where a request or a connection may go. */
struct explained_target {
	const struct cluster *cluster;		/* NULL: no such service, port or subset */
	struct slice cluster_name;
	uint32_t weight;			/* of the sum below; both 1 where it stands alone */
	const struct message *upstream;		/* as it would be sent there; NULL: bytes are relayed */
};

enum explained_policy_kind { EXPLAINED_REQUEST_AUTHENTICATION, EXPLAINED_AUTHORIZATION_POLICY };

struct explained_policy {
	enum explained_policy_kind kind;
	const struct meta *meta;
	const char *action;			/* ALLOW … of an AuthorizationPolicy; "" */
	bool dry_run;
	bool at_gateway, at_destination;	/* whom it reaches: at least one */
};

/* What the agent said last. */
struct explained_verdict {
	bool asked;				/* false: nobody was, or no policy reaches the request */
	enum authz_outcome outcome;
	unsigned status;			/* of a refusal */
	const char *cause;			/* of AUTHZ_FAILED; "" */
	struct slice reason, policy, why, shadow, principal;	/* of struct check_reply */
};

/* What the client is shown, as far as it is known here. */
struct explained_certificate {
	bool known;
	bool covers;				/* one of them is for the host of the URL */
	LIST(struct slice) names;		/* of all of them: DNS names and addresses */
};

struct explained {
	const struct snapshot *snapshot;
	const struct explain_question *question;
	enum explained_end end;

	/* the connection */
	const struct listener_plan *listener;	/* NULL: NO_LISTENER */
	struct slice sni;			/* absent: none sent */
	const struct chain *chain;		/* chosen by it; NULL: none */
	struct explained_certificate certificate;	/* where TLS ends here */

	/* the request; NULL before it was read */
	const struct message *request;		/* as routed: path normalised, the proxy's own fields added */
	struct choice choice;			/* choice.chain may be the equal server's (D5) */
	LIST(struct explained_route) routes;	/* tried, in order; the last one held, or none did */
	size_t routes_tried, routes_total;	/* tried: also those beyond EXPLAIN_ROUTES_MAX */

	/* the outcome */
	unsigned status;			/* 0: the upstream says it, or none is sent */
	const struct message *response;		/* of our own, without `date`; NULL: none */
	struct slice body;			/* of it */
	struct slice location;			/* absent: none */
	const char *details;			/* response code details; "" */
	uint32_t flags;				/* enum response_flag */
	LIST(struct explained_target) targets;	/* FORWARDED, NO_ENDPOINT, NO_CLUSTER, RELAYED */
	uint64_t weight_sum;
	LIST(struct explained_policy) policies;	/* what the agent is asked about */
	struct explained_verdict verdict;
	LIST(const char *) hints;		/* nearest misses, most telling first */
};

/* Where a route is written: its match, or itself. */
struct where explain_where(const struct route *r);

struct explaining;

/* Lives in the arena, as does everything else. */
struct explaining *explain_begin(const struct snapshot *s, const struct explain_question *q,
				 const struct explain_ground *ground, struct arena *a);
/* What has to be answered before it goes on; NULL: it is over. */
const struct check_request *explain_asks(const struct explaining *e);
/* The verdict is borrowed for the call. */
void explain_answer(struct explaining *e, const struct authz_verdict *v);
struct explained *explain_result(struct explaining *e);

/* All of it, where nobody is asked. */
struct explained *explain(const struct snapshot *s, const struct explain_question *q,
			  const struct explain_ground *ground, struct arena *a);

#endif
