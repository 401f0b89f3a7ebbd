/* SPDX-License-Identifier: Apache-2.0
 *
 * test.c - see test.h. */
#include "proxy/ctl/test.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "proxy/admin/explain.h"
#include "proxy/ctl/ask.h"
#include "proxy/ctl/explain.h"
#include "proxy/ctl/junit.h"
#include "proxy/ctl/test_file.h"
#include "proxy/ctl/test_match.h"
#include "sallyport/clock.h"
#include "sallyport/log.h"

#define WHY_BYTES	256

static const char usage[] =
	"usage: sallyctl test [-f FILE_OR_FOLDER ...] [-s SOCKET] [--junit FILE] TESTS ...\n"
	"\n"
	"Asks what would become of the requests in TESTS, and compares. Nothing is sent to any upstream.\n"
	"\n"
	"  -f, --file PATH         documents, as sallyport reads them; without: what a running proxy serves\n"
	"  -s, --socket PATH       of that proxy\n"
	"      --jwks FILE         with -f: the keys that jwksUri would bring\n"
	"      --junit FILE        results as JUnit XML; - is standard output\n"
	"  -q, --quiet             only failures and the last line\n"
	"\n"
	"Exit: 0 all passed, 1 some failed or the documents have errors, 2 wrong usage or tests, 3 no proxy answers.\n";

struct run {
	const char **files;			/* of documents */
	size_t file_count;
	const char *socket, *junit, *jwks;
	bool quiet;
	struct explain_documents *documents;	/* NULL: a running proxy is asked */
	FILE *out, *xml;			/* xml: NULL: none is wanted */
	size_t passed, failed;
};

static int misuse(const char *why)
{
	fprintf(stderr, "sallyctl: test: %s\n%s", why, usage);
	return EXIT_USAGE;
}

/* ---- one case ---- */

/* The explanation as JSON into `answer`. EXIT_OK, or an exit status that ends the run. */
static int explain_case(struct run *r, const struct explain_question *q, struct arena *a, struct text *answer)
{
	struct text line;
	int status;

	if (r->documents != NULL) {
		explain_documents_ask(r->documents, q, true, a, answer);
		return EXIT_OK;
	}
	text_init(&line);
	if (explain_line(q, true, &line)) {
		status = ask_for(r->socket, text_slice(&line), answer);
	} else {
		text_printf(answer, "the request is longer than a command to a running proxy may be: test with -f");
		status = EXIT_COMMAND_FAILED;
	}
	text_fini(&line);
	return status == EXIT_UNREACHABLE ? status : EXIT_OK;
}

/* What came nearest, where it helps. */
static void add_hints(const json_t *found, struct text *differences)
{
	const json_t *hint;
	size_t i;

	json_array_foreach(json_object_get(found, "hints"), i, hint)
		text_printf(differences, "hint: %s\n", json_string_value(hint));
}

static void compare(const struct test_case *c, struct slice answer, struct text *differences)
{
	json_t *found = json_loadb(answer.at, answer.len, JSON_REJECT_DUPLICATES, NULL);

	/* A running proxy may refuse the question. */
	if (found == NULL || json_is_false(json_object_get(found, "ok"))) {
		json_decref(found);
		text_printf(differences, "no explanation: %.*s\n", SLICE_ARG(slice_trim(answer)));
		return;
	}
	test_match(c->expect, found, differences);
	if (differences->len > 0)
		add_hints(found, differences);
	json_decref(found);
}

static int run_case(struct run *r, const struct test_case *c, struct text *differences)
{
	struct explain_question q;
	struct arena *a = arena_create(0);
	struct text answer;
	char why[WHY_BYTES];
	int status = EXIT_OK;

	text_init(&answer);
	if (explain_parse(c->words.items, c->words.count, a, &q, NULL, why, sizeof(why)) != OK) {
		text_printf(differences, "no such request: %s\n", why);
	} else {
		status = explain_case(r, &q, a, &answer);
		if (status == EXIT_OK)
			compare(c, text_slice(&answer), differences);
	}
	text_fini(&answer);
	arena_free(&a);
	return status;
}

/* ---- a file of them ---- */

static void print_result(struct run *r, const struct junit_result *result)
{
	struct slice rest = slice_of(result->failure);

	if (result->failure == NULL) {
		if (!r->quiet)
			fprintf(r->out, "ok      %.*s\n", SLICE_ARG(result->name));
		return;
	}
	fprintf(r->out, "FAILED  %.*s (%s:%u)\n", SLICE_ARG(result->name), result->file, result->line);
	while (rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');

		fprintf(r->out, "        %.*s\n", SLICE_ARG(line));
	}
}

