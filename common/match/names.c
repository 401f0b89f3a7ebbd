/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/names.h"

bool name_is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) &&
		    (s.at[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.at[i]) == NULL))
			return false;
	return s.len > 0;
}
