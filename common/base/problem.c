/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/problem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/log.h"

void problems_init(struct problems *ps)
{
	*ps = (struct problems){ 0 };
}

void problems_fini(struct problems *ps)
{
	for (size_t i = 0; i < ps->count; i++)
		free(ps->items[i].text);
	free(ps->items);
	for (size_t i = 0; i < ps->file_count; i++)
		free(ps->files[i]);
	free(ps->files);
	problems_init(ps);
}

/* Problems outlive the documents that they point into: the name is kept once for all of its file. */
static const char *keep_file(struct problems *ps, const char *file)
{
	if (file == NULL)
		return NULL;
	for (size_t i = ps->file_count; i > 0; i--)	/* most often it is the last one */
		if (strcmp(ps->files[i - 1], file) == 0)
			return ps->files[i - 1];
	ps->files = realloc(ps->files, (ps->file_count + 1) * sizeof(*ps->files));
	if (ps->files == NULL || (ps->files[ps->file_count] = strdup(file)) == NULL)
		fatal("out of memory: file of a problem");
	return ps->files[ps->file_count++];
}

enum outcome problem_add(struct problems *ps, enum severity severity, struct where where,
			 const char *fmt, ...)
{
	struct problem *p;
	va_list args;
	char *text;

	if (severity == SEVERITY_ERROR)
		ps->errors++;
	if (severity == SEVERITY_WARNING)
		ps->warnings++;
	if (ps->count >= PROBLEMS_MAX) {
		ps->dropped++;
		return FAILED;
	}
	if (ps->count == ps->capacity) {
		ps->capacity = ps->capacity > 0 ? 2 * ps->capacity : 16;
		ps->items = realloc(ps->items, ps->capacity * sizeof(*ps->items));
		if (ps->items == NULL)
			fatal("out of memory: list of problems");
	}
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		fatal("out of memory: text of a problem");
	va_end(args);
	where.file = keep_file(ps, where.file);
	p = &ps->items[ps->count++];
	*p = (struct problem){ .severity = severity, .where = where, .text = text };
	return FAILED;
}

/* Files keep the order in which they were given, which is that of their first problem. */
static size_t file_rank(const struct problems *ps, const char *file)
{
	size_t i = 0;

	while (i < ps->count && ps->items[i].where.file != file)
		i++;
	return i;
}

struct ranked {
	struct problem problem;
	size_t file, index;
};

static int compare_ranked(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->problem.where.line != b->problem.where.line)
		return a->problem.where.line < b->problem.where.line ? -1 : 1;
	if (a->problem.where.column != b->problem.where.column)
		return a->problem.where.column < b->problem.where.column ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

static bool same_place(const struct problem *a, const struct problem *b)
{
	return a->where.file == b->where.file && a->where.line == b->where.line &&
	       a->where.column == b->where.column;
}

static void drop(struct problems *ps, struct problem *p)
{
	ps->errors -= p->severity == SEVERITY_ERROR;
	ps->warnings -= p->severity == SEVERITY_WARNING;
	free(p->text);
}

/* A line that means the same in several places (a destination of two servers' routes) is told of once. */
static void drop_repeats(struct problems *ps)
{
	size_t kept = 0;

	for (size_t i = 0; i < ps->count; i++) {
		struct problem *p = &ps->items[i];
		size_t before = kept;

		while (before > 0 && same_place(&ps->items[before - 1], p) &&
		       (ps->items[before - 1].severity != p->severity ||
			strcmp(ps->items[before - 1].text, p->text) != 0))
			before--;
		if (before > 0 && same_place(&ps->items[before - 1], p))
			drop(ps, p);
		else
			ps->items[kept++] = *p;
	}
	ps->count = kept;
}

void problems_sort(struct problems *ps)
{
	struct ranked *r = calloc(ps->count + 1, sizeof(*r));

	if (r == NULL)
		fatal("out of memory: sorting problems");
	for (size_t i = 0; i < ps->count; i++) {
		const char *file = ps->items[i].where.file;
		bool same = i > 0 && file == ps->items[i - 1].where.file;

		r[i] = (struct ranked){ ps->items[i], same ? r[i - 1].file : file_rank(ps, file), i };
	}
	qsort(r, ps->count, sizeof(*r), compare_ranked);
	for (size_t i = 0; i < ps->count; i++)
		ps->items[i] = r[i].problem;
	free(r);
	drop_repeats(ps);
}

int problem_format(const struct problem *p, char *out, size_t bytes)
{
	static const char *const mark[] = { "note: ", "warning: ", "" };

	const char *file = p->where.file != NULL ? p->where.file : "-";

	if (p->where.line == 0)		/* of the file as a whole */
		return snprintf(out, bytes, "%s: %s%s", file, mark[p->severity], p->text);
	return snprintf(out, bytes, "%s:%u:%u: %s%s", file, p->where.line, p->where.column,
			mark[p->severity], p->text);
}

void problems_print(const struct problems *ps, enum severity least, FILE *out)
{
	char line[4096];

	for (size_t i = 0; i < ps->count; i++) {
		if (ps->items[i].severity < least)
			continue;
		problem_format(&ps->items[i], line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
	if (ps->dropped > 0)
		fprintf(out, "and %zu more problems\n", ps->dropped);
}
