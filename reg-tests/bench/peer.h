/* SPDX-License-Identifier: Apache-2.0
 *
 * peer.h - what the load tools of this folder share: sockets of 127.0.0.1, a clock, TLS, epoll.
 * They are measuring instruments: whatever goes wrong ends them with a message and status 1. */
#ifndef SALLYPORT_BENCH_PEER_H
#define SALLYPORT_BENCH_PEER_H

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEER_SOURCES	8u	/* addresses that connections come from: 127.0.0.2 and following */

static inline double peer_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU seconds of this process: says whether it was the bottleneck itself. */
static inline double peer_cpu(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static inline struct sockaddr_in peer_address(unsigned last, unsigned port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(0x7f000000u + last) };
}

/* Begins to connect, without blocking. The source addresses take turns, so that ports last. */
static inline int peer_connect(unsigned port)
{
	static unsigned turn;
	struct sockaddr_in from = peer_address(2 + turn++ % PEER_SOURCES, 0), to = peer_address(1, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)
		err(1, "bind");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
		err(1, "connect to port %u", port);
	return fd;
}

/* Closes without leaving the port in TIME_WAIT. */
static inline void peer_close(int fd)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

/* Edge-triggered, both directions. */
static inline void peer_watch(int epoll, int fd, void *owner)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = owner };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0)
		err(1, "epoll_ctl");
}

static inline unsigned peer_number(const char *text, const char *what)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n > 1u << 20)
		errx(1, "%s: %s is no number that makes sense", what, text);
	return (unsigned)n;
}

#endif
