/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h - rows for people (columns padded to their longest cell) or programs (a JSON array of
 * objects keyed by the column heads in lower case).
 *
 * Owner    the caller of table_begin(); table_end() writes and frees. Thread: one. */
#ifndef SALLYPORT_TABLE_H
#define SALLYPORT_TABLE_H

#include "sallyport/text.h"

#define TABLE_COLUMNS_MAX	10
#define TABLE_PADDING		5	/* spaces after the longest cell of a column but the last */

struct table {
	struct text *out;		/* borrowed */
	const char *const *heads;	/* borrowed; NULL-terminated */
	size_t columns, cells, capacity;
	char **cell;			/* owned, row by row */
	bool json;
};

void table_begin(struct table *t, struct text *out, const char *const *heads, bool json);
/* As many strings as there are heads; copied. */
void table_add_row(struct table *t, const char *const *cells);
#define table_row(t, ...)	table_add_row((t), (const char *const[]){ __VA_ARGS__ })
void table_end(struct table *t);

#endif
