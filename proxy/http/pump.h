/* SPDX-License-Identifier: Apache-2.0
 *
 * pump.h - moves what a transport has into its codec; the same on both sides of the proxy.
 *
 * Thread   the worker's. The codec's events run inside the call: the caller looks afterwards
 *          whether its connection was closed. */
#ifndef SALLYPORT_PROXY_PUMP_H
#define SALLYPORT_PROXY_PUMP_H

#include "proxy/http/codec.h"

/* Turns of reading before other connections of the worker get theirs. */
#define PUMP_FILLS_MAX	8u

/* Reads and feeds until nothing is left, the codec wants no more, or the turn is over: it then comes
 * back by itself. Tells the codec of EOF (once its input was taken) and of failure. To be called
 * on_readable() and when the codec wants input again (after resume() or a new stream). */
void codec_pump(struct codec *c);

#endif
