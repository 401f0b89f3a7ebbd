/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions: RE2's syntax and nothing else, bounded in time, and StringMatch on top. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/object.h"
#include "sallyport/regex.h"
#include "sallyport/string_match.h"

/* Linux 6.3; older headers and kernels lack it. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE			65
#define PR_MDWE_REFUSE_EXEC_GAIN	1
#endif

static struct regex *make(const char *pattern, enum regex_mode mode)
{
	struct regex_error why = { 0 };
	struct regex *r = regex_create(slice_of(pattern), mode, &why);

	if (r == NULL)
		fail_msg("%s: %s at %zu", pattern, why.text, why.offset);
	return r;
}

static void what_re2_takes_is_taken(void **state)
{
	static const char *const patterns[] = {
		"", "/api/.*", "(a|b)+", "a{2}", "a{2,}", "a{2,5}?", "a{,5}", "x{", "{x}", "a*?",
		"(?P<year>\\d+)-(?P<month>\\d+)", "(?<year>\\d+)", "(?:ab)*", "(?i)abc", "(?i:abc)d",
		"(?s-m:.*)", "(?-s).", "(?U)a+", "\\Aabc\\z", "\\bword\\B", "\\Q(*literal+\\E.", "\\Q++",
		"[]a]", "[^]a]", "[[:alpha:]_]", "[[:^digit:]]", "[a\\]b]", "[\\d\\s-]", "[\\x41-\\x{5A}]",
		"\\x7F\\x{10FFFF}", "\\pL\\PN\\p{Greek}\\p{^Greek}", "\\.\\/\\-\\_", "^$", "a|", "()",
		"\\t\\n\\r\\f\\a", "é+", "a{1000}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(patterns); i++) {
		struct regex *r = make(patterns[i], REGEX_FULL);

		regex_free(&r);
		assert_null(r);
	}
}

static void what_re2_lacks_is_named(void **state)
{
	static const struct {
		const char *pattern, *says;
		size_t offset;
	} rows[] = {
		{ "a(?=b)", "look-ahead", 1 },		{ "a(?!b)", "look-ahead", 1 },
		{ "(?<=a)b", "look-behind", 0 },	{ "(?<!a)b", "look-behind", 0 },
		{ "(a)\\1", "back-reference \\1", 3 },	{ "(?P<n>a)(?P=n)", "a back-reference", 8 },
		{ "(?P<n>a)\\k<n>", "\\k (a back-reference)", 8 },
		{ "(a)\\g{1}", "\\g", 3 },
		{ "a*+", "possessive", 2 },		{ "a++", "possessive", 2 },
		{ "a?+", "possessive", 2 },		{ "a{2}+", "possessive", 4 },
		{ "a*?+", "possessive", 3 },		{ "(?:a)**", "repeats a repetition", 6 },
		{ "a{2}{3}", "repeats a repetition", 4 },
		{ "(?>a)", "atomic", 0 },		{ "(?R)", "recursion", 0 },
		{ "(a(?1)?)", "recursion", 2 },		{ "(a(?-1)?)", "recursion", 2 },
		{ "(?&n)", "recursion", 0 },		{ "(?P>n)", "recursion", 0 },
		{ "(?C1)a", "callout", 0 },		{ "(?(1)a|b)", "condition", 0 },
		{ "(?#note)a", "comment", 0 },		{ "(?|a|b)", "branch reset", 0 },
		{ "(?x) a", "extended", 0 },		{ "(*SKIP)a", "verb", 0 },
		{ "(?'n'a)", "name in quotes", 0 },	{ "(?J)a", "unknown group (?J", 0 },
		{ "\\Ca", "\\C", 0 },			{ "a\\Kb", "\\K", 1 },
		{ "\\R", "\\R", 0 },			{ "\\X", "\\X", 0 },
		{ "\\h", "\\h", 0 },			{ "a\\Z", "write \\z", 1 },
		{ "\\G", "\\G", 0 },			{ "\\N", "\\N", 0 },
		{ "\\y", "unknown escape \\y", 0 },	{ "[\\b]", "no meaning inside [ ]", 1 },
		{ "[\\Qa]", "unknown escape \\Q", 1 },	{ "[[=a=]]", "[= is not", 1 },
		{ "a{1001}", "repetition beyond 1000", 1 },
		{ "a{99999999999999999999}", "repetition beyond 1000", 1 },
		{ "abc\\", "backslash at the end", 3 },	{ "[abc", "[ without its ]", 0 },
		{ "\\x{110000}", "at most 10FFFF", 0 },	{ "\\x4", "two hex digits", 0 },
		{ "\\p{L&}", "Unicode class", 0 },	{ "a\\E", "\\E without", 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct regex_error why = { 0 };

		if (regex_check(slice_of(rows[i].pattern), &why))
			fail_msg("%s was taken", rows[i].pattern);
		if (strstr(why.text, rows[i].says) == NULL || why.offset != rows[i].offset)
			fail_msg("%s: \"%s\" at %zu", rows[i].pattern, why.text, why.offset);
	}
}

static void broken_patterns_are_explained_by_the_compiler(void **state)
{
	static const char *const patterns[] = { "(a", "a)", "*a", "a{3,2}", "[z-a]", "(?P<1>a)", "[[:nope:]]",
						"+", "a|*" };
	struct regex_error why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(patterns); i++) {
		why.text[0] = '\0';
		assert_false(regex_check(slice_of(patterns[i]), &why));
		assert_true(strlen(why.text) > 0);
	}
}

static void sizes_are_limited(void **state)
{
	char pattern[REGEX_PATTERN_MAX + 1];
	struct regex_error why;

	(void)state;
	memset(pattern, 'a', sizeof(pattern));
	assert_true(regex_check(slice_make(pattern, REGEX_PATTERN_MAX), &why));
	assert_false(regex_check(slice_make(pattern, REGEX_PATTERN_MAX + 1), &why));
	assert_string_equal(why.text, "longer than 1024 bytes");
	assert_false(regex_check(SLICE("((((a{1000}){1000}){1000}){1000})"), &why));
}

static void the_whole_value_has_to_match(void **state)
{
	static const struct {
		const char *pattern, *value;
		enum regex_result expected;
	} rows[] = {
		{ "/api", "/api", REGEX_YES },		{ "/api", "/api/x", REGEX_NO },
		{ "/api", "x/api", REGEX_NO },		{ "/v[0-9]+/.*", "/v2/x", REGEX_YES },
		{ "a|ab", "ab", REGEX_YES },		{ "^/a$", "/a", REGEX_YES },
		{ "/a$", "/a\n", REGEX_NO },		{ ".", "\n", REGEX_NO },
		{ ".", "\r", REGEX_YES },		{ "(?s).", "\n", REGEX_YES },
		{ "(?i)ABC", "aBc", REGEX_YES },	{ "abc", "ABC", REGEX_NO },
		{ "", "", REGEX_YES },			{ "", "a", REGEX_NO },
		{ ".*", "", REGEX_YES },		{ "\\w+", "\xc3\xa9", REGEX_NO },
		{ "..", "\xc3\xa9", REGEX_YES },	{ "é", "\xc3\xa9", REGEX_YES },
		{ "(?i)É.", "\xc3\xa9x", REGEX_YES },	{ "\\p{Greek}+", "\xce\xb1\xce\xb2", REGEX_YES },
		{ "\\p{Greek}+", "\xce\xb1\xff", REGEX_NO },
		{ "(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)(l)", "abcdefghijkl", REGEX_YES },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct regex *r = make(rows[i].pattern, REGEX_FULL);

		if (regex_match(r, slice_of(rows[i].value)) != rows[i].expected)
			fail_msg("%s on %s", rows[i].pattern, rows[i].value);
		regex_free(&r);
	}
}

/* What the index of routes may rely on: nothing that matches begins otherwise. */
static void a_pattern_tells_how_its_values_begin(void **state)
{
	static const struct { const char *pattern, *beginning; } rows[] = {
		{ "/api/v1/.*", "/api/v1/" }, { "^/api$", "/api" }, { "^/api/?$", "/api" }, { "/users?/x", "/user" },
		{ "/ab*c", "/a" }, { "/ab+c", "/ab" }, { "/ab{0,2}c", "/a" }, { "/a\\.b\\/c.d", "/a.b/c" }, { "/a\\d", "/a" },
		{ "/a\\.?b", "/a" }, { "/a|/b", "" }, { "/x(/a|/b)", "/x" }, { "/x[|]y", "/x" }, { "/x[]|]y", "/x" },
		{ "/a[](]x|y", "" }, { "/a[^](]x|y", "" }, { "/a[[:alpha:](]x|y", "" }, { "/a[\\](]x|y", "" }, { "/a[[:(]x|y", "" }, { "/a[[:alpha]x|y", "" },
		{ "/a\\Q(\\Ex|y", "" }, { "/a[\\Q]\\E(]x|y", "" }, { "/a\\(x|y", "" }, { "/a(b)\\)|y", "" }, { "(?i)/a", "" }, { "/a(?i)b", "/a" },
		{ ".*", "" }, { "", "" }, { "^", "" }, { "\\", "" }, { "/\xc3\xbc", "/" }, { "[ab]", "" }, { "a^b", "a" },
		{ "(/a)?b", "" }, { "/[", "/" }, { "a{,3}", "" }, { "/-_~!@#%&=:;,'\"<>`", "/-_~!@#%&=:;,'\"<>`" },
	};
	struct arena *a = arena_create(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct slice found = regex_beginning(slice_of(rows[i].pattern), a);

		if (!slice_eq(found, slice_of(rows[i].beginning)))
			fail_msg("%s begins with \"%.*s\"", rows[i].pattern, SLICE_ARG(found));
	}
	arena_free(&a);
}

