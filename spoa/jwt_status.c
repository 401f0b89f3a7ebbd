/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_status.c - the texts of jwt_status.h. */
#include "spoa/jwt_status.h"

#include <assert.h>

#include "sallyport/object.h"

#define AS_TEXT(name, text)	text,
static const char *const status_text[] = { JWT_STATUSES(AS_TEXT) };
static_assert(COUNT_OF(status_text) == JWT_STATUS_COUNT, "every status has its text");

const char *jwt_status_text(enum jwt_status status)
{
	must((size_t)status < COUNT_OF(status_text));
	return status_text[status];
}

unsigned jwt_status_code(enum jwt_status status)
{
	switch (status) {
	case JWT_OK:			return 200;
	case JWT_AUDIENCE_NOT_ALLOWED:	return 403;
	default:			return 401;
	}
}
