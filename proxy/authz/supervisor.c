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
#include <sys/socket.h>
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
	char state_directory[PATH_MAX];	/* "": what the environment names */
	char folder[120], address[160], admin[160];
	int documents;			/* owned: the copy to judge by */
	int line;			/* owned: to the child, which ends when it closes; -1: none */
	pid_t pid;
	int64_t started_ms, backoff_ms;
	unsigned long restarts;
};

/* One message, which carries the descriptor. */
static bool send_documents(struct supervisor *s)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char what = 'D';
	struct iovec text = { &what, 1 };
	struct msghdr m = { .msg_iov = &text, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &s->documents, sizeof(int));
	return sendmsg(s->line, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

/* In the child: a process group of its own, since what a terminal tells our group is for us alone
 * (requests are judged while we drain; the line tells the agent when to go); default signals but for
 * SIGHUP, which must not end an agent that cannot hear of it yet; then the program. */
static void become_agent(struct supervisor *s, int line)
{
	char line_text[16];
	static const int defaults[] = { SIGTERM, SIGINT, SIGUSR1, SIGCHLD, SIGPIPE };
	char *const argv[] = { s->program, (char *)"--listen", s->address, (char *)"--admin", s->admin,
			       (char *)"--parent-fd", line_text, s->state_directory[0] != '\0' ? (char *)"--state-dir" : NULL,
			       s->state_directory, NULL };
	sigset_t none;

	snprintf(line_text, sizeof(line_text), "%d", line);
	setpgid(0, 0);
	for (size_t i = 0; i < COUNT_OF(defaults); i++)
		signal(defaults[i], SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fcntl(line, F_SETFD, 0);
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

static void hang_up(struct supervisor *s)
{
	if (s->line >= 0)
		close(s->line);
	s->line = -1;
}

/* False: there is no child; errno says why. */
static bool fork_agent(struct supervisor *s)
{
	sigset_t all, before;
	int line[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) != 0)
		return false;
	s->line = line[0];
	/* Until it is a program of its own, what the child gets would run our handlers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s->pid = send_documents(s) ? fork() : -1;
	if (s->pid == 0)
		become_agent(s, line[1]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(line[1]);
	if (s->pid > 0)
		return true;
	s->pid = 0;
	hang_up(s);
	return false;
}

static void start_child(struct supervisor *s)
{
	if (!fork_agent(s)) {
		log_error("authz", "the agent cannot be started: %s", strerror(errno));
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
	hang_up(s);
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
	snprintf(s->admin, sizeof(s->admin), "%s/admin.sock", s->folder);
	return true;
}

struct supervisor *supervisor_start(struct event_base *base, const char *program,
				    const char *state_directory, int documents, char *address,
				    size_t address_bytes)
{
	struct supervisor *s = calloc(1, sizeof(*s));

	must(s != NULL);
	s->base = base;
	if (state_directory != NULL)
		snprintf(s->state_directory, sizeof(s->state_directory), "%s", state_directory);
	s->documents = documents;
	s->line = -1;
	s->backoff_ms = SUPERVISOR_BACKOFF_MS;
	if (!make_folder(s)) {
		close(documents);
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

void supervisor_use(struct supervisor *s, int documents)
{
	close(s->documents);
	s->documents = documents;
	if (s->pid == 0 || send_documents(s))
		return;
	/* It has stopped listening to us: the next one begins with these documents. */
	log_error("authz", "agent %d takes no documents: %s; it is started again", (int)s->pid,
		  strerror(errno));
	kill(s->pid, SIGKILL);
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
	hang_up(s);
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		if (!wait_for_end(s->pid, STOP_WAIT_MS)) {
			kill(s->pid, SIGKILL);
			waitpid(s->pid, NULL, 0);
		}
	}
	close(s->documents);
	unlink(s->address + strlen("unix:"));
	unlink(s->admin);
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

const char *supervisor_admin(const struct supervisor *s)
{
	return s->admin;
}

pid_t supervisor_pid(const struct supervisor *s)
{
	return s->pid;
}

unsigned long supervisor_restarts(const struct supervisor *s)
{
	return s->restarts;
}
