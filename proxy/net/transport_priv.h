/* SPDX-License-Identifier: Apache-2.0
 *
 * transport_priv.h - what transport.c and its TLS half (transport_tls.c) share. */
#ifndef SALLYPORT_PROXY_TRANSPORT_PRIV_H
#define SALLYPORT_PROXY_TRANSPORT_PRIV_H

#include <sys/uio.h>

#include "proxy/net/transport.h"

/* recv() on the descriptor: -1 with EAGAIN when an edge has to come first; 0 at FIN; -1 and `dead` on
 * failure. */
ssize_t transport_recv(struct transport *t, char *into, size_t room);
/* Returns what was written; clears `writable` when that is not all; marks dead on failure. */
size_t transport_write(struct transport *t, const struct iovec *iov, int count);

/* Dead from now on; the owner is told by the next flush unless it hears it from its own call. */
void transport_mark_dead(struct transport *t, int why);

enum outcome tls_fill(struct transport *t, size_t want);
size_t tls_send(struct transport *t, struct slice s);
void tls_flush(struct transport *t);
/* close_notify, once nothing is left to be sealed before it. */
void tls_shutdown(struct transport *t);
/* Goes on with the handshake; on_connected() when it ended. */
void tls_handshake(struct transport *t);

#endif
