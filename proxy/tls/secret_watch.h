/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_watch.h - notices changes of secrets on disk (inotify), however they are put there: written
 * over, renamed over, or by swapping a link anywhere on the way, as Kubernetes volumes (..data) and
 * certbot (live/ to archive/) do.
 *
 * A change is reported SETTLE_MS after its first sign. What somebody still has open and has written to
 * is not whole: its reader waits for the close, which is a change again.
 *
 * Thread   main. Blocks   looks at files.
 * Limits   WRITERS_MAX files in writing are remembered, LOOKED_MAX of one reading; beyond, the oldest are
 *          forgotten: such a file may be read early, and is read again when it is closed.
 * Fails    without inotify: a warning, and changes need a reload. */
#ifndef SALLYPORT_PROXY_SECRET_WATCH_H
#define SALLYPORT_PROXY_SECRET_WATCH_H

#include <stdbool.h>

#include "proxy/tls/material.h"

struct event_base;
struct secret_watch;

struct secret_watch *secret_watch_create(struct event_base *base, void (*on_change)(void *arg), void *arg);
void secret_watch_free(struct secret_watch **wp);

/* Before a reading of material, with the watch that it is read by; and after it: true when no file of it
 * was or is in writing. */
const struct material_watch *secret_watch_begin(struct secret_watch *w);
bool secret_watch_was_whole(struct secret_watch *w);
/* Reports a change although there was none: to look once more. */
void secret_watch_again(struct secret_watch *w);

#endif
