/* SPDX-License-Identifier: Apache-2.0
 *
 * socket.h - options and texts of socket addresses. */
#ifndef SALLYPORT_PROXY_SOCKET_H
#define SALLYPORT_PROXY_SOCKET_H

#include <sys/socket.h>

#include "sallyport/slice.h"

/* Longest text: "[" IPv6 "]:65535" or a unix path. */
#define ADDRESS_TEXT_MAX	128

/* "ip:port", "[v6]:port" (IPv4-mapped ones as IPv4) or the unix path; returns the length. */
size_t address_text(const struct sockaddr *a, char *out);
/* The same without brackets and port. */
size_t address_ip_text(const struct sockaddr *a, char *out);
unsigned address_port(const struct sockaddr *a);
bool address_is_loopback(const struct sockaddr *a);

/* Probes of the kernel on a silent connection. */
struct tcp_keepalive {
	bool set;
	uint32_t idle_s, interval_s, probes;	/* 0: as transport_tune() or the system has it */
};
void socket_keep_alive(int fd, const struct tcp_keepalive *k);

/* Compares all bytes: what an address does not use must be zero. */
bool address_is_among(const struct sockaddr_storage *a, const struct sockaddr_storage *all,
		      size_t count);

#endif
