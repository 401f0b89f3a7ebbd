/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_priv.h - what the parts of an explanation share while it is made. */
#ifndef SALLYPORT_PROXY_EXPLAIN_PRIV_H
#define SALLYPORT_PROXY_EXPLAIN_PRIV_H

#include "proxy/stream/explain.h"

struct explaining {
	struct explained *out;
	struct explain_ground ground;
	struct arena *arena;
	struct judging judging;
	struct check_request question;	/* to the agent */
	bool asks;			/* it waits for the answer */
	struct message *request;	/* out->request */
	struct exchange x;
	struct slice host;		/* of the authority, as virtual hosts are looked up */
	bool grpc_web;			/* its client speaks gRPC-Web */
	size_t hint_room;
};

/* explain_connection.c: listener and chain. False: out->end says what happens in place of a request. */
bool explain_connection(struct explaining *e);
/* The address that clients reach the listener by, as text. */
struct slice explain_local_address(const struct explaining *e);

/* explain_certificate.c: what the client of out->chain is shown. */
void explain_certificate(struct explaining *e);

/* explain_request.c: the question as the codec of the listener would have read it. False: it refuses. */
bool explain_request(struct explaining *e, struct local_reply *refusal);

/* explain_ask.c: asks what the request, or the connection, is judged by; false: nothing judges it. */
bool explain_ask(struct explaining *e);
/* Another question about the same request. */
void explain_ask_again(struct explaining *e);
bool explain_ask_relayed(struct explaining *e);

/* explain_policies.c: what reaches the gateway and the workloads behind the targets. */
void explain_policies(struct explaining *e);

/* explain_follow.c: what becomes of a client that follows the redirect, also over several; NULL: it leads to
 * no URL. `circles`: it comes back to where it was. */
const struct explained *explain_follow(struct explaining *e, bool *circles);

/* explain_hints.c: the nearest misses. */
void explain_hints(struct explaining *e);

#endif
