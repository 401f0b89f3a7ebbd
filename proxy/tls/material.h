/* SPDX-License-Identifier: Apache-2.0
 *
 * material.h - certificate and key bytes of one server, from where its settings say.
 *
 * Spec     spec/gateway.md 11.1, 11.2: Secret documents, <secrets>/<namespace>/<name>/<key>,
 *          <secrets>/<name>/<key>, or the file paths of the server.
 * Owner    the bytes are the caller's until material_fini(), which wipes the key.
 * Blocks   reads files. Thread: main. */
#ifndef SALLYPORT_PROXY_TLS_MATERIAL_H
#define SALLYPORT_PROXY_TLS_MATERIAL_H

#include "proxy/snapshot/snapshot.h"
#include "sallyport/text.h"

struct material {
	struct text certificate, key;	/* PEM */
	char source[512];		/* where it came from, for people: "Secret istio-system/web" or a path */
	char problem[256];		/* why there is none; "" when complete */
};

/* True: both are there (not yet parsed). Every folder that was looked at is told to `watch`. */
bool material_read(const struct snapshot *s, const struct tls_settings *t, struct material *out,
		   void (*watch)(void *arg, const char *folder), void *arg);
void material_fini(struct material *m);

/* "kubernetes://ns/name" and the like: the name as shown by `show secrets`. */
void credential_text(const struct tls_settings *t, char *out, size_t bytes);

#endif
