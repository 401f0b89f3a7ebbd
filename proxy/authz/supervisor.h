/* SPDX-License-Identifier: Apache-2.0
 *
 * supervisor.h - runs sallyport-authz as a child and keeps it alive.
 *
 * The agent listens on a UNIX socket in a folder that only our user may enter and ends when the proxy
 * does (a socket to us tells it). Documents come to it over that socket, as a copy of what the proxy
 * has read: it judges by what the proxy serves, whatever became of the files since, and also when it
 * was started again. When it dies it is started after a back-off of 50 ms that doubles up to 2 s; until
 * it answers, requests that need it are refused.
 *
 * Owner    the main thread. Blocks: for the fork alone. */
#ifndef SALLYPORT_AUTHZ_SUPERVISOR_H
#define SALLYPORT_AUTHZ_SUPERVISOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct supervisor;

#define SUPERVISOR_BACKOFF_MS		50
#define SUPERVISOR_BACKOFF_MAX_MS	2000
#define SUPERVISOR_STEADY_MS		10000	/* alive for so long: the next failure starts at 50 ms again */

/* `program`: path, or NULL: sallyport-authz beside this executable, then in PATH. `state_directory`: where it
 * keeps keys, or NULL: what the environment names. `documents`: a copy
 * by resource_set_load_and_copy(); the supervisor's from here on, also when it fails. `address` gets
 * "unix:/…/authz.sock". NULL: logged. */
struct supervisor *supervisor_start(struct event_base *base, const char *program,
				    const char *state_directory, int documents, char *address,
				    size_t address_bytes);
/* Until the agent listens, or has ended, or `ms` are over: at start, so that nobody knocks before it
 * can open. Blocks for that long. */
void supervisor_await(const struct supervisor *s, int64_t ms);
/* From now on these documents; takes the descriptor. To be called before anybody asks by them: what
 * the agent is sent first it knows first. */
void supervisor_use(struct supervisor *s, int documents);
/* SIGTERM, waits up to 2 s, SIGKILL; removes the folder. */
void supervisor_stop(struct supervisor **sp);
/* Path of the agent's admin socket; borrowed. */
const char *supervisor_admin(const struct supervisor *s);
pid_t supervisor_pid(const struct supervisor *s);	/* 0: not running now */
unsigned long supervisor_restarts(const struct supervisor *s);

#endif
