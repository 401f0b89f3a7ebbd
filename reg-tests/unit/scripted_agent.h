/* SPDX-License-Identifier: Apache-2.0
 * scripted_agent.h - an agent on the test's own event loop, which notes what it is asked and answers
 * when and how the test says. */
#ifndef SALLYPORT_TEST_SCRIPTED_AGENT_H
#define SALLYPORT_TEST_SCRIPTED_AGENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/authz/client.h"
#include "sallyport/clock.h"
#include "sallyport/object.h"

#define PEERS_MAX	16
#define NOTES_MAX	64

/* One connection that the agent accepted. */
struct peer {
	int fd;			/* -1: closed */
	bool probe;
	unsigned char in[1 << 18];
	size_t in_bytes;
	struct event *readable;
	struct script *script;
	unsigned reads;
};

/* A question that arrived. */
struct note {
	struct peer *peer;
	uint64_t stream_id, frame_id;
	char path[64];
	uint32_t deadline_ms;
};

struct script {
	struct event_base *base;
	int listener;
	struct event *acceptable;
	char path[64], address[80];
	struct peer peers[PEERS_MAX];
	unsigned accepted, probes;
	struct note notes[NOTES_MAX];
	unsigned noted;
	const char *capabilities;	/* of our HELLO; NULL: none is sent */
	const char *version;
	uint32_t frame_size;
	uint64_t hello_stream;		/* has to be 0 */
	bool refuse_probes, got_disconnect;
	enum spop_status disconnect;
	struct authz_client *client;
};

static inline void peer_close(struct peer *p)
{
	if (p->fd < 0)
		return;
	event_free(p->readable);
	close(p->fd);
	p->fd = -1;
}

static inline void peer_write(struct peer *p, const void *bytes, size_t n)
{
	assert_int_equal(send(p->fd, bytes, n, MSG_NOSIGNAL), n);
}

static inline void peer_hello(struct peer *p, const struct spop_frame *f)
{
	unsigned char bytes[512];
	struct spop_writer w = spop_writer_of(bytes, sizeof(bytes));
	struct spop_hello hello;
	size_t begun;

	assert_int_equal(spop_decode_client_hello(f->payload, &hello), SPOP_NORMAL);
	assert_true(spop_list_has(hello.capabilities, SLICE("pipelining")));
	assert_int_equal(hello.engine_id.len, 36);
	p->probe = hello.healthcheck;
	p->script->probes += p->probe;
	if ((p->probe && p->script->refuse_probes) || p->script->capabilities == NULL)
		return;
	begun = spop_begin_frame(&w, SPOP_AGENT_HELLO, SPOP_FIN, p->script->hello_stream, 0);
	spop_write_bytes(&w, SLICE("version"));
	spop_write_string(&w, slice_of(p->script->version));
	spop_write_bytes(&w, SLICE("max-frame-size"));
	spop_write_int64(&w, p->script->frame_size);
	spop_write_bytes(&w, SLICE("capabilities"));
	spop_write_string(&w, slice_of(p->script->capabilities));
	spop_end_frame(&w, begun);
	peer_write(p, bytes, spop_writer_used(&w));
}

static inline void peer_note(struct peer *p, const struct spop_frame *f)
{
	struct script *s = p->script;
	struct note *n = &s->notes[s->noted++];
	struct spop_reader r = spop_reader_of(f->payload);
	struct check_request q;
	struct spop_message m;
	const char *missing;

	assert_true(s->noted <= NOTES_MAX);
	assert_true(spop_read_message(&r, &m));
	assert_int_equal(check_request_read(&r, &m, &q, &missing), OK);
	*n = (struct note){ .peer = p, .stream_id = f->stream_id, .frame_id = f->frame_id,
			    .deadline_ms = q.deadline_ms };
	memcpy(n->path, q.path.at, q.path.len < 60 ? q.path.len : 60);
}

static inline void on_peer_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	struct slice rest, text;
	enum spop_status why;
	struct spop_frame f;
	ssize_t n = recv(fd, p->in + p->in_bytes, sizeof(p->in) - p->in_bytes, 0);

	(void)what;
	if (n <= 0) {
		peer_close(p);
		return;
	}
	p->reads++;
	p->in_bytes += (size_t)n;
	rest = slice_make(p->in, p->in_bytes);
	while (spop_cut_frame(&rest, 1 << 18, &f, &why) == OK) {
		if (f.type == SPOP_HAPROXY_HELLO) {
			peer_hello(p, &f);
		} else if (f.type == SPOP_NOTIFY) {
			assert_int_equal(f.flags, SPOP_FIN);
			peer_note(p, &f);
		} else {
			assert_int_equal(f.type, SPOP_HAPROXY_DISCONNECT);
			spop_decode_disconnect(f.payload, &p->script->disconnect, &text);
			p->script->got_disconnect = true;
		}
	}
	memmove(p->in, rest.at, rest.len);
	p->in_bytes = rest.len;
}

