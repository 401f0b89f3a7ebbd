/* SPDX-License-Identifier: Apache-2.0
 *
 * timer_priv.h - what the worker's tick calls. */
#ifndef SALLYPORT_PROXY_TIMER_PRIV_H
#define SALLYPORT_PROXY_TIMER_PRIV_H

#include "proxy/net/timer.h"

/* Fires every timer that is due at `now_ms`. */
void timers_run(struct worker *w, int64_t now_ms);

#endif
