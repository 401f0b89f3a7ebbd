/* SPDX-License-Identifier: Apache-2.0
 *
 * relay.h - bytes between two transports, both ways, until both have said their last.
 *
 * Bytes go through a buffer while they come in small pieces, or where one side is TLS, and through a
 * pipe (splice(2)) while they flow between two plain sockets. A way holds at most RELAY_PIECE_BYTES
 * or RELAY_PIPE_BYTES of them: what the receiver does not take is not read from the sender. An idle
 * way holds neither.
 *
 * A FIN (or close_notify) is passed on behind the last byte; the other way goes on. TLS that ends
 * without close_notify counts as a FIN, as many clients end so, and nothing more can be sent to it.
 *
 * Owner    embedded in its owner, who opens both transports and closes them after on_end(). From
 *          relay_start() to relay_stop() the events of both transports are the relay's.
 * Thread   the worker's. Blocks never.
 * Fails    on_end() says which side failed; the owner aborts the other. */
#ifndef SALLYPORT_PROXY_RELAY_H
#define SALLYPORT_PROXY_RELAY_H

#include <stdatomic.h>

#include "proxy/net/worker.h"

#define RELAY_PIECE_BYTES	(64u * 1024)	/* held of one way in a buffer, beyond what the sockets hold */
#define RELAY_PIPE_BYTES	(128u * 1024)	/* the same in a pipe */
#define RELAY_TURN_BYTES	(1024u * 1024)	/* of one way, before others get their turn */

enum relay_end {
	RELAY_DONE,		/* both FINs have been passed on */
	RELAY_DOWN_FAILED,	/* reset, or broken TLS */
	RELAY_UP_FAILED,
	RELAY_IDLE,		/* no byte either way for idle_ms */
};

struct relay;

/* One direction. */
struct relay_way {
	struct relay *relay;
	struct transport *from, *to;	/* borrowed */
	struct pipe *pipe;		/* while bytes are in it */
	size_t piped;			/* so many */
	uint64_t bytes;			/* taken by `to` so far */
	atomic_ulong *counter;		/* borrowed, may be NULL: counts the same as they go */
	bool flowing;			/* the last piece was a large one */
	bool ended;			/* the FIN of `from` was given to `to`, or nobody reads any more */
};

struct relay {
	/* set by the owner; relay_start() keeps the counters of the ways, too */
	struct worker *worker;
	void *owner;
	void (*on_end)(void *owner, enum relay_end how);	/* once; not after relay_stop() */
	int64_t idle_ms;		/* 0: for ever */
	/* the relay's */
	struct relay_way ways[2];	/* RELAY_UP, RELAY_DOWN */
	struct timer idle;
	bool running;
	bool lacked_pipe;		/* a way had to do without one */
};

enum { RELAY_UP, RELAY_DOWN };		/* from `down` to `up`; from `up` to `down` */

/* Both are connected, and past their handshakes. What they have in their buffers goes first. May call
 * on_end() before it returns. */
void relay_start(struct relay *r, struct transport *down, struct transport *up);
/* Gives back what it holds; both transports are the owner's to close. Twice is harmless. */
void relay_stop(struct relay *r);

#endif
