/* SPDX-License-Identifier: Apache-2.0
 *
 * stream_priv.h - a request's life, shared by the files of stream/: one struct, its states, and who
 * enters which. */
#ifndef SALLYPORT_PROXY_STREAM_PRIV_H
#define SALLYPORT_PROXY_STREAM_PRIV_H

#include "proxy/stream/decide.h"
#include "proxy/stream/downstream.h"
#include "proxy/stream/kept_body.h"
#include "proxy/stream/retry.h"
#include "proxy/stream/server.h"

/* The list is the documentation; each is entered by the function of its name. */
#define STREAM_STATES(X) \
	X(HEAD)		/* created; the codec is about to give the head, or a refusal */ \
	X(ROUTE)	/* virtual host and route */ \
	X(AUTHORIZE)	/* waiting for the agent's verdict, where policies reach the request */ \
	X(ACT)		/* the verdict is in (or none was needed): redirect, direct response, or forward */ \
	X(DELAY)	/* held by http[].fault */ \
	X(PICK)		/* an endpoint of the cluster */ \
	X(CONNECT)	/* waiting for a connection */ \
	X(FORWARD)	/* request and response flow */ \
	X(BACKOFF)	/* waiting before another attempt */ \
	X(ANSWER)	/* a local reply is being written */ \
	X(DONE)		/* logged; buried after the loop turn */
#define STREAM_STATE_AS_ENUM(name)	STREAM_##name,
enum stream_state { STREAM_STATES(STREAM_STATE_AS_ENUM) STREAM_STATE_COUNT };

#define STREAM_TRIED_MAX	16	/* endpoints remembered, so that a retry avoids them */
#define STREAM_ARENA_BYTES	(16u * 1024)	/* kept with the recycled stream */

/* Of the request's body and end, what another attempt would have to send again (replay.c). */
struct replay {
	struct kept_body body;
	struct kept_reader reader;		/* what the attempt in progress has sent of it */
	struct headers *trailers;		/* of the request; NULL: none */
	bool keeps;				/* the body, while it is within the limits */
	bool begun;				/* some of the body was sent */
	bool lost;				/* and is not kept, or not all of it */
	bool running;				/* what is kept goes first; the client waits */
	bool last;				/* no attempt follows the one in progress */
};

/* Attempts after the first (attempt_retry.c). */
struct retries {
	const struct retry_policy *policy;	/* of the route; NULL: no attempt was made yet */
	unsigned made;				/* by the policy */
	bool has_place;				/* among those of the cluster */
	bool stale_cured;			/* one more, as the connection had been closed before */
	bool interim_passed;			/* 1xx: the client has heard of this endpoint */
	/* of the attempt in progress */
	bool reused;				/* its connection has been idle, or carried others */
	uint64_t wire_in, wire_out;		/* bytes that the connection had seen before */
	struct timer try_timeout;
};

/* Of the body, what a provider is to see before the request goes anywhere (check_body.c). */
struct check_body {
	char *bytes;				/* in the stream's arena; NULL: nobody asked */
	uint32_t wanted, have, passed;		/* passed: taken by the attempt since */
	bool waits;				/* for more of it, or its end */
	bool partial;				/* there is more than `wanted` */
	bool ended;				/* the client's end was received; it is passed on behind the bytes */
	struct headers *trailers;
};

struct stream {
	struct grave grave;
	struct stream *next_free;
	enum stream_state state;
	struct server *server;			/* borrowed */
	struct downstream *downstream;		/* borrowed: it outlives its streams */
	struct snapshot_use *use;		/* one count */
	const struct chain *chain;		/* of `use` */
	struct arena *arena;			/* owned; reset when recycled */

	/* downstream half */
	struct codec_stream *down;		/* NULL once the response ended or was cut */
	struct message *request;
	struct stream_web *web;			/* its client speaks gRPC-Web; NULL: it does not */
	const struct message *as_asked;		/* before a verdict changed it; NULL: none did */
	bool request_ended;			/* its end was received */
	bool response_started;			/* the final head was sent */

