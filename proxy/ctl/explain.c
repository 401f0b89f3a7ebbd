/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/explain.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/admin/explain.h"
#include "proxy/ctl/ask.h"
#include "sallyport/log.h"

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

struct explain_documents {
	struct snapshot *snapshot;
};

struct explain_documents *explain_documents_open(const char *const *files, size_t count, const char *command)
{
	struct explain_documents *d = calloc(1, sizeof(*d));
	struct resource_set *set;
	struct problems ps;

	must(d != NULL);
	problems_init(&ps);
	set = resource_set_load(files, count, &ps);
	if (ps.errors == 0)
		d->snapshot = snapshot_build(set, 1, &ps);
	if (d->snapshot == NULL) {
		resource_set_free(&set);
		problems_sort(&ps);
		problems_print(&ps, SEVERITY_ERROR, stderr);
		fprintf(stderr, "sallyctl: %s: %zu errors\n", command, ps.errors);
		explain_documents_close(&d);
	}
	problems_fini(&ps);
	return d;
}

void explain_documents_close(struct explain_documents **dp)
{
	struct explain_documents *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	if (d->snapshot != NULL)
		snapshot_unref(&d->snapshot);
	free(d);
}

void explain_documents_ask(struct explain_documents *d, const struct explain_question *q, bool json,
			   struct arena *a, struct text *out)
{
	const struct explain_ground ground = { .live = false };

	(json ? explain_add_json : explain_add_text)(explain(d->snapshot, q, &ground, a), false, out);
}

static int explain_at_desk(const struct explain_question *q, const struct explain_desk *desk, struct arena *a)
{
	struct explain_documents *d = explain_documents_open(desk->files.items, desk->files.count, "explain");
	struct text out;

	if (d == NULL)
		return EXIT_COMMAND_FAILED;
	text_init(&out);
	explain_documents_ask(d, q, desk->json, a, &out);
	fputs(out.at, stdout);
	text_fini(&out);
	explain_documents_close(&d);
	return EXIT_OK;
}

/* ---- of a running proxy ---- */

bool explain_line(const struct explain_question *q, bool json, struct text *line)
{
	text_add(line, SLICE("explain"));
	explain_write(q, line);
	text_add(line, json ? SLICE(" json\n") : SLICE("\n"));
	return line->len <= ADMIN_LINE_MAX;
}

static int explain_live(const struct explain_question *q, const struct explain_desk *desk)
{
	struct text line;
	int status;

	text_init(&line);
	if (!explain_line(q, desk->json, &line))
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
		status = explain_at_desk(&q, &desk, a);
	else
		status = explain_live(&q, &desk);
	arena_free(&a);
	return status;
}
