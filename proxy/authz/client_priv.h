/* SPDX-License-Identifier: Apache-2.0
 *
 * client_priv.h - what the rooms of the authz client share: checks (client.c), agents and their
 * health (agent.c), connections (connection.c).
 *
 * A check is WAITING until the pump, once a loop turn, gives it to a connection; SENT until the
 * answer or the deadline; DOOMED when its failure is to be told from the loop. It leaves by one
 * door: finish() in client.c. */
#ifndef SALLYPORT_AUTHZ_CLIENT_PRIV_H
#define SALLYPORT_AUTHZ_CLIENT_PRIV_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "proxy/authz/client.h"
#include "sallyport/object.h"
#include "sallyport/spop_address.h"

#define AUTHZ_TICK_MS		10	/* how late a deadline may be noticed */
#define AUTHZ_GRACE_MS		1000	/* an agent that fails for longer is not waited for */
#define AUTHZ_BACKOFF_MIN_MS	50
#define AUTHZ_BACKOFF_MAX_MS	2000
#define AUTHZ_DEMAND_MS		250	/* since the last try, when somebody asks during a back-off */
#define AUTHZ_GOODBYE_MS	1000	/* for the answer to our DISCONNECT */
#define AUTHZ_SETTLED_MS	1000	/* a connection that lived so long was no failure */
#define AUTHZ_PROBES_DOWN	3
#define AUTHZ_PROBES_UP		2
#define AUTHZ_INPUT_BYTES	65536
#define AUTHZ_OUTPUT_BYTES	(256 << 10)	/* beyond, checks wait; no frame is larger */
#define AUTHZ_PAYLOAD_FIRST	2048		/* a check's first buffer; it grows to the frame size */
#define AUTHZ_PAYLOAD_KEPT	(16 << 10)	/* larger ones are not kept with a spare check */
#define AUTHZ_SPARE_CHECKS	4096		/* kept for the next ones */

#define KIND_AUTHZ_CLIENT	KIND('A', 'Z', 'C', 'L')
#define KIND_AUTHZ_CHECK	KIND('A', 'Z', 'C', 'K')

enum check_state { CHECK_SPARE, CHECK_WAITING, CHECK_SENT, CHECK_DOOMED };

struct authz_check {
	struct object obj;
	struct authz_client *client;
	TAILQ_ENTRY(authz_check) open;		/* of all that are WAITING or SENT */
	TAILQ_ENTRY(authz_check) queue;		/* of the waiting, the doomed or the spare */
	enum check_state state;
	enum authz_cause cause;			/* DOOMED: why */
	struct authz_connection *connection;	/* SENT: borrowed */
	uint64_t stream_id;			/* SENT: unique on the connection */
	int64_t deadline_ms;
	authz_on_verdict *on_verdict;
	void *owner;
	bool retried;
	uint64_t avoid;				/* serial of the agent that failed it; 0: none did */
	unsigned char *payload;			/* owned; kept for the next check */
	uint32_t payload_bytes, capacity;
};

TAILQ_HEAD(check_list, authz_check);

#define CONNECTION_STATES(X) \
	X(IDLE)			/* no socket: opened on need */ \
	X(BACKOFF)		/* no socket: opened when the timer fires */ \
	X(CONNECTING)		/* until the kernel says so, or connect_ms */ \
	X(HELLO)		/* until AGENT-HELLO, or hello_ms */ \
	X(READY)		/* takes questions */ \
	X(LEAVING)		/* said goodbye: until the agent closes, or AUTHZ_GOODBYE_MS */
#define CONNECTION_ENUM(name)	CONNECTION_##name,
enum connection_state { CONNECTION_STATES(CONNECTION_ENUM) CONNECTION_STATE_COUNT };

struct authz_connection {
	struct authz_agent *agent;		/* borrowed */
	bool probe;				/* asks for HELLO only */
	enum connection_state state;
	int fd;					/* -1: none */
	struct event readable, writable, timer;
	unsigned char *in;			/* owned; AUTHZ_INPUT_BYTES or a frame */
	size_t in_bytes, in_capacity;
	unsigned char *out;			/* owned */
	size_t out_sent, out_bytes, out_capacity;
	uint32_t frame_size;			/* agreed on */
	bool pipelining;
	uint64_t next_id;
	uint64_t id_at_timer;			/* next_id when idleness was last looked at */
	unsigned in_flight;
	struct authz_check **by_id;		/* owned; a power of two, indexed by the id's low bits */
	size_t by_id_mask;
	unsigned failures;			/* in a row: the back-off */
	int64_t tried_ms, ready_ms;		/* last opened; answers since */
	bool opened_before, said_goodbye;
};

