/* SPDX-License-Identifier: Apache-2.0
 *
 * listener.h - bound sockets, one a worker (SO_REUSEPORT), and accepting from them.
 *
 * The main thread binds before privileges are dropped; each worker accepts from its own socket.
 *
 * Owner    who opened it closes it: the sockets of a listener belong to the main thread's table, the
 *          events on them to their worker. */
#ifndef SALLYPORT_PROXY_LISTENER_H
#define SALLYPORT_PROXY_LISTENER_H

#include <event2/event_struct.h>
#include <sys/socket.h>

#include "sallyport/problem.h"

struct worker;

/* Main thread: `count` sockets on one address into fds[]. False: `why` tells what failed, with the
 * errno in words; nothing stays open. A stale unix socket is replaced. */
bool listener_bind(const struct sockaddr *address, socklen_t len, int backlog, unsigned count, int *fds,
		   char *why, size_t why_bytes);

struct acceptor {
	struct event event;
	struct worker *worker;
	int fd;
	uint32_t per_turn;		/* accepts for one readiness event */
	/* A connection, non-blocking and close-on-exec; it is the callee's now. */
	void (*on_accept)(struct acceptor *a, int fd, const struct sockaddr_storage *peer);
	struct event resume;		/* after descriptors ran out */
	int64_t warned_ms;		/* when that was said */
};

void acceptor_start(struct acceptor *a);
void acceptor_stop(struct acceptor *a);

#endif
