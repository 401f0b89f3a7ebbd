/* SPDX-License-Identifier: Apache-2.0
 *
 * base64.h - RFC 4648, strict: no white space, no stray bits, padding correct or (url) absent. */
#ifndef SALLYPORT_BASE64_H
#define SALLYPORT_BASE64_H

#include "sallyport/slice.h"

/* Bytes that `len` characters decode to at the most. */
#define BASE64_DECODED_MAX(len)	((len) / 4 * 3 + 3)
#define BASE64_ENCODED_MAX(len)	(((len) + 2) / 3 * 4)

/* Standard alphabet, padding required. Returns the length or -1. `out` holds BASE64_DECODED_MAX. */
ptrdiff_t base64_decode(struct slice s, unsigned char *out);
/* URL alphabet (section 5), padding optional but correct where present. */
ptrdiff_t base64url_decode(struct slice s, unsigned char *out);
/* No terminator; returns the length. */
size_t base64_encode(struct slice s, char *out);
size_t base64url_encode(struct slice s, char *out);	/* unpadded */

#endif
