/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/net/socket.h"
#include "proxy/net/worker.h"
#include "sallyport/log.h"

#define UNIX_SOCKET_MODE	0666
#define WARNING_MS		1000	/* between two lines about it */
#define PAUSE_MS		100	/* without descriptors (spec/hardening.md T-52) */

static bool say(char *why, size_t bytes, const struct sockaddr *address, const char *what)
{
	char text[ADDRESS_TEXT_MAX];
	int saved = errno;

	address_text(address, text);
	snprintf(why, bytes, "%s: %s: %s%s", text, what, strerror(saved),
		 saved == EACCES ? " (ports below 1024 need CAP_NET_BIND_SERVICE, or map them in Proxy.spec.ports)" :
		 saved == EADDRINUSE ? " (another process listens there)" : "");
	return false;
}

/* A socket file that nobody listens on is a leftover. */
static void remove_stale(const struct sockaddr_un *un, socklen_t len)
{
	struct stat st;
	int fd;

	if (un->sun_path[0] == '\0' || lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)un, len) != 0 && errno == ECONNREFUSED)
		unlink(un->sun_path);
	close(fd);
}

static int bind_one(const struct sockaddr *address, socklen_t len, int backlog, char *why, size_t bytes)
{
	const int on = 1, off = 0;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		say(why, bytes, address, "socket");
		return -1;
	}
	if (address->sa_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	}
	if (address->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, address, len) != 0) {
		say(why, bytes, address, "bind");
	} else if (listen(fd, backlog) != 0) {
		say(why, bytes, address, "listen");
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

bool listener_bind(const struct sockaddr *address, socklen_t len, int backlog, unsigned count, int *fds,
		   char *why, size_t why_bytes)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)address;
	bool is_unix = address->sa_family == AF_UNIX;

	if (is_unix)
		remove_stale(un, len);
	for (unsigned i = 0; i < count; i++) {
		/* A unix socket has one queue, which all workers accept from. */
		fds[i] = is_unix && i > 0 ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : bind_one(address, len, backlog, why, why_bytes);
		if (fds[i] >= 0)
			continue;
		while (i > 0)
			close(fds[--i]);
		return false;
	}
	if (is_unix && un->sun_path[0] != '\0' && chmod(un->sun_path, UNIX_SOCKET_MODE) != 0)
		log_warn("listener", "%s: chmod: %s", un->sun_path, strerror(errno));
	return true;
}

static void on_acceptor_resume(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *a = arg;

	(void)fd, (void)what;
	event_add(&a->event, NULL);
}

static void pause_accepting(struct acceptor *a)
{
	const struct timeval pause = { .tv_usec = PAUSE_MS * 1000 };

	if (worker_now_ms(a->worker) - a->warned_ms >= WARNING_MS) {
		a->warned_ms = worker_now_ms(a->worker);
		log_warn("listener", "out of file descriptors: accepting pauses for %d ms; raise LimitNOFILE "
			 "or lower Proxy.spec.limits.maxConnections", PAUSE_MS);
	}
	event_del(&a->event);
	event_add(&a->resume, &pause);
}

static void on_acceptor_ready(evutil_socket_t listening, short what, void *arg)
{
	struct acceptor *a = arg;

	(void)what;
	for (uint32_t i = 0; i < a->per_turn; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(listening, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			a->on_accept(a, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accepting(a);
		else if (errno == ECONNABORTED || errno == EINTR)
			continue;
		return;
	}
}

void acceptor_start(struct acceptor *a)
{
	/* Level-triggered: what one turn leaves in the queue wakes the next. */
	event_assign(&a->event, a->worker->base, a->fd, EV_READ | EV_PERSIST, on_acceptor_ready, a);
	event_assign(&a->resume, a->worker->base, -1, 0, on_acceptor_resume, a);
	event_add(&a->event, NULL);
}

void acceptor_stop(struct acceptor *a)
{
	event_del(&a->event);
	event_del(&a->resume);
}
