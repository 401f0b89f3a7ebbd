/* SPDX-License-Identifier: Apache-2.0
 *
 * decide.h - what becomes of a request, decided without any connection: the stream that serves it and
 * whoever explains it (explain.h) ask the same functions.
 *
 *     decide_host()  decide_path()  decide_client()  decide_route()  decide_preflight()
 *     decide_upgrade()  decide()
 *
 * in this order. Between the last two stands the verdict; after it the route may be another one.
 *
 * Owner    results borrow from the snapshot, the message and the arena given.
 * Thread   any that may read the snapshot. Blocks never, counts nothing.
 * Spec     spec/gateway.md 12, spec/virtual-service.md 7, spec/http.md 14, 21-24, 27. */
#ifndef SALLYPORT_PROXY_DECIDE_H
#define SALLYPORT_PROXY_DECIDE_H

#include "proxy/http/forwarded.h"
#include "proxy/snapshot/snapshot.h"
#include "sallyport/resource/proxy_settings.h"

/* A response of our own. `body` is borrowed until it was sent. */
struct local_reply {
	unsigned status;
	unsigned grpc_status;			/* in gRPC; 0: what `status` stands for there */
	bool grpc_ok;				/* in gRPC 0, whatever `status` is */
	struct slice body, content_type;	/* content_type absent: text/plain where there is a body */
	const char *details;
	uint32_t flags;				/* enum response_flag */
	struct slice location, www_authenticate;
	bool overloaded;			/* x-envoy-overloaded: true */
	const struct headers *fields;		/* more of them; NULL: none */
	bool plain;				/* nothing of the route: no response operations, no CORS */
};

/* Which of the documents' words hold for a request. */
struct choice {
	const struct chain *chain;		/* of the connection, or the equal server's (D5) */
	const struct virtual_host *host;	/* NULL: none for this authority */
	bool misdirected;			/* another server of the listener has it: 421 */
	bool to_https;				/* httpsRedirect */
	bool undecided;				/* a regex of a route reached its limit: 500 */
	const struct route *route;		/* NULL: none holds, or none was asked */
	const struct route_target *target;	/* of a route that forwards: as drawn */
	struct slice cors_origin;		/* allowed by the route's corsPolicy; absent: none is */
};

/* The virtual host for this authority: the chain's own, or the equal server's, whose chain *c then has. */
void decide_host(struct choice *c, struct slice authority);

/* The one spelling of the path that routing, policy and upstream see. False: *refusal is the answer. */
bool decide_path(struct message *m, const struct proxy_settings *settings, struct arena *a,
		 struct local_reply *refusal);

/* Removes what clients may not say, adds what the proxy vouches for; x gets the client's address.
 * `own_address` may be empty. False: *refusal is the answer. */
bool decide_client(struct message *m, const struct proxy_settings *settings, struct slice own_address,
		   const struct edge_peer *peer, const uint64_t random[2], struct arena *a,
		   struct exchange *x, struct local_reply *refusal);

/* Route and target of the request as it is now; c->host stays. */
void decide_route(struct choice *c, const struct route_input *in, uint64_t random);

/* As header values and the log have them. */
void decide_names(const struct choice *c, struct exchange *x);

/* True: a preflight of CORS that the route answers, before anybody is asked: *answer (cors.c). */
bool decide_preflight(const struct choice *c, const struct proxy_settings *settings, const struct message *m,
		      struct arena *a, struct local_reply *answer);

/* WebSocket is the one protocol that is served. False: *refusal is the answer. */
bool decide_upgrade(const struct message *m, struct local_reply *refusal);

enum decided {
	DECISION_FORWARD,	/* to choice.target; anything else is a reply of ours */
	DECISION_TO_HTTPS, DECISION_NOT_FOUND, DECISION_MISDIRECTED,
	DECISION_REDIRECT, DECISION_DIRECT_RESPONSE, DECISION_NO_CLUSTER, DECISION_REGEX_LIMIT,
};

/* What is done once policies have let it through; *reply is set unless it is forwarded. */
enum decided decide(const struct choice *c, const struct snapshot *s, const struct message *m,
		     struct arena *a, struct local_reply *reply);

/* Onto the head of a response of c->route, after its operations. `r`: it is ours; NULL: it is the upstream's
 * (cors.c). */
void cors_apply(const struct choice *c, const struct proxy_settings *settings, struct message *m,
		const struct local_reply *r);

/* What an endpoint is told of the time that is left; INT64_MAX: nothing. And how much that is when the
 * first attempt begins (deadline.c). */
void deadline_tell(struct message *m, int64_t left_ms, struct arena *a);
int64_t deadline_of_first_ms(const struct route *r, const struct message *m);
/* The handshake of a request to upgrade is the proxy's, whatever operations made of it (tunnel.c). */
void upgrade_prepare(struct message *m, struct slice key);

/* The answer of an injected abort (fault.c). */
struct local_reply fault_reply(const struct http_fault *f);

/* The answer where a cluster has no healthy endpoint. */
extern const struct local_reply no_healthy_upstream;

/* The head of a reply of ours, without what routes and verdicts change of it: trailers-only in gRPC. */
void local_reply_head(const struct local_reply *r, bool grpc, const struct proxy_settings *settings,
		      struct slice date, struct message *out, struct arena *a);

#endif
