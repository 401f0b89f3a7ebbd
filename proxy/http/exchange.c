/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/exchange.h"

static const char *const flag_name[RESPONSE_FLAG_COUNT] = {
#define RESPONSE_FLAG_AS_NAME(id, text) #id,
	RESPONSE_FLAGS(RESPONSE_FLAG_AS_NAME)
};

static const char *const flag_long_name[RESPONSE_FLAG_COUNT] = {
#define RESPONSE_FLAG_AS_LONG_NAME(id, text) text,
	RESPONSE_FLAGS(RESPONSE_FLAG_AS_LONG_NAME)
};

static size_t join(uint32_t flags, const char *const *names, char *out, size_t bytes)
{
	size_t len = 0;

	for (unsigned i = 0; i < RESPONSE_FLAG_COUNT; i++) {
		size_t name = strlen(names[i]);

		if (!(flags & 1u << i) || len + name + 2 > bytes)
			continue;
		if (len != 0)
			out[len++] = ',';
		memcpy(out + len, names[i], name);
		len += name;
	}
	if (len == 0)
		out[len++] = '-';
	out[len] = '\0';
	return len;
}

size_t response_flags_text(uint32_t flags, char *out)
{
	return join(flags, flag_name, out, RESPONSE_FLAGS_TEXT_MAX);
}

size_t response_flags_long_text(uint32_t flags, char *out)
{
	return join(flags, flag_long_name, out, RESPONSE_FLAGS_LONG_TEXT_MAX);
}

uint32_t response_flag_of(const char *name)
{
	for (unsigned i = 0; name != NULL && i < RESPONSE_FLAG_COUNT; i++)
		if (strcmp(name, flag_name[i]) == 0)
			return 1u << i;
	return 0;
}
