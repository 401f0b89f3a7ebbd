/* SPDX-License-Identifier: Apache-2.0
 *
 * material.h - certificates, keys, client CA and CRL of one server, as bytes, from where its settings say.
 *
 * Spec     spec/gateway.md 11.1-11.5: Secret documents, <secrets>/<namespace>/<name>/<key>,
 *          <secrets>/<name>/<key>, or the file paths of the server.
 * Owner    the bytes are the caller's until material_fini(), which wipes the key.
 * Blocks   reads files. Thread: main. */
#ifndef SALLYPORT_PROXY_TLS_MATERIAL_H
#define SALLYPORT_PROXY_TLS_MATERIAL_H

#include "proxy/snapshot/snapshot.h"
#include "sallyport/text.h"

struct material_pair {
	struct text certificate, key;	/* PEM */
	struct text staple;		/* OCSP response in DER; empty: none */
};

struct material {
	struct material_pair pairs[TLS_CERTIFICATES_MAX];	/* as many as the settings name */
	struct text ca, crl;		/* PEM; empty: not asked for, or no CRL given */
	char source[512];		/* where it came from, for people: "Secret istio-system/web" or a path */
	char problem[256];		/* why there is none; "" when complete */
};

/* Is told what matters, each before it is read, so that no change falls between. */
struct material_watch {
	void (*folder)(void *arg, const char *path);	/* what appears in it, or that it appears itself */
	void (*file)(void *arg, const char *path);	/* it, and every link on the way to it */
	void *arg;
};

/* True: all of it is there (not yet parsed). */
bool material_read(const struct snapshot *s, const struct tls_settings *t, struct material *out,
		   const struct material_watch *watch);
void material_fini(struct material *m);
/* Of all its bytes: has anything changed? */
uint64_t material_digest(const struct material *m);

/* "kubernetes://ns/name" and the like: the name as shown by `show secrets`. */
void credential_text(const struct tls_certificate *c, char *out, size_t bytes);
/* Likewise, of the client CA. */
void client_ca_text(const struct tls_client_settings *c, char *out, size_t bytes);

#endif
