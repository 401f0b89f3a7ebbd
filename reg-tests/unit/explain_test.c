/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of `explain`: what is understood, what is refused, and that a question survives the way
 * through the admin socket. What is explained is shown in reg-tests/admin/explain.vtc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/admin/explain.h"

#define WORDS_MAX	32u

static struct arena *arena;

static enum outcome parse(const char *const *words, struct explain_question *q, struct explain_desk *desk)
{
	static char why[256];
	struct slice given[WORDS_MAX];
	size_t count = 0;

	while (words[count] != NULL) {
		given[count] = slice_of(words[count]);
		count++;
	}
	return explain_parse(given, count, arena, q, desk, why, sizeof(why));
}

#define PARSE(q, ...)	parse((const char *const[]){ __VA_ARGS__, NULL }, (q), NULL)
#define assert_slice(s, text) \
	do { \
		assert_non_null((s).at); \
		assert_string_equal(arena_text(arena, (s)), (text)); \
	} while (0)

static void a_url_says_where_and_what(void **state)
{
	struct explain_question q;

	(void)state;
	assert_int_equal(PARSE(&q, "https://Shop.Example/a?b#c"), OK);
	assert_true(q.tls);
	assert_int_equal(q.port, 443);
	assert_slice(q.authority, "Shop.Example");
	assert_slice(q.host, "Shop.Example");
	assert_slice(q.target, "/a?b");
	assert_null(q.method.at);

	assert_int_equal(PARSE(&q, "HTTP://[::1]:8080?q"), OK);
	assert_false(q.tls);
	assert_int_equal(q.port, 8080);
	assert_slice(q.host, "::1");
	assert_slice(q.authority, "[::1]:8080");
	assert_slice(q.target, "/?q");

	assert_int_equal(PARSE(&q, "http://a"), OK);
	assert_int_equal(q.port, 80);
	assert_slice(q.target, "/");
}

static void options_are_taken_in_every_spelling(void **state)
{
	struct explain_question q;

	(void)state;
	assert_int_equal(PARSE(&q, "-XPUT", "http://a/", "-H", "A:  b ", "--header=c: d:e", "--header", "x:"), OK);
	assert_slice(q.method, "PUT");
	assert_int_equal(q.headers.count, 3);
	assert_slice(q.headers.items[0].name, "A");
	assert_slice(q.headers.items[0].value, "b");
	assert_slice(q.headers.items[1].value, "d:e");
	assert_slice(q.headers.items[2].value, "");

	assert_int_equal(PARSE(&q, "-d", "four", "--data", "five5", "http://a/"), OK);
	assert_true(q.has_body);
	assert_int_equal(q.body_bytes, 9);
	assert_int_equal(PARSE(&q, "-d", "", "http://a/"), OK);
	assert_true(q.has_body);

	assert_int_equal(PARSE(&q, "--http2", "--port", "8443", "--sni", "B.example", "--client-ip", "2001:db8::1",
			       "--connect-to", "127.0.0.1:80", "--listener", "0.0.0.0_80", "https://a:1/"), OK);
	assert_true(q.http2);
	assert_int_equal(q.port, 8443);
	assert_slice(q.sni, "b.example");
	assert_slice(q.client, "2001:db8::1");
	assert_slice(q.address, "127.0.0.1:80");
	assert_slice(q.listener, "0.0.0.0_80");
	assert_int_equal(PARSE(&q, "--sni=", "https://a/"), OK);
	assert_true(q.sni_set);
	assert_int_equal(q.sni.len, 0);
}

static void what_is_no_question_is_refused(void **state)
{
	static const char *const wrong[][4] = {
		{ NULL }, { "" }, { "a" }, { "ftp://a/" }, { "http://" }, { "http:///x" }, { "https://u@a/" },
		{ "http://a/", "http://b/" }, { "http://a/ b" }, { "http://a/\n" }, { "http://a:0/" },
		{ "http://a:65536/" }, { "http://a:x/" }, { "http://a:/" }, { "--nothing", "http://a/" },
		{ "-q", "http://a/" }, { "-X", "", "http://a/" }, { "http://a/", "-X" }, { "http://a/", "-H" },
		{ "-H", "none", "http://a/" }, { "-H", ": x", "http://a/" }, { "-H", "a: b\r\nc: d", "http://a/" },
		{ "-X", "A\nB", "http://a/" }, { "--http2=yes", "http://a/" }, { "--port", "0", "http://a/" },
		{ "--port", "port", "http://a/" }, { "--at", "now", "http://a/" }, { "--at", "-5", "http://a/" },
		{ "--client-ip", "a", "http://a/" },
		{ "--connect-to", "127.0.0.1", "http://a/" }, { "--body-bytes", "-1", "http://a/" },
		/* those of sallyctl alone */
		{ "-f", "file", "http://a/" }, { "-o", "json", "http://a/" }, { "--help" },
	};
	struct explain_question q;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		if (parse(wrong[i], &q, NULL) != FAILED)
			fail_msg("taken: %s", wrong[i][0]);
}

static void more_words_than_may_be_are_refused(void **state)
{
	struct slice words[EXPLAIN_WORDS_MAX + 1];
	struct explain_question q;
	char why[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++)
		words[i] = SLICE("-Ha: b");
	words[0] = SLICE("http://a/");
	assert_int_equal(explain_parse(words, EXPLAIN_WORDS_MAX, arena, &q, NULL, why, sizeof(why)), OK);
	assert_int_equal(q.headers.count, EXPLAIN_WORDS_MAX - 1);
	assert_int_equal(explain_parse(words, EXPLAIN_WORDS_MAX + 1, arena, &q, NULL, why, sizeof(why)), FAILED);
}

