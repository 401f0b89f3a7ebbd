/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/names.h"

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

bool name_is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alphanumeric(s.at[i]) &&
		    (s.at[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.at[i]) == NULL))
			return false;
	return s.len > 0;
}
