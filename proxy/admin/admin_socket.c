/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/admin_socket.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/admin/show.h"

struct admin_socket {
	struct proxy *proxy;		/* borrowed */
	struct evconnlistener *listener;	/* owned */
	struct event *resume;		/* owned: accepting goes on */
	TAILQ_HEAD(, session) sessions;
	unsigned count;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* A peer and what it asked. Freed when it is gone and no answer is on its way. */
struct session {
	TAILQ_ENTRY(session) link;
	struct admin_socket *admin;	/* borrowed; NULL: the socket was closed */
	struct bufferevent *bev;	/* owned; NULL: the peer is gone */
	bool waiting;			/* for a reload */
	bool json;			/* of the reload that is waited for */
	bool prompt, leaving;
	bool ended;			/* the peer says no more, but reads on */
	char *line;			/* owned; the one being run */
	struct slice rest;		/* what is left of it; absent: nothing */
	struct problems problems;	/* of that reload */
};

struct command {
	const char *words;
	void (*show)(const struct proxy *p, struct text *out, bool json);
	const char *help;
};

static void show_version(const struct proxy *p, struct text *out, bool json)
{
	(void)p;
	text_printf(out, json ? "{\"version\":\"%s\"}\n" : "sallyport %s\n", SALLYPORT_VERSION);
}

static const struct command commands[] = {
	{ "show info", show_info, "what runs: version, uptime, connections, requests" },
	{ "show counters", show_counters, "every counter of the workers, summed" },
	{ "show listeners", show_listeners, "what is bound, and the servers behind it" },
	{ "show routes", show_routes, "virtual hosts and their routes in order" },
	{ "show clusters", show_clusters, "upstream clusters and their endpoints" },
	{ "show secrets", show_secrets, "certificates: status and validity, never a key" },
	{ "show version", show_version, "the version" },
};

static void free_session(struct session *s)
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
	problems_fini(&s->problems);
	free(s->line);
	free(s);
}

static void send_text(struct session *s, const struct text *t)
{
	if (s->bev != NULL && t->len > 0)
		evbuffer_add(bufferevent_get_output(s->bev), t->at, t->len);
}

/* Exactly one empty line ends an answer. */
static void end_answer(struct session *s)
{
	if (s->bev != NULL)
		evbuffer_add_printf(bufferevent_get_output(s->bev), "\n%s", s->prompt ? "> " : "");
}

static void add_help(struct text *out)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		text_printf(out, "  %-16s [json]  %s\n", commands[i].words, commands[i].help);
	text_add(out, SLICE("  reload           [json]  reads the documents again; nothing changes if they have errors\n"
			    "  help                     this list\n"
			    "  prompt                   keeps the session open, with a prompt\n"
			    "  quit                     closes the session\n"));
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

static void answer_reload(struct session *s, bool ok)
{
	const struct proxy *p = s->admin->proxy;
	char line[2048];
	struct text out;

	text_init(&out);
	problems_sort(&s->problems);
	if (s->json) {
		text_printf(&out, "{\"ok\":%s,\"revision\":\"%s\",\"errors\":%zu,\"warnings\":%zu,\"problems\":",
			    ok ? "true" : "false", p->snapshot->rev, s->problems.errors, s->problems.warnings);
		problems_json(&s->problems, &out);
		text_add(&out, SLICE("}\n"));
	} else {
		for (size_t i = 0; i < s->problems.count; i++) {
			if (s->problems.items[i].severity == SEVERITY_NOTE)
				continue;
			problem_format(&s->problems.items[i], line, sizeof(line));
			text_printf(&out, "%s\n", line);
		}
		if (ok)
			text_printf(&out, "OK: revision %s serves, %zu warnings\n", p->snapshot->rev,
				    s->problems.warnings);
		else
			text_printf(&out, "FAILED: %zu errors, nothing has changed\n", s->problems.errors);
	}
	send_text(s, &out);
	text_fini(&out);
	problems_fini(&s->problems);
	end_answer(s);
}

static void read_lines(struct session *s);

static void on_reloaded(void *arg)
{
	struct session *s = arg;

	s->waiting = false;
	if (s->admin == NULL) {
		free_session(s);
		return;
	}
	answer_reload(s, true);
	read_lines(s);
}

/* Who changes something is told to the log. */
static void log_peer(const struct session *s, const char *what)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(bufferevent_getfd(s->bev), SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		log_info("admin", "%s, asked for by uid %u, pid %d", what, peer.uid, (int)peer.pid);
}

