/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.h - one thread of the agent: a loop, a judge, a token cache and its share of connections.
 *
 * Nothing here is shared but the rules, which are immutable, and the counters. The main thread
 * reaches a thread by the three messages below; a thread reaches the main one by
 * options.on_unknown_revision, which is called on the thread and must only leave a mark.
 *
 * Thread   functions marked "main" are called by the main thread, all others on the thread itself. */
#ifndef SALLYPORT_SPOA_THREAD_H
#define SALLYPORT_SPOA_THREAD_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "sallyport/clock.h"
#include "sallyport/spop.h"
#include "spoa/decision.h"
#include "spoa/rules.h"
#include "spoa/token_cache.h"

#define SPOA_CONNECTIONS_MAX	1024	/* of the whole agent; more are refused with 13 */
#define SPOA_OUTSTANDING_MAX	1024	/* questions of one connection; more end it with 13 */
#define SPOA_FRAME_SIZE		SPOP_FRAME_SIZE_OURS	/* most that is agreed to */
#define SPOA_FRAGMENTS_BYTES	(256 << 10)	/* of one fragmented question */
#define SPOA_OUTPUT_BYTES	(256 << 10)	/* unsent answers; beyond, nothing more is read */
#define SPOA_INPUT_BYTES	(128 << 10)	/* read at a time, a thread */
#define SPOA_OUTDATED_MAX	8	/* revisions of askers that lag behind us; a thread */
#define SPOA_NOTED_MAX		4	/* revisions that the thread need not note again */
#define SPOA_LAST_RULES_MS	1000	/* questions about the rules just replaced are judged by them */
#define SPOA_HELLO_MS		5000
#define SPOA_GOODBYE_MS		1000	/* from DISCONNECT to the close */
#define SPOA_DRAIN_MS		2000	/* outstanding questions at a graceful stop */
#define SPOA_BUDGET_MS		400	/* of a question that names no deadline */
#define SPOA_BUDGET_PERCENT	80	/* of the deadline that a question names */

struct spoa_options {
	unsigned connections_max, outstanding_max;
	uint32_t frame_size;
	bool fragmentation;		/* announce it; without, fragments end the connection */
	size_t token_cache_entries, token_cache_bytes;
	/* The asker reads the very files that we do, or gives us its documents (it is our parent):
	 * whatever revision it serves is no newer than what we find after it has asked. */
	bool same_files;
	const atomic_ulong *loads_begun;	/* borrowed: number of the last load that began, from 1 */
	void (*on_unknown_revision)(void *arg);
	void *arg;
};

/* X(member, what it counts) */
#define SPOA_COUNTERS(X) \
	X(connections, "connections accepted") \
	X(connections_now, "connections open") \
	X(notifies, "questions received") \
	X(acks, "questions answered") \
	X(allowed, "requests allowed") \
	X(denied, "requests denied") \
	X(errors, "questions that could not be decided") \
	X(waited, "verdicts that had to wait for keys") \
	X(revision_waits, "questions that had to wait for newer documents") \
	X(disconnects_sent, "connections ended by us") \
	X(disconnects_received, "connections ended by their peer") \
	X(writes, "writes to connections")

/* Relaxed atomics, written by the thread, read by any. */
struct spoa_counters {
#define X(member, text) atomic_ulong member;
	SPOA_COUNTERS(X)
#undef X
};
#define spoa_count(counter, n) \
	atomic_store_explicit((counter), \
		atomic_load_explicit((counter), memory_order_relaxed) + (unsigned long)(n), \
		memory_order_relaxed)

struct inquiry;
struct spoa_connection;
struct spoa_message;
TAILQ_HEAD(inquiry_list, inquiry);
TAILQ_HEAD(spoa_connection_list, spoa_connection);

struct spoa_thread {
	unsigned id;
	pthread_t handle;
	const struct spoa_options *options;	/* borrowed */
	struct event_base *base;
	struct judge *judge, *last_judge;
	struct token_cache *tokens;
	struct rules *rules;			/* a reference */
	struct rules *last_rules;		/* a reference: replaced a moment ago; or NULL */
	struct event last_timer;		/* lets go of them */
	unsigned long load;			/* number of the load that said what `rules` are */
	char outdated[SPOA_OUTDATED_MAX][RULES_REVISION_BYTES];	/* known to be no newer than `rules` */
	unsigned next_outdated;
	char noted[SPOA_NOTED_MAX][RULES_REVISION_BYTES];	/* told to rules_note_asker() */
	unsigned next_noted;
	char missed[RULES_REVISION_BYTES];		/* the last one that was complained of */
	struct spoa_connection_list connections, to_flush, dead;
	struct inquiry_list spare, parked;	/* parked: for a revision not loaded yet */
	size_t spare_count;
	struct event tick;			/* deadlines of the parked */
	bool tick_armed, draining;
	int64_t drain_until_ms;
	char *input;				/* SPOA_INPUT_BYTES: whatever connection is read */
	int64_t now_ms;				/* of this loop turn; 0: not read yet */
	struct spoa_counters counters;

	pthread_mutex_t inbox_lock;
	STAILQ_HEAD(, spoa_message) inbox;
	int wake_fd;
	struct event wake;
};

/* Main. Starts it at once. */
struct spoa_thread *spoa_thread_start(unsigned id, const struct spoa_options *options,
				      struct rules *rules);
/* Main. The thread serves this descriptor from now on; `peer` is for the log. */
void spoa_thread_adopt(struct spoa_thread *t, int fd, const char *peer);
/* Main. Judges by these rules from now on, which the load of this number gave: other ones or the same
 * again. 0: newer documents are there already. Takes a reference of its own. */
void spoa_thread_use(struct spoa_thread *t, struct rules *rules, unsigned long load);
/* Main. Answers what is outstanding, says goodbye and ends. */
void spoa_thread_drain(struct spoa_thread *t);
/* Main. Waits for the end of a drained thread and frees it. */
void spoa_thread_join(struct spoa_thread **tp);

static inline int64_t spoa_thread_now_ms(struct spoa_thread *t)
{
	if (t->now_ms == 0)
		t->now_ms = clock_monotonic_ms();
	return t->now_ms;
}

/* Has this connection's answers written before the thread sleeps. */
void spoa_thread_flush_later(struct spoa_thread *t, struct spoa_connection *c);
/* Arms the tick, for a parked inquiry. */
void spoa_thread_watch_parked(struct spoa_thread *t);

#endif
