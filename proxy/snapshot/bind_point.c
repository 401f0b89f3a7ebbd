/* SPDX-License-Identifier: Apache-2.0
 *
 * bind_point.c - the socket address of a server (spec/gateway.md 9). */
#include "proxy/snapshot/build_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "sallyport/cidr.h"

static bool can_bind_ipv6(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
	bool ok;

	if (fd < 0)
		return false;
	ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0 &&
	     bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;
	close(fd);
	return ok;
}

bool host_has_ipv6(void)
{
	static int known = -1;

	if (known < 0)
		known = can_bind_ipv6();
	return known;
}

static void make_ipv4(struct in_addr ip, uint32_t port, struct bind_point *out)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&out->address;
	char text[INET_ADDRSTRLEN];

	*sin = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = ip };
	out->address_len = sizeof(*sin);
	snprintf(out->key, sizeof(out->key), "%s:%u", inet_ntop(AF_INET, &ip, text, sizeof(text)), port);
}

static void make_ipv6(struct in6_addr ip, uint32_t port, struct bind_point *out)
{
	struct sockaddr_in6 *sin = (struct sockaddr_in6 *)&out->address;
	char text[INET6_ADDRSTRLEN];

	*sin = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
				      .sin6_addr = ip };
	out->address_len = sizeof(*sin);
	snprintf(out->key, sizeof(out->key), "[%s]:%u", inet_ntop(AF_INET6, &ip, text, sizeof(text)), port);
}

static bool make_ip(struct slice bind, uint32_t port, struct bind_point *out)
{
	unsigned char bytes[16];
	struct in_addr v4;
	struct in6_addr v6;

	switch (ip_literal(bind, bytes)) {
	case AF_INET:
		memcpy(&v4, bytes, sizeof(v4));
		make_ipv4(v4, port, out);
		return true;
	case AF_INET6:
		memcpy(&v6, bytes, sizeof(v6));
		make_ipv6(v6, port, out);
		return true;
	default:
		return false;
	}
}

/* A path, or after a zero byte a name in the abstract namespace. */
static bool make_unix(struct slice name, bool abstract, struct bind_point *out)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&out->address;
	size_t skip = abstract ? 1 : 0;

	if (name.len + 1 > sizeof(sun->sun_path))
		return false;
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sun->sun_path + skip, name.at, name.len);
	out->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.len + 1);
	snprintf(out->key, sizeof(out->key), "unix:%s%.*s", abstract ? "@" : "", SLICE_ARG(name));
	return true;
}

bool bind_point_make(const struct server *s, uint32_t port, struct bind_point *out, char *why,
		     size_t why_bytes)
{
	memset(out, 0, sizeof(*out));
	switch (s->bind_kind) {
	case BIND_ANY:
		if (host_has_ipv6())
			make_ipv6(in6addr_any, port, out);
		else
			make_ipv4((struct in_addr){ INADDR_ANY }, port, out);
		return true;
	case BIND_IP:
		if (make_ip(s->bind, port, out))
			return true;
		snprintf(why, why_bytes, "bind: \"%.*s\" is not an IP address", SLICE_ARG(s->bind));
		return false;
	case BIND_UNIX:
	case BIND_ABSTRACT:
		if (make_unix(s->bind, s->bind_kind == BIND_ABSTRACT, out))
			return true;
		snprintf(why, why_bytes, "bind: unix socket path of %zu bytes, at most %zu are possible",
			 s->bind.len, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		return false;
	}
	return false;
}