	/* the decision */
	const struct virtual_host *host;
	const struct route *route;
	const struct route_target *target;
	struct slice cors_origin;		/* allowed by the route's corsPolicy; absent: none is */
	bool to_https;				/* outcome: httpsRedirect */
	bool undecided;				/* a regex of its routes reached its limit */
	bool misdirected;			/* outcome: 421 */
	const struct claim_set *claims;		/* of the verified token; NULL: none are known yet */
	struct authz_check *check;
	const struct cluster *checked_cluster;	/* whose policies the verdict covered */
	const struct route *checked_route;	/* and by which rewrite */
	unsigned checks;			/* questions asked for this request */
	struct check_body check_body;

	/* the attempt */
	struct endpoint *endpoint;		/* one reference, counted active */
	struct pool_request pool_request;
	struct codec_stream *up;
	struct endpoint *tried[STREAM_TRIED_MAX];
	unsigned attempts, tried_count;
	bool applied;				/* request operations of the route were done */
	bool tunnel;				/* upgraded: bytes both ways, each with its own end */
	bool response_ended;			/* of a tunnel */
	struct retries retries;
	struct replay replay;
	struct slice websocket_key;		/* that the upstream is asked with */
	bool expects_continue;			/* client waits for 100 before it sends the body */
	int64_t attempt_us;			/* when the head was sent upstream */
	struct message answer;			/* the response head sent downstream */
	struct slice answer_rest;		/* of a local reply's body, not taken yet */
	struct slice answer_headers_set;	/* hdrs_bin of the verdict, for the response */

	LIST_HEAD(, mirror_copy) mirrors;		/* copies that are fed with the request's body */

	struct timer timeout;			/* of the route, from the end of the request */
	struct timer deadline;			/* of the client: grpc-timeout, from its beginning */
	struct timer backoff;			/* before the next attempt */
	struct timer delay;			/* of http[].fault */
	struct timer idle;
	struct exchange x;
};

/* Changes the state; fatal() where the table of transitions does not allow it. */
void stream_enter(struct stream *s, enum stream_state next);
/* Logs, counts, lets go of everything; the memory is reused after the loop turn. */
void stream_done(struct stream *s);
/* Something moved: starts the idle time anew. */
void stream_touch(struct stream *s);
void stream_details(struct stream *s, const char *details);

/* stream.c: after the verdict, or where none is needed. */
void stream_act(struct stream *s);
/* stream.c: what was chosen for the request, and what a verdict makes of it. */
struct choice stream_choice(const struct stream *s);
void stream_take_choice(struct stream *s, const struct choice *c);

/* stream.c: does what is decided of the request: most are forwarded. */
void stream_carry_out(struct stream *s);

/* stream.c: bytes of the request's body, and its end, for whatever is done with it. */
size_t stream_pass_data(struct stream *s, struct slice bytes);
void stream_pass_end(struct stream *s, struct headers *trailers);

/* check_body.c. Is the body kept from going on? */
bool check_body_holds(const struct stream *s);
/* Takes so many bytes, or all there are, and asks again. */
void check_body_await(struct stream *s, uint32_t bytes);
/* While it waits: how many were taken. */
size_t check_body_take(struct stream *s, struct slice bytes);
/* While it holds: the client's end. */
void check_body_end(struct stream *s, struct headers *trailers);
struct judging;
void check_body_describe(const struct stream *s, struct judging *j);
/* More of the request's body can be sent: what is here first, then what the client has. */
void check_body_resume(struct stream *s);

/* fault.c: what http[].fault of the route says, then on to stream_carry_out(). */
void stream_inject(struct stream *s);

/* authorize.c: asks when policies reach the request, else goes on to stream_act(). */
void stream_authorize(struct stream *s);

/* attempt.c: also of another attempt. */
void stream_pick(struct stream *s);
/* Gives up the attempt in progress, if any. */
void attempt_cancel(struct stream *s);
/* The downstream half has more for the upstream one. */
size_t attempt_send(struct stream *s, struct slice bytes);
void attempt_end(struct stream *s, struct headers *trailers);
/* The response is complete on both sides. */
void attempt_finish(struct stream *s);

