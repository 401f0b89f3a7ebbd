/* SPDX-License-Identifier: Apache-2.0
 *
 * downstream.h - a connection that a client opened: from accept through TLS to its codec, and how it
 * ends.
 *
 * Owner    the server, which lists it; freed after the loop turn in which it closed, and not before
 *          its streams are done.
 * Thread   the worker's. Blocks never. */
#ifndef SALLYPORT_PROXY_DOWNSTREAM_H
#define SALLYPORT_PROXY_DOWNSTREAM_H

#include "proxy/stream/server.h"

struct downstream;

/* A connection was accepted; refused (closed) beyond the limit of connections. */
void downstream_accept(struct acceptor *a, int fd, const struct sockaddr_storage *peer);

struct server *downstream_server(const struct downstream *d);
/* What a new request is served by: the current snapshot, unless the listener or its chain is gone
 * from it; then the one the connection came by, and the connection ends after this request. */
struct snapshot_use *downstream_use(struct downstream *d, const struct chain **chain);
/* The client's address and ours, as the PROXY protocol says where it is spoken; borrowed. */
void downstream_addresses(const struct downstream *d, const struct sockaddr **client,
			  const struct sockaddr **edge);
/* The same, for who may outlive the connection. */
void downstream_copy_addresses(const struct downstream *d, struct arena *a, const struct sockaddr **client,
			       const struct sockaddr **edge);
/* Fills in what the connection knows; x->start_us, where it is 0, with when it was accepted. */
void downstream_describe(const struct downstream *d, struct exchange *x);
struct local_reply;
/* decide_client() with what this connection is. */
bool downstream_forwarded(struct downstream *d, struct message *request, struct arena *a,
			  struct exchange *x, struct local_reply *refusal);
/* For the agent's question. */
struct check_request;
void downstream_describe_peer(const struct downstream *d, struct check_request *q);
void downstream_stream_ended(struct downstream *d, struct stream *s);

/* Ends after the requests in progress; at once when there are none. */
void downstream_drain(struct downstream *d);
void downstream_close(struct downstream *d);
/* RST. */
void downstream_abort(struct downstream *d);
/* downstream_close() for a reason of ours, static: what is in progress is logged with it. */
void downstream_end(struct downstream *d, const char *why);
/* NULL: not for one of ours. */
const char *downstream_end_reason(const struct downstream *d);
/* Another snapshot serves: a connection without a place in it drains. */
void downstream_after_switch(struct downstream *d);
struct downstream *downstream_next(struct downstream *d);

#endif
