/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c - what an agent's answer means for the request, and what it means that there is none. */
#include "proxy/authz/client.h"

#define UNAVAILABLE_STATUS	503
#define TOO_LARGE_STATUS	431
#define DENIED_STATUS		403	/* where the agent names none that a denial can have */

struct authz_verdict authz_verdict_failed(enum authz_cause cause)
{
	bool too_large = cause == AUTHZ_CAUSE_TOO_LARGE;

	return (struct authz_verdict){
		.outcome = AUTHZ_FAILED,
		.cause = cause,
		.status = too_large ? TOO_LARGE_STATUS : UNAVAILABLE_STATUS,
		.reply = {
			.body = too_large ? SLICE("request too large to be authorized")
					  : SLICE("authorization service unavailable"),
			.content_type = SLICE("text/plain"),
		},
	};
}

struct authz_verdict authz_verdict_read(struct slice payload)
{
	struct authz_verdict v = { .cause = AUTHZ_CAUSE_NONE };

	if (check_reply_read(payload, &v.reply) != OK)
		return authz_verdict_failed(AUTHZ_CAUSE_MALFORMED);
	if (v.reply.allow) {
		v.outcome = AUTHZ_ALLOWED;
		v.status = 200;
		return v;
	}
	if (slice_eq(v.reply.reason, SLICE("error")))
		return authz_verdict_failed(AUTHZ_CAUSE_AGENT_ERROR);
	v.outcome = AUTHZ_DENIED;
	v.status = v.reply.status > 200 && v.reply.status < 600 ? v.reply.status : DENIED_STATUS;
	if (v.reply.content_type.at == NULL)
		v.reply.content_type = SLICE("text/plain");
	return v;
}
