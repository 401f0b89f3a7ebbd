/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.h - sallyctl explain: of documents at the desk (-f), or of what a running proxy serves. Either
 * way by the same code, which is the proxy's own. */
#ifndef SALLYPORT_CTL_EXPLAIN_H
#define SALLYPORT_CTL_EXPLAIN_H

#include "sallyport/text.h"

struct arena;
struct explain_question;

/* Documents as they were read, for any number of questions. */
struct explain_documents;

/* NULL: they have errors, which were printed as those of `command`. */
struct explain_documents *explain_documents_open(const char *const *files, size_t count, const char *command);
/* Tokens are verified by the keys of this file where documents name keys by a URL. False: it cannot be read,
 * which was told. */
bool explain_documents_keys(struct explain_documents *d, const char *jwks, const char *command);
/* Clears the caller's pointer; *dp may be NULL already. */
void explain_documents_close(struct explain_documents **dp);
void explain_documents_ask(struct explain_documents *d, const struct explain_question *q, bool json,
			   struct arena *a, struct text *out);

/* The question as a command to a running proxy. False: it is too long for one. */
bool explain_line(const struct explain_question *q, bool json, struct text *line);

/* The words that follow `explain`, and options of sallyctl. An exit status. */
int explain_run(int count, char **words);

#endif
