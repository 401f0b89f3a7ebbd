/* SPDX-License-Identifier: Apache-2.0
 *
 * document_priv.h - between the reading of files (resource_set.c), the metadata every document has
 * (meta.c) and the table of kinds (kinds.c). */
#ifndef SALLYPORT_RESOURCE_DOCUMENT_PRIV_H
#define SALLYPORT_RESOURCE_DOCUMENT_PRIV_H

#include <uthash.h>

#include "sallyport/resource.h"

/* Kind, namespace and name of a document that was read. */
struct identity {
	char *key;			/* owned: "Kind ns/name" */
	struct where where;
	UT_hash_handle hh;
};

/* A decoded document until the set's lists are sorted. */
struct loaded {
	size_t kind;			/* row of the table */
	const struct meta *meta;
	void *object;
};

struct loader {
	struct resource_set *set;
	struct problems *problems;
	struct identity *identities;
	struct loaded *loaded;		/* owned */
	size_t count, capacity;
};

/* Decodes one document of a file, whatever it is, into l->loaded. */
void document_decode(struct loader *l, const struct node *root);
/* Sorts what was loaded into the set's lists. */
void documents_finish(struct loader *l);

/* `metadata` of a document whose kind is known; `name_needed`: its absence is an error. NULL: not
 * even a name. d->ns and d->name are set for the problems to come. */
struct meta *meta_decode(struct decoder *d, const struct node *root, const char *default_ns,
			 bool name_needed);

#endif
