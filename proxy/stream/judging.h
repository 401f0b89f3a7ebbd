/* SPDX-License-Identifier: Apache-2.0
 *
 * judging.h - what the agent is asked about a request, and what its verdict makes of it. Whoever asks and
 * waits is somebody else: a stream (authorize.c), or who explains (explain.h).
 *
 *     while (judging_is_due(j.snapshot, j.choice.target)) {
 *             judging_describe(&j, &question);		the peer's part was filled in before
 *             … the agent's verdict, or that there is none …
 *             switch (judging_take(&j, verdict, &reply)) {
 *             case JUDGED_GO_ON:	break;		to what was chosen
 *             case JUDGED_ASK_AGAIN:	continue;	the route is another one now
 *             case JUDGED_NEEDS_BODY:	continue;	once j.body_wanted bytes of it, or all, are in j.body
 *             case JUDGED_DENIED:			reply
 *             case JUDGED_FAILED:			reply
 *
 * Owner    everything lives in the arena, or is borrowed from request and snapshot.
 * Thread   one at a time. Blocks never.
 * Fails    closed: what cannot be judged is a reply, never a way on. */
#ifndef SALLYPORT_PROXY_JUDGING_H
#define SALLYPORT_PROXY_JUDGING_H

#include "proxy/authz/client.h"
#include "proxy/stream/decide.h"

struct judging {
	const struct snapshot *snapshot;
	struct arena *arena;
	struct exchange *x;			/* told the reason; names of route and cluster follow the choice */
	struct message *request;		/* as it is now: verdicts change it */
	struct choice choice;			/* likewise */
	const struct message *as_asked;		/* the request before a verdict changed it; NULL: none did */
	const struct claim_set *claims;		/* of the verified token; NULL: none are known yet */
	struct slice response_set;		/* header fields for the response, in their wire form */
	bool has_body;				/* the request has one that was not passed on yet */
	struct slice body;			/* what is known of it; absent: nothing */
	bool body_partial;			/* there is more */
	uint32_t body_wanted;			/* JUDGED_NEEDS_BODY: so many bytes of it, or all */
	/* the last question */
	const struct cluster *checked_cluster;	/* whose policies it covered */
	const struct route *checked_route;	/* and by which rewrite */
	unsigned checks;			/* how many there were */
};

/* Do policies reach a request, here or where it goes? `target` may be NULL. */
bool judging_is_due(const struct snapshot *s, const struct route_target *target);

/* The question, all but what the connection says of its peer, which is there already. */
void judging_describe(struct judging *j, struct check_request *q);

/* The question about j->request as a copy that goes to `c`, likewise: may it have it, by the policies that
 * reach `c` alone? */
void judging_describe_copy(struct judging *j, const struct cluster *c, struct check_request *q);
/* It may: what the verdict changes of the copy. */
void judging_allow_copy(struct judging *j, const struct check_reply *answer);

enum judged { JUDGED_GO_ON, JUDGED_ASK_AGAIN, JUDGED_NEEDS_BODY, JUDGED_DENIED, JUDGED_FAILED };

/* What the verdict says is done to the request, and the route chosen again; `random` is for a draw. DENIED
 * and FAILED: *reply is the answer. */
enum judged judging_take(struct judging *j, const struct authz_verdict *v, uint64_t random,
			 struct local_reply *reply);
/* There is nobody to ask. */
void judging_unasked(struct judging *j, struct local_reply *reply);

/* The same of a connection that is relayed to `to`: one question, and its verdict stands (tcp_session.c). */
void connection_describe(const struct snapshot *s, const struct chain *chain, const struct cluster *to,
			 struct check_request *q);

/* Onto the head of a response, also of a refusal. */
void judging_set_headers(struct slice response_set, struct message *m, struct arena *a);

#endif
