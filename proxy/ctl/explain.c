/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/admin/explain.h"
#include "proxy/ctl/ask.h"
#include "proxy/ctl/desk_judge.h"
#include "proxy/ctl/explain_doors.h"
#include "sallyport/log.h"
#include "spoa/jwk.h"

static void print_usage(FILE *to)
{
	fprintf(to, "usage: sallyctl explain [-s SOCKET] [-f FILE_OR_FOLDER ...] [-o text|json] [OPTIONS] URL\n"
		"\n"
		"What would become of a request, and why: by documents (-f), or by what a proxy serves now.\n"
		"\n"
		"  -f, --file PATH         documents, as sallyport reads them\n"
		"  -s, --socket PATH       of a running proxy, where there is no -f\n"
		"      --jwks FILE         with -f: the keys that jwksUri would bring\n"
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
	struct desk_judge *judge;	/* NULL: nobody had to be judged yet */
	struct text jwks;
	int copy;			/* of the documents, for the judge */
};

struct explain_documents *explain_documents_open(const char *const *files, size_t count, const char *command)
{
	struct explain_documents *d = calloc(1, sizeof(*d));
	struct resource_set *set;
	struct problems ps;

	must(d != NULL);
	text_init(&d->jwks);
	problems_init(&ps);
	d->copy = memfd_create("sallyctl documents", MFD_CLOEXEC);
	must(d->copy >= 0);
	set = resource_set_load_and_copy(files, count, d->copy, &ps);
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

bool explain_documents_keys(struct explain_documents *d, const char *jwks, const char *command)
{
	char bytes[8192];
	FILE *f = fopen(jwks, "re");
	size_t n;

	while (f != NULL && d->jwks.len <= JWKS_DOCUMENT_BYTES_MAX &&
	       (n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		text_add(&d->jwks, slice_make(bytes, n));
	if (f != NULL)
		fclose(f);
	if (f != NULL && d->jwks.len > 0 && d->jwks.len <= JWKS_DOCUMENT_BYTES_MAX)
		return true;
	fprintf(stderr, "sallyctl: %s: %s: no key set that can be read\n", command, jwks);
	return false;
}

void explain_documents_close(struct explain_documents **dp)
{
	struct explain_documents *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	desk_judge_free(&d->judge);
	text_fini(&d->jwks);
	close(d->copy);
	if (d->snapshot != NULL)
		snapshot_unref(&d->snapshot);
	free(d);
}

static struct desk_judge *judge_of(struct explain_documents *d)
{
	if (d->judge == NULL)
		d->judge = desk_judge_create(d->copy, d->jwks.len > 0 ? text_slice(&d->jwks) : NO_SLICE);
	return d->judge;
}

void explain_documents_ask(struct explain_documents *d, const struct explain_question *q, bool json,
			   struct arena *a, struct text *out)
{
	const struct explain_ground ground = { .live = false, .follows = true, .judged = true };
	struct explaining *e = explain_begin(d->snapshot, q, &ground, a);
	const struct reasoning *reasoning = NULL;
	const struct check_request *asked;
	struct explain_more more;

	while ((asked = explain_asks(e)) != NULL) {
		struct authz_verdict v;

		reasoning = desk_judge_ask(judge_of(d), asked, q->claims, q->at_s, a, &v);
		explain_answer(e, &v);
	}
	more = explain_doors(reasoning);
	(json ? explain_add_json : explain_add_text)(explain_result(e), false, &more, out);
}

static int explain_at_desk(const struct explain_question *q, const struct explain_desk *desk, struct arena *a)
{
	struct explain_documents *d = explain_documents_open(desk->files.items, desk->files.count, "explain");
	struct text out;

	if (d == NULL)
		return EXIT_COMMAND_FAILED;
	if (desk->jwks != NULL && !explain_documents_keys(d, desk->jwks, "explain")) {
		explain_documents_close(&d);
		return EXIT_COMMAND_FAILED;
	}
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
