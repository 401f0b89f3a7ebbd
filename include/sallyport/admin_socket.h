/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_socket.h - commands over a UNIX socket, as HAProxy's (spec/observability.md 9): what a program
 * can be asked is a table of its own.
 *
 * Owner    the program. Thread: the one that runs `base`. Blocks never: answers are written as the peer
 *          reads them; an answer that takes a while is given later, by admin_answer().
 * Limits   sessions, line length, unread answers, idle time: the names below. */
#ifndef SALLYPORT_ADMIN_SOCKET_H
#define SALLYPORT_ADMIN_SOCKET_H

#include "sallyport/problem.h"
#include "sallyport/text.h"

#define ADMIN_SESSIONS_MAX	10
#define ADMIN_LINE_MAX		(16u * 1024)
#define ADMIN_ANSWER_MAX	(1024u * 1024)	/* unread: no further command runs before it was */
#define ADMIN_IDLE_S		10
#define ADMIN_PAUSE_S		1	/* in accepting, without descriptors */
#define ADMIN_SOCKET_MODE	0600

struct event_base;
struct admin_socket;
struct admin_session;

struct admin_request {
	void *program;			/* as given to admin_socket_open() */
	struct slice command;		/* the words of the command, and its arguments: as they came */
	struct slice arguments;		/* trimmed; without a `json` at their end */
	bool json;
	struct text *out;		/* the answer: whole lines, none of them empty */
	struct admin_session *session;	/* for admin_answer() */
};

struct admin_command {
	const char *words;		/* one or two */
	const char *arguments;		/* for the help; NULL: it takes none */
	const char *help;
	bool changes;			/* something: the log says who asked for it */
	/* OK: `out` is the answer. AGAIN: admin_answer() will be called, once; not before this returns. */
	enum outcome (*run)(const struct admin_request *r);
};

/* `commands` and `program` are borrowed. NULL with `why`: the path is taken, or cannot be bound. */
struct admin_socket *admin_socket_open(struct event_base *base, const char *path,
				       const struct admin_command *commands, size_t command_count,
				       void *program, char *why, size_t why_bytes);
/* Answers that are on their way find nobody. */
void admin_socket_close(struct admin_socket **ap);

/* The answer to a request that said AGAIN, also when its peer has gone. */
void admin_answer(struct admin_session *s, struct slice text);

/* What a reload found, and how it ended: "OK: …" or "FAILED: …". */
void admin_describe_reload(struct problems *ps, bool ok, const char *revision, bool json, struct text *out);

#endif