struct authz_agent {
	TAILQ_ENTRY(authz_agent) link;		/* the longest unasked first */
	struct authz_client *client;		/* borrowed */
	uint64_t serial;			/* of this client's agents, from 1 */
	char *name;				/* owned: as configured */
	struct spop_address address;
	struct authz_connection *connections;	/* owned: `count` of them */
	unsigned count;
	struct authz_connection probe;
	struct event probe_timer;
	unsigned probe_failures, probe_successes;	/* in a row */
	bool up;
	bool leaving;				/* no longer in use: freed once it has answered */
	int64_t failing_since_ms;		/* 0: it is not */
	unsigned misses;			/* since its last good answer in time */
	int64_t stalled_until_ms;		/* 0: it is not stalled */
	struct authz_agent_counters counters;
};

TAILQ_HEAD(authz_agent_list, authz_agent);

struct authz_client {
	struct object obj;
	struct event_base *base;		/* borrowed */
	struct authz_client_config config;	/* addresses are not kept; defaults filled in */
	struct authz_agent_list agents;		/* owned; those that leave among them */
	uint64_t next_serial;
	struct event pump, tick;
	bool pump_active, tick_armed, stopping;
	struct check_list open, waiting, doomed, spare;
	size_t open_count, waiting_count, spare_count;
	int64_t earliest_ms;			/* no open check ends before */
	char engine_id[37];
	uint64_t random;
	struct authz_counters counters;
};

/* One writer: no locked instruction is needed. */
#define count_add(counter, n) \
	atomic_store_explicit((counter), \
		atomic_load_explicit((counter), memory_order_relaxed) + (unsigned long)(n), \
		memory_order_relaxed)

/* client.c */
void client_wake(struct authz_client *c);	/* runs the pump at the end of this turn */
void client_answered(struct authz_check *k, struct slice payload);
/* The connection of a SENT check is gone: it waits for another one, once. */
void client_lost(struct authz_check *k);
int64_t client_jitter(struct authz_client *c, int64_t ms);	/* ms, a quarter more or less */
void client_arm(struct event *timer, int64_t ms);

/* agent.c */
/* NULL: no address, which was logged. Nothing is opened yet. */
struct authz_agent *authz_agent_create(struct authz_client *c, const char *address);
void authz_agent_free(struct authz_agent *a);
void authz_agent_start(struct authz_agent *a);
/* Asked no more. To be looked after by the pump, with authz_agent_has_left(). */
void authz_agent_leave(struct authz_agent *a);
/* Says goodbye where nothing is unanswered. True: nothing is open any more. */
bool authz_agent_has_left(struct authz_agent *a);
/* A connection that takes a question now, or NULL. */
struct authz_connection *authz_agent_pick(struct authz_agent *a);
/* Somebody is waiting: opens idle connections, and those whose back-off has become long. */
void authz_agent_open_needed(struct authz_agent *a);
/* Is waiting for it worth anybody's while? */
bool authz_agent_is_hopeful(const struct authz_agent *a, int64_t now_ms);
bool authz_agent_is_stalled(const struct authz_agent *a);
void authz_agent_is_well(struct authz_agent *a);	/* a sign of life, such as a late answer */
void authz_agent_greeted(struct authz_agent *a);	/* HELLO came */
void authz_agent_answered(struct authz_agent *a);	/* in time */
void authz_agent_missed(struct authz_agent *a);	/* a question was not answered in time, or badly */
enum authz_agent_state authz_agent_state(const struct authz_agent *a);
void authz_agent_failed(struct authz_agent *a);	/* a connection could not be opened, or was lost */
void authz_agent_probed(struct authz_agent *a, bool well);

/* connection.c */
void authz_connection_init(struct authz_connection *x, struct authz_agent *a, bool probe);
void authz_connection_fini(struct authz_connection *x);
void authz_connection_open(struct authz_connection *x);
void authz_connection_open_needed(struct authz_connection *x);
bool authz_connection_takes(const struct authz_connection *x);
/* Queues the check's question. authz_connection_takes() said yes. */
void authz_connection_send(struct authz_connection *x, struct authz_check *k);
void authz_connection_flush(struct authz_connection *x);
/* The answer to `k` is not wanted any more. */
void authz_connection_forget(struct authz_connection *x, struct authz_check *k);
/* True while the agent may still answer our DISCONNECT. */
bool authz_connection_say_goodbye(struct authz_connection *x);
/* Its agent leaves. True: no socket is open any more. */
bool authz_connection_has_left(struct authz_connection *x);

#endif
