/* SPDX-License-Identifier: Apache-2.0
 *
 * Any target, any mode: the result is clean, normalising it again changes nothing, and the query
 * comes through byte for byte. */
#include <stdlib.h>

#include "sallyport/log.h"
#include "sallyport/path.h"

static bool has(struct slice path, const char *text)
{
	return path.len > 0 && memmem(path.at, path.len, text, strlen(text)) != NULL;
}

static void check_clean(unsigned mode, struct slice path)
{
	if (mode == PATH_NONE || slice_eq(path, SLICE("*")))
		return;
	must(path.len > 0 && path.at[0] == '/');
	must(!has(path, "/../") && !has(path, "/./") && !has(path, "\\"));
	must(!slice_ends(path, SLICE("/..")) && !slice_ends(path, SLICE("/.")));
	if (mode >= PATH_MERGE_SLASHES)
		must(!has(path, "//"));
	if (mode == PATH_DECODE_AND_MERGE_SLASHES)
		must(!has(path, "%2f") && !has(path, "%2F") && !has(path, "%5c") && !has(path, "%5C"));
	for (size_t i = 0; i < path.len; i++)
		must(path.at[i] > ' ' && path.at[i] < 0x7f);
}

static struct slice before_fragment(struct slice target)
{
	ptrdiff_t at = slice_find(target, '#');

	return at < 0 ? target : slice_first(target, (size_t)at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create(0);
	struct slice target = slice_make(size > 0 ? (const char *)data : "", size);

	for (unsigned mode = 0; mode < PATH_NORMALIZATION_COUNT; mode++) {
		struct slice out, again, query, query_before;

		if (path_normalize(mode, target, a, &out) == PATH_REFUSED)
			continue;
		check_clean(mode, path_split(out, &query));
		path_split(before_fragment(target), &query_before);
		must(slice_eq(query, query_before) && (query.at == NULL) == (query_before.at == NULL));
		must(path_normalize(mode, out, a, &again) == PATH_SAME);
		must(slice_eq(out, again));
	}
	arena_free(&a);
	return 0;
}
