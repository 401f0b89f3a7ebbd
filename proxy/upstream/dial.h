/* SPDX-License-Identifier: Apache-2.0
 *
 * dial.h - a connection of its own to an endpoint of a cluster, outside the pool: for bytes that no
 * codec reads.
 *
 * One try at one endpoint, within the cluster's connect timeout. From dial_start() to its end it
 * counts as one active request of its endpoint, for least request.
 *
 * Owner    embedded in its asker, who closes it; the cluster's snapshot outlives it.
 * Thread   the worker's. Blocks never.
 * Fails    on_failed() with the reason and, for the log, a text; the dial is closed then. */
#ifndef SALLYPORT_PROXY_DIAL_H
#define SALLYPORT_PROXY_DIAL_H

#include "proxy/http/codec.h"
#include "proxy/net/worker.h"
#include "proxy/upstream/cluster.h"

struct dial {
	/* set by the asker */
	void *owner;
	/* Whom a cluster with the PROXY protocol is told of; borrowed while connecting. */
	const struct sockaddr *client, *edge;
	/* The transport is the asker's from here on: sets its `events` and `owner` within the call. */
	void (*on_connected)(void *owner);
	/* `detail`: "delayed connect error: Connection refused", or NULL; valid within the call. */
	void (*on_failed)(void *owner, enum reset_reason why, const char *detail);
	/* the dial's */
	struct worker *worker;			/* borrowed */
	struct cluster_counters *counters;	/* borrowed; counted in `relayed` while open */
	unsigned proxy_protocol;		/* of the cluster */
	struct endpoint *endpoint;		/* one reference, also after the end: for the log */
	struct transport transport;
	struct timer timer;			/* of the connect */
	enum { DIAL_CLOSED, DIAL_CONNECTING, DIAL_OPEN } state;
};

enum dial_start { DIAL_STARTED, DIAL_NO_ENDPOINT, DIAL_OVERFLOW };

/* Picks an endpoint and begins to connect; one of the callbacks follows, never from inside the call.
 * DIAL_NO_ENDPOINT: the cluster has none to pick. DIAL_OVERFLOW: its max_connections are open. */
enum dial_start dial_start(struct dial *d, struct worker *w, const struct cluster *c);
/* FIN. Twice is harmless, as for the next one. No callback follows. */
void dial_close(struct dial *d);
/* RST. */
void dial_abort(struct dial *d);
/* After it was closed: lets go of the endpoint. */
void dial_release(struct dial *d);

#endif
