/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/table.h"

#include <stdlib.h>

#include "sallyport/log.h"

void table_begin(struct table *t, struct text *out, const char *const *heads, bool json)
{
	*t = (struct table){ .out = out, .heads = heads, .json = json };
	while (heads[t->columns] != NULL)
		t->columns++;
	must(t->columns <= TABLE_COLUMNS_MAX);
}

void table_add_row(struct table *t, const char *const *cells)
{
	if (t->cells + t->columns > t->capacity) {
		t->capacity = t->capacity > 0 ? 2 * t->capacity : 64;
		t->cell = realloc(t->cell, t->capacity * sizeof(*t->cell));
		must(t->cell != NULL);
	}
	for (size_t i = 0; i < t->columns; i++) {
		t->cell[t->cells] = strdup(cells[i]);
		must(t->cell[t->cells++] != NULL);
	}
}

static void write_line(struct table *t, const char *const *cells, const size_t *widths)
{
	for (size_t i = 0; i < t->columns; i++) {
		if (i + 1 == t->columns)
			text_printf(t->out, "%s\n", cells[i]);
		else
			text_printf(t->out, "%-*s", (int)widths[i] + TABLE_PADDING, cells[i]);
	}
}

static void write_text(struct table *t)
{
	size_t widths[TABLE_COLUMNS_MAX];

	for (size_t c = 0; c < t->columns; c++) {
		widths[c] = strlen(t->heads[c]);
		for (size_t i = c; i < t->cells; i += t->columns)
			if (strlen(t->cell[i]) > widths[c])
				widths[c] = strlen(t->cell[i]);
	}
	write_line(t, t->heads, widths);
	for (size_t i = 0; i < t->cells; i += t->columns)
		write_line(t, (const char *const *)&t->cell[i], widths);
}

static void write_key(struct table *t, const char *head)
{
	text_add_char(t->out, '"');
	for (; *head != '\0'; head++)
		text_add_char(t->out, *head == ' ' ? '_' : ascii_lower(*head));
	text_add(t->out, SLICE("\":"));
}

static void write_json(struct table *t)
{
	text_add_char(t->out, '[');
	for (size_t i = 0; i < t->cells; i++) {
		if (i % t->columns == 0)
			text_add(t->out, i > 0 ? SLICE(",{") : SLICE("{"));
		else
			text_add_char(t->out, ',');
		write_key(t, t->heads[i % t->columns]);
		text_add_json(t->out, slice_of(t->cell[i]));
		if (i % t->columns == t->columns - 1)
			text_add_char(t->out, '}');
	}
	text_add(t->out, SLICE("]\n"));
}

void table_end(struct table *t)
{
	if (t->json)
		write_json(t);
	else
		write_text(t);
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	free(t->cell);
}
