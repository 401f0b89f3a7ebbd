/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>

#include "proxy/net/transport.h"

#define KEEPALIVE_IDLE_S	300
#define USER_TIMEOUT_MS		60000u

static const struct in_addr *mapped_v4(const struct sockaddr *a)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;

	if (a->sa_family == AF_INET)
		return &((const struct sockaddr_in *)a)->sin_addr;
	if (a->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return (const struct in_addr *)(in6->sin6_addr.s6_addr + 12);
	return NULL;
}

unsigned address_port(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)a)->sin_port);
	if (a->sa_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)a)->sin6_port);
	return 0;
}

/* Dotted quad without the cost of a format string: written for every request's headers. */
static size_t v4_text(const struct in_addr *v4, char *out)
{
	const unsigned char *b = (const unsigned char *)v4;
	char *at = out;

	for (int i = 0; i < 4; i++) {
		if (b[i] >= 100)
			*at++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*at++ = (char)('0' + b[i] / 10 % 10);
		*at++ = (char)('0' + b[i] % 10);
		*at++ = '.';
	}
	*--at = '\0';
	return (size_t)(at - out);
}

size_t address_ip_text(const struct sockaddr *a, char *out)
{
	const struct in_addr *v4 = mapped_v4(a);

	out[0] = '\0';
	if (v4 != NULL)
		return v4_text(v4, out);
	if (a->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, out, ADDRESS_TEXT_MAX);
	else if (a->sa_family == AF_UNIX)
		return address_text(a, out);
	return strlen(out);
}

size_t address_text(const struct sockaddr *a, char *out)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)a;
	char ip[ADDRESS_TEXT_MAX];

	if (a->sa_family == AF_UNIX) {
		if (un->sun_path[0] == '\0' && un->sun_path[1] != '\0')
			return (size_t)snprintf(out, ADDRESS_TEXT_MAX, "@%s", un->sun_path + 1);
		return (size_t)snprintf(out, ADDRESS_TEXT_MAX, "%s", un->sun_path);
	}
	address_ip_text(a, ip);
	if (mapped_v4(a) != NULL)
		return (size_t)snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", ip, address_port(a));
	return (size_t)snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", ip, address_port(a));
}

bool address_is_loopback(const struct sockaddr *a)
{
	const struct in_addr *v4 = mapped_v4(a);

	if (v4 != NULL)
		return ntohl(v4->s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

bool address_is_among(const struct sockaddr_storage *a, const struct sockaddr_storage *all,
		      size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(&all[i], a, sizeof(*a)) == 0)
			return true;
	return false;
}

void transport_tune(int fd, int family)
{
	const int on = 1, idle = KEEPALIVE_IDLE_S;
	const unsigned timeout = USER_TIMEOUT_MS;

	if (family != AF_INET && family != AF_INET6)
		return;
	/* What fails here only tunes: the connection works without it. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
}

static void set_number(int fd, int option, uint32_t value)
{
	const int number = value < INT32_MAX ? (int)value : INT32_MAX;

	/* Beyond what the kernel takes: it keeps what it had. */
	if (value > 0)
		setsockopt(fd, IPPROTO_TCP, option, &number, sizeof(number));
}

void socket_keep_alive(int fd, const struct tcp_keepalive *k)
{
	const int on = 1;

	if (fd < 0 || !k->set)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	set_number(fd, TCP_KEEPIDLE, k->idle_s);
	set_number(fd, TCP_KEEPINTVL, k->interval_s);
	set_number(fd, TCP_KEEPCNT, k->probes);
}
