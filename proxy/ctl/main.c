/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - sallyctl: sends one command to the admin socket and prints the answer; explains requests, and
 * mints and reads tokens, at the desk. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/ctl/ask.h"
#include "proxy/ctl/desk.h"
#include "proxy/ctl/explain.h"
#include "proxy/ctl/test.h"
#include "sallyport/object.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/text.h"

static const char usage[] =
	"usage: sallyctl [-s SOCKET] [-o text|json] COMMAND ...\n"
	"\n"
	"  show info|counters|listeners|routes|clusters|agents|secrets|version\n"
	"  policies [NAMESPACE/NAME]\n"
	"                    how often each rule decided, and what dry runs would have refused\n"
	"  jwks show         issuers and their keys, as the agent has them\n"
	"  jwks refresh [ISSUER]\n"
	"                    has the agent fetch keys now\n"
	"  explain [-f FILE_OR_FOLDER] [OPTIONS] URL\n"
	"                    what would become of a request, and why: see explain --help\n"
	"  test [-f FILE_OR_FOLDER] TESTS ...\n"
	"                    asks that of the requests in a file, and compares: see test --help\n"
	"  reload            reads the documents again; exit 1 with every error if it cannot\n"
	"  token mint|inspect|verify ...\n"
	"  jwks from-pem FILE ...\n"
	"                    tokens and keys at the desk, without a proxy\n"
	"  help              what the running proxy understands\n"
	"\n"
	"  -s, --socket PATH   admin socket (default: $SALLYPORT_SOCKET, else " PROXY_ADMIN_SOCKET_DEFAULT ")\n"
	"  -o, --output FORM   text (default) or json\n"
	"\n"
	"Exit: 0 done, 1 the proxy says that it failed, 2 wrong usage or command, 3 no proxy answers.\n";

struct arguments {
	const char *socket;
	bool json;
	struct text command;
};

static _Noreturn void misused(const char *what)
{
	fprintf(stderr, "sallyctl: %s\n%s", what, usage);
	exit(EXIT_USAGE);
}

static struct arguments parse_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' }, { "output", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 },
	};
	struct arguments a = { .socket = ask_socket_default() };
	int c;

	while ((c = getopt_long(argc, argv, "s:o:hv", options, NULL)) != -1) {
		switch (c) {
		case 's':
			a.socket = optarg;
			break;
		case 'o':
			if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
				misused("-o takes text or json");
			a.json = strcmp(optarg, "json") == 0;
			break;
		case 'v':
			puts("sallyctl " SALLYPORT_VERSION);
			exit(EXIT_OK);
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_OK);
		default:
			fputs(usage, stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind >= argc)
		misused("no command");
	for (; optind < argc; optind++)
		text_printf(&a.command, "%s%s", a.command.len > 0 ? " " : "", argv[optind]);
	if (strchr(a.command.at, '\n') != NULL || strchr(a.command.at, ';') != NULL)
		misused("one command at a time");
	text_printf(&a.command, "%s\n", a.json ? " json" : "");
	return a;
}

/* Where the command stands behind options that come before it. */
static int command_at(int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-')
		i += strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "-o") == 0 ||
		     strcmp(argv[i], "--socket") == 0 || strcmp(argv[i], "--output") == 0 ? 2 : 1;
	return i;
}

/* Commands whose options are their own, whatever stands before them. */
static const struct {
	const char *name;
	int (*run)(int count, char **words);
} own_commands[] = { { "explain", explain_run }, { "test", test_run } };

static int run_own(int (*run)(int count, char **words), int argc, char **argv, int at)
{
	for (int i = at; i > 1; i--)
		argv[i] = argv[i - 1];
	return run(argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
	int at = command_at(argc, argv), status;
	struct arguments a;

	if (desk_runs(argc - 1, argv + 1))
		return desk_run(argc - 1, argv + 1);
	for (size_t i = 0; at < argc && i < COUNT_OF(own_commands); i++)
		if (strcmp(argv[at], own_commands[i].name) == 0)
			return run_own(own_commands[i].run, argc, argv, at);
	a = parse_arguments(argc, argv);
	status = ask(a.socket, text_slice(&a.command));
	text_fini(&a.command);
	return status;
}
