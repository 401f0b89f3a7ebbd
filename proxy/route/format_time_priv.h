/* SPDX-License-Identifier: Apache-2.0
 *
 * format_time_priv.h - points of time as START_TIME and EMIT_TIME write them
 * (spec/observability.md 2, 4). */
#ifndef SALLYPORT_PROXY_ROUTE_FORMAT_TIME_PRIV_H
#define SALLYPORT_PROXY_ROUTE_FORMAT_TIME_PRIV_H

#include "sallyport/slice.h"

#define FORMAT_TIME_MAX	256u	/* a longer result is empty */

/* `layout`: strftime() and %f, %1f … %9f (fraction), %s (seconds since 1970), all in UTC; absent or
 * empty: 2026-03-01T12:00:00.004Z. Returns the length. */
size_t format_time(int64_t wall_us, struct slice layout, char *out);

#endif
