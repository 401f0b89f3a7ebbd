/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/explain.h"

#include <stdio.h>

#include "proxy/admin/explain.h"
#include "proxy/ctl/ask.h"

static void print_usage(FILE *to)
{
	fprintf(to, "usage: sallyctl explain [-s SOCKET] [-f FILE_OR_FOLDER ...] [-o text|json] [OPTIONS] URL\n"
		"\n"
		"What would become of a request, and why: by documents (-f), or by what a proxy serves now.\n"
		"\n"
		"  -f, --file PATH         documents, as sallyport reads them\n"
		"  -s, --socket PATH       of a running proxy, where there is no -f\n"
		"  -o, --output FORM       text (default) or json\n"
		"%s", explain_usage);
}

static int misuse(const char *why)
{
	fprintf(stderr, "sallyctl: explain: %s\n", why);
	print_usage(stderr);
	return EXIT_USAGE;
}

/* ---- at the desk ---- */

static struct snapshot *read_documents(const struct explain_desk *desk)
{
	struct resource_set *set;
	struct snapshot *s = NULL;
	struct problems ps;

	problems_init(&ps);
	set = resource_set_load(desk->files.items, desk->files.count, &ps);
	if (ps.errors == 0)
		s = snapshot_build(set, 1, &ps);
	if (s == NULL) {
		resource_set_free(&set);
		problems_sort(&ps);
		problems_print(&ps, SEVERITY_ERROR, stderr);
		fprintf(stderr, "sallyctl: explain: %zu errors\n", ps.errors);
	}
	problems_fini(&ps);
	return s;
}

static int explain_documents(const struct explain_question *q, const struct explain_desk *desk,
			     struct arena *a)
{
	const struct explain_ground ground = { .live = false };
	struct snapshot *s = read_documents(desk);
	struct text out;

	if (s == NULL)
		return EXIT_COMMAND_FAILED;
	text_init(&out);
	(desk->json ? explain_add_json : explain_add_text)(explain(s, q, &ground, a), false, &out);
	fputs(out.at, stdout);
	text_fini(&out);
	snapshot_unref(&s);
	return EXIT_OK;
}

/* ---- of a running proxy ---- */

static int explain_live(const struct explain_question *q, const struct explain_desk *desk)
{
	struct text line;
	int status;

	text_init(&line);
	text_add(&line, SLICE("explain"));
	explain_write(q, &line);
	text_add(&line, desk->json ? SLICE(" json\n") : SLICE("\n"));
	if (line.len > ADMIN_LINE_MAX)
		status = misuse("longer than a command to a running proxy may be: ask with -f");
	else
		status = ask(desk->socket != NULL ? desk->socket : ask_socket_default(), text_slice(&line));
	text_fini(&line);
	return status;
}

int explain_run(int count, char **words)
{
	struct arena *a = arena_create(0);
	struct slice *given = arena_array(a, struct slice, (size_t)count);
	struct explain_question q;
	struct explain_desk desk;
	char why[256];
	int status = EXIT_OK;

	for (int i = 0; i < count; i++)
		given[i] = slice_of(words[i]);
	if (explain_parse(given, (size_t)count, a, &q, &desk, why, sizeof(why)) != OK)
		status = misuse(why);
	else if (desk.help)
		print_usage(stdout);
	else if (desk.files.count > 0)
		status = explain_documents(&q, &desk, a);
	else
		status = explain_live(&q, &desk);
	arena_free(&a);
	return status;
}
