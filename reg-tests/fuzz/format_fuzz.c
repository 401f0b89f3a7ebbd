/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text: either pieces that stand for it, or a reason at a place within it. */
#include <stdlib.h>

#include "sallyport/format.h"
#include "sallyport/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create(0);
	struct format_error why = { 0 };
	struct format f;

	if (!format_parse(a, slice_make(size > 0 ? (const char *)data : "", size), &f, &why))
		must(why.text[0] != '\0' && why.offset <= size);
	for (size_t i = 0; i < f.count; i++) {
		must(f.items[i].op < FORMAT_OP_COUNT);
		must(f.items[i].op != FORMAT_LITERAL || f.items[i].text.len > 0);
		must(f.items[i].text.len <= size && f.items[i].other.len <= size);
	}
	arena_free(&a);
	return 0;
}
