/* SPDX-License-Identifier: Apache-2.0
 * YAML: nodes know their place, bombs and ambiguous spellings are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/yaml/scalar.h"
#include "sallyport/node.h"
#include "sallyport/object.h"
#include "sallyport/text.h"

struct reading {
	struct arena *arena;
	struct problems problems;
	struct node **docs;
	size_t count;
	enum outcome outcome;
};

static struct reading read_bytes(const char *at, size_t len)
{
	struct reading r = { .arena = arena_create(0) };

	problems_init(&r.problems);
	r.outcome = yaml_read(r.arena, "f.yaml", slice_make(at, len), &r.problems, &r.docs, &r.count);
	return r;
}

static struct reading read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

static void done(struct reading *r)
{
	problems_fini(&r->problems);
	arena_free(&r->arena);
}

static void nodes_remember_where_they_were_written(void **state)
{
	struct reading r = read_text("a: 1\nlist:\n  - x\n  -   \"y z\"\nempty:\n");
	struct node *list;

	(void)state;
	assert_int_equal(r.outcome, OK);
	assert_int_equal(r.count, 1);
	list = node_get(r.docs[0], "list");
	assert_int_equal(list->kind, NODE_SEQUENCE);
	assert_int_equal(list->count, 2);
	assert_string_equal(list->items[1]->text.at, "y z");
	assert_true(list->items[1]->quoted);
	assert_false(list->items[0]->quoted);
	assert_int_equal(list->items[1]->where.line, 4);
	assert_int_equal(list->items[1]->where.column, 7);
	assert_string_equal(list->where.file, "f.yaml");
	assert_int_equal(node_get(r.docs[0], "empty")->kind, NODE_NULL);
	assert_null(node_get(r.docs[0], "nothing"));
	assert_null(node_get(list, "a"));
	done(&r);
}

static void files_hold_any_number_of_documents(void **state)
{
	struct reading r = read_text("a: 1\n---\n---\n{\"b\":\t[2, null]}\n...\n---\nc: 3\n");

	(void)state;
	assert_int_equal(r.outcome, OK);
	assert_int_equal(r.count, 4);
	assert_int_equal(r.docs[1]->kind, NODE_NULL);
	assert_int_equal(node_get(r.docs[2], "b")->count, 2);
	assert_int_equal(node_get(r.docs[3], "c")->where.line, 7);
	done(&r);
	r = read_text("");
	assert_int_equal(r.outcome, OK);
	assert_int_equal(r.count, 0);
	done(&r);
}

static void aliases_stand_for_their_anchor(void **state)
{
	struct reading r = read_text("a: &x {k: v}\nb: *x\nc: [&n 5, *n]\nd: &x new\ne: *x\n");

	(void)state;
	assert_int_equal(r.outcome, OK);
	assert_string_equal(node_get(node_get(r.docs[0], "b"), "k")->text.at, "v");
	assert_string_equal(node_get(r.docs[0], "c")->items[1]->text.at, "5");
	assert_string_equal(node_get(r.docs[0], "e")->text.at, "new");
	done(&r);
}

static void what_is_ambiguous_is_refused(void **state)
{
	static const struct { const char *text, *line; } rows[] = {
		{ "a: 1\nb: 2\na: 3\n",
		  "f.yaml:3:1: duplicate key \"a\": first written in line 1; keep one of them" },
		{ "\"a\": 1\na: 3\n",
		  "f.yaml:2:1: duplicate key \"a\": first written in line 1; keep one of them" },
		{ "x: &b {k: v}\ny:\n  <<: *b\n",
		  "f.yaml:3:3: merge key << is not supported: write the fields out" },
		{ "a: !!binary aGk=\n", "f.yaml:1:4: tag tag:yaml.org,2002:binary is not supported: "
		  "only those of the core schema are" },
		{ "a: !mine x\n",
		  "f.yaml:1:4: tag !mine is not supported: only those of the core schema are" },
		{ "a: !!int x\n", "f.yaml:1:4: the value is no int, as its tag claims" },
		{ "a: *x\n", "f.yaml:1:4: alias *x: no such anchor before it in this document" },
		{ "a: &x 1\n---\nb: *x\n",
		  "f.yaml:3:4: alias *x: no such anchor before it in this document" },
		{ "a: &x [*x]\n", "f.yaml:1:8: alias *x stands inside its own anchor" },
		{ "? [a]\n: b\n", "f.yaml:1:3: a key must be a string, found a list" },
		{ "~: b\n", "f.yaml:1:1: a key must be a string, found nothing" },
		{ "a: \"x\\0y\"\n", "f.yaml:1:4: a string cannot hold a NUL character" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct reading r = read_text(rows[i].text);
		char line[512];

		assert_int_equal(r.outcome, FAILED);
		assert_int_equal(r.problems.count, 1);
		problem_format(&r.problems.items[0], line, sizeof(line));
		assert_string_equal(line, rows[i].line);
		done(&r);
	}
}

static void errors_that_are_not_syntax_do_not_end_the_file(void **state)
{
	struct reading r = read_text("a: 1\na: 2\nb: !x y\n---\nc: 3\n");

	(void)state;
	assert_int_equal(r.outcome, FAILED);
	assert_int_equal(r.problems.errors, 2);
	assert_int_equal(r.count, 2);
	assert_string_equal(node_get(r.docs[0], "a")->text.at, "1");
	done(&r);
}

static void bad_syntax_is_told_with_its_place(void **state)
{
	struct reading r = read_text("ok: 1\n---\na: [1, 2\nb: 3\n");

	(void)state;
	assert_int_equal(r.outcome, FAILED);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.problems.errors, 1);
	assert_int_equal(r.problems.items[0].where.line, 4);
	assert_memory_equal(r.problems.items[0].text, "not YAML: ", 10);
	done(&r);
	r = read_bytes("a: \xff\xfe", 5);
	assert_int_equal(r.outcome, FAILED);
	assert_memory_equal(r.problems.items[0].text, "not YAML: ", 10);
	done(&r);
}

static void core_tags_may_repeat_what_a_value_is(void **state)
{
	struct reading r = read_text("{a: !!str 5, b: !!int 5, c: !!seq [], d: !!map {}, e: !!str , "
				     "f: !!bool true, g: ! 7}");

	(void)state;
	assert_int_equal(r.outcome, OK);
	assert_true(node_get(r.docs[0], "a")->quoted);
	assert_false(node_get(r.docs[0], "b")->quoted);
	assert_int_equal(node_get(r.docs[0], "e")->kind, NODE_SCALAR);
	assert_true(node_get(r.docs[0], "g")->quoted);
	done(&r);
}

static void bombs_are_refused(void **state)
{
	struct text t;
	struct reading r;
	char *big;

	(void)state;
	/* Ten lists, each of ten aliases of the one before: 10^10 strings written out. */
	text_init(&t);
	text_printf(&t, "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
	for (int i = 1; i < 10; i++) {
		text_printf(&t, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			text_printf(&t, "%s*a%d", j > 0 ? ", " : "", i - 1);
		text_printf(&t, "]\n");
	}
	r = read_text(t.at);
	assert_int_equal(r.outcome, FAILED);
	assert_int_equal(r.problems.errors, 1);
	assert_non_null(strstr(r.problems.items[0].text, "aliases expand to more than"));
	assert_true(arena_bytes(r.arena) < 1 << 20);
	done(&r);

	text_clear(&t);
	for (int i = 0; i < 100000; i++)
		text_add_char(&t, '[');
	r = read_bytes(t.at, t.len);
	assert_int_equal(r.outcome, FAILED);
	assert_string_equal(r.problems.items[0].text, "nested more than 64 levels deep");
	done(&r);

	/* Depth hidden behind aliases counts too. */
	text_clear(&t);
	text_printf(&t, "a0: &a0 []\n");
	for (int i = 1; i < 80; i++)
		text_printf(&t, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	r = read_text(t.at);
	assert_int_equal(r.outcome, FAILED);
	assert_non_null(strstr(r.problems.items[0].text, "levels deep through alias"));
	done(&r);
	text_fini(&t);

	big = malloc(YAML_FILE_BYTES_MAX + 1);
	assert_non_null(big);
	memset(big, ' ', YAML_FILE_BYTES_MAX + 1);
	r = read_bytes(big, YAML_FILE_BYTES_MAX + 1);
	assert_int_equal(r.outcome, FAILED);
	assert_non_null(strstr(r.problems.items[0].text, "bytes, 16777216 are allowed"));
	done(&r);
	free(big);
}

static void wide_mappings_still_find_duplicates(void **state)
{
	struct text t;
	struct reading r;

	(void)state;
	text_init(&t);
	for (int i = 0; i < 20000; i++)
		text_printf(&t, "key%d: %d\n", i, i);
	r = read_text(t.at);
	assert_int_equal(r.outcome, OK);
	assert_int_equal(r.docs[0]->count, 20000);
	assert_string_equal(r.docs[0]->pairs[777].key.at, "key777");
	done(&r);
	text_printf(&t, "key12345: again\n");
	r = read_text(t.at);
	assert_int_equal(r.outcome, FAILED);
	assert_string_equal(r.problems.items[0].text, "duplicate key \"key12345\": first written in "
			    "line 12346; keep one of them");
	done(&r);
	text_fini(&t);
}

static void plain_scalars_follow_the_core_schema(void **state)
{
	static const char *const numbers[] = { "0", "-1", "+5", "0x1F", "0o17", "1.5", ".5", "5.",
					       "1e3", "-1.5E-3", ".inf", ".NaN" };
	static const char *const strings[] = { "1.2.3", "0x", "0xg", "1e", ".", "-", "e5", "1h",
					       "::1", "10.0.0.1", "yes", "0b1", "1_000" };
	int64_t n;
	bool b;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		assert_true(scalar_is_number(slice_of(numbers[i])));
	for (size_t i = 0; i < COUNT_OF(strings); i++)
		assert_false(scalar_is_number(slice_of(strings[i])));
	assert_true(scalar_to_i64(SLICE("0x1F"), &n) && n == 31);
	assert_true(scalar_to_i64(SLICE("-0017"), &n) && n == -17);
	assert_true(scalar_to_i64(SLICE("99999999999999999999"), &n) && n == INT64_MAX);
	assert_true(scalar_is_bool(SLICE("True"), &b) && b);
	assert_false(scalar_is_bool(SLICE("yes"), &b));
	assert_true(scalar_is_null(SLICE("~")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_remember_where_they_were_written),
		cmocka_unit_test(files_hold_any_number_of_documents),
		cmocka_unit_test(aliases_stand_for_their_anchor),
		cmocka_unit_test(what_is_ambiguous_is_refused),
		cmocka_unit_test(errors_that_are_not_syntax_do_not_end_the_file),
		cmocka_unit_test(bad_syntax_is_told_with_its_place),
		cmocka_unit_test(core_tags_may_repeat_what_a_value_is),
		cmocka_unit_test(bombs_are_refused),
		cmocka_unit_test(wide_mappings_still_find_duplicates),
		cmocka_unit_test(plain_scalars_follow_the_core_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
