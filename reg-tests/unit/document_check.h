/* SPDX-License-Identifier: Apache-2.0
 *
 * document_check.h - specs as text beside the problems they have, for tests of one kind's decoder.
 *
 * A spec stands at line 1 of the file "t"; the document is shop/web. */
#ifndef SALLYPORT_DOCUMENT_CHECK_H
#define SALLYPORT_DOCUMENT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/decode.h"
#include "sallyport/object.h"
#include "sallyport/text.h"

struct document_row {
	const char *name, *spec;
	const char *problems;	/* lines without the file, in order; "*…": one line begins with the rest */
};

typedef void *document_decode_fn(struct decoder *d, const struct node *spec, const struct meta *meta);

/* A decoded spec with its problems; everything is in the arena but the problems. */
struct document {
	struct arena *arena;
	struct problems problems;
	struct text text;	/* of all problems, one a line, without the file */
	void *object;
};

static inline void document_open(struct document *doc, document_decode_fn *decode, const char *kind, const char *spec)
{
	struct node **docs;
	size_t count;
	struct meta *meta;
	char line[2048];

	*doc = (struct document){ .arena = arena_create(0) };
	problems_init(&doc->problems);
	text_init(&doc->text);
	meta = arena_new(doc->arena, struct meta);
	*meta = (struct meta){ .kind = kind, .ns = SLICE("shop"), .name = SLICE("web") };
	if (yaml_read(doc->arena, "t", slice_of(spec), &doc->problems, &docs, &count) == OK && count == 1) {
		struct decoder d = { .arena = doc->arena, .problems = &doc->problems, .kind = kind,
				     .ns = "shop", .name = "web", .where = docs[0]->where };

		decode_push(&d, "spec");
		doc->object = decode(&d, docs[0], meta);
		assert_string_equal(d.path, "spec");
	}
	problems_sort(&doc->problems);
	for (size_t i = 0; i < doc->problems.count; i++) {
		problem_format(&doc->problems.items[i], line, sizeof(line));
		text_printf(&doc->text, "%s\n", line + strlen("t:"));
	}
}

static inline void document_close(struct document *doc)
{
	text_fini(&doc->text);
	problems_fini(&doc->problems);
	arena_free(&doc->arena);
}

static inline bool document_has_line(const struct document *doc, const char *begins)
{
	struct slice rest = text_slice(&doc->text);

	while (rest.at != NULL)
		if (slice_starts(slice_cut(&rest, '\n'), slice_of(begins)))
			return true;
	return false;
}

/* Shows every row that differs before it fails. */
static inline void check_documents(document_decode_fn *decode, const char *kind, const struct document_row *rows,
				   size_t count)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++) {
		struct document doc;
		bool right;

		document_open(&doc, decode, kind, rows[i].spec);
		if (rows[i].problems[0] == '*')
			right = document_has_line(&doc, rows[i].problems + 1);
		else
			right = slice_eq(text_slice(&doc.text), slice_of(rows[i].problems));
		if (!right) {
			wrong++;
			print_message("--- %s\n%s--- expected\n%s\n--- found\n%.*s", rows[i].name, rows[i].spec,
				      rows[i].problems, SLICE_ARG(text_slice(&doc.text)));
		}
		document_close(&doc);
	}
	assert_int_equal(wrong, 0);
}

#endif