static inline void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct script *s = arg;
	struct peer *p;

	(void)what;
	assert_true(s->accepted < PEERS_MAX);
	p = &s->peers[s->accepted++];
	p->script = s;
	p->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(p->fd >= 0);
	p->readable = event_new(s->base, p->fd, EV_READ | EV_PERSIST, on_peer_readable, p);
	event_add(p->readable, NULL);
}

static inline void script_listen(struct script *s)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", s->path);
	unlink(s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(s->listener, 64), 0);
	s->acceptable = event_new(s->base, s->listener, EV_READ | EV_PERSIST, on_acceptable, s);
	event_add(s->acceptable, NULL);
}

static inline void script_unlisten(struct script *s)
{
	event_free(s->acceptable);
	close(s->listener);
	unlink(s->path);
	s->listener = -1;
}

static inline void script_init(struct script *s, struct event_base *base, const char *suffix)
{
	memset(s, 0, sizeof(*s));
	s->base = base;
	s->version = "2.0";
	s->capabilities = "pipelining";
	s->frame_size = 16380;
	for (unsigned i = 0; i < PEERS_MAX; i++)
		s->peers[i].fd = -1;
	snprintf(s->path, sizeof(s->path), "/tmp/authz_client_test.%d%s", (int)getpid(), suffix);
	snprintf(s->address, sizeof(s->address), "unix:%s", s->path);
	script_listen(s);
}

static inline void script_fini(struct script *s)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peer_close(&s->peers[i]);
	if (s->listener >= 0)
		script_unlisten(s);
}

static inline void turn_for(struct event_base *base, int64_t ms)
{
	int64_t until = clock_monotonic_ms() + ms;

	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	} while (clock_monotonic_ms() < until);
}

/* Turns the loop until the condition holds; fails after two seconds. */
#define turn_until(base, condition) \
	do { \
		int64_t until_ = clock_monotonic_ms() + 2000; \
		while (!(condition)) { \
			assert_true(clock_monotonic_ms() < until_); \
			event_base_loop(base, EVLOOP_NONBLOCK); \
			usleep(200); \
		} \
	} while (0)

struct asked {
	struct authz_check *check;
	unsigned answers;
	enum authz_outcome outcome;
	enum authz_cause cause;
	unsigned status;
	char body[64], principal[32];
	struct asked *cancels;		/* when it is answered */
};

static inline void on_verdict(void *owner, const struct authz_verdict *v)
{
	struct asked *a = owner;

	a->check = NULL;
	a->answers++;
	a->outcome = v->outcome;
	a->cause = v->cause;
	a->status = v->status;
	snprintf(a->body, sizeof(a->body), "%.*s", SLICE_ARG(v->reply.body));
	snprintf(a->principal, sizeof(a->principal), "%.*s", SLICE_ARG(v->reply.principal));
	if (a->cancels != NULL)
		authz_check_cancel(&a->cancels->check);
}

static inline void ask_path(struct script *s, struct asked *a, int64_t budget_ms, const char *path)
{
	struct check_request q = {
		.method = SLICE("GET"), .scheme = SLICE("https"), .authority = SLICE("a.example"),
		.path = slice_of(path), .workload = SLICE("istio-system/edge"),
		.remote = { .family = 4 }, .source = { .family = 4 }, .destination = { .family = 4 },
	};

	a->answers = 0;
	a->check = authz_check_start(s->client, &q, clock_monotonic_ms() + budget_ms, on_verdict, a);
	assert_non_null(a->check);
	assert_int_equal(a->answers, 0);	/* never from within the call */
}

static inline void ask(struct script *s, struct asked *a, int64_t budget_ms)
{
	ask_path(s, a, budget_ms, "/");
}

enum answer { ALLOW, DENY, CUT, NO_ALLOW, AGENT_ERROR, SMUGGLE, NO_FIN };

static inline size_t put_answer(unsigned char *bytes, const struct note *n, enum answer how)
{
	struct spop_writer w = spop_writer_of(bytes, 1024);
	size_t begun = spop_begin_frame(&w, SPOP_ACK, how == NO_FIN ? 0 : SPOP_FIN, n->stream_id,
					n->frame_id);
	struct check_reply reply = { .allow = how == ALLOW, .status = how == ALLOW ? 200 : 401,
				     .reason = how == AGENT_ERROR ? SLICE("error") : SLICE("jwt"),
				     .body = SLICE("Jwt is missing"), .principal = slice_of(n->path) };

	if (how == SMUGGLE)
		reply.headers_set = SLICE("\1a\3b\r\n\0\0");
	if (how == NO_ALLOW) {
		spop_write_set_var(&w, SPOP_TXN, SLICE("status"));
		spop_write_uint32(&w, 200);
	} else {
		check_reply_write(&w, &reply);
	}
	if (how == CUT)
		w.at--;
	spop_end_frame(&w, begun);
	return spop_writer_used(&w);
}

static inline void answer(const struct note *n, enum answer how)
{
	unsigned char bytes[1024];

	peer_write(n->peer, bytes, put_answer(bytes, n, how));
}

static inline struct authz_client_config config_for(const char *const *addresses, size_t count)
{
	return (struct authz_client_config){ .addresses = addresses, .address_count = count };
}

#endif
