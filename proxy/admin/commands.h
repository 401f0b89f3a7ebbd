/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.h - what the proxy can be asked over its admin socket. Thread: main. */
#ifndef SALLYPORT_PROXY_COMMANDS_H
#define SALLYPORT_PROXY_COMMANDS_H

#include "proxy/admin/proxy.h"
#include "sallyport/admin_socket.h"

/* NULL with `why`; the proxy's to close. */
struct admin_socket *commands_open(struct proxy *p, const char *path, char *why, size_t why_bytes);

#endif
