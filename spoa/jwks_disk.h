/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks_disk.h - the last good keys of every source in a folder, so that a restart while an issuer is
 * down still knows them (spec/request-authentication.md 10.3).
 *
 * One file a source: what it was fetched for, when, and the document as it came. A file is believed
 * as long as keys in memory would be, and only where nobody else could have written it: whoever
 * writes keys decides who is let in.
 *
 * Owner    who opened it. Thread: one at a time (the fetch thread).
 * Blocks   on a small file; nothing waits for the disk to be sure of it, since a torn file is
 *          noticed and is no loss.
 * Fails    with a warning; keys are then fetched as if there were no folder. */
#ifndef SALLYPORT_SPOA_JWKS_DISK_H
#define SALLYPORT_SPOA_JWKS_DISK_H

#include <stdint.h>

#include "sallyport/text.h"

struct jwks_disk;

/* `path` exists and is ours alone to write; NULL with the reason in the log where it is not. Files that
 * were not written for `keep_ms` are removed. */
struct jwks_disk *jwks_disk_open(const char *path, int64_t keep_ms);
/* Clears the caller's pointer; *dp may be NULL already. */
void jwks_disk_close(struct jwks_disk **dp);

/* The document last written for this source and how long ago that was. False: there is none to believe. */
bool jwks_disk_read(const struct jwks_disk *d, const char *issuer, const char *uri,
		    struct text *document, int64_t *age_ms);
/* `document`: a JSON object. */
void jwks_disk_write(const struct jwks_disk *d, const char *issuer, const char *uri,
		     struct slice document);

#endif
