/* SPDX-License-Identifier: Apache-2.0
 *
 * A pattern and a value, split at the first newline: checking, matching and replacing end, what
 * the check accepts also compiles for searching, and what matches has the pattern's beginning. */
#include <stdlib.h>

#include "sallyport/log.h"
#include "sallyport/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice value = slice_make(size > 0 ? (const char *)data : "", size), pattern = slice_cut(&value, '\n'), out;
	struct regex_error why;
	struct regex *full = regex_create(pattern, REGEX_FULL, &why);
	struct arena *a;
	struct regex *search;

	if (full == NULL) {
		must(why.text[0] != '\0' && why.offset <= pattern.len);
		return 0;
	}
	search = regex_create(pattern, REGEX_SEARCH, &why);
	must(search != NULL);
	a = arena_create(0);
	if (regex_match(full, value) == REGEX_YES)
		must(slice_starts(value, regex_beginning(pattern, a)));
	regex_replace_all(search, value, SLICE("<\\0\\1\\\\>"), a, &out);
	must(out.len <= REGEX_REPLACED_MAX || out.at == value.at);
	arena_free(&a);
	regex_free(&full);
	regex_free(&search);
	return 0;
}
