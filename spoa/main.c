/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - sallyport-authz: arguments, then the agent's life. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "sallyport/log.h"
#include "spoa/agent.h"

enum option_code {
	OPTION_LISTEN = 256, OPTION_THREADS, OPTION_PARENT_FD, OPTION_FRAGMENTATION,
	OPTION_FRAME_SIZE, OPTION_CONNECTIONS, OPTION_CA_FILE, OPTION_STATE_DIR, OPTION_ADMIN, OPTION_LOG_LEVEL, OPTION_VERSION,
};

static const struct option options[] = {
	{ "file",            required_argument, NULL, 'f' },
	{ "check",           no_argument,       NULL, 'c' },
	{ "help",            no_argument,       NULL, 'h' },
	{ "listen",          required_argument, NULL, OPTION_LISTEN },
	{ "threads",         required_argument, NULL, OPTION_THREADS },
	{ "parent-fd",       required_argument, NULL, OPTION_PARENT_FD },
	{ "fragmentation",   no_argument,       NULL, OPTION_FRAGMENTATION },
	{ "max-frame-size",  required_argument, NULL, OPTION_FRAME_SIZE },
	{ "max-connections", required_argument, NULL, OPTION_CONNECTIONS },
	{ "ca-file",         required_argument, NULL, OPTION_CA_FILE },
	{ "admin",           required_argument, NULL, OPTION_ADMIN },
	{ "state-dir",       required_argument, NULL, OPTION_STATE_DIR },
	{ "log-level",       required_argument, NULL, OPTION_LOG_LEVEL },
	{ "version",         no_argument,       NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: sallyport-authz -f FILE_OR_DIR ... [options]\n"
	"Judges requests by RequestAuthentication and AuthorizationPolicy documents, over SPOP.\n"
	"  -f, --file FILE_OR_DIR     documents; may be given again\n"
	"  -c, --check                check the documents, print every problem, exit\n"
	"      --listen ADDRESS       unix:/path or host:port; may be given again\n"
	"                             (default " SPOA_LISTEN_DEFAULT ")\n"
	"      --threads N            connections are spread over so many threads (default 1)\n"
	"      --max-connections N    more are refused (default 1024)\n"
	"      --max-frame-size N     most that is agreed to, in bytes (default 131072)\n"
	"      --fragmentation        accept questions that span frames (HAProxy 3.0 and older)\n"
	"      --ca-file FILE         PEM, trusted for jwksUri beside the system's\n"
	"      --admin PATH           a socket for sallyctl -s PATH\n"
	"      --state-dir DIR        fetched keys are kept there, for a restart while their issuer\n"
	"                             is down (default: what systemd's StateDirectory= names)\n"
	"      --parent-fd N          stop when the other end of this descriptor is closed;\n"
	"                             without -f, documents come from there\n"
	"      --log-level LEVEL      debug, info, warning, error (default info)\n"
	"SIGHUP reads the documents again; SIGTERM answers what is open and ends.\n";

static _Noreturn void misused(const char *what, const char *found, const char *instead)
{
	fprintf(stderr, "sallyport-authz: %s: found \"%s\", write %s\n", what, found, instead);
	exit(EXIT_FAILURE);
}

static unsigned number(const char *option, const char *text, unsigned least, unsigned most)
{
	char instead[80];
	uint64_t n;

	if (slice_to_u64(slice_of(text), &n) && n >= least && n <= most)
		return (unsigned)n;
	snprintf(instead, sizeof(instead), "a number from %u to %u", least, most);
	misused(option, text, instead);
}

static void add(const char *option, const char **list, size_t *count, size_t max, const char *text)
{
	if (*count == max)
		misused(option, text, "fewer of them");
	list[(*count)++] = text;
}

static void take_option(int code, const char *text, struct spoa_agent_config *c, bool *check)
{
	enum log_level level;

	switch (code) {
	case 'f':
		add("--file", c->files, &c->file_count, SPOA_FILES_MAX, text);
		break;
	case 'c':
		*check = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	case OPTION_LISTEN:
		add("--listen", c->listen, &c->listen_count, SPOA_LISTENERS_MAX, text);
		break;
	case OPTION_THREADS:
		c->threads = number("--threads", text, 1, SPOA_THREADS_MAX);
		break;
	case OPTION_PARENT_FD:
		c->parent_fd = (int)number("--parent-fd", text, 0, 1 << 20);
		break;
	case OPTION_FRAGMENTATION:
		c->options.fragmentation = true;
		break;
	case OPTION_FRAME_SIZE:
		c->options.frame_size = number("--max-frame-size", text, SPOP_FRAME_SIZE_MIN,
					       SPOA_FRAME_SIZE);
		break;
	case OPTION_CONNECTIONS:
		c->options.connections_max = number("--max-connections", text, 1, 1 << 20);
		break;
	case OPTION_CA_FILE:
		c->ca_file = text;
		break;
	case OPTION_ADMIN:
		c->admin = text;
		break;
	case OPTION_STATE_DIR:
		c->state_dir = text;
		break;
	case OPTION_LOG_LEVEL:
		if (!log_level_parse(text, &level))
			misused("--log-level", text, "trace, debug, info, warning or error");
		log_set_level(level);
		break;
	case OPTION_VERSION:
		puts("sallyport-authz " SALLYPORT_VERSION);
		exit(EXIT_SUCCESS);
	default:
		fputs(usage, stderr);
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	static struct spoa_agent_config config = {
		.threads = 1, .parent_fd = -1,
		.options = { .connections_max = SPOA_CONNECTIONS_MAX,
			     .outstanding_max = SPOA_OUTSTANDING_MAX,
			     .frame_size = SPOA_FRAME_SIZE },
	};
	bool check = false;
	int code;

	while ((code = getopt_long(argc, argv, "f:ch", options, NULL)) != -1)
		take_option(code, optarg, &config, &check);
	for (; optind < argc; optind++)
		add("--file", config.files, &config.file_count, SPOA_FILES_MAX, argv[optind]);
	if (config.file_count == 0 && (check || config.parent_fd < 0))
		misused("-f", "nothing", "-f FILE_OR_DIR with the documents to judge by");
	if (check)
		return spoa_agent_check(&config);
	if (config.listen_count == 0)
		add("--listen", config.listen, &config.listen_count, SPOA_LISTENERS_MAX,
		    SPOA_LISTEN_DEFAULT);
	return spoa_agent_run(&config);
}
