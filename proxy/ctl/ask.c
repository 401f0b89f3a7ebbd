/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sallyport/resource/proxy_settings.h"
#include "sallyport/text.h"

const char *ask_socket_default(void)
{
	const char *by_environment = getenv("SALLYPORT_SOCKET");

	return by_environment != NULL ? by_environment : PROXY_ADMIN_SOCKET_DEFAULT;
}

static int connect_to(const char *path)
{
	const struct timeval wait = { .tv_sec = ASK_WAIT_S };
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

int ask_for(const char *socket_path, struct slice line, struct text *answer)
{
	int fd = connect_to(socket_path), status = EXIT_UNREACHABLE;

	if (write(fd, line.at, line.len) == (ssize_t)line.len && read_answer(fd, answer))
		status = judge(answer);
	else
		fprintf(stderr, "sallyctl: %s: no answer\n", socket_path);
	close(fd);
	return status;
}

int ask(const char *socket_path, struct slice line)
{
	struct text answer;
	int status;

	text_init(&answer);
	status = ask_for(socket_path, line, &answer);
	if (status != EXIT_UNREACHABLE)
		fputs(answer.at, status == EXIT_USAGE ? stderr : stdout);
	text_fini(&answer);
	return status;
}
