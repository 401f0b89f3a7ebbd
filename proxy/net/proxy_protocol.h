/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy_protocol.h - the PROXY protocol, versions 1 and 2: who is behind a balancer that opened a
 * connection, said in its first bytes (spec/http.md 31, spec/destination-rule.md 14).
 *
 * Own bounded parser, no allocation. Input is what a peek at the socket gave; nothing is consumed
 * here, so that bytes behind the header stay where they are. Whom to believe is the caller's
 * question.
 *
 * Thread   any; plain values. Blocks never. */
#ifndef SALLYPORT_PROXY_PROXY_PROTOCOL_H
#define SALLYPORT_PROXY_PROXY_PROTOCOL_H

#include <sys/socket.h>

#include "sallyport/slice.h"

#define PROXY_PROTOCOL_V1_MAX		107u	/* the line with its CRLF */
#define PROXY_PROTOCOL_V2_FIXED		16u	/* signature, version, command, family, length */
#define PROXY_PROTOCOL_V2_LENGTH_MAX	4096u	/* addresses and TLVs that follow; the field could say 65535 */
#define PROXY_PROTOCOL_MAX		(PROXY_PROTOCOL_V2_FIXED + PROXY_PROTOCOL_V2_LENGTH_MAX)
#define PROXY_PROTOCOL_WRITTEN_MAX	PROXY_PROTOCOL_V1_MAX	/* version 2 as written here has at most 52 */

enum proxy_protocol_result {
	PROXY_PROTOCOL_OK,
	PROXY_PROTOCOL_MORE,	/* so far it is one, and not complete */
	PROXY_PROTOCOL_NONE,	/* neither version begins like this */
	PROXY_PROTOCOL_BAD,	/* malformed, too long, or an address that no connection can have */
};

struct proxy_header {
	size_t len;		/* bytes of the header: what follows is the connection's own */
	unsigned version;	/* 1 or 2 */
	bool local;		/* LOCAL, UNKNOWN: the balancer speaks for itself, the socket's addresses stand */
	struct sockaddr_storage source, destination;	/* unless `local`: AF_INET or AF_INET6, with ports */
};

/* `peeked`: all that came so far; PROXY_PROTOCOL_MAX bytes of it are enough for any answer but MORE. */
enum proxy_protocol_result proxy_protocol_parse(struct slice peeked, struct proxy_header *out);

/* The header of `version` (1 or 2) for a connection from `source` to `destination`, into
 * PROXY_PROTOCOL_WRITTEN_MAX bytes at `out`; returns its length. NULL, or addresses that are no IP:
 * UNKNOWN in version 1, LOCAL in version 2. An IPv4 address beside an IPv6 one is written mapped;
 * two mapped ones are written as IPv4. */
size_t proxy_protocol_write(unsigned version, const struct sockaddr *source,
			    const struct sockaddr *destination, char *out);

#endif
