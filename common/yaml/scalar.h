/* SPDX-License-Identifier: Apache-2.0
 *
 * scalar.h - what a plain (unquoted) scalar means by the core schema of YAML 1.2. */
#ifndef SALLYPORT_YAML_SCALAR_H
#define SALLYPORT_YAML_SCALAR_H

#include "sallyport/slice.h"

bool scalar_is_null(struct slice s);
bool scalar_is_bool(struct slice s, bool *out);
bool scalar_is_integer(struct slice s);
bool scalar_is_number(struct slice s);	/* integers too */
/* False: no integer. What does not fit becomes INT64_MAX or its negative. */
bool scalar_to_i64(struct slice s, int64_t *out);

#endif