static void sallyctl_has_options_of_its_own(void **state)
{
	static const char *const words[] = { "-f", "a.yaml", "--file=b", "-o", "json", "-s", "/x.sock", "http://a/",
					     NULL };
	static const char *const help[] = { "-h", NULL };
	struct explain_question q;
	struct explain_desk desk;

	(void)state;
	assert_int_equal(parse(words, &q, &desk), OK);
	assert_int_equal(desk.files.count, 2);
	assert_string_equal(desk.files.items[0], "a.yaml");
	assert_string_equal(desk.files.items[1], "b");
	assert_string_equal(desk.socket, "/x.sock");
	assert_true(desk.json);
	assert_int_equal(parse(help, &q, &desk), OK);
	assert_true(desk.help);
}

/* ---- lines ---- */

static void a_line_is_split_as_it_was_meant(void **state)
{
	static const struct { const char *line, *words[4]; } cases[] = {
		{ "", { NULL } }, { "   ", { NULL } }, { "a b", { "a", "b" } }, { "  a   b  ", { "a", "b" } },
		{ "a\\ b c", { "a b", "c" } }, { "a\\\\ b", { "a\\", "b" } }, { "\\a\\;b", { "a;b" } },
		{ "a \"\" b", { "a", "", "b" } }, { "\"\"", { "" } }, { "\\\"\"", { "\"\"" } },
		{ "\"\"a", { "\"\"a" } }, { "a\\", { "a\\" } }, { "a \\", { "a", "\\" } },
	};
	struct slice *words;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t count = explain_split(slice_of(cases[i].line), arena, &words), wanted = 0;

		while (wanted < 4 && cases[i].words[wanted] != NULL)
			wanted++;
		if (count != wanted)
			fail_msg("%s: %zu words", cases[i].line, count);
		for (size_t k = 0; k < count; k++)
			assert_string_equal(arena_text(arena, words[k]), cases[i].words[k]);
	}
}

static void a_question_survives_the_socket(void **state)
{
	static const char *const words[] = {
		"-X", "json", "-H", "a: b; c\\d \"e\" json", "-H", "\"\": x", "--sni", "", "-d", "12345", "--http2",
		"--client-ip", "::1", "--listener", "unix:/a b", "--connect-to", "[::1]:80", "--claims", "{\"a\": 1}",
		"--at", "1970-01-01T00:01:00Z", "https://a:81/?json", NULL };
	struct explain_question before, after;
	struct slice *split;
	struct text line;
	char why[256];
	size_t count;

	(void)state;
	assert_int_equal(parse(words, &before, NULL), OK);
	text_init(&line);
	explain_write(&before, &line);
	count = explain_split(text_slice(&line), arena, &split);
	assert_int_equal(explain_parse(split, count, arena, &after, NULL, why, sizeof(why)), OK);
	assert_slice(after.method, "json");
	assert_int_equal(after.headers.count, 2);
	assert_slice(after.headers.items[0].value, "b; c\\d \"e\" json");
	assert_slice(after.headers.items[1].name, "\"\"");
	assert_true(after.sni_set);
	assert_int_equal(after.sni.len, 0);
	assert_int_equal(after.body_bytes, 5);
	assert_true(after.http2);
	assert_slice(after.client, "::1");
	assert_slice(after.listener, "unix:/a b");
	assert_slice(after.address, "[::1]:80");
	assert_int_equal(after.port, 81);
	assert_slice(after.claims, "{\"a\": 1}");
	assert_int_equal(after.at_s, 60);
	assert_slice(after.url, "https://a:81/?json");
	text_fini(&line);
}

/* ---- the reference ---- */

#define REFERENCE	"doc/explain.md"

static struct slice reference(void)
{
	FILE *f = fopen(REFERENCE, "re");
	char *bytes = arena_alloc(arena, 1 << 16);
	size_t len;

	assert_non_null(f);
	len = fread(bytes, 1, (1 << 16) - 1, f);
	fclose(f);
	bytes[len] = '\0';
	return slice_make(bytes, len);
}

static void every_outcome_is_documented(void **state)
{
	const char *text = reference().at;

	(void)state;
	for (int end = 0; end < EXPLAINED_END_COUNT; end++) {
		char name[64];

		snprintf(name, sizeof(name), "`%s`", explained_end_name(end));
		if (strstr(text, name) == NULL)
			fail_msg("%s does not say what %s is", REFERENCE, name);
	}
}

static void every_option_is_documented(void **state)
{
	const char *text = reference().at, *usage = explain_usage;

	(void)state;
	while ((usage = strstr(usage, " --")) != NULL) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(usage + 1, " ,\n"), usage + 1);
		if (strstr(text, name) == NULL)
			fail_msg("%s does not say what %s is", REFERENCE, name);
		usage += 3;
	}
}

static int before_each(void **state)
{
	(void)state;
	arena = arena_create(0);
	return 0;
}

static int after_each(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_url_says_where_and_what),
		TEST(options_are_taken_in_every_spelling),
		TEST(what_is_no_question_is_refused),
		TEST(more_words_than_may_be_are_refused),
		TEST(sallyctl_has_options_of_its_own),
		TEST(a_line_is_split_as_it_was_meant),
		TEST(a_question_survives_the_socket),
		TEST(every_outcome_is_documented),
		TEST(every_option_is_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