static void reload(struct session *s, bool json)
{
	log_peer(s, "reload");
	s->json = json;
	s->waiting = true;
	if (proxy_reload(s->admin->proxy, &s->problems, on_reloaded, s) == OK)
		return;
	s->waiting = false;
	answer_reload(s, false);
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

static void run_show(struct session *s, const struct command *c, bool json)
{
	struct text out;

	text_init(&out);
	c->show(s->admin->proxy, &out, json);
	send_text(s, &out);
	text_fini(&out);
	end_answer(s);
}

static void unknown(struct session *s, struct slice first)
{
	struct text out;

	text_init(&out);
	text_printf(&out, "Unknown command: '%.*s'. These are known:\n", SLICE_ARG(first));
	add_help(&out);
	send_text(s, &out);
	text_fini(&out);
	end_answer(s);
}

/* The command before `rest` ends with that word, or with nothing. */
static bool ends_with_json(struct slice rest, bool *json)
{
	struct slice last = cut_word(&rest);

	*json = slice_eq(last, SLICE("json"));
	return last.len == 0 || (*json && slice_trim(rest).len == 0);
}

static void help(struct session *s)
{
	struct text out;

	text_init(&out);
	add_help(&out);
	send_text(s, &out);
	text_fini(&out);
	end_answer(s);
}

static void run_command(struct session *s, struct slice line)
{
	struct slice rest = slice_trim(line), first = cut_word(&rest), second;
	struct slice after = rest;
	bool json;

	if (first.len == 0)
		return;
	if (slice_eq(first, SLICE("quit"))) {
		s->leaving = true;
	} else if (slice_eq(first, SLICE("prompt"))) {
		s->prompt = !s->prompt;
		end_answer(s);
	} else if (slice_eq(first, SLICE("help"))) {
		help(s);
	} else if (slice_eq(first, SLICE("reload")) && ends_with_json(rest, &json)) {
		reload(s, json);
	} else {
		char words[64];

		second = cut_word(&after);
		snprintf(words, sizeof(words), "%.*s %.*s", SLICE_ARG(first), SLICE_ARG(second));
		for (size_t i = 0; i < COUNT_OF(commands); i++) {
			if (strcmp(commands[i].words, words) == 0 && ends_with_json(after, &json)) {
				run_show(s, &commands[i], json);
				return;
			}
		}
		unknown(s, first);
	}
}

/* Another command may run: none is waited for, and the peer reads what it was told. */
static bool may_go_on(const struct session *s)
{
	return !s->waiting && !s->leaving &&
	       evbuffer_get_length(bufferevent_get_output(s->bev)) <= ADMIN_ANSWER_MAX;
}

/* The line that was begun, or the next one that came whole. */
static bool next_line(struct session *s)
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
static void leave_after_answers(struct session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);

	s->leaving = true;
	evbuffer_drain(in, evbuffer_get_length(in));
	if (evbuffer_get_length(bufferevent_get_output(s->bev)) == 0)
		free_session(s);
}

/* Commands one after the other, each when the one before was answered; a reload in progress, or
 * answers that nobody reads, hold the next ones back. May free the session. */
static void read_lines(struct session *s)
{
	while (may_go_on(s) && next_line(s)) {
		while (s->rest.at != NULL && may_go_on(s))
			run_command(s, slice_cut(&s->rest, ';'));
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
	struct session *s = arg;

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
	struct session *s = arg;

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
	struct session *s;

	(void)peer, (void)len;
	if (a->count >= ADMIN_SESSIONS_MAX) {
		log_warn("admin", "more than %d sessions: one was refused", ADMIN_SESSIONS_MAX);
		close(fd);
		return;
	}
	s = calloc(1, sizeof(*s));
	must(s != NULL);
	problems_init(&s->problems);
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

struct admin_socket *admin_socket_open(struct proxy *p, const char *path, char *why, size_t why_bytes)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct admin_socket *a;
	mode_t mask;

	if (!prepare_path(path, why, why_bytes))
		return NULL;
	a = calloc(1, sizeof(*a));
	must(a != NULL);
	a->proxy = p;
	TAILQ_INIT(&a->sessions);
	strcpy(a->path, path);
	strcpy(un.sun_path, path);
	mask = umask(0777 & ~ADMIN_SOCKET_MODE);
	a->listener = evconnlistener_new_bind(p->base, on_admin_accept, a,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, ADMIN_SESSIONS_MAX, (struct sockaddr *)&un,
		sizeof(un));
	umask(mask);
	if (a->listener == NULL) {
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
		free(a);
		return NULL;
	}
	a->resume = event_new(p->base, -1, 0, on_admin_resume, a);
	must(a->resume != NULL);
	evconnlistener_set_error_cb(a->listener, on_admin_accept_failed);
	return a;
}

void admin_socket_close(struct admin_socket **ap)
{
	struct admin_socket *a = *ap;
	struct session *s;

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
