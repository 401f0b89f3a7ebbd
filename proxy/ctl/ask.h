/* SPDX-License-Identifier: Apache-2.0
 *
 * ask.h - one command to an admin socket, one answer.
 *
 * Blocks   until the answer is there, at most ASK_WAIT_S between its pieces. Fails with an exit status,
 *          after saying why. */
#ifndef SALLYPORT_CTL_ASK_H
#define SALLYPORT_CTL_ASK_H

#include "sallyport/text.h"

/* Exit codes, in README.md. */
enum { EXIT_OK = 0, EXIT_COMMAND_FAILED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

#define ASK_WAIT_S	60

/* $SALLYPORT_SOCKET, or where a proxy has it unless told otherwise. */
const char *ask_socket_default(void);
/* `line` ends with a newline. Returns the exit status; `answer` has what was said unless nobody did. */
int ask_for(const char *socket_path, struct slice line, struct text *answer);
/* The same, printed. */
int ask(const char *socket_path, struct slice line);

#endif
