/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.h - a request's life: the one room that knows http/, route/, upstream/ and authz/ together.
 *
 * Owner    the server recycles streams and their arenas; the connection's codec ends them.
 * Thread   the worker's. Blocks never. */
#ifndef SALLYPORT_PROXY_STREAM_H
#define SALLYPORT_PROXY_STREAM_H

#include "proxy/stream/server.h"

/* A request begins on `d`. */
struct stream *stream_create(struct downstream *d, struct codec_stream *cs);
struct arena *stream_arena(struct stream *s);
extern const struct stream_events stream_events;
/* Frees what the server keeps for reuse. */
void streams_free(struct server *s);

#endif
