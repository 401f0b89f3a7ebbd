/* SPDX-License-Identifier: Apache-2.0
 *
 * spop_address.h - where an agent listens, as people write it: `unix:/run/x.sock` or `host:port`
 * with a numeric host (`127.0.0.1:9000`, `[::1]:9000`).
 *
 * Thread   any; no state. Blocks: never, since nothing is resolved. */
#ifndef SALLYPORT_SPOP_ADDRESS_H
#define SALLYPORT_SPOP_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

struct spop_address {
	struct sockaddr_storage at;
	socklen_t len;
};

/* False: `why` tells what to write instead; a constant. */
bool spop_address_parse(const char *text, struct spop_address *out, const char **why);

#endif
