/* SPDX-License-Identifier: Apache-2.0
 *
 * retry.h - what a retry policy says: which ends of an attempt are worth another one, when that begins,
 * and what it needs (spec/virtual-service.md 7.8, spec/destination-rule.md 15). Nothing here knows a stream.
 *
 * Thread   any; nothing is kept. */
#ifndef SALLYPORT_PROXY_RETRY_H
#define SALLYPORT_PROXY_RETRY_H

#include "proxy/http/codec.h"
#include "sallyport/resource/virtual_service.h"

enum attempt_end {
	ATTEMPT_RESET,			/* no response, for the reason `why` */
	ATTEMPT_TIMED_OUT,		/* perTryTimeout */
	ATTEMPT_ANSWERED		/* the head of `response`; nothing of it was passed on */
};

struct attempt_outcome {
	enum attempt_end how;
	enum reset_reason why;
	bool sent;			/* something of the request may have reached the endpoint, */
	bool heard;			/* and something has come back */
	const struct message *response;
};

/* Does the policy ask for another attempt after this one? How many are left is not its question. */
bool retry_covers(const struct retry_policy *p, const struct attempt_outcome *o);

/* The wait before retry `n` (from 1) is uniform in [0, this). */
int64_t retry_backoff_below_ms(const struct retry_policy *p, unsigned n);

/* May an attempt that has sent some of the body end so that the policy asks for another one? Conditions
 * of gRPC are looked for where gRPC is spoken, refused streams where there are streams. */
bool retry_needs_body(const struct retry_policy *p, bool http2, bool grpc);

/* RFC 9110 9.2.2: sending it twice does no more than sending it once. */
bool method_is_idempotent(struct slice method);

#endif
