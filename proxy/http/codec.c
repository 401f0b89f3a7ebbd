/* SPDX-License-Identifier: Apache-2.0
 * Names and response flags of reset reasons, for every codec. */
#include "proxy/http/codec.h"

#include <assert.h>

#include "sallyport/object.h"

static const char *const texts[] = {
#define X(id, text, flag) text,
	RESET_REASONS(X)
#undef X
};
static const char *const flags[] = {
#define X(id, text, flag) flag,
	RESET_REASONS(X)
#undef X
};
static_assert(COUNT_OF(texts) == RESET_REASON_COUNT, "every reason can be printed");

const char *reset_reason_text(enum reset_reason why)
{
	return texts[why];
}

const char *reset_reason_flag(enum reset_reason why)
{
	return flags[why];
}
