/* SPDX-License-Identifier: Apache-2.0
 *
 * tcp_session.h - the life of a connection whose bytes are relayed: policies are asked once, an
 * endpoint of the route's cluster is connected to, then bytes flow until both sides have ended.
 *
 * Nothing is read from the client before the endpoint is connected: what it sends waits in the
 * kernel, a ClientHello that chose the chain included. No byte passes without a verdict where
 * policies reach the connection (spec/authorization-policy.md 7).
 *
 * Owner    the downstream connection, which gives its transport for as long as the session lives, and
 *          ends with it.
 * Thread   the worker's. Blocks never.
 * Spec     spec/gateway.md 13, 14; spec/destination-rule.md 6.5, 11, 16. */
#ifndef SALLYPORT_PROXY_TCP_SESSION_H
#define SALLYPORT_PROXY_TCP_SESSION_H

#include "proxy/stream/downstream.h"

struct tcp_session;

/* By a CHAIN_TCP `chain` of `use`; `t` is plain, or past its handshake. The session ends by calling
 * downstream_close() or downstream_abort(), never from inside this call. */
struct tcp_session *tcp_session_create(struct downstream *d, struct snapshot_use *use,
				       const struct chain *chain, struct transport *t);
/* Asks, or connects. Separate from creation, since it may end the session at once. */
void tcp_session_start(struct tcp_session *s);
/* Something came from the client, or its connection was reset, before the relay took over. */
void tcp_session_downstream_event(struct tcp_session *s);
/* The connection is being closed: logs, and lets go of everything. Twice is harmless. */
void tcp_session_end(struct tcp_session *s);

#endif
