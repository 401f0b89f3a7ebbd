/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_socket.h - commands over a UNIX socket, as HAProxy's (spec/observability.md 9).
 *
 * Owner    the proxy. Thread: main. Blocks never: answers are written as the peer reads them.
 * Limits   sessions, line length, unread answers, idle time: the names below. */
#ifndef SALLYPORT_PROXY_ADMIN_SOCKET_H
#define SALLYPORT_PROXY_ADMIN_SOCKET_H

#include "sallyport/problem.h"

#define ADMIN_SESSIONS_MAX	10
#define ADMIN_LINE_MAX		(16u * 1024)
#define ADMIN_ANSWER_MAX	(1024u * 1024)	/* unread: no further command runs before it was */
#define ADMIN_IDLE_S		10
#define ADMIN_PAUSE_S		1	/* in accepting, without descriptors */
#define ADMIN_SOCKET_MODE	0600

struct admin_socket;
struct proxy;

/* NULL with `why`: the path is taken, or cannot be bound. Made under umask 0077. */
struct admin_socket *admin_socket_open(struct proxy *p, const char *path, char *why, size_t why_bytes);
void admin_socket_close(struct admin_socket **ap);

#endif
