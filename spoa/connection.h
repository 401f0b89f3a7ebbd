/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.h - one SPOP connection as the agent serves it (spec/spop.md 15).
 *
 * Owner    the thread; a closed connection is buried after the loop turn.
 * Thread   the thread's own. */
#ifndef SALLYPORT_SPOA_CONNECTION_H
#define SALLYPORT_SPOA_CONNECTION_H

#include "spoa/inquiry.h"
#include "spoa/thread.h"

struct spoa_connection;

/* Takes the descriptor. */
void spoa_connection_open(struct spoa_thread *t, int fd, const char *peer);

/* Queues the ACK of a question of this connection; the inquiry is given back by it. NULL: an ACK
 * without actions. */
void spoa_connection_answer(struct spoa_connection *c, struct inquiry *q,
			    const struct check_reply *reply);

/* The thread's lists of connections, whose links only connection.c knows. */
void spoa_connection_list_add(struct spoa_connection_list *to_flush, struct spoa_connection *c);
struct spoa_connection *spoa_connection_list_take(struct spoa_connection_list *to_flush);
struct spoa_connection *spoa_connection_next(const struct spoa_connection *c);

/* By the thread, at the end of a loop turn. */
void spoa_connection_flush(struct spoa_connection *c);
/* Takes no more questions; says goodbye once nothing is outstanding. */
void spoa_connection_drain(struct spoa_connection *c);
/* Closes without a word; what is outstanding is cancelled. Buried later. */
void spoa_connection_close(struct spoa_connection *c);
void spoa_connection_bury(struct spoa_connection *c);

#endif
