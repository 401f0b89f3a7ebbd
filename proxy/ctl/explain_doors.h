/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_doors.h - the reasons of a verdict, for `explain` at the desk: door by door, with each token rule
 * and each policy that was looked at (spoa/reasoning.h, doc/explain.md). */
#ifndef SALLYPORT_CTL_EXPLAIN_DOORS_H
#define SALLYPORT_CTL_EXPLAIN_DOORS_H

#include "proxy/admin/explain.h"

struct reasoning;

/* Borrows `r`, which may be NULL: then there is nothing to tell. */
struct explain_more explain_doors(const struct reasoning *r);

#endif
