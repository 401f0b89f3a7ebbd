/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_priv.h - the agent as agent.c runs it and commands.c describes it. Thread: the main one. */
#ifndef SALLYPORT_SPOA_AGENT_PRIV_H
#define SALLYPORT_SPOA_AGENT_PRIV_H

#include "sallyport/admin_socket.h"
#include "sallyport/spop_address.h"
#include "sallyport/text.h"
#include "spoa/agent.h"

struct listener {
	struct spoa_agent *agent;
	const char *name;		/* as configured */
	struct spop_address address;
	int fd;
	struct event acceptable;
};

struct spoa_agent {
	const struct spoa_agent_config *config;	/* borrowed */
	struct spoa_options options;
	struct event_base *base;
	struct jwks_store *keys;
	struct rules *rules;		/* a reference */
	int documents;			/* owned: from the parent, not used yet; -1: none */
	bool behind;			/* the last load failed: there is something newer than the rules */
	struct admin_socket *admin;	/* owned; NULL: none */
	struct spoa_thread *threads[SPOA_THREADS_MAX];
	struct listener listeners[SPOA_LISTENERS_MAX];
	size_t listener_count;
	unsigned next_thread;
	unsigned long accepted;
	struct event on_term, on_int, on_hup, parent, wanted, reload_timer;
	atomic_bool revision_wanted;
	atomic_ulong loads_begun;
	int64_t started_ms, loaded_ms, load_took_ms;
	struct text last_problems;	/* so that the same ones are told once */
};

#endif