/* attempt_retry.c: the connection is there; what it had seen before tells what this attempt brings. */
void attempt_begins(struct stream *s, const struct upstream_connection *u);
/* Within on_reset(): of the attempt in progress, how it ends. */
struct attempt_outcome attempt_was_reset(const struct stream *s, enum reset_reason why);
/* The attempt has ended so, and its endpoint was let go: is another one on its way? Otherwise the outcome
 * goes to the client, and flags and counters say why none is. */
bool attempt_again(struct stream *s, const struct attempt_outcome *o);
/* No further one: gives back what was held for it. */
void attempt_was_last(struct stream *s);
/* perTryTimeout, in force; 0: none. */
int64_t attempt_timeout_ms(const struct stream *s);
/* Its clock, once the whole request was sent; may be called again. When it is late, try_timeout fires. */
void attempt_start_timeout(struct stream *s, void (*late)(struct timer *t));

/* replay.c: keeps the body from here on, as far as the policy and the limits have it. */
void replay_begin(struct stream *s, bool wanted);
/* These bytes were just taken by an attempt. */
void replay_keep(struct stream *s, struct slice bytes);
/* Could another attempt send all that was sent before? */
bool replay_is_possible(const struct stream *s);
/* Is there anything behind the head to send again? */
bool replay_has_more(const struct stream *s);
/* A new attempt has sent its head: what is kept comes before what the client sends. */
void replay_start(struct stream *s);
/* Sends what is kept, as far as it is taken; true: all was. */
bool replay_run(struct stream *s);
/* Gives the memory back; nothing can be sent again then. */
void replay_free(struct stream *s);
/* No attempt follows the one in progress: what that has not sent yet it still sends. */
void replay_no_more(struct stream *s);

/* mirror.c: draws the copies of a request that is about to go to its endpoint for the first time. They are
 * on their way once the request is. */
void mirrors_create(struct stream *s);
/* Bytes that the request's own attempt took; then its end, with NULL for no trailers. */
void mirrors_send(struct stream *s, struct slice bytes);
void mirrors_end(struct stream *s, const struct headers *trailers);
/* The stream is over: complete copies go on alone. */
void mirrors_leave(struct stream *s);
void mirrors_free(struct server *s);

/* tunnel.c: false: this upgrade is served nowhere, and it was answered. */
bool tunnel_may_ask(struct stream *s);
/* Before the request is sent: the fields of its handshake; nothing for other requests. */
void tunnel_prepare(struct stream *s);
/* The upstream grants it: sends its head on, and upstream what came early. */
void tunnel_open(struct stream *s, struct message *m);
/* The upstream, or the client, has ended its direction. */
void tunnel_response_ended(struct stream *s);
void tunnel_request_ended(struct stream *s);
/* The stream is over: it counts no longer. */
void tunnel_closed(struct stream *s);

/* deadline.c: the client's deadline starts with the first attempt, the route's clock with the end of the
 * request; each may be called again. */
void stream_start_deadline(struct stream *s);
void stream_start_timeout(struct stream *s);
/* Tells the endpoint how long is left. */
void stream_tell_deadline(struct stream *s);
void stream_stop_deadlines(struct stream *s);

/* cors.c: onto the head of a response of a route, after its operations. `r`: it is ours; NULL: it is the
 * upstream's. */
void stream_cors_apply(const struct stream *s, struct message *m, const struct local_reply *r);

/* web.c: for a chain that translates gRPC-Web: puts itself before `down` where the request speaks it. */
void stream_web_begin(struct stream *s);
/* The request turns into gRPC, once it was judged and routed as the client sent it. */
void stream_web_translate(struct stream *s);
/* The response is complete; its trailers follow it in the body. */
void stream_web_end(struct stream *s, const struct headers *trailers);

/* local_reply.c: a response of our own; ends the attempt. Its body is borrowed until the stream ends. */
void stream_answer(struct stream *s, const struct local_reply *r);
/* More of a local reply's body may go out. */
void stream_answer_on(struct stream *s);
/* A reset before the response: 502 or 503 with its text (spec/http.md 27). */
void stream_answer_reset(struct stream *s, enum reset_reason why, const char *detail);

#endif
