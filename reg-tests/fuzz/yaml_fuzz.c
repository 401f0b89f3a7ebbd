/* SPDX-License-Identifier: Apache-2.0
 * YAML and the decoders of every kind, on arbitrary bytes. */
#include <stddef.h>
#include <stdint.h>

#include "sallyport/resource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resource_set *set;
	struct problems ps;
	char line[512];

	problems_init(&ps);
	set = resource_set_parse("fuzz.yaml", slice_make(data, size), &ps);
	problems_sort(&ps);
	for (size_t i = 0; i < ps.count; i++)
		problem_format(&ps.items[i], line, sizeof(line));
	resource_set_free(&set);
	problems_fini(&ps);
	return 0;
}
