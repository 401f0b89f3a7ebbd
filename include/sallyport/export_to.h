/* SPDX-License-Identifier: Apache-2.0
 *
 * export_to.h - which proxy namespaces see a resource (spec/virtual-service.md 3.1 V13-V15, 4.3).
 *
 * Owner    entries live in the decoder's arena. */
#ifndef SALLYPORT_EXPORT_TO_H
#define SALLYPORT_EXPORT_TO_H

#include "sallyport/decode.h"

/* As written: `.`, `*` or a namespace; empty: everybody. */
struct export_to {
	struct located_slice *items;
	size_t count;
};

/* A field's decoder: `out` is a struct export_to; bad and repeated entries are errors. */
bool decode_export_to(struct decoder *d, const struct node *n, void *out, const void *arg);

/* Does a proxy of namespace `proxy_ns` see a resource of namespace `own_ns`? */
bool export_to_visible(const struct export_to *e, struct slice own_ns, struct slice proxy_ns);

#endif
