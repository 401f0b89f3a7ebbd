/* SPDX-License-Identifier: Apache-2.0
 *
 * privileges.h - from root to the configured user, for good (spec/hardening.md 2). */
#ifndef SALLYPORT_PROXY_PRIVILEGES_H
#define SALLYPORT_PROXY_PRIVILEGES_H

#include <sys/types.h>

#include "sallyport/slice.h"

struct identity {
	bool named;		/* false: we stay who we are */
	uid_t uid;
	gid_t gid;
};

/* `user` absent: nobody named; `group` absent: the user's own. False, with `why`: there is none such. */
bool privileges_find(struct slice user, struct slice group, struct identity *out, char *why, size_t why_bytes);
/* Only CAP_NET_BIND_SERVICE is kept, so that a reload may open low ports. False, with `why`: the kernel
 * refused; nothing may go on then. */
bool privileges_drop(const struct identity *as, char *why, size_t why_bytes);

#endif
