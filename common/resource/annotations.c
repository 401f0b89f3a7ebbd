/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/decode.h"

bool meta_check_annotations(struct decoder *d, const struct meta *m)
{
	static const char *const refused[] = {
		"istio.io/dry-run", "internal.istio.io/webhook-always-reject",
		"internal.istio.io/parents", "internal.istio.io/parent-namespace", NULL};
	size_t path_len = d->path_len;
	bool ok = true;

	d->path_len = 0;	/* these are not of the spec */
	for (size_t i = 0; refused[i] != NULL; i++)
		if (meta_annotation(m, refused[i]).at != NULL)
			ok = decode_error(d, NULL, "annotation %s is not allowed on %s", refused[i],
					  m->kind);
	d->path_len = path_len;
	return ok;
}
