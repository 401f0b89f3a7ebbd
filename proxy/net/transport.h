/* SPDX-License-Identifier: Apache-2.0
 *
 * transport.h - one descriptor, plain or TLS; knows no HTTP.
 *
 * The descriptor is registered once with the worker's event_base, edge-triggered, for both
 * directions. Reading goes on until a short read, writing until EAGAIN; only the rest waits.
 * What is sent in one loop turn is gathered in `out` and written once, by transport_flush(),
 * which the worker calls for every transport that has something gathered before it sleeps.
 *
 * Owner    embedded in a connection. Thread: its worker. Blocks never.
 * Fails    a dead descriptor is told once, by on_closed(); sends after that are dropped.
 * Closing  transport_close() marks and unhooks; the descriptor is closed at once, the memory of the
 *          connection is given back after the loop turn (worker_bury()). Closing twice is harmless. */
#ifndef SALLYPORT_PROXY_TRANSPORT_H
#define SALLYPORT_PROXY_TRANSPORT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "proxy/net/buffer.h"
#include "sallyport/problem.h"

struct worker;
struct transport;

struct transport_events {
	/* Bytes may be there: call transport_fill() until it says other than OK. */
	void (*on_readable)(void *owner);
	/* `out` was full and has room again. */
	void (*on_writable)(void *owner);
	/* A pending connect or TLS handshake ended: OK, or FAILED with transport_error(). */
	void (*on_connected)(void *owner, enum outcome how);
	/* The descriptor failed outside a call of ours (reset, write error). */
	void (*on_closed)(void *owner);
	/* The kernel did not take all of a write: the peer does not read as fast. May be NULL. It must not
	 * call back into the transport. */
	void (*on_blocked)(void *owner);
};

struct transport {
	struct worker *worker;		/* borrowed */
	const struct transport_events *events;
	void *owner;
	int fd;				/* -1: closed */
	struct event event;
	SSL *ssl;			/* owned; NULL: plain */
	struct buffer in, out;		/* plaintext not yet parsed; plaintext not yet sent */
	struct buffer raw_in, raw_out;	/* TLS: records not yet opened; records not yet sent */
	bool connecting, handshaking;
	bool readable;			/* an edge came; no EAGAIN or short read has followed yet */
	bool writable;			/* the last write was not cut short */
	bool rdhup;			/* a FIN is behind what can be read: read up to it */
	bool eof;			/* the peer sent FIN (or close_notify) and it was read */
	bool dead;			/* failed or closed */
	bool flush_asked, want_writable;
	bool shut, shut_sent;		/* our FIN is due after `out`; was sent */
	bool notified;			/* and so was close_notify */
	bool raw_only;			/* OpenSSL gets what is in raw_in, and no more */
	bool broken;			/* a record behind what was given cannot be opened: fails next */
	bool raw_flows;			/* the last read of records filled its buffer: the next one may be large */
	bool closed_told;
	bool local_failure;		/* a connect failed on our side: no descriptor, no port */
	int saved_errno;
	bool truncated;			/* dead by a FIN in the midst of TLS, without close_notify */
	uint64_t bytes_in, bytes_out;	/* on the wire, for statistics */
	TAILQ_ENTRY(transport) flush_link;
	bool resume_asked;
	LIST_ENTRY(transport) resume_link;
	bool tls_flooded;		/* failed for TLS_MESSAGES_A_MINUTE */
	uint16_t tls_messages;		/* since tls_messages_ms */
	int64_t tls_messages_ms;
	unsigned long tls_code;		/* OpenSSL's, of the failure; 0: none of its own */
	const char *tls_error;		/* static; why TLS failed, NULL: it did not */
};

/* Takes over `fd` (non-blocking). */
void transport_init(struct transport *t, struct worker *w, int fd, const struct transport_events *events,
		    void *owner);
/* Starts connecting to an address; on_connected() follows, never from inside the call. */
void transport_connect(struct transport *t, struct worker *w, const struct sockaddr *to, socklen_t len,
		       const struct transport_events *events, void *owner);
/* Most KeyUpdates, and attempts to renegotiate, of a minute; with more, the connection fails (hardening.md T-60). */
#define TLS_MESSAGES_A_MINUTE	32u

/* Server handshake with that context (a reference is taken); on_connected() follows. */
void transport_accept_tls(struct transport *t, SSL_CTX *ctx);

/* Reads once into `in`, at most `want` bytes beyond what is there (0: a buffer's worth). OK: bytes
 * came; AGAIN: none now; CLOSED: the peer sent FIN; FAILED: dead. */
enum outcome transport_fill(struct transport *t, size_t want);

/* The next fill asks the descriptor, although a short read has emptied it and no edge came since:
 * whether it was reset meanwhile. */
void transport_look_again(struct transport *t);

/* Queues a copy; never refused. For heads and framing. */
void transport_queue(struct transport *t, struct slice s);
/* Takes as much as the connection can now: small pieces are gathered, large ones written through
 * without a copy. Returns how much; less than all means on_writable() follows. */
size_t transport_send(struct transport *t, struct slice s);
void transport_flush(struct transport *t);
/* Bytes that the kernel has not taken yet. */
static inline size_t transport_pending(const struct transport *t)
{
	return buffer_len(&t->out) + buffer_len(&t->raw_out);
}

/* Plain transports only. Moves at most `most` bytes into an empty pipe: from a pipe that holds some,
 * "none now" could not be told from "full". Outcomes as of transport_fill(). `in` must be empty. */
enum outcome transport_splice_in(struct transport *t, int pipe, size_t most, size_t *moved);
/* Moves `bytes` that the pipe holds behind what is queued; returns how many went. Less than all means
 * that on_writable() or on_closed() follows. */
size_t transport_splice_out(struct transport *t, int pipe, size_t bytes);
/* For who got on_readable() and does not read now: was the connection reset? Then it is dead, and
 * on_closed() does not follow. */
bool transport_was_reset(struct transport *t);

/* How much of what was sent the peer has acknowledged; grows as long as it reads. */
uint64_t transport_acknowledged(const struct transport *t);

/* FIN (and close_notify) after what is queued. */
void transport_shutdown(struct transport *t);
void transport_close(struct transport *t);
/* RST instead of FIN. */
void transport_abort(struct transport *t);

/* TCP_NODELAY, keep-alive and user timeout on a descriptor that is about to connect or was accepted. */
void transport_tune(int fd, int family);

/* Why it failed, e.g. "Connection refused" or the TLS error; good until the worker's next call of it. */
const char *transport_error(const struct transport *t);

#endif
