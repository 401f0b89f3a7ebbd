/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h - the agent as a process: listens, loads documents, spreads connections over threads.
 *
 * Thread   the main one; spoa_agent_run() is its life.
 * Blocks   until SIGTERM, SIGINT or the parent's end; loading reads files.
 * Fails    with an exit status, after saying why in the log. */
#ifndef SALLYPORT_SPOA_AGENT_H
#define SALLYPORT_SPOA_AGENT_H

#include "spoa/thread.h"

#define SPOA_LISTEN_DEFAULT	"unix:/run/sallyport/authz.sock"
#define SPOA_LISTENERS_MAX	16
#define SPOA_FILES_MAX		1024
#define SPOA_THREADS_MAX	64
#define SPOA_RELOAD_GAP_MS	100	/* between loads that unknown revisions ask for */

struct spoa_agent_config {
	const char *files[SPOA_FILES_MAX];
	size_t file_count;		/* 0: documents come from the parent */
	const char *listen[SPOA_LISTENERS_MAX];
	size_t listen_count;
	unsigned threads;
	int parent_fd;			/* -1: none; its end is ours. Without files a SOCK_SEQPACKET
					 * whose messages carry copies of documents (supervisor.h) */
	const char *ca_file;		/* for jwksUri, beside the system's; NULL: none */
	const char *admin;		/* path of the admin socket; NULL: none */
	const char *state_dir;		/* fetched keys are kept there; NULL: $STATE_DIRECTORY, else nowhere */
	struct spoa_options options;
};

/* An exit status. */
int spoa_agent_run(const struct spoa_agent_config *config);
/* Reads the documents, prints every problem, and says whether they may be used. */
int spoa_agent_check(const struct spoa_agent_config *config);

#endif
