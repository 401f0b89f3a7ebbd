/* SPDX-License-Identifier: Apache-2.0
 *
 * origin.c - the upstream of the cases about volume: sends by sendfile() and drops what it gets in
 * the kernel, so that it is no bottleneck.
 *
 *   origin http PORT       HTTP/1.1 keep-alive: GET gets BODY_BYTES, a body that comes is swallowed
 *   origin source PORT     no protocol: sends without end
 *   origin sink PORT       no protocol: swallows
 *
 * Runs until it is ended. */
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "reg-tests/bench/peer.h"

#define BODY_BYTES	(1u << 20)	/* as in transfer.c */
#define HEAD_MAX	4096u
#define TURN_STEPS	64u		/* before other connections get theirs */

struct connection {
	int fd;
	size_t head_len;
	size_t swallow;		/* of the request's body, still to come */
	size_t answer_sent;	/* of the response's head */
	const char *answer;	/* NULL: none is due */
	off_t body_sent;
	bool body_due;
	char head[HEAD_MAX];
};

static const char body_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n";
static const char taken_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static char sink[256 * 1024];
static int file, epoll;
static bool http, source;

/* What is below: 1 go on, 0 not now, -1 the connection ended. */
static int outcome(ssize_t n)
{
	return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

static int swallow(struct connection *c)
{
	size_t most = http && c->swallow < sizeof(sink) ? c->swallow : sizeof(sink);
	ssize_t n = recv(c->fd, sink, most, MSG_TRUNC);

	if (n > 0 && http)
		c->swallow -= (size_t)n;
	return outcome(n);
}

static void understand(struct connection *c, char *end)
{
	char *length = strcasestr(c->head, "content-length:");
	size_t early = c->head_len - (size_t)(end + 4 - c->head);

	c->swallow = length != NULL ? strtoul(length + 15, NULL, 10) - early : 0;
	c->body_due = strncmp(c->head, "GET ", 4) == 0;
	c->answer = c->body_due ? body_answer : taken_answer;
	c->answer_sent = c->head_len = 0;
	c->body_sent = 0;
}

static int read_request(struct connection *c)
{
	ssize_t n = recv(c->fd, c->head + c->head_len, HEAD_MAX - 1 - c->head_len, 0);
	char *end;

	if (n <= 0)
		return outcome(n);
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end != NULL)
		understand(c, end);
	return c->head_len < HEAD_MAX - 1 ? 1 : -1;
}

static int answer(struct connection *c)
{
	size_t len = strlen(c->answer);
	ssize_t n;

	if (c->answer_sent < len) {
		n = send(c->fd, c->answer + c->answer_sent, len - c->answer_sent,
			 MSG_NOSIGNAL | (c->body_due ? MSG_MORE : 0));
		if (n > 0)
			c->answer_sent += (size_t)n;
	} else {
		n = sendfile(c->fd, file, &c->body_sent, BODY_BYTES - (size_t)c->body_sent);
	}
	if (n > 0 && c->answer_sent == len && (!c->body_due || c->body_sent == BODY_BYTES))
		c->answer = NULL;
	return outcome(n);
}

static int step_http(struct connection *c)
{
	if (c->answer == NULL)
		return read_request(c);
	return c->swallow > 0 ? swallow(c) : answer(c);
}

static int step_stream(struct connection *c)
{
	off_t from = 0;

	return source ? outcome(sendfile(c->fd, file, &from, BODY_BYTES)) : swallow(c);
}

/* Gives way after a while, and is then called again. */
static bool serve(struct connection *c)
{
	for (unsigned i = 0; i < TURN_STEPS; i++) {
		int how = http ? step_http(c) : step_stream(c);

		if (how > 0)
			continue;
		if (how < 0) {
			close(c->fd);
			free(c);
		}
		return false;
	}
	return true;
}

static void take(int listener)
{
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct connection *c = calloc(1, sizeof(*c));

		if (c == NULL)
			err(1, "calloc");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		peer_watch(epoll, fd, c);
	}
}

static int listen_on(unsigned port)
{
	struct sockaddr_in at = peer_address(1, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
		err(1, "port %u", port);
	return fd;
}

/* Those that gave way are asked again by re-arming: an edge comes at once if they are still ready. */
static void come_back(struct connection *c)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };

	epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	int listener;

	if (argc != 3)
		errx(2, "usage: origin http|source|sink PORT");
	http = strcmp(argv[1], "http") == 0;
	source = strcmp(argv[1], "source") == 0;
	signal(SIGPIPE, SIG_IGN);
	file = memfd_create("body", 0);
	epoll = epoll_create1(0);
	listener = listen_on(peer_number(argv[2], "PORT"));
	if (file < 0 || epoll < 0 || ftruncate(file, BODY_BYTES) != 0)
		err(1, "start");
	peer_watch(epoll, listener, NULL);
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				take(listener);
			else if (serve(events[i].data.ptr))
				come_back(events[i].data.ptr);
		}
	}
}
