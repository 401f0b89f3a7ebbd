/* SPDX-License-Identifier: Apache-2.0
 *
 * ask_agent.h - commands that the agent answers, passed on to it: whoever has the proxy's socket need
 * not know where the agent's is. Thread: main. Blocks never. */
#ifndef SALLYPORT_PROXY_ASK_AGENT_H
#define SALLYPORT_PROXY_ASK_AGENT_H

#include "sallyport/admin_socket.h"

#define ASK_AGENT_WAIT_S	5

/* A command of the proxy's, whose `program` is a struct proxy. */
enum outcome ask_agent(const struct admin_request *r);

#endif
