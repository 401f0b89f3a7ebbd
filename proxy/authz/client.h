/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h - asks the authz agent: one question in, exactly one answer out (spec/spop.md 16).
 *
 * Owner    one client a worker. A check belongs to the client; its owner holds a handle until the
 *          answer came or authz_check_cancel().
 * Thread   the worker's own, save authz_client_counters: any thread reads it.
 * Batching questions of one loop turn go out in one write a connection: the client activates an
 *          event of its own that runs behind everything that is ready in this turn. The worker
 *          has nothing to call.
 * Blocks   nothing, save authz_client_free(): up to 1 s for the goodbyes of agents. No malloc, timer
 *          or system call a check on the steady path.
 * Agents   a check goes to the agent that has the fewest of ours unanswered, of equals to the one that
 *          was asked longest ago: so the slow get less and one that hangs is left with a handful, and
 *          idle ones still take turns. An agent is not asked while its health checks fail; one that
 *          gives no verdict in time AUTHZ_STALLED_MISSES times in a row is asked again after a while, or
 *          when no other is left. A check whose connection ends, or whose agent says that it could not
 *          decide, is asked once more while its deadline allows, elsewhere where there is one.
 * Fails    closed. Whatever goes wrong (no agent, late, malformed, too large) is AUTHZ_FAILED with
 *          a cause: the request must be refused with `status`, never let through. */
#ifndef SALLYPORT_AUTHZ_CLIENT_H
#define SALLYPORT_AUTHZ_CLIENT_H

#include <stdatomic.h>

#include "sallyport/check_request.h"

struct event_base;

#define AUTHZ_CONNECTIONS	1	/* a worker and agent */
#define AUTHZ_IN_FLIGHT_MAX	256	/* questions unanswered on one connection */
#define AUTHZ_WAITING_MAX	4096	/* questions a worker holds while no connection takes them */
#define AUTHZ_CONNECT_MS	1000
#define AUTHZ_HELLO_MS		2000
#define AUTHZ_HEALTH_MS		5000
#define AUTHZ_IDLE_MS		120000
#define AUTHZ_STALLED_MISSES	3	/* in a row: no verdict in time */
#define AUTHZ_STALLED_MIN_MS	500	/* until it is tried again; doubles */
#define AUTHZ_STALLED_MAX_MS	8000
#define AUTHZ_NAME_BYTES	128	/* of an address: a UNIX path has at most 107 */

struct authz_client_config {
	/* "unix:/path", "host:port" with a numeric host; copied. None: every check fails. */
	const char *const *addresses;
	size_t address_count;
	/* 0 means the default named above (SPOP_FRAME_SIZE_DEFAULT for the frame). */
	unsigned connections, in_flight_max, waiting_max;
	unsigned connect_ms, hello_ms, health_ms, idle_ms;
	uint32_t max_frame_size;
};

enum authz_outcome { AUTHZ_ALLOWED, AUTHZ_DENIED, AUTHZ_FAILED };

#define AUTHZ_CAUSES(X) \
	X(NONE, "none")			/* not failed */ \
	X(TIMEOUT, "timeout")		/* no answer before the deadline */ \
	X(UNREACHABLE, "unreachable")	/* no agent is up */ \
	X(LOST, "lost")			/* the connection ended, and so did the retry */ \
	X(TOO_LARGE, "too large")	/* the question exceeds the frame size: status 431 */ \
	X(MALFORMED, "malformed")	/* the answer could not be read, or lacks `allow` */ \
	X(OVERLOAD, "overload")		/* waiting_max questions wait already */ \
	X(AGENT_ERROR, "agent error")	/* the agent says that it could not decide */ \
	X(STOPPED, "stopped")		/* the client is going away */
#define AUTHZ_CAUSE_ENUM(name, text)	AUTHZ_CAUSE_##name,
enum authz_cause { AUTHZ_CAUSES(AUTHZ_CAUSE_ENUM) AUTHZ_CAUSE_COUNT };
const char *authz_cause_text(enum authz_cause cause);

