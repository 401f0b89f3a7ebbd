/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - sallyctl: sends one command to the admin socket and prints the answer. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/ctl/desk.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/text.h"

/* Exit codes, in README.md. */
enum { EXIT_OK = 0, EXIT_COMMAND_FAILED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

#define ANSWER_WAIT_S	60

static const char usage[] =
	"usage: sallyctl [-s SOCKET] [-o text|json] COMMAND ...\n"
	"\n"
	"  show info|counters|listeners|routes|clusters|secrets|version\n"
	"  policies [NAMESPACE/NAME]\n"
	"                    how often each rule decided, and what dry runs would have refused\n"
	"  jwks show         issuers and their keys, as the agent has them\n"
	"  jwks refresh [ISSUER]\n"
	"                    has the agent fetch keys now\n"
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
	const char *by_environment = getenv("SALLYPORT_SOCKET");
	struct arguments a = { .socket = by_environment != NULL ? by_environment : PROXY_ADMIN_SOCKET_DEFAULT };
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

static int connect_to(const char *path)
{
	const struct timeval wait = { .tv_sec = ANSWER_WAIT_S };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(un.sun_path)) {
		fprintf(stderr, "sallyctl: %s: not a socket path\n", path);
		exit(EXIT_USAGE);
	}
	strcpy(un.sun_path, path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
		fprintf(stderr, "sallyctl: %s: %s: is sallyport running, and is this its "
			"Proxy.spec.admin.socket?\n", path, strerror(errno));
		exit(EXIT_UNREACHABLE);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static bool read_answer(int fd, struct text *answer)
{
	char bytes[8192];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		text_add(answer, slice_make(bytes, (size_t)n));
	/* The empty line that ends an answer is the protocol's, not the user's. */
	if (answer->len >= 2 && strcmp(answer->at + answer->len - 2, "\n\n") == 0)
		answer->at[--answer->len] = '\0';
	else if (n < 0 || answer->len == 0)
		return false;
	return true;
}

/* What the answer says of itself. */
static int judge(const struct text *answer)
{
	const struct slice s = text_slice(answer);

	if (slice_starts(s, SLICE("Unknown command:")))
		return EXIT_USAGE;
	if (strstr(s.at, "\nFAILED: ") != NULL || slice_starts(s, SLICE("FAILED: ")) ||
	    slice_starts(s, SLICE("{\"ok\":false")))
		return EXIT_COMMAND_FAILED;
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	struct arguments a;
	struct text answer;
	int fd, status;

	if (desk_runs(argc - 1, argv + 1))
		return desk_run(argc - 1, argv + 1);
	a = parse_arguments(argc, argv);
	fd = connect_to(a.socket);
	text_init(&answer);
	if (write(fd, a.command.at, a.command.len) != (ssize_t)a.command.len || !read_answer(fd, &answer)) {
		fprintf(stderr, "sallyctl: %s: no answer\n", a.socket);
		return EXIT_UNREACHABLE;
	}
	close(fd);
	status = judge(&answer);
	fputs(answer.at, status == EXIT_USAGE ? stderr : stdout);
	text_fini(&answer);
	text_fini(&a.command);
	return status;
}
