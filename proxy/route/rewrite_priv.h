/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_priv.h - path rewriting, apart from the messages it is done to. */
#ifndef SALLYPORT_PROXY_ROUTE_REWRITE_PRIV_H
#define SALLYPORT_PROXY_ROUTE_REWRITE_PRIV_H

#include "proxy/route/route.h"

/* `target`: path and query. False: it stays as it is; else *out is in the arena. */
bool route_rewrite_path(const struct route *r, struct slice target, struct arena *a, struct slice *out);

#endif
