/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy_priv.h - what `sallyport -c` shares with the running proxy. */
#ifndef SALLYPORT_PROXY_PROXY_PRIV_H
#define SALLYPORT_PROXY_PROXY_PRIV_H

#include "proxy/admin/proxy.h"

/* Reads p->paths, to the descriptor `copy` as well unless it is -1, and builds a snapshot of them; NULL:
 * the problems say why. */
struct snapshot *proxy_load(struct proxy *p, int copy, struct problems *ps);

#endif