static int run_file(struct run *r, const struct test_file *f, struct arena *a)
{
	struct junit_result *results = arena_array(a, struct junit_result, f->cases.count);
	struct text differences;
	int status = EXIT_OK;

	text_init(&differences);
	for (size_t i = 0; i < f->cases.count && status == EXIT_OK; i++) {
		const struct test_case *c = &f->cases.items[i];
		int64_t began_us = clock_monotonic_us();

		text_clear(&differences);
		status = run_case(r, c, &differences);
		results[i] = (struct junit_result){
			.name = c->name, .file = c->where.file, .line = c->where.line,
			.seconds = (double)(clock_monotonic_us() - began_us) / 1e6,
			.failure = differences.len > 0 ? arena_text(a, text_slice(&differences)) : NULL,
		};
		*(results[i].failure == NULL ? &r->passed : &r->failed) += 1;
		if (status == EXIT_OK)
			print_result(r, &results[i]);
	}
	if (r->xml != NULL && status == EXIT_OK)
		junit_suite(r->xml, f->path, results, f->cases.count);
	text_fini(&differences);
	return status;
}

/* All are read before the first is run. */
static int run_files(struct run *r, char **paths, size_t count)
{
	struct arena *a = arena_create(0);
	struct test_file *files = arena_array(a, struct test_file, count);
	struct problems ps;
	int status = EXIT_OK;

	problems_init(&ps);
	for (size_t i = 0; i < count; i++)
		if (test_file_read(paths[i], a, &ps, &files[i]) != OK)
			status = EXIT_USAGE;
	problems_sort(&ps);
	problems_print(&ps, SEVERITY_WARNING, stderr);
	for (size_t i = 0; i < count && status == EXIT_OK; i++)
		status = run_file(r, &files[i], a);
	problems_fini(&ps);
	arena_free(&a);
	return status;
}

/* ---- the command ---- */

enum { OPTION_JUNIT = 256, OPTION_JWKS };

static const struct option options[] = {
	{ "file",   required_argument, NULL, 'f' },
	{ "socket", required_argument, NULL, 's' },
	{ "junit",  required_argument, NULL, OPTION_JUNIT },
	{ "jwks",   required_argument, NULL, OPTION_JWKS },
	{ "quiet",  no_argument,       NULL, 'q' },
	{ "help",   no_argument,       NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* EXIT_OK: go on; -1: there is nothing to do. */
static int take_options(struct run *r, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "f:s:qh", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			r->files[r->file_count++] = optarg;
			break;
		case 's':
			r->socket = optarg;
			break;
		case 'q':
			r->quiet = true;
			break;
		case OPTION_JUNIT:
			r->junit = optarg;
			break;
		case OPTION_JWKS:
			r->jwks = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return -1;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (r->jwks != NULL && r->file_count == 0)
		return misuse("--jwks is for documents: a running proxy fetches keys itself");
	return optind < argc ? EXIT_OK : misuse("no file of tests");
}

/* Where results go; the report may be the whole of the output. */
static bool open_report(struct run *r)
{
	bool alone = r->junit != NULL && strcmp(r->junit, "-") == 0;

	r->out = alone ? stderr : stdout;
	if (r->junit == NULL)
		return true;
	r->xml = alone ? stdout : fopen(r->junit, "we");
	if (r->xml == NULL) {
		fprintf(stderr, "sallyctl: test: %s: %s\n", r->junit, strerror(errno));
		return false;
	}
	junit_begin(r->xml);
	return true;
}

static int close_report(struct run *r, int status)
{
	if (r->xml == NULL)
		return status;
	junit_end(r->xml);
	if (fflush(r->xml) == 0 && (r->xml == stdout || fclose(r->xml) == 0))
		return status;
	fprintf(stderr, "sallyctl: test: %s: %s\n", r->junit, strerror(errno));
	return EXIT_COMMAND_FAILED;
}

static int run_and_report(struct run *r, char **paths, size_t count)
{
	int status;

	if (!open_report(r))
		return EXIT_COMMAND_FAILED;
	status = close_report(r, run_files(r, paths, count));
	if (status != EXIT_OK)
		return status;
	fprintf(r->out, "%zu passed, %zu failed\n", r->passed, r->failed);
	return r->failed > 0 ? EXIT_COMMAND_FAILED : EXIT_OK;
}

static int run_all(struct run *r, char **paths, size_t count)
{
	int status;

	if (r->file_count > 0) {
		r->documents = explain_documents_open(r->files, r->file_count, "test");
		if (r->documents == NULL)
			return EXIT_COMMAND_FAILED;
	}
	if (r->jwks != NULL && !explain_documents_keys(r->documents, r->jwks, "test"))
		status = EXIT_COMMAND_FAILED;
	else
		status = run_and_report(r, paths, count);
	explain_documents_close(&r->documents);
	return status;
}

int test_run(int count, char **words)
{
	struct run r = { .socket = ask_socket_default() };
	int status;

	r.files = calloc((size_t)count + 1, sizeof(*r.files));
	must(r.files != NULL);
	/* getopt_long() takes the first word for the program's name. */
	status = take_options(&r, count + 1, words - 1);
	if (status == EXIT_OK)
		status = run_all(&r, words - 1 + optind, (size_t)(count + 1 - optind));
	free(r.files);
	return status < 0 ? EXIT_OK : status;
}
