/* SPDX-License-Identifier: Apache-2.0
 *
 * object.h - first member of every counted struct that outlives the call that made it.
 *
 * Each door of a module checks the tag; a freed object has lost it. */
#ifndef SALLYPORT_OBJECT_H
#define SALLYPORT_OBJECT_H

#include <stdatomic.h>
#include <stdint.h>

#include "sallyport/log.h"

struct object {
	uint32_t kind;		/* four letters, legible in a dump */
	atomic_uint refs;
};

#define KIND(a, b, c, d)	((uint32_t)(d) << 24 | (uint32_t)(c) << 16 | (b) << 8 | (a))
#define object_is(p, k)		((p) != NULL && (p)->obj.kind == (k))
#define object_must(p, k)	(object_is(p, k) ? (void)0 : fatal("%s: no live " #k, __func__))
/* The store is volatile: the compiler would drop it as dead otherwise. */
#define object_wipe(p)		(*(volatile uint32_t *)&(p)->obj.kind = 0)

#define COUNT_OF(array)		(sizeof(array) / sizeof((array)[0]))

#endif
