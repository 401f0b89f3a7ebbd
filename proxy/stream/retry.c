/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/retry.h"

#include "sallyport/object.h"

#define BACKOFF_MAX_FACTOR	10	/* of the base */
#define BACKOFF_DOUBLINGS	4	/* beyond, the factor is reached */

#define RETRY_ON_GRPC	(RETRY_ON_CANCELLED | RETRY_ON_DEADLINE_EXCEEDED | RETRY_ON_INTERNAL | \
			 RETRY_ON_RESOURCE_EXHAUSTED | RETRY_ON_UNAVAILABLE)
#define RETRY_ON_ANY_RESET	(RETRY_ON_RESET | RETRY_ON_5XX | RETRY_ON_GATEWAY_ERROR)

/* No connection, so that nobody can have seen the request. */
static bool is_connect_failure(enum reset_reason why)
{
	return why == RESET_LOCAL_CONNECTION_FAILURE || why == RESET_REMOTE_CONNECTION_FAILURE ||
	       why == RESET_CONNECTION_TIMEOUT;
}

static bool covers_reset(const struct retry_policy *p, const struct attempt_outcome *o)
{
	if (o->why == RESET_OVERFLOW)	/* more of the same would follow */
		return false;
	if (p->on & RETRY_ON_ANY_RESET)
		return true;
	if ((p->on & RETRY_ON_RESET_BEFORE_REQUEST) && !o->sent)
		return true;
	if (is_connect_failure(o->why))
		return p->on & RETRY_ON_CONNECT_FAILURE;
	return o->why == RESET_REMOTE_REFUSED && (p->on & RETRY_ON_REFUSED_STREAM);
}

static bool covers_status(const struct retry_policy *p, unsigned status)
{
	if (status < 300 && p->statuses.count == 0)
		return false;
	if ((p->on & RETRY_ON_5XX) && status >= 500 && status <= 599)
		return true;
	if ((p->on & RETRY_ON_GATEWAY_ERROR) && status >= 502 && status <= 504)
		return true;
	if ((p->on & RETRY_ON_RETRIABLE_4XX) && status == 409)
		return true;
	for (size_t i = 0; (p->on & RETRY_ON_RETRIABLE_STATUS_CODES) && i < p->statuses.count; i++)
		if (p->statuses.items[i] == status)
			return true;
	return false;
}

/* Of the head alone: what a call says at its end comes too late. */
static bool covers_grpc(const struct retry_policy *p, const struct message *m)
{
	static const struct { uint64_t status; uint32_t on; } statuses[] = {
		{ 1, RETRY_ON_CANCELLED }, { 4, RETRY_ON_DEADLINE_EXCEEDED },
		{ 8, RETRY_ON_RESOURCE_EXHAUSTED }, { 13, RETRY_ON_INTERNAL }, { 14, RETRY_ON_UNAVAILABLE },
	};
	const struct header *f = headers_get(&m->headers, HEADER_GRPC_STATUS);
	uint64_t status;

	if (f == NULL || !(p->on & RETRY_ON_GRPC) || !slice_to_u64(f->value, &status))
		return false;
	for (size_t i = 0; i < COUNT_OF(statuses); i++)
		if (statuses[i].status == status)
			return p->on & statuses[i].on;
	return false;
}

static bool is_limited(const struct message *m)
{
	return headers_find(&m->headers, SLICE("x-envoy-ratelimited")) != NULL;
}

/* The field is not one of those that are found by their number: it is looked for last. */
static bool covers_response(const struct retry_policy *p, const struct message *m)
{
	if (p->on & RETRY_ON_ENVOY_RATELIMITED)
		return is_limited(m) || covers_status(p, m->status) || covers_grpc(p, m);
	return (covers_status(p, m->status) || covers_grpc(p, m)) && !is_limited(m);
}

bool retry_covers(const struct retry_policy *p, const struct attempt_outcome *o)
{
	switch (o->how) {
	case ATTEMPT_RESET:
		return covers_reset(p, o);
	case ATTEMPT_TIMED_OUT:
		return p->on & RETRY_ON_ANY_RESET;
	case ATTEMPT_ANSWERED:
		return covers_response(p, o->response);
	}
	return false;
}

int64_t retry_backoff_below_ms(const struct retry_policy *p, unsigned n)
{
	int64_t most = p->backoff_ms * BACKOFF_MAX_FACTOR, bound;

	bound = n <= BACKOFF_DOUBLINGS ? p->backoff_ms << (n - 1) : most;
	return bound < most ? bound : most;
}

bool retry_needs_body(const struct retry_policy *p, bool http2, bool grpc)
{
	uint32_t after_sending = RETRY_ON_ANY_RESET | RETRY_ON_RESET_BEFORE_REQUEST | RETRY_ON_RETRIABLE_4XX |
				 RETRY_ON_ENVOY_RATELIMITED;

	if (p->statuses.count > 0)
		after_sending |= RETRY_ON_RETRIABLE_STATUS_CODES;
	if (http2)
		after_sending |= RETRY_ON_REFUSED_STREAM;
	if (grpc)
		after_sending |= RETRY_ON_GRPC;
	return p->attempts > 0 && (p->on & after_sending);
}

bool method_is_idempotent(struct slice method)
{
	static const struct slice methods[] = {
		{ "GET", 3 }, { "HEAD", 4 }, { "PUT", 3 }, { "DELETE", 6 }, { "OPTIONS", 7 }, { "TRACE", 5 },
	};

	for (size_t i = 0; i < COUNT_OF(methods); i++)
		if (slice_eq(method, methods[i]))
			return true;
	return false;
}
