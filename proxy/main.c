/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - sallyport: arguments, then start, run, stop. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/admin/proxy.h"
#include "proxy/admin/proxy_priv.h"

static const char usage[] =
	"usage: sallyport [-c] [-q] [-l LEVEL] -f FILE_OR_FOLDER [-f ...] [FILE_OR_FOLDER ...]\n"
	"\n"
	"Serves Istio's documents (Gateway, VirtualService, DestinationRule, ServiceEntry,\n"
	"RequestAuthentication, AuthorizationPolicy, Secret, ...) on this host.\n"
	"\n"
	"  -f, --file PATH   read this file, or every *.yaml, *.yml and *.json below this folder\n"
	"  -c, --check       check the documents and exit: 0 sound, 1 with every error, one a line\n"
	"  -q, --quiet       with -c: errors only, no warnings and notes\n"
	"  -l, --log LEVEL   trace, debug, info (default), warning, error\n"
	"  -v, --version     print the version and exit\n"
	"  -h, --help        print this and exit\n"
	"\n"
	"Signals: HUP reloads, USR1 reopens the access log, TERM drains and ends.\n";

struct arguments {
	const char **paths;
	size_t count;
	bool check, quiet;
};

static _Noreturn void refuse(const char *what, const char *value)
{
	fprintf(stderr, "sallyport: %s%s\n%s", what, value, usage);
	exit(2);
}

static void set_log_level(const char *name)
{
	enum log_level level;

	if (!log_level_parse(name, &level))
		refuse("no such log level: ", name);
	log_set_level(level);
}

static struct arguments parse_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{ "file", required_argument, NULL, 'f' }, { "check", no_argument, NULL, 'c' },
		{ "quiet", no_argument, NULL, 'q' }, { "log", required_argument, NULL, 'l' },
		{ "version", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct arguments a = { .paths = calloc((size_t)argc + 1, sizeof(*a.paths)) };
	int c;

	must(a.paths != NULL);
	while ((c = getopt_long(argc, argv, "f:cql:vh", options, NULL)) != -1) {
		switch (c) {
		case 'f':	a.paths[a.count++] = optarg;	break;
		case 'c':	a.check = true;			break;
		case 'q':	a.quiet = true;			break;
		case 'l':	set_log_level(optarg);		break;
		case 'v':	puts("sallyport " SALLYPORT_VERSION);	exit(0);
		case 'h':	fputs(usage, stdout);		exit(0);
		default:	fputs(usage, stderr);		exit(2);
		}
	}
	while (optind < argc)
		a.paths[a.count++] = argv[optind++];
	if (a.count == 0)
		refuse("no documents: name a file or folder with -f", "");
	return a;
}

/* -c: builds everything that serving would, and binds nothing. */
static int check(const struct arguments *a)
{
	struct proxy p = { .paths = a->paths, .path_count = a->count };
	struct problems ps;
	struct snapshot *s;
	bool sound;

	problems_init(&ps);
	s = proxy_load(&p, -1, &ps);
	problems_sort(&ps);
	problems_print(&ps, a->quiet ? SEVERITY_ERROR : SEVERITY_NOTE, stdout);
	sound = s != NULL;
	snapshot_unref(&s);
	if (!sound)
		fprintf(stderr, "%zu errors\n", ps.errors);
	else if (!a->quiet)
		fprintf(stderr, "sound, %zu warnings\n", ps.warnings);
	problems_fini(&ps);
	return sound ? 0 : 1;
}

static int serve(const struct arguments *a)
{
	struct problems ps;
	struct proxy p;
	enum outcome how;

	problems_init(&ps);
	how = proxy_start(&p, a->paths, a->count, &ps);
	if (how != OK) {
		problems_sort(&ps);
		problems_print(&ps, SEVERITY_ERROR, stderr);
		fprintf(stderr, "sallyport: not started: %zu errors\n", ps.errors);
	}
	problems_fini(&ps);
	return how == OK ? proxy_run(&p) : 1;
}

int main(int argc, char **argv)
{
	struct arguments a = parse_arguments(argc, argv);
	int status = a.check ? check(&a) : serve(&a);

	free(a.paths);
	return status;
}
