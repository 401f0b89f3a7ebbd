/* SPDX-License-Identifier: Apache-2.0
 *
 * request_priv.h - what a door does to a request: headers taken away and added, query parameters
 * cut out and set. Kept as a list, so that each door sees its own view and the verdict holds the sum. */
#ifndef SALLYPORT_SPOA_REQUEST_PRIV_H
#define SALLYPORT_SPOA_REQUEST_PRIV_H

#include "spoa/policy_priv.h"

/* One step; `value` absent: all lines of the name go. Adding comes after a removal of the name. */
struct header_change {
	struct slice name, value;
	struct header_change *next;
};

/* All parameters of the name go; `value`, unless absent, comes as the last one. */
struct param_edit {
	struct slice name, value;	/* decoded */
	struct param_edit *next;
};

struct changes {
	struct arena *arena;
	struct header_change *first, **last;
	struct param_edit *edits, **last_edit;
};

void changes_init(struct changes *c, struct arena *arena);
void changes_remove_header(struct changes *c, struct slice name);
void changes_add_header(struct changes *c, struct slice name, struct slice value);
void changes_cut_param(struct changes *c, struct slice name);
void changes_set_param(struct changes *c, struct slice name, struct slice value);
/* Moves all of `from` behind what `c` holds. */
void changes_append(struct changes *c, struct changes *from);

/* The request after the changes: its headers and target are replaced where they differ. */
void request_apply(struct request *r, const struct changes *c);
void request_set_target(struct request *r, struct slice target);
/* `target` after the changes. */
struct slice changes_to_target(const struct changes *c, struct slice target);
/* What has to be done to the request as received, in the verdict's terms. */
void changes_to_verdict(const struct changes *c, const struct request *received, struct verdict *v);

/* Query parameters: the first of that name, decoded into the arena; absent: none. */
struct slice query_find(struct arena *arena, struct slice target, struct slice name);
/* `target` without any parameter of that name; all other bytes and their order stay. */
struct slice query_cut(struct arena *arena, struct slice target, struct slice name);
/* `target` with name=value behind its parameters; what is no letter, digit or -._~ is escaped. */
struct slice query_add(struct arena *arena, struct slice target, struct slice name, struct slice value);
/* `target` with `***` for the values of that name. */
struct slice query_mask(struct arena *arena, struct slice target, struct slice name);

#endif
