/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/secret.h - Secret and ConfigMap: named bytes. What they mean is for their users to say
 * (spec/gateway.md 11.2, 11.3).
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Secrets  no message shows a value. */
#ifndef SALLYPORT_RESOURCE_SECRET_H
#define SALLYPORT_RESOURCE_SECRET_H

#include "sallyport/decode.h"

#define SECRET_BYTES_MAX	(1u << 20)	/* of all values of one document, as in Kubernetes */

struct secret {
	const struct meta *meta;
	LIST(struct string_entry) data;	/* decoded; stringData laid over */
};

struct config_map {
	const struct meta *meta;
	LIST(struct string_entry) data;	/* binaryData decoded */
};

/* Both get the whole document. */
struct secret *secret_decode(struct decoder *d, const struct node *root, const struct meta *meta);
struct config_map *config_map_decode(struct decoder *d, const struct node *root,
				     const struct meta *meta);

/* Absent slice: no such key. */
struct slice secret_value(const struct secret *s, const char *key);
struct slice config_map_value(const struct config_map *m, const char *key);

#endif
