/* SPDX-License-Identifier: Apache-2.0
 *
 * privileges.h - from root to the configured user, for good (spec/hardening.md 2). */
#ifndef SALLYPORT_PROXY_PRIVILEGES_H
#define SALLYPORT_PROXY_PRIVILEGES_H

#include "sallyport/slice.h"

/* Only CAP_NET_BIND_SERVICE is kept, so that a reload may open low ports. `group` absent: the
 * user's own. False, with `why`: no such user, or the kernel refused; nothing may go on then. */
bool privileges_drop(struct slice user, struct slice group, char *why, size_t why_bytes);

#endif
