/* SPDX-License-Identifier: Apache-2.0
 * What people copy: each file of examples/ is sound as a whole, serves something, and says how to run it. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/snapshot/snapshot.h"
#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "sallyport/text.h"

#define HEAD_BYTES	4096	/* the comment that a file begins with ends within */

/* Every example, and how many warnings it is known to have: of what is not obeyed yet, mostly. */
static const struct {
	const char *name;
	size_t warnings;
} examples[] = {
	{ "broken-secret.yaml", 0 }, { "http-to-https.yaml", 0 }, { "jwt.yaml", 1 }, { "multi-host.yaml", 0 },
	{ "multiprotocol.yaml", 2 }, { "mutual-tls.yaml", 0 }, { "production.yaml", 2 },
	{ "quickstart.yaml", 1 }, { "simple-tls.yaml", 0 }, { "two-gateways.yaml", 0 }, { "wildcard.yaml", 0 },
};

static void problems_text(struct problems *ps, struct text *out)
{
	char line[4096];

	problems_sort(ps);
	for (size_t i = 0; i < ps->count; i++) {
		problem_format(&ps->items[i], line, sizeof(line));
		text_printf(out, "%s\n", line);
	}
}

static void expect_sound(const char *name, size_t warnings)
{
	char path[300];
	const char *paths[] = { path };
	struct resource_set *set;
	struct snapshot *s;
	struct problems ps;
	struct text found;

	text_init(&found);
	problems_init(&ps);
	snprintf(path, sizeof(path), "examples/%s", name);
	set = resource_set_load(paths, 1, &ps);
	s = ps.errors == 0 ? snapshot_build(set, 1, &ps) : NULL;
	problems_text(&ps, &found);
	if (s == NULL || ps.errors > 0)
		fail_msg("%s:\n%s", path, found.at);
	if (ps.warnings != warnings)
		fail_msg("%s: %zu warnings, expected %zu:\n%s", path, ps.warnings, warnings, found.at);
	if (s->listeners.count == 0 || s->clusters.count == 0)
		fail_msg("%s: serves nothing", path);
	snapshot_unref(&s);
	problems_fini(&ps);
	text_fini(&found);
}

static void each_example_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(examples); i++)
		expect_sound(examples[i].name, examples[i].warnings);
}

static int is_yaml(const struct dirent *e)
{
	return slice_ends(slice_of(e->d_name), SLICE(".yaml"));
}

static void every_file_is_listed_here(void **state)
{
	struct dirent **names;
	int count = scandir("examples", &names, is_yaml, alphasort);

	(void)state;
	assert_int_equal(count, COUNT_OF(examples));
	for (int i = 0; i < count; i++) {
		assert_string_equal(names[i]->d_name, examples[i].name);
		free(names[i]);
	}
	free(names);
}

static void each_example_says_how_to_run_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(examples); i++) {
		char path[300], run[320], head[HEAD_BYTES + 1];
		FILE *f;
		size_t n;

		snprintf(path, sizeof(path), "examples/%s", examples[i].name);
		snprintf(run, sizeof(run), "sallyport -f %s", path);
		f = fopen(path, "r");
		assert_non_null(f);
		n = fread(head, 1, HEAD_BYTES, f);
		fclose(f);
		head[n] = '\0';
		if (head[0] != '#' || (strstr(head, run) == NULL && strstr(head, "make demo") == NULL))
			fail_msg("%s: its first lines do not say \"%s\"", path, run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_example_is_sound),
		cmocka_unit_test(every_file_is_listed_here),
		cmocka_unit_test(each_example_says_how_to_run_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