static void a_pattern_that_explodes_gives_up_soon(void **state)
{
	static const char *const patterns[] = { "(a+)+$", "(a|aa)+$", "(.*)*x", "(a*)*b", "(x+x+)+y", "(?:a?){30}a{30}" };
	static char value[8192];

	(void)state;
	memset(value, 'a', sizeof(value));
	value[sizeof(value) - 1] = '!';
	for (size_t i = 0; i < COUNT_OF(patterns); i++) {
		struct regex *r = make(patterns[i], REGEX_FULL);
		uint64_t before = regex_gave_up_count();
		int64_t start = clock_monotonic_us();
		enum regex_result result = regex_match(r, slice_make(value, sizeof(value)));

		/* A debug or sanitizer build of a loaded machine still has to be done at once. */
		assert_true(clock_monotonic_us() - start < 100000);
		assert_int_not_equal(result, REGEX_YES);
		assert_int_equal(regex_gave_up_count() - before, result == REGEX_GAVE_UP);
		regex_free(&r);
	}
}

/* Without JIT as well: what hardened services forbid must not change what matches. */
static void long_values_match_without_executable_memory(void **state)
{
	static char value[8192];
	int status;
	pid_t child;

	(void)state;
	memset(value, 'a', sizeof(value));
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		bool denied = prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0;
		struct regex *r = regex_create(SLICE("(?:a|b)*"), REGEX_FULL, NULL);

		_exit(r == NULL || (denied && regex_has_jit(r)) ||
		      regex_match(r, slice_make(value, sizeof(value))) != REGEX_YES);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void occurrences_are_replaced(void **state)
{
	static const struct {
		const char *pattern, *with, *value, *expected;	/* NULL: nothing found */
	} rows[] = {
		{ "^/a/([^/]+)(/.*)$", "\\2/\\1", "/a/u/x", "/x/u" },
		{ "a", "b", "banana", "bbnbnb" },
		{ "x", "y", "banana", NULL },
		{ "[0-9]+", "<\\0>", "a12b3", "a<12>b<3>" },
		{ "/", "\\\\", "/a/", "\\a\\" },
		{ "a*", "X", "baac", "XbXcX" },
		{ "", "-", "ab", "-a-b-" },
		{ "(a)|(b)", "[\\1\\2]", "abc", "[a][b]c" },
		{ "^a", "b", "aaa", "baa" },
		{ "a$", "b", "aaa", "aab" },
		{ ".*", "", "/whole", "" },
		{ "é", "e", "\xc3\xa9x\xc3\xa9", "exe" },
		{ "(?:)é?", "-", "\xc3\xa8", "-\xc3\xa8-" },
	};
	struct arena *a = arena_create(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct regex *r = make(rows[i].pattern, REGEX_SEARCH);
		struct slice value = slice_of(rows[i].value), out;
		enum regex_result result = regex_replace_all(r, value, slice_of(rows[i].with), a, &out);

		assert_int_equal(result, rows[i].expected != NULL ? REGEX_YES : REGEX_NO);
		if (!slice_eq(out, slice_of(rows[i].expected != NULL ? rows[i].expected : rows[i].value)))
			fail_msg("%s on %s: %.*s", rows[i].pattern, rows[i].value, SLICE_ARG(out));
		regex_free(&r);
	}
	arena_free(&a);
}

static void a_replacement_has_a_largest_size(void **state)
{
	struct regex *r = make("a", REGEX_SEARCH);
	struct arena *a = arena_create(0);
	static char value[REGEX_REPLACED_MAX];
	struct slice out, all = slice_make(value, sizeof(value));

	(void)state;
	memset(value, 'a', sizeof(value));
	assert_int_equal(regex_replace_all(r, all, SLICE("b"), a, &out), REGEX_YES);
	assert_int_equal(out.len, sizeof(value));
	assert_int_equal(regex_replace_all(r, all, SLICE("bc"), a, &out), REGEX_GAVE_UP);
	assert_ptr_equal(out.at, value);
	regex_free(&r);
	arena_free(&a);
}

static void replacements_are_checked(void **state)
{
	struct regex_error why;

	(void)state;
	assert_true(regex_check_replacement(SLICE("/\\0/\\2\\\\"), 2, &why));
	assert_false(regex_check_replacement(SLICE("\\3"), 2, &why));
	assert_string_equal(why.text, "\\3, but the expression has 2 groups");
	assert_false(regex_check_replacement(SLICE("\\n"), 2, &why));
	assert_false(regex_check_replacement(SLICE("a\\"), 2, &why));
}

static void string_matches_follow_their_kind(void **state)
{
	static const struct {
		enum string_match_kind kind;
		const char *text, *value;
		bool ignore_case, holds, inverted_holds;
	} rows[] = {
		{ MATCH_EXACT, "/api", "/api", false, true, false },
		{ MATCH_EXACT, "/api", "/API", false, false, true },
		{ MATCH_EXACT, "/api", "/API", true, true, false },
		{ MATCH_EXACT, "", NULL, false, false, false },
		{ MATCH_EXACT, "v", NULL, false, false, true },
		{ MATCH_PREFIX, "/api", "/apix", false, true, false },
		{ MATCH_PREFIX, "/API", "/api/x", true, true, false },
		{ MATCH_PREFIX, "/api", "/ap", false, false, true },
		{ MATCH_REGEX, "/API", "/api", true, false, true },
		{ MATCH_REGEX, ".*", NULL, false, false, false },
		{ MATCH_REGEX, ".+", NULL, false, false, true },
		{ MATCH_PRESENT, "", "", false, true, false },
		{ MATCH_PRESENT, "", NULL, false, false, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct string_match m = { .kind = rows[i].kind, .text = slice_of(rows[i].text) };
		struct string_matcher sm;
		struct slice value = slice_of(rows[i].value);

		string_matcher_init(&sm, &m, rows[i].ignore_case);
		if (string_matcher_holds(&sm, value, false) != rows[i].holds ||
		    string_matcher_holds(&sm, value, true) != rows[i].inverted_holds)
			fail_msg("row %zu", i);
		string_matcher_fini(&sm);
	}
}

static void giving_up_never_fulfils_an_inverted_condition(void **state)
{
	static char value[8192];
	struct string_match m = { .kind = MATCH_REGEX, .text = SLICE("(a|aa)+$") };
	struct string_matcher sm;

	(void)state;
	memset(value, 'a', sizeof(value));
	value[sizeof(value) - 1] = '!';
	string_matcher_init(&sm, &m, false);
	assert_int_equal(string_matcher_test(&sm, slice_make(value, sizeof(value))), REGEX_GAVE_UP);
	assert_false(string_matcher_holds(&sm, slice_make(value, sizeof(value)), false));
	assert_false(string_matcher_holds(&sm, slice_make(value, sizeof(value)), true));
	string_matcher_fini(&sm);
}

static void *match_many(void *arg)
{
	for (int i = 0; i < 2000; i++)
		if (regex_match(arg, SLICE("/users/4711/orders")) != REGEX_YES ||
		    regex_match(arg, SLICE("/users/x/orders")) != REGEX_NO)
			return arg;
	return NULL;
}

static void threads_share_an_expression(void **state)
{
	struct regex *r = make("/users/([0-9]+)/(orders|parcels)", REGEX_FULL);
	pthread_t threads[4];
	void *wrong;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, match_many, r), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	regex_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: PCRE2 would use executable memory again that it got earlier. */
		cmocka_unit_test(long_values_match_without_executable_memory),
		cmocka_unit_test(what_re2_takes_is_taken),
		cmocka_unit_test(what_re2_lacks_is_named),
		cmocka_unit_test(broken_patterns_are_explained_by_the_compiler),
		cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(the_whole_value_has_to_match),
		cmocka_unit_test(a_pattern_tells_how_its_values_begin),
		cmocka_unit_test(a_pattern_that_explodes_gives_up_soon),
		cmocka_unit_test(occurrences_are_replaced),
		cmocka_unit_test(a_replacement_has_a_largest_size),
		cmocka_unit_test(replacements_are_checked),
		cmocka_unit_test(string_matches_follow_their_kind),
		cmocka_unit_test(giving_up_never_fulfils_an_inverted_condition),
		cmocka_unit_test(threads_share_an_expression),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
