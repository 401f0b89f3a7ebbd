/* SPDX-License-Identifier: Apache-2.0
 *
 * test_file.h - a YAML file of requests and expectations, read and checked.
 *
 *     - name: members read their orders
 *       request: {url: https://api.example.com/orders, headers: {origin: https://app.example.com}}
 *       claims: {iss: https://issuer.example.com, sub: ann}
 *       expect: {outcome: forwarded, route: orders}
 *
 * Owner    the arena given. Fails into problems with file, line and column. */
#ifndef SALLYPORT_CTL_TEST_FILE_H
#define SALLYPORT_CTL_TEST_FILE_H

#include "sallyport/decode.h"

#define TEST_CASES_MAX	100000u	/* of a file */

struct test_case {
	struct where where;
	struct slice name;			/* as written, or the URL */
	LIST(struct slice) words;		/* the request, as words for explain_parse() */
	const struct node *expect;		/* a mapping that is not empty */
};

struct test_file {
	const char *path;
	LIST(struct test_case) cases;
};

/* FAILED: an error was added, or the file cannot be read. */
enum outcome test_file_read(const char *path, struct arena *a, struct problems *ps, struct test_file *out);

#endif
