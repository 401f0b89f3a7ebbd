/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/admin_socket.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sallyport/log.h"

struct admin_socket {
	const struct admin_command *commands;	/* borrowed */
	size_t command_count;
	void *program;			/* borrowed */
	struct evconnlistener *listener;	/* owned */
	struct event *resume;		/* owned: accepting goes on */
	TAILQ_HEAD(, admin_session) sessions;
	unsigned count;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* A peer and what it asked. Freed when it is gone and no answer is on its way. */
struct admin_session {
	TAILQ_ENTRY(admin_session) link;
	struct admin_socket *admin;	/* borrowed; NULL: the socket was closed */
	struct bufferevent *bev;	/* owned; NULL: the peer is gone */
	bool waiting;			/* for an answer that takes a while */
	bool prompt, leaving;
	bool ended;			/* the peer says no more, but reads on */
	char *line;			/* owned; the one being run */
	struct slice rest;		/* what is left of it; absent: nothing */
};

static void free_session(struct admin_session *s)
{
	if (s->bev != NULL)
		bufferevent_free(s->bev);
	s->bev = NULL;
	if (s->admin != NULL) {
		TAILQ_REMOVE(&s->admin->sessions, s, link);
		s->admin->count--;
		s->admin = NULL;
	}
	if (s->waiting)
		return;		/* the answer finds nobody and frees */
	free(s->line);
	free(s);
}

static void send_text(struct admin_session *s, struct slice t)
{
	if (s->bev != NULL && t.len > 0)
		evbuffer_add(bufferevent_get_output(s->bev), t.at, t.len);
}

/* Exactly one empty line ends an answer. */
static void end_answer(struct admin_session *s)
{
	if (s->bev != NULL)
		evbuffer_add_printf(bufferevent_get_output(s->bev), "\n%s", s->prompt ? "> " : "");
}

#define HELP_COLUMNS	24

static void add_help(const struct admin_socket *a, struct text *out)
{
	const struct admin_command *c = a->commands;
	char usage[64];

	for (size_t i = 0; i < a->command_count; i++) {
		snprintf(usage, sizeof(usage), "%s%s%s", c[i].words, c[i].arguments != NULL ? " " : "",
			 c[i].arguments != NULL ? c[i].arguments : "");
		text_printf(out, "  %-*s [json]  %s\n", HELP_COLUMNS, usage, c[i].help);
	}
	text_printf(out, "  %-*s         this list\n", HELP_COLUMNS, "help");
	text_printf(out, "  %-*s         keeps the session open, with a prompt\n", HELP_COLUMNS, "prompt");
	text_printf(out, "  %-*s         closes the session\n", HELP_COLUMNS, "quit");
}

static void problems_json(const struct problems *ps, struct text *out)
{
	char line[2048];

	text_add_char(out, '[');
	for (size_t i = 0; i < ps->count; i++) {
		problem_format(&ps->items[i], line, sizeof(line));
		if (i > 0)
			text_add_char(out, ',');
		text_add_json(out, slice_of(line));
	}
	text_add_char(out, ']');
}

void admin_describe_reload(struct problems *ps, bool ok, const char *revision, bool json, struct text *out)
{
	char line[2048];

	problems_sort(ps);
	if (json) {
		text_printf(out, "{\"ok\":%s,\"revision\":\"%s\",\"errors\":%zu,\"warnings\":%zu,\"problems\":",
			    ok ? "true" : "false", revision, ps->errors, ps->warnings);
		problems_json(ps, out);
		text_add(out, SLICE("}\n"));
		return;
	}
	for (size_t i = 0; i < ps->count; i++) {
		if (ps->items[i].severity == SEVERITY_NOTE)
			continue;
		problem_format(&ps->items[i], line, sizeof(line));
		text_printf(out, "%s\n", line);
	}
	if (ok)
		text_printf(out, "OK: revision %s serves, %zu warnings\n", revision, ps->warnings);
	else
		text_printf(out, "FAILED: %zu errors, nothing has changed\n", ps->errors);
}

static void read_lines(struct admin_session *s);

void admin_answer(struct admin_session *s, struct slice text)
{
	must(s->waiting);
	s->waiting = false;
	if (s->admin == NULL) {
		free_session(s);
		return;
	}
	send_text(s, text);
	end_answer(s);
	read_lines(s);
}

/* Who changes something is told to the log. */
static void log_peer(const struct admin_session *s, const char *words, struct slice arguments)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(bufferevent_getfd(s->bev), SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		log_info("admin", "%s%s%.*s, asked for by uid %u, pid %d", words, arguments.len > 0 ? " " : "",
			 SLICE_ARG(arguments), peer.uid, (int)peer.pid);
}

static struct slice cut_word(struct slice *rest)
{
	struct slice word;