struct authz_verdict {
	enum authz_outcome outcome;
	enum authz_cause cause;		/* AUTHZ_FAILED only */
	unsigned status;		/* DENIED, FAILED: of the local reply */
	/* Slices live until the callback returns. Header lists are walked with spop_read_header()
	 * and spop_read_name(); they are complete and free of CR, LF, NUL and bad names. For
	 * FAILED only `body` and `content_type` are set. */
	struct check_reply reply;
};

/* What an answer means, the payload of its frame; and what its absence means. */
struct authz_verdict authz_verdict_read(struct slice payload);
struct authz_verdict authz_verdict_failed(enum authz_cause cause);

typedef void authz_on_verdict(void *owner, const struct authz_verdict *verdict);

/* Connections are opened at once. Fails (NULL, logged) on an address that cannot be parsed. */
struct authz_client *authz_client_create(struct event_base *base,
					 const struct authz_client_config *config);
/* From now on these agents are asked, and no others. Those that stay keep their connections and
 * counters; those that go answer what they were asked, then get a DISCONNECT 0. An address that cannot
 * be parsed is logged and left out. Not from within on_verdict. */
void authz_client_use(struct authz_client *c, const char *const *addresses, size_t count);
/* Says goodbye (DISCONNECT 0), answers what is still open with AUTHZ_CAUSE_STOPPED, frees. Not
 * from within on_verdict. */
void authz_client_free(struct authz_client **cp);

/* Never NULL; on_verdict is called exactly once, always later from the loop, never from within
 * this call, unless cancelled before. The handle is dead when on_verdict is called.
 * `q`: every slice is copied before the call returns; its deadline_ms is filled in by the client.
 * `deadline_ms`: point on the monotonic clock, kept to 10 ms. */
struct authz_check *authz_check_start(struct authz_client *c, const struct check_request *q,
				      int64_t deadline_ms, authz_on_verdict *on_verdict,
				      void *owner);
/* The answer finds nobody. Clears the handle; NULL is fine. */
void authz_check_cancel(struct authz_check **checkp);

struct authz_counters {
	atomic_ulong asked, allowed, denied;
	atomic_ulong failed[AUTHZ_CAUSE_COUNT];	/* by cause */
	atomic_ulong cancelled;
	atomic_ulong retried;		/* asked again: the connection was lost, or the agent in error */
	atomic_ulong late;		/* answers nobody waited for any more */
	atomic_ulong unknown;		/* answers to ids that were never asked */
	atomic_ulong reconnects;	/* connections opened after the first */
	atomic_ulong writes;		/* system calls; asked / writes is the batching */
	atomic_ulong in_flight, waiting;	/* now */
	atomic_ulong agents_up;		/* now; from the start on, until checks have failed */
	atomic_ulong connections_ready;	/* now: an agent said HELLO on them */
};

/* What became of the questions that an agent was sent. X(member, what it counts) */
#define AUTHZ_AGENT_COUNTERS(X) \
	X(asked, "questions sent") \
	X(answered, "answers in time") \
	X(late, "answers after the deadline") \
	X(timeouts, "questions without an answer at their deadline") \
	X(lost, "questions that a lost connection left unanswered") \
	X(errors, "answers that it could not decide, or that cannot be read") \
	X(connects, "connections that came to a HELLO")

struct authz_agent_counters {
#define X(member, text) unsigned long member;
	AUTHZ_AGENT_COUNTERS(X)
#undef X
};

enum authz_agent_state {
	AUTHZ_AGENT_UP,			/* asked */
	AUTHZ_AGENT_CONNECTING,		/* up, but no connection is ready now */
	AUTHZ_AGENT_STALLED,		/* no verdicts came in time: asked rarely */
	AUTHZ_AGENT_DOWN,		/* health checks fail: not asked */
};

/* An agent as one worker sees it. */
struct authz_agent_status {
	char address[AUTHZ_NAME_BYTES];
	enum authz_agent_state state;
	unsigned outstanding;		/* unanswered now */
	struct authz_agent_counters counters;
};
/* Of the agents in use, at most `max`, in no order. Returns how many. The worker's own thread. */
size_t authz_client_describe(const struct authz_client *c, struct authz_agent_status *out, size_t max);

/* Relaxed atomics: any thread may read while the worker writes. */
const struct authz_counters *authz_client_counters(const struct authz_client *c);

#endif
