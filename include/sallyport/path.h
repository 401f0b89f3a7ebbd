/* SPDX-License-Identifier: Apache-2.0
 *
 * path.h - one spelling for every request path, before anything is decided by it.
 *
 * The result is what routing, authorization and logs see and what is sent upstream
 * (spec/http.md 24, spec/authorization-policy.md 6). Normalising twice changes nothing more.
 *
 * Thread   any; Fails as below. */
#ifndef SALLYPORT_PATH_H
#define SALLYPORT_PATH_H

#include "sallyport/arena.h"

enum path_normalization {
	PATH_NONE,			/* only the fragment is cut off */
	PATH_BASE,
	PATH_MERGE_SLASHES,
	PATH_DECODE_AND_MERGE_SLASHES,
	PATH_NORMALIZATION_COUNT
};

enum path_result {
	PATH_SAME,	/* *out is `target` or its beginning: nothing was copied */
	PATH_CHANGED,	/* *out is in the arena */
	PATH_REFUSED,	/* 400, `path_normalization_failed`: NUL, %00, neither `/…` nor `*` */
};

/* `target` is path and query as received. The query comes out byte for byte. */
enum path_result path_normalize(enum path_normalization mode, struct slice target, struct arena *a,
				struct slice *out);

/* What stands before the first `?`; with its query, without the `?`, in *query (absent: none). */
struct slice path_split(struct slice target, struct slice *query);

#endif
