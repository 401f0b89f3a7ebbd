/* SPDX-License-Identifier: Apache-2.0
 *
 * problem.h - one vocabulary of outcomes, and what a person has to change in a document.
 *
 * I/O and codecs answer with an outcome. Checking what a person wrote collects problems, all of
 * them, each pointing at the line to change; `sallyport -c` prints one a line as
 *     file:line:column: [warning: |note: ]kind namespace/name: path: what is wrong
 *
 * Owner    the caller of problems_init(); texts and file names are copied. Thread: one at a time. */
#ifndef SALLYPORT_PROBLEM_H
#define SALLYPORT_PROBLEM_H

#include <stdio.h>

#include "sallyport/slice.h"

enum outcome { OK, AGAIN, CLOSED, FAILED };

struct where {
	const char *file;	/* borrowed: of the resource set that was read, or of its problems */
	unsigned line, column;	/* from 1; 0: unknown */
};

enum severity { SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_ERROR };

struct problem {
	enum severity severity;
	struct where where;
	char *text;		/* owned by the collection; begins with kind and name */
};

struct problems {
	struct problem *items;
	size_t count, capacity;
	size_t errors, warnings;
	char **files;		/* owned: the names that items point to */
	size_t file_count;
	size_t dropped;		/* beyond PROBLEMS_MAX: counted only */
};

#define PROBLEMS_MAX	10000	/* documents with more are told "and N more" */

void problems_init(struct problems *ps);
void problems_fini(struct problems *ps);

/* Always FAILED for an error, so that reporting and returning are one statement. */
enum outcome problem_add(struct problems *ps, enum severity severity, struct where where,
			 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* By file (order of first appearance), line and column; what was added twice stays once. */
void problems_sort(struct problems *ps);
/* One a line, those of at least `least`. */
void problems_print(const struct problems *ps, enum severity least, FILE *out);
/* The line of one problem without the newline; returns the length as snprintf does. */
int problem_format(const struct problem *p, char *out, size_t bytes);

#endif
