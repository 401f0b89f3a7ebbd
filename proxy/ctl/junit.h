/* SPDX-License-Identifier: Apache-2.0
 *
 * junit.h - results of tests in the XML that CI systems read (the JUnit schema of Ant and Maven).
 *
 * Owner    the caller closes the file. Fails   by the file's error flag, which the caller looks at. */
#ifndef SALLYPORT_CTL_JUNIT_H
#define SALLYPORT_CTL_JUNIT_H

#include <stdio.h>

#include "sallyport/slice.h"

struct junit_result {
	struct slice name;
	const char *file;
	unsigned line;
	double seconds;
	const char *failure;		/* lines; NULL: it passed */
};

void junit_begin(FILE *to);
void junit_suite(FILE *to, const char *name, const struct junit_result *results, size_t count);
void junit_end(FILE *to);

#endif
