/* SPDX-License-Identifier: Apache-2.0
 * What the documentation says of names and numbers is what the code has: every limit and counter has its
 * row in doc/configuration.md, each flag and each detail of the access log is explained there, and the
 * YAML that README.md and that page show is sound. */
#include <glob.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/http/codec.h"
#include "proxy/http/exchange.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/stream/server.h"
#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/text.h"

#define REFERENCE	"doc/configuration.md"

static void read_page(const char *path, struct text *out)
{
	FILE *f = fopen(path, "r");
	char bytes[4096];
	size_t n;

	text_init(out);
	if (f == NULL)
		fail_msg("%s: no such file", path);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		text_add(out, slice_make(bytes, n));
	fclose(f);
}

static void expect_row(const struct text *page, const char *row)
{
	if (strstr(page->at, row) == NULL)
		fail_msg("%s has no row that begins with:\n%s", REFERENCE, row);
}

/* ---- limits ---- */

enum unit { COUNT, BYTES, KB, SPAN };

/* 90000 as 90s, 3600000 as 1h: the largest unit without a rest. */
static void span_text(int64_t ms, char *out, size_t bytes)
{
	static const struct { int64_t ms; const char *unit; } units[] = {
		{ 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" },
	};

	snprintf(out, bytes, "0s");
	for (size_t i = 0; i < COUNT_OF(units) && ms > 0; i++)
		if (ms % units[i].ms == 0) {
			snprintf(out, bytes, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
			return;
		}
}

static void value_text(enum unit unit, int64_t value, char *out, size_t bytes)
{
	if (unit == SPAN)
		span_text(value, out, bytes);
	else
		snprintf(out, bytes, "%lld", (long long)value);
}

static void expect_limit(const struct text *page, const char *name, enum unit unit, int64_t preset,
			 int64_t least, int64_t most, unsigned flags)
{
	const char *of_preset = preset == 0 ? "" : unit == KB ? " KiB" : unit == BYTES ? " bytes" : "";
	char row[300], presets[32], leasts[32], mosts[32];

	value_text(unit, preset, presets, sizeof(presets));
	value_text(unit, least, leasts, sizeof(leasts));
	value_text(unit, most, mosts, sizeof(mosts));
	snprintf(row, sizeof(row), "\n| `%s` | %s%s | %s - %s | %s", name, presets, of_preset, leasts, mosts,
		 flags & FIELD_LATER ? "*Not obeyed yet: setting it warns.* |" : "");
	expect_row(page, row);
	snprintf(row, sizeof(row), "\n| `%s` | %s%s | %s - %s | *Not obeyed yet", name, presets, of_preset,
		 leasts, mosts);
	if (!(flags & FIELD_LATER) && strstr(page->at, row) != NULL)
		fail_msg("%s: %s is obeyed, and its row says that it is not", REFERENCE, name);
}

static void every_limit_is_documented_as_it_is(void **state)
{
	struct text page;

	(void)state;
	read_page(REFERENCE, &page);
#define X(name, member, unit, preset, least, most, flags) \
	expect_limit(&page, name, unit, preset, least, most, flags);
	PROXY_LIMITS(X)
#undef X
	text_fini(&page);
}

/* ---- counters ---- */

static void every_counter_is_documented_as_it_is(void **state)
{
	struct text page;

	(void)state;
	read_page(REFERENCE, &page);
#define X(member, what)	expect_row(&page, "\n| `" #member "` | " what " |");
	SERVER_COUNTERS(X)
#undef X
	text_fini(&page);
}

/* ---- the access log ---- */

/* All that proxy/stream/ is written in: it decides what the log says of a request. */
static void read_streams(struct text *out)
{
	glob_t files;

	text_init(out);
	assert_int_equal(glob("proxy/stream/*.c", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		struct text one;

		read_page(files.gl_pathv[i], &one);
		text_add(out, text_slice(&one));
		text_fini(&one);
	}
	globfree(&files);
}

static bool is_reset_flag(const char *flag)
{
	for (int why = 0; why < RESET_REASON_COUNT; why++)
		if (strcmp(reset_reason_flag((enum reset_reason)why), flag) == 0)
			return true;
	return false;
}

static void every_flag_that_is_set_is_explained(void **state)
{
	struct text page, streams;
	unsigned set = 0;

	(void)state;
	read_page(REFERENCE, &page);
	read_streams(&streams);
#define X(id, text) \
	if (strstr(streams.at, "RESPONSE_FLAG_" #id) != NULL || is_reset_flag(#id)) { \
		expect_row(&page, "\n| `" #id "` | "); \
		set++; \
	}
	RESPONSE_FLAGS(X)
#undef X
	assert_in_range(set, 15, RESPONSE_FLAG_COUNT);
	text_fini(&page);
	text_fini(&streams);
}

/* The ways in which a detail is written down there. */
#define DETAIL_WRITTEN \
	"(details = |stream_details\\(s, |refuse\\(refusal, [0-9]+, |fail_closed\\(j, [0-9]+, )" \
	"(SLICE\\()?\"([a-z0-9_]+)\""

static void every_detail_is_explained(void **state)
{
	struct text page, streams;
	regmatch_t at[4];
	regex_t written;
	unsigned count = 0;

	(void)state;
	read_page(REFERENCE, &page);
	read_streams(&streams);
	assert_int_equal(regcomp(&written, DETAIL_WRITTEN, REG_EXTENDED), 0);
	for (const char *s = streams.at; regexec(&written, s, 4, at, 0) == 0; s += at[0].rm_eo, count++) {
		char detail[128];

		snprintf(detail, sizeof(detail), "`%.*s`", (int)(at[3].rm_eo - at[3].rm_so), s + at[3].rm_so);
		if (strstr(page.at, detail) == NULL)
			fail_msg("%s explains no %s", REFERENCE, detail);
	}
	assert_in_range(count, 20, 200);
	regfree(&written);
	text_fini(&page);
	text_fini(&streams);
}

/* ---- what is shown to be copied ---- */

static void expect_sound(const char *path, struct slice yaml)
{
	struct problems ps;
	struct resource_set *set;
	struct snapshot *s;
	char line[1024];

	problems_init(&ps);
	set = resource_set_parse(path, yaml, &ps);
	s = ps.errors == 0 ? snapshot_build(set, 1, &ps) : NULL;
	for (size_t i = 0; i < ps.count; i++) {
		problem_format(&ps.items[i], line, sizeof(line));
		print_message("%s\n", line);
	}
	if (s == NULL || ps.errors > 0 || ps.warnings > 0)
		fail_msg("%s: a block of YAML is not sound, or warns", path);
	snapshot_unref(&s);
	problems_fini(&ps);
}

/* Returns how many blocks there were. */
static unsigned expect_sound_blocks(const char *path)
{
	static const char begin[] = "\n```yaml\n", end[] = "\n```\n";
	struct text page;
	unsigned count = 0;

	read_page(path, &page);
	for (const char *at = strstr(page.at, begin), *last; at != NULL; at = strstr(last, begin)) {
		at += strlen(begin);
		last = strstr(at, end);
		if (last == NULL)
			fail_msg("%s: a block of YAML has no end", path);
		expect_sound(path, slice_make(at, (size_t)(last - at) + 1));
		count++;
	}
	text_fini(&page);
	return count;
}

static void the_yaml_of_the_readme_is_sound(void **state)
{
	(void)state;
	assert_int_equal(expect_sound_blocks("README.md"), 1);
}

static void the_yaml_of_the_reference_is_sound(void **state)
{
	(void)state;
	assert_int_equal(expect_sound_blocks(REFERENCE), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_limit_is_documented_as_it_is),
		cmocka_unit_test(every_counter_is_documented_as_it_is),
		cmocka_unit_test(every_flag_that_is_set_is_explained),
		cmocka_unit_test(every_detail_is_explained),
		cmocka_unit_test(the_yaml_of_the_readme_is_sound),
		cmocka_unit_test(the_yaml_of_the_reference_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