	*rest = slice_trim(*rest);
	word = slice_cut(rest, ' ');
	if (rest->at == NULL)
		*rest = SLICE("");
	return word;
}

static void run(struct admin_session *s, const struct admin_command *c, struct slice line,
		struct slice arguments, bool json)
{
	struct text out;
	const struct admin_request r = { .program = s->admin->program, .command = line, .arguments = arguments,
					 .json = json, .out = &out, .session = s };

	if (c->changes)
		log_peer(s, c->words, arguments);
	text_init(&out);
	s->waiting = true;
	if (c->run(&r) == OK) {
		s->waiting = false;
		send_text(s, text_slice(&out));
		end_answer(s);
	}
	text_fini(&out);
}

static void unknown(struct admin_session *s, struct slice first)
{
	struct text out;

	text_init(&out);
	text_printf(&out, "Unknown command: '%.*s'. These are known:\n", SLICE_ARG(first));
	add_help(s->admin, &out);
	send_text(s, text_slice(&out));
	text_fini(&out);
	end_answer(s);
}

static void help(struct admin_session *s)
{
	struct text out;

	text_init(&out);
	add_help(s->admin, &out);
	send_text(s, text_slice(&out));
	text_fini(&out);
	end_answer(s);
}

/* `json` is the last word, or is not there. */
static bool cut_json(struct slice *arguments)
{
	const struct slice word = SLICE("json");
	struct slice before = slice_first(*arguments, arguments->len - (arguments->len >= 4 ? 4 : 0));

	if (!slice_ends(*arguments, word) || (before.len > 0 && before.at[before.len - 1] != ' '))
		return false;
	*arguments = slice_trim(before);
	return true;
}

/* The command of these words: two of them, or one. */
static const struct admin_command *find_command(const struct admin_socket *a, struct slice line,
						struct slice *arguments)
{
	for (size_t i = 0; i < a->command_count; i++) {
		struct slice rest = line, words = slice_of(a->commands[i].words);
		bool same = true;

		while (same && words.len > 0)
			same = slice_eq(cut_word(&rest), cut_word(&words));
		if (same) {
			*arguments = slice_trim(rest);
			return &a->commands[i];
		}
	}
	return NULL;
}

static void run_command(struct admin_session *s, struct slice line)
{
	const struct admin_command *c;
	struct slice rest, first, arguments;
	bool json;

	line = rest = slice_trim(line);
	first = cut_word(&rest);
	if (first.len == 0)
		return;
	if (slice_eq(first, SLICE("quit"))) {
		s->leaving = true;
	} else if (slice_eq(first, SLICE("prompt"))) {
		s->prompt = !s->prompt;
		end_answer(s);
	} else if (slice_eq(first, SLICE("help"))) {
		help(s);
	} else if ((c = find_command(s->admin, line, &arguments)) != NULL) {
		json = cut_json(&arguments);
		if (arguments.len > 0 && c->arguments == NULL)
			unknown(s, first);
		else
			run(s, c, line, arguments, json);
	} else {
		unknown(s, first);
	}
}

/* What stands before the next `;` that no backslash escapes; escapes are left to who reads the words. */
static struct slice cut_command(struct slice *rest)
{
	struct slice all = *rest;

	for (size_t i = 0; i < all.len; i++) {
		if (all.at[i] == ';') {
			*rest = slice_from(all, i + 1);
			return slice_first(all, i);
		}
		i += all.at[i] == '\\';
	}
	*rest = NO_SLICE;
	return all;
}

/* Another command may run: none is waited for, and the peer reads what it was told. */
static bool may_go_on(const struct admin_session *s)
{
	return !s->waiting && !s->leaving &&
	       evbuffer_get_length(bufferevent_get_output(s->bev)) <= ADMIN_ANSWER_MAX;
}

/* The line that was begun, or the next one that came whole. */
static bool next_line(struct admin_session *s)
{
	size_t len;

	if (s->rest.at != NULL)
		return true;
	free(s->line);
	s->line = evbuffer_readln(bufferevent_get_input(s->bev), &len, EVBUFFER_EOL_CRLF);
	s->rest = s->line != NULL ? slice_make(s->line, len) : NO_SLICE;
	return s->line != NULL;
}

/* Input that nobody reads would turn the end into a reset, which takes the last answer along. */
static void leave_after_answers(struct admin_session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);

	s->leaving = true;
	evbuffer_drain(in, evbuffer_get_length(in));
	if (evbuffer_get_length(bufferevent_get_output(s->bev)) == 0)
		free_session(s);
}

/* Commands one after the other, each when the one before was answered; one that takes a while, or
 * answers that nobody reads, hold the next ones back. May free the session. */
static void read_lines(struct admin_session *s)
{
	while (may_go_on(s) && next_line(s)) {
		while (s->rest.at != NULL && may_go_on(s))
			run_command(s, cut_command(&s->rest));
		if (s->rest.at == NULL && !s->prompt && !s->waiting)
			s->leaving = true;
	}
	if (s->waiting || s->rest.at != NULL)
		return;
	if (may_go_on(s) && evbuffer_get_length(bufferevent_get_input(s->bev)) > ADMIN_LINE_MAX) {
		evbuffer_add_printf(bufferevent_get_output(s->bev), "The line is longer than %u bytes.\n\n",
				    ADMIN_LINE_MAX);
		s->leaving = true;
	}
	if (s->leaving || (may_go_on(s) && s->ended) ||
	    (!s->prompt && evbuffer_get_length(bufferevent_get_output(s->bev)) > 0))
		leave_after_answers(s);
}

