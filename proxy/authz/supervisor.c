/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/authz/supervisor.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/log.h"
#include "sallyport/object.h"

#define STOP_WAIT_MS	2000
#define AGENT_NAME	"sallyport-authz"

struct supervisor {
	struct event_base *base;	/* borrowed */
	struct event *died, *again;	/* owned: SIGCHLD, the back-off */
	char program[PATH_MAX];
	char folder[120], address[160];
	const char *const *paths;	/* borrowed */
	size_t path_count;
	int pipe[2];			/* the child ends when our end closes */
	pid_t pid;
	int64_t started_ms, backoff_ms;
	unsigned long restarts;
};

static char *const *make_arguments(struct supervisor *s, char *fd_text, size_t fd_bytes)
{
	char **argv = calloc(2 * s->path_count + 8, sizeof(*argv));
	size_t n = 0;

	must(argv != NULL);
	snprintf(fd_text, fd_bytes, "%d", s->pipe[0]);
	argv[n++] = s->program;
	for (size_t i = 0; i < s->path_count; i++) {
		argv[n++] = (char *)"-f";
		argv[n++] = (char *)s->paths[i];
	}
	argv[n++] = (char *)"--listen";
	argv[n++] = s->address;
	argv[n++] = (char *)"--parent-fd";
	argv[n++] = fd_text;
	return argv;
}

/* In the child: a process group of its own, since what a terminal tells our group is for us alone
 * (requests are judged while we drain; the pipe tells the agent when to go); default signals, our end
 * of the pipe shut, then the program. A reload that comes before the agent can hear of it must not
 * end it: it asks for the revision it misses. */
