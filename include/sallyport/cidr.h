/* SPDX-License-Identifier: Apache-2.0
 *
 * cidr.h - IP addresses and blocks of them. IPv4 mapped into IPv6 counts as IPv4 everywhere.
 *
 * Thread   any; plain values. */
#ifndef SALLYPORT_CIDR_H
#define SALLYPORT_CIDR_H

#include <sys/socket.h>

#include "sallyport/slice.h"

#define IP_TEXT_BYTES	46	/* INET6_ADDRSTRLEN */

struct ip {
	bool v4;
	unsigned char bytes[16];	/* network order; the first 4 where v4, the rest zero */
};

struct cidr {
	struct ip ip;			/* bits beyond the prefix are zero */
	unsigned bits;			/* 0..32 or 0..128 */
};

/* AF_INET or AF_INET6 with the 4 or 16 bytes of a literal without brackets, port or zone, as it is
 * written; AF_UNSPEC: it is none. */
int ip_literal(struct slice s, unsigned char bytes[static 16]);
/* The same as a socket address; returns its length, 0: no literal. */
socklen_t ip_sockaddr(struct slice s, uint16_t port, struct sockaddr_storage *out);
/* A literal, too. */
bool ip_parse(struct slice s, struct ip *out);
/* False: neither AF_INET nor AF_INET6. */
bool ip_from_sockaddr(const struct sockaddr *sa, struct ip *out);
/* `out` holds IP_TEXT_BYTES; returns it. */
const char *ip_format(const struct ip *ip, char *out);

/* `10.0.0.0/8`, or an address alone, which is a block of one. */
bool cidr_parse(struct slice s, struct cidr *out);
bool cidr_contains(const struct cidr *c, const struct ip *ip);

#endif
