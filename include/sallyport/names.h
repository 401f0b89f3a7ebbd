/* SPDX-License-Identifier: Apache-2.0
 *
 * names.h - what HTTP accepts as a name. Pure functions, any thread. */
#ifndef SALLYPORT_NAMES_H
#define SALLYPORT_NAMES_H

#include "sallyport/slice.h"

/* An HTTP token (RFC 9110 5.6.2), at least one character. */
bool name_is_token(struct slice s);
#endif