static void become_agent(struct supervisor *s, char *const *argv)
{
	static const int defaults[] = { SIGTERM, SIGINT, SIGUSR1, SIGCHLD, SIGPIPE };
	sigset_t none;

	setpgid(0, 0);
	for (size_t i = 0; i < COUNT_OF(defaults); i++)
		signal(defaults[i], SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(s->pipe[1]);
	fcntl(s->pipe[0], F_SETFD, 0);
	execvp(s->program, argv);
	fprintf(stderr, "%s: %s\n", s->program, strerror(errno));
	_exit(127);
}

static void start_again_later(struct supervisor *s)
{
	const struct timeval wait = { s->backoff_ms / 1000, s->backoff_ms % 1000 * 1000 };

	event_add(s->again, &wait);
	s->backoff_ms = 2 * s->backoff_ms < SUPERVISOR_BACKOFF_MAX_MS ? 2 * s->backoff_ms :
									SUPERVISOR_BACKOFF_MAX_MS;
}

static void start_child(struct supervisor *s)
{
	char fd_text[16];
	char *const *argv = make_arguments(s, fd_text, sizeof(fd_text));
	sigset_t all, before;

	/* Until it is a program of its own, what the child gets would run our handlers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s->pid = fork();
	if (s->pid == 0)
		become_agent(s, argv);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	free((void *)argv);
	if (s->pid < 0) {
		log_error("authz", "fork: %s", strerror(errno));
		s->pid = 0;
		start_again_later(s);
		return;
	}
	s->started_ms = clock_monotonic_ms();
	log_info("authz", "agent %d started: %s", (int)s->pid, s->address);
}

static void on_back_off_over(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd, (void)what;
	s->restarts++;
	start_child(s);
}

static void on_agent_died(evutil_socket_t number, short what, void *arg)
{
	struct supervisor *s = arg;
	int status;

	(void)number, (void)what;
	if (s->pid == 0 || waitpid(s->pid, &status, WNOHANG) != s->pid)
		return;
	if (WIFSIGNALED(status))
		log_error("authz", "agent %d was ended by signal %d; requests under policies are refused "
			  "until it is back", (int)s->pid, WTERMSIG(status));
	else
		log_error("authz", "agent %d ended with status %d; requests under policies are refused "
			  "until it is back", (int)s->pid, WEXITSTATUS(status));
	s->pid = 0;
	if (clock_monotonic_ms() - s->started_ms >= SUPERVISOR_STEADY_MS)
		s->backoff_ms = SUPERVISOR_BACKOFF_MS;
	start_again_later(s);
}

/* Beside this executable, else by PATH. */
static void find_program(struct supervisor *s, const char *program)
{
	char self[PATH_MAX - 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	snprintf(s->program, sizeof(s->program), "%s", program != NULL ? program : AGENT_NAME);
	if (program != NULL || n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return;
	snprintf(slash + 1, sizeof(self) - (size_t)(slash + 1 - self), "%s", AGENT_NAME);
	if (access(self, X_OK) == 0)
		snprintf(s->program, sizeof(s->program), "%s", self);
}

static bool make_folder(struct supervisor *s)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *temporary = getenv("TMPDIR");
	const char *parent = runtime != NULL ? runtime : temporary != NULL ? temporary : "/tmp";

	if ((size_t)snprintf(s->folder, sizeof(s->folder), "%s/sallyport-XXXXXX", parent) >=
	    sizeof(s->folder) || strlen(s->folder) > 80) {
		snprintf(s->folder, sizeof(s->folder), "/tmp/sallyport-XXXXXX");
	}
	if (mkdtemp(s->folder) == NULL) {
		log_error("authz", "%s: %s", s->folder, strerror(errno));
		return false;
	}
	snprintf(s->address, sizeof(s->address), "unix:%s/authz.sock", s->folder);
	return true;
}

struct supervisor *supervisor_start(struct event_base *base, const char *program,
				    const char *const *paths, size_t count, char *address,
				    size_t address_bytes)
{
	struct supervisor *s = calloc(1, sizeof(*s));

	must(s != NULL);
	s->base = base;
	s->paths = paths;
	s->path_count = count;
	s->backoff_ms = SUPERVISOR_BACKOFF_MS;
	if (!make_folder(s) || pipe2(s->pipe, O_CLOEXEC) != 0) {
		free(s);
		return NULL;
	}
	find_program(s, program);
	snprintf(address, address_bytes, "%s", s->address);
	s->died = evsignal_new(base, SIGCHLD, on_agent_died, s);
	s->again = event_new(base, -1, 0, on_back_off_over, s);
	evsignal_add(s->died, NULL);
	start_child(s);
	return s;
}

void supervisor_reload(struct supervisor *s)
{
	if (s->pid > 0 && kill(s->pid, SIGHUP) != 0)
		log_warn("authz", "agent %d: SIGHUP: %s", (int)s->pid, strerror(errno));
}

/* Until it has ended, or the time is over. */
static bool wait_for_end(pid_t pid, int64_t ms)
{
	const struct timespec nap = { 0, 5 * 1000 * 1000 };
	int64_t until = clock_monotonic_ms() + ms;

	while (clock_monotonic_ms() < until) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return true;
		nanosleep(&nap, NULL);
	}
	return false;
}

void supervisor_stop(struct supervisor **sp)
{
	struct supervisor *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	event_free(s->died);
	event_free(s->again);
	close(s->pipe[1]);
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		if (!wait_for_end(s->pid, STOP_WAIT_MS)) {
			kill(s->pid, SIGKILL);
			waitpid(s->pid, NULL, 0);
		}
	}
	close(s->pipe[0]);
	unlink(s->address + strlen("unix:"));
	rmdir(s->folder);
	free(s);
}

void supervisor_await(const struct supervisor *s, int64_t ms)
{
	const struct timespec nap = { 0, 2 * 1000 * 1000 };
	int64_t until = clock_monotonic_ms() + ms;
	siginfo_t ended = { 0 };

	while (access(s->address + strlen("unix:"), F_OK) != 0 && clock_monotonic_ms() < until) {
		/* Looks without reaping: that is on_agent_died()'s. */
		if (waitid(P_PID, (id_t)s->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0)
			return;
		nanosleep(&nap, NULL);
	}
}

pid_t supervisor_pid(const struct supervisor *s)
{
	return s->pid;
}

unsigned long supervisor_restarts(const struct supervisor *s)
{
	return s->restarts;
}
