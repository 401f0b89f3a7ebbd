/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.h - what the agent can be asked over its admin socket. Thread: main. */
#ifndef SALLYPORT_SPOA_COMMANDS_H
#define SALLYPORT_SPOA_COMMANDS_H

#include "sallyport/admin_socket.h"

struct spoa_agent;

/* NULL with `why`; the agent's to close. */
struct admin_socket *commands_open(struct spoa_agent *a, const char *path, char *why, size_t why_bytes);

#endif