static void on_session_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	read_lines(arg);
}

static void on_session_written(struct bufferevent *bev, void *arg)
{
	struct admin_session *s = arg;

	(void)bev;
	if (s->waiting)
		return;
	if (s->leaving)
		free_session(s);
	else
		read_lines(s);
}

static void on_session_event(struct bufferevent *bev, short what, void *arg)
{
	struct admin_session *s = arg;

	(void)bev;
	if (!(what & BEV_EVENT_EOF) || (what & BEV_EVENT_ERROR)) {
		free_session(s);
		return;
	}
	/* A peer that shut its side down still gets its answers. */
	s->ended = true;
	if (!s->waiting && !s->leaving)
		read_lines(s);
}

static void on_admin_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer, int len,
			    void *arg)
{
	const struct timeval idle = { .tv_sec = ADMIN_IDLE_S };
	struct admin_socket *a = arg;
	struct admin_session *s;

	(void)peer, (void)len;
	if (a->count >= ADMIN_SESSIONS_MAX) {
		log_warn("admin", "more than %d sessions: one was refused", ADMIN_SESSIONS_MAX);
		close(fd);
		return;
	}
	s = calloc(1, sizeof(*s));
	must(s != NULL);
	s->admin = a;
	s->bev = bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
	must(s->bev != NULL);
	TAILQ_INSERT_TAIL(&a->sessions, s, link);
	a->count++;
	bufferevent_setcb(s->bev, on_session_read, on_session_written, on_session_event, s);
	bufferevent_set_timeouts(s->bev, &idle, &idle);
	bufferevent_setwatermark(s->bev, EV_READ, 0, 2 * ADMIN_LINE_MAX);
	bufferevent_enable(s->bev, EV_READ | EV_WRITE);
}

static void on_admin_resume(evutil_socket_t fd, short what, void *arg)
{
	struct admin_socket *a = arg;

	(void)fd, (void)what;
	evconnlistener_enable(a->listener);
}

/* Without descriptors: trying again at once would keep the main thread busy with nothing else. */
static void on_admin_accept_failed(struct evconnlistener *l, void *arg)
{
	const struct timeval pause = { .tv_sec = ADMIN_PAUSE_S };
	struct admin_socket *a = arg;

	log_warn("admin", "accept: %s; the admin socket pauses for %d s", strerror(errno), ADMIN_PAUSE_S);
	evconnlistener_disable(l);
	event_add(a->resume, &pause);
}

static bool prepare_path(const char *path, char *why, size_t bytes)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		snprintf(why, bytes, "%s: longer than the %zu characters of a socket path", path,
			 sizeof(un.sun_path) - 1);
		return false;
	}
	if (lstat(path, &st) != 0)
		return true;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, bytes, "%s: is there already and is no socket", path);
		return false;
	}
	strcpy(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0) {
		close(fd);
		snprintf(why, bytes, "%s: another process answers there", path);
		return false;
	}
	if (fd >= 0)
		close(fd);
	unlink(path);
	return true;
}

struct admin_socket *admin_socket_open(struct event_base *base, const char *path,
				       const struct admin_command *commands, size_t command_count,
				       void *program, char *why, size_t why_bytes)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct admin_socket *a;
	mode_t mask;

	if (!prepare_path(path, why, why_bytes))
		return NULL;
	a = calloc(1, sizeof(*a));
	must(a != NULL);
	a->commands = commands;
	a->command_count = command_count;
	a->program = program;
	TAILQ_INIT(&a->sessions);
	strcpy(a->path, path);
	strcpy(un.sun_path, path);
	mask = umask(0777 & ~ADMIN_SOCKET_MODE);
	a->listener = evconnlistener_new_bind(base, on_admin_accept, a,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, ADMIN_SESSIONS_MAX, (struct sockaddr *)&un,
		sizeof(un));
	umask(mask);
	if (a->listener == NULL) {
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
		free(a);
		return NULL;
	}
	a->resume = event_new(base, -1, 0, on_admin_resume, a);
	must(a->resume != NULL);
	evconnlistener_set_error_cb(a->listener, on_admin_accept_failed);
	return a;
}

void admin_socket_close(struct admin_socket **ap)
{
	struct admin_socket *a = *ap;
	struct admin_session *s;

	*ap = NULL;
	if (a == NULL)
		return;
	while ((s = TAILQ_FIRST(&a->sessions)) != NULL)
		free_session(s);
	event_free(a->resume);
	evconnlistener_free(a->listener);
	unlink(a->path);
	free(a);
}
